"""The jobs of a workspace: submit, look, cancel.

State lies in the database, so any process (a page, the command line, the same server after a restart) sees the same.
Nobody has to watch over the jobs: whoever looks also notices that a worker is gone, and says so in the row.
"""

from __future__ import annotations

import secrets
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from core.access import audit
from core.access.policy import Permission, require
from core.database import JobRecord, now
from core.errors import MidbandError, NotFound
from core.files import digest
from core.jobs import processes
from core.jobs.endings import interrupted
from core.jobs.job import ACTIVE, CANCELLED, FAILED, PAUSED, QUEUED, Job, job_of
from core.jobs.kinds import kind_of
from core.limits import default_memory_limit, require_disk
from core.logs import get_logger
from core.settings import DEFAULTS
from core.workspace import Workspace

# whose turn comes first
ORDER = (JobRecord.priority.desc(), JobRecord.turn)
_log = get_logger("jobs")


def submit(workspace: Workspace, kind: str, title: str, request: dict[str, Any], *, key: str | None = None) -> Job:
    """Put a job into the queue and return it; no process is started (see `launcher.launch`).

    request: what the kind needs (see `core.jobs.kinds`), plain JSON; its paths are made absolute here, because the
    worker has a folder of its own. key: jobs with the same key are the same work, and while one of them is queued or
    running, that one is returned: a double click starts one job. By default the key follows from kind and request,
    for a retraining also from the tags. Raises `BadRequest` for an unknown kind, a request that lacks something, or
    one with too much; `DiskFull` where what it is known to need does not fit; `NotAllowed`.
    """
    person = require(kind_of(kind).permission, title)
    prepared = kind_of(kind).prepare(request)
    needs = kind_of(kind).needed(workspace, prepared)
    if key is None:
        key = digest(kind, kind_of(kind).identity(workspace, prepared))
    with workspace.writing() as session:
        same = session.scalars(
            select(JobRecord).where(JobRecord.key == key, JobRecord.state.in_(ACTIVE)).order_by(JobRecord.turn)
        ).all()
        for record in same:
            # one that is being cancelled, or whose process died unnoticed, does not stand in the way of a new one
            if record.cancel_requested is None and (record.pid is None or record.pause_requested or alive(record)):
                return _view(workspace, record)
        require_disk(workspace.root, needs or 0, title)
        last = session.scalar(select(func.max(JobRecord.turn))) or 0
        record = JobRecord(
            id=secrets.token_hex(6),
            kind=kind,
            title=title,
            request=prepared,
            key=key,
            turn=last + 1,
            samples=[],
            author=person.name,
            needs_bytes=needs,
            memory_limit=default_memory_limit(),
        )
        record.created = now()
        session.add(record)
        session.flush()
        audit.record(session, kind_of(kind).permission.name.lower(), title, {"job": record.id, "kind": kind})
        return _view(workspace, record)


def get_job(workspace: Workspace, job_id: str) -> Job:
    """The job as it is now. Raises `NotFound`."""
    with workspace.reading() as session:
        record = session.get(JobRecord, job_id)
    if record is None:
        raise NotFound(f"There is no job {job_id!r} in this workspace.", next_step="Look at the list of jobs.")
    return _view(workspace, _settled(workspace, record))


def list_jobs(workspace: Workspace, *, active: bool = False, limit: int = 50) -> list[Job]:
    """The newest jobs first; with `active` only those that run, wait or are paused, in the
    order of their turns."""
    query = select(JobRecord)
    if active:
        query = query.where(JobRecord.state.in_(ACTIVE)).order_by(*ORDER)
    else:
        query = query.order_by(JobRecord.turn.desc())
    with workspace.reading() as session:
        records = session.scalars(query.limit(limit)).all()
    jobs = [_view(workspace, _settled(workspace, record)) for record in records]
    return [job for job in jobs if job.active] if active else jobs


def request_cancel(workspace: Workspace, job_id: str, *, wait: float = 0.0) -> Job:
    """Ask a job to end; asking again, or asking one that has ended, changes nothing.

    Its process group gets SIGTERM, and SIGKILL `Settings.cancel_grace` seconds later. Until its last process is gone
    the job is `stopping`, then "cancelled". wait: seconds to wait here for that. Raises `NotFound`, `NotAllowed`.
    """
    person = require(Permission.TRAIN, job_id)
    with workspace.writing() as session:
        record = session.get(JobRecord, job_id)
        if record is not None and record.state in ACTIVE and record.cancel_requested is None:
            record.cancel_requested = now()
            record.exit_reason = f"Cancelled by {person.name}."
            if record.pid is None:
                record.state, record.finished = CANCELLED, now()
            session.flush()
            audit.record(session, "cancel", record.title, {"job": job_id})
    if record is not None and record.state in ACTIVE:
        signal_job(record, signal.SIGTERM)
        # one that stands still would never hear of it
        signal_job(record, signal.SIGCONT)
    job = get_job(workspace, job_id)
    return wait_for(workspace, job_id, timeout=wait) if wait > 0 and job.active else job


def signal_job(record: JobRecord, number: signal.Signals) -> None:
    """Send a signal to all processes of a job, if they are ours and on this machine."""
    if record.pid and record.process_started and here(record):
        processes.signal_group(record.pid, record.process_started, number)


def wait_for(
    workspace: Workspace,
    job_id: str,
    *,
    timeout: float | None = None,
    watch: Callable[[Job], None] | None = None,
    until: Callable[[Job], bool] = lambda job: False,
    interval: float = 0.1,
) -> Job:
    """Wait until the job has ended, `until` holds for it, or `timeout` seconds have passed.

    watch: called with it at each look.
    """
    end = None if timeout is None else time.monotonic() + timeout
    while True:
        job = get_job(workspace, job_id)
        if watch is not None:
            watch(job)
        if not job.active or until(job) or (end is not None and time.monotonic() >= end):
            return job
        time.sleep(interval)


def read_log(workspace: Workspace, job_id: str, *, lines: int = 200) -> str:
    """The last lines of what the job printed; empty before it printed anything."""
    path = log_path(workspace, job_id)
    if not path.is_file():
        return ""
    with open(path, "rb") as source:
        size = source.seek(0, 2)
        # 400 bytes per line are plenty: the end of a long log without reading the beginning
        source.seek(max(0, size - 400 * lines))
        text = source.read().decode("utf-8", "replace")
    return "\n".join(text.splitlines()[-lines:])


def log_path(workspace: Workspace, job_id: str) -> Path:
    return workspace.jobs / job_id / "log.txt"


def exit_path(workspace: Workspace, job_id: str) -> Path:
    """Where the exit code of a job's process is written when it ends."""
    return workspace.jobs / job_id / "exit"


def alive(record: JobRecord) -> bool:
    """Does the worker of this row still run? On another machine only its heartbeat can tell."""
    if record.pid is None or record.process_started is None:
        return False
    if here(record):
        return not _rebooted(record) and processes.is_alive(record.pid, record.process_started)
    return not _silent(record)


def _settled(workspace: Workspace, record: JobRecord) -> JobRecord:
    """Write down what became of a job whose process is gone, and end the processes of one that will not stop."""
    if record.state not in ACTIVE or record.pid is None or record.process_started is None:
        return record
    asked = record.cancel_requested or (record.pause_requested if record.state != PAUSED else None)
    if asked is not None:
        if not _gone(record):
            # a clock that was set back must not make the grace longer
            if not 0 <= (now() - asked).total_seconds() <= DEFAULTS.cancel_grace:
                signal_job(record, signal.SIGKILL)
            return record
        if record.cancel_requested is not None:
            return _finish(workspace, record, CANCELLED, None)
        return _stood_down(workspace, record)
    if record.state == PAUSED:
        return _stood_down(workspace, record) if here(record) and _gone(record) else record
    if alive(record):
        return record
    # a worker that was killed may leave children behind: they end, too, before anything is said
    signal_job(record, signal.SIGKILL)
    if not _gone(record):
        return record
    if here(record) and _rebooted(record) and _may_resume(record):
        return _requeued(workspace, record)
    return _finish(workspace, record, FAILED, _why(workspace, record))


def _gone(record: JobRecord) -> bool:
    """No process of the job is left."""
    if not here(record):
        return _silent(record)
    assert record.pid is not None
    assert record.process_started is not None
    return _rebooted(record) or not processes.group_members(record.pid, record.process_started)


def _may_resume(record: JobRecord) -> bool:
    waited = record.state == QUEUED and record.started is None
    return record.attempt < DEFAULTS.most_attempts and (waited or kind_of(record.kind).goes_on(record.request))


def _requeued(workspace: Workspace, record: JobRecord) -> JobRecord:
    with workspace.writing() as session:
        fresh = session.get_one(JobRecord, record.id)
        if fresh.state in ACTIVE and fresh.pid == record.pid:
            forget_process(fresh)
            fresh.state, fresh.attempt = QUEUED, fresh.attempt + 1
            fresh.exit_reason = "The machine was restarted; it goes on where it stopped."
            _log.info("a job goes on after a restart of the machine", job=fresh.id, attempt=fresh.attempt)
    return fresh


def _stood_down(workspace: Workspace, record: JobRecord) -> JobRecord:
    """Paused, without a process."""
    with workspace.writing() as session:
        fresh = session.get_one(JobRecord, record.id)
        if fresh.state in ACTIVE and fresh.cancel_requested is None and fresh.pid == record.pid:
            if fresh.state == PAUSED:
                fresh.exit_reason += " Its process ended meanwhile: resumed, it begins again."
            forget_process(fresh)
            fresh.state = PAUSED
    return fresh


def forget_process(record: JobRecord) -> None:
    record.pid, record.process_started, record.heartbeat, record.boot = None, None, None, ""


def _finish(workspace: Workspace, record: JobRecord, state: str, error: MidbandError | None) -> JobRecord:
    with workspace.writing() as session:
        fresh = session.get_one(JobRecord, record.id)
        # read again: the worker may have written its result just before it ended, somebody may have cancelled or paused
        # it since the row was read, or resumed it, with another process: then the next look says what became of it
        if fresh.state in ACTIVE and _asked_of(fresh) == _asked_of(record):
            fresh.state, fresh.finished = state, now()
            if error is not None and fresh.error is None:
                fresh.error = error.to_dict()
            if fresh.error is not None:
                fresh.exit_reason = fresh.error["detail"]
            _log.warning("a job ended without its worker", job=fresh.id, state=state, why=fresh.exit_reason)
    return fresh


def _asked_of(record: JobRecord) -> tuple[object, ...]:
    return record.pid, record.process_started, record.cancel_requested, record.pause_requested


def _why(workspace: Workspace, record: JobRecord) -> MidbandError:
    try:
        code = int(exit_path(workspace, record.id).read_text())
    except (OSError, ValueError):
        # the whole group was killed at once, or the disk was full
        code = None
    return interrupted(record, code, rebooted=_rebooted(record), elsewhere="" if here(record) else record.host)


def here(record: JobRecord) -> bool:
    return record.pid is not None and record.host == processes.this_host()


def _rebooted(record: JobRecord) -> bool:
    return bool(record.boot) and record.boot != processes.this_boot()


def _silent(record: JobRecord) -> bool:
    last = record.heartbeat or record.created
    return (now() - last).total_seconds() > DEFAULTS.heartbeat_timeout


def _view(workspace: Workspace, record: JobRecord) -> Job:
    return job_of(record, log_path(workspace, record.id), time.time())
