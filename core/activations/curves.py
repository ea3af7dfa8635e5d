"""Confounder curves: how common an attribute's value or a tagged concept is along the range of a direction.

A confounder gives itself away by its curve: water is everywhere at the top of the waterbird logit, and half gone in the
middle. Shares are of the images of which the value is known, with Wilson's 95% intervals (Wilson 1927).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from core.activations.bands import Range, assign, bounds, quantile_edges
from core.errors import BadRequest, NotFound

if TYPE_CHECKING:
    from core.activations.facets import Facet
    from core.activations.index import BandIndex
    from core.activations.store import Analysis

# bins of a curve at most, and the images each should hold: 20 give an interval of about plus or minus 20 points
BINS, LEAST = 16, 20
# bins that may be asked for
MOST_BINS = 1000
# places of equal width at which a bin may end, per bin
STEPS = 4
# images below which a share in a sentence comes with its counts
FEW = 30
# classes with a curve of their own
MOST_CLASSES = 6
ALL, ESTIMATE = "all images", "all images, estimated"
NOT_TAGGED = "not tagged"


@dataclass(frozen=True)
class Curve:
    """One line: b bins, low[i] <= activation < high[i], the last bin closed.

    places: where to draw each bin, the mean activation of all images in it; the same for every line of a picture.
    counts: images of each bin of which the value is known. shown: those that have it. shares: shown / counts, NaN for
    an empty bin. interval_low, interval_high: 95% interval of the share, 0 and 1 for an empty bin.
    """

    name: str
    low: tuple[float, ...]
    high: tuple[float, ...]
    places: tuple[float, ...]
    counts: tuple[int, ...]
    shown: tuple[int, ...]
    shares: tuple[float, ...]
    interval_low: tuple[float, ...]
    interval_high: tuple[float, ...]

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "low": list(self.low),
            "high": list(self.high),
            "places": list(self.places),
            "counts": list(self.counts),
            "shown": list(self.shown),
            "shares": [None if math.isnan(share) else share for share in self.shares],
            "interval_low": list(self.interval_low),
            "interval_high": list(self.interval_high),
        }


@dataclass(frozen=True)
class BandShare:
    """A value's share in one band. shown of count images; count: those of which the value is known."""

    shown: int
    count: int

    @property
    def share(self) -> float:
        """0..1, NaN in a band without images."""
        return self.shown / self.count if self.count else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        low, high = wilson(np.array([self.shown]), np.array([self.count]))
        return float(low[0]), float(high[0])

    def to_dict(self) -> dict[str, Any]:
        low, high = self.interval
        return {
            "shown": self.shown,
            "count": self.count,
            "share": self.share if self.count else None,
            "interval_low": low,
            "interval_high": high,
        }


@dataclass(frozen=True)
class ConfounderCurve:
    """The curves of one value of a facet.

    spec, title: of the facet. value: as the facet names it. curves: all images first, then one per class, all with the
    same bins; then, with its own, an estimate where a probe gave one. mid, top: shares in the two bands. own, own_mid,
    own_top: a class, and the shares among its images alone (along a logit the classes change too, and with them
    whatever goes with a class); None where no class was named. sentence: the finding. note: what to know before
    believing it, or "". known, unknown, not_a_number: images of the index; they sum to all (infinite activations count
    as not a number).
    """

    spec: str
    title: str
    value: str
    curves: tuple[Curve, ...]
    mid: BandShare
    top: BandShare
    own: str | None
    own_mid: BandShare | None
    own_top: BandShare | None
    sentence: str
    note: str
    known: int
    unknown: int
    not_a_number: int

    @property
    def name(self) -> str:
        """How the value is written on an axis or a button."""
        return value_name(self.spec, self.title, self.value)

    def to_dict(self) -> dict[str, Any]:
        return {
            "facet": self.spec,
            "title": self.title,
            "value": self.value,
            "curves": [curve.to_dict() for curve in self.curves],
            "mid": self.mid.to_dict(),
            "top": self.top.to_dict(),
            "class": self.own,
            "class_mid": self.own_mid.to_dict() if self.own_mid else None,
            "class_top": self.own_top.to_dict() if self.own_top else None,
            "sentence": self.sentence,
            "note": self.note,
            "known": self.known,
            "unknown": self.unknown,
            "not_a_number": self.not_a_number,
        }


def confounder_curve(
    analysis: Analysis,
    index: BandIndex,
    facet: Facet,
    value: str,
    *,
    mid: Range,
    top: Range,
    bins: int = BINS,
    own: int | None = None,
    estimate: np.ndarray | None = None,
) -> ConfounderCurve:
    """The share of a facet's value along the images of an index.

    Bins are equally wide as far as each holds 20 images of which the value is known, and wider where images are few:
    between two classes, where confounders show, lie the fewest, and bins of equally many images would see the least
    there. mid, top: the bands that the sentence compares. own: the class that the direction stands for; the sentence
    looks at its images alone too, and its curve is the only one where there are too many classes for one each.
    estimate: (n,) bool, which images show the value according to a probe; drawn as a line of its own and told apart in
    the note. Raises `NotFound` for a value that the facet does not have, `BadRequest` for a number of bins that cannot
    be drawn.
    """
    if not 1 <= bins <= MOST_BINS:
        raise BadRequest(f"{bins:,} bins cannot be drawn.", next_step=f"Ask for 1 to {MOST_BINS} bins.")
    if value not in facet.values:
        raise NotFound(
            f"{facet.title} has no value “{value}”.", next_step=f"The values are: {', '.join(facet.values)}."
        )
    finite = slice(*index.finite)
    values, order = index.values[finite], np.asarray(index.order[finite])
    labels = np.asarray(analysis.labels)[order]
    shown, known = _shown(facet, value, order)
    total = int(np.count_nonzero(known))
    drawn = range(analysis.k) if analysis.k <= MOST_CLASSES else (() if own is None else (own,))
    parts = [(ALL, shown, known)]
    parts += [(analysis.classes[c], shown & (labels == c), known & (labels == c)) for c in drawn if (labels == c).any()]
    curves = _curves(values, parts, bins)
    if estimate is not None:
        # of every image, hence in finer bins than a few tags allow
        everything = np.ones(len(order), dtype=bool)
        curves += _curves(values, [(ESTIMATE, np.asarray(estimate)[order], everything)], bins)
    mid_share, top_share = (_band_share(values, shown, known, band) for band in (mid, top))
    own_shares: tuple[BandShare, BandShare] | tuple[None, None] = (None, None)
    if own is not None:
        inside = labels == own
        own_shares = (
            _band_share(values, shown & inside, known & inside, mid),
            _band_share(values, shown & inside, known & inside, top),
        )
    name = None if own is None else analysis.classes[own]
    return ConfounderCurve(
        spec=facet.spec,
        title=facet.title,
        value=value,
        curves=tuple(curves),
        mid=mid_share,
        top=top_share,
        own=name,
        own_mid=own_shares[0],
        own_top=own_shares[1],
        sentence=_sentence(facet, value, mid_share, top_share) + _own_sentence(name, own_shares, (mid_share, top_share))
        if len(order)
        else _nothing(index.m),
        note=_note(facet, total, len(curves[0].counts), bins, estimate is not None) if len(order) else "",
        known=total,
        unknown=len(order) - total,
        not_a_number=len(index.values) - len(order),
    )


def most_telling(
    analysis: Analysis, index: BandIndex, facets: Sequence[Facet], *, mid: Range, top: Range, own: int | None = None
) -> tuple[Facet, str] | None:
    """Of what can be drawn (`curve_values`), what differs most between middle and top, beyond the width of the
    intervals; the first of equals. own: among the images of this class alone. None where nothing can be drawn."""
    candidates = curve_values(facets)
    if not candidates:
        return None
    finite = slice(*index.finite)
    values, order = index.values[finite], np.asarray(index.order[finite])
    bands = []
    for band in (mid, top):
        rows = order[slice(*bounds(values, band.low, band.high, closed=band.closed))]
        bands.append(rows if own is None else rows[np.asarray(analysis.labels)[rows] == own])

    def certain_difference(candidate: tuple[Facet, str]) -> float:
        (one, other), (more, much) = (
            [int(np.count_nonzero(part)) for part in _shown(*candidate, rows)] for rows in bands
        )
        first, second = BandShare(one, other), BandShare(more, much)
        return max(first.interval[0] - second.interval[1], second.interval[0] - first.interval[1])

    return max(candidates, key=certain_difference)


def bin_edges(values: np.ndarray, bins: int) -> np.ndarray:
    """Edges (b+1,) of at most `bins` bins of 20 images or more; fewer only where there are fewer in all.

    values: (m,) finite, ascending. Each bin is at least as wide as one of `bins` equal parts of the range between the
    first and the last hundredth of the images, so that single outliers do not decide. Where that leaves less than
    three bins, they hold equally many images instead.
    """
    most = max(1, min(bins, len(values) // LEAST))
    by_count = quantile_edges(values, most).values
    if len(by_count) < 4:
        return by_count
    low, high = np.quantile(values, [0.01, 0.99], method="inverted_cdf").tolist()
    places = np.unique(np.linspace(low, high, STEPS * bins + 1))
    # how many images lie below each place
    below = np.array([bounds(values, -math.inf, place, closed=False)[1] for place in places[1:-1].tolist()])
    width = (high - low) / bins
    edges, counted = [float(values[0])], 0
    for place, count in zip(places[1:-1].tolist(), below.tolist(), strict=True):
        # rounding must not make a bin a step wider
        wide = place - max(edges[-1], low) >= width * (1 - 1e-9)
        if wide and place > edges[-1] and count - counted >= LEAST and len(values) - count >= LEAST:
            edges.append(place)
            counted = count
    edges.append(float(values[-1]))
    return np.array(edges) if len(edges) > 3 else by_count


def curve_values(facets: Sequence[Facet]) -> tuple[tuple[Facet, str], ...]:
    """What can be drawn: each value of each attribute, and each tagged concept's presence.

    Of an attribute with two values only the second is offered: the first is its mirror image.
    """
    found: list[tuple[Facet, str]] = []
    for facet in facets:
        if facet.spec.startswith("concept:"):
            codes = np.asarray(facet.codes)
            tagged = [i for i, name in enumerate(facet.values) if name in ("present", "absent")]
            if np.isin(codes, tagged).any():
                found.append((facet, "present"))
        elif facet.spec.startswith("attribute:"):
            found += [(facet, name) for name in (facet.values[1:] if len(facet.values) == 2 else facet.values)]
    return tuple(found)


def value_name(spec: str, title: str, value: str) -> str:
    """place: water; a concept's presence by the concept's name alone."""
    kind, _, name = spec.partition(":")
    if kind == "concept":
        return name if value == "present" else f"{name}: {value}"
    return f"{name or title}: {value}"


def wilson(shown: np.ndarray, of: np.ndarray, *, z: float = 1.959964) -> tuple[np.ndarray, np.ndarray]:
    """Both ends of the score interval of shares (Wilson 1927); 0 and 1 where there are no images. z: 1.96 for 95%."""
    shown, of = np.asarray(shown, dtype=np.float64), np.asarray(of, dtype=np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = shown / of
        centre = (share + z * z / (2 * of)) / (1 + z * z / of)
        half = z / (1 + z * z / of) * np.sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    # where none or all show it the bound is 0 or 1 itself; rounding must not leave it a hair beside
    low = np.where(shown == 0, 0.0, np.clip(centre - half, 0, 1))
    high = np.where(shown == of, 1.0, np.clip(centre + half, 0, 1))
    return np.where(of > 0, low, 0.0), np.where(of > 0, high, 1.0)


def percent(share: float) -> str:
    """0.473 -> 47%. Nearly all is not written as all, nor next to nothing as nothing; a dash for NaN."""
    if math.isnan(share):
        return "–"
    value = 100 * share
    if 0 < value < 1:
        return f"{max(value, 0.1):.1f}%"
    if 99 < value < 100:
        return f"{min(value, 99.9):.1f}%"
    return f"{value:.0f}%"


def _shown(facet: Facet, value: str, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which of some rows have a value, and of which it is known; both (m,) bool."""
    codes = np.asarray(facet.codes)[rows]
    known = codes >= 0
    if facet.spec.startswith("concept:") and NOT_TAGGED in facet.values:
        known &= codes != facet.values.index(NOT_TAGGED)
    return known & (codes == facet.values.index(value)), known


def _curves(values: np.ndarray, parts: Sequence[tuple[str, np.ndarray, np.ndarray]], bins: int) -> list[Curve]:
    """Lines with the same bins, made for the first. parts: name, images that have the value, images of which it is
    known."""
    edges = bin_edges(values[parts[0][2]], bins)
    bin_of = assign(values, edges)
    places = _places(values, bin_of, edges)
    return [_curve(name, edges, places, bin_of, shown, known) for name, shown, known in parts]


def _places(values: np.ndarray, bin_of: np.ndarray, edges: np.ndarray) -> list[float]:
    inside, bins = bin_of >= 0, max(len(edges) - 1, 0)
    counts = np.bincount(bin_of[inside], minlength=bins)
    sums = np.bincount(bin_of[inside], weights=values[inside].astype(np.float64), minlength=bins)
    # no bin is empty, and the mean of float32 numbers in float64 lies among them
    return (sums / counts).tolist() if bins else []


def _curve(
    name: str, edges: np.ndarray, places: list[float], bin_of: np.ndarray, shown: np.ndarray, known: np.ndarray
) -> Curve:
    bins = max(len(edges) - 1, 0)
    inside = bin_of >= 0
    counts = np.bincount(bin_of[known & inside], minlength=bins)
    yes = np.bincount(bin_of[shown & inside], minlength=bins)
    low, high = wilson(yes, counts)
    with np.errstate(invalid="ignore"):
        shares = yes / counts
    pairs = list(itertools.pairwise(edges.tolist()))
    return Curve(
        name=name,
        low=tuple(pair[0] for pair in pairs),
        high=tuple(pair[1] for pair in pairs),
        places=tuple(places),
        counts=tuple(counts.tolist()),
        shown=tuple(yes.tolist()),
        shares=tuple(shares.tolist()),
        interval_low=tuple(low.tolist()),
        interval_high=tuple(high.tolist()),
    )


def _band_share(values: np.ndarray, shown: np.ndarray, known: np.ndarray, band: Range) -> BandShare:
    start, stop = bounds(values, band.low, band.high, closed=band.closed)
    inside = slice(start, stop)
    return BandShare(int(np.count_nonzero(shown[inside] & known[inside])), int(np.count_nonzero(known[inside])))


def _nothing(images: int) -> str:
    """images: how many were looked at, none of them with a finite activation."""
    if not images:
        return "No image is left to look at: the filter excludes all of them."
    return f"None of the {images:,} images has a finite activation here, so there is nothing to draw."


def _sentence(facet: Facet, value: str, mid: BandShare, top: BandShare) -> str:
    kind, _, name = facet.spec.partition(":")
    subject, among = f"{name} {value}", "the"
    if kind == "concept":
        subject, among = name if value == "present" else f"{name} {value}", "the tagged images of the"
    if not mid.count and not top.count:
        return f"{subject}: nothing is known of {among} top band or middle."
    if not top.count:
        return f"{subject}: {_told(mid)} of {among} middle; nothing is known of the top band."
    if not mid.count:
        return f"{subject}: {_told(top)} of {among} top band; nothing is known of the middle."
    return f"{subject}: {_told(top)} of {among} top band, {_told(mid)} of the middle."


def _own_sentence(
    name: str | None,
    own: tuple[BandShare, BandShare] | tuple[None, None],
    everything: tuple[BandShare, BandShare],
) -> str:
    """Empty where the class is all there is, or not there in both bands. own, everything: middle, top."""
    mid, top = own
    if name is None or not mid or not top or own == everything or not mid.count or not top.count:
        return ""
    return f" Of the {name} images there alone: {_told(top)} and {_told(mid)}."


def _told(band: BandShare) -> str:
    return f"{percent(band.share)} ({band.shown:,} of {band.count:,})" if band.count < FEW else percent(band.share)


def _note(facet: Facet, known: int, bins: int, asked: int, estimated: bool) -> str:
    """bins: drawn. asked: those that were asked for at most."""
    parts = []
    if facet.spec.startswith("concept:"):
        parts.append(
            f"Of {known:,} tagged images. People tag what is proposed to them, so tags are no random sample: read the "
            "difference between classes and bands, not the level."
        )
    if not known:
        parts = ["Nothing is known of these images."]
    elif bins < min(3, asked):
        few = "is one wide bin" if bins == 1 else f"are {bins} wide bins"
        parts.append(f"With {known:,} images there {few}: more of them would show where the share changes.")
    if estimated:
        parts.append("The estimate is a probe's guess for every image; its interval does not know the probe's errors.")
    return " ".join(parts)
