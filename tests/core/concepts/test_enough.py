"""Planted sessions: a simulated person answers what is asked next, and readiness has to know when that is enough."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from core.classifiers.softmax import softmax_regression, standardise
from core.concepts.concept import Concept, create_concept
from core.concepts.enough import FEWEST, Readiness, readiness
from core.concepts.evidence import ground
from core.concepts.probes import cell_weights
from core.concepts.spread import fitted_probe, probabilities
from core.concepts.suggestions import suggest_next
from core.concepts.tags import answers, tag
from core.workspace import Workspace

N, D = 2400, 64


def planted(make_analysis: Any, seed: int, strength: float) -> tuple[Any, np.ndarray]:
    """Half-rectified correlated features of a class and a concept that agree in 95%; a head that uses both."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(2, size=N)
    water = np.where(rng.random(N) < 0.95, labels, 1 - labels)
    spectrum = np.arange(1, D + 1) ** -0.4
    hidden = rng.normal(size=(N, D)) * spectrum
    for values, by in ((labels, 2.0), (water, strength)):
        direction = rng.normal(size=D) * spectrum
        direction /= np.linalg.norm(direction)
        hidden += by * np.linalg.norm(direction * spectrum) * np.outer(2 * values - 1, direction)
    features = np.maximum(hidden @ np.linalg.qr(rng.normal(size=(D, D)))[0] + 0.3, 0).astype(np.float32)
    scaling = standardise(features)
    head = scaling.fold(softmax_regression(scaling.apply(features), labels, classes=2, l2=0.01))
    return make_analysis(features, labels, head=head), water


def accuracy(workspace: Workspace, analysis: Any, concept: Concept, water: np.ndarray) -> float:
    """Of the images nobody was asked about, every class x value weighing the same."""
    rows = np.flatnonzero(answers(workspace, analysis, concept) < 0)
    chance = probabilities(analysis, fitted_probe(workspace, analysis, concept).probe, rows)
    shares = cell_weights(analysis.labels[rows] * 2 + water[rows])
    return float(shares[(chance > 0.5) == (water[rows] == 1)].sum())


def session(
    workspace: Workspace,
    analysis: Any,
    truth: np.ndarray,
    said: np.ndarray,
    steps: tuple[int, ...],
    name: str = "water",
) -> list[tuple[Readiness, float]]:
    """Readiness and true accuracy after so many tags, answered in batches of up to 20."""
    concept = create_concept(workspace, analysis.dataset_id, name)
    found, tags = [], 0
    for step in steps:
        while tags < step:
            batch = min(20, step - tags)
            asked = suggest_next(workspace, analysis, concept, budget=max(60 - tags, batch))
            rows = np.array([item.row for item in asked[:batch]])
            for present in (True, False):
                tag(workspace, analysis, concept, rows[(said[rows] == 1) == present], present)
            tags += batch
        found.append((readiness(workspace, analysis, concept), accuracy(workspace, analysis, concept, truth)))
    return found


STEPS = (20, 40, 60, 80, 120, 200, 320)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("strength", "wrong"), [(1.2, 0.0), (2.0, 0.0), (4.0, 0.0), (3.0, 0.1), (3.0, 0.2)])
def test_enough_is_never_said_while_two_points_are_to_be_had(
    workspace: Workspace, make_analysis: Any, seed: int, strength: float, wrong: float
) -> None:
    analysis, water = planted(make_analysis, seed, strength)
    slips = np.random.default_rng(seed).random(N) < wrong
    found = session(workspace, analysis, water, np.where(slips, 1 - water, water), STEPS)
    for i, (ready, now) in enumerate(found[:-1]):
        if not ready.helps:
            assert max(later for _, later in found[i + 1 :]) - now <= 0.02, ready


@pytest.mark.parametrize("seed", range(4))
def test_enough_is_said_in_time_when_the_features_show_the_concept(
    workspace: Workspace, make_analysis: Any, seed: int
) -> None:
    analysis, water = planted(make_analysis, seed, 4.0)
    found = session(workspace, analysis, water, water, (20, 120, 200))
    assert found[0][0].helps
    ended = [ready for ready, _ in found if not ready.helps]
    assert ended
    assert ended[-1].sentence.endswith("and more tags no longer help")
    assert found[-1][1] > 0.97


def test_sentence_counts_tags_and_agreement(workspace: Workspace, make_analysis: Any) -> None:
    analysis, water = planted(make_analysis, 0, 2.0)
    ready = session(workspace, analysis, water, water, (23,))[0][0]
    assert ready.share is not None
    assert ready.sentence == f"23 of about 60 tags; the probe now agrees with held-out tags {ready.share:.0%}"
    assert ready.tags == 23
    assert ready.low < ready.share <= ready.high
    assert ready.helps
    assert set(ready.to_dict()) >= {"tags", "budget", "share", "low", "high", "helps", "sentence", "next_step"}


def test_no_signal_in_the_features_is_said_and_no_early_verdict(workspace: Workspace, make_analysis: Any) -> None:
    said = 0
    for seed in range(5):
        # chance agrees, too, once in a while
        analysis, _ = planted(make_analysis, seed, 2.0)
        noise = np.random.default_rng(100 + seed).integers(0, 2, N)
        early, _, late = (
            ready for ready, _ in session(workspace, analysis, noise, noise, (20, 60, 240), name=f"noise {seed}")
        )
        assert early.helps
        assert "no longer help" not in late.sentence
        said += not late.helps and "the features do not seem to hold this concept" in late.sentence
    assert said >= 3


def test_one_tag_in_five_wrong_does_not_pass_for_features_without_the_concept(
    workspace: Workspace, make_analysis: Any
) -> None:
    analysis, water = planted(make_analysis, 2, 3.0)
    said = np.where(np.random.default_rng(2).random(N) < 0.2, 1 - water, water)
    for ready, _ in session(workspace, analysis, water, said, (60, 120, 240)):
        assert "do not seem to hold" not in ready.sentence


def test_before_a_probe_it_says_what_to_tag(workspace: Workspace, make_analysis: Any) -> None:
    analysis, _ = planted(make_analysis, 0, 2.0)
    concept = create_concept(workspace, analysis.dataset_id, "<i>w</i> ‮")
    ready = readiness(workspace, analysis, concept)
    assert (ready.tags, ready.share, ready.helps) == (0, None, True)
    assert ready.sentence == "0 of about 60 tags"
    assert "proposed" in ready.next_step
    tag(workspace, analysis, concept, np.arange(50), True)
    ready = readiness(workspace, analysis, concept)
    assert ready.sentence == "50 of about 60 tags"
    assert ready.helps
    assert "absent" in ready.next_step


def test_two_tags_of_a_value_are_too_few_to_end_with(workspace: Workspace, make_analysis: Any) -> None:
    analysis, water = planted(make_analysis, 0, 4.0)
    concept = create_concept(workspace, analysis.dataset_id, "water")
    tag(workspace, analysis, concept, np.flatnonzero(water == 1)[: FEWEST + 30], True)
    tag(workspace, analysis, concept, np.flatnonzero(water == 0)[:2], False)
    ready = readiness(workspace, analysis, concept)
    assert ready.helps
    assert "Only 2 say absent" in ready.next_step


def test_all_answered_is_enough(workspace: Workspace, make_analysis: Any) -> None:
    analysis, water = planted(make_analysis, 0, 1.2)
    concept = create_concept(workspace, analysis.dataset_id, "water")
    for present in (True, False):
        tag(workspace, analysis, concept, np.flatnonzero((water == 1) == present), present)
    ready = readiness(workspace, analysis, concept)
    assert not ready.helps
    assert ready.sentence.startswith("2400 tags, where about 60 usually do; ")
    assert ready.sentence.endswith("and every image is answered")


def test_unsure_answers_are_no_tags(workspace: Workspace, make_analysis: Any) -> None:
    analysis, _ = planted(make_analysis, 0, 2.0)
    concept = create_concept(workspace, analysis.dataset_id, "water")
    tag(workspace, analysis, concept, ground(analysis).pool[:30], "unsure")
    assert readiness(workspace, analysis, concept).tags == 0


def test_where_nothing_may_be_tagged_it_says_why(workspace: Workspace, make_analysis: Any) -> None:
    analysis = make_analysis(np.random.default_rng(0).normal(size=(40, 4)), np.arange(40) % 2, splits=np.full(40, 2))
    concept = create_concept(workspace, analysis.dataset_id, "water")
    tag(workspace, analysis, concept, np.arange(10), True)
    tag(workspace, analysis, concept, np.arange(10, 20), False)
    ready = readiness(workspace, analysis, concept)
    assert (ready.tags, ready.helps) == (0, False)
    assert "All images are in test" in ready.next_step


def test_where_nobody_could_tell_it_does_not_speak_of_answers(workspace: Workspace, make_analysis: Any) -> None:
    analysis, _ = planted(make_analysis, 0, 2.0)
    concept = create_concept(workspace, analysis.dataset_id, "water")
    tag(workspace, analysis, concept, ground(analysis).pool, "unsure")
    assert readiness(workspace, analysis, concept).next_step.startswith("Nobody could tell")
    tag(workspace, analysis, concept, ground(analysis).pool, True)
    assert "all answers are the same" in readiness(workspace, analysis, concept).next_step
