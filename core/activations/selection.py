"""What a handful of chosen images have in common, compared with all of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from core.datasets.dataset import SPLITS

if TYPE_CHECKING:
    from core.activations.store import Analysis

# every image, whatever its split
ALL = "all"
# a difference in shares below this is not worth a sentence
TELLING = 0.1


@dataclass(frozen=True)
class Trait:
    """A value that is commoner among the chosen images. share: among them, overall: among those they are compared
    with, both fractions of those whose value is known."""

    title: str
    value: str
    share: float
    overall: float


@dataclass(frozen=True)
class Selection:
    """count: images chosen. wrong, wrong_overall: shares the model gets wrong among them and among those they are
    compared with: all, or those of `split`; NaN where there are no labels. traits: what sets them apart most, of each
    facet at most one value, the largest difference first."""

    count: int
    wrong: float
    wrong_overall: float
    traits: tuple[Trait, ...]
    split: str = ALL

    def to_dict(self) -> dict[str, Any]:
        return {
            "count": self.count,
            "wrong": self.wrong,
            "wrong_overall": self.wrong_overall,
            "traits": [vars(trait) for trait in self.traits],
            "split": self.split,
        }

    def sentence(self) -> str:
        """For a person: "96% waterbird (24% of all val images), 80% place: land (52%). The model is wrong on 61% of
        them (6% of all val images)."."""
        everything = "of all images" if self.split == ALL else f"of all {self.split} images"
        parts = [
            f"{_percent(trait.share)} {trait.value if trait.title == 'class' else f'{trait.title}: {trait.value}'} "
            f"({_percent(trait.overall)}{'' if place else f' {everything}'})"
            for place, trait in enumerate(self.traits)
        ]
        told = f"{', '.join(parts)}. " if parts else ""
        if math.isnan(self.wrong):
            return told.strip() or "Nothing that is known sets them apart."
        wrong = f"{_percent(self.wrong)} of them ({_percent(self.wrong_overall)} {everything})"
        return f"{told}The model is wrong on {wrong}."


def describe(analysis: Analysis, rows: np.ndarray, most: int = 2, *, split: str = ALL) -> Selection:
    """rows: (m,) int, m > 0. most: traits at most; class and known attributes are looked at. split: whose images they
    are compared with."""
    overall, wrong_overall = _overall(analysis, split)
    mistaken = np.asarray(analysis.predicted)[rows] != np.asarray(analysis.labels)[rows]
    traits = []
    for (title, values, codes), everywhere in zip(_kinds(analysis), overall, strict=True):
        among = _shares(np.asarray(codes)[rows], len(values))
        if among is None or everywhere is None:
            continue
        best = int(np.argmax(among - everywhere))
        if among[best] - everywhere[best] >= TELLING:
            traits.append(Trait(title, values[best], float(among[best]), float(everywhere[best])))
    traits.sort(key=lambda trait: trait.overall - trait.share)
    wrong = float(mistaken.mean()) if analysis.labelled else math.nan
    return Selection(len(rows), wrong, wrong_overall, tuple(traits[:most]), split)


def _kinds(analysis: Analysis) -> list[tuple[str, tuple[str, ...], np.ndarray]]:
    """(title, values, (n,) codes with -1 for unknown) of the class and of every known attribute."""
    known = [(attribute.name, tuple(attribute.values), attribute.codes) for attribute in analysis.attributes]
    return [("class" if analysis.labelled else "prediction", analysis.classes, analysis.labels), *known]


@lru_cache(maxsize=16)
def _overall(analysis: Analysis, split: str) -> tuple[tuple[np.ndarray | None, ...], float]:
    """Shares of every kind's values among the images of a split, and the share the model gets wrong: the same for any
    rows."""
    rows = slice(None) if split == ALL else np.flatnonzero(analysis.splits == SPLITS.index(split))
    shares = tuple(_shares(np.asarray(codes)[rows], len(values)) for _, values, codes in _kinds(analysis))
    wrong = float(np.mean((analysis.predicted != analysis.labels)[rows])) if analysis.labelled else math.nan
    return shares, wrong


def _shares(codes: np.ndarray, values: int) -> np.ndarray | None:
    """(values,) fractions of the codes that are known; None where none is."""
    known = codes[codes >= 0]
    return np.bincount(known, minlength=values) / len(known) if len(known) else None


def _percent(fraction: float) -> str:
    # nearly all must not read as all, nor next to nothing as nothing
    return f"{100 * fraction:.1f}%" if 0 < fraction < 0.01 or 0.99 < fraction < 1 else f"{100 * fraction:.0f}%"
