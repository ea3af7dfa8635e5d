"""Logging to MLflow: everything that a run is, and never in its way."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from core.retraining.run_store import note_run, open_run
from core.retraining.runs import retrain
from core.retraining.tracking import metrics, params
from core.workspace import Workspace


class FakeMlflow(ModuleType):
    """What tracking.py uses of mlflow, writing down what it was told; fails where it is told to."""

    def __init__(self, failing: str = "") -> None:
        super().__init__("mlflow")
        self.seen: dict[str, Any] = {"artifacts": []}
        self.patience = ""
        self._failing = failing

    def _note(self, name: str, value: Any) -> None:
        if name == self._failing:
            raise ConnectionError("no route\nto host")
        self.patience = os.environ.get("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "")
        self.seen[name] = value

    def set_tracking_uri(self, uri: str) -> None:
        self._note("uri", uri)

    def set_experiment(self, name: str) -> None:
        self._note("experiment", name)

    @contextmanager
    def start_run(self, run_name: str) -> Iterator[None]:
        self._note("run_name", run_name)
        yield
        self._note("ended", True)

    def log_params(self, values: dict[str, str]) -> None:
        self._note("params", values)

    def log_metrics(self, values: dict[str, float]) -> None:
        self._note("metrics", values)

    def set_tags(self, values: dict[str, str]) -> None:
        self._note("tags", values)

    def log_artifact(self, path: str) -> None:
        self.seen["artifacts"].append(Path(path).name)


@pytest.fixture
def analysis(planted_analysis: Any) -> Any:
    return planted_analysis(0, sizes=(300, 300, 200), dimensions=24)


def logged(workspace: Workspace, analysis: Any, monkeypatch: pytest.MonkeyPatch, failing: str = "") -> Any:
    fake = FakeMlflow(failing)
    monkeypatch.setitem(sys.modules, "mlflow", fake)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracker:5000")
    run = retrain(workspace, analysis, method="class-balanced", settings={"pull": 0.3}, run_id="run1")
    return fake, run


def test_a_run_is_logged_with_what_it_was_told_and_what_came_out(
    workspace: Workspace, analysis: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake, run = logged(workspace, analysis, monkeypatch)
    seen = fake.seen
    assert seen["uri"] == "http://tracker:5000"
    assert seen["experiment"] == "midband"
    assert seen["run_name"] == "class-balanced run1"
    assert seen["params"]["method"] == "class-balanced"
    assert seen["params"]["knob.pull"] == "0.3"
    assert seen["metrics"]["after.worst_group"] == run.after.worst_group
    assert seen["metrics"]["before.average"] == run.before.average
    assert seen["metrics"]["baseline.dfr.worst_group"] == run.baselines[-1].worst_group
    assert len([name for name in seen["metrics"] if name.startswith("after.group.")]) == 4
    assert seen["tags"]["midband.tags"] == run.tags
    assert seen["artifacts"] == ["result.json", "replay.json"]
    assert seen["ended"]
    assert not any("MLflow" in note for note in run.notes)
    # a server that is not there must not be waited for, and the setting is ours only while we log
    assert fake.patience == "1"
    assert "MLFLOW_HTTP_REQUEST_MAX_RETRIES" not in os.environ


@pytest.mark.parametrize("failing", ["uri", "experiment", "run_name", "metrics", "ended"])
def test_a_failure_is_a_note_and_nothing_else(
    workspace: Workspace, analysis: Any, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    _, run = logged(workspace, analysis, monkeypatch, failing)
    assert run.notes[-1] == "The run could not be logged to MLflow: no route to host"
    assert open_run(workspace, "run1") == run
    assert note_run(workspace, "run1", note="still here").after == run.after


def test_without_mlflow_it_is_said_what_is_missing(
    workspace: Workspace, analysis: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracker:5000")
    assert "requirements-mlflow.txt" in retrain(workspace, analysis, method="erm").notes[-1]


@pytest.mark.parametrize("uri", [None, "", "  "])
def test_nobody_asked_nothing_happens(
    workspace: Workspace, analysis: Any, monkeypatch: pytest.MonkeyPatch, uri: str | None
) -> None:
    fake = FakeMlflow(failing="uri")
    monkeypatch.setitem(sys.modules, "mlflow", fake)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    if uri is not None:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    run = retrain(workspace, analysis, method="erm")
    assert fake.seen == {"artifacts": []}
    assert not any("logged" in note for note in run.notes)


def test_names_that_people_type_make_keys(workspace: Workspace, make_analysis: Any, planted_analysis: Any) -> None:
    data = planted_analysis(0, sizes=(300, 300, 200), dimensions=24)
    classes = ("<b>‮🦆" + "x" * 200, "a/../b: c")
    hostile = make_analysis(
        data.features, data.labels, splits=data.splits, head=data.head, classes=classes, place=data.attributes[0].codes
    )
    run = retrain(workspace, hostile, method="class-balanced")
    keys = list(metrics(run))
    assert len([key for key in keys if key.startswith("after.group")]) == 4, "no two groups share a key"
    assert all(re.fullmatch(r"[A-Za-z0-9_./ -]{1,250}", key) for key in keys)
    assert all(len(value) <= 500 for value in params(run).values())


def test_the_real_client_writes_what_it_is_given(
    workspace: Workspace, analysis: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlruns").as_uri())
    # this version asks for it before it writes plain files
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    run = retrain(workspace, analysis, method="class-balanced", run_id="run1")
    assert not any("MLflow" in note for note in run.notes), run.notes
    (stored,) = mlflow.search_runs(search_all_experiments=True, output_format="list")
    assert stored.data.metrics["after.worst_group"] == run.after.worst_group
    assert stored.data.params["method"] == "class-balanced"
    assert stored.data.tags["midband.tags"] == run.tags
    names = {file.name for file in (tmp_path / "mlruns").rglob("*.json")}
    assert {"result.json", "replay.json"} <= names
