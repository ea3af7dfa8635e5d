"""The Jobs page in a browser: a job is watched, paused and cancelled without a reload, and its end is told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from playwright.sync_api import Page, expect

from core.jobs import get_job, launch, list_jobs, request_cancel
from core.jobs.processes import group_members, started_at
from core.workspace import Workspace, open_workspace
from tests.browser.patience import until
from tests.browser.test_own_data import photos  # noqa: F401


@pytest.fixture
def busy(tmp_path: Path) -> Iterator[Workspace]:
    workspace = open_workspace(tmp_path / "workspace")
    yield workspace
    for job in list_jobs(workspace, active=True):
        request_cancel(workspace, job.id, wait=10)


def test_a_job_is_followed_paused_and_cancelled(page: Page, serve: Any, photos: Path, busy: Workspace) -> None:  # noqa: F811
    request = {"data": str(photos), "epochs": 5000, "out": str(busy.root / "m.safetensors")}
    job = launch(busy, "train", "Train on shapes", request)
    server = serve(env={"MIDBAND_WORKSPACE": str(busy.root)})
    page.goto(f"{server.url}/jobs?job={job.id}")
    main = page.get_by_test_id("stMain")
    # the log grows by itself
    expect(main.get_by_test_id("stCode").get_by_text("Epoch", exact=False).first).to_be_visible(timeout=60_000)
    assert job.pid is not None
    members = group_members(job.pid, started_at(job.pid) or 0.0)

    main.get_by_role("button", name="Pause").click()
    expect(main.get_by_text("Paused by")).to_be_visible()
    # a thread that is in the kernel stands still once it comes back from there
    until(page, lambda: {member.status() for member in members}, {psutil.STATUS_STOPPED}.__eq__)
    main.get_by_role("button", name="Resume").click()
    expect(main.get_by_role("button", name="Pause")).to_be_visible()

    main.get_by_role("button", name="Cancel").click()
    # told on whatever page one is, for a few seconds
    expect(page.get_by_test_id("stToast").get_by_text("cancelled")).to_be_visible(timeout=30_000)
    expect(main.get_by_text("Cancelled by")).to_be_visible()
    assert not any(member.is_running() and member.status() != psutil.STATUS_ZOMBIE for member in members)
    assert get_job(busy, job.id).exit_reason.startswith("Cancelled by")
    expect(main.get_by_role("button", name="Try again")).to_be_visible()
