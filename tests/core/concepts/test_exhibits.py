"""Which images are shown of what a classifier is surest of, and of what lies in between."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from core.classifiers.head import Head
from core.concepts.exhibits import FEW, Errors, Exhibit, compared, errors, exhibit, mixed, nearest, surest

# one feature is the logit of class 1, and minus that of class 0
BY_FEATURE = Head(np.array([[-1], [1]], dtype=np.float32), np.zeros(2, dtype=np.float32))


def along(make_analysis: Any, values: list[float] | np.ndarray, labels: list[int] | np.ndarray, **rest: Any) -> Any:
    """An analysis in which the logit of class 1 has these values."""
    return make_analysis(np.asarray(values, dtype=float)[:, None], np.asarray(labels), head=BY_FEATURE, **rest)


@pytest.fixture
def spread(make_analysis: Any) -> Any:
    """400 images: class 0 around -3, class 1 around 3, a tenth of each between -1 and 1."""
    rng = np.random.default_rng(5)
    labels = np.arange(400) % 2
    values = np.where(rng.random(400) < 0.1, rng.uniform(-1, 1, 400), (2 * labels - 1) * rng.uniform(2.5, 3.5, 400))
    return along(make_analysis, values, labels)


def test_top_and_middle_are_the_bands_of_the_logit(spread: Any) -> None:
    found = exhibit(spread, 1)
    logits = spread.logits[:, 1]
    assert (np.diff(logits[found.top]) >= 0).all()
    assert logits[found.top].min() >= np.median(logits[spread.labels == 1])
    inside = np.flatnonzero((logits >= found.between.low) & (logits <= found.between.high))
    assert set(found.middle) == set(inside)
    assert len(found.every) == 400
    assert found.right == 1.0
    assert surest(found, 10).tolist() == np.argsort(-logits, kind="stable")[:10].tolist()


def test_only_one_split_is_looked_at_where_there_are_several(make_analysis: Any) -> None:
    splits = np.arange(60) % 3
    analysis = along(make_analysis, np.linspace(-3, 3, 60), (np.arange(60) >= 30).astype(int), splits=splits)
    assert (splits[exhibit(analysis, 1).every] == 1).all()
    # where nobody knows what they show there is nothing to keep apart
    assert len(exhibit(replace(analysis, labelled=False), 1).every) == 60


def test_in_between_half_are_of_the_class_and_mistakes_come_first(spread: Any) -> None:
    found = exhibit(spread, 1)
    rows = mixed(found, 10)
    assert len(set(rows.tolist())) == 10
    assert np.isin(rows, found.middle).all()
    assert (spread.labels[rows] == 1).tolist() == [True] * 5 + [False] * 5
    wrong = spread.predicted[rows] != spread.labels[rows]
    assert wrong[:3].all()
    assert wrong[5:8].all()
    assert mixed(found, 10).tolist() == rows.tolist()


def test_where_one_side_is_short_the_other_fills_up(spread: Any) -> None:
    found = exhibit(spread, 1)
    ours = found.own(found.middle)
    few = np.concatenate([ours[:2], np.setdiff1d(found.middle, ours)])
    short = Exhibit(found.analysis, 1, found.index, found.high, found.between)
    short.__dict__["middle"] = few
    rows = mixed(short, 10)
    assert len(rows) == 10
    assert (spread.labels[rows] == 1).sum() == 2


def test_where_next_to_nothing_lies_in_between_the_nearest_is_shown(make_analysis: Any) -> None:
    values = np.concatenate([np.linspace(-4, -3, 20), [0.1], np.linspace(3, 4, 20)])
    analysis = along(make_analysis, values, np.repeat([0, 1], [20, 21]))
    found = exhibit(analysis, 1)
    assert 0 < len(found.middle) < FEW
    rows = mixed(found, 6)
    assert rows.tolist() == nearest(found, 6).tolist()
    centre = (found.between.low + found.between.high) / 2
    away = np.abs(analysis.logits[:, 1] - centre)
    assert away[rows].tolist() == np.sort(away)[:6].tolist()
    assert errors(found) is None


def test_what_is_compared_is_of_the_class_itself(spread: Any) -> None:
    found = exhibit(spread, 1)
    above, below = compared(found, 6)
    logits = spread.logits[:, 1]
    assert (spread.labels[above] == 1).all()
    assert (spread.labels[below] == 1).all()
    assert logits[above].min() > logits[below].max()
    assert logits[below].tolist() == sorted(logits[found.own(found.middle)])[:6]


def test_a_class_that_is_never_in_between_shows_its_weakest_end(make_analysis: Any) -> None:
    values = np.concatenate([np.linspace(-4, -3, 20), np.linspace(3, 4, 20)])
    analysis = along(make_analysis, values, np.repeat([0, 1], 20))
    _, below = compared(exhibit(analysis, 1), 6)
    assert below.tolist() == list(range(20, 26))


def test_errors_are_those_of_the_class_where_there_are_enough(spread: Any) -> None:
    found = exhibit(spread, 1)
    own = found.middle[spread.labels[found.middle] == 1]
    told = errors(found)
    assert told == Errors(True, len(own), float((spread.predicted[own] != 1).mean()), 0.0)
    # too few of its own in between: all that lie there are counted
    short = Exhibit(found.analysis, 1, found.index, found.high, found.between)
    short.__dict__["middle"] = np.setdiff1d(found.middle, own[FEW - 1 :])
    rest = errors(short)
    assert rest is not None
    assert (rest.own, rest.count, rest.surest) == (False, len(short.middle), None)


def test_without_labels_nothing_is_called_a_mistake(spread: Any) -> None:
    unlabelled = replace(spread, labelled=False)
    found = exhibit(unlabelled, 1)
    assert found.right is None
    assert errors(found) is None
    assert np.isin(mixed(found, 10), found.middle).all()
    above, below = compared(found, 6)
    assert len(above) == len(below) == 6
