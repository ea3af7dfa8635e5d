from __future__ import annotations

import os
import pickle
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.datasets import Choices, Dataset, cifar, open_dataset
from core.datasets.images import UnreadableImage, decode
from core.datasets.pickled import Span, StoredArray, read_plain
from core.errors import BadArchive

Write = Callable[[dict[str, Any]], bytes]
NAMES = [f"thing {i}" for i in range(10)]


def old_pickle(value: dict[str, Any]) -> bytes:
    """As Python 2 wrote it, opcode by opcode: that is what CIFAR's files are."""

    def text(word: str) -> bytes:
        return b"U" + bytes([len(word)]) + word.encode()

    def item(one: Any) -> bytes:
        if isinstance(one, str):
            return text(one)
        if isinstance(one, int):
            return b"M" + struct.pack("<H", one) if one > 255 else b"K" + bytes([one])
        if isinstance(one, list):
            return b"](" + b"".join(item(x) for x in one) + b"e"
        n, width = one.shape
        shape = b"M" + struct.pack("<H", n) + b"M" + struct.pack("<H", width) + b"\x86"
        kind = b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        content = one.tobytes()
        numbers = b"T" + struct.pack("<i", len(content)) + content
        made = b"cnumpy.core.multiarray\n_reconstruct\nq\x01cnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        return made + b"(K\x01" + shape + kind + b"\x89" + numbers + b"tb"

    pairs = b"".join(text(key) + b"q\x02" + item(one) for key, one in value.items())
    return b"\x80\x02}q\x00(" + pairs + b"u."


WRITERS: dict[str, Write] = {
    "python 2": old_pickle,
    "protocol 3": lambda value: pickle.dumps(value, 3),
    "protocol 4": lambda value: pickle.dumps(value, 4),
    "protocol 5": lambda value: pickle.dumps(value, 5),
    "bytes for keys": lambda value: pickle.dumps({key.encode(): item for key, item in value.items()}, 4),
}


def pictures(n: int, start: int) -> np.ndarray:
    """(n, 3072) uint8: picture i is red = start + i, green = 1, and blue counts along the rows."""
    made = np.zeros((n, 3, 32, 32), dtype=np.uint8)
    made[:, 0] = (start + np.arange(n) % 100)[:, None, None]
    made[:, 1] = 1
    made[:, 2] = np.arange(32, dtype=np.uint8)[:, None]
    return made.reshape(n, 3072)


def ten(root: Path, write: Write = old_pickle, n: int = 30) -> Path:
    root.mkdir(parents=True)
    for at, name in enumerate(("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5")):
        batch = {"labels": [(i + at) % 10 for i in range(n)], "data": pictures(n, 20 * at), "batch_label": name}
        (root / name).write_bytes(write(batch))
    (root / "test_batch").write_bytes(write({"data": pictures(n, 200), "labels": [i % 10 for i in range(n)]}))
    (root / "batches.meta").write_bytes(write({"label_names": NAMES, "num_vis": 3072}))
    return root


def hundred(root: Path, n: int = 200) -> Path:
    root.mkdir(parents=True)
    for name in ("train", "test"):
        fine = [i % 100 for i in range(n)]
        batch = {"data": pictures(n, 5), "fine_labels": fine, "coarse_labels": [i // 5 for i in fine]}
        (root / name).write_bytes(old_pickle(batch))
    meta = {"fine_label_names": [f"f{i}" for i in range(100)], "coarse_label_names": [f"c{i}" for i in range(20)]}
    (root / "meta").write_bytes(old_pickle(meta))
    return root


def pixels(dataset: Dataset, row: int) -> np.ndarray:
    return np.asarray(decode(dataset.pictures().read(str(dataset.images[row])), 10_000))


@pytest.mark.parametrize("writer", WRITERS)
def test_the_python_version_however_it_was_pickled(tmp_path: Path, writer: str) -> None:
    dataset = open_dataset(ten(tmp_path / "cifar-10-batches-py", WRITERS[writer]))
    assert (dataset.source, dataset.name, len(dataset)) == ("cifar", "CIFAR-10", 180)
    assert dataset.classes == tuple(NAMES)
    assert sum(dataset.counts()["train"].values()) == 150
    assert sum(dataset.counts()["test"].values()) == 30
    assert dataset.images[31] == "data_batch_2#000001"
    assert dataset.labels[31] == 2
    picture = pixels(dataset, 31)
    assert picture.shape == (32, 32, 3)
    assert np.unique(picture[..., 0]).tolist() == [21]
    assert picture[:, 0, 2].tolist() == list(range(32))


def test_the_folder_above_as_torchvision_has_it(tmp_path: Path) -> None:
    ten(tmp_path / "data" / "cifar-10-batches-py")
    dataset = open_dataset(tmp_path / "data")
    assert dataset.images[0] == "cifar-10-batches-py/data_batch_1#000000"
    assert pixels(dataset, 179)[0, 0, 0] == 229
    again = open_dataset(dataset.root, choices=dataset.choices)
    assert again.fingerprint == dataset.fingerprint


def test_the_archive_as_downloaded(tmp_path: Path) -> None:
    ten(tmp_path / "cifar-10-batches-py")
    with tarfile.open(tmp_path / "cifar-10-python.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "cifar-10-batches-py", "cifar-10-batches-py")
    dataset = open_dataset(tmp_path / "cifar-10-python.tar.gz", store=tmp_path / "store")
    assert (dataset.source, len(dataset)) == ("cifar", 180)
    assert pixels(dataset, 0)[0, 0, 0] == 0


def test_cifar_100_has_two_kinds_of_classes(tmp_path: Path) -> None:
    root = hundred(tmp_path / "cifar-100-python")
    fine = open_dataset(root)
    assert (len(fine.classes), fine.attributes) == (100, ())
    coarse = open_dataset(root, choices=Choices(target="superclass"))
    assert coarse.classes == tuple(f"c{i}" for i in range(20))
    assert coarse.labels.tolist()[:11] == [0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 2]


@pytest.mark.parametrize("kind", [10, 100])
def test_the_binary_version(tmp_path: Path, kind: int) -> None:
    rows = pictures(20, 50)
    if kind == 10:
        root, names = tmp_path / "cifar-10-batches-bin", [f"{name}.bin" for name in cifar._TEN]
        labels = np.arange(20, dtype=np.uint8)[:, None] % 10
        words = {"batches.meta.txt": NAMES}
    else:
        root, names = tmp_path / "cifar-100-binary", ["train.bin", "test.bin"]
        labels = np.stack([np.arange(20) % 20, np.arange(20)], axis=1).astype(np.uint8)
        words = {"fine_label_names.txt": [f"f{i}" for i in range(100)]}
    root.mkdir()
    for name in names:
        (root / name).write_bytes(np.concatenate([labels, rows], axis=1).tobytes())
    for name, lines in words.items():
        (root / name).write_text("\n".join(lines) + "\n\n")
    dataset = open_dataset(root)
    assert len(dataset.classes) == kind
    assert dataset.labels.tolist()[:20] == labels[:, -1].tolist()
    assert pixels(dataset, 3)[0, 0].tolist() == [53, 1, 0]


def test_a_file_that_is_damaged_or_gone_is_listed(tmp_path: Path) -> None:
    root = ten(tmp_path / "cifar-10-batches-py")
    content = (root / "data_batch_2").read_bytes()
    (root / "data_batch_2").write_bytes(content[:5000])
    (root / "data_batch_3").unlink()
    dataset = open_dataset(root)
    assert len(dataset) == 120
    assert [problem.image for problem in dataset.problems] == ["data_batch_2", "data_batch_3"]
    (root / "batches.meta").write_bytes(b"")
    assert open_dataset(root).classes == tuple(map(str, range(10)))


def test_pictures_of_files_that_changed_or_are_gone(tmp_path: Path) -> None:
    root = ten(tmp_path / "cifar-10-batches-py")
    names = open_dataset(root).images.tolist()
    (root / "data_batch_1").unlink()
    (root / "data_batch_2").write_bytes(b"x")
    after = cifar.CifarPictures(root)
    with pytest.raises(UnreadableImage, match="not there"):
        after.read(names[0])
    with pytest.raises(UnreadableImage, match="damaged"):
        after.read(names[30])
    with pytest.raises(UnreadableImage, match="fewer"):
        after.read("data_batch_4#000099")
    assert after.missing(names) == names[0]
    assert after.missing(names[30:]) is None


class Harmful:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.path,)

    def __init__(self, path: Path) -> None:
        self.path = str(path)


@pytest.mark.parametrize("protocol", range(6))
def test_code_in_a_pickle_is_refused_and_never_run(tmp_path: Path, protocol: int) -> None:
    root = ten(tmp_path / "cifar-10-batches-py")
    harm = {"data": Harmful(tmp_path / "made"), "labels": [1]}
    for name in cifar._TEN:
        (root / name).write_bytes(pickle.dumps(harm, protocol))
    with pytest.raises(BadArchive, match=r"mkdir"):
        open_dataset(root)
    assert not (tmp_path / "made").exists()
    assert b"mkdir" in (root / "data_batch_1").read_bytes()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x80\x02",
        b"\x80\x02.",
        b"\x80\x02}q\x00",
        b"hello",
        b"\x80\x02N.",
        b"\x80\x02K\x01K\x02R.",
        b"\x80\x02h\x09.",
        b"\x80\x02}K\x01K\x02s" * 3,
        b"\x80\x02T\xff\xff\xff\x7fabc.",
        b"\x80\x02T\xff\xff\xff\xffabc.",
        b"\x80\x04\x8e" + b"\xff" * 8 + b".",
        b"\x80\x02](K\x01K\x02u.",
        b"\x80\x02\x8b\xff\xff\xff\x7f" + b"1" * 10 + b".",
        b"\x80\x02I" + b"9" * 9999 + b"\n.",
        b"\x80\x02}(]K\x01u.",
        b"(" * 1000 + b"t.",
        b"\x80\x02cos\nsystem\n(U\x04trueo.",
        b"\x80\x02U\x02osU\x06system\x93(U\x04truetR.",
        b"\x80\x02cnumpy\nndarray\n)\x81.",
        b"\x80\x02Pabc\n.",
    ],
)
def test_what_breaks_the_rules_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(BadArchive):
        read_plain(tmp_path / "x")


def test_noise_is_refused_or_read_but_raises_nothing_else(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    good = old_pickle({"data": pictures(3, 0), "labels": [1, 2, 3]})
    for turn in range(300):
        content = bytearray(good)
        for at in rng.integers(0, 300, size=3):
            content[at] = int(rng.integers(256))
        (tmp_path / "x").write_bytes(content)
        try:
            found = read_plain(tmp_path / "x")
        except BadArchive:
            continue
        assert isinstance(found, dict), turn


def test_the_pixels_are_not_read_but_found(tmp_path: Path) -> None:
    made = pictures(40, 0)
    (tmp_path / "x").write_bytes(old_pickle({"data": made, "labels": [0] * 40}))
    found = read_plain(tmp_path / "x")["data"]
    assert isinstance(found, StoredArray)
    assert (found.shape, found.dtype) == ((40, 3072), "u1")
    assert isinstance(found.data, Span)
    content = (tmp_path / "x").read_bytes()
    assert content[found.data.offset : found.data.offset + found.data.length] == made.tobytes()


def test_two_files_called_train_and_test_are_not_cifar(tmp_path: Path) -> None:
    (tmp_path / "train").write_bytes(b"")
    (tmp_path / "test").write_bytes(b"")
    assert not cifar.FORMAT.recognises(tmp_path)
