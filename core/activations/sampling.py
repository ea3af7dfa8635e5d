"""Drawing images from a band, reproducibly."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from core.activations.bands import bounds

if TYPE_CHECKING:
    from core.activations.directions import SortedScores


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
