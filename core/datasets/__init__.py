"""Sets of images, labelled or not: one reader per source format, all giving the same `Dataset`."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from core.access.policy import Permission, require
from core.access.roots import allowed_path
from core.datasets import archives
from core.datasets.choices import AUTOMATIC, Choices, choices_from_dict, image_folder
from core.datasets.dataset import SPLITS, Attribute, Dataset, Problem
from core.datasets.formats import FORMATS, Format, format_named, opened, recognise, taken
from core.datasets.tables import TableColumns, read_columns
from core.datasets.unpacking import KEPT, is_copy, reading
from core.errors import PathNotFound
from core.files import resolved
from core.progress import Progress, silent

__all__ = [
    "AUTOMATIC",
    "FORMATS",
    "SPLITS",
    "Attribute",
    "Choices",
    "Dataset",
    "Format",
    "Problem",
    "TableColumns",
    "choices_from_dict",
    "columns_of",
    "describe_dataset",
    "open_dataset",
    "recognise",
]


def open_dataset(
    path: Path | str,
    *,
    seed: int = 0,
    choices: Choices = AUTOMATIC,
    store: Path | None = None,
    progress: Progress = silent,
) -> Dataset:
    """Read the dataset in a folder or file, in the format that it looks like unless `choices` names one.

    No image is opened. seed: of the splits that are made where the dataset has none. store: a folder for what has to be
    unpacked (a workspace's `datasets`). Raises `PathNotFound`, `EmptyDataset`, `BadMetadata`, `OneClass`, and
    `BadRequest` for choices that do not fit or where something has to be unpacked and there is no `store`.
    """
    require(Permission.LOAD, str(path))
    root = opened(existing(path), choices)
    if choices.images is not None:
        allowed_path(image_folder(root, choices).expanduser())
    # until the dataset has it
    kept_here = reading(root)
    # of an archive, the format that is named is that of the dataset inside
    is_named = choices.format and not archives.FORMAT.recognises(root)
    form, others = (format_named(choices.format), ()) if choices.format and is_named else taken(root)
    dataset = form.read(root, seed=seed, choices=choices, store=store, progress=progress)
    # wherever a table, or a link in the folder, says that the images are
    allowed_path(image_folder(dataset.root, dataset.choices))
    told = (KEPT,) if is_copy(dataset.root) and not is_copy(root) else ()
    kept = kept_here if dataset.root.is_relative_to(root) else reading(dataset.root)
    dataset = replace(dataset, notes=(*others, *dataset.notes, *told), kept=kept)
    if choices.classes is None:
        return dataset
    from core.datasets.alignment import aligned

    ordered = aligned(dataset, choices.classes)
    return replace(ordered, choices=replace(dataset.choices, classes=choices.classes))


def columns_of(path: Path | str, choices: Choices = AUTOMATIC) -> TableColumns:
    """The columns of a table of images, and what each would be taken for, from its first rows.

    Raises `PathNotFound`, `BadMetadata`, and `BadRequest` for columns in `choices` that are not there.
    """
    return read_columns(existing(path), choices)


def describe_dataset(dataset: Dataset) -> dict[str, Any]:
    """What a preview shows, as plain JSON."""
    return {
        "id": dataset.id,
        "name": dataset.name,
        "root": str(dataset.root),
        "format": dataset.source,
        "title": format_named(dataset.source).title,
        "images": len(dataset),
        "labelled": dataset.labelled,
        "classes": list(dataset.classes),
        "counts": dataset.counts(),
        "attributes": [_described(attribute) for attribute in dataset.attributes],
        "problems": [problem.to_dict() for problem in dataset.problems],
        "left_out": sum(problem.count for problem in dataset.problems),
        "notes": list(dataset.notes),
        "choices": dataset.choices.to_dict(),
    }


def _described(attribute: Attribute) -> dict[str, Any]:
    known = attribute.codes[attribute.codes >= 0]
    counts = np.bincount(known, minlength=len(attribute.values)).tolist()
    return {
        "name": attribute.name,
        "values": dict(zip(attribute.values, counts, strict=True)),
        "unknown": len(attribute.codes) - len(known),
    }


def existing(path: Path | str) -> Path:
    """The absolute path of a folder or file that is there and may be read. Raises `PathNotFound`."""
    root = allowed_path(resolved(str(path), advice="Give the folder that holds the images."))
    if not root.exists():
        nearest = next(parent for parent in root.parents if parent.exists())
        raise PathNotFound(
            f"There is no file or folder {root}.",
            next_step=f"Check the spelling: {nearest} exists, what follows it does not.",
        )
    if not (root.is_dir() or root.is_file()):
        raise PathNotFound(
            f"{root} is neither a folder nor a file.", next_step="Give the folder that holds the images."
        )
    if not os.access(root, os.R_OK | os.X_OK if root.is_dir() else os.R_OK):
        raise PathNotFound(f"{root} may not be read.", next_step="Change its permissions, or choose another folder.")
    return root
