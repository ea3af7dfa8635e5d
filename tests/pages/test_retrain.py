"""Retrain: what will be learnt from is shown before, what is missing is said, and one press starts one job."""

from __future__ import annotations

from streamlit.testing.v1 import AppTest

from core.activations.store import Analysis
from core.jobs.job import Job
from core.retraining.runs import retrain
from core.workspace import Workspace

from .conftest import Visit, set_job, tag_by_truth, texts


def _start(app: AppTest):
    return next(button for button in app.button if button.label == "Retrain")


def test_an_empty_workspace_invites_to_begin(visit: Visit) -> None:
    assert "Nothing to look at yet" in texts(visit("retrain"))


def test_without_tags_the_button_says_what_is_missing(visit: Visit, planted: Analysis) -> None:
    app = visit("retrain")
    assert not app.exception
    assert _start(app).disabled
    assert "Create a concept" in texts(app)


def test_too_few_tags_are_told_with_how_many_more(visit: Visit, planted: Analysis, workspace: Workspace) -> None:
    tag_by_truth(workspace, planted, 5)
    app = visit("retrain")
    assert _start(app).disabled
    assert "Tag at least 3 more" in texts(app)


def test_with_enough_tags_the_groups_are_shown(visit: Visit, planted: Analysis, workspace: Workspace) -> None:
    tag_by_truth(workspace, planted, 60)
    app = visit("retrain")
    assert not app.exception
    assert not _start(app).disabled
    table = app.dataframe[0].value
    assert table["tagged"].sum() == 60
    assert sorted(table["group"]) == [
        "landbird · no water",
        "landbird · water",
        "waterbird · no water",
        "waterbird · water",
    ]


def test_pressing_starts_the_job_with_everything_it_needs(
    visit: Visit, planted: Analysis, workspace: Workspace, queued: list[Job]
) -> None:
    tag_by_truth(workspace, planted, 60)
    app = visit("retrain")
    _start(app).click().run()
    (job,) = queued
    assert job.kind == "retrain"
    assert {key: job.request[key] for key in ("analysis", "method", "concepts", "seed")} == {
        "analysis": planted.id,
        "method": "mid",
        "concepts": ["water"],
        "seed": 0,
    }
    assert job.request["run"]
    assert "Cancel" in [button.label for button in app.button]


def test_a_method_without_tags_can_be_chosen(visit: Visit, planted: Analysis, queued: list[Job]) -> None:
    app = visit("retrain")
    app.radio(key="retrain_method").set_value("class-balanced").run()
    assert not _start(app).disabled
    _start(app).click().run()
    assert queued[0].request["method"] == "class-balanced"


def test_a_finished_job_leads_to_its_results(
    visit: Visit, planted: Analysis, workspace: Workspace, queued: list[Job]
) -> None:
    tag_by_truth(workspace, planted, 60)
    app = visit("retrain")
    _start(app).click().run()
    run = retrain(workspace, planted, run_id=queued[0].request["run"])
    set_job(workspace, queued[0].id, state="done", result={"run": run.run})
    app.run()
    next(button for button in app.button if button.label == "See the results").click().run()
    assert app.title[0].value == "Results"
    assert not app.exception
