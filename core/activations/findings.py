"""What a band says about the model, in numbers and in one sentence."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal, localcontext
from typing import TYPE_CHECKING, Any

import numpy as np

from core.activations.facets import Facet
from core.activations.index import counts_between, facet_index, positions
from core.activations.index import members as members_of

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
    labelled: bool = True

    @property
    def accuracy(self) -> float | None:
        """Fraction 0..1; None for an empty band, and where there are no labels."""
        return self.correct / self.count if self.count and self.labelled else None

    def to_dict(self) -> dict[str, Any]:
        return {
            "count": self.count,
            "total": self.total,
            "classes": dict(self.classes),
            "correct": self.correct,
            "accuracy": self.accuracy,
        }


def members(index: BandIndex, low: float, high: float, *, closed: bool, rows: np.ndarray | None = None) -> np.ndarray:
    """Rows (m,) int64 in the band, weakest first. rows: (n,) bool, which images count; None means all."""
    found = members_of(index, low, high, closed=closed)
    return found if rows is None else found[rows[found]]


def summarise(
    analysis: Analysis,
    index: BandIndex,
    low: float,
    high: float,
    *,
    closed: bool,
    rows: np.ndarray | None = None,
) -> BandSummary:
    """Class mix and accuracy of a band. index: of the same analysis. rows: (n,) bool, which images count; None means
    all of the index. Without rows, only the first summary of an index looks at its images one by one."""
    k = len(analysis.classes)
    if rows is None:
        start, stop = positions(index, low, high, closed=closed)
        # the predictions are kept beside, so that their id cannot become another array's
        _, outcomes = index.remember(
            ("outcomes", id(analysis.predicted)), lambda: (analysis.predicted, facet_index(index, _outcomes(analysis)))
        )
        counts = counts_between(outcomes, start, stop)[: 2 * k].reshape(k, 2)
        total = index.m
    else:
        inside = members(index, low, high, closed=closed, rows=rows)
        counts = np.bincount(_outcomes(analysis).codes[inside], minlength=2 * k).reshape(k, 2)
        total = int(np.count_nonzero(rows))
    return BandSummary(
        count=int(counts.sum()),
        total=total,
        classes={name: int(size) for name, size in zip(analysis.classes, counts.sum(axis=1), strict=True)},
        correct=int(counts[:, 1].sum()),
        labelled=analysis.labelled,
    )


def _outcomes(analysis: Analysis) -> Facet:
    """Class x right or wrong: twice the class, plus one where the prediction is right."""
    right = analysis.predicted == analysis.labels
    return Facet(
        "outcome", "outcome", ("",) * (2 * len(analysis.classes)), analysis.labels.astype(np.int32) * 2 + right
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
    if not band.labelled:
        return f"The model takes these images for {mix}."
    right = f"the model is right {_percent(band.accuracy)} of the time"
    if is_top or top.accuracy is None:
        return f"Here {right}. These images are {mix}."
    return f"Here {right}, in the top band {_percent(top.accuracy)}. These images are {mix}."


def digits_of(span: float) -> int:
    """Digits behind the point that show four figures of a range of this width, as `outward` keeps them; 0..300."""
    return min(max(_digits(span), 0), 300)


def outward(low: float, high: float, span: float) -> tuple[float, float]:
    """The band rounded to four digits of the range it lies in, never losing an image at its ends.

    low, high: finite. span: width of the whole range, > 0. For numbers that people read, type and put in links.
    """
    digits = _digits(span)
    step = Decimal(1).scaleb(-digits)
    # decimal arithmetic on the shortest text of each number: rounding what is round already changes nothing
    with localcontext(prec=400):
        down = Decimal(repr(float(low))).quantize(step, rounding=ROUND_FLOOR)
        up = Decimal(repr(float(high))).quantize(step, rounding=ROUND_CEILING)
    return float(down), float(up)


def _digits(span: float) -> int:
    return 4 - math.ceil(math.log10(span)) if span > 0 and math.isfinite(span) else 4


def _percent(fraction: float | None) -> str:
    if fraction is None:
        return "–"
    # 99.6% must not read as "always"
    return f"{100 * fraction:.1f}%" if 0.99 < fraction < 1 else f"{100 * fraction:.0f}%"
