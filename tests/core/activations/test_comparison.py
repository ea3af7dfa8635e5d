"""Two sides of a comparison: counts against a plain count over planted activations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.activations.bands import Range
from core.activations.comparison import Comparison, compare, sentence
from core.activations.index import make_index, members
from core.activations.store import Analysis

MID, TOP = Range(0.0, 1.0, "middle"), Range(1.5, 9.0, "top")


@pytest.fixture
def sides(make_analysis: Callable[..., Analysis]) -> tuple[Analysis, Analysis]:
    """Eight images of class 0; the left model names the first four rightly, the right one the last six."""
    analysis = make_analysis(np.zeros((8, 2), np.float32), np.zeros(8, np.int64), classes=("a", "b"))
    left = replace(analysis, predicted=np.array([0, 0, 0, 0, 1, 1, 1, 1]))
    return left, replace(analysis, predicted=np.array([1, 1, 0, 0, 0, 0, 0, 0]))


def test_where_images_land_and_what_turned(sides: tuple[Analysis, Analysis]) -> None:
    there = np.array([0.0, 1.0, 1.2, 1.5, 2.0, -3.0, np.nan, np.inf], np.float32)
    found = compare(*sides, np.arange(8), np.arange(8.0), there, mid=MID, top=TOP)
    # both ends of a band belong to it; infinity lies above the top, what is no number nowhere
    assert (found.in_mid, found.in_top) == (2, 2)
    assert (found.right_here, found.right_there, found.turned_right, found.turned_wrong) == (4, 6, 4, 2)
    assert found.count == 8


def test_only_the_members_of_the_band_count(sides: tuple[Analysis, Analysis]) -> None:
    found = compare(*sides, np.array([4, 5]), np.arange(8.0), np.full(8, 0.5), mid=MID, top=TOP)
    assert (found.count, found.in_mid, found.in_top, found.turned_right, found.turned_wrong) == (2, 2, 0, 2, 0)


@pytest.mark.parametrize("band", [MID, Range(0.5, 0.5, ""), Range(0.0, 0.5, "", closed=False), Range(-0.0, 0.0, "")])
def test_images_land_by_the_rule_of_bands(sides: tuple[Analysis, Analysis], band: Range) -> None:
    there = np.array([-0.0, 0.5, 0.5, 1.0, 0.25, np.nextafter(np.float32(0.5), 1), np.nan, np.inf], np.float32)
    found = compare(*sides, np.arange(8), np.arange(8.0), there, mid=band, top=band)
    expected = len(members(make_index(there), band.low, band.high, closed=band.closed))
    assert found.in_mid == found.in_top == expected
    assert expected


def test_correlation_is_pearsons_over_what_has_both(sides: tuple[Analysis, Analysis]) -> None:
    rng = np.random.default_rng(3)
    here = rng.normal(size=8)
    there = -2 * here + 1
    assert compare(*sides, np.arange(2), here, there, mid=MID, top=TOP).correlation == pytest.approx(-1)
    here[0] = np.nan
    rows = np.array([True] * 6 + [False] * 2)
    there[7] = 1e9
    assert compare(*sides, np.arange(2), here, there, mid=MID, top=TOP, rows=rows).correlation == pytest.approx(-1)
    assert compare(*sides, np.arange(2), np.ones(8), there, mid=MID, top=TOP).correlation is None


@given(
    before=st.lists(st.sampled_from([0, 1]), min_size=8, max_size=8),
    after=st.lists(st.sampled_from([0, 1]), min_size=8, max_size=8),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_turned_is_the_difference_of_what_is_right(
    sides: tuple[Analysis, Analysis], before: list[int], after: list[int]
) -> None:
    left, right = (replace(side, predicted=np.array(p)) for side, p in zip(sides, (before, after), strict=True))
    found = compare(left, right, np.arange(8), np.arange(8.0), np.zeros(8), mid=MID, top=TOP)
    assert found.right_there - found.right_here == found.turned_right - found.turned_wrong
    assert found.right_here == before.count(0)


def test_the_sentence_gives_the_figures_of_both_models(sides: tuple[Analysis, Analysis]) -> None:
    found = compare(*sides, np.arange(8), np.arange(8.0), np.full(8, 0.5), mid=MID, top=TOP)
    told = sentence(found, same_model=False)
    assert "50% of these images rightly" in told
    assert "4 turned right, 2 turned wrong" in told
    assert "100% lie in the other side's mid band and 0% in its top band" in told
    assert "rightly" not in sentence(found, same_model=True)


def test_an_empty_band_says_what_to_do(sides: tuple[Analysis, Analysis]) -> None:
    found = compare(*sides, np.empty(0, np.int64), np.arange(8.0), np.arange(8.0), mid=MID, top=TOP)
    assert sentence(found, same_model=True).endswith("widen it.")


def test_next_to_none_is_not_called_none() -> None:
    found = Comparison(1000, 0, 0, in_top=4, in_mid=997, turned_right=0, turned_wrong=0, correlation=None)
    assert "99.7% lie in the other side's mid band and 0.4% in its top band" in sentence(found, same_model=True)
