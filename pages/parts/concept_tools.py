"""Making and choosing concepts."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import streamlit as st

from core.concepts.concept import PALETTE, Concept, create_concept, list_concepts
from core.concepts.departures import Departure, departure
from core.concepts.names import LONGEST_NAME
from pages.parts import notices, problem, state, who
from pages.parts.words import TERMS, ago, count, plain, short

if TYPE_CHECKING:
    from core.activations.store import Analysis

CHOSEN = "concept_chosen"
# answers to concepts that were gone when they came: id of the concept to their number
LOST = "concept_answers_lost"
# in the session: the place whose form is to stand open, because somebody was led to it
ASKED = "concept_form_asked"
LONGEST_NOTE = 500
ROLES = {
    "confounder": "Only comes along with it",
    "core": "Part of it",
    "wrong-label": "A wrong label: leave such images out",
    "other": "Something else",
}
# the same in a word, where there is room for no more
ROLE_NAMES = {"confounder": "confounder", "core": "core feature", "wrong-label": "wrong label", "other": "other"}
HELP = {
    "role": (
        "**Only comes along with it** (a confounder): the model should not need it, such as the water behind a "
        "waterbird. **Part of it** (a core feature): the model may use it, such as webbed feet. **A wrong label**: "
        "retraining leaves such images out. **Something else**: to find images again; retraining ignores it."
    ),
    "key": "Press this number to tag the selected images with it, with Shift for absent. Another concept gives it up.",
    "note": "For you and others: what counts as present, and what does not.",
}


def concepts(analysis: Analysis) -> tuple[Concept, ...]:
    return list_concepts(state.workspace(), analysis.dataset_id)


def about(concept: Concept) -> str:
    """Role and note in a line, as text."""
    role = ROLE_NAMES[concept.role]
    return f"{role[0].upper()}{role[1:]}. {concept.note}".strip()


def create(analysis: Analysis, place: str, *, prominent: bool = False) -> None:
    """A button that opens a small form. place: tells the forms of several pages apart."""
    made = st.session_state.setdefault("concepts_made", 0)
    existing = concepts(analysis)
    # a new key after each concept closes the form and empties it
    suffix = f"{place}-{made}"
    asked = st.session_state.get(ASKED) == place
    if asked:
        suffix = f"{suffix}-asked"
        st.session_state[f"concept-form-{suffix}"] = True
    popover = st.popover(
        "New concept",
        icon=":material/add:",
        type="primary" if prominent else "secondary",
        help=TERMS["concept"],
        key=f"concept-form-{suffix}",
        # told only then when it is closed: opening it otherwise waits for nothing
        on_change=partial(st.session_state.pop, ASKED, None) if asked else "ignore",
    )
    # a form: Enter creates, and the button needs no second click after typing
    with popover, st.form(f"concept-fields-{suffix}", border=False, enter_to_submit=True):
        st.text_input(
            "What do you see?",
            key=f"concept-name-{suffix}",
            placeholder="for example: grass, a ruler, blue ink",
            max_chars=LONGEST_NAME,
            help="Name what can be seen in the image, not the class.",
        )
        st.selectbox(
            "What it is to the class",
            list(ROLES),
            format_func=ROLES.get,
            key=f"concept-role-{suffix}",
            help=HELP["role"],
        )
        # what has a sensible default is a click away, so that the button is in sight on a low screen
        with st.expander("Colour, key and note"):
            color, key = st.columns(2)
            taken = [concept.color for concept in existing]
            color.color_picker("Colour", value=min(PALETTE, key=taken.count), key=f"concept-color-{suffix}")
            key.selectbox(
                "Number key",
                keys := free_keys(existing),
                index=0,
                format_func=key_title,
                key=f"concept-key-{suffix}-{keys[0]}",
                help=HELP["key"],
            )
            st.text_area(
                "Note",
                key=f"concept-note-{suffix}",
                max_chars=LONGEST_NOTE,
                height=68,
                placeholder="When it counts as shown, and when not",
                help=HELP["note"],
            )
        st.form_submit_button(
            "Create", type="primary", on_click=problem.kept(partial(_create, analysis, suffix, keys[0]))
        )


def free_keys(existing: tuple[Concept, ...]) -> list[int]:
    """The number keys that no concept has, the lowest first; then 0, which stands for none."""
    taken = {concept.shortcut for concept in existing}
    return [*(number for number in range(1, 10) if number not in taken), 0]


def key_title(number: int) -> str:
    return str(number) if number else "none"


def choose(analysis: Analysis) -> Concept | None:
    """One of the concepts; None where there is none yet, or none was picked since the one chosen went (`gone`)."""
    existing = concepts(analysis)
    if not existing:
        return None
    known = {concept.id: concept for concept in existing}
    left = gone(analysis) is not None
    # whoever is at work on one must not find another in its place: nothing is chosen until somebody picks
    key = "concept_pick_anew" if left else "concept_pick"
    if not left:
        chosen = st.session_state.get(CHOSEN)
        st.session_state[key] = chosen if chosen in known else existing[-1].id
    if len(existing) <= 5:
        picked = st.segmented_control(
            "Concept",
            list(known),
            key=key,
            format_func=lambda number: plain(short(known[number].name)),
            required=not left,
            on_change=_remember_pick,
            args=(key,),
            help=TERMS["concept"],
        )
    else:
        picked = st.selectbox(
            "Concept",
            list(known),
            index=None if left else 0,
            key=key,
            format_func=lambda number: known[number].name,
            placeholder="Choose a concept",
            on_change=_remember_pick,
            args=(key,),
            help=TERMS["concept"],
        )
    if picked is None:
        return None
    st.session_state[CHOSEN] = picked
    return known[picked]


def gone(analysis: Analysis) -> Departure | None:
    """What became of the concept that this session has chosen; None when it is there, or none was chosen."""
    chosen = st.session_state.get(CHOSEN)
    return None if chosen is None else departure(state.workspace(), analysis.dataset_id, chosen)


def tell_gone(analysis: Analysis, left: Departure) -> None:
    """Say what became of the chosen concept and of answers that came too late, and offer it back."""
    lost = st.session_state.get(LOST, {}).get(st.session_state[CHOSEN], 0)
    answers = f", so {count(lost, 'answer')} {'was' if lost == 1 else 'were'} not saved" if lost else ""
    others = " Nothing is asked until you choose a concept." if concepts(analysis) else ""
    st.warning(f"{departed(left)}{answers}.{others}", icon=":material/warning:")
    st.button(
        "Bring it back",
        icon=":material/undo:",
        key="concept-bring-back",
        on_click=problem.kept(partial(_bring_back, analysis, left)),
        help="With all its tags, as they were.",
    )


def departed(left: Departure) -> str:
    """“Water” was deleted by Ann (2 minutes ago)."""
    name = f"**{plain(short(left.name))}**"
    if left.author is None or left.when is None:
        return f"{name} is not there any more: its making was undone"
    person = "you" if left.author in who.names() else who.shown(left.author)
    done = f"merged into **{plain(short(left.into))}**" if left.into is not None else "deleted"
    return f"{name} was {done} by {person} ({ago(left.when)})"


def at_hand(analysis: Analysis, concept: Concept) -> Concept:
    """The concept as it is by now, for a fragment that reruns without the page around it; with it where it is gone."""
    found = next((one for one in concepts(analysis) if one.id == concept.id), None)
    if found is None:
        st.rerun()
    return found


def _bring_back(analysis: Analysis, left: Departure) -> None:
    concept = create_concept(state.workspace(), analysis.dataset_id, left.name, author=who.author())
    st.session_state[CHOSEN] = concept.id
    st.session_state.get(LOST, {}).pop(concept.id, None)
    notices.say(f"{plain(short(concept.name))} is back, with its tags.", ":material/undo:")


def _remember_pick(key: str) -> None:
    if (picked := st.session_state[key]) is not None:
        st.session_state[CHOSEN] = picked


def _create(analysis: Analysis, suffix: str, first_key: int) -> None:
    name, color, role, note = (
        st.session_state[f"concept-{field}-{suffix}"] for field in ("name", "color", "role", "note")
    )
    shortcut = st.session_state[f"concept-key-{suffix}-{first_key}"]
    before = {concept.id: concept for concept in concepts(analysis)}
    workspace, author = state.workspace(), who.author()
    concept = create_concept(
        workspace,
        analysis.dataset_id,
        name,
        color=color,
        role=role,
        note=note.strip(),
        shortcut=shortcut,
        author=author,
    )
    st.session_state[CHOSEN] = concept.id
    st.session_state["concepts_made"] += 1
    st.session_state.pop(ASKED, None)
    if concept.id in before:
        # equal but for case, or typed with other spaces
        notices.say(
            f"{plain(short(concept.name))} was there already: it is chosen now, and as it was.", ":material/sell:"
        )
        return
    notices.say(f"{plain(short(concept.name))} is ready to tag with.", ":material/sell:")
