"""What the map shows, in a sentence: how much nearer to each other images lie that its colours say are alike."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from core.activations.projection import FEWEST
from pages.parts.feature_map import STEPS, UNKNOWN
from pages.parts.words import percent, plain, short

if TYPE_CHECKING:
    from pages.parts.feature_map import MapColours, MapLayout

# nearest images that each one is held against, and images that are looked at: their share is known to some 2 points
# then, and 50,000 points take a fifth of a second once
NEAREST, LOOKED_AT = 10, 300
# an excess below this, as a share of what could be, is not worth being called a pattern
NOTABLE = 0.1


def sentence(layout: MapLayout, colours: MapColours) -> str:
    """Markdown; "" where too few images have a place and a colour."""
    return _sentence(Seen(layout, colours))


class Seen:
    """Points and colours by what they are called: the same are read once."""

    def __init__(self, layout: MapLayout, colours: MapColours) -> None:
        self.layout, self.colours, self.id = layout, colours, (layout.id, colours.id)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Seen) and self.id == other.id

    def __hash__(self) -> int:
        return hash(self.id)


@lru_cache(maxsize=16)
def _sentence(seen: Seen) -> str:
    layout, colours = seen.layout, seen.colours
    usable = np.isfinite(layout.xy).all(axis=1) & (colours.codes != UNKNOWN)
    if layout.shown is not None:
        usable &= layout.shown
    if np.count_nonzero(usable) < FEWEST:
        return ""
    codes = colours.codes[usable].astype(np.int64)
    title = plain(short(colours.title))
    if codes.min() == codes.max():
        return f"All of them have the same {title}."
    near = codes[_nearest(layout.xy[usable])]
    own = codes[_looked_at(len(codes))][:, None]
    if colours.ramp:
        return _of_ramp(title, np.abs(near - own).mean() / (STEPS - 1), _any_two_apart(codes) / (STEPS - 1))
    shares = np.bincount(codes) / len(codes)
    return _of_values(title, float((near == own).mean()), float(shares @ shares))


def _of_values(title: str, alike: float, by_chance: float) -> str:
    told = f"of an image's nearest neighbours here {percent(alike)} share its {title}, by chance {percent(by_chance)}"
    if alike - by_chance < NOTABLE * (1 - by_chance):
        return f"The map is not ordered by **{title}**: {told}."
    return f"The map is ordered by **{title}**: {told}."


def _of_ramp(title: str, apart: float, any_two: float) -> str:
    told = f"nearest neighbours here differ by {percent(apart)} of its range on average, any two by {percent(any_two)}"
    if any_two - apart < NOTABLE * any_two:
        return f"The map is not ordered by **{title}**: {told}."
    return f"The map is ordered by **{title}**: {told}."


def _looked_at(n: int) -> np.ndarray:
    """Rising places of the images looked at: all, or drawn by lot, the same every time."""
    if n <= LOOKED_AT:
        return np.arange(n)
    return np.sort(np.random.default_rng(0).choice(n, LOOKED_AT, replace=False))


def _nearest(xy: np.ndarray) -> np.ndarray:
    """(m, k) places of the nearest of each image looked at, without itself."""
    near = min(NEAREST, len(xy) - 1)
    found, (across, up) = [], np.ascontiguousarray(xy.T)
    # a search tree would be faster; importing scipy's takes longer than this
    for place in _looked_at(len(xy)):
        apart = (across - across[place]) ** 2 + (up - up[place]) ** 2
        apart[place] = np.inf
        found.append(np.argpartition(apart, near - 1)[:near])
    return np.stack(found)


def _any_two_apart(codes: np.ndarray) -> float:
    """Mean distance of two different ones, exactly: each gap of the order counts for all pairs that it parts."""
    ordered, n = np.sort(codes), len(codes)
    below = np.arange(1, n)
    return float((np.diff(ordered) * below * (n - below)).sum() / (n * (n - 1) / 2))
