"""All ways at once: what is asked for is compared, and shown with what a figure means."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import pytest
from streamlit.testing.v1 import AppTest

from core.activations.store import Analysis
from core.jobs.job import Job
from core.retraining.bakeoff import BakeOff, bake_off, usual_methods
from core.retraining.finetune_time import TrainingPace
from core.workspace import Workspace
from pages.parts import method_knobs
from pages.parts.bake_off_chart import as_csv, chart, label, table, told
from pages.parts.bake_off_view import best_way, sentence

from .conftest import Visit, plant, set_job, tag_by_truth, texts

METHODS = ("mid", "class-balanced")


@pytest.fixture
def compared(workspace: Workspace, planted: Analysis) -> BakeOff:
    tag_by_truth(workspace, planted, 60)
    return bake_off(workspace, planted, methods=METHODS, seeds=(0, 1), bake_off_id="first")


def press(app: AppTest, label: str) -> AppTest:
    next(button for button in app.button if button.label == label).click().run()
    assert not app.exception
    return app


def opened(visit: Visit, **query: str) -> AppTest:
    app = visit("retrain", look="ways", **query)
    assert not app.exception
    return app


def test_before_anything_is_compared_it_says_what_for(visit: Visit, planted: Analysis) -> None:
    app = opened(visit)
    assert "Nothing compared yet" in texts(app)
    assert not app.dataframe


def test_what_is_chosen_is_compared(visit: Visit, planted: Analysis, workspace: Workspace, queued: list[Job]) -> None:
    tag_by_truth(workspace, planted, 60)
    app = opened(visit)
    chosen = app.button_group(key="bake-off-methods")
    assert chosen.value == [name for name in usual_methods() if name not in ("erm", "dfr")]
    chosen.set_value(["mid", "jtt"]).run()
    app.number_input(key="bake-off-seeds").set_value(3).run()
    press(app, "Compare all ways")
    (job,) = queued
    assert job.kind == "bakeoff"
    assert job.request.pop("bake_off")
    assert job.request == {
        "analysis": planted.id,
        "methods": ["mid", "jtt"],
        "seeds": [0, 1, 2],
        "concepts": ["water"],
    }
    assert "Cancel" in [button.label for button in app.button]
    assert "Compare all ways" not in [button.label for button in app.button]


def test_nothing_chosen_cannot_be_compared(visit: Visit, planted: Analysis) -> None:
    app = opened(visit)
    app.button_group(key="bake-off-methods").set_value([]).run()
    assert next(button for button in app.button if button.label == "Compare all ways").disabled


def test_no_concept_is_not_all_of_them(visit: Visit, planted: Analysis, workspace: Workspace) -> None:
    for name in ("water", "reeds"):
        tag_by_truth(workspace, planted, 60, name)
    app = opened(visit)
    assert not next(button for button in app.button if button.label == "Compare all ways").disabled
    app.button_group(key=f"retrain-concepts-{planted.id}").set_value([]).run()
    assert next(button for button in app.button if button.label == "Compare all ways").disabled
    assert "Choose at least one concept" in texts(app)


def test_a_comparison_of_other_images_does_not_stand_in_the_way(
    visit: Visit, planted: Analysis, workspace: Workspace, queued: list[Job]
) -> None:
    press(opened(visit), "Compare all ways")
    other = plant(workspace, 300, name="fish")
    assert "Compare all ways" in [button.label for button in opened(visit, analysis=other.id).button]


def test_comparisons_of_one_moment_can_each_be_chosen(
    visit: Visit, compared: BakeOff, planted: Analysis, workspace: Workspace
) -> None:
    for name in ("second", "third"):
        bake_off(workspace, planted, methods=METHODS, seeds=(0, 1), bake_off_id=name)
    app = opened(visit)
    assert len(set(app.selectbox(key="bake-off-pick").options)) == 3
    for name in ("first", "second", "third"):
        app.selectbox(key="bake-off-pick").set_value(name).run()
        assert app.query_params["bake_off"] == name


def test_an_address_of_a_comparison_that_is_gone_says_so(visit: Visit, compared: BakeOff) -> None:
    app = opened(visit, bake_off="nosuch")
    assert "is not here" in "".join(info.value for info in app.info)
    assert app.query_params["bake_off"] == "first"
    assert not opened(visit, bake_off="first").info


def test_choosing_by_test_images_is_called_so(visit: Visit, compared: BakeOff, planted: Analysis) -> None:
    shown = texts(opened(visit))
    assert "has chosen by the test images" in shown
    assert "repair with the best" not in shown


def test_what_was_chosen_stays_while_the_other_look_is_shown(visit: Visit, planted: Analysis) -> None:
    app = opened(visit)
    app.button_group(key="bake-off-methods").set_value(["afr"]).run()
    app.number_input(key="bake-off-seeds").set_value(2).run()
    visit("retrain", app, look="repair")
    visit("retrain", app, look="ways")
    assert app.button_group(key="bake-off-methods").value == ["afr"]
    assert app.number_input(key="bake-off-seeds").value == 2


def test_finetuning_says_what_it_adds(visit: Visit, planted: Analysis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(method_knobs, "_pace", lambda *_: TrainingPace(1.0, False))
    app = opened(visit)
    app.button_group(key="bake-off-methods").set_value(["mid", "finetune"]).run()
    assert "Finetuning, for each of 5 seeds" in texts(app)


def test_the_result_has_every_way_and_what_is_always_beside(visit: Visit, compared: BakeOff) -> None:
    app = opened(visit)
    ways = app.dataframe[0].value
    assert set(ways["way"]) == {
        "Mid-range curation",
        "Class-balanced retraining",
        "The classifier as it is",
        "No person: assumptions only",
        "DFR with known groups",
    }
    assert ways["way"].tolist() == [line.title for line in compared.lines]
    assert app.query_params["bake_off"] == "first"
    assert "200 test images" in texts(app)
    assert "Groups: attribute place." in texts(app)


def test_a_finished_comparison_is_shown_and_earlier_ones_can_be_chosen(
    visit: Visit, compared: BakeOff, planted: Analysis, workspace: Workspace, queued: list[Job]
) -> None:
    app = press(opened(visit), "Compare all ways")
    asked = queued[0].request
    assert app.dataframe, "the earlier one is still shown"
    bake_off(workspace, planted, methods=("afr",), seeds=(0,), bake_off_id=asked["bake_off"])
    set_job(workspace, queued[0].id, state="done", result={"bake_off": asked["bake_off"]})
    app.run()
    assert not app.exception
    assert "AFR, no tags" in app.dataframe[0].value["way"].tolist()
    assert "Compare all ways" in [button.label for button in app.button]
    app.selectbox(key="bake-off-pick").set_value("first").run()
    assert "Mid-range curation" in app.dataframe[0].value["way"].tolist()
    assert app.query_params["bake_off"] == "first"


def test_a_link_leads_to_one_of_them(visit: Visit, compared: BakeOff, planted: Analysis, workspace: Workspace) -> None:
    bake_off(workspace, planted, methods=("afr",), seeds=(0,), bake_off_id="second")
    app = opened(visit, bake_off="first")
    assert "Mid-range curation" in app.dataframe[0].value["way"].tolist()
    assert "AFR, no tags" in opened(visit).dataframe[0].value["way"].tolist(), "the newest, when nothing is asked"


def test_a_failed_comparison_says_why_and_can_be_tried_again(
    visit: Visit, planted: Analysis, workspace: Workspace, queued: list[Job]
) -> None:
    app = press(opened(visit), "Compare all ways")
    error = {"error": "BadRequest", "title": "That setting does not work", "detail": "Too odd.", "next_step": "Ask."}
    set_job(workspace, queued[0].id, state="failed", error=error)
    app.run()
    assert "Too odd" in "".join(each.value for each in app.error)
    assert "Try again" in [button.label for button in app.button]
    # whatever else is pressed, and after a reload
    app.number_input(key="bake-off-seeds").set_value(3).run()
    assert app.error
    fresh = opened(visit)
    assert "Too odd" in "".join(each.value for each in fresh.error)
    press(fresh, "Put away")
    assert not fresh.error


def test_the_best_way_can_be_taken_to_the_repair(visit: Visit, compared: BakeOff) -> None:
    best = best_way(compared)
    assert best is not None
    app = press(opened(visit), f"Repair with {best.title}".replace("-", "\\-"))
    assert app.radio(key="retrain_method").value == best.method


def test_methods_that_could_not_take_part_say_why(visit: Visit, planted: Analysis, workspace: Workspace) -> None:
    bake_off(workspace, planted, methods=METHODS, seeds=(0,))
    shown = texts(opened(visit)).replace("\\", "")
    assert "Mid-range curation is not in it: It needs tags" in shown


def changed(one: BakeOff, **lines: dict) -> BakeOff:
    """With other figures for some methods."""
    return replace(
        one, lines=tuple(replace(line, **lines.get(line.method.replace("-", "_"), {})) for line in one.lines)
    )


def test_the_sentence_says_what_is_so(compared: BakeOff) -> None:
    clear = changed(
        compared,
        erm={"mean": 0.5},
        mid={"mean": 0.8, "interval": (0.75, 0.85), "p": 0.001},
        class_balanced={"mean": 0.6, "p": 0.01},
    )
    assert sentence(clear).startswith(
        "**Mid\\-range curation** comes out best on these test images: 50% → **80%** in the worst group"
    )
    assert "chance" not in sentence(clear)
    close = changed(clear, class_balanced={"mean": 0.78})
    assert "1 other lies within its interval" in sentence(close)
    luck = changed(clear, mid={"p": 0.2})
    assert "no clear improvement" in sentence(luck)
    worse = changed(clear, mid={"mean": 0.4}, class_balanced={"mean": 0.45})
    assert sentence(worse).startswith("**No way is better**")
    assert best_way(worse) is None
    # who knows the groups is no way that can be had
    oracle = changed(clear, dfr={"mean": 0.99})
    assert "Mid" in sentence(oracle)


def test_the_plot_shows_every_way_with_its_interval(compared: BakeOff) -> None:
    figure = chart(compared)
    whole = [trace for trace in figure.data if trace.error_x.array is not None]
    assert [trace.x[0] for trace in whole] == [line.mean for line in compared.lines]
    for trace, line in zip(whole, compared.lines, strict=True):
        assert trace.x[0] + trace.error_x.array[0] == pytest.approx(max(line.interval[1], line.mean))
        assert trace.x[0] - trace.error_x.arrayminus[0] == pytest.approx(min(line.interval[0], line.mean))
    references = {shape.x0 for shape in figure.layout.shapes}
    assert references == {line.mean for line in compared.lines if line.method in ("erm", "dfr")}
    symbols = {trace.y[0]: trace.marker.symbol for trace in whole}
    assert set(symbols.values()) == {"circle", "diamond-open"}
    assert len(set(symbols)) == len(compared.lines)


def test_the_table_says_better_or_worse(compared: BakeOff) -> None:
    one = changed(
        compared,
        erm={"mean": 0.5},
        mid={"mean": 0.8, "p": 0.0001},
        class_balanced={"mean": 0.4, "p": 0.0001},
        no_person={"mean": 0.7, "p": 0.3},
    )
    shown = table(one).set_index("way")["against as it is"]
    assert shown["Mid-range curation"] == "better (p below 0.1%)"
    assert shown["Class-balanced retraining"] == "worse (p below 0.1%)"
    assert shown["No person: assumptions only"] == "no clear difference (p 30%)"
    assert shown["The classifier as it is"] == ""
    assert "Mid-range curation 80%" in told(one)


def test_hostile_names_stay_text(compared: BakeOff) -> None:
    odd = changed(compared, mid={"title": "<b>a</b> & a name that is long enough to be broken in two"})
    shown = next(name for name in chart(odd).layout.yaxis.categoryarray if "&amp;" in name)
    assert "<b>" not in shown
    assert shown.count("<br>") == 1
    assert label("x" * 60) == "x" * 60


def test_the_table_to_take_along_has_every_seed(compared: BakeOff) -> None:
    lines = list(csv.DictReader(io.StringIO(as_csv(compared).decode("utf-8-sig"))))
    assert len(lines) == len(compared.lines) * 2
    for line in compared.lines:
        own = [each for each in lines if each["method"] == line.method]
        assert [int(each["seed"]) for each in own] == [0, 1]
        assert [float(each["worst_group"]) for each in own] == list(line.worst_group)
        assert float(own[0]["mean"]) == line.mean
    assert len(table(compared)) == len(compared.lines)
