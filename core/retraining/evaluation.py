"""What a head gets right, group by group, and whether one is better than another.

Accuracies are fractions 0..1. Intervals are Wilson's at 95% (Wilson 1927): unlike the textbook interval they stay
within 0..1 and hold for a group of five images.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import binomtest

from core.errors import EmptyGroup
from core.retraining.groups import Grouping

# two-sided probability below which a difference is called one
SIGNIFICANCE = 0.05
# standard normal quantile of a 95% interval
_Z = 1.959963984540054


@dataclass(frozen=True)
class GroupAccuracy:
    """One group. low, high: 95% interval. share: the group's part of the train split, 0..1."""

    class_name: str
    concept: str | None
    count: int
    correct: int
    accuracy: float
    low: float
    high: float
    share: float

    @property
    def title(self) -> str:
        return self.class_name if self.concept is None else f"{self.class_name} · {self.concept}"

    def to_dict(self) -> dict[str, Any]:
        return {
            "class": self.class_name,
            "concept": self.concept,
            "count": self.count,
            "correct": self.correct,
            "accuracy": self.accuracy,
            "low": self.low,
            "high": self.high,
            "share": self.share,
        }


@dataclass(frozen=True)
class Evaluation:
    """average: over all images. weighted_average: group accuracies weighted by the groups' shares of train, as
    published Waterbirds averages are. worst_group: the smallest group accuracy; worst: that group. interval: of the
    average. estimated: the groups were guessed by a probe, so their accuracies are a guide, not a measurement."""

    split: str
    count: int
    average: float
    interval: tuple[float, float]
    weighted_average: float
    worst_group: float
    worst: GroupAccuracy
    groups: tuple[GroupAccuracy, ...]
    groups_from: str
    estimated: bool

    def to_dict(self) -> dict[str, Any]:
        return {
            "split": self.split,
            "count": self.count,
            "average": self.average,
            "interval": list(self.interval),
            "weighted_average": self.weighted_average,
            "worst_group": self.worst_group,
            "worst": self.worst.to_dict(),
            "groups": [group.to_dict() for group in self.groups],
            "groups_from": self.groups_from,
            "estimated": self.estimated,
        }


@dataclass(frozen=True)
class Comparison:
    """Two heads on the same images.

    fixed, broken: (m,) int64 positions right only after, only before. p_average, p_worst: exact McNemar, two-sided,
    over all images and over those of the group that was worst before. significant: the worst-group accuracy rose, and
    its rise is no accident.
    """

    fixed: np.ndarray
    broken: np.ndarray
    p_average: float
    p_worst: float
    significant: bool
    sentence: str

    def to_dict(self) -> dict[str, Any]:
        return {
            "sentence": self.sentence,
            "significant": self.significant,
            "p_average": self.p_average,
            "p_worst": self.p_worst,
            "fixed": self.fixed.tolist(),
            "broken": self.broken.tolist(),
        }


def evaluate(
    predicted: np.ndarray, labels: np.ndarray, grouping: Grouping, train: np.ndarray, split: str
) -> Evaluation:
    """Accuracy of predictions, over all and by group.

    predicted, labels: (n,) int. grouping: of these n images; those whose group is not known count in the average only.
    train: (g,) int64, images of each group in the train split, for the weights; all zero (groups not known there)
    makes `weighted_average` the plain mean over the images. Groups without images here are left out. Raises
    `EmptyGroup` when there is no image, or none with a known group.
    """
    if not len(labels) or not (grouping.codes >= 0).any():
        raise EmptyGroup(
            f"The {split} split holds no image of a known group, so nothing can be measured.",
            next_step=f"Give the dataset a {split} split with images that could be read.",
        )
    right = predicted == labels
    known = grouping.codes >= 0
    counts = np.bincount(grouping.codes[known], minlength=grouping.count)
    correct = np.bincount(grouping.codes[known & right], minlength=grouping.count)
    total = int(train.sum())
    groups = []
    for group in np.flatnonzero(counts).tolist():
        name, pattern = grouping.name(group)
        low, high = wilson(int(correct[group]), int(counts[group]))
        accuracy = float(correct[group] / counts[group])
        share = float(train[group] / total) if total else float(counts[group] / counts.sum())
        groups.append(GroupAccuracy(name, pattern, int(counts[group]), int(correct[group]), accuracy, low, high, share))
    worst = min(groups, key=lambda group: group.accuracy)
    shares = sum(group.share for group in groups)
    # a group that train has and test lacks cannot be measured: the weights of the others fill its place
    weighted = sum(group.share * group.accuracy for group in groups) / shares if shares else float(right.mean())
    return Evaluation(
        split=split,
        count=len(labels),
        average=float(right.mean()),
        interval=wilson(int(right.sum()), len(right)),
        weighted_average=weighted,
        worst_group=worst.accuracy,
        worst=worst,
        groups=tuple(groups),
        groups_from=grouping.source,
        estimated=grouping.estimated,
    )


def evaluation_from_dict(value: dict[str, Any]) -> Evaluation:
    """The inverse of `Evaluation.to_dict`."""

    def group(stored: dict[str, Any]) -> GroupAccuracy:
        return GroupAccuracy(class_name=stored["class"], **{key: stored[key] for key in stored if key != "class"})

    return Evaluation(
        **{
            **value,
            "interval": tuple(value["interval"]),
            "worst": group(value["worst"]),
            "groups": tuple(group(stored) for stored in value["groups"]),
        }
    )


def compare(
    before: np.ndarray, after: np.ndarray, labels: np.ndarray, grouping: Grouping, was: Evaluation, now: Evaluation
) -> Comparison:
    """Whether new predictions are better than old ones on the same images, and on which.

    before, after, labels: (n,) int. was, now: their evaluations with this grouping.
    """
    right_before, right_after = before == labels, after == labels
    fixed, broken = right_after & ~right_before, right_before & ~right_after
    worst = _group_code(grouping, was.worst)
    members = grouping.codes == worst
    p_average = mcnemar(int(fixed.sum()), int(broken.sum()))
    p_worst = mcnemar(int((fixed & members).sum()), int((broken & members).sum()))
    risen = now.worst_group > was.worst_group
    significant = bool(risen and p_worst < SIGNIFICANCE and (fixed & members).sum() > (broken & members).sum())
    return Comparison(
        fixed=np.flatnonzero(fixed),
        broken=np.flatnonzero(broken),
        p_average=p_average,
        p_worst=p_worst,
        significant=significant,
        sentence=_sentence(was, now, significant, p_average, p_worst),
    )


def wilson(correct: int, count: int) -> tuple[float, float]:
    """95% score interval of a proportion. count 0: nothing is known, (0, 1)."""
    if count == 0:
        return 0.0, 1.0
    share, z2 = correct / count, _Z**2
    centre = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = _Z / (1 + z2 / count) * np.sqrt(share * (1 - share) / count + z2 / (4 * count**2))
    # where all or none are right the bound is 1 or 0 itself; rounding must not leave it a hair beside
    low = 0.0 if correct == 0 else float(centre - half)
    return low, 1.0 if correct == count else float(centre + half)


def mcnemar(fixed: int, broken: int) -> float:
    """Two-sided exact McNemar test: the chance of a split as uneven, were either direction equally likely."""
    return float(binomtest(fixed, fixed + broken).pvalue) if fixed + broken else 1.0


def _group_code(grouping: Grouping, group: GroupAccuracy) -> int:
    return grouping.classes.index(group.class_name) * len(grouping.patterns) + grouping.patterns.index(group.concept)


def _sentence(was: Evaluation, now: Evaluation, significant: bool, p_average: float, p_worst: float) -> str:
    change = f"from {was.worst_group:.1%} to {now.worst_group:.1%}"
    guess = " Groups are estimated by a probe, so take this as a guide." if now.estimated else ""
    if significant:
        first = f"Worst-group accuracy rose {change} ({was.worst.title}, p {_p(p_worst)})."
    elif now.worst_group > was.worst_group:
        first = f"No improvement that is beyond chance: worst-group accuracy went {change} (p {_p(p_worst)})."
    elif now.worst_group == was.worst_group:
        first = f"No improvement: worst-group accuracy stayed at {was.worst_group:.1%}."
    else:
        first = f"No improvement: worst-group accuracy fell {change} (now {now.worst.title})."
    average = f"from {was.average:.1%} to {now.average:.1%}"
    if p_average >= SIGNIFICANCE:
        second = f" Average accuracy went {average}, within chance."
    else:
        second = f" Average accuracy {'rose' if now.average > was.average else 'fell'} {average} (p {_p(p_average)})."
    return first + second + guess


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"= {value:.3f}"
