"""The formats there are, and which of them a path looks like."""

from __future__ import annotations

import re
from pathlib import Path

from core.datasets import (
    archives,
    arrays,
    celeba,
    cifar,
    dsprites,
    folders,
    hf_arrow,
    hf_parquet,
    idx,
    loose_images,
    metadata_csv,
    tables,
    wilds,
)
from core.datasets.choices import AUTOMATIC, Choices
from core.datasets.format import Format, how_to_choose
from core.datasets.images import is_image_name
from core.datasets.listing import first_file, holds_image, subfolders
from core.datasets.table_text import listed, read_head, tables_in
from core.errors import BadMetadata, BadRequest, EmptyDataset, MidbandError, PathNotFound

__all__ = ["FORMATS", "Format", "format_named", "recognise", "taken"]

# These leave no doubt.
_CERTAIN = (celeba.FORMAT, wilds.FORMAT, metadata_csv.FORMAT)

# Tables of these formats stand for the folder they lie in.
_TABLES = frozenset({"metadata.csv", "rgb_metadata.csv", "list_attr_celeba.txt", "list_attr_celeba.csv"})

# Tables called so hold what a network said of images that have classes.
_PREDICTED = re.compile("pred|result|score|output|submission|inference", re.IGNORECASE)

# The first that fits is used unless a person says otherwise: the particular before the general.
FORMATS: tuple[Format, ...] = (
    *_CERTAIN,
    dsprites.FORMAT,
    arrays.FORMAT,
    cifar.FORMAT,
    idx.FORMAT,
    hf_parquet.FORMAT,
    hf_arrow.FORMAT,
    tables.FORMAT,
    folders.FORMAT,
    loose_images.FORMAT,
    archives.FORMAT,
)


def format_named(name: str) -> Format:
    """Raises `BadRequest`."""
    found = next((one for one in FORMATS if one.name == name), None)
    if found is None:
        raise BadRequest(
            f"There is no format {name!r}.", next_step=f"Known are: {', '.join(one.name for one in FORMATS)}."
        )
    return found


def opened(path: Path, choices: Choices = AUTOMATIC) -> Path:
    """The folder where a file is the table that the format of its folder expects there; else the path itself."""
    allowed = [one for one in _CERTAIN if choices.format in (None, one.name)]
    if path.name not in _TABLES or not path.is_file():
        return path
    above = (folder for folder in list(path.parents)[:2] if any(one.recognises(folder) for one in allowed))
    return next(above, path)


def recognise(path: Path) -> tuple[Format, ...]:
    """Every format that fits, best first; last a table beside images, in which a column can be chosen.

    path: resolved, an existing file or folder.

    Raises `EmptyDataset` (of a file `PathNotFound`) that says what was looked for when none does.
    """
    path = opened(path)
    fitting = [one for one in FORMATS if one.recognises(path)]
    if not fitting:
        raise _nothing(path)
    if folders.FORMAT in fitting:
        there, named = folders.likely_classes(path)
        if there == 1 and (not named or holds_image(path, deep=False)):
            # one folder called images is no class, nor is one beside images
            fitting = [*(one for one in fitting if one is not folders.FORMAT), folders.FORMAT]
        elif named > 1 and not (tables.FORMAT in fitting and tables.says_all(path) and _agrees(path)):
            # a table or an array beside class folders may be anything: predictions, features, a list of downloads
            fitting.sort(key=lambda one: (one not in _CERTAIN, one is not folders.FORMAT))
    if loose_images.FORMAT in fitting and tables.FORMAT not in fitting and tables.readable_in(path):
        fitting.append(tables.FORMAT)
    return tuple(fitting)


def taken(path: Path) -> tuple[Format, tuple[str, ...]]:
    """The best format of `recognise`, and a sentence where labels could come from another place as well.

    Raises what `recognise` raises.
    """
    fitting = recognise(path)
    best = fitting[0]
    if best is folders.FORMAT and tables.FORMAT in fitting:
        beside = [table.relative_to(path).as_posix() for table in tables.naming_images(path)]
        if beside:
            lie = "lie" if len(beside) > 1 else "lies"
            return best, (f"{listed(beside)} {lie} beside the class folders: {_instead('labels', tables.FORMAT)}",)
    if best is tables.FORMAT and folders.FORMAT in fitting and folders.likely_classes(path)[1] > 1:
        return best, (f"The images lie in folders that may be classes: {_instead('classes', folders.FORMAT)}",)
    return best, ()


def _instead(what: str, form: Format) -> str:
    title = f"{form.title[0].lower()}{form.title[1:]}"
    return f"to take the {what} from there, read it as {title} ({how_to_choose(form.name)})."


def _agrees(folder: Path) -> bool:
    """Whether a table of image, label and split may count more than class folders: it is not called like predictions,
    and no label of it is the name of another folder than the one that the image is in."""
    from core.datasets.cells import read_cells

    inner = [deeper for above in subfolders(folder) for deeper in (above, *subfolders(above))]
    known = {one.name.casefold() for one in inner}
    for table in tables_in(folder):
        head = read_head(table) if tables.names_images(table) else None
        roles = {} if head is None else tables.guessed_roles(head, AUTOMATIC, folder)
        if not roles or not all(roles.values()) or _PREDICTED.search(table.stem):
            continue
        try:
            cells = read_cells(table)
        except BadMetadata:
            continue
        pairs = zip(cells[roles["image"]].str.casefold(), cells[roles["label"]].str.strip().str.casefold(), strict=True)
        if not any(label in known and label not in image.replace("\\", "/").split("/")[:-1] for image, label in pairs):
            return True
    return False


def _nothing(path: Path) -> MidbandError:
    known = "; ".join(one.title for one in FORMATS)
    if path.is_file() and is_image_name(path.name):
        return PathNotFound(
            f"{path} is a file, one image.", next_step=f"Give the folder it is in: {path.parent}.", title="One image"
        )
    if path.is_file():
        return PathNotFound(
            f"{path} is a file that holds neither images nor a table that names some.",
            next_step=f"Give the folder it is in, {path.parent}, or one of the known forms: {known}.",
        )
    example = first_file(path)
    if example is None:
        return EmptyDataset(f"{path} is empty.", next_step="Choose a folder that holds a folder of images per class.")
    return EmptyDataset(
        f"{path} holds no image files (for example {example}: not an image file) and no table that names some.",
        next_step=f"Choose a folder in one of the known forms: {known}.",
    )
