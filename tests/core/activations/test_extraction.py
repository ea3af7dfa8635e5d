from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections import namedtuple
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from core.activations import extraction, partial
from core.activations.extraction import analyse, analysis_id
from core.activations.store import Analysis, open_analysis
from core.classifiers.architectures import build
from core.classifiers.checkpoint import ModelDescription, write_checkpoint
from core.classifiers.classifier import Classifier, load_classifier
from core.classifiers.preprocessing import squeezed
from core.datasets import open_dataset
from core.datasets.dataset import Dataset
from core.datasets.images import decode
from core.errors import Cancelled, ClassMismatch, DiskFull, EmptyDataset
from core.settings import Settings
from core.workspace import Workspace, open_workspace
from tests.core.conftest import listed

ROOT = Path(__file__).parents[3]
SETTINGS = Settings(batch_size=8)
COMPUTED = (
    "features.npy",
    "logits.npy",
    "ids.npy",
    "predicted.npy",
    "thumbnails.bin",
    "thumbnails.npy",
    "skipped.json",
)


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """Fifty pictures of all shapes in two classes, three of them unreadable: the 6th, the 9th and the last."""
    rng = np.random.default_rng(0)
    root = tmp_path / "pictures"
    for index in range(50):
        folder = root / ("left" if index < 25 else "right")
        folder.mkdir(parents=True, exist_ok=True)
        height, width = rng.integers(10, 60, size=2)
        pixels = rng.integers(0, 256, size=(height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{index:02d}.png")
    (root / "left/05.png").write_bytes(b"")
    (root / "left/08.png").write_bytes((root / "left/08.png").read_bytes()[:80])
    (root / "right/49.png").write_text("not an image")
    return open_dataset(root)


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        state = build("small", 2).state_dict()
    path = tmp_path / "model.safetensors"
    write_checkpoint(path, state, ModelDescription(arch="small", classes=("left", "right"), preprocessing=squeezed(24)))
    return path


@pytest.fixture
def classifier(model_file: Path) -> Classifier:
    return load_classifier(model_file)


def computed(analysis: Analysis) -> dict[str, bytes]:
    return {name: (analysis.folder / name).read_bytes() for name in COMPUTED}


def visible(workspace: Workspace) -> list[str]:
    """Analyses a person could see."""
    there = [path.name for path in workspace.analyses.glob("*") if not path.name.startswith(".")]
    assert sorted(there) == sorted(record.id for record in listed(workspace))
    return there


def test_stored_features_are_those_of_a_plain_forward_pass(
    workspace: Workspace, dataset: Dataset, classifier: Classifier
) -> None:
    analysis = analyse(workspace, dataset, classifier, settings=SETTINGS)
    backbone = classifier.backbone
    assert isinstance(backbone, nn.Module)
    for row, image in enumerate(analysis.ids):
        picture = decode(dataset.root / str(dataset.images[image]), 10**6)
        batch = torch.from_numpy(classifier.preprocessing.apply(picture))[None]
        with torch.inference_mode():
            features = backbone(batch)
        np.testing.assert_allclose(analysis.features[row], features[0], atol=1e-5)
        np.testing.assert_allclose(analysis.logits[row], classifier.head.logits(features.numpy())[0], atol=1e-5)


def test_unreadable_images_are_listed_and_the_others_keep_their_places(
    workspace: Workspace, dataset: Dataset, classifier: Classifier
) -> None:
    analysis = analyse(workspace, dataset, classifier, settings=SETTINGS)
    assert [problem.image for problem in analysis.skipped] == ["left/05.png", "left/08.png", "right/49.png"]
    assert all(problem.reason for problem in analysis.skipped)
    assert analysis.n == 47
    assert analysis.ids.tolist() == [i for i in range(50) if i not in (5, 8, 49)]
    assert analysis.labels.tolist() == dataset.labels[analysis.ids].tolist()
    assert [str(name) for name in analysis.images] == [str(dataset.images[i]) for i in analysis.ids]
    # each row's thumbnail is the picture itself: all are smaller than a thumbnail
    for row in (0, 5, 20, 46):
        with Image.open(analysis.image_path(row)) as original:
            thumbnail = Image.open(BytesIO(analysis.thumbnail(row)))
            assert thumbnail.size == original.size


def test_same_work_is_never_done_twice(
    workspace: Workspace, dataset: Dataset, classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = analyse(workspace, dataset, classifier, settings=SETTINGS)
    monkeypatch.setattr(extraction, "decode", pytest.fail)
    seen: list[tuple[int, int, str]] = []
    again = analyse(workspace, dataset, classifier, settings=SETTINGS, progress=lambda *step: seen.append(step))
    assert again.id == first.id
    assert [(done, total) for done, total, _ in seen] == [(50, 50)]
    assert visible(workspace) == [first.id]


def test_changed_labels_are_taken_over_without_computing(
    workspace: Workspace, dataset: Dataset, classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = analyse(workspace, dataset, classifier, settings=SETTINGS)
    monkeypatch.setattr(extraction, "decode", pytest.fail)
    relabelled = replace(dataset, labels=1 - dataset.labels)
    again = analyse(workspace, relabelled, classifier, settings=SETTINGS)
    assert again.id == first.id
    assert again.labels.tolist() == (1 - first.labels).tolist()
    assert again.accuracy == pytest.approx(1 - first.accuracy)


def test_other_weights_preprocessing_and_images_have_other_ids(
    tmp_path: Path, dataset: Dataset, classifier: Classifier, model_file: Path
) -> None:
    ids = {analysis_id(dataset, classifier)}
    ids.add(analysis_id(dataset, load_classifier(model_file, preprocessing=squeezed(32))))
    ids.add(analysis_id(replace(dataset, fingerprint="other"), classifier))
    ids.add(analysis_id(dataset, replace(classifier, digest="other")))
    assert len(ids) == 4
    assert analysis_id(replace(dataset, labels=1 - dataset.labels), classifier) in ids


class StopAt:
    """Progress that cancels once so many images are done."""

    def __init__(self, images: int) -> None:
        self.images = images

    def __call__(self, done: int, total: int, message: str = "") -> None:
        if done >= self.images:
            raise Cancelled


@pytest.mark.parametrize("stops", [[8], [24], [16, 40], [50]])
def test_cancelled_pass_continues_and_ends_in_the_same_bytes(
    tmp_path: Path,
    workspace: Workspace,
    dataset: Dataset,
    classifier: Classifier,
    stops: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(extraction, "NOTE_EVERY", 0)
    whole = analyse(open_workspace(tmp_path / "other"), dataset, classifier, settings=SETTINGS)
    for stop in stops:
        with pytest.raises(Cancelled):
            analyse(workspace, dataset, classifier, settings=SETTINGS, progress=StopAt(stop))
        assert visible(workspace) == []
    started: list[int] = []
    resumed = analyse(workspace, dataset, classifier, settings=SETTINGS, progress=lambda done, *_: started.append(done))
    assert started[0] == stops[-1]
    assert computed(resumed) == computed(whole)
    assert list(workspace.analyses.glob(".*.partial")) == []
    assert not (resumed.folder / partial.JOURNAL).exists()


KILLED = """
import os, signal, sys
from core.activations import extraction
from core.classifiers.classifier import load_classifier
from core.datasets import open_dataset
from core.settings import Settings
from core.workspace import open_workspace

extraction.NOTE_EVERY = 0

def die(done, total, message=""):
    if done >= 24:
        os.kill(os.getpid(), signal.SIGKILL)

extraction.analyse(
    open_workspace(sys.argv[1]), open_dataset(sys.argv[2]), load_classifier(sys.argv[3]),
    settings=Settings(batch_size=8), progress=die,
)
"""


def test_killed_pass_continues_and_ends_in_the_same_bytes(
    tmp_path: Path, workspace: Workspace, dataset: Dataset, classifier: Classifier
) -> None:
    command = [sys.executable, "-c", KILLED, str(workspace.root), str(dataset.root), str(classifier.file)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert visible(workspace) == []
    # rows that were written after the last note, and half a row: what a kill may leave
    (folder,) = workspace.analyses.glob(".*.partial")
    for name in ("features.npy", "thumbnails.bin", "lengths.bin"):
        with open(folder / name, "ab") as file:
            file.write(b"half a row")
    started: list[int] = []
    resumed = analyse(workspace, dataset, classifier, settings=SETTINGS, progress=lambda done, *_: started.append(done))
    assert started[0] == 24
    whole = analyse(open_workspace(tmp_path / "other"), dataset, classifier, settings=SETTINGS)
    assert computed(resumed) == computed(whole)


@pytest.mark.parametrize("harm", ["short", "gone", "journal", "settings"])
def test_partial_work_that_does_not_fit_is_begun_anew(
    tmp_path: Path,
    workspace: Workspace,
    dataset: Dataset,
    classifier: Classifier,
    harm: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(extraction, "NOTE_EVERY", 0)
    settings = Settings(batch_size=8, thumbnail_quality=10) if harm == "settings" else SETTINGS
    with pytest.raises(Cancelled):
        analyse(workspace, dataset, classifier, settings=settings, progress=StopAt(24))
    (folder,) = workspace.analyses.glob(".*.partial")
    if harm == "short":
        os.truncate(folder / "features.npy", 300)
    elif harm == "gone":
        (folder / "lengths.bin").unlink()
    elif harm == "journal":
        (folder / partial.JOURNAL).write_text("{half")
    started: list[int] = []
    again = analyse(workspace, dataset, classifier, settings=SETTINGS, progress=lambda done, *_: started.append(done))
    assert started[0] == 8
    whole = analyse(open_workspace(tmp_path / "other"), dataset, classifier, settings=SETTINGS)
    assert computed(again) == computed(whole)


def test_nothing_readable_is_an_error_and_nothing_is_shown(
    workspace: Workspace, dataset: Dataset, classifier: Classifier
) -> None:
    for file in dataset.root.rglob("*.png"):
        file.write_bytes(b"no image")
    with pytest.raises(EmptyDataset, match=r"None of the 50 .* left/00\.png"):
        analyse(workspace, dataset, classifier, settings=SETTINGS)
    assert visible(workspace) == []


def test_images_the_network_overflows_on_are_left_out_with_a_reason(
    workspace: Workspace, dataset: Dataset, classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = analyse(workspace, dataset, classifier, settings=SETTINGS)
    run = Classifier.__call__

    def overflowing(self: Classifier, batch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features, logits = (values.clone() for values in run(self, batch))
        features[0, 1], logits[-1, 0] = torch.nan, torch.inf
        return features, logits

    monkeypatch.setattr(Classifier, "__call__", overflowing)
    other = open_workspace(workspace.root / "other")
    analysis = analyse(other, dataset, classifier, settings=SETTINGS)
    assert np.isfinite(analysis.features).all()
    assert np.isfinite(analysis.logits).all()
    left_out = [problem.image for problem in analysis.skipped if problem.reason == extraction.NOT_FINITE]
    assert left_out
    assert sorted({*left_out, *analysis.images.tolist()}) == sorted(whole.images.tolist())
    same = np.isin(whole.ids, analysis.ids)
    np.testing.assert_array_equal(analysis.features, whole.features[same])
    assert analysis.thumbnail(3) == whole.thumbnail(int(np.flatnonzero(same)[3]))


def test_unreadable_beginning_survives_a_stop(
    tmp_path: Path, workspace: Workspace, dataset: Dataset, classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extraction, "NOTE_EVERY", 0)
    for index in range(16):
        (dataset.root / f"left/{index:02d}.png").write_bytes(b"no image")
    with pytest.raises(Cancelled):
        analyse(workspace, dataset, classifier, settings=SETTINGS, progress=StopAt(16))
    analysis = analyse(workspace, dataset, classifier, settings=SETTINGS)
    assert len(analysis.skipped) == 17
    assert analysis.ids.tolist() == list(range(16, 49))


def test_wrong_classes_are_refused_before_any_image_is_opened(
    workspace: Workspace, dataset: Dataset, classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extraction, "decode", pytest.fail)
    with pytest.raises(ClassMismatch):
        analyse(workspace, replace(dataset, classes=("right", "left")), classifier)
    assert not list(workspace.analyses.glob(".*.partial"))


def test_full_disk_is_told_with_needed_and_free_and_work_is_kept(
    workspace: Workspace, dataset: Dataset, classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extraction, "NOTE_EVERY", 0)
    usage = namedtuple("usage", "total used free")
    free = [10**12, 10**12, 10**12, 5_000_000]
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**12, 0, free.pop(0)))
    with pytest.raises(DiskFull, match=r"26 more images need about \d+ MB, and 5 MB are free"):
        analyse(workspace, dataset, classifier, settings=SETTINGS)
    monkeypatch.undo()
    started: list[int] = []
    analyse(workspace, dataset, classifier, settings=SETTINGS, progress=lambda done, *_: started.append(done))
    assert started[0] == 24


def test_failure_in_the_network_ends_the_threads_and_shows_nothing(
    workspace: Workspace, dataset: Dataset, classifier: Classifier
) -> None:
    def fail(batch: torch.Tensor) -> torch.Tensor:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        analyse(workspace, dataset, replace(classifier, backbone=fail), settings=SETTINGS)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("decode")]
    assert visible(workspace) == []


def test_progress_counts_every_image_once(workspace: Workspace, dataset: Dataset, classifier: Classifier) -> None:
    seen: list[tuple[int, int, str]] = []
    analyse(workspace, dataset, classifier, settings=SETTINGS, progress=lambda *step: seen.append(step))
    assert [done for done, _, _ in seen] == [8, 16, 24, 32, 40, 48, 50, 50]
    assert {total for _, total, _ in seen} == {50}
    assert "images/s" in seen[0][2]


def test_second_process_waits_for_the_first_and_takes_its_result(
    workspace: Workspace, dataset: Dataset, classifier: Classifier
) -> None:
    waited = threading.Event()
    results: list[Analysis] = []

    def follow() -> None:
        def note(done: int, total: int, message: str = "") -> None:
            if message.startswith("Waiting"):
                waited.set()

        results.append(analyse(workspace, dataset, classifier, settings=SETTINGS, progress=note))

    follower = threading.Thread(target=follow)

    def lead(done: int, total: int, message: str = "") -> None:
        if done == 8 and not follower.ident:
            follower.start()
            assert waited.wait(10)

    first = analyse(workspace, dataset, classifier, settings=SETTINGS, progress=lead)
    follower.join(20)
    assert results[0].id == first.id
    assert visible(workspace) == [first.id]


def test_work_abandoned_for_a_week_is_removed(workspace: Workspace, dataset: Dataset, classifier: Classifier) -> None:
    for name, age in (("old", 8 * 24 * 3600), ("young", 3600)):
        folder = workspace.analyses / f".{name}.partial"
        folder.mkdir(parents=True)
        stamp = folder.stat().st_mtime - age
        os.utime(folder, (stamp, stamp))
    analyse(workspace, dataset, classifier, settings=SETTINGS)
    assert [path.name for path in workspace.analyses.glob(".*.partial")] == [".young.partial"]


def test_analysis_is_the_latest_after_each_use(
    workspace: Workspace, dataset: Dataset, classifier: Classifier, model_file: Path
) -> None:
    first = analyse(workspace, dataset, classifier, settings=SETTINGS)
    other = analyse(workspace, dataset, load_classifier(model_file, preprocessing=squeezed(16)), settings=SETTINGS)
    assert open_analysis(workspace).id == other.id
    analyse(workspace, dataset, classifier, settings=SETTINGS)
    assert open_analysis(workspace).id == first.id
