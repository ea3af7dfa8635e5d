"""Columns of text read as a few values each: classes, attributes, splits."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from io import StringIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from core.datasets.dataset import Attribute
from core.datasets.splits import split_code
from core.datasets.table_text import JSON_LINES, header_of, listed, read_text, rows_of, separator
from core.errors import BadMetadata, BadRequest

MAX_VALUES = 20
"""Distinct values up to which a column is an attribute by itself: more would make groups too small to measure."""

MOST_VALUES = 1_000
"""Distinct values that an attribute can have when a person asks for it."""

RANGES = 5
"""Into how many ranges, each with as many images, measurements are parted."""

# rows of a first look at two columns
_A_FEW = 1_000

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


def read_cells(path: Path, *, lower: Collection[str] = (), needed: Collection[str] = ()) -> pd.DataFrame:
    """All cells of a CSV, TSV, Parquet or JSON lines file as text, "" where there is none; names of columns trimmed and
    distinct.

    lower: names of columns that may be written in any case. needed: those of them that have to be there. Raises
    `BadMetadata`.
    """
    if path.suffix.lower() == ".parquet":
        return _parquet_cells(path)
    text = read_text(path)
    if path.suffix.lower() == JSON_LINES:
        return pd.DataFrame(rows_of(text, path), dtype=object).fillna("")
    names = [name.lower() if name.lower() in lower else name for name in header_of(text)]
    missing = [name for name in needed if name not in names]
    if missing:
        shown = listed(names)
        raise BadMetadata(
            f"{path} has no column {' and no column '.join(missing)}; its columns are: {shown}.",
            next_step="Name the columns img_filename (path of the image), y (its class) and split (0, 1, 2).",
        )
    twice = [name for name in lower if names.count(name) > 1]
    if twice:
        raise BadMetadata(
            f"{path} has more than one column {twice[0]}.", next_step="Keep one of them and rename the others."
        )
    try:
        table = pd.read_csv(
            StringIO(text), sep=separator(text), dtype=str, keep_default_na=False, header=0, names=_distinct(names)
        )
    except (pd.errors.ParserError, ValueError) as error:
        line = re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", str(error))
        detail = f"line {line[2]} has {line[3]} cells, the header {line[1]}" if line else str(error).strip()
        if opened := re.search(r"EOF inside string starting at row (\d+)", str(error)):
            detail = f"the double quote in row {int(opened[1]) + 1} is never closed"
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
    if len(a) > _A_FEW and not one_to_one(a[:_A_FEW], b[:_A_FEW]):
        # most pairs of columns differ among the first rows already
        return False
    if (a < 0).any() or (b < 0).any():
        return False
    pairs = len(np.unique(a.astype(np.int64) * (int(b.max(initial=0)) + 1) + b))
    return pairs == len(np.unique(a)) == len(np.unique(b))


def names_of(codes: np.ndarray, naming: Column) -> tuple[str, ...]:
    """The values of `naming` in the order of `codes`, with which it is in one-to-one relation."""
    _, first = np.unique(codes, return_index=True)
    return tuple(naming.values[naming.codes[row]] for row in first)


def class_names(label: Column, columns: Sequence[Column]) -> tuple[str, ...]:
    """From a column of words in one-to-one relation with the label; preferably the one that is called so."""
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
            return names_of(label.codes, candidate)
    return label.values


def attributes(columns: Sequence[Column], labels: np.ndarray, splits: np.ndarray | None) -> tuple[Attribute, ...]:
    """Columns with few values that say something new; `place` first. Words in step with numbers name them."""
    kept: list[Column] = []
    for candidate in columns:
        if not is_attribute(candidate, len(labels)):
            continue
        if one_to_one(candidate.codes, labels) or (splits is not None and one_to_one(candidate.codes, splits)):
            continue
        twin = next((i for i, other in enumerate(kept) if one_to_one(other.codes, candidate.codes)), None)
        if twin is None:
            kept.append(candidate)
        elif candidate.numeric and not kept[twin].numeric:
            kept[twin] = candidate
    kept.sort(key=lambda one: one.name != "place")
    return tuple(_attribute(one, columns) for one in kept)


def chosen_attributes(columns: Sequence[Column], chosen: Sequence[str]) -> tuple[Attribute, ...]:
    """The columns of these names, in this order. Measurements are parted into `RANGES`. Raises `BadRequest`."""
    known = {one.name: one for one in columns}
    return tuple(_attribute(_few(known[name]), columns) for name in chosen)


def is_attribute(candidate: Column, n: int) -> bool:
    """Row numbers, file names and measurements are no attributes, however few there are."""
    name, distinct = candidate.name.lower(), len(candidate.values)
    pointer = name in _IDS or name.startswith("unnamed:") or name.endswith(("filename", "_path", "_file"))
    return 2 <= distinct <= MAX_VALUES and distinct != n and not pointer and (candidate.whole or not candidate.numeric)


def in_ranges(name: str, numbers: np.ndarray, parts: int = RANGES) -> Attribute:
    """Measurements (n,) float64 as ranges with about as many images each; unknown where not finite."""
    known = np.isfinite(numbers)
    edges = np.unique(np.quantile(numbers[known], np.linspace(0, 1, parts + 1)))
    codes = np.clip(np.searchsorted(edges, numbers, side="right") - 1, 0, max(len(edges) - 2, 0))
    shown = [f"{edge:.6g}" for edge in edges]
    values = tuple(f"{low} to {high}" for low, high in pairwise(shown)) or tuple(shown)
    return Attribute(name, values, np.where(known, codes, -1).astype(np.int16))


def splits_of(cells: pd.Series, *, strict: bool = True, others: dict[str, int] | None = None) -> np.ndarray | None:
    """(n,) int8, -1 where it is none of the known. others: further names of splits.

    Where not one name is known: `BadMetadata`, or None unless `strict`.
    """
    read = column(cells)
    known = [_split(value, others or {}) for value in read.values]
    if all(code < 0 for code in known):
        if not strict:
            return None
        shown = listed(read.values[:3]) if read.values else "blank cells only"
        raise BadMetadata(
            f"The column {cells.name} holds {shown}, which are no names of splits.",
            next_step="Use 0, 1, 2 or train, val, test; or remove the column to have the images divided at random.",
        )
    return np.array([*known, -1], dtype=np.int8)[read.codes]


def _split(value: str, others: dict[str, int]) -> int:
    found = others.get(value, int(value) if value.isascii() and value.isdecimal() else split_code(value))
    return found if found is not None and 0 <= found <= 2 else -1


def _attribute(chosen: Column | Attribute, columns: Sequence[Column]) -> Attribute:
    if isinstance(chosen, Attribute):
        return chosen
    values = chosen.values
    if chosen.numeric:
        words = (one for one in columns if not one.numeric and len(one.values) == len(values))
        naming = next((one for one in words if one_to_one(chosen.codes, one.codes)), None)
        values = values if naming is None else names_of(chosen.codes, naming)
    return Attribute(chosen.name, values, chosen.codes.astype(np.int16))


def _few(chosen: Column) -> Column | Attribute:
    if chosen.numeric and len(chosen.values) > MAX_VALUES:
        numbers = np.array([*map(float, chosen.values), np.nan])
        return in_ranges(chosen.name, numbers[chosen.codes])
    if len(chosen.values) > MOST_VALUES:
        raise BadRequest(
            f"The column {chosen.name} has {len(chosen.values):,} values, too many for an attribute "
            f"({MOST_VALUES:,} at most).",
            next_step="Choose a column with few values: groups of images are made of them.",
        )
    return chosen


def _parquet_cells(path: Path) -> pd.DataFrame:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as source:
            flat = [field.name for field in source.schema_arrow if _is_text(field.type)]
            table = source.read(columns=list(dict.fromkeys(flat)))
            cells = [_text_cells(values) for values in table.columns]
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise BadMetadata(
            f"{path} is not a Parquet file that can be read ({str(error).splitlines()[0][:200]}).",
            next_step="Write it again, or save the table as CSV.",
        ) from error
    names = _distinct([name.strip() for name in table.column_names])
    return pd.DataFrame(dict(zip(names, cells, strict=True)))


def _text_cells(values: Any) -> pd.Series:
    """values: of one column, a chunked array of pyarrow. Raises `ArrowException`."""
    import pyarrow as pa

    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    texts = values.cast(pa.string()).fill_null("")
    # what says that it is text need not be UTF-8
    texts.validate(full=True)
    return texts.to_pandas().astype(str)


def _is_text(kind: object) -> bool:
    """What can be written as text in a cell."""
    import pyarrow as pa

    return not (pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _distinct(names: list[str]) -> list[str]:
    """The same names, later repetitions numbered, because a table can repeat a column nobody reads."""
    seen: dict[str, int] = {}
    result = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        result.append(name if seen[name] == 1 else f"{name}.{seen[name]}")
    return result
