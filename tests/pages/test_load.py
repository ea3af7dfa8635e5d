"""Load: what is understood of a folder and a model file is said before anything is started."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file
from streamlit.testing.v1 import AppTest

from core.activations.store import Analysis
from core.jobs.job import Job
from core.workspace import Workspace

from .conftest import Visit, set_job, texts


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "photos"
    for split, count in (("train", 6), ("val", 3), ("test", 3)):
        for name, color in (("cat", 200), ("dog", 40)):
            (root / split / name).mkdir(parents=True)
            for i in range(count):
                Image.new("RGB", (16, 12), (color, i * 9, 80)).save(root / split / name / f"{i}.png")
    (root / "train" / "cat" / "notes.txt").write_text("no image")
    return root


def _give(app: AppTest, folder: Path | str) -> AppTest:
    return app.text_input(key="load_path").set_value(str(folder)).run()


def _button(app: AppTest, label: str):
    return next(button for button in app.button if button.label == label)


def test_the_first_step_comes_alone(visit: Visit) -> None:
    app = visit("load")
    assert not app.exception
    assert "1 · Images" in texts(app)
    assert "2 · Model" not in texts(app)


@pytest.mark.parametrize(
    ("make", "title"),
    [
        (lambda root: root / "nowhere", "Path not found"),
        (lambda root: (root / "empty").mkdir(parents=True) or root / "empty", "No images found"),
        (lambda root: _one_class(root), "Only one class"),
    ],
)
def test_what_cannot_be_used_gets_a_sentence_and_a_next_step(visit: Visit, tmp_path: Path, make, title) -> None:
    app = _give(visit("load"), make(tmp_path / "data"))
    assert not app.exception
    (error,) = app.error
    assert title in error.value
    assert "arrow_forward" in error.value
    assert "2 · Model" not in texts(app)


def _one_class(root: Path) -> Path:
    (root / "cat").mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(root / "cat" / "1.png")
    return root


def test_a_folder_is_summarised_at_once(visit: Visit, folder: Path) -> None:
    app = _give(visit("load"), folder)
    assert "holds 24 images of 2 classes" in texts(app)
    (counts, left_out) = (frame.value for frame in app.dataframe)
    assert counts.loc["cat"].to_dict() == {"train": 6, "val": 3, "test": 3}
    assert left_out["image"].tolist() == ["train/cat/notes.txt"]
    assert len(app.expander) >= 1


def test_a_dataset_without_val_says_so(visit: Visit, folder: Path) -> None:
    for file in sorted((folder / "val").rglob("*"), reverse=True):
        file.rmdir() if file.is_dir() else file.unlink()
    (folder / "val").rmdir()
    app = _give(visit("load"), folder)
    assert "val" in texts(app)


def test_a_model_that_is_not_there_is_told_before_a_job_starts(visit: Visit, folder: Path) -> None:
    app = _give(visit("load"), folder)
    app.text_input(key="load_model").set_value("/nowhere/model.pt").run()
    assert "There is no file" in app.error[0].value
    assert _button(app, "Analyse").disabled


def test_weights_alone_need_an_architecture(visit: Visit, folder: Path, tmp_path: Path, queued: list[Job]) -> None:
    path = tmp_path / "weights.safetensors"
    save_file({"w": np.zeros(2, np.float32)}, path)
    app = _give(visit("load"), folder)
    app.text_input(key="load_model").set_value(str(path)).run()
    assert _button(app, "Analyse").disabled
    app.selectbox(key="load_arch").set_value("resnet18").run()
    _button(app, "Analyse").click().run()
    assert queued[0].request == {"data": str(folder), "model": str(path), "arch": "resnet18"}


def test_a_file_that_names_its_network_asks_nothing(visit: Visit, folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "ours.safetensors"
    save_file({"w": np.zeros(2, np.float32)}, path, metadata={"arch": "small"})
    app = _give(visit("load"), folder)
    app.text_input(key="load_model").set_value(str(path)).run()
    assert not _button(app, "Analyse").disabled
    assert "load_arch" not in [box.key for box in app.selectbox]


def test_an_upload_is_kept_in_the_workspace_once(visit: Visit, folder: Path, workspace: Workspace) -> None:
    app = _give(visit("load"), folder)
    app.file_uploader(key="load_upload").upload("../../evil name.pt", b"PK weights").run()
    app.run()
    kept = list(workspace.models.iterdir())
    assert [path.read_bytes() for path in kept] == [b"PK weights"]
    assert kept[0].parent == workspace.models


def test_training_here_is_one_job_of_training_and_analysing(visit: Visit, folder: Path, queued: list[Job]) -> None:
    app = _give(visit("load"), folder)
    app.segmented_control(key="load_way").set_value("Train one here").run()
    app.number_input(key="load_epochs").set_value(3).run()
    _button(app, "Train and analyse").click().run()
    (job,) = queued
    assert job.kind == "train-analyse"
    assert job.request == {"data": str(folder), "arch": "small", "seed": 0, "epochs": 3}
    # the questions give way to the job, in any session that looks
    assert "Cancel" in [button.label for button in visit("load").button]


def test_a_failed_job_says_why_and_offers_another_try(
    visit: Visit, folder: Path, workspace: Workspace, queued: list[Job]
) -> None:
    app = _give(visit("load"), folder)
    app.segmented_control(key="load_way").set_value("Train one here").run()
    _button(app, "Train and analyse").click().run()
    error = {"title": "Only one class", "detail": "There is one.", "next_step": "Add another."}
    set_job(workspace, queued[0].id, state="failed", error=error)
    app.run()
    assert "Add another" in texts(app)
    _button(app, "Try again").click().run()
    assert len(queued) == 1 or queued[1].request == queued[0].request


def test_a_finished_job_leads_to_the_bands_and_lists_what_was_skipped(
    visit: Visit, planted: Analysis, workspace: Workspace, queued: list[Job], folder: Path
) -> None:
    app = _give(visit("load"), folder)
    app.segmented_control(key="load_way").set_value("Train one here").run()
    _button(app, "Train and analyse").click().run()
    skipped = [{"image": "a.png", "reason": "damaged: truncated"}]
    result = {"analysis": planted.id, "images": planted.n, "skipped": skipped}
    set_job(workspace, queued[0].id, state="done", result=result)
    app.run()
    assert "is ready" in texts(app)
    assert app.dataframe[0].value["reason"].tolist() == ["damaged: truncated"]
    _button(app, "Look at the bands").click().run()
    assert not app.exception
    assert app.title[0].value == "Bands"
