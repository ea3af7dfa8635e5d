"""How activations are written on screen: as they are, as a share of the images below, or in standard deviations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from core.activations.findings import digits_of
from core.activations.index import BandIndex, moments, quantile_of, share_below, value_at
from pages.parts.band_strip import TickFormat

VALUE, QUANTILE, Z_SCORE = "value", "quantile", "z"
SCALES = {VALUE: "value", QUANTILE: "share of images", Z_SCORE: "z-score"}

_TICKS: dict[str, TickFormat] = {VALUE: "value", QUANTILE: "percent", Z_SCORE: "z"}


@dataclass(frozen=True)
class Scale:
    """One of `SCALES` over the images at hand.

    shown: from an activation to what people read, low and high end of a band: the one has no image of the band below
    it, the other none above. meant: the way back. unit: what they read, in words. step: a sensible move of the number
    inputs. digits: behind the point.
    """

    name: str
    unit: str
    shown: Callable[[float, float], tuple[float, float]]
    meant: Callable[[float], float]
    step: float
    digits: int

    @property
    def tick_format(self) -> TickFormat:
        return _TICKS[self.name]

    def ends(self, low: float, high: float) -> tuple[float, float] | None:
        """Where the two ends of a band stand on the axis; None where they stand at their values."""
        if self.name == VALUE:
            return None
        first, last = self.shown(low, high)
        return (first / 100, last / 100) if self.name == QUANTILE else (first, last)

    def places(self, edges: np.ndarray) -> np.ndarray | None:
        """(b+1,) where the histogram's edges stand on the axis, rising; None where they stand at their values."""
        if self.name == VALUE:
            return None
        shown = np.array([self.shown(float(edge), float(edge))[0] for edge in edges])
        if self.name == QUANTILE:
            # the largest value has all the others below it, and belongs to the axis too
            shown = np.append(shown[:-1], 100.0) / 100
        return shown


def scale(index: BandIndex, name: str) -> Scale:
    span = index.high - index.low or 1.0
    if name == QUANTILE:
        # a share lies between two images: its value is that of the image at that share
        return Scale(
            name,
            "percent of images below",
            lambda low, high: (100 * share_below(index, low), 100 * quantile_of(index, high)),
            lambda share: value_at(index, min(max(share / 100, 0.0), 1.0)),
            step=2.0,
            digits=1,
        )
    if name == Z_SCORE:
        mean, deviation = moments(index)
        width = deviation or 1.0
        return Scale(
            name,
            "standard deviations from the mean",
            lambda low, high: ((low - mean) / width, (high - mean) / width),
            lambda z: mean + z * width,
            step=0.1,
            digits=2,
        )
    return Scale(VALUE, "", lambda low, high: (low, high), float, step=span / 50, digits=digits_of(span))
