"""A folder per class, with or without train/val/test above (the layout of torchvision's ImageFolder)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path

import numpy as np

from core.datasets.choices import Choices
from core.datasets.dataset import SPLITS, Dataset, Problem, dataset_id, fingerprint, limited, marks_of
from core.datasets.format import Format
from core.datasets.images import is_image_name
from core.datasets.listing import Listing, holds_image, list_files, subfolders
from core.datasets.splits import TEST, TRAIN, complete, meant_split, split_code
from core.errors import EmptyDataset, OneClass
from core.progress import Progress

# folders that are called so hold images of any class
_CONTENTS = re.compile(r"image|imgs?|photo|pict|data|jpe?g|png|(?:part|batch|chunk|shard)[_-]?\d", re.IGNORECASE)

# how alike two names are that may be one class, and classes that are compared or named in a note
_ALIKE, _NAMED = 0.75, 10


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
    outside: list[str] = []
    names: list[str] = []
    sizes: list[np.ndarray] = []
    modified: list[np.ndarray] = []
    sources: list[tuple[_ClassFolder, int]] = []
    folders = _class_folders(root, problems, outside)
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
    notes += [*outside, *_absent(sources), *_doubts(folders)]
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


def _class_folders(root: Path, problems: list[Problem], notes: list[str]) -> list[_ClassFolder]:
    """All class folders; those under train/val/test when at least one of these holds folders itself.

    Adds to problems what was left out, a folder that is no split as one, and to notes what such a folder may be.
    """
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
            _leave_out(root, folder, problems, notes)
    return [_ClassFolder(f.name, sections[section], f) for section in divided for f in subfolders(section)]


def _leave_out(root: Path, folder: Path, problems: list[Problem], notes: list[str]) -> None:
    found = list_files(root, folder)
    problems += found.problems
    if not found.names:
        return
    images = sum(map(is_image_name, found.names))
    number, kind = (images, "image") if images else (len(found.names), "file")
    many = f"{number:,} {kind}{'s' if number > 1 else ''}"
    if split_code(folder.name) is not None:
        cause, question = "it has no folders that name classes", ""
    elif (split := meant_split(folder.name)) is not None:
        cause, question = "its name is no split", f"did you mean {split}?"
    else:
        cause, question = f"it is not one of {', '.join(SPLITS)}, where the other images are", ""
    problems.append(Problem(folder.name, f"{many}: {cause}{question and f' ({question})'}", number))
    if images:
        asked = f" {question[0].upper()}{question[1:]}" if question else ""
        notes.append(f"The folder {folder.name} with {many} was left out: {cause}.{asked}")


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


def _absent(sources: Iterable[tuple[_ClassFolder, int]]) -> list[str]:
    """Notes on classes that are not in every split of those there are: names that look like a slip of the pen, then
    what else has no images to learn from or to be judged on."""
    holds: dict[int, set[str]] = {}
    images: dict[str, int] = {}
    for source, count in sources:
        if source.split is not None and count:
            holds.setdefault(source.split, set()).add(source.name)
            images[source.name] = images.get(source.name, 0) + count
    if len(holds) < 2:
        return []
    notes: list[str] = []
    explained: set[tuple[int, str]] = set()
    lone = [(name, split) for split, there in holds.items() for name in there if _is_alone(name, holds)]
    # the rarer of two spellings is the slip
    for name, split in sorted(lone, key=lambda one: (images[one[0]], one))[:_NAMED]:
        twin = next((other for other in sorted(images.keys() - holds[split]) if _alike(name, other)), None)
        if twin is not None and (split, name) not in explained:
            notes.append(f"{name} is only in {SPLITS[split]} and {twin} is not there: the same class?")
            explained |= {(other, one) for other in holds for one in (name, twin)}
    for split in (TRAIN, TEST):
        there = holds.get(split, images.keys())
        absent = sorted(name for name in images.keys() - there if (split, name) not in explained)
        if absent:
            more = f" and {len(absent) - _NAMED:,} more" if len(absent) > _NAMED else ""
            listed = f"{', '.join(absent[:_NAMED])}{more}" if more else _listed(absent)
            notes.append(f"The {SPLITS[split]} split has no images of {listed}.")
    return notes


def _is_alone(name: str, holds: dict[int, set[str]]) -> bool:
    return sum(name in names for names in holds.values()) == 1


def _alike(one: str, other: str) -> bool:
    """Whether two names of classes may be one: another case, letters that changed places, a letter too many; not
    numbers that differ."""
    one, other = one.casefold(), other.casefold()
    if [*filter(str.isdigit, one)] != [*filter(str.isdigit, other)]:
        return False
    return sorted(one) == sorted(other) or SequenceMatcher(None, one, other).ratio() >= _ALIKE


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
