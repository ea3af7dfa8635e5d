"""The Results page: headline, groups, baselines, images that changed, settings, export."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from core.retraining.methods import METHODS
from core.retraining.runs import RunResult, list_runs
from pages.parts import flips, group_chart, rooms, state, take_away
from pages.parts.words import TERMS, group_title, interval, percent, plain

if TYPE_CHECKING:
    from core.activations.store import Analysis
    from core.retraining.evaluation import Evaluation

RUN = "run"
NEWEST = "run_newest"


def show(analysis: Analysis) -> None:
    runs = {run.run: run for run in list_runs(state.workspace(), analysis.id)}
    if not runs:
        with st.container(border=True, key="card-empty"):
            st.markdown("**No repair yet.** Tag some images, then retrain: the comparison appears here.")
            with st.container(horizontal=True):
                rooms.link("tag_next", "Tag next")
                rooms.link("retrain", "Retrain")
        return
    run = _choose(runs)
    _headline(run)
    _groups(run)
    _baselines(run)
    take_away.show(run)
    flips.show(analysis, run)
    _settings(run)
    with st.container(border=True, key="card-next"):
        st.markdown("**Next:** is another habit left? Look at the bands again, or answer more images and repair anew.")
        with st.container(horizontal=True):
            rooms.link("bands", "Bands")
            rooms.link("tag_next", "Tag next")


def _choose(runs: dict[str, RunResult]) -> RunResult:
    names = list(runs)
    if st.session_state.get(NEWEST) != names[0]:
        # a run that was not there before is what somebody wants to see
        st.session_state[NEWEST] = st.session_state[RUN] = names[0]
    linked = st.query_params.get("run")
    if linked in runs and state.is_news("run", linked):
        st.session_state[RUN] = linked
    chosen = st.session_state.get(RUN)
    st.session_state["run_pick"] = chosen if chosen in runs else names[0]
    if len(runs) > 1:
        st.selectbox(
            "Run",
            names,
            key="run_pick",
            format_func=lambda key: _run_name(runs[key]),
            on_change=lambda: st.session_state.update({RUN: st.session_state["run_pick"]}),
            width=460,
        )
    run = runs[st.session_state["run_pick"]]
    state.write_link({"analysis": run.analysis, "run": run.run})
    return run


def _run_name(run: RunResult) -> str:
    about = f" · {', '.join(run.concepts)}" if run.concepts else ""
    return f"{run.created} · {METHODS[run.method].title}{about}"


def _headline(run: RunResult) -> None:
    before, after = run.before, run.after
    figures = (
        ("Worst group", before.worst_group, after.worst_group, _interval(after.worst.low, after.worst.high)),
        ("Average", before.average, after.average, _interval(*after.interval)),
        ("Weighted average", before.weighted_average, after.weighted_average, _weights(after)),
    )
    with st.container(border=True, key="card-verdict"):
        cells = st.grid(3, min_column_width=210, gap="small")
        for title, was, now, under in figures:
            with cells.cell():
                st.metric(
                    title,
                    f"{percent(was)} → {percent(now)}",
                    _points(was, now),
                    # a model that drops its shortcut may lose where the shortcut was at home: no alarm about that
                    delta_color="off" if title == "Weighted average" else "normal",
                    help=TERMS[title.lower()],
                )
                st.caption(under)
        icon = ":material/trending_up:" if run.comparison["significant"] else ":material/info:"
        st.markdown(f"{icon} {plain(run.comparison['sentence'])}")
        st.caption(
            f"Worst group before: {_worst(before)}  \nWorst group after: {_worst(after)}",
            help=TERMS["interval"],
        )


def _interval(low: float, high: float) -> str:
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
    name = group_title(worst.class_name, worst.concept, evaluation.groups_from)
    return f"{plain(name)}, {percent(worst.accuracy)} ({interval(worst.low, worst.high)})"


def _points(before: float, after: float) -> str:
    """The change in percentage points; a change that would round to nothing is nothing."""
    change = 100 * (after - before)
    return "no change" if abs(change) < 0.05 else f"{change:+.1f} points"


def _groups(run: RunResult) -> None:
    st.header("Every group", anchor=False, help=TERMS["group"])
    before, after = _by_group(run.before), _by_group(run.after)
    both = [key for key in before if key in after]
    figure = group_chart.chart([before[key] for key in both], [after[key] for key in both])
    # the chart's code arrives after the page: its place is kept, so that nothing jumps
    st.html(f"<style>.st-key-group-chart {{ min-height: {figure.layout.height}px; }}</style>")
    with st.container(key="group-chart"):
        st.plotly_chart(figure, width="stretch", config={"displayModeBar": False}, key=f"groups-{run.run}")
    table = pd.DataFrame(
        [
            {
                "group": group_chart.group_name(before[key]),
                "before": _with_interval(before[key]),
                "after": _with_interval(after[key]),
                "test images": before[key]["count"],
                "share of training": percent(before[key]["share"]),
            }
            for key in both
        ]
    )
    st.dataframe(table, hide_index=True, width="stretch", height="content" if len(table) <= 12 else 420)
    st.caption(f"Groups: {plain(run.after.groups_from)}.")


def _with_interval(group: dict) -> str:
    return f"{percent(group['accuracy'])} ({interval(group['low'], group['high'])})"


def _by_group(evaluation: Evaluation) -> dict[tuple[str, str | None], dict]:
    return {(group.class_name, group.concept): group.to_dict() for group in evaluation.groups}


def _baselines(run: RunResult) -> None:
    st.header(
        "Beside other ways",
        anchor=False,
        help="The same images and features. A repair is worth its tags if it beats what needs none.",
    )
    rows = [(f"{METHODS[run.method].title} (this run)", run.after.worst_group, run.after.average)]
    rows += [(item.title, item.worst_group, item.average) for item in run.baselines]
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
    )


def _settings(run: RunResult) -> None:
    with st.expander("Settings and notes", icon=":material/receipt_long:"):
        lines = {
            "Method": f"{METHODS[run.method].title}. {METHODS[run.method].source}.",
            "Concepts": ", ".join(run.concepts) or "none",
            "Seed": str(run.seed),
            "Made": f"{run.created} UTC, in {run.seconds:.1f} s",
            "Run": run.run,
            "Tags": run.tags,
        }
        for name, value in lines.items():
            st.caption(f"**{name}** {plain(value)}")
        for note in run.notes:
            st.caption(f":material/info: {plain(note)}")
