"""One edge rule: every way of asking which images lie in a band gives the same answer."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from core.activations import bands
from core.errors import BadRequest

ANY_FLOAT32 = st.floats(width=32, allow_nan=True, allow_infinity=True)
SCORES = arrays(np.float32, st.integers(0, 60), elements=ANY_FLOAT32)
# few distinct values, so that images fall exactly on edges all the time
TIED = arrays(np.float32, st.integers(1, 60), elements=st.sampled_from([-1.5, 0.0, 0.1, 0.1000001, 0.25, 3.0]))


def test_value_on_an_inner_edge_belongs_to_the_upper_band() -> None:
    assert bands.assign(np.array([1.0, 2.0]), np.array([0.0, 1.0, 2.0])).tolist() == [1, 1]


def test_maximum_falls_in_last_band() -> None:
    scores = np.array([0.0, 5.0, 10.0], dtype=np.float32)
    edges = bands.equal_width_edges(scores, 5).values
    assert bands.assign(scores, edges).tolist() == [0, 2, 4]


def test_outside_and_nan_belong_to_no_band() -> None:
    scores = np.array([-0.1, np.nan, 1.1, np.inf, -np.inf])
    assert bands.assign(scores, np.array([0.0, 1.0])).tolist() == [-1] * 5


@settings(deadline=None)
@given(SCORES | TIED, st.sampled_from([-1.5, 0.0, 0.1, 0.25, 3.0]) | st.floats(allow_nan=False), st.floats(0, 5))
def test_a_band_never_ends_before_it_begins(scores: np.ndarray, low: float, width: float) -> None:
    """Not even one that is narrower than what float32 can tell apart, and holds NaN beside it."""
    ordered = np.sort(scores)
    for high in (low, low + width, math.nextafter(low, math.inf), math.inf):
        for closed in (True, False):
            start, stop = bands.bounds(ordered, low, high, closed=closed)
            exact = ordered.astype(np.float64)
            inside = (exact >= low) & ((exact <= high) if closed else (exact < high))
            assert 0 <= start <= stop
            assert np.array_equal(np.flatnonzero(inside), np.arange(start, stop))


@settings(deadline=None)
@given(SCORES | TIED, st.lists(st.floats(-1e300, 1e300), min_size=2, max_size=6, unique=True).map(sorted))
def test_assigning_is_what_comparing_says(scores: np.ndarray, edges: list[float]) -> None:
    found = bands.assign(scores, np.array(edges))
    for value, band in zip(scores.astype(np.float64).tolist(), found.tolist(), strict=True):
        ends = list(pairwise(edges))
        holding = [i for i, (low, high) in enumerate(ends) if low <= value < high]
        if value == edges[-1]:
            holding = [len(ends) - 1]
        assert [band] == (holding or [-1])


def test_float32_scores_are_compared_without_rounding_the_edge() -> None:
    # 0.1 as float32 is a little more than 0.1 as float64: it lies above the edge, not below
    score = np.array([0.1], dtype=np.float32)
    assert bands.assign(score, np.array([0.0, 0.1, 0.2])).tolist() == [1]
    assert bands.bounds(score, 0.0, 0.1, closed=True) == (0, 0)
    assert bands.bounds(score, 0.1, 0.2, closed=False) == (0, 1)


@settings(deadline=None)
@given(SCORES | TIED, st.integers(1, 12), st.booleans())
def test_counts_and_rest_sum_to_n(scores: np.ndarray, count: int, by_quantile: bool) -> None:
    make = bands.quantile_edges if by_quantile else bands.equal_width_edges
    counted = bands.count(scores, make(scores, count).values)
    assert sum(b.count for b in counted.bands) + counted.below + counted.above + counted.not_a_number == len(scores)
    finite = np.isfinite(scores).sum()
    assert sum(b.count for b in counted.bands) == finite, "edges from the scores hold every finite score"


@settings(deadline=None)
@given(SCORES | TIED, st.integers(1, 12))
def test_sorted_positions_and_membership_agree(scores: np.ndarray, count: int) -> None:
    edges = bands.equal_width_edges(scores, count).values
    counted = bands.count(scores, edges)
    index = bands.assign(scores, edges)
    order = np.argsort(scores, kind="stable")
    for i, band in enumerate(counted.bands):
        start, stop = bands.bounds(scores[order], band.low, band.high, closed=band.closed)
        assert set(order[start:stop]) == set(np.flatnonzero(index == i))
        assert band.count == stop - start


@settings(deadline=None)
@given(arrays(np.float64, st.integers(1, 40), elements=st.floats(-100, 100)), st.integers(1, 8))
def test_counts_are_numpys_histogram(scores: np.ndarray, count: int) -> None:
    edges = bands.equal_width_edges(scores, count).values
    expected, _ = np.histogram(scores, edges)
    if edges[0] < edges[-1]:
        assert [b.count for b in bands.count(scores, edges).bands] == expected.tolist()


@settings(deadline=None)
@given(SCORES | TIED, st.integers(1, 12))
def test_edges_strictly_increase_or_are_one_closed_band(scores: np.ndarray, count: int) -> None:
    for edges in (bands.equal_width_edges(scores, count), bands.quantile_edges(scores, count)):
        if len(edges.values) > 2:
            assert (np.diff(edges.values) > 0).all()
        assert len(edges.values) - 1 <= count
        assert bool(edges.note) == (len(edges.values) - 1 < count or edges.values[0] == edges.values[-1])


def test_constant_activation_is_one_band_that_says_so() -> None:
    edges = bands.equal_width_edges(np.full(7, 2.5, dtype=np.float32), 10)
    assert edges.values.tolist() == [2.5, 2.5]
    assert "one band" in edges.note
    counted = bands.count(np.array([2.5, 2.5, 2.4, 2.6]), edges.values)
    assert [b.count for b in counted.bands] == [2]
    assert (counted.below, counted.above) == (1, 1)


def test_tied_activations_merge_quantile_bands_and_say_so() -> None:
    edges = bands.quantile_edges(np.array([0.0] * 90 + list(range(1, 11))), 10)
    assert edges.values[0] == 0
    assert len(edges.values) < 11
    assert "10 bands became" in edges.note


def test_inner_quantile_edges_are_activations_that_occur() -> None:
    scores = np.array([0.0, 0.0, 1.0, 10.0, 10.0, 10.0])
    assert set(bands.quantile_edges(scores, 4).values.tolist()) <= set(scores.tolist())


def test_quantile_bands_hold_equally_many() -> None:
    scores = np.random.default_rng(0).permutation(1000).astype(np.float32)
    assert {b.count for b in bands.count(scores, bands.quantile_edges(scores, 10).values).bands} <= {99, 100, 101}


def test_infinite_values_are_counted_outside() -> None:
    scores = np.array([-np.inf, 0.0, 1.0, np.inf, np.nan])
    counted = bands.count(scores, bands.equal_width_edges(scores, 2).values)
    assert (counted.below, counted.above, counted.not_a_number) == (1, 1, 1)
    assert [b.count for b in counted.bands] == [1, 1]


def test_no_finite_value_gives_no_band() -> None:
    edges = bands.equal_width_edges(np.array([np.nan, np.inf]), 3)
    assert len(edges.values) == 0
    counted = bands.count(np.array([np.nan, np.inf]), edges.values)
    assert (counted.bands, counted.above, counted.not_a_number) == ((), 1, 1)


@pytest.mark.parametrize("make", [bands.equal_width_edges, bands.quantile_edges])
def test_no_image_is_not_called_no_number(make) -> None:  # type: ignore[no-untyped-def]
    assert make(np.empty(0), 3).note.startswith("No image is left")
    assert make(np.full(2, np.nan), 3).note.startswith("No activation is a finite number")


def test_bands_are_split_by_class() -> None:
    counted = bands.count(
        np.array([0.0, 0.5, 1.0, 2.0]),
        np.array([0.0, 1.0, 2.0]),
        labels=np.array([0, 1, 1, 0]),
        classes=("landbird", "waterbird"),
    )
    assert [b.classes for b in counted.bands] == [{"landbird": 1, "waterbird": 1}] * 2
    assert counted.edges == (0.0, 1.0, 2.0)
    assert counted.to_dict()["bands"][1] == {
        "low": 1.0,
        "high": 2.0,
        "closed": True,
        "count": 2,
        "classes": {"landbird": 1, "waterbird": 1},
    }


def test_band_upside_down_is_refused() -> None:
    with pytest.raises(BadRequest):
        bands.bounds(np.array([1.0]), 2.0, 1.0, closed=True)
    for low, high in ((np.nan, 1.0), (1.0, np.nan), (np.nan, np.nan)):
        with pytest.raises(BadRequest, match="nan is none"):
            bands.bounds(np.array([1.0]), low, high, closed=True)


@pytest.mark.parametrize("edges", [[1.0], [1.0, float("nan")], [0.0, 0.0, 1.0], [2.0, 1.0], [0.0, float("inf")]])
def test_unusable_edges_are_refused(edges: list[float]) -> None:
    with pytest.raises(BadRequest):
        bands.check_edges(edges)


def test_zero_bands_are_refused() -> None:
    with pytest.raises(BadRequest):
        bands.equal_width_edges(np.arange(3.0), 0)
