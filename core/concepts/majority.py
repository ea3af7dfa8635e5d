"""The usual value of a concept in each class, read off the images the classifier is surest about.

A confounder agrees with the class nearly always, and least of all images in the top half of a class by its own logit
disagree. So a few tags there tell what the class usually shows, and the rest of the top half may be assumed to show
it: hundreds of images for a handful of answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# values, as in tags.py
_PRESENT, _ABSENT, _UNKNOWN = 1, 0, -1
# where answers contradicting the others are to be expected this often, by Laplace's rule of succession, no value is
# usual: neither after 3 against 2, as 5 answers about a one-valued class come out once in 12 when every tenth is wrong,
# nor after 2 against 1; but after 3 against 1, and after 6 against 3. A class left open costs little, since probes
# place it by its tags and by the other classes; a wrong assumption turns hundreds of images round.
MIXED = 0.4
# fewer answers than this cannot show that a class is mixed, only that somebody erred
ENOUGH_TO_BE_MIXED = 5


@dataclass(frozen=True)
class Usual:
    """values: (k,) int8, the usual value of each class; UNTAGGED where none may be assumed.
    present, absent: (k,) int64, answers in each class's top half. warnings: one sentence per class left out."""

    values: np.ndarray
    present: np.ndarray
    absent: np.ndarray
    warnings: tuple[str, ...]


def own_logits(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The logit of each image's own class. logits: (n, k). labels: (n,). Returns (n,)."""
    return logits[np.arange(len(labels)), labels]


def top_half(logits: np.ndarray, labels: np.ndarray, reference: np.ndarray | None = None) -> np.ndarray:
    """Which images lie above the median own logit of their class: (n,) bool. See `above`."""
    return above(0.5, logits, labels, reference)


def above(share: float, logits: np.ndarray, labels: np.ndarray, reference: np.ndarray | None = None) -> np.ndarray:
    """Which images are not among this share of their class with the lowest own logits: (n,) bool.

    reference: (n,) bool, images the shares are taken of; None means all. In a class without any, none is above.
    """
    return above_own(share, own_logits(logits, labels), labels, logits.shape[1], reference)


def above_own(
    share: float, own: np.ndarray, labels: np.ndarray, k: int, reference: np.ndarray | None = None
) -> np.ndarray:
    """`above` from the own logits, (n,)."""
    measured = slice(None) if reference is None else reference
    values, classes = own[measured], labels[measured]
    # all classes in one go: their values one after the other, each class's increasing
    ordered = values[np.lexsort((values, classes))].astype(np.float64)
    sizes = np.bincount(classes, minlength=k)
    there = sizes > 0
    place = share * (sizes[there] - 1)
    low = np.floor(place).astype(np.int64)
    starts = (np.cumsum(sizes) - sizes)[there]
    below, next_one = ordered[starts + low], ordered[starts + np.minimum(low + 1, sizes[there] - 1)]
    middle = np.full(k, np.inf)
    middle[there] = below + (next_one - below) * (place - low)
    return own > middle[labels]


def clear_majority(present: np.ndarray, absent: np.ndarray) -> np.ndarray:
    """The usual value by numbers of answers, of any shape: int8, UNTAGGED where there are none or they are divided."""
    few, all_of_them = np.minimum(present, absent), present + absent
    clear = (all_of_them > 0) & ((few + 1) / (all_of_them + 2) < MIXED)
    return np.where(clear, np.where(present > absent, _PRESENT, _ABSENT), _UNKNOWN).astype(np.int8)


def usual_values(
    states: np.ndarray, labels: np.ndarray, top: np.ndarray, classes: Sequence[str], concept: str = "the concept"
) -> Usual:
    """Decide each class's usual value from the answers in its top half.

    states: (n,) int8 tags. labels: (n,). top: (n,) bool, see `top_half`. A clear majority of the answers decides; a
    class whose answers are divided gets none. (The bottom half says little: among the lowest images of a class, usual
    and unusual values are about as frequent.)
    """
    k = len(classes)
    present = np.bincount(labels[top & (states == _PRESENT)], minlength=k)
    absent = np.bincount(labels[top & (states == _ABSENT)], minlength=k)
    values = clear_majority(present, absent)
    warnings = []
    for c, name in enumerate(classes):
        yes, no = int(present[c]), int(absent[c])
        if yes + no == 0:
            warnings.append(
                f"No image in the top band of {name} is tagged for {concept}, so nothing is assumed about {name}: "
                f"tag a few of the images it is surest about."
            )
        elif values[c] != _UNKNOWN:
            continue
        elif yes + no >= ENOUGH_TO_BE_MIXED:
            warnings.append(
                f"In the top band of {name}, {yes} images show {concept} and {no} do not, so nothing is assumed "
                f"about {name}."
            )
        else:
            warnings.append(
                f"The answers in the top band of {name} are divided, {yes} to {no}, so nothing is assumed about "
                f"{name}: tag a few more of its top images."
            )
    return Usual(values, present, absent, tuple(warnings))
