"""What the Bands page shows, computed once per investigation, class and split."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from core.activations import bands
from core.activations.directions import SortedScores, class_index, parse_direction, sorted_scores
from pages.parts.band_strip import StripHistogram

if TYPE_CHECKING:
    from core.activations.store import Analysis

BINS = 60
# more classes than this cannot be told apart in one histogram: the class itself is set against all others
MOST_CLASSES = 6


@lru_cache(maxsize=64)
def scores_of(analysis: Analysis, class_name: str) -> SortedScores:
    return sorted_scores(analysis, parse_direction(f"logit:{class_name}", analysis))


@lru_cache(maxsize=64)
def mask(analysis: Analysis, split: str) -> np.ndarray | None:
    """(n,) bool, the images of a split; None for all."""
    if split == "all":
        return None
    chosen = np.zeros(analysis.n, dtype=bool)
    chosen[analysis.split_rows(split)] = True
    return chosen


@lru_cache(maxsize=64)
def span(analysis: Analysis, class_name: str) -> float:
    """Width of the logit's range over all images; 1 where there is none."""
    low, high = limits(analysis, class_name)
    return high - low if high > low else 1.0


@lru_cache(maxsize=64)
def limits(analysis: Analysis, class_name: str) -> tuple[float, float]:
    """Smallest and largest finite logit; (0, 0) where there is none."""
    values = scores_of(analysis, class_name).values
    finite = values[np.isfinite(values)]
    return (float(finite[0]), float(finite[-1])) if len(finite) else (0.0, 0.0)


@lru_cache(maxsize=64)
def histogram(analysis: Analysis, class_name: str, split: str, colors: tuple[str, ...]) -> StripHistogram:
    """Images per bin and class over the logit's range. colors: one per class of `legend`."""
    index = class_index(class_name, analysis.classes)
    chosen = mask(analysis, split)
    rows = slice(None) if chosen is None else chosen
    values, labels = analysis.logits[rows, index], analysis.labels[rows]
    names = legend(analysis, class_name)
    if len(names) != len(analysis.classes):
        labels = (labels != index).astype(np.int64)
    low, high = limits(analysis, class_name)
    # a constant logit still needs an axis to be drawn on
    edges = np.linspace(low, high, BINS + 1) if high > low else np.array([low - 0.5, high + 0.5])
    counted = bands.count(values, edges, labels=labels, classes=names)
    counts = np.array([[band.classes[name] for band in counted.bands] for name in names])
    return StripHistogram(edges=edges, counts=counts, class_names=names, colors=colors)


def legend(analysis: Analysis, class_name: str) -> tuple[str, ...]:
    if len(analysis.classes) <= MOST_CLASSES:
        return analysis.classes
    return (class_name, "all other classes")
