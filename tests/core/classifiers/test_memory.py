"""Memory is what the machine has free, or a container of it, whichever is less."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from core.classifiers.memory import free_bytes

MB = 2**20
MACHINE = 64_000 * MB

Plant = Callable[..., Path]

FIRST = "36 35 0:32 {top} {place} rw,relatime - cgroup cgroup rw,memory\n"
SECOND = "31 23 0:28 {top} {place} rw,nosuid - cgroup2 cgroup2 rw\n"
OTHERS = (
    "23 1 8:1 / / rw - ext4 /dev/root rw\n"
    "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n"
    "33 31 0:31 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"
)


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=MACHINE))


@pytest.fixture
def plant(tmp_path: Path) -> Plant:
    """plant(groups, mounts): what the kernel says of a process; returns the root of the file system."""

    def write(groups: str, mounts: str) -> Path:
        own = tmp_path / "proc/self"
        own.mkdir(parents=True)
        (own / "cgroup").write_text(groups)
        (own / "mountinfo").write_text(OTHERS + mounts)
        return tmp_path

    return write


def second(folder: Path, limit: int | None, usage: int, cached: int = 0) -> None:
    """In MB."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "memory.max").write_text("max\n" if limit is None else f"{limit * MB}\n")
    (folder / "memory.current").write_text(f"{usage * MB}\n")
    (folder / "memory.stat").write_text(f"anon 5\nactive_file {cached * MB // 2}\ninactive_file {cached * MB // 2}\n")


def first(folder: Path, limit: int | None, usage: int, cached: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "memory.limit_in_bytes").write_text(f"{2**63 - 4096 if limit is None else limit * MB}\n")
    (folder / "memory.usage_in_bytes").write_text(f"{usage * MB}\n")
    # the same names without `total_` are of this group alone, not of those in it
    shares = (
        f"active_file 7\ninactive_file 7\ntotal_active_file {cached * MB // 2}\ntotal_inactive_file {cached * MB // 2}"
    )
    (folder / "memory.stat").write_text(f"{shares}\n")


def test_a_container_of_the_second_version(plant: Plant) -> None:
    root = plant("0::/\n", SECOND.format(top="/", place="/sys/fs/cgroup"))
    second(root / "sys/fs/cgroup", 4000, 1500, cached=600)
    assert free_bytes(root) == 3100 * MB


def test_every_group_around_counts_and_max_is_no_limit(plant: Plant) -> None:
    root = plant("0::/user.slice/app.scope\n", SECOND.format(top="/", place="/sys/fs/cgroup"))
    second(root / "sys/fs/cgroup/user.slice/app.scope", None, 100)
    assert free_bytes(root) == MACHINE
    second(root / "sys/fs/cgroup/user.slice", 2000, 1900)
    assert free_bytes(root) == 100 * MB
    second(root / "sys/fs/cgroup/user.slice/app.scope", 50, 100)
    assert free_bytes(root) == 0


def test_a_container_of_the_first_version(plant: Plant) -> None:
    groups = "9:name=systemd:/\n5:cpuset:/\n4:memory,hugetlb:/docker/abc\n0::/\n"
    root = plant(groups, FIRST.format(top="/", place="/sys/fs/cgroup/memory"))
    first(root / "sys/fs/cgroup/memory", None, 50_000)
    assert free_bytes(root) == MACHINE
    first(root / "sys/fs/cgroup/memory/docker/abc", 3000, 2500, cached=100)
    assert free_bytes(root) == 600 * MB


@pytest.mark.parametrize("top", ["/docker/abc", "/docker", "/elsewhere"])
def test_a_container_sees_its_own_part_of_the_groups(plant: Plant, top: str) -> None:
    """Its path is that of the machine, while what is mounted begins further in."""
    root = plant("4:memory:/docker/abc\n", FIRST.format(top=top, place="/sys/fs/cgroup/memory"))
    first(root / "sys/fs/cgroup/memory" / ("abc" if top == "/docker" else ""), 3000, 2000)
    assert free_bytes(root) == 1000 * MB


def test_limits_beyond_the_machine_are_none(plant: Plant) -> None:
    root = plant("0::/\n", SECOND.format(top="/", place="/sys/fs/cgroup"))
    second(root / "sys/fs/cgroup", 100_000, 1)
    assert free_bytes(root) == MACHINE


def test_places_with_spaces_and_paths_that_lead_out(plant: Plant, tmp_path: Path) -> None:
    root = plant("0::/../other\n", SECOND.format(top="/", place="/my\\040groups"))
    second(root / "my groups", 700, 200)
    second(root / "other", 10, 10)
    assert free_bytes(root) == 500 * MB


@pytest.mark.parametrize("name", ["memory.max", "memory.current", "memory.stat"])
@pytest.mark.parametrize("content", [None, b"", b"a lot", b"\xff\n"])
def test_files_that_are_missing_or_odd(plant: Plant, name: str, content: bytes | None) -> None:
    root = plant("0::/\n", SECOND.format(top="/", place="/sys/fs/cgroup"))
    second(root / "sys/fs/cgroup", 4000, 1500, cached=600)
    file = root / "sys/fs/cgroup" / name
    file.unlink() if content is None else file.write_bytes(content)
    assert free_bytes(root) == (2500 * MB if name == "memory.stat" else MACHINE)


def test_other_systems_have_no_groups(tmp_path: Path, plant: Plant) -> None:
    assert free_bytes(tmp_path) == MACHINE
    assert free_bytes(plant("nonsense\n", "nonsense\n")) == MACHINE
