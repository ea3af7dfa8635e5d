"""The Results page, one fragment: the headline, ways of looking at what changed, what can be taken away."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import streamlit as st

from core.access.policy import Permission
from core.errors import NotFound
from core.retraining.runs import RunResult, open_run
from pages.parts import (
    beside,
    calibration_view,
    confusion_view,
    flips,
    gate,
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
    take_away.show(run)
    LOOKS.choose(look)
    _look(analysis, run, look)
    _settings(run)
    with st.container(border=True, key="card-next"):
        st.markdown("**Is another habit left?** Look at the bands again, or answer more images and repair anew.")
        with st.container(horizontal=True):
            rooms.link("bands", "Bands")
            rooms.link("tag_next", "Tag next")
    state.write_link({"analysis": run.analysis, "run": run.run, "look": look})


def styles() -> None:
    """Of our tables, here and on the Runs page."""
    colors = f"--rx-right: {theme.right_color()}; --rx-wrong: {theme.wrong_color()}; --rx-now: {theme.accent_color()};"
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
            open_run(state.workspace(), run_id)
        except NotFound as error:
            # the way on that it names is a command's
            elsewhere = "It may be under “Deleted” on the Runs page, or in another workspace. Below is another run."
            raise NotFound(error.detail, next_step=elsewhere) from error
        raise NotFound(
            f"Run {run_id} is of another investigation.",
            next_step="Choose that one under Investigation in the sidebar.",
        )


def _headline(run: RunResult, analysis: Analysis) -> None:
    before, after = run.before, run.after
    guessed = " (estimated)" if after.estimated else ""
    figures = (
        ("Worst group", guessed, before.worst_group, after.worst_group, _between(after.worst_interval), _wider(after)),
        ("Average", "", before.average, after.average, _between(after.interval), TERMS["interval"]),
        ("Weighted average", guessed, before.weighted_average, after.weighted_average, _weights(after), None),
    )
    with st.container(border=True, key="card-verdict"):
        cells = st.grid(3, min_column_width=210, gap="small")
        for title, mark, was, now, under, about in figures:
            with cells.cell(), st.container(gap="xsmall"):
                st.metric(
                    title + mark,
                    f"{percent(was)} → {percent(now)}",
                    points(was, now),
                    # a model that drops its shortcut may lose where the shortcut was at home: no alarm about that
                    delta_color="off" if title == "Weighted average" else "normal",
                    help=TERMS[title.lower()],
                )
                st.caption(under, help=about)
        icon = ":material/trending_up:" if run.comparison["significant"] else ":material/info:"
        st.markdown(f"{icon} {plain(run.comparison['sentence'])}", help=helped("paired test"))
        if cost := losses(before, after):
            st.markdown(f":material/trending_down: {plain(cost)}")
        if told := run_list.reordered(run, analysis):
            st.caption(f":material/swap_vert: {plain(told)}")


def _between(ends: tuple[float, float]) -> str:
    return f"now between {percent(ends[0])} and {percent(ends[1])}"


def _wider(after: Evaluation) -> str:
    """Why the interval of the worst group is not the one that its row has. Markdown."""
    worst = after.worst
    if after.estimated:
        return TERMS["estimated"]
    return (
        f"With 95% confidence. Any group may be the worst one, so this is wider than the interval of "
        f"{plain(short(worst.title, 60))} alone ({interval(worst.low, worst.high)})."
    )


def _weights(evaluation: Evaluation) -> str:
    """What the weighted average mostly measures."""
    shares = [group.share for group in evaluation.groups]
    common = sum(share for share in shares if share > sum(shares) / len(shares))
    if common <= 0.5:
        return "weighted as training was"
    return f"{percent(common)} of its weight: the usual combinations"


def losses(before: Evaluation, after: Evaluation) -> str:
    """What the repair costs: on data mixed as training was, and in the group that fell most; "" for next to nothing."""
    parts = []
    if before.weighted_average - after.weighted_average >= NOTABLE:
        change = _from_to(before.weighted_average, after.weighted_average)
        parts.append(f"on data mixed as the training set it falls {change}")
    was = {group.title: group.accuracy for group in before.groups}
    fallen = {group.title: was[group.title] - group.accuracy for group in after.groups if group.title in was}
    most = max(fallen, key=fallen.__getitem__, default="")
    # that the worst group fell is said by the comparison
    told = after.worst_group < before.worst_group and most == after.worst.title
    if most and fallen[most] >= NOTABLE and not told:
        parts.append(f"{short(most, 60)} fell {_from_to(was[most], was[most] - fallen[most])}")
    about = " (about: groups are estimated)" if parts and after.estimated else ""
    return f"What it costs: {'; '.join(parts)}{about}." if parts else ""


def _from_to(before: float, after: float) -> str:
    return f"from {percent(before)} to {percent(after)}"


def points(before: float, after: float) -> str:
    """The change in percentage points, as it follows from both figures as they are shown; in tenths where these are
    the same. A change that would round to nothing is nothing."""
    change = float(percent(after)[:-1]) - float(percent(before)[:-1])
    if abs(change) < 0.05:
        change = 100 * (after - before)
    if abs(change) < 0.05:
        return "no change"
    number = f"{change:+.1f}".removesuffix(".0")
    return f"{number} point{'' if abs(change) == 1 else 's'}"


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
        beside.show(run)
    else:
        st.header("Every group", anchor=False, help=helped("group"))
        st.markdown(plain(group_chart.sentence(run.before, run.after)))
        group_chart.show(run.before, run.after, "group-chart")


def _unrecorded(run: RunResult, what: str) -> None:
    """Of a run that an earlier version made."""
    with st.container(border=True, key="card-unrecorded"):
        st.markdown(f"**This run was made before Midband recorded {what}.** Have it again: it takes as long as then.")
        gate.button(
            Permission.TRAIN,
            "Run again",
            icon=":material/replay:",
            key=f"unrecorded-{run.run}",
            on_click=problem.kept(partial(rerun.begin, run)),
        )
    rerun.panel()


def _settings(run: RunResult) -> None:
    with run_facts.show(run) as is_open:
        if is_open:
            rerun.show_replay(run)
            rooms.link("runs", "Name it, note what you think, compare it", run=run.run)
