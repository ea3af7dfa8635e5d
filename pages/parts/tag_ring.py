"""How far the tagging of a concept has come: a ring, what the answers are worth so far, and the way to retraining."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import streamlit as st

from core.concepts.concept import Concept
from core.concepts.enough import Readiness, readiness
from core.concepts.probes import PROBE_WARNING
from core.concepts.tags import UNTAGGED, tag_states, tagging_split
from core.settings import DEFAULTS
from pages.parts import rooms, state
from pages.parts.component_source import source
from pages.parts.words import count

if TYPE_CHECKING:
    from core.activations.store import Analysis

# answers after which retraining is worth a try; the full budget does better
ENOUGH = 20
LAST = "ring_last"

COLLECTING, TRY, GOOD, DONE, STUCK = "collecting", "try", "good", "done", "stuck"
STATES = {
    COLLECTING: "Collecting answers",
    TRY: "Enough for a first try",
    GOOD: "Enough for a good repair",
    DONE: "More tags no longer help",
    STUCK: "More tags will hardly help",
}

_component = st.components.v2.component(
    "midband_tag_ring",
    html=source("tag_ring", "tag_ring.html"),
    css=source("tag_ring", "tag_ring.css"),
    js="\n".join([source("image_grid", "dom.js"), source("tag_ring", "share.js", "tag_ring.js")]),
)


def show(analysis: Analysis, concept: Concept, *, beside: bool = True) -> None:
    """To be called at the end of a run: the count is drawn at once, what takes computing follows when it is there.

    beside: it has a narrow column to itself.
    """
    split = tagging_split(analysis)
    states = tag_states(state.workspace(), analysis, concept)[analysis.split_rows(split)]
    tags = int((states != UNTAGGED).sum())
    kept: dict[tuple[str, int], Readiness] = st.session_state.setdefault(LAST, {})
    about = (analysis.id, concept.id)
    store = f"tag-ring-{analysis.id}"
    with st.container(gap=None):
        _component(key=store, data=counted(store, concept, tags, kept.get(about), split))
        kept[about] = told = readiness(state.workspace(), analysis, concept)
        _component(key=f"{store}-verdict", data=verdict(store, concept, told))
    _retrain(tags, state_of(tags, told), width="stretch" if beside else "content")


def state_of(tags: int, told: Readiness | None) -> str:
    """told: the last verdict, which may be about fewer tags than there are by now."""
    if told is not None and not told.helps:
        return DONE if told.share is not None and told.share >= PROBE_WARNING else STUCK
    if tags >= DEFAULTS.tag_budget:
        return GOOD
    return TRY if tags >= ENOUGH else COLLECTING


def said(tags: int) -> str:
    """How `Readiness.sentence` begins."""
    budget = DEFAULTS.tag_budget
    return f"{tags} of about {budget} tags" if tags <= budget else f"{tags} tags, where about {budget} usually do"


def counted(store: str, concept: Concept, tags: int, told: Readiness | None, split: str) -> dict[str, Any]:
    return {
        "role": "count",
        "store": store,
        "about": concept.id,
        "tags": tags,
        "budget": DEFAULTS.tag_budget,
        "enough": ENOUGH,
        "state": STATES[state_of(tags, told)],
        "said": said(tags),
        "note": "" if split == "val" else "The dataset has no val split, so training images are asked about.",
    }


def verdict(store: str, concept: Concept, told: Readiness) -> dict[str, Any]:
    return {
        "role": "verdict",
        "store": store,
        "about": concept.id,
        "tags": told.tags,
        "state": STATES[state_of(told.tags, told)],
        # without the count, which may be another one by now
        "rest": told.sentence.removeprefix(said(told.tags)),
        "next": told.next_step,
    }


def _retrain(tags: int, now: str, *, width: Literal["stretch", "content"]) -> None:
    missing = ENOUGH - tags
    if st.button(
        "Retrain",
        type="primary" if now in (GOOD, DONE) else "secondary",
        icon=":material/build:",
        width=width,
        disabled=tags < ENOUGH,
        help=f"Tag {count(missing, 'more image')} first."
        if tags < ENOUGH
        else "Enough to try. More tags make the repair surer."
        if now == TRY
        else "The next step: repair the last layer with what you tagged.",
    ):
        rooms.go("retrain")
