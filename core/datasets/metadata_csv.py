"""A folder with `metadata.csv` in the convention of GroupDRO and Waterbirds: `img_filename,y,split,place`.

Sagawa et al. 2020, arXiv:1911.08731 (the Waterbirds set and its table). Needed: `img_filename`, relative to the folder,
and `y`. `split` is 0, 1, 2 or a name. Every other column is tolerated; those with few values become attributes.
"""

from __future__ import annotations

import csv
import io
import posixpath
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from core.datasets.choices import Choices
from core.datasets.dataset import MAX_PROBLEMS, Attribute, Dataset, Problem, dataset_id, fingerprint, limited, marks_of
from core.datasets.images import is_image_name
from core.datasets.listing import list_files
from core.datasets.splits import complete, split_code
from core.errors import BadMetadata, EmptyDataset, OneClass

TABLE = "metadata.csv"
FILE, LABEL, SPLIT = "img_filename", "y", "split"
MAX_VALUES = 20
"""Distinct values up to which a column is an attribute: more would make groups too small to measure."""

_IDS = frozenset({"", "id", "img_id", "image_id", "index", "idx", "row"})


@dataclass(frozen=True)
class Column:
    """A column of text read as one of a few values.

    values: in order (numbers by size, text by alphabet). codes: (n,) int64, -1 where the cell is blank.
    numeric: every value is a number. whole: and each of them an integer.
    """

    name: str
    values: tuple[str, ...]
    codes: np.ndarray
    numeric: bool
    whole: bool


def read_metadata(root: Path, *, seed: int) -> Dataset:
    """root: resolved, holds `metadata.csv`. Classes are the values of `y` in order (numbers by size, text by alphabet).

    Rows that cannot be used (file absent or outside the folder, no label, listed twice ...) become problems.
    Raises `BadMetadata`, `EmptyDataset`, `OneClass`.
    """
    table = _read_table(root / TABLE)
    files = list_files(root)
    given = table[FILE].str.strip()
    names = _tidy(given)
    at = pd.Index(files.names, dtype=object).get_indexer(names.to_numpy(dtype=object))
    label = column(table[LABEL])
    if label.numeric and not label.whole:
        raise BadMetadata(
            f"The column y holds measurements such as {label.values[0]}, not classes.",
            next_step="Put the number or the name of the class of each image into the column y.",
        )
    splits = _splits(table[SPLIT]) if SPLIT in table and len(table) else None

    faults = _Faults(len(table))
    faults.mark(given == "", "no file name")
    faults.mark(_leaves(names), "its path leaves the dataset folder")
    suffixed = names.str.rsplit("/", n=1).str[-1].str.contains(".", regex=False)
    faults.mark(suffixed & ~names.map(is_image_name).astype(bool), "not an image file")
    faults.mark(at < 0, "the file is not there")
    faults.mark(label.codes < 0, "no label in the column y")
    if splits is not None:
        faults.mark(splits < 0, "its split is none of train, val, test, 0, 1, 2")
    usable = faults.free()
    again = np.zeros(len(table), dtype=bool)
    again[usable] = names[usable].duplicated().to_numpy()
    faults.mark(again, "listed more than once: the first row counts")
    problems = faults.problems(given, {p.image: p.reason for p in files.problems}, names)
    kept = np.flatnonzero(faults.free())
    if not len(kept):
        raise _nothing_left(root, table, problems)

    kept = kept[np.argsort(names.to_numpy(dtype=np.dtypes.StringDType())[kept], kind="stable")]
    columns = [column(table[name].iloc[kept]) for name in table if name not in (FILE, LABEL, SPLIT)]
    label = column(table[LABEL].iloc[kept])
    if len(label.values) < 2:
        raise OneClass(
            f"All {len(kept):,} usable rows of {root / TABLE} have the same y, {label.values[0]}.",
            next_step="Add images of a second class to the table.",
        )
    found = None if splits is None else splits[kept]
    image_names = names.iloc[kept].tolist()
    completed, notes = complete(image_names, label.codes, found, seed)
    sizes, modified = files.arrays()
    listed, more = limited(problems)
    return Dataset(
        id=dataset_id(root),
        name=root.name,
        root=root,
        source="metadata-csv",
        images=np.array(image_names, dtype=np.dtypes.StringDType()),
        labels=label.codes,
        splits=completed,
        classes=_class_names(label, columns),
        attributes=_attributes(columns, label.codes, found),
        problems=listed,
        notes=(*notes, *more),
        fingerprint=fingerprint(image_names, sizes[at[kept]], modified[at[kept]]),
        choices=Choices(format="metadata-csv"),
        marks=marks_of(sizes[at[kept]], modified[at[kept]]),
    )


def column(cells: pd.Series) -> Column:
    """Read a column of text: "1", "1.0" and " 1" are one value; blank cells have none."""
    text = cells.str.strip()
    # pandas writes absent numbers as nothing or, asked to, as nan
    codes, distinct = pd.factorize(text.mask(text.isin(["", "nan", "NaN"])))
    labels = [str(value) for value in distinct]
    numbers = pd.to_numeric(pd.Series(labels, dtype=object), errors="coerce").to_numpy(dtype=float)
    numeric = bool(len(labels)) and bool(np.isfinite(numbers).all())
    whole = numeric and bool((numbers == np.round(numbers)).all())
    if whole:
        labels = [str(int(number)) for number in numbers]
    if numeric:
        values, position = np.unique(numbers, return_inverse=True)
        first = {float(number): text for number, text in reversed(list(zip(numbers, labels, strict=True)))}
        names = tuple(first[float(value)] for value in values)
    else:
        names = tuple(sorted(labels))
        place = {name: index for index, name in enumerate(names)}
        position = np.array([place[name] for name in labels], dtype=np.int64)
    # one more entry, which code -1 (blank) falls on
    lookup = np.append(position.astype(np.int64), -1)
    return Column(str(cells.name), names, lookup[codes], numeric, whole)


def one_to_one(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether each code of a goes with exactly one code of b and the other way round. a, b: (n,) int, -1 unknown."""
    if (a < 0).any() or (b < 0).any():
        return False
    pairs = len(np.unique(a.astype(np.int64) * (int(b.max(initial=0)) + 1) + b))
    return pairs == len(np.unique(a)) == len(np.unique(b))


def _names_of(codes: np.ndarray, naming: Column) -> tuple[str, ...]:
    """The values of `naming` in the order of `codes`, with which it is in one-to-one relation."""
    _, first = np.unique(codes, return_index=True)
    return tuple(naming.values[naming.codes[row]] for row in first)


def _class_names(label: Column, columns: list[Column]) -> tuple[str, ...]:
    """From a column of words in one-to-one relation with y; preferably the one that is called so."""
    if not label.numeric:
        return label.values
    usual = ("y_name", "class_name", "label_name", "label", "class")
    others = {c.name for c in columns}
    candidates = [
        c
        for c in columns
        # `place_name` names `place`, even where every bird of a small table stands on its own background
        if not c.numeric and (c.name in usual or c.name.removesuffix("_name") not in others - {c.name})
    ]
    candidates.sort(key=lambda c: usual.index(c.name) if c.name in usual else len(usual))
    for candidate in candidates:
        if len(candidate.values) == len(label.values) and one_to_one(label.codes, candidate.codes):
            return _names_of(label.codes, candidate)
    return label.values


def _attributes(columns: list[Column], labels: np.ndarray, splits: np.ndarray | None) -> tuple[Attribute, ...]:
    """Columns with few values that say something new; `place` first. Words in step with numbers name them."""
    kept: list[tuple[Column, tuple[str, ...]]] = []
    for candidate in columns:
        distinct = len(candidate.values)
        if not 2 <= distinct <= MAX_VALUES or distinct == len(labels) or _is_reference(candidate):
            continue
        if one_to_one(candidate.codes, labels) or (splits is not None and one_to_one(candidate.codes, splits)):
            continue
        twin = next((i for i, (other, _) in enumerate(kept) if one_to_one(other.codes, candidate.codes)), None)
        if twin is None:
            kept.append((candidate, candidate.values))
        elif kept[twin][0].numeric and not candidate.numeric:
            other = kept[twin][0]
            kept[twin] = (other, _names_of(other.codes, candidate))
        elif candidate.numeric and not kept[twin][0].numeric:
            kept[twin] = (candidate, _names_of(candidate.codes, kept[twin][0]))
    kept.sort(key=lambda pair: pair[0].name != "place")
    return tuple(Attribute(c.name, values, c.codes.astype(np.int16)) for c, values in kept)


def _is_reference(candidate: Column) -> bool:
    """Row numbers, file names and measurements are no attributes, however few there are."""
    name = candidate.name.lower()
    pointer = name in _IDS or name.startswith("unnamed:") or name.endswith(("filename", "_path", "_file"))
    return pointer or (candidate.numeric and not candidate.whole)


def _splits(cells: pd.Series) -> np.ndarray:
    """(n,) int8, -1 where it is none of the known."""
    read = column(cells)
    codes = [split_code(value) if not value.isdigit() else int(value) for value in read.values]
    known = [code if code is not None and 0 <= code <= 2 else -1 for code in codes]
    if all(code < 0 for code in known):
        shown = ", ".join(read.values[:3]) or "blank cells only"
        raise BadMetadata(
            f"The column split holds {shown}, which are no names of splits.",
            next_step="Use 0, 1, 2 or train, val, test; or remove the column to have the images divided at random.",
        )
    return np.array([*known, -1], dtype=np.int8)[read.codes]


def _tidy(names: pd.Series) -> pd.Series:
    """Names as they are on disk: forward slashes, no `./`, no `a/../b`."""
    names = names.str.replace("\\", "/", regex=False)
    odd = names.str.contains(r"(?:^|/)\.{1,2}/|//", regex=True)
    return names.where(~odd, names[odd].map(posixpath.normpath).reindex(names.index, fill_value=""))


def _leaves(names: pd.Series) -> pd.Series:
    return names.str.match(r"/|\.\.(?:/|$)|[A-Za-z]:/")


class _Faults:
    """The first fault of each row; a row with none is used."""

    def __init__(self, rows: int) -> None:
        self._code = np.full(rows, -1, dtype=np.int16)
        self._reasons: list[str] = []

    def mark(self, rows: np.ndarray | pd.Series, reason: str) -> None:
        self._code[(self._code < 0) & np.asarray(rows, dtype=bool)] = len(self._reasons)
        self._reasons.append(reason)

    def free(self) -> np.ndarray:
        return self._code < 0

    def problems(self, given: pd.Series, known: dict[str, str], names: pd.Series) -> list[Problem]:
        """known: reasons that the walk over the folder already has for a name (a link that leaves it ...)."""
        found: list[Problem] = []
        for row in np.flatnonzero(self._code >= 0).tolist():
            reason = self._reasons[self._code[row]]
            if len(found) < MAX_PROBLEMS:
                reason = known.get(names.iat[row], reason)
            # + 2: the header is row 1 of the table, as a spreadsheet shows it
            found.append(Problem(given.iat[row] or "(blank)", f"{reason} (row {row + 2} of {TABLE})"))
        return found


def _read_table(path: Path) -> pd.DataFrame:
    """All cells as text, column names trimmed, the needed ones in lower case."""
    text = _text(path)
    header = next(csv.reader(io.StringIO(text[: 1 << 16]), delimiter=(separator := _separator(text))), [])
    names = [name.strip() for name in header]
    names = [name.lower() if name.lower() in (FILE, LABEL, SPLIT) else name for name in names]
    missing = [name for name in (FILE, LABEL) if name not in names]
    if missing:
        shown = ", ".join(filter(None, names[:12])) or "none"
        raise BadMetadata(
            f"{path} has no column {' and no column '.join(missing)}; its columns are: {shown}.",
            next_step="Name the columns img_filename (path of the image), y (its class) and split (0, 1, 2).",
        )
    twice = [name for name in (FILE, LABEL, SPLIT) if names.count(name) > 1]
    if twice:
        raise BadMetadata(
            f"{path} has more than one column {twice[0]}.", next_step="Keep one of them and rename the others."
        )
    try:
        table = pd.read_csv(
            io.StringIO(text), sep=separator, dtype=str, keep_default_na=False, header=0, names=_distinct(names)
        )
    except (pd.errors.ParserError, ValueError) as error:
        line = re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", str(error))
        detail = f"line {line[2]} has {line[3]} cells, the header {line[1]}" if line else str(error).strip()
        raise BadMetadata(
            f"{path} is not a regular table: {detail}.",
            next_step="Put cells that contain the separator into double quotes, then try again.",
        ) from error
    if not isinstance(table.index, pd.RangeIndex):
        # pandas takes the first cells of rows longer than the header for row names
        raise BadMetadata(
            f"{path} has more cells in its rows than in its header.",
            next_step="Give each column a name in the first row, and no row a separator at its end.",
        )
    return table.fillna("").reset_index(drop=True)


def _distinct(names: list[str]) -> list[str]:
    """The same names, later repetitions numbered, because a table can repeat a column nobody reads."""
    seen: dict[str, int] = {}
    result = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        result.append(name if seen[name] == 1 else f"{name}.{seen[name]}")
    return result


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BadMetadata(
            f"{path} cannot be opened: {error.strerror or error}.", next_step="Change its permissions, then try again."
        ) from error
    # spreadsheets save "Unicode text" as UTF-16 with a mark in front
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise BadMetadata(
            f"{path} is not UTF-8 text (byte {error.start:,}).",
            next_step="Save the table as CSV in UTF-8, then try again.",
        ) from error
    text = text.lstrip("\r\n")
    if "\0" in text:
        raise BadMetadata(f"{path} holds binary data.", next_step="Save the table as CSV in UTF-8, then try again.")
    if not text.strip():
        raise BadMetadata(f"{path} is empty.", next_step="Write a header (img_filename,y,split) and a row per image.")
    return text


def _separator(text: str) -> str:
    """Comma, semicolon or tab: whichever cuts the header into most columns."""
    header = text.split("\n", 1)[0]
    return max(",;\t", key=lambda mark: len(next(csv.reader([header], delimiter=mark), [])))


def _nothing_left(root: Path, table: pd.DataFrame, problems: list[Problem]) -> EmptyDataset:
    if not len(table):
        return EmptyDataset(f"{root / TABLE} has a header but no rows.", next_step="Add a row per image.")
    return EmptyDataset(
        f"None of the {len(table):,} rows of {root / TABLE} can be used; {problems[0].image}: {problems[0].reason}.",
        next_step=f"Check that the names in the column {FILE} are relative to {root}.",
    )
