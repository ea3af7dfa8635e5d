"""The history: who did what, when, how and from which band; each as far back as they like, their own steps only.

Answers given one by one fold into a line, which can be opened: a morning on cards is one thing that was done.
"""

from __future__ import annotations

import html
import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import streamlit as st

from core.concepts.history import Entry, authors, history, undo_until
from core.concepts.steps import Said, said_in
from pages.parts import band_directions, inspector, notices, palette, problem, rooms, state, who
from pages.parts.image_grid import format_activation
from pages.parts.words import ago, count, plain, short

if TYPE_CHECKING:
    from core.activations.store import Analysis

PAGE = 30
# so many answers in a row, at least, are a line of their own
FOLDED = 3
MOST_READ = 5000
SHOWN, OPENED = "history_shown", "history_opened"
EVERYBODY, MINE = "everybody", "me"
PLACES = {
    "grid": "in the grid",
    "card": "on a card",
    "queue": "in the queue's grid",
    "band": "a whole band",
    "map": "on the map",
    "review": "reviewing guesses",
    "inspector": "in a closer look",
    "agreement": "settling differences",
    "cluster": "in a cluster of a band",
    "text": "among what fits a text",
    "wrong labels": "among suspected labels",
    "selection": "from a selection",
    "present": "before an audience",
    "merge": "",
}
SOURCES = {
    "metadata": "from a column",
    "import": "from a file",
    "cluster": "from a cluster",
    "text": "from a text",
    "review": "judging guesses",
}
STATES = {"present": "present", "absent": "absent", "unsure": "unsure", "cleared": "taken back"}
BACK = (
    "Takes back everything you did after this step, newest first. What others did stays, and redo brings it back one "
    "by one."
)


@dataclass(frozen=True)
class Line:
    """Steps shown as one, the newest first. said: what each said, where it was about one image."""

    entries: tuple[Entry, ...]
    said: tuple[Said | None, ...]

    @property
    def newest(self) -> Entry:
        return self.entries[0]


def show(analysis: Analysis) -> None:
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
    shown = st.session_state.setdefault(SHOWN, PAGE)
    lines = _lines(analysis, whose == MINE, shown + 1)
    if not lines:
        with st.container(border=True, key="card-empty"):
            st.markdown("**Nothing was done yet.** Every tag, and every change of a concept or label, will stand here.")
            rooms.link("tag_next", "Tag next")
        return
    mine = (
        entry.id for line in lines for entry in line.entries if entry.author == who.author() and entry.undone is None
    )
    newest = next(mine, None)
    for line in lines[:shown]:
        _line(analysis, line, newest)
    if len(lines) > shown:
        st.button(
            "Show more",
            type="tertiary",
            icon=":material/expand_more:",
            on_click=lambda: st.session_state.update({SHOWN: shown + PAGE}),
        )


def _lines(analysis: Analysis, mine: bool, wanted: int) -> list[Line]:
    """At least `wanted` lines, the newest first, where there are so many."""
    opened = st.session_state.setdefault(OPENED, set())
    found: list[Entry] = []
    lines: list[Line] = []
    before, size = None, 4 * PAGE
    while len(lines) < wanted:
        part = history(state.workspace(), analysis.dataset_id, limit=size, before=before)
        if not part:
            break
        found += [entry for entry in part if not mine or entry.author in who.names()]
        said = said_in(state.workspace(), [entry.id for entry in found if entry.images == 1])
        lines = folded(found, said, opened)
        before, size = part[-1].id, min(2 * size, MOST_READ)
    return lines[:wanted]


def folded(entries: Sequence[Entry], said: dict[int, Said], opened: set[int]) -> list[Line]:
    """Single answers of one person about one concept, given in a row, as one line each; but those with an entry in
    `opened`."""
    lines = []
    for single, run in itertools.groupby(entries, key=_alike):
        alike = tuple(run)
        if single is None or len(alike) < FOLDED or any(entry.id in opened for entry in alike):
            lines += [Line((entry,), (said.get(entry.id),)) for entry in alike]
        else:
            lines.append(Line(alike, tuple(said.get(entry.id) for entry in alike)))
    return lines


def _alike(entry: Entry) -> tuple[object, ...] | None:
    """What single answers have in common that fold; None for a step of another kind."""
    if entry.kind != "tag" or entry.images != 1:
        return None
    band = (entry.direction, entry.low, entry.high)
    return (entry.author, entry.concept, entry.how, entry.source, entry.undone is None, band)


def _line(analysis: Analysis, line: Line, newest: int | None) -> None:
    entry = line.newest
    with st.container(
        horizontal=True, vertical_alignment="center", horizontal_alignment="distribute", key=f"history-{entry.id}"
    ):
        st.html(line_html(line), width="stretch")
        with st.container(horizontal=True, width="content", vertical_alignment="center", gap="small"):
            if len(line.entries) > 1:
                st.button(
                    "Each",
                    icon=":material/unfold_more:",
                    type="tertiary",
                    help="Show these steps one by one.",
                    key=f"history-each-{entry.id}",
                    on_click=st.session_state[OPENED].add,
                    args=(entry.id,),
                )
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


def line_html(line: Line) -> str:
    """One step, or several folded, as people read it; nothing in it is markup but ours."""
    entry = line.newest
    whole = sentence(line)
    told = f'<span title="{html.escape(whole)}">{html.escape(inspector.brief(whole))}</span>'
    done = f'<s title="Undone {ago(entry.undone)}">{told}</s> (undone)' if entry.undone else told
    about = [ago(entry.when), PLACES.get(entry.how, entry.how), SOURCES.get(entry.source, "")]
    if about[1] == PLACES["review"]:
        # the place says it already
        about[2] = ""
    if len(line.entries) == 1 and line.said[0] is not None:
        about.append(line.said[0].image)
    if entry.direction is not None and entry.low is not None and entry.high is not None:
        ends = f"{format_activation(entry.low)} to {format_activation(entry.high)}"
        about.append(f"{band_directions.title(entry.direction)}, {ends}")
    around = " · ".join(html.escape(short(part, 80)) for part in about if part)
    when = f"{entry.when:%Y-%m-%d %H:%M:%S} UTC"
    return (
        f'<div class="cx"><p><bdi dir="auto"><b>{html.escape(short(entry.author, 40))}</b></bdi>: '
        f'<span dir="auto">{done}</span></p><p class="muted" title="{when}">{around}</p></div>'
    )


def sentence(line: Line) -> str:
    if len(line.entries) == 1:
        return line.newest.sentence
    states = Counter(said.state for said in line.said if said is not None)
    images = len({said.image for said in line.said if said is not None}) or len(line.entries)
    told = ", ".join(f"{states[state]:,} {word}" for state, word in STATES.items() if states[state])
    return f"Tagged {count(images, 'image')} with “{line.newest.concept}”, one by one ({told})"


def _back(analysis: Analysis, entry: Entry) -> None:
    steps = undo_until(state.workspace(), analysis.dataset_id, entry.id, who.author())
    told = plain(inspector.brief(inspector.lowered(entry.sentence)))
    notices.say(
        f"Took back {count(steps, 'step')}: you are where you {told}. **Redo** (key Shift+Z) goes forward again.",
        ":material/history:",
    )
