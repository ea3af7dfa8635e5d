"""Home: it teaches on an empty workspace and leads back to the work otherwise."""

from __future__ import annotations

from sqlalchemy import select

from core.activations.store import Analysis
from core.database import AnalysisRecord
from core.jobs.job import Job
from core.retraining.runs import retrain
from core.workspace import Workspace

from .conftest import Visit, plant, set_job, tag_by_truth, texts


def _labels(app: object) -> list[str]:
    return [button.label for button in app.button]


def test_an_empty_workspace_shows_the_way(visit: Visit) -> None:
    app = visit()
    assert not app.exception
    assert "None yet" in texts(app)
    assert "Make the demo" in _labels(app)
    assert "Load images and a model" in _labels(app)


def test_making_the_demo_starts_one_job_however_often_it_is_pressed(visit: Visit, queued: list[Job]) -> None:
    app = visit()
    button = next(button for button in app.button if button.label == "Make the demo")
    button.click().run()
    assert [job.kind for job in queued] == ["demo"]
    assert "Make the demo" not in _labels(app)
    assert "Cancel" in _labels(app)


def test_a_failed_demo_says_why_and_can_be_tried_again(visit: Visit, queued: list[Job], workspace: Workspace) -> None:
    app = visit()
    next(button for button in app.button if button.label == "Make the demo").click().run()
    error = {"title": "Not enough disk space", "detail": "The disk is full.", "next_step": "Free some space."}
    set_job(workspace, queued[0].id, state="failed", error=error)
    app.run()
    assert "Free some space" in texts(app)
    assert "Make the demo" in _labels(app)


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
