"""Activations in order: what makes any range of a direction countable without a scan.

    <analysis>/sorted/<key>.sorted.npy   (2, n) uint32: the bits of (n,) float32 values ascending, NaN last; and their
                                         rows, values[i] is the activation of row order[i]

They are made when first asked for and removed again, the one used longest ago first, when the folder grows beyond
`KEPT` bytes. Two processes that make the same one at once need not agree in the last digit (a sum over many features
depends on how its library parts it), so values and order are one file, written beside and renamed: whoever reads has
both from the same hand. Membership is the rule of `bands`, always.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from core.activations.bands import bounds, cuts
from core.activations.directions import OF_LOGITS, scores
from core.errors import BadRequest
from core.files import mark_used, read_array, slug, write_array

if TYPE_CHECKING:
    from core.activations.directions import Direction
    from core.activations.facets import Facet
    from core.activations.store import Analysis

# positions between two rows of a facet's prefix sums: a count looks at fewer codes than this at each end
BLOCK = 2048
# bytes of sorted activations kept per analysis: 250 directions of a million images
KEPT = 2_000_000_000
# bins of an axis at most
MOST_BINS = 2000
# results remembered per open index
_REMEMBERED = 6
_SUFFIX = ".sorted.npy"

Result = TypeVar("Result")


@dataclass(frozen=True, eq=False)
class BandIndex:
    """values: (m,) float32 ascending, NaN last. order: (m,) uint32 rows, values[i] is the activation of row order[i];
    rows of equal activation ascend. finite: positions start, stop of the finite values."""

    values: np.ndarray
    order: np.ndarray
    _results: dict[Hashable, Any] = field(default_factory=dict, init=False, repr=False)

    @property
    def m(self) -> int:
        return len(self.values)

    @cached_property
    def finite(self) -> tuple[int, int]:
        start = int(np.searchsorted(self.values, np.float32(-np.inf), side="right"))
        return start, int(np.searchsorted(self.values, np.float32(np.inf), side="left"))

    @property
    def low(self) -> float:
        """The smallest finite activation, 0.0 where there is none."""
        start, stop = self.finite
        return float(self.values[start]) if stop > start else 0.0

    @property
    def high(self) -> float:
        """The largest finite activation, 0.0 where there is none."""
        start, stop = self.finite
        return float(self.values[stop - 1]) if stop > start else 0.0

    def remember(self, key: Hashable, make: Callable[[], Result]) -> Result:
        """What was made under a key, made now if it was not; the last few are kept."""
        found = self._results.get(key)
        if found is None:
            found = make()
            # threads may make the same twice; what is dropped is made again
            for oldest in list(self._results)[: max(len(self._results) + 1 - _REMEMBERED, 0)]:
                self._results.pop(oldest, None)
            self._results[key] = found
        return found


@dataclass(frozen=True, eq=False)
class FacetIndex:
    """A facet in the order of an index. codes: (m,) unsigned, len(facet.values) where unknown. totals: (blocks + 1,
    v + 1) int64, images per value (unknown last) among the first i * BLOCK positions."""

    facet: Facet
    codes: np.ndarray
    totals: np.ndarray


@dataclass(frozen=True, eq=False)
class Histogram:
    """edges: (b+1,) float64, see `bands.assign`. counts: (v+1, b) int64, per value of the facet and unknown last, or
    (1, b) without facet. below, above, not_a_number: images outside; with the counts they sum to `total`."""

    edges: np.ndarray
    counts: np.ndarray
    below: int
    above: int
    not_a_number: int

    @property
    def total(self) -> int:
        return int(self.counts.sum()) + self.below + self.above + self.not_a_number


def open_index(analysis: Analysis, direction: Direction, rows: np.ndarray | None = None) -> BandIndex:
    """The activations of a direction in order, memory-mapped; sorted now if that was not done before.

    rows: (n,) bool, only these images; None means all.
    """
    whole = _whole(analysis, direction)
    return whole if rows is None else narrowed(whole, rows)


def make_index(values: np.ndarray, rows: np.ndarray | None = None) -> BandIndex:
    """An index of activations in memory. values: (n,) float32, in row order. rows: (n,) bool; None means all."""
    whole = BandIndex(*_in_order(values))
    return whole if rows is None else narrowed(whole, rows)


def narrowed(index: BandIndex, rows: np.ndarray) -> BandIndex:
    """The part of an index of all images that some of them make. rows: (n,) bool."""
    kept = np.asarray(rows, dtype=bool)[index.order]
    return BandIndex(index.values[kept], index.order[kept])


def positions(index: BandIndex, low: float, high: float, *, closed: bool) -> tuple[int, int]:
    """Where a band lies in an index: positions start:stop. Raises `BadRequest` for a band upside down."""
    return bounds(index.values, low, high, closed=closed)


def members(index: BandIndex, low: float, high: float, *, closed: bool) -> np.ndarray:
    """Rows (m,) int64 of a band, by ascending activation."""
    start, stop = positions(index, low, high, closed=closed)
    return index.order[start:stop].astype(np.int64)


def value_at(index: BandIndex, quantile: float) -> float:
    """The smallest activation that this share of the finite ones does not exceed: one that occurs, never one between
    two. quantile: 0..1. 0.0 where no activation is finite. Raises `BadRequest`."""
    if not 0 <= quantile <= 1:
        raise BadRequest(f"{quantile:g} is not a share of the images.", next_step="Give a number from 0 to 1.")
    start, stop = index.finite
    if stop == start:
        return 0.0
    # the product may lie a hair above the whole number that was meant
    place = math.ceil(quantile * (stop - start) * (1 - 1e-15)) - 1
    return float(index.values[start + min(max(place, 0), stop - start - 1)])


def quantile_of(index: BandIndex, value: float) -> float:
    """The share of the finite activations that do not exceed a value: 0..1, 0.0 where none is finite or for NaN."""
    start, stop = index.finite
    if stop == start or math.isnan(value):
        return 0.0
    _, upto = bounds(index.values, -math.inf, value, closed=True)
    return (min(max(upto, start), stop) - start) / (stop - start)


def share_below(index: BandIndex, value: float) -> float:
    """The share of the finite activations that lie strictly below a value: 0..1, 0.0 where there is none or for NaN."""
    start, stop = index.finite
    if stop == start or math.isnan(value):
        return 0.0
    return (_finite_below(index, value) - start) / (stop - start)


def same_share(here: BandIndex, low: float, high: float, there: BandIndex) -> tuple[float, float]:
    """The band of another index that begins and ends at the same shares of its images, as near as its ties allow.

    low, high: a closed band of `here`. What equal activations part is never parted: an end falls on an activation that
    occurs. (0.0, 0.0) where the other index has no finite activation.
    """
    start, stop = there.finite
    if stop == start:
        return 0.0, 0.0
    images = stop - start
    # the products may lie a hair beside the whole numbers that are meant
    first = min(math.floor(share_below(here, low) * images + 1e-6), images - 1)
    last = min(max(math.ceil(quantile_of(here, high) * images - 1e-6) - 1, first), images - 1)
    return float(there.values[start + first]), float(there.values[start + last])


def moments(index: BandIndex) -> tuple[float, float]:
    """Mean and standard deviation of the finite activations; (0.0, 0.0) where there is none."""
    return index.remember("moments", lambda: _moments(index.values[slice(*index.finite)]))


def facet_index(index: BandIndex, facet: Facet) -> FacetIndex:
    """Bring a facet in the order of an index, with prefix sums."""
    width = len(facet.values) + 1
    shifted = facet.codes.astype(np.min_scalar_type(width), copy=True)
    shifted[facet.codes < 0] = width - 1
    codes = shifted[index.order]
    whole = index.m // BLOCK
    totals = np.zeros((-(-index.m // BLOCK) + 1, width), dtype=np.int64)
    # some blocks at a time, so that what bincount needs stays small
    several = max(1, 1_000_000 // BLOCK)
    for first in range(0, whole, several):
        some = min(several, whole - first)
        cells = codes[first * BLOCK : (first + some) * BLOCK].astype(np.int64).reshape(some, BLOCK)
        cells += np.arange(some)[:, None] * width
        totals[first + 1 : first + 1 + some] = np.bincount(cells.ravel(), minlength=some * width).reshape(some, width)
    if whole * BLOCK < index.m:
        totals[-1] = np.bincount(codes[whole * BLOCK :], minlength=width)
    return FacetIndex(facet, codes, np.cumsum(totals, axis=0))


def counts_between(facets: FacetIndex, start: int, stop: int) -> np.ndarray:
    """Images per value of the facet at positions start:stop of its index: (v + 1,) int64, unknown last."""
    return _counts_before(facets, max(start, stop)) - _counts_before(facets, start)


def histogram(index: BandIndex, edges: np.ndarray, facets: FacetIndex | None = None) -> Histogram:
    """Images per bin, and per value of a facet. edges: (b+1,), as `axis_edges` or `bands.check_edges` give them."""
    edges = np.asarray(edges, dtype=np.float64)
    missing = index.m - int(np.searchsorted(index.values, np.float32(np.inf), side="right"))
    if len(edges) < 2:
        width = 1 if facets is None else facets.totals.shape[1]
        below = index.finite[0]
        return Histogram(edges, np.zeros((width, 0), np.int64), below, index.m - below - missing, missing)
    places = cuts(index.values, edges)
    if facets is None:
        counts = np.diff(places)[None, :]
    else:
        counts = np.diff(np.stack([_counts_before(facets, place) for place in places.tolist()], axis=1), axis=1)
    return Histogram(edges, counts, int(places[0]), index.m - int(places[-1]) - missing, missing)


def axis_edges(index: BandIndex, bins: int, *, scale: str) -> np.ndarray:
    """Edges (b+1,) float64 of a histogram's bins, strictly increasing, holding every finite activation; b <= bins.

    scale: "value", bins of equal width; "quantile", bins of equally many images as far as ties allow; "z", bins of a
    round number of standard deviations, beginning at a round z-score. Always in units of the activation. Where all
    activations are equal, or none is finite, one bin around them: there is an axis to draw all the same.
    """
    if scale not in ("value", "quantile", "z"):
        raise ValueError(f"{scale} is no scale; there are value, quantile and z")
    if not 1 <= bins <= MOST_BINS:
        raise BadRequest(f"{bins} bins cannot be drawn.", next_step=f"Ask for 1 to {MOST_BINS} bins.")
    low, high = index.low, index.high
    if not low < high:
        # half a unit, or what a number of this size can be told from
        reach = max(0.5, abs(low) * 1e-3)
        return np.array([low - reach, low + reach])
    if scale == "quantile":
        return np.unique([value_at(index, i / bins) for i in range(bins + 1)])
    if scale == "z":
        mean, deviation = moments(index)
        edges = mean + deviation * _round_steps((low - mean) / deviation, (high - mean) / deviation, bins)
        # a rounded product must not lose the first or the last image
        edges[0], edges[-1] = min(edges[0], low), max(edges[-1], high)
        return edges
    steps = np.linspace(0.0, 1.0, bins + 1)
    # low*(1-t) + high*t cannot overflow where high - low would
    edges = low * (1 - steps) + high * steps
    edges[0], edges[-1] = low, high
    return np.unique(edges)


def cache_folder(analysis: Analysis, direction: Direction) -> Path:
    """Where the sorted activations of a direction lie: what the features give is shared by all last layers."""
    return (analysis.head_folder if direction.kind in OF_LOGITS else analysis.folder) / "sorted"


def _whole(analysis: Analysis, direction: Direction) -> BandIndex:
    folder = cache_folder(analysis, direction)
    file = folder / f"{direction.key}{_SUFFIX}"
    found = _read(file, analysis.n)
    if found is not None:
        return found
    values, order = _in_order(scores(analysis, direction))
    if direction.kind in ("concept", "vector"):
        # its earlier versions are of no use any more; whoever maps one keeps it until they let go
        for stale in folder.glob(f"{slug(direction.spec)}-*.npy"):
            stale.unlink(missing_ok=True)
    write_array(file, np.stack([values.view(np.uint32), order]))
    _trim(file)
    # mapped again, so that the system may take the memory back
    return _read(file, analysis.n) or BandIndex(values, order)


def _read(file: Path, n: int) -> BandIndex | None:
    """What lies on disk; None where it is absent, being removed by another process, or not whole."""
    try:
        both = np.asarray(read_array(file))
        mark_used(file)
    except (OSError, ValueError):
        return None
    if both.shape != (2, n) or both.dtype != np.uint32 or not both.flags.c_contiguous:
        return None
    return BandIndex(both[0].view(np.float32), both[1])


def _trim(kept: Path) -> None:
    """Remove the sorted activations used longest ago until the folder holds `KEPT` bytes at most."""
    # as earlier versions wrote them: nobody reads them any more
    for stale in (*kept.parent.glob("*.values.npy"), *kept.parent.glob("*.order.npy")):
        stale.unlink(missing_ok=True)
    files = []
    for file in kept.parent.glob(f"*{_SUFFIX}"):
        try:
            facts = file.stat()
        except OSError:
            # another process is removing it
            continue
        files.append((facts.st_mtime_ns, facts.st_size, file))
    total = sum(size for _, size, _ in files)
    for _, size, file in sorted(files):
        if total <= KEPT:
            break
        if file != kept:
            file.unlink(missing_ok=True)
            total -= size


def _in_order(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sorted values (n,) float32 and their rows (n,) uint32; equal values keep the order of their rows."""
    # + 0: both zeros are one number; and one NaN for all, since some have a sign
    canonical = np.asarray(values, dtype=np.float32) + np.float32(0)
    canonical[np.isnan(canonical)] = np.nan
    bits = canonical.view(np.uint32)
    # floats read as integers ascend once negative ones are turned round; value and row in one integer sort ten times
    # faster than an index sort of floats, and by row among equals
    sign = np.uint32(0x80000000)
    keys = np.where(bits & sign, ~bits, bits | sign).astype(np.uint64)
    keys <<= np.uint64(32)
    keys |= np.arange(len(values), dtype=np.uint64)
    keys.sort()
    order = keys.astype(np.uint32)
    keys >>= np.uint64(32)
    bits = keys.astype(np.uint32)
    return np.where(bits & sign, bits ^ sign, ~bits).view(np.float32), order


def _counts_before(facets: FacetIndex, place: int) -> np.ndarray:
    block = place // BLOCK
    counts = facets.totals[block]
    rest = facets.codes[block * BLOCK : place]
    return counts + np.bincount(rest, minlength=len(counts)) if len(rest) else counts


def _finite_below(index: BandIndex, value: float) -> int:
    start, stop = index.finite
    _, upto = bounds(index.values, -math.inf, value, closed=False)
    return min(max(upto, start), stop)


def _moments(values: np.ndarray) -> tuple[float, float]:
    if not len(values):
        return 0.0, 0.0
    blocks = [values[start : start + 65_536] for start in range(0, len(values), 65_536)]
    mean = sum(float(block.sum(dtype=np.float64)) for block in blocks) / len(values)
    square = sum(float(((block.astype(np.float64) - mean) ** 2).sum()) for block in blocks) / len(values)
    return mean, math.sqrt(square)


def _round_steps(low: float, high: float, bins: int) -> np.ndarray:
    """Multiples of 1, 2, 2.5 or 5 times a power of ten from at most low to at least high, in `bins` steps at most."""
    power = 10.0 ** math.floor(math.log10((high - low) / bins))
    for factor in (1, 2, 2.5, 5, 10, 20):
        step = factor * power
        first, last = math.floor(low / step), math.ceil(high / step)
        if last - first <= bins:
            return np.arange(first, last + 1) * step
    # one or two bins around zero: no multiple of a step reaches both ends
    return np.array([low, high])
