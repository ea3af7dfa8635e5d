"""What work may take of the machine: room on the disk, checked before and watched during it, and memory.

Sizes are bytes; people read them in GB (10^9 bytes), as disks are sold and file managers count.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

import psutil

from core.errors import BadRequest, DiskFull, OutOfMemory, StorageProblem
from core.settings import DEFAULTS

# what a limit may be given in
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)B?\s*", re.IGNORECASE)
# where a container says how much memory it was given
_CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
MEMORY_VARIABLE = "MIDBAND_JOB_MEMORY"


def size_text(count: float) -> str:
    """3_100_000_000 -> "3.1 GB"."""
    for unit, factor in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= factor:
            return f"{count / factor:,.1f} {unit}"
    return f"{count:,.0f} bytes"


def parse_size(text: str) -> int:
    """ "4GB" -> 4_000_000_000. Raises `BadRequest`."""
    found = _SIZE.fullmatch(text)
    if found is None:
        raise BadRequest(f"{text!r} is no size.", next_step="Write it as in 4GB or 500MB.")
    return int(float(found[1]) * _UNITS[found[2].upper()])


def free_bytes(path: Path) -> int:
    """Room that is left on the disk which holds, or would hold, this path. Raises `StorageProblem`."""
    place = path
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        return shutil.disk_usage(place).free
    except OSError as error:
        raise StorageProblem(
            f"The disk that holds {path} does not answer ({error.strerror}).", next_step="Check that it is connected."
        ) from error


def require_disk(path: Path, needed: int, what: str) -> None:
    """Raise `DiskFull` unless `needed` bytes fit on the disk of `path` and the reserve stays free.

    what: the subject of the sentence, such as "This export".
    """
    free = free_bytes(path)
    if needed + DEFAULTS.disk_reserve > free:
        raise DiskFull(
            f"{what} needs about {size_text(needed)}, {size_text(free)} free on the disk of {path} "
            f"({size_text(DEFAULTS.disk_reserve)} of it are kept for the database).",
            next_step="Free some space, or choose a workspace on another disk, then try again.",
        )


def watch_disk(path: Path) -> None:
    """To be called while work writes: raises `DiskFull` as soon as only the reserve is left."""
    free = free_bytes(path)
    if free < DEFAULTS.disk_reserve:
        raise DiskFull(
            f"Only {size_text(free)} are left on the disk of {path}; it was stopped before the disk is full.",
            next_step="Free some space, then start it again.",
        )


def machine_memory() -> int:
    """Bytes of memory this machine, or the container we are in, has."""
    limits = [psutil.virtual_memory().total]
    for file in _CGROUP_LIMITS:
        try:
            text = file.read_text().strip()
        except OSError:
            # not this kind of system
            continue
        if text.isdigit():
            limits.append(int(text))
    return min(limits)


def default_memory_limit() -> int:
    """Bytes a job may hold: `MIDBAND_JOB_MEMORY` ("4GB"), else a share of the machine. Raises `BadRequest`."""
    chosen = os.environ.get(MEMORY_VARIABLE, "").strip()
    return parse_size(chosen) if chosen else int(DEFAULTS.job_memory_share * machine_memory())


def held_memory(processes: Iterable[psutil.Process]) -> int:
    """Bytes that these processes together keep from others: what the system cannot take back by dropping file pages.

    Memory maps of files do not count: reading 20 GB of features that way is no need of 20 GB. What processes share
    counts once (Linux: the proportional set sizes of anonymous and shared memory; elsewhere resident sizes).
    """
    return sum(_held(process) for process in processes)


def require_memory(held: int, limit: int | None) -> None:
    """Raise `OutOfMemory` when a job holds more bytes than its limit."""
    if limit is not None and held > limit:
        raise OutOfMemory(
            f"Out of memory: it held {size_text(held)}, and {size_text(limit)} is the limit for one job.",
            next_step=f"Use fewer or smaller images, or raise the limit with {MEMORY_VARIABLE}=… where the server "
            "is started.",
        )


def _held(process: psutil.Process) -> int:
    try:
        fields = _rollup(Path(f"/proc/{process.pid}/smaps_rollup").read_text())
    except OSError:
        fields = {}
    if "Pss_Anon" in fields:
        return fields["Pss_Anon"] + fields.get("Pss_Shmem", 0)
    try:
        info = process.memory_info()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0
    return max(info.rss - getattr(info, "shared", 0), 0)


def _rollup(text: str) -> dict[str, int]:
    """Bytes by name of the lines "Name:   123 kB"."""
    lines = (line.split() for line in text.splitlines())
    return {parts[0].rstrip(":"): 1024 * int(parts[1]) for parts in lines if len(parts) == 3 and parts[2] == "kB"}
