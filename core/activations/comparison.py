"""Two directions, or one direction under two last layers: where the images of one band lie in the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from core.activations.bands import Range, bounds

if TYPE_CHECKING:
    from core.activations.store import Analysis


@dataclass(frozen=True)
class Comparison:
    """count: images of the band. right_here, right_there: those the model of each side names rightly. in_top, in_mid:
    those that lie in the other side's top and mid band. turned_right, turned_wrong: those that only the other side's
    model names rightly, or no longer does. correlation: of the two activations over all images that have both, Pearson;
    None where one is constant."""

    count: int
    right_here: int
    right_there: int
    in_top: int
    in_mid: int
    turned_right: int
    turned_wrong: int
    correlation: float | None

    def to_dict(self) -> dict[str, Any]:
        return {
            "count": self.count,
            "right_here": self.right_here,
            "right_there": self.right_there,
            "in_top": self.in_top,
            "in_mid": self.in_mid,
            "turned_right": self.turned_right,
            "turned_wrong": self.turned_wrong,
            "correlation": self.correlation,
        }


def compare(
    here: Analysis,
    there: Analysis,
    members: np.ndarray,
    values_here: np.ndarray,
    values_there: np.ndarray,
    *,
    mid: Range,
    top: Range,
    rows: np.ndarray | None = None,
) -> Comparison:
    """here, there: the same images under the models of both sides. members: (m,) rows of the band on this side.

    values_here, values_there: (n,) activations of every image on each side. mid, top: the other side's bands.
    rows: (n,) bool, the images that the correlation is taken over; None means all.
    """
    labels = here.labels[members]
    before, after = here.predicted[members] == labels, there.predicted[members] == labels
    landed = values_there[members]
    return Comparison(
        count=len(members),
        right_here=int(before.sum()),
        right_there=int(after.sum()),
        in_top=_inside(landed, top),
        in_mid=_inside(landed, mid),
        turned_right=int((~before & after).sum()),
        turned_wrong=int((before & ~after).sum()),
        correlation=_correlation(values_here, values_there, rows),
    )


def sentence(found: Comparison, *, same_model: bool) -> str:
    """What the comparison says, in one or two plain sentences."""
    if not found.count:
        return "No image lies in this band: widen it."
    images = "1 image" if found.count == 1 else f"{found.count:,} images"
    landed = (
        f"Of the {images} in this band, {_share(found.in_mid, found.count)} lie in the other side's mid band and "
        f"{_share(found.in_top, found.count)} in its top band."
    )
    if same_model:
        return landed
    return (
        f"The model on the left names {_share(found.right_here, found.count)} of these images rightly, the one on the "
        f"right {_share(found.right_there, found.count)}: {found.turned_right:,} turned right, "
        f"{found.turned_wrong:,} turned wrong. {landed}"
    )


def _inside(values: np.ndarray, band: Range) -> int:
    start, stop = bounds(np.sort(values), band.low, band.high, closed=band.closed)
    return stop - start


def _correlation(first: np.ndarray, second: np.ndarray, rows: np.ndarray | None) -> float | None:
    kept = np.isfinite(first) & np.isfinite(second)
    if rows is not None:
        kept &= rows
    a, b = first[kept].astype(np.float64), second[kept].astype(np.float64)
    if len(a) < 2 or a.std() == 0 or b.std() == 0:
        return None
    return float(np.corrcoef(a, b)[0, 1])


def _share(part: int, whole: int) -> str:
    share = part / whole
    # 99.6% must not read as "all", nor 0.4% as "none"
    return f"{100 * share:.1f}%" if 0 < share < 0.01 or 0.99 < share < 1 else f"{100 * share:.0f}%"
