"""The grid of thumbnails: select many images at once, tag them with one key.

    def remember(event: GridEvent) -> None:
        if event.kind == "tag":
            tags.tag(workspace, analysis, concept_of[event.concept], event.ids, event.present)

    state = image_grid(
        "band",
        [GridImage(id=7, thumbnail=webp, title="val/0007.jpg", activation=0.4, label="landbird",
                   predicted="waterbird", correct=False, chips=(("water background", True),))],
        [GridConcept(id=1, name="water background", color="#1f7a8c")],
        on_event=remember,
    )
    state.selected, state.concept

How an event travels. A Streamlit trigger holds one value per run, so two quick key presses could become one. The
browser therefore keeps every event in an outbox until it is acknowledged: it sends them with a rising number, one
message at a time, repeats the message when no answer comes, and shows the tags meanwhile as if they were saved. Here
each number is delivered once, in order, from the component's callback (before the page's script runs, so that the
page reads tags that include it), and the next `data` carries the last number back. An event handler that Streamlit
interrupts (another widget moved in that very moment) is called again for a tag, which changes nothing the second
time, and never for an undo, which would take back one step too many.

Thumbnails travel in a message of their own, which Streamlit's browser cache spares when only tags change.
"""

from __future__ import annotations

import base64
import logging
import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import streamlit as st

from pages.parts.component_source import source

log = logging.getLogger(__name__)

EventKind = Literal["tag", "undo", "redo", "open"]

# Events may arrive after the page has moved on to other images; so many earlier sets are still recognised.
REMEMBERED_SETS = 16

_component = st.components.v2.component(
    "midband_image_grid",
    html=source("image_grid", "image_grid.html"),
    css=source("image_grid", "image_grid.css"),
    js=source(
        "image_grid", "dom.js", "selection.js", "outbox.js", "tooltip.js", "tiles.js", "toolbar.js", "image_grid.js"
    ),
)


@dataclass(frozen=True)
class GridImage:
    """One tile.

    id: unique among those shown. thumbnail: WebP bytes. title: the image's name, shown on hover. activation: the
    direction's value, no unit; None or a non-finite number is left out. correct: None where there is no prediction to
    judge. chips: what is tagged, (concept name, present). note: a few words on why the image is here ("boundary").
    """

    id: int
    thumbnail: bytes
    title: str
    activation: float | None = None
    label: str = ""
    predicted: str = ""
    correct: bool | None = None
    chips: tuple[tuple[str, bool], ...] = ()
    note: str = ""


@dataclass(frozen=True)
class GridConcept:
    """One concept to tag with: the first nine have the number keys, in the order given."""

    id: int
    name: str
    color: str


@dataclass(frozen=True)
class GridEvent:
    """What a person did.

    tag: `ids` show (present True), do not show (False) or are no longer tagged with (None) the concept of id
    `concept`. open: look closer at the one image in `ids`. undo, redo: the last action; `ids` is empty.
    """

    kind: EventKind
    ids: tuple[int, ...] = ()
    concept: int | None = None
    present: bool | None = None


@dataclass(frozen=True)
class GridState:
    """What is selected now, in the order shown, and the id of the concept chosen in the toolbar."""

    selected: tuple[int, ...] = ()
    concept: int | None = None


@dataclass
class Inbox:
    """What has been delivered to the page in this session, and what may still be named in an event."""

    client: str = ""
    done: int = 0
    interrupted: int = 0
    images: deque[frozenset[int]] = field(default_factory=lambda: deque(maxlen=REMEMBERED_SETS))
    concepts: deque[frozenset[int]] = field(default_factory=lambda: deque(maxlen=REMEMBERED_SETS))

    def remember(self, images: Sequence[GridImage], concepts: Sequence[GridConcept]) -> None:
        """Note what is on screen from now on."""
        for seen, now in (
            (self.images, frozenset(image.id for image in images)),
            (self.concepts, frozenset(concept.id for concept in concepts)),
        ):
            if not seen or seen[-1] != now:
                seen.append(now)

    def pending(self, message: object) -> Iterator[tuple[int, GridEvent | None]]:
        """The numbers not yet delivered, rising, each with its event; None where the event is not acceptable."""
        if not isinstance(message, dict) or not isinstance(client := message.get("client"), str) or not client:
            return
        if client != self.client:  # the page was loaded anew: its numbers start again
            self.client, self.done, self.interrupted = client, 0, 0
        raw = message.get("events")
        numbered = [(entry["seq"], entry) for entry in raw if _has_number(entry)] if isinstance(raw, list) else []
        for number, entry in sorted(numbered, key=lambda pair: pair[0]):
            if number > self.done:
                yield number, self._event(entry)

    def deliver(self, message: object, on_event: Callable[[GridEvent], None]) -> None:
        """Call `on_event` for each new event of the message; see the module's text on what is called twice."""
        for number, event in self.pending(message):
            if event is None:
                log.warning("image grid: event %d names what was never shown; dropped", number)
                self.done = number
                continue
            if event.kind != "tag":
                self.done = number
            try:
                on_event(event)
            except BaseException as problem:
                # Streamlit's interruptions are no Exceptions. A handler that asks for a rerun itself looks the same,
                # so an event is repeated once at most.
                if isinstance(problem, Exception) or self.interrupted == number:
                    self.done = number
                self.interrupted = number
                raise
            self.done = number

    def _event(self, entry: dict[str, Any]) -> GridEvent | None:
        kind, present, concept = entry.get("kind"), entry.get("present"), entry.get("concept")
        if kind in ("undo", "redo"):
            return GridEvent(kind=kind)
        shown = frozenset().union(*self.images)
        raw = entry.get("ids")
        ids = tuple(dict.fromkeys(i for i in raw if _is_int(i) and i in shown)) if isinstance(raw, list) else ()
        if not ids:
            return None
        if kind == "open":
            return GridEvent(kind="open", ids=ids[:1])
        known = _is_int(concept) and any(concept in some for some in self.concepts)
        if kind == "tag" and known and (present is None or isinstance(present, bool)):
            return GridEvent(kind="tag", ids=ids, concept=concept, present=present)
        return None


def image_grid(
    key: str,
    images: Sequence[GridImage],
    concepts: Sequence[GridConcept],
    *,
    on_event: Callable[[GridEvent], None],
    size: int = 120,
    empty: str = "No images to show.",
    toolbar: bool = True,
    rest_absent: bool = False,
    active: int | None = None,
    track_selection: bool = True,
) -> GridState:
    """Show the images and report what a person does with them.

    key: the component's key, unique on the page; selection, chosen concept and unsent events are kept under it.
    on_event: called once per event, as a callback (before the script runs). It should do its lasting work first and
    must not call `st.rerun()`; the run that follows shows the result. What it raises is not retried.
    size: the least width of a tile in CSS pixels; a phone gets three columns whatever it is.
    empty: the sentence shown instead of the grid when there are no images.
    rest_absent: offer "Rest absent", which tags every image shown that has no tag of the concept yet.
    active: choose this concept; takes effect when the value changes, so that a person's own choice stays.
    track_selection: report the selection in a run of its own, 0.4 s after it last changed. With False it is as of the
    last event, and selecting causes no runs.

    Raises ValueError when two images or two concepts share an id.
    """
    _require_unique("images", [image.id for image in images])
    _require_unique("concepts", [concept.id for concept in concepts])
    inbox_key = f"{key}-inbox"
    if inbox_key not in st.session_state:
        st.session_state[inbox_key] = Inbox()
    inbox: Inbox = st.session_state[inbox_key]
    inbox.remember(images, concepts)

    def deliver() -> None:
        inbox.deliver(_message(st.session_state.get(key)), on_event)

    # One container without a gap: the message with the thumbnails takes no room of its own.
    with st.container(gap=None):
        _component(key=f"{key}-thumbnails", data=thumbnail_data(key, images))
        result = _component(
            key=key,
            data={
                **grid_data(images, concepts),
                "role": "grid",
                "store": key,
                "size": size,
                "empty": empty,
                "toolbar": toolbar,
                "restAbsent": rest_absent,
                "active": active,
                "track": track_selection,
                "ack": {"client": inbox.client, "seq": inbox.done},
            },
            on_up_change=deliver,
        )
    return grid_state(_message(result), images, concepts)


def thumbnail_data(key: str, images: Sequence[GridImage]) -> dict[str, Any]:
    """The message that holds only the pictures, base64: measured faster than bytes, Arrow or one request each."""
    return {
        "role": "thumbnails",
        "store": key,
        "thumbnails": {str(image.id): base64.b64encode(image.thumbnail).decode("ascii") for image in images},
    }


def grid_data(images: Sequence[GridImage], concepts: Sequence[GridConcept]) -> dict[str, Any]:
    """The message that changes with every tag: everything about the images but their pictures."""
    return {
        "concepts": [{"id": concept.id, "name": concept.name, "color": concept.color} for concept in concepts],
        "images": [
            {
                "id": image.id,
                "title": image.title,
                "value": format_activation(image.activation),
                "label": image.label,
                "predicted": image.predicted,
                "correct": image.correct,
                "chips": [[name, present] for name, present in image.chips],
                "note": image.note,
            }
            for image in images
        ],
    }


def grid_state(message: object, images: Sequence[GridImage], concepts: Sequence[GridConcept]) -> GridState:
    """What the browser last said about the selection, cut down to what is shown."""
    if not isinstance(message, dict):
        return GridState()
    raw = message.get("selected")
    selected = frozenset(i for i in raw if _is_int(i)) if isinstance(raw, list) else frozenset()
    concept = message.get("concept")
    return GridState(
        selected=tuple(image.id for image in images if image.id in selected),
        concept=concept if _is_int(concept) and any(c.id == concept for c in concepts) else None,
    )


def format_activation(value: float | None) -> str:
    """Three significant figures with a true minus sign; "" where there is no finite number."""
    if value is None or not math.isfinite(value):
        return ""
    magnitude = abs(value)
    if magnitude >= 1e5 or 0 < magnitude < 1e-3:
        text = f"{value:.1e}"
    else:
        text = f"{value:.{2 if magnitude < 10 else 1 if magnitude < 100 else 0}f}"
    return text.replace("-", "\N{MINUS SIGN}")


def _message(state: object) -> object:
    return state.get("up") if isinstance(state, dict) else None


def _has_number(entry: object) -> bool:
    return isinstance(entry, dict) and _is_int(entry.get("seq")) and entry["seq"] > 0


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _require_unique(what: str, ids: list[int]) -> None:
    if len(set(ids)) != len(ids):
        raise ValueError(f"two {what} of the grid share an id")
