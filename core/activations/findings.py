"""What a band says about the model, in numbers and in one sentence."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal, localcontext
from typing import TYPE_CHECKING, Any

import numpy as np

from core.activations.bands import bounds

if TYPE_CHECKING:
    from core.activations.index import BandIndex
    from core.activations.store import Analysis


@dataclass(frozen=True)
class BandSummary:
    """count: images in the band. total: images it was taken from. classes: images of the band per class. correct:
    those that the model names rightly."""

    count: int
    total: int
    classes: dict[str, int]
    correct: int

    @property
    def accuracy(self) -> float | None:
        """Fraction 0..1; None for an empty band."""
        return self.correct / self.count if self.count else None

    def to_dict(self) -> dict[str, Any]:
        return {
            "count": self.count,
            "total": self.total,
            "classes": dict(self.classes),
            "correct": self.correct,
            "accuracy": self.accuracy,
        }


def members(
    sorted_scores: BandIndex, low: float, high: float, *, closed: bool, rows: np.ndarray | None = None
) -> np.ndarray:
    """Rows (m,) int64 in the band, weakest first. rows: (n,) bool, which images count; None means all."""
    start, stop = bounds(sorted_scores.values, low, high, closed=closed)
    found = np.asarray(sorted_scores.order[start:stop], dtype=np.int64)
    return found if rows is None else found[rows[found]]


def summarise(
    analysis: Analysis,
    sorted_scores: BandIndex,
    low: float,
    high: float,
    *,
    closed: bool,
    rows: np.ndarray | None = None,
) -> BandSummary:
    """Class mix and accuracy of a band. rows: (n,) bool, which images count; None means all."""
    inside = members(sorted_scores, low, high, closed=closed, rows=rows)
    labels = analysis.labels[inside]
    sizes = np.bincount(labels, minlength=len(analysis.classes))
    return BandSummary(
        count=len(inside),
        total=analysis.n if rows is None else int(np.count_nonzero(rows)),
        classes={name: int(size) for name, size in zip(analysis.classes, sizes, strict=True)},
        correct=int((analysis.predicted[inside] == labels).sum()),
    )


def sentence(band: BandSummary, top: BandSummary, *, is_top: bool = False) -> str:
    """One plain finding about a band, set against the top band where the model is at its best."""
    if not band.count:
        return "No image lies in this band: widen it."
    shares = [
        f"{_percent(size / band.count)} {name}"
        for name, size in sorted(band.classes.items(), key=lambda item: -item[1])
        if size
    ]
    mix = " and ".join(shares) if len(shares) < 3 else f"{', '.join(shares[:2])} and others"
    right = f"the model is right {_percent(band.accuracy)} of the time"
    if is_top or top.accuracy is None:
        return f"Here {right}. These images are {mix}."
    return f"Here {right}, in the top band {_percent(top.accuracy)}. These images are {mix}."


def outward(low: float, high: float, span: float) -> tuple[float, float]:
    """The band rounded to four digits of the range it lies in, never losing an image at its ends.

    low, high: finite. span: width of the whole range, > 0. For numbers that people read, type and put in links.
    """
    digits = 4 - math.ceil(math.log10(span)) if span > 0 and math.isfinite(span) else 4
    step = Decimal(1).scaleb(-digits)
    # decimal arithmetic on the shortest text of each number: rounding what is round already changes nothing
    with localcontext(prec=400):
        down = Decimal(repr(float(low))).quantize(step, rounding=ROUND_FLOOR)
        up = Decimal(repr(float(high))).quantize(step, rounding=ROUND_CEILING)
    return float(down), float(up)


def _percent(fraction: float | None) -> str:
    if fraction is None:
        return "–"
    # 99.6% must not read as "always"
    return f"{100 * fraction:.1f}%" if 0.99 < fraction < 1 else f"{100 * fraction:.0f}%"
