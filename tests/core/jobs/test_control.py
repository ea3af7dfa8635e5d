"""Pause, resume, another order, and why a job ended: with real worker processes."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import psutil
import pytest

from core.database import JobRecord
from core.errors import BadRequest, DiskFull
from core.jobs import (
    get_job,
    kinds,
    launch,
    list_jobs,
    move_first,
    move_up,
    pause,
    prioritise,
    recover,
    request_cancel,
    resume,
    wait_for,
)
from core.jobs.processes import group_members, started_at
from core.jobs.queue import submit
from core.workspace import Workspace
from tests.core.jobs.test_jobs import SLOW, begun, running_process, until


def worker_of(leader: int) -> psutil.Process:
    """The process that works: the group is led by a shell."""
    return next(member for member in group_members(leader, started_at(leader) or 0.0) if member.pid != leader)


def test_paused_work_that_resumes_has_no_process_and_goes_on(workspace: Workspace, rehearsal: Path) -> None:
    job = launch(workspace, "rehearsal", "Count", {"journal": str(rehearsal), "steps": 100})
    until(lambda: begun(workspace, job.id))
    paused = pause(workspace, job.id, wait=20)
    assert (paused.state, paused.pid, paused.active) == ("paused", None, True)
    assert paused.exit_reason == "Paused by local."
    assert job.pid is not None
    assert not running_process(job.pid)
    recover(workspace)
    assert get_job(workspace, job.id).state == "paused", "a server that starts does not resume what a person paused"
    again = resume(workspace, job.id)
    assert again.id == job.id
    ended = wait_for(workspace, job.id, timeout=30)
    assert (ended.state, ended.attempt, ended.exit_reason) == ("done", 2, "Done.")


def stubborn(rehearsal: Path, **request: object) -> dict[str, object]:
    return {"journal": str(rehearsal), "steps": 150, **request}


@pytest.fixture
def stands_still(monkeypatch: pytest.MonkeyPatch, rehearsal: Path) -> Path:
    """The rehearsal as a kind that cannot go on from where it ended."""
    known = kinds.KINDS["rehearsal"]
    monkeypatch.setitem(
        kinds.KINDS,
        "rehearsal",
        kinds.Kind(known.run, required=known.required, optional=known.optional, paths=known.paths),
    )
    return rehearsal


def test_paused_work_that_does_not_resume_stands_still_and_others_go_first(
    workspace: Workspace, stands_still: Path
) -> None:
    job = launch(workspace, "rehearsal", "Count", stubborn(stands_still, name="first"))
    until(lambda: begun(workspace, job.id))
    paused = pause(workspace, job.id)
    assert paused.state == "paused"
    assert paused.pid == job.pid
    worker = worker_of(job.pid or 0)
    until(lambda: worker.status() == psutil.STATUS_STOPPED)
    other = launch(workspace, "rehearsal", "Other", {"journal": str(stands_still), "name": "other"})
    assert wait_for(workspace, other.id, timeout=30).state == "done"
    assert "end first" not in stands_still.read_text()
    resume(workspace, job.id)
    ended = wait_for(workspace, job.id, timeout=30)
    assert (ended.state, ended.attempt) == ("done", 1)
    assert stands_still.read_text().count("start first") == 1


def test_paused_work_whose_process_is_gone_begins_again(workspace: Workspace, stands_still: Path) -> None:
    job = launch(workspace, "rehearsal", "Count", stubborn(stands_still, steps=20))
    until(lambda: begun(workspace, job.id))
    pause(workspace, job.id)
    assert job.pid is not None
    os.killpg(job.pid, signal.SIGKILL)
    until(lambda: get_job(workspace, job.id).pid is None)
    paused = get_job(workspace, job.id)
    assert paused.state == "paused"
    assert paused.exit_reason.endswith("begins again.")
    resume(workspace, job.id)
    assert wait_for(workspace, job.id, timeout=30).state == "done"


def test_paused_work_is_cancelled(workspace: Workspace, stands_still: Path) -> None:
    job = launch(workspace, "rehearsal", "Count", stubborn(stands_still, **SLOW))
    until(lambda: begun(workspace, job.id))
    pause(workspace, job.id)
    ended = request_cancel(workspace, job.id, wait=20)
    assert (ended.state, ended.exit_reason) == ("cancelled", "Cancelled by local.")
    assert job.pid is not None
    assert not running_process(job.pid)


def test_killed_worker_is_told_with_its_signal(workspace: Workspace, rehearsal: Path) -> None:
    job = launch(workspace, "rehearsal", "Count", {"journal": str(rehearsal), **SLOW})
    until(lambda: begun(workspace, job.id))
    worker_of(job.pid or 0).send_signal(signal.SIGKILL)
    until(lambda: not get_job(workspace, job.id).active)
    assert "signal 9 (SIGKILL)" in get_job(workspace, job.id).exit_reason


def test_worker_that_is_told_to_end_by_nobody_here_has_not_been_cancelled(
    workspace: Workspace, rehearsal: Path
) -> None:
    job = launch(workspace, "rehearsal", "Count", {"journal": str(rehearsal), **SLOW})
    until(lambda: begun(workspace, job.id))
    os.killpg(job.pid or 0, signal.SIGTERM)
    until(lambda: not get_job(workspace, job.id).active)
    ended = get_job(workspace, job.id)
    assert ended.state == "failed"
    assert "signal 15 (SIGTERM)" in ended.exit_reason


def as_before_a_reboot(workspace: Workspace, job_id: str) -> None:
    with workspace.writing() as session:
        record = session.get_one(JobRecord, job_id)
        # the pid of a living stranger: after a reboot numbers are dealt out anew
        record.pid, record.process_started, record.host = os.getpid(), started_at(os.getpid()), os.uname().nodename
        record.boot, record.state, record.started = "another start", "running", record.created


def test_work_resumes_by_itself_after_the_machine_was_restarted(workspace: Workspace, rehearsal: Path) -> None:
    job = submit(workspace, "rehearsal", "Count", {"journal": str(rehearsal)})
    as_before_a_reboot(workspace, job.id)
    recover(workspace)
    ended = wait_for(workspace, job.id, timeout=30)
    assert (ended.state, ended.attempt) == ("done", 2)


def test_work_that_cannot_resume_says_that_the_machine_was_restarted(workspace: Workspace, stands_still: Path) -> None:
    job = submit(workspace, "rehearsal", "Count", {"journal": str(stands_still)})
    as_before_a_reboot(workspace, job.id)
    recover(workspace)
    ended = get_job(workspace, job.id)
    assert ended.state == "failed"
    assert ended.exit_reason == "The machine was restarted while it was under way."
    assert ended.error is not None
    assert "begins from the start" in ended.error["next_step"]


def test_work_that_ends_the_machine_each_time_is_not_started_for_ever(workspace: Workspace, rehearsal: Path) -> None:
    job = submit(workspace, "rehearsal", "Count", {"journal": str(rehearsal)})
    as_before_a_reboot(workspace, job.id)
    with workspace.writing() as session:
        session.get_one(JobRecord, job.id).attempt = 3
    recover(workspace)
    assert get_job(workspace, job.id).state == "failed"


def test_waiting_jobs_change_places(workspace: Workspace, rehearsal: Path) -> None:
    a, b, c = (submit(workspace, "rehearsal", name, {"journal": str(rehearsal), "name": name}) for name in "abc")

    def order() -> str:
        return "".join(job.title for job in list_jobs(workspace, active=True))

    move_up(workspace, c.id)
    assert order() == "acb"
    move_first(workspace, b.id)
    assert order() == "bac"
    move_up(workspace, b.id)
    assert order() == "bac"
    prioritise(workspace, c.id, 5)
    assert order() == "cba"
    request_cancel(workspace, a.id)
    with pytest.raises(BadRequest, match="ended"):
        move_up(workspace, a.id)


def test_urgent_job_runs_first(workspace: Workspace, rehearsal: Path) -> None:
    request = {"journal": str(rehearsal), "steps": 20}
    first, second, third = (
        launch(workspace, "rehearsal", name, {**request, "name": name, "steps": 100 if name == "first" else 3})
        for name in ("first", "second", "third")
    )
    until(lambda: begun(workspace, first.id))
    prioritise(workspace, third.id, 1)
    for job in (first, second, third):
        assert wait_for(workspace, job.id, timeout=40).state == "done"
    starts = [line.split()[1] for line in rehearsal.read_text().splitlines() if line.startswith("start")]
    assert starts == ["first", "third", "second"]


def test_job_over_its_memory_limit_ends_with_a_sentence(
    workspace: Workspace, rehearsal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIDBAND_JOB_MEMORY", "1MB")
    job = launch(workspace, "rehearsal", "Count", {"journal": str(rehearsal), **SLOW})
    assert job.memory_limit == 1_000_000
    until(lambda: not get_job(workspace, job.id).active)
    ended = get_job(workspace, job.id)
    assert ended.error is not None
    assert ended.error["error"] == "OutOfMemory"
    assert "1.0 MB is the limit" in ended.exit_reason
    assert "MIDBAND_JOB_MEMORY" in ended.error["next_step"]


def test_job_that_does_not_fit_on_the_disk_is_refused_with_both_sizes(
    workspace: Workspace, rehearsal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.limits.free_bytes", lambda path: 2_400_000_000)
    known = kinds.KINDS["rehearsal"]
    monkeypatch.setitem(
        kinds.KINDS, "rehearsal", kinds.Kind(known.run, required=("journal",), needs=lambda *_: 3_100_000_000)
    )
    with pytest.raises(DiskFull, match=r"needs about 3\.1 GB, 2\.4 GB free"):
        submit(workspace, "rehearsal", "Count", {"journal": str(rehearsal)})
    assert list_jobs(workspace) == []
