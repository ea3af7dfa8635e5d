"""The Results page: headline, groups, baselines, images that changed, settings, export."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from core.retraining.methods import METHODS
from core.retraining.runs import RunResult, list_runs
from pages.parts import flips, group_chart, rooms, state, take_away
from pages.parts.words import TERMS, interval, percent, plain

if TYPE_CHECKING:
    from core.activations.store import Analysis
    from core.retraining.evaluation import Evaluation

RUN = "run"


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


def _choose(runs: dict[str, RunResult]) -> RunResult:
    linked = st.query_params.get("run")
    if linked in runs and linked != st.session_state.get("run_linked"):
        st.session_state["run_linked"] = linked
        st.session_state[RUN] = linked
    names = list(runs)
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
    st.query_params.from_dict({"analysis": run.analysis, "run": run.run})
    return run


def _run_name(run: RunResult) -> str:
    about = f" · {', '.join(run.concepts)}" if run.concepts else ""
    return f"{run.created} · {METHODS[run.method].title}{about}"


def _headline(run: RunResult) -> None:
    before, after = run.before, run.after
    with st.container(border=True, key="card-verdict"):
        worst, average, weighted = st.columns([2, 1, 1], gap="large")
        with worst:
            st.metric(
                "Worst group",
                percent(after.worst_group),
                _points(before.worst_group, after.worst_group),
                help=TERMS["worst group"],
            )
            st.caption(
                f"Before: {percent(before.worst_group)} ({interval(before.worst.low, before.worst.high)}), "
                f"{plain(before.worst.title)}.  \n"
                f"After: {percent(after.worst_group)} ({interval(after.worst.low, after.worst.high)}), "
                f"{plain(after.worst.title)}.",
                help=TERMS["interval"],
            )
        with average:
            st.metric("Average", percent(after.average), _points(before.average, after.average), help=TERMS["average"])
            st.caption(f"Before: {percent(before.average)}")
        with weighted:
            st.metric(
                "Weighted average",
                percent(after.weighted_average),
                _points(before.weighted_average, after.weighted_average),
                help=TERMS["weighted average"],
            )
            st.caption(f"Before: {percent(before.weighted_average)}")
        icon = ":material/trending_up:" if run.comparison["significant"] else ":material/info:"
        st.markdown(f"{icon} {plain(run.comparison['sentence'])}")


def _points(before: float, after: float) -> str:
    """The change in percentage points; a change that would round to nothing is nothing."""
    change = 100 * (after - before)
    return "no change" if abs(change) < 0.05 else f"{change:+.1f} points"


def _groups(run: RunResult) -> None:
    st.subheader("Every group", anchor=False, help=TERMS["group"])
    before, after = _by_group(run.before), _by_group(run.after)
    both = [key for key in before if key in after]
    st.plotly_chart(
        group_chart.chart([before[key] for key in both], [after[key] for key in both]),
        width="stretch",
        config={"displayModeBar": False},
        key=f"groups-{run.run}",
    )
    table = pd.DataFrame(
        [
            {
                "group": group_chart.group_name(before[key]),
                "test images": before[key]["count"],
                "before": percent(before[key]["accuracy"]),
                "interval before": interval(before[key]["low"], before[key]["high"]),
                "after": percent(after[key]["accuracy"]),
                "interval after": interval(after[key]["low"], after[key]["high"]),
                "share of training": percent(before[key]["share"]),
            }
            for key in both
        ]
    )
    st.dataframe(table, hide_index=True, width="stretch", height="content" if len(table) <= 12 else 420)
    st.caption(f"Groups: {plain(run.after.groups_from)}.")


def _by_group(evaluation: Evaluation) -> dict[tuple[str, str | None], dict]:
    return {(group.class_name, group.concept): group.to_dict() for group in evaluation.groups}


def _baselines(run: RunResult) -> None:
    st.subheader(
        "Beside other ways",
        anchor=False,
        help="The same images and features. A repair is worth its tags if it beats what needs none.",
    )
    rows = [(f"{METHODS[run.method].title} (this run)", run.after.worst_group, run.after.average)]
    rows += [(item.title, item.worst_group, item.average) for item in run.baselines]
    table = pd.DataFrame(
        [{"method": title, "worst group": 100 * worst, "average": 100 * average} for title, worst, average in rows]
    )
    bar = {"min_value": 0, "max_value": 100, "format": "%.1f%%"}
    st.dataframe(
        table,
        hide_index=True,
        width="stretch",
        height="content",
        column_config={
            "method": st.column_config.TextColumn(width="large"),
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
