"""A dataset and a classifier brought to one order of classes, as far as their names allow it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from core.datasets.alignment import aligned, fits
from core.datasets.dataset import Dataset

if TYPE_CHECKING:
    from core.classifiers.classifier import Classifier

# Names that say no more than a position: what libraries write where nobody named the classes.
_PLACEHOLDER = re.compile(r"(?:label|class|c)?[\s_\-]*\d+", re.IGNORECASE)
_IMAGENET = 1000


def matched(
    dataset: Dataset, classifier: Classifier, classes: Sequence[str] | None = None
) -> tuple[Dataset, Classifier]:
    """Both with the same classes in the same order, so that logit c is class c.

    classes: the dataset's class names in the model's order, when a person has said so (else `dataset.choices.classes`);
    it outweighs what the model's file says. Otherwise the file's names decide, and for a network of 1,000 outputs
    without names ImageNet's. Without any names the dataset's order stands. Raises `ClassMismatch`.
    """
    said = tuple(classes) if classes else dataset.choices.classes
    names = said or classifier.classes
    if names and not said and dataset.labelled and not fits(dataset, names) and all(map(_PLACEHOLDER.fullmatch, names)):
        names = None
    if names is None and classifier.k == _IMAGENET != len(dataset.classes):
        names = imagenet_classes()
        if dataset.labelled and not fits(dataset, names):
            names = None
    if names is None:
        if dataset.labelled:
            classifier = replace(classifier, classes=None)
            classifier.check_classes(dataset.classes)
        return dataset, classifier
    if said is None and dataset.labelled and not fits(dataset, names):
        # its sentences compare the two lists
        classifier.check_classes(dataset.classes)
    dataset = aligned(dataset, names)
    assert dataset.choices.classes is not None
    classifier = replace(classifier, classes=dataset.choices.classes)
    if dataset.labelled:
        replace(classifier, classes=None).check_classes(dataset.classes)
    return dataset, classifier


def imagenet_classes() -> tuple[str, ...]:
    """The names of ImageNet's 1,000 classes in the order of the challenge. Imports torchvision."""
    from core.classifiers import torchvision_compat

    weights = torchvision_compat.load().models.get_model_weights("resnet50")
    return tuple(next(iter(weights)).meta["categories"])
