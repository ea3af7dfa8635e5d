"""A dataset's classes in the order of a model's logits, so that logit c is class c."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from core.datasets.dataset import Dataset
from core.errors import ClassMismatch

# Class names shown in a sentence.
LISTED = 6


def aligned(dataset: Dataset, classes: Sequence[str]) -> Dataset:
    """The dataset with its labels recoded so that class c is the model's logit c.

    classes: names in the model's order, which may hold more than the dataset has images of (the 1,000 of ImageNet for
    ten folders). Names are the same when they differ in case, spaces, underscores and hyphens only; one of several that
    a model lists for a class ("tench, Tinca tinca") will do. Afterwards `Dataset.classes` are the model's names, each
    one different, and `choices.classes` brings the same dataset back. A dataset without labels keeps none.
    Raises `ClassMismatch` for a class of the dataset that is not among them, or that could be two of them.
    """
    names = distinct(classes)
    if not dataset.labelled:
        return replace(dataset, choices=replace(dataset.choices, classes=names))
    if dataset.classes == names:
        return dataset if dataset.choices.classes == names else _chosen(dataset, names)
    places = _places(dataset, classes)
    moved = np.array([places.get(position, -1) for position in range(len(dataset.classes))], dtype=np.int64)
    notes = (*dataset.notes, _note(dataset, names))
    return _chosen(replace(dataset, classes=names, labels=moved[dataset.labels], notes=notes), names)


def fits(dataset: Dataset, classes: Sequence[str]) -> bool:
    """Whether `aligned` would succeed."""
    try:
        _places(dataset, classes)
    except ClassMismatch:
        return False
    return True


def distinct(names: Sequence[str]) -> tuple[str, ...]:
    """The names, numbered where several classes have the same: ImageNet's cranes are a bird and a machine."""
    counts = Counter(names)
    taken = {name for name, count in counts.items() if count == 1}
    found = []
    for name in names:
        unused, number = name, 0
        while counts[name] > 1 and (not number or unused in taken):
            number += 1
            unused = f"{name} ({number})"
        taken.add(unused)
        found.append(unused)
    return tuple(found)


def _chosen(dataset: Dataset, names: tuple[str, ...]) -> Dataset:
    return replace(dataset, choices=replace(dataset.choices, classes=names))


def _places(dataset: Dataset, classes: Sequence[str]) -> dict[int, int]:
    """The logit of each class of the dataset: the exact name, else one that means the same. Classes without an image
    may be missing."""
    names = distinct(classes)
    exact = {name: place for place, name in enumerate(names)}
    alike: dict[str, set[int]] = {}
    for place, name in enumerate(classes):
        for key in _keys(name):
            alike.setdefault(key, set()).add(place)
    counts = np.bincount(dataset.labels, minlength=len(dataset.classes))
    found: dict[int, int] = {}
    unknown: list[str] = []
    for position, name in enumerate(dataset.classes):
        candidates = {exact[name]} if name in exact else alike.get(_key(name), set())
        if len(candidates) > 1:
            options = ", ".join(names[place] for place in sorted(candidates))
            raise ClassMismatch(
                f"The class {name} could be any of these of the model: {options}.",
                next_step="Call it by the name that the model has for it.",
            )
        if candidates:
            (found[position],) = candidates
        elif counts[position]:
            unknown.append(name)
    if unknown:
        raise ClassMismatch(
            f"The model's classes ({listed(names)}) do not include {listed(unknown)}.",
            next_step="Give the dataset's classes in the order of the model's outputs, or choose the dataset that the "
            "model was trained on.",
        )
    twice = [place for place, count in enumerate(np.bincount(list(found.values()))) if count > 1] if found else []
    if twice:
        both = [dataset.classes[position] for position, place in found.items() if place == twice[0]]
        raise ClassMismatch(
            f"{listed(both)} would all be the model's class {names[twice[0]]}.",
            next_step="Put their images into one folder, or name the classes in the model's order.",
        )
    return found


def listed(names: Sequence[str]) -> str:
    """ "a, b, c and 4 more"."""
    return ", ".join(names[:LISTED]) + (f" and {len(names) - LISTED:,} more" if len(names) > LISTED else "")


def _note(dataset: Dataset, names: tuple[str, ...]) -> str:
    if len(names) > len(dataset.classes):
        return f"The model knows {len(names):,} classes; the images are of {len(dataset.classes):,} of them."
    if sorted(names) == sorted(dataset.classes):
        return "The classes were put in the model's order."
    return "The classes were matched with the model's by name."


def _key(name: str) -> str:
    """The name without what people write differently: case, spaces, underscores, hyphens, how accents are encoded."""
    return re.sub(r"[\s_\-]+", "", unicodedata.normalize("NFKC", name).casefold())


def _keys(name: str) -> set[str]:
    """All under which a model's class may be known: "tench, Tinca tinca" is either of the two."""
    parts = [_key(part) for part in name.split(",")]
    return {key for key in (_key(name), *parts) if key}
