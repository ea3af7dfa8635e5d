"""The histogram that is the control: drag a band over a direction's range.

    low, high = band_strip(
        "band",
        StripHistogram(edges=edges, counts=counts, class_names=("landbird", "waterbird")),
        low=state.low, high=state.high,
        markers=[Marker(0.0, "decision boundary")],
        presets=[Preset(-1.0, 1.25, "mid band", active=True), Preset(3.5, 6.0, "top band")],
        value_label="logit of waterbird",
        count=lambda low, high: band_count(sorted_scores, low, high),
    )

Scales. Edges, band, markers and presets are always activations. `places` says where each edge stands on the axis: its
quantile or its z-score; between two edges the axis is linear. The browser draws and drags in places and reports
activations, so a change of scale never changes the band.

Who owns the band. The page passes the band it wants; the person moves it. The later of the two wins: a call whose
`low, high` differ from the call before moves the strip (a preset was pressed, another direction chosen), any other
call returns what the person last set. So a page may store what is returned or pass the same start for ever.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import streamlit as st

from pages.parts.component_source import source
from pages.parts.theme import DARK, LIGHT

# what is not known is no value among others
UNKNOWN_COLORS = ("#7a858e", "#87929b")

TickFormat = Literal["value", "percent", "z"]
AXIS_LABELS: dict[TickFormat, str] = {
    "value": "",
    "percent": "percent of images below",
    "z": "standard deviations from the mean",
}

_component = st.components.v2.component(
    "midband_band_strip",
    html=source("band_strip", "band_strip.html"),
    css=source("band_strip", "band_strip.css"),
    js=source("band_strip", "scale.js", "plot.js", "keys.js", "hover.js", "band_strip.js"),
)


@dataclass(frozen=True)
class StripHistogram:
    """Counts per bin and value of a facet over a direction's range.

    edges: (m + 1,) finite, increasing, the direction's own unit. counts: (values, m) integers >= 0, drawn one value
    on another in this order. class_names: one per row of counts. colors: CSS colours, one per value; () takes
    `LIGHT` or `DARK` in turn, as the page's background is. unknown: the last row counts the images
    whose value is not known, drawn grey.
    """

    edges: np.ndarray
    counts: np.ndarray
    class_names: tuple[str, ...]
    colors: tuple[str, ...] = ()
    unknown: bool = False

    def __post_init__(self) -> None:
        edges, counts = np.asarray(self.edges, dtype=np.float64), np.asarray(self.counts)
        if edges.ndim != 1 or len(edges) < 2 or not np.isfinite(edges).all() or (np.diff(edges) <= 0).any():
            raise ValueError("edges must be one rising row of at least two finite numbers")
        if counts.shape != (len(self.class_names), len(edges) - 1) or (counts < 0).any():
            raise ValueError(f"counts must be ({len(self.class_names)}, {len(edges) - 1}) and not negative")
        if self.colors and len(self.colors) != len(self.class_names):
            raise ValueError("colors must be one per class, or none")

    @property
    def range(self) -> tuple[float, float]:
        return float(self.edges[0]), float(self.edges[-1])

    @property
    def total(self) -> int:
        return int(np.asarray(self.counts).sum())


@dataclass(frozen=True)
class Marker:
    """A vertical tick with a label: a value worth knowing, in the direction's unit. color: CSS; "" is the text's."""

    value: float
    label: str
    color: str = ""


@dataclass(frozen=True)
class Preset:
    """A band that is shaded and named behind the bars, such as the mid band; strongly only where it is `active`."""

    low: float
    high: float
    label: str
    active: bool = True


@dataclass
class Owner:
    """Who moved the band last, in this session."""

    given: tuple[float, float] | None = None
    returned: tuple[float, float] | None = None
    seen: int = 0  # the person's moves up to this number are older than what the page gave


def band_strip(
    key: str,
    histogram: StripHistogram,
    low: float,
    high: float,
    *,
    markers: Sequence[Marker] = (),
    value_label: str = "activation",
    value_help: str = "",
    presets: Sequence[Preset] = (),
    places: np.ndarray | None = None,
    tick_format: TickFormat = "value",
    ends: tuple[float, float] | None = None,
    log: bool = False,
    highlight: np.ndarray | None = None,
    highlight_label: str = "",
    count: Callable[[float, float], int] | None = None,
    total: int | None = None,
    height: int = 232,
    primary: bool = True,
    movable: bool = True,
    on_change: Callable[[float, float], None] | None = None,
) -> tuple[float, float]:
    """Show the histogram with a movable band; return the band, low <= high, inside the histogram's range.

    The browser sends a band when a handle is let go (0.25 s after the last key press), never while it moves.
    places: (m + 1,) finite, increasing: where each edge stands on the axis; None puts it at its activation.
    tick_format: what places are: activations, quantiles in 0..1 (written as percent) or z-scores.
    ends: the exact places of low and high, to be written; between two edges the axis is straight and nearly true.
    log: the height of a bar is the logarithm of its count; the values share it as they share the count.
    highlight: (m,) integers >= 0, images of a subset drawn over the bars; highlight_label names it in the legend.
    count: exact number of images in (low, high); without it the strip shows what it estimates from the bins, marked
    as about. total: what they are out of; the histogram's own sum when absent.
    height: of the whole strip in CSS pixels, axis and legend included; narrow pages add a line for the legend.
    primary: arrow keys move this strip's band also when nothing on the page has the focus; one strip per page.
    movable: False shows a band that follows from elsewhere; nobody can move it here.
    on_change: called with the new band as a callback, before the script runs, when the person moved it.

    Raises ValueError when low or high is not finite or low > high, and when places or highlight do not fit the bins.
    """
    given = _inside(histogram, low, high)
    owner_key = f"{key}-owner"
    if owner_key not in st.session_state:
        st.session_state[owner_key] = Owner()
    owner: Owner = st.session_state[owner_key]
    said = _said(st.session_state.get(key)) if movable else None
    band = resolve(owner, given, said, histogram)

    def moved() -> None:
        answer = _said(st.session_state.get(key))
        if answer is not None and on_change is not None:
            on_change(*_inside(histogram, answer[1], answer[2]))

    data = strip_data(
        histogram,
        band,
        markers=markers,
        presets=presets,
        value_label=value_label,
        value_help=value_help,
        places=places,
        tick_format=tick_format,
        log=log,
        highlight=highlight,
        highlight_label=highlight_label,
    )
    _component(
        key=key,
        data=data
        | {
            "count": None if count is None else int(count(*band)),
            "total": histogram.total if total is None else int(total),
            # of the band that was given, not of one that the person moved since
            "ends": list(ends) if ends is not None and band == (low, high) else None,
            "height": height,
            "primary": primary,
            "movable": movable,
            "move": 0 if said is None else said[0],
        },
        on_band_change=moved,
    )
    return band


def resolve(
    owner: Owner, given: tuple[float, float], said: tuple[int, float, float] | None, histogram: StripHistogram
) -> tuple[float, float]:
    """The band to show: what the page gave, unless the person moved it after that. Updates `owner`."""
    number = 0 if said is None else said[0]
    if number < owner.seen:  # the browser tab was loaded anew and counts its moves from the start again
        owner.seen = 0
    # A page that stores what it was returned gives that back: no move of the page. Nor is a session's first call: a
    # band in the browser is then older than the session, as after a restart of the server.
    if owner.given is not None and given not in (owner.given, owner.returned):
        owner.seen = number
    owner.given = given
    owner.returned = given if said is None or number <= owner.seen else _inside(histogram, said[1], said[2])
    return owner.returned


def strip_data(
    histogram: StripHistogram,
    band: tuple[float, float],
    *,
    markers: Sequence[Marker] = (),
    presets: Sequence[Preset] = (),
    value_label: str = "activation",
    value_help: str = "",
    places: np.ndarray | None = None,
    tick_format: TickFormat = "value",
    log: bool = False,
    highlight: np.ndarray | None = None,
    highlight_label: str = "",
) -> dict[str, Any]:
    """What the browser draws. Markers and presets outside the range or not finite are left out.

    Raises ValueError when places or highlight do not fit the histogram's bins, and for an unknown tick format.
    """
    if tick_format not in AXIS_LABELS:
        raise ValueError(f"tick_format must be one of {', '.join(AXIS_LABELS)}, not {tick_format!r}")
    start, end = histogram.range
    known = len(histogram.class_names) - histogram.unknown
    palettes = {
        "light": _colors(LIGHT, known, histogram, UNKNOWN_COLORS[0]),
        "dark": _colors(DARK, known, histogram, UNKNOWN_COLORS[1]),
    }
    return {
        "edges": np.asarray(histogram.edges, dtype=np.float64).tolist(),
        "places": None if places is None else _places(histogram, places),
        "counts": np.asarray(histogram.counts).astype(int).tolist(),
        "classes": list(histogram.class_names),
        "unknown": histogram.unknown,
        "colors": palettes,
        "low": band[0],
        "high": band[1],
        "markers": [
            {"value": float(marker.value), "label": marker.label, "color": marker.color}
            for marker in markers
            if math.isfinite(marker.value) and start <= marker.value <= end
        ],
        "presets": [
            {"low": max(shade.low, start), "high": min(shade.high, end), "label": shade.label, "active": shade.active}
            for shade in presets
            if shade.low <= shade.high and shade.high >= start and shade.low <= end
        ],
        "highlight": None if highlight is None else _highlight(histogram, highlight),
        "highlightLabel": highlight_label,
        "valueLabel": value_label,
        "valueHelp": value_help,
        "axisLabel": AXIS_LABELS[tick_format],
        "tickFormat": tick_format,
        "log": log,
    }


def _colors(palette: tuple[str, ...], known: int, histogram: StripHistogram, unknown: str) -> list[str]:
    if histogram.colors:
        return list(histogram.colors)
    return [palette[i % len(palette)] for i in range(known)] + [unknown] * histogram.unknown


def _places(histogram: StripHistogram, places: np.ndarray) -> list[float]:
    places = np.asarray(places, dtype=np.float64)
    if places.shape != np.shape(histogram.edges) or not np.isfinite(places).all() or (np.diff(places) <= 0).any():
        raise ValueError("places must be rising finite numbers, one per edge")
    return places.tolist()


def _highlight(histogram: StripHistogram, counts: np.ndarray) -> list[int]:
    counts = np.asarray(counts)
    if counts.shape != (len(histogram.edges) - 1,) or (counts < 0).any():
        raise ValueError("highlight must be one count >= 0 per bin")
    return counts.astype(int).tolist()


def _inside(histogram: StripHistogram, low: float, high: float) -> tuple[float, float]:
    """(low, high) cut to the histogram's range. Raises ValueError when they are no band."""
    if not (math.isfinite(low) and math.isfinite(high)) or low > high:
        raise ValueError(f"a band needs finite low <= high, not {low}, {high}")
    start, end = histogram.range
    return min(max(float(low), start), end), min(max(float(high), start), end)


def _said(state: object) -> tuple[int, float, float] | None:
    """(number of the move, low, high) as the browser sent it; None unless it is a band of finite numbers."""
    message = state.get("band") if isinstance(state, dict) else None
    if not isinstance(message, dict):
        return None
    number, low, high = message.get("move"), message.get("low"), message.get("high")
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        return None
    if not all(isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v) for v in (low, high)):
        return None
    return (number, float(low), float(high)) if low <= high else None
