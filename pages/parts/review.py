"""Review: what a concept's probe, a cluster or a text search takes for its members, to be accepted or rejected.

What is shown here are guesses. They become tags only by what a person presses, and then say that they were reviewed.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import streamlit as st

from core.concepts.concept import Concept
from core.concepts.guesses import accept_guesses
from core.concepts.spread import Candidate, Spread, fitted_probe, probabilities, spread
from core.concepts.tags import ABSENT, PRESENT, UNTAGGED, Suggested, answers, suggested_members
from core.errors import NotEnoughTags
from pages.parts import concept_tools, gallery, notices, problem, rooms, state, who
from pages.parts.words import count, interval, percent, plain, short

if TYPE_CHECKING:
    from core.activations.store import Analysis
    from core.workspace import Workspace

BATCHES = "review_batches"
# batches answered in this session, the newest last: undo leads back to them
PAST = "review_past"
MOST_PAST = 50
PUT_OFF = "review_put_off"
LOOKED_AT = "review_looked_at"
BATCH = 24
# shown of what the probe warns about: it may be one sentence per class
WARNINGS = 2
HOW = "review"
# a person judged a guess: kept apart from answers that no guess suggested
JUDGED = "review"

PRESENT_SIDE, ABSENT_SIDE, BOTH = "present", "absent", "both"
SIDES = {PRESENT_SIDE: "Probably present", ABSENT_SIDE: "Probably absent", BOTH: "Both"}
# tags, not guesses: those that contradict all the others
AGAIN = "again"
ORDERS = {"doubt": "Doubtful first", "sure": "Surest first"}
SOURCES = {"cluster": "from a cluster", "text": "fits the text"}


@dataclass(frozen=True)
class Choice:
    """Which guesses are looked at."""

    side: str = PRESENT_SIDE
    order: str = "doubt"


@st.fragment
@problem.guarded
def show(analysis: Analysis, concept: Concept) -> None:
    workspace, concept = state.workspace(), concept_tools.at_hand(analysis, concept)
    said = answers(workspace, analysis, concept)
    suggested = suggested_members(workspace, analysis, concept)
    spreading: Spread | None = None
    try:
        spreading = spread(workspace, analysis, concept)
    except NotEnoughTags:
        if not len(suggested[0]):
            _too_few(concept, said)
            return
    waiting = Suggested(*(part[said[suggested.rows] == UNTAGGED] for part in suggested[:2]), suggested.source)
    _trust(spreading, waiting)
    guesses = _guesses(workspace, analysis, concept, spreading, said, waiting)
    choice = _choose(spreading, guesses)
    if choice.side == AGAIN and spreading is not None:
        _look_again(analysis, concept, spreading)
        return
    batch = _batch(analysis, concept, guesses, said, choice)
    if not batch:
        _nothing_left(choice)
        return
    _ask(analysis, concept, batch, said, choice)


def _too_few(concept: Concept, said: np.ndarray) -> None:
    present, absent = int((said == PRESENT).sum()), int((said == ABSENT).sum())
    missing = [word for number, word in ((present, "present"), (absent, "absent")) if number == 0]
    with st.container(border=True, key="card-empty"):
        st.markdown(
            f"**Nothing can be guessed yet.** {count(present, 'image')} tagged as present, {absent} as absent: at "
            f"least one more as **{' and one as '.join(missing) or 'present'}** is missing. "
            f"The queue asks about those that tell most about **{plain(short(concept.name))}**."
        )
        rooms.link("tag_next", "Go to the queue", look="queue")


def _trust(spreading: Spread | None, suggested: Suggested) -> None:
    """How far the guesses can be trusted, before any of them is seen."""
    if spreading is None:
        by = {"cluster": " by a cluster", "text": " by the text model"}.get(suggested.source, "")
        st.markdown(
            f"**{len(suggested.rows):,} suggested{by}**, none guessed: tag one image as present and one as absent, and "
            "all others are guessed."
        )
        return
    held = spreading.held_out
    if held.share is None:
        st.markdown(
            f"**Not checked yet.** {count(spreading.present, 'tag')} present and {spreading.absent} absent are too few "
            "to hold some out: take these guesses as a first hint."
        )
    else:
        st.markdown(
            f"The guesses agree with held-out tags **{percent(held.share)}** "
            f"({interval(held.low, held.high)} with 95% confidence, {count(held.tags, 'tag')}; 50% is chance)."
        )
    for warning in spreading.warnings[:WARNINGS]:
        st.caption(f":material/warning: {plain(warning)}")
    if (more := len(spreading.warnings) - WARNINGS) > 0:
        st.caption(f"And {count(more, 'warning')} more like these.")


class Guesses(NamedTuple):
    """All that waits to be reviewed. rows: (m,) int64. chance: (m,) guess of the probe, NaN while there is none. named:
    (m,) bool, suggested as a member by `source`."""

    rows: np.ndarray
    chance: np.ndarray
    named: np.ndarray
    source: str


def _guesses(
    workspace: Workspace,
    analysis: Analysis,
    concept: Concept,
    spreading: Spread | None,
    said: np.ndarray,
    suggested: Suggested,
) -> Guesses:
    """Images that may be tagged, as guessed, and suggested members wherever they are; without a probe these alone."""
    if spreading is None:
        some = len(suggested.rows)
        return Guesses(suggested.rows, np.full(some, np.nan), np.ones(some, dtype=bool), suggested.source)
    further = np.setdiff1d(suggested.rows, spreading.rows)
    chances = probabilities(analysis, fitted_probe(workspace, analysis, concept).probe, further)
    rows, chance = np.concatenate([spreading.rows, further]), np.concatenate([spreading.probability, chances])
    free = said[rows] == UNTAGGED
    rows = rows[free]
    return Guesses(rows, chance[free], np.isin(rows, suggested.rows), suggested.source)


def _choose(spreading: Spread | None, guesses: Guesses) -> Choice:
    choice: Choice = st.session_state.setdefault("review_choice", Choice())
    if spreading is None:
        # there is nothing to tell apart yet
        return Choice()
    shown, every = int((guesses.chance > 0.5).sum()), len(guesses.rows)
    waiting = {PRESENT_SIDE: shown, ABSENT_SIDE: every - shown, BOTH: every}
    titles = {side: f"{title} ({waiting[side]:,})" for side, title in SIDES.items()}
    again = len(spreading.doubtful)
    # somebody who is looking again stays there when the last one is answered
    if again or choice.side == AGAIN:
        titles[AGAIN] = f"Look again ({again:,})"
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium", key="review-controls"):
        st.session_state["review_side"] = choice.side
        st.segmented_control(
            "Guesses",
            list(titles),
            key="review_side",
            format_func=titles.get,
            required=True,
            on_change=_keep,
            help="Images that nobody has answered, by what the probe takes them for. **Look again**: answers that "
            "contradict all the others.",
        )
        st.session_state["review_order"] = choice.order
        st.segmented_control(
            "Order",
            list(ORDERS),
            key="review_order",
            format_func=ORDERS.get,
            required=True,
            on_change=_keep,
            help="**Doubtful first** teaches the probe most; **surest first** is quick to accept.",
        )
    return choice


def first_of(guesses: Guesses, choice: Choice, limit: int, besides: Collection[int] = ()) -> tuple[Candidate, ...]:
    """Guesses of the chosen side, in the chosen order; while there is no probe, as they were suggested."""
    places = np.flatnonzero(~np.isin(guesses.rows, list(besides)))
    if not np.isnan(guesses.chance).any():
        if choice.side != BOTH:
            places = places[(guesses.chance[places] > 0.5) == (choice.side == PRESENT_SIDE)]
        doubt = np.abs(guesses.chance[places] - 0.5)
        places = places[np.argsort(doubt if choice.order == "doubt" else -doubt, kind="stable")]
    return tuple(
        Candidate(int(guesses.rows[i]), guesses.source if guesses.named[i] else "probe", float(guesses.chance[i]))
        for i in places[:limit]
    )


def _keep() -> None:
    st.session_state.pop(LOOKED_AT, None)
    st.session_state["review_choice"] = Choice(st.session_state["review_side"], st.session_state["review_order"])


def _batch(
    analysis: Analysis,
    concept: Concept,
    guesses: Guesses,
    said: np.ndarray,
    choice: Choice,
) -> tuple[Candidate, ...]:
    """The guesses at hand, kept until each is answered: what is shown neither moves nor changes meanwhile."""
    kept: dict[tuple[Any, ...], tuple[Candidate, ...]] = st.session_state.setdefault(BATCHES, {})
    key = (analysis.id, concept.id, choice)
    past: list[tuple[Candidate, ...]] = st.session_state.setdefault(PAST, {}).setdefault(key, [])
    batch = kept.get(key, ())
    # taken back: shown again, unless somebody has begun with the next ones
    if past and not _answered(batch, said) and len(_answered(past[-1], said)) < len(past[-1]):
        kept[key] = batch = past.pop()
        return batch
    if len(_answered(batch, said)) == len(batch):
        put_off: set[int] = st.session_state.get(PUT_OFF, {}).get(key, set())
        fresh = first_of(guesses, choice, BATCH, put_off)
        if batch and fresh:
            st.toast("Reviewed. Here are the next ones.", icon=":material/check_circle:")
        if batch:
            past.append(batch)
            del past[:-MOST_PAST]
        kept[key] = batch = fresh
    return batch


def _answered(batch: tuple[Candidate, ...], said: np.ndarray) -> list[Candidate]:
    return [item for item in batch if said[item.row] != UNTAGGED]


def _look_again(analysis: Analysis, concept: Concept, spreading: Spread) -> None:
    """Tags that contradict all the others. A correction must not take the next image from under the hand."""
    kept: dict[tuple[str, int], np.ndarray] = st.session_state.setdefault(LOOKED_AT, {})
    key = (analysis.id, concept.id)
    known = kept.get(key, np.empty(0, dtype=np.int64))
    kept[key] = rows = np.concatenate([known, np.setdiff1d(spreading.doubtful, known)])
    if not len(rows):
        st.success("No answer contradicts the others.", icon=":material/check_circle:")
        return
    st.markdown("These answers contradict all the others. Slips look like this, and so do true exceptions.")
    gallery.show(analysis, rows, key=f"review-again-{concept.id}", active=concept.id, how=HOW)


def _nothing_left(choice: Choice) -> None:
    st.success(
        "Nothing left to review here: every such guess is answered or was put off."
        if choice.side == BOTH
        else f"Nothing is {SIDES[choice.side].lower()} and still unanswered.",
        icon=":material/check_circle:",
    )


def _ask(analysis: Analysis, concept: Concept, batch: tuple[Candidate, ...], said: np.ndarray, choice: Choice) -> None:
    rows = np.array([item.row for item in batch])
    left = [item for item in batch if said[item.row] == UNTAGGED]
    name = plain(short(concept.name))
    st.markdown(
        f"Guesses for **{name}**, no tags yet. Select what is guessed wrongly and press "
        f"**{'Present' if choice.side == ABSENT_SIDE else 'Absent'}**, then accept the rest."
    )
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="review-actions"):
        words = {PRESENT_SIDE: "as present", ABSENT_SIDE: "as absent", BOTH: "as guessed"}[choice.side]
        st.button(
            f"Accept all {len(left)} shown {words}" if len(left) != 1 else f"Accept the one left {words}",
            icon=":material/done_all:",
            type="primary",
            on_click=problem.kept(partial(accept, analysis, concept, tuple(left), choice)),
            help="Tags the images shown that have no answer yet. They are kept as reviewed guesses.",
        )
        st.button(
            "Show others",
            icon=":material/skip_next:",
            type="tertiary",
            on_click=_put_off,
            args=(analysis, concept, choice),
            help="These are not proposed again in this session.",
        )
    gallery.show(
        analysis,
        rows,
        key=f"review-{concept.id}",
        notes=[note(item) for item in batch],
        active=concept.id,
        telling="note",
        how=HOW,
        source=JUDGED,
    )


def note(item: Candidate) -> str:
    """What is written under a guess."""
    told = [] if math.isnan(item.probability) else [f"guess {percent(item.probability)}"]
    return ", ".join([*told, *([SOURCES[item.source]] if item.source in SOURCES else [])]) or "suggested"


def accept(analysis: Analysis, concept: Concept, items: tuple[Candidate, ...], choice: Choice) -> None:
    """Tag each image as it was guessed, in one step; a suggested member without a guess counts as guessed present.

    What was answered since the page was drawn, by whomever, stays as it is.
    """
    sides = {wanted: [item.row for item in items if _guessed(item, choice) is wanted] for wanted in (True, False)}
    done = accept_guesses(
        state.workspace(),
        analysis,
        concept,
        sides[True],
        sides[False],
        author=who.author(),
        source=JUDGED,
        how=HOW,
    )
    meanwhile = len(items) - len(done.rows)
    kept = f" {count(meanwhile, 'image')} answered meanwhile stayed as {'it was' if meanwhile == 1 else 'they were'}."
    if len(done.rows):
        notices.say(
            f"{count(len(done.rows), 'guess', 'guesses')} accepted.{kept if meanwhile else ''} Undo takes them back.",
            ":material/done_all:",
        )
    elif items:
        notices.say(f"Nothing was left to accept.{kept}", ":material/info:")


def _guessed(item: Candidate, choice: Choice) -> bool:
    if choice.side != BOTH:
        return choice.side == PRESENT_SIDE
    return math.isnan(item.probability) or item.probability > 0.5


def _put_off(analysis: Analysis, concept: Concept, choice: Choice) -> None:
    key = (analysis.id, concept.id, choice)
    batch = st.session_state[BATCHES].pop(key, ())
    st.session_state.setdefault(PUT_OFF, {}).setdefault(key, set()).update(item.row for item in batch)
