"""Unpacking into a folder that is whole or absent: done once, in a hidden folder that gets its name at the end.

What no analysis uses is bounded: beyond `MOST_BYTES` the copies that were used longest ago go, unless somebody reads
them (see `reading`). They come back by themselves when what they were made of is opened again.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from core.errors import BadRequest, DiskFull
from core.files import mark_used, storage_problems
from core.locks import Share, held, held_if_free
from core.progress import Progress

# bytes left free beyond what is unpacked
SPARE_BYTES = 256 * 2**20
# bytes copied at once
BLOCK = 2**20
# hidden folders untouched for longer belong to nobody any more
ABANDONED_SECONDS = 7 * 24 * 3600
# of copies that no analysis uses
MOST_BYTES = 10 * 10**9
# a copy opened since may still be on its way to who reads it, or is looked at page by page
IN_USE_SECONDS = 3600
# how copies are called here, and nothing else in a workspace's datasets
COPY = re.compile(r"(?:zip|tar|npz|idx)-[0-9a-f]{16}")

KEPT = (
    f"Unpacked into the workspace. Beyond {MOST_BYTES / 1e9:.0f} GB, unpacked files that no analysis uses are removed, "
    "those used longest ago first; they are unpacked again when needed."
)
"""A note on every dataset that was unpacked."""


def is_copy(path: Path) -> bool:
    """Whether a path leads into what was unpacked here."""
    return any(COPY.fullmatch(part) for part in path.parts)


def reading(path: Path) -> Share | None:
    """Keep the copy that a path leads into, until what is returned is forgotten. None for any other path, and where the
    workspace may not be written to: nobody removes anything there."""
    place = next((place for place, part in enumerate(path.parts) if COPY.fullmatch(part)), None)
    if place is None:
        return None
    copy = Path(*path.parts[: place + 1])
    with suppress(OSError):
        return Share(_readers(copy))
    return None


def unpacked(
    source: Path,
    store: Path | None,
    key: str,
    name: str,
    write: Callable[[Path], None],
    progress: Progress,
    *,
    usable: Callable[[Path], bool] = lambda _: True,
) -> Path:
    """The folder `store/key/name`, which `write` fills when it is not there yet.

    key: says what is unpacked, so that the same is not unpacked twice; what had another name then keeps it. usable: of
    `store/key`, False to unpack it anew. Another process that unpacks it is waited for; what a killed one left behind
    is thrown away. Raises `BadRequest` without a store, `DiskFull`, `StorageProblem`, and what `write` and `progress`
    raise; then nothing is left.
    """
    if store is None:
        raise BadRequest(
            f"{source.name} has to be unpacked, and there is no place for that.",
            next_step="Name a workspace to unpack it into, or unpack it by hand and give the folder.",
        )
    target, partial = store / key, store / f".{key}.partial"

    def waiting() -> None:
        progress(0, 0, f"Waiting for another process that unpacks {source.name}")

    with held(store / ".locks" / key, waiting):
        # looked up under the lock: another process may just have finished the very same work
        if (there := inside(target)) is None or not usable(target):
            with storage_problems(target):
                _remove_abandoned(store)
                shutil.rmtree(partial, ignore_errors=True)
                try:
                    (partial / name).mkdir(parents=True)
                    write(partial / name)
                    shutil.rmtree(target, ignore_errors=True)
                    os.replace(partial, target)
                finally:
                    shutil.rmtree(partial, ignore_errors=True)
                there = target / name
                mark_used(target)
                _make_room(store)
        else:
            mark_used(target)
    return there


def inside(copy: Path) -> Path | None:
    """The folder that was filled; None where there is none, or somebody has taken it away."""
    return next((one for one in copy.iterdir() if one.is_dir()), None) if copy.is_dir() else None


def _make_room(store: Path) -> None:
    """Remove copies that no analysis uses, those used longest ago first, until the others fit."""
    used = _of_analyses(store)
    copies = [folder for folder in store.iterdir() if COPY.fullmatch(folder.name) and folder.name not in used]
    copies.sort(key=changed_at, reverse=True)
    kept = 0
    counted: set[int] = set()
    for copy in copies:
        kept += (size := _size_of(copy, counted))
        if kept > MOST_BYTES and _remove(store, copy):
            kept -= size


def _remove(store: Path, copy: Path) -> bool:
    """Whether it went. As a whole: what is half removed would be taken for a copy."""
    with held_if_free(store / ".locks" / copy.name) as is_free, held_if_free(_readers(copy)) as is_unread:
        # looked at under the locks: somebody may have opened it, or finished an analysis of it, a moment ago
        is_recent = time.time() - changed_at(copy) < IN_USE_SECONDS
        if not is_free or not is_unread or is_recent or copy.name in _of_analyses(store):
            return False
        going = store / f".{copy.name}.partial"
        shutil.rmtree(going, ignore_errors=True)
        try:
            os.replace(copy, going)
        except OSError:
            return False
        shutil.rmtree(going, ignore_errors=True)
        return True


def _readers(copy: Path) -> Path:
    """The lock that whoever reads pictures of a copy has a share of. Another one than that of unpacking, which nobody
    should have to wait for as long as a training lasts."""
    return copy.parent / ".locks" / f"{copy.name}.readers"


def _of_analyses(store: Path) -> set[str]:
    """Names of the copies that analyses of the workspace have their pictures in."""
    found: set[str] = set()
    for description in store.parent.glob("analyses/*/analysis.json"):
        with suppress(OSError):
            found.update(COPY.findall(description.read_text(encoding="utf-8", errors="replace")))
    return found


def changed_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _size_of(copy: Path, counted: set[int]) -> int:
    """Bytes of its files without those that it shares with a copy that was `counted`, to which its own are added."""
    size = 0
    for folder, _, names in os.walk(copy):
        for name in names:
            with suppress(OSError):
                status = os.lstat(f"{folder}/{name}")
                if status.st_nlink > 1 and status.st_ino in counted:
                    continue
                if status.st_nlink > 1:
                    counted.add(status.st_ino)
                size += status.st_size
    return size


def check_space(folder: Path, needed: int, what: str) -> None:
    """Raise `DiskFull` unless so many bytes more fit where the folder lies."""
    free = shutil.disk_usage(folder).free
    if free < needed + SPARE_BYTES:
        raise DiskFull(
            f"Unpacking {what} takes {_size(needed)}, and {_size(free)} are free where the workspace lies.",
            next_step="Free some space, or choose a workspace on another disk.",
        )


def _size(count: int) -> str:
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:,.0f} MB"


def _remove_abandoned(store: Path) -> None:
    """Delete what killed processes have left of other work a week ago."""
    for folder in store.glob(".*.partial"):
        with suppress(OSError):
            if time.time() - folder.stat().st_mtime > ABANDONED_SECONDS:
                key = folder.name.removeprefix(".").removesuffix(".partial")
                with held_if_free(store / ".locks" / key) as is_free:
                    if is_free:
                        shutil.rmtree(folder, ignore_errors=True)
