"""Bands that follow each other by share of the images, with ties where they hurt."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from core.activations.index import make_index, positions, quantile_of, same_share, share_below

VALUES = arrays(np.float32, st.integers(1, 60), elements=st.sampled_from([-2.0, 0.0, 0.0, 0.0, 0.5, 1.0, 7.0]))


@given(VALUES, st.data())
def test_a_band_follows_itself_to_where_it_is(values: np.ndarray, data: st.DataObject) -> None:
    index = make_index(values)
    low, high = sorted(data.draw(st.sampled_from(values.tolist())) for _ in range(2))
    assert same_share(index, low, high, index) == (low, high)


@given(VALUES, st.floats(-3, 8), st.floats(0.1, 4), st.floats(-3, 3))
def test_a_stretched_copy_holds_the_same_images(values: np.ndarray, low: float, stretch: float, shift: float) -> None:
    index, other = make_index(values), make_index(values * np.float32(stretch) + np.float32(shift))
    start, stop = positions(index, low, max(low, 1.0), closed=True)
    if stop > start:
        assert positions(other, *same_share(index, low, max(low, 1.0), other), closed=True) == (start, stop)


def test_images_at_rest_count_as_one() -> None:
    # seven of ten neurons at rest: a band that begins there holds all seven, on both sides
    index = make_index(np.array([0, 0, 0, 0, 0, 0, 0, 1, 2, 3], np.float32))
    other = make_index(np.arange(10, dtype=np.float32))
    assert share_below(index, 0.0) == 0.0
    assert quantile_of(index, 0.0) == pytest.approx(0.7)
    assert same_share(index, 0.0, 0.5, other) == (0.0, 6.0)
    assert same_share(other, 0.0, 6.0, index) == (0.0, 0.0)


def test_what_is_not_finite_has_no_share() -> None:
    index = make_index(np.array([-np.inf, 1, 2, np.inf, np.nan], np.float32))
    assert [share_below(index, value) for value in (-np.inf, 1.0, 1.5, np.inf, np.nan)] == [0.0, 0.0, 0.5, 1.0, 0.0]
    nothing = make_index(np.array([np.nan], np.float32))
    assert same_share(index, 1.0, 2.0, nothing) == (0.0, 0.0)
