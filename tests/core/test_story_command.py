"""`story` on a planted analysis, as a person and as a program calls it."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from core.activations.store import Analysis
from core.concepts.exhibits import compared, exhibit, mixed, surest
from core.workspace import Workspace
from tests.core.planted_birds import called, plant_birds


@pytest.fixture
def analysis(workspace: Workspace, tmp_path: Any) -> Analysis:
    """1,500 images in three splits; the head leans on a place that goes with the class in 95%, in test in half."""
    splits = np.repeat([0, 1, 2], 500)
    return plant_birds(workspace, tmp_path, splits, np.where(splits == 2, 0.5, 0.95))


@pytest.fixture
def run(workspace: Workspace, analysis: Analysis) -> Any:
    """run(*arguments) -> (exit code, stdout, stderr)."""

    def call(*arguments: object) -> tuple[int, str, str]:
        printed = called("story", *arguments, "--workspace", workspace.root, "--quiet")
        return printed.code, printed.out, printed.err

    return call


def test_it_is_what_the_stage_shows(run: Any, analysis: Analysis) -> None:
    code, out, _ = run("--class", "waterbird", "--count", 6, "--json")
    assert code == 0
    result = json.loads(out)
    found = exhibit(analysis, 1)
    assert result["class"] == "waterbird"
    assert sorted(result["classes"]) == ["landbird", "waterbird"]
    above, below = compared(found, 6)
    wanted = {"surest": surest(found, 6), "between": mixed(found, 6), "above": above, "below": below}
    for name, rows in wanted.items():
        assert [one["id"] for one in result["shown"][name]] == analysis.ids[rows].tolist()
    assert all(one["label"] == "waterbird" for one in result["shown"]["below"])
    # test, where the place says nothing, is the exam that tells
    first, second = result["exams"]
    assert (first["split"], second["split"]) == ("val", "test")
    assert first["accuracy"] - second["accuracy"] > 0.1
    assert second["unusual"] > 0.4 > first["unusual"]


def test_people_read_what_a_program_gets(run: Any) -> None:
    code, out, _ = run("--count", 3)
    assert code == 0
    told = json.loads(run("--count", 3, "--json")[1])
    assert out.startswith(f"{told['class']}, the class to show first\n")
    assert told["class"] == told["classes"][0]
    assert f"{100 * told['exams'][0]['accuracy']:.1f}%" in out
    assert f"{told['between']['images']:,} images in between" in out
    for shown in told["shown"].values():
        assert all(one["image"] in out for one in shown)


def test_a_class_that_is_none_says_which_there_are(run: Any) -> None:
    code, _, err = run("--class", "waterbrid")
    assert code != 0
    assert "waterbird" in err
