"""Any table with a column of paths: CSV, TSV, semicolons, Parquet, JSON lines; a table per split where they are called
so or lie in folders that are.

Which column is what is told from names and first values; `columns_of` says what would be taken, `Choices.columns`
says otherwise.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.datasets.choices import Choices, dataset_folder
from core.datasets.dataset import Dataset
from core.datasets.format import Format
from core.datasets.images import is_image_name
from core.datasets.listing import USUAL_SUFFIXES, subfolders
from core.datasets.splits import split_code, splits_of_folders
from core.datasets.table_text import SUFFIXES, Head, listed, read_head, short, tables_in
from core.errors import BadMetadata, BadRequest
from core.progress import Progress

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

# Usual names in lower case, the likelier first. Numbers of classes come before their names: a model's outputs are
# numbered, and a column of words in step with the numbers names them anyway.
IMAGE_NAMES = (
    *("img_filename", "image_path", "img_path", "filepath", "file_path", "path", "filename", "file_name", "image_name"),
    *("img_name", "image_file", "img_file", "file", "image", "img", "image index", "images", "image_id", "img_id"),
    *("isic_id", "id_code", "imageid", "photo", "photo_id", "picture", "uri"),
)
# these say little: they count where the first of them are files
ID_NAMES = ("id", "name", "key", "index", "idx", "sample", "sample_id", "uid", "uuid")
LABEL_NAMES = (
    *("y", "label_id", "class_id", "class_idx", "class_index", "label_idx", "category_id", "target", "label", "labels"),
    *("class", "class_name", "label_name", "category", "category_name", "class_label", "classes", "diagnosis", "dx"),
    *("species", "breed", "finding labels", "ground_truth", "gt", "annotation"),
    *("diagnose", "klasse", "classe", "clase"),
)
SPLIT_NAMES = ("split", "split_name", "partition", "subset", "set", "data_split", "dataset_split", "phase", "usage")

# share of a column's first values that have to be called like images
_MOSTLY = 0.5
# of an id: first values that are looked for, in so many folders, and columns of any name that are looked at for ids
_LOOKED_FOR, _FOLDERS, _COLUMNS = 3, 20, 20
# no file is called so
_LONGEST = 200
# digits of a number that is taken for an id
_SHORTEST = 4
# what columns hold that may be one class each
_TRUTHS = frozenset({"0", "1", "0.0", "1.0", "True", "False", "true", "false", "TRUE", "FALSE"})
# labels that are taken for classes only if a person says so: more of them than half the images
_TOO_MANY = 0.5


@dataclass(frozen=True)
class TableColumns:
    """What a person needs to say which column is what.

    names: of the columns, in order. first: for each column its first values as text. roles: role (see `ROLES`) to the
    column that would be taken; absent where none fits. labels: columns that could be the label, the one that would be
    taken first. attributes: columns that would become attributes or could.
    """

    names: tuple[str, ...]
    first: tuple[tuple[str, ...], ...]
    roles: Mapping[str, str]
    labels: tuple[str, ...]
    attributes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        return {
            "names": list(self.names),
            "first": [list(values) for values in self.first],
            "roles": dict(self.roles),
            "labels": list(self.labels),
            "attributes": list(self.attributes),
        }


def read_columns(path: Path, choices: Choices) -> TableColumns:
    """Of the table at or in `path`, from its first rows. Raises `BadMetadata`, `BadRequest`."""
    table = _tables(path, choices)[0]
    head = read_head(table)
    if head is None:
        raise BadMetadata(f"{table} is not a table that can be read.", next_step="Save it as CSV in UTF-8.")
    if sum(set(head.values(name)) <= _TRUTHS for name in head.names) > 1:
        from core.datasets.cells import read_cells

        head = _merged(read_cells(table), choices)[1]
    roles = {role: name for role, name in guessed_roles(head, choices, table.parent).items() if name}
    rest = [name for name in head.names if name and name not in (roles.get("image"), roles.get("split"))]
    labels = sorted(rest, key=lambda name: (name != roles.get("label"), _rank(name, LABEL_NAMES)))
    return TableColumns(
        names=head.names,
        first=tuple(head.values(name)[:5] for name in head.names),
        roles=roles,
        labels=tuple(name for name in labels if not _looks_like_images(head, name)),
        attributes=tuple(name for name in rest if name != roles.get("label") and not _looks_like_images(head, name)),
    )


def guessed_roles(head: Head, choices: Choices, near: Path) -> dict[str, str]:
    """Role to column, "" where there is none. What was chosen holds.

    near: folder of the table. Raises `BadRequest` for a column that is absent, or that has two roles.
    """
    chosen = dict(choices.columns)
    if choices.target and "label" not in chosen:
        chosen["label"] = choices.target
    for role, name in chosen.items():
        if name and name not in head.names:
            raise BadRequest(
                f"The table has no column {name}, which was chosen as the {role}.",
                next_step=f"Its columns are: {listed(head.names)}.",
            )
    used = [name for name in chosen.values() if name]
    if len(set(used)) < len(used):
        raise BadRequest(
            "One column was chosen for two roles.", next_step="Choose another column, or none, for one of them."
        )
    free = [name for name in dict.fromkeys(head.names) if name and name not in used]
    guessed = {"image": _image_column(head, free, near), "split": _named(free, SPLIT_NAMES), "label": ""}
    guessed["label"] = _named([name for name in free if name not in guessed.values()], LABEL_NAMES)
    return {**guessed, **chosen}


def _image_column(head: Head, free: Sequence[str], near: Path) -> str:
    """By content, the usual names first; else ids that stand for files, in a column of any name; else by name alone."""
    like = [name for name in free if _looks_like_images(head, name)]
    if like:
        return min(like, key=lambda name: _rank(name, IMAGE_NAMES))
    ids = sorted((n for n in free if n.lower() in (*IMAGE_NAMES, *ID_NAMES)), key=lambda n: _rank(n, IMAGE_NAMES))
    found = next((name for name in ids if _stands_for_files(head, name, near)), "")
    if not found:
        others = [name for name in free if name not in ids and _like_ids(head, name)]
        found = next((name for name in others[:_COLUMNS] if _stands_for_files(head, name, near)), "")
    return found or _named(ids, IMAGE_NAMES)


def _like_ids(head: Head, name: str) -> bool:
    """Whether a column may hold ids: no value twice, and no small numbers, which files are called by chance."""
    values = head.values(name)
    return len(set(values)) == len(values) > 1 and all(len(one) >= _SHORTEST or not one.isdigit() for one in values)


def _stands_for_files(head: Head, name: str, near: Path) -> bool:
    """Whether first values are names of image files in the folder or one below, but for the ending: one of them where
    the column is called like ids, most of them where it says nothing."""
    values = [value.replace("\\", "/") for value in head.values(name) if 0 < len(value) <= _LONGEST][:_LOOKED_FOR]
    folders = [near, *subfolders(near)[:_FOLDERS]]
    there = [any(_is_image(f"{folder}/{value}") for folder in folders) for value in values]
    return any(there) if name.lower() in (*IMAGE_NAMES, *ID_NAMES) else sum(there) > _MOSTLY * len(there)


def _is_image(place: str) -> bool:
    return any(is_image_name(place + end) and os.path.isfile(place + end) for end in ("", *USUAL_SUFFIXES))


def _looks_like_images(head: Head, name: str) -> bool:
    values = [value for value in head.values(name) if value]
    return sum(is_image_name(value.replace("\\", "/")) for value in values) > _MOSTLY * len(values)


def _named(names: Sequence[str], usual: Sequence[str]) -> str:
    return min((name for name in names if name.lower() in usual), key=lambda name: _rank(name, usual), default="")


def _rank(name: str, usual: Sequence[str]) -> int:
    return usual.index(name.lower()) if name.lower() in usual else len(usual)


def _tables(path: Path, choices: Choices) -> list[Path]:
    """The table to read: a file itself; in a folder the only one with a column of images, or one per split.

    Raises `BadMetadata` where none fits or too many do.
    """
    if path.is_file():
        return [path]
    heads = {table: read_head(table) for table in tables_in(path)}
    with_images = [table for table, head in heads.items() if head is not None and _has_images(head, choices, path)]
    if not with_images and (below := _in_splits(path)):
        return below
    about = " of images" if with_images else ""
    by_split = [table for table in with_images if split_code(table.stem) is not None]
    if len(by_split) > 1:
        return by_split
    if not with_images and choices.format == FORMAT.name:
        # a person says that this is the table: the column can be asked for
        with_images = readable_in(path)
    if not with_images:
        shown = listed(table.name for table in heads) if heads else "no table"
        raise BadMetadata(
            f"{path} holds {shown}, but none with a column of image files.",
            next_step="Say which column holds the paths of the images, or add one.",
        )
    if len(with_images) > 1:
        raise BadMetadata(
            f"{path} holds several tables{about}: {listed(table.name for table in with_images)}.",
            next_step=f"Open one of them, such as {with_images[0]}.",
        )
    return with_images


def _has_images(head: Head, choices: Choices, near: Path) -> bool:
    """Whether a table says of itself or by the files around it that it is about images."""
    names = list(dict.fromkeys(filter(None, head.names)))
    if wanted := choices.columns.get("image"):
        return wanted in names
    if any(_looks_like_images(head, name) for name in names):
        return True
    found = _image_column(head, names, near)
    return bool(found) and _stands_for_files(head, found, near)


def names_images(path: Path) -> bool:
    """Whether a file is a table with a column of image files, as its first rows tell."""
    head = read_head(path) if path.suffix.lower() in SUFFIXES else None
    return head is not None and bool(head.rows) and _has_images(head, Choices(), path.parent)


def naming_images(folder: Path) -> list[Path]:
    """The tables that list the images of a folder: directly inside, else one in each folder of a split."""
    return [table for table in tables_in(folder) if names_images(table)] or _in_splits(folder)


def _in_splits(folder: Path) -> list[Path]:
    """`train/metadata.jsonl` and the like, as Hugging Face has it: each names the images of its own folder."""
    splits = [one for one in subfolders(folder) if split_code(one.name) is not None]
    places = ((split / f"metadata{suffix}" for suffix in SUFFIXES) for split in splits)
    found = (next((place for place in there if place.is_file() and names_images(place)), None) for there in places)
    return [table for table in found if table is not None]


def readable_in(folder: Path) -> list[Path]:
    """Tables directly inside a folder that have rows, whatever they are about."""
    heads = ((table, read_head(table)) for table in tables_in(folder))
    return [table for table, head in heads if head is not None and head.rows]


def says_all(folder: Path) -> bool:
    """Whether a table in the folder has columns for image, label and split, as one that describes a dataset has."""
    for table in tables_in(folder):
        head = read_head(table)
        if (
            head is not None
            and _has_images(head, Choices(), folder)
            and all(guessed_roles(head, Choices(), folder).values())
        ):
            return True
    return False


def _recognises(path: Path) -> bool:
    """Any table that is given itself: which column holds the images can be said."""
    return path.suffix.lower() in SUFFIXES if path.is_file() else bool(naming_images(path))


def _read(path: Path, *, seed: int, choices: Choices, store: Path | None, progress: Progress) -> Dataset:
    import pandas as pd

    from core.datasets.cells import read_cells, splits_of
    from core.datasets.table_reading import Rows, find_place, read_rows, tidy

    progress(0, 0, "Reading the table")
    tables = _tables(path, choices)
    parts = [read_cells(table) for table in tables]
    cells = parts[0]
    splits = None
    here = dataset_folder(path)
    if len(parts) > 1 or tables[0].parent != here:
        cells = pd.concat(parts, ignore_index=True).fillna("")
        codes = pd.Series([split_code(one.stem if one.parent == here else one.parent.name) for one in tables])
        splits = codes.repeat([len(part) for part in parts]).to_numpy(dtype="int8")
    shown = " and ".join(table.relative_to(here).as_posix() for table in tables)
    cells, head, classes = _merged(cells, choices)
    roles = guessed_roles(head, choices, tables[0].parent)
    if not roles["label"] and "label" not in choices.columns and len(classes) == 1:
        roles["label"] = classes[0]
    if not roles["image"]:
        raise BadMetadata(
            f"No column of {shown} names image files; its columns are: {listed(head.names)}.",
            next_step="Say which column holds the paths of the images, or add one.",
        )
    roles, notes = _sound(cells, roles, choices, splits)
    if roles["label"] in classes:
        notes.append(f"The columns of which each row has a 1 in one were read as one, {roles['label']}.")
    names = tidy(cells[roles["image"]].str.strip())
    if tables[0].parent != here:
        # each table names the images of its own folder
        folders = pd.Series([f"{one.parent.name}/" for one in tables]).repeat([len(part) for part in parts])
        names = tidy(folders.reset_index(drop=True) + names).where(names != "", "")
    progress(0, len(names), "Looking for the images")
    place = find_place(path, names, choices)
    images = place.relative(names).rename(roles["image"])
    if splits is None and roles["split"]:
        splits = splits_of(cells[roles["split"]])
    if splits is None:
        splits = splits_of_folders(images.tolist())
        notes += ["The folders of the images say which split they are in."] if splits is not None else []
    rows = Rows(
        table=shown,
        images=images,
        label=cells[roles["label"]] if roles["label"] else None,
        splits=splits,
        others=cells.drop(columns=[name for name in roles.values() if name]),
        folder=place.folder,
    )
    if place.folder != here:
        notes.append(f"The paths of the table were looked for in {place.folder}.")
    inside = place.folder.is_relative_to(here)
    resolved = replace(
        choices,
        format=FORMAT.name,
        columns=roles,
        target=None,
        images=place.folder.relative_to(here).as_posix() if inside else str(place.folder),
    )
    return read_rows(rows, path, source=FORMAT.name, seed=seed, choices=resolved, notes=notes)


def _merged(cells: pd.DataFrame, choices: Choices) -> tuple[pd.DataFrame, Head, tuple[str, ...]]:
    """The cells with classes of a column each as one column, their beginning, and the names of such columns."""
    from core.datasets.one_hot import merged

    asked = {*choices.columns.values(), *(choices.attributes or ()), choices.target or "", choices.group or ""}
    cells, made = merged(cells, asked)
    return cells, Head(tuple(cells.columns), tuple(map(tuple, cells.head(20).to_numpy().tolist()))), made


def _sound(
    cells: pd.DataFrame, roles: dict[str, str], choices: Choices, splits: np.ndarray | None
) -> tuple[dict[str, str], list[str]]:
    """The roles without guesses that the values speak against, and sentences about the label."""
    from core.datasets.cells import column, splits_of

    notes = []
    roles = dict(roles)
    guessed = roles["split"] if "split" not in choices.columns else ""
    if splits is not None or (guessed and splits_of(cells[guessed], strict=False) is None):
        roles["split"] = ""
    name = roles["label"]
    if name and name not in (choices.columns.get("label"), choices.target):
        label = column(cells[name])
        if label.numeric and not label.whole:
            notes.append(f"The column {name} holds measurements such as {label.values[0]}: not taken for classes.")
            roles["label"] = ""
        elif len(label.values) > max(2, _TOO_MANY * len(cells)):
            notes.append(f"The column {name} has {len(label.values):,} different values: not taken for classes.")
            roles["label"] = ""
        elif len(label.values) < 2:
            said = f"says {short(label.values[0])} for every image" if label.values else "is blank"
            notes.append(f"The column {name} {said}: not taken for classes.")
            roles["label"] = ""
    if not roles["label"]:
        others = [name for name in cells if name not in roles.values()]
        which = listed(others[:6]) if len(others) == 1 else f"one of {listed(others[:6])}"
        could = f" If {which} is the class, choose it." if others else ""
        notes.append(f"No column was taken for the label: these images have none.{could}")
    return roles, notes


FORMAT = Format(
    name="table",
    title="A table with a column of image files",
    layout="skin/labels.csv: image,diagnosis,sex\nskin/images/ISIC_0000000.jpg\n(or .tsv, .parquet, metadata.jsonl)",
    recognises=_recognises,
    read=_read,
    choosing=("columns", "attributes", "target", "group", "images"),
)
