from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

from core.classifiers.head import Head
from core.classifiers.logistic import logistic_regression
from core.concepts import spread as module
from core.concepts import trials as trials_module
from core.concepts.adoption import adopt
from core.concepts.concept import change_concept, create_concept
from core.concepts.evidence import evidence, ground
from core.concepts.history import history
from core.concepts.probes import concept_probe
from core.concepts.spread import (
    HeldOut,
    Spread,
    fitted_probe,
    held_out_agreement,
    pool_probabilities,
    probabilities,
    review,
    review_list,
    spread,
)
from core.concepts.tags import UNSURE, UNTAGGED, answers, suggest_members, suggested_members, tag, undo
from core.concepts.trials import Trials, trials
from core.errors import NotEnoughTags
from core.workspace import Workspace

N = 900


@pytest.fixture
def planted(make_analysis: Any) -> tuple[Any, np.ndarray]:
    """Class on axis 0, concept on 1 to 4, agreeing in 90%; two thirds val, one third test."""
    rng = np.random.default_rng(0)
    labels = rng.integers(2, size=N)
    water = np.where(rng.random(N) < 0.9, labels, 1 - labels)
    features = rng.normal(size=(N, 10))
    features[:, 0] += 4 * labels
    features[:, 1:5] += 2 * water[:, None]
    return make_analysis(features, labels, splits=np.where(np.arange(N) % 3, 1, 2), place=water), water


def answer(workspace: Workspace, analysis: Any, water: np.ndarray, count: int, name: str = "water") -> Any:
    concept = create_concept(workspace, analysis.dataset_id, name)
    rows = analysis.split_rows("val")[:count]
    for present in (True, False):
        tag(workspace, analysis, concept, rows[(water[rows] == 1) == present], present)
    return concept


def test_guesses_are_right_and_never_become_tags(workspace: Workspace, planted: Any) -> None:
    analysis, water = planted
    concept = answer(workspace, analysis, water, 80)
    before, log = answers(workspace, analysis, concept), history(workspace, analysis.dataset_id)
    found = spread(workspace, analysis, concept)
    assert np.array_equal(found.rows, analysis.split_rows("val"))
    odd = water[found.rows] != analysis.labels[found.rows]
    assert ((found.probability > 0.5) == (water[found.rows] == 1))[odd].mean() > 0.85
    assert found.held_out.share is not None
    assert found.held_out.low < found.held_out.share <= found.held_out.high
    assert found.held_out.tags == 80 == found.present + found.absent
    review(found, before)
    assert np.array_equal(answers(workspace, analysis, concept), before)
    assert history(workspace, analysis.dataset_id) == log
    everyone = spread(workspace, analysis, concept, split="all")
    assert len(everyone.rows) == N
    np.testing.assert_allclose(everyone.probability[found.rows], found.probability, atol=1e-4)


def test_refit_after_a_tag_is_that_of_a_fresh_start(workspace: Workspace, planted: Any) -> None:
    analysis, water = planted
    concept = answer(workspace, analysis, water, 60)
    first = fitted_probe(workspace, analysis, concept)
    assert fitted_probe(workspace, analysis, concept) is first
    row = analysis.split_rows("val")[70]
    tag(workspace, analysis, concept, [row], bool(water[row]))
    second = fitted_probe(workspace, analysis, concept)
    assert second is not first
    cold = concept_probe(workspace, analysis, concept)
    pool = ground(analysis).pool
    np.testing.assert_allclose(
        probabilities(analysis, second.probe, pool), probabilities(analysis, cold, pool), atol=5e-3
    )
    np.testing.assert_allclose(
        pool_probabilities(analysis, second.probe), probabilities(analysis, second.probe, pool), atol=1e-5
    )
    undo(workspace, analysis.dataset_id)
    again = fitted_probe(workspace, analysis, concept)
    np.testing.assert_allclose(again.probe.weight, first.probe.weight, atol=5e-3)


def test_what_does_not_concern_a_concept_keeps_its_probe(workspace: Workspace, planted: Any) -> None:
    analysis, water = planted
    concept = answer(workspace, analysis, water, 60)
    first = spread(workspace, analysis, concept)
    other = answer(workspace, analysis, 1 - water, 30, "land")
    renamed = change_concept(workspace, concept, name="<b>wet</b> 🌊")
    second = spread(workspace, analysis, renamed)
    assert second.probability is first.probability
    assert second.concept.name == "<b>wet</b> 🌊"
    assert spread(workspace, analysis, other).probability is not first.probability


def test_other_features_are_never_answered_from_what_was_kept(
    workspace: Workspace, planted: Any, make_analysis: Any
) -> None:
    analysis, water = planted
    concept = answer(workspace, analysis, water, 60)
    first = spread(workspace, analysis, concept)
    turned = make_analysis(-analysis.features, analysis.labels, splits=analysis.splits)
    second = spread(workspace, turned, concept)
    odd = water[second.rows] != analysis.labels[second.rows]
    assert ((second.probability > 0.5) == (water[second.rows] == 1))[odd].mean() > 0.85
    assert second.probability is not first.probability


def test_threads_that_ask_at_once_get_one_answer_and_see_the_last_tag(workspace: Workspace, planted: Any) -> None:
    analysis, water = planted
    concept = answer(workspace, analysis, water, 40)
    rows = analysis.split_rows("val")[40:64]
    problems: list[BaseException] = []

    def session(part: np.ndarray) -> None:
        try:
            for row in part:
                tag(workspace, analysis, concept, [row], bool(water[row]))
                spread(workspace, analysis, concept)
        except BaseException as problem:
            problems.append(problem)

    threads = [threading.Thread(target=session, args=(rows[i::4],)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems
    found = spread(workspace, analysis, concept)
    assert found.present + found.absent == 64
    assert fitted_probe(workspace, analysis, concept).known.says_the_same(evidence(workspace, analysis, concept))


def test_only_the_concepts_used_last_are_kept(workspace: Workspace, planted: Any) -> None:
    analysis, water = planted
    for i in range(module._KEPT + 4):
        spread(workspace, analysis, answer(workspace, analysis, water, 12, f"concept {i}"))
    assert len(module._states) == module._KEPT


def test_without_both_values_there_is_nothing_to_spread(workspace: Workspace, planted: Any) -> None:
    analysis, _ = planted
    concept = create_concept(workspace, analysis.dataset_id, "water")
    tag(workspace, analysis, concept, analysis.split_rows("val")[:5], True)
    with pytest.raises(NotEnoughTags):
        spread(workspace, analysis, concept)


def test_who_is_doubted_erred(workspace: Workspace, planted: Any) -> None:
    analysis, water = planted
    said = water.copy()
    slips = np.random.default_rng(1).choice(analysis.split_rows("val")[:300], 12, replace=False)
    said[slips] = 1 - said[slips]
    doubtful = set(spread(workspace, analysis, answer(workspace, analysis, said, 300)).doubtful.tolist())
    assert len(doubtful) >= 3
    assert doubtful <= set(slips.tolist())


def test_features_without_the_concept_are_said_to_be(workspace: Workspace, planted: Any) -> None:
    analysis, _ = planted
    noise = np.random.default_rng(3).integers(0, 2, N)
    found = spread(workspace, analysis, answer(workspace, analysis, noise, 120, "noise"))
    assert found.held_out.share is not None
    assert abs(found.held_out.share - 0.5) < 0.15
    assert any("hardly show noise" in warning for warning in found.warnings)
    assert not len(found.doubtful)


def held(right: tuple[int, int], of: tuple[int, int]) -> HeldOut:
    values = np.repeat([0, 1], of)
    hits = np.concatenate([np.arange(count) < good for count, good in zip(of, right, strict=True)])
    chance = np.where(hits == (values == 1), 0.9, 0.1)
    return held_out_agreement(
        Trials(np.arange(len(values)), values, values, np.zeros(len(values), dtype=bool), chance, 0.0)
    )


def test_interval_is_honest_when_few_tags_all_agree() -> None:
    few, many = held((6, 6), (6, 6)), held((60, 60), (60, 60))
    assert few.share == many.share == 1.0 == few.high
    assert few.low < 0.75 < 0.9 < many.low
    assert held((1, 30), (1, 30)).share is None
    lopsided = held((2, 90), (4, 100))
    assert lopsided.share == pytest.approx(0.7)
    # four absent tags say little, however many present ones there are
    assert lopsided.high - lopsided.low > 0.3


@pytest.mark.parametrize(("counts", "shares"), [((12, 12), (0.9, 0.7)), ((8, 50), (0.6, 0.95)), ((30, 30), (0.5, 0.5))])
def test_interval_covers_the_truth_in_95_of_100(counts: tuple[int, int], shares: tuple[float, float]) -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(2000):
        right = rng.binomial(counts, shares)
        found = held((int(right[0]), int(right[1])), counts)
        covered += found.low <= np.mean(shares) <= found.high
    assert covered / 2000 > 0.93


def test_held_out_guesses_come_from_probes_that_did_not_see_them(workspace: Workspace, planted: Any) -> None:
    analysis, _ = planted
    # pure noise can be learnt by heart, but not guessed
    noise = np.random.default_rng(5).integers(0, 2, N)
    concept = answer(workspace, analysis, noise, 200, "noise")
    tried = trials(analysis, evidence(workspace, analysis, concept))
    assert len(tried.rows) == 200
    assert not np.isnan(tried.held_out).any()
    assert abs(((tried.held_out > 0.5) == (tried.values == 1)).mean() - 0.5) < 0.12


def made(probability: list[float], rows: list[int] | None = None) -> Spread:
    chance = np.array(probability)
    nothing = np.empty(0, dtype=np.int64)
    places = np.arange(len(chance)) if rows is None else np.array(rows)
    return Spread(None, places, chance, HeldOut(None, 0, 1, 0), 0, 0, nothing, ())  # type: ignore[arg-type]


def test_review_is_in_the_order_of_doubt_and_leaves_answers_out() -> None:
    guesses = made([0.9, 0.55, 0.7, 0.2, 0.44, 0.99, 0.6], [10, 11, 12, 13, 14, 15, 16])
    states = np.full(20, -1, dtype=np.int8)
    assert review(guesses, states).tolist() == [11, 16, 12, 10, 15]
    assert review(guesses, states, order="sure").tolist() == [15, 10, 12, 16, 11]
    assert review(guesses, states, side="absent").tolist() == [14, 13]
    assert review(guesses, states, side="both", limit=3).tolist() == [11, 14, 16]
    states[[11, 15]], states[16] = (1, 0), UNSURE
    assert review(guesses, states, limit=10).tolist() == [12, 10]
    assert review(guesses, states, limit=0).tolist() == []


def test_a_limit_cuts_the_full_list() -> None:
    rng = np.random.default_rng(0)
    guesses = made(rng.random(5000).round(2).tolist())
    states = np.where(rng.random(5000) < 0.2, 1, -1)
    for order in ("doubt", "sure"):
        full = review(guesses, states, side="both", order=order)  # type: ignore[arg-type]
        for limit in (1, 30, 999, 6000):
            assert review(guesses, states, side="both", order=order, limit=limit).tolist() == full[:limit].tolist()  # type: ignore[arg-type]


def test_an_adopted_column_leaves_only_its_gaps_to_review(workspace: Workspace, planted: Any) -> None:
    analysis, _ = planted
    val = analysis.split_rows("val")
    unknown = val[::10]
    codes = analysis.attributes[0].codes.copy()
    codes[unknown] = -1
    object.__setattr__(analysis.attributes[0], "codes", codes)
    concept = adopt(workspace, analysis, "place", "water")
    found = spread(workspace, analysis, concept)
    assert found.present + found.absent == len(val) - len(unknown)
    rows = review(found, answers(workspace, analysis, concept), side="both")
    assert set(rows.tolist()) == set(unknown.tolist())


def test_suggested_members_and_guesses_take_turns(workspace: Workspace, planted: Any) -> None:
    analysis, _ = planted
    concept = create_concept(workspace, analysis.dataset_id, "water")
    suggest_members(workspace, analysis, concept, [5, 12, 3], "cluster", scores=[0.9, 0.8, 0.7])
    suggested = suggested_members(workspace, analysis, concept)
    guesses = made([0.9, 0.55, 0.7, 0.2], [10, 11, 12, 13])
    states = np.full(20, -1, dtype=np.int8)
    merged = review_list(guesses, states, suggested)
    assert [item.row for item in merged] == [5, 11, 12, 3, 10]
    assert [item.source for item in merged] == ["cluster", "probe", "cluster", "cluster", "probe"]
    assert merged[2].probability == pytest.approx(0.7)
    assert merged[0].to_dict() == {"row": 5, "source": "cluster", "probability": None}
    states[[5, 11]] = 1
    assert [item.row for item in review_list(guesses, states, suggested, limit=2)] == [12, 3]
    assert [item.row for item in review_list(None, states, suggested)] == [12, 3]
    assert [item.row for item in review_list(guesses, states, suggested, side="absent")] == [13]
    assert review_list(None, states) == ()


def test_a_held_out_tag_has_no_say_in_what_its_class_is_assumed_to_show(
    workspace: Workspace, make_analysis: Any
) -> None:
    """One answer by the flip of a coin at the top of each class, and features that tell nothing but the class: whoever
    assumes the class's top half from the answer and then asks about it is right each time."""
    k, shares = 40, []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        labels = np.arange(k * 40) % k
        centres = 3 * rng.normal(size=(k, 64))
        head = Head(centres.astype(np.float32), (-(centres**2).sum(axis=1) / 2).astype(np.float32))
        analysis = make_analysis(centres[labels] + rng.normal(size=(len(labels), 64)), labels, head=head)
        tops = np.flatnonzero(ground(analysis).top)
        asked = np.array([rng.choice(tops[labels[tops] == c]) for c in range(k)])
        concept, coin = create_concept(workspace, analysis.dataset_id, f"coin {seed}"), rng.random(k) < 0.5
        tag(workspace, analysis, concept, asked[coin], True)
        tag(workspace, analysis, concept, asked[~coin], False)
        held_out = spread(workspace, analysis, concept).held_out
        assert held_out.tags == k
        assert held_out.low < 0.5
        shares.append(held_out.share)
    assert np.mean(shares) < 0.6


def test_divided_answers_are_clear_to_a_probe_that_sees_one_less(
    workspace: Workspace, make_analysis: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three against two of a class decide nothing, three against one do: who is asked about the second must not be
    helped by what its answer undid."""
    rng = np.random.default_rng(0)
    labels = np.arange(400) % 2
    features = rng.normal(size=(400, 6))
    features[:, 0] += 8 * labels
    analysis = make_analysis(features, labels, head=Head(np.eye(2, 6, dtype=np.float32), np.zeros(2, np.float32)))
    base = ground(analysis)
    first, second = (np.flatnonzero(base.top & (labels == c)) for c in (0, 1))
    concept = create_concept(workspace, analysis.dataset_id, "coin")
    tag(workspace, analysis, concept, [*first[:3], *second[:5]], True)
    tag(workspace, analysis, concept, first[3:5], False)
    known = evidence(workspace, analysis, concept)
    assert known.usual.values.tolist() == [UNTAGGED, 1]
    assert set(known.open) == set(first[5:])
    fits: list[np.ndarray] = []

    def fit(features: Any, values: np.ndarray, weights: np.ndarray, **rest: Any) -> Any:
        fits.append(np.where(weights > 0, values, UNTAGGED)[len(known.rows[known.tagged]) :])
        return logistic_regression(features, values, weights, **rest)

    monkeypatch.setattr(trials_module, "logistic_regression", fit)
    trials(analysis, known)
    (assumed,) = fits
    # by probe: how many images of the first class it took to be present, beside those of the second
    taken = (assumed == 1).sum(axis=0) - (len(second) - 5)
    assert set(taken.tolist()) == {0, len(first) - 5}


@pytest.mark.parametrize("broken", [np.nan, np.inf])
@pytest.mark.parametrize("logits_tell", [True, False])
def test_broken_features_count_as_if_they_were_not_there(
    workspace: Workspace, planted: Any, make_analysis: Any, broken: float, logits_tell: bool
) -> None:
    analysis, water = planted
    concept = answer(workspace, analysis, water, 80)
    val, train = analysis.split_rows("val"), analysis.split_rows("test")[:1]
    spoilt = np.concatenate([val[[2, 100, 200]], train])
    features = np.array(analysis.features)
    features[spoilt[:2]], features[spoilt[2:], 3] = broken, broken
    with np.errstate(invalid="ignore"):
        whole = make_analysis(features, analysis.labels, splits=analysis.splits, place=water)
    if not logits_tell:
        object.__setattr__(whole, "logits", analysis.logits)
    found = spread(workspace, whole, concept)
    assert set(val) - set(found.rows) == set(spoilt[:3])
    assert np.isfinite(found.probability).all()
    assert found.present + found.absent == found.held_out.tags == 79
    everyone = spread(workspace, whole, concept, split="all")
    assert set(range(N)) - set(everyone.rows) == set(spoilt)
    assert np.isfinite(everyone.probability).all()
    # the same images, the broken ones gone for good
    kept = np.setdiff1d(np.arange(N), spoilt)
    clean = make_analysis(analysis.features[kept], analysis.labels[kept], splits=analysis.splits[kept])
    base, expected = ground(whole), ground(clean)
    np.testing.assert_allclose(base.scaling.scale, expected.scaling.scale, rtol=1e-5)
    np.testing.assert_allclose(base.features, expected.features, atol=1e-4)


def test_a_broken_image_outside_the_ground_is_found_when_it_is_tagged(workspace: Workspace, make_analysis: Any) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(2, size=N)
    features = rng.normal(size=(N, 6)) + 4 * labels[:, None]
    splits = np.arange(N) % 2
    features[0, 1] = np.nan
    # weights that hide it from the logits would have to be none at all: these were computed elsewhere
    analysis = make_analysis(features, labels, splits=splits)
    object.__setattr__(analysis, "logits", np.nan_to_num(np.asarray(analysis.logits)))
    concept = create_concept(workspace, analysis.dataset_id, "water")
    rows = np.arange(40)
    for present in (True, False):
        tag(workspace, analysis, concept, rows[(labels[rows] == 1) == present], present)
    found = spread(workspace, analysis, concept)
    assert found.present + found.absent == 39
    assert np.isfinite(found.probability).all()
    assert np.isfinite(fitted_probe(workspace, analysis, concept).probe.weight).all()


def test_guesses_from_the_fit_are_those_of_the_features(workspace: Workspace, planted: Any) -> None:
    analysis, water = planted
    concept = answer(workspace, analysis, water, 60)
    for row in analysis.split_rows("val")[60:66]:
        tag(workspace, analysis, concept, [row], bool(water[row]))
        fitted = fitted_probe(workspace, analysis, concept)
        assert len(fitted.odds)
        pool = ground(analysis).pool
        np.testing.assert_allclose(
            pool_probabilities(analysis, fitted.probe, fitted.odds),
            probabilities(analysis, fitted.probe, pool),
            atol=1e-5,
        )
