"""How differently an attribute or tagged concept is distributed in a direction's middle and at its top.

Two of the four figures of the scoreboard, skew and harm; what they mean stands at the head of scoreboard.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from core.activations.suspicion import CONFIDENCE, share_gain

if TYPE_CHECKING:
    from core.activations.facets import Facet

# images of middle and top each of which an attribute has to be known before its silence says anything
COMPARED = 5


@dataclass(frozen=True, eq=False)
class Known:
    """An attribute or concept among the images looked at. codes: (m,) int64, index into values, -1 where unknown."""

    spec: str
    title: str
    values: tuple[str, ...]
    codes: np.ndarray


def known_of(facet: Facet, rows: np.ndarray) -> Known:
    """What a facet says of some images; of a concept, those not tagged are unknown. rows: (m,) int."""
    codes = np.asarray(facet.codes[rows], dtype=np.int64)
    values = tuple(facet.values)
    if facet.spec.startswith("concept:"):
        # "not tagged" is the absence of knowledge, not a way to look
        values = tuple(value for value in values if value in ("absent", "present"))
        place = np.full(len(facet.values) + 1, -1)
        for code, value in enumerate(facet.values):
            place[code] = values.index(value) if value in values else -1
        codes = place[codes]
    return Known(facet.spec, facet.title, values, codes)


@dataclass(frozen=True)
class Shift:
    """A value's share in the middle and at the top, and how often images with and without it are taken for another
    class, all of images of which it is known. skew, harm: 0..1. gain: the skew among the images
    of which it is known, however few. shown, of: images of middle and top that have the
    value, and of which it is known."""

    known: Known
    value: str
    skew: float
    gain: float
    harm: float
    shown: tuple[int, int]
    of: tuple[int, int]
    error_with: float
    error_without: float

    @property
    def rank(self) -> tuple[float, float]:
        return self.skew * self.harm, self.skew

    @property
    def shares(self) -> tuple[float, float]:
        """Of middle and top, NaN where nothing is known."""
        mid, top = (shown / of if of else math.nan for shown, of in zip(self.shown, self.of, strict=True))
        return mid, top

    @property
    def evidence(self) -> dict[str, float]:
        mid, top = self.shares
        return {
            "mid_share": mid,
            "top_share": top,
            "mid_known": float(self.of[0]),
            "top_known": float(self.of[1]),
            "error_with": self.error_with,
            "error_without": self.error_without,
        }


@dataclass(frozen=True, eq=False)
class Skew:
    """How one attribute's or concept's values shift from top to middle, per direction.

    gain: (directions,) the certain gain of a value's share. value: which. tables: (2, values,
    directions) images of middle and top. coverage: (directions,) 0..1, of how many of them it is known: the geometric
    mean of the two shares. compared: both hold enough images of which it is known. harm, errors: per value; errors
    (values, 2) are the rates with and without it.
    """

    known: Known
    gain: np.ndarray
    value: np.ndarray
    tables: np.ndarray
    coverage: np.ndarray
    compared: np.ndarray
    harm: np.ndarray
    errors: np.ndarray

    def at(self, column: int) -> Shift:
        value = int(self.value[column])
        shown = self.tables[:, value, column].astype(int).tolist()
        of = self.tables[:, :, column].sum(axis=1).astype(int).tolist()
        return Shift(
            self.known,
            self.known.values[value],
            float(self.gain[column] * self.coverage[column]),
            float(self.gain[column]),
            float(self.harm[value]),
            (shown[0], shown[1]),
            (of[0], of[1]),
            *self.errors[value].tolist(),
        )


def skew_of(known: Known, own: slice, middle: np.ndarray, top: np.ndarray, wrong: np.ndarray) -> Skew:
    """own: the images of one class among those looked at. middle, top: (n, directions) float32 of 0 and 1, which of
    them count. wrong: (n,) bool."""
    codes = known.codes[own]
    shown = (codes == np.arange(len(known.values))[:, None]).astype(np.float32)
    tables = np.stack([shown @ middle, shown @ top]).astype(np.float64)
    sizes = tables.sum(axis=1)
    images = np.stack([middle.sum(axis=0), top.sum(axis=0)])
    # people tag what is proposed to them: a few tagged images do not stand for all
    coverage = np.sqrt(np.prod(sizes / np.maximum(images, 1), axis=0))
    # as many values, as many chances to be misled by noise
    level = 1 - (1 - CONFIDENCE) / len(known.values)
    gains = share_gain(tables[0], sizes[0], tables[1], sizes[1], level)
    mistaken, having = shown @ wrong.astype(np.float64), shown.sum(axis=1, dtype=np.float64)
    rest, others = mistaken.sum() - mistaken, having.sum() - having
    harm = share_gain(mistaken, having, rest, others, level)
    # what does harm first, then what gains most
    value = (gains * (harm[:, None] + 1e-6)).argmax(axis=0)
    return Skew(
        known=known,
        gain=np.take_along_axis(gains, value[None], axis=0)[0],
        value=value,
        tables=tables,
        coverage=coverage,
        compared=(sizes >= COMPARED).all(axis=0),
        harm=harm,
        errors=np.stack([mistaken / np.maximum(having, 1), rest / np.maximum(others, 1)], axis=1),
    )
