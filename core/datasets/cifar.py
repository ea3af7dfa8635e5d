"""CIFAR-10 and CIFAR-100 as downloaded: the python version (never unpickled, see `pickled`) and the binary one.

Krizhevsky 2009. Pictures are 32 x 32, stored as 1,024 red, green and blue bytes one colour after another. They are read
where they lie: 3,072 bytes for each.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.datasets.bundles import Coded, Said, assemble, bundle_of, in_order, place_in
from core.datasets.choices import Choices, dataset_folder
from core.datasets.dataset import Dataset, Problem
from core.datasets.format import Format
from core.datasets.images import UnreadableImage
from core.datasets.pickled import Span, StoredArray, read_plain
from core.datasets.pictures import Picture
from core.datasets.splits import TEST, TRAIN
from core.errors import BadArchive, EmptyDataset
from core.progress import Progress

SIDE = 32
PIXELS = 3 * SIDE * SIDE
MOST_NAMES = 2**20

_TEN = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch")
_HUNDRED = ("train", "test")
# folder that torchvision unpacks into -> files, and the file of the names beside them
_KINDS = {
    "cifar-10-batches-py": (_TEN, "batches.meta"),
    "cifar-10-batches-bin": (tuple(f"{name}.bin" for name in _TEN), "batches.meta.txt"),
    "cifar-100-python": (_HUNDRED, "meta"),
    "cifar-100-binary": (tuple(f"{name}.bin" for name in _HUNDRED), "fine_label_names.txt"),
}


@dataclass(frozen=True, eq=False)
class _Batch:
    """One file. labels: what it says of each picture, by name. offset, step: where the first picture is in the file,
    and how far the next is from it."""

    count: int
    offset: int
    step: int
    labels: dict[str, np.ndarray]


class CifarPictures:
    """Reads single pictures; see `core.datasets.pictures.Pictures`."""

    def __init__(self, root: Path) -> None:
        self._folder = dataset_folder(root)
        self._lock = threading.Lock()
        self._batches: dict[str, tuple[_Batch, int]] = {}

    def read(self, name: str) -> Picture:
        file, place = place_in(name)
        try:
            with self._lock:
                if file not in self._batches:
                    batch = _batch(self._folder / file)
                    self._batches[file] = batch, os.open(self._folder / file, os.O_RDONLY)
            batch, descriptor = self._batches[file]
            if place >= batch.count:
                raise UnreadableImage("the file has fewer pictures than it had")
            content = os.pread(descriptor, PIXELS, batch.offset + place * batch.step)
        except FileNotFoundError:
            raise UnreadableImage("the file is not there any more") from None
        except (OSError, BadArchive) as error:
            raise UnreadableImage(f"{file} is damaged: {error}") from error
        if len(content) < PIXELS:
            raise UnreadableImage("the file is shorter than it was")
        return np.ascontiguousarray(np.frombuffer(content, dtype=np.uint8).reshape(3, SIDE, SIDE).transpose(1, 2, 0))

    def file(self, name: str) -> Path:
        return self._folder / place_in(name)[0]

    def missing(self, names: list[str]) -> str | None:
        files = {name: self.file(name) for name in {place_in(one)[0] + "#0" for one in names}}
        gone = {name.rpartition("#")[0] for name, file in files.items() if not file.is_file()}
        return next((name for name in names if place_in(name)[0] in gone), None)

    def __del__(self) -> None:
        for _, descriptor in self.__dict__.get("_batches", {}).values():
            os.close(descriptor)


def _found(path: Path) -> tuple[str, str] | None:
    """The kind, and the folder below `path` ("" for itself); None where there is no CIFAR."""
    for kind, (files, _) in _KINDS.items():
        for inside in ("", kind):
            if all((path / inside / file).is_file() for file in (files[0], files[-1])):
                if kind == "cifar-100-python" and not (path / inside / "meta").is_file():
                    # any two files could be called train and test
                    continue
                return kind, inside
    return None


def _recognises(path: Path) -> bool:
    return path.is_dir() and _found(path) is not None


def _batch(path: Path) -> _Batch:
    """Raises `BadArchive` and `OSError`."""
    if path.suffix == ".bin":
        return _binary_batch(path)
    facts = read_plain(path)
    data = facts.get("data")
    if not isinstance(data, StoredArray) or data.dtype not in ("u1", "uint8", "|u1"):
        raise _odd(path, "its pictures are not an array of bytes")
    if len(data.shape) != 2 or data.shape[1] != PIXELS or not isinstance(data.data, Span):
        raise _odd(path, f"its pictures have the shape {data.shape}, not (n, {PIXELS:,})")
    count = data.shape[0]
    if data.data.length != count * PIXELS:
        raise _odd(path, f"its {count:,} pictures take {data.data.length:,} bytes")
    labels = {}
    for key in ("labels", "fine_labels", "coarse_labels"):
        values = facts.get(key)
        if isinstance(values, list) and len(values) == count and all(isinstance(value, int) for value in values):
            labels[key] = np.clip(np.array(values, dtype=object), -1, 1000).astype(np.int64)
    return _Batch(count, data.data.offset, PIXELS, labels)


def _binary_batch(path: Path) -> _Batch:
    keys = ("coarse_labels", "fine_labels") if path.stem in _HUNDRED else ("labels",)
    step = len(keys) + PIXELS
    size = path.stat().st_size
    if size % step or not size:
        raise _odd(path, f"its {size:,} bytes are not a number of pictures of {step:,}")
    rows = np.memmap(path, np.uint8, mode="r", shape=(size // step, step))
    return _Batch(size // step, len(keys), step, {key: rows[:, i].astype(np.int64) for i, key in enumerate(keys)})


def _odd(path: Path, reason: str) -> BadArchive:
    return BadArchive(f"{path.name} is not a file of CIFAR: {reason}.", next_step="Download it again.")


def _read(path: Path, *, seed: int, choices: Choices, store: Path | None, progress: Progress) -> Dataset:
    found = _found(path)
    if found is None:
        raise EmptyDataset(
            f"{path} does not hold CIFAR as it is distributed.", next_step=f"It has {', '.join(_TEN)}, or .bin files."
        )
    kind, inside = found
    files, _ = _KINDS[kind]
    folder = path / inside
    problems: list[Problem] = []
    batches: dict[str, _Batch] = {}
    for done, file in enumerate(files):
        name = f"{inside}/{file}" if inside else file
        progress(done, len(files), f"Reading {file}")
        try:
            batches[name] = _batch(folder / file)
        except FileNotFoundError:
            problems.append(Problem(name, "the file is not there"))
        except OSError as error:
            problems.append(Problem(name, f"cannot be opened: {error.strerror}"))
        except BadArchive as error:
            problems.append(Problem(name, error.detail))
    if not batches:
        raise BadArchive(
            f"None of the files of {path} can be read ({problems[0].reason})", next_step="Download CIFAR again."
        )
    bundles = in_order([bundle_of(name, batch.count, path / name) for name, batch in batches.items()])
    ordered = [batches[bundle.name] for bundle in bundles]
    splits = np.concatenate(
        [
            np.full(batch.count, TEST if Path(bundle.name).stem.startswith("test") else TRAIN, dtype=np.int8)
            for bundle, batch in zip(bundles, ordered, strict=True)
        ]
    )
    key = "fine_labels" if "100" in kind else "labels"
    label = _coded("label", key, ordered, _names(folder, kind, coarse=False))
    others = []
    if "100" in kind:
        others.append(_coded("superclass", "coarse_labels", ordered, _names(folder, kind, coarse=True)))
    said = Said(bundles, label, others, splits)
    name = "CIFAR-100" if "100" in kind else "CIFAR-10"
    return assemble(path, FORMAT.name, said, problems, seed=seed, choices=choices, name=name)


def _coded(name: str, key: str, batches: list[_Batch], names: tuple[str, ...]) -> Coded:
    codes = np.concatenate([batch.labels.get(key, np.full(batch.count, -1, dtype=np.int64)) for batch in batches])
    if not names:
        names = tuple(map(str, range(int(codes.max(initial=0)) + 1)))
    return Coded(name, names, np.where((codes >= 0) & (codes < len(names)), codes, -1))


def _names(folder: Path, kind: str, *, coarse: bool) -> tuple[str, ...]:
    """Names of the classes from the file beside; () where it is not there or damaged."""
    file = _KINDS[kind][1]
    try:
        if kind.endswith(("-bin", "-binary")):
            path = folder / (file.replace("fine", "coarse") if coarse else file)
            with open(path, "rb") as source:
                lines = source.read(MOST_NAMES).decode("utf-8", "replace").splitlines()
            names = [line.strip() for line in lines if line.strip()]
        else:
            key = "label_names" if "10-" in kind else ("coarse_label_names" if coarse else "fine_label_names")
            names = read_plain(folder / file).get(key, [])
    except (OSError, BadArchive):
        return ()
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
        return ()
    return tuple(names)


FORMAT = Format(
    name="cifar",
    title="CIFAR-10 or CIFAR-100 as downloaded",
    layout="cifar-10-batches-py/data_batch_1 ... test_batch\n(or the binary version, or cifar-10-python.tar.gz)",
    recognises=_recognises,
    read=_read,
    choosing=("target",),
)
