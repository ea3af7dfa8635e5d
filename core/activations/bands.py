"""Bands: ranges of an activation, and the one rule that says which image lies in which.

Counting, membership, histograms and sampling all come here. A band is [low, high); the last band of a list of edges is
closed, as in `numpy.histogram`, so that the maximum has a place. Counts, what lies below, what lies above and what is
not a number always sum to n.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.errors import BadRequest


@dataclass(frozen=True)
class Edges:
    """values: (b+1,) float64, strictly increasing; the one exception is [v, v], the closed band of a single value,
    and (0,) when no value is finite. note: what had to be done differently from what was asked, or ""."""

    values: np.ndarray
    note: str = ""


@dataclass(frozen=True)
class Band:
    """low <= activation < high (<= high where closed). classes: images per class name, {} when no labels were given."""

    low: float
    high: float
    closed: bool
    count: int
    classes: dict[str, int]

    def to_dict(self) -> dict[str, Any]:
        return {
            "low": self.low,
            "high": self.high,
            "closed": self.closed,
            "count": self.count,
            "classes": dict(self.classes),
        }


@dataclass(frozen=True)
class BandCounts:
    """Images per band, and those in none: sum of the bands + below + above + not_a_number = n."""

    bands: tuple[Band, ...]
    below: int
    above: int
    not_a_number: int

    @property
    def edges(self) -> tuple[float, ...]:
        return (*(band.low for band in self.bands), self.bands[-1].high) if self.bands else ()

    def to_dict(self) -> dict[str, Any]:
        return {
            "edges": list(self.edges),
            "bands": [band.to_dict() for band in self.bands],
            "below": self.below,
            "above": self.above,
            "not_a_number": self.not_a_number,
        }


@dataclass(frozen=True)
class Range:
    """A proposed band, closed at both ends, and a sentence saying why it is this one."""

    low: float
    high: float
    why: str
    closed: bool = True

    def to_dict(self) -> dict[str, Any]:
        return {"low": self.low, "high": self.high, "closed": self.closed, "why": self.why}


def assign(scores: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Band index per image: [low, high), the last band closed.

    scores: (n,) float. edges: (b+1,) increasing, as `check_edges` returns them. Returns (n,) int64; -1 outside the
    edges and for NaN.
    """
    edges = np.asarray(edges, dtype=np.float64)
    bands = len(edges) - 1
    if bands < 1:
        return np.full(len(scores), -1, dtype=np.int64)
    # float32 scores are compared in float64: rounding the edges instead would move images across them
    scores = np.asarray(scores, dtype=np.float64)
    index = np.searchsorted(edges, scores, side="right") - 1
    index[scores == edges[-1]] = bands - 1
    # NaN sorts above every edge
    index[index >= bands] = -1
    return index


def bounds(sorted_values: np.ndarray, low: float, high: float, *, closed: bool) -> tuple[int, int]:
    """The rule of `assign` on a sorted array: positions start:stop lie in [low, high), or [low, high] when closed.

    sorted_values: (n,) float, ascending, NaN last as `numpy.sort` leaves them; a memory map is read in log2(n) places
    only. Raises `BadRequest` when low > high or either is NaN.
    """
    if math.isnan(low) or math.isnan(high):
        raise BadRequest(
            "A band begins and ends at numbers, and nan is none.",
            next_step="Give the two ends of the band, or leave one out where it has none.",
        )
    if low > high:
        raise BadRequest(
            f"The band from {low:g} to {high:g} holds nothing: its low end lies above its high end.",
            next_step="Give the lower activation first.",
        )
    start = _first_at_least(sorted_values, low)
    stop = _first_above(sorted_values, high) if closed else _first_at_least(sorted_values, high)
    return start, stop


def cuts(sorted_values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """The rule of `assign` on a sorted array, for all bands at once: band i lies at positions cuts[i]:cuts[i + 1].

    sorted_values: (n,) float, ascending, NaN last. edges: (b+1,) as `check_edges` returns them. Returns (b+1,) int64.
    """
    edges = np.asarray(edges, dtype=np.float64)
    dtype = sorted_values.dtype
    with np.errstate(over="ignore"):
        keys = edges.astype(dtype)
        # rounded up: selects what comparing in float64 would, see `_rounded`
        keys = np.where(keys.astype(np.float64) < edges, np.nextafter(keys, dtype.type(np.inf)), keys)
    places = np.searchsorted(sorted_values, keys, side="left").astype(np.int64)
    if len(edges):
        places[-1] = _first_above(sorted_values, float(edges[-1]))
    return places


def check_edges(edges: Sequence[float] | np.ndarray) -> np.ndarray:
    """Edges as a person gave them, as (b+1,) float64. Raises `BadRequest` unless finite and increasing."""
    values = np.asarray(edges, dtype=np.float64)
    if values.ndim != 1 or len(values) < 2 or not np.isfinite(values).all():
        raise BadRequest(
            f"Edges have to be two or more finite numbers; {len(np.atleast_1d(values))} came in.",
            next_step="Give them like 0,1.5,3.",
        )
    if not (np.diff(values) > 0).all() and not (len(values) == 2 and values[0] == values[1]):
        raise BadRequest("Each edge has to be larger than the one before.", next_step="Sort them, drop repeated ones.")
    return values


def equal_width_edges(values: np.ndarray, count: int) -> Edges:
    """Edges of `count` bands of equal width from the smallest to the largest finite value.

    values: (n,) float, any order. All values equal: one closed band [v, v]. No finite value: no band. Infinite values
    do not stretch the edges; they are counted below and above.
    """
    _check_count(count)
    finite = _finite(values)
    if not len(finite):
        return Edges(np.empty(0), f"{nothing_in(values)}, so there are no bands.")
    low, high = finite.min(), finite.max()
    steps = np.linspace(0.0, 1.0, count + 1)
    # low*(1-t) + high*t cannot overflow where high - low would
    edges = low * (1 - steps) + high * steps
    edges[0], edges[-1] = low, high
    return _merged(edges, count)


def quantile_edges(values: np.ndarray, count: int) -> Edges:
    """Edges of `count` bands that hold equally many finite values, as far as ties allow.

    values: (n,) float, any order. Where many values are equal, edges coincide and their bands are merged: the note
    says how many are left.
    """
    _check_count(count)
    finite = _finite(values)
    if not len(finite):
        return Edges(np.empty(0), f"{nothing_in(values)}, so there are no bands.")
    # an observed value as edge, never one between two: a tie then lies on one side as a whole
    return _merged(np.quantile(finite, np.linspace(0.0, 1.0, count + 1), method="inverted_cdf"), count)


def count(
    scores: np.ndarray, edges: np.ndarray, *, labels: np.ndarray | None = None, classes: Sequence[str] = ()
) -> BandCounts:
    """Images per band, split by class when labels are given.

    scores: (n,) float. edges: (b+1,), see `assign`. labels: (n,) int, index into `classes`. Without edges there is no
    band to lie below or above of: minus infinity is below, all other numbers are above, as `index.histogram` has it.
    """
    edges = np.asarray(edges, dtype=np.float64)
    index = assign(scores, edges)
    total = max(len(edges) - 1, 0)
    inside = index >= 0
    sizes = np.bincount(index[inside], minlength=total)
    table = np.zeros((total, len(classes)), dtype=np.int64)
    if labels is not None and total and classes:
        cells = index[inside] * len(classes) + np.asarray(labels)[inside]
        table = np.bincount(cells, minlength=table.size).reshape(table.shape)
    bands = tuple(
        Band(
            low=float(edges[i]),
            high=float(edges[i + 1]),
            closed=i == total - 1,
            count=int(sizes[i]),
            classes={name: int(table[i, c]) for c, name in enumerate(classes)} if labels is not None else {},
        )
        for i in range(total)
    )
    missing = int(np.isnan(scores).sum())
    below = int((scores < edges[0] if total else np.isneginf(scores)).sum())
    return BandCounts(bands, below, len(scores) - int(sizes.sum()) - below - missing, missing)


def nothing_in(values: np.ndarray) -> str:
    """Why none of these activations is finite, as the beginning of a sentence."""
    return "No activation is a finite number" if len(values) else "No image is left"


def _finite(values: np.ndarray) -> np.ndarray:
    values = np.asarray(values, dtype=np.float64)
    return values[np.isfinite(values)]


def _merged(edges: np.ndarray, count: int) -> Edges:
    distinct = np.unique(edges)
    if len(distinct) == 1:
        # all values equal: the edges coincide, and one closed band holds them all
        return Edges(np.repeat(distinct, 2), f"All activations are {distinct[0]:g}, so there is one band.")
    bands = len(distinct) - 1
    if bands < count:
        return Edges(distinct, f"Many activations are equal: {count} bands became {bands}. Ask for fewer bands.")
    return Edges(distinct)


def _check_count(count: int) -> None:
    if not 1 <= count <= 1000:
        raise BadRequest(f"{count} bands cannot be made.", next_step="Ask for 1 to 1000 bands.")


def _first_at_least(values: np.ndarray, bound: float) -> int:
    return int(np.searchsorted(values, _rounded(bound, values.dtype, up=True), side="left"))


def _first_above(values: np.ndarray, bound: float) -> int:
    return int(np.searchsorted(values, _rounded(bound, values.dtype, up=False), side="right"))


def _rounded(bound: float, dtype: np.dtype, *, up: bool) -> np.floating:
    """The nearest number of the array's own type that is not below (up) or above the bound.

    Comparing with it selects exactly what comparing in float64 would; a float64 key would make `searchsorted` copy the
    whole array to float64 first.
    """
    with np.errstate(over="ignore"):
        key = dtype.type(bound)
    # float(): numpy would round the bound to the array's type before comparing
    if up and float(key) < bound:
        return np.nextafter(key, dtype.type(np.inf))
    if not up and float(key) > bound:
        return np.nextafter(key, dtype.type(-np.inf))
    return key
