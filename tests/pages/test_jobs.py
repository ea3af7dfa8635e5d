"""The Jobs page: what runs, waits and ended, and what a press does about it."""

from __future__ import annotations

from core.database import now
from core.jobs.job import Job
from core.jobs.queue import get_job, list_jobs, log_path, submit
from core.workspace import Workspace
from pages.parts.job_log import matching
from tests.pages.conftest import Visit, set_job, texts


def ended(workspace: Workspace, name: str, state: str, **values: object) -> Job:
    job = submit(workspace, "demo", name, {"which": "birds"}, key=name)
    set_job(workspace, job.id, state=state, started=job.created, finished=now(), **values)
    return job


def press(app: object, key: str) -> None:
    next(button for button in app.button if button.key == key).click().run()  # type: ignore[attr-defined]


def test_empty_workspace_says_what_shows_up_here(visit: Visit) -> None:
    app = visit("jobs")
    assert "Nothing has run yet" in texts(app)


def test_every_end_has_its_reason(visit: Visit, workspace: Workspace, queued: list[Job]) -> None:
    ended(workspace, "Analyse <b>birds</b>", "failed", exit_reason="Out of memory: it held 3.1 GB.", error=None)
    ended(workspace, "Export", "cancelled", exit_reason="Cancelled by Ada.")
    read = texts(visit("jobs"))
    assert "Out of memory" in read
    assert "Cancelled by Ada" in read
    assert "<b>" not in read


def test_waiting_job_moves_up_pauses_resumes_and_is_cancelled(
    visit: Visit, workspace: Workspace, queued: list[Job], monkeypatch: object
) -> None:
    first, second = (submit(workspace, "demo", name, {}, key=name) for name in ("first", "second"))
    app = visit("jobs")
    assert not [button for button in app.button if button.key == f"move-up-{first.id}"]
    press(app, f"move-up-{second.id}")
    assert [job.title for job in list_jobs(workspace, active=True)] == ["second", "first"]
    press(app, f"pause-{first.id}")
    assert get_job(workspace, first.id).state == "paused"
    assert [button.label for button in app.button if button.key == f"resume-{first.id}"] == ["Resume"]
    press(app, f"cancel-{first.id}")
    assert get_job(workspace, first.id).exit_reason == "Cancelled by local."


def test_link_shows_one_job_with_its_log_and_a_filter(visit: Visit, workspace: Workspace, queued: list[Job]) -> None:
    job = ended(workspace, "Analyse", "failed", exit_reason="Killed.", error=None)
    log = log_path(workspace, job.id)
    log.parent.mkdir(parents=True)
    log.write_text("10:00:00 Opening the dataset\n10:00:01 Reading 5 images\n")
    app = visit("jobs", job=job.id)
    assert "Reading 5 images" in app.code[0].value
    app.text_input(key=f"log-filter-{job.id}").set_value("OPENING").run()
    assert app.code[0].value == "10:00:00 Opening the dataset"
    assert "id " + job.id in texts(app)


def test_link_to_a_job_of_another_workspace_is_a_sentence(visit: Visit) -> None:
    app = visit("jobs", job="nonesuch")
    assert not app.exception
    assert "There is no job" in texts(app)


def test_filter_of_the_log_looks_past_upper_and_lower_case() -> None:
    assert matching("One\ntwo\nONE more", "one") == ["One", "ONE more"]
    assert matching("", "one") == []
