"""Which class a story of a classifier is about: the one whose middle tells most."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from core.activations.scoreboard import LEAST, scoreboard
from core.activations.suspicion import CONFIDENCE, share_gain
from core.concepts.tags import tagging_split

if TYPE_CHECKING:
    from core.activations.store import Analysis

# up to so many classes the scoreboard takes a moment; with more, errors alone decide
SCORED = 24


@lru_cache(maxsize=8)
def telling(analysis: Analysis) -> tuple[int, ...]:
    """Places of all classes, the one whose middle tells most first.

    By the suspicion of their logits where there are few; else by how much more often the weaker half of a class's own
    images is taken for another class than the stronger half. Without labels, those predicted most come first.
    """
    if not analysis.labelled:
        sizes = np.bincount(analysis.predicted, minlength=analysis.k)
        return tuple(np.argsort(-sizes, kind="stable").tolist())
    gains = gained_errors(analysis)
    scores = np.zeros(analysis.k)
    if analysis.k <= SCORED:
        specs = [f"logit:{name}" for name in analysis.classes]
        places = {name: place for place, name in enumerate(analysis.classes)}
        for one in scoreboard(analysis, specs):
            scores[places[one.class_name]] = one.score
    return tuple(np.lexsort((-gains, -scores)).tolist())


def gained_errors(analysis: Analysis) -> np.ndarray:
    """(k,) float64 in 0..1: how much more often the half of a class with the lower logits is named wrongly than the
    half with the higher ones, at least; 0 for classes with too few images to tell."""
    rows = analysis.split_rows(tagging_split(analysis))
    rows = rows if len(rows) else np.arange(analysis.n)
    labels = np.asarray(analysis.labels[rows])
    own = np.asarray(analysis.logits[rows, labels])
    wrong = np.asarray(analysis.predicted[rows]) != labels
    order = np.lexsort((own, labels))
    sizes = np.bincount(labels, minlength=analysis.k)
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    lower = np.arange(len(rows)) - starts[labels[order]] < sizes[labels[order]] // 2
    errors = np.bincount(labels[order][wrong[order]], minlength=analysis.k)
    low_errors = np.bincount(labels[order][wrong[order] & lower], minlength=analysis.k)
    low = sizes // 2
    gains = share_gain(low_errors, low, errors - low_errors, sizes - low, CONFIDENCE)
    return np.where(sizes >= LEAST, gains, 0.0)
