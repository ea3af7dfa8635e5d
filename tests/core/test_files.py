from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core import files
from core.errors import DiskFull, PathNotFound, StorageProblem


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    target = tmp_path / "value.json"
    files.write_json(target, {"a": 1})
    with pytest.raises(RuntimeError), files.replacing(target) as beside:
        beside.write_text("half")
        raise RuntimeError
    assert files.read_json(target) == {"a": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["value.json"]


@pytest.mark.parametrize(
    ("number", "expected"), [(errno.ENOSPC, DiskFull), (errno.EACCES, StorageProblem), (errno.EROFS, StorageProblem)]
)
def test_the_systems_refusals_become_errors_with_a_next_step(tmp_path: Path, number: int, expected: type) -> None:
    with pytest.raises(expected), files.replacing(tmp_path / "x"):
        raise OSError(number, "refused")


@pytest.mark.parametrize("place", ["file/below/x", f"{'a' * 300}/x"])
def test_a_place_that_cannot_be_is_an_error_with_a_next_step(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageProblem, match="cannot be made") as raised, files.replacing(tmp_path / place):
        pytest.fail("there is nothing to write to")
    assert raised.value.next_step


@pytest.mark.parametrize("text", ["", " ", "a" * 300, "a\0b", "~nobody-of-this-name/x"])
def test_what_cannot_be_a_path_is_an_error_with_the_given_next_step(text: str) -> None:
    with pytest.raises(PathNotFound) as raised:
        files.resolved(text, advice="Name a folder.")
    assert raised.value.next_step == "Name a folder."
    assert len(raised.value.detail) < 200


def test_a_path_is_made_absolute_whether_or_not_it_is_there(tmp_path: Path) -> None:
    assert files.resolved(f"{tmp_path}/a/../b", advice="") == tmp_path / "b"
    assert files.resolved("~", advice="") == Path.home().resolve()


def test_what_was_copied_along_with_a_path_is_taken_off(tmp_path: Path) -> None:
    wanted = tmp_path / "my models" / "50% off.pth"
    wanted.parent.mkdir()
    wanted.touch()
    address = str(wanted).replace("%", "%25").replace(" ", "%20")
    for text in (f'"{wanted}"', f" '{wanted}'\n", f"file://{address}", f"FILE://localhost{address}", f"file:{address}"):
        assert files.resolved(text, advice="") == wanted
    # without a partner it belongs to the name, and so does all of a name that is there
    assert files.resolved(f"{tmp_path}/it's", advice="") == tmp_path / "it's"
    for name in ("'quoted'", " spaced "):
        odd = tmp_path / name
        odd.touch()
        assert files.resolved(str(odd), advice="") == odd
    with pytest.raises(PathNotFound):
        files.resolved('""', advice="Name a folder.")


def test_other_system_errors_stay_loud(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="odd"), files.replacing(tmp_path / "x"):
        raise OSError(errno.EIO, "odd")


def test_arrays_come_back_memory_mapped_and_equal(tmp_path: Path) -> None:
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    files.write_array(tmp_path / "a.npy", array)
    back = files.read_array(tmp_path / "a.npy")
    assert isinstance(back, np.memmap)
    np.testing.assert_array_equal(back, array)


def test_object_arrays_are_refused_because_they_would_be_pickled(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="allow_pickle"):
        files.write_array(tmp_path / "a.npy", np.array([{}], dtype=object))
    assert not (tmp_path / "a.npy").exists()


@pytest.mark.parametrize("mapped", [True, False])
@pytest.mark.parametrize(
    "content",
    [b"", b"\x93NUMPY", b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', ", b"PK\x03\x04 no archive", b"{}", b"\x80\x04K\x00."],
)
def test_what_is_no_array_is_one_kind_of_error(tmp_path: Path, content: bytes, mapped: bool) -> None:
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(ValueError):  # noqa: PT011
        files.read_array(tmp_path / "a.npy", mapped=mapped)


@pytest.mark.filterwarnings("ignore")
@settings(deadline=None, max_examples=300)
@given(st.integers(0, 175), st.binary(max_size=3), st.integers(0, 220), st.booleans())
def test_no_damage_to_an_array_gives_another_error(place: int, changed: bytes, length: int, mapped: bool) -> None:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "a.npy"
        files.write_array(file, np.arange(12, dtype=np.float32))
        content = bytearray(file.read_bytes())
        content[place : place + len(changed)] = changed
        file.write_bytes(content[:length])
        try:
            found = files.read_array(file, mapped=mapped)
        except (ValueError, MemoryError):
            return
        assert isinstance(found, np.ndarray)


def test_an_array_that_is_not_there_says_so(tmp_path: Path) -> None:
    for mapped in (True, False):
        with pytest.raises(FileNotFoundError):
            files.read_array(tmp_path / "a.npy", mapped=mapped)


def test_use_is_noted_and_what_is_gone_is_told(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    os.utime(tmp_path / "a", (0, 0))
    files.mark_used(tmp_path / "a")
    assert (tmp_path / "a").stat().st_mtime > 1e9
    with pytest.raises(FileNotFoundError):
        files.mark_used(tmp_path / "b")


@given(st.text())
def test_a_slug_is_one_file_name(text: str) -> None:
    name = files.slug(text)
    assert name == Path(name).name
    assert name not in {"", ".", ".."}
    assert len(name.encode()) <= 60


@given(st.lists(st.text(), min_size=1, max_size=4), st.lists(st.text(), min_size=1, max_size=4))
def test_digests_of_different_parts_differ(first: list[str], second: list[str]) -> None:
    assert (files.digest(*first) == files.digest(*second)) == (first == second)


def test_a_released_map_is_read_again_from_its_file(tmp_path: Path) -> None:
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    files.write_array(tmp_path / "large.npy", np.arange(5_000_000, dtype=np.int64))
    mapped = np.asarray(files.read_array(tmp_path / "large.npy"))
    total = int(mapped.sum())
    touched = resident() if sys.platform == "linux" else 0
    files.release(mapped[10:].reshape(-1, 2))
    if sys.platform == "linux":
        assert touched - resident() > 30_000_000
    assert int(mapped.sum()) == total == 5_000_000 * 4_999_999 // 2


def test_what_is_no_map_is_left_alone(tmp_path: Path) -> None:
    private = np.memmap(tmp_path / "private", dtype=np.int8, mode="w+", shape=10)
    private[:] = 7
    for array in (np.arange(3), np.arange(6)[::2], private):
        before = array.tolist()
        files.release(array)
        assert array.tolist() == before
