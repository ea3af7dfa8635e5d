"""Who may start and steer jobs, and what is kept of who did."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from core.access.audit import entries
from core.access.person import Person, acting_as
from core.errors import NotAllowed
from core.jobs import get_job, list_jobs, move_first, move_up, pause, prioritise, request_cancel, resume, retry
from core.jobs.job import Job
from core.jobs.queue import submit
from core.workspace import Workspace

STEPS: dict[str, Callable[[Workspace, str], Job]] = {
    "cancel": request_cancel,
    "pause": pause,
    "resume": resume,
    "up": move_up,
    "first": move_first,
    "prioritise": lambda workspace, job: prioritise(workspace, job, 3),
    "retry": retry,
}


@pytest.mark.parametrize("role", ["viewer", "labeller"])
@pytest.mark.parametrize("step", STEPS)
def test_only_owners_steer_jobs(workspace: Workspace, role: str, step: str) -> None:
    job = submit(workspace, "demo", "Demo", {})
    if step == "retry":
        request_cancel(workspace, job.id)
    before = get_job(workspace, job.id)
    with acting_as(Person("Ada", role)), pytest.raises(NotAllowed):
        STEPS[step](workspace, job.id)
    assert get_job(workspace, job.id).to_dict() == before.to_dict()
    assert len(list_jobs(workspace)) == 1


@pytest.mark.parametrize("role", ["viewer", "labeller"])
@pytest.mark.parametrize("kind", ["demo", "retrain", "export"])
def test_only_owners_start_jobs(workspace: Workspace, role: str, kind: str) -> None:
    with acting_as(Person("Ada", role)), pytest.raises(NotAllowed):
        submit(workspace, kind, "Work", {})
    assert list_jobs(workspace) == []


def test_who_started_and_cancelled_is_kept(workspace: Workspace) -> None:
    with acting_as(Person("Ada", "owner")):
        job = submit(workspace, "demo", "Demo", {})
        submit(workspace, "demo", "Demo", {})
    with acting_as(Person("Ben", "owner")):
        pause(workspace, job.id)
        cancelled = request_cancel(workspace, job.id)
    assert job.author == "Ada"
    assert cancelled.exit_reason == "Cancelled by Ben."
    told = [(entry.actor, entry.action, entry.details["job"]) for entry in entries(workspace)]
    assert told == [("Ben", "cancel", job.id), ("Ben", "pause", job.id), ("Ada", "load", job.id)]
