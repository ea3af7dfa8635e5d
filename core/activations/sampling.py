"""Drawing images from a band, and putting them in an order worth looking at; both reproducibly."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from core.activations.bands import bounds

if TYPE_CHECKING:
    from core.activations.directions import SortedScores

# What comes first: images whose label and activation disagree, those whose two best classes are nearest to each
# other, the highest activations, the lowest, or nothing in particular.
SURPRISING, UNSURE, STRONGEST, WEAKEST, MIXED = "surprising", "unsure", "strongest", "weakest", "mixed"
ORDERS = (SURPRISING, UNSURE, STRONGEST, WEAKEST, MIXED)


def draw(
    sorted_scores: SortedScores,
    low: float,
    high: float,
    *,
    closed: bool,
    count: int,
    rng: np.random.Generator,
    rows: np.ndarray | None = None,
) -> np.ndarray:
    """Up to `count` different rows whose activation lies in the band, chosen evenly, strongest first.

    closed: whether `high` itself belongs to the band (the rule of `bands`). rows: (n,) bool, which images may be
    drawn; None means all. Returns (m,) int64, m = min(count, images available). Cost follows the size of the band,
    not of the dataset.
    """
    start, stop = bounds(sorted_scores.values, low, high, closed=closed)
    members = np.asarray(sorted_scores.order[start:stop], dtype=np.int64)
    if rows is not None:
        members = members[rows[members]]
    if count < len(members):
        # positions, not rows, so that sorting them keeps the order of activation
        members = members[np.sort(rng.choice(len(members), size=max(count, 0), replace=False))]
    return members[::-1].copy()


def arrange(
    order: str, values: np.ndarray, own: np.ndarray, logits: np.ndarray, *, centre: float, rng: np.random.Generator
) -> np.ndarray:
    """Positions (m,) int64 that put drawn images in an order; what has no number comes last, ties stay as they were.

    order: one of `ORDERS`. values: (m,) activations. own: (m,) bool, images of the class that the direction stands for.
    logits: (m, k) with k > 1. centre: the activation from which `surprising` counts: images of the class far below it
    and images of other classes far above it come first.
    """
    if order == MIXED:
        return rng.permutation(len(values))
    if order == UNSURE:
        two_best = np.sort(logits.astype(np.float64), axis=1)[:, -2:]
        with np.errstate(invalid="ignore"):
            key = two_best[:, 1] - two_best[:, 0]
    elif order == SURPRISING:
        distance = values.astype(np.float64) - centre
        key = np.where(own, distance, -distance)
    elif order in (STRONGEST, WEAKEST):
        key = values.astype(np.float64) * (1 if order == WEAKEST else -1)
    else:
        raise ValueError(f"{order} is no order; there are {', '.join(ORDERS)}")
    return np.argsort(key, kind="stable")
