from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import EmptyGroup
from core.retraining.evaluation import compare, evaluate, evaluation_from_dict
from core.retraining.groups import Grouping, by_attribute, by_class, by_concepts
from core.retraining.intervals import mcnemar, minimum_interval

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
    chances = np.eye(2)[LABELS]
    for probabilities in (None, chances):
        found = evaluate(LABELS, LABELS, GROUPS, np.array([1, 2, 3, 4]), "test", probabilities=probabilities)
        assert evaluation_from_dict(json.loads(json.dumps(found.to_dict()))) == found


def test_runs_of_earlier_versions_open_with_what_can_be_told_of_them() -> None:
    found = evaluate(1 - LABELS, LABELS, GROUPS, np.array([1, 2, 3, 4]), "test")
    stored = found.to_dict()
    for key in ("macro_average", "worst_interval", "confusion", "calibration", "note"):
        del stored[key]
    opened = evaluation_from_dict(stored)
    assert opened.macro_average == found.macro_average
    assert opened.worst_interval == found.worst_interval
    assert (opened.confusion, opened.calibration, opened.note) == ((), None, "")


def test_all_averages_by_hand() -> None:
    predicted = np.array([0, 0, 1, 0, 0, 1, 1, 1])
    found = evaluate(predicted, LABELS, GROUPS, np.array([70, 5, 5, 20]), "test")
    assert found.macro_average == pytest.approx((2 / 3 + 1 + 0 + 1) / 4)
    assert found.confusion == ((3, 1), (1, 3))
    correct, count = (np.array([getattr(group, name) for group in found.groups]) for name in ("correct", "count"))
    assert found.worst_interval == minimum_interval(correct, count)
    assert found.worst_interval[0] <= found.worst_group <= found.worst_interval[1]
    assert found.calibration is None


@given(st.integers(0, 2**32 - 1), st.integers(2, 4), st.integers(1, 3))
def test_confusion_counts_every_image_once_and_its_diagonal_is_the_average(seed: int, k: int, values: int) -> None:
    rng = np.random.default_rng(seed)
    labels, predicted, codes = (rng.integers(high, size=40) for high in (k, k, values))
    groups = by_attribute(labels, [str(c) for c in range(k)], "a", [str(v) for v in range(values)], codes)
    found = evaluate(predicted, labels, groups, np.zeros(groups.count, dtype=int), "test")
    confusion = np.array(found.confusion)
    assert confusion.sum() == 40
    assert np.trace(confusion) / 40 == pytest.approx(found.average)
    assert np.array_equal(confusion.sum(axis=1), np.bincount(labels, minlength=k))
    assert min(group.accuracy for group in found.groups) == found.worst_group <= found.macro_average


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
    assert "rose from 0.0% (waterbird · land) to 100.0% (" in found.sentence


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


def test_what_is_said_is_what_the_test_of_the_minimum_finds() -> None:
    labels, place, groups = _large(20)
    before = np.where((labels == 1) & (place == 0), 0, labels)
    found = _pair(before, labels, labels, groups)
    assert found.significant == (found.p_minimum < 0.05)
    assert found.worst_change == 1.0
    assert found.worst_change_interval[0] > 0
    assert found.p_worst == mcnemar(20, 0)
    assert found.average_change == pytest.approx((before != labels).mean())
    assert found.average_change_interval[0] <= found.average_change <= found.average_change_interval[1]
    assert set(json.loads(json.dumps(found.to_dict()))) >= {"p_minimum", "worst_change", "worst_change_interval"}


def test_the_same_head_twice_is_never_an_improvement() -> None:
    labels, place, groups = _large(5)
    for wrong in (labels, 1 - labels, np.where(place == 1, labels, 0)):
        found = _pair(wrong, wrong, labels, groups)
        assert not found.significant
        assert (found.p_average, found.p_worst, found.p_minimum) == (1.0, 1.0, 1.0)
        assert found.worst_change == 0
        assert found.sentence.startswith("No improvement: worst-group accuracy stayed at")


def test_heads_that_learnt_nothing_are_called_better_or_worse_in_at_most_one_of_twenty() -> None:
    rng = np.random.default_rng(0)
    labels, _, groups = _large(12)
    better, different = 0, 0
    for _ in range(300):
        found = _pair(*rng.integers(2, size=(2, len(labels))), labels, groups)
        better += found.significant
        different += found.p_average < 0.05
    luck = 3 * np.sqrt(0.05 * 0.95 / 300)
    assert better / 300 <= 0.05
    assert different / 300 <= 0.05 + luck


def test_the_order_of_images_does_not_matter() -> None:
    rng = np.random.default_rng(1)
    labels, place, _ = _large(10)
    before, after = rng.integers(2, size=(2, len(labels)))
    order = rng.permutation(len(labels))
    first, second = (
        _pair(
            before[rows],
            after[rows],
            labels[rows],
            by_attribute(labels[rows], CLASSES, "place", ("land", "water"), place[rows]),
        )
        for rows in (np.arange(len(labels)), order)
    )
    assert (first.sentence, first.p_minimum, first.worst_change_interval) == (
        second.sentence,
        second.p_minimum,
        second.worst_change_interval,
    )
    assert np.array_equal(np.sort(order[second.fixed]), first.fixed)


def test_images_of_unknown_group_do_not_touch_the_test_of_the_worst_group() -> None:
    labels, place, groups = _large(20)
    before = np.where((labels == 1) & (place == 0), 0, labels)
    more = np.concatenate([labels, np.zeros(200, dtype=int)])
    unknown = by_attribute(more, CLASSES, "place", ("land", "water"), np.concatenate([place, np.full(200, -1)]))
    found = _pair(np.concatenate([before, np.ones(200, dtype=int)]), more, more, unknown)
    alone = _pair(before, labels, labels, groups)
    assert found.p_minimum == alone.p_minimum
    assert len(found.fixed) == len(alone.fixed) + 200


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


def test_a_group_that_train_has_and_test_lacks_is_said_not_to_be_measured() -> None:
    there = (LABELS == 0) | (PLACE == 1)
    labels, groups = LABELS[there], by_attribute(LABELS[there], CLASSES, "place", ("land", "water"), PLACE[there])
    was, now = (
        evaluate(predicted, labels, groups, np.array([70, 5, 1200, 20]), "test") for predicted in (1 - labels, labels)
    )
    assert [group.title for group in now.groups] == ["landbird · land", "landbird · water", "waterbird · water"]
    assert now.note == (
        "Not measured, since test holds no image of it: waterbird · land (1,200 in train). The worst group is the "
        "worst of those that could be measured."
    )
    assert compare(1 - labels, labels, labels, groups, was, now).sentence.endswith(now.note)
    assert evaluation_from_dict(json.loads(json.dumps(now.to_dict()))).note == now.note
    # nobody misses what train does not have either, or what is not known of train
    for train in ([70, 5, 0, 20], [0, 0, 0, 0]):
        assert evaluate(labels, labels, groups, np.array(train), "test").note == ""


def test_of_many_groups_that_are_not_measured_some_are_named() -> None:
    classes = tuple(f"c{i}" for i in range(6))
    groups = by_class(np.array([0, 1]), classes)
    found = evaluate(np.array([0, 1]), np.array([0, 1]), groups, np.full(6, 3), "test")
    assert "of it: c2 (3 in train), c3 (3 in train), c4 (3 in train) and 1 more. " in found.note
