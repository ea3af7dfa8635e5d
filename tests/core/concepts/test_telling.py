"""Which class a story is about."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from core.classifiers.head import Head
from core.concepts.telling import SCORED, gained_errors, telling


def leaning(make_analysis: Any, k: int = 2, n: int = 2000) -> Any:
    """A head that names class 0 by something that class 1 often has too, so that class 1 errs where its logit is low;
    further classes are named without an error."""
    rng = np.random.default_rng(3)
    labels = np.arange(n) % k
    features = 6.0 * np.eye(k)[labels] + rng.normal(size=(n, k)) * 0.3
    odd = (labels == 1) & (rng.random(n) < 0.3)
    features[odd, 0] += 7
    features[odd, 1] -= 1
    return make_analysis(features, labels, head=Head(np.eye(k, dtype=np.float32), np.zeros(k, dtype=np.float32)))


def test_the_class_whose_weak_half_errs_most_comes_first(make_analysis: Any) -> None:
    analysis = leaning(make_analysis)
    gains = gained_errors(analysis)
    for place in range(2):
        own = np.flatnonzero(analysis.labels == place)
        low = own[np.argsort(analysis.logits[own, place], kind="stable")][: len(own) // 2]
        high = np.setdiff1d(own, low)
        more = (analysis.predicted[low] != place).mean() - (analysis.predicted[high] != place).mean()
        # a lower bound of the difference, and not a trivial one
        assert 0 <= gains[place] <= more
    assert gains[1] > 0.4
    assert telling(analysis)[0] == 1
    assert sorted(telling(analysis)) == [0, 1]


def test_many_classes_are_ordered_by_their_errors_alone(make_analysis: Any) -> None:
    k = SCORED + 6
    analysis = leaning(make_analysis, k, n=100 * k)
    order = telling(analysis)
    gains = gained_errors(analysis)
    assert order[0] == 1
    assert sorted(order) == list(range(k))
    assert list(gains[list(order)]) == sorted(gains, reverse=True)
    # what takes a moment was not asked for
    assert not (analysis.folder / "scoreboard").exists()


def test_without_labels_the_class_that_is_said_most_comes_first(make_analysis: Any) -> None:
    analysis = leaning(make_analysis)
    said = np.bincount(analysis.predicted, minlength=2)
    assert said[0] > said[1]
    assert telling(replace(analysis, labelled=False)) == (0, 1)
