"""Images of the band by a description, where a text model lies on this machine; otherwise a quiet line on how to."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from core.access.policy import Permission
from core.concepts import text_search
from core.concepts.names import LONGEST_NAME
from pages.parts import band_data, gallery, gate, jobs, notices, problem, rooms, state
from pages.parts.band_data import Subject
from pages.parts.band_state import View
from pages.parts.words import count, plain, short

if TYPE_CHECKING:
    from core.activations.store import Analysis

ASKED, NAMED = "described", "described_named"
# images shown, and taken for members when the result is named
SHOWN = 18
JOB = "embed"


def show(analysis: Analysis, subject: Subject, view: View) -> None:
    if (missing := text_search.obstacle(state.workspace())) is not None:
        st.caption(
            "Images can also be found by describing them in words, with a CLIP model of your own.",
            help=f"{plain(missing.detail)} {plain(missing.next_step)}",
        )
        return
    with st.container(border=True, gap="small", key="card-describe"):
        st.markdown("**Describe it in words**", help="A guess by a text model. Look at the images before you trust it.")
        if not text_search.is_embedded(state.workspace(), analysis):
            _prepare(analysis)
            return
        _field()
        if asked := st.session_state.get(ASKED):
            _found(analysis, subject, view, asked)


def _prepare(analysis: Analysis) -> None:
    job = jobs.active(JOB)
    if job is not None and job.request.get("analysis") == analysis.id:
        jobs.panel(job, on_done=lambda _: None)
        return
    last = jobs.latest(JOB)
    if last is not None and last.error and last.request.get("analysis") == analysis.id:
        problem.show(last.error)
    st.markdown("The text model has to look at the images once; that takes a pass over all of them.")
    gate.button(
        Permission.TRAIN,
        f"Let it look at {count(analysis.n, 'image')}",
        icon=":material/visibility:",
        key="describe-prepare",
        on_click=problem.kept(partial(_begin, analysis)),
    )


def _begin(analysis: Analysis) -> None:
    jobs.begin(JOB, f"Text model looks at {analysis.dataset_name}", {"analysis": analysis.id})


def _field() -> None:
    with (
        st.form("describe-form", border=False, enter_to_submit=True, width=560),
        st.container(horizontal=True, vertical_alignment="bottom", gap="small"),
    ):
        st.text_input(
            "Description",
            key="describe-text",
            placeholder="a bird on water",
            max_chars=text_search.LONGEST_TEXT,
            label_visibility="collapsed",
        )
        st.form_submit_button("Find", icon=":material/search:", on_click=_ask)


def _ask() -> None:
    st.session_state[ASKED] = st.session_state["describe-text"].strip()
    st.session_state.pop(NAMED, None)


def _found(analysis: Analysis, subject: Subject, view: View, asked: str) -> None:
    band = band_data.members(subject, view.low, view.high)
    with st.spinner("Comparing the description with the images; the first time loads the text model …"):
        rows, cosines = text_search.search(state.workspace(), analysis, asked, rows=band, limit=SHOWN)
    st.caption(f"The {count(len(rows), 'image')} of the band nearest to “{plain(short(asked, 80))}”, best first.")
    gallery.show(
        subject.analysis,
        rows,
        key="describe-grid",
        notes=[f"fit {cosine:.2f}" for cosine in cosines.tolist()],
        place=gallery.Place(direction=view.direction, low=view.low, high=view.high),
        direction=band_data.direction(subject),
        toolbar=False,
        how="text",
    )
    if (concept := st.session_state.get(NAMED)) is not None:
        rooms.link("tag_next", "Review them", look="review", concept=str(concept))
        return
    st.button(
        f"Name it “{plain(short(asked, 30))}”",
        icon=":material/sell:",
        key="describe-name",
        on_click=problem.kept(partial(_name, analysis, asked, rows, cosines)),
        help="Makes a concept of it. These images become guesses to review, not tags.",
    )


def _name(analysis: Analysis, asked: str, rows: np.ndarray, cosines: np.ndarray) -> None:
    from pages.parts.band_discover import name_members

    if len(asked) > LONGEST_NAME:
        notices.say(f"A concept's name has at most {LONGEST_NAME} characters: describe it shorter.", ":material/info:")
        return
    st.session_state[NAMED] = name_members(analysis, asked, rows, cosines, source="text").id
