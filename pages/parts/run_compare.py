"""Two runs side by side: what they were told differently, which is right where the other is wrong."""

from __future__ import annotations

import html
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from core.activations.store import open_analysis
from core.retraining.methods import METHODS
from core.retraining.runs import RunComparison, RunResult, compare_runs, predictions
from pages.parts import gallery, group_chart, problem, rerun, run_list, state
from pages.parts.words import TERMS, helped, plain, short

if TYPE_CHECKING:
    from core.activations.store import Analysis
    from core.workspace import Workspace

BETTER, WORSE = "better", "worse"
# images per page
SHOWN = 28
SWAPPED = "runs_swapped"
# what settings are called
TITLES = {
    "method": "Method",
    "concepts": "Concepts",
    "seed": "Seed",
    "tags": "Tags hash",
    "data": "Data hash",
    "analysis": "Model",
    "edits": "Edits by hand",
}


def show(analysis: Analysis, first: RunResult, second: RunResult) -> None:
    if st.session_state.get(SWAPPED) == {first.run, second.run}:
        first, second = second, first
    with st.spinner("Comparing …"):
        found = _compared(state.workspace(), first.run, second.run)
    with st.container(border=True, key="card-compare"):
        with st.container(
            horizontal=True, vertical_alignment="center", horizontal_alignment="distribute", key="run-links-compare"
        ):
            st.header("Side by side", anchor=False, help=helped("paired test"))
            st.button(
                "Swap",
                icon=":material/swap_horiz:",
                type="tertiary",
                key="runs-swap",
                help="Which of the two comes first.",
                on_click=_swap,
                args=({first.run, second.run},),
            )
        st.html(pairs_html(found, *_names(first, second)))
        icon = (
            ":material/trending_up:"
            if found.comparison is not None and found.comparison.significant
            else ":material/info:"
        )
        st.markdown(f"{icon} {plain(found.sentence)}")
    if found.comparison is None:
        return
    st.header("Every group", anchor=False, help=TERMS["group"])
    st.markdown(plain(group_chart.sentence(first.after, second.after, ("the first", "the second"))))
    group_chart.show(first.after, second.after, "group-chart", ("first", "second"))
    _flips(analysis, found)


def _swap(runs: set[str]) -> None:
    st.session_state[SWAPPED] = None if st.session_state.get(SWAPPED) == runs else runs


@lru_cache(maxsize=8)
def _compared(workspace: Workspace, first: str, second: str) -> RunComparison:
    return compare_runs(workspace, first, second)


def _names(first: RunResult, second: RunResult) -> tuple[str, str]:
    """What the two are called; with when they were made where that is the same."""
    names = run_list.title(first), run_list.title(second)
    return names if names[0] != names[1] else (run_list.titled(first), run_list.titled(second))


def pairs_html(found: RunComparison, first: str, second: str) -> str:
    """Accuracies of both, then what they were told differently."""
    one, two = found.first, found.second
    marks = [" (estimated)" if run.after.estimated else "" for run in (one, two)]
    figures = [
        (
            "Worst group",
            *(f"{run.after.worst_group:.1%}{mark}" for run, mark in zip((one, two), marks, strict=True)),
        ),
        ("Average", f"{one.after.average:.1%}", f"{two.after.average:.1%}"),
        ("Weighted average", f"{one.after.weighted_average:.1%}", f"{two.after.weighted_average:.1%}"),
        ("Calibration error", _ece(one), _ece(two)),
    ]
    knobs = {knob.name: knob.title for run in (one, two) if run.method in METHODS for knob in METHODS[run.method].knobs}
    for apart in found.differences:
        told = [_told(apart.what, value) for value in (apart.first, apart.second)]
        figures.append((TITLES.get(apart.what) or knobs.get(apart.what) or apart.what, *told))
    rows = "".join(
        f'<tr><th scope="row" dir="auto">{html.escape(title)}</th><td dir="auto">{html.escape(left)}</td>'
        f'<td dir="auto">{html.escape(right)}</td></tr>'
        for title, left, right in figures
    )
    same = "" if found.differences else "<p>Both were told the very same: method, settings, seed, tags and data.</p>"
    return (
        '<div class="rx pairs"><div class="scroll" tabindex="0" role="region" aria-label="Both runs"><table><thead><tr>'
        f'<td></td><th scope="col" dir="auto">1 · {html.escape(short(first, 80))}</th>'
        f'<th scope="col" dir="auto">2 · {html.escape(short(second, 80))}</th></tr></thead><tbody>{rows}</tbody>'
        f"</table></div>{same}</div>"
    )


def _told(what: str, value: object) -> str:
    if what == "method":
        return run_list.method_title(str(value))
    if what == "analysis":
        return run_list.model_names().get(str(value), str(value))
    told = rerun.value_told(value)
    # hashes are long enough to be told apart by their beginning
    return told[:8] if what in ("tags", "data") else short(told, 200)


def _ece(run: RunResult) -> str:
    return "–" if run.after.calibration is None else f"{100 * run.after.calibration.ece:.1f}%"


@st.fragment
@problem.guarded
def _flips(analysis: Analysis, found: RunComparison) -> None:
    st.header("Where they differ", anchor=False)
    ids = {BETTER: found.better, WORSE: found.worse}
    titles = {BETTER: "Right in the second only", WORSE: "Right in the first only"}
    pair = f"{found.first.run}-{found.second.run}"
    which = st.segmented_control(
        "Which",
        (BETTER, WORSE),
        default=BETTER,
        required=True,
        format_func=lambda name: f"{titles[name]} · {len(ids[name]):,}",
        key=f"runs-flips-{pair}",
        label_visibility="collapsed",
    )
    shown = ids[which]
    pages = -(-len(shown) // SHOWN)
    page = st.pagination(pages, key=f"runs-flips-page-{pair}-{which}") if pages > 1 else 1
    part = list(shown[(page - 1) * SHOWN : page * SHOWN])
    workspace = state.workspace()
    said = []
    for run in (found.first, found.second):
        of = analysis if run.analysis == analysis.id else open_analysis(workspace, run.analysis)
        at = of.rows_of(part)
        said.append(predictions(workspace, of, run.run, at) if len(at) else np.empty(0, dtype=np.int64))
    gallery.show(
        analysis,
        analysis.rows_of(part),
        key=f"runs-flips-grid-{pair}",
        predicted=said[1],
        notes=[f"first said {analysis.classes[each]}" for each in said[0]],
        toolbar=False,
        empty="None: no test image tells them apart this way.",
    )
