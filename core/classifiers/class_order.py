"""A dataset and a classifier brought to one order of classes, as far as their names allow it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from core.datasets.alignment import aligned, fits, listed
from core.datasets.dataset import Dataset
from core.errors import BadRequest, ClassMismatch

if TYPE_CHECKING:
    from core.classifiers.classifier import Classifier

# Names that say no more than a position: what libraries write where nobody named the classes.
_PLACEHOLDER = re.compile(r"(?:label|class|c)?[\s_\-]*\d+", re.IGNORECASE)
# How ImageNet's folders are called: by numbers of WordNet.
_SYNSET = re.compile(r"n\d{8}")
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
    names = said or _names(dataset, classifier)
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
    if dataset.labelled:
        replace(classifier, classes=None).check_classes(dataset.classes)
    return dataset, replace(classifier, classes=dataset.choices.classes)


def _names(dataset: Dataset, classifier: Classifier) -> tuple[str, ...] | None:
    """The classifier's classes by the names that go with the dataset's, None where nothing is known of them."""
    own = classifier.classes
    if own is not None and (not dataset.labelled or fits(dataset, own)):
        return own
    if classifier.k == _IMAGENET and (own is None or own[0].casefold().startswith("tench")):
        usual = own or imagenet_classes()
        if not dataset.labelled or fits(dataset, usual):
            return usual
        if len(dataset.classes) < _IMAGENET and all(map(_SYNSET.fullmatch, dataset.classes)):
            numbered = tuple(f"{name}, {synset}" for name, synset in zip(usual, _synsets(dataset), strict=True))
            return numbered if fits(dataset, numbered) else own
    return None if own is not None and all(map(_PLACEHOLDER.fullmatch, own)) else own


def imagenet_classes() -> tuple[str, ...]:
    """The names of ImageNet's 1,000 classes in the order of the challenge. Imports torchvision."""
    from core.classifiers import torchvision_compat

    weights = torchvision_compat.load().models.get_model_weights("resnet50")
    return tuple(next(iter(weights)).meta["categories"])


def _synsets(dataset: Dataset) -> tuple[str, ...]:
    """The WordNet numbers of ImageNet's 1,000 classes, in the order of the challenge; timm knows them."""
    from core.classifiers import timm_models

    try:
        timm = timm_models.load()
    except BadRequest as error:
        raise ClassMismatch(
            f"The folders are named by WordNet numbers ({listed(dataset.classes)}), the model's classes are not.",
            next_step=f"Install timm, which knows which is which (pip install -r {timm_models.REQUIREMENTS}), or call "
            "the folders by the names of the classes, such as tench.",
        ) from error
    return tuple(timm.data.ImageNetInfo().label_names())
