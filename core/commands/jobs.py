"""`jobs`: what runs, waits and ended in the background, and what can be done about it."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from core.commands.output import Answer, ProgressLine, duration, table
from core.jobs import control, get_job, list_jobs, read_log, request_cancel, retry
from core.jobs.job import PAUSED, QUEUED, RUNNING, Job
from core.workspace import Workspace, open_workspace

# seconds to wait for the last process of a job that is cancelled or paused
PATIENCE = 30.0

_STEPS: dict[str, Callable[[Workspace, str], Job]] = {
    "cancel": lambda workspace, job: request_cancel(workspace, job, wait=PATIENCE),
    "pause": lambda workspace, job: control.pause(workspace, job, wait=PATIENCE),
    "resume": control.resume,
    "retry": retry,
    "up": control.move_up,
    "first": control.move_first,
}


def jobs(options: argparse.Namespace, progress: ProgressLine) -> Answer:
    workspace = open_workspace(options.workspace, create=False)
    if options.log is not None:
        job = get_job(workspace, options.log)
        text = read_log(workspace, job.id, lines=options.lines)
        return Answer({**job.to_dict(), "text": text}, text or "It has printed nothing yet.")
    for name, step in _STEPS.items():
        if (chosen := getattr(options, name)) is not None:
            return _said(step(workspace, chosen))
    if options.prioritise is not None:
        return _said(control.prioritise(workspace, options.prioritise, options.priority))
    under_way = list_jobs(workspace, active=True, limit=options.count)
    known = {job.id for job in under_way}
    ended = [job for job in list_jobs(workspace, limit=options.count) if job.id not in known and not job.active]
    found = [*under_way, *([] if options.active else ended)][: options.count]
    return Answer({"jobs": [job.to_dict() for job in found]}, _table(found))


def _said(job: Job) -> Answer:
    more = f" {job.exit_reason}" if job.exit_reason else ""
    return Answer(job.to_dict(), f"{job.title} ({job.id}) is {_state(job)}.{more}")


def _state(job: Job) -> str:
    if job.stopping or job.pausing:
        return "stopping" if job.stopping else "pausing"
    return {QUEUED: "waiting", RUNNING: "running", PAUSED: "paused"}.get(job.state, job.state)


def _table(found: list[Job]) -> str:
    if not found:
        return "There is no job."
    rows = [
        [
            job.id,
            _state(job),
            job.title,
            f"{job.fraction:.0%}" if job.active and job.fraction is not None else "",
            duration(job.seconds) if job.seconds is not None else "",
            job.exit_reason or job.message,
        ]
        for job in found
    ]
    return table(rows, ["job", "state", "what", "done", "took", "why, or at"], left=6)
