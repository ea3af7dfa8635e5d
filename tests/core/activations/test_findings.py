"""What a band says: counts and accuracy of planted images, and numbers rounded so that none is lost."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.activations.findings import BandSummary, digits_of, members, outward, sentence, summarise
from core.activations.index import BandIndex, make_index

VALUES = np.array([3.0, -1.0, 0.5, 2.0, 0.0, np.nan], dtype=np.float32)


@pytest.fixture
def planted() -> tuple[SimpleNamespace, BandIndex]:
    order = np.argsort(VALUES, kind="stable")
    analysis = SimpleNamespace(
        n=6,
        classes=("cat", "dog"),
        labels=np.array([1, 0, 1, 0, 0, 1]),
        predicted=np.array([1, 0, 0, 1, 0, 0]),
        labelled=True,
    )
    return analysis, BandIndex(VALUES[order], order)


def test_a_band_counts_its_classes_and_what_the_model_gets_right(planted: tuple) -> None:
    summary = summarise(*planted, 0.0, 2.0, closed=True)
    assert summary == BandSummary(count=3, total=6, classes={"cat": 2, "dog": 1}, correct=1)
    assert summary.accuracy == pytest.approx(1 / 3)


def test_an_open_band_leaves_its_high_end_out(planted: tuple) -> None:
    assert summarise(*planted, 0.0, 2.0, closed=False).count == 2


def test_only_chosen_rows_count(planted: tuple) -> None:
    rows = np.array([True, True, False, True, False, True])
    assert members(planted[1], -5, 5, closed=True, rows=rows).tolist() == [1, 3, 0]
    assert summarise(*planted, -5, 5, closed=True, rows=rows).total == 4


def test_summaries_without_a_scan_are_those_of_a_scan(make_analysis) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, 9000)
    analysis = make_analysis(rng.normal(size=(9000, 3)), labels, classes=("a", "b", "c", "d", "never"))
    analysis.labels[analysis.labels == 4] = 0
    index = make_index(analysis.logits[:, 1])
    everything = np.ones(9000, dtype=bool)
    for low, high in np.sort(rng.normal(1, 1, size=(20, 2)), axis=1).tolist():
        inside = members(index, low, high, closed=True)
        found = summarise(analysis, index, low, high, closed=True)
        assert found == summarise(analysis, index, low, high, closed=True, rows=everything)
        assert found.count == len(inside)
        assert found.correct == (analysis.predicted[inside] == analysis.labels[inside]).sum()
        assert list(found.classes.values()) == np.bincount(analysis.labels[inside], minlength=5).tolist()
        other = replace(analysis, predicted=1 - analysis.predicted)
        assert summarise(other, index, low, high, closed=True) == summarise(
            other, index, low, high, closed=True, rows=everything
        )


def test_an_empty_band_has_no_accuracy_and_says_so(planted: tuple) -> None:
    empty = summarise(*planted, 10, 11, closed=True)
    assert empty.accuracy is None
    assert "No image" in sentence(empty, empty)


def test_the_sentence_sets_a_band_against_the_top() -> None:
    band = BandSummary(100, 400, {"cat": 30, "dog": 70}, 71)
    top = BandSummary(100, 400, {"cat": 0, "dog": 100}, 99)
    said = sentence(band, top)
    assert "right 71% of the time, in the top band 99%" in said
    assert "70% dog and 30% cat" in said
    assert "in the top band" not in sentence(top, top, is_top=True)
    assert "100% dog." in sentence(top, top)
    many = BandSummary(10, 40, {"cat": 1, "dog": 3, "emu": 2, "fox": 4}, 5)
    assert "These images are 40% fox, 30% dog and others." in sentence(many, top)


@given(
    st.floats(-1e6, 1e6, allow_nan=False),
    st.floats(0, 1e6, allow_nan=False),
    st.floats(1e-6, 1e7, allow_nan=False),
)
def test_rounding_outward_never_loses_an_image(low: float, width: float, span: float) -> None:
    high = low + width
    rounded_low, rounded_high = outward(low, high, span)
    assert rounded_low <= low
    assert rounded_high >= high
    # and moves each end by no more than two thousandths of the range, or the last bits of the number itself
    allowed = 2e-3 * span + 1e-9 * max(abs(low), abs(high), 1)
    assert math.isclose(rounded_low, low, abs_tol=allowed)
    assert math.isclose(rounded_high, high, abs_tol=allowed)


@given(st.floats(-100, 100, allow_nan=False), st.floats(0, 100, allow_nan=False), st.floats(0.01, 1e3))
def test_rounding_twice_changes_nothing(low: float, width: float, span: float) -> None:
    once = outward(low, low + width, span)
    assert outward(*once, span) == once


@pytest.mark.parametrize(("span", "digits"), [(12.2, 2), (1.0, 4), (3e-5, 8), (1e6, 0), (0.0, 4)])
def test_digits_show_what_rounding_outward_keeps(span: float, digits: int) -> None:
    assert digits_of(span) == digits
    low, high = outward(span / 7, span / 3, span)
    if digits:
        assert float(f"{low:.{digits}f}") == low
        assert float(f"{high:.{digits}f}") == high
