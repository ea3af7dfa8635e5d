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

One page of many: `total`, `page` and `pages` say where these images stand among all that could be shown, and `scope`
names what they are a page of. Within a scope a selection is carried from page to page and counted; with another scope
it ends. A tag of everything is one event without ids, which the page resolves; it says what it was asked for, so
that it never reaches images the person did not mean.

How an event travels. A Streamlit trigger holds one value per run, so two quick key presses could become one. The
browser therefore keeps every event in an outbox until it is acknowledged: it sends them with a rising number, one
message at a time, repeats the message when no answer comes, and shows the tags meanwhile as if they were saved. Here
each number is delivered once, in order, from the component's callback (before the page's script runs, so that the
page reads tags that include it), and the next `data` carries the last number back. An event handler that Streamlit
interrupts (another widget moved in that very moment) is called again for a tag, which changes nothing the second
time, and never for an undo, which would take back one step too many.

Streamlit may take the grid off the page for a moment: a run that ends drops what it drew last when the next run, for
an event that waited, begins before that was sent. Keys pressed meanwhile are kept and done once the same images are
back, and the keyboard stays the grid's.

Thumbnails travel in a message of their own, which Streamlit's browser cache spares when only tags change.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import streamlit as st

from pages.parts.carrier import carry
from pages.parts.component_source import source
from pages.parts.inbox import Inbox, is_int, is_said
from pages.parts.picture_url import picture_url

if TYPE_CHECKING:
    from core.concepts.log import Said

EventKind = Literal["tag", "undo", "redo", "open", "page", "late"]

# Events may arrive after the page has moved on to other images; so many earlier sets are still recognised.
REMEMBERED_SETS = 16

_component = st.components.v2.component(
    "midband_image_grid",
    html=source("image_grid", "image_grid.html"),
    css=source("image_grid", "image_grid.css", "tooltip.css"),
    js="\n".join(
        [
            source("carrier", "receive.js"),
            source(
                "image_grid",
                *("dom.js", "keys.js", "states.js", "selection.js", "paging.js", "outbox.js", "held.js", "tooltip.js"),
                *("tiles.js", "would.js", "toolbar.js", "pointer.js", "skip.js", "image_grid.js"),
            ),
        ]
    ),
)


@dataclass(frozen=True)
class GridImage:
    """One tile.

    id: unique among those shown. thumbnail: WebP bytes. title: the image's name, shown on hover. activation: the
    direction's value, no unit; None or a non-finite number is left out. correct: None where there is no prediction to
    judge. chips: what is tagged, (concept name, True, False or "unsure"). note: a few words on why the image is here
    ("boundary"). details: further lines, shown on hover and read by screen readers after the rest.
    """

    id: int
    thumbnail: bytes
    title: str
    activation: float | None = None
    label: str = ""
    predicted: str = ""
    correct: bool | None = None
    chips: tuple[tuple[str, bool | Literal["unsure"]], ...] = ()
    note: str = ""
    details: tuple[str, ...] = ()


@dataclass(frozen=True)
class GridConcept:
    """One concept to tag with. shortcut: its number key, 1..9; None for none. about: a line on it, shown on hover."""

    id: int
    name: str
    color: str
    shortcut: int | None = None
    about: str = ""


@dataclass(frozen=True)
class GridEvent:
    """What a person did.

    tag: `ids` show (present True) or do not show (False) the concept of id `concept`, or cannot be told ("unsure"), or
    are no longer tagged with it (None). With `everything` it is all images of the scope but those in `left_out`,
    `total` of them in all, and `ids` is empty. open: look closer at the one image in `ids`. undo, redo: the last
    action; `ids` is empty. page: show page number `page`, from 0. late: a tag of everything came when something else
    was shown already; it must not be carried out, only told.
    """

    kind: EventKind
    ids: tuple[int, ...] = ()
    concept: int | None = None
    present: Said = None
    everything: bool = False
    left_out: tuple[int, ...] = ()
    total: int = 0
    page: int = 0


@dataclass(frozen=True)
class GridState:
    """What is selected now among the images shown, in their order, and the id of the concept chosen in the toolbar.

    elsewhere: how many more are selected on other pages. everything: the whole scope is selected, but for what is
    shown here and not in `selected`.
    """

    selected: tuple[int, ...] = ()
    concept: int | None = None
    elsewhere: int = 0
    everything: bool = False


@dataclass(frozen=True)
class Selection:
    """Every image that is selected, also on other pages, those on screen first.

    everything: all images of the scope are selected, but for `ids`.
    """

    ids: tuple[int, ...] = ()
    everything: bool = False


@dataclass(frozen=True)
class Paging:
    """Where the images shown stand among all: page `page` (from 0) of `pages`, of `total` images called `scope`."""

    scope: str | None = None
    total: int = 0
    page: int = 0
    pages: int = 1


@dataclass
class GridInbox(Inbox):
    """What has been delivered to the page in this session, and what may still be named in an event."""

    paging: Paging = Paging()
    images: deque[set[int]] = field(default_factory=lambda: deque(maxlen=REMEMBERED_SETS))
    concepts: deque[set[int]] = field(default_factory=lambda: deque(maxlen=REMEMBERED_SETS))

    def remember(
        self, images: Sequence[GridImage], concepts: Sequence[GridConcept], paging: Paging | None = None
    ) -> None:
        """Note what is on screen from now on. The pages of one scope count as one set: a selection spans them."""
        before, self.paging = self.paging, paging or Paging()
        shown, named = {image.id for image in images}, {concept.id for concept in concepts}
        if self.images and before.scope is not None and before.scope == self.paging.scope:
            self.images[-1] |= shown
        elif not self.images or self.images[-1] != shown:
            self.images.append(shown)
        if not self.concepts or self.concepts[-1] != named:
            self.concepts.append(named)

    def selection(self, message: object) -> Selection:
        """What the browser last said is selected, of what is on screen and the other pages of the same scope."""
        if not isinstance(message, dict) or message.get("scope") != self.paging.scope or not self.images:
            return Selection()
        everything = message.get("everything") is True
        ids = tuple(i for i in _ints(message.get("selected")) if i in self.images[-1])
        return Selection(ids, everything and self.paging.scope is not None)

    def read(self, entry: dict[str, Any]) -> GridEvent | None:
        """What the browser sent; None where it is not acceptable, as a tag of what was never shown."""
        kind, present, concept = entry.get("kind"), entry.get("present"), entry.get("concept")
        if kind in ("undo", "redo"):
            return GridEvent(kind=kind)
        if kind == "page":
            return self._turn(entry)
        named = _ints(entry.get("ids"))
        ids = tuple(i for i in named if any(i in shown for shown in self.images))
        if kind == "open":
            return GridEvent(kind="open", ids=ids[:1]) if ids else None
        known = is_int(concept) and any(concept in some for some in self.concepts)
        if kind != "tag" or not known or not is_said(present):
            return None
        if entry.get("everything") is not True:
            return GridEvent(kind="tag", ids=ids, concept=concept, present=present) if ids else None
        asked = (entry.get("scope"), entry.get("total"))
        if asked[0] is None or asked != (self.paging.scope, self.paging.total) or not is_int(asked[1]):
            return GridEvent(kind="late", concept=concept, present=present)
        # who leaves out what was never shown cannot be understood, and all must not be tagged for that
        raw = entry.get("ids")
        if not isinstance(raw, list) or len(ids) != len(raw):
            return None
        return GridEvent(
            kind="tag", concept=concept, present=present, everything=True, left_out=ids, total=self.paging.total
        )

    def _turn(self, entry: dict[str, Any]) -> GridEvent | None:
        """A page of what is shown now; a page of what was shown before leads nowhere."""
        page = entry.get("page")
        if entry.get("scope") != self.paging.scope or not is_int(page) or not 0 <= page < self.paging.pages:
            return None
        return GridEvent(kind="page", page=page)


def image_grid(
    key: str,
    images: Sequence[GridImage],
    concepts: Sequence[GridConcept],
    *,
    on_event: Callable[[GridEvent], None],
    size: int = 120,
    empty: str = "No images to show.",
    toolbar: bool = True,
    undo: bool | None = None,
    rest_absent: bool = False,
    active: int | None = None,
    track_selection: bool = True,
    total: int | None = None,
    page: int = 0,
    pages: int = 1,
    scope: str | None = None,
    within: str = "in this band",
    everything: bool = False,
    reason: str = "",
) -> GridState:
    """Show the images and report what a person does with them.

    key: the component's key, unique on the page; selection, chosen concept and unsent events are kept under it.
    on_event: called once per event, as a callback (before the script runs). It should do its lasting work first and
    must not call `st.rerun()`; the run that follows shows the result. What it raises is not retried.
    size: the least width of a tile in CSS pixels; a phone gets three columns whatever it is.
    empty: the sentence shown instead of the grid when there are no images.
    undo: z, Shift+z and y in the grid are "undo" and "redo" events; by default where there is a toolbar. Streamlit's
    shortcuts of buttons outside do not hear keys that are pressed in the grid.
    rest_absent: offer "Rest absent", which tags every image shown that has no tag of the concept yet.
    active: choose this concept; takes effect when the value changes, so that a person's own choice stays.
    track_selection: report the selection in a run of its own, 0.4 s after it last changed. With False it is as of the
    last event, and selecting causes no runs.
    total, page, pages: these are page `page` (from 0) of `pages`, of `total` images. With a total the grid says so, as
    in "61–120 of 4,812 in this band", and asks for other pages with "page" events. within: the words after the total.
    scope: what these are a page of, such as direction, band and filters as text. While it stays the same, a selection
    is carried from page to page. Without it, what is no longer shown is no longer selected.
    everything: offer to select and tag all `total` images, after a step that says their number. reason: a sentence on
    why this is not offered here.

    Raises ValueError when two images or two concepts share an id.
    """
    _require_unique("images", [image.id for image in images])
    _require_unique("concepts", [concept.id for concept in concepts])
    inbox_key = f"{key}-inbox"
    if inbox_key not in st.session_state:
        st.session_state[inbox_key] = GridInbox()
    inbox: GridInbox = st.session_state[inbox_key]
    paging = Paging(scope, len(images) if total is None else total, page, pages)
    inbox.remember(images, concepts, paging)

    def deliver() -> None:
        inbox.deliver(_message(st.session_state.get(key)), on_event, read=inbox.read)

    # One container without a gap: the message with the thumbnails takes no room of its own.
    with st.container(gap=None):
        carry(f"{key}-thumbnails", "image_grid", thumbnail_data(key, images))
        result = _component(
            key=key,
            data={
                **grid_data(images, concepts),
                "role": "grid",
                "store": key,
                "size": size,
                "empty": empty,
                "toolbar": toolbar,
                "undo": toolbar if undo is None else undo,
                "restAbsent": rest_absent,
                "active": active,
                "track": track_selection,
                "scope": scope,
                "paging": None if total is None else paging_data(paging, len(images), within),
                "everything": everything and scope is not None and total is not None,
                "reason": reason,
                "ack": inbox.done,
            },
            on_up_change=deliver,
        )
    return grid_state(_message(result), images, concepts)


def selection_now(key: str) -> Selection:
    """What is selected in the grid of this key at this moment, for a callback of something outside of the grid.

    The browser tells the selection before it tells of the press of a button, so this is what the person sees, also
    with `track_selection=False`. Nothing is selected where the grid shows something else by now.
    """
    inbox = st.session_state.get(f"{key}-inbox")
    return inbox.selection(_message(st.session_state.get(key))) if isinstance(inbox, GridInbox) else Selection()


def thumbnail_data(key: str, images: Sequence[GridImage]) -> dict[str, Any]:
    """The message that holds only the pictures, as data URLs: measured faster than bytes, Arrow or one request each."""
    return {
        "role": "thumbnails",
        "store": key,
        "thumbnails": {str(image.id): picture_url(image.thumbnail) for image in images},
    }


def paging_data(paging: Paging, shown: int, within: str) -> dict[str, Any]:
    """first: position of the first image shown among all, from 0. Only the last page may be shorter than the others."""
    last = paging.page >= paging.pages - 1
    return {
        "total": paging.total,
        "page": paging.page,
        "pages": paging.pages,
        "first": max(0, paging.total - shown) if last else paging.page * shown,
        "within": within,
    }


def grid_data(images: Sequence[GridImage], concepts: Sequence[GridConcept]) -> dict[str, Any]:
    """The message that changes with every tag: everything about the images but their pictures."""
    return {
        "concepts": [
            {
                "id": concept.id,
                "name": concept.name,
                "color": concept.color,
                "key": concept.shortcut,
                "about": concept.about,
            }
            for concept in concepts
        ],
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
                "details": list(image.details),
            }
            for image in images
        ],
    }


def grid_state(message: object, images: Sequence[GridImage], concepts: Sequence[GridConcept]) -> GridState:
    """What the browser last said about the selection."""
    if not isinstance(message, dict):
        return GridState()
    everything = message.get("everything") is True
    named = frozenset(_ints(message.get("selected")))
    shown = tuple(image.id for image in images if (image.id in named) is not everything)
    concept = message.get("concept")
    return GridState(
        selected=shown,
        concept=concept if is_int(concept) and any(c.id == concept for c in concepts) else None,
        elsewhere=0 if everything else len(named) - len(shown),
        everything=everything,
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


def _ints(raw: object) -> tuple[int, ...]:
    """The whole numbers of a list, each once, in their order; nothing for anything else."""
    return tuple(dict.fromkeys(i for i in raw if is_int(i))) if isinstance(raw, list) else ()


def _require_unique(what: str, ids: list[int]) -> None:
    if len(set(ids)) != len(ids):
        raise ValueError(f"two {what} of the grid share an id")
