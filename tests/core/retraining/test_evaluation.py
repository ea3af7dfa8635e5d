from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from core.errors import EmptyGroup
from core.retraining.evaluation import compare, evaluate, evaluation_from_dict
from core.retraining.groups import Grouping, by_attribute, by_class, by_concepts
from core.retraining.intervals import mcnemar, wilson

CLASSES = ("landbird", "waterbird")
LABELS = np.array([0, 0, 0, 0, 1, 1, 1, 1])
PLACE = np.array([0, 0, 0, 1, 0, 1, 1, 1])
GROUPS = by_attribute(LABELS, CLASSES, "place", ("land", "water"), PLACE)


def test_worst_group_by_hand() -> None:
    predicted = np.array([0, 0, 1, 0, 0, 1, 1, 1])
    found = evaluate(predicted, LABELS, GROUPS, np.array([70, 5, 5, 20]), "test")
    accuracies = {(group.class_name, group.concept): group.accuracy for group in found.groups}
    assert accuracies == {
        ("landbird", "land"): 2 / 3,
        ("landbird", "water"): 1.0,
        ("waterbird", "land"): 0.0,
        ("waterbird", "water"): 1.0,
    }
    assert found.worst_group == 0.0
    assert (found.worst.class_name, found.worst.concept) == ("waterbird", "land")
    assert found.average == 6 / 8
    assert found.weighted_average == pytest.approx(0.7 * 2 / 3 + 0.05 + 0 + 0.2)
    assert found.groups_from == "attribute place"


def test_unknown_groups_count_in_the_average_only() -> None:
    place = PLACE.copy()
    place[4] = -1
    groups = by_attribute(LABELS, CLASSES, "place", ("land", "water"), place)
    found = evaluate(np.zeros(8, dtype=int), LABELS, groups, np.zeros(4, dtype=int), "test")
    assert sum(group.count for group in found.groups) == 7
    assert (found.count, found.average) == (8, 0.5)


def test_without_known_train_groups_the_weights_are_those_of_test() -> None:
    predicted = np.array([0, 0, 1, 0, 0, 1, 1, 1])
    found = evaluate(predicted, LABELS, GROUPS, np.zeros(4, dtype=int), "test")
    assert found.weighted_average == pytest.approx(found.average)


def test_a_group_absent_from_test_is_not_measured() -> None:
    found = evaluate(LABELS[:4], LABELS[:4], _part(GROUPS, slice(0, 4)), np.array([50, 10, 30, 10]), "test")
    assert len(found.groups) == 2
    assert found.weighted_average == pytest.approx(1.0)


def test_nothing_to_measure_is_an_error_with_a_next_step() -> None:
    nobody = _part(GROUPS, slice(0, 0))
    with pytest.raises(EmptyGroup) as caught:
        evaluate(np.array([], dtype=int), np.array([], dtype=int), nobody, np.zeros(4, dtype=int), "test")
    assert caught.value.next_step


def test_evaluation_survives_json() -> None:
    found = evaluate(LABELS, LABELS, GROUPS, np.array([1, 2, 3, 4]), "test")
    assert evaluation_from_dict(found.to_dict()) == found


@given(st.integers(0, 300), st.integers(0, 300))
def test_wilson_holds_the_share_and_stays_within_bounds(correct: int, rest: int) -> None:
    count = correct + rest
    low, high = wilson(correct, count)
    assert 0 <= low <= (correct / count if count else 0.5) <= high <= 1


def test_wilson_equals_scipys() -> None:
    for correct, count in ((0, 5), (5, 5), (7, 12), (480, 500)):
        expected = binomtest(correct, count).proportion_ci(method="wilson")
        assert wilson(correct, count) == pytest.approx((expected.low, expected.high))


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_symmetric_and_a_probability(fixed: int, broken: int) -> None:
    assert mcnemar(fixed, broken) == pytest.approx(mcnemar(broken, fixed))
    assert 0 <= mcnemar(fixed, broken) <= 1


def _part(grouping: Grouping, which: slice) -> Grouping:
    return Grouping(grouping.codes[which], grouping.classes, grouping.patterns, grouping.source)


def _pair(before: np.ndarray, after: np.ndarray, labels: np.ndarray, groups: Grouping):  # type: ignore[no-untyped-def]
    train = np.ones(groups.count, dtype=int)
    was, now = (evaluate(predicted, labels, groups, train, "test") for predicted in (before, after))
    return compare(before, after, labels, groups, was, now)


def _large(copies: int) -> tuple[np.ndarray, np.ndarray, Grouping]:
    labels, place = np.tile(LABELS, copies), np.tile(PLACE, copies)
    return labels, place, by_attribute(labels, CLASSES, "place", ("land", "water"), place)


def test_a_large_rise_of_the_worst_group_is_significant() -> None:
    labels, place, groups = _large(20)
    before = np.where((labels == 1) & (place == 0), 0, labels)
    found = _pair(before, labels, labels, groups)
    assert found.significant
    assert np.array_equal(found.fixed, np.flatnonzero(before != labels))
    assert len(found.broken) == 0
    assert "rose from 0.0% to 100.0%" in found.sentence
    assert "waterbird · land" in found.sentence


def test_a_rise_within_chance_is_no_improvement() -> None:
    labels, place, groups = _large(4)
    before = np.where((labels == 1) & (place == 0), 0, labels)
    after = before.copy()
    after[np.flatnonzero(before != labels)[:1]] = 1
    found = _pair(before, after, labels, groups)
    assert not found.significant
    assert found.sentence.startswith("No improvement that is beyond chance")


def test_a_fall_is_no_improvement() -> None:
    labels, _, groups = _large(10)
    found = _pair(labels, np.zeros_like(labels), labels, groups)
    assert not found.significant
    assert "fell from 100.0% to 0.0%" in found.sentence
    assert len(found.broken) == (labels == 1).sum()


def test_moving_the_failure_to_another_group_is_no_improvement() -> None:
    labels, place, groups = _large(20)
    before = np.where((labels == 1) & (place == 0), 0, labels)
    after = np.where((labels == 0) & (place == 1), 1, labels)
    found = _pair(before, after, labels, groups)
    assert not found.significant
    assert "No improvement" in found.sentence


def test_concept_patterns_name_groups() -> None:
    values = np.array([[1, 0], [1, 1], [0, 0], [-1, 1]], dtype=np.int8)
    groups = by_concepts(np.array([0, 1, 1, 0]), CLASSES, ["water", "snow"], values, estimated=True)
    assert [groups.name(int(code)) for code in groups.codes[:3]] == [
        ("landbird", "water, no snow"),
        ("waterbird", "water, snow"),
        ("waterbird", "no water, no snow"),
    ]
    assert groups.codes[3] == -1
    assert groups.source == "concepts water, snow, estimated by a probe"


def test_classes_are_groups_without_a_concept() -> None:
    groups = by_class(LABELS, CLASSES)
    assert groups.name(1) == ("waterbird", None)
    assert evaluate(LABELS, LABELS, groups, np.array([1, 1]), "test").groups[1].title == "waterbird"
