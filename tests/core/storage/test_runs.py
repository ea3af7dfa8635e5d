from __future__ import annotations

from pathlib import Path

import pytest

from core.storage.checksums import changed, resized, seal, unseal
from core.storage.integrity import verify


@pytest.fixture
def run(root: Path) -> Path:
    """A folder of a run as it is left: parts, then the checksums; what people say of it may change."""
    folder = root / "runs" / "one"
    folder.mkdir(parents=True)
    for name in ("head.safetensors", "result.json", "replay.json", "remarks.json"):
        (folder / name).write_text(f"what {name} holds")
    seal(folder, without=("remarks.json",))
    return folder


@pytest.mark.parametrize("name", ["head.safetensors", "result.json", "replay.json"])
def test_a_changed_file_of_a_run_is_found_with_a_next_step(root: Path, run: Path, name: str) -> None:
    assert verify(root).findings == ()
    (run / name).write_text(f"What {name} holds")
    assert resized(run) == ()
    [finding] = verify(root).findings
    assert finding.place == f"runs/one/{name}"
    assert "replay" in finding.next_step


def test_a_torn_file_is_found_by_its_size_unless_it_is_said_to_be_checked_otherwise(run: Path) -> None:
    (run / "replay.json").write_text("half")
    assert [damage.name for damage in resized(run)] == ["replay.json"]
    assert resized(run, but=("replay.json",)) == ()


def test_what_people_say_of_a_run_may_change_and_unsealed_files_too(run: Path) -> None:
    (run / "remarks.json").write_text("another name")
    assert changed(run) == ()
    unseal(run)
    (run / "result.json").write_text("another result")
    assert changed(run) == ()
