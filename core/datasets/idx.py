"""The MNIST family as downloaded: MNIST, FashionMNIST, KMNIST, EMNIST, QMNIST in files of the IDX format.

LeCun et al. 1998. Pictures are read where they lie; files that are still compressed (`.gz`) are unpacked once.
"""

from __future__ import annotations

import gzip
import os
import re
import threading
import zlib
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np

from core.datasets.bundles import Bundle, Coded, Said, assemble, bundle_of, coded, in_order, place_in
from core.datasets.choices import Choices, dataset_folder
from core.datasets.dataset import Dataset, Problem
from core.datasets.format import Format
from core.datasets.images import UnreadableImage
from core.datasets.pictures import Picture
from core.datasets.splits import TEST, TRAIN
from core.datasets.unpacking import BLOCK, check_space, unpacked
from core.errors import BadArchive, BadRequest, EmptyDataset
from core.files import digest
from core.progress import Progress

_FILE = re.compile(
    r"(?P<prefix>[\w-]*?)(?P<part>train|t10k|test)-(?P<what>images|labels)[-.]idx(?P<sides>\d)-(?P<kind>ubyte|int)",
)
_KINDS: dict[int, np.dtype] = {0x08: np.dtype("u1"), 0x0C: np.dtype(">i4")}
MOST_NAMES = 2**20
# entries of a folder that are looked at to recognise it
GLANCE = 1000

_CLASSES = {
    "fashionmnist": (
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ),
    "kmnist": ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
}


@dataclass(frozen=True)
class _Idx:
    """What the header of a file says. offset: of its first number."""

    shape: tuple[int, ...]
    dtype: np.dtype
    offset: int

    @property
    def bytes(self) -> int:
        return self.offset + int(np.prod(self.shape, dtype=object)) * self.dtype.itemsize


class IdxPictures:
    """Reads single pictures; see `core.datasets.pictures.Pictures`."""

    def __init__(self, root: Path) -> None:
        self._folder = dataset_folder(root)
        self._lock = threading.Lock()
        self._files: dict[str, tuple[_Idx, int]] = {}

    def read(self, name: str) -> Picture:
        file, place = place_in(name)
        try:
            with self._lock:
                if file not in self._files:
                    facts = _pictures_in(self._folder / file)
                    self._files[file] = facts, os.open(self._folder / file, os.O_RDONLY)
            facts, descriptor = self._files[file]
            count, height, width = facts.shape
            if place >= count:
                raise UnreadableImage("the file has fewer pictures than it had")
            content = os.pread(descriptor, height * width, facts.offset + place * height * width)
        except FileNotFoundError:
            raise UnreadableImage("the file is not there any more") from None
        except (OSError, BadArchive) as error:
            raise UnreadableImage(f"{file} is damaged: {error}") from error
        if len(content) < height * width:
            raise UnreadableImage("the file is shorter than it was")
        return np.frombuffer(content, dtype=np.uint8).reshape(height, width)

    def file(self, name: str) -> Path:
        return self._folder / place_in(name)[0]

    def missing(self, names: list[str]) -> str | None:
        gone = {bundle for bundle in {place_in(one)[0] for one in names} if not (self._folder / bundle).is_file()}
        return next((name for name in names if place_in(name)[0] in gone), None)

    def __del__(self) -> None:
        for _, descriptor in self.__dict__.get("_files", {}).values():
            os.close(descriptor)


def _header(start: bytes, name: str) -> _Idx:
    """start: the first bytes of a file. Raises `BadArchive`."""
    sides = start[3] if len(start) >= 4 else 0
    if (
        start[:2] != b"\0\0"
        or start[2:3] not in (b"\x08", b"\x0c")
        or not 1 <= sides <= 4
        or len(start) < 4 + 4 * sides
    ):
        raise BadArchive(f"{name} is no file of the IDX format.", next_step="Download it again.")
    shape = tuple(int(side) for side in np.frombuffer(start, ">u4", sides, 4))
    return _Idx(shape, _KINDS[start[2]], 4 + 4 * sides)


def _facts(path: Path) -> _Idx:
    """Raises `BadArchive` where the file is not as long as it says, and `OSError`."""
    with open(path, "rb") as source:
        found = _header(source.read(20), path.name)
    if found.bytes != path.stat().st_size:
        raise BadArchive(
            f"{path.name} has {path.stat().st_size:,} bytes instead of {found.bytes:,}: it is cut off or damaged.",
            next_step="Download it again.",
        )
    return found


def _pictures_in(path: Path) -> _Idx:
    found = _facts(path)
    if len(found.shape) != 3 or found.dtype != np.uint8 or not all(found.shape[1:]):
        raise BadArchive(f"{path.name} holds no pictures.", next_step="Download it again.")
    return found


def _bare(name: str) -> str:
    return name.removesuffix(".gz")


def _is_pictures(name: str) -> bool:
    found = _FILE.fullmatch(_bare(name))
    return found is not None and found["what"] == "images"


def _folders(path: Path) -> list[Path]:
    """Where the files are: the folder itself, its `raw`, or (a folder of several) those of the folders in it."""
    if path.is_file():
        return [path.parent] if _is_pictures(path.name) else []
    for folder in (path, path / "raw"):
        if _has_pictures(folder):
            return [folder]
    if not path.is_dir():
        return []
    with os.scandir(path) as entries:
        above = [path / entry.name for entry in islice(entries, GLANCE) if entry.is_dir(follow_symlinks=False)]
    inside = [folder / "raw" for folder in sorted(above)]
    return [folder for folder in inside if _has_pictures(folder)]


def _has_pictures(folder: Path) -> bool:
    if not folder.is_dir():
        return False
    with os.scandir(folder) as entries:
        return any(_is_pictures(entry.name) and entry.is_file() for entry in islice(entries, GLANCE))


def _recognises(path: Path) -> bool:
    try:
        return bool(_folders(path))
    except OSError:
        return False


def _read(path: Path, *, seed: int, choices: Choices, store: Path | None, progress: Progress) -> Dataset:
    folders = _folders(path)
    if not folders:
        raise EmptyDataset(
            f"{path} holds no files of the MNIST family.",
            next_step="They are called train-images-idx3-ubyte, train-labels-idx1-ubyte and so on.",
        )
    if len(folders) > 1:
        names = [folder.parent.name for folder in folders]
        raise BadRequest(
            f"{path} holds several datasets: {', '.join(names)}.", next_step=f"Open one of them: {folders[0].parent}."
        )
    folder = folders[0]
    title = folder.parent.name if folder.name == "raw" else folder.name
    packed = [p for p in _files(folder) if p.name.endswith(".gz") and not (folder / _bare(p.name)).is_file()]
    if packed:
        path = folder = _unpacked(folder, packed, store, title, progress)
    return _dataset(path, folder, title, seed, choices)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if _FILE.fullmatch(_bare(path.name)) and path.is_file())


def _dataset(root: Path, folder: Path, title: str, seed: int, choices: Choices) -> Dataset:
    problems: list[Problem] = []
    prefix, notes = _variant(folder, choices)
    below = folder.relative_to(dataset_folder(root)).as_posix()
    bundles: list[Bundle] = []
    labels: dict[str, np.ndarray] = {}
    splits: dict[str, int] = {}
    for path in _files(folder):
        found = _FILE.fullmatch(path.name)
        if found is None or found["what"] != "images" or found["prefix"] != prefix:
            continue
        name = path.name if below == "." else f"{below}/{path.name}"
        try:
            bundles.append(bundle_of(name, _pictures_in(path).shape[0], path))
        except (OSError, BadArchive) as error:
            problems.append(Problem(name, error.detail if isinstance(error, BadArchive) else str(error)))
            continue
        labels[name] = _labels(folder, found, bundles[-1].count, problems)
        splits[name] = TRAIN if found["part"] == "train" else TEST
    if not bundles:
        raise BadArchive(
            f"None of the files of {folder} can be read ({problems[0].reason if problems else 'there are none'})",
            next_step="Download the dataset again.",
        )
    bundles = in_order(bundles)
    codes = np.concatenate([labels[bundle.name] for bundle in bundles])
    label = None if (codes < 0).all() else _named(codes, folder, prefix, title)
    parts = np.repeat(np.array([splits[b.name] for b in bundles], dtype=np.int8), [b.count for b in bundles])
    said = Said(bundles, label, (), parts)
    # the target is one of several datasets, not what is said of images
    plain = replace(choices, target=None)
    name = f"{title} {prefix.strip('-').removeprefix('emnist-')}".strip()
    dataset = assemble(root, FORMAT.name, said, problems, seed=seed, choices=plain, notes=notes, name=name)
    return replace(dataset, choices=replace(dataset.choices, target=choices.target))


def _variant(folder: Path, choices: Choices) -> tuple[str, list[str]]:
    """Which of the datasets in one folder: EMNIST has six, told apart by what their names begin with."""
    found = [_FILE.fullmatch(_bare(path.name)) for path in _files(folder)]
    prefixes = sorted({match["prefix"] for match in found if match is not None and match["what"] == "images"})
    if choices.target:
        wanted = [prefix for prefix in prefixes if choices.target in (prefix, prefix.strip("-").split("-")[-1])]
        if not wanted:
            raise BadRequest(
                f"There is no {choices.target!r} in {folder}.",
                next_step=f"There are: {', '.join(prefix.strip('-').split('-')[-1] for prefix in prefixes)}.",
            )
        return wanted[0], []
    first = next((prefix for prefix in prefixes if prefix.endswith("balanced-")), prefixes[0])
    if len(prefixes) == 1:
        return first, []
    names = ", ".join(prefix.strip("-").split("-")[-1] or "the plain one" for prefix in prefixes)
    return first, [f"Of {names}, {first.strip('-').split('-')[-1] or 'the plain one'} was taken."]


def _labels(folder: Path, images: re.Match[str], count: int, problems: list[Problem]) -> np.ndarray:
    """(count,) int64, -1 where the file beside does not say."""
    beside = [
        path
        for path in _files(folder)
        if (found := _FILE.fullmatch(path.name)) is not None
        and (found["what"], found["prefix"], found["part"]) == ("labels", images["prefix"], images["part"])
    ]
    for path in beside:
        try:
            facts = _facts(path)
            if facts.shape[0] == count and len(facts.shape) <= 2:
                values = np.fromfile(path, facts.dtype, offset=facts.offset).reshape(facts.shape)
                # QMNIST: the class, then who wrote it and more
                return (values if values.ndim == 1 else values[:, 0]).astype(np.int64)
            problems.append(Problem(path.name, f"it has {facts.shape[0]:,} labels for {count:,} pictures"))
        except (OSError, BadArchive) as error:
            problems.append(Problem(path.name, error.detail if isinstance(error, BadArchive) else str(error)))
    if not beside:
        problems.append(Problem(images[0], "there is no file with its labels"))
    return np.full(count, -1, dtype=np.int64)


def _named(codes: np.ndarray, folder: Path, prefix: str, title: str) -> Coded:
    known = _CLASSES.get(title.lower(), ())
    if known and codes.max() < len(known):
        return Coded("label", known, codes)
    found = coded("label", np.where(codes < 0, np.nan, codes.astype(np.float64)))
    mapping = _mapping(folder, prefix)
    names = tuple(mapping.get(value, value) for value in found.values)
    return Coded("label", names if len(set(names)) == len(names) else found.values, found.codes)


def _mapping(folder: Path, prefix: str) -> dict[str, str]:
    """Number of a class to the letter it stands for, from `emnist-letters-mapping.txt` where it lies near."""
    for place in (folder, folder.parent):
        path = place / f"{prefix}mapping.txt"
        try:
            with open(path, encoding="ascii") as source:
                rows = [line.split() for line in source.read(MOST_NAMES).splitlines()]
            return {row[0]: chr(int(row[1])) for row in rows if len(row) >= 2}
        except (OSError, ValueError, OverflowError):
            continue
    return {}


def _unpacked(folder: Path, packed: list[Path], store: Path | None, title: str, progress: Progress) -> Path:
    """All files of a folder, those of which there is only a `.gz` unpacked."""
    parts = []
    for path in packed:
        with open(path, "rb") as source:
            source.seek(-min(8, path.stat().st_size), os.SEEK_END)
            # a checksum of what is inside, and how long it is
            parts.append(path.name.encode() + b"\0" + source.read())
    plain = [path for path in _files(folder) if not path.name.endswith(".gz")]
    parts += [f"{path.name}\0{path.stat().st_size}\0{path.stat().st_mtime_ns}".encode() for path in plain]

    def write(target: Path) -> None:
        for done, path in enumerate(packed):
            progress(done, len(packed), f"Unpacking {path.name}")
            _unzip(path, target / _bare(path.name))
        for path in [*plain, *folder.glob("*mapping.txt"), *folder.parent.glob("*mapping.txt")]:
            check_space(target, path.stat().st_size, path.name)
            (target / path.name).write_bytes(path.read_bytes())
            os.utime(target / path.name, ns=(path.stat().st_mtime_ns,) * 2)

    there = unpacked(folder, store, f"idx-{digest(*parts, length=16)}", title, write, progress)
    if there.name == title:
        return there
    # the name of the folder says what the classes are called
    return unpacked(folder, store, f"idx-{digest(*parts, title, length=16)}", title, write, progress)


def _unzip(path: Path, target: Path) -> None:
    """As many bytes as the header inside announces, no more."""
    try:
        with gzip.open(path, "rb") as source, open(target, "xb") as written:
            start = source.read(20)
            size = _header(start, path.name).bytes
            check_space(target.parent, size, path.name)
            left = size - len(start)
            written.write(start[:size])
            while left > 0 and (block := source.read(min(BLOCK, left))):
                written.write(block)
                left -= len(block)
            if left > 0 or source.read(1):
                raise EOFError("it is not as long as it says")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise BadArchive(f"{path.name} is damaged: {error}.", next_step="Download it again.") from error
    os.utime(target, ns=(path.stat().st_mtime_ns,) * 2)


FORMAT = Format(
    name="idx",
    title="The MNIST family as downloaded",
    layout="MNIST/raw/train-images-idx3-ubyte\nMNIST/raw/train-labels-idx1-ubyte\n(and FashionMNIST, KMNIST ...)",
    recognises=_recognises,
    read=_read,
    choosing=("target",),
)
