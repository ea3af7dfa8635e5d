"""`python -m core jobs`: the list, the log and what can be done."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.__main__ import main
from core.jobs.queue import get_job, log_path, submit
from core.workspace import Workspace


def run(workspace: Workspace, capsys: pytest.CaptureFixture[str], *arguments: str) -> dict:
    assert main(["jobs", "--workspace", str(workspace.root), "--json", *arguments]) == 0
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_jobs_are_listed_moved_paused_and_cancelled(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = (submit(workspace, "demo", name, {}, key=name) for name in ("first", "second"))
    run(workspace, capsys, "--up", second.id)
    assert [job["title"] for job in run(workspace, capsys)["jobs"]] == ["second", "first"]
    assert run(workspace, capsys, "--prioritise", first.id, "--priority", "7")["priority"] == 7
    assert run(workspace, capsys, "--pause", first.id)["state"] == "paused"
    assert run(workspace, capsys, "--cancel", first.id)["exit_reason"] == "Cancelled by local."
    assert [job["title"] for job in run(workspace, capsys, "--active")["jobs"]] == ["second"]
    assert get_job(workspace, first.id).state == "cancelled"


def test_log_of_a_job_is_printed(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    job = submit(workspace, "demo", "first", {})
    path: Path = log_path(workspace, job.id)
    path.parent.mkdir(parents=True)
    path.write_text("one\ntwo\n")
    assert run(workspace, capsys, "--log", job.id, "--lines", "1")["text"] == "two"


def test_unknown_job_ends_with_a_sentence(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["jobs", "--workspace", str(workspace.root), "--cancel", "nonesuch"]) == 2
    assert "There is no job" in capsys.readouterr().err
