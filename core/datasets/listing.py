"""What lies in a folder: names, sizes and modification times, from one walk."""

from __future__ import annotations

import os
import stat
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from core.datasets.dataset import Problem
from core.datasets.images import is_image_name

# Left behind by operating systems; nobody wants to read about them in a list of problems.
_CLUTTER = frozenset({"thumbs.db", "desktop.ini", "__macosx"})


USUAL_SUFFIXES = (".jpg", ".png", ".jpeg", ".JPG", ".PNG", ".JPEG", ".tif", ".tiff", ".webp", ".bmp")
"""Endings that are tried for names that have none."""

ABSENT = "the file is not there"
LEAVES = "a link that leaves the dataset folder"

LOOK = 2_000
"""Entries that are looked at to recognise what a folder holds."""


@dataclass
class Listing:
    """Files that may be opened, in no particular order, and what was found but left out.

    names: posix paths relative to the root. sizes: bytes. modified: nanoseconds.
    """

    names: list[str] = field(default_factory=list)
    sizes: array[int] = field(default_factory=lambda: array("q"))
    modified: array[int] = field(default_factory=lambda: array("q"))
    problems: list[Problem] = field(default_factory=list)

    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """Sizes and modification times, each (n,) int64."""
        return np.array(self.sizes, dtype=np.int64), np.array(self.modified, dtype=np.int64)


def is_clutter(name: str) -> bool:
    return name.startswith(".") or name.lower() in _CLUTTER


def subfolders(folder: Path) -> list[Path]:
    """Real folders (no links) directly inside, sorted by name, without clutter; none in one that cannot be opened,
    which `list_files` tells."""
    try:
        with os.scandir(folder) as entries:
            found = [e.name for e in entries if not is_clutter(e.name) and e.is_dir(follow_symlinks=False)]
    except OSError:
        return []
    return [folder / name for name in sorted(found) if _is_text(name)]


def holds_image(folder: Path, *, deep: bool = True) -> bool:
    """Whether a file in it is called like an image, as far as a short look tells: `LOOK` entries."""
    pending, seen = [str(folder)], 0
    while pending and seen < LOOK:
        try:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    seen += 1
                    if is_clutter(entry.name):
                        continue
                    if is_image_name(entry.name):
                        return True
                    if deep and entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
                    if seen >= LOOK:
                        break
        except OSError:
            continue
    return False


def names_in(root: Path, inner: str) -> list[str]:
    """Names relative to the root of what lies directly in a folder below it, without clutter and without a look at
    anything; none where there is no such folder or it leads out of the root."""
    try:
        if not _stays(root, f"{root}/{inner}"):
            return []
        with os.scandir(root / inner) as entries:
            prefix = f"{inner}/" if inner else ""
            return [prefix + entry.name for entry in entries if not is_clutter(entry.name) and _is_text(entry.name)]
    except (OSError, ValueError):
        return []


def first_file(folder: Path) -> str | None:
    """The name of some file in it, relative to it; None where there is none."""
    return next((name for _, name in _walk(folder, folder, [], deep=True)), None)


def list_files(root: Path, inside: Path | None = None, *, deep: bool = True) -> Listing:
    """Every file under `inside` (the root itself unless told), with its sub-folders when `deep`.

    root: resolved. Nothing outside it is ever opened: links to files elsewhere become problems, links to folders
    are not followed (they could also make the walk endless).
    """
    listing = Listing()
    for entry, name in _walk(root, inside or root, listing.problems, deep):
        try:
            if entry.is_symlink() and not _stays(root, entry.path):
                listing.problems.append(Problem(name, LEAVES))
                continue
            if not entry.is_file():
                reason = "a broken link" if entry.is_symlink() else "not a regular file"
                listing.problems.append(Problem(name, reason))
                continue
            status = entry.stat()
        except OSError as error:
            listing.problems.append(Problem(name, f"cannot be looked at: {error.strerror or error}"))
            continue
        listing.names.append(name)
        listing.sizes.append(status.st_size)
        listing.modified.append(status.st_mtime_ns)
    return listing


@dataclass
class Found:
    """What was found of some names, an entry each. sizes: (n,) int64, bytes; modified: (n,) int64, nanoseconds; both 0
    where there is a reason. reasons: why a name cannot be used, "" where it can."""

    sizes: np.ndarray
    modified: np.ndarray
    reasons: list[str]


def look_up(root: Path, names: Sequence[str]) -> Found:
    """Look at files by name, without a walk over all the others. root: resolved. names: posix paths relative to it.

    Nothing outside the root is looked at: a link out of it, of the file or of a folder on the way, is a reason.
    """
    sizes, modified = array("q", bytes(8 * len(names))), array("q", bytes(8 * len(names)))
    reasons = [""] * len(names)
    prefix = str(root).rstrip("/") + "/"
    folders: dict[str, str] = {}
    for place, name in enumerate(names):
        folder = name.rpartition("/")[0]
        reason = folders.get(folder)
        if reason is None:
            reason = folders[folder] = _reason_of_folder(root, prefix + folder)
        if not reason:
            try:
                status = os.lstat(prefix + name)
                if stat.S_ISLNK(status.st_mode):
                    reason = "" if _stays(root, prefix + name) else LEAVES
                    status = status if reason else os.stat(prefix + name)
                if not reason and not stat.S_ISREG(status.st_mode):
                    reason = "not a regular file"
                if not reason:
                    sizes[place], modified[place] = status.st_size, status.st_mtime_ns
            except (FileNotFoundError, NotADirectoryError, ValueError):
                reason = ABSENT
            except OSError as error:
                reason = f"cannot be looked at: {error.strerror or error}"
        reasons[place] = reason
    return Found(np.array(sizes, dtype=np.int64), np.array(modified, dtype=np.int64), reasons)


def _reason_of_folder(root: Path, folder: str) -> str:
    try:
        return "" if _stays(root, folder) else LEAVES
    except (OSError, ValueError):
        return ABSENT


def _stays(root: Path, path: str) -> bool:
    return Path(os.path.realpath(path)).is_relative_to(root)


def _walk(root: Path, start: Path, problems: list[Problem], deep: bool) -> Iterator[tuple[os.DirEntry[str], str]]:
    """Entries that are not folders, each with its name relative to the root."""
    prefix = start.relative_to(root).as_posix()
    pending = [(str(start), "" if prefix == "." else prefix + "/")]
    while pending:
        folder, prefix = pending.pop()
        try:
            entries = os.scandir(folder)
        except OSError as error:
            problems.append(Problem(prefix.rstrip("/") or ".", f"cannot be opened: {error.strerror or error}"))
            continue
        with entries:
            for entry in entries:
                if is_clutter(entry.name):
                    continue
                name = prefix + entry.name
                if not _is_text(entry.name):
                    readable = name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
                    problems.append(Problem(readable, "its name is not valid UTF-8: rename it"))
                elif entry.is_dir(follow_symlinks=False):
                    if deep:
                        pending.append((entry.path, name + "/"))
                elif entry.is_symlink() and os.path.isdir(entry.path):
                    problems.append(Problem(name, "a link to a folder: links to folders are not followed"))
                else:
                    yield entry, name


def _is_text(name: str) -> bool:
    """False for names with bytes that are not UTF-8; Python carries those as lone surrogates."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
