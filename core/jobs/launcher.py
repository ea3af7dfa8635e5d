"""Start worker processes that outlive the program that started them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from sqlalchemy import select

import core
from core.database import JobRecord
from core.errors import BadRequest, StorageProblem
from core.files import storage_problems
from core.jobs import processes
from core.jobs.job import DONE, QUEUED, Job
from core.jobs.queue import ORDER, exit_path, get_job, list_jobs, log_path, submit
from core.logs import get_logger
from core.workspace import Workspace

# $0: where the exit code goes; the rest is the worker. Asked to end, the shell waits for the worker's own end.
_LEADER = 'trap : TERM INT HUP; "$@"; code=$?; echo $code > "$0.part" && mv "$0.part" "$0"; exit $code'
_log = get_logger("jobs")


def launch(workspace: Workspace, kind: str, title: str, request: dict[str, Any], *, key: str | None = None) -> Job:
    """Submit a job and start its worker: what a button calls. The same work is never started twice (see `submit`)."""
    return start(workspace, submit(workspace, kind, title, request, key=key))


def start(workspace: Workspace, job: Job) -> Job:
    """Start the worker of a queued job; a job that has one already is returned as it is.

    The process has a session of its own, so Ctrl-C in the server's terminal does not reach it, and prints into the
    job's log. It waits there for its turn.
    """
    log = log_path(workspace, job.id)
    with storage_problems(log):
        log.parent.mkdir(parents=True, exist_ok=True)
    # the write lock is held while the process starts: two browser tabs cannot both start one
    with workspace.writing() as session:
        record = session.get_one(JobRecord, job.id)
        if record.state == QUEUED and record.pid is None:
            child = _spawn(workspace, job.id, log)
            processes.remember(child)
            record.pid = child.pid
            # 0: it has ended already, which the next look will find
            record.process_started = processes.started_at(child.pid) or 0.0
            record.host, record.boot = processes.this_host(), processes.this_boot()
    return get_job(workspace, job.id)


def retry(workspace: Workspace, job_id: str) -> Job:
    """Start a job that failed or was cancelled once more, with the same request. Raises `BadRequest` for another."""
    job = get_job(workspace, job_id)
    if job.active:
        raise BadRequest(f"{job.title} is still {job.state}.", next_step="Wait for its end, or cancel it first.")
    if job.state == DONE:
        raise BadRequest(f"{job.title} is done.", next_step="Start a new one if you want another result.")
    return launch(workspace, job.kind, job.title, job.request)


def recover(workspace: Workspace) -> list[Job]:
    """To be called when a server starts: jobs whose process is gone are marked, waiting ones without one start.

    Those that a restart of the machine interrupted are among the waiting ones, where they resume.

    Returns the active jobs.
    """
    list_jobs(workspace, active=True, limit=1000)
    with workspace.reading() as session:
        waiting = session.scalars(
            select(JobRecord.id).where(JobRecord.state == QUEUED, JobRecord.pid.is_(None)).order_by(*ORDER)
        ).all()
    for job_id in waiting:
        start(workspace, get_job(workspace, job_id))
    found = list_jobs(workspace, active=True, limit=1000)
    _log.info("jobs were looked after", active=len(found), started=len(waiting))
    return found


def _spawn(workspace: Workspace, job_id: str, log: Path) -> subprocess.Popen[bytes]:
    try:
        # of an attempt before
        exit_path(workspace, job_id).unlink(missing_ok=True)
        with open(log, "ab") as output:
            return subprocess.Popen(
                _command(workspace, job_id),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd=log.parent,
                env=_environment(),
            )
    except OSError as error:
        raise StorageProblem(
            f"The machine would not start a process for it ({error.strerror}).",
            next_step="Close other programs, then start it again.",
            title="The job could not start",
        ) from error


def _command(workspace: Workspace, job_id: str) -> list[str]:
    # faulthandler: a crash inside a compiled library leaves a traceback in the log
    worker = [sys.executable, "-X", "faulthandler", "-m", "core.jobs.worker"]
    # the shell leads the group and writes down what ended the worker, whatever became of the program that started it
    shell = ["/bin/sh", "-c", _LEADER, str(exit_path(workspace, job_id))]
    return [*shell, *worker, "--workspace", str(workspace.root), "--job", job_id]


def _environment() -> dict[str, str]:
    """This environment, with the folder that holds `core` on the path whatever the working directory is."""
    home = str(Path(core.__file__).resolve().parent.parent)
    path = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": f"{home}{os.pathsep}{path}" if path else home, "PYTHONUNBUFFERED": "1"}
