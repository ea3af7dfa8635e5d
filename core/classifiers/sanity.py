"""Does a classifier fit a dataset? A look at a few hundred labelled images, before a pass over all of them.

The two mistakes that ruin everything after them are classes in another order and another preprocessing. Both show in
the accuracy, and both can be found by trying. What is offered was found on one half of the images and judged on the
other, so a network that is merely bad gets no offer.

Works without torch until a network is called, so that pages can import it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.classifiers.preprocessing import Preprocessing
from core.datasets.dataset import Dataset
from core.progress import Progress, silent

if TYPE_CHECKING:
    from core.classifiers.classifier import Classifier

CLASSES, PREPROCESSING = "classes", "preprocessing"

# Labelled images looked at unless told otherwise.
IMAGES = 300


@dataclass(frozen=True)
class Offer:
    """One change that makes the network clearly better on images it was not chosen by.

    kind: `CLASSES` (then `classes` is the dataset's class names in the model's order, for `Choices.classes`) or
    `PREPROCESSING`. title: a few words, for a button. accuracy: with it, 0..1.
    """

    kind: str
    title: str
    accuracy: float
    classes: tuple[str, ...] | None = None
    preprocessing: Preprocessing | None = None

    def to_dict(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "title": self.title,
            "accuracy": self.accuracy,
            "classes": None if self.classes is None else list(self.classes),
            "preprocessing": None if self.preprocessing is None else self.preprocessing.to_dict(),
        }


@dataclass(frozen=True)
class Sanity:
    """accuracy: estimated for the whole dataset, nan without labels. chance: what always giving the most frequent class
    would reach. images: how many were looked at. sentence: for a person. offers: the best first, usually none."""

    accuracy: float
    chance: float
    images: int
    sentence: str
    offers: tuple[Offer, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return {
            "accuracy": None if math.isnan(self.accuracy) else self.accuracy,
            "chance": None if math.isnan(self.chance) else self.chance,
            "images": self.images,
            "sentence": self.sentence,
            "offers": [offer.to_dict() for offer in self.offers],
        }


def sanity_check(
    dataset: Dataset, classifier: Classifier, *, images: int = IMAGES, seed: int = 0, progress: Progress = silent
) -> Sanity:
    raise NotImplementedError
