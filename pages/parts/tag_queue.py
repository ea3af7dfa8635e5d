"""The queue of Tag next: the images whose answers say most, one at a time or in batches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from core.concepts.concept import Concept
from core.concepts.suggestions import Suggestion, suggest_next
from core.concepts.tags import UNTAGGED, answers, tagging_split
from core.settings import DEFAULTS
from pages.parts import concept_tools, gallery, live_repair, problem, state, tag_card, tag_ring, tour
from pages.parts.words import count, plain, short

if TYPE_CHECKING:
    from core.activations.store import Analysis

BATCHES = "tag_batches"
SKIPPED = "tag_skipped"
BATCH = 24
CARDS, GRID = "cards", "grid"
MODES = {CARDS: "Cards", GRID: "Grid"}

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
EVERYTHING = "Every image that can be asked about is answered."


@st.fragment
@problem.guarded
def work_through(analysis: Analysis, concept: Concept, mode: str) -> None:
    """A fragment of its own: an answer runs this and nothing around it. What takes computing comes last."""
    concept = concept_tools.at_hand(analysis, concept)
    if mode == GRID and tour.wanted(analysis, concept) is not None:
        # the tour counts the answers, and the images need the room
        _batches(analysis, concept)
        tour.follow()
        return
    live_repair.show(analysis, "queue")
    if mode == CARDS:
        asking, aside = st.columns([3, 1], gap="large")
        with asking:
            _cards(analysis, concept)
        with aside:
            tag_ring.show(analysis, concept)
        tour.follow()
        return
    above = st.container(horizontal=True, vertical_alignment="center", gap="large", key="tag-progress")
    with st.container():
        _batches(analysis, concept)
    with above:
        tag_ring.show(analysis, concept, beside=False)
    tour.follow()


def _cards(analysis: Analysis, concept: Concept) -> None:
    deck = tag_card.prepare(analysis, concept)
    if not deck.images and not deck.trail:
        st.success(EVERYTHING, icon=":material/check_circle:")
        return
    tag_card.show(analysis, concept, deck)


def _batches(analysis: Analysis, concept: Concept) -> None:
    states = answers(state.workspace(), analysis, concept)
    batch = _batch(analysis, concept, states)
    if not batch:
        st.success(EVERYTHING, icon=":material/check_circle:")
        return
    _ask(analysis, concept, batch, states)


def _batch(analysis: Analysis, concept: Concept, states: np.ndarray) -> tuple[Suggestion, ...]:
    """The batch at hand, kept until each of its images is answered: nothing moves while somebody is at it."""
    kept: dict[tuple[str, int], tuple[Suggestion, ...]] = st.session_state.setdefault(BATCHES, {})
    key = (analysis.id, concept.id)
    batch = kept.get(key, ())
    if all(states[suggestion.row] != UNTAGGED for suggestion in batch):
        if (wanted := tour.wanted(analysis, concept)) is not None:
            proposed = suggest_next(state.workspace(), analysis, concept, budget=wanted)
            kept[key] = tuple(proposed[i] for i in tour.order(analysis, [item.row for item in proposed]))
            return kept[key]
        answered = int((states[analysis.split_rows(tagging_split(analysis))] != UNTAGGED).sum())
        skipped = st.session_state.get(SKIPPED, {}).get(key, set())
        budget = max(DEFAULTS.tag_budget - answered, BATCH) + len(skipped)
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
    guided = tour.wanted(analysis, concept) is not None
    name = plain(short(concept.name))
    rows = np.array([suggestion.row for suggestion in batch])
    answered = int((states[rows] != UNTAGGED).sum())
    # one line, so that the images come soon
    with st.container(horizontal=True, vertical_alignment="center", gap="medium", key="batch-head"):
        if guided:
            st.header(f"Which of these {len(batch)} show {name}?", anchor=False, width="content")
        else:
            main = max(reasons, key=lambda why: sum(item.why == why for item in batch))
            st.header(TITLES[main], anchor=False, width="content", help=" ".join(WHY[why] for why in reasons))
        st.space("stretch")
        st.caption(f"{answered} of {count(len(batch), 'image')} in this batch answered", width="content")
        st.button(
            "Skip the rest",
            icon=":material/skip_next:",
            type="tertiary",
            on_click=_skip,
            args=(analysis, concept),
            help="They are not asked about again in this session.",
        )
    st.markdown(
        "Click each, or the first and with **Shift** the last of several. Press **Present**, then **Rest absent**."
        if guided
        else f"Select those that show **{name}** and press **Present**, then **Rest absent**."
    )
    gallery.show(
        analysis,
        rows,
        key=f"queue-{concept.id}",
        # where all are there for the same reason, the heading says it once
        notes=[NOTES[suggestion.why] for suggestion in batch] if len(reasons) > 1 and not guided else None,
        rest_absent=True,
        active=concept.id,
        how="queue",
        telling="people",
    )


def _skip(analysis: Analysis, concept: Concept) -> None:
    """What cannot be answered is not asked again in this session."""
    key = (analysis.id, concept.id)
    batch = st.session_state[BATCHES].pop(key, ())
    st.session_state.setdefault(SKIPPED, {}).setdefault(key, set()).update(item.row for item in batch)
