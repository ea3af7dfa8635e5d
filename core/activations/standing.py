"""Where one image stands among all images along each direction: its value, its percentile, and how the rest lie."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from core.activations.directions import COMPONENTS, Direction, SortedScores, parse_direction, sorted_scores

if TYPE_CHECKING:
    from core.activations.store import Analysis

# bins of a strip plot: as many as can be told apart in the width of a card
BINS = 48
# classes whose logits are all looked at; of more, the strongest few
FEW_CLASSES = 6
STRONGEST = 4
COMPONENTS_SHOWN = 3
# Multiplications that principal components may cost an image that is merely looked at (they are kept once they are
# there): about a second on one core.
REACH = 3e10


@dataclass(frozen=True)
class Standing:
    """One image along one direction.

    value: its activation, None when that is not a number. percentile: share (0..1) of the images with a finite
    activation that lie below it, its equals counting half; None when its own is not finite. low, high: smallest and
    largest finite activation, 0 when there is none. counts: images per bin of equal width from low to high; they sum
    to the images with a finite activation.
    """

    spec: str
    title: str
    value: float | None
    percentile: float | None
    low: float
    high: float
    counts: tuple[int, ...]

    def to_dict(self) -> dict[str, Any]:
        return {
            "direction": self.spec,
            "title": self.title,
            "value": self.value,
            "percentile": self.percentile,
            "low": self.low,
            "high": self.high,
        }


def standing(analysis: Analysis, direction: Direction, row: int) -> Standing:
    """Where the image of a row stands. Sorts the direction's activations on first use, as looking at its bands does."""
    return place(sorted_scores(analysis, direction), direction, row)


def place(ordered: SortedScores, direction: Direction, row: int) -> Standing:
    """`standing` from activations in order."""
    values = np.asarray(ordered.values)
    # NaN lies behind all numbers, and infinities at the ends of what is left
    start = int(np.searchsorted(values, -np.inf, side="right"))
    stop = int(np.searchsorted(values, np.inf, side="left"))
    low, high = (float(values[start]), float(values[stop - 1])) if stop > start else (0.0, 0.0)
    # the position rather than the activation computed once more, which may differ in its last digit
    value = float(values[int(np.flatnonzero(np.asarray(ordered.order) == row)[0])])
    percentile = None
    if np.isfinite(value):
        # in float32, as the values are: a float64 key would have all of them converted
        key = values.dtype.type(value)
        below = int(np.searchsorted(values, key, side="left")) - start
        not_above = int(np.searchsorted(values, key, side="right")) - start
        percentile = (below + not_above) / 2 / (stop - start)
    return Standing(
        spec=direction.spec,
        title=direction.title,
        value=None if np.isnan(value) else value,
        percentile=percentile,
        low=low,
        high=high,
        counts=_counts(values, start, stop),
    )


def telling_directions(
    analysis: Analysis, row: int, *, current: Direction | None = None, concepts: Iterable[Direction] = ()
) -> tuple[Direction, ...]:
    """The directions worth looking at for an image, each once.

    The current one; every class's logit, or with many classes those of its label, its prediction and its strongest
    ones; the concepts' directions as given; the first principal components, unless they would have to be computed from
    very many features.
    """
    specs = [f"logit:{analysis.classes[index]}" for index in telling_classes(analysis, row)]
    found = [] if current is None else [current]
    found += [parse_direction(spec, analysis) for spec in specs]
    found += concepts
    found += _components(analysis)
    return tuple({direction.spec: direction for direction in reversed(found)}.values())[::-1]


def telling_classes(analysis: Analysis, row: int, *, strongest: int = STRONGEST) -> list[int]:
    """All classes where they are few; else the image's strongest ones and its label, strongest first."""
    if analysis.k <= FEW_CLASSES:
        return list(range(analysis.k))
    logits = np.nan_to_num(np.asarray(analysis.logits[row], dtype=np.float64), nan=-np.inf)
    order = np.argsort(-logits, kind="stable").tolist()
    label = int(analysis.labels[row])
    return order[:strongest] + ([label] if label not in order[:strongest] else [])


def standings(analysis: Analysis, directions: Sequence[Direction], row: int) -> tuple[Standing, ...]:
    return tuple(standing(analysis, direction, row) for direction in directions)


def _components(analysis: Analysis) -> list[Direction]:
    kept = analysis.folder / "sorted" / "principal-components.npy"
    if not kept.is_file() and (analysis.n + COMPONENTS) * analysis.d**2 > REACH:
        return []
    try:
        return [parse_direction(f"pc:{index}", analysis) for index in range(min(COMPONENTS_SHOWN, analysis.d))]
    except ValueError:
        # features that are not finite have no principal components, which is no reason to say nothing at all
        return []


def _counts(values: np.ndarray, start: int, stop: int) -> tuple[int, ...]:
    """Finite values per bin, the last bin closed; all in one bin where they are equal."""
    if stop == start:
        return (0,) * BINS
    low, high = float(values[start]), float(values[stop - 1])
    steps = np.linspace(0.0, 1.0, BINS + 1)
    edges = (low * (1 - steps) + high * steps).astype(values.dtype)
    inner = np.searchsorted(values, edges[1:-1], side="left")
    bounds = np.concatenate([[start], np.clip(inner, start, stop), [stop]])
    return tuple(np.diff(bounds).tolist())
