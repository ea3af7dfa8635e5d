"""The histogram that is the control: drag a band over a direction's range.

    low, high = band_strip(
        "band",
        StripHistogram(edges=edges, counts=counts, class_names=("landbird", "waterbird")),
        low=state.low, high=state.high,
        markers=[Marker(0.0, "decision boundary")],
        value_label="logit of waterbird",
        count=lambda low, high: band_count(sorted_scores, low, high),
    )

Who owns the band. The page passes the band it wants; the person moves it. The later of the two wins: a call whose
`low, high` differ from the call before moves the strip (a preset was pressed, another direction chosen), any other
call returns what the person last set. So a page may store what is returned or pass the same start for ever.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import streamlit as st

from pages.parts.component_source import source

# Okabe and Ito, "Color Universal Design" (2008), in an order that keeps neighbours apart; the same in light and dark.
CLASS_COLORS = ("#56b4e9", "#e69f00", "#009e73", "#cc79a7", "#0072b2", "#d55e00", "#8c8c8c", "#b8a200")

_component = st.components.v2.component(
    "midband_band_strip",
    html=source("band_strip", "band_strip.html"),
    css=source("band_strip", "band_strip.css"),
    js=source("band_strip", "scale.js", "plot.js", "band_strip.js"),
)


@dataclass(frozen=True)
class StripHistogram:
    """Counts per bin and class over a direction's range.

    edges: (m + 1,) finite, increasing, the direction's own unit. counts: (classes, m) integers >= 0, drawn one class
    on another in this order. class_names: one per row of counts. colors: CSS colours, one per class; () takes
    `CLASS_COLORS` in turn.
    """

    edges: np.ndarray
    counts: np.ndarray
    class_names: tuple[str, ...]
    colors: tuple[str, ...] = ()

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
    """A vertical tick with a label: a value worth knowing, in the direction's unit."""

    value: float
    label: str


@dataclass(frozen=True)
class Preset:
    """A band that is lightly shaded and named behind the bars, such as the mid band."""

    low: float
    high: float
    label: str


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
    preset: Preset | None = None,
    count: Callable[[float, float], int] | None = None,
    total: int | None = None,
    noun: str = "images",
    height: int = 150,
    on_change: Callable[[float, float], None] | None = None,
) -> tuple[float, float]:
    """Show the histogram with a movable band; return the band, low <= high, inside the histogram's range.

    The browser sends a band when a handle is let go (0.25 s after the last key press), never while it moves.
    count: exact number of images in (low, high); without it the strip shows what it estimates from the bins, marked
    as about. total: what they are out of; the histogram's own sum when absent. noun: what is counted.
    height: of the whole strip in CSS pixels, axis and legend included.
    on_change: called with the new band as a callback, before the script runs, when the person moved it.

    Raises ValueError when low or high is not finite or low > high.
    """
    given = _inside(histogram, low, high)
    owner_key = f"{key}-owner"
    if owner_key not in st.session_state:
        st.session_state[owner_key] = Owner()
    owner: Owner = st.session_state[owner_key]
    said = _said(st.session_state.get(key))
    band = resolve(owner, given, said, histogram)

    def moved() -> None:
        answer = _said(st.session_state.get(key))
        if answer is not None and on_change is not None:
            on_change(*_inside(histogram, answer[1], answer[2]))

    _component(
        key=key,
        data=strip_data(histogram, band, markers=markers, preset=preset, value_label=value_label, noun=noun)
        | {
            "count": None if count is None else int(count(*band)),
            "total": histogram.total if total is None else int(total),
            "height": height,
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
    preset: Preset | None = None,
    value_label: str = "activation",
    noun: str = "images",
) -> dict[str, Any]:
    """What the browser draws. Markers outside the range or not finite are left out."""
    start, end = histogram.range
    colors = histogram.colors or tuple(CLASS_COLORS[i % len(CLASS_COLORS)] for i in range(len(histogram.class_names)))
    return {
        "edges": np.asarray(histogram.edges, dtype=np.float64).tolist(),
        "counts": np.asarray(histogram.counts).astype(int).tolist(),
        "classes": list(histogram.class_names),
        "colors": list(colors),
        "low": band[0],
        "high": band[1],
        "markers": [
            {"value": float(marker.value), "label": marker.label}
            for marker in markers
            if math.isfinite(marker.value) and start <= marker.value <= end
        ],
        "preset": None if preset is None else {"low": preset.low, "high": preset.high, "label": preset.label},
        "valueLabel": value_label,
        "noun": noun,
    }


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
