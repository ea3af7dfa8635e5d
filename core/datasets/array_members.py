"""The arrays in an `.npz` or a folder of `.npy` files: what they are, and reading one picture of them.

Arrays of Python objects are never read: that would unpickle them. What lies compressed in an `.npz` is unpacked once,
so that a picture can be read without those before it; what does not is read where it lies.
"""

from __future__ import annotations

import lzma
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import IO, Literal

import numpy as np

from core.datasets.dataset import Problem
from core.datasets.images import UnreadableImage
from core.datasets.unpacking import BLOCK, check_space, unpacked
from core.errors import BadArchive
from core.files import digest, release
from core.progress import Progress

# pictures looked at to see whether their numbers go to 1 or to 255
LOOKED_AT = 256
# an array of labels or the like; more is no such thing
MOST_BYTES = 2**30
# bytes; more than any header of an array that says something of images
_HEADER = 2**16
# black pictures with a little white shrink well (dSprites by 115); what grows by more is made to fill the disk
MOST_GROWTH = 300
ALWAYS_ALLOWED = 2**30
DAMAGED = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error),
    *(EOFError, NotImplementedError, RuntimeError, ValueError, MemoryError),
)


@dataclass(frozen=True)
class Member:
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


class Pixels:
    """The pictures of one array as 8-bit pixels.

    Which numbers stand for black and white is seen from some of the pictures, the same ones each time: 0 and 1, -1 and
    1, 0 and 255, the whole range of 10, 12, 16 ... bits; for other fractions, the least and the largest of them.
    """

    def __init__(self, member: Member) -> None:
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
        if picture.dtype != np.uint8:
            return self._stretched(picture)
        return picture if self.limits == (0.0, 255.0) else self._shades[picture]

    @cached_property
    def _shades(self) -> np.ndarray:
        """What each of 256 numbers becomes."""
        return self._stretched(np.arange(256))

    def _stretched(self, numbers: np.ndarray) -> np.ndarray:
        low, high = self.limits
        stretched = (numbers.astype(np.float64) - low) * (255.0 / (high - low))
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


def members_of(root: Path, problems: list[Problem]) -> dict[str, Member]:
    """The arrays of numbers and text in an `.npz` or a folder of `.npy`; others become problems.

    Raises `BadArchive`.
    """
    found: dict[str, Member] = {}
    if root.is_file():
        for name, member in _in_npz(root):
            _note(name, member, found, problems)
        return found
    if not root.is_dir():
        raise FileNotFoundError(root)
    for path in sorted(one for one in root.glob("*.npy") if one.is_file()):
        try:
            with open(path, "rb") as source:
                _note(path.stem, _header(path.stem, source, path, path.stat().st_size, True), found, problems)
        except OSError as error:
            problems.append(Problem(path.name, f"cannot be opened: {error.strerror}"))
    return found


def _note(name: str, member: Member | str, found: dict[str, Member], problems: list[Problem]) -> None:
    if isinstance(member, str):
        problems.append(Problem(name, member))
    else:
        found[name] = member


def _in_npz(path: Path) -> Iterator[tuple[str, Member | str]]:
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
                except DAMAGED as error:
                    yield name, f"damaged: {error}"
                    continue
                if isinstance(member, Member) and entry.compress_type == zipfile.ZIP_STORED:
                    member = replace(member, offset=_start(raw, entry) + entry.file_size - member.bytes)
                yield name, member
    except (OSError, *DAMAGED) as error:
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


def _header(name: str, source: IO[bytes], file: Path, size: int, is_bare: bool) -> Member | str:
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
    member = Member(name, tuple(map(int, shape)), dtype, bool(fortran), file, source.tell() if is_bare else None)
    if source.tell() + member.bytes != size:
        return "cut off: it has fewer numbers than it says"
    return member


def values_of(member: Member) -> np.ndarray:
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
            return np.lib.format.read_array(source, allow_pickle=False)
    except (OSError, *DAMAGED) as error:
        raise BadArchive(
            f"The array {member.name} of {member.file.name} is damaged: {error}.",
            next_step="Copy or download it again.",
        ) from error


def unpacked_arrays(path: Path, store: Path | None, progress: Progress) -> Path:
    """The same arrays as files of their own, so that each picture can be read without those before it."""
    members = members_of(path, [])
    status = path.stat()

    def write(folder: Path) -> None:
        total = sum(member.bytes for member in members.values())
        if total > max(ALWAYS_ALLOWED, MOST_GROWTH * status.st_size):
            raise BadArchive(
                f"{path.name} is not unpacked: it would grow to more than {MOST_GROWTH} times its size "
                f"({status.st_size:,} bytes).",
                next_step="If you trust it, save it again with numpy.savez, which packs nothing.",
                title="This archive looks harmful",
            )
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
    except (OSError, *DAMAGED) as error:
        # bzip2's own errors have no number
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise BadArchive(f"{path.name} is damaged: {error}.", next_step="Copy or download it again.") from error
