"""The tour of a demo: its steps follow what was really done, it can be left and taken up, and a reset begins afresh."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from core.activations.store import Analysis
from core.concepts.concept import create_concept, list_concepts
from core.concepts.suggestions import suggest_next
from core.concepts.tags import UNTAGGED, tag, tag_states
from core.database import Meta, RunRecord
from core.jobs.job import Job
from core.retraining.runs import RunResult, latest_run, retrain
from core.workspace import Workspace
from pages.parts import state, tour_record, tour_steps, who

from .conftest import Visit, plant, set_job, tag_by_truth, texts

ANN, BOB = "0123456789abcdef.Ann", "fedcba9876543210.Bob"


@pytest.fixture
def demo(workspace: Workspace) -> Analysis:
    """A planted investigation that counts as the demo of the birds."""
    analysis = plant(workspace)
    with workspace.writing() as session:
        session.merge(Meta(key="demo", value=json.dumps({"version": ["", ""], "analysis": analysis.id})))
    return analysis


@pytest.fixture
def started(visit: Visit, demo: Analysis, cookies: dict[str, str]) -> AppTest:
    """Ann's."""
    cookies[who.COOKIE] = ANN
    app = visit()
    press(app, "demo-birds")
    return app


def press(app: AppTest, key: str) -> AppTest:
    app.button(key=key).click().run()
    assert not app.exception
    return app


def repaired(app: AppTest, workspace: Workspace, demo: Analysis, queued: list[Job]) -> RunResult:
    """Press Retrain; what the worker would do is done."""
    next(button for button in app.button if button.label == "Retrain").click().run()
    assert not app.exception
    run = retrain(workspace, demo, method="mid")
    with workspace.writing() as session:
        session.get_one(RunRecord, run.run).job_id = queued[-1].id
    set_job(workspace, queued[-1].id, state="done", result={"run": run.run})
    app.run()
    return run


def answered(workspace: Workspace, demo: Analysis, author: str) -> None:
    """As many answers as the tour asks for, by truth, about images that nobody answered."""
    concept = create_concept(workspace, demo.dataset_id, "water", author=author)
    rows = np.array([item.row for item in suggest_next(workspace, demo, concept, budget=tour_steps.GOAL)])
    water = demo.attributes[0].codes[rows] == 1
    tag(workspace, demo, concept, rows[water], True, author=author)
    tag(workspace, demo, concept, rows[~water], False, author=author)


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
    visit: Visit, started: AppTest, demo: Analysis, workspace: Workspace, queued: list[Job]
) -> None:
    app = press(started, "tour-show-mid")
    assert listed(app)[:3] == ["done", "done", "now"]
    assert "it hesitates" in texts(app)
    press(app, "tour-show-name")
    assert any(box.label == "What do you see?" for box in app.text_input)
    concept = create_concept(workspace, demo.dataset_id, "water", author="Ann")
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
    tag(workspace, demo, concept, rows[water], True, author="Ann")
    app.run()
    assert listed(app)[3] == "now"
    assert f"{water.sum()} of 20 so far" in texts(app)
    tag(workspace, demo, concept, rows[~water], False, author="Ann")
    app.run()
    assert listed(app)[4] == "now"
    press(app, "tour-show-repair")
    assert "What it will learn from" in texts(app)
    assert not has(app, "tour-show-repair")

    run = repaired(app, workspace, demo, queued)
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
    cookies[who.COOKIE] = ANN
    press(press(visit(), "demo-birds"), "tour-show-mid")
    assert listed(visit("bands"))[:3] == ["done", "done", "now"]
    cookies[who.COOKIE] = BOB
    assert not listed(visit("bands"))


def test_what_others_do_is_no_part_of_it(
    visit: Visit, started: AppTest, demo: Analysis, workspace: Workspace, queued: list[Job]
) -> None:
    app = press(started, "tour-show-mid")
    answered(workspace, demo, "Bob")
    retrain(workspace, demo, method="mid")
    app.run()
    assert listed(app) == ["done", "done", "now", "open", "open", "open"]
    # one that Bob has made already is named as well as a new one; his answers stay his
    press(app, "tour-show-name")
    next(box for box in app.text_input if box.label == "What do you see?").set_value("Water")
    next(button for button in app.button if button.label == "Create").click().run()
    assert listed(app)[3] == "now"
    assert "whether they show **water**." in texts(app)
    answered(workspace, demo, "Ann")
    app.run()
    assert listed(app)[4] == "now"
    press(app, "tour-show-repair")
    own = repaired(app, workspace, demo, queued)
    assert listed(app)[5] == "now"
    # somebody's later one is not what is compared
    retrain(workspace, demo, method="mid", seed=1)
    press(app, "tour-show-compare")
    assert listed(app) == ["done"] * 6
    assert app.query_params["run"] == own.run


def test_on_a_demo_that_was_worked_on_it_begins_at_the_beginning_and_offers_the_reset(
    visit: Visit, demo: Analysis, workspace: Workspace, cookies: dict[str, str]
) -> None:
    answered(workspace, demo, "Ann")
    cookies[who.COOKIE] = BOB
    app = press(visit(), "demo-birds")
    assert listed(app) == ["done", "now", *["open"] * 4]
    assert "There is earlier work here: 1 concept and 20 tags." in texts(app)
    press(app, "reset-now-tour-birds")
    assert not list_concepts(workspace, demo.dataset_id)
    assert listed(app) == ["done", "now", *["open"] * 4]
    assert "earlier work" not in texts(app)


def test_restarted_what_was_done_before_is_left_out(started: AppTest, demo: Analysis, workspace: Workspace) -> None:
    app = press(started, "tour-show-mid")
    answered(workspace, demo, "Ann")
    app.run()
    assert listed(app)[4] == "now"
    press(app, "tour-restart")
    assert listed(app) == ["done", "now", *["open"] * 4]
    assert "There is earlier work here: 1 concept and 20 tags." in texts(app)
    # nothing of it is gone
    assert len(list_concepts(workspace, demo.dataset_id)) == 1


def test_two_tabs_at_once_lose_nothing(
    visit: Visit, demo: Analysis, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state, "workspace", lambda: workspace)
    monkeypatch.setattr(who, "browser", lambda: who.Browser("0123456789abcdef", "Ann"))
    tour_record.change(lambda record: tour_record.Record("birds"))

    def sees(step: str) -> None:
        def seen(record: tour_record.Record) -> tour_record.Record:
            return record.with_now(tour_record.Taken(seen=(*record.now.seen, step)))

        tour_record.change(seen)

    names = [f"step {number}" for number in range(20)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(sees, names))
    assert sorted(tour_record.read().now.seen) == sorted(names)


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
    cookies[who.COOKIE] = ANN
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
    # in another tab of this browser as well
    assert has(visit(), "reset-undo")
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
