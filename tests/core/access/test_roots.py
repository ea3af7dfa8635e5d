"""Only listed folders are opened and written to."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.access import modes, roots
from core.access.roots import allowed_path
from core.classifiers.checkpoint import check_output
from core.classifiers.classifier import load_classifier
from core.classifiers.peek import peek
from core.concepts.exchange import export_tags, import_tags
from core.datasets import open_dataset
from core.datasets.choices import Choices
from core.errors import BadMetadata, BadRequest, EmptyDataset, NotAllowed
from core.jobs.queue import submit
from core.workspace import Workspace
from tests.core.conftest import AnalysisMaker


@pytest.fixture
def outside(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder beside the one that is open."""
    (tmp_path / "open" / "birds").mkdir(parents=True)
    closed = tmp_path / "closed"
    closed.mkdir()
    (closed / "secret.csv").write_text("image,concept,present\n")
    monkeypatch.setenv(roots.VARIABLE, str(tmp_path / "open"))
    return closed


def test_one_person_on_one_machine_opens_what_they_like(tmp_path: Path) -> None:
    assert roots.data_roots() is None
    assert allowed_path(tmp_path) == tmp_path.resolve()


def test_a_team_has_its_workspace_open_and_nothing_else(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(modes.VARIABLE, modes.PASSWORD)
    assert allowed_path(workspace.datasets / "birds") == workspace.datasets / "birds"
    with pytest.raises(NotAllowed, match="outside"):
        allowed_path("/etc/passwd")


@pytest.mark.parametrize("way", ["{closed}", "{open}/../closed", "{open}/link", "{open}-too", "/", "~root"])
def test_no_way_leads_outside(outside: Path, tmp_path: Path, way: str) -> None:
    inside = tmp_path / "open"
    (inside / "link").symlink_to(outside)
    (tmp_path / "open-too").mkdir()
    with pytest.raises(NotAllowed):
        allowed_path(way.format(closed=outside, open=inside))
    assert allowed_path(inside / "birds") == (inside / "birds").resolve()


def test_several_folders_may_be_open(outside: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(roots.VARIABLE, os.pathsep.join((str(tmp_path / "open"), str(outside))))
    assert allowed_path(outside / "secret.csv")


def test_data_models_and_files_outside_are_refused_before_they_are_looked_at(
    workspace: Workspace, make_analysis: AnalysisMaker, outside: Path
) -> None:
    analysis = make_analysis(np.eye(2, dtype=np.float32), np.array([0, 1]))
    steps = (
        lambda: open_dataset(outside),
        lambda: open_dataset(outside / "not there"),
        lambda: load_classifier(outside / "model.pt"),
        lambda: check_output(outside / "model.safetensors"),
        lambda: import_tags(workspace, analysis, outside / "secret.csv"),
        lambda: export_tags(workspace, analysis, outside / "tags.csv"),
        lambda: submit(workspace, "look", "Look", {"data": str(outside)}),
        lambda: submit(workspace, "export", "Export", {"run": "r", "out": str(outside)}),
    )
    for step in steps:
        with pytest.raises(NotAllowed, match="outside"):
            step()
    assert peek(outside / "secret.csv").problem != peek(outside).problem
    assert "outside" in (peek(outside / "secret.csv").problem or "")
    assert [file.name for file in outside.iterdir()] == ["secret.csv"]


@pytest.mark.parametrize("way", ["absolute", "chosen", "chosen from here", "beside", "by a link"])
def test_a_table_leads_nowhere_else(outside: Path, tmp_path: Path, way: str) -> None:
    folder = tmp_path / "open"
    names = [f"{number}.png" for number in range(8)]
    for name in names:
        Image.new("RGB", (8, 8)).save(outside / name)
    if way == "by a link":
        (folder / "birds" / "images").symlink_to(outside)
    rows = [f"{outside / name if way == 'absolute' else name},{place % 2}" for place, name in enumerate(names)]
    table = folder / "table.csv" if way == "beside" else folder / "birds" / "table.csv"
    table.write_text("\n".join(["image,label", *rows]))
    chosen = {"chosen": str(outside), "chosen from here": "../../closed"}
    # either as outside, or as if nothing were there
    with pytest.raises((NotAllowed, EmptyDataset, BadMetadata)):
        open_dataset(table, choices=Choices(images=chosen.get(way)))


def test_a_mode_that_is_none_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(modes.VARIABLE, "open")
    with pytest.raises(BadRequest, match="MIDBAND_ACCESS is 'open'"):
        modes.mode()
