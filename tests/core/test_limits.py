"""Room on the disk and memory: what is refused, and in which words."""

from __future__ import annotations

import mmap
from pathlib import Path

import psutil
import pytest

from core import limits
from core.errors import BadRequest, DiskFull, OutOfMemory
from core.settings import DEFAULTS


@pytest.mark.parametrize(("text", "bytes_"), [("4GB", 4 * 10**9), ("1.5 g", 15 * 10**8), ("12", 12), ("3 kb", 3000)])
def test_sizes_are_read_as_people_write_them(text: str, bytes_: int) -> None:
    assert limits.parse_size(text) == bytes_


@pytest.mark.parametrize("text", ["", "much", "-1GB", "4 GiB", "1e9"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(BadRequest):
        limits.parse_size(text)


def test_disk_must_hold_what_is_needed_and_the_reserve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "free_bytes", lambda path: DEFAULTS.disk_reserve + 1000)
    limits.require_disk(tmp_path, 1000, "This export")
    limits.watch_disk(tmp_path)
    with pytest.raises(DiskFull, match="This export needs about"):
        limits.require_disk(tmp_path, 1001, "This export")
    monkeypatch.setattr(limits, "free_bytes", lambda path: DEFAULTS.disk_reserve - 1)
    with pytest.raises(DiskFull, match="before the disk is full"):
        limits.watch_disk(tmp_path)


def test_room_for_a_folder_that_is_not_there_is_that_of_its_disk(tmp_path: Path) -> None:
    assert limits.free_bytes(tmp_path / "a" / "b") > 0


def test_memory_maps_of_files_are_not_held(tmp_path: Path) -> None:
    import numpy as np

    size = 64 * 10**6
    np.save(tmp_path / "features.npy", np.ones(size // 4, dtype=np.float32))
    own = [psutil.Process()]
    before = limits.held_memory(own)
    mapped = np.load(tmp_path / "features.npy", mmap_mode="r")
    assert float(mapped.sum()) == size // 4
    assert limits.held_memory(own) - before < size // 2
    # pages from the system itself: an array may be given room that this process freed earlier and still holds
    with mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as held:
        held[:] = b"\x01" * size
        assert limits.held_memory(own) - before > size // 2


def test_limit_of_memory_is_named_with_what_was_held() -> None:
    limits.require_memory(10, None)
    limits.require_memory(10, 10)
    with pytest.raises(OutOfMemory, match=r"held 3\.0 GB, and 2\.0 GB"):
        limits.require_memory(3 * 10**9, 2 * 10**9)


def test_limit_of_a_job_is_what_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(limits.MEMORY_VARIABLE, "2GB")
    assert limits.default_memory_limit() == 2 * 10**9
    monkeypatch.delenv(limits.MEMORY_VARIABLE)
    assert 0 < limits.default_memory_limit() < limits.machine_memory()
