"""Has the middle emptied? Where the images lie between "clearly not" and "clearly" before and after a repair.

Two heads cannot be compared by their logits: one that is the other times ten says the same of every image and has ten
times the range; and adding the same number to all logits of an image changes nothing either. So what is compared is
the margin (logit of the class minus the largest of the others), which the second cannot change, in units that the
first cannot: for each head -1 is the mean margin of the other classes' images and +1 that of the class's own. The
middle is the same as everywhere: the middle half of the way between these means, here from -0.5 to 0.5. It empties
only when images move towards their class's mean relative to the distance between the classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.activations.bands import assign
from core.errors import BadRequest, EmptyGroup
from core.retraining.groups import Grouping
from core.retraining.intervals import SIGNIFICANCE, mcnemar

MIDDLE = (-0.5, 0.5)
# the outermost bars hold what lies beyond
REACH = 3.0
_BARS_PER_UNIT = 4


@dataclass(frozen=True)
class GroupShift:
    """One group's images: (b,) counts per bar, and how many lie in the middle."""

    class_name: str
    concept: str | None
    count: int
    before: tuple[int, ...]
    after: tuple[int, ...]
    middle_before: int
    middle_after: int

    def to_dict(self) -> dict[str, Any]:
        return {
            "class": self.class_name,
            "concept": self.concept,
            "count": self.count,
            "before": list(self.before),
            "after": list(self.after),
            "middle_before": self.middle_before,
            "middle_after": self.middle_after,
        }


@dataclass(frozen=True)
class ActivationShift:
    """How the images lie along one class, on the common scale (-1: mean of the other classes, +1: mean of the class).

    edges: (b+1,), the outermost bars hold what lies beyond. before, after: (b,) counts, summing to count. middle: the
    range; middle_before, middle_after: counts in it. own_before, own_after: of these, images of the class. p: exact
    McNemar test of whether as many images entered the middle as left it. emptied: fewer are in it, beyond chance.
    groups: the same by group, images without a known one left out. comparable: False where a head does not tell the
    class from the others, so that there is no scale: the counts are then on the standard deviations of that head.
    not_a_number: images left out for that.
    """

    class_name: str
    edges: tuple[float, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]
    count: int
    middle: tuple[float, float]
    middle_before: int
    middle_after: int
    own_before: int
    own_after: int
    p: float
    emptied: bool
    comparable: bool
    not_a_number: int
    groups: tuple[GroupShift, ...]
    sentence: str

    def to_dict(self) -> dict[str, Any]:
        return {
            "class": self.class_name,
            "edges": list(self.edges),
            "before": list(self.before),
            "after": list(self.after),
            "count": self.count,
            "middle": list(self.middle),
            "middle_before": self.middle_before,
            "middle_after": self.middle_after,
            "own_before": self.own_before,
            "own_after": self.own_after,
            "p": self.p,
            "emptied": self.emptied,
            "comparable": self.comparable,
            "not_a_number": self.not_a_number,
            "groups": [group.to_dict() for group in self.groups],
            "sentence": self.sentence,
        }


def activation_shift(
    logits_before: np.ndarray,
    logits_after: np.ndarray,
    labels: np.ndarray,
    classes: Sequence[str],
    grouping: Grouping,
    c: int,
) -> ActivationShift:
    """Compare two heads on the same images along class c.

    logits_before, logits_after: (n, k) float. labels: (n,) int. grouping: of these n images. Raises `BadRequest` for a
    class that is not there, `EmptyGroup` when no image is left.
    """
    if not 0 <= c < len(classes):
        raise BadRequest(f"There is no class number {c}.", next_step=f"Use 0 to {len(classes) - 1}.")
    margins = [margin(logits, c) for logits in (logits_before, logits_after)]
    finite = np.isfinite(margins[0]) & np.isfinite(margins[1])
    if not finite.any():
        raise EmptyGroup(
            "No image has logits that are numbers before and after, so they cannot be compared.",
            next_step="Check the classifier and the new head.",
        )
    own, codes = labels[finite] == c, grouping.codes[finite]
    scaled = [common_scale(values[finite], own) for values in margins]
    comparable = all(fair for _, fair in scaled)
    bars = round(2 * REACH * _BARS_PER_UNIT)
    edges = np.linspace(-REACH, REACH, bars + 1)
    places = [assign(np.clip(values, -REACH, REACH), edges) for values, _ in scaled]
    # whole bars, so that the count of the middle is the sum of its bars
    first, last = np.searchsorted(edges, MIDDLE)
    was, now = ((place >= first) & (place < last) for place in places)
    groups = []
    for group in np.unique(codes[codes >= 0]).tolist():
        members = codes == group
        groups.append(
            GroupShift(
                *grouping.name(group),
                count=int(members.sum()),
                before=_bars(places[0][members], bars),
                after=_bars(places[1][members], bars),
                middle_before=int((was & members).sum()),
                middle_after=int((now & members).sum()),
            )
        )
    p = mcnemar(int((was & ~now).sum()), int((now & ~was).sum()))
    counts = [int(was.sum()), int(now.sum())]
    emptied = comparable and counts[1] < counts[0] and p < SIGNIFICANCE
    name = classes[c]
    return ActivationShift(
        class_name=name,
        edges=tuple(edges.tolist()),
        before=_bars(places[0], bars),
        after=_bars(places[1], bars),
        count=int(finite.sum()),
        middle=MIDDLE,
        middle_before=counts[0],
        middle_after=counts[1],
        own_before=int((was & own).sum()),
        own_after=int((now & own).sum()),
        p=p,
        emptied=emptied,
        comparable=comparable,
        not_a_number=int((~finite).sum()),
        groups=tuple(groups),
        sentence=_sentence(name, counts, int(finite.sum()), p, emptied, comparable),
    )


def _bars(places: np.ndarray, count: int) -> tuple[int, ...]:
    return tuple(np.bincount(places, minlength=count).tolist())


def margin(logits: np.ndarray, c: int) -> np.ndarray:
    """Logit of class c minus the largest of the others: (n, k) -> (n,) float64; of a single class, its logit."""
    values = np.asarray(logits, dtype=np.float64)
    if values.shape[1] == 1:
        return values[:, 0]
    with np.errstate(invalid="ignore"):
        found: np.ndarray = values[:, c] - np.delete(values, c, axis=1).max(axis=1)
    return found


def common_scale(values: np.ndarray, own: np.ndarray) -> tuple[np.ndarray, bool]:
    """Margins with the mean of the class at +1 and that of the others at -1, and whether that could be done.

    values: (n,) finite float. own: (n,) bool. Any a * values + b with a > 0 gives the same. Where the class's mean is
    not above the others', or one side has no image, there are no such units: standard deviations around the mean
    take their place, and the second result is False.
    """
    if own.any() and not own.all():
        high, low = float(values[own].mean()), float(values[~own].mean())
        half = (high - low) / 2
        # a distance that is only rounding is none
        if half > 1e-9 * max(abs(high), abs(low)):
            return (values - (high + low) / 2) / half, True
    spread = float(values.std())
    return (values - values.mean()) / (spread if spread > 0 else 1.0), False


def _sentence(name: str, middle: list[int], count: int, p: float, emptied: bool, comparable: bool) -> str:
    if not comparable:
        return (
            f"Before or after, the activations of {name} do not lie above those of the other classes, so there is no "
            "middle that could have emptied."
        )
    before, after = (f"{part / count:.1%}" for part in middle)
    chance = "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
    if emptied:
        return f"The middle of {name} has emptied: {before} of the images lay there before, {after} do now ({chance})."
    if p < SIGNIFICANCE:
        return (
            f"The middle of {name} has not emptied but filled: {before} of the images lay there before, {after} do now "
            f"({chance})."
        )
    return (
        f"The middle of {name} has not emptied beyond chance: {before} of the images lay there before, {after} do now "
        f"({chance})."
    )
