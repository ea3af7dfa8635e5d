"""The Results page, one fragment: the headline, ways of looking at what changed, what can be taken away."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from core.errors import NotFound
from core.retraining.runs import RunResult, open_run
from pages.parts import (
    calibration_view,
    confusion_view,
    flips,
    group_chart,
    live,
    problem,
    rerun,
    rooms,
    run_facts,
    run_list,
    shift_view,
    state,
    take_away,
    theme,
)
from pages.parts.component_source import source
from pages.parts.looks import Looks, asked_of
from pages.parts.words import TERMS, count, helped, interval, percent, plain, short

if TYPE_CHECKING:
    from core.activations.store import Analysis
    from core.retraining.evaluation import Evaluation

RUN = "run"
# ids of all runs that were there while this session looked
KNOWN = "runs_known"
# a loss below this is not worth a word
NOTABLE = 0.01
GROUPS, CONFUSIONS, CALIBRATION, ACTIVATIONS, FLIPS, BESIDE = (
    "groups",
    "confusions",
    "calibration",
    "activations",
    "flips",
    "beside",
)
LOOKS = Looks(
    "results_look",
    "Look at",
    {
        GROUPS: "Groups",
        CONFUSIONS: "Confusions",
        CALIBRATION: "Calibration",
        ACTIVATIONS: "Activations",
        FLIPS: "Images that changed",
        BESIDE: "Beside other ways",
    },
)


@st.fragment
@problem.guarded
def show(analysis: Analysis) -> None:
    asked = asked_of(analysis)
    runs = run_list.finished_runs(analysis.id)
    styles()
    damaged = run_list.damaged(analysis.id)
    if damaged:
        with st.container(horizontal=True, vertical_alignment="center", border=True, key="card-damaged"):
            st.markdown(f":material/error: {count(len(damaged), 'run')} cannot be read.", width="stretch")
            rooms.link("runs", "See which")
    if not runs and not damaged and not analysis.labelled:
        rooms.unlabelled("A repair is measured against labels, and these images have none.")
    elif not runs and not damaged:
        with st.container(border=True, key="card-empty"):
            st.markdown("**No repair yet.** Tag some images, then retrain: the comparison appears here.")
            with st.container(horizontal=True):
                rooms.link("tag_next", "Tag next")
                rooms.link("retrain", "Retrain")
    if not runs:
        return
    live.drawn(analysis)
    run = _choose(runs, asked.get("run"))
    look = LOOKS.current(asked.get("look"))
    _headline(run, analysis)
    LOOKS.choose(look)
    _look(analysis, run, look)
    take_away.show(run)
    _settings(run)
    with st.container(border=True, key="card-next"):
        st.markdown("**Next:** is another habit left? Look at the bands again, or answer more images and repair anew.")
        with st.container(horizontal=True):
            rooms.link("bands", "Bands")
            rooms.link("tag_next", "Tag next")
            if len(runs) > 1:
                rooms.link("runs", "Compare runs")
    state.write_link({"analysis": run.analysis, "run": run.run, "look": look})


def styles() -> None:
    """Of our tables, here and on the Runs page."""
    colors = f"--rx-right: {theme.right_color()}; --rx-wrong: {theme.wrong_color()};"
    st.html(f"<style>:root {{ {colors} }}\n{source('results', 'results.css')}</style>")


def _choose(runs: dict[str, RunResult], asked: str | None) -> RunResult:
    names = list(runs)
    known: set[str] = st.session_state.setdefault(KNOWN, set())
    if names[0] not in known:
        # a run that was not there before is what somebody wants to see; one that is the newest again is not
        st.session_state[RUN] = names[0]
    known.update(names)
    if asked in runs:
        st.session_state[RUN] = asked
    elif asked is not None:
        gone(asked)
    chosen = st.session_state.get(RUN)
    st.session_state["run_pick"] = chosen if chosen in runs else names[0]
    if len(runs) > 1:
        st.selectbox(
            "Run",
            names,
            key="run_pick",
            format_func=run_list.titles(runs).get,
            on_change=lambda: st.session_state.update({RUN: st.session_state["run_pick"]}),
            width=460,
        )
    return runs[st.session_state["run_pick"]]


def gone(run_id: str) -> None:
    """Say what became of a run that a link names."""
    with problem.shown():
        try:
            found = open_run(state.workspace(), run_id)
        except NotFound as error:
            # the way on that it names is a command's
            elsewhere = "It may be under “Deleted” on the Runs page, or in another workspace. Below is another run."
            raise NotFound(error.detail, next_step=elsewhere) from error
        raise NotFound(
            f"Run {run_id} is of another investigation.",
            next_step=f"Choose the one of {found.analysis} on the left.",
        )


def _headline(run: RunResult, analysis: Analysis) -> None:
    before, after = run.before, run.after
    guessed = " (estimated)" if after.estimated else ""
    figures = (
        ("Worst group", guessed, before.worst_group, after.worst_group, _between(*after.worst_interval)),
        ("Average", "", before.average, after.average, _between(*after.interval)),
        ("Weighted average", guessed, before.weighted_average, after.weighted_average, _weights(after)),
    )
    with st.container(border=True, key="card-verdict"):
        cells = st.grid(3, min_column_width=210, gap="small")
        for title, mark, was, now, under in figures:
            with cells.cell():
                st.metric(
                    title + mark,
                    f"{percent(was)} → {percent(now)}",
                    _points(was, now),
                    # a model that drops its shortcut may lose where the shortcut was at home: no alarm about that
                    delta_color="off" if title == "Weighted average" else "normal",
                    help=TERMS[title.lower()],
                )
                st.caption(under)
        icon = ":material/trending_up:" if run.comparison["significant"] else ":material/info:"
        st.markdown(f"{icon} {plain(run.comparison['sentence'])}", help=helped("paired test"))
        if cost := losses(before, after):
            st.markdown(f":material/trending_down: {plain(cost)}")
        st.caption(
            f"Worst group before: {_worst(before)}  \nWorst group after: {_worst(after)}",
            help=TERMS["estimated"] if after.estimated else TERMS["interval"],
        )
        if told := run_list.reordered(run, analysis):
            st.caption(f":material/swap_vert: {plain(told)}")


def _between(low: float, high: float) -> str:
    return f"now between {percent(low)} and {percent(high)}"


def _weights(evaluation: Evaluation) -> str:
    """What the weighted average mostly measures."""
    shares = [group.share for group in evaluation.groups]
    common = sum(share for share in shares if share > sum(shares) / len(shares))
    if common <= 0.5:
        return "weighted as training was"
    return f"{percent(common)} of its weight: the usual combinations"


def _worst(evaluation: Evaluation) -> str:
    worst = evaluation.worst
    about = "about " if evaluation.estimated else ""
    return f"{plain(worst.title)}, {about}{percent(worst.accuracy)} ({interval(worst.low, worst.high)})"


def losses(before: Evaluation, after: Evaluation) -> str:
    """What the repair costs: on data mixed as training was, and in the group that fell most; "" for next to nothing."""
    parts = []
    if (fell := before.weighted_average - after.weighted_average) >= NOTABLE:
        parts.append(f"on data mixed as the training set it falls by {100 * fell:.1f} points")
    was = {group.title: group.accuracy for group in before.groups}
    fallen = {group.title: was[group.title] - group.accuracy for group in after.groups if group.title in was}
    most = max(fallen, key=fallen.__getitem__, default="")
    # that the worst group fell is said by the comparison
    told = after.worst_group < before.worst_group and most == after.worst.title
    if most and fallen[most] >= NOTABLE and not told:
        parts.append(f"{short(most, 60)} fell by {100 * fallen[most]:.1f} points")
    about = " (about: groups are estimated)" if parts and after.estimated else ""
    return f"What it costs: {'; '.join(parts)}{about}." if parts else ""


def _points(before: float, after: float) -> str:
    """The change in percentage points; a change that would round to nothing is nothing."""
    change = 100 * (after - before)
    return "no change" if abs(change) < 0.05 else f"{change:+.1f} points"


def _look(analysis: Analysis, run: RunResult, look: str) -> None:
    if look == CONFUSIONS:
        confusion_view.show(analysis, run)
    elif look == CALIBRATION:
        if not calibration_view.show(run):
            _unrecorded(run, "how sure it was")
    elif look == ACTIVATIONS:
        if not shift_view.show(run):
            _unrecorded(run, "where the images lay")
    elif look == FLIPS:
        flips.show(analysis, run)
    elif look == BESIDE:
        _beside(run)
    else:
        st.header("Every group", anchor=False, help=helped("group"))
        st.markdown(plain(group_chart.sentence(run.before, run.after)))
        group_chart.show(run.before, run.after, "group-chart")


def _unrecorded(run: RunResult, what: str) -> None:
    """Of a run that an earlier version made."""
    with st.container(border=True, key="card-unrecorded"):
        st.markdown(f"**This run was made before Midband recorded {what}.** Have it again: it takes as long as then.")
        st.button(
            "Run again",
            icon=":material/replay:",
            key=f"unrecorded-{run.run}",
            on_click=problem.kept(partial(rerun.begin, run)),
        )
    rerun.panel()


def _beside(run: RunResult) -> None:
    st.header(
        "Beside other ways",
        anchor=False,
        help="The same images and features. A repair is worth its tags if it beats what needs none.",
    )
    own = f"{run_list.method_title(run.method)} (this run)"
    rows = [(own, run.after.worst_group, run.after.average)]
    rows += [(item.title, item.worst_group, item.average) for item in run.baselines]
    st.markdown(plain(_beside_sentence(run)))
    rows = sorted(rows, key=lambda row: -row[1])
    table = pd.DataFrame(
        [{"method": title, "worst group": 100 * worst, "average": 100 * average} for title, worst, average in rows]
    )
    bar = {"min_value": 0, "max_value": 100, "format": "%.1f%%", "width": "small"}
    st.dataframe(
        table,
        hide_index=True,
        width="stretch",
        height="content",
        column_config={
            "method": st.column_config.TextColumn(width="medium"),
            "worst group": st.column_config.ProgressColumn(**bar),
            "average": st.column_config.ProgressColumn(**bar),
        },
        alt="Worst-group and average accuracy of this run and of other ways on the same images.",
    )
    if run.after.estimated:
        st.caption(":material/help: **Estimated** by the same guess of the groups for all.", help=TERMS["estimated"])
    st.caption("One seed each, as a glance. For several seeds, with intervals:")
    rooms.link("retrain", "Compare all ways", look="ways")


def _beside_sentence(run: RunResult) -> str:
    """What to see: whether the tags were worth it."""
    # "erm" is the classifier as it is; "dfr" knows the group of every image, which is what nobody has to tag
    cheaper = [item for item in run.baselines if item.method not in ("erm", "dfr", run.method)]
    if not cheaper:
        return "Nothing that needs no tags could be measured beside it."
    best = max(cheaper, key=lambda item: item.worst_group)
    # only of what was measured: there are other ways, some of which nobody tried on these images
    told = (
        f"{best.title}, the best of {len(cheaper)} ways tried here that need no tags"
        if len(cheaper) > 1
        else f"{best.title}, the only way tried here that needs no tags"
    )
    ahead = 100 * (run.after.worst_group - best.worst_group)
    if ahead > 0.05:
        return f"{ahead:.1f} points ahead of {told}."
    if ahead < -0.05:
        return f"{-ahead:.1f} points behind {told}: its tags are not worth it yet."
    return f"As good as {told}."


def _settings(run: RunResult) -> None:
    with run_facts.show(run):
        rooms.link("runs", "Name it, note what you think, compare it", run=run.run)
