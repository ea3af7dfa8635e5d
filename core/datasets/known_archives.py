"""Which dataset an archive is: one that gained images, was moved or downloaded again stays the one it was.

Of each archive that was opened, a note lies in `store/.archives/`: what dataset it was taken for, and which copy of it
was unpacked. An archive is what was opened at its path before, whatever is in it now, as a folder is; else what has the
same content; else what was called nearly so in the same folder (photos.zip, photos-2.zip, photos (1).zip) and holds the
same files, if perhaps fewer of them. Earlier versions wrote no notes: what was analysed then is found by its name, and
has to hold the same files too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from core.datasets.listing import list_files
from core.datasets.unpacking import COPY, inside
from core.files import digest, read_json, write_json

NOTES = ".archives"
# share of the files of an archive that another one has to hold to be the same, grown
_MOSTLY = 0.9
# files that are looked at for that
_A_FEW = 2_000
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


@dataclass(frozen=True)
class Known:
    """An archive as it was when it was opened last. dataset: id. copy: name of a folder of the store, which may be gone
    by now."""

    archive: str
    dataset: str
    copy: str
    stamp: Stamp


def remember(store: Path, path: Path, dataset: str, copy: str) -> None:
    """Raises `DiskFull`, `StorageProblem`."""
    stamp = Stamp.of(path)
    value = {"archive": str(path), "dataset": dataset, "copy": copy, "size": stamp.size, "modified": stamp.modified}
    if _known(_note(store, path)) != Known(str(path), dataset, copy, stamp):
        write_json(_note(store, path), value)


def recall(store: Path, path: Path) -> Known | None:
    """What was opened at this very path."""
    return _known(_note(store, path))


def earlier_of(store: Path, path: Path, copy: str, name: str) -> list[Known]:
    """What an archive may have been before, the likeliest first; `same_dataset` tells whether it was. copy, name: of
    the folders that what is in it now has in the store."""
    own = recall(store, path)
    if own is not None:
        return [own]
    noted = [known for known in map(_known, sorted((store / NOTES).glob("*.json"))) if known is not None]
    copies = {known.copy for known in noted}
    same = [known for known in noted if known.copy == copy]
    alike = [known for known in noted if _bare(Path(known.archive)) == _bare(path)]
    return [*same, *alike, *(known for known in _analysed(store, name) if known.copy not in copies)]


def same_dataset(earlier: Known, path: Path, folder: Path) -> bool:
    """folder: what the archive was unpacked into, `store/copy/name`."""
    if earlier.archive == str(path) or earlier.copy == folder.parent.name:
        return True
    before = inside(folder.parents[1] / earlier.copy)
    if before is None:
        return False
    listing = list_files(before.resolve())
    files = list(zip(listing.names, listing.sizes, strict=True))[:_A_FEW]
    return sum(_has(folder / name, size) for name, size in files) > _MOSTLY * len(files)


def _analysed(store: Path, name: str) -> Iterator[Known]:
    """Copies that lie in a folder of this name and have been analysed."""
    for description in sorted(store.parent.glob("analyses/*/analysis.json")):
        with suppress(OSError, ValueError, KeyError, TypeError):
            of = read_json(description)["dataset"]
            parts = Path(of["root"]).parts
            place = next((place for place, part in enumerate(parts[:-1]) if COPY.fullmatch(part)), None)
            if place is not None and parts[place + 1] == name:
                yield Known("", str(of["id"]), parts[place], Stamp(0, 0))


def _has(file: Path, size: int) -> bool:
    try:
        return file.stat().st_size == size
    except OSError:
        return False


def _bare(path: Path) -> Path:
    return path.with_name(_NUMBER.sub("", path.name))


def _note(store: Path, path: Path) -> Path:
    return store / NOTES / f"{digest(str(path))}.json"


def _known(note: Path) -> Known | None:
    with suppress(OSError, ValueError, KeyError, TypeError):
        value = read_json(note)
        stamp = Stamp(int(value["size"]), int(value["modified"]))
        known = Known(str(value["archive"]), str(value["dataset"]), str(value["copy"]), stamp)
        return known if COPY.fullmatch(known.copy) else None
    return None
