"""Which order of classes do a network's answers speak for?

Found on one half of the images, judged on the other. An order is believed when the other half is right far more often
with it than without (McNemar 1947, one-sided and exact), when the classes that it moves are recognised well by any
standard, and when nearly each of them is what the network mostly answers for its images: the confusions of a network
that is merely bad are no permutation.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import comb, sqrt

import numpy as np

# Images of each class, on average, that a permutation is searched for in.
LEAST_IMAGES = 3
# Chance that an order is believed although the present one is right, shared by everything that is tried.
ALPHA = 0.01
# How far above guessing the images of moved classes have to be recognised, as a share of the way from guessing to
# perfection; the lower end of a 95% interval.
LEAST_SKILL = 0.3
# How many times as often they have to be right as in the present order.
LEAST_RATIO = 3.0
# Share of the moved classes whose most frequent answer has to be the one that the order gives them.
LEAST_SUPPORT = 0.75


@dataclass(frozen=True)
class Answers:
    """What a network said of m images. labels, predicted: (m,) int64 in 0..k-1, predicted -1 where its numbers were not
    finite. found_on: (m,) bool, the half that may be searched; the other half judges."""

    labels: np.ndarray
    predicted: np.ndarray
    found_on: np.ndarray
    k: int

    @property
    def present(self) -> np.ndarray:
        """The classes that have images among these, increasing."""
        return np.unique(self.labels)

    @property
    def guess(self) -> float:
        """The share that would be right if one answer were always given."""
        return float(np.bincount(self.labels).max() / len(self.labels))


@dataclass(frozen=True)
class FoundOrder:
    """logits: (k,) int64, for each class of the dataset the logit that is its own; a permutation of 0..k-1. whole:
    whether it says so of every class, not only of those that the answers are about. right: for each image of the
    judging half, whether it was right in the order that was found without it.
    """

    logits: np.ndarray
    whole: bool
    right: np.ndarray

    def names(self, classes: Sequence[str]) -> tuple[str, ...]:
        """The dataset's class names in the order of the logits."""
        places = np.argsort(self.logits)
        return tuple(classes[place] for place in places.tolist())


def find_order(answers: Answers, classes: Sequence[str]) -> FoundOrder | None:
    """The order that the answers clearly speak for, None when the present one may well be right.

    classes: (k,) names in the present order; orders that programs give to names are tried before any other.
    """
    candidates = [(order, True) for order in _sorted_orders(classes)]
    if answers.found_on.sum() >= LEAST_IMAGES * len(answers.present):
        candidates.append((_assigned(answers, answers.found_on), False))
    now = _right(answers, np.arange(answers.k), ~answers.found_on)
    best: tuple[int, FoundOrder] | None = None
    for order, whole in candidates:
        right = _right(answers, order, ~answers.found_on)
        hits = int(right.sum())
        if (best is None or hits > best[0]) and _believed(answers, order, now, right, tried=len(candidates)):
            best = hits, FoundOrder(order, whole, right)
    if best is None or best[1].whole:
        return None if best is None else best[1]
    # that there is another order is settled; which one, all images tell best
    return replace(best[1], logits=_assigned(answers, np.ones(len(answers.labels), dtype=bool)))


def exceeds(gained: int, lost: int) -> float:
    """Chance of at least so many gains among the images that changed if gains and losses were equally likely."""
    total = gained + lost
    return sum(comb(total, hits) for hits in range(gained, total + 1)) / 2**total


def skill(right: int, total: int, guess: float, *, lower: bool = True) -> float:
    """Where between guessing (0) and perfection (1) the share of right answers lies; with `lower` the lower end of its
    95% interval (Wilson 1927). guess: share that is right when one answer is always given."""
    if not total or guess >= 1:
        return 0.0
    share = right / total
    if lower:
        z = 1.96
        centre = share + z * z / (2 * total)
        share = (centre - z * sqrt(share * (1 - share) / total + z * z / (4 * total * total))) / (1 + z * z / total)
    return (share - guess) / (1 - guess)


def _believed(answers: Answers, order: np.ndarray, now: np.ndarray, right: np.ndarray, *, tried: int) -> bool:
    """now, right: of the judging half, whether each image is right in the present order and in this one."""
    gained, lost = int((right & ~now).sum()), int((now & ~right).sum())
    if not gained or exceeds(gained, lost) > ALPHA / tried:
        return False
    present = answers.present
    moved = present[order[present] != present]
    judged = np.isin(answers.labels[~answers.found_on], moved)
    then, before = int(right[judged].sum()), int(now[judged].sum())
    return (
        then >= LEAST_RATIO * before
        and skill(then, int(judged.sum()), answers.guess) >= LEAST_SKILL
        and _support(answers, order, moved) >= LEAST_SUPPORT
    )


def _support(answers: Answers, order: np.ndarray, moved: np.ndarray) -> float:
    """Share of the moved classes for which no answer is more frequent than the order's own."""
    supported = 0
    for label in moved.tolist():
        said = answers.predicted[(answers.labels == label) & (answers.predicted >= 0)]
        counts = np.bincount(said, minlength=answers.k)
        supported += bool(counts[order[label]] and counts[order[label]] == counts.max())
    return supported / len(moved)


def _right(answers: Answers, order: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    return answers.predicted[chosen] == order[answers.labels[chosen]]


def _assigned(answers: Answers, chosen: np.ndarray) -> np.ndarray:
    """The permutation with most right answers among these images; classes stay where nothing speaks against it."""
    from scipy.optimize import linear_sum_assignment

    present, k = answers.present, answers.k
    said = chosen & (answers.predicted >= 0)
    counts = np.zeros((k, k))
    np.add.at(counts, (answers.labels[said], answers.predicted[said]), 1)
    # half an answer: enough to decide between equals, less than any evidence
    counts[np.arange(k), np.arange(k)] += 0.5
    rows, columns = linear_sum_assignment(counts[present], maximize=True)
    return _completed(present[rows], columns, k)


def _completed(classes: np.ndarray, logits: np.ndarray, k: int) -> np.ndarray:
    """A permutation (k,) that gives these classes these logits; the others stay if they can, or fill what is left."""
    order = np.full(k, -1, dtype=np.int64)
    order[classes] = logits
    free = np.ones(k, dtype=bool)
    free[logits] = False
    staying = (order < 0) & free
    order[staying] = np.flatnonzero(staying)
    free[staying] = False
    order[order < 0] = np.flatnonzero(free)
    return order


def _sorted_orders(classes: Sequence[str]) -> list[np.ndarray]:
    """Orders that programs give to names: by characters, without case, by the numbers in them, backwards, and all of
    them one place on (a class for the background). Those that are the present one are left out."""
    k = len(classes)
    positions = range(k)
    sortings = [
        sorted(positions, key=lambda place: classes[place]),
        sorted(positions, key=lambda place: classes[place].casefold()),
        sorted(positions, key=lambda place: natural_key(classes[place])),
        list(reversed(positions)),
        [*positions[1:], 0],
        [k - 1, *positions[:-1]],
    ]
    found: list[np.ndarray] = []
    for places in sortings:
        # logit c is the class at places[c]
        order = np.argsort(np.array(places, dtype=np.int64))
        if not any(np.array_equal(order, other) for other in (np.arange(k), *found)):
            found.append(order)
    return found


def natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """Sorts "class 2" before "class 10"."""
    parts = re.split(r"([0-9]+)", name.casefold())
    # every second part is a number
    return tuple((1, int(part), "") if place % 2 else (0, 0, part) for place, part in enumerate(parts))
