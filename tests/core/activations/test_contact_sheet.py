"""Contact sheets: every image in one band, samples that belong to it, labels where the proposals lie."""

from __future__ import annotations

import json

import numpy as np
import pytest

from core.activations.bands import Range, assign
from core.activations.contact_sheet import (
    MOST_BANDS,
    MOST_IMAGES,
    ContactSheet,
    SheetBand,
    contact_sheet,
    sentence,
    sheet_edges,
)
from core.activations.directions import parse_direction
from core.activations.facets import facet_specs, parse_facet
from core.activations.index import make_index, open_index
from core.activations.store import Analysis
from core.errors import BadRequest
from tests.core.conftest import AnalysisMaker


@pytest.fixture
def analysis(make_analysis: AnalysisMaker) -> Analysis:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 900)
    features = rng.normal(size=(900, 6)) + labels[:, None]
    return make_analysis(features, labels, classes=("landbird", "waterbird"), place=rng.integers(-1, 2, 900))


def make(analysis: Analysis, bands: int = 6, *, per_band: int = 8, seed: int = 0, **options: object) -> ContactSheet:
    direction = parse_direction("logit:waterbird", analysis)
    index = open_index(analysis, direction)
    facets = [parse_facet(spec, analysis) for spec, _ in facet_specs(analysis)]
    edges = sheet_edges(index, bands)
    return contact_sheet(analysis, direction, index, edges, facets=facets, per_band=per_band, seed=seed, **options)


def test_bands_are_counted_by_the_edge_rule_strongest_first(analysis: Analysis) -> None:
    sheet = make(analysis)
    assert len(sheet.bands) == 6
    assert sheet.total == analysis.n
    assert sheet.outside == 0
    highs = [band.high for band in sheet.bands]
    assert highs == sorted(highs, reverse=True)
    assert [band.closed for band in sheet.bands] == [True, False, False, False, False, False]
    edges = np.array([*[band.low for band in sheet.bands][::-1], sheet.bands[0].high])
    band_of = assign(analysis.logits[:, 1], edges)
    right = analysis.predicted == analysis.labels
    for place, band in enumerate(reversed(sheet.bands)):
        inside = band_of == place
        assert band.count == np.count_nonzero(inside)
        assert band.accuracy == pytest.approx(right[inside].mean())
        assert set(band.rows) <= set(np.flatnonzero(inside).tolist())
        for spec, _, counts in band.facets:
            assert sum(number for _, number in counts) == band.count, spec
    assert sum(band.count for band in sheet.bands) == analysis.n


def test_facets_are_counted_and_the_unknown_is_named(analysis: Analysis) -> None:
    band = make(analysis, 1).bands[0]
    facets = {spec: dict(counts) for spec, _, counts in band.facets}
    codes = analysis.attributes[0].codes
    assert facets["attribute:place"] == {
        "land": int((codes == 0).sum()),
        "water": int((codes == 1).sum()),
        "unknown": int((codes == -1).sum()),
    }
    assert facets["class"] == {"landbird": int((analysis.labels == 0).sum()), "waterbird": int(analysis.labels.sum())}


def test_samples_are_seeded_without_repetition_strongest_first(analysis: Analysis) -> None:
    sheet = make(analysis, per_band=20)
    values = analysis.logits[:, 1]
    for band in sheet.bands:
        assert len(band.rows) == len(set(band.rows)) == min(20, band.count)
        drawn = values[list(band.rows)]
        assert (np.diff(drawn) <= 0).all()
    assert make(analysis, per_band=20) == sheet
    assert make(analysis, per_band=20, seed=1) != sheet
    everything = make(analysis, 24, per_band=500)
    assert max(len(band.rows) for band in everything.bands) == MOST_IMAGES


def test_samples_are_even_over_the_band(analysis: Analysis) -> None:
    direction = parse_direction("logit:waterbird", analysis)
    index = open_index(analysis, direction)
    drawn = np.zeros(analysis.n)
    for seed in range(300):
        sheet = contact_sheet(analysis, direction, index, sheet_edges(index, 1), facets=[], per_band=30, seed=seed)
        drawn[list(sheet.bands[0].rows)] += 1
    # 300 draws of 30 among 900: ten each, Poisson-like
    assert 9.9 < drawn.mean() < 10.1
    assert drawn.max() < 30
    assert 6 < drawn.var() < 13


def test_labels_mark_the_bands_of_the_proposals(analysis: Analysis) -> None:
    values = np.sort(analysis.logits[:, 1])
    mid = Range(float(values[100]), float(values[700]), "")
    top = Range(float(values[500]), float(values[-1]), "")
    sheet = make(analysis, 8, mid=mid, top=top)
    assert sheet.bands[0].label == "top"
    assert sum(band.label == "mid" for band in sheet.bands) > 1
    for band in sheet.bands:
        inside = (min(band.high, mid.high) - max(band.low, mid.low)) / (band.high - band.low)
        assert (band.label == "mid") == (inside >= 0.5)
    # narrower than any band: the one that holds it
    narrow = make(analysis, 3, mid=Range(float(values[400]), float(values[400]) + 1e-3, ""))
    marked = [band for band in narrow.bands if band.label == "mid"]
    assert [band.low <= values[400] <= band.high for band in marked] == [True]
    assert {band.label for band in make(analysis).bands} == {""}
    # a proposal where no image lies marks nothing
    assert {band.label for band in make(analysis, mid=Range(1e6, 2e6, "")).bands} == {""}


def test_edges_by_width_by_number_or_as_given(analysis: Analysis) -> None:
    index = open_index(analysis, parse_direction("neuron:0", analysis))
    widths = np.diff(sheet_edges(index, 5).values)
    assert widths == pytest.approx(widths[0])
    direction = parse_direction("neuron:0", analysis)
    equal = contact_sheet(
        analysis, direction, index, sheet_edges(index, 5, quantiles=True), facets=[], per_band=1, seed=0
    )
    assert {band.count for band in equal.bands} <= {179, 180, 181}
    given = contact_sheet(
        analysis, direction, index, sheet_edges(index, 5, given=(0.0, 0.5, 2.0)), facets=[], per_band=1, seed=0
    )
    assert [(band.low, band.high) for band in given.bands] == [(0.5, 2.0), (0.0, 0.5)]
    assert given.outside == analysis.n - sum(band.count for band in given.bands) > 0
    for bad in ((1.0, 0.0), (1.0,), (0.0, np.nan)):
        with pytest.raises(BadRequest):
            sheet_edges(index, 5, given=bad)
    for many in ({"bands": MOST_BANDS + 1}, {"bands": 3, "given": np.arange(MOST_BANDS + 2.0)}):
        with pytest.raises(BadRequest, match="do not fit"):
            sheet_edges(index, **many)


@pytest.mark.parametrize("kind", ["constant", "missing", "tied"])
def test_odd_activations_lose_no_image(analysis: Analysis, kind: str) -> None:
    values = {
        "constant": np.full(900, 3.0),
        "missing": np.where(np.arange(900) % 3 == 0, np.nan, analysis.features[:, 0]),
        "tied": np.where(np.arange(900) % 3 == 0, 0.0, analysis.features[:, 0]),
    }[kind].astype(np.float32)
    index = make_index(values)
    edges = sheet_edges(index, 6, quantiles=True)
    sheet = contact_sheet(analysis, parse_direction("neuron:0", analysis), index, edges, facets=[], per_band=4, seed=0)
    assert sum(band.count for band in sheet.bands) + sheet.outside == 900
    assert sheet.outside == np.isnan(values).sum()
    assert sheet.note == edges.note
    assert bool(sheet.note) == (kind != "missing")


def test_no_finite_activation_gives_no_band(analysis: Analysis) -> None:
    index = make_index(np.full(900, np.nan, dtype=np.float32))
    sheet = contact_sheet(
        analysis, parse_direction("neuron:0", analysis), index, sheet_edges(index, 4), facets=[], per_band=4, seed=0
    )
    assert sheet.bands == ()
    assert sheet.outside == 900
    assert "no bands" in sheet.note


@pytest.mark.parametrize("given", [None, (0.0, 1.0)])
def test_a_filter_that_leaves_nothing_is_told_as_it_is(analysis: Analysis, given: tuple[float, ...] | None) -> None:
    index = make_index(np.empty(0, dtype=np.float32))
    direction = parse_direction("neuron:0", analysis)
    edges = sheet_edges(index, 4, given=given)
    sheet = contact_sheet(analysis, direction, index, edges, facets=[], per_band=4, seed=0)
    assert (sheet.total, sheet.outside) == (0, 0)
    assert sheet.note.startswith("No image is left")
    assert [band.count for band in sheet.bands] == ([] if given is None else [0])


@pytest.mark.parametrize(("inside", "labels"), [(0.49, ["mid", ""]), (0.5, ["mid", "mid"]), (0.8, ["mid", "mid"])])
def test_a_band_lies_in_the_middle_from_half_its_width_on(analysis: Analysis, inside: float, labels: list[str]) -> None:
    index = make_index(np.linspace(0, 2, 900, dtype=np.float32))
    sheet = contact_sheet(
        analysis,
        parse_direction("neuron:0", analysis),
        index,
        np.array([0.0, 1.0, 2.0]),
        facets=[],
        per_band=4,
        seed=0,
        mid=Range(0.0, 1.0 + inside, ""),
    )
    assert [band.label for band in reversed(sheet.bands)] == labels


def test_only_the_images_of_the_index_count(analysis: Analysis) -> None:
    direction = parse_direction("logit:waterbird", analysis)
    index = open_index(analysis, direction, analysis.labels == 1)
    sheet = contact_sheet(analysis, direction, index, sheet_edges(index, 4), facets=[], per_band=10, seed=0)
    assert sheet.total == np.count_nonzero(analysis.labels == 1)
    assert all(analysis.labels[row] == 1 for band in sheet.bands for row in band.rows)


def test_everything_can_be_written_as_json(analysis: Analysis) -> None:
    result = json.loads(json.dumps(make(analysis).to_dict(), allow_nan=False))
    assert result["direction"] == "logit:waterbird"
    assert result["bands"][0]["facets"][0] == {
        "facet": "class",
        "title": "class",
        "counts": dict(make(analysis).bands[0].facets[0][2]),
    }


def told(*bands: tuple[str, int, float | None, dict[str, int]]) -> str:
    """The sentence of bands (label, images, accuracy, images per place)."""
    made = [
        SheetBand(0.0, 1.0, False, count, accuracy, (("attribute:place", "place", tuple(place.items())),), (), label)
        for label, count, accuracy, place in bands
    ]
    return sentence(ContactSheet("logit:a", "logit of a", tuple(made), sum(band.count for band in made), 0, ""))


def test_the_sentence_tells_what_falls_between_top_and_middle() -> None:
    top = ("top", 50, 1.0, {"land": 45, "water": 5})
    # of several bands of the middle each image counts once
    middle = (("mid", 30, 0.9, {"land": 15, "water": 15}), ("mid", 10, 0.5, {"land": 5, "water": 5}))
    assert told(top, ("", 99, 0.0, {"land": 99}), *middle) == (
        "The model is right in 100% of the top and 80% of the mid band; place “land” falls from 90% to 50%."
    )


def test_the_sentence_leaves_out_what_is_not_known() -> None:
    top, middle = ("top", 50, 1.0, {"land": 45, "water": 5}), ("mid", 40, 0.8, {"land": 20, "water": 20})
    assert told(top) == "", "no middle to set against"
    assert told(middle) == ""
    right = "The model is right in 100% of the top and 80% of the mid band."
    few = ("mid", 40, 0.8, {"land": 1, "water": 5, "not tagged": 34})
    assert told(top, few) == right, "a share of six images says nothing"
    assert told(top, ("mid", 40, 0.8, {"land": 34, "water": 6})) == right, "five points are no fall"
    unlabelled = [(label, count, None, place) for label, count, _, place in (top, middle)]
    assert told(*unlabelled) == "From the top to the mid band, place “land” falls from 90% to 50%."
