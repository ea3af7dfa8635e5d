"""What the features group pictures by: representational similarity (Kriegeskorte, Mur & Bandettini 2008)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Similarity:
    """matrix: (m, m) float32, correlation of the features of each two pictures, in order of shape, then zone.

    by_shape: how much more alike two pictures of the same shape are than two of different ones, both in different
    zones. by_zone: of the same zone than of different ones, both of different shapes. In units of correlation.
    """

    matrix: np.ndarray
    by_shape: float
    by_zone: float


def similarity(features: np.ndarray, shapes: np.ndarray, zones: np.ndarray) -> Similarity:
    """features: (m, d). shapes, zones: (m,) int. A picture whose features are all equal is like no other: 0."""
    order = np.lexsort((zones, shapes))
    x = features[order].astype(np.float64)
    x -= x.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(x, axis=1, keepdims=True)
    x = np.divide(x, lengths, out=np.zeros_like(x), where=lengths > 1e-12)
    matrix = x @ x.T
    same_shape = shapes[order][:, None] == shapes[order]
    same_zone = zones[order][:, None] == zones[order]
    return Similarity(
        matrix=matrix.astype(np.float32),
        by_shape=_more(matrix, same_shape & ~same_zone, ~same_shape & ~same_zone),
        by_zone=_more(matrix, same_zone & ~same_shape, ~same_zone & ~same_shape),
    )


def even_rows(shapes: np.ndarray, zones: np.ndarray, each: int) -> np.ndarray:
    """The first `each` rows of every shape in every zone: (m,) int64."""
    chosen = [
        np.flatnonzero((shapes == shape) & (zones == zone))[:each]
        for shape in np.unique(shapes)
        for zone in np.unique(zones)
    ]
    return np.concatenate(chosen)


def _more(matrix: np.ndarray, of: np.ndarray, than: np.ndarray) -> float:
    if not of.any() or not than.any():
        return float("nan")
    return float(matrix[of].mean() - matrix[than].mean())
