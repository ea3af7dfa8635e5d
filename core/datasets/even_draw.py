"""Drawing images so that rare classes are seen as often as frequent ones."""

from __future__ import annotations

import numpy as np


def even_rows(labels: np.ndarray, count: int, *, seed: int = 0) -> np.ndarray:
    """Rows (m,) int64 of at most `count` images, one of each class, then a second of each, and so on: in that order.

    labels: (n,) int64 >= 0. Which image of a class comes first, and which class, is drawn.
    """
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(len(labels))
    order = shuffled[np.argsort(labels[shuffled], kind="stable")]
    sizes = np.bincount(labels) if len(labels) else np.zeros(0, dtype=np.int64)
    turn = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    of_class = rng.permutation(len(sizes))[labels[order]]
    return order[np.lexsort((of_class, turn))[:count]]
