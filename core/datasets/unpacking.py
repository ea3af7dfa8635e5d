"""Unpacking into a folder that is whole or absent: done once, in a hidden folder that gets its name at the end.

What no analysis uses is bounded: beyond `MOST_BYTES` the copies that were used longest ago go. They come back by
themselves when what they were made of is opened again.
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
from core.files import held, held_if_free, mark_used, storage_problems
from core.progress import Progress

# bytes left free beyond what is unpacked
SPARE_BYTES = 256 * 2**20
# bytes copied at once
BLOCK = 2**20
# hidden folders untouched for longer belong to nobody any more
ABANDONED_SECONDS = 7 * 24 * 3600
# of copies that no analysis uses
MOST_BYTES = 10 * 10**9
# a copy used since may be looked at right now; nothing goes while a pass has noted its state since
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

    with storage_problems(target), held(store / ".locks" / key, waiting):
        # looked up under the lock: another process may just have finished the very same work
        if (there := inside(target)) is None or not usable(target):
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
    now = time.time()
    notes = (journal for journal in store.parent.glob("analyses/.*.partial/*") if journal.is_file())
    if any(now - _changed(note) < IN_USE_SECONDS for note in notes):
        # a pass reads pictures of one of them, and which is written nowhere yet
        return
    used = _of_analyses(store)
    copies = [folder for folder in store.iterdir() if COPY.fullmatch(folder.name) and folder.name not in used]
    copies.sort(key=_changed, reverse=True)
    kept = 0
    for copy in copies:
        kept += (size := _size_of(copy))
        if kept > MOST_BYTES and now - _changed(copy) > IN_USE_SECONDS:
            with held_if_free(store / ".locks" / copy.name) as is_free:
                if is_free:
                    _remove(store, copy)
                    kept -= size


def _remove(store: Path, copy: Path) -> None:
    """As a whole: what is half removed would be taken for a copy."""
    going = store / f".{copy.name}.partial"
    shutil.rmtree(going, ignore_errors=True)
    with suppress(OSError):
        os.replace(copy, going)
    shutil.rmtree(going, ignore_errors=True)


def _of_analyses(store: Path) -> set[str]:
    """Names of the copies that analyses of the workspace have their pictures in."""
    found: set[str] = set()
    for description in store.parent.glob("analyses/*/analysis.json"):
        with suppress(OSError):
            found.update(COPY.findall(description.read_text(encoding="utf-8", errors="replace")))
    return found


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _size_of(copy: Path) -> int:
    """Bytes that would be free without it: a file that another copy shares counts for both."""
    size = 0
    for folder, _, names in os.walk(copy):
        for name in names:
            with suppress(OSError):
                size += os.lstat(f"{folder}/{name}").st_size
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
