"""From the rows of a table to a dataset: which files they mean, which of them can be used, what they say."""

from __future__ import annotations

import os
import posixpath
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from core.access.roots import allowed_path, is_open
from core.datasets.cells import MAX_VALUES, Column, attributes, chosen_attributes, class_names, column
from core.datasets.choices import Choices, dataset_folder
from core.datasets.dataset import (
    MAX_PROBLEMS,
    Attribute,
    Dataset,
    Problem,
    dataset_id,
    fingerprint,
    limited,
    marks_of,
)
from core.datasets.images import IMAGE_SUFFIXES, is_image_name
from core.datasets.listing import ABSENT, USUAL_SUFFIXES, Found, list_files, look_up, names_in, subfolders
from core.datasets.splits import complete
from core.datasets.table_text import listed, short
from core.errors import BadMetadata, BadRequest, EmptyDataset, OneClass

# names that are tried to find the folder they are relative to
_SAMPLE = 20
# folders that are tried, and leading parts of names that are taken off
_MOST_FOLDERS = 200
_LIKE_IMAGES = re.compile(r"image|img|photo|pict|jpe?g|png", re.IGNORECASE)
_MOST_PARTS = 12
# of a name in the list of problems: paths are shorter
_LONGEST = 4_096
# rows that are looked at to see that a column has many values, and how often a value may be spelt in two ways there
_FIRST, _SPELLINGS = 5_000, 100
# columns that are looked at, unless a person names others: a table of more holds numbers that were computed
_MOST_COLUMNS = 200


@dataclass(frozen=True, eq=False)
class Rows:
    """A table of n images, nothing of it checked.

    table: its name, for sentences. images: (n,) names as they are written. label: (n,) text, None where there is no
    column of labels. splits: (n,) int8, -1 where it is not known, None without such a column. others: the remaining
    columns, as text. folder: what the names are relative to, resolved. lenient: a file is found despite another
    ending, case or way of writing accents. classes: names of the values of the label in order, None to find them.
    known: attributes of the n images, in place of those found among the others.
    """

    table: str
    images: pd.Series
    label: pd.Series | None
    splits: np.ndarray | None
    others: pd.DataFrame
    folder: Path
    lenient: bool = True
    classes: tuple[str, ...] | None = None
    known: tuple[Attribute, ...] | None = None


def read_rows(
    rows: Rows, root: Path, *, source: str, seed: int, choices: Choices, notes: Sequence[str] = ()
) -> Dataset:
    """The dataset of a table; rows that cannot be used become problems.

    source: name of the format. choices: as they came out, but for `attributes`, which this decides. notes: come before
    those made here. Raises `BadMetadata`, `EmptyDataset`, `OneClass`, `BadRequest`.
    """
    given = rows.images.str.strip()
    tidied = tidy(given)
    label = None if rows.label is None else column(rows.label)
    if label is not None and label.numeric and not label.whole:
        raise BadMetadata(
            f"The column {label.name} holds measurements such as {label.values[0]}, not classes.",
            next_step=f"Put the number or the name of the class of each image into the column {label.name}.",
        )
    faults = _Faults(len(tidied))
    faults.mark(given == "", "no file name")
    faults.mark(_leaves(tidied), "its path leaves the dataset folder")
    names, found, matched = _find(rows, tidied.tolist(), faults.free())
    others = ["." in name.rpartition("/")[2] and not is_image_name(name) for name in names]
    faults.mark(np.array(others, dtype=bool), "not an image file")
    faults.mark_each(found.reasons)
    if label is not None:
        faults.mark(label.codes < 0, f"no label in the column {label.name}")
    if rows.splits is not None:
        faults.mark(rows.splits < 0, "its split is none of train, val, test, 0, 1, 2")
    usable = np.flatnonzero(faults.free())
    again = np.zeros(len(names), dtype=bool)
    again[usable] = pd.Series([names[row] for row in usable.tolist()], dtype=object).duplicated()
    faults.mark(again, "listed more than once: the first row counts")
    problems = faults.problems(given, rows.table)
    kept = np.flatnonzero(faults.free())
    if not len(kept):
        raise _nothing_left(rows, problems)

    images = np.array([names[row] for row in kept.tolist()], dtype=np.dtypes.StringDType())
    order = np.argsort(images, kind="stable")
    images, kept = images[order], kept[order]
    label = None if rows.label is None else column(rows.label.iloc[kept])
    if label is not None and len(label.values) < 2:
        raise OneClass(
            f"All {len(kept):,} usable rows of {rows.table} have the same {label.name}, {short(label.values[0])}.",
            next_step="Add images of a second class to the table, or open it without a column of labels.",
        )
    codes = np.zeros(len(kept), dtype=np.int64) if label is None else label.codes
    splits = None if rows.splits is None else rows.splits[kept]
    image_names = images.tolist()
    completed, made = complete(image_names, codes, splits, seed)
    decided = choices if rows.known is None else replace(choices, attributes=None, group=None)
    columns = _columns(rows.others.iloc[kept], 0 if label is None else len(label.values), decided)
    if rows.known is None:
        known = _attributes(columns, codes, splits, choices)
    else:
        known = tuple(replace(one, codes=one.codes[kept]) for one in rows.known)
    sizes, modified = found.sizes[kept], found.modified[kept]
    told, more = limited(problems, len(names) - int(faults.free().sum()))
    return Dataset(
        id=dataset_id(root),
        name=root.stem if root.is_file() else root.name,
        root=root,
        source=source,
        images=images,
        labels=codes,
        splits=completed,
        classes=() if label is None else rows.classes or class_names(label, columns),
        attributes=known,
        problems=told,
        notes=(*notes, *_matched(matched), *made, *more),
        fingerprint=fingerprint(image_names, sizes, modified),
        choices=replace(choices, attributes=tuple(one.name for one in known), group=None),
        marks=marks_of(sizes, modified),
    )


def tidy(names: pd.Series) -> pd.Series:
    """Names as they are on disk: forward slashes, no `./`, no `a/../b`."""
    names = names.str.replace("\\", "/", regex=False)
    odd = names.str.contains(r"(?:^|/)\.{1,2}/|//", regex=True)
    return names.where(~odd, names[odd].map(posixpath.normpath).reindex(names.index, fill_value=""))


def _leaves(names: pd.Series) -> pd.Series:
    return names.str.match(r"/|\.\.(?:/|$)|[A-Za-z]:/")


def _columns(cells: pd.DataFrame, classes: int, choices: Choices) -> list[Column]:
    """The columns that can be attributes, or name the classes (so many), and those that were chosen. Raises
    `BadRequest` for one that is not there."""
    asked = [*(choices.attributes or ()), *filter(None, [choices.group])]
    absent = [name for name in asked if name not in cells]
    if absent:
        raise BadRequest(
            f"There is no column {absent[0]} that could be an attribute.",
            next_step=f"Besides image, label and split the columns are: {listed(cells)}.",
        )
    most = max(MAX_VALUES, classes)
    # a comment or a measurement has more values than that among the first rows, and takes long to read to its end
    near = [*cells][:_MOST_COLUMNS]
    few = [name for name in near if name not in asked and cells[name].iloc[:_FIRST].nunique() <= most + _SPELLINGS]
    chosen = {*few, *asked}
    return [column(cells[name]) for name in cells if name in chosen]


def _attributes(
    columns: list[Column], labels: np.ndarray, splits: np.ndarray | None, choices: Choices
) -> tuple[Attribute, ...]:
    """Those that were chosen, else those with few values; the one to group by first."""
    if choices.attributes is None:
        found = attributes(columns, labels, splits)
    else:
        found = chosen_attributes(columns, choices.attributes)
    if choices.group is None:
        return found
    first = next((one for one in found if one.name == choices.group), None)
    first = first or chosen_attributes(columns, [choices.group])[0]
    return first, *(one for one in found if one.name != choices.group)


# Which file each row means


@dataclass(frozen=True)
class Place:
    """Where the paths of a table lead. folder: resolved, what they are relative to once what comes before is taken off:
    `before`, or `off` leading parts."""

    folder: Path
    before: str = ""
    off: int = 0

    def relative(self, names: pd.Series) -> pd.Series:
        """Names (n,) relative to `folder`; those that lie elsewhere stay as they are."""
        if not self.off:
            return names.str.removeprefix(self.before) if self.before else names
        short = names.str.split("/", n=self.off).str[self.off]
        return short.where(short.notna() & (short != ""), names)


def find_place(root: Path, names: pd.Series, choices: Choices) -> Place:
    """The folder that the paths of a table are relative to: the one that was chosen, else the one with most of the
    files of a few rows, looked for where the table lies.

    names: (n,) tidy. Paths that are absolute, or begin with folders that are not there (the table was made on another
    machine), are tried without their beginning. Raises `BadRequest` for a chosen folder that is not there,
    `BadMetadata` for absolute paths that have no folder in common.
    """
    here = dataset_folder(root)
    few = names[names != ""].drop_duplicates()
    sample = few.iloc[np.unique(np.linspace(0, len(few) - 1, _SAMPLE).astype(int))].tolist() if len(few) else []
    if choices.images is not None:
        given = here / Path(choices.images).expanduser()
        allowed_path(given)
        if not given.is_dir():
            raise BadRequest(
                f"There is no folder {given}, which the paths of the table are said to be relative to.",
                next_step="Give the folder that holds the images, or leave it out to have it found.",
            )
        return _below([given.resolve(), given], sample) or _best([given.resolve()], sample)
    absolute = few[few.str.startswith("/")]
    # a table names what it likes: files elsewhere are not even looked for
    if any(is_open(name) and os.path.isfile(name) for name in sample if name.startswith("/")):
        inside = _below([here], sample)
        return inside if inside and absolute.str.startswith(inside.before).all() else Place(*_common(absolute))
    return _best([folder for folder in _folders(root, here) if is_open(folder)] or [here], sample)


def _below(folders: Sequence[Path], sample: list[str]) -> Place | None:
    """The place where some paths are absolute and lie in a folder (written in one of several ways)."""
    for folder in folders:
        before = str(folder).rstrip("/") + "/"
        if any(name.startswith(before) for name in sample):
            return Place(folder.resolve(), before)
    return None


def _common(absolute: pd.Series) -> tuple[Path, str]:
    """The folder that all absolute paths lie in, resolved and as it is written."""
    common = os.path.commonpath(absolute.str.rpartition("/")[0].drop_duplicates().tolist() or ["/"])
    if common in ("", "/"):
        raise BadMetadata(
            "The images of the table lie in different places that have no folder in common.",
            next_step="Give the folder that holds the images: those inside it are used.",
        )
    return allowed_path(common), common + "/"


def _folders(root: Path, here: Path) -> list[Path]:
    """Folders to look for images in, those called like images first; beside the table's folder too when the table was
    given."""
    found = []
    for near in [here, here.parent] if root.is_file() and here.parent != Path(here.anchor) else [here]:
        try:
            inner = sorted(subfolders(near), key=lambda folder: _LIKE_IMAGES.search(folder.name) is None)
            found += [near, *inner, *(deeper for folder in inner[:_MOST_FOLDERS] for deeper in subfolders(folder)[:3])]
        except OSError:
            continue
        found = found[:_MOST_FOLDERS]
    return list(dict.fromkeys(found)) or [here]


def _best(folders: list[Path], sample: list[str]) -> Place:
    """The folder and how many leading parts to take off, for most of the files; the fewest parts among equals. Names
    that are no files are tried with an ending. The first folder where several together hold more than any of them."""
    for suffixes in ([""], USUAL_SUFFIXES):
        best, most = Place(folders[0]), 0
        somewhere: dict[int, set[str]] = {}
        deepest = min(max((name.count("/") for name in sample), default=0), _MOST_PARTS)
        for off in range(deepest + 1):
            tried = ["/".join(parts[off:]) for name in sample if len(parts := name.split("/")) > off]
            tried = [name for name in tried if name and not name.startswith("/")]
            for folder in folders:
                prefix = str(folder).rstrip("/") + "/"
                hits = {name for name in tried if any(os.path.isfile(f"{prefix}{name}{end}") for end in suffixes)}
                somewhere[off] = somewhere.get(off, set()) | hits
                if len(hits) > most:
                    best, most = Place(folder, off=off), len(hits)
            if most == len(sample):
                break
        if most:
            return best if most == len(somewhere[best.off]) else replace(best, folder=folders[0])
    return Place(folders[0])


def _find(rows: Rows, names: list[str], wanted: np.ndarray) -> tuple[list[str], Found, int]:
    """The names with those of the files where they differ, what lies under each, and how many differ by more than an
    ending that they lack.

    wanted: (n,) bool, rows to look for.
    """
    n = len(names)
    found = Found(np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int64), [ABSENT] * n)
    places = np.flatnonzero(wanted).tolist()
    # what has no ending is no image, whatever lies there
    _put(found, names, [place for place in places if not rows.lenient or is_image_name(names[place])], rows.folder)
    absent = [place for place in places if found.reasons[place] == ABSENT]
    if not rows.lenient or not absent:
        return names, found, 0
    alike = zip(absent, _alike(rows.folder, [names[place] for place in absent]), strict=True)
    better = {place: name for place, name in alike if name}
    told = sum(is_image_name(names[place]) for place in better)
    names = names.copy()
    for place, name in better.items():
        names[place] = name
    _put(found, names, list(better), rows.folder)
    return names, found, told


def _put(found: Found, names: list[str], places: list[int], folder: Path) -> None:
    """Look at the names in some places."""
    some = look_up(folder, [names[place] for place in places])
    found.sizes[places], found.modified[places] = some.sizes, some.modified
    for place, reason in zip(places, some.reasons, strict=True):
        found.reasons[place] = reason


def _alike(folder: Path, names: list[str]) -> list[str]:
    """For each name the file with the same name but for ending, case and accents, in the same folder; where the names
    have no folders, anywhere below. "" where there is none, or more than one."""
    keys = [_key(name) for name in names]
    inside = [name.rpartition("/")[0] for name in names]
    listed = {inner: _by_key(names_in(folder, inner)) for inner in set(inside)}
    found = [listed.get(inner, {}).get(key, "") for inner, key in zip(inside, keys, strict=True)]
    if not all(found) and not any(inside):
        below = _by_key(list_files(folder).names)
        found = [one or below.get(key, "") for one, key in zip(found, keys, strict=True)]
    return found


def _by_key(files: list[str]) -> dict[str, str]:
    """Image files by their name without folder, ending, case; "" where two have the same."""
    found: dict[str, str] = {}
    for file in files:
        if is_image_name(file):
            key = _key(file)
            found[key] = "" if key in found else file
    return found


def _key(name: str) -> str:
    leaf = name.rpartition("/")[2]
    stem, dot, ending = leaf.rpartition(".")
    # an id may hold a point: only what is an image's ending is one
    return unicodedata.normalize("NFC", stem if f"{dot}{ending}".lower() in IMAGE_SUFFIXES else leaf).casefold()


def _matched(count: int) -> list[str]:
    if not count:
        return []
    names = "1 name" if count == 1 else f"{count:,} names"
    return [f"{names} in the table differ from the files in ending, case or folder: the only file like it was taken."]


class _Faults:
    """The first fault of each row; a row with none is used."""

    def __init__(self, rows: int) -> None:
        self._code = np.full(rows, -1, dtype=np.int16)
        self._reasons: list[str] = []

    def mark(self, rows: np.ndarray | pd.Series, reason: str) -> None:
        self._code[(self._code < 0) & np.asarray(rows, dtype=bool)] = len(self._reasons)
        self._reasons.append(reason)

    def mark_each(self, reasons: list[str]) -> None:
        """reasons: of each row, "" where there is none."""
        given = np.array(reasons, dtype=np.dtypes.StringDType())
        for reason in sorted(set(reasons) - {""}):
            self.mark(given == reason, reason)

    def free(self) -> np.ndarray:
        return self._code < 0

    def problems(self, given: pd.Series, table: str) -> list[Problem]:
        """Of the first `MAX_PROBLEMS` faulty rows. given: what each row calls its image. table: for the sentence."""
        # + 2: the header is row 1 of the table, as a spreadsheet shows it
        faulty = np.flatnonzero(self._code >= 0)[:MAX_PROBLEMS]
        return [
            Problem(name[:_LONGEST] or "(blank)", f"{self._reasons[code]} (row {row + 2} of {table})")
            for row, code, name in zip(faulty.tolist(), self._code[faulty].tolist(), given.iloc[faulty], strict=True)
        ]


def _nothing_left(rows: Rows, problems: list[Problem]) -> EmptyDataset:
    if not len(rows.images):
        return EmptyDataset(f"{rows.table} has a header but no rows.", next_step="Add a row per image.")
    return EmptyDataset(
        f"None of the {len(rows.images):,} rows of {rows.table} can be used; "
        f"{problems[0].image}: {problems[0].reason}.",
        next_step=f"Check that the names in the column {rows.images.name} are relative to {rows.folder}.",
    )
