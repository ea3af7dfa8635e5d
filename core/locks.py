"""Locks between processes, each a file: a process that ends, even if it is killed, lets go of all it had."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from core.files import storage_problems

# seconds between two looks at a lock that another process has
_LOOK_AGAIN = 0.2


@contextmanager
def held(lock_file: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold a lock, which a killed process loses by itself. Raises `DiskFull`, `StorageProblem`.

    waiting: called again and again while another process has it; what it raises ends the wait.
    """
    with storage_problems(lock_file):
        lock_file.parent.mkdir(parents=True, exist_ok=True)
        lock = open(lock_file, "ab")  # noqa: SIM115  # closed by the next line, outside of this translation of errors
    with lock:
        while not _locked(lock.fileno()):
            waiting()
            time.sleep(_LOOK_AGAIN)
        yield


class Share:
    """A share of a lock, had until this is forgotten or the process ends: any number may have one, and nobody then has
    the lock itself. Raises `OSError` where the lock cannot be written."""

    def __init__(self, lock_file: Path) -> None:
        self._descriptor = -1
        lock_file.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(lock_file, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
        fcntl.flock(self._descriptor, fcntl.LOCK_SH)

    def __del__(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)


@contextmanager
def held_if_free(lock_file: Path) -> Iterator[bool]:
    """Whether the lock could be had, for the length of the block; nobody is waited for."""
    lock_file.parent.mkdir(parents=True, exist_ok=True)
    with open(lock_file, "ab") as lock:
        yield _locked(lock.fileno())


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Wait for whoever else is in there by this function, and have them wait. The folder itself is the lock, where no
    file of ours should lie. Raises `OSError` where there is no such folder."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
