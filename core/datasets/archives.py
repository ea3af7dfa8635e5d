"""Zip and tar files of any dataset: unpacked once into a folder, in which the dataset is then looked for.

Nothing in an archive is trusted: no entry is written outside of the folder, links and devices are left out, and so much
may come out of it as its size makes likely and the disk holds.

A file that comes out gets the checksum of its content for a modification time: an image is the same when its bytes are,
whoever packed it when, and an archive that grew stays the dataset it was (see known_archives.py).
"""

from __future__ import annotations

import errno
import lzma
import os
import re
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import IO, Any

from core.datasets.choices import Choices
from core.datasets.dataset import Dataset, Problem, limited
from core.datasets.format import Format
from core.datasets.known_archives import (
    CONTENTS,
    Contents,
    Known,
    Stamp,
    checksum_of,
    earlier_of,
    recall,
    remember,
    taken_for,
)
from core.datasets.known_images import shown_before
from core.datasets.listing import is_clutter
from core.datasets.unpacking import BLOCK, check_space, inside, unpacked
from core.errors import BadArchive, BadRequest
from core.files import digest, read_json, write_json
from core.progress import Progress

ZIPS = (".zip",)
TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
# images hardly shrink; what grows by more than this, and beyond a size that any disk holds, is made to fill the disk
MOST_GROWTH = 100
ALWAYS_ALLOWED = 2**30
MOST_FILES = 5_000_000
# archives in archives in archives
MOST_DEPTH = 3
# bytes of a tar header that tells a long name or the like; tarfile would read any size into memory
MOST_HEADER = 2**20
MOST_FOLDERS = 64
MOST_NAME = 255

LEFT_OUT = "left_out.json"
_LEAVES = "its path leaves the archive"
_DAMAGE = "damaged in the archive"
_DRIVE = re.compile("[A-Za-z]:")
# how gzip, bzip2 and xz begin
_COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0")
# files that are a dataset by themselves
_DATASETS = (".npz", ".parquet", ".arrow")
_DAMAGED = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error),
    *(EOFError, NotImplementedError, RuntimeError, ValueError),
)


@dataclass
class _Unpacking:
    """How much has come out so far. archive: the outermost, which fills the folder `top`. allowed: bytes. earlier: what
    an earlier state of the archive was unpacked into. inner: archives that came out of it. contents: of what came out
    otherwise."""

    archive: Path
    top: Path
    progress: Progress
    allowed: int
    earlier: Path | None = None
    files: int = 0
    written: int = 0
    problems: list[Problem] = field(default_factory=list)
    inner: list[Path] = field(default_factory=list)
    contents: Contents = field(default_factory=Contents)

    def expect(self, files: int, count: int) -> None:
        """Raise `BadArchive` before more comes out than may."""
        if self.files + files > MOST_FILES:
            raise self.harmful(f"It holds more than {MOST_FILES:,} files.")
        if self.written + count > self.allowed:
            raise self.harmful(
                f"It would unpack to more than {MOST_GROWTH} times its size ({self.archive.stat().st_size:,} bytes)."
            )

    def harmful(self, reason: str) -> BadArchive:
        return BadArchive(
            f"{self.archive.name} is not unpacked: {reason}",
            next_step="If you trust it, unpack it by hand and give the folder that comes out.",
            title="This archive looks harmful",
        )

    def leave_out(self, name: str, reason: str) -> None:
        shown = name.encode("utf-8", "replace").decode("utf-8")
        self.problems.append(Problem(shown[:300] or "(no name)", reason))

    def write(self, name: str, source: IO[bytes], target: Path, total: int) -> None:
        """Write one entry; one that cannot have its name becomes a problem. total: of entries, 0 when unknown."""
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            checksum = size = 0
            with open(target, "xb") as written:
                while block := source.read(BLOCK):
                    self.written += len(block)
                    size += len(block)
                    if self.written > self.allowed:
                        self.expect(0, 0)
                    written.write(block)
                    checksum = zlib.crc32(block, checksum)
                    if len(block) == BLOCK:
                        self.progress(self.files, total, self._said())
            # a full disk would be told here at the latest
            os.utime(target, (checksum, checksum))
            if archive_kind(target):
                self.inner.append(target)
            else:
                self._share(target, size, checksum)
                self._take_down(target, size, checksum)
        except FileExistsError:
            self.leave_out(name, "another entry of the archive has the same name")
        except OSError as error:
            if error.errno not in (errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EINVAL, errno.EILSEQ):
                raise
            self.leave_out(name, f"a file cannot be called so here: {error.strerror}")
        self._came_out(total)

    def take_over(self, target: Path, size: int, checksum: int, total: int) -> bool:
        """Share the file of the earlier copy where it holds the same; False where it does not."""
        known = self.likely(target, size)
        if known is None:
            return False
        try:
            if checksum_of(known) != checksum:
                return False
            target.parent.mkdir(parents=True, exist_ok=True)
            os.link(known, target)
        except (OSError, ValueError):
            # no such file, one of that name is there, or a disk without links: it is unpacked like any other
            return False
        self._take_down(target, size, checksum)
        self._came_out(total)
        return True

    def _share(self, target: Path, size: int, checksum: int) -> None:
        """Have a file that came out on the disk once, where the earlier copy holds the same: of a tar, nothing tells
        before."""
        known = self.likely(target, size)
        with suppress(OSError):
            # a disk without links keeps both
            if known is not None and checksum_of(known) == checksum:
                beside = self.top.parent / ".shared"
                os.link(known, beside)
                os.replace(beside, target)

    def likely(self, target: Path, size: int) -> Path | None:
        """The file of the earlier copy that has its name and size."""
        if self.earlier is None or archive_kind(target):
            return None
        known = self.earlier / target.relative_to(self.top)
        try:
            status = os.lstat(known)
        except (OSError, ValueError):
            return None
        return known if stat.S_ISREG(status.st_mode) and status.st_size == size else None

    def _take_down(self, target: Path, size: int, checksum: int) -> None:
        self.contents.add(target.relative_to(self.top).as_posix(), size, checksum)

    def _came_out(self, total: int) -> None:
        self.files += 1
        self.progress(self.files, total, self._said())

    def _said(self) -> str:
        return f"Unpacking {self.archive.name}, {self.written / 1e6:,.0f} MB"


class _CarefulHeader(tarfile.TarInfo):
    """tarfile reads headers of any size into memory, and a compressed archive can make them any size."""

    def _proc_member(self, archive: tarfile.TarFile) -> Any:
        telling = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME)
        if self.type in (*telling, tarfile.GNUTYPE_LONGLINK) and self.size > MOST_HEADER:
            raise tarfile.ReadError("a header of it is larger than any name")
        return super()._proc_member(archive)  # type: ignore[misc]


def archive_kind(path: Path) -> str | None:
    """ "zip" or "tar" by the name; None for anything else."""
    name = path.name.lower()
    if name.endswith(ZIPS):
        return "zip"
    return "tar" if name.endswith(TARS) else None


def bare_name(path: Path) -> str:
    """The name without the endings of archives: photos.tar.gz is photos."""
    lower = path.name.lower()
    ending = max((end for end in (*ZIPS, *TARS) if lower.endswith(end)), key=len, default="")
    return path.name[: len(path.name) - len(ending)] or "archive"


@dataclass(frozen=True)
class Unpacked:
    """folder: with what is in the archive. key: of its copy in the store. known: what it was when it was opened before,
    there or elsewhere, smaller or the same, by its files. notes: sentences about that. earlier: what it may have
    been."""

    folder: Path
    key: str
    problems: tuple[Problem, ...]
    known: Known | None
    notes: tuple[str, ...]
    earlier: tuple[Known, ...] = ()


def unpack(path: Path, store: Path | None, progress: Progress) -> Unpacked:
    """What is in an archive, and what was left out of it. Unpacked once for the same content, unless some of it was
    damaged and the file has been written since.

    Raises `BadArchive`, `DiskFull`, `BadRequest` without a store.
    """
    key, name, stamp = _key(path), bare_name(path), Stamp.of(path)
    earlier = [] if store is None else earlier_of(store, path, key, name)

    def usable(copy: Path) -> bool:
        problems = _left_out(copy)
        if problems is None or not any(problem.reason.startswith(_DAMAGE) for problem in problems):
            return problems is not None
        own = recall(copy.parent, path)
        return own is not None and (own.copy, own.stamp) == (key, stamp)

    def fill(folder: Path) -> None:
        # folder: store/.copy.partial/name
        before = inside(folder.parents[1] / (earlier[0].copy if earlier else key))
        _fill(path, folder, before, progress)

    target = unpacked(path, store, key, name, fill, progress, usable=usable)
    known, notes = taken_for(earlier, path, target)
    return Unpacked(_entered(target), key, tuple(_left_out(target.parent) or ()), known, notes, tuple(earlier))


def _left_out(copy: Path) -> list[Problem] | None:
    """What was left out of a copy; None where nobody knows."""
    try:
        return [
            Problem(str(one["image"]), str(one["reason"]), one.get("count", 1)) for one in read_json(copy / LEFT_OUT)
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _key(path: Path) -> str:
    """A folder name for the content of an archive: of a zip, what its directory says of each entry."""
    if archive_kind(path) == "zip":
        with _opened_zip(path) as archive:
            facts = [f"{one.filename}\0{one.file_size}\0{one.CRC}" for one in archive.infolist()]
        return f"zip-{digest(chr(1).join(facts), length=16)}"
    status = path.stat()
    with open(path, "rb") as source:
        parts = [source.read(BLOCK)]
        for place in range(1, 17):
            source.seek(status.st_size * place // 17)
            parts.append(source.read(2**16))
        source.seek(max(0, status.st_size - BLOCK))
        parts.append(source.read(BLOCK))
    # the end of a compressed one has a checksum of all of it; of another, only the time can tell of a change
    compressed = parts[0].startswith(_COMPRESSED)
    parts.append(str(status.st_size if compressed else (status.st_size, status.st_mtime_ns)).encode())
    return f"tar-{digest(*parts, length=16)}"


def _fill(path: Path, folder: Path, earlier: Path | None, progress: Progress) -> None:
    allowed = max(ALWAYS_ALLOWED, MOST_GROWTH * path.stat().st_size)
    unpacking = _Unpacking(path, folder, progress, allowed, earlier)
    _unpack(path, folder, unpacking, depth=1)
    listed, _ = limited(unpacking.problems)
    write_json(folder.parent / LEFT_OUT, [problem.to_dict() for problem in listed])
    write_json(folder.parent / CONTENTS, unpacking.contents.files())


def _unpack(path: Path, folder: Path, unpacking: _Unpacking, depth: int) -> None:
    unpacking.inner = []
    if archive_kind(path) == "zip":
        _unpack_zip(path, folder, unpacking)
    else:
        _unpack_tar(path, folder, unpacking)
    for inner in sorted(unpacking.inner):
        if depth == MOST_DEPTH:
            unpacking.leave_out(inner.name, f"an archive in {MOST_DEPTH} others: it stays packed")
            continue
        beside = inner.parent / bare_name(inner)
        if beside.exists():
            unpacking.leave_out(inner.name, f"{beside.name} is there already: it stays packed")
            continue
        beside.mkdir()
        try:
            _unpack(inner, beside, unpacking, depth + 1)
        except BadArchive as error:
            if error.title != BadArchive.title:
                raise
            unpacking.leave_out(inner.name, error.detail)
        inner.unlink()


def _unpack_zip(path: Path, folder: Path, unpacking: _Unpacking) -> None:
    with _opened_zip(path) as archive:
        entries = [one for one in archive.infolist() if not one.is_dir()]
        size = sum(one.file_size for one in entries)
        if any(one.flag_bits & 0x1 for one in entries):
            raise BadArchive(
                f"{path.name} is protected by a password.",
                next_step="Unpack it by hand and give the folder that comes out.",
            )
        unpacking.expect(len(entries), size)
        placed = list(_placed(entries, folder, unpacking))
        new = (entry.file_size for entry, target in placed if not unpacking.likely(target, entry.file_size))
        check_space(folder, sum(new), path.name)
        for entry, target in placed:
            if unpacking.take_over(target, entry.file_size, entry.CRC, len(entries)):
                continue
            try:
                with archive.open(entry) as source:
                    unpacking.write(entry.filename, source, target, len(entries))
            except (OSError, *_DAMAGED) as error:
                # bzip2's own errors have no number
                if isinstance(error, OSError) and error.errno is not None:
                    raise
                target.unlink(missing_ok=True)
                unpacking.leave_out(entry.filename, f"{_DAMAGE}: {error}")


def _placed(
    entries: Iterable[zipfile.ZipInfo], folder: Path, unpacking: _Unpacking
) -> Iterator[tuple[zipfile.ZipInfo, Path]]:
    """Regular files and where they go; the others are left out."""
    for entry in entries:
        target = _place(entry.filename, folder, unpacking)
        if target is None:
            continue
        kind = (entry.external_attr >> 16) & 0o170000
        # made on a system that has them: 0 elsewhere
        if kind not in (0, 0o100000):
            unpacking.leave_out(entry.filename, "a link" if kind == 0o120000 else "not a regular file")
            continue
        yield entry, target


def _opened_zip(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except _DAMAGED as error:
        raise _damaged(path, error) from error


def _unpack_tar(path: Path, folder: Path, unpacking: _Unpacking) -> None:
    try:
        with tarfile.open(path, "r|*", tarinfo=_CarefulHeader) as archive:
            for entry in _entries(archive):
                if entry.isdir():
                    continue
                target = _place(entry.name, folder, unpacking)
                if target is None:
                    continue
                if not entry.isreg():
                    is_link = entry.issym() or entry.islnk()
                    unpacking.leave_out(entry.name, "a link" if is_link else "not a regular file")
                    continue
                unpacking.expect(1, entry.size)
                check_space(folder, entry.size, f"{entry.name} of {path.name}")
                source = archive.extractfile(entry)
                assert source is not None
                unpacking.write(entry.name, source, target, 0)
    except (tarfile.TarError, *_DAMAGED, MemoryError, TypeError) as error:
        # TypeError: tarfile's own reader of a gzip header that ends too early
        raise _damaged(path, error) from error
    except OSError as error:
        # gzip's own errors have no number
        if error.errno is not None:
            raise
        raise _damaged(path, error) from error


def _entries(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    while (entry := archive.next()) is not None:
        # or it would remember all of a million
        archive.members = []  # type: ignore[attr-defined]
        yield entry


def _place(name: str, folder: Path, unpacking: _Unpacking) -> Path | None:
    """Where an entry goes; None for what is left out, silently for what systems leave behind."""
    tidy = PurePosixPath(name.replace("\\", "/"))
    parts = [part for part in tidy.parts if part not in (".", "/", "//")]
    if any(is_clutter(part) for part in parts if part != ".."):
        return None
    if not parts or tidy.is_absolute() or ".." in parts or _DRIVE.match(parts[0]) or "\0" in name:
        unpacking.leave_out(name, _LEAVES)
        return None
    if len(parts) > MOST_FOLDERS:
        unpacking.leave_out(name, f"more than {MOST_FOLDERS} folders deep")
        return None
    if any(len(part.encode("utf-8", "surrogateescape")) > MOST_NAME for part in parts):
        unpacking.leave_out(name, f"its name is longer than {MOST_NAME} bytes")
        return None
    return folder.joinpath(*parts)


def _damaged(path: Path, error: Exception) -> BadArchive:
    return BadArchive(
        f"{path.name} is damaged or cut off: {' '.join(str(error).split())[:200] or type(error).__name__}.",
        next_step="Copy or download it again; or unpack it by hand and give the folder that comes out.",
    )


def _entered(folder: Path) -> Path:
    """The folder that everything is in: archives are often made of one folder, not of what it holds."""
    while len(inside := [one for one in folder.iterdir() if not is_clutter(one.name)]) == 1 and inside[0].is_dir():
        folder = inside[0]
    if len(inside) == 1 and inside[0].suffix.lower() in _DATASETS:
        return inside[0]
    return folder


def _recognises(path: Path) -> bool:
    return path.is_file() and archive_kind(path) is not None


def _read(path: Path, *, seed: int, choices: Choices, store: Path | None, progress: Progress) -> Dataset:
    from core.datasets.formats import format_named, taken

    if not _recognises(path):
        raise BadRequest(
            f"{path} is no archive.", next_step=f"Give a file whose name ends in {', '.join((*ZIPS, *TARS))}."
        )
    archive = unpack(path, store, progress)
    folder = archive.folder
    named = None if choices.format == FORMAT.name else choices.format
    inner, others = (format_named(named), ()) if named else taken(folder)
    dataset = inner.read(folder, seed=seed, choices=replace(choices, format=named), store=store, progress=progress)
    assert store is not None
    known, told = archive.known, archive.notes
    if known is None and archive.earlier:

        def read(before: Path) -> Dataset:
            given = replace(choices, format=inner.name)
            return inner.read(_entered(before), seed=seed, choices=given, store=store, progress=progress)

        known, told = shown_before(archive.earlier, path, dataset, store, read) or (known, told)
    identity = known.dataset if known else dataset.id
    remember(store, path, identity, archive.key)
    name = bare_name(path) if dataset.root.is_relative_to(folder) else dataset.name
    listed, more = limited([*archive.problems, *dataset.problems])
    notes = (*told, *others, *dataset.notes, *more)
    return replace(dataset, id=identity, name=name, problems=listed, notes=notes)


FORMAT = Format(
    name="archive",
    title="A zip or tar file of any of the others",
    layout="photos.zip, photos.tar.gz",
    recognises=_recognises,
    read=_read,
    choosing=("columns", "attributes", "target", "group", "images"),
)
