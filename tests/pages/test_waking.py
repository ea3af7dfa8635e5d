"""What a server does when it starts, before anybody looks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from core.database import JobRecord
from core.errors import StorageProblem
from core.jobs.processes import this_host
from core.jobs.queue import get_job, submit
from core.storage import lease
from core.workspace import Workspace
from pages.parts import state, waking
from tests.pages.conftest import Visit, texts


@pytest.fixture(autouse=True)
def _nothing_refused() -> Iterator[None]:
    yield
    state._refused.clear()


def test_job_whose_process_is_gone_is_told_before_anybody_looks(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIDBAND_WORKSPACE", str(workspace.root))
    job = submit(workspace, "train", "Train", {"data": "x", "out": "y"})
    with workspace.writing() as session:
        record = session.get_one(JobRecord, job.id)
        record.pid, record.process_started, record.state, record.boot = 1, 1.0, "running", "another start"
        record.host = this_host()
    held = waking.wake()
    assert held is not None
    held.release()
    with workspace.reading() as session:
        assert session.get_one(JobRecord, job.id).state == "failed"
    assert get_job(workspace, job.id).exit_reason == "The machine was restarted while it was under way."


def test_server_on_another_host_is_a_sentence_on_every_page(
    visit: Visit, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = lease.hold(workspace, host="elsewhere", pid=7)
    try:
        assert waking.wake() is None
        app = visit("jobs")
        assert "elsewhere" in texts(app)
        assert not app.title
    finally:
        other.release()


def test_a_server_that_lost_its_workspace_gives_it_to_nobody(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIDBAND_WORKSPACE", str(workspace.root))
    assert state.workspace() == workspace
    state.refuse(StorageProblem("A server on south has it.", next_step="Use that one."))
    # a press, or a part of a page, runs without what begins a page
    with pytest.raises(StorageProblem, match="south"):
        state.workspace()
