"""Runs: every repair in one table, two side by side, names and notes kept, nothing lost by deleting."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from core.activations.store import Analysis
from core.errors import DiskFull
from core.jobs.job import Job
from core.retraining.runs import (
    RunResult,
    compare_runs,
    delete_run,
    deleted_runs,
    list_runs,
    note_run,
    open_run,
    predictions,
    restore_run,
    retrain,
    run_folder,
)
from core.workspace import Workspace
from pages.parts import rerun, run_card, run_compare, run_list
from pages.parts.runs_table import outcome
from pages.parts.words import percent, plain

from .conftest import Visit, plant, set_job, tag_by_truth, texts

MID, BALANCED = "Mid-range curation · water", "Class-balanced retraining"
HOSTILE = '<b>**bold**</b> :tada: \u202eright to left " onmouseover="x'


@pytest.fixture
def two(planted: Analysis, workspace: Workspace) -> tuple[RunResult, RunResult]:
    """The older without tags, the newer with them."""
    first = retrain(workspace, planted, method="class-balanced")
    tag_by_truth(workspace, planted, 60)
    return first, retrain(workspace, planted, settings={"pull": 0.01}, seed=3)


def table(app: AppTest) -> dict[str, list[Any]]:
    """By column, what the browser is sent: numbers where it sorts by them."""
    sent = [json.loads(one.proto.json) for one in app.get("bidi_component") if one.proto.json]
    (found,) = [one for one in sent if "columns" in one and "rows" in one]
    by = {one["key"]: "text" if one["kind"] == "text" else "sort" for one in found["columns"]}
    return {key: [row["cells"][key][shown] for row in found["rows"]] for key, shown in by.items()}


def grid(app: AppTest) -> list[dict[str, Any]]:
    sent = [json.loads(one.proto.json) for one in app.get("bidi_component") if one.proto.json]
    (found,) = [one for one in sent if "images" in one]
    return found["images"]


def html_of(app: AppTest) -> str:
    return "\n".join(one.proto.body for one in app.get("html"))


def button(app: AppTest, label: str) -> Any:
    return next(one for one in app.button if one.label == label)


def test_runs_made_when_the_classes_stood_in_another_order_say_so(
    visit: Visit, workspace: Workspace, two: tuple[RunResult, RunResult]
) -> None:
    file = run_folder(workspace, two[0].run) / "result.json"
    told = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps({**told, "classes": told["classes"][::-1]}), encoding="utf-8")
    older, newer = (visit(room, run=run.run) for room, run in (("runs", two[0]), ("results", two[1])))
    assert "1 run was measured when the classes stood in another order" in texts(older)
    assert "waterbird, landbird then" in texts(older)
    assert "order of the classes has changed" not in texts(newer)
    assert "order of the classes has changed" in texts(visit("results", run=two[0].run))


def test_an_empty_workspace_invites_to_begin(visit: Visit) -> None:
    assert "Nothing to look at yet" in texts(visit("runs"))


def test_without_a_run_the_way_to_one_is_shown(visit: Visit, planted: Analysis) -> None:
    app = visit("runs")
    assert not app.exception
    assert "No repair yet" in texts(app)


def test_every_run_has_a_row_the_newest_first(visit: Visit, two: tuple[RunResult, RunResult]) -> None:
    first, second = two
    app = visit("runs")
    assert not app.exception
    rows = table(app)
    assert list(rows["Name"]) == [MID, BALANCED]
    assert list(rows["Worst group is"]) == [100 * run.after.worst_group for run in (second, first)]
    assert list(rows["Worst group was"]) == [100 * run.before.worst_group for run in (second, first)]
    assert list(rows["Average"]) == [100 * run.after.average for run in (second, first)]
    assert list(rows["Concepts"]) == ["water", "–"]
    assert list(rows["Seed"]) == [3, 0]
    assert list(rows["Tags"]) == [run.tags[:8] for run in (second, first)]
    assert len(set(rows["Data"])) == 1
    assert list(rows["Outcome"]) == [outcome(run.comparison) for run in (second, first)]
    low, high = second.after.worst_interval
    assert rows["Between"][0] == f"{percent(low)} and {percent(high)}"
    assert "Model" not in rows
    assert "tick two to compare" in texts(app)


@pytest.mark.parametrize(
    ("significant", "interval", "told"),
    [
        (True, [0.1, 0.3], "better"),
        (False, [-0.1, 0.2], "no clear gain"),
        # rose, but only to guessing
        (False, [0.1, 0.3], "no clear gain"),
        (False, [-0.4, -0.1], "worse"),
    ],
)
def test_a_run_that_did_harm_is_told_apart_from_one_without_a_clear_gain(
    significant: bool, interval: list[float], told: str
) -> None:
    assert outcome({"significant": significant, "worst_change_interval": interval}) == told


def test_a_link_picks_its_run(visit: Visit, two: tuple[RunResult, RunResult]) -> None:
    _, second = two
    app = visit("runs", run=second.run)
    assert not app.exception
    assert plain(second.comparison["sentence"]) in texts(app)
    app.session_state[f"run-facts-{second.run}"] = True
    app.run()
    # settings by the names that the method gives them
    knob = next(knob.title for knob in rerun.METHODS["mid"].knobs if knob.name == "pull")
    assert plain(f"{knob}: 0.01") in texts(app)
    (code,) = app.code
    assert code.value == rerun.replay_command(second)
    assert app.query_params["run"] == second.run
    button(app, "See the results").click().run()
    assert app.title[0].value == "Results"
    assert app.query_params["run"] == second.run


def test_a_link_to_two_compares_the_older_with_the_newer(
    visit: Visit, two: tuple[RunResult, RunResult], planted: Analysis, workspace: Workspace
) -> None:
    first, second = two
    app = visit("runs", **{"run": second.run, "with": first.run})
    assert not app.exception
    found = compare_runs(workspace, first.run, second.run)
    assert plain(found.sentence) in texts(app)
    told = html_of(app)
    for title in ("Method", "Concepts", "Seed", "Tags hash"):
        assert f'<th scope="row" dir="auto">{title}</th>' in told
    assert '<th scope="row" dir="auto">Data hash</th>' not in told
    assert told.index("1 · Class-balanced") < told.index("2 · Mid-range")
    which = app.segmented_control(key=f"runs-flips-{first.run}-{second.run}")
    assert which.options == [
        f"Right in the second only · {len(found.better)}",
        f"Right in the first only · {len(found.worse)}",
    ]
    shown = grid(app)
    assert [image["id"] for image in shown] == list(found.better)[:28]
    rows = planted.rows_of([image["id"] for image in shown])
    assert (predictions(workspace, planted, second.run, rows) == planted.labels[rows]).all()
    said = predictions(workspace, planted, first.run, rows)
    assert [image["note"] for image in shown] == [f"first said {planted.classes[each]}" for each in said]
    # the other way round, the same images tell them apart the other way
    button(app, "Swap").click().run()
    back = app.segmented_control(key=f"runs-flips-{second.run}-{first.run}")
    assert back.options == [
        f"Right in the second only · {len(found.worse)}",
        f"Right in the first only · {len(found.better)}",
    ]


def test_the_same_run_twice_is_said_to_be_the_same(visit: Visit, planted: Analysis, workspace: Workspace) -> None:
    one, other = (retrain(workspace, planted, method="class-balanced") for _ in range(2))
    app = visit("runs", **{"run": one.run, "with": other.run})
    assert not app.exception
    assert "Both were told the very same" in html_of(app)
    assert "Both runs are right and wrong about the same images" in texts(app).replace("\\", "")
    assert grid(app) == []


def test_a_name_and_a_note_are_kept_and_shown_as_typed(
    visit: Visit, two: tuple[RunResult, RunResult], workspace: Workspace
) -> None:
    first, second = two
    app = visit("runs", run=second.run)
    app.text_input(key=f"run-name-{second.run}").set_value(HOSTILE).run()
    app.text_area(key=f"run-note-{second.run}").set_value("Tried **less** pull.\nBetter.").run()
    assert not app.exception
    kept = open_run(workspace, second.run)
    assert kept.note == "Tried **less** pull.\nBetter."
    assert "<b>**bold**</b>" in kept.name
    assert table(app)["Name"][0] == kept.name
    assert table(app)["Note"][0] == "Tried **less** pull. Better."
    assert app.header[0].value == plain(kept.name)
    both = visit("runs", **{"run": first.run, "with": second.run})
    assert not both.exception
    assert "<b>**bold" not in html_of(both)
    assert 'onmouseover="x' not in html_of(both)
    # a name taken away is a run without one
    app.text_input(key=f"run-name-{second.run}").set_value("").run()
    assert open_run(workspace, second.run).name == ""
    assert table(app)["Name"][0] == MID


def test_what_is_deleted_can_be_undone_and_brought_back_later(
    visit: Visit, two: tuple[RunResult, RunResult], planted: Analysis, workspace: Workspace
) -> None:
    first, second = two
    note_run(workspace, second.run, name="the good one")
    app = visit("runs", run=second.run)
    button(app, "Delete").click().run()
    assert not app.exception
    assert "Deleted: the good one" in texts(app)
    assert list(table(app)["Name"]) == [BALANCED]
    assert [run.run for run in list_runs(workspace)] == [first.run]
    button(app, "Undo").click().run()
    assert list(table(app)["Name"]) == ["the good one", BALANCED]
    # what was brought back is picked again
    assert app.header[0].value == "the good one"
    assert "Deleted: " not in texts(app)
    button(app, "Delete").click().run()
    later = visit("runs")
    button(later, "Bring back").click().run()
    assert not later.exception
    assert not deleted_runs(workspace)
    assert len(table(later)["Name"]) == 2


def test_the_last_run_deleted_leaves_a_way_back(visit: Visit, planted: Analysis, workspace: Workspace) -> None:
    run = retrain(workspace, planted, method="erm")
    delete_run(workspace, run.run)
    app = visit("runs")
    assert "No repair yet" in texts(app)
    button(app, "Bring back").click().run()
    assert len(table(app)["Name"]) == 1


@pytest.mark.parametrize(("choice", "seed"), [("The same seed", 3), ("Another seed", 4)])
def test_a_run_can_be_had_again(
    visit: Visit,
    two: tuple[RunResult, RunResult],
    planted: Analysis,
    workspace: Workspace,
    queued: list[Job],
    choice: str,
    seed: int,
) -> None:
    _, second = two
    app = visit("runs", run=second.run)
    app.menu_button(key=f"run-again-{second.run}").set_value(choice).run()
    assert not app.exception
    (job,) = queued
    assert job.kind == "retrain"
    wanted = {"method": "mid", "concepts": ["water"], "seed": seed, "analysis": planted.id}
    assert {name: job.request[name] for name in wanted} == wanted
    assert job.request["settings"]["pull"] == 0.01
    assert job.request["run"] not in [run.run for run in two]
    assert "Cancel" in [one.label for one in app.button]
    retrain(workspace, planted, settings=job.request["settings"], seed=seed, run_id=job.request["run"])
    set_job(workspace, job.id, state="done", result={"run": job.request["run"]})
    app.run()
    assert len(table(app)["Name"]) == 3
    assert "Cancel" not in [one.label for one in app.button]


def test_a_rerun_that_failed_says_why_until_it_is_put_away(
    visit: Visit, two: tuple[RunResult, RunResult], workspace: Workspace, queued: list[Job]
) -> None:
    app = visit("runs", run=two[1].run)
    app.menu_button(key=f"run-again-{two[1].run}").set_value("The same seed").run()
    error = {"title": "Too few tags", "detail": "Nothing is tagged.", "next_step": "Tag."}
    set_job(workspace, queued[0].id, state="failed", error=error)
    app.run()
    assert "Nothing is tagged" in texts(app)
    button(app, "Put away").click().run()
    assert "Nothing is tagged" not in texts(app)


def test_a_damaged_run_hides_no_other_and_can_be_put_aside(
    visit: Visit, two: tuple[RunResult, RunResult], workspace: Workspace
) -> None:
    first, second = two
    (run_folder(workspace, first.run) / "result.json").write_text("{")
    results = visit("results")
    assert "1 run cannot be read" in texts(results)
    assert plain(second.comparison["sentence"]) in texts(results)
    app = visit("runs")
    assert not app.exception
    assert list(table(app)["Name"]) == [MID]
    assert plain(f"The result of run {first.run} cannot be read") in texts(app)
    app.button(key=f"damaged-delete-{first.run}").click().run()
    assert "cannot be read" not in texts(app)
    assert f"Deleted: run {first.run}" in texts(app)
    # back as it was, which is damaged; there is nothing left to undo
    button(app, "Undo").click().run()
    assert plain(f"The result of run {first.run} cannot be read") in texts(app)
    assert "Deleted: " not in texts(app)


def test_only_damaged_runs_are_not_no_runs(visit: Visit, planted: Analysis, workspace: Workspace) -> None:
    run = retrain(workspace, planted, method="erm")
    (run_folder(workspace, run.run) / "result.json").write_text("[]")
    for room in ("results", "runs"):
        app = visit(room)
        assert not app.exception
        assert "cannot be read" in texts(app)
        assert "No repair yet" not in texts(app)


def test_what_somebody_else_brought_back_is_not_offered_again(
    visit: Visit, two: tuple[RunResult, RunResult], workspace: Workspace
) -> None:
    app = visit("runs", run=two[0].run)
    button(app, "Delete").click().run()
    restore_run(workspace, two[0].run)
    # pressed before the page could know
    button(app, "Undo").click().run()
    assert f"There is no deleted run {two[0].run}" in texts(app)
    app.run()
    assert "Deleted: " not in texts(app)
    assert len(table(app)["Name"]) == 2


def test_a_deletion_is_undone_where_it_was_made(
    visit: Visit, two: tuple[RunResult, RunResult], workspace: Workspace
) -> None:
    other = plant(workspace, blind=True)
    app = visit("runs", analysis=two[0].analysis, run=two[0].run)
    button(app, "Delete").click().run()
    assert "Deleted: " in texts(app)
    app.sidebar.selectbox[0].set_value(other.id).run()
    assert "Deleted: " not in texts(app)


def test_a_note_that_could_not_be_kept_stays_in_its_field(
    visit: Visit, two: tuple[RunResult, RunResult], workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object, **values: object) -> None:
        raise DiskFull("The disk is full.", next_step="Free some space.")

    key = f"run-note-{two[1].run}"
    app = visit("runs", run=two[1].run)
    with monkeypatch.context() as patch:
        patch.setattr(run_card, "note_run", full)
        app.text_area(key=key).set_value("Took me an hour to write.").run()
    assert "The disk is full" in texts(app)
    assert app.text_area(key=key).value == "Took me an hour to write."
    app.text_area(key=key).set_value("Took me an hour to write. Twice.").run()
    assert open_run(workspace, two[1].run).note == "Took me an hour to write. Twice."
    # from now on what others write shows again
    note_run(workspace, two[1].run, note="theirs")
    app.run()
    assert app.text_area(key=key).value == "theirs"


def test_a_link_to_a_comparison_with_another_model_opens_it(
    visit: Visit, two: tuple[RunResult, RunResult], planted: Analysis, workspace: Workspace
) -> None:
    theirs = retrain(workspace, plant(workspace, blind=True), method="class-balanced")
    app = visit("runs", **{"analysis": planted.id, "run": two[1].run, "with": theirs.run})
    assert not app.exception
    assert "another investigation" not in texts(app)
    assert plain(compare_runs(workspace, two[1].run, theirs.run).sentence) in texts(app)


def test_a_link_to_a_run_that_is_gone_says_so(
    visit: Visit, two: tuple[RunResult, RunResult], workspace: Workspace
) -> None:
    delete_run(workspace, two[0].run)
    app = visit("runs", **{"run": two[1].run, "with": two[0].run})
    assert f"Run {two[0].run} was deleted" in texts(app)
    # the one that is there is shown
    assert plain(two[1].comparison["sentence"]) in texts(app)


def test_runs_of_another_model_on_the_dataset_can_be_compared(
    visit: Visit, two: tuple[RunResult, RunResult], planted: Analysis, workspace: Workspace, monkeypatch: Any
) -> None:
    other = plant(workspace, blind=True)
    theirs = retrain(workspace, other, method="class-balanced")
    assert other.id != planted.id
    app = visit("runs", analysis=planted.id)
    assert len(table(app)["Name"]) == 2
    app.toggle(key="runs_every_model").set_value(True).run()
    assert not app.exception
    # by the names of the models, told apart though both are called the same
    theirs_told, *ours = table(app)["Model"]
    assert ours[0] == ours[1] != theirs_told
    assert all(told.startswith(other.model_name) for told in (theirs_told, *ours))
    app.session_state["runs_picked"] = [theirs.run, two[1].run]
    app.run()
    assert not app.exception
    assert '<th scope="row" dir="auto">Model</th>' in html_of(app)
    assert f"{len(compare_runs(workspace, two[1].run, theirs.run).better)}" in texts(app) + str(
        [one.options for one in app.segmented_control]
    )


def test_settings_are_told_in_words() -> None:
    assert rerun.value_told(None) == "–"
    assert rerun.value_told(True) == "yes"
    assert rerun.value_told(0.30000000000000004) == "0.3"
    assert rerun.value_told(["a", "b"]) == "a, b"
    assert rerun.value_told({"left_out": ["a.png"], "kept": {"b.png": {"water": True}, "c.png": {}}}) == (
        "1 image left out by hand, 2 images put in by hand"
    )
    # knobs of methods that this version does not have keep their own names
    assert rerun.settings_told("unheard-of", {"some_knob": 2, "list": [1]}) == "some knob: 2"
    assert run_list.method_title("unheard-of") == "unheard-of"


def test_a_comparison_tells_names_as_text(two: tuple[RunResult, RunResult], workspace: Workspace) -> None:
    found = compare_runs(workspace, two[0].run, two[1].run)
    told = run_compare.pairs_html(found, "<script>a</script>", "b")
    assert "<script>" not in told
    assert np.char.count(told, "<tr>") == 1 + 4 + len(found.differences)
