"""Datasets that are damaged or made to do harm, through `open_dataset` and `look`: refused with a sentence, or read
with a list of what was left out."""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import socket
import struct
import tarfile
import unicodedata
import zipfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from core.activations.extraction import analyse
from core.classifiers.classifier import load_classifier
from core.datasets import Dataset, archives, open_dataset
from core.errors import (
    BadArchive,
    BadMetadata,
    EmptyDataset,
    MidbandError,
    OneClass,
    PathNotFound,
)
from core.workspace import open_workspace

Place = Any
Command = Callable[..., tuple[int, dict[str, Any], str]]
Make = Callable[[Place], Path]


@dataclass(frozen=True)
class Refused:
    """says: in the detail. advises: in the next step."""

    make: Make
    kind: type[MidbandError]
    says: str
    advises: str


@dataclass(frozen=True)
class Read:
    """images: how many are in it. left_out: image to the beginning of the reason. classes: None for any."""

    make: Make
    images: int
    left_out: dict[str, str] = field(default_factory=dict)
    classes: tuple[str, ...] | None = ("cat", "dog")


CASES: dict[str, Refused | Read] = {}


def refused(name: str, kind: type[MidbandError], says: str, advises: str) -> Callable[[Make], Make]:
    def add(make: Make) -> Make:
        CASES[name] = Refused(make, kind, says, advises)
        return make

    return add


def read(
    name: str, images: int, left_out: dict[str, str] | None = None, classes: tuple[str, ...] | None = ("cat", "dog")
) -> Callable[[Make], Make]:
    def add(make: Make) -> Make:
        CASES[name] = Read(make, images, left_out or {}, classes)
        return make

    return add


def png() -> bytes:
    target = io.BytesIO()
    Image.new("RGB", (4, 4), "green").save(target, format="PNG")
    return target.getvalue()


PETS = {f"pets/{name}/{index}.png": png() for name in ("cat", "dog") for index in range(3)}


def zipped(place: Place, entries: dict[str, bytes], name: str = "pets.zip") -> Path:
    path = place.given / name
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for entry, content in entries.items():
            archive.writestr(entry, content)
    return path


def table(place: Place, text: str | bytes, name: str = "metadata.csv", images: int = 3) -> Path:
    """A folder with pictures 0.png ... and a table."""
    for index in range(images):
        place.picture(f"{index}.png")
    (place.given / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return place.given


# folders


@refused("a path that is not there", PathNotFound, "There is no file or folder", "exists, what follows it does not")
def _(place: Place) -> Path:
    return place.given / "nothing/here"


@refused("an empty folder", EmptyDataset, "is empty", "a folder of images per class")
def _(place: Place) -> Path:
    return place.given


@refused("class folders without images", EmptyDataset, "not an image file", "one of the known forms")
def _(place: Place) -> Path:
    for name in ("cat", "dog"):
        (place.given / name).mkdir()
        (place.given / name / "notes.txt").write_text("later")
    return place.given


@read("one class folder without images", 6)
def _(place: Place) -> Path:
    (place.classes() / "bird").mkdir()
    return place.given


@refused("one class only", OneClass, "cat", "second class")
def _(place: Place) -> Path:
    for index in range(3):
        place.picture(f"cat/{index}.png")
    return place.given


@read("a link out of the folder", 6, {"cat/link.png": "a link that leaves the dataset folder"})
def _(place: Place) -> Path:
    (place.classes() / "cat/link.png").symlink_to(place.secret / "secret.png")
    return place.given


@read("a folder that is a link out of it", 6, {"cat/more": "a link to a folder", "bird": "a link to a folder"})
def _(place: Place) -> Path:
    place.classes()
    (place.given / "cat/more").symlink_to(place.secret)
    (place.given / "bird").symlink_to(place.secret)
    return place.given


@read(
    "links in circles",
    6,
    {
        "cat/up": "a link to a folder",
        "cat/self.png": "cannot be looked at|a broken link",
        "cat/to.png": "cannot be looked at|a broken link",
        "cat/fro.png": "cannot be looked at|a broken link",
        "cat/gone.png": "a broken link",
    },
)
def _(place: Place) -> Path:
    folder = place.classes() / "cat"
    (folder / "up").symlink_to(place.given)
    (folder / "self.png").symlink_to("self.png")
    (folder / "to.png").symlink_to("fro.png")
    (folder / "fro.png").symlink_to("to.png")
    (folder / "gone.png").symlink_to("nothing.png")
    return place.given


@read("pipes and sockets", 6, {"cat/pipe.png": "not a regular file", "dog/socket.png": "not a regular file"})
def _(place: Place) -> Path:
    place.classes()
    os.mkfifo(place.given / "cat/pipe.png")
    here = os.getcwd()
    os.chdir(place.given / "dog")
    try:
        # a path of 100 letters is too long for one
        with socket.socket(socket.AF_UNIX) as made:
            made.bind("socket.png")
    finally:
        os.chdir(here)
    return place.given


PIPES = (
    *("metadata.csv", "labels.csv", "train.parquet", "list_attr_celeba.txt", "train-images-idx3-ubyte"),
    *("images.npy", "digits.npz", "data_batch_1", "test_batch"),
)


@read("tables and files of many pictures that are pipes", 6, dict.fromkeys(PIPES, "not a regular file"))
def _(place: Place) -> Path:
    place.classes()
    for name in PIPES:
        os.mkfifo(place.given / name)
    return place.given


@refused("a pipe", PathNotFound, "neither a folder nor a file", "Give the folder")
def _(place: Place) -> Path:
    os.mkfifo(place.given / "pipe")
    return place.given / "pipe"


@refused("a device", PathNotFound, "/dev/zero is neither", "Give the folder")
def _(place: Place) -> Path:
    return Path("/dev/zero")


@read("names of 255 bytes, of every script, with lines and marks", 12)
def _(place: Place) -> Path:
    place.classes()
    for name in (
        "x" * 251,
        "ü" * 125,
        "🐈‍⬛" * 20,
        "\u202egnp.exe",
        "a\nb\tc",
        "<script>alert(1)</script>".replace("/", "∕"),
    ):
        place.picture(f"cat/{name}.png")
    return place.given


@read("names that are no text", 6, {"cat/\ufffd\ufffd.png": "its name is not valid UTF-8"})
def _(place: Place) -> Path:
    folder = os.fsencode(place.classes() / "cat")
    try:
        with open(folder + b"/\xff\xfe.png", "wb") as made:
            made.write(png())
    except OSError:
        pytest.skip("this disk has no such names")
    return place.given


@read("names that differ by case or by how an accent is written", 10)
def _(place: Place) -> Path:
    place.classes()
    for name in ("A", "a", unicodedata.normalize("NFC", "é"), unicodedata.normalize("NFD", "é")):
        place.picture(f"dog/{name}.png")
    if len(list((place.given / "dog").iterdir())) < 7:
        pytest.skip("this disk takes them for the same")
    return place.given


@read("folders in folders in folders", 7)
def _(place: Place) -> Path:
    place.classes()
    place.picture("cat/" + "d/" * 300 + "deep.png")
    return place.given


@read("empty files", 8)
def _(place: Place) -> Path:
    # listed as unreadable by the pass: no picture is opened here
    for name in ("cat/empty.png", "dog/empty.jpg"):
        (place.classes() / name).write_bytes(b"")
    return place.given


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read(place: Place) -> None:
    closed = place.classes() / "dog"
    closed.chmod(0)
    try:
        with pytest.raises(MidbandError) as caught:
            open_dataset(closed)
        assert "permissions" in caught.value.next_step
        place.picture("bird/1.png")
        assert {problem.image: problem.reason for problem in open_dataset(place.given).problems} == {
            "dog": "cannot be opened: Permission denied"
        }
    finally:
        closed.chmod(0o700)


# tables


@read("a table with a mark in front, semicolons and lines of Windows", 3, classes=("0", "1"))
def _(place: Place) -> Path:
    return table(place, b"\xef\xbb\xbfimg_filename;y;split\r\n0.png;0;0\r\n1.png;1;1\r\n2.png;1;2\r\n")


@read("a table in UTF-16", 3, classes=("0", "1"))
def _(place: Place) -> Path:
    return table(place, "img_filename\ty\n0.png\t0\n1.png\t1\n2.png\t1\n".encode("utf-16"))


@refused("a table in another encoding", BadMetadata, "is not UTF-8 text", "in UTF-8")
def _(place: Place) -> Path:
    return table(place, "img_filename,y\n0.png,Kätzchen\n1.png,Hund\n".encode("latin-1"))


@refused("a table with zeros in it", BadMetadata, "binary", "CSV")
def _(place: Place) -> Path:
    return table(place, b"img_filename,y\n0.png,\0\n1.png,1\n")


@refused("a table without rows", EmptyDataset, "no rows", "a row per image")
def _(place: Place) -> Path:
    return table(place, "img_filename,y\n", images=0)


@refused("a table that is empty", BadMetadata, "empty", "header")
def _(place: Place) -> Path:
    return table(place, b"", images=0)


@read("a table without labels", 3, classes=())
def _(place: Place) -> Path:
    return table(place, "img_filename,split\n0.png,0\n1.png,1\n2.png,2\n")


@refused("a table without a column of images", BadMetadata, "img_filename", "img_filename")
def _(place: Place) -> Path:
    return table(place, "y,split\n0,0\n1,1\n", images=0)


@read(
    "rows that are absent, twice there, blank, or lead elsewhere",
    3,
    {
        "1.png": "listed more than once",
        "absent.png": "the file is not there",
        "(blank)": "no file name",
        "../secret/secret.png": "its path leaves the dataset folder",
        "/etc/passwd": "its path leaves the dataset folder",
        "a/../../secret/secret.png": "its path leaves the dataset folder",
        "metadata.csv": "not an image file",
        "./2.png": "listed more than once",
    },
    classes=("0", "1"),
)
def _(place: Place) -> Path:
    names = (
        *("0.png", "1.png", "2.png", "1.png", "absent.png", "", "../secret/secret.png", "/etc/passwd"),
        *("a/../../secret/secret.png", "metadata.csv", "./2.png"),
    )
    return table(place, "img_filename,y\n" + "".join(f"{name},{i % 2}\n" for i, name in enumerate(names)))


@read("rows that are too short", 3, classes=("0", "1"))
def _(place: Place) -> Path:
    return table(place, "img_filename,y,place\n0.png,0\n1.png,1,land\n2.png,1\n")


@refused("rows that are too long", BadMetadata, "line 4 has 5 cells, the header 3", "double quotes")
def _(place: Place) -> Path:
    return table(place, "img_filename,y,place\n0.png,0\n1.png,1,land\n2.png,1,water,more,and more\n")


@refused("a quote that is never closed", BadMetadata, "the double quote in row 4 is never closed", "double quotes")
def _(place: Place) -> Path:
    return table(place, 'img_filename,y,note\n0.png,0,a\n1.png,1,b\n2.png,1,"c\n')


@read("labels as fractions", 3, classes=("0", "1"))
def _(place: Place) -> Path:
    return table(place, "img_filename,y\n0.png,0.0\n1.png,1.00\n2.png,1\n")


@read("labels as words in several spellings", 3, classes=("Cat", "dog"))
def _(place: Place) -> Path:
    return table(place, "img_filename,y\n0.png, Cat\n1.png,dog \n2.png,dog\n")


@read("labels as truths", 3, {}, classes=("False", "True"))
def _(place: Place) -> Path:
    return table(place, "img_filename,y\n0.png,False\n1.png,True\n2.png,True\n")


@read("blank labels", 2, {"1.png": "no label in the column y"}, classes=("0", "1"))
def _(place: Place) -> Path:
    return table(place, "img_filename,y\n0.png,0\n1.png,\n2.png,1\n")


@refused("labels that are measurements", BadMetadata, "measurements such as", "the name of the class")
def _(place: Place) -> Path:
    return table(place, "img_filename,y\n0.png,0.25\n1.png,0.5\n2.png,0.75\n")


@read("three thousand columns", 3, classes=("0", "1"))
def _(place: Place) -> Path:
    more = [f"c{i}" for i in range(3_000)]
    head = ",".join(["img_filename", "y", *more])
    return table(place, head + "\n" + "".join(f"{i}.png,{i % 2}" + ",1" * len(more) + "\n" for i in range(3)))


@read("a cell of five megabytes", 3, classes=("0", "1"))
def _(place: Place) -> Path:
    return table(place, "img_filename,y,note\n0.png,0,a\n1.png,1," + "x" * 5_000_000 + "\n2.png,1,b\n")


@read("names in another case, of which there are two", 2, {"PHOTO.png": "the file is not there"}, classes=None)
def _(place: Place) -> Path:
    for name in ("Photo.png", "photo.png", "other.png"):
        place.picture(name)
    if len(list(place.given.iterdir())) < 3:
        pytest.skip("this disk takes them for the same")
    return table(place, "file,label\nPHOTO.png,a\nphoto.png,b\nother.png,a\n", "labels.csv", images=0)


@refused("JSON lines of which one is cut off", BadMetadata, "Line 2 of", "a line per image")
def _(place: Place) -> Path:
    return table(place, '{"file_name": "0.png", "label": 0}\n{"file_name": "1.png', "metadata.jsonl") / "metadata.jsonl"


@read("JSON lines that lead out of the folder", 2, {"../secret/secret.png": "its path leaves"}, classes=("a", "b"))
def _(place: Place) -> Path:
    names = {"0.png": "a", "1.png": "b", "../secret/secret.png": "a"}
    rows = (json.dumps({"file_name": name, "label": label}) for name, label in names.items())
    return table(place, "\n".join(rows), "metadata.jsonl")


@refused("JSON lines of which each has a key of its own", BadMetadata, "too many different names", "passed over")
def _(place: Place) -> Path:
    rows = (json.dumps({"file_name": f"{i % 3}.png", "label": i % 2, f"k{i}": 1}) for i in range(20_000))
    return table(place, "\n".join(rows), "metadata.jsonl") / "metadata.jsonl"


@refused("JSON lines of few keys each, out of many", BadMetadata, "too many different names", "passed over")
def _(place: Place) -> Path:
    rows = (json.dumps({"file_name": f"{i % 3}.png", "label": i % 2, f"k{i % 1500}": 1}) for i in range(20_000))
    return table(place, "\n".join(rows), "metadata.jsonl") / "metadata.jsonl"


# Arrow


def arrow(place: Place, name: str, count: int = 4, behind: int = 0, packing: str | None = None) -> Path:
    """A folder as save_to_disk leaves it, with one file. behind: zeros that each picture ends in."""
    path = place.given / name
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    pictures = pa.array([{"bytes": png() + bytes(behind), "path": "../../secret/secret.png"}] * count, kind)
    rows = pa.table({"image": pictures, "label": ["cat", "dog"] * (count // 2)})
    options = pa.ipc.IpcWriteOptions(compression=packing)
    with pa.OSFile(str(path), "wb") as target, pa.ipc.new_stream(target, rows.schema, options=options) as writer:
        writer.write_table(rows)
    (path.parent / "state.json").write_text(json.dumps({"_data_files": [{"filename": path.name}]}))
    return path


@refused("an Arrow file that is cut off", BadMetadata, "damaged", "Copy it again")
def _(place: Place) -> Path:
    path = arrow(place, "data-00000-of-00001.arrow")
    path.write_bytes(path.read_bytes()[:-300])
    return place.given


@refused("a packed Arrow file that would fill the memory", BadMetadata, "would be unpacked to", "Copy it again")
def _(place: Place) -> Path:
    arrow(place, "data-00000-of-00001.arrow", behind=20_000_000, packing="zstd")
    return place.given


@read(
    "an Arrow file without bytes beside a whole one",
    4,
    {"train/data-00000-of-00001.arrow": "damaged", "test/gone.arrow": "state.json names it"},
)
def _(place: Place) -> Path:
    arrow(place, "train/data-00000-of-00001.arrow").write_bytes(b"")
    arrow(place, "test/data-00000-of-00001.arrow")
    state = {"_data_files": [{"filename": "data-00000-of-00001.arrow"}, {"filename": "gone.arrow"}]}
    (place.given / "test/state.json").write_text(json.dumps(state))
    return place.given


@read("an Arrow file whose list of files leads out", 4, {"../../secret/x.arrow": "state.json names it"}, classes=None)
def _(place: Place) -> Path:
    arrow(place, "data.arrow")
    state = {"_data_files": [{"filename": "data.arrow"}, {"filename": "../../secret/x.arrow"}]}
    (place.given / "state.json").write_text(json.dumps(state))
    return place.given


# archives


@read(
    "a zip with paths that leave it",
    6,
    dict.fromkeys(["../evil.png", "pets/../../evil.png", "/evil.png", "C:/evil.png"], "its path leaves the archive"),
)
def _(place: Place) -> Path:
    paths = ("../evil.png", "pets/../../evil.png", "/evil.png", "C:/evil.png")
    return zipped(place, {**PETS, **dict.fromkeys(paths, png())})


@refused("a zip bomb: one piece that a thousand entries share", BadArchive, "100 times its size", "unpack it by hand")
def _(place: Place) -> Path:
    path = place.given / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/0.png", bytes(10 * 2**20))
        first = archive.filelist[0]
        for index in range(1, 1000):
            shared = zipfile.ZipInfo(f"a/{index}.png")
            for name in ("CRC", "compress_size", "file_size", "header_offset", "compress_type", "external_attr"):
                setattr(shared, name, getattr(first, name))
            archive.filelist.append(shared)
    return path


@refused("a zip bomb in zips", BadArchive, "100 times its size", "unpack it by hand")
def _(place: Place) -> Path:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("1.png", bytes(16 * 2**20))
    return zipped(place, {f"{index}.zip": inner.getvalue() for index in range(20)})


@refused("a zip in a zip in a zip and so on", EmptyDataset, "no image files", "one of the known forms")
def _(place: Place) -> Path:
    content = b""
    for _ in range(6):
        target = io.BytesIO()
        with zipfile.ZipFile(target, "w") as archive:
            archive.writestr("more.zip", content)
        content = target.getvalue()
    (place.given / "ever.zip").write_bytes(content)
    return place.given / "ever.zip"


@read(
    "a tar with devices, links and what would be written through one",
    6,
    {
        "pets/cat/device.png": "not a regular file",
        "pets/cat/pipe.png": "not a regular file",
        "pets/cat/soft.png": "a link",
        "pets/cat/hard.png": "a link",
        "pets/out": "a link",
        "out/1.txt": "not an image file",
    },
)
def _(place: Place) -> Path:
    path = place.given / "pets.tar"
    with tarfile.open(path, "w") as archive:
        for name, content in PETS.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
        for name, kind, target in (
            ("pets/cat/device.png", tarfile.BLKTYPE, ""),
            ("pets/cat/pipe.png", tarfile.FIFOTYPE, ""),
            ("pets/cat/soft.png", tarfile.SYMTYPE, str(place.secret / "secret.png")),
            ("pets/cat/hard.png", tarfile.LNKTYPE, "/etc/passwd"),
            ("pets/out", tarfile.SYMTYPE, str(place.secret)),
        ):
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = kind, target
            archive.addfile(entry)
        entry = tarfile.TarInfo("pets/out/1.txt")
        entry.size = 4
        archive.addfile(entry, io.BytesIO(b"evil"))
    return path


@refused("a zip cut off", BadArchive, "damaged or cut off", "download it again")
def _(place: Place) -> Path:
    path = zipped(place, PETS)
    path.write_bytes(path.read_bytes()[:-30])
    return path


@refused("a tar.gz cut off", BadArchive, "damaged or cut off", "download it again")
def _(place: Place) -> Path:
    path = place.given / "pets.tar.gz"
    noise = np.random.default_rng(0).bytes(100_000)
    with tarfile.open(path, "w:gz") as archive:
        entry = tarfile.TarInfo("pets/cat/1.png")
        entry.size = len(noise)
        archive.addfile(entry, io.BytesIO(noise))
    path.write_bytes(path.read_bytes()[:5000])
    return path


@refused("a text that is called a zip", BadArchive, "damaged or cut off", "download it again")
def _(place: Place) -> Path:
    (place.given / "pets.zip").write_text("<!DOCTYPE html><title>404 Not Found</title>")
    return place.given / "pets.zip"


# files that hold many


@refused("arrays of Python objects", EmptyDataset, "images: an array of Python objects", "Save the pictures")
def _(place: Place) -> Path:
    content = pickle.dumps(place.trap)
    place.works(content)
    objects = np.empty(3, dtype=object)
    objects[:] = [place.trap] * 3
    np.savez(place.given / "digits.npz", images=objects, labels=np.arange(3))
    return place.given / "digits.npz"


@read("arrays of which the labels are objects", 3, {"labels": "an array of Python objects"}, classes=())
def _(place: Place) -> Path:
    objects = np.empty(3, dtype=object)
    objects[:] = [place.trap] * 3
    np.savez(place.given / "digits.npz", images=np.zeros((3, 4, 4), np.uint8), labels=objects)
    return place.given / "digits.npz"


@read("arrays that disagree about how many there are", 10, {"labels": "it has 9 entries for 10 pictures"}, classes=())
def _(place: Place) -> Path:
    np.savez(place.given / "digits.npz", images=np.zeros((10, 4, 4), np.uint8), labels=np.arange(9))
    return place.given / "digits.npz"


@refused("an array that says it is larger than any disk", EmptyDataset, "no image files", "one of the known forms")
def _(place: Place) -> Path:
    target = io.BytesIO()
    header = {"descr": "|u1", "fortran_order": False, "shape": (2**40, 2**20, 2**3)}
    np.lib.format.write_array_header_1_0(target, header)
    (place.given / "images.npy").write_bytes(target.getvalue())
    np.save(place.given / "labels.npy", np.arange(3))
    return place.given


@refused("Parquet with another beginning", BadMetadata, "not a Parquet file that can be read", "CSV")
def _(place: Place) -> Path:
    path = parquet(place, [png()] * 4)
    content = path.read_bytes()
    path.write_bytes(b"NOPE" + content[4:-4] + b"NOPE")
    return path


@read("Parquet with pictures that are none, and with nothing", 6)
def _(place: Place) -> Path:
    # listed as unreadable by the pass, see below
    return parquet(place, [png(), b"", b"not a picture", None, png()[:40], png()])


@read("Parquet that only names its pictures, elsewhere", 2)
def _(place: Place) -> Path:
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    cells = [{"bytes": None, "path": path} for path in ("../secret/secret.png", "/etc/passwd")]
    pq.write_table(pa.table({"image": pa.array(cells, kind), "label": ["cat", "dog"]}), place.given / "train.parquet")
    return place.given / "train.parquet"


def parquet(place: Place, pictures: list[bytes | None]) -> Path:
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    cells = [None if one is None else {"bytes": one, "path": None} for one in pictures]
    labels = ["dog" if index % 2 else "cat" for index in range(len(cells))]
    path: Path = place.given / "train.parquet"
    pq.write_table(pa.table({"image": pa.array(cells, kind), "label": labels}), path)
    return path


def idx(values: np.ndarray, count: int | None = None) -> bytes:
    shape = (values.shape[0] if count is None else count, *values.shape[1:])
    return bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *shape) + values.tobytes()


@refused("IDX that says it has more pictures than it has", BadArchive, "cut off or damaged", "Download")
def _(place: Place) -> Path:
    (place.given / "train-images-idx3-ubyte").write_bytes(idx(np.zeros((5, 4, 4), np.uint8), 2**31))
    (place.given / "train-labels-idx1-ubyte").write_bytes(idx(np.arange(5, dtype=np.uint8)))
    return place.given


@refused("IDX, packed, that unpacks to more than it says", BadArchive, "damaged", "Download")
def _(place: Place) -> Path:
    content = idx(np.zeros((5, 4, 4), np.uint8)) + bytes(50 * 2**20)
    (place.given / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(content))
    (place.given / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(np.arange(5, dtype=np.uint8))))
    return place.given


@refused("CIFAR that is a harmful pickle", BadArchive, "mkdir", "Download")
def _(place: Place) -> Path:
    folder = place.given / "cifar-10-batches-py"
    folder.mkdir()
    content = pickle.dumps({b"data": place.trap, b"labels": [1]})
    place.works(content)
    for name in (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch", "batches.meta"):
        (folder / name).write_bytes(content)
    return place.given


@pytest.mark.parametrize("name", CASES)
def test_a_dataset_is_refused_with_a_sentence_or_read_with_a_list(
    name: str,
    place: Place,
    command: Command,
    bounds: Callable[[], AbstractContextManager[None]],
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # otherwise gigabytes would have to be written before the limit is met
    monkeypatch.setattr(archives, "ALWAYS_ALLOWED", 32 * 2**20)
    case = CASES[name]
    path = case.make(place)
    before = listed(place.given)
    look = ("look", "--data", path, "--workspace", place.workspace)
    if isinstance(case, Refused):
        problem = request.getfixturevalue("refused")(
            case.kind, lambda: open_dataset(path, store=place.workspace / "datasets")
        )
        assert any(says in problem.detail for says in case.says.split("|")), problem
        assert case.advises in problem.next_step, problem
        code, said, _ = command(*look)
        assert (code, said) == (2, problem.to_dict())
    else:
        with bounds():
            dataset = open_dataset(path, store=place.workspace / "datasets")
        check(dataset, case)
        code, said, _ = command(*look)
        assert code == 0
        assert said["images"] == case.images
        assert said["problems"] == [one.to_dict() for one in dataset.problems]
    assert listed(place.given) == before


def test_parquet_with_pictures_that_are_none_is_analysed_without_them(
    place: Place, model: Path, bounds: Callable[[], AbstractContextManager[None]]
) -> None:
    path = parquet(place, [png(), b"", b"not a picture", None, png()[:40], png()])
    with bounds():
        found = analyse(open_workspace(place.workspace), open_dataset(path), load_classifier(model))
    assert found.images.tolist() == ["train.parquet#000000", "train.parquet#000005"]
    assert {problem.image[-1]: problem.reason.partition(":")[0] for problem in found.skipped} == {
        "1": "the file is empty",
        "2": "not an image of a known kind",
        "3": "the table holds no picture for it",
        "4": "not an image of a known kind",
    }


def test_nothing_outside_of_a_parquet_files_folder_is_read(
    place: Place, model: Path, request: pytest.FixtureRequest
) -> None:
    path = CASES["Parquet that only names its pictures, elsewhere"].make(place)
    problem = request.getfixturevalue("refused")(
        EmptyDataset, lambda: analyse(open_workspace(place.workspace), open_dataset(path), load_classifier(model))
    )
    assert "no such file lies beside it" in problem.detail


def check(dataset: Dataset, case: Read) -> None:
    assert len(dataset) == case.images
    if case.classes is not None:
        assert dataset.classes == case.classes
    reasons = {problem.image: problem.reason for problem in dataset.problems}
    for image, reason in case.left_out.items():
        assert any(reasons[image].startswith(one) for one in reason.split("|")), reasons
    for problem in dataset.problems:
        assert problem.image.encode("utf-8")
        assert problem.reason.isprintable()


def listed(folder: Path) -> dict[str, int]:
    return {str(path): path.lstat().st_size for path in sorted(folder.rglob("*"))}
