"""Making and choosing concepts."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import streamlit as st

from core.concepts.concept import PALETTE, Concept, create_concept, list_concepts
from pages.parts import notices, problem, state
from pages.parts.words import TERMS, plain, short

if TYPE_CHECKING:
    from core.activations.store import Analysis

CHOSEN = "concept_chosen"
ROLES = {
    "confounder": "Only comes along with it",
    "core": "Part of it",
    "wrong-label": "A wrong label: leave such images out",
    "other": "Something else",
}


def concepts(analysis: Analysis) -> tuple[Concept, ...]:
    return list_concepts(state.workspace(), analysis.dataset_id)


def create(analysis: Analysis, place: str, *, prominent: bool = False) -> None:
    """A button that opens a small form. place: tells the forms of several pages apart."""
    made = st.session_state.setdefault("concepts_made", 0)
    existing = concepts(analysis)
    # a new key after each concept closes the form and empties it
    suffix = f"{place}-{made}"
    popover = st.popover(
        "New concept",
        icon=":material/add:",
        type="primary" if prominent else "secondary",
        help=TERMS["concept"],
        key=f"concept-form-{suffix}",
    )
    # a form: Enter creates, and the button needs no second click after typing
    with popover, st.form(f"concept-fields-{suffix}", border=False, enter_to_submit=True):
        st.text_input(
            "What do you see?",
            key=f"concept-name-{suffix}",
            placeholder="water background",
            help="Name what can be seen in the image, not the class.",
        )
        taken = [concept.color for concept in existing]
        st.color_picker("Colour", value=min(PALETTE, key=taken.count), key=f"concept-color-{suffix}")
        st.selectbox(
            "What it is to the class",
            list(ROLES),
            format_func=ROLES.get,
            key=f"concept-role-{suffix}",
            help=TERMS["confounder"],
        )
        st.form_submit_button("Create", type="primary", on_click=problem.kept(partial(_create, analysis, suffix)))


def choose(analysis: Analysis) -> Concept | None:
    """One of the concepts, as segments; None where there is none yet."""
    existing = concepts(analysis)
    if not existing:
        return None
    known = {concept.id: concept for concept in existing}
    chosen = st.session_state.get(CHOSEN)
    st.session_state["concept_pick"] = chosen if chosen in known else existing[-1].id
    pick = st.segmented_control if len(existing) <= 5 else st.selectbox
    options = {"required": True} if pick is st.segmented_control else {}
    picked = pick(
        "Concept",
        list(known),
        key="concept_pick",
        format_func=(lambda key: plain(short(known[key].name)))
        if pick is st.segmented_control
        else lambda key: known[key].name,
        on_change=_remember_pick,
        help=TERMS["concept"],
        **options,
    )
    return known[picked]


def _remember_pick() -> None:
    st.session_state[CHOSEN] = st.session_state["concept_pick"]


def _create(analysis: Analysis, suffix: str) -> None:
    name, color, role = (st.session_state[f"concept-{field}-{suffix}"] for field in ("name", "color", "role"))
    before = {concept.id for concept in concepts(analysis)}
    concept = create_concept(state.workspace(), analysis.dataset_id, name, color=color, role=role)
    st.session_state[CHOSEN] = concept.id
    st.session_state["concepts_made"] += 1
    known = concept.id in before
    notices.say(
        f"{plain(short(concept.name))} {'was there already' if known else 'is ready to tag with'}.", ":material/sell:"
    )
