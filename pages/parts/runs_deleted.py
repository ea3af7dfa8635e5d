"""Deleting runs and bringing them back; and runs that cannot be read, which can only be deleted."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

import streamlit as st

from core.access.policy import Permission
from core.retraining.runs import RunResult, delete_run, restore_run
from pages.parts import gate, notices, problem, run_list, state
from pages.parts.words import count, percent, plain, short

if TYPE_CHECKING:
    from core.activations.store import Analysis

# the run deleted last: its id, what it was called, and the investigation that was at hand
LAST = "runs_deleted"
LISTED = 20


def delete(run_id: str, name: str, analysis_id: str) -> None:
    delete_run(state.workspace(), run_id)
    st.session_state[LAST] = (run_id, name, analysis_id)
    run_list.pick([])


def _restore(run_id: str) -> None:
    # first: one that somebody else brought back, or that cannot be read, is not to be undone twice
    st.session_state.pop(LAST, None)
    restored = restore_run(state.workspace(), run_id)
    run_list.pick([run_id])
    notices.say(f"Brought back: {plain(short(run_list.title(restored), 60))}.", ":material/restore_from_trash:")


def undo(analysis: Analysis, runs: Mapping[str, RunResult]) -> None:
    """What was deleted last, with the way back. runs: those that are there."""
    run_id, name, where = st.session_state.get(LAST, ("", "", ""))
    if where != analysis.id or run_id in runs:
        return
    with st.container(horizontal=True, vertical_alignment="center", border=True, key="card-deleted"):
        st.markdown(f":material/delete: Deleted: {plain(short(name, 80))}.", width="stretch")
        gate.button(
            Permission.DELETE,
            "Undo",
            icon=":material/undo:",
            key="runs-undo",
            on_click=problem.kept(partial(_restore, run_id)),
        )


def damaged(analysis: Analysis) -> bool:
    """Runs that are there and cannot be read: why, what to do, and out of the way. False where there is none."""
    found = run_list.damaged(analysis.id)
    for run_id, why in found.items():
        with st.container(key=f"damaged-{run_id}", gap="xsmall"):
            problem.show(why)
            gate.button(
                Permission.DELETE,
                "Delete",
                icon=":material/delete:",
                type="tertiary",
                key=f"damaged-delete-{run_id}",
                help=f"Puts run {plain(run_id)} aside. It can be undone.",
                on_click=problem.kept(partial(delete, run_id, f"run {run_id}", analysis.id)),
            )
    return bool(found)


def show(analysis: Analysis) -> None:
    """All that can be brought back."""
    gone = run_list.deleted(analysis.id)
    if not gone:
        return
    with st.expander(f"Deleted · {len(gone):,}", icon=":material/delete:", key="runs-deleted"):
        for run in gone[:LISTED]:
            with st.container(horizontal=True, vertical_alignment="center", key=f"deleted-{run.run}"):
                worst = f"worst group {percent(run.before.worst_group)} → {percent(run.after.worst_group)}"
                st.markdown(f"{plain(short(run_list.titled(run), 100))} · {worst}", width="stretch")
                gate.button(
                    Permission.DELETE,
                    "Bring back",
                    icon=":material/restore_from_trash:",
                    type="tertiary",
                    key=f"restore-{run.run}",
                    on_click=problem.kept(partial(_restore, run.run)),
                )
        if len(gone) > LISTED:
            st.caption(f"And {count(len(gone) - LISTED, 'older one')}.")
