"""The confounder curve on its page: chooser, sentence, picture, figures, and what to do when nothing is known."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from core.activations.bands import Range
from core.activations.curves import ALL, ESTIMATE, ConfounderCurve, confounder_curve
from core.activations.directions import parse_direction
from core.activations.facets import Facet, parse_facet
from core.activations.index import make_index, open_index
from core.activations.store import Analysis
from core.concepts.concept import create_concept
from core.concepts.tags import tag
from core.workspace import Workspace
from pages.parts import band_curve
from pages.parts.band_curve import CHOSEN, DRAWN, chart, figures

from .conftest import tag_by_truth

MID, TOP = Range(-1.0, 1.0, ""), Range(1.5, 99.0, "")

# the part alone, over the test's workspace: filled by `look`
SCRIPT = """
import os
import streamlit as st
from core.activations.store import open_analysis
from core.activations.directions import parse_direction
from core.activations.facets import facet_specs, parse_facet
from core.activations.index import open_index
from core.activations.proposals import propose
from core.concepts.concept import get_concept, list_concepts
from core.concepts.tags import tag_states
from core.workspace import open_workspace
from pages.parts import band_curve

workspace = open_workspace(os.environ["MIDBAND_WORKSPACE"])
analysis = open_analysis(workspace)
direction = parse_direction("logit:waterbird", analysis)
names = [concept.name for concept in list_concepts(workspace, analysis.dataset_id)]
states = lambda name: tag_states(workspace, analysis, get_concept(workspace, analysis.dataset_id, name))
specs = [spec for spec, _ in facet_specs(analysis, names) if spec.startswith(KINDS)]
band_curve.show(
    analysis,
    direction,
    open_index(analysis, direction),
    mid=propose(analysis, direction, "mid-gap"),
    top=propose(analysis, direction, "top"),
    facets=[parse_facet(spec, analysis, states=states) for spec in specs],
    dark=False,
    on_choice=lambda chosen: st.session_state.update(told=chosen),
)
"""


@pytest.fixture(autouse=True)
def _here(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIDBAND_WORKSPACE", str(workspace.root))
    # links lead to the rooms of the whole app
    monkeypatch.setattr(band_curve.rooms, "link", lambda *_, **__: None)


def look(kinds: tuple[str, ...] = ("attribute:", "concept:"), **session: object) -> AppTest:
    app = AppTest.from_string(SCRIPT.replace("KINDS", repr(kinds)), default_timeout=30)
    for name, value in session.items():
        app.session_state[name] = value
    app.run()
    assert not app.exception
    return app


def drawn(app: AppTest) -> dict:
    return json.loads(app.get("plotly_chart")[0].proto.spec)


def test_what_differs_most_is_drawn_with_a_true_sentence(planted: Analysis) -> None:
    app = look()
    assert app.session_state[CHOSEN] == "attribute:place=water"
    sentence = app.header[0].value
    values, water = planted.logits[:, 1], planted.attributes[0].codes == 1
    own = planted.labels == 1
    median = np.median(values[own])
    share = water[values >= median].mean()
    assert f"{100 * share:.0f}" in sentence.replace("\\", "")
    assert "waterbird images there alone" in sentence.replace("\\", "")
    names = {line.get("name") for line in drawn(app)["data"]}
    assert {"all images", "landbird", "waterbird"} <= names


def test_single_choice_needs_no_chooser_and_two_do(workspace: Workspace, planted: Analysis) -> None:
    assert not look().get("button_group")
    tag_by_truth(workspace, planted, 40)
    assert len(look().get("button_group")) == 1


def test_a_choice_is_drawn_and_told(workspace: Workspace, planted: Analysis) -> None:
    tag_by_truth(workspace, planted, 40)
    app = look(curve_facet="attribute:place=water")
    app.get("button_group")[0].set_value("concept:water=present").run()
    assert not app.exception
    assert app.session_state[CHOSEN] == app.session_state["told"] == "concept:water=present"
    assert "tagged images" in app.header[0].value


def test_the_chosen_one_is_kept_and_nonsense_is_not(workspace: Workspace, planted: Analysis) -> None:
    tag_by_truth(workspace, planted, 40)
    app = look(curve_facet="concept:water=present")
    assert app.session_state[CHOSEN] == "concept:water=present"
    assert "tagged images" in app.header[0].value
    assert any("no random sample" in caption.value for caption in app.caption)
    app = look(curve_facet="attribute:gone=away")
    assert app.session_state[CHOSEN] in ("attribute:place=water", "concept:water=present")


def test_an_estimate_is_offered_with_tags_enough_and_drawn_when_asked(workspace: Workspace, planted: Analysis) -> None:
    assert not look().toggle
    concept = create_concept(workspace, planted.dataset_id, "reeds")
    tag(workspace, planted, concept, np.flatnonzero(planted.splits == 1)[:5], True)
    # only one value is tagged: nothing can be learned
    assert not look(curve_facet="concept:reeds=present").toggle
    tag_by_truth(workspace, planted, 40)
    app = look(curve_facet="concept:water=present")
    assert not app.toggle[0].value
    assert ESTIMATE not in {line.get("name") for line in drawn(app)["data"]}
    app.toggle[0].set_value(True).run()
    assert ESTIMATE in {line.get("name") for line in drawn(app)["data"]}
    assert len(app.table) == 2


def test_without_attribute_or_tag_it_says_what_to_do(workspace: Workspace, planted: Analysis) -> None:
    app = look(("concept:",))
    assert not app.get("plotly_chart")
    said = " ".join(element.value for element in app.markdown)
    assert "no curve yet" in said
    assert "New concept" in said
    assert "metadata.csv" in said
    create_concept(workspace, planted.dataset_id, "reeds")
    said = " ".join(element.value for element in look(("concept:",)).markdown)
    assert "You have named a concept" in said


def test_figures_are_readable_without_the_picture(planted: Analysis) -> None:
    app = look()
    table = app.table[0].value
    assert {"all images", "landbird", "waterbird", "activation"} == set(table.columns)
    assert len(table) >= 3
    assert all("of" in cell for cell in table["waterbird"])


def curve_of(analysis: Analysis, **options: object) -> ConfounderCurve:
    index = open_index(analysis, parse_direction("logit:waterbird", analysis))
    facet = parse_facet("attribute:place", analysis)
    return confounder_curve(analysis, index, facet, "water", **{"mid": MID, "top": TOP, **options})


@pytest.mark.parametrize("dark", [False, True])
def test_lines_differ_in_more_than_colour(planted: Analysis, dark: bool) -> None:
    figure = chart(curve_of(planted), "logit of waterbird", mid=MID, top=TOP, dark=dark)
    lines = [trace for trace in figure.data if trace.name]
    assert len({trace.line.dash for trace in lines if trace.name != ALL}) == 2
    assert len({trace.marker.symbol for trace in lines}) == 3
    assert len({trace.line.color for trace in lines}) == 3
    assert figure.layout.xaxis.title.text == "logit of waterbird"
    assert figure.layout.yaxis.title.text == "share with place: water"


def test_points_lie_where_the_counts_say_and_few_images_are_not_drawn(planted: Analysis) -> None:
    found = curve_of(planted)
    figure = chart(found, "logit", mid=MID, top=TOP, dark=False)
    by_name = {trace.name: trace for trace in figure.data if trace.name}
    left_out = 0
    for curve in found.curves:
        for y, share, count in zip(by_name[curve.name].y, curve.shares, curve.counts, strict=True):
            assert y == (pytest.approx(share) if count >= DRAWN else None)
            left_out += count < DRAWN
    assert left_out
    # one ribbon per stretch, none of it where nothing is drawn
    for trace in figure.data:
        if trace.fill:
            assert len(trace.x) == len(trace.y) == 2 * len(set(trace.x))


def test_both_bands_are_shaded_within_the_picture(planted: Analysis) -> None:
    figure = chart(curve_of(planted), "logit", mid=MID, top=TOP, dark=False)
    low, high = figure.layout.xaxis.range
    mid, top = figure.layout.shapes
    assert (mid.x0, mid.x1) == (MID.low, MID.high)
    assert top.x0 == TOP.low
    assert low <= top.x1 <= high
    assert [note.text for note in figure.layout.annotations] == ["<b>middle</b>", "<b>top</b>"]
    beyond = chart(curve_of(planted), "logit", mid=Range(500.0, 600.0, ""), top=TOP, dark=False)
    assert len(beyond.layout.shapes) == 1


def test_names_show_as_they_are(planted: Analysis) -> None:
    odd = replace(planted, classes=("<b>land</b>", "a & b"))
    facet = Facet("attribute:<i>", "<i>", ("no", "<u>yes"), planted.attributes[0].codes)
    index = make_index(planted.logits[:, 1])
    found = confounder_curve(odd, index, facet, "<u>yes", mid=MID, top=TOP, own=1)
    text = chart(found, "<script>", mid=MID, top=TOP, dark=False).to_json()
    for raw in ("<b>land", "<i>", "<u>", "<script>"):
        assert raw not in json.loads(json.dumps(text.replace("\\u003c", "<")))
    assert figures(found.curves)[0].keys() == {"activation", "all images", r"\<b\>land\</b\>", r"a \& b"}


def test_a_constant_direction_still_has_a_picture(planted: Analysis) -> None:
    facet = parse_facet("attribute:place", planted)
    index = make_index(np.full(planted.n, 2.0, dtype=np.float32))
    found = confounder_curve(planted, index, facet, "water", mid=Range(2.0, 2.0, ""), top=Range(2.0, 2.0, ""))
    figure = chart(found, "logit", mid=Range(2.0, 2.0, ""), top=Range(2.0, 2.0, ""), dark=True)
    low, high = figure.layout.xaxis.range
    assert low < 2.0 < high
