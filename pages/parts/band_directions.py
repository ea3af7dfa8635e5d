"""All directions at a glance: small histograms, ranked by how suspicious their middle looks; and ways to add one."""

from __future__ import annotations

from functools import lru_cache, partial
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from core.activations import alike
from core.activations.filters import Filter
from core.activations.scoreboard import SUSPICIOUS, Suspicion, catalogue, scoreboard
from core.activations.vectors import delete_vector, list_vectors, parse_vector, read_vector, save_vector
from core.concepts.probes import concept_direction
from core.concepts.tags import tag_version
from core.errors import BadRequest
from pages.parts import band_data, band_filters, band_state, concept_tools, notices, problem, state
from pages.parts.band_state import IMAGES, View
from pages.parts.direction_board import DirectionCard, direction_board
from pages.parts.words import TERMS, count, helped, plain

if TYPE_CHECKING:
    from core.activations.store import Analysis

PER_PAGE = 24
KINDS = {
    "logit": "class logits",
    "difference": "differences",
    "neuron": "neurons",
    "pc": "components",
    "concept": "concepts",
    "vector": "vectors",
}
BADGES = {
    "logit": "logit",
    "difference": "difference",
    "neuron": "neuron",
    "pc": "component",
    "concept": "concept",
    "vector": "vector",
}
# what the score is made of
FIGURES = {
    "skew": "other attributes or concepts than at the top",
    "harm": "more often wrong with them than without",
    "clump": "alike beyond their class",
    "error": "more often wrong than at the top",
}
BY_SCORE, WRONG, NAME = "suspicious", "wrong", "name"
SORTS = {BY_SCORE: "most suspicious first", WRONG: "most often wrong first", NAME: "by name"}


def show(analysis: Analysis, view: View) -> None:
    found = _ranked(analysis, view)
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="board-choice"):
        text = st.text_input(
            "Search",
            key="board-search",
            placeholder="neuron 17 …",
            icon=":material/search:",
            label_visibility="collapsed",
            width=160,
            on_change=_first_page,
        )
        there = [kind for kind in KINDS if any(item.kind == kind for item in found)]
        kinds = st.pills(
            "Kind",
            there,
            selection_mode="multi",
            key="board-kinds",
            format_func=KINDS.get,
            label_visibility="collapsed",
            on_change=_first_page,
        )
        by = st.selectbox(
            "Order", list(SORTS), key="board-sort", format_func=SORTS.get, label_visibility="collapsed", width=188
        )
        _add(analysis)
    wanted = [item for item in found if _matches(item, text, kinds)]
    if not wanted:
        st.markdown("No direction fits. Search for something else, or clear the kinds.")
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="board-finding"):
        # who searches for one, or sorts by something else, wants to see each
        foldable = by == BY_SCORE and not (text or "").strip()
        folded = alike.fold(wanted)
        st.markdown(
            _sentence(wanted, folded),
            help=f"Judged by {_images(view.split)}: how much the weak end of a class differs from its top. "
            f"{helped('suspicion')}",
            width="stretch",
        )
        once = foldable and st.toggle(
            "Each finding once",
            value=True,
            key="board-once",
            on_change=_first_page,
            help="Many directions tell the same: one card speaks for all of them.",
        )
    cards = [_card(one.first, one.rest) for one in folded] if once else [_card(item) for item in _sorted(wanted, by)]
    pages = -(-len(cards) // PER_PAGE)
    if st.session_state.get("board-page", 1) > pages:
        del st.session_state["board-page"]
    number = st.session_state.get("board-page", 1) - 1
    direction_board(
        "direction-board",
        cards[number * PER_PAGE : (number + 1) * PER_PAGE],
        on_open=problem.kept(partial(_open, analysis, {item.spec: item for item in wanted})),
        selected=view.direction,
        score_help=helped("suspicion"),
    )
    if pages > 1:
        st.pagination(pages, key="board-page")


def _first_page() -> None:
    st.session_state.pop("board-page", None)


def _sentence(judged: list[Suspicion], folded: tuple[alike.Alike, ...]) -> str:
    worth = sum(one.first.suspicious for one in folded)
    told = f"{count(len(judged), 'direction')} {'tells' if len(judged) == 1 else 'tell'} {count(len(folded), 'thing')}"
    if not worth:
        return f"{told}, none of them suspicious ({SUSPICIOUS} or more)."
    return f"{told}; **{worth}** {'is' if worth == 1 else 'are'} worth a look (suspicion {SUSPICIOUS} or more)."


def _card(item: Suspicion, rest: tuple[Suspicion, ...] = ()) -> DirectionCard:
    """rest: others that tell the same."""
    return DirectionCard(
        spec=item.spec,
        title=item.title,
        counts=item.counts,
        edges=item.limits,
        band=(item.mid.low, item.mid.high),
        score=item.score,
        why=item.why,
        more=f"{count(len(rest), 'other')} {'tells' if len(rest) == 1 else 'tell'} the same." if rest else "",
        badge=BADGES.get(item.kind, item.kind),
        details=tuple(f"{title}: {item.evidence[name]:.2f}" for name, title in FIGURES.items()),
    )


def _images(split: str) -> str:
    return "all images" if split == band_data.ALL else f"the {split} images"


def title(spec: str) -> str:
    """A direction's title without computing anything about it."""
    kind, _, name = spec.partition(":")
    if kind == "difference":
        return f"difference {name.replace('-', ' − ', 1)}"
    words = {"logit": "logit of", "margin": "lead of", "probability": "probability of", "pc": "principal component"}
    return f"{words.get(kind, kind)} {name}"


def _ranked(analysis: Analysis, view: View) -> tuple[Suspicion, ...]:
    subject = band_data.subject(analysis, f"logit:{analysis.classes[0]}", view.split, Filter(), view.run)
    concepts = tuple(concept.name for concept in concept_tools.concepts(analysis))
    specs = catalogue(subject.analysis, kinds=tuple(KINDS), concepts=concepts)
    with st.spinner(f"Looking through {count(len(specs), 'direction')} …", show_time=True):
        return _scored(subject, specs, _things(analysis, specs))


@lru_cache(maxsize=8)
def _scored(subject: band_data.Subject, specs: tuple[str, ...], things: tuple[object, ...]) -> tuple[Suspicion, ...]:
    """things: the version of tags and vectors, so that newer ones are looked at."""
    workspace, analysis = state.workspace(), subject.analysis
    # a concept with too few tags is no direction so far
    usable = tuple(spec for spec in specs if not spec.startswith("concept:") or band_data.has_direction(analysis, spec))
    rows = band_data.rows(subject)
    return scoreboard(
        analysis,
        usable,
        rows=np.flatnonzero(rows) if rows is not None else np.arange(analysis.n),
        facets=band_data.known(subject),
        concept=lambda name: concept_direction(workspace, analysis, name),
    )


def _things(analysis: Analysis, specs: tuple[str, ...]) -> tuple[object, ...]:
    """What the ranking depends on besides the network: tags, concepts, vectors."""
    concepts = concept_tools.concepts(analysis)
    vectors = (band_data.version(analysis, spec) for spec in specs if spec.startswith("vector:"))
    tags = tag_version(state.workspace(), analysis.dataset_id)
    return (tags, *((concept.id, concept.name) for concept in concepts), *vectors)


def _matches(item: Suspicion, text: str | None, kinds: list[str]) -> bool:
    words = (text or "").casefold().split()
    about = f"{item.title} {item.class_name} {KINDS[item.kind]}".casefold()
    # a number means that number: neuron 7 is not neuron 70
    found = (word in about.split() if word.isdigit() else word in about for word in words)
    return (not kinds or item.kind in kinds) and all(found)


def _sorted(found: list[Suspicion], by: str) -> list[Suspicion]:
    if by == NAME:
        return sorted(found, key=lambda item: (list(KINDS).index(item.kind), _natural(item.title)))
    if by == WRONG:
        return sorted(found, key=lambda item: -item.evidence["mid_error"])
    # of two that are told apart by a hair, the one that is easier to grasp
    return sorted(found, key=lambda item: (-round(item.score / alike.HAIR), list(KINDS).index(item.kind), -item.score))


def _natural(title: str) -> tuple[tuple[int, str, int], ...]:
    """neuron 9 before neuron 10."""
    return tuple((1, "", int(word)) if word.isdigit() else (0, word.casefold(), 0) for word in title.split())


def _open(analysis: Analysis, known: dict[str, Suspicion], spec: str) -> None:
    if spec not in known:
        # a click that came after the board had changed
        band_state.open_direction(analysis, spec, look=IMAGES)
        return
    found = known[spec]
    # what the sentence on the card speaks of: the weak end of one class's own images
    where = band_filters.with_values(band_state.current(analysis).where, "class", (found.class_name,))
    band_state.open_direction(
        analysis, spec, look=IMAGES, rule="own-low", where=where, low=found.mid.low, high=found.mid.high
    )


def _add(analysis: Analysis) -> None:
    """Directions that are in no list: any neuron by number, any two classes, any vector."""
    with st.popover("Add", icon=":material/add:", key="board-add", help="A direction that is in no list."):
        if len(analysis.classes) > 1:
            _difference(analysis)
        _vector(analysis)


def _difference(analysis: Analysis) -> None:
    st.markdown("**Two classes against each other**")
    left, right = st.columns(2)
    left.selectbox("Logit of", analysis.classes, key="add-plus")
    right.selectbox("minus", analysis.classes, index=1, key="add-minus")
    st.button("Open the difference", key="add-difference", on_click=problem.kept(partial(_open_difference, analysis)))


def _open_difference(analysis: Analysis) -> None:
    plus, minus = st.session_state["add-plus"], st.session_state["add-minus"]
    if plus == minus:
        raise BadRequest("A class minus itself is nothing.", next_step="Choose two different classes.")
    band_state.open_direction(analysis, f"difference:{plus}-{minus}", look=IMAGES)


def _vector(analysis: Analysis) -> None:
    st.markdown("**Your own vector**", help=TERMS["vector"])
    made = st.session_state.setdefault("vectors_made", 0)
    with st.form(f"vector-{made}", border=False):
        st.text_input("Name", key=f"vector-name-{made}", placeholder="from my probe")
        st.text_area(
            f"{analysis.d:,} numbers",
            key=f"vector-text-{made}",
            height=90,
            placeholder="0.12, -0.7, …",
            help="Separated by commas, spaces or line breaks.",
        )
        st.file_uploader("or a file", type=["npy", "json", "csv", "txt"], key=f"vector-file-{made}")
        st.form_submit_button("Save and open", on_click=problem.kept(partial(_save_vector, analysis, made)))
    for name in list_vectors(analysis):
        st.button(
            f"Remove {plain(name)}",
            key=f"remove-vector-{name}",
            type="tertiary",
            icon=":material/delete:",
            on_click=problem.kept(partial(_remove_vector, analysis, name)),
        )


def _save_vector(analysis: Analysis, made: int) -> None:
    name = (st.session_state[f"vector-name-{made}"] or "").strip()
    text, file = st.session_state[f"vector-text-{made}"], st.session_state[f"vector-file-{made}"]
    if file is not None:
        vector = read_vector(file.getvalue(), file.name, d=analysis.d)
        name = name or file.name.rpartition(".")[0]
    else:
        vector = parse_vector(text or "", d=analysis.d)
    name = name or f"vector {len(list_vectors(analysis)) + 1}"
    name = save_vector(analysis, name, vector)
    st.session_state["vectors_made"] += 1
    band_state.open_direction(analysis, f"vector:{name}", look=IMAGES)
    notices.say(f"{plain(name)} is saved as a direction.", ":material/explore:")


def _remove_vector(analysis: Analysis, name: str) -> None:
    delete_vector(analysis, name)
    notices.say(f"{plain(name)} is removed.", ":material/delete:")
