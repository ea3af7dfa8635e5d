"""Who tagged, how far people agree, and the images they see differently."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from core.concepts.agreement import Agreement, agreements
from core.concepts.concept import Concept
from core.concepts.history import Author, authors
from core.concepts.tags import tag_version
from pages.parts import concept_tools, gallery, live, state, who
from pages.parts.words import ago, count, interval, listed, percent, short

if TYPE_CHECKING:
    from core.activations.store import Analysis

TERMS = {
    "share": "Of the images and concepts that both answered with present or absent: how many got the same answer.",
    "kappa": (
        "Cohen's kappa: agreement beyond chance. 1 is full agreement, 0 what two people reach who answer at random, "
        "each as often present as they do. Above 0.8 is usually called strong."
    ),
}
# answers in common below which kappa is next to chance itself
KAPPA_FROM = 10
EVERY = 0
PER_PAGE = 60


def show(analysis: Analysis) -> None:
    found = authors(state.workspace(), analysis.dataset_id)
    if not found:
        with st.container(border=True, key="card-empty"):
            st.markdown(
                "**Nobody has tagged yet.** Open the same address in another browser, or on another computer, and tag "
                "together: who said what, and how far you agree, stands here."
            )
        return
    _people(analysis)
    concept = _concept(analysis)
    known_as = who.known_as()
    pairs = tuple(
        pair
        for pair in _pairs(analysis, concept, tag_version(state.workspace(), analysis.dataset_id))
        # nobody agrees with who they were before
        if known_as.get(pair.first, pair.first) != known_as.get(pair.second, pair.second)
    )
    if not pairs:
        st.info(
            "Nobody has answered about the same image as somebody else yet. Agreement shows how clear a concept is: "
            "let two people answer the same few dozen images.",
            icon=":material/group:",
        )
        return
    st.header("Agreement", anchor=False)
    for pair in pairs:
        _pair(pair)
    _differing(analysis, pairs)


def _people(analysis: Analysis) -> None:
    here = live.people(analysis.dataset_id, who.names())
    people = persons(authors(state.workspace(), analysis.dataset_id), who.known_as())
    lines = [person_html(each, me=each.name == who.author(), here=each.name in here) for each in people]
    st.html(f'<div class="cx">{"".join(lines)}</div>')


@dataclass
class Person:
    """name: the one they go by now. earlier: names they answered under before. answers: under all of them."""

    name: str
    answers: int
    last: datetime
    earlier: list[str] = field(default_factory=list)


def persons(found: Sequence[Author], known_as: dict[str, str]) -> list[Person]:
    """Authors as people, whoever did something last first. known_as: former names, each with the one of now."""
    people: dict[str, Person] = {}
    for author in found:
        name = known_as.get(author.name, author.name)
        person = people.setdefault(name, Person(name, 0, author.last))
        person.answers += author.tags
        person.last = max(person.last, author.last)
        if author.name != name:
            person.earlier.append(author.name)
    return list(people.values())


def person_html(person: Person, *, me: bool, here: bool) -> str:
    about = "the command line" if person.name == who.COMMAND_LINE else "you" if me else ""
    # who gave no answer made a concept, or undid all they said
    answers = f"{count(person.answers, 'answer')} · last {ago(person.last)}" if person.answers else "no answers"
    if here:
        answers = f"{count(person.answers, 'answer')} · here now" if person.answers else "here now"
    told = [part for part in (about, answers) if part]
    earlier = (
        f" (earlier {html.escape(listed([short(name, 40) for name in person.earlier]))})" if person.earlier else ""
    )
    return (
        f'<p><bdi dir="auto"><b>{html.escape(short(person.name, 60))}</b></bdi><bdi dir="auto">{earlier}</bdi> '
        f'<span class="muted">{" · ".join(told)}</span></p>'
    )


def _concept(analysis: Analysis) -> Concept | None:
    known = {concept.id: concept for concept in concept_tools.concepts(analysis)}
    if len(known) < 2:
        return None
    chosen = st.selectbox(
        "Concept",
        [EVERY, *known],
        format_func=lambda each: known[each].name if each else "All concepts",
        key="people_concept",
        width=320,
    )
    return known.get(chosen)


@lru_cache(maxsize=16)
def _pairs(analysis: Analysis, concept: Concept | None, version: int) -> tuple[Agreement, ...]:
    """version: of the tags."""
    return agreements(state.workspace(), analysis, concept)


def pair_sentence(pair: Agreement) -> str:
    """Markdown: how far two people agree."""
    first, second = who.shown(pair.first), who.shown(pair.second)
    share = f"{percent(pair.share)}, {interval(pair.low or 0.0, pair.high or 1.0)}"
    told = pair.kappa is not None and pair.both >= KAPPA_FROM
    kappa = f", kappa {pair.kappa:.2f}".replace("-", "\N{MINUS SIGN}") if told else ""
    return f"**{first}** and **{second}** agree on {pair.same:,} of {count(pair.both, 'answer')} ({share}{kappa})."


def _pair(pair: Agreement) -> None:
    terms = [TERMS["share"], *([TERMS["kappa"]] if pair.both >= KAPPA_FROM else [])]
    st.markdown(pair_sentence(pair), help="\n\n".join(terms))


def _differing(analysis: Analysis, pairs: tuple[Agreement, ...]) -> None:
    apart = [pair for pair in pairs if pair.differing]
    if not apart:
        st.success("No image is seen differently.", icon=":material/check_circle:")
        return
    st.header("Seen differently", anchor=False)
    pair = apart[0]
    if len(apart) > 1:
        place = st.selectbox(
            "Between",
            range(len(apart)),
            format_func=lambda at: f"{apart[at].first} and {apart[at].second} ({len(apart[at].differing):,})",
            key="people_pair",
            width=420,
        )
        pair = apart[place]
    st.caption(
        f"Look at them together. What is tagged here is {who.shown(who.author())}’s word. Where people keep differing, "
        "the concept needs a clearer note, or two concepts."
    )
    several = len({each.concept for each in pair.differing}) > 1
    notes: dict[int, list[str]] = {}
    for each in pair.differing:
        answered = zip((pair.first, pair.second), each.states, strict=True)
        said = ", ".join(f"{who.isolated(name, 12)} {'yes' if state else 'no'}" for name, state in answered)
        notes.setdefault(each.row, []).append(f"{said} ({short(each.concept, 18)})" if several else said)
    rows = np.array(list(notes)[:PER_PAGE], dtype=np.int64)
    if len(notes) > PER_PAGE:
        st.caption(f"The first {PER_PAGE} of {count(len(notes), 'image')}.")
    gallery.show(
        analysis,
        rows,
        key="people-grid",
        notes=["; ".join(notes[int(row)]) for row in rows],
        how="agreement",
    )
