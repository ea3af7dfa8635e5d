"""What people do on the stage: each event of the browser changes the real thing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st

from core.concepts.concept import create_concept
from core.concepts.tags import tag, undo
from core.errors import BadRequest, MidbandError
from core.jobs.queue import request_cancel
from core.retraining.runs import new_run_id
from pages.parts import concept_tools, jobs, method_knobs, present_story, state, who
from pages.parts.inbox import Inbox, is_int
from pages.parts.present_kept import HOW, Kept, concept_of, kept_of, place, undoable
from pages.parts.present_story import ASKED, REPAIR, TAG
from pages.parts.words import short

if TYPE_CHECKING:
    from core.activations.store import Analysis

PROBLEM = "present_problem"
LEAVING = "present_leaving"
JOB = "present_job"


@dataclass(frozen=True)
class Event:
    """What a person did. kind: name (`text`), concept or class (`number`), tags (`number`, `shown`, `rest`: ids), ask
    (`number`, `shown`: what a page that was loaded anew asked about before), or one of `PLAIN`."""

    kind: str
    number: int = 0
    text: str = ""
    shown: tuple[int, ...] = ()
    rest: tuple[int, ...] = ()


PLAIN = ("more", "undo", "repair", "stop", "leave", "home", "results")


def read_event(entry: dict[str, Any]) -> Event | None:
    """An event as the browser sent it; None where it makes no sense."""
    kind, text, number = entry.get("kind"), entry.get("text"), entry.get("concept", entry.get("class"))
    if kind in PLAIN:
        return Event(kind)
    if kind == "name" and isinstance(text, str):
        return Event("name", text=text)
    if kind in ("concept", "class") and is_int(number):
        return Event(kind, number)
    shown, rest = _ids(entry.get("shown")), _ids(entry.get("rest"))
    if kind in ("tags", "ask") and is_int(number) and shown is not None and rest is not None:
        return Event(kind, number, shown=shown, rest=rest)
    return None


def _ids(value: object) -> tuple[int, ...] | None:
    return tuple(value) if isinstance(value, list) and all(is_int(one) for one in value) else None


def stepped(analysis: Analysis | None, key: str) -> None:
    told = st.session_state.get(key)
    if analysis is not None and isinstance(told, dict):
        keep_step(kept_of(analysis), told.get("step"))


def keep_step(kept: Kept, told: object) -> None:
    """Where the browser is, unless Python has turned to another step since."""
    if isinstance(told, dict) and told.get("turn") == kept.turn and is_int(at := told.get("at")):
        kept.step = max(at, 0)


def deliver(analysis: Analysis | None, key: str) -> None:
    told = st.session_state.get(key)
    inbox: Inbox = st.session_state.setdefault(f"{key}-inbox", Inbox())
    st.session_state.pop(PROBLEM, None)
    act: Callable[[Event], None] = partial(_kept_problem, partial(_act, analysis))
    inbox.deliver(told.get("up") if isinstance(told, dict) else None, act, read=read_event, harmless=("tags",))


def _kept_problem(act: Callable[[Event], None], event: Event) -> None:
    """On the stage problems are shown by the stage: what lies below it is not seen."""
    try:
        act(event)
    except MidbandError as error:
        tell(error.to_dict())


def tell(error: dict[str, Any]) -> None:
    turn = st.session_state.get("present_problems", 0) + 1
    st.session_state["present_problems"] = turn
    text = " ".join(str(error.get(name) or "") for name in ("detail", "next_step"))
    st.session_state[PROBLEM] = {
        "turn": str(turn),
        "title": f"{error.get('title') or 'That did not work'}.",
        "text": text,
    }


def _act(analysis: Analysis | None, event: Event) -> None:
    if event.kind in ("leave", "home", "results"):
        st.session_state[LEAVING] = event.kind
    elif analysis is not None:
        _change(analysis, kept_of(analysis), event)


def _change(analysis: Analysis, kept: Kept, event: Event) -> None:
    if event.kind == "class" and 0 <= event.number < analysis.k:
        kept.class_index = event.number
        kept.batch = (0, ())
    elif event.kind == "name":
        _name(analysis, kept, event.text)
    elif event.kind == "concept":
        _take(kept, event.number)
    elif event.kind == "tags":
        _tag(analysis, kept, event)
    elif event.kind == "ask":
        _ask(analysis, kept, event)
    elif event.kind == "more":
        kept.more = None if (concept := concept_of(analysis, kept)) is None else concept.id
        kept.go(place(TAG))
    elif event.kind == "undo":
        _undo(analysis, kept)
    elif event.kind == "repair":
        _repair(analysis, kept)
    elif event.kind == "stop" and (job := jobs.active("retrain", analysis=analysis.id)) is not None:
        request_cancel(state.workspace(), job.id)


def _name(analysis: Analysis, kept: Kept, text: str) -> None:
    """An existing concept of that name, or a new one; then on to showing it."""
    concept = create_concept(state.workspace(), analysis.dataset_id, text, author=who.author())
    _take(kept, concept.id)


def _take(kept: Kept, concept: int) -> None:
    kept.concept = st.session_state[concept_tools.CHOSEN] = concept
    kept.go(place(TAG))


def _ask(analysis: Analysis, kept: Kept, event: Event) -> None:
    """Go on with the pictures that somebody was clicking among when the session ended."""
    known = np.isin(event.shown, analysis.ids)
    concept = concept_of(analysis, kept)
    if concept is not None and concept.id == event.number and known.all() and len(set(event.shown)) <= ASKED:
        kept.batch = (concept.id, tuple(dict.fromkeys(event.shown)))


def _tag(analysis: Analysis, kept: Kept, event: Event) -> None:
    """What was clicked shows it, the rest does not; two actions, taken back together."""
    concept = next((one for one in present_story.concepts_of(analysis) if one.id == event.number), None)
    if concept is None:
        raise BadRequest(
            "What you named is not there any more, so the answers were not saved.",
            next_step="Name it again.",
            title="It was deleted meanwhile",
        )
    # asked first: Streamlit interrupts where it is asked something, and between the halves it must not
    workspace, author = state.workspace(), who.author()
    said = []
    for images, shows in ((event.shown, True), (event.rest, False)):
        rows = analysis.rows_of(images)
        action = tag(workspace, analysis, concept, rows, shows, author=author, how=HOW)
        said += [] if action is None else [action]
    kept.concept, kept.batch, kept.more = concept.id, (0, ()), None
    # said a second time, after an interruption, it changes nothing, and what was said first can still be taken back
    kept.said = tuple(said) or kept.said
    kept.go(place(REPAIR))


def _undo(analysis: Analysis, kept: Kept) -> None:
    while undoable(analysis, kept):
        undo(state.workspace(), analysis.dataset_id, who.author())
        kept.said = kept.said[:-1]
    kept.batch, kept.more = (0, ()), None
    kept.go(place(TAG))


def _repair(analysis: Analysis, kept: Kept) -> None:
    concept = concept_of(analysis, kept)
    if concept is None:
        return
    request: dict[str, Any] = {
        "analysis": analysis.id,
        "method": method_knobs.DEFAULT,
        "concepts": [concept.name],
        "seed": 0,
        "run": new_run_id(),
    }
    st.session_state[JOB] = jobs.begin("retrain", f"Retrain on {short(analysis.dataset_name, 60)}", request).id
