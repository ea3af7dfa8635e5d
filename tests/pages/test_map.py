"""The Map page: what it shows, what an event does to the selection, and what stands there when there is no UMAP."""

from __future__ import annotations

import base64
import json
import os
import re
from collections import OrderedDict
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient
from streamlit.testing.v1 import AppTest

from core.activations import projection
from core.activations.projection import MapSettings, make_umap, pca_map
from core.activations.store import Analysis
from core.concepts.concept import create_concept, delete_concept
from core.concepts.tags import tag, tag_states
from core.database import TagAction
from core.jobs.job import DONE, FAILED, RUNNING, Job
from core.workspace import Workspace
from pages.parts import (
    map_circle,
    map_colours,
    map_drawing,
    map_pictures,
    map_route,
    map_selection,
    map_state,
    map_strokes,
    map_umap,
    map_view,
)
from pages.parts.feature_map import UNKNOWN, read_event
from pages.parts.map_strokes import Stroke
from tests.pages.conftest import Visit, plant, set_job, texts
from tests.pages.test_feature_map import luminance, unpacked


@pytest.fixture
def no_umap(monkeypatch: pytest.MonkeyPatch) -> None:
    """UMAP itself takes half a minute to import and compile; its place is a turn of the plane."""
    monkeypatch.setattr(projection, "_lay_out", lambda values, settings, progress: values[:, 1::-1].copy())


def message(app: AppTest, which: str = "-marks") -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The last message of the component: its header, its arrays."""
    key = f"map{which}"
    found = [e for e in app.get("bidi_component") if e.proto.id.endswith(f"-{key}")]
    assert found, [e.proto.id for e in app.get("bidi_component")]
    return unpacked(found[-1].proto.bytes)


def around(xy: np.ndarray) -> list[float]:
    """Corners of a box around points."""
    (left, bottom), (right, top) = xy.min(axis=0) - 0.01, xy.max(axis=0) + 0.01
    return [float(number) for number in (left, bottom, right, bottom, right, top, left, top)]


def do(app: AppTest, analysis: Analysis, **event: Any) -> AppTest:
    """What the component would call for an event of the browser, and the run that follows."""
    view = app.session_state[map_state.VIEWS][analysis.id]
    read = read_event(event, analysis.n)
    assert read is not None

    def act() -> None:
        import streamlit as st

        from core.activations.store import open_analysis
        from pages.parts import map_drawing, state

        what, found = st.session_state["event"], st.session_state["for"]
        map_drawing.on_event(open_analysis(state.workspace(), found), what)

    small = AppTest.from_function(act, default_timeout=30)
    for key in (map_state.VIEWS, map_circle.SELECTED, map_circle.PAGE, map_circle.DRAWN):
        if key in app.session_state:
            small.session_state[key] = app.session_state[key]
    small.session_state["event"], small.session_state["for"] = read, analysis.id
    small.run()
    assert not small.exception
    for key in (map_state.VIEWS, map_circle.SELECTED, map_circle.PAGE, map_circle.DRAWN, map_drawing.OPENED, "notices"):
        if key in small.session_state:
            app.session_state[key] = small.session_state[key]
    after = app.session_state[map_state.VIEWS][analysis.id]
    assert replace(after, strokes=view.strokes, on=view.on) == view
    return app.run()


def linked(app: AppTest, name: str) -> str:
    """What the address says; the test driver gives a list of what the page wrote itself."""
    value = app.query_params[name]
    return value[0] if isinstance(value, list) else value


def chosen(app: AppTest, analysis: Analysis) -> list[int]:
    return app.session_state[map_circle.SELECTED][analysis.id].tolist()


# --- what is shown ---------------------------------------------------------------------------------------------------


def test_principal_components_are_shown_at_once(visit: Visit, planted: Analysis) -> None:
    app = visit("map")
    assert not app.exception
    header, arrays = message(app, "-points")
    assert header["title"] == "Principal components"
    xy = pca_map(planted)
    np.testing.assert_array_equal(arrays["x"], xy[:, 0])
    np.testing.assert_array_equal(arrays["y"], xy[:, 1])
    colours, codes = message(app, "-colours")
    assert colours["names"] == ["landbird", "waterbird"]
    np.testing.assert_array_equal(codes["codes"], planted.labels)
    assert [button.label for button in app.button if button.label == "Make the UMAP"]
    assert "Nothing is circled" in texts(app)


def test_the_band_of_the_bands_page_is_marked(visit: Visit, planted: Analysis) -> None:
    app = visit("bands", direction="logit:waterbird", low="0", high="2", split="all")
    app = visit("map", app)
    header, arrays = message(app)
    logits = planted.logits[:, 1]
    np.testing.assert_array_equal(np.unpackbits(arrays["band"])[: planted.n], (logits >= 0) & (logits <= 2))
    assert header["bandLabel"] == "logit of waterbird, 0.00 to 2.00"
    assert "activation: logit of waterbird" in map_colours_of(app)


def map_colours_of(app: AppTest) -> list[str]:
    options = next(box for box in app.selectbox if box.label == "Colour by").options
    return [option.removeprefix("Colour: ") for option in options]


def test_everything_asked_for_can_be_coloured_by(visit: Visit, workspace: Workspace, planted: Analysis) -> None:
    create_concept(workspace, planted.dataset_id, "water")
    offered = map_colours_of(visit("map"))
    assert offered[:6] == ["class", "prediction", "correctness", "split", "place", "water"]
    assert "activation: logit of landbird" in offered


@pytest.mark.parametrize("colour", ["prediction", "correctness", "attribute:place", "concept:water", "logit:waterbird"])
def test_each_colour_is_drawn_and_kept_in_the_address(
    visit: Visit, workspace: Workspace, planted: Analysis, colour: str
) -> None:
    concept = create_concept(workspace, planted.dataset_id, "water")
    tag(workspace, planted, concept, np.array([1, 2]), True)
    tag(workspace, planted, concept, np.array([3]), False)
    app = visit("map", colour=colour)
    assert not app.exception
    header, arrays = message(app, "-colours")
    codes = arrays["codes"]
    expected = {
        "prediction": planted.predicted,
        "correctness": planted.predicted == planted.labels,
        "attribute:place": planted.attributes[0].codes,
        "concept:water": np.where(np.isin(np.arange(600), [1, 2]), 0, np.where(np.arange(600) == 3, 1, UNKNOWN)),
    }
    if colour in expected:
        np.testing.assert_array_equal(codes, expected[colour])
    else:
        assert header["ramp"]
        order = np.argsort(planted.logits[:, 1])
        assert (np.diff(codes[order].astype(int)) >= 0).all()
        assert (codes.min(), codes.max()) == (0, 254)
    assert linked(app, "colour") == colour


def test_a_link_restores_layout_colour_and_view(visit: Visit, planted: Analysis) -> None:
    app = visit("map", layout="pca", colour="correctness", at="0.5,-0.25,3", neighbours="30", min_dist="0.5")
    view = app.session_state[map_state.VIEWS][planted.id]
    assert (view.layout, view.colour, view.where) == ("pca", "correctness", (0.5, -0.25, 3.0))
    assert view.settings == MapSettings(neighbours=30, min_dist=0.5)
    assert message(app)[0]["view"] == [0.5, -0.25, 3.0]


@pytest.mark.parametrize(
    "query",
    [
        {"layout": "sphere", "colour": "class"},
        {"neighbours": "many", "colour": "class"},
        {"min_dist": "7", "at": "a,b"},
        {"at": "nan,inf,-3", "colour": "class"},
        {"colour": "concept:gone"},
        {"colour": "neuron:9999"},
        {"colour": "<b>:x"},
    ],
)
def test_an_address_that_makes_no_sense_falls_back_to_the_usual(
    visit: Visit, planted: Analysis, query: dict[str, str]
) -> None:
    app = visit("map", **query)
    assert not app.exception
    assert not app.error
    view = app.session_state[map_state.VIEWS][planted.id]
    assert (view.layout, view.colour, view.where, view.settings) == ("umap", "class", None, MapSettings())


def test_an_unknown_colour_is_told(visit: Visit, planted: Analysis) -> None:
    app = visit("map", colour="concept:*gone*")
    assert any(r"\*gone\*" in toast.value for toast in app.toast)


def test_many_classes_keep_twelve_colours_and_count_the_rest(visit: Visit, workspace: Workspace) -> None:
    plant(workspace, name="many", classes=tuple(f"class {i}" for i in range(30)))
    header, arrays = message(visit("map"), "-colours")
    assert len(header["names"]) == 12
    assert header["names"][-1] == "19 others"
    assert np.bincount(arrays["codes"])[11] == 600 * 19 // 30


def test_names_of_every_kind_are_sent_as_text(visit: Visit, workspace: Workspace) -> None:
    names = ("<img src=x onerror=alert(1)>", "שלום *עולם* :smile:")
    plant(workspace, name="odd", classes=names)
    app = visit("map")
    assert not app.exception
    assert message(app, "-colours")[0]["names"] == list(names)


@pytest.mark.parametrize("n", [3])
def test_three_images_are_a_map(visit: Visit, workspace: Workspace, n: int) -> None:
    plant(workspace, n, name="few")
    app = visit("map")
    assert not app.exception
    assert len(message(app, "-points")[1]["x"]) == 3


def test_fewer_than_three_images_are_told_so(
    visit: Visit, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(workspace, 3, name="few")
    monkeypatch.setattr(map_view, "FEWEST", 4)
    app = visit("map")
    assert "A map needs at least" in texts(app)
    assert not app.get("bidi_component") or all("-points" not in e.proto.id for e in app.get("bidi_component"))


def test_an_empty_workspace_invites(visit: Visit) -> None:
    app = visit("map")
    assert not app.exception
    assert "Nothing to look at yet" in texts(app)


# --- the job ---------------------------------------------------------------------------------------------------------


def test_the_umap_is_made_in_the_background_and_takes_over(
    visit: Visit, workspace: Workspace, planted: Analysis, queued: list[Job], no_umap: None
) -> None:
    app = visit("map")
    do(app, planted, kind="one", row=5)
    next(button for button in app.button if button.label == "Make the UMAP").click().run()
    assert [(job.kind, job.request) for job in queued] == [("map", {"analysis": planted.id})]
    set_job(workspace, queued[0].id, state=RUNNING, done=40, total=200, message="Laying out the map")
    app.run()
    assert message(app, "-points")[0]["layout"] == "pca val"
    bar = app.get("progress")[0].proto
    assert "Principal components are shown until the UMAP is there" in bar.text
    assert bar.value == 20
    assert any(button.label == "Cancel" for button in app.button)
    make_umap(planted)
    set_job(workspace, queued[0].id, state=DONE, result={"analysis": planted.id})
    app.run()
    header, _ = message(app, "-points")
    assert header["title"] == "UMAP"
    assert header["layout"] != "pca val"
    assert chosen(app, planted) == [5]
    assert np.flatnonzero(np.unpackbits(message(app)[1]["selected"])).tolist() == [5]


def test_a_map_that_failed_says_why_and_can_be_tried_again(
    visit: Visit, workspace: Workspace, planted: Analysis, queued: list[Job]
) -> None:
    app = visit("map")
    next(button for button in app.button if button.label == "Make the UMAP").click().run()
    error = {"error": "DiskFull", "title": "Not enough disk space", "detail": "It is full.", "next_step": "Free some."}
    set_job(workspace, queued[0].id, state=FAILED, error=error)
    app.run()
    assert "Not enough disk space" in texts(app)
    assert any(button.label == "Try again" for button in app.button)
    assert message(app, "-points")[0]["layout"] == "pca val"


def test_other_settings_are_a_map_of_their_own(
    visit: Visit, planted: Analysis, queued: list[Job], no_umap: None
) -> None:
    make_umap(planted)
    app = visit("map")
    assert message(app, "-points")[0]["title"] == "UMAP"
    app.number_input[0].set_value(30)
    next(button for button in app.button if button.label == "Make the map").click().run()
    assert queued[0].request == {"analysis": planted.id, "neighbours": 30, "min_dist": 0.1}
    assert message(app, "-points")[0]["layout"] == "pca val"
    make_umap(planted, MapSettings(neighbours=30))
    app.run()
    assert message(app, "-points")[0]["title"] == "UMAP"
    assert linked(app, "neighbours") == "30"


def test_what_is_drawn_is_what_is_chosen_and_choosing_a_umap_makes_it(
    visit: Visit, planted: Analysis, queued: list[Job], no_umap: None
) -> None:
    app = visit("map")
    assert app.segmented_control(key="map-layout").value == "pca", "there is no UMAP yet"
    app.segmented_control(key="map-layout").set_value("umap").run()
    assert [job.kind for job in queued] == ["map"]
    assert app.segmented_control(key="map-layout").value == "pca", "until it is there"
    app.segmented_control(key="map-layout").set_value("umap").run()
    assert len(queued) == 1, "one that is on its way is not made twice"
    make_umap(planted)
    again = visit("map", app)
    assert again.segmented_control(key="map-layout").value == "umap"
    again.segmented_control(key="map-layout").set_value("pca").run()
    again.segmented_control(key="map-layout").set_value("umap").run()
    assert message(again, "-points")[0]["title"] == "UMAP"
    assert len(queued) == 1


def test_principal_components_stay_a_choice(visit: Visit, planted: Analysis, no_umap: None) -> None:
    make_umap(planted)
    app = visit("map")
    app.segmented_control[0].set_value("pca").run()
    assert message(app, "-points")[0]["layout"] == "pca val"
    assert "The two axes hold" in texts(app)
    assert linked(app, "layout") == "pca"


# --- the selection ---------------------------------------------------------------------------------------------------


def test_an_area_selects_what_lies_in_it_and_the_grid_shows_it(visit: Visit, planted: Analysis) -> None:
    app = visit("map", split="all")
    xy = pca_map(planted)
    rows = np.flatnonzero(xy[:, 0] > np.quantile(xy[:, 0], 0.9))
    corners = np.reshape(around(xy[rows]), (-1, 2))
    inside = ((xy >= corners.min(axis=0)) & (xy <= corners.max(axis=0))).all(axis=1)
    expected = np.flatnonzero(inside).tolist()
    do(app, planted, kind="area", corners=corners.ravel().tolist(), layout="pca all", colours="", values=None)
    assert chosen(app, planted) == expected
    assert np.flatnonzero(np.unpackbits(message(app)[1]["selected"])).tolist() == expected
    assert f"**{len(expected)} images:**" in texts(app)
    assert re.search(r"The model is wrong on \d", texts(app))
    grid = next(e for e in app.get("bidi_component") if e.proto.id.endswith("map-grid"))
    assert json.loads(grid.proto.json)["paging"]["total"] == len(expected)


def test_the_images_where_tags_count_are_shown_first(visit: Visit, planted: Analysis) -> None:
    app = visit("map")
    header, arrays = message(app, "-points")
    assert header["noun"] == "val images"
    np.testing.assert_array_equal(np.unpackbits(arrays["shown"])[: planted.n], planted.splits == 1)
    do(app, planted, kind="all")
    assert chosen(app, planted) == np.flatnonzero(planted.splits == 1).tolist()
    assert "are among them" not in texts(app)
    assert "of all val images\\)" in texts(app)
    app.segmented_control(key="map-split").set_value("all").run()
    # the same drawing, now over all images; what tags of them do is said
    assert len(chosen(app, planted)) == planted.n
    assert "**200 train and 200 test images are among them:** a repair learns from tags of val images" in texts(app)
    assert linked(app, "split") == "all"
    app.segmented_control(key="map-split").set_value("test").run()
    assert chosen(app, planted) == np.flatnonzero(planted.splits == 2).tolist()


def test_a_link_circles_the_same_images_again(visit: Visit, planted: Analysis) -> None:
    app = visit("map")
    xy = pca_map(planted)
    do(app, planted, kind="area", corners=around(xy[:300]), layout="pca val")
    do(app, planted, kind="one", row=210, mode="remove")
    do(app, planted, kind="all", mode="remove", values=[1], colours=message(app)[0]["colours"])
    before = chosen(app, planted)
    assert before
    again = visit("map", **{name: linked(app, name) for name in app.query_params})
    assert chosen(again, planted) == before
    assert linked(again, "circled") == linked(app, "circled")
    # codes of other colours would circle others
    box = next(box for box in app.selectbox if box.label == "Colour by")
    box.set_value("correctness").run()
    assert chosen(app, planted) == before
    assert "circled" not in app.query_params


def test_a_link_says_on_which_layout_it_was_drawn(visit: Visit, planted: Analysis, no_umap: None) -> None:
    app = visit("map")
    do(app, planted, kind="area", corners=around(pca_map(planted)[:250]), layout="pca val")
    before = chosen(app, planted)
    make_umap(planted)
    app.run()
    assert linked(app, "on") == "pca"
    again = visit("map", **{name: linked(app, name) for name in app.query_params})
    assert message(again, "-points")[0]["title"] == "UMAP"
    assert chosen(again, planted) == before


def test_going_back_to_an_address_without_a_circle_circles_nothing(visit: Visit, planted: Analysis) -> None:
    val = np.flatnonzero(planted.splits == 1)[:2].tolist()
    app = visit("map", circled=f"ri{val[0]}~ai{val[1]}", colour="class")
    assert chosen(app, planted) == val
    app.query_params.clear()
    app.query_params.update({"analysis": planted.id, "colour": "class"})
    app.run()
    assert chosen(app, planted) == []


STROKES = (
    Stroke("replace", (0.5, 1, 2, 1.25, -3e-7, 4), values=(0, 255)),
    Stroke("add"),
    Stroke("remove", row=17),
    Stroke("remove", values=()),
)


def test_strokes_are_read_back() -> None:
    text = map_strokes.written(STROKES)
    assert map_strokes.read(text) == STROKES
    assert re.fullmatch(r"[\w.~-]+", text)


@pytest.mark.parametrize(
    "text",
    [
        *("", "r", "rall~", "x1_2_3_4_5_6", "r1_2_3_4", "r1_2_3_4_5", "r1_2_3_4_5_nan", "r1_2_3_4_5_1e999", "rallv256"),
        *("ri-1", "ri٣", "r" + "_".join("1" * 122), "~".join(["rall"] * 7), "<b>", "r1__2_3_4_5"),
    ],
)
def test_what_is_no_stroke_circles_nothing(text: str) -> None:
    assert map_strokes.read(text) == ()


def test_a_concept_has_its_own_colour_and_what_nobody_tagged_is_faint(
    visit: Visit, workspace: Workspace, planted: Analysis
) -> None:
    create_concept(workspace, planted.dataset_id, "water", color="#b75ab0")
    header, _ = message(visit("map", colour="concept:water"), "-colours")
    assert (header["names"], header["unknown"]) == (["present", "absent"], "not tagged")
    assert header["colors"]["light"][0] == "#b75ab0"
    assert map_colours.legible("#ffffff", dark=False) != "#ffffff"
    for color in ("#ffffff", "#000000", "#ffff00", "#1f7a8c"):
        for dark, page in ((False, "#ffffff"), (True, "#13181d")):
            high, low = sorted((luminance(map_colours.legible(color, dark=dark)), luminance(page)), reverse=True)
            assert (high + 0.05) / (low + 0.05) >= 2.99


def test_bands_show_what_was_circled_alone_until_asked(visit: Visit, planted: Analysis) -> None:
    app = visit("map", split="all")
    for row in (3, 50, 300):
        do(app, planted, kind="one", row=row, mode="add")
    next(button for button in app.button if button.label == "Show in Bands").click().run()
    app = visit("bands", app)
    grid = lambda: json.loads(bidi_json(app, "band-grid"))["paging"]  # noqa: E731
    assert (grid()["total"], grid()["within"]) == (3, "in your circle")
    assert "are those you circled on the map" in texts(app)
    next(c for c in app.segmented_control if "band-brought" in c.key).set_value(False).run()
    assert grid()["total"] > 3


def bidi_json(app: AppTest, name: str) -> str:
    [found] = [e for e in app.get("bidi_component") if e.proto.id.endswith(f"-{name}")]
    return found.proto.json


def test_areas_add_and_take_away(visit: Visit, planted: Analysis) -> None:
    app = visit("map")
    do(app, planted, kind="one", row=3)
    do(app, planted, kind="one", row=9, mode="add")
    do(app, planted, kind="one", row=7, mode="add")
    do(app, planted, kind="one", row=9, mode="remove")
    assert chosen(app, planted) == [3, 7]
    do(app, planted, kind="clear")
    assert chosen(app, planted) == []
    assert "Nothing is circled" in texts(app)


def test_only_values_that_stand_out_are_selected(visit: Visit, planted: Analysis) -> None:
    app = visit("map", split="all")
    colours = message(app)[0]["colours"]
    do(app, planted, kind="all", values=[1], colours=colours)
    assert chosen(app, planted) == np.flatnonzero(planted.labels == 1).tolist()
    do(app, planted, kind="area", values=[0], colours=colours, layout="pca all", corners=around(pca_map(planted)))
    assert chosen(app, planted) == np.flatnonzero(planted.labels == 0).tolist()


@pytest.mark.parametrize(
    "late", [{"layout": "umap 15 0.1 all"}, {"layout": "pca all", "values": [1], "colours": "others"}]
)
def test_what_was_drawn_on_another_map_selects_nothing(visit: Visit, planted: Analysis, late: dict[str, Any]) -> None:
    app = visit("map", split="all")
    do(app, planted, kind="one", row=3)
    do(app, planted, kind="area", corners=around(pca_map(planted)), **late)
    assert chosen(app, planted) == [3]
    assert any("map changed" in toast.value for toast in app.toast)


def test_tags_of_the_selection_say_that_they_came_from_the_map(
    visit: Visit, workspace: Workspace, planted: Analysis
) -> None:
    concept = create_concept(workspace, planted.dataset_id, "water")
    app = visit("map", split="all")
    do(app, planted, kind="all", values=[1], colours=message(app)[0]["colours"])
    seen: dict[str, Any] = {}
    original = map_selection.gallery.show
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            map_selection.gallery, "show", lambda *args, **options: seen.update(options) or original(*args, **options)
        )
        app.run()
    assert seen["how"] == "map"
    assert seen.get("place") is None
    rows = app.session_state[map_circle.SELECTED][planted.id]
    tag(workspace, planted, concept, rows, True, how=seen["how"])
    assert (tag_states(workspace, planted, concept) == 1).sum() == len(rows)
    with workspace.reading() as session:
        assert session.query(TagAction).order_by(TagAction.id.desc()).first().how == "map"


def test_pointing_at_an_image_opens_it(visit: Visit, planted: Analysis) -> None:
    app = visit("map")
    do(app, planted, kind="open", row=4)
    assert app.session_state["inspector_looking"].image == planted.ids[4]


def test_bands_show_the_range_that_the_selection_takes(visit: Visit, planted: Analysis) -> None:
    app = visit("map", split="all")
    rows = [3, 50, 300]
    for row in rows:
        do(app, planted, kind="one", row=row, mode="add")
    next(button for button in app.button if button.label == "Show in Bands").click().run()
    values = planted.logits[rows, 0]
    view = app.session_state["band_views"][planted.id]
    assert (view.direction, view.split) == ("logit:landbird", "all")
    assert view.low <= values.min()
    assert view.high >= values.max()
    assert view.high - view.low < 1.1 * (values.max() - values.min()) + 0.1


def test_a_selection_changes_neither_places_nor_colours(visit: Visit, planted: Analysis) -> None:
    app = visit("map")
    before = {which: bidi(app, f"map{which}") for which in ("", "-points", "-colours", "-view")}
    do(app, planted, kind="one", row=3)
    after = {which: bidi(app, f"map{which}") for which in before}
    assert after == before
    # a bit per image for each of selection and band, and what a person reads
    assert len(bidi(app, "map-marks")) < 2 * planted.n / 8 + 2_000


def bidi(app: AppTest, name: str) -> bytes:
    """All that Streamlit would send for a component."""
    [found] = [e for e in app.get("bidi_component") if e.proto.id.endswith(f"-{name}")]
    return found.proto.SerializeToString(deterministic=True)


def test_what_is_offered_is_read_once_per_run(
    visit: Visit, workspace: Workspace, planted: Analysis, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_concept(workspace, planted.dataset_id, "water")
    app = visit("map")
    asked: list[object] = []
    original = map_colours.band_data.facets
    monkeypatch.setattr(map_colours.band_data, "facets", lambda subject: asked.append(subject) or original(subject))
    do(app, planted, kind="one", row=3)
    assert not asked
    create_concept(workspace, planted.dataset_id, "reeds")
    app.run()
    assert len(asked) == 1
    assert {"water", "reeds"} <= set(map_colours_of(app))


def test_a_umap_is_seen_however_close_to_the_last_look_it_came(visit: Visit, planted: Analysis, no_umap: None) -> None:
    app = visit("map")
    folder = planted.folder / "map"
    looked = folder.stat()
    make_umap(planted)
    # as on a file system whose clock has not moved on since
    os.utime(folder, ns=(looked.st_atime_ns, looked.st_mtime_ns))
    app.run()
    assert message(app, "-points")[0]["title"] == "UMAP"


def test_no_map_goes_by_another_ones_name(
    visit: Visit, planted: Analysis, no_umap: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = map_umap.about

    def umap_comes(*args: Any) -> None:
        original(*args)
        make_umap(planted)

    monkeypatch.setattr(map_umap, "about", umap_comes)
    header, arrays = message(visit("map"), "-points")
    assert (header["layout"], header["title"]) == ("pca val", "Principal components")
    np.testing.assert_array_equal(arrays["x"], pca_map(planted)[:, 0])


def test_what_was_drawn_while_the_umap_came_selects_what_was_drawn_around(
    visit: Visit, planted: Analysis, no_umap: None
) -> None:
    app = visit("map", split="all")
    do(app, planted, kind="one", row=5)
    xy = pca_map(planted)
    make_umap(planted)
    corners = around(xy[:100])
    do(app, planted, kind="area", layout="pca all", corners=corners)
    inside = projection.inside_polygon(xy, np.reshape(corners, (-1, 2)))
    assert chosen(app, planted) == np.flatnonzero(inside).tolist()
    assert message(app, "-points")[0]["title"] == "UMAP"


# --- pictures under the pointer --------------------------------------------------------------------------------------


@pytest.fixture
def asker(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> TestClient:
    """A browser that knows nothing but addresses."""
    monkeypatch.setenv("MIDBAND_WORKSPACE", str(workspace.root))
    monkeypatch.setattr(map_pictures, "_maps", OrderedDict())
    return TestClient(Starlette(routes=map_route.routes()))


def test_pictures_carry_what_is_known_of_an_image(
    visit: Visit, workspace: Workspace, planted: Analysis, asker: TestClient
) -> None:
    wrong = int(np.flatnonzero(planted.predicted != planted.labels)[0])
    concept = create_concept(workspace, planted.dataset_id, "water")
    label, predicted = (planted.classes[codes[wrong]] for codes in (planted.labels, planted.predicted))
    usual = [planted.image_names([wrong])[0], f"{label}, predicted {predicted}"]
    for colour, more in (
        ("class", []),
        ("logit:waterbird", [feature_map_number(planted.logits[wrong, 1])]),
        ("attribute:place", [f"place: {('land', 'water')[planted.attributes[0].codes[wrong]]}"]),
        ("concept:water", ["water: not tagged"]),
    ):
        app = visit("map", colour=colour)
        answer = asker.get(f"{message(app)[0]['pictures']}/{wrong}")
        assert answer.status_code == 200
        told = answer.json()[str(wrong)]
        assert told["lines"] == [*usual, *more]
        assert base64.b64decode(told["url"].removeprefix("data:image/webp;base64,")) == planted.thumbnail(wrong)
    # what somebody says meanwhile is told at once
    tag(workspace, planted, concept, np.array([wrong]), True)
    assert asker.get(answer.request.url).json()[str(wrong)]["lines"] == [*usual, "water: present"]
    delete_concept(workspace, concept)
    assert asker.get(answer.request.url).json()[str(wrong)]["lines"] == usual


def test_pictures_are_private_and_read_only(visit: Visit, planted: Analysis, asker: TestClient) -> None:
    address = message(visit("map"))[0]["pictures"]
    assert len(address.rpartition("/")[2]) >= 24
    found = asker.get(f"{address}/3,17,3")
    assert list(found.json()) == ["3", "17"]
    for answer in (found, asker.get(f"{address}/600")):
        assert "private" in answer.headers["cache-control"]
        assert "access-control-allow-origin" not in answer.headers
    assert asker.post(f"{address}/3").status_code == 405
    # somebody else's map has an address of its own
    assert message(visit("map"))[0]["pictures"] != address


@pytest.mark.parametrize(
    "rows",
    [
        "600",
        "-1",
        "1.5",
        "1e2",
        "nan",
        "True",
        "0x10",
        "%20",
        "",
        "3,",
        ",3",
        "3,600",
        "3;4",
        "٣",
        "²",
        "9" * 400,
        ",".join("3" * 33),
        "..%2f..%2fmidband.db",
        "%2e%2e/%2e%2e/etc/passwd",
        "3/../4%00",
        "<script>alert(1)</script>",
        "3'--",
    ],
)
def test_what_is_no_row_is_not_there(visit: Visit, planted: Analysis, asker: TestClient, rows: str) -> None:
    token = message(visit("map"))[0]["pictures"].rpartition("/")[2]
    answer = asker.get(f"/points/{token}/{rows}")
    assert answer.status_code == 404
    assert "Traceback" not in answer.text
    assert "webp" not in answer.text


@pytest.mark.parametrize("token", ["guessed", "..", "%00", "é", "x" * 4000])
def test_a_token_nobody_gave_out_opens_nothing(visit: Visit, planted: Analysis, asker: TestClient, token: str) -> None:
    visit("map")
    assert asker.get(f"/points/{token}/3").status_code == 404


def test_the_maps_used_last_are_known_and_no_more(
    planted: Analysis, asker: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    import streamlit as st

    monkeypatch.setattr(map_pictures, "MOST", 3)
    addresses = []
    for _ in range(4):
        st.session_state.pop(map_pictures.TOKEN, None)
        addresses.append(map_pictures.address(planted, "class", "class"))
        # the first one is in use all the time
        assert asker.get(f"{addresses[0]}/3").status_code == 200
    st.session_state.pop(map_pictures.TOKEN, None)
    assert [asker.get(f"{address}/3").status_code for address in addresses] == [200, 404, 200, 200]
    assert len(map_pictures._maps) == 3


def feature_map_number(value: float) -> str:
    from pages.parts.image_grid import format_activation

    return format_activation(float(value)) or ""


def test_extreme_activations_do_not_take_all_the_colours(visit: Visit, workspace: Workspace) -> None:
    analysis = plant(workspace, name="extreme")
    logits = np.array(analysis.logits)
    logits[0, 0], logits[1, 0], logits[2, 0] = 1e6, np.nan, np.inf
    np.save(analysis.folder / "logits.npy", logits)
    header, arrays = message(visit("map", colour="logit:landbird"), "-colours")
    codes = arrays["codes"]
    assert codes[0] == 254
    assert codes[[1, 2]].tolist() == [UNKNOWN, UNKNOWN]
    assert len(np.unique(codes)) > 100
    assert header["low"].startswith("≤")
