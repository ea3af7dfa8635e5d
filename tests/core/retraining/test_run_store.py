"""Runs on disk: what people write about them, deletion that can be taken back, networks, and runs of old versions."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.classifiers.head import Head
from core.errors import BadRequest, NotFound, StorageProblem
from core.files import read_json, write_array
from core.retraining import retraining, run_store
from core.retraining.result import HEAD, RunResult
from core.retraining.retraining import retrain
from core.retraining.run_store import (
    damaged_runs,
    delete_run,
    deleted_runs,
    latest_run,
    list_runs,
    note_run,
    open_run,
    order_note,
    predictions,
    rerun_request,
    restore_run,
    run_folder,
    run_head,
    run_logits,
)
from core.workspace import Workspace


@pytest.fixture
def analysis(planted_analysis: Any) -> Any:
    return planted_analysis(0, sizes=(400, 400, 200), dimensions=24)


@pytest.fixture
def run(workspace: Workspace, analysis: Any) -> RunResult:
    return retrain(workspace, analysis, method="class-balanced", run_id="run1", settings={"pull": 0.2}, seed=4)


def test_names_and_notes_are_kept_beside_the_figures(workspace: Workspace, run: RunResult) -> None:
    hostile = "<b>\u202eevil</b> 🦆 " + "x" * 150
    assert note_run(workspace, "run1", name=f"  {hostile}\n", note="one\n two\x00 \n").name == hostile
    assert note_run(workspace, "run1", note="another").name == hostile, "what is not said stays"
    again = open_run(workspace, "run1")
    assert (again.name, again.note, again.title) == (hostile, "another", hostile)
    assert again.after == run.after
    assert note_run(workspace, "run1", name="").title == "run1"
    assert list_runs(workspace)[0].note == "another"


@pytest.mark.parametrize(("what", "length"), [("name", 201), ("note", 10_001)])
def test_texts_that_are_too_long_are_refused_and_change_nothing(
    workspace: Workspace, run: RunResult, what: str, length: int
) -> None:
    note_run(workspace, "run1", name="kept", note="kept")
    with pytest.raises(BadRequest, match=f"{length:,} characters"):
        note_run(workspace, "run1", **{what: "x" * length})
    assert (open_run(workspace, "run1").name, open_run(workspace, "run1").note) == ("kept", "kept")


def test_damaged_remarks_keep_nobody_from_the_figures(workspace: Workspace, run: RunResult) -> None:
    (workspace.runs / "run1" / "remarks.json").write_text("{", encoding="utf-8")
    assert open_run(workspace, "run1") == run


def test_a_deleted_run_comes_back_as_it_was(workspace: Workspace, run: RunResult) -> None:
    named = note_run(workspace, "run1", name="first")
    delete_run(workspace, "run1")
    assert list_runs(workspace) == ()
    assert deleted_runs(workspace) == (named,)
    assert deleted_runs(workspace, "another") == ()
    for act in (open_run, delete_run):
        with pytest.raises(NotFound, match="was deleted"):
            act(workspace, "run1")
    with pytest.raises(NotFound, match="no run yet"):
        open_run(workspace)
    assert restore_run(workspace, "run1") == named
    assert list_runs(workspace) == (named,)
    with pytest.raises(NotFound, match="no deleted run"):
        restore_run(workspace, "run1")


def test_a_run_made_anew_is_not_overwritten_by_restoring(workspace: Workspace, analysis: Any, run: RunResult) -> None:
    delete_run(workspace, "run1")
    anew = retrain(workspace, analysis, method="erm", run_id="run1")
    with pytest.raises(BadRequest, match="there already"):
        restore_run(workspace, "run1")
    assert open_run(workspace, "run1") == anew
    # the newer one takes the older one's place among the deleted
    delete_run(workspace, "run1")
    assert restore_run(workspace, "run1").method == "erm"


@pytest.mark.parametrize("act", [delete_run, restore_run, note_run, run_head])
def test_ids_never_leave_the_folder_of_runs(workspace: Workspace, act: Callable[..., Any]) -> None:
    for name in ("", "..", "../analyses", ".deleted", "a/b"):
        with pytest.raises(NotFound, match="not the id of a run"):
            act(workspace, name)


def test_logits_of_a_head_follow_from_features_and_those_of_a_network_are_stored(
    workspace: Workspace, analysis: Any, run: RunResult
) -> None:
    rows = np.array([3, 500, 999])
    expected = run_head(workspace, "run1").logits(analysis.features[rows])
    np.testing.assert_array_equal(run_logits(workspace, analysis, "run1", rows), expected)
    stored = np.random.default_rng(0).normal(size=(analysis.n, 2)).astype(np.float32)
    write_array(workspace.runs / "run1" / "logits.npy", stored)
    np.testing.assert_array_equal(run_logits(workspace, analysis, "run1", rows), stored[rows])
    np.testing.assert_array_equal(predictions(workspace, analysis, "run1", rows), stored[rows].argmax(axis=1))
    with pytest.raises(BadRequest, match="trained the whole network"):
        run_head(workspace, "run1")
    write_array(workspace.runs / "run1" / "logits.npy", stored[:-1])
    with pytest.raises(StorageProblem, match="cannot be read"):
        run_logits(workspace, analysis, "run1", rows)


def test_results_of_earlier_versions_open(workspace: Workspace, run: RunResult) -> None:
    file = workspace.runs / "run1" / "result.json"
    stored = json.loads(file.read_text(encoding="utf-8"))
    for name in ("settings", "chosen", "tried", "data", "edits", "feasibility", "shifts", "kind", "name", "note"):
        del stored[name]
    for when in ("before", "after"):
        for name in ("macro_average", "worst_interval", "confusion", "calibration", "note"):
            del stored[when][name]
    file.write_text(json.dumps(stored), encoding="utf-8")
    old = open_run(workspace, "run1")
    assert (old.settings, old.chosen, old.kind, old.shifts, old.data, old.name) == ({}, {}, HEAD, (), "", "")
    assert old.after.groups == run.after.groups
    assert json.loads(json.dumps(old.to_dict()))["shifts"] == []


def test_a_rerun_asks_for_the_same(workspace: Workspace, analysis: Any, run: RunResult) -> None:
    request = rerun_request(run)
    assert request.pop("run") != "run1"
    assert request == {
        "analysis": "planted",
        "method": "class-balanced",
        "concepts": [],
        "seed": 4,
        "settings": {"pull": 0.2},
    }
    again = retrain(workspace, analysis, method=request["method"], seed=request["seed"], settings=request["settings"])
    assert np.array_equal(run_head(workspace, again.run).weight, run_head(workspace, "run1").weight)
    assert rerun_request(run, seed=9)["seed"] == 9


def test_data_hash_follows_labels_splits_and_attributes(workspace: Workspace, analysis: Any, run: RunResult) -> None:
    def data() -> str:
        return retrain(workspace, analysis, method="erm").data

    assert data() == run.data != ""
    seen = {run.data}
    for change in (analysis.labels, analysis.splits, analysis.attributes[0].codes):
        change[0] = 1 - change[0] if change is not analysis.splits else 1
        found = data()
        assert found not in seen
        seen.add(found)


def test_a_head_that_is_given_stays_what_it_is(workspace: Workspace, analysis: Any) -> None:
    retrain(workspace, analysis, method="erm", run_id="same")
    head: Head = run_head(workspace, "same")
    assert np.array_equal(head.weight, analysis.head.weight)


def damage(text: str) -> list[str]:
    """What may have become of a result: half a file, edits by hand, another kind of thing."""
    value = json.loads(text)
    return [
        text[: len(text) // 2],
        "",
        "[]",
        "null",
        "[" * 100_000,
        json.dumps({**value, "before": None}),
        json.dumps({**value, "after": {**value["after"], "average": "high"}}),
        json.dumps({**value, "after": {**value["after"], "interval": [0.5]}}),
        json.dumps({**value, "after": {**value["after"], "groups": [{"class": "a"}]}}),
        json.dumps({**value, "comparison": {"sentence": "x"}}),
        json.dumps({**value, "comparison": {**value["comparison"], "fixed": "all"}}),
        json.dumps({**value, "baselines": [{"method": "erm"}]}),
        json.dumps({name: item for name, item in value.items() if name != "notes"}),
    ]


def test_a_damaged_run_is_said_and_hides_no_other(workspace: Workspace, analysis: Any, run: RunResult) -> None:
    other = retrain(workspace, analysis, method="erm", run_id="run2")
    file = workspace.runs / "run2" / "result.json"
    for text in damage(file.read_text(encoding="utf-8")):
        file.write_text(text, encoding="utf-8")
        with pytest.raises(StorageProblem, match="result of run run2 cannot be read"):
            open_run(workspace, "run2")
        assert list_runs(workspace) == (run,), text[:200]
        assert open_run(workspace) == run, "the latest that can be read"
        assert list(damaged_runs(workspace)) == ["run2"]
    delete_run(workspace, "run2")
    assert damaged_runs(workspace) == {}
    assert deleted_runs(workspace) == ()
    assert other.run == "run2"


def test_results_of_later_versions_open(workspace: Workspace, run: RunResult) -> None:
    file = workspace.runs / "run1" / "result.json"
    stored = json.loads(file.read_text(encoding="utf-8"))
    stored["later"] = stored["before"]["later"] = stored["comparison"]["later"] = 1
    stored["before"]["groups"][0]["later"] = stored["before"]["worst"]["later"] = stored["baselines"][0]["later"] = 1
    stored["before"]["calibration"]["bins"][0]["later"] = stored["before"]["calibration"]["later"] = 1
    file.write_text(json.dumps(stored), encoding="utf-8")
    later = open_run(workspace, "run1")
    assert (later.before, later.after, later.baselines) == (run.before, run.after, run.baselines)


def test_a_killed_process_leaves_no_run_that_nobody_finds(
    workspace: Workspace, analysis: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever it is killed: a run is either whole and listed, or not there and made again."""
    for step in ("write_recipe", "record_run", "write_result"):

        def killed(*_: Any, **__: Any) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(retraining, step, killed)
            with pytest.raises(KeyboardInterrupt):
                retrain(workspace, analysis, method="erm", run_id=step.replace("_", "-"))
        assert list_runs(workspace) == ()
        with pytest.raises(NotFound):
            open_run(workspace, step.replace("_", "-"))
    again = retrain(workspace, analysis, method="erm", run_id="write-result")
    assert list_runs(workspace) == (again,)


def test_an_id_too_long_for_a_file_is_none(workspace: Workspace) -> None:
    with pytest.raises(NotFound, match="not the id of a run"):
        open_run(workspace, "x" * 5000)


def test_the_latest_run_is_found_without_reading_the_others(
    workspace: Workspace, analysis: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert latest_run(workspace) is None
    first, second, third = (
        retrain(workspace, analysis, method="class-balanced", run_id=name) for name in ("one", "two", "three")
    )
    read: list[Path] = []

    def reading(path: Path) -> Any:
        read.append(path)
        return read_json(path)

    monkeypatch.setattr(run_store, "read_json", reading)
    assert latest_run(workspace, analysis.id) == third == open_run(workspace)
    assert {path.parent.name for path in read} == {"three"}
    assert latest_run(workspace, "another") is None
    # one that cannot be read, or is put away, gives way to the one before
    (run_folder(workspace, "three") / "result.json").write_text("{", encoding="utf-8")
    assert latest_run(workspace) == second
    delete_run(workspace, "two")
    assert latest_run(workspace) == first == list_runs(workspace)[0]


def in_order(analysis: Any, classes: tuple[str, ...]) -> Any:
    images = analysis.images
    turned = replace(analysis, classes=classes)
    turned.__dict__["images"] = images
    return turned


def test_outputs_are_matched_by_name_when_the_classes_are_put_into_another_order(
    workspace: Workspace, analysis: Any, run: RunResult
) -> None:
    assert open_run(workspace, "run1").classes == analysis.classes == ("class 0", "class 1")
    turned, rows = in_order(analysis, ("class 1", "class 0")), np.arange(20)
    straight = run_logits(workspace, analysis, "run1", rows)
    np.testing.assert_array_equal(run_logits(workspace, turned, "run1", rows), straight[:, ::-1])
    head, other = run_head(workspace, "run1", analysis), run_head(workspace, "run1", turned)
    np.testing.assert_array_equal(other.weight, head.weight[::-1])
    np.testing.assert_array_equal(other.bias, head.bias[::-1])
    assert order_note(run, analysis) == ""
    assert "class 0, class 1 then" in order_note(run, turned)
    # of a whole network, what it said is stored
    write_array(run_folder(workspace, "run1") / "logits.npy", np.tile(np.float32([1, 2]), (analysis.n, 1)))
    assert run_logits(workspace, turned, "run1", rows)[0].tolist() == [2, 1]
    assert run_logits(workspace, analysis, "run1", rows)[0].tolist() == [1, 2]


def test_other_classes_than_a_run_was_made_with_are_refused(
    workspace: Workspace, analysis: Any, run: RunResult
) -> None:
    other = in_order(analysis, ("cat", "dog"))
    with pytest.raises(BadRequest, match="made when the classes were class 0, class 1; now they are cat, dog"):
        run_logits(workspace, other, "run1", np.arange(3))
    with pytest.raises(BadRequest, match="made when the classes were"):
        run_head(workspace, "run1", other)


def test_a_run_that_does_not_say_its_classes_has_those_of_the_analysis(
    workspace: Workspace, analysis: Any, run: RunResult
) -> None:
    straight = run_logits(workspace, analysis, "run1", np.arange(20))
    file = run_folder(workspace, "run1") / "result.json"
    facts = read_json(file)
    del facts["classes"]
    file.write_text(json.dumps(facts), encoding="utf-8")
    old = open_run(workspace, "run1")
    assert (old.classes, old.after) == ((), run.after)
    turned = in_order(analysis, ("class 1", "class 0"))
    np.testing.assert_array_equal(run_logits(workspace, turned, "run1", np.arange(20)), straight)
    assert order_note(old, turned) == ""
