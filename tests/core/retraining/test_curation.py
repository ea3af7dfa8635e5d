"""Curation over arrays: two classes, a place that agrees in 95%, and somebody who answers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from core.classifiers.head import Head
from core.concepts.majority import top_half
from core.concepts.suggestions import suggest
from core.errors import NotEnoughTags
from core.retraining.curation import _without_phantoms, curate, curate_without_tags
from core.retraining.groups import by_concepts
from core.retraining.pool import ConceptTags, Pool

CLASSES = ("landbird", "waterbird")


def make(seed: int = 0, n: int = 1000, agreement: float = 0.95, clear: float = 2.0) -> tuple[Pool, np.ndarray]:
    """A pool and the place of each image; class on axes 0-3, place on 4-7, and a head that reads mostly the place."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    place = np.where(rng.random(n) < agreement, labels, 1 - labels)
    features = rng.normal(size=(n, 16)).astype(np.float32)
    features[:, :4] += 1.2 * labels[:, None]
    features[:, 4:8] += clear * place[:, None]
    direction = np.zeros(16, dtype=np.float32)
    direction[:4], direction[4:8] = 0.3, 1.0
    head = Head(np.stack([-direction, direction]), 2 * clear * np.array([1.0, -1.0], dtype=np.float32))
    pool = Pool(
        rows=np.arange(n) + 100,
        features=features,
        logits=head.logits(features),
        labels=labels,
        classes=CLASSES,
        head=head,
        split="val",
        eligible=np.ones(n, dtype=bool),
    )
    return pool, place


def answered(pool: Pool, place: np.ndarray, budget: int = 60) -> ConceptTags:
    states = np.full(len(pool), -1, dtype=np.int8)
    rows = [item.row for item in suggest(pool.logits, pool.labels, budget=budget)]
    states[rows] = place[rows]
    return ConceptTags("water", states)


def test_guessed_groups_are_the_planted_ones_and_weigh_the_same() -> None:
    pool, place = make()
    chosen = curate(pool, [answered(pool, place)], rng=np.random.default_rng(0))
    guessed = chosen.groups % 2
    for group in range(4):
        members = chosen.groups == group
        assert members.sum() >= 10
        assert (guessed == place[chosen.positions])[members].mean() > 0.85
        assert chosen.weights[members].sum() == pytest.approx(0.25)
    assert np.array_equal(chosen.rows, chosen.positions + 100)
    assert np.array_equal(chosen.labels, pool.labels[chosen.positions])
    assert chosen.left_out == len(pool) - len(chosen.positions)
    assert chosen.usual == ({"landbird": "absent", "waterbird": "present"},)


def test_tags_override_the_probe_and_every_image_has_a_reason() -> None:
    pool, place = make()
    tags = answered(pool, place)
    chosen = curate(pool, [tags], rng=np.random.default_rng(0))
    tagged = chosen.reasons == "tagged"
    assert np.array_equal((chosen.groups % 2)[tagged], tags.states[chosen.positions][tagged])
    assert set(chosen.positions[tagged]) | set(chosen.doubtful - 100) == set(np.flatnonzero(tags.states >= 0))
    assert set(chosen.reasons) == {"tagged", "assumed", "probe"}
    described = chosen.to_dict()
    assert sum(described["counts"].values()) == described["images"] == len(chosen.positions)
    assert sum(group["count"] for group in described["groups"]) == described["images"]


def test_confidence_is_one_for_a_persons_word_and_the_probes_chance_elsewhere() -> None:
    pool, place = make()
    tags = answered(pool, place)
    chosen = curate(pool, [tags], rng=np.random.default_rng(0))
    tagged, probed = chosen.reasons == "tagged", chosen.reasons == "probe"
    assert (chosen.confidence[tagged] == 1).all()
    assert (chosen.confidence[~tagged] > 0.9).all()
    assert (chosen.confidence[~tagged] < 1 + 1e-12).all()
    assert chosen.probe is not None
    of = chosen.positions[probed]
    (shown,) = chosen.probe.probability(pool.features[of], pool.labels[of]).T
    expected = np.where(chosen.groups[probed] % 2 == 1, shown, 1 - shown)
    assert np.allclose(chosen.confidence[probed], expected, atol=1e-6)


def test_an_assumption_without_a_probe_is_as_sure_as_the_answers_agree() -> None:
    pool, place = make()
    tags = answered(pool, place)
    chosen = curate(pool, [tags], rng=np.random.default_rng(0), use_probe=False)
    top = top_half(pool.logits, pool.labels)
    assumed = chosen.reasons == "assumed"
    for c, usual in enumerate((0, 1)):
        answers = tags.states[top & (pool.labels == c) & (tags.states >= 0)]
        share = ((answers == usual).sum() + 1) / (len(answers) + 2)
        assert chosen.confidence[assumed & (chosen.labels == c)] == pytest.approx(share)
    assert (chosen.confidence[~assumed] == 1).all()


def test_wrong_answers_are_found_left_out_and_named() -> None:
    pool, place = make(clear=4.0)
    tags = answered(pool, place)
    rng = np.random.default_rng(3)
    slips = rng.choice(np.flatnonzero(tags.states >= 0), 6, replace=False)
    tags.states[slips] = 1 - tags.states[slips]
    chosen = curate(pool, [tags], rng=np.random.default_rng(0))
    assert len(set((chosen.doubtful - 100).tolist()) & set(slips.tolist())) >= 3
    assert not set(chosen.doubtful - 100) & set(chosen.positions)
    assert any("second look" in warning for warning in chosen.warnings)


def test_tags_that_mean_nothing_agree_by_chance_though_each_class_has_one_on_top() -> None:
    """A coin says what one image at the top and one at the bottom of each class show, and features tell the class
    alone: a class's top half, assumed from its one tag, must not be what that tag is checked against."""
    k, accuracies = 40, []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        labels = np.arange(k * 30) % k
        centres = (3 * rng.normal(size=(k, 24))).astype(np.float32)
        features = centres[labels] + rng.normal(size=(len(labels), 24)).astype(np.float32)
        head = Head(centres, -np.square(centres).sum(axis=1) / 2)
        logits = head.logits(features)
        pool = Pool(
            rows=np.arange(len(labels)),
            features=features,
            logits=logits,
            labels=labels,
            classes=tuple(f"class {c}" for c in range(k)),
            head=head,
            split="val",
            eligible=np.ones(len(labels), dtype=bool),
        )
        top = top_half(logits, labels)
        asked = [rng.choice(np.flatnonzero(half & (labels == c))) for c in range(k) for half in (top, ~top)]
        states = np.full(len(labels), -1, dtype=np.int8)
        states[asked] = rng.random(len(asked)) < 0.5
        (accuracy,) = curate(pool, [ConceptTags("coin", states)], rng=rng).probe_accuracy
        assert accuracy is not None
        accuracies.append(accuracy)
    assert np.mean(accuracies) < 0.56


def test_without_probe_only_tagged_and_assumed_images_are_used() -> None:
    pool, place = make()
    tags = answered(pool, place)
    chosen = curate(pool, [tags], rng=np.random.default_rng(0), use_probe=False)
    assert set(chosen.reasons) == {"tagged", "assumed"}
    assert (chosen.reasons == "tagged").sum() == 60
    assert (chosen.reasons == "assumed").sum() == len(pool) // 2 - 10
    assert chosen.probe is None


def test_images_that_are_not_eligible_teach_but_are_not_chosen() -> None:
    pool, place = make()
    tags = answered(pool, place)
    few = np.zeros(len(pool), dtype=bool)
    few[:700] = True
    chosen = curate(replace(pool, eligible=few), [tags], rng=np.random.default_rng(0))
    assert chosen.positions.max() < 700
    assert chosen.left_out == 700 - len(chosen.positions)


def test_a_mixed_class_gets_no_assumption_but_the_others_do() -> None:
    pool, place = make()
    top_mixed = place.copy()
    tags = answered(pool, top_mixed)
    own = pool.logits[np.arange(len(pool)), pool.labels]
    on_top = (pool.labels == 0) & (own > np.median(own[pool.labels == 0])) & (tags.states >= 0)
    tags.states[np.flatnonzero(on_top)[:2]] = 1
    chosen = curate(pool, [tags], rng=np.random.default_rng(0), use_probe=False)
    assert chosen.usual == ({"landbird": None, "waterbird": "present"},)
    assert any("landbird" in warning for warning in chosen.warnings)
    assert not ((chosen.reasons == "assumed") & (chosen.labels == 0)).any()


def test_a_class_nobody_tagged_on_top_is_left_without_assumption_and_named() -> None:
    pool, place = make()
    tags = answered(pool, place)
    own = pool.logits[np.arange(len(pool)), pool.labels]
    tags.states[(pool.labels == 1) & (own > np.median(own[pool.labels == 1]))] = -1
    chosen = curate(pool, [tags], rng=np.random.default_rng(0))
    assert chosen.usual == ({"landbird": "absent", "waterbird": None},)
    assert any("top band of waterbird" in warning for warning in chosen.warnings)


def test_a_concept_without_exceptions_is_refused_with_a_next_step() -> None:
    pool, _ = make()
    follows_class = answered(pool, pool.labels)
    with pytest.raises(NotEnoughTags) as caught:
        curate(pool, [follows_class], rng=np.random.default_rng(0), use_probe=False)
    assert "always or never" in caught.value.detail
    assert "lowest logits" in caught.value.next_step


def test_a_pattern_no_person_has_seen_is_no_group() -> None:
    """Two concepts that exclude each other: their probes may both fire, no group is made of that."""
    rng = np.random.default_rng(0)
    pool, place = make()
    snow = (place == 0) & (rng.random(len(pool)) < 0.5)
    pool.features[:, 8:12] += 2.5 * snow[:, None].astype(np.float32)
    rows = [item.row for item in suggest(pool.logits, pool.labels, budget=120)]
    states = np.full((2, len(pool)), -1, dtype=np.int8)
    states[0, rows], states[1, rows] = place[rows], snow[rows]
    concepts = [ConceptTags("water", states[0]), ConceptTags("snow", states[1])]
    chosen = curate(pool, concepts, rng=np.random.default_rng(0))
    assert 3 not in set((chosen.groups % 4).tolist())
    assert {group.concept for group in chosen.sizes} <= {"no water, no snow", "water, no snow", "no water, snow"}


def test_two_untagged_images_are_a_group_where_their_pattern_was_seen_in_another_class() -> None:
    pool, place = make(clear=4.0)
    exceptions = np.flatnonzero((pool.labels == 1) & (place == 0))
    gone = np.isin(np.arange(len(pool)), exceptions[2:])
    pool = replace(
        pool,
        **{name: getattr(pool, name)[~gone] for name in ("rows", "features", "logits", "labels", "eligible")},
    )
    place = place[~gone]
    tags = answered(pool, place)
    left = (pool.labels == 1) & (place == 0)
    tags.states[left] = -1
    chosen = curate(pool, [tags], rng=np.random.default_rng(0))
    assert set(chosen.positions[chosen.groups == 2].tolist()) == set(np.flatnonzero(left).tolist())
    assert chosen.weights[chosen.groups == 2].sum() == pytest.approx(0.25)
    assert not chosen.warnings


def test_where_nobody_looked_at_one_image_for_all_concepts_a_group_needs_a_tag_or_four_images() -> None:
    grouping = by_concepts(
        np.zeros(12, dtype=np.int64),
        ("bird",),
        ("water", "snow"),
        np.repeat([[0, 0], [1, 0], [0, 1], [1, 1]], (4, 3, 4, 1), axis=0),
        estimated=True,
    )
    tagged, nothing = np.zeros((2, 12, 2), dtype=bool)
    tagged[11, 0] = True
    kept = _without_phantoms(np.ones(12, dtype=bool), grouping, tagged, nothing)
    assert kept.tolist() == [True] * 4 + [False] * 3 + [True] * 5


def test_groups_of_which_no_image_was_found_are_named() -> None:
    pool, place = make()
    place[(pool.labels == 1) & (place == 0)] = 1
    tags = answered(pool, place)
    chosen = curate(pool, [tags], rng=np.random.default_rng(0), use_probe=False)
    assert any("waterbird · no water" in warning for warning in chosen.warnings)


def test_without_tags_the_classes_stand_in_for_the_concept() -> None:
    pool, place = make()
    chosen = curate_without_tags(pool)
    guessed = chosen.groups % 2
    assert (guessed == place[chosen.positions]).mean() > 0.95
    assert "tagged" not in set(chosen.reasons)
    assert {group.concept for group in chosen.sizes} == {"like the usual landbird", "like the usual waterbird"}
