"""Having a demo as new: what goes is said before, and can be had back afterwards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

import streamlit as st

from core.database import now
from core.demo import DEMOS, Reset, reset_demo, resets, undo_reset, would_reset
from pages.parts import demos, notices, problem, progress, state, tour_record
from pages.parts.tour_record import Record
from pages.parts.words import ago, count, listed, plain

# for this long Home says what was taken away, if nobody puts that away
TOLD = timedelta(hours=1)
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


def told(found: Reset) -> str:
    """1 concept, 20 tags and 1 repair; "" for nothing that can be counted."""
    parts = [
        count(number, noun, nouns)
        for number, noun, nouns in (
            (found.concepts, "concept", "concepts"),
            (found.tags, "tag", "tags"),
            (found.runs, "repair", "repairs"),
            (found.deleted, "deleted repair", "deleted repairs"),
            (found.bake_offs, "comparison of methods", "comparisons of methods"),
            (found.labels, "verdict on a label", "verdicts on labels"),
            (found.directions, "direction of your own", "directions of your own"),
        )
        if number
    ]
    return listed(parts) if parts else ""


def nothing() -> None:
    """What follows a reset by itself."""


def offer(name: str, *, place: str, then: Callable[[], None] = nothing) -> None:
    """A button that says what a reset takes away and asks once. place: tells the buttons of several places apart.
    then: what follows a reset."""
    with st.popover("Reset", icon=":material/restart_alt:", type="tertiary", key=f"reset-{place}-{name}"):
        ask(name, place=place, then=then)


def ask(name: str, *, place: str, then: Callable[[], None] = nothing) -> None:
    """The question itself."""
    found = would_reset(state.workspace(), name)
    kept = resets(state.workspace(), name)
    if found.anything:
        what = told(found) or "what was undone or deleted before"
        st.markdown(f"**Begin afresh?** This takes away {what}, whoever made them.")
        if found.sharing:
            st.markdown(f"So do the concepts and tags of {count(found.sharing, 'other investigation')} of its images.")
        st.caption("Images and model stay, and so does all else in this workspace. It takes a moment; you can undo it.")
        st.button(
            "Reset the demo",
            icon=":material/restart_alt:",
            key=f"reset-now-{place}-{name}",
            on_click=problem.kept(partial(_reset, name, then)),
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
    if found.anything:
        st.caption("What is there now is put aside in its place, and can be had back in the same way.")
    st.button(
        "Bring that back",
        icon=":material/undo:",
        key=f"reset-back-{place}-{name}",
        on_click=problem.kept(partial(_undo, chosen)),
    )


def undone() -> None:
    """After a reset: what it took away, and the way back. In every tab of this browser, until that is put away."""
    made = tour_record.read().reset
    if not made:
        return
    known = [reset for name in demos.made() for reset in resets(state.workspace(), name)]
    reset = next((each for each in known if each.made == made), None)
    if reset is None or now() - datetime.fromisoformat(made) > TOLD:
        return
    with st.container(
        border=True, horizontal=True, vertical_alignment="center", horizontal_alignment="distribute", key="card-reset"
    ):
        st.markdown(
            f":material/check_circle: **{plain(DEMOS[reset.demo].title)}** is as new. Taken away: "
            f"{told(reset) or 'other things'}.",
            width="stretch",
        )
        with st.container(horizontal=True, gap="small", width="content"):
            st.button("Undo", icon=":material/undo:", key="reset-undo", on_click=problem.kept(partial(_undo, reset)))
            st.button(
                "",
                icon=":material/close:",
                type="tertiary",
                key="reset-told",
                help="Put this note away. Bringing it back stays under More on the card.",
                on_click=problem.kept(_put_note_away),
            )


def _reset(name: str, then: Callable[[], None]) -> None:
    made = demos.made()[name]
    done = reset_demo(state.workspace(), name)
    _forget(made)
    progress.forget_look(made)

    def begun_afresh(record: Record) -> Record:
        record = replace(record, reset=done.made)
        if name not in record.taken:
            return record
        # what was seen was seen of what is gone
        taken = replace(record.taken[name], seen=(), skipped=())
        return replace(record, taken={**record.taken, name: taken})

    tour_record.change(begun_afresh)
    notices.say("The demo is as new. Undo is on Home.", ":material/restart_alt:")
    then()


def _undo(reset: Reset) -> None:
    undo_reset(state.workspace(), reset)
    notices.say(f"Back again: {told(reset) or 'all of it'}.", ":material/undo:")
    _forget(demos.made()[reset.demo])
    _put_note_away()


def _put_note_away() -> None:
    tour_record.change(lambda record: replace(record, reset=""))


def _ago(reset: Reset) -> str:
    return ago(datetime.fromisoformat(reset.made))


def _forget(analysis_id: str) -> None:
    """What this session keeps of what is gone."""
    for key in _BY_ID:
        st.session_state.get(key, {}).pop(analysis_id, None)
    for key in _WHOLE:
        st.session_state.pop(key, None)
