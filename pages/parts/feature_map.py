"""The map of the images: points on a canvas of our own, coloured, zoomed, drawn around.

    layout = MapLayout("pca", "Principal components", xy)
    colours = MapColours("class", "class", codes, ("landbird", "waterbird"), light=LIGHT[:2], dark=DARK[:2])
    send("map", layout, colours)
    feature_map(
        "map", layout, colours,
        selected=mask, band=in_band, band_label="logit of waterbird, −1 to 1.25",
        on_event=remember, pictures="/points/TOKEN",
    )

How it travels. Places, colours and what is marked are three messages of packed bytes, each through a component of a few
lines: Streamlit sends a component's source with every message, and unchanged messages once, so that a new selection
sends an eighth of a byte per image and nothing else. `send` is apart, so that a fragment around the map and its
selection need not pack what a selection does not change. What a person draws comes back as its corners only; who lies
inside is counted in Python. Events come through the outbox of the image grid: numbered and repeated until they are
acknowledged. One whose handling Streamlit interrupted is delivered again; that changes nothing, whatever its kind.

Pictures under the pointer come from a route of the server, `map_route`. A fragment of its own hears where somebody has
zoomed to.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, get_args

import numpy as np
import streamlit as st

from pages.parts import problem
from pages.parts.component_source import source
from pages.parts.inbox import Inbox, is_int
from pages.parts.theme import DARK, LIGHT

Mode = Literal["replace", "add", "remove"]
EventKind = Literal["area", "all", "one", "clear", "open"]
View = tuple[float, float, float]
"""x, y in the middle, in the map's own units, and how many times closer than everything."""

# the code of images whose value is not known
UNKNOWN = 255
# what is not known is no value among others
UNKNOWN_COLORS = ("#7a858e", "#87929b")
# From low to high, ever further from the page's background; all of it at least 3:1 against it.
RAMP_LIGHT = ("#c8781f", "#b9504f", "#8f3a83", "#5a2d8c", "#2a1a5e")
RAMP_DARK = ("#5d6fb5", "#8a6fc0", "#c678a8", "#ee9a72", "#ffe08a")
# steps of a continuous colour: more than anybody tells apart
STEPS = 255
# corners of a drawn area that are taken from a browser
MOST_CORNERS = 2_000

_component = st.components.v2.component(
    "midband_feature_map",
    html=source("feature_map", "feature_map.html"),
    css="\n".join((source("feature_map", "feature_map.css"), source("image_grid", "tooltip.css"))),
    js="\n".join(
        [
            source("image_grid", "dom.js", "outbox.js", "tooltip.js"),
            source(
                "feature_map",
                *("message.js", "frame.js", "raster.js", "area.js", "nearest.js", "legend.js", "card.js"),
                *("keys.js", "feature_map.js"),
            ),
        ]
    ),
)
_part = st.components.v2.component(
    "midband_feature_map_part",
    html="<span hidden></span>\n",
    css=":host { display: none }\n",
    js=source("feature_map", "part.js"),
)


@dataclass(frozen=True, eq=False)
class MapLayout:
    """id: differs where the places do, or who is shown. title: what made it. xy: (n, 2) float32, NaN for images without
    a place. shown: (n,) bool, whose points there are; None for all. noun: what those images are called."""

    id: str
    title: str
    xy: np.ndarray
    shown: np.ndarray | None = None
    noun: str = "images"


@dataclass(frozen=True, eq=False)
class MapColours:
    """id: differs where the codes do. title: what the colours say. codes: (n,) uint8, index into names or step of the
    ramp, `UNKNOWN` where it is not known. names: of the values; () of a ramp. light, dark: a colour each, of a ramp its
    stops. low, high: the ramp's ends as people read them. unknown: what `UNKNOWN` is called. told: what is said of a
    row besides its label and prediction."""

    id: str
    title: str
    codes: np.ndarray
    names: tuple[str, ...] = ()
    light: tuple[str, ...] = LIGHT
    dark: tuple[str, ...] = DARK
    low: str = ""
    high: str = ""
    unknown: str = "not known"
    told: Callable[[int], str] | None = None

    @property
    def ramp(self) -> bool:
        return not self.names


@dataclass(frozen=True)
class MapEvent:
    """What a person did.

    area: drew around points of the layout `layout`; corners: (x0, y0, x1, y1, ...) in its units. all: asked for every
    point. one: pointed at the image of row `row`. Each of these replaces the selection, adds to it or takes away from
    it, as `mode` says, and means only images whose code is in `values`, of the colours `colours`; None means all.
    clear: select nothing. open: look closer at `row`.
    """

    kind: EventKind
    mode: Mode = "replace"
    corners: tuple[float, ...] = ()
    row: int = -1
    layout: str = ""
    colours: str = ""
    values: tuple[int, ...] | None = None


def send(key: str, layout: MapLayout, colours: MapColours) -> None:
    """Places and colours for the map of this key: what a new selection does not change."""
    _part(key=f"{key}-points", data=points_message(key, layout))
    _part(key=f"{key}-colours", data=colours_message(key, colours))


def feature_map(
    key: str,
    layout: MapLayout,
    colours: MapColours,
    *,
    on_event: Callable[[MapEvent], None],
    pictures: str,
    selected: np.ndarray | None = None,
    band: np.ndarray | None = None,
    band_label: str = "",
    view: View | None = None,
    on_view: Callable[[str, View | None], None] | None = None,
) -> None:
    """Show the points that `send` has sent and report what a person does with them.

    on_event: called for each event, as a callback (before the script runs). pictures: the address that answers what is
    shown of rows. selected, band: (n,) bool, who is selected, who lies in the band that is looked at elsewhere. view:
    where to look at first; None shows everything. on_view: called, in a fragment of its own, with the layout and where
    in it somebody has moved to.
    """
    inbox: Inbox = st.session_state.setdefault(f"{key}-inbox", Inbox())
    n = len(layout.xy)

    def deliver() -> None:
        told = st.session_state.get(key)
        deliver_all(inbox, told.get("up") if isinstance(told, dict) else None, n, on_event)

    with st.container(gap=None):
        _part(
            key=f"{key}-marks",
            data=marks_message(key, layout, colours, selected, band, band_label, view, pictures, inbox.done),
        )
        _component(key=key, data={"store": key}, on_up_change=deliver)
        _moved(key, on_view)


def deliver_all(inbox: Inbox, message: object, n: int, on_event: Callable[[MapEvent], None]) -> None:
    """Call `on_event` for each new event of a message, in order. n: images there are."""
    # whatever it is, doing it twice changes nothing
    inbox.deliver(message, on_event, read=partial(read_event, n=n), harmless=get_args(EventKind))


@st.fragment
@problem.guarded
def _moved(key: str, on_view: Callable[[str, View | None], None] | None) -> None:
    """Runs alone when the view was moved."""
    name, moved = f"{key}-view", f"{key}-moved"

    def move() -> None:
        st.session_state[moved] = _said(name, "view")

    _part(key=name, data=packed({"role": "view", "store": key}), on_view_change=move)
    told = st.session_state.pop(moved, None)
    if on_view is not None and isinstance(told, dict) and isinstance(told.get("layout"), str):
        on_view(told["layout"], read_view(told.get("at")))


def _said(name: str, what: str) -> object:
    """What the browser says under a name; None where it says nothing."""
    told = st.session_state.get(name)
    return told.get(what) if isinstance(told, dict) else None


# --- to the browser --------------------------------------------------------------------------------------------------


def points_message(key: str, layout: MapLayout) -> bytes:
    header = {"role": "points", "store": key, "layout": layout.id, "title": layout.title, "noun": layout.noun}
    shown = np.ones(len(layout.xy), dtype=bool) if layout.shown is None else layout.shown
    x, y = (layout.xy[:, side].astype(np.float32) for side in (0, 1))
    return packed(header, x=x, y=y, shown=np.packbits(shown))


def colours_message(key: str, colours: MapColours) -> bytes:
    """Raises ValueError for codes that no colour belongs to."""
    codes = np.asarray(colours.codes)
    values = STEPS if colours.ramp else len(colours.names)
    if codes.dtype != np.uint8 or ((codes >= values) & (codes != UNKNOWN)).any():
        raise ValueError(f"codes must be uint8 below {values}, or {UNKNOWN}")
    if not colours.ramp and not len(colours.light) == len(colours.dark) == len(colours.names):
        raise ValueError("every value needs a colour on light and on dark pages")
    header = {
        "role": "colours",
        "store": key,
        "colours": colours.id,
        "title": colours.title,
        "names": list(colours.names),
        "ramp": colours.ramp,
        "low": colours.low,
        "high": colours.high,
        "unknown": colours.unknown,
        "colors": {
            "light": [*_spread(colours.light, colours.ramp), UNKNOWN_COLORS[0]],
            "dark": [*_spread(colours.dark, colours.ramp), UNKNOWN_COLORS[1]],
        },
    }
    return packed(header, codes=codes)


def marks_message(
    key: str,
    layout: MapLayout,
    colours: MapColours,
    selected: np.ndarray | None,
    band: np.ndarray | None,
    band_label: str,
    view: View | None,
    pictures: str,
    done: dict[str, int],
) -> bytes:
    nobody = np.zeros(len(layout.xy), dtype=bool)
    header = {
        "role": "map",
        "store": key,
        "layout": layout.id,
        "colours": colours.id,
        "bandLabel": band_label,
        "hasBand": band is not None,
        "view": list(view) if view else None,
        "pictures": pictures,
        "ack": done,
    }
    return packed(
        header,
        selected=np.packbits(nobody if selected is None else selected),
        band=np.packbits(nobody if band is None else band),
    )


def packed(header: dict[str, Any], **arrays: np.ndarray) -> bytes:
    """One message: uint32 length of the header, the header in JSON with the arrays' names, kinds and lengths, then the
    arrays, each starting at a multiple of four bytes, little-endian."""
    listed = [[name, array.dtype.name, len(array)] for name, array in arrays.items()]
    text = json.dumps({**header, "arrays": listed}).encode()
    parts = [struct.pack("<I", len(text)) + text]
    parts += [np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes() for array in arrays.values()]
    return b"".join(part + b"\0" * (-len(part) % 4) for part in parts)


def _spread(colors: Sequence[str], ramp: bool) -> list[str]:
    """The colours themselves; of a ramp `STEPS` of them, straight between its stops."""
    if not ramp:
        return list(colors)
    stops = np.array([[int(color[i : i + 2], 16) for i in (1, 3, 5)] for color in colors], dtype=np.float64)
    places = np.linspace(0, len(stops) - 1, STEPS)
    channels = np.stack([np.interp(places, np.arange(len(stops)), stops[:, c]) for c in range(3)], axis=1)
    return ["#{:02x}{:02x}{:02x}".format(*step) for step in np.rint(channels).astype(int)]


# --- from the browser ------------------------------------------------------------------------------------------------


def read_event(entry: dict[str, Any], n: int) -> MapEvent | None:
    """An event as the browser sent it; None where it makes no sense. n: images there are."""
    kind, mode = entry.get("kind"), entry.get("mode", "replace")
    layout, colours = entry.get("layout", ""), entry.get("colours", "")
    if mode not in ("replace", "add", "remove") or not isinstance(layout, str) or not isinstance(colours, str):
        return None
    values = entry.get("values")
    if values is not None:
        if not isinstance(values, list) or not all(is_int(value) and 0 <= value <= UNKNOWN for value in values):
            return None
        values = tuple(values)
    if kind == "clear":
        return MapEvent("clear")
    if kind == "all":
        return MapEvent("all", mode, colours=colours, values=values)
    if kind in ("one", "open"):
        row = entry.get("row")
        return MapEvent(kind, mode, row=row) if is_int(row) and 0 <= row < n else None
    corners = entry.get("corners")
    if kind != "area" or not isinstance(corners, list) or not 6 <= len(corners) <= 2 * MOST_CORNERS:
        return None
    if len(corners) % 2 or not all(_is_number(value) for value in corners):
        return None
    return MapEvent("area", mode, tuple(map(float, corners)), layout=layout, colours=colours, values=values)


def read_view(told: object) -> View | None:
    """Where to look, as an address or the browser says it; None for everything, and for what makes no sense."""
    if not isinstance(told, list | tuple) or len(told) != 3 or not all(_is_number(value) for value in told):
        return None
    x, y, zoom = map(float, told)
    return (x, y, zoom) if zoom > 1 else None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
