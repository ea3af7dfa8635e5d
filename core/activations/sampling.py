"""Which images of a band are shown, in which order, page by page; the same seed always gives the same pages."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from core.activations.directions import class_of
from core.activations.index import positions
from core.files import release

if TYPE_CHECKING:
    from core.activations.directions import Direction
    from core.activations.index import BandIndex
    from core.activations.store import Analysis

# What comes first: a random sample per page, on each page what surprises first (images whose label and activation
# disagree); the random sample as it comes; the highest activations; the lowest; those whose two best logits are
# nearest to each other; those nearest to the band's mean features; images as different from each other as can be.
SURPRISING, MIXED, STRONGEST, WEAKEST = "surprising", "mixed", "strongest", "weakest"
UNSURE, TYPICAL, DIVERSE = "unsure", "typical", "diverse"
ORDERS = (SURPRISING, MIXED, STRONGEST, WEAKEST, UNSURE, TYPICAL, DIVERSE)

# Images compared with each other in a large band, and bytes read for it: up to about a tenth of a second on one core.
# The rest of the band follows in random order, and the page's note says so.
_MOST = {UNSURE: 250_000, TYPICAL: 20_000, DIVERSE: 2_000}
_MOST_BYTES = {UNSURE: 64_000_000, TYPICAL: 32_000_000, DIVERSE: 16_000_000}
_BY = {UNSURE: "how unsure the model is", TYPICAL: "how typical they are", DIVERSE: "how different they are"}
# bands up to this size are shuffled as a whole
_SMALL = 1024
_ROUNDS = 6


@dataclass(frozen=True, eq=False)
class BandPage:
    """rows: (m,) int64 and values: (m,) float32, the images of this page in order. total: images of the band. number:
    of the page, from 0. pages: how many there are, 1 for an empty band. note: what was done differently from what the
    order promises, or ""."""

    rows: np.ndarray
    values: np.ndarray
    total: int
    number: int
    pages: int
    note: str = ""


def page(
    analysis: Analysis,
    direction: Direction,
    index: BandIndex,
    low: float,
    high: float,
    *,
    closed: bool,
    order: str,
    seed: int,
    number: int,
    size: int,
) -> BandPage:
    """One page of a band. Every image of the band is on exactly one page, whatever the order.

    order: one of `ORDERS`. number: of the page, from 0; one that does not exist becomes the nearest that does. size:
    images per page. The cost of a page does not follow the size of the band, but for the first page of `UNSURE`,
    `TYPICAL` and `DIVERSE`, which compare images with each other.
    """
    if order not in ORDERS:
        raise ValueError(f"{order} is no order; there are {', '.join(ORDERS)}")
    if size < 1:
        raise ValueError(f"a page of {size} images shows nothing")
    start, stop = positions(index, low, high, closed=closed)
    total = stop - start
    pages = max(1, -(-total // size))
    number = min(max(number, 0), pages - 1)
    places = np.arange(number * size, min((number + 1) * size, total))
    note = ""
    if order == WEAKEST:
        chosen = start + places
    elif order == STRONGEST:
        chosen = stop - 1 - places
    elif order in _BY:
        first = index.remember((start, stop, order, seed), lambda: _ranked(analysis, index, start, stop, order, seed))
        chosen = start + shuffled(places, total, seed)
        within = places < len(first)
        chosen[within] = first[places[within]]
        if len(first) < total:
            note = (
                f"{len(first):,} of the {total:,} images, drawn at random, are ordered by {_BY[order]}; "
                "the others follow in random order."
            )
    else:
        chosen = start + shuffled(places, total, seed)
    rows, values = index.order[chosen].astype(np.int64), np.asarray(index.values[chosen], dtype=np.float32)
    if order == SURPRISING and len(rows):
        own = analysis.labels[rows] == class_of(analysis, direction)
        # ends that lie beyond every image say nothing about the middle
        middle = (min(max(low, index.low), index.high) + min(max(high, index.low), index.high)) / 2
        distance = values.astype(np.float64) - middle
        best = np.argsort(np.where(own, distance, -distance), kind="stable")
        rows, values = rows[best], values[best]
    return BandPage(rows, values, total, number, pages, note)


def shuffled(places: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Where a seeded pseudo-random permutation of 0..count-1 puts these places: (m,) int64, without making all of it.

    places: (m,) int in 0..count-1. A Feistel network over the smallest a x b numbers that hold the range, a and b about
    its square root, walked until it comes back into the range (Black & Rogaway 2002, "Ciphers with arbitrary finite
    domains"); small counts are shuffled as a whole.
    """
    places = np.asarray(places, dtype=np.int64)
    # bands that hold each other are shuffled apart
    rng = np.random.default_rng([seed, count])
    if count <= _SMALL:
        return rng.permutation(count)[places] if count else places
    keys = rng.integers(0, 2**64, size=_ROUNDS, dtype=np.uint64)
    tall = math.isqrt(count - 1) + 1
    wide = -(-count // tall)
    found = _feistel(places.astype(np.uint64), np.uint64(tall), np.uint64(wide), keys)
    while (outside := np.flatnonzero(found >= count)).size:
        found[outside] = _feistel(found[outside], np.uint64(tall), np.uint64(wide), keys)
    return found.astype(np.int64)


def _feistel(values: np.ndarray, tall: np.uint64, wide: np.uint64, keys: np.ndarray) -> np.ndarray:
    """A permutation of 0..tall*wide - 1. values: (m,) uint64."""
    row, column = values // wide, values % wide
    # each half is moved by a hash of the other, in turns: whoever knows the other half can move it back
    for first, second in zip(keys[::2], keys[1::2], strict=True):
        row = (row + _hashed(column + first)) % tall
        column = (column + _hashed(row + second)) % wide
    return row * wide + column


def _hashed(values: np.ndarray) -> np.ndarray:
    """The finaliser of MurmurHash3: every bit of the input reaches every bit of the output. values: (m,) uint64; the
    upper half is returned, so that sums with it do not overflow."""
    mixed = values ^ (values >> np.uint64(33))
    mixed *= np.uint64(0xFF51AFD7ED558CCD)
    mixed ^= mixed >> np.uint64(33)
    mixed *= np.uint64(0xC4CEB9FE1A85EC53)
    return mixed >> np.uint64(32)


def _ranked(analysis: Analysis, index: BandIndex, start: int, stop: int, order: str, seed: int) -> np.ndarray:
    """Positions (c,) uint32 of the images that are compared, in order: all of a small band, some of a large one."""
    source = analysis.logits if order == UNSURE else analysis.features
    most = min(_MOST[order], max(_MOST_BYTES[order] // (source.shape[1] * 4), 1))
    count = stop - start
    drawn = np.arange(count) if count <= most else shuffled(np.arange(most), count, seed)
    # by row, so that the file is read from front to back
    rows = index.order[start + drawn].astype(np.int64)
    by_row = np.argsort(rows)
    drawn, values = drawn[by_row], source[rows[by_row]]
    release(source)
    if order == UNSURE:
        best = np.argsort(_lead(values), kind="stable")
    elif order == TYPICAL:
        best = np.argsort(_from_centre(_scaled(values)), kind="stable")
    else:
        best = _farthest_first(_scaled(values))
    return (start + drawn[best]).astype(np.uint32)


def _lead(logits: np.ndarray) -> np.ndarray:
    """How far the largest logit leads the next: (m,) float32, NaN where that is not known. logits: (m, k). Of a single
    class, the logit itself: there is nothing else to lead."""
    if logits.shape[1] == 1:
        return logits[:, 0]
    ordered = np.partition(logits, logits.shape[1] - 2, axis=1)
    with np.errstate(invalid="ignore"):
        return ordered[:, -1] - ordered[:, -2]


def _scaled(features: np.ndarray) -> np.ndarray:
    """Features between -1 and 1 (all divided by one number), so that no distance overflows. (m, d) float32."""
    largest = max(float(features.max(initial=0)), -float(features.min(initial=0)))
    if not math.isfinite(largest):
        largest = float(np.abs(features[np.isfinite(features)]).max(initial=0))
    return features / np.float32(largest) if largest > 0 else features


def _from_centre(features: np.ndarray) -> np.ndarray:
    """Squared distance to the mean: (m,) float32, NaN for images with features that are not finite."""
    finite = np.isfinite(features).all(axis=1)
    if not finite.any():
        return np.full(len(features), np.nan, dtype=np.float32)
    apart = features - features[finite].mean(axis=0, dtype=np.float64).astype(np.float32)
    with np.errstate(invalid="ignore"):
        return np.einsum("ij,ij->i", apart, apart)


def _farthest_first(features: np.ndarray) -> np.ndarray:
    """Order (m,) int64 in which each image is the one farthest from all before it (Gonzalez 1985), beginning with the
    one nearest to the mean. Images with features that are not finite come last."""
    usable = np.flatnonzero(np.isfinite(features).all(axis=1))
    if not len(usable):
        return np.arange(len(features))
    points = features[usable] - features[usable].mean(axis=0, dtype=np.float64).astype(np.float32)
    squares = np.einsum("ij,ij->i", points, points)
    products = points @ points.T
    nearest = np.full(len(points), np.inf, dtype=np.float32)
    order = np.empty(len(points), dtype=np.int64)
    current = int(squares.argmin())
    for place in range(len(points)):
        order[place] = current
        # rounding may leave less than nothing between equal images; -1 is only for those that had their turn
        distance = np.maximum(squares + (squares[current] - 2 * products[current]), 0)
        np.minimum(nearest, distance, out=nearest)
        nearest[current] = -1
        current = int(nearest.argmax())
    rest = np.setdiff1d(np.arange(len(features)), usable)
    return np.concatenate([usable[order], rest])
