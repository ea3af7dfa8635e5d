"""The history: who did what, when, how and from which band; each as far back as they like, their own steps only."""

from __future__ import annotations

import html
from functools import partial
from typing import TYPE_CHECKING

import streamlit as st

from core.concepts.history import Entry, authors, history, undo_until
from pages.parts import band_directions, notices, palette, problem, rooms, state, who
from pages.parts.image_grid import format_activation
from pages.parts.words import ago, count, plain, short

if TYPE_CHECKING:
    from core.activations.store import Analysis

PAGE = 30
SHOWN = "history_shown"
EVERYBODY, MINE = "everybody", "me"
PLACES = {
    "grid": "in the grid",
    "card": "on a card",
    "band": "a whole band",
    "map": "on the map",
    "review": "reviewing guesses",
    "inspector": "in a closer look",
    "agreement": "settling differences",
    "merge": "",
}
SOURCES = {"metadata": "from a column", "import": "from a file", "cluster": "from a cluster", "text": "from a text"}
BACK = (
    "Takes back everything you did after this step, newest first. What others did stays, and redo brings it back one "
    "by one."
)


def show(analysis: Analysis) -> None:
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        people = len(authors(state.workspace(), analysis.dataset_id))
        whose = EVERYBODY
        if people > 1:
            whose = st.segmented_control(
                "By",
                [EVERYBODY, MINE],
                default=EVERYBODY,
                format_func=str.capitalize,
                required=True,
                label_visibility="collapsed",
                key="history_whose",
            )
        else:
            st.caption("Newest first")
        palette.undo_buttons(analysis)
    shown = st.session_state.setdefault(SHOWN, PAGE)
    entries = _entries(analysis, whose == MINE, shown + 1)
    if not entries:
        with st.container(border=True, key="card-empty"):
            st.markdown("**Nothing was done yet.** Every tag, and every change of a concept or label, will stand here.")
            rooms.link("tag_next", "Tag next")
        return
    mine = [entry.id for entry in entries if entry.author == who.author() and entry.undone is None]
    newest = mine[0] if mine else None
    for entry in entries[:shown]:
        _entry(analysis, entry, newest)
    if len(entries) > shown:
        st.button(
            "Show more",
            type="tertiary",
            icon=":material/expand_more:",
            on_click=lambda: st.session_state.update({SHOWN: shown + PAGE}),
        )


def _entries(analysis: Analysis, mine: bool, wanted: int) -> list[Entry]:
    """At least `wanted` entries, the newest first, where there are so many."""
    found: list[Entry] = []
    before = None
    while len(found) < wanted:
        part = history(state.workspace(), analysis.dataset_id, limit=4 * PAGE if mine else wanted, before=before)
        if not part:
            break
        found += [entry for entry in part if not mine or entry.author in who.names()]
        before = part[-1].id
    return found[:wanted]


def _entry(analysis: Analysis, entry: Entry, newest: int | None) -> None:
    with st.container(
        horizontal=True, vertical_alignment="center", horizontal_alignment="distribute", key=f"history-{entry.id}"
    ):
        st.html(entry_html(entry), width="stretch")
        with st.container(horizontal=True, width="content", vertical_alignment="center", gap="small"):
            if entry.direction is not None and entry.low is not None and entry.high is not None:
                go = st.button(
                    "The band",
                    icon=":material/arrow_forward:",
                    type="tertiary",
                    help="The images that were looked at then.",
                    key=f"history-band-{entry.id}",
                )
                if go:
                    band = {"direction": entry.direction, "low": repr(entry.low), "high": repr(entry.high)}
                    palette.leave("bands", analysis=analysis.id, **band)
            own = entry.author == who.author() and entry.undone is None
            if own and newest is not None and entry.id != newest:
                st.button(
                    "Back to here",
                    icon=":material/history:",
                    type="tertiary",
                    help=BACK,
                    key=f"history-back-{entry.id}",
                    on_click=problem.kept(partial(_back, analysis, entry)),
                )


def entry_html(entry: Entry) -> str:
    """One step as people read it; nothing in it is markup but ours."""
    sentence = html.escape(entry.sentence)
    done = f'<s title="Undone {ago(entry.undone)}">{sentence}</s> (undone)' if entry.undone else sentence
    place = PLACES.get(entry.how, entry.how)
    about = [ago(entry.when), place, SOURCES.get(entry.source, "")]
    if entry.direction is not None and entry.low is not None and entry.high is not None:
        ends = f"{format_activation(entry.low)} to {format_activation(entry.high)}"
        about.append(f"{band_directions.title(entry.direction)}, {ends}")
    told = " · ".join(html.escape(short(part, 80)) for part in about if part)
    when = f"{entry.when:%Y-%m-%d %H:%M:%S} UTC"
    return (
        f'<div class="cx"><p><bdi dir="auto"><b>{html.escape(short(entry.author, 40))}</b></bdi>: '
        f'<span dir="auto">{done}</span></p><p class="muted" title="{when}">{told}</p></div>'
    )


def _back(analysis: Analysis, entry: Entry) -> None:
    steps = undo_until(state.workspace(), analysis.dataset_id, entry.id, who.author())
    sentence = entry.sentence[:1].lower() + entry.sentence[1:]
    notices.say(
        f"Took back {count(steps, 'step')}: you are where you {plain(sentence)}. **Redo** (key Y) goes forward again.",
        ":material/history:",
    )
