"""The queue of Tag next: one batch at a time, the next one when it is answered."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from core.concepts.concept import Concept
from core.concepts.suggestions import Suggestion, suggest_next, tagging_split
from core.concepts.tags import ABSENT, PRESENT, UNTAGGED, tag_states
from core.settings import DEFAULTS
from pages.parts import concept_tools, gallery, problem, rooms, state
from pages.parts.words import TERMS, count, plain, short

if TYPE_CHECKING:
    from core.activations.store import Analysis

BATCHES = "tag_batches"
SKIPPED = "tag_skipped"
BATCH = 24
# answers after which retraining is worth a try; the full budget does better
ENOUGH = 20

TITLES = {
    "top": "Confirm the usual look",
    "own-low": "Find the exceptions",
    "boundary": "On the fence",
    "doubt": "Hardest to guess",
}
WHY = {
    "top": "The model is surest about these, so they show what usually comes with each class.",
    "own-low": "Images the model finds least like their own class: most of the unusual combinations are among them.",
    "boundary": "Images for which two classes are nearly level.",
    "doubt": "From your tags so far the rest can be guessed; here the guess is least certain.",
}
NOTES = {"top": "typical", "own-low": "least like its class", "boundary": "on the fence", "doubt": "hard to guess"}


@st.fragment
@problem.guarded
def work_through(analysis: Analysis) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        concept = concept_tools.choose(analysis)
        concept_tools.create(analysis, "queue", prominent=concept is None)
    if concept is None:
        st.info(
            "Look at the **Bands** first: what sits in the mid band that does not belong to the class? "
            "Then make a concept of it here, such as “water background”.",
            icon=":material/lightbulb:",
        )
        return
    states = tag_states(state.workspace(), analysis, concept)
    split = tagging_split(analysis)
    tagged = int((states[analysis.split_rows(split)] != UNTAGGED).sum())
    _progress(concept, states, tagged, split)
    batch = _batch(analysis, concept, states, tagged)
    if not batch:
        st.success("Every image that can be asked about is tagged.", icon=":material/check_circle:")
        return
    _ask(analysis, concept, batch, states)


def _progress(concept: Concept, states: np.ndarray, tagged: int, split: str) -> None:
    left, right = st.columns([4, 1], vertical_alignment="center", gap="medium")
    with left:
        shown = f"{tagged} of about {DEFAULTS.tag_budget} tags"
        st.progress(min(tagged / DEFAULTS.tag_budget, 1.0), text=f"{shown} for {plain(short(concept.name))}")
        present, absent = int((states == PRESENT).sum()), int((states == ABSENT).sum())
        place = "" if split == "val" else " The dataset has no val split, so training images are asked about."
        st.caption(f"{present} show it, {absent} do not. Every tag is saved as you make it.{place}")
        if tagged >= DEFAULTS.tag_budget:
            st.markdown(
                ":material/check_circle: Enough for a good repair: **Retrain** comes next. "
                "More answers make it a little surer."
            )
    with right:
        ready = tagged >= ENOUGH
        if st.button(
            "Retrain",
            type="primary" if tagged >= DEFAULTS.tag_budget else "secondary",
            icon=":material/build:",
            width="stretch",
            disabled=not ready,
            help="Enough to try. More tags make the repair surer."
            if ready
            else f"Tag {count(ENOUGH - tagged, 'more image')} first.",
        ):
            rooms.go("retrain")


def _batch(analysis: Analysis, concept: Concept, states: np.ndarray, tagged: int) -> tuple[Suggestion, ...]:
    """The batch at hand, kept until each of its images is answered: nothing moves while somebody is at it."""
    kept: dict[tuple[str, int], tuple[Suggestion, ...]] = st.session_state.setdefault(BATCHES, {})
    key = (analysis.id, concept.id)
    batch = kept.get(key, ())
    if all(states[suggestion.row] != UNTAGGED for suggestion in batch):
        skipped = st.session_state.get(SKIPPED, {}).get(key, set())
        budget = max(DEFAULTS.tag_budget - tagged, BATCH) + len(skipped)
        proposed = suggest_next(state.workspace(), analysis, concept, budget=budget)
        proposed = tuple(item for item in proposed if item.row not in skipped)
        # what usually comes with each class is asked first: it is what all else is compared with
        first = tuple(item for item in proposed if item.why == "top")
        if batch and (first or proposed):
            st.toast("Batch done. Here is the next one.", icon=":material/check_circle:")
        kept[key] = batch = (first or proposed)[:BATCH]
    return batch


def _ask(analysis: Analysis, concept: Concept, batch: tuple[Suggestion, ...], states: np.ndarray) -> None:
    reasons = list(dict.fromkeys(suggestion.why for suggestion in batch))
    main = max(reasons, key=lambda why: sum(item.why == why for item in batch))
    st.header(TITLES[main], anchor=False, help=TERMS["confounder"])
    st.markdown(
        f"{' '.join(WHY[why] for why in reasons)} Select those that show **{plain(short(concept.name))}** and press "
        "**Present**, then **Rest absent**."
    )
    rows = np.array([suggestion.row for suggestion in batch])
    answered = int((states[rows] != UNTAGGED).sum())
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.caption(f"{answered} of {count(len(batch), 'image')} in this batch answered")
        st.button(
            "Skip the rest",
            icon=":material/skip_next:",
            type="tertiary",
            on_click=_skip,
            args=(analysis, concept),
            help="For images where you cannot tell.",
        )
    gallery.show(
        analysis,
        rows,
        key=f"queue-{concept.id}",
        # where all are there for the same reason, the heading says it once
        notes=[NOTES[suggestion.why] for suggestion in batch] if len(reasons) > 1 else None,
        rest_absent=True,
        active=concept.id,
    )


def _skip(analysis: Analysis, concept: Concept) -> None:
    """What cannot be answered is not asked again in this session."""
    key = (analysis.id, concept.id)
    batch = st.session_state[BATCHES].pop(key, ())
    st.session_state.setdefault(SKIPPED, {}).setdefault(key, set()).update(item.row for item in batch)
