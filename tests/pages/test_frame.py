"""The frame around every page: workspace, jobs under way, links."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.activations.store import Analysis
from core.concepts.concept import create_concept
from core.jobs.job import Job
from core.jobs.queue import submit
from core.workspace import Workspace
from pages.parts import rooms

from .conftest import Visit, plant, set_job, texts


def test_a_workspace_that_cannot_be_opened_is_told_on_every_page(
    visit: Visit, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("MIDBAND_WORKSPACE", str(tmp_path / "file"))
    app = visit()
    assert not app.exception
    assert "is a file, not a folder" in texts(app)


@pytest.mark.parametrize("room", [name for name in rooms.ROOMS if name != "present"])
def test_every_page_shows_what_runs(
    visit: Visit, planted: Analysis, workspace: Workspace, queued: list[Job], room: str
) -> None:
    job = submit(workspace, "train", "Train on birds", {"data": "/x", "out": "/y.safetensors"})
    set_job(workspace, job.id, state="running", done=30, total=120, message="Epoch 1")
    app = visit(room)
    assert not app.exception
    assert any("Train on birds" in bar.proto.text and "25%" in bar.proto.text for bar in app.sidebar.get("progress"))


def test_the_end_of_a_job_is_announced_once_and_changes_nothing_on_the_page(
    visit: Visit, planted: Analysis, workspace: Workspace, queued: list[Job]
) -> None:
    job = submit(workspace, "demo", "Make the demo", {})
    app = visit("bands")
    newer = plant(workspace, 450, name="newer")
    set_job(workspace, job.id, state="done", result={"analysis": newer.id})
    app.run()
    assert [toast.value for toast in app.toast] == ["Make the demo: done."]
    app.run()
    assert not app.toast
    assert app.query_params["analysis"] == planted.id


def test_no_page_needs_torch() -> None:
    import subprocess
    import sys

    modules = [f"pages.parts.{path.stem}" for path in (rooms.FOLDER / "parts").glob("*.py")]
    code = f"import sys, {', '.join(modules)}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=rooms.FOLDER.parent).returncode == 0


def test_no_page_file_beside_the_main_script_can_be_run_without_its_frame() -> None:
    # Streamlit takes a `pages` folder beside the main script for pages of their own
    assert not (rooms.FOLDER / "pages").exists()
    assert (rooms.FOLDER / "main.py").is_file()


def test_rooms_outside_the_navigation_are_reached_by_link(visit: Visit, planted: Analysis) -> None:
    app = visit("bands")
    links = {link.proto.label: link.proto.query_string for link in app.sidebar.get("page_link")}
    assert set(links) >= {"Present", "Glossary"}
    assert planted.id in links["Present"]


def test_the_stage_leads_back_where_there_is_nothing_to_present(visit: Visit, planted: Analysis) -> None:
    app = visit("present", visit(), analysis="nonesuch")
    assert not app.exception
    assert "holds no investigation “nonesuch”" in texts(app)
    links = app.main.get("page_link")
    assert [link.proto.label for link in links] == ["Home"]


@pytest.mark.parametrize("room", [name for name in rooms.ROOMS if name not in ("home", "present", "tag_next")])
def test_every_page_says_in_one_sentence_what_it_is_for(visit: Visit, planted: Analysis, room: str) -> None:
    app = visit(room)
    assert not app.exception
    assert [title.value for title in app.title] == [rooms.ROOMS[room][0]]
    # the controls of the map stand before it
    lead = next(text.value for text in app.main.markdown if not text.value.startswith(("**", "<")))
    assert lead.endswith(".")
    assert len(lead) < 200


@pytest.mark.parametrize(
    ("room", "label"), [("bands", "Tag next"), ("map", "Tag next"), ("tag_next", "Retrain"), ("concepts", "Retrain")]
)
def test_the_next_step_is_in_the_head_once_something_is_named(
    visit: Visit, planted: Analysis, workspace: Workspace, room: str, label: str
) -> None:
    def steps() -> list[str]:
        app = visit(room)
        return [link.proto.label for link in app.main.get("page_link")] + [button.label for button in app.main.button]

    assert steps().count(label) == (room in ("tag_next",) and label in steps())
    create_concept(workspace, planted.dataset_id, "water")
    assert label in steps()
