"""Planted shortcuts come first, clean classifiers stay below the threshold, small numbers do not win."""

from __future__ import annotations

import itertools
import math
import os
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from core.activations.directions import leaning_class, parse_direction, scores
from core.activations.facets import Facet, parse_facet
from core.activations.index import members, open_index
from core.activations.proposals import propose
from core.activations.scoreboard import BLOCK, SUSPICIOUS, Suspicion, catalogue, scoreboard
from core.activations.scores import KEPT
from core.activations.store import Analysis
from core.activations.suspicion import class_space, clumping, combined, reduced, share_gain
from core.activations.vectors import delete_vector, save_vector
from core.classifiers.head import Head
from core.errors import Cancelled, NotEnoughTags, NotFound
from core.files import digest
from tests.core.conftest import AnalysisMaker

SHORTCUT, CORE, D = 3, 7, 24
# copies of the place in other features, which a clump is made of
ECHOES = (11, 12, 13)


def plant(
    make: AnalysisMaker,
    seed: int,
    *,
    n: int = 3000,
    agreement: float = 0.95,
    lean: float = 1.2,
    echoes: bool = False,
    mislabelled: float = 0.0,
    blurred: float = 0.0,
) -> Analysis:
    """Neuron 3 sees the place, neuron 7 the class, the others nothing. lean: the head's weight of the place. blurred,
    mislabelled: shares of such images."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, n)
    place = np.where(rng.random(n) < agreement, labels, 1 - labels)
    features = rng.normal(size=(n, D))
    features[:, SHORTCUT] += 2.5 * (2 * place - 1)
    features[:, CORE] += 2.5 * (2 * labels - 1)
    if echoes:
        features[:, ECHOES] += 2.0 * (2 * place - 1)[:, None]
    features[rng.random(n) < blurred] *= 0.25
    weight = np.zeros((2, D), dtype=np.float32)
    weight[1, [SHORTCUT, CORE]] = lean, 1.0
    weight[0] = -weight[1]
    shown = np.where(rng.random(n) < mislabelled, 1 - labels, labels)
    return make(features, shown, classes=("landbird", "waterbird"), head=Head(weight, np.zeros(2)), place=place)


def place_of(analysis: Analysis) -> Facet:
    return parse_facet("attribute:place", analysis)


def with_features(analysis: Analysis, features: np.ndarray) -> Analysis:
    """In a folder of its own: what is kept in one belongs to features that never change."""
    folder = analysis.folder.parent / digest(np.ascontiguousarray(features).tobytes())
    return replace(analysis, features=features, folder=folder)


def by_spec(found: tuple[Suspicion, ...]) -> dict[str, Suspicion]:
    return {one.spec: one for one in found}


@pytest.mark.parametrize("seed", range(5))
def test_planted_shortcut_neuron_ranks_first(make_analysis: AnalysisMaker, seed: int) -> None:
    analysis = plant(make_analysis, seed)
    found = scoreboard(analysis, catalogue(analysis, kinds=("neuron",)), facets=[place_of(analysis)])
    assert found[0].spec == f"neuron:{SHORTCUT}"
    assert found[0].score >= SUSPICIOUS
    assert all(one.score < 0.5 * found[0].score for one in found[1:])
    assert all(earlier.score >= later.score for earlier, later in itertools.pairwise(found))


@pytest.mark.parametrize("seed", range(5))
def test_without_attributes_the_leaning_logit_is_found_by_its_clump(make_analysis: AnalysisMaker, seed: int) -> None:
    leaning = plant(make_analysis, seed, echoes=True)
    assert scoreboard(leaning, ["logit:waterbird"])[0].score >= SUSPICIOUS
    # the same features, but the head does not look at the place
    clean = plant(make_analysis, seed, echoes=True, lean=0.0)
    assert scoreboard(clean, ["logit:waterbird"])[0].score < 0.1


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    "trouble", [{}, {"blurred": 0.1}, {"mislabelled": 0.05, "agreement": 0.5}], ids=["clean", "blurred", "mislabelled"]
)
def test_classifier_without_a_shortcut_raises_no_alarm(
    make_analysis: AnalysisMaker, seed: int, trouble: dict[str, float]
) -> None:
    analysis = plant(make_analysis, seed, lean=0.0, echoes=True, **trouble)
    specs = catalogue(analysis, kinds=("logit", "difference", "pc", "neuron"))
    for facets in ([place_of(analysis)], []):
        found = scoreboard(analysis, specs, facets=facets)
        assert found[0].score < SUSPICIOUS / 2
        assert not any(one.suspicious for one in found)


def test_noise_stays_near_zero_over_a_thousand_directions(make_analysis: AnalysisMaker) -> None:
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, 2000)
    analysis = make_analysis(rng.normal(size=(2000, 1000)), labels, place=rng.integers(0, 2, 2000))
    found = scoreboard(analysis, catalogue(analysis, kinds=("neuron",)), facets=[place_of(analysis)])
    for name in ("skew", "harm", "clump", "error"):
        figures = np.array([one.evidence[name] for one in found])
        assert np.quantile(figures, 0.9) < 0.05, name
        assert figures.max() < 0.35, name
    assert max(one.score for one in found) < 0.15


def test_sentence_and_evidence_are_true(make_analysis: AnalysisMaker) -> None:
    analysis = plant(make_analysis, 0)
    one = scoreboard(analysis, ["logit:waterbird"], facets=[place_of(analysis)])[0]
    values, own = analysis.logits[:, 1], analysis.labels == 1
    place = analysis.attributes[0].codes
    shares = []
    for band in (one.mid, one.top):
        inside = own & (values >= band.low) & (values <= band.high)
        shares.append((place[inside] == 0).mean())
        assert band.closed
    expected = [f"{100 * share:.0f}%" if share >= 0.01 else "" for share in shares]
    assert re.match(rf"{expected[0]} of the waterbird images in the middle have place “land”; at the top", one.why)
    assert one.evidence["mid_share"] == pytest.approx(shares[0])
    assert one.evidence["top_share"] == pytest.approx(shares[1])
    wrong = analysis.predicted != analysis.labels
    assert one.evidence["error_with"] == pytest.approx(wrong[own & (place == 0)].mean())
    assert one.evidence["error_without"] == pytest.approx(wrong[own & (place == 1)].mean())


def test_bands_are_those_that_the_presets_propose(make_analysis: AnalysisMaker) -> None:
    analysis = plant(make_analysis, 2)
    for spec in ("logit:waterbird", f"neuron:{SHORTCUT}", "neuron:0"):
        one = scoreboard(analysis, [spec])[0]
        direction = parse_direction(spec, analysis)
        low = propose(analysis, direction, "own-low")
        assert (one.mid.low, one.mid.high) == (low.low, low.high)
        # the median of an even number of images lies between two of them
        assert one.top.low == pytest.approx(propose(analysis, direction, "top").low, abs=0.02)


def test_a_few_tags_do_not_outweigh_what_is_known_of_all(make_analysis: AnalysisMaker) -> None:
    analysis = plant(make_analysis, 0)
    values, own = analysis.logits[:, 1], analysis.labels == 1
    place = analysis.attributes[0].codes
    # tags as people give them: what is proposed, here land in the middle and water at the top
    middle = np.flatnonzero(own & (place == 0))[np.argsort(values[own & (place == 0)])][:25]
    top = np.flatnonzero(own & (place == 1))[np.argsort(values[own & (place == 1)])][-5:]
    states = np.full(analysis.n, 2, dtype=np.int8)
    states[middle], states[top] = 0, 1
    concept = Facet("concept:water", "water", ("absent", "present", "not tagged"), states)
    for facets in ([concept, place_of(analysis)], [place_of(analysis), concept]):
        one = scoreboard(analysis, ["logit:waterbird"], facets=facets)[0]
        assert "have place “land”" in one.why
    alone = scoreboard(analysis, ["logit:waterbird"], facets=[concept])[0]
    assert re.match(r"(\d+) of the \1 tagged .*; at the top 0 of 5\. Tags are no random sample\.", alone.why)
    assert 0 < alone.evidence["skew"] < 0.5 * one.evidence["skew"]
    # the same tags of every image are worth as much as an attribute
    full = replace(concept, codes=place)
    everything = scoreboard(analysis, ["logit:waterbird"], facets=[full])[0]
    assert everything.evidence["skew"] == one.evidence["skew"]


@pytest.mark.parametrize("values", [2, 3, 40])
def test_many_values_have_to_differ_more(make_analysis: AnalysisMaker, values: int) -> None:
    analysis = plant(make_analysis, 1, n=600)
    names = tuple(f"value {i}" for i in range(values))
    facet = Facet("attribute:kind", "kind", names, np.asarray(analysis.attributes[0].codes))
    one = scoreboard(analysis, ["logit:waterbird"], facets=[facet])[0]
    e = one.evidence
    shown, of = [e["mid_share"] * e["mid_known"], e["top_share"] * e["top_known"]], [e["mid_known"], e["top_known"]]
    expected = share_gain(*(np.array([part[i]]) for i in (0, 1) for part in (shown, of)), 1 - 0.025 / values)
    assert e["skew"] == pytest.approx(expected[0])
    assert expected[0] > 0


def test_bands_hold_the_images_they_speak_of(make_analysis: AnalysisMaker) -> None:
    # an odd number of features and of images, and thousands of them: where matrix products round differently
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 4099)
    features = rng.normal(size=(4099, 65)) * np.exp(rng.normal(size=65)) + 0.5 * rng.normal(size=(3, 65))[labels]
    analysis = make_analysis(features, labels)
    save_vector(analysis, "mine", rng.normal(size=65))
    weight = rng.normal(size=65).astype(np.float32)

    def concept(name: str) -> tuple[np.ndarray, float]:
        return weight, 0.7

    kinds = ("logit", "margin", "probability", "difference", "neuron", "pc", "concept", "vector")
    specs = catalogue(analysis, kinds=kinds, concepts=["c"])
    rows = rng.random(4099) < 0.7
    for one in scoreboard(analysis, specs, rows=rows, concept=concept):
        own = labels == analysis.classes.index(one.class_name)
        index = open_index(analysis, parse_direction(one.spec, analysis, concept=concept), rows & own)
        for name, band in (("mid", one.mid), ("top", one.top)):
            assert len(members(index, band.low, band.high, closed=band.closed)) == one.evidence[f"{name}_images"]


def test_clump_lies_beside_the_way_to_another_class_not_on_it(make_analysis: AnalysisMaker) -> None:
    rng = np.random.default_rng(0)
    n, starts = 1500, np.array([0, 1500, 3000])
    found = {}
    for name, axis in (("towards the other class", 1), ("aside", 2)):
        features = rng.normal(size=(2 * n, 6))
        features[n:, 1] += 6
        # the weak end of the first class lies elsewhere
        values = rng.normal(size=n)
        weak = values <= np.sort(values)[n // 10]
        features[:n][weak, axis] += 3
        features[:n, 0] = values
        space = class_space(reduced(features.astype(np.float32), starts), starts, 0)
        assert space is not None
        middle, top = weak[:, None], (values >= np.median(values))[:, None]
        columns = values[:, None].astype(np.float32)
        found[name] = float(clumping(columns, np.ones((n, 1), bool), middle, top, space)[0])
    assert found["towards the other class"] < 0.1
    assert found["aside"] > 0.5


def test_class_is_the_one_that_the_direction_leans_to(make_analysis: AnalysisMaker) -> None:
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 4, 800)
    analysis = make_analysis(rng.normal(size=(800, 30)) + 0.3 * rng.normal(size=(4, 30))[labels], labels)
    for one in scoreboard(analysis, catalogue(analysis, kinds=("neuron",))):
        values = scores(analysis, parse_direction(one.spec, analysis))
        assert one.class_name == analysis.classes[leaning_class(values, labels, 4)]
    own = scoreboard(analysis, ["difference:class 2-class 0", "logit:class 3", "margin:class 1"])
    assert {one.spec: one.class_name for one in own} == {
        "difference:class 2-class 0": "class 2",
        "logit:class 3": "class 3",
        "margin:class 1": "class 1",
    }


def test_scaling_and_shifting_a_neuron_changes_nothing(make_analysis: AnalysisMaker) -> None:
    analysis = plant(make_analysis, 4, echoes=True)
    specs = catalogue(analysis, kinds=("neuron",))
    before = by_spec(scoreboard(analysis, specs, facets=[place_of(analysis)]))
    features = np.array(analysis.features)
    # a power of two and a shift of few digits, so that the numbers keep their order
    features[:, SHORTCUT] = features[:, SHORTCUT] * 64 + 16
    features[:, 0] = features[:, 0] / 1024
    moved = with_features(analysis, features)
    after = by_spec(scoreboard(moved, specs, facets=[place_of(analysis)]))
    for spec in specs:
        assert after[spec].score == pytest.approx(before[spec].score, abs=2e-3), spec
    mid, scaled = before[f"neuron:{SHORTCUT}"].mid, after[f"neuron:{SHORTCUT}"].mid
    assert (scaled.low, scaled.high) == pytest.approx((mid.low * 64 + 16, mid.high * 64 + 16), rel=1e-4)


@pytest.mark.parametrize("d", [D, 200])
def test_order_of_the_neurons_does_not_matter(make_analysis: AnalysisMaker, d: int) -> None:
    analysis = plant(make_analysis, 5, echoes=True)
    rng = np.random.default_rng(0)
    # beyond 128 features the axes are found at random, from the images' side
    wide = np.hstack([analysis.features, rng.normal(size=(analysis.n, d - D)).astype(np.float32)])
    order = rng.permutation(d)
    results = []
    for features in (wide, wide[:, order]):
        one = with_features(analysis, features)
        results.append(by_spec(scoreboard(one, catalogue(one, kinds=("neuron",)), facets=[place_of(analysis)])))
    for new, old in enumerate(order):
        assert results[1][f"neuron:{new}"].score == pytest.approx(results[0][f"neuron:{old}"].score, abs=2e-3)


def test_small_counts_do_not_win(make_analysis: AnalysisMaker) -> None:
    few, many = plant(make_analysis, 6, n=160), plant(make_analysis, 6, n=6000)
    small = by_spec(scoreboard(few, catalogue(few, kinds=("neuron",)), facets=[place_of(few)]))
    large = by_spec(scoreboard(many, catalogue(many, kinds=("neuron",)), facets=[place_of(many)]))
    assert small[f"neuron:{SHORTCUT}"].score < large[f"neuron:{SHORTCUT}"].score
    # 12 of 12 against 0 of 12 says less than 600 of 1,200 against 0 of 1,200 in a sample a hundred times larger
    gain = share_gain(np.array([3, 600]), np.array([3, 1200]), np.array([0, 0]), np.array([3, 1200]), 0.975)
    assert gain[0] < gain[1]


@pytest.mark.parametrize("n", [1, 2, 12, 40])
def test_few_images_are_said_to_be_too_few(make_analysis: AnalysisMaker, n: int) -> None:
    rng = np.random.default_rng(0)
    analysis = make_analysis(rng.normal(size=(n, 5)), np.arange(n) % 2, classes=("a", "b"), place=np.zeros(n))
    for one in scoreboard(analysis, ["logit:a", "neuron:1"], facets=[place_of(analysis)]):
        assert one.score == 0
        assert "too few" in one.why
        assert sum(one.counts) == n


def test_tied_constant_and_missing_activations_break_nothing(make_analysis: AnalysisMaker) -> None:
    analysis = plant(make_analysis, 7)
    features = np.array(analysis.features)
    features[:, 0] = 4.0
    features[:, 1] = np.nan
    features[:, 2] = np.where(np.arange(analysis.n) % 3, np.nan, features[:, 2])
    # a dead unit of a ReLU, zero for most
    features[:, 4] = np.maximum(features[:, 4] - 2, 0)
    features[:, 5] = np.round(features[:, 5])
    features[:, 6] = np.where(np.arange(analysis.n) % 2, np.inf, -np.inf)
    features[:, 8] *= 1e37
    odd = with_features(analysis, features)
    with np.errstate(all="raise", under="ignore"):
        found = by_spec(scoreboard(odd, catalogue(odd, kinds=("neuron",)), facets=[place_of(analysis)]))
    assert next(iter(found)) == f"neuron:{SHORTCUT}"
    for one in found.values():
        assert 0 <= one.score <= 1
        assert all(math.isfinite(value) for value in one.evidence.values())
        assert one.mid.low <= one.mid.high
        assert one.top.low <= one.top.high
    assert found["neuron:0"].score == 0
    assert "same activation" in found["neuron:0"].why
    assert sum(found["neuron:0"].counts) == analysis.n
    assert found["neuron:1"].counts == (0,) * 24
    assert sum(found["neuron:2"].counts) == np.isfinite(features[:, 2]).sum()
    assert sum(found["neuron:6"].counts) == 0
    # ties: the middle and the top of a half-dead unit do not overlap
    assert found["neuron:4"].mid.high < found["neuron:4"].top.low


def test_untagged_images_say_nothing(make_analysis: AnalysisMaker) -> None:
    analysis = plant(make_analysis, 8)
    place = analysis.attributes[0].codes
    rng = np.random.default_rng(0)
    tagged = rng.random(analysis.n) < 0.3
    states = np.where(tagged, place, 2).astype(np.int8)
    concept = Facet("concept:water", "water", ("absent", "present", "not tagged"), states)
    one = scoreboard(analysis, [f"neuron:{SHORTCUT}"], facets=[concept])[0]
    inside = tagged & (analysis.labels == 1)
    values = analysis.features[:, SHORTCUT]
    middle = inside & (values <= one.mid.high)
    assert one.evidence["mid_share"] == pytest.approx((place[middle] == 0).mean())
    top = inside & (values >= one.top.low)
    assert one.why == (
        f"{np.sum(place[middle] == 0)} of the {np.sum(middle)} tagged waterbird images in the middle do not show "
        f"“water”; at the top {np.sum(place[top] == 0)} of {np.sum(top)}. Tags are no random sample."
    )
    assert (one.evidence["mid_known"], one.evidence["top_known"]) == (np.sum(middle), np.sum(top))
    nothing = replace(concept, codes=np.full(analysis.n, 2, dtype=np.int8))
    blank = scoreboard(analysis, [f"neuron:{SHORTCUT}"], facets=[nothing])[0]
    assert blank.evidence["skew"] == 0
    assert blank.score == pytest.approx(scoreboard(analysis, [f"neuron:{SHORTCUT}"])[0].score)


def test_other_facets_are_passed_over(make_analysis: AnalysisMaker) -> None:
    analysis = plant(make_analysis, 9)
    others = [parse_facet(spec, analysis) for spec in ("class", "correctness", "split", "prediction")]
    with_others = scoreboard(analysis, ["logit:waterbird"], facets=others)
    assert with_others[0].to_dict() == scoreboard(analysis, ["logit:waterbird"])[0].to_dict()


def test_val_is_looked_at_unless_rows_are_given(make_analysis: AnalysisMaker) -> None:
    analysis = plant(make_analysis, 10)
    splits = np.where(np.arange(analysis.n) < 1000, 1, 0).astype(np.int8)
    split = replace(analysis, splits=splits)
    val = np.arange(analysis.n) < 1000
    assert sum(scoreboard(split, ["logit:waterbird"])[0].counts) == 1000
    by_rows = scoreboard(split, ["logit:waterbird"], rows=val)[0]
    assert by_rows.to_dict() == scoreboard(split, ["logit:waterbird"])[0].to_dict()
    by_numbers = scoreboard(split, ["logit:waterbird"], rows=np.flatnonzero(val)[::-1])[0]
    assert by_numbers.to_dict() == by_rows.to_dict()
    assert sum(scoreboard(split, ["logit:waterbird"], rows=~val)[0].counts) == analysis.n - 1000


def test_large_datasets_are_sampled_evenly_over_the_classes(make_analysis: AnalysisMaker) -> None:
    rng = np.random.default_rng(0)
    labels = np.where(rng.random(40_000) < 0.02, 1, 0)
    analysis = make_analysis(rng.normal(size=(40_000, 4)), labels, classes=("common", "rare"))
    common, rare = (scoreboard(analysis, [spec])[0] for spec in ("logit:common", "logit:rare"))
    assert sum(rare.counts) == 8192
    assert rare.evidence["images"] == (labels == 1).sum()
    assert common.evidence["images"] == 8192 - (labels == 1).sum()


def test_result_is_kept_until_something_it_depends_on_changes(
    make_analysis: AnalysisMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    analysis = plant(make_analysis, 11, n=400)
    facet = place_of(analysis)
    first = scoreboard(analysis, ["logit:waterbird", "neuron:3"], facets=[facet])

    def forbidden(*_: object) -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr("core.activations.scoreboard._judge", forbidden)
    again = scoreboard(analysis, ["logit:waterbird", "neuron:3"], facets=[facet])
    assert [one.to_dict() for one in again] == [one.to_dict() for one in first]
    assert again == first
    changes = [
        lambda: scoreboard(analysis, ["neuron:3"], facets=[facet]),
        lambda: scoreboard(analysis, ["logit:waterbird", "neuron:3"]),
        lambda: scoreboard(analysis, ["logit:waterbird", "neuron:3"], facets=[replace(facet, codes=1 - facet.codes)]),
        lambda: scoreboard(analysis, ["logit:waterbird", "neuron:3"], facets=[facet], rows=np.arange(400) > 5),
        lambda: scoreboard(
            replace(analysis, predicted=1 - analysis.predicted), ["logit:waterbird", "neuron:3"], facets=[facet]
        ),
    ]
    for change in changes:
        with pytest.raises(AssertionError, match="computed again"):
            change()


def test_images_labelled_anew_are_judged_anew(make_analysis: AnalysisMaker) -> None:
    analysis = plant(make_analysis, 11, n=400)
    # in the order of their classes, so that moving the border leaves the images in the same order
    before, after = (replace(analysis, labels=(np.arange(400) >= border).astype(np.int64)) for border in (200, 250))
    first, second = (scoreboard(one, ["logit:waterbird"])[0] for one in (before, after))
    assert (first.evidence["images"], second.evidence["images"]) == (200, 150)


def test_damaged_results_are_computed_again_and_old_ones_removed(make_analysis: AnalysisMaker) -> None:
    analysis = plant(make_analysis, 12, n=200)
    first = scoreboard(analysis, ["neuron:0"])
    folder = analysis.folder / "scoreboard"
    (file,) = folder.glob("*.json")
    for damage in ("{", "[1]", '[{"direction": "neuron:0"}]'):
        file.write_text(damage, encoding="utf-8")
        assert scoreboard(analysis, ["neuron:0"]) == first
    for i in range(D):
        scoreboard(analysis, [f"neuron:{i}"])
    assert len(list(folder.iterdir())) == KEPT


def test_concept_directions_are_judged_by_their_weights(make_analysis: AnalysisMaker) -> None:
    analysis = plant(make_analysis, 13)
    weights = {"now": SHORTCUT}

    def concept(name: str) -> tuple[np.ndarray, float]:
        weight = np.zeros(D, dtype=np.float32)
        weight[weights[name]] = 1
        return weight, 0.5

    facet = place_of(analysis)
    shortcut = scoreboard(analysis, ["concept:now"], facets=[facet], concept=concept)[0]
    neuron = scoreboard(analysis, [f"neuron:{SHORTCUT}"], facets=[facet])[0]
    assert shortcut.score == pytest.approx(neuron.score, abs=1e-3)
    assert shortcut.kind == "concept"
    # tagged differently, the concept points elsewhere: nothing old is given out
    weights["now"] = CORE
    assert scoreboard(analysis, ["concept:now"], facets=[facet], concept=concept)[0].score < 0.1


def test_work_can_be_cancelled_and_leaves_nothing(make_analysis: AnalysisMaker) -> None:
    analysis = plant(make_analysis, 14, n=200)
    seen: list[tuple[int, int]] = []

    def stop(done: int, total: int, message: str = "") -> None:
        seen.append((done, total))
        if len(seen) == 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        scoreboard(analysis, catalogue(analysis), progress=stop)
    assert not (analysis.folder / "scoreboard").exists()
    assert seen[0] == (0, D + 2)


def test_catalogue_lists_what_can_be_parsed(make_analysis: AnalysisMaker) -> None:
    analysis = plant(make_analysis, 15, n=200)
    specs = catalogue(analysis, kinds=("logit", "margin", "probability", "difference", "neuron", "pc"))
    assert len(set(specs)) == len(specs) == 2 + 2 + 2 + 2 + D + D
    assert all(parse_direction(spec, analysis).spec == spec for spec in specs)
    assert catalogue(analysis, kinds=("concept",), concepts=["reeds"]) == ("concept:reeds",)
    with pytest.raises(ValueError, match="cheese"):
        catalogue(analysis, kinds=("cheese",))
    assert catalogue(analysis, kinds=("logit", "logit")) == catalogue(analysis, kinds=("logit",))
    with pytest.raises(NotFound, match="24"):
        scoreboard(analysis, ["neuron:24"])


def test_directions_that_are_gone_do_not_stop_the_others(make_analysis: AnalysisMaker) -> None:
    analysis = plant(make_analysis, 16, n=200)
    for name in ("kept", "removed"):
        save_vector(analysis, name, np.arange(D))

    def concept(name: str) -> tuple[np.ndarray, float]:
        raise NotEnoughTags("Too few.", next_step="Tag more.")

    specs = catalogue(analysis, kinds=("vector", "concept", "neuron"), concepts=["untagged"])
    delete_vector(analysis, "removed")
    found = by_spec(scoreboard(analysis, specs, concept=concept))
    assert set(found) == set(specs) - {"vector:removed", "concept:untagged"}
    for missing, error in (("vector:removed", NotFound), ("concept:untagged", NotEnoughTags), ("neuron:99", NotFound)):
        with pytest.raises(error):
            scoreboard(analysis, [missing], concept=concept)
        assert len(scoreboard(analysis, ["neuron:0", missing], concept=concept)) == 1
        with pytest.raises(error):
            scoreboard(analysis, ["neuron:0", missing], concept=concept, strict=True)


def test_odd_class_names_are_ranked(make_analysis: AnalysisMaker) -> None:
    rng = np.random.default_rng(0)
    classes = ("a", "b-a", "a-b", "b", " cat", "cat", "x: y")
    analysis = make_analysis(rng.normal(size=(700, 4)), np.arange(700) % 7, classes=classes)
    specs = catalogue(analysis, kinds=("logit", "margin", "probability", "difference"))
    assert "difference:a-b-a" not in specs
    assert {f"difference:{a}-{b}" for a in classes[3:] for b in classes[3:] if a != b} < set(specs)
    found = scoreboard(analysis, specs, strict=True)
    assert {one.spec for one in found} == set(specs)
    assert by_spec(found)["logit: cat"].class_name == " cat"


def test_files_that_other_processes_write_and_remove_are_no_problem(
    make_analysis: AnalysisMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    analysis = plant(make_analysis, 17, n=200)
    scoreboard(analysis, ["neuron:0"])
    folder = analysis.folder / "scoreboard"
    being_written = folder / ".other.json.abc.json"
    being_written.write_text("", encoding="utf-8")
    os.utime(being_written, (0, 0))
    # a file that is listed and gone when it is asked for its age
    (folder / "gone.json").symlink_to(folder / "nowhere")
    monkeypatch.setattr("core.activations.scores.KEPT", 2)
    for i in range(4):
        assert scoreboard(analysis, [f"neuron:{i}"])
    assert being_written.exists()
    assert len([file for file in folder.glob("[!.]*.json") if file.exists()]) == 2


def test_directions_that_cannot_be_compared_have_the_same_figures(make_analysis: AnalysisMaker) -> None:
    analysis = plant(make_analysis, 18, n=20)
    full = plant(make_analysis, 18, n=900)
    few, many = (scoreboard(one, ["neuron:0"])[0].evidence for one in (analysis, with_features(full, full.features)))
    assert few.keys() == many.keys()


def test_a_thousand_classes_are_ranked_from_one_reading_of_the_logits(make_analysis: AnalysisMaker) -> None:
    rng = np.random.default_rng(0)
    k = 400
    analysis = make_analysis(rng.normal(size=(4000, 5)), np.arange(4000) % k)
    reads: list[int] = []

    class Counted(np.ndarray):
        def __getitem__(self, key: Any) -> Any:
            found = super().__getitem__(key)
            reads.append(np.size(found))
            return np.asarray(found)

    counted = replace(analysis, logits=analysis.logits.view(Counted))
    specs = catalogue(analysis, kinds=("margin", "probability"))
    found = scoreboard(counted, specs)
    assert {one.spec for one in found} == set(specs)
    # once per block of directions, not once per direction
    assert sum(reads) <= math.ceil(len(specs) / BLOCK) * analysis.logits.size
    for one in found[:3]:
        values = scores(analysis, parse_direction(one.spec, analysis))
        assert one.limits == (float(values.min()), float(values.max()))


def test_score_rises_with_each_figure_and_stays_between_0_and_1() -> None:
    assert combined(skew=0, harm=1, clump=1, error=0) == 0
    assert combined(skew=1, harm=1, clump=1, error=1) == 1
    base = {"skew": 0.3, "harm": 0.3, "clump": 0.3, "error": 0.3}
    for name in base:
        assert combined(**{**base, name: 0.5}) > combined(**base)
    # alone, a clump counts more than beside an attribute that says nothing
    assert combined(skew=0, harm=0, clump=0.5, error=0.5, known=0) > combined(skew=0, harm=0, clump=0.5, error=0.5)


def test_gain_is_newcombes_lower_bound() -> None:
    # Newcombe 1998, table II: 56/70 against 48/80, method 10: 0.0524 to 0.3339; 9/10 against 3/10: 0.1705 to 0.8090
    gain = share_gain(np.array([56, 9]), np.array([70, 10]), np.array([48, 3]), np.array([80, 10]), 0.975)
    assert gain == pytest.approx([0.0524, 0.1705], abs=5e-5)
    assert share_gain(np.array([3]), np.array([10]), np.array([9]), np.array([10]), 0.975) == 0
    assert share_gain(np.array([0]), np.array([0]), np.array([0]), np.array([0]), 0.975) == 0
