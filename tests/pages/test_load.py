"""Load: what is understood of images and a model is said before anything is started."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file
from streamlit.testing.v1 import AppTest

from core.activations.store import DESCRIPTION, Analysis
from core.database import AnalysisRecord
from core.datasets import open_dataset
from core.datasets.preview import write_preview
from core.files import read_json, write_json
from core.jobs.job import Job
from core.jobs.queue import get_job
from core.workspace import Workspace
from pages.parts import load_reading, state
from pages.parts.words import percent, plain

from .conftest import Visit, plant, set_job, texts

HOSTILE = "**b** :smile: <b>$x$ `y`"


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine must not turn a folder of a few images into a job."""
    monkeypatch.setattr(load_reading, "PATIENCE", 60)


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


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A table whose columns have names that nobody can guess the meaning of, and a folder of images beside it."""
    root = tmp_path / "scans"
    (root / "files").mkdir(parents=True)
    rows = [f"where;kind;{HOSTILE};{HOSTILE} too"]
    for i in range(12):
        Image.new("RGB", (16, 12), (i * 20, 90, 80)).save(root / "files" / f"{i:02d}.png")
        rows.append(f"files/{i:02d}.png;{'ab'[i % 2]};{'xy'[i // 6]};{'uv'[i % 3 == 0]}")
    (root / "list.csv").write_text("\n".join(rows) + "\n")
    return root / "list.csv"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A file that says which network it is; nothing opens it here."""
    path = tmp_path / "ours.safetensors"
    save_file({"w": np.zeros(2, np.float32)}, path, metadata={"arch": "small"})
    return path


def _give(app: AppTest, path: Path | str) -> AppTest:
    return app.text_input(key="load_path").set_value(str(path)).run()


def _bring(app: AppTest, path: Path | str) -> AppTest:
    return app.text_input(key="load_model").set_value(str(path)).run()


def _button(app: AppTest, label: str) -> Any:
    return next(button for button in app.button if label in button.label)


def _of_kind(jobs: list[Job], kind: str) -> list[Job]:
    return [job for job in jobs if job.kind == kind]


def _checked(workspace: Workspace, job: Job, **said: object) -> None:
    """What a check found."""
    result = {"accuracy": 0.9, "chance": 0.5, "images": 24, "sentence": "90% named rightly.", "offers": []}
    set_job(workspace, job.id, state="done", result={**result, **said})


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
    (root / "dog").mkdir()
    Image.new("RGB", (8, 8)).save(root / "cat" / "1.png")
    return root


def test_a_folder_is_summarised_at_once(visit: Visit, folder: Path, queued: list[Job]) -> None:
    app = _give(visit("load"), folder)
    assert "holds 24 images of 2 classes" in texts(app)
    counts, left_out = (table.value for table in app.table)
    assert counts.loc["cat"].to_dict() == {"train": 6, "val": 3, "test": 3}
    assert left_out["image"].tolist() == [plain("train/cat/notes.txt")]
    # so small a folder needs no job
    assert not queued


def test_a_folder_that_is_left_out_counts_with_its_images(visit: Visit, folder: Path) -> None:
    (folder / "tset" / "cat").mkdir(parents=True)
    for i in range(7):
        Image.new("RGB", (16, 12)).save(folder / "tset" / "cat" / f"{i}.png")
    app = _give(visit("load"), folder)
    # and the text beside the images
    assert [one.label for one in app.expander if "left out" in one.label] == ["8 files or rows left out"]


def test_an_address_brings_its_dataset(visit: Visit, folder: Path) -> None:
    app = visit("load", data=str(folder))
    assert app.text_input(key="load_path").value == str(folder)
    assert "holds 24 images" in texts(app)
    # and what is typed afterwards counts, whatever the address still says
    app = _give(app, folder / "train")
    assert "holds 12 images" in texts(app)


def test_a_dataset_without_val_says_so(visit: Visit, folder: Path) -> None:
    for file in sorted((folder / "val").rglob("*"), reverse=True):
        file.rmdir() if file.is_dir() else file.unlink()
    (folder / "val").rmdir()
    app = _give(visit("load"), folder)
    assert "val" in texts(app)


def test_images_without_labels_are_no_dead_end(visit: Visit, tmp_path: Path, model: Path, queued: list[Job]) -> None:
    root = tmp_path / "unsorted"
    root.mkdir()
    for i in range(9):
        Image.new("RGB", (16, 12), (i * 20, 90, 80)).save(root / f"{i}.png")
    app = _give(visit("load"), root)
    assert not app.error
    assert "No labels" in texts(app)
    # nothing to train on, and nothing to check against
    assert not app.segmented_control
    app = _bring(app, model)
    assert not _of_kind(queued, "check")
    _button(app, "Analyse").click().run()
    assert _of_kind(queued, "analyse")[0].request["data"] == str(root)


def test_which_column_is_the_class_is_asked_in_one_press(visit: Visit, table: Path) -> None:
    app = _give(visit("load"), table)
    assert "No labels" in texts(app)
    (question,) = (one for one in app.pills if "what each image shows" in one.label)
    app = question.set_value(0).run()
    assert not app.exception
    assert "holds 12 images of 2 classes" in texts(app)
    assert "No labels" not in texts(app)


def test_columns_can_be_said_where_they_are_not_guessed(
    visit: Visit, table: Path, model: Path, queued: list[Job]
) -> None:
    app = _give(visit("load"), table)
    assert not app.exception
    (label,) = (box for box in app.selectbox if box.label == "Class")
    label.set_value("kind")
    (attributes,) = (box for box in app.multiselect if box.label.startswith("Also known"))
    attributes.set_value([HOSTILE])
    app = _button(app, "Read it this way").click().run()
    assert not app.exception
    assert "holds 12 images of 2 classes" in texts(app)
    # what is written in a table is shown as it is
    assert "\\*\\*b\\*\\*" in texts(app)
    app = _bring(app, model)
    _button(app, "Analyse").click().run()
    choices = _of_kind(queued, "analyse")[0].request["choices"]
    assert choices["columns"]["label"] == "kind"
    assert choices["attributes"] == [HOSTILE]


def test_a_format_that_was_not_meant_can_be_changed(visit: Visit, folder: Path, queued: list[Job]) -> None:
    """A folder per class, and a table that says something else of the same images."""
    images = sorted(folder.rglob("*.png"))
    rows = [f"{image.relative_to(folder)},{'red' if int(image.stem) % 2 else 'blue'}" for image in images]
    (folder / "colours.csv").write_text("\n".join(["file,colour", *rows]) + "\n")
    app = _give(visit("load"), folder)
    (radio,) = (one for one in app.radio if one.label == "Read it as")
    assert {"class-folders", "table"} <= set(radio.options) or len(radio.options) >= 2
    first = radio.value
    other = "class-folders" if first != "class-folders" else "table"
    app = radio.set_value(other).run()
    assert not app.exception
    (radio,) = (one for one in app.radio if one.label == "Read it as")
    assert radio.value == other
    assert "holds 24 images" in texts(app)


def test_a_drop_is_kept_in_the_workspace_once_and_read(visit: Visit, folder: Path, workspace: Workspace) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for file in folder.rglob("*.png"):
            archive.write(file, f"photos/{file.relative_to(folder)}")
    app = visit("load")
    app.file_uploader(key="load_data_upload").upload("../../my photos.zip", packed.getvalue()).run()
    app.run()
    uploads = workspace.datasets / "uploads"
    assert [path.name for path in uploads.iterdir()] == ["my photos.zip"]
    assert app.text_input(key="load_path").value == str(uploads / "my photos.zip")
    assert "holds 24 images of 2 classes" in texts(app)


def test_what_takes_long_is_read_by_a_job(
    visit: Visit, folder: Path, workspace: Workspace, queued: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load_reading, "PATIENCE", 0)
    app = _give(visit("load"), folder)
    (job,) = queued
    assert (job.kind, job.request["data"]) == ("look", str(folder))
    assert "2 · Model" not in texts(app)
    preview = write_preview(open_dataset(folder), workspace.datasets)
    set_job(workspace, job.id, state="done", result=preview)
    app.run()
    assert "holds 24 images of 2 classes" in texts(app)
    assert "2 · Model" in texts(app)
    # reading it again is a job of its own
    _button(app, "Read again").click().run()
    assert len(queued) == 2


def test_a_reading_that_fails_says_why(
    visit: Visit, folder: Path, workspace: Workspace, queued: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load_reading, "PATIENCE", 0)
    app = _give(visit("load"), folder)
    error = {"error": "BadMetadata", "title": "No", "detail": "It is damaged.", "next_step": "Get it again."}
    set_job(workspace, queued[0].id, state="failed", error=error)
    app.run()
    assert "Get it again" in app.error[0].value


def test_a_model_that_is_not_there_is_told_before_a_job_starts(visit: Visit, folder: Path) -> None:
    app = _bring(_give(visit("load"), folder), "/nowhere/model.pt")
    assert "There is no file" in app.error[0].value
    assert "3 · Analyse" not in texts(app)


def test_weights_alone_need_an_architecture(visit: Visit, folder: Path, tmp_path: Path, queued: list[Job]) -> None:
    path = tmp_path / "weights.safetensors"
    save_file({"w": np.zeros(2, np.float32)}, path)
    app = _bring(_give(visit("load"), folder), path)
    assert "3 · Analyse" not in texts(app)
    assert not queued
    app.selectbox(key="load_arch").set_value("resnet18").run()
    _button(app, "Analyse").click().run()
    request = _of_kind(queued, "analyse")[0].request
    assert request.pop("choices")["format"] == "class-folders"
    assert request == {"data": str(folder), "model": str(path), "arch": "resnet18"}


def test_a_file_that_names_its_network_asks_nothing(visit: Visit, folder: Path, model: Path, queued: list[Job]) -> None:
    app = _bring(_give(visit("load"), folder), model)
    assert "3 · Analyse" in texts(app)
    assert "load_arch" not in [box.key for box in app.selectbox]


def test_a_pickled_model_is_refused_with_the_way_to_convert_it(
    visit: Visit, folder: Path, tmp_path: Path, queued: list[Job]
) -> None:
    path = tmp_path / "whole.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("whole/data.pkl", b"\x80\x02cmy_code\nNetwork\n.")
    app = _bring(_give(visit("load"), folder), path)
    assert "save its weights" in app.error[0].value
    assert "weights_only=False" in app.code[0].value
    assert str(tmp_path / "whole-weights.pt") in app.code[0].value
    assert "3 · Analyse" not in texts(app)
    assert not queued


def test_a_model_of_the_hub_is_no_path(visit: Visit, folder: Path, queued: list[Job]) -> None:
    app = _bring(_give(visit("load"), folder), "hf-hub:microsoft/resnet-50")
    assert not app.error
    assert _of_kind(queued, "check")[0].request["model"] == "hf-hub:microsoft/resnet-50"


def test_an_upload_is_kept_in_the_workspace_once(
    visit: Visit, folder: Path, workspace: Workspace, queued: list[Job]
) -> None:
    app = _give(visit("load"), folder)
    app.file_uploader(key="load_upload").upload("../../evil name.pt", b"PK weights").run()
    app.run()
    kept = list(workspace.models.iterdir())
    assert [path.read_bytes() for path in kept] == [b"PK weights"]
    assert kept[0].parent == workspace.models


def test_a_model_is_checked_by_itself_and_once(
    visit: Visit, folder: Path, model: Path, workspace: Workspace, queued: list[Job]
) -> None:
    app = _bring(_give(visit("load"), folder), model)
    (check,) = queued
    assert check.kind == "check"
    # told where it was asked for: neither in the sidebar nor by a toast
    assert check.id not in app.session_state["jobs_watched"]
    _checked(workspace, check)
    app.run()
    assert "90% named rightly" in texts(app)
    # another tab finds what this one learnt
    _bring(_give(visit("load"), folder), model)
    assert len(queued) == 1


def test_classes_in_another_order_are_put_right_by_a_button(
    visit: Visit, folder: Path, model: Path, workspace: Workspace, queued: list[Job]
) -> None:
    app = _bring(_give(visit("load"), folder), model)
    offer = {"kind": "classes", "title": "Use this order", "accuracy": 0.94, "classes": ["dog", "cat"]}
    sentence = "6% named rightly: the classes may be in another order."
    _checked(workspace, queued[0], accuracy=0.06, sentence=sentence, offers=[offer])
    app.run()
    assert "another order" in app.warning[0].value
    app = _button(app, "Use this order").click().run()
    # what was promised is checked at once
    second = _of_kind(queued, "check")[1]
    assert second.request["class_order"] == ["dog", "cat"]
    _checked(workspace, second, accuracy=0.94, sentence="94% named rightly.")
    app.run()
    assert "94% named rightly" in texts(app)
    _button(app, "Analyse").click().run()
    assert _of_kind(queued, "analyse")[0].request["class_order"] == ["dog", "cat"]


def test_an_order_can_be_taken_back(
    visit: Visit, folder: Path, model: Path, workspace: Workspace, queued: list[Job]
) -> None:
    app = _bring(_give(visit("load"), folder), model)
    offer = {"kind": "classes", "title": "Use this order", "accuracy": 0.94, "classes": ["dog", "cat"]}
    _checked(workspace, queued[0], offers=[offer])
    app = _button(app.run(), "Use this order").click().run()
    app = _button(app, "As the names are").click().run()
    _button(app, "Analyse").click().run()
    assert "class_order" not in _of_kind(queued, "analyse")[0].request


def test_another_preparation_is_offered_and_can_be_edited(
    visit: Visit, folder: Path, model: Path, workspace: Workspace, queued: list[Job]
) -> None:
    app = _bring(_give(visit("load"), folder), model)
    prepared = {"resize": None, "crop": 32, "mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bilinear"}
    offer = {"kind": "preprocessing", "title": "Numbers from −1 to 1", "accuracy": 0.9, "preprocessing": prepared}
    _checked(workspace, queued[0], accuracy=0.5, offers=[offer])
    app = _button(app.run(), "Numbers from").click().run()
    assert _of_kind(queued, "check")[1].request["preprocessing"] == prepared
    # the same fields a person would have set
    assert app.toggle(key="load_own_input").value
    assert app.selectbox(key="load_numbers").value == "−1 to 1"
    app = app.number_input(key="load_crop").set_value(48).run()
    # somebody who tries things is not followed by a check of each
    assert len(_of_kind(queued, "check")) == 2
    app = _button(app, "Check them").click().run()
    assert _of_kind(queued, "check")[2].request["preprocessing"]["crop"] == 48
    _button(app, "Analyse").click().run()
    assert _of_kind(queued, "analyse")[0].request["preprocessing"] == {**prepared, "crop": 48}


def test_what_the_network_sees_is_shown(visit: Visit, folder: Path, model: Path, queued: list[Job]) -> None:
    app = _bring(_give(visit("load"), folder), model)
    before = len(app.get("image"))
    app = app.toggle(key="load_own_input").set_value(True).run()
    assert not app.exception
    assert len(app.get("image")) == before + 1


def test_a_model_that_does_not_fit_is_told_before_the_pass(
    visit: Visit, folder: Path, model: Path, workspace: Workspace, queued: list[Job]
) -> None:
    app = _bring(_give(visit("load"), folder), model)
    error = {
        "error": "ClassMismatch",
        "title": "Model and dataset disagree about the classes",
        "detail": "The model's classes (wolf, fox) do not include cat, dog.",
        "next_step": "Give the dataset's classes in the order of the model's outputs.",
    }
    set_job(workspace, queued[0].id, state="failed", error=error)
    app.run()
    assert "do not include cat" in app.error[0].value
    # the pass would end the same way
    assert "3 · Analyse" not in texts(app)
    (order,) = (box for box in app.multiselect if "order" in box.label)
    app = order.set_value(["dog", "cat"]).run()
    assert _of_kind(queued, "check")[1].request["class_order"] == ["dog", "cat"]


def test_an_order_is_asked_for_only_where_one_can_help(
    visit: Visit, folder: Path, model: Path, workspace: Workspace, queued: list[Job]
) -> None:
    app = _bring(_give(visit("load"), folder), model)
    sentence = "It tells 3 classes apart, the dataset has 2."
    error = {"error": "ClassCountMismatch", "title": "Disagree", "detail": sentence, "next_step": "Choose another."}
    set_job(workspace, queued[0].id, state="failed", error=error)
    app.run()
    assert "It tells 3 classes apart" in app.error[0].value
    assert not _order_fields(app)
    assert "3 · Analyse" not in texts(app)


@pytest.mark.parametrize(
    ("said", "classes", "asked"),
    [
        ({"verdict": "none", "accuracy": 0.5}, None, True),
        ({"verdict": "weak", "accuracy": 0.6}, None, True),
        ({"verdict": "weak", "accuracy": 0.6}, '["LABEL_0", "LABEL_1"]', True),
        # the names that the model has for its classes settle their order
        ({"verdict": "weak", "accuracy": 0.6}, '["dog", "cat"]', False),
        ({"verdict": "good"}, None, False),
    ],
)
def test_an_order_that_the_check_could_not_find_can_be_given(
    visit: Visit,
    folder: Path,
    tmp_path: Path,
    workspace: Workspace,
    queued: list[Job],
    said: dict[str, object],
    classes: str | None,
    asked: bool,
) -> None:
    path = tmp_path / "ours.safetensors"
    named = {} if classes is None else {"classes": classes}
    save_file({"w": np.zeros(2, np.float32)}, path, metadata={"arch": "small", **named})
    app = _bring(_give(visit("load"), folder), path)
    _checked(workspace, queued[0], sentence="What was found.", **said)
    app.run()
    assert not app.exception
    assert bool(_order_fields(app)) == asked
    if asked:
        app = _order_fields(app)[0].set_value(["dog"]).run()
        assert "1 class is still to be named" in texts(app)
        _order_fields(app)[0].set_value(["dog", "cat"]).run()
        assert _of_kind(queued, "check")[1].request["class_order"] == ["dog", "cat"]


def _order_fields(app: AppTest) -> list[Any]:
    return [box for box in app.multiselect if "order" in box.label]


def test_a_figure_that_differs_from_the_offered_one_is_explained(
    visit: Visit, folder: Path, model: Path, workspace: Workspace, queued: list[Job]
) -> None:
    app = _bring(_give(visit("load"), folder), model)
    offer = {"kind": "classes", "title": "Use this order", "accuracy": 0.99, "classes": ["dog", "cat"]}
    _checked(workspace, queued[0], accuracy=0.06, offers=[offer])
    app = _button(app.run(), "Use this order").click().run()
    _checked(workspace, _of_kind(queued, "check")[1], accuracy=0.98, sentence="Accuracy is 98%.")
    assert "The offer said 99%: that was on half of these images" in texts(app.run())
    # what is as promised needs no words
    _checked(workspace, _of_kind(queued, "check")[1], accuracy=0.9901, sentence="Accuracy is 99%.")
    assert "The offer said" not in texts(app.run())


def test_what_a_check_has_found_so_far_is_shown(
    visit: Visit, folder: Path, model: Path, workspace: Workspace, queued: list[Job]
) -> None:
    app = _bring(_give(visit("load"), folder), model)
    set_job(workspace, queued[0].id, state="running", done=20, total=300, message="Accuracy is 6% so far, trying grey")
    assert "Accuracy is 6% so far, trying grey" in texts(app.run())


def test_training_here_is_one_job_of_training_and_analysing(visit: Visit, folder: Path, queued: list[Job]) -> None:
    app = _give(visit("load"), folder)
    app.segmented_control(key="load_way").set_value("Train one here").run()
    app.number_input(key="load_epochs").set_value(3).run()
    _button(app, "Train and analyse").click().run()
    (job,) = queued
    assert job.kind == "train-analyse"
    assert {name: value for name, value in job.request.items() if name != "choices"} == {
        "data": str(folder),
        "arch": "small",
        "seed": 0,
        "epochs": 3,
    }
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
    # of the 600 images a third is test
    assert f"right on {percent(planted.accuracy)} of the 200 test images" in texts(app)
    assert app.table[-1].value["reason"].tolist() == [plain("damaged: truncated")]
    _button(app, "Look at the bands").click().run()
    assert not app.exception
    assert app.title[0].value == "Bands"


def test_what_was_loaded_becomes_the_investigation_at_hand_once(
    visit: Visit, planted: Analysis, workspace: Workspace, queued: list[Job], folder: Path
) -> None:
    loaded = plant(workspace, name="photos")
    app = visit("load")
    app.session_state[state.CHOSEN] = planted.id
    app = _give(app, folder)
    app.segmented_control(key="load_way").set_value("Train one here").run()
    _button(app, "Train and analyse").click().run()
    set_job(workspace, queued[0].id, state="done", result={"analysis": loaded.id, "skipped": []})
    app.run()
    assert app.session_state[state.CHOSEN] == loaded.id
    assert app.sidebar.selectbox[0].value == loaded.id
    # what somebody chooses afterwards stays
    app.sidebar.selectbox[0].set_value(planted.id).run()
    assert "is ready" in texts(app)
    assert app.session_state[state.CHOSEN] == planted.id


def test_training_that_learned_nothing_is_said_at_the_end(
    visit: Visit, workspace: Workspace, queued: list[Job], folder: Path
) -> None:
    blind = plant(workspace, name="photos", blind=True)
    app = _give(visit("load"), folder)
    app.segmented_control(key="load_way").set_value("Train one here").run()
    _button(app, "Train and analyse").click().run()
    set_job(workspace, queued[0].id, state="done", result={"analysis": blind.id, "skipped": []})
    app.run()
    assert not app.exception
    assert "no better than always answering" in app.warning[0].value
    assert "More epochs" in app.warning[0].value
    assert "Look at the bands all the same" in [button.label for button in app.button]
    app = _button(app, "Train again").click().run()
    assert not app.exception
    assert "Train and analyse" in [button.label for button in app.button]


@pytest.mark.parametrize("reloaded", [False, True])
def test_a_pass_at_the_level_of_guessing_leads_back_to_the_check(
    visit: Visit,
    folder: Path,
    model: Path,
    workspace: Workspace,
    queued: list[Job],
    big: None,
    reloaded: bool,
) -> None:
    app = _bring(_give(visit("load"), folder), model)
    _button(app, "Analyse without waiting").click().run()
    (check,) = _of_kind(queued, "check")
    set_job(workspace, check.id, state="cancelled")
    blind = plant(workspace, name="photos", blind=True)
    first, whole = _of_kind(queued, "analyse")
    set_job(workspace, first.id, state="done", result={"analysis": blind.id, "images": 8, "skipped": []})
    app = visit("load") if reloaded else app.run()
    assert "another order" in app.warning[0].value
    app = _button(app, "Find out why").click().run()
    assert not app.exception
    # the same images and the same model, and a check of its own; the rest is not waited for
    assert app.text_input(key="load_path").value == str(folder)
    assert app.text_input(key="load_model").value == str(model)
    assert len(_of_kind(queued, "check")) == 2
    assert get_job(workspace, whole.id).state == "cancelled" or get_job(workspace, whole.id).stopping


def test_a_check_under_way_can_be_stopped_and_is_not_passed_over_lightly(
    visit: Visit, folder: Path, model: Path, workspace: Workspace, queued: list[Job]
) -> None:
    app = _bring(_give(visit("load"), folder), model)
    set_job(workspace, queued[0].id, state="running", message="Trying BGR", done=3, total=10)
    app.run()
    assert "Trying BGR" in texts(app)
    assert _button(app, "Analyse").label == "Analyse without waiting"
    _button(app, "Stop").click().run()
    assert not app.exception
    set_job(workspace, queued[0].id, state="cancelled")
    app.run()
    assert _button(app, "Analyse").label == "Analyse"
    _button(app, "Check again").click().run()
    assert len(_of_kind(queued, "check")) == 2


@pytest.mark.parametrize(
    ("said", "warned", "ticked"),
    [
        ({"verdict": "none", "accuracy": 0.52}, True, False),
        ({"verdict": "weak", "accuracy": 0.6}, False, False),
        ({"verdict": "good"}, False, True),
        # figures alone, as checks of earlier versions left them
        ({"accuracy": 0.5000000001}, True, False),
        ({"accuracy": 0.9}, False, True),
    ],
)
def test_a_check_that_found_nothing_better_than_guessing_gets_no_tick(
    visit: Visit,
    folder: Path,
    model: Path,
    workspace: Workspace,
    queued: list[Job],
    said: dict[str, object],
    warned: bool,
    ticked: bool,
) -> None:
    app = _bring(_give(visit("load"), folder), model)
    _checked(workspace, queued[0], sentence="What was found.", **said)
    app.run()
    assert any("What was found" in warning.value for warning in app.warning) == warned
    assert (":material/check_circle: What was found" in texts(app)) == ticked


def test_a_model_of_fewer_classes_is_refused_without_a_check(
    visit: Visit, folder: Path, tmp_path: Path, queued: list[Job]
) -> None:
    path = tmp_path / "one.safetensors"
    save_file({"w": np.zeros(2, np.float32)}, path, metadata={"arch": "small", "classes": '["cat"]'})
    app = _bring(_give(visit("load"), folder), path)
    assert "1 class apart" in app.error[0].value
    assert not queued
    assert "3 · Analyse" not in texts(app)
    assert not [box for box in app.multiselect if "order" in box.label]


@pytest.fixture
def big(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the folder of this file is a big dataset."""
    monkeypatch.setattr("pages.parts.extract.BIG", 20)
    monkeypatch.setattr("pages.parts.extract.SAMPLE", 8)


def test_a_big_dataset_begins_with_a_sample_and_the_rest_follows(
    visit: Visit,
    planted: Analysis,
    folder: Path,
    model: Path,
    workspace: Workspace,
    queued: list[Job],
    big: None,
) -> None:
    app = _bring(_give(visit("load"), folder), model)
    _button(app, "Analyse").click().run()
    first, whole = _of_kind(queued, "analyse")
    assert first.request == {**whole.request, "sample": 8}
    result = {"analysis": planted.id, "images": 8, "skipped": []}
    set_job(workspace, first.id, state="done", result=result)
    # after a reload too: nothing of this hangs on the session
    for one in (app.run(), visit("load")):
        assert "A first look at birds" in texts(one)
        assert "follow in the background" in texts(one)
        assert "Look at the bands" in [button.label for button in one.button]
    set_job(workspace, whole.id, state="done", result={**result, "images": planted.n})
    app.run()
    assert "birds** is ready" in texts(app)
    assert "first look" not in texts(app)
    _button(app, "Load something else").click().run()
    assert "1 · Images" in texts(app)
    assert "2 · Model" not in texts(app)


def _rewrite(workspace: Workspace, analysis: str, **changes: Any) -> None:
    """Change what an investigation says of itself. changes: keys of its description; those of its model are merged."""
    path = workspace.analyses / analysis / DESCRIPTION
    facts = read_json(path)
    model = facts["model"] | changes.pop("model", {})
    write_json(path, facts | changes | {"model": model})


def test_whoever_still_looks_at_the_sample_is_led_to_all_images(
    visit: Visit, planted: Analysis, workspace: Workspace, folder: Path
) -> None:
    _rewrite(workspace, planted.id, notes=list(open_dataset(folder).sample(8).notes))
    app = visit("bands", analysis=planted.id)
    assert "load-rest" not in [button.key for button in app.button]
    with workspace.writing() as session:
        sample = session.get_one(AnalysisRecord, planted.id)
        facts = {name: getattr(sample, name) for name in ("dataset_id", "model_name", "model_file", "arch")}
        # of another model: no rest of this one
        session.add(AnalysisRecord(id="other", images=9000, **{**facts, "model_file": "/elsewhere"}))
    assert "load-rest" not in [button.key for button in app.run().button]
    whole = plant(workspace, 900)
    with workspace.writing() as session:
        record = session.get_one(AnalysisRecord, whole.id)
        record.images = 900
        for name, value in facts.items():
            setattr(record, name, value)
    app = visit("bands", analysis=planted.id)
    button = app.button(key="load-rest")
    assert button.label == "All 900 images are ready"
    button.click().run()
    assert not app.exception
    assert app.session_state[state.CHOSEN] == whole.id
    assert "load-rest" not in [button.key for button in app.button]


@pytest.mark.parametrize(
    ("sampled", "changes"),
    [
        # more images have come since, and nobody was at a first look
        (False, {}),
        # the file of weights was written anew
        (True, {"model": {"digest": "1"}}),
        (True, {"model": {"preprocessing": {"crop": 32}}}),
        (True, {"classes": ["waterbird", "landbird"]}),
        # a larger sample is not all there is
        (True, {"notes": ["A sample of 900 of the 9,000 images (seed 0)."]}),
    ],
)
def test_what_is_not_the_rest_of_the_sample_is_not_called_so(
    visit: Visit, planted: Analysis, workspace: Workspace, folder: Path, sampled: bool, changes: dict[str, Any]
) -> None:
    if sampled:
        _rewrite(workspace, planted.id, notes=list(open_dataset(folder).sample(8).notes))
    whole = plant(workspace, 900, name="more")
    with workspace.writing() as session:
        sample, record = (session.get_one(AnalysisRecord, one) for one in (planted.id, whole.id))
        for name in ("dataset_id", "model_name", "model_file", "arch"):
            setattr(record, name, getattr(sample, name))
    _rewrite(workspace, whole.id, **changes)
    app = visit("bands", analysis=planted.id)
    assert not app.exception
    assert "load-rest" not in [button.key for button in app.button]


def test_a_sample_can_be_declined_and_precision_chosen(
    visit: Visit, folder: Path, model: Path, queued: list[Job], big: None
) -> None:
    app = _bring(_give(visit("load"), folder), model)
    app.segmented_control(key="load_first").set_value("All at once").run()
    app.selectbox(key="load_precision").set_value("fp32").run()
    _button(app, "Analyse").click().run()
    (job,) = _of_kind(queued, "analyse")
    assert "sample" not in job.request
    assert job.request["precision"] == "fp32"
