"""Home: it teaches on an empty workspace and leads back to the work otherwise."""

from __future__ import annotations

import json

from sqlalchemy import select
from streamlit.testing.v1 import AppTest

from core.activations.store import Analysis
from core.database import AnalysisRecord, Meta
from core.demo import DEMOS
from core.jobs.job import Job
from core.retraining.runs import retrain
from core.workspace import Workspace
from pages.parts import who

from .conftest import Visit, plant, set_job, tag_by_truth, texts


def _labels(app: AppTest) -> list[str]:
    return [button.label for button in app.button]


def _cards(app: AppTest) -> list[str]:
    return [button.key for button in app.button if (button.key or "").startswith("next-")]


def _steps(app: AppTest) -> list[str]:
    """Of the first card: done or open, per step of the loop."""
    loop = next(
        each.proto.body for each in app.get("html") if "home-loop" in each.proto.body and "<ol" in each.proto.body
    )
    return [part.split("'")[1] for part in loop.split("<li ")[1:]]


def test_an_empty_workspace_shows_the_way(visit: Visit) -> None:
    app = visit()
    assert not app.exception
    assert "None yet" in texts(app)
    assert "Try the demo" in _labels(app)
    assert "Open my data" in _labels(app)
    # the first demo is what a visitor is led to; each further one is a button by its name
    assert {f"Second demo: {demo.name}" for demo in list(DEMOS.values())[1:]} <= set(_labels(app))


def test_making_the_demo_starts_one_job_however_often_it_is_pressed(visit: Visit, queued: list[Job]) -> None:
    app = visit()
    app.button(key="demo-birds").click().run()
    assert [(job.kind, job.request) for job in queued] == [("demo", {"which": "birds"})]
    assert app.button(key="demo-birds").disabled
    assert app.button(key="demo-digits").disabled
    assert "Cancel" in _labels(app)


def test_who_waits_for_the_demo_is_led_there(visit: Visit, queued: list[Job], workspace: Workspace) -> None:
    app = visit()
    app.button(key="demo-birds").click().run()
    analysis = plant(workspace)
    with workspace.writing() as session:
        session.merge(Meta(key="demo", value=json.dumps({"version": ["", ""], "analysis": analysis.id})))
    set_job(workspace, queued[0].id, state="done", result={"analysis": analysis.id})
    app.run()
    assert not app.exception
    assert app.query_params["direction"] == "logit:waterbird"


def test_a_failed_demo_says_why_and_can_be_tried_again(visit: Visit, queued: list[Job], workspace: Workspace) -> None:
    app = visit()
    app.button(key="demo-birds").click().run()
    error = {"title": "Not enough disk space", "detail": "The disk is full.", "next_step": "Free some space."}
    set_job(workspace, queued[0].id, state="failed", error=error)
    app.run()
    assert "Free some space" in texts(app)
    assert "Try the demo" in _labels(app)


def test_an_untouched_investigation_leads_to_its_bands(visit: Visit, planted: Analysis) -> None:
    app = visit()
    assert "Nothing tagged yet" in texts(app)
    assert "Look at the bands" in _labels(app)


def test_tags_so_far_are_counted_on_the_card(visit: Visit, planted: Analysis, workspace: Workspace) -> None:
    tag_by_truth(workspace, planted, 12)
    app = visit()
    assert "12 tags for water" in texts(app)
    assert "Go on tagging" in _labels(app)


def test_a_repaired_investigation_shows_worst_group_before_and_after(
    visit: Visit, planted: Analysis, workspace: Workspace
) -> None:
    tag_by_truth(workspace, planted, 60)
    retrain(workspace, planted, method="mid")
    app = visit()
    assert "Repaired: worst group" in texts(app)
    assert "See the results" in _labels(app)


def test_a_card_says_how_far_it_has_come(visit: Visit, planted: Analysis, workspace: Workspace) -> None:
    assert _steps(visit()) == ["open"] * 5
    visit("bands")
    # another session knows
    assert _steps(visit()) == ["done", *["open"] * 4]
    tag_by_truth(workspace, planted, 60)
    assert _steps(visit()) == ["done", "done", "done", "open", "open"]
    run = retrain(workspace, planted, method="mid")
    (workspace.exports / run.run).mkdir(parents=True)
    assert _steps(visit()) == ["done"] * 5


def test_more_than_six_are_searched_and_all_shown_when_asked(visit: Visit, workspace: Workspace) -> None:
    for number in range(8):
        plant(workspace, 300, name=f"set-{number}")
    app = visit()
    assert len(_cards(app)) == 6
    app.button(key="home-show-all").click().run()
    assert len(_cards(app)) == 8
    app.text_input(key="home_search").set_value("SET-3").run()
    assert len(_cards(app)) == 1
    app.text_input(key="home_search").set_value("nothing of the kind").run()
    assert not app.exception
    assert "Nothing is called that" in texts(app)


def test_a_card_is_put_away_and_brought_back(visit: Visit, workspace: Workspace, cookies: dict[str, str]) -> None:
    cookies[who.COOKIE] = "0123456789abcdef.Ann"
    first, second = plant(workspace, name="first"), plant(workspace, 450, name="second")
    app = visit()
    app.button(key=f"away-{first.id}").click().run()
    assert _cards(app) == [f"next-{second.id}"]
    # in another tab of this browser, and nothing is deleted
    app = visit()
    assert _cards(app) == [f"next-{second.id}"]
    assert len(app.selectbox(key="investigation_chooser").options) == 2
    # somebody else has a Home of his own
    cookies[who.COOKIE] = "fedcba9876543210.Bob"
    assert len(_cards(visit())) == 2
    app.button(key="home-bring-back").click().run()
    assert len(_cards(app)) == 2


def test_an_investigation_that_cannot_be_opened_says_so_and_the_others_are_there(
    visit: Visit, workspace: Workspace
) -> None:
    broken, sound = plant(workspace, name="broken"), plant(workspace, 450, name="sound")
    (broken.folder / "analysis.json").write_text("{")
    app = visit()
    assert not app.exception
    assert app.error
    assert "**broken**" in texts(app)
    assert _cards(app) == [f"next-{sound.id}"]


def test_names_are_text_never_markup(visit: Visit, workspace: Workspace) -> None:
    plant(workspace, name="a **b** <i>c")
    app = visit()
    assert not app.exception
    assert "**b**" not in texts(app)
    assert r"\*\*b\*\* \<i\>c" in texts(app)


def test_investigations_of_one_name_are_told_apart(visit: Visit, workspace: Workspace) -> None:
    first, second, _ = plant(workspace), plant(workspace, 450), plant(workspace, 300, name="other")
    with workspace.writing() as session:
        for each in session.scalars(select(AnalysisRecord)):
            each.accuracy = 0.5
    options = visit().selectbox(key="investigation_chooser").options
    assert {option for option in options if option.startswith("birds")} == {
        f"birds · erm · 50% · {each.n:,} images" for each in (first, second)
    }
    assert [option for option in options if option.startswith("other")] == ["other · erm · 50%"]


def test_the_chooser_moves_every_page_to_another_investigation(visit: Visit, workspace: Workspace) -> None:
    first, second = plant(workspace, name="first"), plant(workspace, 450, name="second")
    app = visit()
    assert app.selectbox(key="investigation_chooser").value == second.id
    app.selectbox(key="investigation_chooser").set_value(first.id).run()
    app = visit("bands", app)
    assert app.query_params["analysis"] == first.id
