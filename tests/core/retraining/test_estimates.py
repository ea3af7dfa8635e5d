"""Groups that nobody wrote down: planted truth, a probe that a person's 60 tags taught, and tags on test or none."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest

from core.classifiers.softmax import softmax, softmax_regression, standardise
from core.concepts.suggestions import suggest
from core.errors import EmptyGroup
from core.retraining.curation import Curation, curate
from core.retraining.estimates import (
    GuessedGroups,
    adjusted,
    estimated_comparison,
    estimated_evaluation,
    guessed_groups,
    pattern_shares,
)
from core.retraining.evaluation import Comparison, Evaluation, compare, evaluate, evaluation_from_dict
from core.retraining.groups import Grouping, by_attribute
from core.retraining.methods import fit_balanced
from core.retraining.pool import ConceptTags, Pool

CLASSES = ("landbird", "waterbird")
TRAIN = np.array([70, 5, 5, 20])
SEEDS = range(10)


@dataclass(frozen=True, eq=False)
class World:
    """Test images of a planted world, the heads before and after a repair, and what 60 tags on val taught a probe."""

    features: np.ndarray
    labels: np.ndarray
    place: np.ndarray
    before: np.ndarray
    after: np.ndarray
    pool: Pool
    curation: Curation

    def guessed(self, tags: int, seed: int = 0) -> GuessedGroups:
        """With so many test images, drawn at random, tagged."""
        states = np.full((len(self.labels), 1), -1, dtype=np.int8)
        chosen = np.random.default_rng(seed).choice(len(self.labels), tags, replace=False)
        states[chosen, 0] = self.place[chosen]
        assert self.curation.probe is not None
        return guessed_groups(
            self.curation.probe,
            self.features,
            self.labels,
            states,
            CLASSES,
            ["water"],
            reference_features=self.pool.features,
            reference_labels=self.pool.labels,
            held_out=self.curation.probe_accuracy,
        )

    @property
    def truth(self) -> Grouping:
        return by_attribute(self.labels, CLASSES, "place", ("no water", "water"), self.place)


@cache
def world(seed: int, visible: float) -> World:
    """visible: distance of the places' means in standard deviations of the noise; the class is at a distance of 1.4.

    In val 95 of 100 images show the usual place; test is balanced.
    """
    rng = np.random.default_rng(seed)
    n = (1500, 1200, 1000)
    split = np.repeat([0, 1, 2], n)
    labels = rng.integers(2, size=sum(n))
    agrees = rng.random(sum(n)) < np.where(split == 2, 0.5, 0.95)
    place = np.where(agrees, labels, 1 - labels)
    features = rng.normal(size=(sum(n), 32)).astype(np.float32)
    features[:, :4] += 0.7 * labels[:, None]
    features[:, 4:8] += visible / 2 * place[:, None]
    train, val, test = (split == part for part in range(3))
    scaling = standardise(features[train])
    head = scaling.fold(softmax_regression(scaling.apply(features[train]), labels[train], classes=2, l2=1e-3))
    logits = head.logits(features)
    pool = Pool(
        np.flatnonzero(val), features[val], logits[val], labels[val], CLASSES, head, "val", np.ones(n[1], dtype=bool)
    )
    states = np.full(n[1], -1, dtype=np.int8)
    asked = [one.row for one in suggest(logits[val], labels[val], budget=60)]
    states[asked] = place[val][asked]
    curation = curate(pool, [ConceptTags("water", states)], rng=np.random.default_rng(seed))
    repaired = fit_balanced(pool, curation.positions, curation.groups, rng=np.random.default_rng(seed))
    return World(
        features[test],
        labels[test],
        place[test],
        logits[test].argmax(axis=1),
        repaired.logits(features[test]).argmax(axis=1),
        pool,
        curation,
    )


def _held(estimate: Evaluation, truth: Evaluation) -> list[bool]:
    """Per group, whether the interval holds the accuracy that it truly has."""
    true = {(group.class_name, group.concept): group.accuracy for group in truth.groups}
    return [group.low <= true[group.class_name, group.concept] <= group.high for group in estimate.groups]


@pytest.mark.parametrize("tags", [0, 40, 120])
@pytest.mark.parametrize("visible", [2.6, 1.6], ids=["well seen", "hardly seen"])
def test_estimates_hold_the_truth_where_guesses_taken_for_truth_do_not(visible: float, tags: int) -> None:
    held, naive, worst, changes = [], [], [], []
    for seed in SEEDS:
        it = world(seed, visible)
        groups = it.guessed(tags, seed)
        estimates, truths = [], []
        for predicted in (it.before, it.after):
            truths.append(evaluate(predicted, it.labels, it.truth, TRAIN, "test"))
            estimates.append(estimated_evaluation(predicted, it.labels, groups, TRAIN, "test"))
            held += _held(estimates[-1], truths[-1])
            naive += _held(evaluate(predicted, it.labels, groups.grouping, TRAIN, "test"), truths[-1])
            low, high = estimates[-1].worst_interval
            worst.append(low <= truths[-1].worst_group <= high)
        found = estimated_comparison(it.before, it.after, it.labels, groups, *estimates)
        low, high = found.worst_change_interval
        changes.append(low <= truths[1].worst_group - truths[0].worst_group <= high)
    assert np.mean(held) >= 0.9
    assert np.mean(worst) >= 0.9
    assert np.mean(changes) >= 0.9
    if visible < 2:
        assert np.mean(naive) < 0.8


def test_tags_on_test_bring_the_estimate_nearer_and_its_interval_closer() -> None:
    errors, widths = {}, {}
    for tags in (0, 40, 200):
        away, wide = [], []
        for seed in SEEDS:
            it = world(seed, 1.6)
            found = estimated_evaluation(it.before, it.labels, it.guessed(tags, seed), TRAIN, "test")
            away.append(abs(found.worst_group - evaluate(it.before, it.labels, it.truth, TRAIN, "test").worst_group))
            wide.append(np.mean([group.high - group.low for group in found.groups]))
        errors[tags], widths[tags] = np.mean(away), np.mean(wide)
    assert errors[200] < errors[40]
    assert widths[200] < widths[40] < widths[0] / 1.5


def test_where_everything_is_tagged_the_estimate_is_the_measurement() -> None:
    it = world(0, 1.6)
    found = estimated_evaluation(it.after, it.labels, it.guessed(len(it.labels)), TRAIN, "test")
    measured = evaluate(it.after, it.labels, it.truth, TRAIN, "test")
    for estimate, truth in zip(found.groups, measured.groups, strict=True):
        assert (estimate.class_name, estimate.concept, estimate.count, estimate.correct) == (
            truth.class_name,
            truth.concept,
            truth.count,
            truth.correct,
        )
        assert estimate.accuracy == pytest.approx(truth.accuracy)
        assert estimate.low == pytest.approx(truth.low, abs=0.02)
        assert estimate.high == pytest.approx(truth.high, abs=0.02)
    assert found.weighted_average == pytest.approx(measured.weighted_average)
    assert found.worst_interval == pytest.approx(measured.worst_interval, abs=0.02)


def test_a_repair_seen_through_tags_is_significant_and_no_repair_is_not() -> None:
    it = world(1, 2.6)
    groups = it.guessed(80)
    found = _compared(it, it.before, it.after, groups)
    truth = compare(
        it.before,
        it.after,
        it.labels,
        it.truth,
        *(evaluate(predicted, it.labels, it.truth, TRAIN, "test") for predicted in (it.before, it.after)),
    )
    assert truth.significant
    assert found.significant
    assert found.sentence.endswith(groups.note)
    assert np.array_equal(found.fixed, truth.fixed)
    same = _compared(it, it.before, it.before, groups)
    assert not same.significant
    assert same.p_minimum == 1.0
    assert same.worst_change_interval[0] <= 0 <= same.worst_change_interval[1]


def test_heads_that_differ_by_luck_are_hardly_ever_told_apart() -> None:
    rng = np.random.default_rng(0)
    it = world(2, 2.6)
    groups = it.guessed(60)
    called = 0
    for _ in range(60):
        before, after = (np.where(rng.random(len(it.labels)) < 0.8, it.labels, 1 - it.labels) for _ in range(2))
        called += _compared(it, before, after, groups).p_minimum < 0.05
    assert called <= 60 * 0.05 + 3 * np.sqrt(60 * 0.05 * 0.95)


def _compared(it: World, before: np.ndarray, after: np.ndarray, groups: GuessedGroups) -> Comparison:
    was, now = (estimated_evaluation(predicted, it.labels, groups, TRAIN, "test") for predicted in (before, after))
    return estimated_comparison(before, after, it.labels, groups, was, now)


def test_a_probe_that_was_never_checked_is_believed_nothing() -> None:
    it = world(0, 2.6)
    checked, unchecked = it.guessed(0), it.guessed(0)
    unchecked = GuessedGroups(unchecked.grouping, unchecked.chances, unchecked.guessed, unchecked.told, 1.0)
    narrow, wide = (
        estimated_evaluation(it.before, it.labels, groups, TRAIN, "test").worst_interval
        for groups in (checked, unchecked)
    )
    assert wide[1] - wide[0] > narrow[1] - narrow[0]
    never = guessed_groups(
        it.curation.probe,  # type: ignore[arg-type]
        it.features,
        it.labels,
        np.full((len(it.labels), 1), -1),
        CLASSES,
        ["water"],
        reference_features=it.pool.features,
        reference_labels=it.pool.labels,
        held_out=(None,),
    )
    assert never.doubt == 1.0


def test_where_nobody_tagged_test_it_is_said_what_to_do() -> None:
    it = world(0, 2.6)
    assert "Tag about 40 test images drawn at random" in it.guessed(0).note
    assert "1 tagged test image corrects it. About 40" in it.guessed(1).note
    assert it.guessed(60).note.endswith("60 tagged test images correct it.")


def test_the_same_seed_gives_the_same_figures_and_they_survive_json() -> None:
    it = world(0, 2.6)
    chances = softmax(np.eye(2)[it.after] * 2)
    first, second = (
        estimated_evaluation(it.after, it.labels, it.guessed(30), TRAIN, "test", probabilities=chances)
        for _ in range(2)
    )
    assert first == second
    assert first.estimated
    assert "estimated" in first.groups_from
    assert "30 tagged test images" in first.note
    assert first.calibration is not None
    assert sum(map(sum, first.confusion)) == first.count
    assert evaluation_from_dict(first.to_dict()) == first


def test_how_common_patterns_are_is_found_in_the_images_themselves() -> None:
    rng = np.random.default_rng(3)
    labels = np.repeat([0, 1], 4000)
    usual = np.array([[0.95, 0.05], [0.1, 0.9]])
    here = np.array([[0.4, 0.6], [0.7, 0.3]])
    shown = (rng.random(8000) > here[labels, 0]).astype(int)
    value = rng.normal(size=8000) + 2.5 * shown
    likelihood = np.exp(-0.5 * (value[:, None] - np.array([0, 2.5])) ** 2)
    chances = likelihood * usual[labels]
    chances /= chances.sum(axis=1, keepdims=True)
    found = pattern_shares(adjusted(chances, labels, usual), labels, 2)
    assert found == pytest.approx(here, abs=0.03)
    assert np.abs(pattern_shares(chances, labels, 2) - here).max() > 0.1


def test_how_many_images_of_each_group_there_are_is_expected_from_chances_and_tags() -> None:
    groups = GuessedGroups(
        Grouping(np.array([0, 0, 3]), CLASSES, ("no water", "water"), "guesses", True),
        np.array([[0.75, 0.25], [0.5, 0.5], [0.25, 0.75]]),
        np.array([0, 0, 1]),
        np.array([-1, 1, -1]),
        0.1,
    )
    assert groups.expected.tolist() == [0.75, 1.25, 0.25, 0.75]


def test_several_concepts_and_a_pattern_that_a_class_does_not_have() -> None:
    """Water and snow: waterbirds never show snow, and the estimate must not invent such a group."""
    rng = np.random.default_rng(4)
    n = 1200
    labels = np.arange(n) % 2
    values = np.stack([rng.random(n) < 0.5, (rng.random(n) < 0.5) & (labels == 0)], axis=1).astype(np.int64)
    codes = values[:, 0] + 2 * values[:, 1]
    chances = np.full((n, 4), 0.01)
    chances[np.arange(n), codes] = 0.97
    chances[labels == 1, 2:] = 0.0
    chances /= chances.sum(axis=1, keepdims=True)
    guessed = chances.argmax(axis=1)
    patterns = ("no water, no snow", "water, no snow", "no water, snow", "water, snow")
    grouping = Grouping(labels * 4 + guessed, CLASSES, patterns, "concepts water, snow, estimated by a probe", True)
    told = np.where(np.arange(n) % 10 == 0, codes, -1)
    right = rng.random(n) < np.array([0.9, 0.6, 0.8, 0.4])[codes]
    predicted = np.where(right, labels, 1 - labels)
    groups = GuessedGroups(grouping, chances, guessed, told, 0.05)
    found = estimated_evaluation(predicted, labels, groups, np.zeros(8, dtype=int), "test")
    assert [(group.class_name, group.concept) for group in found.groups] == [
        *(("landbird", pattern) for pattern in patterns),
        *(("waterbird", pattern) for pattern in patterns[:2]),
    ]
    truth = evaluate(
        predicted,
        labels,
        Grouping(labels * 4 + codes, CLASSES, patterns, "known"),
        np.zeros(8, dtype=int),
        "test",
    )
    assert all(_held(found, truth))
    assert sum(group.share for group in found.groups) == pytest.approx(1)
    # guessed of three train images, a group is the probe's error; of fifty, it is one that is not measured
    few, many = (
        estimated_evaluation(predicted, labels, groups, np.array([9, 9, 9, 9, 9, 9, 3, count]), "test").note
        for count in (3, 50)
    )
    assert few == found.note == groups.note
    assert many.startswith(f"{groups.note} Not measured, since test holds no image of it: waterbird · water, snow (50")


def test_nothing_to_measure_is_an_error_with_a_next_step() -> None:
    nobody = GuessedGroups(
        Grouping(np.empty(0, dtype=np.int64), CLASSES, ("no water", "water"), "guesses", True),
        np.empty((0, 2)),
        np.empty(0, dtype=np.int64),
        np.empty(0, dtype=np.int64),
        0.1,
    )
    with pytest.raises(EmptyGroup) as caught:
        estimated_evaluation(np.empty(0, dtype=int), np.empty(0, dtype=int), nobody, TRAIN, "test")
    assert caught.value.next_step
