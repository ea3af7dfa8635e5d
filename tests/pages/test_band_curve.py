"""The confounder curve on its page: chooser, sentence, picture, figures, and what to do when nothing is known."""

from __future__ import annotations

import html
import re
from dataclasses import replace
from urllib.parse import unquote

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
from pages.parts.plot import isolated

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


def drawn(app: AppTest) -> str:
    (chart,) = [one.proto.body for one in app.get("html") if 'class="plot"' in one.proto.body]
    return chart


def legend(markup: str) -> list[str]:
    """Names of the lines, as they are read."""
    return [html.unescape(name) for name in re.findall(r'<li>.*?<bdi dir="auto">(.*?)</bdi></li>', markup)]


def places(markup: str, mark: str) -> list[tuple[float, float]]:
    """Percent of the plot from the left and from the bottom, of every mark of one kind."""
    picture = markup.partition('class="drawing"')[2].partition('class="hits"')[0]
    found = re.findall(rf'class="mark {mark}" style="--x:([0-9.]+);--y:([0-9.]+)', picture)
    return [(float(x), float(y)) for x, y in found]


def shades(markup: str) -> list[tuple[float, float]]:
    """Percent of the plot where each shaded band begins, and how wide it is."""
    return [(float(x), float(w)) for x, w in re.findall(r'class="shade" style="--x:([0-9.]+);--w:([0-9.]+)', markup)]


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
    # the classes first
    assert legend(drawn(app)) == ["landbird", "waterbird", "all images"]
    assert sentence.replace("\\", "") in html.unescape(drawn(app))


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
    assert ESTIMATE not in legend(drawn(app))
    app.toggle[0].set_value(True).run()
    assert ESTIMATE in legend(drawn(app))
    assert len(app.table) == 2


def test_without_attribute_or_tag_it_says_what_to_do(workspace: Workspace, planted: Analysis) -> None:
    app = look(("concept:",))
    assert not any('class="plot"' in one.proto.body for one in app.get("html"))
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


def picture(analysis: Analysis, *, axis: str = "logit", mid: Range = MID, top: Range = TOP) -> str:
    return chart(curve_of(analysis, mid=mid, top=top), axis, mid=mid, top=top)


def test_lines_differ_in_more_than_colour(planted: Analysis) -> None:
    markup = picture(planted, axis="logit of waterbird")
    lines = re.findall(r"--c:(light-dark\([^)]*\));--shape:url\('([^']*)'\)", markup.partition('class="hits"')[0])
    by_line = {color: unquote(shape) for color, shape in lines[len(lines) // 2 :]}
    assert len(by_line) == 3
    strokes = [re.findall('stroke-dasharray="([^"]*)"', shape)[0] for shape in by_line.values()]
    assert len(set(strokes)) == 2, "of two classes; all images are a thinner line"
    assert all(places(markup, mark) for mark in ("circle", "square", "open"))
    assert html.unescape(re.findall('class="title along"[^>]*>([^<]*)<', markup)[0]) == isolated("logit of waterbird")
    assert re.findall('class="title up"[^>]*>([^<]*)<', markup)[0] == f"share with {isolated('place: water')}"


def test_points_lie_where_the_counts_say_and_few_images_are_not_drawn(planted: Analysis) -> None:
    found = curve_of(planted)
    markup = picture(planted)
    low, high = min(curve.low[0] for curve in found.curves), max(curve.high[-1] for curve in found.curves)
    low, high = low - 0.02 * (high - low), high + 0.02 * (high - low)
    left_out = 0
    for curve, mark in zip(found.curves, ("open", "circle", "square"), strict=True):
        wanted = [
            (100 * (place - low) / (high - low), 100 * (share + 0.03) / 1.06)
            for place, share, count in zip(curve.places, curve.shares, curve.counts, strict=True)
            if count >= DRAWN
        ]
        left_out += len(curve.counts) - len(wanted)
        assert places(markup, mark) == [pytest.approx(one, abs=2e-3) for one in wanted]
    assert left_out
    # what is not drawn is not told either, and all else is
    told = [html.unescape(one) for one in re.findall('type="radio"[^>]* aria-label="([^"]*)"', markup)]
    assert sum(one.count(" of ") for one in told) == sum(map(len, (curve.counts for curve in found.curves))) - left_out
    counts = found.curves[0]
    assert f"{counts.shown[0]:,} of {counts.counts[0]:,}" in told[0]


def test_both_bands_are_shaded_within_the_picture(planted: Analysis) -> None:
    markup = picture(planted)
    mid, top = shades(markup)
    found = curve_of(planted)
    low, high = min(curve.low[0] for curve in found.curves), max(curve.high[-1] for curve in found.curves)
    per_unit = 100 / (1.04 * (high - low))
    assert mid[1] == pytest.approx((MID.high - MID.low) * per_unit, abs=0.01)
    assert top[0] - mid[0] == pytest.approx((TOP.low - MID.low) * per_unit, abs=0.01)
    assert top[0] + top[1] == pytest.approx(100, abs=0.01)
    assert re.findall('class="shade-name[^>]*>([^<]*)<', markup) == ["middle", "top"]
    assert len(shades(picture(planted, mid=Range(500.0, 600.0, "")))) == 1


def test_names_of_bands_that_are_close_stand_one_above_the_other(planted: Analysis) -> None:
    assert "raised" not in picture(planted, mid=Range(-4.0, -3.0, ""))
    assert picture(planted, top=Range(0.0, 1.0, "")).count("raised") == 1


def test_names_show_as_they_are(planted: Analysis) -> None:
    odd = replace(planted, classes=("<b>land</b>", "a & b"))
    facet = Facet("attribute:<i>", "<i>", ("no", "<u>yes"), planted.attributes[0].codes)
    index = make_index(planted.logits[:, 1])
    found = confounder_curve(odd, index, facet, "<u>yes", mid=MID, top=TOP, own=1)
    markup = chart(found, "<script>", mid=MID, top=TOP)
    for raw in ("<b>land", "<i>:", "<u>", "<script>"):
        assert raw not in markup
    assert legend(markup) == ["<b>land</b>", "a & b", ALL]
    assert figures(found.curves)[0].keys() == {"activation", "all images", r"\<b\>land\</b\>", r"a \& b"}


def test_a_constant_direction_still_has_a_picture(planted: Analysis) -> None:
    facet = parse_facet("attribute:place", planted)
    index = make_index(np.full(planted.n, 2.0, dtype=np.float32))
    only = Range(2.0, 2.0, "")
    found = confounder_curve(planted, index, facet, "water", mid=only, top=only)
    assert [x for x, _ in places(chart(found, "logit", mid=only, top=only), "open")] == [50]
