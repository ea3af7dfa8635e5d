"""Contact sheets: a direction cut into bands, a few images of each, and what the band is made of.

The paper's central picture (arXiv:2411.10019): what lies at the top of a range beside what lies in its middle.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from core.activations.bands import (
    Edges,
    Range,
    assign,
    check_edges,
    equal_width_edges,
    nothing_in,
    quantile_edges,
)
from core.activations.curves import percent
from core.activations.index import counts_between, facet_index, positions
from core.errors import BadRequest

if TYPE_CHECKING:
    from core.activations.directions import Direction
    from core.activations.facets import Facet
    from core.activations.index import BandIndex
    from core.activations.store import Analysis

UNKNOWN = "unknown"
# answers that say nothing about an image
SILENT = (UNKNOWN, "not tagged")
# a share that falls by this much is told, where it is known of at least so many images at both ends
FALL, COMPARED = 0.1, 12
# bands that can be told apart on a sheet, and images of each
MOST_BANDS, MOST_IMAGES = 24, 60


@dataclass(frozen=True)
class SheetBand:
    """One band: low <= activation < high (<= high where closed).

    count: images in it. accuracy: share the model names rightly, 0..1, None when empty. facets: (spec, title, ((value,
    images), ...)) per facet, "unknown" last where there are any. rows: a sample, strongest first. label: "top" or
    "mid" for the band that shares most images with the proposal of that name, else "".
    """

    low: float
    high: float
    closed: bool
    count: int
    accuracy: float | None
    facets: tuple[tuple[str, str, tuple[tuple[str, int], ...]], ...]
    rows: tuple[int, ...]
    label: str

    @property
    def range_text(self) -> str:
        """The band as people write it: −1.2 to 3.4; as many digits as its width deserves."""
        width = self.high - self.low
        if 0 < width < math.inf and max(abs(self.low), abs(self.high)) < 1e6 and width > 1e-6:
            digits = max(0, 1 - math.floor(math.log10(width)))
            ends = [f"{end:.{digits}f}" for end in (self.low, self.high)]
        else:
            ends = [f"{end:.3g}" for end in (self.low, self.high)]
        return " to ".join(ends).replace("-", "−")

    def to_dict(self) -> dict[str, Any]:
        return {
            "low": self.low,
            "high": self.high,
            "closed": self.closed,
            "count": self.count,
            "accuracy": self.accuracy,
            "facets": [{"facet": spec, "title": title, "counts": dict(counts)} for spec, title, counts in self.facets],
            "rows": list(self.rows),
            "label": self.label,
        }


@dataclass(frozen=True)
class ContactSheet:
    """bands: the strongest first. total: images of the index. outside: those in no band. note: what had to be done
    differently from what was asked, or ""."""

    spec: str
    title: str
    bands: tuple[SheetBand, ...]
    total: int
    outside: int
    note: str

    def to_dict(self) -> dict[str, Any]:
        return {
            "direction": self.spec,
            "title": self.title,
            "bands": [band.to_dict() for band in self.bands],
            "total": self.total,
            "outside": self.outside,
            "note": self.note,
        }


def sentence(sheet: ContactSheet) -> str:
    """What changes most from the top to the middle, in one sentence: how often the model is right, and the value of an
    attribute or concept whose share falls most. "" where no band is labelled top, or none mid."""
    top, middle = ([band for band in sheet.bands if band.label == label and band.count] for label in ("top", "mid"))
    if not top or not middle:
        return ""
    above, below = _right(top), _right(middle)
    said = ""
    if above is not None and below is not None:
        said = f"The model is right in {percent(above)} of the top and {percent(below)} of the mid band"
    if (falls := _falls_most(top, middle)) is None:
        return f"{said}." if said else ""
    title, value, first, second = falls
    fall = f"{title} “{value}” falls from {percent(first)} to {percent(second)}"
    return f"{said}; {fall}." if said else f"From the top to the mid band, {fall}."


def _right(bands: Sequence[SheetBand]) -> float | None:
    """Share of the images of these bands that are named rightly; None without labels."""
    shares = [(band.accuracy, band.count) for band in bands if band.accuracy is not None]
    images = sum(count for _, count in shares)
    return sum(accuracy * count for accuracy, count in shares) / images if images else None


def _falls_most(top: Sequence[SheetBand], middle: Sequence[SheetBand]) -> tuple[str, str, float, float] | None:
    """Title, value and its shares of the images of which the facet is known; None where nothing falls by a tenth."""
    found = []
    for place, (spec, title, _) in enumerate(top[0].facets):
        first, second = _known_shares(top, place), _known_shares(middle, place)
        if spec.startswith(("attribute:", "concept:")) and first and second:
            found += [(title, value, share, second.get(value, 0.0)) for value, share in first.items()]
    most = max(found, key=lambda one: one[2] - one[3], default=None)
    return most if most is not None and most[2] - most[3] >= FALL else None


def _known_shares(bands: Sequence[SheetBand], place: int) -> dict[str, float]:
    """Empty where fewer than `COMPARED` images are known: a share of a handful says nothing."""
    known: Counter[str] = Counter()
    for band in bands:
        known.update({value: images for value, images in band.facets[place][2] if value not in SILENT})
    total = sum(known.values())
    return {value: images / total for value, images in known.items()} if total >= COMPARED else {}


def sheet_edges(
    index: BandIndex, bands: int, *, quantiles: bool = False, given: Sequence[float] | np.ndarray | None = None
) -> Edges:
    """The edges of a sheet: `given` ones, else `bands` of equal width or of equally many images.

    Raises `BadRequest` for more than 24 bands or edges that do not increase.
    """
    count = bands if given is None else len(given) - 1
    if count > MOST_BANDS:
        raise BadRequest(
            f"{count} bands do not fit on a contact sheet.", next_step=f"Ask for {MOST_BANDS} bands at most."
        )
    if given is not None:
        return Edges(check_edges(given))
    return (quantile_edges if quantiles else equal_width_edges)(index.values[slice(*index.finite)], bands)


def contact_sheet(
    analysis: Analysis,
    direction: Direction,
    index: BandIndex,
    edges: Edges | np.ndarray,
    *,
    facets: Sequence[Facet],
    per_band: int,
    seed: int,
    mid: Range | None = None,
    top: Range | None = None,
) -> ContactSheet:
    """Cut the images of an index into bands.

    edges: of `sheet_edges`, or (b+1,) increasing. per_band: images sampled from each band, evenly and without
    repetition; 60 at most. mid, top: the proposed bands that give labels; none are given without them. The same seed
    gives the same images.
    """
    note = edges.note if isinstance(edges, Edges) else ""
    if not index.m:
        # true of given edges as well, which have no note
        note = f"{nothing_in(index.values)} to show: choose others."
    values = np.asarray(edges.values if isinstance(edges, Edges) else edges, dtype=np.float64)
    ordered = [facet_index(index, facet) for facet in facets]
    rng = np.random.default_rng(seed)
    bands = []
    for i, (low, high) in enumerate(zip(values[:-1].tolist(), values[1:].tolist(), strict=True)):
        closed = i == len(values) - 2
        start, stop = positions(index, low, high, closed=closed)
        rows = index.order[start:stop]
        right = int(np.count_nonzero(analysis.predicted[rows] == analysis.labels[rows]))
        bands.append(
            SheetBand(
                low=low,
                high=high,
                closed=closed,
                count=stop - start,
                accuracy=right / (stop - start) if stop > start and analysis.labelled else None,
                facets=tuple(
                    (one.facet.spec, one.facet.title, _named(one.facet.values, counts_between(one, start, stop)))
                    for one in ordered
                ),
                rows=_sample(rows, min(per_band, MOST_IMAGES), rng),
                label="",
            )
        )
    labels = _labels(index, values, mid, top)
    labelled = [
        SheetBand(**{**vars(band), "label": labels[i]}) if i in labels else band for i, band in enumerate(bands)
    ]
    return ContactSheet(
        spec=direction.spec,
        title=direction.title,
        bands=tuple(reversed(labelled)),
        total=index.m,
        outside=index.m - sum(band.count for band in bands),
        note=note,
    )


def _named(values: Sequence[str], counts: np.ndarray) -> tuple[tuple[str, int], ...]:
    named = tuple(zip(values, counts[:-1].tolist(), strict=True))
    return (*named, (UNKNOWN, int(counts[-1]))) if counts[-1] else named


def _sample(rows: np.ndarray, size: int, rng: np.random.Generator) -> tuple[int, ...]:
    """rows: (m,) of a band, weakest first. Returns some of them, strongest first."""
    chosen = np.arange(len(rows)) if size >= len(rows) else np.sort(rng.choice(len(rows), max(size, 0), replace=False))
    return tuple(rows[chosen][::-1].tolist())


def _labels(index: BandIndex, edges: np.ndarray, mid: Range | None, top: Range | None) -> dict[int, str]:
    """Band number -> label. "top" is the highest band with images of that proposal: it reaches far down, and its high
    end is what people mean. "mid" are the bands that lie in the proposal by half or more, else the one that lies in it
    most."""
    found: dict[int, str] = {}
    if len(edges) < 2:
        return found
    if top is not None:
        start, stop = positions(index, top.low, top.high, closed=top.closed)
        inside = assign(index.values[start:stop], edges)
        if (inside >= 0).any():
            found[int(inside.max())] = "top"
    if mid is not None:
        shared = np.minimum(edges[1:], mid.high) - np.maximum(edges[:-1], mid.low)
        # the one band of a constant activation has no width
        widths = np.diff(edges)
        share = np.divide(shared, widths, out=(shared >= 0).astype(np.float64), where=widths > 0)
        chosen = np.flatnonzero(share >= 0.5) if (share >= 0.5).any() else [int(share.argmax())]
        for band in chosen:
            if share[band] > 0:
                found.setdefault(int(band), "mid")
    return found
