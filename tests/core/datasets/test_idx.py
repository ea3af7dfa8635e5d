from __future__ import annotations

import gzip
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

from core.datasets import Choices, Dataset, idx, open_dataset, unpacking
from core.datasets.images import UnreadableImage, decode
from core.errors import BadArchive, BadRequest, DiskFull, EmptyDataset


def idx_bytes(values: np.ndarray) -> bytes:
    kind = 0x0C if values.dtype == np.dtype(">i4") else 0x08
    return (
        struct.pack(">BBBB", 0, 0, kind, values.ndim)
        + struct.pack(f">{values.ndim}I", *values.shape)
        + values.tobytes()
    )


def digits(n: int, start: int = 0) -> np.ndarray:
    return np.repeat(start + np.arange(n, dtype=np.uint8), 28 * 28).reshape(n, 28, 28)


def mnist(root: Path, *, prefix: str = "", packed: bool = False, classes: int = 10, first: int = 0) -> Path:
    """train of 20 pictures and test of 10; `root` is the folder of the files."""
    root.mkdir(parents=True, exist_ok=True)
    for part, n, start in (("train", 20, 0), ("t10k" if not prefix else "test", 10, 100)):
        labels = (first + np.arange(n) % classes).astype(np.uint8)
        files = {f"{part}-images-idx3-ubyte": digits(n, start), f"{part}-labels-idx1-ubyte": labels}
        for name, values in files.items():
            content = idx_bytes(values)
            path = root / f"{prefix}{name}{'.gz' if packed else ''}"
            path.write_bytes(gzip.compress(content) if packed else content)
    return root


def shades(dataset: Dataset) -> list[int]:
    pictures = dataset.pictures()
    return [int(np.asarray(decode(pictures.read(name), 1000))[0, 0, 0]) for name in dataset.images.tolist()]


@pytest.mark.parametrize("given", ["", "MNIST", "MNIST/raw", "MNIST/raw/train-images-idx3-ubyte"])
def test_any_folder_of_torchvisions_layout(tmp_path: Path, given: str) -> None:
    mnist(tmp_path / "MNIST" / "raw")
    dataset = open_dataset(tmp_path / given)
    assert (dataset.source, dataset.name) == ("idx", "MNIST")
    assert dataset.classes == tuple(map(str, range(10)))
    assert sum(dataset.counts()["train"].values()) == 20
    assert sum(dataset.counts()["test"].values()) == 10
    assert dataset.images.tolist() == sorted(dataset.images.tolist())
    assert shades(dataset) == [*range(100, 110), *range(20)]
    assert dataset.labels.tolist()[10:20] == list(range(10))
    again = open_dataset(dataset.root, choices=dataset.choices)
    assert (again.fingerprint, again.name) == (dataset.fingerprint, "MNIST")


def test_names_of_fashion_mnist(tmp_path: Path) -> None:
    assert open_dataset(mnist(tmp_path / "FashionMNIST" / "raw")).classes[9] == "Ankle boot"
    assert open_dataset(mnist(tmp_path / "KMNIST" / "raw")).classes[9] == "wo"


def test_packed_files_are_unpacked_once(tmp_path: Path) -> None:
    mnist(tmp_path / "FashionMNIST" / "raw", packed=True)
    with pytest.raises(BadRequest, match="unpacked"):
        open_dataset(tmp_path / "FashionMNIST")
    dataset = open_dataset(tmp_path / "FashionMNIST", store=tmp_path / "store")
    assert (dataset.name, dataset.classes[0]) == ("FashionMNIST", "T-shirt/top")
    assert shades(dataset) == [*range(100, 110), *range(20)]
    assert dataset.root.is_relative_to(tmp_path / "store")
    said: list[str] = []
    again = open_dataset(
        tmp_path / "FashionMNIST", store=tmp_path / "store", progress=lambda *step: said.append(step[-1])
    )
    assert not said
    assert again.fingerprint == dataset.fingerprint
    assert open_dataset(dataset.root, choices=dataset.choices).classes == dataset.classes


def test_packed_beside_unpacked_need_no_unpacking(tmp_path: Path) -> None:
    mnist(tmp_path / "MNIST" / "raw", packed=True)
    mnist(tmp_path / "MNIST" / "raw")
    assert len(open_dataset(tmp_path / "MNIST")) == 30


def test_emnist_is_several_datasets_with_letters(tmp_path: Path) -> None:
    raw = tmp_path / "EMNIST" / "raw"
    mnist(raw, prefix="emnist-digits-")
    mnist(raw, prefix="emnist-letters-", classes=5, first=1)
    (raw / "emnist-letters-mapping.txt").write_text("1 65 97\n2 66 98\n3 67 99\n4 68 100\n5 69 101\n")
    assert "digits was taken" in open_dataset(raw).notes[0]
    letters = open_dataset(raw, choices=Choices(target="letters"))
    assert letters.classes == ("A", "B", "C", "D", "E")
    assert letters.name == "EMNIST letters"
    assert open_dataset(letters.root, choices=letters.choices).classes == letters.classes
    with pytest.raises(BadRequest, match="byclass"):
        open_dataset(raw, choices=Choices(target="byclass"))


def test_qmnist_says_more_than_the_class(tmp_path: Path) -> None:
    raw = tmp_path / "QMNIST" / "raw"
    raw.mkdir(parents=True)
    (raw / "qmnist-train-images-idx3-ubyte").write_bytes(idx_bytes(digits(6)))
    labels = np.array([[i % 3, 7, 8] for i in range(6)], dtype=">i4")
    (raw / "qmnist-train-labels-idx2-int").write_bytes(idx_bytes(labels))
    assert open_dataset(raw).labels.tolist() == [0, 1, 2, 0, 1, 2]


def test_several_datasets_are_not_mixed(tmp_path: Path) -> None:
    mnist(tmp_path / "MNIST" / "raw")
    mnist(tmp_path / "KMNIST" / "raw")
    with pytest.raises(BadRequest, match="KMNIST, MNIST"):
        open_dataset(tmp_path)


def test_labels_that_are_absent_or_do_not_fit(tmp_path: Path) -> None:
    raw = mnist(tmp_path / "MNIST" / "raw")
    (raw / "t10k-labels-idx1-ubyte").unlink()
    (raw / "train-labels-idx1-ubyte").write_bytes(idx_bytes(np.zeros(19, dtype=np.uint8)))
    dataset = open_dataset(raw)
    assert not dataset.labelled
    assert any("19 labels for 20" in problem.reason for problem in dataset.problems)


def test_a_file_that_is_cut_off_is_listed(tmp_path: Path) -> None:
    raw = mnist(tmp_path / "MNIST" / "raw")
    path = raw / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-1])
    dataset = open_dataset(raw)
    assert len(dataset) == 10
    assert "instead of" in dataset.problems[0].reason
    (raw / "t10k-images-idx3-ubyte").write_bytes(b"")
    with pytest.raises(BadArchive, match="None of the files"):
        open_dataset(raw)


@pytest.mark.parametrize(
    "content", [b"", b"\0\0", b"\0\0\x08\x00", b"\0\0\x08\xff" + b"\1" * 99, b"\0\0\x0d\x01\0\0\0\1", b"PK\3\4"]
)
def test_headers_that_are_none(tmp_path: Path, content: bytes) -> None:
    raw = mnist(tmp_path / "MNIST" / "raw")
    (raw / "train-images-idx3-ubyte").write_bytes(content)
    assert len(open_dataset(raw)) == 10


def test_damaged_and_growing_packed_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = mnist(tmp_path / "MNIST" / "raw", packed=True)
    path = raw / "train-images-idx3-ubyte.gz"
    good = path.read_bytes()
    bomb = zlib.compressobj(9, zlib.DEFLATED, 31)
    announced = struct.pack(">BBBB3I", 0, 0, 8, 3, 1, 28, 28)
    endless = bomb.compress(announced + bytes(10_000_000)) + bomb.flush()
    for content in (good[:50], good[:-4], b"", b"no gzip", endless, gzip.compress(b"\0\0\x08\x03")):
        path.write_bytes(content)
        with pytest.raises(BadArchive):
            open_dataset(raw, store=tmp_path / "store")
        assert [one.name for one in (tmp_path / "store").iterdir()] == [".locks"]
    path.write_bytes(gzip.compress(struct.pack(">BBBB3I", 0, 0, 8, 3, 4 * 10**9, 4 * 10**9, 28)))
    with pytest.raises(DiskFull):
        open_dataset(raw, store=tmp_path / "store")
    path.write_bytes(good)
    monkeypatch.setattr(unpacking, "SPARE_BYTES", 0)
    assert len(open_dataset(raw, store=tmp_path / "store")) == 30


def test_pictures_of_files_that_changed_or_are_gone(tmp_path: Path) -> None:
    raw = mnist(tmp_path / "MNIST" / "raw")
    names = open_dataset(raw).images.tolist()
    (raw / "t10k-images-idx3-ubyte").unlink()
    pictures = idx.IdxPictures(raw)
    with pytest.raises(UnreadableImage, match="not there"):
        pictures.read(names[0])
    with pytest.raises(UnreadableImage, match="fewer"):
        pictures.read("train-images-idx3-ubyte#000020")
    assert pictures.missing(names) == names[0]
    assert pictures.missing(names[10:]) is None


def test_the_same_files_under_another_name_are_called_by_it(tmp_path: Path) -> None:
    first = open_dataset(mnist(tmp_path / "KMNIST" / "raw", packed=True), store=tmp_path / "store")
    second = open_dataset(mnist(tmp_path / "mine" / "raw", packed=True), store=tmp_path / "store")
    assert (first.name, first.classes[0]) == ("KMNIST", "o")
    assert (second.name, second.classes[0]) == ("mine", "0")
    assert shades(second) == shades(first)
    again = open_dataset(second.root, choices=second.choices)
    assert (again.classes, again.fingerprint) == (second.classes, second.fingerprint)


def test_pipes_and_folders_with_the_names_of_files(tmp_path: Path) -> None:
    for make in (os.mkfifo, Path.mkdir):
        root = tmp_path / make.__name__
        root.mkdir()
        make(root / "train-images-idx3-ubyte")
        assert not idx.FORMAT.recognises(root)
        with pytest.raises(EmptyDataset, match="MNIST family"):
            open_dataset(root, choices=Choices(format="idx"))


def test_a_file_of_another_kind(tmp_path: Path) -> None:
    (tmp_path / "x.bin").write_bytes(b"x")
    with pytest.raises(EmptyDataset, match="MNIST family"):
        open_dataset(tmp_path / "x.bin", choices=Choices(format="idx"))
