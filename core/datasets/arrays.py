"""Pictures as arrays: an `.npz`, or a folder of `.npy` files; dSprites among them.

Arrays are recognised by their names (`images`, `x_train`, `test_labels` ...) and shapes. Arrays of Python objects are
never read: that would unpickle them. What lies compressed in an `.npz` is unpacked once, so that a picture can be read
without the others; what is not is read where it lies.
"""

from __future__ import annotations

import os
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import IO, Literal

import numpy as np

from core.datasets.bundles import Bundle, Coded, assemble, bundle_of, chosen, coded, in_order, place_in, split_column
from core.datasets.choices import Choices
from core.datasets.dataset import Dataset, Problem
from core.datasets.format import Format
from core.datasets.images import UnreadableImage
from core.datasets.pictures import Picture
from core.datasets.splits import split_code
from core.datasets.unpacking import BLOCK, check_space, unpacked
from core.errors import BadArchive, BadMetadata, BadRequest, EmptyDataset
from core.files import digest, release
from core.progress import Progress

_IMAGES = ("images", "image", "imgs", "img", "x", "data", "pixels", "pictures", "inputs", "arr_0")
_LABELS = ("labels", "label", "y", "targets", "target", "classes", "class", "fine_labels", "arr_1")
_SPLITS = ("split", "splits")
_CLASS_NAMES = ("class_names", "label_names", "classes_names", "names", "classnames")
# pictures looked at to see whether their numbers go to 1 or to 255
LOOKED_AT = 256
# an array of labels or the like; more is no such thing
MOST_BYTES = 2**30
# one more than any header of an array that says something of images
_HEADER = 2**16

DSPRITES = ("imgs", "latents_classes", "latents_values")
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, MemoryError)


@dataclass(frozen=True)
class _Member:
    """One array. file, offset: where its numbers lie, uncompressed; None where they are compressed in an `.npz`."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    fortran: bool
    file: Path
    offset: int | None

    @property
    def bytes(self) -> int:
        return int(np.prod(self.shape, dtype=object)) * self.dtype.itemsize

    @property
    def is_pictures(self) -> bool:
        """(n, h, w), or with 1, 3 or 4 channels in front or behind."""
        kind = self.dtype.kind in "uifb" and self.dtype.itemsize <= 8 and all(self.shape)
        if not kind or len(self.shape) not in (3, 4):
            return False
        return len(self.shape) == 3 or self.shape[3] in (1, 3, 4) or self.shape[1] in (1, 3, 4)

    def mapped(self) -> np.ndarray:
        if self.offset is None:
            raise UnreadableImage("its array is compressed: open the dataset again")
        order: Literal["C", "F"] = "F" if self.fortran else "C"
        return np.memmap(self.file, self.dtype, mode="r", offset=self.offset, shape=self.shape, order=order)


class ArrayPictures:
    """Reads memory maps; see `core.datasets.pictures.Pictures`."""

    def __init__(self, root: Path, choices: Choices) -> None:
        self._root = root

    @cached_property
    def _arrays(self) -> dict[str, _Pixels]:
        return {m.name: _Pixels(m) for m in _members(self._root, []).values() if m.is_pictures}

    def read(self, name: str) -> Picture:
        array, place = place_in(name)
        try:
            known = self._arrays.get(array)
            if known is None:
                raise UnreadableImage(f"there is no array {array} any more")
            return known[place]
        except UnreadableImage:
            raise
        except FileNotFoundError:
            raise UnreadableImage("the file is not there any more") from None
        except (OSError, BadArchive, *_DAMAGED) as error:
            raise UnreadableImage(f"{array} is damaged: {error}") from error

    def file(self, name: str) -> Path:
        return self._root if self._root.is_file() else self._root / f"{place_in(name)[0]}.npy"

    def missing(self, names: list[str]) -> str | None:
        there: dict[str, bool] = {}
        for name in names:
            array = place_in(name)[0]
            if array not in there:
                there[array] = self.file(name).is_file()
            if not there[array]:
                return name
        return None


class _Pixels:
    """The pictures of one array as 8-bit pixels.

    Which numbers stand for black and white is seen from some of the pictures, the same ones each time: 0 and 1, -1 and
    1, 0 and 255, the whole range of 10, 12, 16 ... bits; for other fractions, the least and the largest of them.
    """

    def __init__(self, member: _Member) -> None:
        self._member = member
        self._channels_first = len(member.shape) == 4 and member.shape[3] not in (1, 3, 4)
        # read, not mapped: every page of a map that was touched would count as this process's memory
        self._file = None if member.fortran or member.offset is None else open(member.file, "rb", buffering=0)  # noqa: SIM115

    @cached_property
    def limits(self) -> tuple[float, float]:
        """The numbers that become 0 and 255."""
        kind = self._member.dtype.kind
        some = (self._raw(place).astype(np.float64) for place in _spread(self._member.shape[0]))
        ends = [(one.min(initial=0), one.max(initial=0)) for one in (one[np.isfinite(one)] for one in some)]
        low, high = (float(min(low for low, _ in ends)), float(max(high for _, high in ends))) if ends else (0.0, 0.0)
        if low >= -1 and high <= 1:
            return (-1.0 if low < 0 else 0.0), 1.0
        if high <= 255 and low >= 0:
            return 0.0, 255.0
        if kind == "f":
            return low, high
        return 0.0, float(2 ** max(8, int(high).bit_length()) - 1)

    def __getitem__(self, place: int) -> np.ndarray:
        if place >= self._member.shape[0]:
            raise UnreadableImage("the array has fewer pictures than it had")
        picture = self._raw(place)
        if self._channels_first:
            picture = np.moveaxis(picture, 0, -1)
        low, high = self.limits
        if (low, high) == (0.0, 255.0) and picture.dtype == np.uint8:
            return picture
        stretched = (picture.astype(np.float64) - low) * (255.0 / (high - low))
        return np.clip(np.nan_to_num(stretched), 0, 255).round().astype(np.uint8)

    def _raw(self, place: int) -> np.ndarray:
        member = self._member
        if self._file is None or member.offset is None:
            return np.array(member.mapped()[place])
        size = member.bytes // member.shape[0]
        content = os.pread(self._file.fileno(), size, member.offset + place * size)
        if len(content) < size:
            raise UnreadableImage("the file is shorter than it was")
        return np.frombuffer(content, dtype=member.dtype).reshape(member.shape[1:])


def _spread(count: int) -> list[int]:
    return np.unique(np.linspace(0, count - 1, LOOKED_AT).astype(np.int64)).tolist() if count else []


def _members(root: Path, problems: list[Problem]) -> dict[str, _Member]:
    """The arrays of numbers and text in an `.npz` or a folder of `.npy`; others become problems.

    Raises `BadArchive`.
    """
    found: dict[str, _Member] = {}
    if root.is_file():
        for name, member in _in_npz(root):
            _note(name, member, found, problems)
        return found
    for path in sorted(root.glob("*.npy")):
        try:
            with open(path, "rb") as source:
                _note(path.stem, _header(path.stem, source, path, path.stat().st_size, True), found, problems)
        except OSError as error:
            problems.append(Problem(path.name, f"cannot be opened: {error.strerror}"))
    return found


def _note(name: str, member: _Member | str, found: dict[str, _Member], problems: list[Problem]) -> None:
    if isinstance(member, str):
        problems.append(Problem(name, member))
    else:
        found[name] = member


def _in_npz(path: Path) -> Iterator[tuple[str, _Member | str]]:
    """Each array's name and what it is, or why it cannot be used."""
    try:
        with zipfile.ZipFile(path) as archive, open(path, "rb") as raw:
            for entry in archive.infolist():
                if not entry.filename.endswith(".npy"):
                    continue
                name = entry.filename.removesuffix(".npy")
                if not re.fullmatch(r"[\w][\w .()-]{0,100}", name):
                    yield name[:100], "a name that no array has"
                    continue
                try:
                    with archive.open(entry) as source:
                        member = _header(name, source, path, entry.file_size, False)
                except _DAMAGED as error:
                    yield name, f"damaged: {error}"
                    continue
                if isinstance(member, _Member) and entry.compress_type == zipfile.ZIP_STORED:
                    member = replace(member, offset=_start(raw, entry) + entry.file_size - member.bytes)
                yield name, member
    except (OSError, *_DAMAGED) as error:
        raise BadArchive(
            f"{path.name} is damaged or cut off: {error}.", next_step="Copy or download it again."
        ) from error


def _start(raw: IO[bytes], entry: zipfile.ZipInfo) -> int:
    """Where the content of an entry begins: after its own header, whose length differs from that in the directory."""
    raw.seek(entry.header_offset)
    header = raw.read(30)
    if len(header) < 30 or header[:4] != b"PK\x03\x04":
        raise zipfile.BadZipFile("an entry is not where the directory says")
    return entry.header_offset + 30 + int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")


def _header(name: str, source: IO[bytes], file: Path, size: int, is_bare: bool) -> _Member | str:
    """source: at the beginning of an `.npy` of `size` bytes. is_bare: a file of its own."""
    try:
        version = np.lib.format.read_magic(source)
        if version == (1, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(source, max_header_size=_HEADER)
        elif version == (2, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_2_0(source, max_header_size=_HEADER)
        else:
            return "an array of named fields"
    except Exception as error:
        # what numpy's reader of headers lets through: TokenError, TypeError, SyntaxError, ...
        return f"not an array: {' '.join(str(error).split())[:200] or type(error).__name__}"
    if dtype.hasobject:
        return "an array of Python objects: only unpickling could read it, which would run whatever code it holds"
    if any(side < 0 for side in shape):
        return "an array of an impossible shape"
    member = _Member(name, tuple(map(int, shape)), dtype, bool(fortran), file, source.tell() if is_bare else None)
    if source.tell() + member.bytes != size:
        return "cut off: it has fewer numbers than it says"
    return member


def _values(member: _Member) -> np.ndarray:
    """All of a small array. Raises `BadArchive`."""
    if member.bytes > MOST_BYTES:
        raise BadArchive(
            f"{member.name} has {member.bytes:,} bytes, too many to be labels.",
            next_step="Choose another array, or leave it out.",
        )
    try:
        if member.offset is not None:
            mapped = member.mapped()
            copied = np.array(mapped)
            release(mapped)
            return copied
        with zipfile.ZipFile(member.file) as archive, archive.open(f"{member.name}.npy") as source:
            return np.lib.format.read_array(source, allow_pickle=False)  # type: ignore[arg-type]
    except (OSError, *_DAMAGED) as error:
        raise BadArchive(
            f"The array {member.name} of {member.file.name} is damaged: {error}.",
            next_step="Copy or download it again.",
        ) from error


def _unpacked(path: Path, store: Path | None, progress: Progress) -> Path:
    """The same arrays as files of their own, so that each picture can be read without those before it."""
    members = _members(path, [])
    status = path.stat()

    def write(folder: Path) -> None:
        total = sum(member.bytes for member in members.values())
        check_space(folder, total, path.name)
        done = 0
        with zipfile.ZipFile(path) as archive:
            for name in members:
                with archive.open(f"{name}.npy") as source, open(folder / f"{name}.npy", "xb") as target:
                    while block := source.read(BLOCK):
                        target.write(block)
                        done += len(block)
                        progress(done, total, f"Unpacking {name}")
                os.utime(folder / f"{name}.npy", ns=(status.st_mtime_ns, status.st_mtime_ns))

    with zipfile.ZipFile(path) as archive:
        facts = [f"{one.filename}\0{one.file_size}\0{one.CRC}" for one in archive.infolist()]
    try:
        return unpacked(path, store, f"npz-{digest(chr(1).join(facts), length=16)}", path.stem, write, progress)
    except _DAMAGED as error:
        raise BadArchive(f"{path.name} is damaged: {error}.", next_step="Copy or download it again.") from error


def _base(name: str) -> tuple[str, int | None]:
    """A name without the word for a split, and that split: x_train is x of 0."""
    words = [word for word in re.split(r"[\s_.-]+", name.lower()) if word]
    split = next((code for word in words if (code := split_code(word)) is not None), None)
    return "_".join(word for word in words if split_code(word) is None), split


def _pictures(members: Mapping[str, _Member], choices: Choices) -> list[_Member]:
    """The arrays that are the pictures: those of one name, in one piece or one for each split."""
    named = choices.columns.get("image")
    there = [member for member in members.values() if member.is_pictures]
    if named:
        found = [one for one in there if named in (one.name, _base(one.name)[0])]
        if not found:
            names = ", ".join(one.name for one in there) or "none"
            raise BadRequest(f"There is no array of pictures {named!r}.", next_step=f"There are: {names}.")
        return found
    rank = {name: place for place, name in enumerate(_IMAGES)}
    best = min(there, key=lambda one: (rank.get(_base(one.name)[0], len(rank)), -one.shape[0], one.name), default=None)
    if best is None:
        return []
    same = [one for one in there if _base(one.name)[0] == _base(best.name)[0]]
    divided = [one for one in same if _base(one.name)[1] is not None]
    return divided or [best]


def _single(path: Path) -> Path:
    """The archive itself where a folder holds one and no arrays beside."""
    if path.is_dir() and not any(path.glob("*.npy")):
        found = [one for one in path.glob("*.npz") if one.is_file()]
        if len(found) == 1:
            return found[0]
    return path


def _looks_like(path: Path, *, is_dsprites: bool) -> bool:
    try:
        path = _single(path)
        if path.is_file() and path.suffix.lower() != ".npz":
            return False
        members = _members(path, [])
    except (OSError, BadArchive):
        # an archive of that name is said to be damaged when it is read
        return path.is_file() and path.suffix.lower() == ".npz" and not is_dsprites
    if is_dsprites:
        return _is_dsprites(members)
    return path.is_file() or any(member.is_pictures for member in members.values())


def _is_dsprites(members: Mapping[str, _Member]) -> bool:
    pictures, classes, values = (members.get(name) for name in DSPRITES)
    if pictures is None or classes is None or values is None or not pictures.is_pictures:
        return False
    return classes.shape == values.shape == (pictures.shape[0], len(LATENTS))


def _opened(
    path: Path, choices: Choices, store: Path | None, progress: Progress
) -> tuple[Path, dict[str, _Member], list[_Member], list[Problem]]:
    """Where the arrays are by now, all of them, those that are the pictures, and what was left out."""
    root = _single(path)
    problems: list[Problem] = []
    members = _members(root, problems)
    pictures = _pictures(members, choices)
    if not pictures:
        there = ", ".join(f"{one.name} {one.shape}" for one in list(members.values())[:8])
        there = there or (f"{problems[0].image}: {problems[0].reason}" if problems else "nothing")
        raise EmptyDataset(
            f"{root} holds no array of pictures, which has the shape (n, height, width) or one of colours more; "
            f"it holds {there}.",
            next_step="Save the pictures as an array called images, and their classes as one called labels.",
        )
    if any(one.offset is None for one in pictures):
        root = _unpacked(root, store, progress)
        members = _members(root, [])
        pictures = _pictures(members, choices)
    return root, members, pictures, problems


def _read(path: Path, *, seed: int, choices: Choices, store: Path | None, progress: Progress) -> Dataset:
    root, members, pictures, problems = _opened(path, choices, store, progress)
    bundles = in_order([bundle_of(one.name, one.shape[0], one.file) for one in pictures])
    pictures = [members[bundle.name] for bundle in bundles]
    found = _beside(members, pictures)
    notes = [_stretched(one) for one in pictures]

    label_name = choices.columns.get("label")
    if label_name is None:
        label_name = next((name for name in _LABELS if name in found and _is_label(found[name])), "")
    elif label_name and (label_name := _base(label_name)[0]) not in found:
        raise BadRequest(
            f"There is no array {choices.columns['label']!r} with a label for each picture.",
            next_step=f"There are: {', '.join(found) or 'none'}.",
        )
    label = _class_names(_classes(label_name, found.pop(label_name)), members) if label_name else None
    splits = _splits(bundles, found, choices)
    others = [_coded_few(name, values) for name, values in found.items() if values.ndim == 1]
    target, attributes = chosen(others, label, choices)
    return assemble(
        root,
        FORMAT.name,
        bundles,
        label=target,
        attributes=attributes,
        splits=splits,
        seed=seed,
        choices=choices,
        problems=problems,
        notes=[note for note in notes if note],
    )


def _beside(members: Mapping[str, _Member], pictures: Sequence[_Member]) -> dict[str, np.ndarray]:
    """Arrays with a row for each picture, put together over the splits as the pictures are; by bare name."""
    found: dict[str, list[np.ndarray]] = {}
    for place, picture in enumerate(pictures):
        split = _base(picture.name)[1]
        for member in members.values():
            bare, own = _base(member.name)
            fits = member.shape[:1] == picture.shape[:1] and own == split and not member.is_pictures
            if fits and (len(member.shape) == 1 or (len(member.shape) == 2 and member.shape[1] <= 2**15)):
                pieces = found.setdefault(bare, [])
                # of two of one name the first counts
                if len(pieces) == place and member.bytes <= MOST_BYTES:
                    values = _values(member)
                    pieces.append(values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values)
    whole = {name: pieces for name, pieces in found.items() if len(pieces) == len(pictures)}
    same = {name: pieces for name, pieces in whole.items() if len({piece.shape[1:] for piece in pieces}) == 1}
    return {name: np.concatenate(pieces) for name, pieces in same.items()}


def _is_label(values: np.ndarray) -> bool:
    """One word or number for each picture, or a row with a single 1."""
    if values.ndim == 1:
        return values.dtype.kind in "fiubUS"
    return values.dtype.kind in "fiub" and bool(
        ((values == 0) | (values == 1)).all() and (values.sum(axis=1) == 1).all()
    )


def _classes(name: str, values: np.ndarray) -> Coded:
    if values.ndim == 2:
        if not _is_label(values):
            raise BadMetadata(
                f"The array {name} has {values.shape[1]} numbers for each picture, not one class.",
                next_step="Choose an array with one class for each picture, or none.",
            )
        return Coded(name, tuple(map(str, range(values.shape[1]))), values.argmax(axis=1).astype(np.int64))
    if values.dtype.kind == "f" and not (values[np.isfinite(values)] % 1 == 0).all():
        raise BadMetadata(
            f"The array {name} holds measurements such as {values[values % 1 != 0][0]}, not classes.",
            next_step="Choose the array that holds the class of each picture, or none.",
        )
    return coded(name, values)


def _coded_few(name: str, values: np.ndarray) -> Coded:
    if values.dtype.kind == "f" and not (values[np.isfinite(values)] % 1 == 0).all():
        # a measurement is none of a few things
        return Coded(name, (), np.full(len(values), -1, dtype=np.int64))
    return coded(name, values)


def _class_names(label: Coded, members: Mapping[str, _Member]) -> Coded:
    """The same label with its numbers replaced by the names that lie beside."""
    for name in _CLASS_NAMES:
        member = members.get(name)
        if member is None or len(member.shape) != 1 or member.dtype.kind not in "US" or member.bytes > MOST_BYTES:
            continue
        names = [str(value) for value in _as_text(_values(member))]
        numbers = [int(value) if value.isdigit() else -1 for value in label.values]
        if len(set(names)) == len(names) and all(0 <= number < len(names) for number in numbers):
            lookup = np.array([*numbers, -1], dtype=np.int64)
            return replace(label, values=tuple(names), codes=lookup[label.codes])
    return label


def _as_text(values: np.ndarray) -> np.ndarray:
    return np.char.decode(values, "utf-8", "replace") if values.dtype.kind == "S" else values


def _splits(bundles: Sequence[Bundle], found: dict[str, np.ndarray], choices: Choices) -> np.ndarray | None:
    """(n,) int8: from an array that says so (which is taken out of `found`), else from the names of the arrays."""
    named = choices.columns.get("split")
    if named and _base(named)[0] not in found and named not in found:
        raise BadRequest(f"There is no array {named!r} with a split for each picture.", next_step="Leave it out.")
    name = named or next((one for one in _SPLITS if one in found and found[one].ndim == 1), None)
    if name and named != "":
        return split_column(name, found.pop(name))
    by_name = [_base(bundle.name)[1] for bundle in bundles]
    if named == "" or all(code is None for code in by_name):
        return None
    codes = np.array([-1 if code is None else code for code in by_name], dtype=np.int8)
    return np.repeat(codes, [bundle.count for bundle in bundles])


def _stretched(member: _Member) -> str:
    low, high = _Pixels(member).limits
    if (low, high) == (0.0, 255.0):
        return ""
    return f"The numbers of {member.name} are taken for shades from {low:g} (black) to {high:g} (white)."


LATENTS = ("color", "shape", "scale", "orientation", "x", "y")
_SHAPES = ("square", "ellipse", "heart")
_QUARTERS = ("0° to 90°", "90° to 180°", "180° to 270°", "270° to 360°")
_ACROSS = ("left", "middle", "right")
_DOWN = ("top", "middle", "bottom")


def _read_dsprites(path: Path, *, seed: int, choices: Choices, store: Path | None, progress: Progress) -> Dataset:
    """Matthey et al. 2017: 737,280 pictures of every combination of six latents. Those with more values than groups
    could be made of are told in ranges: the turn in quarters, the place in thirds."""
    root, members, _, problems = _opened(path, replace(choices, columns={"image": DSPRITES[0]}), store, progress)
    classes = _values(members[DSPRITES[1]]).astype(np.int64)
    values = _values(members[DSPRITES[2]])
    found = [_latent(name, classes[:, place], values[:, place]) for place, name in enumerate(LATENTS)]
    shape = found.pop(LATENTS.index("shape"))
    target, attributes = chosen(found, shape, replace(choices, columns={}))
    bundle = bundle_of(DSPRITES[0], len(classes), members[DSPRITES[0]].file)
    return assemble(
        root,
        DSPRITES_FORMAT.name,
        [bundle],
        label=target,
        attributes=attributes,
        splits=None,
        seed=seed,
        choices=choices,
        problems=problems,
        notes=["The turn is told in quarters and the place in thirds, so that groups are large enough to be measured."],
    )


def _latent(name: str, codes: np.ndarray, values: np.ndarray) -> Coded:
    """codes: (n,) int64 from 0. values: (n,) the same as numbers."""
    count = int(codes.max(initial=0)) + 1
    if codes.min(initial=0) < 0 or count > 1000:
        raise BadMetadata(
            f"The latent {name} has codes from {codes.min()} to {codes.max()}.", next_step="Download it again."
        )
    if name == "orientation":
        return Coded(name, _QUARTERS, np.clip(np.nan_to_num(values) // (np.pi / 2), 0, 3).astype(np.int64))
    if name in ("x", "y"):
        thirds = np.clip(np.nan_to_num(values) * 3, 0, 2).astype(np.int64)
        return Coded(name, _ACROSS if name == "x" else _DOWN, thirds)
    if name == "shape" and count <= len(_SHAPES):
        return Coded(name, _SHAPES[:count], codes)
    if name == "color" and count == 1:
        return Coded(name, ("white",), codes)
    first = np.zeros(count)
    first[codes] = values
    return Coded(name, tuple(f"{value:g}" for value in first), codes)


FORMAT = Format(
    name="npz",
    title="Arrays of numpy (.npz, .npy)",
    layout="digits.npz: images (n, h, w), labels (n,)\n(or x_train, y_train, x_test ...; or .npy files of these names)",
    recognises=lambda path: _looks_like(path, is_dsprites=False),
    read=_read,
    choosing=("columns", "attributes", "target", "group"),
)

DSPRITES_FORMAT = Format(
    name="dsprites",
    title="dSprites",
    layout="dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz: imgs, latents_classes, latents_values",
    recognises=lambda path: _looks_like(path, is_dsprites=True),
    read=_read_dsprites,
    choosing=("target", "group", "attributes"),
)
