"""The Tag next page itself, one fragment: the ways of looking, the concept, and what is asked about it.

What is looked at is kept for the session and written into the address, so that it can be linked to.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import streamlit as st

from core.concepts.concept import Concept
from core.concepts.departures import departure
from pages.parts import concept_tools, head, notices, problem, review, rooms, state, tag_queue, wrong_labels
from pages.parts.component_source import source
from pages.parts.looks import Looks, asked_of

if TYPE_CHECKING:
    from core.activations.store import Analysis

QUEUE, REVIEW, WRONG = "queue", "review", "wrong"
LOOKS = Looks("tag_look", "What to do", {QUEUE: "Queue", REVIEW: "Review", WRONG: "Wrong labels"})
MODES = Looks("tag_mode", "Show", tag_queue.MODES)
LEADS = {
    QUEUE: "A few dozen answers about the right images are worth more than thousands about any.",
    REVIEW: "What your answers suggest about all other images. Guesses are no tags until you accept them.",
    WRONG: "Images that look mislabelled: they gather where the model is unsure, and teach it the wrong thing.",
}


@dataclass(frozen=True)
class View:
    """look: queue, review or wrong. mode: of the queue, cards or grid."""

    look: str = QUEUE
    mode: str = tag_queue.CARDS


def heading() -> None:
    """What stands above an invitation to begin."""
    head.show("tag_next", LEADS[QUEUE])


@st.fragment
@problem.guarded
def enter(analysis: Analysis) -> None:
    view = current(analysis)
    st.html(f"<style>{source('tag_next', 'tag_next.css')}</style>")
    named = bool(concept_tools.concepts(analysis))
    # who answers cards has read it, and the image needs the room
    answering = view.look == QUEUE and view.mode == tag_queue.CARDS and named
    head.show(
        "tag_next",
        "" if answering else LEADS[view.look],
        looks=partial(LOOKS.choose, view.look),
        then="retrain" if named and analysis.labelled else None,
    )
    concept: Concept | None = None
    if view.look == WRONG and not analysis.labelled:
        rooms.unlabelled("A label can only be wrong where there is one, and these images have none.")
    elif view.look == WRONG:
        wrong_labels.show(analysis)
    else:
        concept = _concept(analysis, view)
        if concept is None:
            if left := concept_tools.gone(analysis):
                concept_tools.tell_gone(analysis, left)
            if not concept_tools.concepts(analysis):
                _name_one()
        elif view.look == REVIEW:
            review.show(analysis, concept)
        else:
            tag_queue.work_through(analysis, concept, view.mode)
    # at the end: what was shown is what the address says
    state.write_link(query(analysis, current(analysis), concept))


def current(analysis: Analysis) -> View:
    """The view of this session; from the address when that is new (a link, the back button)."""
    asked = asked_of(analysis)
    if asked:
        _choose(analysis, asked.get("concept"))
    look = asked.get("look")
    if asked and look not in LOOKS.titles:
        look = QUEUE
    return View(LOOKS.current(look), MODES.current(asked.get("mode")))


def query(analysis: Analysis, view: View, concept: Concept | None) -> dict[str, str]:
    """What a link to this view carries."""
    link = {"analysis": analysis.id, "look": view.look}
    if view.look == QUEUE:
        link["mode"] = view.mode
    if concept is not None:
        link["concept"] = str(concept.id)
    return link


def _choose(analysis: Analysis, asked: str | None) -> None:
    """A link names its concept by number, or by name."""
    if asked is None:
        return
    known = concept_tools.concepts(analysis)
    found = [one.id for one in known if str(one.id) == asked]
    found += [one.id for one in known if one.name.casefold() == asked.casefold()]
    if asked.isdecimal() and departure(state.workspace(), analysis.dataset_id, int(asked)):
        # the page says what became of it
        found.append(int(asked))
    if found:
        st.session_state[concept_tools.CHOSEN] = found[0]
    else:
        notices.say("The concept of that link is not there (any more).", ":material/info:")


def _concept(analysis: Analysis, view: View) -> Concept | None:
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium", key="tag-choice"):
        named = bool(concept_tools.concepts(analysis))
        if not named:
            # in the place of the choice: a form that somebody fills in stays where it is when another person makes the
            # first concept, and keeps the keyboard
            st.empty()
        concept = concept_tools.choose(analysis)
        concept_tools.create(analysis, "queue", prominent=not named)
        if concept is not None and view.look == QUEUE:
            MODES.choose(
                view.mode,
                label_visibility="visible",
                help="**Cards**: one large image, answered with a key. **Grid**: many at once, for what is seen at a "
                "glance.",
            )
    return concept


def _name_one() -> None:
    with st.container(border=True, key="card-empty"):
        st.markdown(
            "**First name what you suspect.** Look at the **Bands**: what sits in the mid band that does not belong "
            "to the class? Then make a concept of it here, such as “water background”."
        )
        rooms.link("bands", "Look at the bands")
