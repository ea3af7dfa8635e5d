"""The tour of a demo: its steps follow what was really done, it can be left and taken up, and a reset begins afresh."""

from __future__ import annotations

import json

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from core.activations.store import Analysis
from core.concepts.concept import create_concept, list_concepts
from core.concepts.tags import UNTAGGED, tag, tag_states
from core.database import Meta
from core.retraining.runs import latest_run, retrain
from core.workspace import Workspace
from pages.parts import tour_steps, who

from .conftest import Visit, plant, tag_by_truth, texts


@pytest.fixture
def demo(workspace: Workspace) -> Analysis:
    """A planted investigation that counts as the demo of the birds."""
    analysis = plant(workspace)
    with workspace.writing() as session:
        session.merge(Meta(key="demo", value=json.dumps({"version": ["", ""], "analysis": analysis.id})))
    return analysis


@pytest.fixture
def started(visit: Visit, demo: Analysis) -> AppTest:
    app = visit()
    press(app, "demo-birds")
    return app


def press(app: AppTest, key: str) -> AppTest:
    app.button(key=key).click().run()
    assert not app.exception
    return app


def has(app: AppTest, key: str) -> bool:
    return any(button.key == key for button in app.button)


def listed(app: AppTest) -> list[str]:
    """Per step: done, now, skipped or open."""
    found = [each.proto.body for each in app.sidebar.get("html") if "<ol>" in each.proto.body]
    return [part.split("'")[1] for part in found[0].split("<li ")[1:]] if found else []


def test_the_first_visit_of_the_demo_begins_at_the_top_band(started: AppTest, demo: Analysis) -> None:
    assert started.query_params["direction"] == "logit:waterbird"
    assert listed(started) == ["done", "now", "open", "open", "open", "open"]
    assert "What do they share?" in texts(started)


def test_each_step_is_told_from_what_was_done(
    visit: Visit, started: AppTest, demo: Analysis, workspace: Workspace
) -> None:
    app = press(started, "tour-show-mid")
    assert listed(app)[:3] == ["done", "done", "now"]
    assert "it hesitates" in texts(app)
    press(app, "tour-show-name")
    assert any(box.label == "What do you see?" for box in app.text_input)
    concept = create_concept(workspace, demo.dataset_id, "water")
    app.run()
    assert listed(app)[3] == "now"

    press(app, "tour-show-tag")
    assert "Which of these 20 show water?" in texts(app)
    images = json.loads(next(g.proto.json for g in app.get("bidi_component") if '"role": "grid"' in g.proto.json))
    assert len(images["images"]) == tour_steps.GOAL
    rows = demo.rows_of(tuple(image["id"] for image in images["images"]))
    lead = demo.logits[rows, 1] - demo.logits[rows, 0]
    assert (np.diff(lead) <= 0).all()
    water = demo.attributes[0].codes[rows] == 1
    tag(workspace, demo, concept, rows[water], True)
    app.run()
    assert listed(app)[3] == "now"
    assert f"{water.sum()} of 20 so far" in texts(app)
    tag(workspace, demo, concept, rows[~water], False)
    app.run()
    assert listed(app)[4] == "now"
    press(app, "tour-show-repair")
    assert "What it will learn from" in texts(app)
    assert not has(app, "tour-show-repair")

    run = retrain(workspace, demo, method="mid")
    app.run()
    assert listed(app)[5] == "now"
    press(app, "tour-show-compare")
    assert listed(app) == ["done"] * 6
    figures = f"{round(100 * run.before.worst_group)}% → {round(100 * run.after.worst_group)}%"
    assert figures in texts(app)
    assert "with 20 answers" in texts(app)
    press(app, "tour-close")
    assert not listed(app)


def test_a_step_that_was_not_done_is_skipped_and_the_end_says_what_is_so(started: AppTest) -> None:
    app = started
    for name in ("mid", "name", "tag", "repair", "compare"):
        press(app, f"tour-skip-{name}")
    assert listed(app) == ["done", *["skipped"] * 5]
    assert "Nothing is repaired yet" in texts(app)


def test_ended_it_does_not_come_back_unasked_but_can_be_taken_again(
    visit: Visit, started: AppTest, demo: Analysis
) -> None:
    app = press(started, "tour-end")
    assert not listed(app)
    visit("home", app)
    press(app, "demo-birds")
    assert not listed(app)
    visit("home", app)
    press(app, f"tour-{demo.id}")
    assert listed(app)[:2] == ["done", "now"]


def test_another_session_of_the_browser_finds_it_where_it_was(
    visit: Visit, demo: Analysis, cookies: dict[str, str]
) -> None:
    cookies[who.COOKIE] = "0123456789abcdef.Ann"
    press(press(visit(), "demo-birds"), "tour-show-mid")
    assert listed(visit("bands"))[:3] == ["done", "done", "now"]
    cookies[who.COOKIE] = "fedcba9876543210.Bob"
    assert not listed(visit("bands"))


def test_other_investigations_have_no_tour(visit: Visit, started: AppTest, workspace: Workspace) -> None:
    other = plant(workspace, 450, name="own")
    started.run()
    started.selectbox(key="investigation_chooser").set_value(other.id).run()
    assert not started.exception
    assert not listed(started)
    assert not has(started, "tour-show-mid")


def test_what_cannot_be_read_of_a_tour_counts_as_none(
    visit: Visit, demo: Analysis, workspace: Workspace, cookies: dict[str, str]
) -> None:
    cookies[who.COOKIE] = "0123456789abcdef.Ann"
    with workspace.writing() as session:
        session.merge(Meta(key="tour-0123456789abcdef", value='{"on": "birds", "taken": 3}'))
    app = visit("bands")
    assert not app.exception
    assert not listed(app)


def test_the_bar_speaks_in_sentences(started: AppTest) -> None:
    assert "Of these it is surest that they show **waterbird**. What do they share?" in texts(started)


def test_a_reset_says_what_goes_begins_afresh_and_is_undone(
    visit: Visit, started: AppTest, demo: Analysis, workspace: Workspace
) -> None:
    tag_by_truth(workspace, demo, 20)
    retrain(workspace, demo, method="mid")
    app = visit("home", started)
    assert "takes away 1 concept, 20 tags and 1 repair" in texts(app)
    press(app, "reset-now-card-birds")
    assert not list_concepts(workspace, demo.dataset_id)
    assert latest_run(workspace, demo.id) is None
    assert "Taken away: 1 concept, 20 tags and 1 repair" in texts(app)
    assert listed(app)[0] == "now"
    press(app, "reset-undo")
    (concept,) = list_concepts(workspace, demo.dataset_id)
    assert int((tag_states(workspace, demo, concept) != UNTAGGED).sum()) == 20
    assert latest_run(workspace, demo.id) is not None
    assert "Taken away" not in texts(app)


def test_an_earlier_reset_can_be_had_back_after_another(
    visit: Visit, started: AppTest, demo: Analysis, workspace: Workspace
) -> None:
    tag_by_truth(workspace, demo, 20)
    app = visit("home", started)
    press(app, "reset-now-card-birds")
    tag_by_truth(workspace, demo, 12)
    app = visit("home", app)
    assert "took away 1 concept and 20 tags" in texts(app)
    press(app, "reset-now-card-birds")
    which = app.selectbox(key="reset-which-card-birds")
    assert which.options == ["just now: 1 concept and 12 tags", "just now: 1 concept and 20 tags"]
    which.select_index(1).run()
    press(app, "reset-back-card-birds")
    assert not app.exception
    (concept,) = list_concepts(workspace, demo.dataset_id)
    assert int((tag_states(workspace, demo, concept) != UNTAGGED).sum()) == 20
    # what the second one took away is there still
    assert "took away 1 concept and 12 tags" in texts(app)
