"""One run in full: its name and note, what it was told, and what can be done with it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import streamlit as st

from core.access.policy import Permission
from core.retraining.run_store import LONGEST_NAME, LONGEST_NOTE
from core.retraining.runs import RunResult, note_run
from pages.parts import gate, notices, problem, rerun, rooms, run_facts, run_list, runs_deleted, state, verdict
from pages.parts.words import plain, short

if TYPE_CHECKING:
    from core.activations.store import Analysis

SAME, OTHER_SEED = "The same seed", "Another seed"
# texts that could not be kept, by the field they are typed into
UNSAVED = "runs_unsaved"


def show(run: RunResult, analysis: Analysis) -> None:
    """analysis: the one at hand; the run may be of another."""
    with st.container(border=True, key="card-run"):
        st.header(plain(short(run_list.title(run), 120)), anchor=False)
        st.markdown(plain(run.comparison["sentence"]))
        if told := run_list.reordered(run, analysis):
            st.caption(f":material/swap_vert: {plain(told)}")
        with st.container(horizontal=True, vertical_alignment="center", key="run-links"):
            opened = st.button(
                "See the results", type="primary", icon=":material/monitoring:", key=f"run-open-{run.run}"
            )
            again = gate.menu_button(
                Permission.TRAIN,
                "Run again",
                [SAME, OTHER_SEED],
                icon=":material/replay:",
                key=f"run-again-{run.run}",
                help="The same method and settings, with the tags as they are now.",
            )
            gate.button(
                Permission.DELETE,
                "Delete",
                icon=":material/delete:",
                type="tertiary",
                key=f"run-delete-{run.run}",
                help="It can be brought back.",
                on_click=problem.kept(partial(runs_deleted.delete, run.run, run_list.title(run), analysis.id)),
            )
        _remarks(run)
        with run_facts.show(run) as is_open:
            if is_open:
                rerun.show_replay(run)
    if again is not None:
        with problem.shown():
            rerun.begin(run, None if again == SAME else run.seed + 1)
            st.rerun()
    if opened:
        if run.analysis != analysis.id:
            state.choose(run.analysis)
        st.session_state[verdict.RUN] = run.run
        rooms.go("results", analysis=run.analysis, run=run.run)


def _remarks(run: RunResult) -> None:
    """Name and note, kept as they are typed."""
    keys = {"name": f"run-name-{run.run}", "note": f"run-note-{run.run}"}
    for what, key in keys.items():
        # what somebody else wrote meanwhile shows, unless it is being changed here or could not be kept
        st.session_state[key] = _unsaved().get(key, getattr(run, what))
    st.text_input(
        "Name",
        key=keys["name"],
        max_chars=LONGEST_NAME,
        placeholder=run_list.title(run),
        on_change=problem.kept(partial(_note, run, "name", keys["name"])),
    )
    st.text_area(
        "Note",
        key=keys["note"],
        max_chars=LONGEST_NOTE,
        height=100,
        placeholder="What you tried, what you think of it",
        on_change=problem.kept(partial(_note, run, "note", keys["note"])),
    )


def _note(run: RunResult, what: str, key: str) -> None:
    # a full disk must not cost what was written
    _unsaved()[key] = st.session_state[key]
    note_run(state.workspace(), run.run, **{what: st.session_state[key]})
    del _unsaved()[key]
    notices.say("Saved.", ":material/check:")


def _unsaved() -> dict[str, str]:
    return st.session_state.setdefault(UNSAVED, {})
