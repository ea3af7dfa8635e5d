"""Charts drawn as HTML in Python: they are there with the page, follow dark and light by themselves, and never move.

Streamlit keeps no SVG in HTML, so a line is a mask of its box, made of an SVG that is stretched without its stroke, and
a ribbon a polygon that its box is cut to. Everything else is HTML placed in percent of the plot, so that text, dots and
strokes have one size at every width. assets/plot/plot.css has the rest.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from urllib.parse import quote

import streamlit as st

# lines and marks that one tells apart without their colours
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
MARKERS = ("circle", "square", "diamond", "triangle", "cross", "star")
# lengths of strokes and gaps, in widths of the line
_LENGTHS = {
    "solid": (),
    "dash": (3, 3),
    "dot": (1, 1.5),
    "dashdot": (3, 1.5, 1, 1.5),
    "longdash": (6, 3),
    "longdashdot": (6, 1.5, 1, 1.5),
}
_STEPS = (1, 2, 5, 10)
# percent of the plot's width below which the names of two shades may meet on a phone
_CLOSE = 20
# characters of the longest label from which every second one is left out where there is little room
_LONG = 5
# values of an axis that count as the same place: rounding, in parts of its length
_SLACK = 1e-9


def both(light: str, dark: str) -> str:
    """A colour that follows the page without a run of it."""
    return f"light-dark({light}, {dark})"


# as theme.muted_color, accent_color and line_color have them
MUTED = both("#5c6b76", "#98a5af")
ACCENT = both("#0b7285", "#57b8c9")
LINE = both("#dde3e7", "#2f3942")


def isolated(name: str) -> str:
    """A name within other text: it keeps its own direction, and that of what is around it."""
    return f"\u2068{name}\u2069"


@dataclass(frozen=True)
class Axis:
    """low < high: the ends of the plot. ticks: values within, and what stands there. grid: a line at each."""

    title: str
    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]
    grid: bool = True

    def at(self, value: float) -> float:
        """Percent of the way from low to high, of values beyond the nearer end."""
        return min(100.0, max(0.0, self.along(value)))

    def along(self, value: float) -> float:
        """The same, of values beyond as well."""
        return 100 * (value - self.low) / (self.high - self.low)


@dataclass(frozen=True)
class Key:
    """What the legend says of one line (dash, marker) or of bars (neither)."""

    name: str
    color: str
    dash: str = ""
    marker: str = ""
    width: float = 2.0
    opacity: float = 1.0


@dataclass(frozen=True)
class Told:
    """What is said of one stretch of the plot, for the pointer and for the keys.

    at: where, on the x axis. title: of the stretch. rows: (name or "", what is said). keys: one per row, or none.
    """

    at: float
    title: str
    rows: tuple[tuple[str, str], ...]
    keys: tuple[Key, ...] = ()

    @property
    def text(self) -> str:
        told = [f"{isolated(name)}: {value}" if name else value for name, value in self.rows]
        return "; ".join([self.title, *told] if self.title else told)


def axis(
    title: str, low: float, high: float, *, most: int = 7, percent: bool = False, grid: bool = True, least: float = 0.0
) -> Axis:
    """An axis with nice ticks. most: at most so many. percent: values are 0..1. least: of the step between ticks."""
    values, step = nice_ticks(low, high, most, least)
    return Axis(title, low, high, tuple((value, _label(value, step, percent)) for value in values), grid)


def nice_ticks(low: float, high: float, most: int = 7, least: float = 0.0) -> tuple[tuple[float, ...], float]:
    """The values, and the step between them: 1, 2 or 5 times a power of ten, the finest with at most `most` values.

    most: 2 or more. least: of the step.
    """
    least = max(least, (high - low) / most, math.ulp(max(abs(low), abs(high))) * 4)
    power = 10.0 ** math.floor(math.log10(least))
    for step in (factor * power * more for more in (1, 10, 100) for factor in _STEPS[:-1]):
        if step < least * (1 - _SLACK):
            continue
        first, last = math.ceil(low / step - _SLACK), math.floor(high / step + _SLACK)
        if last - first < most:
            # a rounded product: 0.30000000000000004 is no tick
            decimals = max(0, -math.floor(math.log10(step) + _SLACK))
            return tuple(round(number * step, decimals) for number in range(first, last + 1)), step
    return (), least


def shade(x: Axis, low: float, high: float, color: str, label: str = "", *, raised: bool = False) -> str:
    """A stretch of the x axis from bottom to top, with its name above the plot; "" where none of it is in the plot."""
    if high < low or high < x.low or low > x.high:
        return ""
    start, stop = x.at(low), x.at(high)
    box = f'<i class="shade" style="--x:{start:.3f};--w:{stop - start:.3f};--c:{color}"></i>'
    if not label:
        return box
    middle = (start + stop) / 2
    return (
        f'{box}<b class="shade-name{" raised" if raised else ""}" style="--x:{middle:.3f};--c:{color}">'
        f"{html.escape(label)}</b>"
    )


def collide(x: Axis, one: tuple[float, float], other: tuple[float, float]) -> bool:
    """Whether the names of two stretches, (low, high) each, would meet."""
    middles = [(x.at(low) + x.at(high)) / 2 for low, high in (one, other)]
    return abs(middles[0] - middles[1]) < _CLOSE


def ribbon(x: Axis, y: Axis, xs: Sequence[float], lows: Sequence[float], highs: Sequence[float], color: str) -> str:
    """The area between lows and highs. One place alone has no area: it is a thin bar."""
    if len(xs) == 1:
        low, high = y.at(lows[0]), y.at(highs[0])
        return f'<i class="lone" style="--x:{x.at(xs[0]):.3f};--y:{low:.3f};--h:{high - low:.3f};--c:{color}"></i>'
    way = [*zip(xs, highs, strict=True), *zip(reversed(xs), reversed(lows), strict=True)]
    corners = ",".join(f"{x.at(a):.3f}% {100 - y.at(b):.3f}%" for a, b in way)
    return f'<i class="ribbon" style="clip-path:polygon({corners});--c:{color}"></i>'


def line(
    x: Axis,
    y: Axis,
    xs: Sequence[float],
    ys: Sequence[float | None],
    color: str,
    *,
    width: float = 2.0,
    dash: str = "solid",
) -> str:
    """A line through the points, with a gap where there is no y; cut off at the edges of the plot."""
    points = [None if b is None else (x.along(a), y.along(b)) for a, b in zip(xs, ys, strict=True)]
    return f'<i class="line" style="--c:{color};{_mask(points, width, dash)}"></i>'


def dot(
    x: Axis,
    y: Axis,
    at: float,
    value: float,
    color: str,
    *,
    marker: str = "circle",
    size: float = 11.0,
    opacity: float = 1.0,
) -> str:
    """A mark in the middle of a point. size: pixels."""
    faint = f";opacity:{opacity:g}" if opacity < 1 else ""
    return (
        f'<i class="mark {marker}" style="--x:{x.at(at):.3f};--y:{y.at(value):.3f};--s:{size:.1f};--c:{color}{faint}">'
        "</i>"
    )


def whisker(x: Axis, y: Axis, at: float, low: float, high: float, color: str) -> str:
    """An interval: a thin bar with ends."""
    start, stop = y.at(low), y.at(high)
    return f'<i class="whisker" style="--x:{x.at(at):.3f};--y:{start:.3f};--h:{stop - start:.3f};--c:{color}"></i>'


def bars(
    x: Axis,
    y: Axis,
    edges: Sequence[float],
    counts: Sequence[float],
    color: str,
    *,
    below: Sequence[float] | None = None,
    opacity: float = 1.0,
) -> str:
    """A bar from edge to edge per count, none for 0. below: what each stands on. edges: one more than counts."""
    drawn = []
    for i, number in enumerate(counts):
        if not number:
            continue
        foot = below[i] if below is not None else 0
        start, stop = x.at(edges[i]), x.at(edges[i + 1])
        low, high = y.at(foot), y.at(foot + number)
        drawn.append(f'<i style="--x:{start:.3f};--w:{stop - start:.3f};--y:{low:.3f};--h:{high - low:.3f}"></i>')
    return f'<i class="bars" style="--c:{color};opacity:{opacity:g}">{"".join(drawn)}</i>'


def plot(
    x: Axis,
    y: Axis,
    drawn: Iterable[str],
    *,
    key: str,
    height: int,
    told: str,
    keys: Sequence[Key] = (),
    hints: Sequence[Told] = (),
) -> str:
    """The whole chart.

    drawn: what the functions above give, the lowest first. key: a word of letters and dashes, of this chart alone.
    height: pixels from the plot's top to its bottom, without axes and legend. told: what it shows, for who cannot see
    it. hints: along the x axis; the pointer finds the nearest, and the arrow keys go from one to the next.
    """
    return (
        f'<div class="plot" style="--height:{height}px">{_legend(keys)}'
        f'<div class="frame"><span class="title up" aria-hidden="true">{html.escape(y.title)}</span>{_scale(y, "up")}'
        f'<div class="field"><div class="drawing" role="img" aria-label="{html.escape(told)}">'
        f"{_grid(x, y)}{''.join(drawn)}</div>{_hints(x, hints, key)}</div>"
        f'{_scale(x, "along")}<span class="title along" aria-hidden="true">{html.escape(x.title)}</span></div></div>'
    )


def draw(markup: str, key: str) -> None:
    with st.container(key=key):
        st.html(markup)


def _label(value: float, step: float, percent: bool) -> str:
    if percent:
        value, step = 100 * value, 100 * step
    decimals = max(0, -math.floor(math.log10(step) + _SLACK))
    # 1e-7 with all its zeros would be longer than the plot is wide
    told = f"{value:g}" if decimals > 6 or abs(value) >= 1e7 else f"{value:,.{decimals}f}"
    return told.replace("-", "\u2212") + ("%" if percent else "")


def _mask(points: Sequence[tuple[float, float] | None], width: float, dash: str) -> str:
    """Percent from the left and from the bottom."""
    way, down = [], False
    for i, point in enumerate(points):
        if point is None:
            down = False
            continue
        # a point between two gaps has its mark only
        if down or (i + 1 < len(points) and points[i + 1] is not None):
            way.append(f"{'L' if down else 'M'}{point[0]:.3f} {100 - point[1]:.3f}")
        down = True
    strokes = " ".join(f"{length * width:g}" for length in _LENGTHS[dash])
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100" preserveAspectRatio="none">'
        f'<path d="{"".join(way)}" fill="none" stroke="#000" stroke-width="{width:g}" stroke-linejoin="round" '
        f'vector-effect="non-scaling-stroke" stroke-dasharray="{strokes or "none"}"/></svg>'
    )
    return f"--shape:url('data:image/svg+xml,{quote(svg, safe='')}')"


def _grid(x: Axis, y: Axis) -> str:
    across = [f'<i class="grid" style="--y:{y.at(value):.3f}"></i>' for value, _ in y.ticks] if y.grid else []
    up = [f'<i class="grid up" style="--x:{x.at(value):.3f}"></i>' for value, _ in x.ticks] if x.grid else []
    return "".join([*across, *up])


def _scale(one: Axis, way: str) -> str:
    longest = max((label for _, label in one.ticks), key=len, default="")
    tight = " tight" if way == "along" and len(longest) >= _LONG and len(one.ticks) > 4 else ""
    ticks = "".join(f'<span style="--at:{one.at(value):.3f}">{html.escape(label)}</span>' for value, label in one.ticks)
    # the longest, unseen, makes the room for all
    return f'<div class="scale {way}{tight}" aria-hidden="true"><b>{html.escape(longest)}</b>{ticks}</div>'


def _legend(keys: Sequence[Key]) -> str:
    if not keys:
        return ""
    lines = "".join(f'<li>{_swatch(one)}<bdi dir="auto">{html.escape(one.name)}</bdi></li>' for one in keys)
    return f'<ul class="legend">{lines}</ul>'


def _swatch(one: Key) -> str:
    if not one.dash:
        return f'<span class="swatch box"><i style="--c:{one.color};opacity:{one.opacity:g}"></i></span>'
    stroke = _mask([(0, 50), (100, 50)], one.width, one.dash)
    size = 7 if one.width < 3 else 10
    mark = f'<i class="mark {one.marker}" style="--x:50;--y:50;--s:{size};--c:{one.color}"></i>' if one.marker else ""
    return f'<span class="swatch"><i class="line" style="--c:{one.color};{stroke}"></i>{mark}</span>'


def _hints(x: Axis, hints: Sequence[Told], key: str) -> str:
    """A stretch of the plot each, from half way to the one before to half way to the next: of a group of buttons one
    is reached with the tab key and the others with arrows, and no script is needed."""
    if not hints:
        return ""
    hints = sorted(hints, key=lambda one: one.at)
    places = [x.at(one.at) for one in hints]
    edges = [0.0, *((a + b) / 2 for a, b in pairwise(places)), 100.0]
    parts = []
    for i, (one, place) in enumerate(zip(hints, places, strict=True)):
        start, stop = edges[i], edges[i + 1]
        named = f"<strong>{html.escape(one.title)}</strong>" if one.title else ""
        rows = "".join(
            f"<span>{_swatch(one.keys[j]) if one.keys else ''}{_row(name, value)}</span>"
            for j, (name, value) in enumerate(one.rows)
        )
        parts.append(
            f'<label class="hit{" late" if place > 50 else ""}" '
            f'style="--x:{start:.3f};--w:{stop - start:.3f};--at:{place:.3f}">'
            f'<input type="radio" name="{html.escape(key)}-figures" aria-label="{html.escape(one.text)}">'
            f'<i class="guide"></i><span class="hint" aria-hidden="true">{named}{rows}</span></label>'
        )
    return f'<div class="hits" role="radiogroup" aria-label="Figures, by arrow keys">{"".join(parts)}</div>'


def _row(name: str, value: str) -> str:
    named = f'<bdi dir="auto">{html.escape(name)}</bdi>: ' if name else ""
    return f"<em>{named}{html.escape(value)}</em>"
