"""The Bands page: what is shown first, what a link restores, what the controls change."""

from __future__ import annotations

import json

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from core.activations.directions import parse_direction
from core.activations.proposals import propose
from core.activations.store import Analysis
from core.concepts.concept import create_concept
from core.workspace import Workspace
from pages.parts import state

from .conftest import Visit, plant, texts


def _proposed(analysis: Analysis, which: str, spec: str = "logit:landbird") -> tuple[float, float]:
    """What a rule proposes on val."""
    band = propose(analysis, parse_direction(spec, analysis), which, analysis.splits == 1)
    return band.low, band.high


def _band(app: AppTest) -> tuple[float, float]:
    return app.number_input(key="band_low").value, app.number_input(key="band_high").value


def _sent(app: AppTest) -> list[dict]:
    found = [json.loads(element.proto.json) for element in app.get("bidi_component") if element.proto.json]
    return [data for data in found if isinstance(data, dict)]


def _grid(app: AppTest) -> list[dict]:
    return next(data for data in _sent(app) if data.get("role") == "grid")["images"]


def _strip(app: AppTest) -> dict:
    return next(data for data in _sent(app) if "edges" in data)


def test_an_empty_workspace_invites_to_begin(visit: Visit) -> None:
    app = visit("bands")
    assert "Nothing to look at yet" in texts(app)
    assert not app.exception


def test_the_mid_band_of_val_is_shown_first(visit: Visit, planted: Analysis) -> None:
    app = visit("bands")
    assert not app.exception
    assert app.session_state["band_preset"] == "Mid band"
    assert app.session_state["band_split"] == "val"
    assert _band(app) == pytest.approx(_proposed(planted, "mid-gap"), abs=0.01)


@pytest.mark.parametrize(("name", "rule"), [("Top", "top"), ("Bottom", "bottom")])
def test_a_preset_is_one_click(visit: Visit, planted: Analysis, name: str, rule: str) -> None:
    app = visit("bands")
    app.segmented_control(key="band_preset").set_value(name).run()
    assert _band(app) == pytest.approx(_proposed(planted, rule), abs=0.01)
    assert app.session_state["band_preset"] == name


def test_every_image_of_the_grid_lies_in_the_band_and_the_split(visit: Visit, planted: Analysis) -> None:
    app = visit("bands")
    rows = planted.rows_of([image["id"] for image in _grid(app)])
    low, high = (app.number_input(key=key).value for key in ("band_low", "band_high"))
    logits = planted.logits[rows, 0]
    assert ((logits >= low) & (logits <= high)).all()
    assert set(planted.splits[rows]) == {1}


def test_what_surprises_comes_first_and_the_order_is_kept_in_the_link(visit: Visit, planted: Analysis) -> None:
    app = visit("bands")
    assert app.selectbox(key="band_order").value == "surprising"
    drawn = {image["id"] for image in _grid(app)}
    app.selectbox(key="band_order").set_value("strongest").run()
    ids = [image["id"] for image in _grid(app)]
    assert set(ids) == drawn
    assert (np.diff(planted.logits[planted.rows_of(ids), 0]) <= 0).all()
    assert app.query_params["order"] in ("strongest", ["strongest"])
    again = visit("bands", direction="logit:landbird", order="strongest")
    assert [image["id"] for image in _grid(again)] == ids
    # another class keeps it
    app.segmented_control(key="band_direction").set_value("logit:waterbird").run()
    assert app.selectbox(key="band_order").value == "strongest"


def test_the_next_step_follows_what_there_is(visit: Visit, planted: Analysis, workspace: Workspace) -> None:
    assert "Does something come up" in texts(visit("bands"))
    create_concept(workspace, planted.dataset_id, "water")
    app = visit("bands")
    next(button for button in app.button if button.label == "Tag next").click().run()
    assert app.title[0].value == "Tag next"


def test_typed_numbers_move_the_band_even_the_wrong_way_round(visit: Visit, planted: Analysis) -> None:
    app = visit("bands")
    high = app.number_input(key="band_high").value
    app.number_input(key="band_low").set_value(high + 1).run()
    shown = (app.number_input(key="band_low").value, app.number_input(key="band_high").value)
    assert shown == (high, high + 1)
    assert (_strip(app)["low"], _strip(app)["high"]) == shown


def test_a_band_beyond_every_image_says_so(visit: Visit, planted: Analysis) -> None:
    app = visit("bands", low="900", high="901", direction="logit:landbird")
    assert not app.exception
    assert "No image lies in this band" in texts(app)


def test_resampling_changes_the_seed_and_the_images(visit: Visit, workspace: Workspace) -> None:
    plant(workspace, 1200)
    app = visit("bands")
    app.segmented_control(key="band_preset").set_value("Top").run()
    before = [image["id"] for image in _grid(app)]
    next(button for button in app.button if button.label.startswith("Resample")).click().run()
    assert [image["id"] for image in _grid(app)] != before
    assert app.query_params["seed"] == "1"


def test_a_link_restores_the_view(visit: Visit, planted: Analysis) -> None:
    app = visit("bands", direction="logit:waterbird", low="-0.5", high="1.25", split="test", seed="7")
    assert app.session_state["band_direction"] == "logit:waterbird"
    assert app.session_state["band_split"] == "test"
    assert (app.number_input(key="band_low").value, app.number_input(key="band_high").value) == (-0.5, 1.25)
    again = {name: app.query_params[name] for name in ("direction", "low", "high", "split", "seed", "analysis")}
    assert again == {
        "direction": "logit:waterbird",
        "low": "-0.5",
        "high": "1.25",
        "split": "test",
        "seed": "7",
        "analysis": planted.id,
    }


@pytest.mark.parametrize(
    "query",
    [
        {"direction": "logit:nobody"},
        {"direction": "nonsense", "low": "x"},
        {"direction": "logit:landbird", "low": "nan", "high": "inf"},
        {"direction": "logit:landbird", "low": "3", "high": "1"},
        {"direction": "logit:landbird", "split": "holdout", "seed": "-1"},
    ],
)
def test_nonsense_in_a_link_falls_back_to_the_mid_band(visit: Visit, planted: Analysis, query: dict[str, str]) -> None:
    app = visit("bands", **query)
    assert not app.exception
    assert app.session_state["band_preset"] == "Mid band"


def test_a_link_into_another_workspace_is_told(visit: Visit, planted: Analysis) -> None:
    app = visit("home", analysis="0123abcd")
    assert "holds no investigation" in texts(app)
    assert not app.exception


def test_another_class_starts_with_its_own_mid_band(visit: Visit, planted: Analysis) -> None:
    app = visit("bands")
    app.segmented_control(key="band_direction").set_value("logit:waterbird").run()
    assert _band(app) == pytest.approx(_proposed(planted, "mid-gap", "logit:waterbird"), abs=0.01)


def test_the_histogram_counts_every_image_of_the_split(visit: Visit, planted: Analysis) -> None:
    assert np.sum(_strip(visit("bands"))["counts"]) == len(planted.split_rows("val"))


def test_choosing_another_investigation_here_is_not_undone_by_the_address(visit: Visit, workspace: Workspace) -> None:
    first, second = plant(workspace, name="first"), plant(workspace, 450, name="second")
    app = visit("bands")
    assert app.query_params["analysis"] == second.id
    app.selectbox(key="investigation_chooser").set_value(first.id).run()
    assert app.query_params["analysis"] == first.id
    assert sum(np.sum(counts) for counts in _strip(app)["counts"]) == len(first.split_rows("val"))


def test_many_classes_are_set_against_all_others(visit: Visit, workspace: Workspace) -> None:
    analysis = plant(workspace, classes=tuple(f"kind {i}" for i in range(9)))
    app = visit("bands")
    assert not app.exception
    assert app.selectbox(key="band_direction").options == list(analysis.classes)
    app.selectbox(key="band_direction").set_value("logit:kind 4").run()
    assert _strip(app)["classes"] == ["kind 4", "all others"]
    assert np.sum(_strip(app)["counts"]) == len(analysis.split_rows("val"))


def test_a_model_that_says_the_same_of_every_image_still_shows(visit: Visit, workspace: Workspace) -> None:
    analysis = plant(workspace, blind=True)
    app = visit("bands")
    assert not app.exception
    assert len(_grid(app)) == min(60, len(analysis.split_rows("val")))


@pytest.mark.parametrize(("seconds", "followed"), [(-1.0, True), (60.0, False)])
def test_the_back_button_is_followed_but_not_an_address_just_overwritten(
    visit: Visit, planted: Analysis, monkeypatch: pytest.MonkeyPatch, seconds: float, followed: bool
) -> None:
    monkeypatch.setattr(state, "SETTLING", seconds)
    app = visit("bands")
    before = dict(app.query_params)
    app.segmented_control(key="band_preset").set_value("Top").run()
    for name, value in before.items():
        app.query_params[name] = value
    app.run()
    assert app.session_state["band_preset"] == ("Mid band" if followed else "Top")
    assert (dict(app.query_params) == before) is followed


def test_a_link_pressed_right_after_the_address_was_written_is_followed(visit: Visit, planted: Analysis) -> None:
    app = visit("bands")
    app.segmented_control(key="band_preset").set_value("Top").run()
    other = next(f"logit:{name}" for name in planted.classes if f"logit:{name}" != app.query_params["direction"])
    app.query_params.clear()
    app.query_params.update({"analysis": planted.id, "direction": other})
    app.run()
    assert app.query_params["direction"] == other
