"""Bands worth looking at, and values worth marking, along any direction.

    top          from the median activation of the class's own images to the largest: "clearly this class"
    bottom       from the smallest to the median of the other classes' images: "clearly not this class"
    mid-gap      the middle half of the way from the other classes' mean to the class's own
    own-low      the lowest tenth of the class's own images
    boundary     the tenth of the images that lie nearest to where the prediction turns
    quantiles    the middle half of all images by count

The class is the direction's own (`Direction.own_class`), else the one it leans to. The rules are ours: the paper's
(arXiv:2411.10019) exact rule is not at hand.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

from core.activations.bands import Range, nothing_in
from core.activations.directions import class_of
from core.activations.index import open_index
from core.errors import BadRequest

if TYPE_CHECKING:
    from core.activations.directions import Direction
    from core.activations.store import Analysis

TOP, MID, BOTTOM = "top", "mid-gap", "bottom"
MID_RULES = ("mid-gap", "own-low", "boundary", "quantiles")
# own-low and boundary take this share of the images, and this many at least: a narrow band of a small dataset would
# show next to nothing
SHARE, LEAST = 0.1, 30
# more class means than this cannot be told apart on an axis: the class itself is set against all others
MOST_MEANS = 6
# activations added up at once: what is summed in float64 stays in the processor's cache
_BLOCK = 65_536


@dataclass(frozen=True)
class Landmark:
    """A value of the axis that means something. label: a few words."""

    value: float
    label: str

    def to_dict(self) -> dict[str, Any]:
        return {"value": self.value, "label": self.label}


def propose(analysis: Analysis, direction: Direction, which: str, rows: np.ndarray | None = None) -> Range:
    """The band that a rule proposes. which: "top", "bottom" or one of `MID_RULES`. rows: (n,) bool, the images the rule
    looks at; None means all. Raises `BadRequest` for another rule."""
    if which not in (TOP, BOTTOM, *MID_RULES):
        raise BadRequest(
            f"“{which}” is not a band that can be proposed.",
            next_step=f"Use one of: {', '.join((TOP, BOTTOM, *MID_RULES))}.",
        )
    looked = _looked_at(analysis, direction, rows)
    index = class_of(analysis, direction)
    values, own, name = looked.values, looked.labels == index, analysis.classes[index]
    unit = "logit" if direction.kind == "logit" else "activation"
    if which == TOP:
        return top_range(values, own, name, unit)
    if which == BOTTOM:
        return bottom_range(values, own, name, unit)
    if which == "own-low":
        return own_low_range(values, own, name)
    if which == "boundary":
        exact = _exact_boundary(direction, analysis.k)
        return boundary_range(values, looked.boundary(index) if exact is None else exact)
    if which == "quantiles":
        return middle_half(values, "")
    return mid_range(values, own, name, unit)


def landmarks(analysis: Analysis, direction: Direction, rows: np.ndarray | None = None) -> tuple[Landmark, ...]:
    """The decision boundary and the class means along a direction, lowest first. rows: (n,) bool; None means all.

    The boundary is exact for a margin, for a difference, and for a probability of two classes; for any other
    direction it is the value that best parts the images predicted as the class from the rest, and is labelled "about".
    """
    looked = _looked_at(analysis, direction, rows)
    index = class_of(analysis, direction)
    found = []
    exact = _exact_boundary(direction, analysis.k)
    value = looked.boundary(index) if exact is None else exact
    if value is not None:
        found.append(Landmark(value, _boundary_label(direction, analysis.k, exact is not None)))
    counts, sums = looked.totals
    groups = [(name, counts[c], sums[c]) for c, name in enumerate(analysis.classes)]
    if analysis.k > MOST_MEANS:
        others = np.arange(analysis.k) != index
        groups = [groups[index], ("other classes", counts[others].sum(), sums[others].sum())]
    found += [Landmark(float(total / count), f"mean of {name}") for name, count, total in groups if count]
    return tuple(sorted(found, key=lambda mark: mark.value))


def usual_rows(analysis: Analysis, split: str | None = None) -> np.ndarray:
    """(n,) bool, the images that proposals look at unless told otherwise: val, or all where there is no val."""
    chosen = np.zeros(analysis.n, dtype=bool)
    chosen[analysis.split_rows(split or "val")] = True
    return chosen if split is not None or chosen.any() else np.ones(analysis.n, dtype=bool)


def mid_range(scores: np.ndarray, own: np.ndarray, name: str, unit: str = "logit") -> Range:
    """The middle half of the way from the other classes' mean activation to the class's own ("mid-gap").

    scores: (n,) float. own: (n,) bool, images of the class. Where a side has no images, or the class does not lie
    above the others, the middle half of all images by count takes its place.
    """
    ours, others = _finite(scores[own]), _finite(scores[~own])
    if len(ours) and len(others) and ours.mean() > others.mean():
        low, high = others.mean(), ours.mean()
        quarter = (high - low) / 4
        why = (
            f"The middle half of the way from the mean {unit} of the other classes ({low:.2f}) "
            f"to the mean {unit} of {name} ({high:.2f})."
        )
        return Range(float(low + quarter), float(high - quarter), why)
    subject = f"the {unit} of {name}" if unit == "logit" else f"the {unit}"
    return middle_half(scores, f"{subject} does not tell {name} from the other classes")


def middle_half(scores: np.ndarray, reason: str) -> Range:
    """The middle half of all images by count. reason: why no better rule applies, or ""."""
    finite = _finite(scores)
    if not len(finite):
        return Range(0.0, 0.0, f"{nothing_in(scores)}, so there is no middle.")
    low, high = np.quantile(finite, [0.25, 0.75])
    return Range(float(low), float(high), f"The middle half of all images{': ' if reason else ''}{reason}.")


def top_range(scores: np.ndarray, own: np.ndarray, name: str, unit: str = "logit") -> Range:
    """From the median activation of the class's own images to the largest: "clearly this class".

    The same half that curation assumes to show the class's usual confounder value. scores, own: as `mid_range`.
    """
    ours, finite = _finite(scores[own]), _finite(scores)
    if not len(finite):
        return Range(0.0, 0.0, f"{nothing_in(scores)}, so there is no top.")
    if not len(ours):
        low = float(np.quantile(finite, 0.75))
        return Range(low, float(finite.max()), f"The upper quarter of all images: no image here is of class {name}.")
    low = float(np.median(ours))
    return Range(low, float(finite.max()), f"From the median {unit} of the images of {name} ({low:.2f}) upwards.")


def bottom_range(scores: np.ndarray, own: np.ndarray, name: str, unit: str = "logit") -> Range:
    """From the smallest activation to the median of the other classes' images: "clearly not this class"."""
    others, finite = _finite(scores[~own]), _finite(scores)
    if not len(finite):
        return Range(0.0, 0.0, f"{nothing_in(scores)}, so there is no bottom.")
    if not len(others):
        high = float(np.quantile(finite, 0.25))
        return Range(float(finite.min()), high, f"The lower quarter of all images: every image here is of {name}.")
    high = float(np.median(others))
    return Range(float(finite.min()), high, f"Up to the median {unit} of the images of other classes ({high:.2f}).")


def own_low_range(scores: np.ndarray, own: np.ndarray, name: str) -> Range:
    """The lowest tenth of the class's own images, 30 at least: where its unusual images gather."""
    ours = np.sort(_finite(scores[own]))
    if not len(ours):
        return middle_half(scores, f"no image here is of class {name}")
    count = min(len(ours), max(LEAST, round(SHARE * len(ours))))
    return Range(float(ours[0]), float(ours[count - 1]), f"The {count:,} lowest of {len(ours):,} images of {name}.")


def boundary_range(scores: np.ndarray, boundary: float | None) -> Range:
    """The tenth of the images nearest to a value, 30 at least, as far to its left as to its right."""
    finite = _finite(scores)
    if boundary is None or not len(finite):
        return middle_half(scores, "all of them get the same prediction, so there is no boundary")
    count = min(len(finite), max(LEAST, round(SHARE * len(finite))))
    reach = float(np.partition(np.abs(finite - boundary), count - 1)[count - 1])
    why = f"The {count:,} images nearest to the decision boundary ({boundary:.2f})."
    # the farthest of them lies at one end exactly; a rounded sum must not push it out
    low, high = boundary - reach, boundary + reach
    within = finite[np.abs(finite - boundary) <= reach]
    return Range(min(low, float(within.min())), max(high, float(within.max())), why)


def boundary_value(scores: np.ndarray, positive: np.ndarray) -> float | None:
    """The value that best parts positive images (above) from the rest, both sides weighing the same; halfway between
    the images on its two sides. scores: (n,). positive: (n,) bool. None where a side is empty."""
    finite = np.isfinite(scores)
    values, positive = np.asarray(scores, dtype=np.float64)[finite], positive[finite]
    if positive.all() or not positive.any():
        return None
    if (values[1:] < values[:-1]).any():
        order = np.argsort(values, kind="stable")
        values, positive = values[order], positive[order]
    missed = np.concatenate([[0], np.cumsum(positive)]) / positive.sum()
    kept_out = np.concatenate([[0], np.cumsum(~positive)]) / (~positive).sum()
    # a cut between equal values is none: only places where the value changes, and the two ends
    places = np.concatenate([[0], np.flatnonzero(np.diff(values) > 0) + 1, [len(values)]])
    best = int(places[np.argmin((missed - kept_out)[places])])
    below, above = values[max(best - 1, 0)], values[min(best, len(values) - 1)]
    return float(below + (above - below) / 2)


@dataclass(frozen=True, eq=False)
class _LookedAt:
    """The images a rule looks at, in the order of activation. values: (m,) float32. labels, predicted: (m,), in the
    smallest type that holds a class. finite: positions start, stop of the finite values. k: classes."""

    values: np.ndarray
    labels: np.ndarray
    predicted: np.ndarray
    finite: tuple[int, int]
    k: int
    _boundaries: dict[int, float | None] = field(default_factory=dict)

    @cached_property
    def totals(self) -> tuple[np.ndarray, np.ndarray]:
        """Images with finite activations, and the sum of these, per class: (k,) int64, (k,) float64."""
        counts, sums = np.zeros(self.k, dtype=np.int64), np.zeros(self.k)
        start, stop = self.finite
        for place in range(start, stop, _BLOCK):
            part = slice(place, min(place + _BLOCK, stop))
            counts += np.bincount(self.labels[part], minlength=self.k)
            sums += np.bincount(self.labels[part], weights=self.values[part], minlength=self.k)
        return counts, sums

    def boundary(self, index: int) -> float | None:
        """As `boundary_value` has it, of the images predicted as a class."""
        if index not in self._boundaries:
            inside = slice(*self.finite)
            self._boundaries[index] = boundary_value(self.values[inside], self.predicted[inside] == index)
        return self._boundaries[index]


def _looked_at(analysis: Analysis, direction: Direction, rows: np.ndarray | None) -> _LookedAt:
    """What a rule looks at; the last one per analysis is kept, since a page asks for several bands and landmarks of the
    same images."""
    kept = _LAST.get(analysis)
    if kept is not None and kept[0] == direction.key and _same(kept[1], rows):
        return kept[2]
    index = open_index(analysis, direction, rows)
    small = np.min_scalar_type(analysis.k)
    found = _LookedAt(
        np.asarray(index.values),
        # narrow before they are put in order: what is read here and there then stays in the processor's cache
        analysis.labels.astype(small)[index.order],
        analysis.predicted.astype(small)[index.order],
        index.finite,
        analysis.k,
    )
    # a copy of rows: whoever holds them may change them
    _LAST[analysis] = (direction.key, None if rows is None else np.array(rows), found)
    return found


def _same(first: np.ndarray | None, second: np.ndarray | None) -> bool:
    return first is second if first is None or second is None else np.array_equal(first, second)


# per open analysis, for as long as it is open: key of the direction, rows, what was looked at
_LAST: WeakKeyDictionary[Any, tuple[str, np.ndarray | None, _LookedAt]] = WeakKeyDictionary()


def _exact_boundary(direction: Direction, k: int) -> float | None:
    if direction.kind in ("margin", "difference", "concept"):
        return 0.0
    return 0.5 if direction.kind == "probability" and k == 2 else None


def _boundary_label(direction: Direction, k: int, exact: bool) -> str:
    if not exact:
        return "about the decision boundary"
    if direction.kind == "concept":
        return "even odds"
    return "both logits are equal" if direction.kind == "difference" and k > 2 else "decision boundary"


def _finite(values: np.ndarray) -> np.ndarray:
    values = np.asarray(values, dtype=np.float64)
    return values[np.isfinite(values)]
