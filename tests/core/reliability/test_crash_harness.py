"""The crash harness: finds nothing in the real work, and finds what is planted in work that loses something."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from scripts.crash import Harness, Outcome, summary
from scripts.crash_scenes import Acknowledge, Scene

STEPS, POINTS = 6, 12


def seen(root: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in root.glob("*.txt")}


def write_whole(path: Path, text: str) -> None:
    beside = path.with_suffix(".part")
    beside.write_text(text)
    os.replace(beside, path)


def honest(root: Path, begin: int, acknowledge: Acknowledge) -> None:
    for step in range(begin, STEPS):
        write_whole(root / f"{step}.txt", f"said {step}")
        acknowledge(step)


def too_early(root: Path, begin: int, acknowledge: Acknowledge) -> None:
    for step in range(begin, STEPS):
        acknowledge(step)
        write_whole(root / f"{step}.txt", f"said {step}")


def in_place(root: Path, begin: int, acknowledge: Acknowledge) -> None:
    for step in range(begin, STEPS):
        for half in ("said", f" {step}"):
            with (root / f"{step}.txt").open("a") as file:
                file.write(half)
        acknowledge(step)


def in_one_go(root: Path, begin: int, acknowledge: Acknowledge) -> None:
    """A job whose second start goes on from what it wrote, and counts it twice."""
    for step in range(STEPS):
        with (root / "journal.part").open("a") as journal:
            journal.write(f"{step}\n")
    os.replace(root / "journal.part", root / "journal.txt")
    acknowledge(0)


def outcomes_of(folder: Path, work: Callable[[Path, int, Acknowledge], None], steps: int) -> list[Outcome]:
    scenes = {"planted": Scene(work, seen, base="", steps=steps)}
    harness = Harness(folder, scenes, prepare=lambda root: None, look=lambda root: [])
    harness.make(["planted"])
    return [harness.point("planted", number, seed=0) for number in range(POINTS)]


def test_work_that_keeps_its_word_is_found_to_lose_nothing(tmp_path: Path) -> None:
    told = summary(outcomes_of(tmp_path, honest, STEPS), seed=0, seconds=0.0)
    assert told["points"] == POINTS
    assert told["kills"] > POINTS // 3
    assert (told["lost"], told["differing"], told["failures"]) == (0, 0, [])


@pytest.mark.parametrize(
    ("work", "steps", "finding"),
    [(in_place, STEPS, "lost"), (in_one_go, 1, "differing")],
)
def test_planted_loss_is_reported(
    tmp_path: Path, work: Callable[[Path, int, Acknowledge], None], steps: int, finding: str
) -> None:
    told = summary(outcomes_of(tmp_path, work, steps), seed=0, seconds=0.0)
    assert told[finding] > 0
    assert told["failures"]


def test_work_that_acknowledges_before_it_writes_is_found_without_a_kill(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"written after it was acknowledged: \['5.txt'\]"):
        outcomes_of(tmp_path, too_early, STEPS)


def test_a_database_that_is_damaged_is_reported(tmp_path: Path) -> None:
    scenes = {"planted": Scene(honest, seen, base="", steps=STEPS)}
    harness = Harness(tmp_path, scenes, prepare=lambda root: None, look=lambda root: ["page 3 is never used"])
    harness.make(["planted"])
    assert harness.point("planted", 0, seed=0).lost


def test_tagging_analysing_retraining_and_exporting_lose_nothing() -> None:
    command = [sys.executable, "-m", "scripts.crash", "--points", "8", "--processes", "1", "--seed", "7"]
    root = Path(__file__).parents[3]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    told = json.loads(done.stdout)
    assert told["failures"] == [], done.stderr[-2000:]
    assert done.returncode == 0
    assert told["kills"] >= 4
    assert set(told["by_scene"]) == {"analyse", "tagging", "retrain", "export"}
