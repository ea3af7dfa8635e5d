"""Archives that grow, move or are downloaded again stay the dataset that they were."""

from __future__ import annotations

import io
import os
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from core.activations import extraction
from core.activations.extraction import analyse
from core.activations.store import open_analysis
from core.classifiers.architectures import build
from core.classifiers.checkpoint import ModelDescription, write_checkpoint
from core.classifiers.classifier import Classifier, load_classifier
from core.classifiers.preprocessing import squeezed
from core.concepts.concept import create_concept
from core.concepts.tags import PRESENT, tag, tag_states
from core.datasets import Dataset, open_dataset, unpacking
from core.datasets.known_archives import NOTES
from core.datasets.unpacking import KEPT
from core.workspace import Workspace

Pack = Callable[[Path, dict[str, bytes]], Path]


def png(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (24, 24, 3), dtype=np.uint8)
    target = io.BytesIO()
    Image.fromarray(pixels).save(target, format="PNG")
    return target.getvalue()


PHOTOS = {f"photos/{name}/{i:02d}.png": png(i + 50 * (name == "dog")) for name in ("cat", "dog") for i in range(6)}
MORE = {**PHOTOS, "photos/cat/02b.png": png(200), "photos/dog/99.png": png(201), "photos/bird.txt": b"x"}
TAGGED = ["cat/03.png", "dog/01.png"]


def zipped(path: Path, entries: dict[str, bytes], year: int = 2020) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            archive.writestr(zipfile.ZipInfo(name, (year, 1, 1, 0, 0, 0)), content)
    return path


def tarred(path: Path, entries: dict[str, bytes], year: int = 2020) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in entries.items():
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(content), (year - 1970) * 31_556_952
            archive.addfile(info, io.BytesIO(content))
    return path


@pytest.fixture
def classifier(tmp_path: Path) -> Classifier:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        state = build("small", 2).state_dict()
    path = tmp_path / "model.safetensors"
    write_checkpoint(path, state, ModelDescription(arch="small", classes=("cat", "dog"), preprocessing=squeezed(24)))
    return load_classifier(path)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sizes in bytes of the images that are decoded from here on."""
    found: list[int] = []

    def decode(source: Path, most: int) -> Image.Image:
        found.append(source.stat().st_size)
        with Image.open(source) as opened:
            return opened.convert("RGB")

    monkeypatch.setattr(extraction, "decode", decode)
    return found


def opened(workspace: Workspace, path: Path) -> Dataset:
    return open_dataset(path, store=workspace.datasets)


def as_earlier_versions_left_it(workspace: Workspace, dataset: Dataset) -> None:
    shutil.rmtree(workspace.datasets / NOTES)
    for place, file in enumerate(sorted(dataset.root.rglob("*.png"))):
        os.utime(file, (1_500_000_000 + place, 1_500_000_000 + place))


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_an_archive_that_grew_keeps_its_tags_and_only_new_images_are_computed(
    pack: Pack, workspace: Workspace, classifier: Classifier, tmp_path: Path, seen: list[int]
) -> None:
    path = pack(tmp_path / ("pets.zip" if pack is zipped else "pets.tar.gz"), PHOTOS)
    first = analyse(workspace, opened(workspace, path), classifier, precision="fp32")
    assert len(seen) == len(PHOTOS)
    concept = create_concept(workspace, first.dataset_id, "water")
    tag(workspace, first, concept, [first.images.tolist().index(name) for name in TAGGED], True)
    # packed again by a program that does not keep the times of files
    pack(path, MORE, year=2026)
    grown = opened(workspace, path)
    assert grown.id == first.dataset_id
    second = analyse(workspace, grown, classifier, precision="fp32")
    assert len(seen) == len(PHOTOS) + 2
    assert second.computed is not None
    assert (second.computed.source, second.computed.copied) == (first.id, len(PHOTOS))
    assert second.images[tag_states(workspace, second, concept) == PRESENT].tolist() == TAGGED
    # what was analysed before still has its pictures
    assert open_analysis(workspace, first.id).pictures.missing(first.images.tolist()) is None


def test_what_an_earlier_version_unpacked_opens_and_grows(
    workspace: Workspace, classifier: Classifier, tmp_path: Path, seen: list[int]
) -> None:
    path = zipped(tmp_path / "pets.zip", PHOTOS)
    as_earlier_versions_left_it(workspace, opened(workspace, path))
    shutil.rmtree(workspace.datasets / NOTES, ignore_errors=True)
    before = open_dataset(next(workspace.datasets.glob("zip-*/pets/photos")))
    first = analyse(workspace, before, classifier, precision="fp32")
    again = opened(workspace, path)
    assert (again.id, again.fingerprint, again.root) == (before.id, before.fingerprint, before.root)
    assert analyse(workspace, again, classifier, precision="fp32").id == first.id
    shutil.rmtree(workspace.datasets / NOTES)
    zipped(path, MORE)
    grown = opened(workspace, path)
    assert grown.id == first.dataset_id
    analyse(workspace, grown, classifier, precision="fp32")
    assert len(seen) == len(PHOTOS) + 2


@pytest.mark.parametrize("name", ["pets (1).zip", "pets-2.zip"])
def test_another_download_of_it_is_the_same_if_it_holds_the_same(
    workspace: Workspace, tmp_path: Path, name: str
) -> None:
    first = opened(workspace, zipped(tmp_path / "pets.zip", PHOTOS))
    assert opened(workspace, zipped(tmp_path / name, MORE)).id == first.id
    # and stays so, whatever becomes of the other
    zipped(tmp_path / "pets.zip", {one: png(300 + i) for i, one in enumerate(PHOTOS)})
    assert opened(workspace, tmp_path / name).id == opened(workspace, tmp_path / "pets.zip").id == first.id


@pytest.mark.parametrize("name", ["pets (1).zip", "pets-2.zip", "others.zip"])
def test_other_files_under_nearly_the_same_name_are_another_dataset(
    workspace: Workspace, tmp_path: Path, name: str
) -> None:
    first = opened(workspace, zipped(tmp_path / "pets.zip", PHOTOS))
    others = {one: png(300 + i) + b" " * i for i, one in enumerate(PHOTOS)}
    assert opened(workspace, zipped(tmp_path / name, others)).id != first.id


def test_an_archive_that_was_moved_and_then_grew(workspace: Workspace, tmp_path: Path) -> None:
    first = opened(workspace, zipped(tmp_path / "pets.zip", PHOTOS))
    moved = shutil.move(tmp_path / "pets.zip", tmp_path / "animals.zip")
    assert opened(workspace, moved).id == first.id
    assert opened(workspace, zipped(moved, MORE)).id == first.id


def test_what_two_states_share_is_on_the_disk_once(workspace: Workspace, tmp_path: Path) -> None:
    path = zipped(tmp_path / "pets.zip", PHOTOS)
    first = opened(workspace, path)
    second = opened(workspace, zipped(path, {**MORE, "photos/cat/00.png": png(77)}))
    shared = {name: os.path.samefile(first.root / name, second.root / name) for name in first.images.tolist()}
    assert [name for name, is_shared in shared.items() if not is_shared] == ["cat/00.png"]
    assert (second.root / "cat/00.png").read_bytes() == png(77)
    assert (first.root / "cat/00.png").read_bytes() == PHOTOS["photos/cat/00.png"]


def test_a_damaged_download_and_its_replacement(workspace: Workspace, tmp_path: Path) -> None:
    whole = zipped(tmp_path / "pets.zip", PHOTOS).read_bytes()
    at = whole.index(PHOTOS["photos/cat/03.png"]) + 200
    (tmp_path / "pets.zip").write_bytes(whole[:at] + bytes(20) + whole[at + 20 :])
    damaged = opened(workspace, tmp_path / "pets.zip")
    assert [problem.image for problem in damaged.problems] == ["photos/cat/03.png"]
    said: list[str] = []
    again = open_dataset(
        tmp_path / "pets.zip", store=workspace.datasets, progress=lambda *step: said.append(str(step[-1]))
    )
    assert again.fingerprint == damaged.fingerprint
    assert not any("Unpacking" in one for one in said)
    (tmp_path / "pets.zip").write_bytes(whole)
    mended = opened(workspace, tmp_path / "pets.zip")
    assert (mended.problems, len(mended), mended.id) == ((), len(PHOTOS), damaged.id)
    assert (mended.root / "cat/03.png").read_bytes() == PHOTOS["photos/cat/03.png"]


def test_notes_that_are_damaged_are_written_anew(workspace: Workspace, tmp_path: Path) -> None:
    path = zipped(tmp_path / "pets.zip", PHOTOS)
    first = opened(workspace, path)
    (note,) = (workspace.datasets / NOTES).iterdir()
    for content in ("", "[]", "{}", '{"archive": 1, "dataset": 2, "copy": "../..", "size": "x", "modified": null}'):
        note.write_text(content)
        assert opened(workspace, path).id == first.id
        assert first.id in note.read_text()


# what is kept


def copies(workspace: Workspace) -> list[str]:
    return sorted(folder.name for folder in workspace.datasets.glob("zip-*"))


def aged(dataset: Dataset, seconds: int) -> str:
    """Pretend that it was used so long ago; returns the name of its copy."""
    copy = dataset.root.parents[1]
    then = copy.stat().st_mtime - seconds
    os.utime(copy, (then, then))
    return copy.name


def test_unpacked_copies_are_bounded_but_those_of_analyses_stay(
    workspace: Workspace, classifier: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sets = [zipped(tmp_path / f"{i}.zip", {one: png(100 * i + j) for j, one in enumerate(PHOTOS)}) for i in range(5)]
    size = sum(map(len, PHOTOS.values()))
    monkeypatch.setattr(unpacking, "MOST_BYTES", int(2.5 * size))
    first = [opened(workspace, path) for path in sets[:4]]
    analyse(workspace, first[0], classifier, precision="fp32")
    names = [aged(dataset, 10_000 - 1000 * place) for place, dataset in enumerate(first)]
    (workspace.datasets / "mine").mkdir()
    last = opened(workspace, sets[4])
    # the analysed one is the oldest; of the others two fit, and the newest are kept
    assert copies(workspace) == sorted([names[0], names[3], last.root.parents[1].name])
    assert (workspace.datasets / "mine").is_dir()
    assert KEPT in last.notes
    # what is gone comes back as what it was
    again = opened(workspace, sets[1])
    assert (again.id, again.fingerprint) == (first[1].id, first[1].fingerprint)


def test_what_was_used_just_now_or_while_a_pass_runs_is_not_removed(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpacking, "MOST_BYTES", 1)
    sets = [zipped(tmp_path / f"{i}.zip", {one: png(100 * i + j) for j, one in enumerate(PHOTOS)}) for i in range(3)]
    first = opened(workspace, sets[0])
    opened(workspace, sets[1])
    assert len(copies(workspace)) == 2
    aged(first, 10_000)
    journal = workspace.analyses / ".some.partial" / "journal.json"
    journal.parent.mkdir(parents=True)
    journal.write_text("{}")
    opened(workspace, sets[2])
    assert len(copies(workspace)) == 3
    os.utime(journal, (0, 0))
    opened(workspace, zipped(tmp_path / "3.zip", MORE))
    assert len(copies(workspace)) == 3
    assert not first.root.exists()
