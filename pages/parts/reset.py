"""Having a demo as new: what goes is said before, and can be had back afterwards."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Protocol

import streamlit as st

from core.activations.store import open_analysis
from core.concepts.concept import list_concepts
from core.demo import DEMOS, Reset, reset_demo, resets, undo_reset
from pages.parts import demos, notices, problem, progress, state, tour_record
from pages.parts.tour_record import Taken
from pages.parts.words import ago, count, listed, plain

if TYPE_CHECKING:
    from core.activations.store import Analysis

# in the session: the reset that was done here, until it is undone
DONE = "demo_reset"
# what the session keeps of an investigation, by its id
_BY_ID = ("band_views", "band_held", "band_brought", "retrain_concepts_kept")
# and of its concepts, answers and runs
_WHOLE = (
    "concept_chosen",
    "concept_answers_lost",
    "tag_batches",
    "tag_skipped",
    "retrain_job",
    "retrain_feasible",
    "run",
    "runs_known",
    "progress_noted",
)


class Counts(Protocol):
    """What people made."""

    @property
    def concepts(self) -> int: ...
    @property
    def tags(self) -> int: ...
    @property
    def runs(self) -> int: ...


@dataclass(frozen=True)
class Holds:
    """What people made in a demo."""

    concepts: int
    tags: int
    runs: int


def holds(analysis: Analysis) -> Holds:
    concepts = list_concepts(state.workspace(), analysis.dataset_id)
    tags = sum(progress.answers(analysis, concept) for concept in concepts)
    return Holds(len(concepts), tags, len(state.runs(analysis.id)))


def told(found: Counts) -> str:
    """1 concept, 20 tags and 1 repair; "" for nothing."""
    counts = ((found.concepts, "concept"), (found.tags, "tag"), (found.runs, "repair"))
    parts = [count(number, noun) for number, noun in counts if number]
    return listed(parts) if parts else ""


def offer(name: str, *, place: str) -> None:
    """A button that says what a reset takes away and asks once. place: tells the buttons of several places apart."""
    with st.popover("Reset", icon=":material/restart_alt:", type="tertiary", key=f"reset-{place}-{name}"):
        ask(name, place=place)


def ask(name: str, *, place: str) -> None:
    """The question itself."""
    found = told(holds(open_analysis(state.workspace(), demos.made()[name])))
    kept = resets(state.workspace(), name)
    if found:
        st.markdown(f"**Begin afresh?** This takes away {found}, whoever made them.")
        st.caption("Images and model stay, and so does all else in this workspace. It takes a moment; you can undo it.")
        st.button(
            "Reset the demo",
            icon=":material/restart_alt:",
            key=f"reset-now-{place}-{name}",
            on_click=problem.kept(partial(_reset, name)),
        )
    elif not kept:
        st.markdown("It is as new: nothing was named, tagged or repaired yet.")
    if not kept:
        return
    if len(kept) == 1:
        chosen = kept[0]
        st.caption(f"The last reset ({_ago(chosen)}) took away {told(chosen) or 'other things'}.")
    else:
        times = {reset.made: reset for reset in kept}
        made = st.selectbox(
            "Taken away before",
            list(times),
            format_func=lambda each: f"{_ago(times[each])}: {told(times[each]) or 'other things'}",
            key=f"reset-which-{place}-{name}",
        )
        chosen = times.get(made, kept[0])
    st.button(
        "Bring that back",
        icon=":material/undo:",
        key=f"reset-back-{place}-{name}",
        on_click=problem.kept(partial(_undo, chosen)),
    )


def undone() -> None:
    """Right after a reset: what it took away, and the way back."""
    reset: Reset | None = st.session_state.get(DONE)
    if reset is None or reset not in resets(state.workspace(), reset.demo):
        return
    with st.container(
        border=True, horizontal=True, vertical_alignment="center", horizontal_alignment="distribute", key="card-reset"
    ):
        st.markdown(
            f":material/check_circle: **{plain(DEMOS[reset.demo].title)}** is as new. Taken away: "
            f"{told(reset) or 'other things'}.",
            width="stretch",
        )
        st.button("Undo", icon=":material/undo:", key="reset-undo", on_click=problem.kept(partial(_undo, reset)))


def _reset(name: str) -> None:
    made = demos.made()[name]
    done = reset_demo(state.workspace(), name)
    _forget(made)
    progress.forget_look(made)
    st.session_state[DONE] = done
    record = tour_record.read()
    if name in record.taken:
        # what was seen was seen of what is gone
        tour_record.write(replace(record, taken={**record.taken, name: Taken(ended=record.taken[name].ended)}))
    notices.say("The demo is as new. Undo is on Home.", ":material/restart_alt:")


def _undo(reset: Reset) -> None:
    undo_reset(state.workspace(), reset)
    notices.say(f"Back again: {told(reset) or 'all of it'}.", ":material/undo:")
    _forget(demos.made()[reset.demo])
    st.session_state.pop(DONE, None)


def _ago(reset: Reset) -> str:
    return ago(datetime.fromisoformat(reset.made))


def _forget(analysis_id: str) -> None:
    """What this session keeps of what is gone."""
    for key in _BY_ID:
        st.session_state.get(key, {}).pop(analysis_id, None)
    for key in _WHOLE:
        st.session_state.pop(key, None)
