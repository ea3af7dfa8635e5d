"""What a session keeps of each presentation: where it is, and what it is about."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

import streamlit as st

from core.concepts.concept import Concept
from core.concepts.history import history
from core.concepts.log import clean_author
from core.concepts.tags import newest_standing
from pages.parts import concept_tools, present_story, state, who

if TYPE_CHECKING:
    from core.activations.store import Analysis

KEPT = "present_kept"
HOW = "present"
# the two halves of an answer are written one right after the other
HALVES = timedelta(seconds=5)


@dataclass
class Kept:
    """What a session keeps of one investigation's presentation.

    step: at hand, from 0. turn: counts the times that Python turned to a step. class_index: chosen, None for the most
    telling. concept: id of the one at hand. batch: images asked about, for which concept. more: the concept of which
    more is asked although there are answers. said: actions of the last answers. ran: the repair that was told of.
    session: another one in each session.
    """

    step: int = 0
    turn: int = 0
    class_index: int | None = None
    concept: int | None = None
    batch: tuple[int, tuple[int, ...]] = (0, ())
    more: int | None = None
    said: tuple[int, ...] = ()
    ran: str = ""
    session: str = field(default_factory=lambda: secrets.token_hex(4))

    def go(self, step: int) -> None:
        self.step, self.turn = step, self.turn + 1


def kept_of(analysis: Analysis) -> Kept:
    all_kept: dict[str, Kept] = st.session_state.setdefault(KEPT, {})
    if analysis.id not in all_kept:
        all_kept[analysis.id] = Kept(said=_said_before(analysis))
    return all_kept[analysis.id]


def _said_before(analysis: Analysis) -> tuple[int, ...]:
    """What this person answered last on the stage, in a session that a reload has ended; both halves of it."""
    me = clean_author(who.author())
    mine = [
        entry
        for entry in history(state.workspace(), analysis.dataset_id)
        if entry.author == me and entry.undone is None
    ][:2]
    said = [
        entry.id
        for entry in mine
        if entry.how == HOW and entry.concept == mine[0].concept and mine[0].when - entry.when < HALVES
    ]
    # a half is never taken back without the one that was said after it
    return tuple(reversed(said)) if mine and mine[0].id in said else ()


def concept_of(analysis: Analysis, kept: Kept) -> Concept | None:
    """The one chosen here, or in another room; else the newest confounder."""
    known = {one.id: one for one in present_story.concepts_of(analysis) if one.role != "wrong-label"}
    for chosen in (kept.concept, st.session_state.get(concept_tools.CHOSEN)):
        if chosen in known:
            return known[chosen]
    confounders = [one for one in known.values() if one.role == "confounder"] or list(known.values())
    return confounders[-1] if confounders else None


def place(about: str) -> int:
    """Of a step, from 0."""
    return present_story.ORDER.index(about)


def undoable(analysis: Analysis, kept: Kept) -> bool:
    """Whether the last answers given here are what this person did last."""
    if not kept.said:
        return False
    with state.workspace().reading() as session:
        newest = newest_standing(session, analysis.dataset_id, who.author())
        return newest is not None and newest.id == kept.said[-1]
