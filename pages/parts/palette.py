"""The Concepts page, one fragment: the palette of concepts, and the ways to look at what was said with them."""

from __future__ import annotations

import html
from functools import lru_cache, partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import streamlit as st

from core.concepts.concept import Concept, change_concept, delete_concept
from core.concepts.merging import merge_concepts
from core.concepts.names import LONGEST_NAME
from core.concepts.steps import steps
from core.concepts.tags import ABSENT, PRESENT, UNSURE, answers, tag_version, tagging_split
from core.errors import BadRequest, NotEnoughTags
from pages.parts import concept_tools, head, inspector, live, notices, problem, rooms, state, theme, who
from pages.parts.component_source import source
from pages.parts.looks import Looks, asked_of
from pages.parts.words import interval, percent, plain, short

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

    from core.activations.store import Analysis

OPENED = "palette_opened"
PALETTE, ASSOCIATIONS, HISTORY, PEOPLE, FILES = "palette", "associations", "history", "people", "files"
LOOKS = Looks(
    "concepts_look",
    "Show",
    {
        PALETTE: "Palette",
        ASSOCIATIONS: "Associations",
        HISTORY: "History",
        PEOPLE: "People",
        FILES: "Files",
    },
)
LEADS = {
    PALETTE: "What you named in the images. Every change can be undone.",
    ASSOCIATIONS: "Which concepts and columns go with errors, and with classes.",
    HISTORY: "Who did what, when and where. Go back as far as you like.",
    PEOPLE: "Who tagged, how far they agree, and the images they see differently.",
    FILES: "Take the tags with you, or bring those made elsewhere.",
}
TERMS = {
    "agreement": (
        "A **probe** is a small model that learns from your tags to guess the concept from an image's features. "
        "**Held-out tags** are some that it was not shown: how often does it give the same answer? The mean over "
        "present and absent, so that 50% is guessing. In brackets the 95% interval."
    ),
    "undo": "Takes back what you did last, here or while tagging: key Z. What others did stays.",
    "redo": "Brings back what you undid last: key Shift+Z.",
    "merge": "All that was said of one is said of the other too. Where both have an answer, the one kept holds.",
}
NOTHING = {
    "undo": "There is nothing of yours to undo. What others did is theirs to undo.",
    "redo": "There is nothing to redo: you undid nothing, or did something else since.",
}
NONE_YET = (
    "**No concept yet.** Look at the bands: what sits in the middle that does not belong to the class? Name it here. "
    "Columns that the dataset has can be adopted under **Associations**."
)
NONE_YET_UNLABELLED = (
    "**No concept yet.** Look at the bands: what do images have in common that the model takes for the same, whether "
    "or not they should be? Name it here. Concepts need no labels: tag some images, and all others can be sorted by it."
)
# what a concept is to the class, as it is said in a line and when it is chosen
ROLE_TITLES = {
    "confounder": "confounder: only comes along with it",
    "core": "core feature: part of it",
    "wrong-label": "wrong label: such images are left out",
    "other": "other: retraining ignores it",
}
MERGE, DELETE = "Merge into …", "Delete"


class Counted(NamedTuple):
    """Images answered of a concept. useful: present or absent, among those a repair learns from."""

    present: int
    absent: int
    unsure: int
    useful: int


def heading() -> None:
    """What stands above an invitation to begin."""
    head.show("concepts", LEADS[PALETTE])


@st.fragment
@problem.guarded
def show(analysis: Analysis) -> None:
    look = LOOKS.current(asked_of(analysis).get("look"))
    st.html(f"<style>:root {{ --cx-wrong: {theme.wrong_color()}; }}\n{source('concepts', 'concepts.css')}</style>")
    live.drawn(analysis)
    head.show(
        "concepts",
        LEADS[look],
        looks=partial(LOOKS.choose, look),
        then="retrain" if analysis.labelled and concept_tools.concepts(analysis) else None,
        beside=partial(_undo_buttons, analysis),
    )
    if look == PALETTE:
        _palette(analysis)
    else:
        # each is imported when somebody looks
        import_module(f"pages.parts.{_MODULES[look]}").show(analysis)
    state.write_link({"analysis": analysis.id, "look": look})


_MODULES = {
    ASSOCIATIONS: "associations_view",
    HISTORY: "history_view",
    PEOPLE: "people_view",
    FILES: "tag_files",
}


# --- the palette -----------------------------------------------------------------------------------------------------


def _palette(analysis: Analysis) -> None:
    concepts = concept_tools.concepts(analysis)
    concept_tools.create(analysis, "palette", prominent=not concepts)
    if not concepts:
        with st.container(border=True, key="card-empty"):
            st.markdown(NONE_YET if analysis.labelled else NONE_YET_UNLABELLED)
            rooms.link("bands", "Look at the bands")
    version = tag_version(state.workspace(), analysis.dataset_id)
    counted = _counted(analysis, concepts, version)
    slots = []
    for concept in concepts:
        with st.container(border=True, key=f"card-concept-{concept.id}", gap="xxsmall"):
            st.html(_about(concept, counted[concept.id], tagging_split(analysis)))
            slots.append(st.empty())
            _links(analysis, concept, version, alone=len(concepts) == 1)
    _open_dialog(analysis)
    # what takes computing comes last: the list can be used meanwhile
    for concept, slot in zip(concepts, slots, strict=True):
        _agreement(analysis, concept, slot)


def leave(room: str, **query: str) -> None:
    """Go to another room now, and have it read where: also to an address that this page just replaced."""
    st.session_state.pop(state.REPLACED, None)
    rooms.go(room, **query)


def _undo_buttons(analysis: Analysis) -> None:
    """Undo and redo of what this person did. Redo is not on Y, which answers questions elsewhere."""
    can = steps(state.workspace(), analysis.dataset_id, who.names())
    with st.container(horizontal=True, gap="small", width="content"):
        for kind, key, possible in (("undo", "z", can.undo), ("redo", "shift+z", can.redo)):
            st.button(
                kind.capitalize(),
                icon=f":material/{kind}:",
                type="tertiary",
                shortcut=key,
                disabled=not possible,
                help=TERMS[kind] if possible else NOTHING[kind],
                on_click=problem.kept(partial(inspector.take_back, analysis, kind)),
                key=f"concepts-{kind}",
            )


def name_html(name: str) -> str:
    return f'<bdi dir="auto">{html.escape(name)}</bdi>'


def swatch_html(color: str) -> str:
    return f'<span class="swatch" style="background:{html.escape(color)}" aria-hidden="true"></span>'


def _about(concept: Concept, counted: Counted, split: str) -> str:
    present, absent, unsure, useful = counted
    key = f'<kbd title="Number key">{concept.shortcut}</kbd>' if concept.shortcut else ""
    role = ROLE_TITLES[concept.role]
    parts = [f"{present:,} present", f"{absent:,} absent", *([f"{unsure:,} unsure"] if unsure else [])]
    if useful < present + absent:
        parts.append(f"{useful:,} of them on {split}, which is what a repair learns from")
    if concept.attribute is not None:
        column, value = map(name_html, concept.attribute)
        parts.append(f"follows the column {column} = {value}")
    note = f'<p class="note" dir="auto">{html.escape(concept.note)}</p>' if concept.note else ""
    return (
        f'<div class="cx"><div class="title">{swatch_html(concept.color)}'
        f'<span class="name" dir="auto">{html.escape(concept.name)}</span>{key}<span class="muted">{role}</span></div>'
        f'<p class="counts muted">{" · ".join(parts)}</p>{note}</div>'
    )


def _links(analysis: Analysis, concept: Concept, version: int, *, alone: bool) -> None:
    refused = direction_refusal(analysis, concept, version)
    with st.container(horizontal=True, vertical_alignment="center", key=f"concept-links-{concept.id}"):
        for label, icon, room, query, purpose in (
            ("Tag next", "sell", "tag_next", {"look": "queue"}, "Answer the images that say most about it."),
            ("Review guesses", "fact_check", "tag_next", {"look": "review"}, "What your tags suggest for the rest."),
            (
                "Along its direction",
                "bar_chart",
                "bands",
                {"direction": f"concept:{concept.name}"},
                "All images from least to most like it.",
            ),
        ):
            off = room == "bands" and bool(refused)
            pressed = st.button(
                label,
                icon=f":material/{icon}:",
                type="tertiary",
                help=plain(refused) if off else purpose,
                key=f"concept-go-{icon}-{concept.id}",
                disabled=off,
            )
            if pressed:
                st.session_state[concept_tools.CHOSEN] = concept.id
                named = {"concept": str(concept.id)} if room == "tag_next" else {}
                leave(room, analysis=analysis.id, **query, **named)
        st.button(
            "Edit",
            icon=":material/edit:",
            type="tertiary",
            help="Name, colour, number key, role and note.",
            key=f"concept-edit-{concept.id}",
            on_click=_ask,
            args=("edit", concept.id),
        )
        key = f"concept-more-{concept.id}"
        st.menu_button(
            "More",
            [DELETE] if alone else [MERGE, DELETE],
            type="tertiary",
            key=key,
            on_click=problem.kept(partial(_more, analysis, concept, key)),
        )


def _agreement(analysis: Analysis, concept: Concept, slot: DeltaGenerator) -> None:
    from core.concepts.enough import readiness

    told = readiness(state.workspace(), analysis, concept)
    if told.share is None:
        sentences = " ".join(f"{part.rstrip('.')}." for part in (told.sentence, told.next_step) if part)
        slot.caption(plain(sentences), help=TERMS["agreement"])
        return
    slot.caption(
        f"A probe agrees with held-out tags {percent(told.share)} ({interval(told.low, told.high)}).",
        help=TERMS["agreement"],
    )


@lru_cache(maxsize=8)
def _counted(analysis: Analysis, concepts: tuple[Concept, ...], version: int) -> dict[int, Counted]:
    """By the id of the concept. version: of the tags."""
    found = {}
    pool = analysis.split_rows(tagging_split(analysis))
    for concept in concepts:
        said = answers(state.workspace(), analysis, concept)
        present, absent, unsure = (int(np.count_nonzero(said == code)) for code in (PRESENT, ABSENT, UNSURE))
        found[concept.id] = Counted(present, absent, unsure, int(np.count_nonzero(said[pool] >= 0)))
    return found


@lru_cache(maxsize=64)
def direction_refusal(analysis: Analysis, concept: Concept, version: int) -> str:
    """Why there is no direction of a concept yet, in two sentences; "" where there is one. version: of the tags."""
    from core.concepts.evidence import check_both_values, evidence

    try:
        check_both_values(evidence(state.workspace(), analysis, concept), concept)
    except NotEnoughTags as error:
        return f"{error.detail} {error.next_step}"
    return ""


# --- changing it -----------------------------------------------------------------------------------------------------


def _ask(what: str, concept: int) -> None:
    st.session_state[OPENED] = (what, concept)


def _more(analysis: Analysis, concept: Concept, key: str) -> None:
    choice = st.session_state.get(key)
    if choice == MERGE:
        _ask("merge", concept.id)
    elif choice == DELETE:
        delete_concept(state.workspace(), concept, author=who.author())
        notices.say(
            f"Deleted {plain(short(concept.name))}. Its tags are kept: **Undo** (key Z) brings both back.",
            ":material/delete:",
        )


def _open_dialog(analysis: Analysis) -> None:
    what, asked = st.session_state.pop(OPENED, ("", 0))
    concepts = {concept.id: concept for concept in concept_tools.concepts(analysis)}
    if asked not in concepts:
        return
    title = {"edit": "Edit concept", "merge": "Merge"}[what]
    st.dialog(title, on_dismiss="rerun")({"edit": _edit, "merge": _merge}[what])(analysis, concepts[asked])


def _edit(analysis: Analysis, concept: Concept) -> None:
    others = [each for each in concept_tools.concepts(analysis) if each.id != concept.id]
    holders = {each.shortcut: each.name for each in others if each.shortcut}
    with st.form(f"concept-edit-{concept.id}-form", border=False, enter_to_submit=True):
        name = st.text_input("Name", value=concept.name, max_chars=LONGEST_NAME)
        roles = list(concept_tools.ROLES)
        role = st.selectbox(
            "What it is to the class",
            roles,
            index=roles.index(concept.role),
            format_func=ROLE_TITLES.get,
            help=concept_tools.HELP["role"],
        )
        left, right = st.columns([1, 3])
        color = left.color_picker("Colour", value=concept.color)
        key = right.selectbox(
            "Number key",
            range(10),
            index=concept.shortcut or 0,
            format_func=lambda number: (
                f"{concept_tools.key_title(number)} (in exchange with {short(holders[number], 24)})"
                if number in holders
                else concept_tools.key_title(number)
            ),
            help=concept_tools.HELP["key"],
        )
        note = st.text_area(
            "Note", value=concept.note, max_chars=concept_tools.LONGEST_NOTE, help=concept_tools.HELP["note"]
        )
        saved = st.form_submit_button("Save", type="primary")
    if saved:
        asked = {"name": name, "color": color, "role": role, "note": note.strip(), "shortcut": key}
        with problem.shown():
            try:
                changed = change_concept(state.workspace(), concept, **differing(concept, asked), author=who.author())
            except BadRequest as error:
                # what is wrong is the name above: a title would only repeat that
                st.error(f"{plain(error.detail)} {plain(error.next_step)}", icon=":material/error:")
                return
            if changed != concept:
                notices.say(f"Saved {plain(short(changed.name))}. **Undo** (key Z) takes it back.", ":material/check:")
            st.rerun()


def differing(concept: Concept, asked: dict[str, Any]) -> dict[str, Any]:
    """What was changed of a concept as it was shown: what others changed meanwhile stays as they left it."""
    before = {"shortcut": concept.shortcut or 0}
    return {field: value for field, value in asked.items() if value != before.get(field, getattr(concept, field))}


def _merge(analysis: Analysis, concept: Concept) -> None:
    others = {each.id: each for each in concept_tools.concepts(analysis) if each.id != concept.id}
    st.markdown(f"All that was said of **{plain(short(concept.name))}** is said of the other one, too.")
    kept = st.selectbox(
        "Merge into",
        list(others),
        format_func=lambda each: others[each].name,
        help=TERMS["merge"],
        key=f"concept-merge-{concept.id}",
    )
    st.caption("Where both have an answer, that of the one kept holds. One step to undo.")
    if st.button("Merge", type="primary", icon=":material/merge:"):
        with problem.shown():
            merged = merge_concepts(state.workspace(), others[kept], concept, author=who.author())
            st.session_state[concept_tools.CHOSEN] = merged.id
            notices.say(
                f"Merged {plain(short(concept.name))} into {plain(short(merged.name))}. **Undo** (key Z) parts them.",
                ":material/merge:",
            )
            st.rerun()
