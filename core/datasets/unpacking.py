"""Unpacking into a folder that is whole or absent: done once, in a hidden folder that gets its name at the end."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from core.errors import BadRequest, DiskFull
from core.files import storage_problems
from core.progress import Progress

# bytes left free beyond what is unpacked
SPARE_BYTES = 256 * 2**20
# bytes copied at once
BLOCK = 2**20
# hidden folders untouched for longer belong to nobody any more
ABANDONED_SECONDS = 7 * 24 * 3600


def unpacked(
    source: Path, store: Path | None, key: str, name: str, write: Callable[[Path], None], progress: Progress
) -> Path:
    """The folder `store/key/name`, which `write` fills when it is not there yet.

    key: says what is unpacked, so that the same is not unpacked twice; what had another name then keeps it. Another
    process that unpacks it is waited for; what a killed one left behind is thrown away. Raises `BadRequest` without a
    store, `DiskFull`, `StorageProblem`, and what `write` and `progress` raise; then nothing is left.
    """
    if store is None:
        raise BadRequest(
            f"{source.name} has to be unpacked, and there is no place for that.",
            next_step="Name a workspace to unpack it into, or unpack it by hand and give the folder.",
        )
    target, partial = store / key, store / f".{key}.partial"
    with storage_problems(target):
        store.mkdir(parents=True, exist_ok=True)
        with _alone(store / ".locks" / key, progress, source.name):
            # looked up under the lock: another process may just have finished the very same work
            if (there := _inside(target)) is None:
                _remove_abandoned(store)
                shutil.rmtree(partial, ignore_errors=True)
                shutil.rmtree(target, ignore_errors=True)
                try:
                    (partial / name).mkdir(parents=True)
                    write(partial / name)
                    os.replace(partial, target)
                finally:
                    shutil.rmtree(partial, ignore_errors=True)
                there = target / name
    return there


def _inside(target: Path) -> Path | None:
    """The folder that was filled; None where there is none, or somebody has taken it away."""
    return next((one for one in target.iterdir() if one.is_dir()), None) if target.is_dir() else None


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


@contextmanager
def _alone(lock_file: Path, progress: Progress, name: str) -> Iterator[None]:
    """Hold a lock; a killed process loses it by itself."""
    lock_file.parent.mkdir(parents=True, exist_ok=True)
    with open(lock_file, "ab") as lock:
        while not _locked(lock.fileno()):
            progress(0, 0, f"Waiting for another process that unpacks {name}")
            time.sleep(0.2)
        yield


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _remove_abandoned(store: Path) -> None:
    """Delete what killed processes have left of other work a week ago."""
    for folder in store.glob(".*.partial"):
        with suppress(OSError):
            if time.time() - folder.stat().st_mtime > ABANDONED_SECONDS:
                key = folder.name.removeprefix(".").removesuffix(".partial")
                with open(store / ".locks" / key, "ab") as lock:
                    if _locked(lock.fileno()):
                        shutil.rmtree(folder, ignore_errors=True)
