"""The test images that a repair fixed, and those it broke."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from core.retraining.runs import predictions
from pages.parts import gallery, problem, state

if TYPE_CHECKING:
    from core.activations.store import Analysis
    from core.retraining.runs import RunResult

FIXED, BROKEN = "fixed", "broken"
# images per page
SHOWN = 28


@st.fragment
@problem.guarded
def show(analysis: Analysis, run: RunResult) -> None:
    st.header("Images that changed", anchor=False)
    ids = {FIXED: run.comparison["fixed"], BROKEN: run.comparison["broken"]}
    with st.container(horizontal=True, vertical_alignment="bottom", horizontal_alignment="distribute"):
        which = st.segmented_control(
            "Which",
            (FIXED, BROKEN),
            default=FIXED,
            required=True,
            format_func=lambda name: f"{name.capitalize()} · {len(ids[name]):,}",
            key=f"flips-{run.run}",
            label_visibility="collapsed",
        )
        pages = -(-len(ids[which]) // SHOWN)
        page = st.pagination(pages, key=f"flips-page-{run.run}-{which}") if pages > 1 else 1
    chosen = ids[which][(page - 1) * SHOWN : page * SHOWN]
    st.caption(
        "Wrong before, right now." if which == FIXED else "Right before, wrong now: what the repair costs.",
    )
    rows = analysis.rows_of(chosen)
    now = predictions(state.workspace(), analysis, run.run, rows) if len(rows) else np.empty(0, dtype=np.int64)
    gallery.show(
        analysis,
        rows,
        key=f"flips-grid-{run.run}",
        predicted=now,
        notes=[f"was {analysis.classes[analysis.predicted[row]]}" for row in rows],
        toolbar=False,
        empty="None: no test image went this way.",
    )
