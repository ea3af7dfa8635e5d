"""The cards of Home."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from core.activations.store import open_analysis
from core.concepts.concept import list_concepts
from core.concepts.tags import UNTAGGED, tag_states
from core.errors import MidbandError
from core.settings import DEFAULTS
from pages.parts import jobs, problem, rooms, state
from pages.parts.strips import strip
from pages.parts.words import ago, count, listed, percent, plain

if TYPE_CHECKING:
    from core.activations.store import Analysis
    from pages.parts.state import Investigation

STRIP = 6


def demo() -> None:
    with st.container(border=True, key="card-demo", height="stretch"):
        st.header("Try the demo", anchor=False)
        st.markdown(
            "6,000 illustrated birds and a small network that learnt to look at the water instead of the bird. "
            "The whole loop takes about ten minutes."
        )
        made = state.demo_analysis()
        if made is not None:
            if st.button("Explore the demo", type="primary", icon=":material/explore:"):
                state.choose(made)
                rooms.go("bands")
            return
        running = jobs.active("demo")
        if running is None:
            if st.button(
                "Make the demo",
                type="primary",
                icon=":material/play_arrow:",
                help="Draws the birds and runs the network over them: about a minute.",
            ):
                jobs.begin("demo", "Make the demo", {})
                st.rerun()
            ended = jobs.latest("demo")
            if ended is not None and ended.error:
                problem.show(ended.error)
        else:
            jobs.panel(running, on_done=lambda job: None)


def own() -> None:
    with st.container(border=True, key="card-own", height="stretch"):
        st.header("Open my data", anchor=False)
        st.markdown(
            "A folder of images and a model file are enough. No model yet? Midband trains one on your images, "
            "so that you can see what it picks up."
        )
        if st.button("Load images and a model", icon=":material/folder_open:"):
            rooms.go("load")


def investigations() -> None:
    found = state.investigations()
    st.header("Investigations", anchor=False)
    if not found:
        with st.container(border=True, key="card-none"):
            st.markdown("**None yet.** An investigation is one model applied to one set of images. It goes like this:")
            steps = st.grid(4, min_column_width=200)
            for title, text in (
                (":material/bar_chart: Look", "Slide along a class's logit and see the images band by band."),
                (":material/sell: Name", "Something sits where it should not? Give it a name and tag it."),
                (":material/build: Repair", "Retrain the last layer on images chosen from the middle."),
                (":material/monitoring: Prove", "See the worst group before and after, and take the model away."),
            ):
                with steps.cell():
                    st.markdown(f"**{title}**  \n{text}")
        return
    columns = st.grid(3, min_column_width=300)
    for item in found:
        with columns.cell():
            _investigation(item)


def _investigation(item: Investigation) -> None:
    with st.container(border=True, key=f"card-{item.id}", height="stretch"):
        try:
            analysis = open_analysis(state.workspace(), item.id)
        except MidbandError as error:
            problem.show(error)
            return
        st.image(_strip(analysis), width="stretch", alt="")
        st.markdown(f"**{plain(item.dataset_name)}** · {plain(item.model_name)}")
        right = f"right {percent(item.accuracy)} of the time" if analysis.labelled else "no labels"
        st.caption(
            f"{count(analysis.n, 'image')}, {count(analysis.k, 'class', 'classes')} · {right} · opened {ago(item.used)}"
        )
        outcome, label, room = _next(analysis)
        st.markdown(outcome)
        if st.button(label, key=f"next-{item.id}", icon=":material/arrow_forward:"):
            state.choose(item.id)
            rooms.go(room)


def _next(analysis: Analysis) -> tuple[str, str, str]:
    """What there is to say, and the button to the next step: (sentence, label, room)."""
    if (run := state.last_run(analysis.id)) is not None:
        worst = f"{percent(run.before.worst_group)} → {percent(run.after.worst_group)}"
        return f"Repaired: worst group **{worst}**.", "See the results", "results"
    workspace = state.workspace()
    concepts = list_concepts(workspace, analysis.dataset_id)
    tags = sum(int((tag_states(workspace, analysis, concept) != UNTAGGED).sum()) for concept in concepts)
    if not tags:
        return "Nothing tagged yet.", "Look at the bands", "bands"
    said = f"{count(tags, 'tag')} for {plain(listed([concept.name for concept in concepts], most=2))}."
    return (said, "Go on tagging", "tag_next") if tags < DEFAULTS.tag_budget else (said, "Retrain", "retrain")


@lru_cache(maxsize=64)
def _strip(analysis: Analysis) -> bytes:
    """A few of its images side by side as one WebP, evenly spread, always the same ones."""
    rows = np.linspace(0, analysis.n - 1, min(STRIP, analysis.n)).astype(int)
    return strip([analysis.thumbnail(row) for row in rows], STRIP)
