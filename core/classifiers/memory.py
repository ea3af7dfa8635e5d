"""How much memory is free: of the machine, or of the part of it that a container has.

Linux limits groups of processes, which lie in each other; every limit on the way to the root counts. The first version
of such groups (cgroups) and the second write the same under other names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

# how spaces and the like are written in the list of what is mounted
_ESCAPED = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True)
class _Version:
    """kind: of file system. controller: among what a group of the first version is for, "" in the second. limit, usage:
    files of bytes; "max" is no limit. cached: what of the usage is given back when it is needed, in memory.stat."""

    kind: str
    controller: str
    limit: str
    usage: str
    cached: tuple[str, ...]


_VERSIONS = (
    _Version("cgroup2", "", "memory.max", "memory.current", ("active_file", "inactive_file")),
    _Version(
        *("cgroup", "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
        ("total_active_file", "total_inactive_file"),
    ),
)


def free_bytes(root: Path = Path("/")) -> int:
    """root: of the file system that describes the groups."""
    return min([int(psutil.virtual_memory().available), *_left(root)])


def _left(root: Path) -> Iterator[int]:
    """Bytes that each group which this process is in may still take, as far as it is limited."""
    for version in _VERSIONS:
        for folder in _groups(root, version):
            # no such file in the topmost group, or one that may not be read
            with suppress(OSError, ValueError):
                limit = int((folder / version.limit).read_text())
                usage = int((folder / version.usage).read_text())
                yield max(0, limit - usage + _cached(folder, version))


def _cached(folder: Path, version: _Version) -> int:
    try:
        facts = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        return sum(int(facts[name]) for name in version.cached)
    except (OSError, ValueError, KeyError):
        return 0


def _groups(root: Path, version: _Version) -> Iterator[Path]:
    """Folders of the group that this process is in and of those around it, from the inside out."""
    path = _path(root, version)
    mounted = None if path is None else _mounted(root, version)
    if path is None or mounted is None:
        return
    top, place = mounted
    # inside a container, only its own part of all groups may be mounted, while the path is that of the machine
    inner = path.relative_to(top) if path.is_relative_to(top) else Path()
    folder = root / place.relative_to("/")
    for below in (inner, *inner.parents):
        if ".." not in below.parts:
            yield folder / below


def _path(root: Path, version: _Version) -> Path | None:
    """Of the group, as the kernel calls it."""
    with suppress(OSError, ValueError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if version.controller in controllers.split(","):
                return Path(path)
    return None


def _mounted(root: Path, version: _Version) -> tuple[Path, Path] | None:
    """Which group is to be seen, and where."""
    with suppress(OSError, ValueError, IndexError):
        for line in (root / "proc/self/mountinfo").read_text().splitlines():
            before, _, after = line.partition(" - ")
            kind, _, options = after.split(" ", 2)
            if kind == version.kind and version.controller in ("", *options.split(",")):
                top, place = (_ESCAPED.sub(lambda code: chr(int(code[1], 8)), one) for one in before.split(" ")[3:5])
                return Path(top), Path(place)
    return None
