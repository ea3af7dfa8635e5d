"""A known share function lies inside the intervals, counts agree with the one edge rule, sentences say what is so."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom

from core.activations.bands import Range, assign
from core.activations.curves import (
    ALL,
    ESTIMATE,
    BandShare,
    ConfounderCurve,
    bin_edges,
    confounder_curve,
    curve_values,
    most_telling,
    percent,
    wilson,
)
from core.activations.facets import Facet, parse_facet
from core.activations.index import BandIndex, make_index
from core.activations.store import Analysis
from core.errors import BadRequest, NotFound
from core.retraining.evaluation import wilson as wilson_of_one
from tests.core.conftest import AnalysisMaker

MID, TOP = Range(-0.5, 0.5, ""), Range(1.0, 9.0, "")


def share_at(values: np.ndarray) -> np.ndarray:
    """What is planted: water is rare below and common above."""
    return 0.1 + 0.8 / (1 + np.exp(-2 * values))


def plant(make: AnalysisMaker, seed: int, n: int = 1200) -> tuple[Analysis, BandIndex, np.ndarray]:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=n).astype(np.float32)
    labels = (values + rng.normal(size=n) > 0).astype(int)
    place = (rng.random(n) < share_at(values)).astype(int)
    analysis = make(values[:, None], labels, classes=("landbird", "waterbird"), place=place)
    return analysis, make_index(values), values


def draw(analysis: Analysis, index: BandIndex, **options: object) -> ConfounderCurve:
    facet = parse_facet("attribute:place", analysis)
    return confounder_curve(analysis, index, facet, "water", **{"mid": MID, "top": TOP, **options})


def test_planted_share_lies_in_95_of_100_intervals(make_analysis: AnalysisMaker) -> None:
    inside = bins = 0
    for seed in range(40):
        analysis, index, values = plant(make_analysis, seed)
        curve = draw(analysis, index).curves[0]
        bin_of = assign(values, np.array([*curve.low, curve.high[-1]]))
        for i in range(len(curve.counts)):
            truth = share_at(values[bin_of == i]).mean()
            inside += curve.interval_low[i] <= truth <= curve.interval_high[i]
            bins += 1
    assert bins > 40 * 10
    # fewer or more would come about once in ten thousand times. (Averaging over a bin makes the
    # count a little less scattered than a binomial one, so the intervals cover slightly more.)
    low, high = binom.ppf([1e-4, 1 - 1e-4], bins, 0.955)
    assert low <= inside <= high


def test_counts_sum_and_agree_with_the_edge_rule(make_analysis: AnalysisMaker) -> None:
    analysis, index, values = plant(make_analysis, 0)
    drawn = draw(analysis, index)
    everything, landbird, waterbird = drawn.curves
    assert (everything.name, landbird.name, waterbird.name) == (ALL, "landbird", "waterbird")
    assert drawn.known + drawn.unknown + drawn.not_a_number == analysis.n
    assert sum(everything.counts) == drawn.known == analysis.n
    edges = np.array([*everything.low, everything.high[-1]])
    assert everything.low[1:] == everything.high[:-1]
    bin_of = assign(values, edges)
    water = analysis.attributes[0].codes == 1
    for curve, chosen in ((everything, analysis.labels >= 0), (landbird, analysis.labels == 0)):
        for i in range(len(curve.counts)):
            assert curve.counts[i] == np.count_nonzero(chosen & (bin_of == i))
            assert curve.shown[i] == np.count_nonzero(chosen & (bin_of == i) & water)
            assert curve.shares[i] == pytest.approx(curve.shown[i] / curve.counts[i])
            assert curve.interval_low[i] <= curve.shares[i] <= curve.interval_high[i]
    assert [a + b for a, b in zip(landbird.counts, waterbird.counts, strict=True)] == list(everything.counts)


def test_bands_of_the_sentence_are_counted_by_the_same_rule(make_analysis: AnalysisMaker) -> None:
    analysis, index, values = plant(make_analysis, 1)
    drawn = draw(analysis, index)
    water = analysis.attributes[0].codes == 1
    for share, band in ((drawn.mid, MID), (drawn.top, TOP)):
        inside = (values >= band.low) & (values <= band.high)
        assert (share.shown, share.count) == (np.count_nonzero(inside & water), np.count_nonzero(inside))
    mid, top = (f"{100 * share.share:.0f}%" for share in (drawn.mid, drawn.top))
    assert drawn.sentence == f"place water: {top} of the top band, {mid} of the middle."
    assert drawn.note == ""
    # a band open at its high end leaves out exactly that value
    value = float(np.sort(values)[600])
    closed, opened = (
        draw(analysis, index, mid=Range(-1.0, value, "", closed=closed)).mid.count for closed in (True, False)
    )
    assert closed == opened + 1


def test_only_tagged_images_count_and_it_is_said(make_analysis: AnalysisMaker) -> None:
    analysis, index, values = plant(make_analysis, 2)
    rng = np.random.default_rng(0)
    tagged = rng.random(analysis.n) < 0.1
    states = np.where(tagged, analysis.attributes[0].codes, -1)
    facet = parse_facet("concept:reeds", analysis, states=lambda name: states)
    drawn = confounder_curve(analysis, index, facet, "present", mid=MID, top=TOP)
    assert drawn.known == np.count_nonzero(tagged)
    assert drawn.unknown == analysis.n - drawn.known
    assert drawn.name == "reeds"
    # about 120 tagged images
    assert 3 <= len(drawn.curves[0].counts) <= drawn.known // 20
    assert min(drawn.curves[0].counts) >= 19
    assert "of the tagged images of the top band" in drawn.sentence
    assert "no random sample" in drawn.note
    assert f"Of {drawn.known:,} tagged images" in drawn.note
    few = tagged & (values >= TOP.low)
    assert f"({np.count_nonzero(few & (states == 1))} of {np.count_nonzero(few)})" in drawn.sentence


def test_few_images_give_few_bins_and_a_note(make_analysis: AnalysisMaker) -> None:
    analysis, index, _ = plant(make_analysis, 3)
    codes = np.full(analysis.n, -1, dtype=np.int16)
    codes[:30] = np.arange(30) % 2
    facet = Facet("attribute:place", "place", ("land", "water"), codes)
    drawn = confounder_curve(analysis, index, facet, "water", mid=MID, top=TOP)
    assert drawn.curves[0].counts == (30,)
    assert "one wide bin" in drawn.note
    nothing = confounder_curve(
        analysis, index, replace(facet, codes=np.full(analysis.n, -1, dtype=np.int16)), "water", mid=MID, top=TOP
    )
    assert nothing.curves[0].counts == ()
    assert nothing.known == 0
    assert "nothing is known" in nothing.sentence
    assert nothing.note == "Nothing is known of these images."


@pytest.mark.parametrize("kind", ["constant", "tied", "missing", "infinite", "none"])
def test_odd_activations_lose_no_image(make_analysis: AnalysisMaker, kind: str) -> None:
    analysis, _, values = plant(make_analysis, 4, n=400)
    odd = {
        "constant": np.full(400, 2.5),
        "tied": np.round(values),
        "missing": np.where(np.arange(400) % 4 == 0, np.nan, values),
        "infinite": np.where(np.arange(400) % 4 == 0, np.where(np.arange(400) % 8 == 0, np.inf, -np.inf), values),
        "none": np.full(400, np.nan),
    }[kind].astype(np.float32)
    drawn = draw(analysis, make_index(odd))
    finite = int(np.isfinite(odd).sum())
    assert sum(drawn.curves[0].counts) == drawn.known == finite
    assert drawn.not_a_number == 400 - finite
    if kind == "constant":
        assert drawn.curves[0].low == drawn.curves[0].high == (2.5,)
    if kind == "tied":
        assert all(low < high for low, high in zip(drawn.curves[0].low, drawn.curves[0].high, strict=True))


def test_an_estimate_stands_apart(make_analysis: AnalysisMaker) -> None:
    analysis, index, _ = plant(make_analysis, 5)
    guess = np.asarray(analysis.attributes[0].codes == 1)
    drawn = draw(analysis, index, estimate=guess)
    assert drawn.curves[-1].name == ESTIMATE
    assert drawn.curves[-1].shares == drawn.curves[0].shares
    tagged = Facet("concept:reeds", "reeds", ("absent", "present", "not tagged"), np.full(analysis.n, 2))
    tagged.codes[:60] = guess[:60]
    few = confounder_curve(analysis, index, tagged, "present", mid=MID, top=TOP, estimate=guess)
    assert sum(few.curves[0].counts) == 60
    assert sum(few.curves[-1].counts) == analysis.n
    assert len(few.curves[-1].counts) > len(few.curves[0].counts)
    assert "probe's guess" in drawn.note
    assert "probe" not in draw(analysis, index).note


def test_filtered_images_only(make_analysis: AnalysisMaker) -> None:
    analysis, _, values = plant(make_analysis, 6)
    waterbirds = analysis.labels == 1
    drawn = draw(analysis, make_index(values, waterbirds))
    assert [curve.name for curve in drawn.curves] == [ALL, "waterbird"]
    assert drawn.known == np.count_nonzero(waterbirds)


def test_many_classes_share_one_line_with_the_direction_s_own(make_analysis: AnalysisMaker) -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(1000) % 10
    analysis = make_analysis(rng.normal(size=(1000, 2)), labels, place=rng.integers(0, 2, 1000))
    index = make_index(analysis.features[:, 0])
    assert [curve.name for curve in draw(analysis, index).curves] == [ALL]
    assert [curve.name for curve in draw(analysis, index, own=3).curves] == [ALL, "class 3"]


def test_the_class_alone_is_told_apart_from_the_mix(make_analysis: AnalysisMaker) -> None:
    analysis, index, values = plant(make_analysis, 9)
    drawn = draw(analysis, index, own=1)
    own, water = analysis.labels == 1, analysis.attributes[0].codes == 1
    for share, band in ((drawn.own_mid, MID), (drawn.own_top, TOP)):
        inside = own & (values >= band.low) & (values <= band.high)
        assert (share.shown, share.count) == (np.count_nonzero(inside & water), np.count_nonzero(inside))
    mid, top = (f"{100 * share.share:.0f}%" for share in (drawn.own_mid, drawn.own_top))
    assert drawn.sentence.endswith(f" Of the waterbird images there alone: {top} and {mid}.")
    # where only the class is looked at, there is nothing to add
    alone = draw(analysis, make_index(values, own), own=1)
    assert "alone" not in alone.sentence
    assert alone.own == "waterbird"


def test_bins_see_most_where_images_are_few() -> None:
    rng = np.random.default_rng(0)
    # two classes far apart, a hundred images between them
    values = np.sort(np.concatenate([rng.normal(-4, 1, 700), rng.normal(4, 1, 700), rng.uniform(-2, 2, 100)]))
    edges = bin_edges(values.astype(np.float32), 16)
    between = (edges >= -2) & (edges <= 2)
    assert between.sum() >= 4
    counts = np.bincount(assign(values.astype(np.float32), edges))
    assert counts.sum() == 1500
    assert counts.min() >= 20
    assert len(counts) <= 16
    by_number = np.quantile(values, np.linspace(0, 1, len(edges)))
    assert between.sum() > ((by_number >= -2) & (by_number <= 2)).sum()


@pytest.mark.parametrize("seed", range(20))
def test_bins_hold_enough_images_whatever_the_values(seed: int) -> None:
    rng = np.random.default_rng(seed)
    size = int(rng.integers(0, 600))
    kind = [rng.normal(size=size), rng.standard_cauchy(size), np.round(rng.normal(size=size)), rng.pareto(0.5, size)]
    values = np.sort(kind[seed % 4]).astype(np.float32)
    edges = bin_edges(values, 16)
    counts = np.bincount(assign(values, edges), minlength=max(len(edges) - 1, 0)) if size else np.zeros(0)
    assert counts.sum() == size
    assert (np.diff(edges) > 0).all() or len(edges) == 2
    assert len(counts) <= max(1, min(16, size // 20))
    # ties are kept together, which may leave less in a bin of equally many
    if seed % 4 != 2 and size >= 60:
        assert counts.min() >= 19
        assert len(counts) >= 3


def test_bins_are_drawn_where_their_images_are(make_analysis: AnalysisMaker) -> None:
    analysis, index, values = plant(make_analysis, 10)
    curve = draw(analysis, index).curves[0]
    bin_of = assign(values, np.array([*curve.low, curve.high[-1]]))
    for i, place in enumerate(curve.places):
        assert curve.low[i] <= place <= curve.high[i]
        assert place == pytest.approx(values[bin_of == i].mean(dtype=np.float64), abs=1e-6)


@pytest.mark.parametrize("kind", ["tied", "huge", "tiny", "constant", "far"])
def test_places_lie_in_their_bins(make_analysis: AnalysisMaker, kind: str) -> None:
    analysis, _, values = plant(make_analysis, 12)
    odd = {
        "tied": np.round(values),
        "huge": values * np.float32(1e37),
        "tiny": values * np.float32(1e-44),
        "constant": np.full(len(values), 0.1),
        "far": values + np.float32(1e7),
    }[kind].astype(np.float32)
    # known of few, drawn for all
    codes = np.where(np.arange(analysis.n) % 5 == 0, analysis.attributes[0].codes, -1)
    facet = Facet("attribute:place", "place", ("land", "water"), codes)
    for bins in (1, 2, 16, 1000):
        curve = confounder_curve(analysis, make_index(odd), facet, "water", mid=MID, top=TOP, bins=bins).curves[0]
        assert len(curve.places) == len(curve.counts) >= 1
        for low, place, high in zip(curve.low, curve.places, curve.high, strict=True):
            assert low <= place <= high
        assert min(curve.counts) > 0


def test_bins_that_were_asked_for_are_not_called_few(make_analysis: AnalysisMaker) -> None:
    analysis, index, _ = plant(make_analysis, 13)
    for bins in (1, 2, 3):
        drawn = draw(analysis, index, bins=bins)
        assert (len(drawn.curves[0].counts), drawn.note) == (bins, "")
    for bins in (0, 1001, 300_000_000):
        with pytest.raises(BadRequest, match="bins") as caught:
            draw(analysis, index, bins=bins)
        assert "1 to 1000" in caught.value.next_step


def test_no_image_at_all_is_said_so(make_analysis: AnalysisMaker) -> None:
    analysis, _, values = plant(make_analysis, 14, n=100)
    nobody = draw(analysis, make_index(values, np.zeros(100, dtype=bool)), own=1)
    assert nobody.sentence == "No image is left to look at: the filter excludes all of them."
    assert nobody.note == ""
    assert nobody.known == nobody.unknown == nobody.not_a_number == 0
    missing = draw(analysis, make_index(np.full(100, np.nan, dtype=np.float32)))
    assert "None of the 100 images has a finite activation" in missing.sentence


def test_what_differs_most_is_found_first(make_analysis: AnalysisMaker) -> None:
    analysis, index, values = plant(make_analysis, 11)
    rng = np.random.default_rng(0)
    place = parse_facet("attribute:place", analysis)
    noise = Facet("attribute:noise", "noise", ("a", "b", "c"), rng.integers(0, 3, analysis.n))
    # two images of a rare kind, both at the top: all of nothing is not much
    rare = np.full(analysis.n, -1)
    rare[np.argsort(values)[-2:]] = 1
    rare[np.argsort(np.abs(values))[:2]] = 0
    few = Facet("attribute:rare", "rare", ("no", "yes"), rare)
    found = most_telling(analysis, index, [noise, few, place], mid=MID, top=TOP)
    assert found == (place, "water")
    assert most_telling(analysis, index, [noise, few, place], mid=MID, top=TOP, own=1) == (place, "water")
    assert most_telling(analysis, index, [parse_facet("class", analysis)], mid=MID, top=TOP) is None


def test_values_worth_drawing(make_analysis: AnalysisMaker) -> None:
    analysis, _, _ = plant(make_analysis, 7, n=60)
    two = parse_facet("attribute:place", analysis)
    three = Facet("attribute:season", "season", ("spring", "summer", "autumn"), np.zeros(60, dtype=np.int8))
    tagged = parse_facet("concept:reeds", analysis, states=lambda name: np.arange(60) % 3 - 1)
    untagged = parse_facet("concept:fog", analysis, states=lambda name: np.full(60, -1))
    others = [parse_facet("class", analysis), parse_facet("correctness", analysis)]
    drawn = [(facet.spec, value) for facet, value in curve_values([*others, two, three, tagged, untagged])]
    assert drawn == [
        ("attribute:place", "water"),
        ("attribute:season", "spring"),
        ("attribute:season", "summer"),
        ("attribute:season", "autumn"),
        ("concept:reeds", "present"),
    ]
    with pytest.raises(NotFound, match="lava"):
        confounder_curve(analysis, make_index(analysis.features[:, 0]), two, "lava", mid=MID, top=TOP)


def test_wilson_agrees_with_the_interval_of_evaluations() -> None:
    shown, of = np.array([0, 3, 20, 7, 0]), np.array([5, 10, 20, 700, 0])
    low, high = wilson(shown, of)
    for i in range(len(of)):
        assert (low[i], high[i]) == pytest.approx(wilson_of_one(int(shown[i]), int(of[i])), abs=1e-6)
    assert (low[0], high[2]) == (0, 1)


def test_empty_bands_have_no_share() -> None:
    empty = BandShare(0, 0)
    assert math.isnan(empty.share)
    assert empty.to_dict() == {"shown": 0, "count": 0, "share": None, "interval_low": 0.0, "interval_high": 1.0}


@pytest.mark.parametrize(
    ("share", "text"), [(0, "0%"), (0.0004, "0.1%"), (0.473, "47%"), (0.996, "99.6%"), (1, "100%"), (math.nan, "–")]
)
def test_percent_never_rounds_to_all_or_nothing(share: float, text: str) -> None:
    assert percent(share) == text


def test_everything_can_be_written_as_json(make_analysis: AnalysisMaker) -> None:
    analysis, index, _ = plant(make_analysis, 8, n=200)
    # a class that is missing in some bins
    drawn = draw(analysis, index, top=Range(50.0, 60.0, ""))
    text = json.dumps(drawn.to_dict(), allow_nan=False)
    assert json.loads(text)["top"]["share"] is None
    assert "nothing is known of the top band" in drawn.sentence
