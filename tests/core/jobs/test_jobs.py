"""Jobs as people meet them: real worker processes, killed, cancelled, orphaned and double-clicked."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from core.database import JobRecord, now
from core.errors import BadRequest, NotFound, StorageProblem
from core.jobs import get_job, launch, list_jobs, read_log, recover, request_cancel, retry, wait_for
from core.jobs.launcher import start
from core.jobs.processes import started_at, this_boot, this_host
from core.jobs.queue import _finish, _settled, submit
from core.jobs.worker import _is_free
from core.workspace import Workspace

SLOW = {"steps": 3000, "pause": 0.02}


def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


def running_process(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def begun(workspace: Workspace, job_id: str) -> bool:
    job = get_job(workspace, job_id)
    assert job.active, job.error
    return job.state == "running" and job.done > 0


def test_job_gives_its_result_and_its_log(workspace: Workspace, rehearsal: Path) -> None:
    job = launch(workspace, "rehearsal", "Count to five", {"journal": str(rehearsal), "steps": 5})
    ended = wait_for(workspace, job.id, timeout=30)
    assert ended.state == "done"
    assert ended.result == {"counted": 5, "torch": False}
    assert (ended.done, ended.total) == (5, 5)
    assert "Counting 0" in read_log(workspace, job.id)
    assert ended.seconds is not None
    assert json.dumps(ended.to_dict())


def test_job_outlives_the_program_that_started_it(workspace: Workspace, rehearsal: Path) -> None:
    # a shell starts what runs in its background deaf to Ctrl-C, these tests perhaps among it
    launcher = f"""
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from core.jobs import launch
from core.workspace import open_workspace
workspace = open_workspace({str(workspace.root)!r})
print(launch(workspace, "rehearsal", "Count", {{"journal": {str(rehearsal)!r}, "steps": 60, "pause": 0.05}}).id)
"""
    # its own process group, ended as a terminal's Ctrl-C would
    program = subprocess.Popen(
        [sys.executable, "-c", launcher + "import time; time.sleep(60)"],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert program.stdout is not None
    job_id = program.stdout.readline().strip()
    until(lambda: begun(workspace, job_id))
    os.killpg(program.pid, signal.SIGINT)
    program.wait(timeout=10)
    before = get_job(workspace, job_id)
    assert before.state == "running"
    # a program that knows nothing but the folder sees the progress
    look = f"""
from core.jobs import get_job
from core.workspace import open_workspace
job = get_job(open_workspace({str(workspace.root)!r}), {job_id!r})
print(job.state, job.done)
"""
    seen = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True).stdout.split()
    assert seen[0] in ("running", "done")
    assert int(seen[1]) >= before.done
    assert wait_for(workspace, job_id, timeout=30).result == {"counted": 60, "torch": False}


def test_cancelled_means_that_no_process_is_left(workspace: Workspace, rehearsal: Path, tmp_path: Path) -> None:
    child = tmp_path / "child"
    job = launch(workspace, "rehearsal", "Count", {"journal": str(rehearsal), "child": str(child), **SLOW})
    until(lambda: begun(workspace, job.id))
    asked = request_cancel(workspace, job.id)
    pids = [asked.pid, int(child.read_text())]
    while (now := get_job(workspace, job.id)).active:
        assert now.stopping
        time.sleep(0.02)
    assert now.state == "cancelled"
    assert not any(running_process(pid) for pid in pids if pid)
    assert now.error is None


def test_job_that_ignores_the_request_is_killed_after_the_grace(workspace: Workspace, rehearsal: Path) -> None:
    job = launch(workspace, "rehearsal", "Count", {"journal": str(rehearsal), "deaf": True, **SLOW})
    until(rehearsal.exists)
    asked = time.monotonic()
    ended = request_cancel(workspace, job.id, wait=20)
    assert ended.state == "cancelled"
    assert time.monotonic() - asked < 10
    assert ended.pid is not None
    assert not running_process(ended.pid)


def test_killed_worker_is_a_failed_job_that_can_be_started_again(
    workspace: Workspace, rehearsal: Path, tmp_path: Path
) -> None:
    child = tmp_path / "child"
    request = {"journal": str(rehearsal), "child": str(child), "steps": 60, "pause": 0.05}
    job = launch(workspace, "rehearsal", "Count", request)
    until(lambda: begun(workspace, job.id))
    assert job.pid is not None
    os.kill(job.pid, signal.SIGKILL)
    until(lambda: not get_job(workspace, job.id).active, seconds=5)
    failed = get_job(workspace, job.id)
    assert failed.state == "failed"
    assert failed.error is not None
    assert failed.error["error"] == "JobStopped"
    assert failed.error["next_step"] == "Start it again: it resumes where it stopped."
    # its child did not stay behind
    until(lambda: not running_process(int(child.read_text())), seconds=5)
    again = retry(workspace, job.id)
    assert again.id != job.id
    assert wait_for(workspace, again.id, timeout=30).state == "done"


def test_reused_pid_does_not_keep_a_dead_job_alive(workspace: Workspace, rehearsal: Path) -> None:
    job = submit(workspace, "rehearsal", "Count", {"journal": str(rehearsal)})
    with workspace.writing() as session:
        record = session.get_one(JobRecord, job.id)
        # the pid of a living process (this one), started at another time than the worker was
        record.pid, record.process_started, record.state = os.getpid(), 1_000_000.0, "running"
        record.host = os.uname().nodename
    assert get_job(workspace, job.id).state == "failed"


def test_result_written_at_the_last_moment_is_not_called_a_failure(workspace: Workspace, rehearsal: Path) -> None:
    job = submit(workspace, "rehearsal", "Count", {"journal": str(rehearsal)})
    with workspace.reading() as session:
        stale = session.get_one(JobRecord, job.id)
    with workspace.writing() as session:
        record = session.get_one(JobRecord, job.id)
        record.state, record.result = "done", {"counted": 3}
    assert _finish(workspace, stale, "failed", None).state == "done"
    assert get_job(workspace, job.id).result == {"counted": 3}


@pytest.mark.parametrize("meanwhile", ["cancelled", "paused", "resumed"])
def test_who_looked_before_somebody_stopped_it_does_not_call_it_a_failure(
    workspace: Workspace, rehearsal: Path, meanwhile: str
) -> None:
    job = submit(workspace, "rehearsal", "Count", {"journal": str(rehearsal)})
    with workspace.writing() as session:
        record = session.get_one(JobRecord, job.id)
        record.pid, record.process_started, record.state = 2**22 - 1, 1.0, "running"
        record.host, record.boot = this_host(), this_boot()
    # another page has read the row, and judges it once the process is gone
    with workspace.reading() as session:
        seen = session.get_one(JobRecord, job.id)
    with workspace.writing() as session:
        record = session.get_one(JobRecord, job.id)
        if meanwhile == "cancelled":
            record.cancel_requested = now()
        elif meanwhile == "paused":
            record.pause_requested = now()
        else:
            record.pid, record.process_started = os.getpid(), started_at(os.getpid())
    assert _settled(workspace, seen).state == "running"
    expected = {"cancelled": "cancelled", "paused": "paused", "resumed": "running"}[meanwhile]
    try:
        assert get_job(workspace, job.id).state == expected
    finally:
        with workspace.writing() as session:
            session.get_one(JobRecord, job.id).state = "done"


@pytest.mark.parametrize(("state", "turn", "free"), [("running", 2, False), ("queued", 0, False), ("queued", 2, True)])
def test_turn_comes_after_what_runs_and_what_was_there_before(
    workspace: Workspace, rehearsal: Path, state: str, turn: int, free: bool
) -> None:
    mine, other = (submit(workspace, "rehearsal", name, {"journal": str(rehearsal), "name": name}) for name in "ab")
    with workspace.writing() as session:
        session.get_one(JobRecord, mine.id).turn = 1
        record = session.get_one(JobRecord, other.id)
        record.pid, record.process_started = os.getpid(), started_at(os.getpid())
        record.host, record.state, record.turn = os.uname().nodename, state, turn
        session.flush()
        assert _is_free(session, session.get_one(JobRecord, mine.id)) is free
        # not a worker: cleaning up must not stop this process
        record.state = "done"


def test_worker_of_another_machine_is_judged_by_its_heartbeat(workspace: Workspace, rehearsal: Path) -> None:
    from datetime import timedelta

    from core.database import now

    job = submit(workspace, "rehearsal", "Count", {"journal": str(rehearsal)})
    with workspace.writing() as session:
        record = session.get_one(JobRecord, job.id)
        record.pid, record.process_started, record.state, record.host = 99999999, 1.0, "running", "elsewhere"
        record.heartbeat = now()
    assert get_job(workspace, job.id).state == "running"
    with workspace.writing() as session:
        session.get_one(JobRecord, job.id).heartbeat = now() - timedelta(seconds=60)
    assert get_job(workspace, job.id).state == "failed"


def test_many_clicks_start_one_job(workspace: Workspace, rehearsal: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    request = {"journal": str(rehearsal), "steps": 40}
    with ThreadPoolExecutor(8) as clicks:
        jobs = list(clicks.map(lambda _: launch(workspace, "rehearsal", "Count", request), range(8)))
    assert len({job.id for job in jobs}) == 1
    assert wait_for(workspace, jobs[0].id, timeout=30).state == "done"
    assert rehearsal.read_text().count("start") == 1
    # once it has ended, a click is a new job
    assert launch(workspace, "rehearsal", "Count", request).id != jobs[0].id


def test_jobs_of_a_workspace_run_one_after_another_in_order(workspace: Workspace, rehearsal: Path) -> None:
    jobs = [
        launch(workspace, "rehearsal", name, {"journal": str(rehearsal), "name": name, "steps": 10})
        for name in ("first", "second", "third")
    ]
    assert [job.title for job in list_jobs(workspace, active=True)] == ["first", "second", "third"]
    for job in jobs:
        assert wait_for(workspace, job.id, timeout=40).state == "done"
    names = ("first", "second", "third")
    assert rehearsal.read_text().split("\n")[:-1] == [f"{word} {name}" for name in names for word in ("start", "end")]


def test_waiting_job_is_cancelled_without_running(workspace: Workspace, rehearsal: Path) -> None:
    first = launch(workspace, "rehearsal", "first", {"journal": str(rehearsal), "name": "first", **SLOW})
    second = launch(workspace, "rehearsal", "second", {"journal": str(rehearsal), "name": "second"})
    until(lambda: begun(workspace, first.id))
    assert request_cancel(workspace, second.id, wait=20).state == "cancelled"
    assert get_job(workspace, first.id).state == "running"
    assert "second" not in rehearsal.read_text()


def test_failed_job_says_what_to_do_next(workspace: Workspace, rehearsal: Path) -> None:
    job = launch(workspace, "rehearsal", "Count", {"journal": str(rehearsal), "problem": True})
    ended = wait_for(workspace, job.id, timeout=30)
    assert ended.state == "failed"
    assert ended.error == {
        "error": "BadRequest",
        "title": "That setting does not work",
        "detail": "It cannot be done.",
        "next_step": "Ask for less.",
    }


def test_mistake_is_a_sentence_on_screen_and_a_traceback_in_the_log(workspace: Workspace, rehearsal: Path) -> None:
    job = launch(workspace, "rehearsal", "Count", {"journal": str(rehearsal), "mistake": True})
    ended = wait_for(workspace, job.id, timeout=30)
    assert ended.error is not None
    assert ended.error["title"] == "An unexpected problem"
    assert "secret detail" not in json.dumps(ended.error)
    assert str(ended.log) in ended.error["next_step"]
    assert "RuntimeError: secret detail" in read_log(workspace, job.id)
    assert "Traceback" in ended.log.read_text()


def test_submitted_job_without_a_process_starts_when_the_server_does(workspace: Workspace, rehearsal: Path) -> None:
    job = submit(workspace, "rehearsal", "Count", {"journal": str(rehearsal)})
    assert job.pid is None
    recover(workspace)
    assert wait_for(workspace, job.id, timeout=30).state == "done"


def test_started_job_is_not_started_twice(workspace: Workspace, rehearsal: Path) -> None:
    job = launch(workspace, "rehearsal", "Count", {"journal": str(rehearsal)})
    assert start(workspace, job).pid == job.pid


def test_running_job_cannot_be_retried(workspace: Workspace, rehearsal: Path) -> None:
    job = launch(workspace, "rehearsal", "Count", {"journal": str(rehearsal), **SLOW})
    with pytest.raises(BadRequest, match="still"):
        retry(workspace, job.id)


def test_finished_job_is_not_run_again_over_its_result(workspace: Workspace, rehearsal: Path) -> None:
    job = launch(workspace, "rehearsal", "Count", {"journal": str(rehearsal)})
    wait_for(workspace, job.id, timeout=30)
    with pytest.raises(BadRequest, match="is done"):
        retry(workspace, job.id)


def test_problem_of_a_job_is_the_error_that_was_raised_in_it(workspace: Workspace, rehearsal: Path) -> None:
    job = launch(workspace, "rehearsal", "Count", {"journal": str(rehearsal), "problem": True})
    problem = wait_for(workspace, job.id, timeout=30).problem
    assert isinstance(problem, BadRequest)
    assert problem.detail == "It cannot be done."


def test_machine_without_room_for_a_process_says_so(
    workspace: Workspace, rehearsal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    with pytest.raises(StorageProblem, match="Cannot allocate memory"):
        launch(workspace, "rehearsal", "Count", {"journal": str(rehearsal)})
    monkeypatch.undo()


def test_retraining_again_after_more_tags_is_new_work(
    workspace: Workspace, make_analysis: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    from core.activations import store
    from core.concepts.concept import create_concept
    from core.concepts.tags import tag

    rng = np.random.default_rng(0)
    analysis: Any = make_analysis(rng.normal(size=(20, 4)), rng.integers(0, 2, 20))
    monkeypatch.setattr(store, "open_analysis", lambda *_: analysis)
    request = {"analysis": analysis.id, "method": "mid", "concepts": ["sea"]}
    concept = create_concept(workspace, analysis.dataset_id, "sea")
    first = submit(workspace, "retrain", "Retrain", {**request, "run": "a"})
    assert submit(workspace, "retrain", "Retrain", {**request, "run": "b"}).id == first.id
    tag(workspace, analysis, concept, [1, 2], True)
    assert submit(workspace, "retrain", "Retrain", {**request, "run": "c"}).id != first.id


def test_unknown_job_is_not_found(workspace: Workspace) -> None:
    with pytest.raises(NotFound):
        get_job(workspace, "nothing")


@pytest.mark.parametrize(
    ("kind", "request_", "message"),
    [
        ("cook", {}, "no kind of job"),
        ("analyse", {"data": "x"}, "lacks model"),
        ("analyse", {"data": "x", "model": "y", "colour": 1}, "does not know colour"),
    ],
)
def test_wrong_request_is_refused_before_it_is_queued(
    workspace: Workspace, kind: str, request_: dict[str, object], message: str
) -> None:
    with pytest.raises(BadRequest, match=message):
        submit(workspace, kind, "x", request_)
    assert list_jobs(workspace) == []


def test_paths_of_a_request_are_made_absolute(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    job = submit(workspace, "analyse", "Analyse", {"data": "photos", "model": "m.pt"})
    assert job.request == {"data": str(tmp_path / "photos"), "model": str(tmp_path / "m.pt")}
