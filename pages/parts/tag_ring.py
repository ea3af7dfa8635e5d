"""How far the tagging of a concept has come: a ring, what the answers are worth so far, and the way to retraining."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import streamlit as st

from core.concepts.concept import Concept
from core.concepts.enough import FEWEST, FEWEST_PER_VALUE, Readiness, readiness
from core.concepts.probes import PROBE_WARNING
from core.concepts.tags import ABSENT, PRESENT, UNTAGGED, tag_states, tagging_split
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
ONE_SIDED, WEAK = "one-sided", "weak"
STATES = {
    COLLECTING: "Collecting answers",
    TRY: "Enough for a first try",
    GOOD: "Enough for a good repair",
    DONE: "More tags no longer help",
    STUCK: "More tags will hardly help",
    ONE_SIDED: "One answer is still rare",
    WEAK: "The guesses are not good yet",
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
    everywhere = tag_states(state.workspace(), analysis, concept)
    states = everywhere[analysis.split_rows(split)]
    tags, fewest = int((states != UNTAGGED).sum()), min(int((states == value).sum()) for value in (PRESENT, ABSENT))
    # a column speaks of all images: nobody wonders where those tags are
    elsewhere = 0 if concept.attribute else int((everywhere != UNTAGGED).sum()) - tags
    kept: dict[tuple[str, int], Readiness] = st.session_state.setdefault(LAST, {})
    about = (analysis.id, concept.id)
    store = f"tag-ring-{analysis.id}"
    with st.container(gap=None):
        first = counted(store, concept, tags, kept.get(about), split, fewest=fewest, elsewhere=elsewhere)
        _component(key=store, data=first)
        kept[about] = told = readiness(state.workspace(), analysis, concept)
        _component(key=f"{store}-verdict", data=verdict(store, concept, told, fewest=fewest))
    _retrain(tags, state_of(tags, told, fewest=fewest), width="stretch" if beside else "content")


def state_of(tags: int, told: Readiness | None, *, fewest: int = FEWEST_PER_VALUE) -> str:
    """One verdict, which what is said below it and the button agree with.

    told: the last verdict, which may be about fewer tags than there are by now. fewest: tags of the rarer value.
    """
    if told is not None and not told.helps:
        return DONE if told.share is not None and told.share >= PROBE_WARNING else STUCK
    if tags >= FEWEST and fewest < FEWEST_PER_VALUE:
        return ONE_SIDED
    if tags >= DEFAULTS.tag_budget:
        return WEAK if told is not None and told.share is not None and told.share < PROBE_WARNING else GOOD
    return TRY if tags >= ENOUGH else COLLECTING


def said(tags: int) -> str:
    """How `Readiness.sentence` begins."""
    budget = DEFAULTS.tag_budget
    return f"{tags} of about {budget} tags" if tags <= budget else f"{tags} tags, where about {budget} usually do"


def counted(
    store: str,
    concept: Concept,
    tags: int,
    told: Readiness | None,
    split: str,
    *,
    fewest: int = FEWEST_PER_VALUE,
    elsewhere: int = 0,
) -> dict[str, Any]:
    """elsewhere: tags of images of other splits, which do not count towards the ring."""
    notes = [] if split == "val" else ["The dataset has no val split, so training images are asked about."]
    if elsewhere:
        others = "train or test" if split == "val" else "test"
        are = "the other is on a" if elsewhere == 1 else "the others are on"
        image = "image" if elsewhere == 1 else "images"
        notes.append(f"{tags:,} of {tags + elsewhere:,} tags count: {are} {others} {image}.")
    return {
        "role": "count",
        "store": store,
        "about": concept.id,
        "tags": tags,
        "budget": DEFAULTS.tag_budget,
        "enough": ENOUGH,
        "state": STATES[state_of(tags, told, fewest=fewest)],
        "said": said(tags),
        "note": " ".join(notes),
    }


def verdict(store: str, concept: Concept, told: Readiness, *, fewest: int = FEWEST_PER_VALUE) -> dict[str, Any]:
    return {
        "role": "verdict",
        "store": store,
        "about": concept.id,
        "tags": told.tags,
        "state": STATES[state_of(told.tags, told, fewest=fewest)],
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
