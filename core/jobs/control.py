"""What people do with jobs that wait, run or are paused: pause, resume, and another order.

A kind of work that resumes is paused by ending its processes: it holds no memory meanwhile and survives a restart of
the machine. Any other stands still in its memory (SIGSTOP); should that be lost, it begins again when it is resumed.
"""

from __future__ import annotations

import signal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.access import audit
from core.access.policy import Permission, require
from core.database import JobRecord, now
from core.errors import BadRequest, NotFound
from core.jobs import processes
from core.jobs.job import ACTIVE, PAUSED, QUEUED, RUNNING, Job
from core.jobs.kinds import kind_of
from core.jobs.launcher import start
from core.jobs.queue import ORDER, alive, get_job, here, signal_job, wait_for
from core.workspace import Workspace


def pause(workspace: Workspace, job_id: str, *, wait: float = 0.0) -> Job:
    """Let a job rest until `resume`; asking again changes nothing. Others take their turns meanwhile.

    wait: seconds to wait for the end of its processes. Raises `NotAllowed`, `BadRequest` for one that ended.
    """
    person = require(Permission.TRAIN, job_id)
    get_job(workspace, job_id)
    with workspace.writing() as session:
        record = _active(session, job_id)
        if record.state == PAUSED or record.pause_requested is not None:
            ends = False
        else:
            record.pause_requested = now()
            audit.record(session, "pause", record.title, {"job": job_id})
            record.exit_reason = f"Paused by {person.name}."
            # one that waits has nothing to lose, and its place is cheap to take again
            ends = record.started is None or kind_of(record.kind).goes_on(record.request)
            if record.pid is None:
                record.state = PAUSED
            elif not ends:
                # under the write lock: a process that stands still must not hold it
                record.state = PAUSED
                signal_job(record, signal.SIGSTOP)
    if ends:
        signal_job(record, signal.SIGTERM)
    job = get_job(workspace, job_id)
    return wait_for(workspace, job_id, timeout=wait, until=lambda seen: seen.state == PAUSED) if wait > 0 else job


def resume(workspace: Workspace, job_id: str) -> Job:
    """Let a paused job go on when its turn comes. Raises `NotAllowed`, `BadRequest` for one that is not."""
    require(Permission.TRAIN, job_id)
    if get_job(workspace, job_id).pausing:
        wait_for(workspace, job_id, timeout=10.0, until=lambda seen: not seen.pausing)
    with workspace.writing() as session:
        record = _active(session, job_id)
        if record.state != PAUSED:
            raise BadRequest(f"{record.title} is not paused.", next_step="Look at the list of jobs.")
        record.pause_requested, record.exit_reason, record.state = None, "", QUEUED
        audit.record(session, "resume", record.title, {"job": job_id})
        held = record.pid is not None
        if not held:
            record.attempt += record.started is not None
    if held:
        wake_next(workspace)
        return get_job(workspace, job_id)
    return start(workspace, get_job(workspace, job_id))


def wake_next(workspace: Workspace) -> None:
    """Let a resumed job that stands still in its memory go on, if it is its turn: it cannot look for itself."""
    with workspace.reading() as session:
        waiting = session.scalars(select(JobRecord).where(JobRecord.state == QUEUED)).all()
    if not any(_stands_still(record) for record in waiting):
        return
    with workspace.writing() as session:
        under_way = session.scalars(select(JobRecord).where(JobRecord.state.in_((QUEUED, RUNNING))).order_by(*ORDER))
        living = [record for record in under_way if alive(record)]
        if living and _stands_still(living[0]) and not any(record.state == RUNNING for record in living):
            living[0].state = RUNNING
            signal_job(living[0], signal.SIGCONT)


def _stands_still(record: JobRecord) -> bool:
    if record.pid is None or record.process_started is None or not here(record):
        return False
    return processes.stands_still(record.pid, record.process_started)


def prioritise(workspace: Workspace, job_id: str, priority: int) -> Job:
    """Higher comes first; what runs is not interrupted. Raises `NotAllowed`, `BadRequest` for one that ended."""
    require(Permission.TRAIN, job_id)
    with workspace.writing() as session:
        record = _active(session, job_id)
        record.priority = priority
        audit.record(session, "prioritise", record.title, {"job": job_id, "priority": priority})
    return get_job(workspace, job_id)


def move_up(workspace: Workspace, job_id: str) -> Job:
    """Change places with the one that waits before it; the first stays first. Raises as `prioritise` does."""
    require(Permission.TRAIN, job_id)
    with workspace.writing() as session:
        record = _active(session, job_id)
        waiting = session.scalars(select(JobRecord).where(JobRecord.state == QUEUED).order_by(*ORDER)).all()
        place = next((place for place, other in enumerate(waiting) if other.id == job_id), 0)
        if place > 0:
            audit.record(session, "prioritise", record.title, {"job": job_id})
            before = waiting[place - 1]
            record.priority, before.priority = before.priority, record.priority
            record.turn, before.turn = before.turn, record.turn
    return get_job(workspace, job_id)


def move_first(workspace: Workspace, job_id: str) -> Job:
    """Before all that wait. Raises as `prioritise` does."""
    require(Permission.TRAIN, job_id)
    with workspace.writing() as session:
        record = _active(session, job_id)
        others = select(func.max(JobRecord.priority)).where(JobRecord.state == QUEUED, JobRecord.id != job_id)
        record.priority = max(record.priority, (session.scalar(others) or 0) + 1)
        audit.record(session, "prioritise", record.title, {"job": job_id, "priority": record.priority})
    return get_job(workspace, job_id)


def _active(session: Session, job_id: str) -> JobRecord:
    record = session.get(JobRecord, job_id)
    if record is None:
        raise NotFound(f"There is no job {job_id!r} in this workspace.", next_step="Look at the list of jobs.")
    if record.state not in ACTIVE or record.cancel_requested is not None:
        raise BadRequest(f"{record.title} has ended or is being cancelled.", next_step="Start it again instead.")
    return record
