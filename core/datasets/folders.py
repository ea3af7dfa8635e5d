"""A folder per class, with or without train/val/test above (the layout of torchvision's ImageFolder)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.datasets.choices import Choices
from core.datasets.dataset import SPLITS, Dataset, Problem, dataset_id, fingerprint, limited, marks_of
from core.datasets.format import Format
from core.datasets.images import is_image_name
from core.datasets.listing import Listing, holds_image, list_files, subfolders
from core.datasets.splits import complete, split_code
from core.errors import EmptyDataset, OneClass
from core.progress import Progress

# folders that are called so hold images of any class
_CONTENTS = re.compile(r"image|imgs?|photo|pict|data|jpe?g|png|(?:part|batch|chunk|shard)[_-]?\d", re.IGNORECASE)


@dataclass(frozen=True)
class _ClassFolder:
    name: str
    split: int | None
    folder: Path


def read_folders(root: Path, *, seed: int) -> Dataset:
    """root: resolved, an existing folder. Class order is that of sorted folder names, as torchvision has it.

    Raises `EmptyDataset` (nothing usable, or no folder per class) and `OneClass`.
    """
    problems: list[Problem] = []
    names: list[str] = []
    sizes: list[np.ndarray] = []
    modified: list[np.ndarray] = []
    sources: list[tuple[_ClassFolder, int]] = []
    folders = _class_folders(root, problems)
    for source in folders:
        listing = _only_images(list_files(root, source.folder), problems)
        names += listing.names
        for column, values in zip((sizes, modified), listing.arrays(), strict=True):
            column.append(values)
        sources.append((source, len(listing.names)))
    if not names:
        raise _no_images(root, folders, problems)

    classes = tuple(sorted({source.name for source, count in sources if count}))
    if len(classes) < 2:
        raise _one_class(root, classes[0], folders)
    code = {name: position for position, name in enumerate(classes)}
    counts = [count for _, count in sources]
    labels = np.repeat(np.array([code.get(s.name, -1) for s, _ in sources], dtype=np.int64), counts)
    order = np.array(sorted(range(len(names)), key=names.__getitem__), dtype=np.int64)
    names = [names[i] for i in order]
    labels = labels[order]
    splits = None
    if sources[0][0].split is not None:
        splits = np.repeat(np.array([s.split for s, _ in sources], dtype=np.int8), counts)[order]
    splits, notes = complete(names, labels, splits, seed)
    notes += _doubts(folders)
    empty = sorted({source.name for source in folders} - set(classes))
    if empty:
        notes.append(f"Folders without images were left out: {', '.join(empty[:10])}.")
    listed, more = limited(problems)
    size, changed = np.concatenate(sizes)[order], np.concatenate(modified)[order]
    return Dataset(
        id=dataset_id(root),
        name=root.name,
        root=root,
        source="class-folders",
        images=np.array(names, dtype=np.dtypes.StringDType()),
        labels=labels,
        splits=splits,
        classes=classes,
        attributes=(),
        problems=listed,
        notes=(*notes, *more),
        fingerprint=fingerprint(names, size, changed),
        choices=Choices(format=FORMAT.name),
        marks=marks_of(size, changed),
    )


def _recognises(path: Path) -> bool:
    return path.is_dir() and any(
        holds_image(folder) for folder in subfolders(path) if split_code(folder.name) is None or subfolders(folder)
    )


def likely_classes(path: Path) -> tuple[int, int]:
    """How many folders with images there are that would be classes, as far as a short look tells, and how many of them
    are not called like images, photos, part 1 ..., which hold images of any class."""
    top = [folder for folder in subfolders(path) if split_code(folder.name) is None or subfolders(folder)]
    inner = [deeper for folder in top if split_code(folder.name) is not None for deeper in subfolders(folder)]
    names = {folder.name for folder in inner or top if holds_image(folder)}
    return len(names), sum(not _CONTENTS.search(name) for name in names)


def _read(path: Path, *, seed: int, choices: Choices, store: Path | None, progress: Progress) -> Dataset:
    return read_folders(path, seed=seed)


FORMAT = Format(
    name="class-folders",
    title="A folder per class",
    layout="photos/cat/1.jpg\nphotos/dog/2.jpg\n(or photos/train/cat/1.jpg, photos/test/cat/2.jpg)",
    recognises=_recognises,
    read=_read,
)


def _class_folders(root: Path, problems: list[Problem]) -> list[_ClassFolder]:
    """All class folders; those under train/val/test when at least one of these holds folders itself."""
    top = subfolders(root)
    sections = {folder: split_code(folder.name) for folder in top}
    divided = [folder for folder in top if sections[folder] is not None and subfolders(folder)]
    _report_loose(root, root, problems)
    if not divided:
        if top and all(code is not None for code in sections.values()):
            raise EmptyDataset(
                f"{root} has {_listed([f.name for f in top])} but no folders in them that name the classes.",
                next_step=f"Put the images into a folder per class, such as {top[0].name}/cat and {top[0].name}/dog.",
                title="No class folders",
            )
        return [_ClassFolder(folder.name, None, folder) for folder in top]
    for folder in top:
        if folder in divided:
            _report_loose(root, folder, problems)
        else:
            reason = f"not inside {' or '.join(SPLITS)}/<class>, where the other images are"
            left_out = list_files(root, folder)
            problems += left_out.problems + [Problem(name, reason) for name in left_out.names]
    return [_ClassFolder(f.name, sections[section], f) for section in divided for f in subfolders(section)]


def _report_loose(root: Path, folder: Path, problems: list[Problem]) -> None:
    beside = list_files(root, folder, deep=False)
    problems += beside.problems
    problems += [
        Problem(name, "not inside a class folder" if is_image_name(name) else "not an image file")
        for name in beside.names
    ]


def _only_images(listing: Listing, problems: list[Problem]) -> Listing:
    problems += listing.problems
    images = Listing()
    for name, size, modified in zip(listing.names, listing.sizes, listing.modified, strict=True):
        if is_image_name(name):
            images.names.append(name)
            images.sizes.append(size)
            images.modified.append(modified)
        else:
            problems.append(Problem(name, "not an image file"))
    return images


def _doubts(folders: list[_ClassFolder]) -> list[str]:
    """A note when a class folder looks like a dataset of its own, because somebody chose the folder above."""
    for source in folders:
        if source.split is None and any(split_code(inner.name) is not None for inner in subfolders(source.folder)):
            return [f"{source.name} was taken for a class but holds splits: to use it alone, open {source.folder}."]
    return []


def _no_images(root: Path, folders: list[_ClassFolder], problems: list[Problem]) -> EmptyDataset:
    loose = sum(problem.reason == "not inside a class folder" for problem in problems)
    if loose:
        return EmptyDataset(
            f"{root} holds {loose} image{'s'[: loose > 1]} but no folders that name their classes.",
            next_step="Move the images into a folder per class, or add a metadata.csv with img_filename, y and split.",
            title="No class folders",
        )
    if not folders and not problems:
        return EmptyDataset(f"{root} is empty.", next_step="Choose a folder that holds a folder of images per class.")
    example = f" (for example {problems[0].image}: {problems[0].reason})" if problems else ""
    return EmptyDataset(
        f"{root} holds no image files{example}.",
        next_step="Choose a folder that holds a folder of images per class, or a metadata.csv.",
    )


def _one_class(root: Path, only: str, folders: list[_ClassFolder]) -> OneClass:
    inner = next((f.folder for f in folders if f.name == only), root / only)
    if (inner / "metadata.csv").is_file() or len(subfolders(inner)) > 1:
        return OneClass(
            f"{root} holds one folder only, {only}, which looks like the dataset itself.", next_step=f"Open {inner}."
        )
    return OneClass(
        f"All images of {root} are of one class, {only}: there is nothing to tell apart.",
        next_step="Add a folder with images of a second class, or choose the format “images” to look at them without "
        "labels.",
    )


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
