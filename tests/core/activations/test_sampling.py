from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from core.activations.index import BandIndex
from core.activations.sampling import arrange, draw


def in_order(scores: np.ndarray) -> BandIndex:
    order = np.argsort(scores, kind="stable")
    return BandIndex(scores[order], order)


SCORES = arrays(np.float32, st.integers(0, 50), elements=st.sampled_from([-2.0, 0.0, 0.5, 1.0, 1.5, np.nan]))


@given(SCORES, st.integers(0, 60), st.integers(0, 2**32), st.booleans())
def test_only_members_each_once_strongest_first(scores: np.ndarray, count: int, seed: int, closed: bool) -> None:
    drawn = draw(in_order(scores), 0.0, 1.0, closed=closed, count=count, rng=np.random.default_rng(seed))
    members = np.flatnonzero((scores >= 0) & ((scores <= 1) if closed else (scores < 1)))
    assert len(drawn) == min(count, len(members))
    assert len(set(drawn)) == len(drawn)
    assert set(drawn) <= set(members)
    assert (np.diff(scores[drawn]) <= 0).all()


def test_same_seed_draws_the_same_images() -> None:
    scores = in_order(np.random.default_rng(1).normal(size=1000).astype(np.float32))
    first, second, other = (
        draw(scores, -1, 1, closed=True, count=20, rng=np.random.default_rng(seed)).tolist() for seed in (7, 7, 8)
    )
    assert first == second != other


def test_every_member_is_drawn_equally_often() -> None:
    scores = in_order(np.arange(10, dtype=np.float32))
    rng = np.random.default_rng(0)
    drawn = np.concatenate([draw(scores, 0, 9, closed=True, count=3, rng=rng) for _ in range(2000)])
    assert (np.abs(np.bincount(drawn, minlength=10) / 2000 - 0.3) < 0.05).all()


def test_rows_restrict_the_draw() -> None:
    scores = in_order(np.arange(10, dtype=np.float32))
    allowed = np.arange(10) % 2 == 0
    drawn = draw(scores, 3, 9, closed=True, count=10, rng=np.random.default_rng(0), rows=allowed)
    assert drawn.tolist() == [8, 6, 4]


VALUES = np.array([2.0, 1.0, -1.0, -2.0, np.nan])
OWN = np.array([True, False, True, False, True])
# the second best class is 3, 0.5, 2, 1 below the best; of the last image nothing is known
LOGITS = np.array([[2.0, -1, -1], [1, 0.5, 0], [-1, 2, 0], [-2, 0, 1], [np.nan, 0, 0]])


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        # the second: another class, high above the middle; the third: the class itself, low below it
        ("surprising", [1, 2, 0, 3, 4]),
        ("unsure", [1, 3, 2, 0, 4]),
        ("strongest", [0, 1, 2, 3, 4]),
        ("weakest", [3, 2, 1, 0, 4]),
    ],
)
def test_orders_put_first_what_they_are_named_after(order: str, expected: list[int]) -> None:
    found = arrange(order, VALUES, OWN, LOGITS, centre=0.0, rng=np.random.default_rng(0))
    assert found.tolist() == expected


@pytest.mark.parametrize("order", ["surprising", "unsure", "strongest", "weakest", "mixed"])
def test_every_order_keeps_every_image(order: str) -> None:
    rng = np.random.default_rng(0)
    values, logits = rng.normal(size=30), rng.normal(size=(30, 3))
    first, again = (
        arrange(order, values, values > 0, logits, centre=0.2, rng=np.random.default_rng(4)) for _ in range(2)
    )
    assert sorted(first) == list(range(30))
    assert (first == again).all()
    empty = np.empty(0)
    assert len(arrange(order, empty, empty > 0, np.empty((0, 3)), centre=0.0, rng=rng)) == 0


def test_an_unknown_order_is_refused() -> None:
    with pytest.raises(ValueError, match="no order"):
        arrange("nicest", VALUES, OWN, LOGITS, centre=0.0, rng=np.random.default_rng(0))
