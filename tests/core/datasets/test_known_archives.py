"""Archives that grow, move or are downloaded again stay the dataset that they were."""

from __future__ import annotations

import gc
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from core.activations import extraction
from core.activations.extraction import analyse
from core.activations.store import open_analysis
from core.classifiers.classifier import Classifier
from core.concepts.concept import create_concept
from core.concepts.tags import PRESENT, tag, tag_states
from core.datasets import Dataset, known_archives, open_dataset, unpacking
from core.datasets.archives import LEFT_OUT
from core.datasets.known_archives import CONTENTS, NOTES
from core.datasets.unpacking import KEPT, SPARE_BYTES
from core.errors import DiskFull
from core.locks import held_if_free
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


def recoloured(content: bytes, seed: int) -> bytes:
    """Another picture of the same size in bytes."""
    target = io.BytesIO()
    with Image.open(io.BytesIO(content)) as picture:
        pixels = np.random.default_rng(seed).integers(0, 256, (picture.height, picture.width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(target, format="PNG")
    assert len(target.getvalue()) == len(content)
    return target.getvalue()


OTHERS = {name: recoloured(content, 300 + i) for i, (name, content) in enumerate(PHOTOS.items())}


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
    (dataset.root.parents[1] / CONTENTS).unlink()
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
    zipped(tmp_path / "pets.zip", OTHERS)
    assert opened(workspace, tmp_path / "pets.zip").id != first.id
    assert opened(workspace, tmp_path / name).id == first.id


@pytest.mark.parametrize("name", ["pets (1).zip", "pets-2.zip", "others.zip", "pets.zip"])
def test_other_files_of_the_same_names_and_sizes_are_another_dataset(
    workspace: Workspace, tmp_path: Path, name: str
) -> None:
    first = opened(workspace, zipped(tmp_path / "pets.zip", PHOTOS))
    assert opened(workspace, zipped(tmp_path / name, OTHERS)).id != first.id
    # and the first one is what it was when it comes back
    assert opened(workspace, zipped(tmp_path / "pets.zip", PHOTOS)).id == first.id


@pytest.mark.parametrize("is_gone", [False, True], ids=["there", "removed meanwhile"])
@pytest.mark.parametrize("shared", [2, 3])
def test_another_archive_at_the_same_path_is_another_dataset_and_says_so(
    workspace: Workspace, tmp_path: Path, shared: int, is_gone: bool
) -> None:
    path = zipped(tmp_path / "archive.zip", PHOTOS)
    first = opened(workspace, path)
    if is_gone:
        shutil.rmtree(first.root.parents[1])
    second = opened(workspace, zipped(path, {**OTHERS, **dict(list(PHOTOS.items())[:shared])}))
    assert (second.id == first.id) == (shared == 3)
    said = [note for note in second.notes if f"of 12 files that were compared, {shared} are the same" in note]
    assert len(said) == 1
    assert ("stays the same dataset" in said[0]) == (shared == 3)
    again = opened(workspace, path)
    assert again.id == second.id
    assert not any("compared" in note for note in again.notes)


def test_an_archive_that_lost_most_of_its_images_stays_the_same(workspace: Workspace, tmp_path: Path) -> None:
    path = zipped(tmp_path / "pets.zip", {**PHOTOS, **{f"photos/cat/{i}.png": png(500 + i) for i in range(100)}})
    first = opened(workspace, path)
    assert opened(workspace, zipped(path, PHOTOS)).id == first.id


def test_notes_of_earlier_versions_are_compared_with_what_was_unpacked(workspace: Workspace, tmp_path: Path) -> None:
    path = zipped(tmp_path / "pets.zip", PHOTOS)
    first = opened(workspace, path)
    for entries, is_same in ((MORE, True), (OTHERS, False)):
        for note in (workspace.datasets / NOTES).iterdir():
            note.write_text(
                json.dumps({name: one for name, one in json.loads(note.read_text()).items() if name != "files"})
            )
        for contents in workspace.datasets.glob(f"*/{CONTENTS}"):
            contents.unlink()
        assert (opened(workspace, zipped(path, entries)).id == first.id) == is_same


@pytest.mark.parametrize("turn", range(4))
def test_of_several_it_is_the_one_that_it_shares_most_with(workspace: Workspace, tmp_path: Path, turn: int) -> None:
    cats = {f"photos/cat/{i:02d}.png": png(700 + i) for i in range(40)}
    # three of forty are others, so neither is taken for the other's next state; notes lie in the order of a hash
    few = {f"photos/cat/{i:02d}.png": png(800 + i) for i in range(5)}
    names = ["pets.zip", "pets-7.zip"][:: 1 if turn % 2 else -1]
    folder = tmp_path / str(turn)
    folder.mkdir()
    near = opened(workspace, zipped(folder / names[0], {**PHOTOS, **cats}))
    far = opened(workspace, zipped(folder / names[1], {**PHOTOS, **cats, **few, "photos/dog/00.png": png(1)}))
    assert far.id != near.id
    # lacks two of the near one, so four of the far one
    third = {**PHOTOS, **cats, "photos/cat/00.png": png(800), "photos/cat/01.png": png(801), "photos/new.png": png(2)}
    assert opened(workspace, zipped(folder / "pets (3).zip", third)).id == near.id


MANY = np.random.default_rng(7).integers(0, 256, (80, 8, 8), dtype=np.uint8)


def in_one_file(kind: str, pixels: np.ndarray) -> dict[str, bytes]:
    """Pictures (n, 8, 8) uint8 and two classes that take turns."""
    target = io.BytesIO()
    labels = np.arange(len(pixels)) % 2
    if kind == "parquet":
        pictures = [{"bytes": encoded(one)} for one in pixels]
        pq.write_table(pa.table({"image": pictures, "label": labels}), target, row_group_size=7)
    elif kind == "arrow":
        table = pa.table({"image": [{"bytes": encoded(one)} for one in pixels], "label": labels})
        with pa.ipc.new_stream(target, table.schema) as stream:
            stream.write_table(table, max_chunksize=7)
    else:
        (np.savez if kind == "npz" else np.savez_compressed)(target, images=pixels, labels=labels)
    return {f"digits.{kind.removesuffix('-packed')}": target.getvalue()}


def encoded(pixels: np.ndarray) -> bytes:
    target = io.BytesIO()
    Image.fromarray(pixels).save(target, format="PNG")
    return target.getvalue()


@pytest.mark.parametrize("kind", ["npz", "npz-packed", "parquet", "arrow"])
def test_one_file_of_many_images_that_grew_is_the_same_dataset(workspace: Workspace, tmp_path: Path, kind: str) -> None:
    path = zipped(tmp_path / "digits.zip", in_one_file(kind, MANY[:60]))
    first = opened(workspace, path)
    grown = opened(workspace, zipped(path, in_one_file(kind, MANY)))
    assert (grown.id, len(first), len(grown)) == (first.id, 60, 80)
    assert grown.images[:60].tolist() == first.images.tolist()
    (said,) = (note for note in grown.notes if "compared" in note)
    assert said.startswith("digits.zip has changed since it was opened last (of 60 images that were compared, 60 are")
    # and again, without a word; what lost some of them, elsewhere too, as long as nothing lies where another did
    again = opened(workspace, path)
    assert again.id == first.id
    assert not any("compared" in note for note in again.notes)
    assert opened(workspace, zipped(path, in_one_file(kind, MANY[:50]))).id == first.id
    beside = zipped(tmp_path / "digits (1).zip", in_one_file(kind, np.concatenate([MANY, MANY[:3]])))
    assert opened(workspace, beside).id == first.id


@pytest.mark.parametrize("kind", ["npz", "parquet"])
@pytest.mark.parametrize("name", ["digits.zip", "digits (1).zip"])
@pytest.mark.parametrize("what", ["others", "in another order", "one in front", "one in five changed"])
def test_one_file_of_other_images_is_another_dataset(
    workspace: Workspace, tmp_path: Path, kind: str, name: str, what: str
) -> None:
    """The tags of an image would come to lie on another one."""
    first = opened(workspace, zipped(tmp_path / "digits.zip", in_one_file(kind, MANY[:60])))
    changed = MANY[:60].copy()
    changed[::5] = 255 - changed[::5]
    pixels = {
        "others": 255 - MANY,
        "in another order": MANY[59::-1],
        "one in front": np.concatenate([MANY[60:61], MANY[:60]]),
        "one in five changed": changed,
    }[what]
    second = opened(workspace, zipped(tmp_path / name, in_one_file(kind, pixels)))
    assert second.id != first.id
    said = [note for note in second.notes if "Another digits.zip was opened here before (of 60 images" in note]
    assert len(said) == (name == "digits.zip")


def test_what_was_one_file_and_is_something_else_now_is_another_dataset(workspace: Workspace, tmp_path: Path) -> None:
    path = zipped(tmp_path / "digits.zip", in_one_file("npz", MANY))
    first = opened(workspace, path)
    second = opened(workspace, zipped(path, in_one_file("parquet", MANY)))
    third = opened(workspace, zipped(path, PHOTOS))
    assert len({first.id, second.id, third.id}) == 3
    assert len([note for note in second.notes if "its one file is another" in note]) == 1
    # nothing is left to compare with
    shutil.rmtree(third.root.parents[1])
    assert opened(workspace, zipped(path, in_one_file("npz", MANY[:70]))).id not in {second.id, third.id}


def test_an_archive_that_was_moved_and_then_grew(workspace: Workspace, tmp_path: Path) -> None:
    first = opened(workspace, zipped(tmp_path / "pets.zip", PHOTOS))
    moved = shutil.move(tmp_path / "pets.zip", tmp_path / "animals.zip")
    assert opened(workspace, moved).id == first.id
    assert opened(workspace, zipped(moved, MORE)).id == first.id


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_what_two_states_share_is_on_the_disk_once(pack: Pack, workspace: Workspace, tmp_path: Path) -> None:
    path = pack(tmp_path / ("pets.zip" if pack is zipped else "pets.tar.gz"), PHOTOS)
    first = opened(workspace, path)
    second = opened(workspace, pack(path, {**MORE, "photos/cat/00.png": png(77)}))
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


def test_notes_are_bounded_but_those_of_analyses_stay(
    workspace: Workspace, classifier: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known_archives, "MOST_NOTES", 3)
    sets = several(tmp_path, 6)
    first = [opened(workspace, path) for path in sets[:2]]
    analyse(workspace, first[0], classifier, precision="fp32")
    for place, path in enumerate(sets[2:]):
        for note in (workspace.datasets / NOTES).iterdir():
            os.utime(note, (note.stat().st_mtime - 10,) * 2)
        opened(workspace, path)
        assert len(list((workspace.datasets / NOTES).iterdir())) == min(place + 3, 4)
    noted = [json.loads(note.read_text()) for note in (workspace.datasets / NOTES).iterdir()]
    assert sorted(one["archive"] for one in noted) == sorted(map(str, [sets[0], *sets[3:]]))
    assert opened(workspace, sets[0]).id == first[0].id


# what is kept


def copies(workspace: Workspace) -> list[str]:
    return sorted(folder.name for folder in workspace.datasets.glob("zip-*"))


def several(folder: Path, count: int) -> list[Path]:
    return [
        zipped(folder / f"{i}.zip", {one: png(1000 + 100 * i + j) for j, one in enumerate(PHOTOS)})
        for i in range(count)
    ]


def forget(datasets: list[Dataset]) -> None:
    """As the process that read them ends."""
    datasets.clear()
    gc.collect()


def aged(dataset: Dataset, seconds: int) -> str:
    """Pretend that it was used so long ago; returns the name of its copy."""
    copy = dataset.root.parents[1]
    then = copy.stat().st_mtime - seconds
    os.utime(copy, (then, then))
    return copy.name


def test_a_copy_whose_list_of_what_was_left_out_is_gone_or_damaged(workspace: Workspace, tmp_path: Path) -> None:
    path = zipped(tmp_path / "pets.zip", PHOTOS)
    first = opened(workspace, path)
    listed = first.root.parents[1] / LEFT_OUT
    for content in (None, "", "{", "[1]", '[{"image": 1}]'):
        listed.unlink() if content is None else listed.write_text(content)
        again = opened(workspace, path)
        assert (again.id, again.fingerprint, again.problems) == (first.id, first.fingerprint, ())
        assert json.loads(listed.read_text()) == []


def test_an_archive_that_grew_needs_room_for_what_is_new_only(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = zipped(tmp_path / "pets.zip", PHOTOS)
    opened(workspace, path)
    grown = zipped(path, MORE)
    new = sum(map(len, MORE.values())) - sum(map(len, PHOTOS.values()))
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=new - 1 + SPARE_BYTES))
    with pytest.raises(DiskFull):
        opened(workspace, grown)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=new + SPARE_BYTES))
    assert len(opened(workspace, grown)) == len(PHOTOS) + 2


def test_unpacked_copies_are_bounded_but_those_of_analyses_stay(
    workspace: Workspace, classifier: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sets = several(tmp_path, 5)
    size = sum(map(len, PHOTOS.values()))
    monkeypatch.setattr(unpacking, "MOST_BYTES", int(2.5 * size))
    first = [opened(workspace, path) for path in sets[:4]]
    analyse(workspace, first[0], classifier, precision="fp32")
    names = [aged(dataset, 10_000 - 1000 * place) for place, dataset in enumerate(first)]
    was = (first[1].id, first[1].fingerprint)
    forget(first)
    (workspace.datasets / "mine").mkdir()
    last = opened(workspace, sets[4])
    # the analysed one is the oldest; of the others two fit, and the newest are kept
    assert copies(workspace) == sorted([names[0], names[3], last.root.parents[1].name])
    assert (workspace.datasets / "mine").is_dir()
    assert KEPT in last.notes
    # what is gone comes back as what it was
    again = opened(workspace, sets[1])
    assert (again.id, again.fingerprint) == was


def test_what_was_used_just_now_or_is_read_is_not_removed(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpacking, "MOST_BYTES", 1)
    sets = several(tmp_path, 4)
    first = [opened(workspace, sets[0])]
    opened(workspace, sets[1])
    assert len(copies(workspace)) == 2
    name = aged(first[0], 10_000)
    # a part of it, by its own path, is all that a training has
    first = [open_dataset(first[0].root).sample(6)]
    gc.collect()
    opened(workspace, sets[2])
    assert name in copies(workspace)
    assert first[0].pictures().missing(first[0].images.tolist()) is None
    forget(first)
    opened(workspace, sets[3])
    assert name not in copies(workspace)
    assert len(copies(workspace)) == 3


def test_reading_in_another_process_keeps_a_copy_and_opening_does_not_wait_for_it(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpacking, "MOST_BYTES", 1)
    sets = several(tmp_path, 3)
    first = [opened(workspace, sets[0])]
    name, root = aged(first[0], 10_000), str(first[0].root)
    forget(first)
    code = "import sys; from core.datasets import open_dataset; d = open_dataset(sys.argv[1]); print(len(d)); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code, root],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    ) as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline().strip() == "12"
        opened(workspace, sets[1])
        assert name in copies(workspace)
        said: list[str] = []
        open_dataset(sets[0], store=workspace.datasets, progress=lambda *step: said.append(str(step[-1])))
        assert not any("Waiting" in one for one in said)
        gc.collect()
        reader.kill()
    then = time.time() - 10_000
    os.utime(workspace.datasets / name, (then, then))
    opened(workspace, sets[2])
    assert name not in copies(workspace)


@pytest.mark.parametrize("meanwhile", ["opened", "analysed"])
def test_what_is_used_after_the_first_look_is_not_removed(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, meanwhile: str
) -> None:
    monkeypatch.setattr(unpacking, "MOST_BYTES", 1)
    sets = several(tmp_path, 2)
    first = [opened(workspace, sets[0])]
    name = aged(first[0], 10_000)
    forget(first)
    done: list[str] = []

    @contextmanager
    def slow(lock_file: Path) -> Iterator[bool]:
        # between the look at its age and the lock
        if lock_file.name == name and not done:
            done.append(meanwhile)
            if meanwhile == "opened":
                opened(workspace, sets[0])
            else:
                (workspace.analyses / "a").mkdir(parents=True)
                (workspace.analyses / "a" / "analysis.json").write_text(json.dumps({"dataset": {"root": f"/{name}/x"}}))
        with held_if_free(lock_file) as is_free:
            yield is_free

    monkeypatch.setattr(unpacking, "held_if_free", slow)
    opened(workspace, sets[1])
    assert done
    assert name in copies(workspace)


def test_files_that_two_copies_share_count_once(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = sum(map(len, PHOTOS.values()))
    monkeypatch.setattr(unpacking, "MOST_BYTES", int(1.7 * size))
    path = zipped(tmp_path / "pets.zip", PHOTOS)
    first = [opened(workspace, path)]
    aged(first[0], 10_000)
    forget(first)
    opened(workspace, zipped(path, MORE))
    assert len(copies(workspace)) == 2
