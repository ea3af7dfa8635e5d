"""What a head gets right, group by group, and whether one is better than another.

Accuracies are fractions 0..1. Intervals are Wilson's at 95% (Wilson 1927): unlike the textbook interval they stay
within 0..1 and hold for a group of five images. What can be said of the worst group is in intervals.py. Where groups
are not known but guessed, see estimates.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.errors import EmptyGroup
from core.retraining.calibration import Calibration, calibrate, calibration_from_dict
from core.retraining.groups import Grouping
from core.retraining.intervals import SIGNIFICANCE, mcnemar, minimum_change, minimum_interval, wilson

# groups named in a sentence
_NAMED = 3


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
    average. estimated: the groups were guessed by a probe, so their accuracies are a guide, not a measurement.

    macro_average: mean of the group accuracies, every group counting the same. worst_interval: of the smallest group
    accuracy; wider than the worst group's own, for any group may be the worst, and not around the observed minimum,
    which is too low on average (intervals.py). confusion: images by true class (rows) and predicted class, () where
    not recorded. calibration: None where no probabilities were given. note: how groups were estimated, and which groups
    of train the split holds no image of (`unmeasured`), or "".
    """

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
    macro_average: float
    worst_interval: tuple[float, float]
    confusion: tuple[tuple[int, ...], ...] = ()
    calibration: Calibration | None = None
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        return {
            "split": self.split,
            "count": self.count,
            "average": self.average,
            "interval": list(self.interval),
            "weighted_average": self.weighted_average,
            "macro_average": self.macro_average,
            "worst_group": self.worst_group,
            "worst_interval": list(self.worst_interval),
            "worst": self.worst.to_dict(),
            "groups": [group.to_dict() for group in self.groups],
            "groups_from": self.groups_from,
            "estimated": self.estimated,
            "confusion": [list(row) for row in self.confusion],
            "calibration": None if self.calibration is None else self.calibration.to_dict(),
            "note": self.note,
        }


@dataclass(frozen=True)
class Comparison:
    """Two heads on the same images.

    fixed, broken: (m,) int64 positions right only after, only before. p_average, p_worst: exact McNemar, two-sided,
    over all images and over those of the group that was worst before; the latter is for that group alone, which was
    picked for doing badly. p_minimum: two-sided, of the smallest group accuracy after against the smallest before,
    whichever groups these are. worst_change, average_change: with their 95% intervals. significant: the worst-group
    accuracy rose, its rise is no accident (p_minimum), and the new head does not merely guess (`guesses`): from a
    shortcut to a coin the worst group of two classes rises from nothing to a half, and nothing is won.
    """

    fixed: np.ndarray
    broken: np.ndarray
    p_average: float
    p_worst: float
    p_minimum: float
    worst_change: float
    worst_change_interval: tuple[float, float]
    average_change: float
    average_change_interval: tuple[float, float]
    significant: bool
    sentence: str

    def to_dict(self) -> dict[str, Any]:
        return {
            "sentence": self.sentence,
            "significant": self.significant,
            "p_average": self.p_average,
            "p_worst": self.p_worst,
            "p_minimum": self.p_minimum,
            "worst_change": self.worst_change,
            "worst_change_interval": list(self.worst_change_interval),
            "average_change": self.average_change,
            "average_change_interval": list(self.average_change_interval),
            "fixed": self.fixed.tolist(),
            "broken": self.broken.tolist(),
        }


def evaluate(
    predicted: np.ndarray,
    labels: np.ndarray,
    grouping: Grouping,
    train: np.ndarray,
    split: str,
    *,
    probabilities: np.ndarray | None = None,
) -> Evaluation:
    """Accuracy of predictions, over all and by group.

    predicted, labels: (n,) int. grouping: of these n images; those whose group is not known count in the average only.
    train: (g,) int64, images of each group in the train split, for the weights; all zero (groups not known there)
    makes `weighted_average` the plain mean over the images. probabilities: (n, k), for `calibration`. Groups without
    images here are left out. Raises `EmptyGroup` when there is no image, or none with a known group.
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
    there = np.flatnonzero(counts)
    groups = []
    for group, share in zip(there.tolist(), group_shares(counts, train)[there].tolist(), strict=True):
        name, pattern = grouping.name(group)
        low, high = wilson(int(correct[group]), int(counts[group]))
        accuracy = float(correct[group] / counts[group])
        groups.append(GroupAccuracy(name, pattern, int(counts[group]), int(correct[group]), accuracy, low, high, share))
    return evaluation_of(
        predicted,
        labels,
        grouping,
        groups,
        minimum_interval(correct[there], counts[there]),
        split,
        probabilities=probabilities,
        estimated=grouping.estimated,
        note=unmeasured(grouping, counts, train, split),
    )


def unmeasured(grouping: Grouping, counts: np.ndarray, train: np.ndarray, split: str, *, least: float = 1) -> str:
    """A sentence naming the groups that train has and the split lacks, or "": the worst group is none of them.

    counts, train: (g,) images of each group in the split and in train. least: images that make a group of train.
    """
    lacking = [
        (" · ".join(part for part in grouping.name(group) if part is not None), round(float(train[group])))
        for group in np.flatnonzero((counts == 0) & (train >= least)).tolist()
    ]
    if not lacking:
        return ""
    shown = ", ".join(f"{name} ({count:,} in train)" for name, count in lacking[:_NAMED])
    more = f" and {len(lacking) - _NAMED:,} more" if len(lacking) > _NAMED else ""
    return (
        f"Not measured, since {split} holds no image of it: {shown}{more}. The worst group is the worst of those that "
        "could be measured."
    )


def group_shares(counts: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Each group's part of train, or of the images counted here where train's groups are not known: (g,) float64."""
    of = train if train.sum() else counts
    return np.asarray(of / of.sum(), dtype=np.float64)


def group_position(grouping: Grouping, group: GroupAccuracy) -> int:
    """The code of a group."""
    return grouping.classes.index(group.class_name) * len(grouping.patterns) + grouping.patterns.index(group.concept)


def evaluation_of(
    predicted: np.ndarray,
    labels: np.ndarray,
    grouping: Grouping,
    groups: Sequence[GroupAccuracy],
    worst_interval: tuple[float, float],
    split: str,
    *,
    probabilities: np.ndarray | None,
    estimated: bool,
    note: str = "",
) -> Evaluation:
    """An evaluation around group accuracies that were measured (`evaluate`) or estimated (estimates.py)."""
    right = predicted == labels
    worst = min(groups, key=lambda group: group.accuracy)
    shares = sum(group.share for group in groups)
    # a group that train has and test lacks cannot be measured: the weights of the others fill its place
    weighted = sum(group.share * group.accuracy for group in groups) / shares if shares else float(right.mean())
    k = len(grouping.classes)
    confusion = np.bincount(labels * k + predicted, minlength=k * k).reshape(k, k)
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
        estimated=estimated,
        macro_average=sum(group.accuracy for group in groups) / len(groups),
        worst_interval=worst_interval,
        confusion=tuple(tuple(row) for row in confusion.tolist()),
        calibration=None if probabilities is None else calibrate(probabilities, labels),
        note=note,
    )


def evaluation_from_dict(value: dict[str, Any]) -> Evaluation:
    """The inverse of `Evaluation.to_dict`; what runs of earlier versions did not record is computed, or left empty,
    what later ones record besides is left. Raises as `result.run_from_dict`."""

    def group(stored: dict[str, Any]) -> GroupAccuracy:
        accuracy, low, high, share = (float(stored[key]) for key in ("accuracy", "low", "high", "share"))
        count, correct = int(stored["count"]), int(stored["correct"])
        return GroupAccuracy(stored["class"], stored["concept"], count, correct, accuracy, low, high, share)

    groups = tuple(group(stored) for stored in value["groups"])
    recorded = value.get("worst_interval")
    calibration = value.get("calibration")
    return Evaluation(
        split=value["split"],
        count=int(value["count"]),
        average=float(value["average"]),
        interval=_pair(value["interval"]),
        weighted_average=float(value["weighted_average"]),
        worst_group=float(value["worst_group"]),
        worst=group(value["worst"]),
        groups=groups,
        groups_from=value["groups_from"],
        estimated=value["estimated"],
        macro_average=value.get("macro_average", sum(group.accuracy for group in groups) / len(groups)),
        worst_interval=_pair(recorded)
        if recorded is not None
        else minimum_interval(np.array([one.correct for one in groups]), np.array([one.count for one in groups])),
        confusion=tuple(tuple(row) for row in value.get("confusion", ())),
        calibration=None if calibration is None else calibration_from_dict(calibration),
        note=value.get("note", ""),
    )


def _pair(value: Sequence[float]) -> tuple[float, float]:
    low, high = value
    return float(low), float(high)


def compare(
    before: np.ndarray, after: np.ndarray, labels: np.ndarray, grouping: Grouping, was: Evaluation, now: Evaluation
) -> Comparison:
    """Whether new predictions are better than old ones on the same images, and on which.

    before, after, labels: (n,) int. was, now: their evaluations with this grouping. For groups that were estimated,
    `estimates.estimated_comparison`.
    """
    right_before, right_after = before == labels, after == labels
    fixed, broken = right_after & ~right_before, right_before & ~right_after
    known = grouping.codes >= 0

    def count(which: np.ndarray) -> np.ndarray:
        return np.bincount(grouping.codes[known & which], minlength=grouping.count)

    sizes = count(known)
    there = sizes > 0
    p_minimum, interval = minimum_change(
        count(fixed)[there], count(broken)[there], count(right_before)[there], sizes[there]
    )
    worst = grouping.codes == group_position(grouping, was.worst)
    return comparison_of(
        right_before,
        right_after,
        was,
        now,
        p_worst=mcnemar(int((fixed & worst).sum()), int((broken & worst).sum())),
        p_minimum=p_minimum,
        worst_change_interval=interval,
    )


def comparison_of(
    right_before: np.ndarray,
    right_after: np.ndarray,
    was: Evaluation,
    now: Evaluation,
    *,
    p_worst: float,
    p_minimum: float,
    worst_change_interval: tuple[float, float],
) -> Comparison:
    """A comparison around what is known of the worst group. right_before, right_after: (n,) bool, all images."""
    fixed, broken = right_after & ~right_before, right_before & ~right_after
    gained, lost = np.array([int(fixed.sum())]), np.array([int(broken.sum())])
    p_average, average_interval = minimum_change(
        gained, lost, np.array([int(right_before.sum())]), np.array([len(fixed)])
    )
    rose = bool(now.worst_group > was.worst_group and p_minimum < SIGNIFICANCE)
    significant = rose and not guesses(now)
    return Comparison(
        fixed=np.flatnonzero(fixed),
        broken=np.flatnonzero(broken),
        p_average=p_average,
        p_worst=p_worst,
        p_minimum=p_minimum,
        worst_change=now.worst_group - was.worst_group,
        worst_change_interval=worst_change_interval,
        average_change=now.average - was.average,
        average_change_interval=average_interval,
        significant=significant,
        sentence=_sentence(was, now, rose, significant, p_average, p_minimum),
    )


def guesses(evaluation: Evaluation) -> bool:
    """Whether a head is right, over the groups, about as often as one that guesses among the classes: within a tenth of
    that, or within two standard errors."""
    chance, groups = 1 / max(len(evaluation.confusion), 1), evaluation.groups
    error = sum(one.accuracy * (1 - one.accuracy) / one.count for one in groups) ** 0.5 / len(groups)
    return len(evaluation.confusion) > 1 and evaluation.macro_average <= chance + max(0.1 * chance, 2 * error)


def _sentence(
    was: Evaluation, now: Evaluation, rose: bool, significant: bool, p_average: float, p_minimum: float
) -> str:
    change = f"from {was.worst_group:.1%} to {now.worst_group:.1%}"
    told = now.note or ("Groups are estimated by a probe, so take this as a guide." if now.estimated else "")
    if significant:
        # another group may be the worst by now: each figure with its own
        before, after = f"{was.worst_group:.1%} ({was.worst.title})", f"{now.worst_group:.1%} ({now.worst.title})"
        first = f"Worst-group accuracy rose from {before} to {after}, p {_p(p_minimum)}."
    elif rose:
        first = (
            f"No improvement: worst-group accuracy went {change}, but the new head does little more than guess "
            f"({now.macro_average:.1%} over the groups; guessing among {len(now.confusion)} classes gets "
            f"{1 / len(now.confusion):.1%})."
        )
    elif now.worst_group > was.worst_group:
        first = f"No improvement that is beyond chance: worst-group accuracy went {change} (p {_p(p_minimum)})."
    elif now.worst_group == was.worst_group:
        first = f"No improvement: worst-group accuracy stayed at {was.worst_group:.1%}."
    else:
        first = f"No improvement: worst-group accuracy fell {change} (now {now.worst.title})."
    average = f"from {was.average:.1%} to {now.average:.1%}"
    if p_average >= SIGNIFICANCE:
        second = f" Average accuracy went {average}, within chance."
    else:
        second = f" Average accuracy {'rose' if now.average > was.average else 'fell'} {average} (p {_p(p_average)})."
    return first + second + (f" {told}" if told else "")


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"= {value:.3f}"
