"""Results: the numbers of the run, its sentence, its groups, and what can be taken away."""

from __future__ import annotations

from core.activations.store import Analysis
from core.jobs.job import Job
from core.retraining.runs import retrain
from core.workspace import Workspace
from pages.parts.words import interval, percent

from .conftest import Visit, tag_by_truth, texts


def test_an_empty_workspace_invites_to_begin(visit: Visit) -> None:
    assert "Nothing to look at yet" in texts(visit("results"))


def test_without_a_run_the_way_to_one_is_shown(visit: Visit, planted: Analysis) -> None:
    app = visit("results")
    assert not app.exception
    assert "No repair yet" in texts(app)


def test_a_run_is_told_with_before_after_and_intervals(visit: Visit, planted: Analysis, workspace: Workspace) -> None:
    tag_by_truth(workspace, planted, 60)
    run = retrain(workspace, planted)
    app = visit("results")
    assert not app.exception
    worst = next(metric for metric in app.metric if metric.label == "Worst group")
    assert worst.value == f"{percent(run.before.worst_group)} → {percent(run.after.worst_group)}"
    low, high = run.after.worst.low, run.after.worst.high
    assert f"now between {percent(low)} and {percent(high)}" in texts(app)
    title = f"{run.after.worst.class_name} \\(place\\: {run.after.worst.concept}\\)"
    assert f"Worst group after: {title}, {percent(run.after.worst_group)} ({interval(low, high)})" in texts(app)
    assert run.after.worst_group > run.before.worst_group
    assert "rose" in texts(app)
    groups = next(frame.value for frame in app.dataframe if "group" in frame.value)
    assert len(groups) == 4
    methods = next(frame.value for frame in app.dataframe if "method" in frame.value)
    assert any("this run" in name for name in methods["method"])
    assert len(methods) == 1 + len(run.baselines)


def test_no_improvement_is_said(visit: Visit, planted: Analysis, workspace: Workspace) -> None:
    retrain(workspace, planted, method="erm")
    app = visit("results")
    assert "No improvement" in texts(app)
    assert next(metric for metric in app.metric if metric.label == "Worst group").delta == "no change"


def test_a_link_opens_its_run_not_the_latest(visit: Visit, planted: Analysis, workspace: Workspace) -> None:
    old = retrain(workspace, planted, method="erm")
    retrain(workspace, planted, method="class-balanced")
    app = visit("results", run=old.run)
    assert app.selectbox(key="run_pick").value == old.run


def test_a_new_run_takes_the_place_of_the_one_shown(visit: Visit, planted: Analysis, workspace: Workspace) -> None:
    retrain(workspace, planted, method="erm")
    app = visit("results")
    newer = retrain(workspace, planted, method="class-balanced")
    app.run()
    assert app.selectbox(key="run_pick").value == newer.run


def test_export_is_one_job_into_the_workspace(
    visit: Visit, planted: Analysis, workspace: Workspace, queued: list[Job]
) -> None:
    run = retrain(workspace, planted, method="class-balanced")
    app = visit("results")
    next(button for button in app.button if button.label == "Export").click().run()
    (job,) = queued
    assert job.kind == "export"
    assert job.request == {"run": run.run, "out": str(workspace.exports / run.run)}


def test_exported_files_are_offered(visit: Visit, planted: Analysis, workspace: Workspace) -> None:
    run = retrain(workspace, planted, method="class-balanced")
    folder = workspace.exports / run.run
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"x" * 2_000_000)
    (folder / "tags.csv").write_text("image,concept,present\n")
    app = visit("results")
    labels = [element.proto.label for element in app.get("download_button")]
    assert labels == ["Model (.safetensors) · 2.0 MB", "Tags (.csv) · 0 kB"]
