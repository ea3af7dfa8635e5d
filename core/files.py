"""Files that are whole or absent: written beside their target, then renamed over it."""

from __future__ import annotations

import errno
import hashlib
import json
import mmap
import os
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np

from core.errors import DiskFull, PathNotFound, StorageProblem

# Reading it means setting it, which other threads would notice: once, at import.
_UMASK = os.umask(0o022)
os.umask(_UMASK)

# of a file on this machine, up to the slash its path begins with
_ADDRESS = re.compile(r"file:(?://(?:localhost)?)?(?=/)", re.IGNORECASE)

# what the system says of a place where nothing of that name can be: below a file, in no file system, too long a name
_NO_SUCH_PLACE = (errno.ENOTDIR, errno.ENOENT, errno.EEXIST, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP)


def resolved(path: Path | str, *, advice: str) -> Path:
    """The absolute path that a person meant, `~` expanded, as `unwrapped` reads it; nothing has to be there.

    advice: the next step when the text cannot be a path at all (too long, unknown user, ...): raises `PathNotFound`.
    """
    text = unwrapped(path) if isinstance(path, str) else str(path)
    if not text.strip():
        raise PathNotFound("No path was given.", next_step=advice)
    try:
        place = Path(text).expanduser().resolve()
        place.exists()
    except (OSError, RuntimeError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        shown = text if len(text) <= 100 else f"{text[:100]}…"
        raise PathNotFound(f"{shown!r} is not a path: {reason}.", next_step=advice) from error
    return place


def unwrapped(text: str) -> str:
    """A path without what came along when it was copied: spaces around it, a pair of quotes, `file://` of a browser or
    file manager (with its %20). A name that is written so and is there stays as it is."""
    with suppress(OSError, ValueError):
        if os.path.lexists(text):
            return text
    text = text.strip()
    with suppress(OSError, ValueError):
        if os.path.lexists(text):
            return text
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        text = text[1:-1].strip()
    address = _ADDRESS.match(text)
    return unquote(text[address.end() :]) if address else text


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the target's folder; on success it becomes `path`, on any failure it is removed.

    Raises `DiskFull` or `StorageProblem` in place of the operating system's own errors.
    """
    with storage_problems(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
        os.close(handle)
        beside = Path(name)
        try:
            yield beside
            with open(beside, "rb") as written:
                os.fsync(written.fileno())
            # mkstemp makes files private; what lies in a workspace follows the umask like any other file
            beside.chmod(0o666 & ~_UMASK)
            os.replace(beside, path)
            sync_folder(path.parent)
        finally:
            beside.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on the disk: a renamed file is there after a power cut only then. Raises `OSError`."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # some network file systems refuse it of folders, and write names through
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


@contextmanager
def storage_problems(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals to write into errors with a next step."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(
                f"The disk that holds {path.parent} is full.",
                next_step="Free some space, or choose a workspace on another disk, then try again.",
            ) from error
        if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
            raise StorageProblem(
                f"Writing {path.name} in {path.parent} is not allowed.",
                next_step="Choose a workspace folder that you may write to.",
            ) from error
        if error.errno in _NO_SUCH_PLACE:
            raise StorageProblem(
                f"{path.name} cannot be made in {path.parent} ({error.strerror}).",
                next_step="Choose another folder: something on the way to this one is not a folder.",
            ) from error
        raise


def write_json(path: Path, value: Any) -> None:
    with replacing(path) as beside:
        beside.write_text(json_text(value), encoding="utf-8")


def json_text(value: Any) -> str:
    """JSON as it lies in files."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def write_array(path: Path, array: np.ndarray) -> None:
    """Write a plain `.npy` (never an object array, which would be pickled)."""
    with replacing(path) as beside, open(beside, "wb") as target:
        np.save(target, array, allow_pickle=False)


def read_array(path: Path, *, mapped: bool = True) -> np.ndarray:
    """Open a `.npy`, memory-mapped read-only unless told otherwise. Raises `OSError`, or `ValueError` for whatever else
    keeps a damaged file (an empty one, half a one, another format) from being an array."""
    try:
        # numpy.load would open archives as well
        if mapped:
            return np.lib.format.open_memmap(path, mode="r")
        with open(path, "rb") as source:
            return np.lib.format.read_array(source, allow_pickle=False)
    except (OSError, ValueError, MemoryError):
        raise
    except Exception as error:
        # what numpy's reader of headers lets through: EOFError, TokenError, TypeError, ...
        raise ValueError(f"{path.name} is not an array ({type(error).__name__}: {error})") from error


def marks_of(path: Path) -> tuple[tuple[str, int, int], ...]:
    """Name, modification time (ns) and bytes of a file, or of each file directly in a folder: they tell of a change.

    Raises `OSError` where nothing is there.
    """
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    stats = [(file.name, file.stat()) for file in files]
    return tuple((name, status.st_mtime_ns, status.st_size) for name, status in stats)


def mark_used(path: Path) -> None:
    """Note that a file or folder was used just now, for whoever removes what was used longest ago. Raises `OSError`
    where it is gone; one that may not be written to is left as it is."""
    with suppress(PermissionError):
        # given exactly: the system's own "now" ticks every few milliseconds only
        os.utime(path, ns=(time.time_ns(),) * 2)


def release(array: np.ndarray) -> None:
    """Let the system take back the memory of a read-only map; what is read again comes from the file again.

    For maps that are read from end to end, or here and there: every page that was touched counts as this process's
    memory until somebody else needs it.
    """
    while isinstance(array.base, np.ndarray):
        array = array.base
    if isinstance(array, np.memmap) and array.mode == "r" and isinstance(array.base, mmap.mmap):
        array.base.madvise(mmap.MADV_DONTNEED)


def slug(text: str) -> str:
    """A file name that says what it holds and cannot leave its folder: letters and digits, then a hash of it all."""
    readable = re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-").lower()[:40]
    return f"{readable}-{digest(text)}" if readable else digest(text)


def digest(*parts: str | bytes, length: int = 12) -> str:
    """Hexadecimal SHA-256 of the parts, each preceded by its length so that ("ab", "c") differs from ("a", "bc")."""
    state = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogateescape") if isinstance(part, str) else part
        state.update(len(data).to_bytes(8, "little"))
        state.update(data)
    return state.hexdigest()[:length]


def file_digest(path: Path, length: int = 12) -> str:
    """Hexadecimal SHA-256 of a file's content, read in blocks."""
    with open(path, "rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()[:length]
