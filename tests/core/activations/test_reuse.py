"""Images that an earlier analysis knows are not computed again."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.activations import extraction, reuse
from core.activations.extraction import analyse, analysis_id
from core.activations.store import Analysis
from core.classifiers.classifier import Classifier, load_classifier
from core.classifiers.preprocessing import squeezed
from core.datasets import open_dataset
from core.datasets.dataset import Dataset
from core.errors import Cancelled, DiskFull
from core.settings import Settings
from core.workspace import Workspace, open_workspace

SETTINGS = Settings(batch_size=8)
ROOT = Path(__file__).parents[3]
FILES = ("features.npy", "logits.npy", "ids.npy", "thumbnails.bin", "thumbnails.npy", "marks.npy", "skipped.json")


def draw(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, size=(20 + seed % 9, 24, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Forty pictures in two classes, with even numbers."""
    for index in range(0, 80, 2):
        draw(tmp_path / "pictures" / ("left" if index < 40 else "right") / f"{index:02d}.png", index)
    return tmp_path / "pictures"


class Decoded:
    """The images that are decoded from here on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.names: list[str] = []
        decode = extraction.decode

        def noting(source: Path, max_pixels: int) -> Image.Image:
            self.names.append(f"{source.parent.name}/{source.name}")
            return decode(source, max_pixels)

        monkeypatch.setattr(extraction, "decode", noting)


def agree(analysis: Analysis, dataset: Dataset, classifier: Classifier, folder: Path) -> None:
    """It is what an analysis of all the images would have been, up to the last digits of the features."""
    whole = analyse(open_workspace(folder), dataset, classifier, settings=SETTINGS)
    assert analysis.id == whole.id
    assert analysis.images.tolist() == whole.images.tolist()
    np.testing.assert_array_equal(analysis.ids, whole.ids)
    np.testing.assert_array_equal(analysis.labels, whole.labels)
    np.testing.assert_array_equal(analysis.predicted, whole.predicted)
    np.testing.assert_allclose(analysis.features, whole.features, atol=1e-5)
    np.testing.assert_allclose(analysis.logits, whole.logits, atol=1e-5)
    assert [analysis.thumbnail(row) for row in range(analysis.n)] == [whole.thumbnail(row) for row in range(whole.n)]
    assert analysis.skipped == whole.skipped


def test_added_images_alone_are_computed(
    tmp_path: Path, workspace: Workspace, root: Path, classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = analyse(workspace, open_dataset(root), classifier, settings=SETTINGS)
    added = ["left/00a.png", "left/13.png", "right/55.png", "right/99.png"]
    for seed, name in enumerate(added, start=200):
        draw(root / name, seed)
    (root / "left/15.png").write_bytes(b"no image")
    decoded = Decoded(monkeypatch)
    seen: list[tuple[int, int, str]] = []
    dataset = open_dataset(root)
    grown = analyse(workspace, dataset, classifier, settings=SETTINGS, progress=lambda *step: seen.append(step))
    assert sorted(decoded.names) == sorted([*added, "left/15.png"])
    assert seen[0] == (40, 45, "40 of 45 images are known")
    assert [done for done, _, _ in seen] == sorted(done for done, _, _ in seen)
    assert (grown.computed.source, grown.computed.copied) == (first.id, 40)
    # what was known is taken over bit for bit
    rows = np.isin(grown.images.tolist(), first.images.tolist())
    np.testing.assert_array_equal(grown.features[rows], first.features)
    monkeypatch.undo()
    agree(grown, dataset, classifier, tmp_path / "other")
    assert list(workspace.analyses.glob(".*.partial")) == []
    assert first.features.shape == (40, 128)


def test_changed_and_removed_images(
    tmp_path: Path, workspace: Workspace, root: Path, classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    analyse(workspace, open_dataset(root), classifier, settings=SETTINGS)
    draw(root / "left/04.png", 999)
    (root / "right/70.png").unlink()
    decoded = Decoded(monkeypatch)
    dataset = open_dataset(root)
    again = analyse(workspace, dataset, classifier, settings=SETTINGS)
    assert decoded.names == ["left/04.png"]
    monkeypatch.undo()
    agree(again, dataset, classifier, tmp_path / "other")


def test_only_removed_images_need_no_network(
    tmp_path: Path, workspace: Workspace, root: Path, classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    analyse(workspace, open_dataset(root), classifier, settings=SETTINGS)
    (root / "left/00.png").unlink()
    decoded = Decoded(monkeypatch)
    dataset = open_dataset(root)
    fewer = analyse(workspace, dataset, classifier, settings=SETTINGS)
    assert decoded.names == []
    monkeypatch.undo()
    agree(fewer, dataset, classifier, tmp_path / "other")


def test_a_sample_is_part_of_the_whole(
    tmp_path: Path, workspace: Workspace, root: Path, classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = open_dataset(root)
    sample = analyse(workspace, dataset.sample(12, seed=1), classifier, settings=SETTINGS)
    assert sample.n == 12
    decoded = Decoded(monkeypatch)
    whole = analyse(workspace, dataset, classifier, settings=SETTINGS)
    assert len(decoded.names) == 28
    assert whole.computed.copied == 12
    # and the other way round
    again = analyse(workspace, dataset.sample(20, seed=2), classifier, settings=SETTINGS)
    assert len(decoded.names) == 28
    assert (again.n, again.computed.source) == (20, whole.id)
    monkeypatch.undo()
    agree(whole, dataset, classifier, tmp_path / "other")


@pytest.mark.parametrize("other", ["weights", "preprocessing", "thumbnails", "precision", "marks"])
def test_what_differs_is_not_taken_over(
    tmp_path: Path,
    workspace: Workspace,
    root: Path,
    classifier: Classifier,
    other: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    analyse(workspace, open_dataset(root), classifier, settings=SETTINGS, precision="fp32")
    draw(root / "left/01.png", 7)
    dataset, settings, precision = open_dataset(root), SETTINGS, "fp32"
    if other == "weights":
        classifier = replace(classifier, digest="another")
    elif other == "preprocessing":
        classifier = load_classifier(classifier.file, preprocessing=squeezed(16))
    elif other == "thumbnails":
        settings = replace(SETTINGS, thumbnail_size=20)
    elif other == "precision":
        precision = "bf16"
    else:
        dataset = replace(dataset, marks=None)
    decoded = Decoded(monkeypatch)
    analysis = analyse(workspace, dataset, classifier, settings=settings, precision=precision)
    assert len(decoded.names) == 41
    assert analysis.computed.source is None


def test_damaged_and_vanished_sources_are_passed_over(
    workspace: Workspace, root: Path, classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = analyse(workspace, open_dataset(root), classifier, settings=SETTINGS)
    (first.folder / reuse.MARKS).write_bytes(b"damaged")
    (workspace.analyses / "strange").mkdir()
    (workspace.analyses / "strange" / "analysis.json").write_text('{"dataset": 3}')
    draw(root / "left/01.png", 7)
    decoded = Decoded(monkeypatch)
    assert analyse(workspace, open_dataset(root), classifier, settings=SETTINGS).n == 41
    assert len(decoded.names) == 41


def test_analyses_of_earlier_versions_get_their_marks_when_they_are_found_again(
    workspace: Workspace, root: Path, classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = analyse(workspace, open_dataset(root), classifier, settings=SETTINGS)
    (first.folder / reuse.MARKS).unlink()
    (first.folder / "computed.json").unlink()
    decoded = Decoded(monkeypatch)
    again = analyse(workspace, open_dataset(root), classifier, settings=SETTINGS)
    assert again.id == first.id
    assert again.computed.precision == "fp32"
    draw(root / "left/01.png", 7)
    analyse(workspace, open_dataset(root), classifier, settings=SETTINGS)
    assert decoded.names == ["left/01.png"]


class StopAt:
    def __init__(self, calls: int) -> None:
        self.calls = calls

    def __call__(self, done: int, total: int, message: str = "") -> None:
        self.calls -= 1
        if not self.calls:
            raise Cancelled


def bytes_of(analysis: Analysis) -> dict[str, bytes]:
    return {name: (analysis.folder / name).read_bytes() for name in FILES}


@pytest.mark.parametrize("stop", [1, 2, 3, 4, 5, 6, 7])
def test_stopped_anywhere_it_ends_in_the_same_bytes(
    tmp_path: Path, root: Path, classifier: Classifier, stop: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extraction, "NOTE_EVERY", 0)
    monkeypatch.setattr(reuse, "_BLOCK", 16)
    results = []
    for name in ("whole", "stopped"):
        workspace = open_workspace(tmp_path / name)
        analyse(workspace, open_dataset(root).sample(25), classifier, settings=SETTINGS)
        if name == "stopped":
            with pytest.raises(Cancelled):
                analyse(workspace, open_dataset(root), classifier, settings=SETTINGS, progress=StopAt(stop))
        results.append(bytes_of(analyse(workspace, open_dataset(root), classifier, settings=SETTINGS)))
        assert list(workspace.analyses.glob(".*.partial")) == []
    assert results[0] == results[1]


def test_what_a_pass_took_rows_from_stays_the_same_when_it_is_continued(
    tmp_path: Path, workspace: Workspace, root: Path, classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extraction, "NOTE_EVERY", 0)
    dataset = open_dataset(root)
    source = analyse(workspace, dataset.sample(10), classifier, settings=SETTINGS)
    with pytest.raises(Cancelled):
        analyse(workspace, dataset, classifier, settings=SETTINGS, progress=StopAt(3))
    # meanwhile somebody looks at a larger sample, which knows more
    analyse(workspace, dataset.sample(30), classifier, settings=SETTINGS)
    started: list[str] = []
    whole = analyse(workspace, dataset, classifier, settings=SETTINGS, progress=lambda *step: started.append(step[2]))
    assert whole.computed.source == source.id
    assert started[0] == "Continuing after the first 26 images"


KILLED = """
import os, signal, sys
from core.activations import extraction
from core.classifiers.classifier import load_classifier
from core.datasets import open_dataset
from core.settings import Settings
from core.workspace import open_workspace

workspace, data, model, where = sys.argv[1:]

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

if where == "before publishing":
    extraction.publish = die
elif where == "before clearing up":
    publish = extraction.publish
    extraction.publish = lambda *given: (publish(*given), die())
else:
    extraction.merge = die
settings = Settings(batch_size=8)
extraction.analyse(open_workspace(workspace), open_dataset(data), load_classifier(model), settings=settings)
"""


@pytest.mark.parametrize("where", ["before merging", "before publishing", "before clearing up"])
def test_killed_while_known_and_new_are_put_together(
    tmp_path: Path, workspace: Workspace, root: Path, classifier: Classifier, where: str
) -> None:
    dataset = open_dataset(root)
    other = open_workspace(tmp_path / "other")
    for place in (workspace, other):
        analyse(place, dataset.sample(10), classifier, settings=SETTINGS)
    command = [sys.executable, "-c", KILLED, str(workspace.root), str(root), str(classifier.file), where]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == -9, done.stderr
    identity = analysis_id(dataset, classifier)
    assert (workspace.analyses / identity).exists() == (where == "before clearing up")
    analysis = analyse(workspace, dataset, classifier, settings=SETTINGS)
    assert bytes_of(analysis) == bytes_of(analyse(other, dataset, classifier, settings=SETTINGS))
    assert list(workspace.analyses.glob(".*.partial")) == []


def test_room_for_both_is_asked_for(
    workspace: Workspace, root: Path, classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    analyse(workspace, open_dataset(root), classifier, settings=SETTINGS)
    draw(root / "left/01.png", 7)
    needed = extraction.SPARE_BYTES + 42 * 4 * 130
    monkeypatch.setattr(extraction.shutil, "disk_usage", lambda path: type("Usage", (), {"free": needed - 42 * 8})())
    with pytest.raises(DiskFull):
        analyse(workspace, open_dataset(root), classifier, settings=SETTINGS)
