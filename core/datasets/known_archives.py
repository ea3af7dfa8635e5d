"""Which dataset an archive is: one that gained images, was moved or downloaded again stays the one it was.

Of each archive that was opened, a note lies in `store/.archives/`: what dataset it was taken for, which copy of it was
unpacked, and checksums of some of its files. An archive is what was opened at its path before if it shares some of its
files with that: many are called archive.zip. Else it is what has the same content, or what was called nearly so in the
same folder (photos.zip, photos-2.zip, photos (1).zip) and is in it as good as whole; of several that with the largest
share. Earlier versions wrote no notes: what was analysed then is found by its name, and has to be in it too.
"""

from __future__ import annotations

import heapq
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

from core.datasets.listing import list_files
from core.datasets.unpacking import BLOCK, COPY, changed_at, inside
from core.files import digest, read_json, write_json

NOTES = ".archives"
CONTENTS = "contents.json"
"""Lies in a copy, beside the folder that was filled: what `Contents` took down of it."""

MOSTLY = 0.9
"""Share of the files of an archive that another one has to hold to be the same, grown."""

# share that either has to have in common with the other where both were opened at one path
_SOME = 0.2
# files whose checksums are kept
_A_FEW = 200
# notes that are kept, beside those of datasets that were analysed
MOST_NOTES = 1_000
# what browsers and this program put behind the name of a file that is there already
_NUMBER = re.compile(r"(?: ?\(\d+\)|-\d+)(?=\.)")


@dataclass(frozen=True)
class Stamp:
    """size: bytes. modified: nanoseconds."""

    size: int
    modified: int

    @staticmethod
    def of(path: Path) -> Stamp:
        status = path.stat()
        return Stamp(status.st_size, status.st_mtime_ns)


Files = Mapping[str, tuple[int, int]]
"""Size in bytes and CRC-32 of some files, by their names in an archive."""


class Contents:
    """Takes down the checksums of some files: of any two archives, the same ones where both have them."""

    def __init__(self) -> None:
        self._taken: list[tuple[int, str, int, int]] = []

    def add(self, name: str, size: int, checksum: int) -> None:
        if name.encode("utf-8", "ignore").decode() != name:
            # no dataset has it either
            return
        # the smallest hashes are kept, so the largest of them is in front
        one = (-_rank(name), name, size, checksum)
        if len(self._taken) < _A_FEW:
            heapq.heappush(self._taken, one)
        else:
            heapq.heappushpop(self._taken, one)

    def files(self) -> Files:
        return {name: (size, checksum) for _, name, size, checksum in sorted(self._taken)}


@dataclass(frozen=True)
class Known:
    """An archive as it was when it was opened last. dataset: id. copy: name of a folder of the store, which may be gone
    by now. files: some of it; empty where an earlier version wrote the note."""

    archive: str
    dataset: str
    copy: str
    stamp: Stamp
    files: Files = field(default_factory=dict)


@dataclass(frozen=True)
class Likeness:
    """Of so many files that were looked at, how many are the same."""

    same: int
    of: int

    @property
    def share(self) -> float:
        return self.same / self.of if self.of else 0.0


def remember(store: Path, path: Path, dataset: str, copy: str) -> None:
    """Raises `DiskFull`, `StorageProblem`."""
    stamp = Stamp.of(path)
    before = recall(store, path)
    files = before.files if before is not None and before.copy == copy and before.files else contents_of(store / copy)
    if before != (now := Known(str(path), dataset, copy, stamp, files)):
        value = {"archive": now.archive, "dataset": dataset, "copy": copy, "size": stamp.size}
        write_json(_note(store, path), {**value, "modified": stamp.modified, "files": files})
        _forget(store)


def recall(store: Path, path: Path) -> Known | None:
    """What was opened at this very path."""
    return _known(_note(store, path))


def earlier_of(store: Path, path: Path, copy: str, name: str) -> list[Known]:
    """What an archive may have been before: what was opened at its path, then what has the same content, then others;
    `taken_for` tells whether it was. copy, name: of the folders that what is in it now has in the store."""
    own = recall(store, path)
    if own is not None and own.copy == copy:
        return [own]
    noted = [known for known in map(_known, sorted((store / NOTES).glob("*.json"))) if known is not None]
    copies = {known.copy for known in noted}
    others = [known for known in noted if known.archive != str(path)]
    same = [known for known in others if known.copy == copy]
    alike = [known for known in others if known.copy != copy and _bare(Path(known.archive)) == _bare(path)]
    analysed = [known for known in _analysed(store, name) if known.copy not in copies]
    return [*([] if own is None else [own]), *same, *alike, *analysed]


def taken_for(candidates: Iterable[Known], path: Path, folder: Path) -> tuple[Known | None, tuple[str, ...]]:
    """Which of these an archive is, and sentences about what has changed. folder: what it was unpacked into,
    `store/copy/name`."""
    best: tuple[float, Known] | None = None
    notes: list[str] = []
    for known in candidates:
        is_own = known.archive == str(path)
        if known.copy == folder.parent.name:
            return known, tuple(notes)
        found = likeness(known, folder, both_ways=is_own)
        if is_own and found.share >= _SOME:
            return known, (changed(path, found),)
        if is_own:
            notes.append(replaced(path, found))
        elif found.share > max(MOSTLY, best[0] if best else 0.0):
            best = found.share, known
    return (best[1] if best else None), tuple(notes)


def changed(path: Path, found: Likeness, what: str = "files") -> str:
    """A sentence about what is taken for the same."""
    return f"{path.name} has changed since it was opened last ({_seen(found, what)}): it stays the same dataset."


def replaced(path: Path, found: Likeness, what: str = "files") -> str:
    """A sentence about what is not."""
    return f"Another {path.name} was opened here before ({_seen(found, what)}): this is not the dataset that it was."


def _seen(found: Likeness, what: str) -> str:
    if not found.of:
        return "nothing is left of it to compare"
    if found.of == 1:
        return f"its one {what.removesuffix('s')} is {'the same' if found.same else 'another'}"
    return f"of {found.of:,} {what} that were compared, {found.same:,} are the same"


def likeness(earlier: Known, folder: Path, *, both_ways: bool) -> Likeness:
    """How many files of an earlier archive are in a folder; or, if that is more, of those in the folder in it."""
    before = inside(folder.parents[1] / earlier.copy)
    files = earlier.files or (contents_of(before.parent) if before is not None else {})
    found = _in_common(files, folder)
    if both_ways and before is not None:
        found = max(found, _in_common(contents_of(folder.parent), before), key=lambda one: one.share)
    return found


def contents_of(copy: Path) -> Files:
    """Some files of what was unpacked; empty where it is gone. Copies of earlier versions are read for it."""
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        return _files(read_json(copy / CONTENTS))
    if (folder := inside(copy)) is None:
        return {}
    contents = Contents()
    names = heapq.nsmallest(_A_FEW, list_files(folder.resolve()).names, key=_rank)
    for name in names:
        with suppress(OSError):
            contents.add(name, (folder / name).stat().st_size, checksum_of(folder / name))
    return contents.files()


def checksum_of(path: Path) -> int:
    """CRC-32 of what is in a file, as zip has it. Raises `OSError`."""
    checksum = 0
    with open(path, "rb") as source:
        while block := source.read(BLOCK):
            checksum = zlib.crc32(block, checksum)
    return checksum


def _in_common(files: Files, folder: Path) -> Likeness:
    return Likeness(sum(_has(folder / name, size, checksum) for name, (size, checksum) in files.items()), len(files))


def _analysed(store: Path, name: str) -> Iterator[Known]:
    """Copies that lie in a folder of this name and have been analysed."""
    for description in sorted(store.parent.glob("analyses/*/analysis.json")):
        with suppress(OSError, ValueError, KeyError, TypeError):
            of = read_json(description)["dataset"]
            parts = Path(of["root"]).parts
            place = next((place for place, part in enumerate(parts[:-1]) if COPY.fullmatch(part)), None)
            if place is not None and parts[place + 1] == name:
                yield Known("", str(of["id"]), parts[place], Stamp(0, 0))


def _has(file: Path, size: int, checksum: int) -> bool:
    try:
        status = file.stat()
        # the time is the checksum, unless an earlier version unpacked it or the disk has no such times
        return status.st_size == size and (status.st_mtime_ns == checksum * 10**9 or checksum_of(file) == checksum)
    except (OSError, ValueError):
        return False


def _rank(name: str) -> int:
    """Any order, but the same in all archives."""
    return int.from_bytes(blake2b(name.encode("utf-8", "surrogateescape"), digest_size=8).digest())


def _files(value: Any) -> Files:
    return {str(name): (int(size), int(checksum)) for name, (size, checksum) in value.items()}


def _bare(path: Path) -> Path:
    return path.with_name(_NUMBER.sub("", path.name))


def _note(store: Path, path: Path) -> Path:
    return store / NOTES / f"{digest(str(path))}.json"


def _forget(store: Path) -> None:
    """Remove the oldest notes, but none of a dataset that was analysed: its tags would be lost."""
    notes = list((store / NOTES).glob("*.json"))
    if len(notes) <= MOST_NOTES:
        return
    analysed: set[str] = set()
    for description in store.parent.glob("analyses/*/analysis.json"):
        with suppress(OSError, ValueError, KeyError, TypeError):
            analysed.add(str(read_json(description)["dataset"]["id"]))
    for note in sorted(notes, key=changed_at)[:-MOST_NOTES]:
        known = _known(note)
        if known is None or known.dataset not in analysed:
            note.unlink(missing_ok=True)


def _known(note: Path) -> Known | None:
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        value = read_json(note)
        stamp = Stamp(int(value["size"]), int(value["modified"]))
        files = _files(value.get("files") or {})
        known = Known(str(value["archive"]), str(value["dataset"]), str(value["copy"]), stamp, files)
        return known if COPY.fullmatch(known.copy) else None
    return None
