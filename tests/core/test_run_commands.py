"""`retrain`, `runs`, `note`, `compare --with`, `replay`, `methods` and `bake-off` on planted features."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.concepts.concept import create_concept
from core.concepts.suggestions import suggest_next
from core.concepts.tags import tag
from core.retraining.methods import METHODS
from core.workspace import Workspace, open_workspace
from tests.core.planted_birds import Printed, called, plant_birds

N = 3000


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Tagged as suggested. The head leans on feature 1, which sees the place, which goes with the class in 92%."""
    root = tmp_path_factory.mktemp("runs")
    workspace = open_workspace(root / "workspace")
    splits = np.arange(N) % 3
    analysis = plant_birds(
        workspace,
        root,
        splits,
        np.where(splits == 2, 0.5, 0.92),
        dimensions=12,
        shifts=(1.6, 2.0),
        leans=(0.5, 0.9),
    )
    water = create_concept(workspace, analysis.dataset_id, "water")
    rows = np.array([item.row for item in suggest_next(workspace, analysis, water, budget=60)])
    for present in (True, False):
        tag(workspace, analysis, water, rows[(analysis.attributes[0].codes[rows] == 1) == present], present)
    return workspace


@pytest.fixture(scope="module")
def run(workspace: Workspace) -> Any:
    def call(*arguments: object, code: int = 0) -> Printed:
        printed = called(*arguments, "--workspace", workspace.root)
        assert printed.code == code, printed.err + printed.out
        return printed

    return call


@pytest.fixture(scope="module")
def first(run: Any) -> dict[str, Any]:
    return run("retrain", "--wait", "--set", "pull=0.02", "--set", "refits=10", "--seed", 1, "--json").object


@pytest.fixture(scope="module")
def second(run: Any, first: dict[str, Any]) -> dict[str, Any]:
    return run("retrain", "--wait", "--method", "class-balanced", "--json").object


def test_knobs_are_taken_in_their_own_types(first: dict[str, Any]) -> None:
    assert first["settings"]["pull"] == 0.02
    assert first["settings"]["refits"] == 10
    assert first["after"]["worst_group"] > first["before"]["worst_group"]
    assert {"run", "before", "after", "seconds"} <= first.keys()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--set", "warp=9"), "warp"),
        (("--set", "pull=-1"), "pull is a number"),
        (("--set", "pull=much"), "pull is a number"),
        (("--set", "pull"), "is not a setting such as"),
        (("--edits", "/nowhere.json"), "no /nowhere.json"),
    ],
)
def test_what_is_wrong_is_said_before_a_job_starts(run: Any, arguments: tuple[str, ...], says: str) -> None:
    printed = run("retrain", *arguments, "--json", code=2)
    assert says in printed.object["detail"]
    assert printed.object["next_step"]


def test_edits_come_from_a_file(run: Any, workspace: Workspace, first: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "edits.json"
    file.write_text(json.dumps({"left_out": [f"{i:05d}.png" for i in range(1, 200, 3)]}))
    edited = run("retrain", "--wait", "--edits", file, "--seed", 1, "--json").object
    assert len(edited["edits"]["left_out"]) == 67
    assert edited["curation"]["images"] < first["curation"]["images"]
    file.write_text('{"left_out": 3}')
    assert run("retrain", "--edits", file, "--json", code=2).object["error"] == "BadRequest"
    run("runs", "--delete", edited["run"])


def test_runs_are_listed_latest_first(run: Any, first: dict[str, Any], second: dict[str, Any]) -> None:
    listed = run("runs", "--json").object["runs"]
    assert [one["run"] for one in listed] == [second["run"], first["run"]]
    assert listed[1]["after"]["worst_group"] == first["after"]["worst_group"]
    text = run("runs").out
    assert text.index(second["run"]) < text.index(first["run"])


def test_a_note_is_kept_and_shown(run: Any, first: dict[str, Any]) -> None:
    said = run("note", "--run", first["run"], "--name", "<b>mild pull</b>", "--note", "keeps\nwater", "--json").object
    assert said == {"run": first["run"], "name": "<b>mild pull</b>", "note": "keeps\nwater"}
    assert "<b>mild pull</b>" in run("runs").out
    assert "“<b>mild pull</b>”" in run("compare", "--run", first["run"]).out
    assert run("note", "--run", first["run"], "--name", "", "--json").object["name"] == ""
    assert "Nothing was said" in run("note", "--run", first["run"], code=2).err


def test_two_runs_are_compared(run: Any, first: dict[str, Any], second: dict[str, Any]) -> None:
    found = run("compare", "--run", second["run"], "--with", first["run"], "--json").object
    assert (found["first"], found["second"], found["images"]) == (second["run"], first["run"], N // 3)
    apart = {one["what"]: (one["first"], one["second"]) for one in found["differences"]}
    assert apart["method"] == ("class-balanced", "mid")
    gained = len(found["comparison"]["fixed"]) - len(found["comparison"]["broken"])
    assert gained == round((first["after"]["average"] - second["after"]["average"]) * (N // 3))
    text = run("compare", "--run", second["run"], "--with", first["run"]).out
    assert "From the first run to the second" in text
    run("compare", "--run", first["run"], "--with", "nothing", code=2)


def test_a_run_comes_back_after_deletion(run: Any, second: dict[str, Any]) -> None:
    assert "--restore" in run("runs", "--delete", second["run"]).out
    assert second["run"] not in run("runs").out
    assert second["run"] in run("runs", "--deleted").out
    assert run("compare", "--run", second["run"], "--json", code=2).object["error"] == "NotFound"
    assert run("runs", "--restore", second["run"], "--json").object == {"restored": second["run"]}
    assert run("compare", "--run", second["run"], "--json").object["after"] == second["after"]


def test_a_replay_is_the_same_or_says_what_is_not(
    run: Any, workspace: Workspace, first: dict[str, Any], tmp_path: Path
) -> None:
    file = workspace.runs / first["run"] / "replay.json"
    found = run("replay", file, "--json").object
    assert found["same"]
    assert found["replayed"]["after"] == first["after"]
    assert repr(first["after"]["average"]) in run("replay", file).out
    changed = json.loads(file.read_text(encoding="utf-8"))
    changed["result"]["after"]["average"] += 1e-15
    other = tmp_path / "changed.json"
    other.write_text(json.dumps(changed))
    printed = run("replay", other, "--json", code=1)
    assert [one["what"] for one in printed.object["differences"]] == ["after.average"]
    assert "1 figure differs" in run("replay", other, code=1).out
    run("replay", tmp_path / "nowhere.json", code=2)


def test_methods_are_listed_with_their_knobs(run: Any) -> None:
    listed = {one["method"]: one for one in run("methods", "--json").object["methods"]}
    assert listed.keys() == METHODS.keys()
    assert {knob["knob"] for knob in listed["mid"]["knobs"]} == {knob.name for knob in METHODS["mid"].knobs}
    text = run("methods").out
    assert all(f"{name}: " in text for name in METHODS)


def test_methods_are_compared_in_one_table(run: Any, first: dict[str, Any]) -> None:
    found = run("bake-off", "--methods", "mid,afr", "--seeds", 2, "--wait", "--json").object
    assert {line["method"] for line in found["lines"]} == {"erm", "no-person", "mid", "afr", "dfr"}
    assert found["seeds"] == [0, 1]
    text = run("bake-off", "--methods", "mid", "--seeds", 2, "--wait").out
    assert "of the gap" in text
    assert run("bake-off", "--methods", "magic", "--json", code=2).object["error"] == "NotFound"
    queued = run("bake-off", "--methods", "erm", "--seeds", 1, "--json").object
    assert queued["lines"] is None
    assert queued["bake_off"]
