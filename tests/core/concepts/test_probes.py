from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from core.activations.directions import parse_direction, scores
from core.concepts.concept import create_concept
from core.concepts.probes import (
    balanced_accuracy,
    cell_weights,
    concept_direction,
    doubtful_tags,
    fit_probe,
    held_out_probabilities,
)
from core.concepts.tags import tag
from core.errors import NotEnoughTags
from core.workspace import Workspace

N = 600


@pytest.fixture
def data() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features, classes and a concept that agrees with the class in 95%: the class on axis 0, the concept on 1 to 4."""
    rng = np.random.default_rng(0)
    labels = rng.integers(2, size=N)
    water = np.where(rng.random(N) < 0.95, labels, 1 - labels)
    features = rng.normal(size=(N, 8)).astype(np.float32)
    features[:, 0] += 4 * labels
    features[:, 1:5] += 4 * water[:, None]
    return features, labels, water


def test_every_cell_weighs_the_same() -> None:
    cells = np.array([0, 0, 0, 5, 7, 7])
    weights = cell_weights(cells)
    assert [weights[cells == cell].sum() for cell in (0, 5, 7)] == pytest.approx([1 / 3] * 3)


def test_probe_learns_the_concept_and_not_the_class(data: Any) -> None:
    features, labels, water = data
    probe = fit_probe(features, labels, water)
    # with unequal cells the class axis, which predicts water in 95%, would carry much of the weight
    assert abs(probe.weight[1:5]).sum() > 4 * abs(probe.weight[0])
    chance = probe.probability(features)
    odd = water != labels
    assert ((chance > 0.5) == (water == 1))[odd].mean() > 0.8


def test_tags_held_out_measure_the_probe(data: Any) -> None:
    features, labels, water = data
    tagged = np.arange(N) < 120
    rng = np.random.default_rng(1)
    good = balanced_accuracy(held_out_probabilities(features, labels, water, tagged, rng=rng), water[tagged])
    noise = rng.integers(2, size=N)
    bad = balanced_accuracy(held_out_probabilities(features, labels, noise, tagged, rng=rng), noise[tagged])
    assert good is not None
    assert bad is not None
    assert good > 0.8
    assert abs(bad - 0.5) < 0.15


def test_one_tag_of_a_value_cannot_be_measured(data: Any) -> None:
    features, labels, _ = data
    values = np.zeros(N, dtype=int)
    values[0] = 1
    tagged = np.arange(N) < 20
    guesses = held_out_probabilities(features, labels, values, tagged, rng=np.random.default_rng(0))
    assert balanced_accuracy(guesses, values[tagged]) is None


def test_planted_slips_are_doubted_and_true_exceptions_are_not(data: Any) -> None:
    features, labels, water = data
    rng = np.random.default_rng(2)
    tagged = np.zeros(N, dtype=bool)
    tagged[np.flatnonzero(water != labels)] = True
    tagged[rng.choice(np.flatnonzero(water == labels), 40, replace=False)] = True
    said = water.copy()
    slips = rng.choice(np.flatnonzero(tagged), 6, replace=False)
    said[slips] = 1 - said[slips]
    guesses = held_out_probabilities(features, labels, said, tagged, rng=rng)
    doubted = doubtful_tags(guesses, said[tagged], (labels * 2 + said)[tagged], np.zeros(int(tagged.sum()), dtype=bool))
    found = set(np.flatnonzero(tagged)[doubted].tolist())
    assert len(found & set(slips.tolist())) >= 4
    assert len(found - set(slips.tolist())) <= 3


def test_few_tags_are_not_doubted_but_for_slips_on_top() -> None:
    guesses, values = np.full(10, 0.01), np.ones(10, dtype=int)
    on_top = np.arange(10) == 3
    assert np.flatnonzero(doubtful_tags(guesses, values, np.ones(10, dtype=int), on_top)).tolist() == [3]


def test_never_more_than_a_third_of_a_cell_is_doubted() -> None:
    guesses, values = np.full(60, 0.01), np.ones(60, dtype=int)
    cells = np.repeat([1, 3], [54, 6])
    doubted = doubtful_tags(guesses, values, cells, np.zeros(60, dtype=bool))
    assert np.bincount(cells[doubted]).tolist() == [0, 18, 0, 2]


def test_concept_direction_orders_images_by_the_concept(workspace: Workspace, make_analysis: Any, data: Any) -> None:
    features, labels, water = data
    analysis = make_analysis(features, labels)
    concept = create_concept(workspace, analysis.dataset_id, "water")
    for present in (True, False):
        tag(workspace, analysis, concept, np.flatnonzero((water == 1) == present)[:40], present)
    direction = parse_direction(
        "concept:water", analysis, concept=lambda name: concept_direction(workspace, analysis, name)
    )
    along = scores(analysis, direction)
    assert along[water == 1].mean() > 0 > along[water == 0].mean()


def test_tags_on_test_images_do_not_move_the_direction(workspace: Workspace, make_analysis: Any, data: Any) -> None:
    features, labels, water = data
    splits = np.arange(N) % 2 + 1
    analysis = make_analysis(features, labels, splits=splits)
    concept = create_concept(workspace, analysis.dataset_id, "water")
    for present in (True, False):
        tag(workspace, analysis, concept, np.flatnonzero((splits == 1) & ((water == 1) == present))[:30], present)
    before, bias = concept_direction(workspace, analysis, "water")
    tag(workspace, analysis, concept, np.flatnonzero((splits == 2) & (water == 1)), False)
    after, same_bias = concept_direction(workspace, analysis, "water")
    assert np.array_equal(before, after)
    assert bias == same_bias


def test_a_concept_tagged_one_way_has_no_direction(workspace: Workspace, make_analysis: Any, data: Any) -> None:
    analysis = make_analysis(data[0], data[1])
    concept = create_concept(workspace, analysis.dataset_id, "water")
    tag(workspace, analysis, concept, [1, 2, 3], True)
    with pytest.raises(NotEnoughTags, match="tagged absent"):
        concept_direction(workspace, analysis, "water")


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_images_with_broken_features_teach_nothing_and_get_no_guess(data: Any, broken: float) -> None:
    features, labels, water = data
    spoilt = features.copy()
    spoilt[[3, 50]], spoilt[70, 2] = broken, broken
    without = np.delete(np.arange(N), [3, 50, 70])
    found = fit_probe(spoilt, labels, water)
    expected = fit_probe(features[without], labels[without], water[without])
    np.testing.assert_allclose(found.weight, expected.weight, atol=1e-6)
    with np.errstate(invalid="ignore"):
        chance = found.probability(spoilt)
    assert np.isnan(chance[[3, 50, 70]]).all()
    np.testing.assert_allclose(chance[without], expected.probability(features[without]), atol=1e-5)
