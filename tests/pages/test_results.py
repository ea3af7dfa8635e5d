"""Results: the numbers of the run, its sentence, the ways to look at what changed, and what can be taken away."""

from __future__ import annotations

import html
import json
import re
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from core.activations.store import Analysis, open_analysis
from core.classifiers.softmax import softmax
from core.jobs.job import Job
from core.retraining.runs import RunResult, delete_run, predictions, restore_run, retrain, run_folder, run_logits
from core.storage.checksums import MANIFEST
from core.workspace import Workspace
from pages.parts import beside, calibration_view, confusion_view, group_chart, plot, shift_view, theme, verdict
from pages.parts.words import interval, percent, plain

from .conftest import Visit, plant, tag_by_truth, texts


@pytest.fixture
def run(planted: Analysis, workspace: Workspace) -> RunResult:
    tag_by_truth(workspace, planted, 60)
    return retrain(workspace, planted)


def grid(app: AppTest) -> list[dict[str, Any]]:
    """The images of the only grid on the page."""
    sent = [json.loads(one.proto.json) for one in app.get("bidi_component") if one.proto.json]
    (found,) = [one for one in sent if "images" in one]
    return found["images"]


def html_of(app: AppTest) -> str:
    return "\n".join(one.proto.body for one in app.get("html"))


def export_button(app: AppTest) -> Any:
    return next(button for button in app.button if button.label == "Export")


def age(workspace: Workspace, run: RunResult) -> None:
    """Make a run one of an earlier version, which recorded less."""
    file = run_folder(workspace, run.run) / "result.json"
    stored = json.loads(file.read_text())
    for name in ("settings", "chosen", "data", "edits", "feasibility", "shifts", "kind", "name", "note"):
        del stored[name]
    for when in ("before", "after"):
        for name in ("macro_average", "worst_interval", "confusion", "calibration", "note"):
            del stored[when][name]
    file.write_text(json.dumps(stored))
    for later in ("replay.json", MANIFEST):
        (run_folder(workspace, run.run) / later).unlink()


def test_an_empty_workspace_invites_to_begin(visit: Visit) -> None:
    assert "Nothing to look at yet" in texts(visit("results"))


def test_without_a_run_the_way_to_one_is_shown(visit: Visit, planted: Analysis) -> None:
    app = visit("results")
    assert not app.exception
    assert "No repair yet" in texts(app)


def test_a_run_is_told_with_before_after_and_intervals(visit: Visit, run: RunResult) -> None:
    app = visit("results")
    assert not app.exception
    worst = next(metric for metric in app.metric if metric.label == "Worst group")
    assert worst.value == f"{percent(run.before.worst_group)} → {percent(run.after.worst_group)}"
    low, high = run.after.worst_interval
    (under, *_) = app.caption
    assert under.value == f"now between {percent(low)} and {percent(high)}"
    # one interval of the worst group is in sight; that of the group alone is in the help and in its row
    own = interval(run.after.worst.low, run.after.worst.high)
    assert f"{plain(run.after.worst.title)} alone ({own})" in under.proto.help
    assert own not in texts(app)
    assert run.after.worst_group > run.before.worst_group
    assert "rose" in texts(app)
    told = html_of(app)
    assert own in told
    # the weakest first
    order = [group.title for group in sorted(run.before.groups, key=lambda group: group.accuracy)]
    assert re.findall('scope="row" title="([^"]*)"', told) == order
    assert not app.get("plotly_chart"), "nobody waits for the library of charts to read this"
    assert "stimated" not in texts(app)


def test_what_a_repair_costs_is_said(run: RunResult) -> None:
    assert verdict.losses(run.before, run.before) == ""
    assert verdict.losses(run.after, replace(run.after, weighted_average=run.after.weighted_average - 0.004)) == ""
    groups = [replace(group, accuracy=0.75 if place == 2 else 0.9) for place, group in enumerate(run.after.groups)]
    before = replace(run.after, groups=tuple(replace(group, accuracy=0.9) for group in groups), weighted_average=0.98)
    after = replace(before, groups=tuple(groups), weighted_average=0.924)
    assert verdict.losses(before, after) == (
        "What it costs: on data mixed as the training set it falls from 98% to 92%; "
        f"{groups[2].title} fell from 90% to 75%."
    )
    # the verdict says already how far the worst group fell
    worse = replace(after, weighted_average=before.weighted_average, worst=groups[2], worst_group=0.75)
    assert verdict.losses(replace(before, worst_group=0.9), worse) == ""
    # groups that only one of them has are none to compare
    assert "fell" not in verdict.losses(
        replace(before, groups=before.groups[:1]), replace(after, groups=after.groups[1:])
    )
    assert "estimated" in verdict.losses(before, replace(after, estimated=True))


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        # 36.27 points apart, and shown as 51% and 87%
        (0.5067, 0.8693, "+36 points"),
        (0.98, 0.927, "-5 points"),
        (0.5, 0.512, "+1 point"),
        # the same at a glance: what there is of a change
        (0.504, 0.496, "-0.8 points"),
        (0.995, 0.98, "-1.5 points"),
        (0.5, 0.5002, "no change"),
        (0.0, 0.0, "no change"),
        (1.0, 0.25, "-75 points"),
    ],
)
def test_points_are_those_between_the_figures_shown(before: float, after: float, told: str) -> None:
    assert verdict.points(before, after) == told


def test_a_good_result_is_taken_away_next(
    visit: Visit, run: RunResult, planted: Analysis, workspace: Workspace
) -> None:
    assert run.comparison["significant"]
    app = visit("results")
    assert export_button(app).proto.type == "primary"
    retrain(workspace, planted, method="erm")
    app = visit("results")
    assert "No improvement" in texts(app)
    assert export_button(app).proto.type == "secondary"


def test_more_groups_than_can_be_drawn_are_all_in_a_table(
    run: RunResult, monkeypatch: pytest.MonkeyPatch, visit: Visit
) -> None:
    monkeypatch.setattr(group_chart, "DRAWN", 2)
    app = visit("results")
    assert html_of(app).count('scope="row"') == 2
    groups = next(frame.value for frame in app.dataframe if "group" in frame.value)
    assert list(groups["group"]) == [
        group.title for group in sorted(run.before.groups, key=lambda group: group.accuracy)
    ]


def test_a_link_to_no_run_says_so_without_a_command(visit: Visit, run: RunResult) -> None:
    app = visit("results", run="nosuch")
    assert "There is no finished run nosuch" in texts(app)
    assert "Below is another run" in texts(app)
    assert "compare" not in app.error[0].value


def test_no_improvement_is_said(visit: Visit, planted: Analysis, workspace: Workspace) -> None:
    retrain(workspace, planted, method="erm")
    app = visit("results")
    assert "No improvement" in texts(app)
    assert next(metric for metric in app.metric if metric.label == "Worst group").delta == "no change"


def test_a_link_opens_its_run_not_the_latest(visit: Visit, planted: Analysis, workspace: Workspace) -> None:
    old = retrain(workspace, planted, method="erm")
    retrain(workspace, planted, method="class-balanced")
    app = visit("results", run=old.run)
    assert app.selectbox(key="run_pick").value == old.run


def test_a_new_run_takes_the_place_of_the_one_shown(visit: Visit, planted: Analysis, workspace: Workspace) -> None:
    retrain(workspace, planted, method="erm")
    app = visit("results")
    newer = retrain(workspace, planted, method="class-balanced")
    app.run()
    assert app.selectbox(key="run_pick").value == newer.run


def test_a_newest_run_that_goes_does_not_move_the_reader(visit: Visit, planted: Analysis, workspace: Workspace) -> None:
    runs = [retrain(workspace, planted, method="class-balanced", seed=seed) for seed in range(3)]
    app = visit("results", run=runs[0].run)
    delete_run(workspace, runs[2].run)
    app.run()
    assert app.selectbox(key="run_pick").value == runs[0].run
    restore_run(workspace, runs[2].run)
    app.run()
    assert app.selectbox(key="run_pick").value == runs[0].run


def test_runs_of_one_name_can_be_chosen_apart(visit: Visit, planted: Analysis, workspace: Workspace) -> None:
    runs = [retrain(workspace, planted, method="class-balanced", seed=seed) for seed in range(3)]
    app = visit("results")
    options = app.selectbox(key="run_pick").options
    assert len(set(options)) == 3
    assert [f"seed {run.seed}" in option for run, option in zip(reversed(runs), options, strict=True)] == [True] * 3


def test_export_is_one_job_into_the_workspace(
    visit: Visit, planted: Analysis, workspace: Workspace, queued: list[Job]
) -> None:
    run = retrain(workspace, planted, method="class-balanced")
    app = visit("results")
    export_button(app).click().run()
    (job,) = queued
    assert job.kind == "export"
    assert job.request == {"run": run.run, "out": str(workspace.exports / run.run)}


def test_exported_files_are_offered(visit: Visit, planted: Analysis, workspace: Workspace) -> None:
    run = retrain(workspace, planted, method="class-balanced")
    folder = workspace.exports / run.run
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"x" * 2_000_000)
    (folder / "tags.csv").write_text("image,concept,present\n")
    app = visit("results")
    labels = [element.proto.label for element in app.get("download_button")]
    assert labels == ["Model (.safetensors) · 2.0 MB", "Tags (.csv) · 0 kB"]


def test_a_format_that_failed_says_why_and_the_others_stay(
    visit: Visit, planted: Analysis, workspace: Workspace
) -> None:
    run = retrain(workspace, planted, method="class-balanced")
    folder = workspace.exports / run.run
    folder.mkdir(parents=True)
    for name in ("model.safetensors", "model-as-it-came.pth", "report.pdf", "secret.txt"):
        (folder / name).write_bytes(b"x")
    report = {
        "files": [{"file": name} for name in ("model.safetensors", "model-as-it-came.pth", "../outside", "report.pdf")],
        "refused": [{"format": "ONNX", "reason": "Its exporter cannot take this network (*loops*)."}],
        "formats": [{"furthest": 2e-6}, {"furthest": None}],
        "tried": 16,
    }
    (folder / "report.json").write_text(json.dumps(report))
    app = visit("results")
    labels = [element.proto.label for element in app.get("download_button")]
    assert labels == [
        "Model (.safetensors) · 0 kB",
        "As it came (\\.pth) · 0 kB",
        "Report (.pdf) · 0 kB",
        "Figures (.json) · 0 kB",
    ]
    assert "Not offered as ONNX: Its exporter cannot take this network \\(\\*loops\\*\\)" in texts(app)
    assert "asked about 16 images" in texts(app)
    assert [heading.value for heading in app.subheader] == ["The model", "To read and to show", "To build on"]


def test_the_command_that_gives_the_same_numbers_can_be_copied(
    visit: Visit, run: RunResult, workspace: Workspace
) -> None:
    app = visit("results")
    assert not app.code
    app.session_state[f"run-facts-{run.run}"] = True
    app.run()
    (code,) = app.code
    assert code.value.startswith("python -m core replay --workspace ")
    assert code.value.endswith(f"{run.run}/replay.json")


def test_a_link_to_a_deleted_run_says_so(visit: Visit, planted: Analysis, workspace: Workspace) -> None:
    gone = retrain(workspace, planted, method="erm")
    kept = retrain(workspace, planted, method="class-balanced")
    delete_run(workspace, gone.run)
    app = visit("results", run=gone.run)
    assert f"Run {gone.run} was deleted" in texts(app)
    assert app.query_params["run"] == kept.run


def without_attributes(workspace: Workspace, analysis: Analysis) -> Analysis:
    """The same analysis of a dataset that knows no place."""
    file = analysis.folder / "analysis.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "attributes": []}))
    return open_analysis(workspace, analysis.id)


# --- ways of looking -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("look", verdict.LOOKS.titles)
def test_every_look_opens_by_its_link(visit: Visit, run: RunResult, look: str) -> None:
    app = visit("results", look=look)
    assert not app.exception
    assert app.segmented_control(key="results_look").value == look
    assert app.query_params["look"] == look


def test_confusions_are_counted_as_they_are(
    visit: Visit, run: RunResult, planted: Analysis, workspace: Workspace
) -> None:
    rows = planted.split_rows("test")
    labels = planted.labels[rows]
    now = predictions(workspace, planted, run.run, rows)
    for said, matrix in zip((planted.predicted[rows], now), confusion_view.matrices(planted, run), strict=True):
        for label in range(2):
            for other in range(2):
                assert matrix[label, other] == int(((labels == label) & (said == other)).sum())
    app = visit("results", look="confusions")
    # the images behind one mistake, those of before and of now
    mistakes = app.selectbox(key=f"mistake-{run.run}")
    chosen = confusion_view.mistakes(*confusion_view.matrices(planted, run))[0]
    mistakes.set_value(f"{chosen.label}-{chosen.said}").run()
    assert not app.exception
    was = planted.predicted[rows]
    of = (labels == chosen.label) & ((was == chosen.said) | (now == chosen.said))
    shown = grid(app)
    assert {image["id"] for image in shown} <= set(planted.ids[rows[of]].tolist())
    assert len(shown) == min(int(of.sum()), confusion_view.SHOWN)


def test_mistakes_are_told_the_most_frequent_first() -> None:
    before = np.array([[90, 10, 0], [30, 60, 10], [0, 0, 100]])
    after = np.array([[95, 5, 0], [12, 68, 20], [1, 0, 99]])
    found = confusion_view.mistakes(before, after)
    assert [(one.label, one.said, one.before, one.after) for one in found] == [
        (1, 0, 30, 12),
        (1, 2, 10, 20),
        (0, 1, 10, 5),
        (2, 0, 0, 1),
    ]
    assert confusion_view.sentence(found, ("a", "b", "c")) == (
        "The commonest mistake was b taken for a: 30 of 100 images before, 12 now. What grew most is b taken for c: "
        "from 10 to 20."
    )
    assert confusion_view.sentence([], ("a", "b")) == "No image is taken for another class, before or after."


def test_names_of_classes_are_no_markup(run: RunResult) -> None:
    hostile = "<b>a</b>", 'b" onload="x'
    group = {**run.after.groups[0].to_dict(), "class": hostile[0], "concept": hostile[1]}
    for told in (
        confusion_view.matrix_html("Before", np.eye(2, dtype=int), hostile),
        group_chart.chart_html([(group, group)], hostile),
        beside.table_html([beside.Way("x", "".join(hostile), 0.5, 0.5)]),
    ):
        assert "&lt;b&gt;" in told
        assert "<b>" not in told
        assert 'onload="x"' not in told


def test_calibration_is_told_before_and_after(
    visit: Visit, run: RunResult, planted: Analysis, workspace: Workspace
) -> None:
    app = visit("results", look="calibration")
    assert not app.exception
    rows = planted.split_rows("test")
    after = softmax(run_logits(workspace, planted, run.run, rows))
    right = after.argmax(axis=1) == planted.labels[rows]
    assert f"now {percent(float(after.max(axis=1).mean()))} sure and {percent(float(right.mean()))} right" in texts(
        app
    ).replace("\\", "")
    error = next(metric for metric in app.metric if metric.label == "Calibration error")
    assert run.before.calibration is not None
    assert error.value.startswith(f"{100 * run.before.calibration.ece:.1f}% → ")
    assert not app.get("plotly_chart")
    told = html_of(app)
    assert told.count('class="plot"') == 2
    for one in (run.before.calibration, run.after.calibration):
        assert one is not None
        assert html.escape(one.sentence) in told
        markup = calibration_view.chart(one, "key", "told")
        lowest = max(0.0, min(part.low for part in one.bins) - 0.03)
        wanted = [100 * (part.confidence - lowest) / (1.02 - lowest) for part in one.bins]
        dots = re.findall(r'class="mark circle" style="--x:([0-9.]+);--y:([0-9.]+);--s:([0-9.]+)', markup)
        assert [float(x) for x, _, _ in dots] == pytest.approx(wanted, abs=2e-3)
        assert [float(y) for _, y, _ in dots] == pytest.approx(
            [100 * (part.accuracy + 0.03) / 1.06 for part in one.bins], abs=2e-3
        )
        assert max(float(size) for _, _, size in dots) == 26
        assert markup.count("opacity:0.45") == sum(part.count < calibration_view.FEW for part in one.bins)
        assert markup.count('type="radio"') == markup.count('class="whisker"') == len(one.bins)
    assert calibration_view.sentence(run.before.calibration, run.before.calibration).startswith(
        "Calibration is as it was"
    )


def test_activations_are_counted_before_and_after(visit: Visit, run: RunResult) -> None:
    app = visit("results", look="activations")
    assert not app.exception
    shift = next(one for one in run.shifts if one["class"] == run.before.worst.class_name)
    assert plain(shift["sentence"]) in texts(app)
    for title in ("before", "after"):
        layers = shift_view.layers(shift, title)
        assert [sum(bar) for bar in zip(*layers.values(), strict=True)] == shift[title]
        assert not any(layers[shift_view.UNKNOWN])
    assert not app.get("plotly_chart")
    charts = [one.proto.body for one in app.get("html") if 'class="plot"' in one.proto.body]
    most = max(*shift["before"], *shift["after"])
    for title, markup in zip(("before", "after"), charts, strict=True):
        heights = [float(one) for one in re.findall(r'<i style="--x:[^"]*;--h:([0-9.]+)"', markup)]
        # both with one axis, whose top is a little above the tallest of either
        assert sum(heights) == pytest.approx(100 * sum(shift[title]) / (1.08 * most), abs=0.05)
        told = [html.unescape(one) for one in re.findall('type="radio"[^>]* aria-label="([^"]*)"', markup)]
        assert len(told) == len(shift[title])
        own = shift_view.layers(shift, title)[shift_view.OWN]
        name = shift["class"]
        assert [int(re.findall(rf"{name}\u2069: ([0-9]+)", one)[0]) for one in told] == own
        assert told[0].startswith("up to −")


def test_activations_have_the_colours_and_names_of_their_classes(visit: Visit, run: RunResult) -> None:
    shift = next(one for one in run.shifts if one["class"] == "waterbird")
    landbird, waterbird = map(plot.both, theme.LIGHT[:2], theme.DARK[:2])
    sides = shift_view.sides(shift, run.classes)
    assert sides[shift_view.OWN] == ("waterbird", waterbird)
    assert sides[shift_view.OTHERS] == ("landbird", landbird)
    # of more than two, the others are no class
    assert shift_view.sides(shift, ("landbird", "waterbird", "fish"))[shift_view.OTHERS].name == shift_view.OTHERS
    unnoted = shift_view.sides(shift, ())
    assert (unnoted[shift_view.OWN].name, unnoted[shift_view.OTHERS].name) == ("waterbird", shift_view.OTHERS)
    assert "−1 is where those of landbird are on average" in texts(visit("results", look="activations"))


def test_flips_are_shown_by_group(visit: Visit, run: RunResult, planted: Analysis) -> None:
    app = visit("results", look="flips")
    assert not app.exception
    fixed = run.comparison["fixed"]
    which = app.segmented_control(key=f"flips-{run.run}")
    assert which.options == [f"Fixed · {len(fixed)}", f"Broken · {len(run.comparison['broken'])}"]
    pills = app.pills(key=f"flips-group-{run.run}-fixed")
    place = planted.attributes[0]
    rows = planted.rows_of(fixed)
    wanted = Counter(f"{planted.classes[planted.labels[row]]} · {place.values[place.codes[row]]}" for row in rows)
    told = [option.replace("\\", "") for option in pills.options]
    assert told[0] == f"All · {len(fixed)}"
    assert Counter(dict(_counted(one) for one in told[1:])) == wanted
    name = wanted.most_common(1)[0][0]
    pills.set_value(name).run()
    images = grid(app)
    assert len(images) == min(wanted[name], 28)
    assert {f"{image['label']}" for image in images} == {name.partition(" ")[0]}
    assert all(image["correct"] for image in images)


def _counted(option: str) -> tuple[str, int]:
    name, _, number = option.rpartition(" · ")
    return name, int(number)


def test_beside_other_ways_stand_the_baselines(visit: Visit, run: RunResult) -> None:
    app = visit("results", look="beside")
    told = html_of(app)
    assert told.count("<small>this run</small>") == told.count("class=own") == 1
    assert told.count('scope="row"') == 1 + len(run.baselines)
    figures = re.findall('data-head="worst group".*?([0-9.]+)%', told)
    assert [float(one) for one in figures] == sorted(map(float, figures), reverse=True)
    # what AFR and the others are is a click away
    for item in run.baselines:
        assert f"**{plain(item.title)}**: " in texts(app)
    tried = [item for item in run.baselines if item.method not in ("erm", "dfr", run.method)]
    best = max(tried, key=lambda item: item.worst_group)
    # no claim about ways that were not tried
    assert plain(f"{best.title}, the best of {len(tried)} ways tried here that need no tags") in texts(app)


def test_points_ahead_are_those_between_the_figures_of_the_table(run: RunResult) -> None:
    # 15.45 points apart, and shown as 86.9% and 71.5%
    other = replace(run.baselines[0], method="afr", title="AFR", worst_group=0.71492)
    after = replace(run.after, worst_group=0.86946)
    told = beside.sentence(replace(run, after=after, baselines=(other,)))
    assert "15.4 points ahead of AFR, the only way tried here that needs no tags." in told
    told = beside.sentence(replace(run, after=replace(after, worst_group=0.71451), baselines=(other,)))
    assert "as good as AFR" in told
    assert "points behind" in beside.sentence(replace(run, after=replace(after, worst_group=0.5), baselines=(other,)))


def test_a_run_of_an_earlier_version_opens_and_can_be_had_again(
    visit: Visit, run: RunResult, workspace: Workspace, queued: list[Job]
) -> None:
    age(workspace, run)
    for look in verdict.LOOKS.titles:
        app = visit("results", look=look)
        assert not app.exception
        assert app.metric[0].value == f"{percent(run.before.worst_group)} → {percent(run.after.worst_group)}"
        if look == "confusions":
            # computed from what the head says
            assert str(run.after.confusion[0][0]) in "".join(one.proto.body for one in app.get("html"))
    app = visit("results", look="calibration")
    app.session_state[f"run-facts-{run.run}"] = True
    app.run()
    assert "before Midband recorded how sure it was" in texts(app)
    assert "cannot be replayed" in texts(app)
    app.button(key=f"unrecorded-{run.run}").click().run()
    (job,) = queued
    assert (job.request["method"], job.request["concepts"]) == ("mid", ["water"])
    assert job.request["run"] != run.run


def test_estimated_groups_are_marked_wherever_they_count(visit: Visit, workspace: Workspace) -> None:
    analysis = plant(workspace)
    tag_by_truth(workspace, analysis, 60)
    bare = without_attributes(workspace, analysis)
    assert not bare.attributes
    run = retrain(workspace, bare)
    assert run.after.estimated
    for look in ("groups", "activations", "flips", "beside"):
        app = visit("results", look=look)
        assert not app.exception
        labels = [metric.label for metric in app.metric]
        assert labels[:3] == ["Worst group (estimated)", "Average", "Weighted average (estimated)"]
        assert ":material/help: **Estimated" in texts(app)
    assert "about" in texts(app)


def test_the_sentence_of_the_groups_says_what_rose_and_what_fell(run: RunResult) -> None:
    told = group_chart.sentence(run.before, run.after)
    was, now = group_chart.by_group(run.before), group_chart.by_group(run.after)
    most = max(was, key=lambda group: now[group]["accuracy"] - was[group]["accuracy"])
    assert group_chart.group_name(was[most]) in told
    assert group_chart.sentence(run.before, run.before) == "No group changed."
    # two runs, of which none came first
    both = group_chart.sentence(run.before, run.after, ("the first", "the second"))
    assert "better in the second" in both
    assert "rose" not in both
    assert group_chart.sentence(run.before, run.before, ("a", "b")) == "Both are as good in every group."
