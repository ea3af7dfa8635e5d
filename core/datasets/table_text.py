"""Text tables as people and spreadsheets write them: encodings, separators, and a first look without pandas."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from core.errors import BadMetadata

JSON_LINES = ".jsonl"
SUFFIXES = (".csv", ".tsv", ".parquet", JSON_LINES)
"""Endings of files that are tables."""

_HEAD_BYTES = 1 << 16
# rows of a first look
_ROWS = 20
# names of columns that JSON lines may have, and blank cells that may come of rows that lack most of them
MOST_KEYS, MOST_BLANK = 2_000, 10_000_000
# blank cells to each that is filled, beyond that number
_MOSTLY_BLANK = 20
# columns named in a sentence, and the length of a name there
_LISTED, _LONG = 12, 60
# spreadsheets save "Unicode text" as UTF-16 with a mark in front
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class Head:
    """The beginning of a table. names: of its columns, trimmed. rows: the first ones, a text per column."""

    names: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def values(self, name: str) -> tuple[str, ...]:
        """The first values of a column."""
        place = self.names.index(name)
        return tuple(row[place] for row in self.rows)


def read_head(path: Path) -> Head | None:
    """A first look at a file with one of `SUFFIXES`; None for what is no table."""
    try:
        if not path.is_file():
            # a pipe would keep whoever opens it waiting
            return None
        if path.suffix.lower() == JSON_LINES:
            return _lines_head(path)
        return _parquet_head(path) if path.suffix.lower() == ".parquet" else _text_head(path)
    except OSError:
        return None


def tables_in(folder: Path) -> list[Path]:
    """The tables directly inside a folder, sorted by name."""
    try:
        with os.scandir(folder) as entries:
            # by the end of the name first: the folder may hold a million images
            found = [entry.name for entry in entries if entry.name.lower().endswith(SUFFIXES) and entry.is_file()]
        return [folder / name for name in sorted(found) if not name.startswith(".")]
    except OSError:
        return []


def read_text(path: Path) -> str:
    """A whole text table. Raises `BadMetadata` for what is no text."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BadMetadata(
            f"{path} cannot be opened: {error.strerror or error}.", next_step="Change its permissions, then try again."
        ) from error
    try:
        text = data.decode(_encoding(data))
    except UnicodeDecodeError as error:
        raise BadMetadata(
            f"{path} is not UTF-8 text (byte {error.start:,}).",
            next_step="Save the table as CSV in UTF-8, then try again.",
        ) from error
    text = _lines(text)
    if "\0" in text:
        raise BadMetadata(f"{path} holds binary data.", next_step="Save the table as CSV in UTF-8, then try again.")
    if not text.strip():
        raise BadMetadata(f"{path} is empty.", next_step="Write a header (img_filename,y,split) and a row per image.")
    return text


def separator(text: str) -> str:
    """Comma, semicolon or tab: whichever cuts the header into most columns."""
    header = text[:_HEAD_BYTES].split("\n", 1)[0]
    return max(",;\t", key=lambda mark: len(next(csv.reader([header], delimiter=mark), [])))


def header_of(text: str) -> list[str]:
    """Names of the columns, trimmed."""
    first = next(csv.reader(io.StringIO(text[:_HEAD_BYTES]), delimiter=separator(text)), [])
    return [name.strip() for name in first]


def _lines(text: str) -> str:
    """Without empty lines in front, and with line ends as they are here; old Macs wrote \\r alone."""
    return text.replace("\r\n", "\n").replace("\r", "\n").lstrip("\n")


def listed(names: Iterable[str]) -> str:
    """Names of columns, or values, for a sentence: the first dozen, none longer than a line; "none" without any."""
    return ", ".join(short(name) for name in islice(filter(None, names), _LISTED)) or "none"


def short(text: str) -> str:
    """A cell for a sentence."""
    return text if len(text) <= _LONG else f"{text[:_LONG]}…"


def rows_of(text: str, path: Path) -> list[dict[str, str]]:
    """JSON lines: an object each, of which everything that fits in a cell is kept as text. Raises `BadMetadata`."""
    rows: list[dict[str, str]] = []
    # each object has a string of its own for the same name
    names: dict[str, str] = {}
    filled = 0
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            raise BadMetadata(
                f"Line {number:,} of {path} is no JSON object: {short(line.strip())}",
                next_step='Write a line per image, such as {"file_name": "1.jpg", "label": "cat"}.',
            )
        said = ((_cell(key).strip(), value) for key, value in row.items() if not isinstance(value, (dict, list)))
        rows.append({names.setdefault(name, name): _cell(value) for name, value in said})
        filled += len(rows[-1])
        if len(names) > MOST_KEYS or len(rows) * len(names) - filled > max(MOST_BLANK, _MOSTLY_BLANK * filled):
            raise BadMetadata(
                f"The objects of {path} have too many different names, {len(names):,} in the first {number:,} lines: "
                "each name is a column.",
                next_step="Give what is known of few images an object or a list of its own, which is passed over: "
                '{"file_name": "1.jpg", "label": "cat", "boxes": {"17": 1}}.',
            )
    return rows


def _cell(value: object) -> str:
    text = "" if value is None else str(value)
    # an escape can stand for half a character, which nothing can write
    return text.encode("utf-8", "replace").decode()


def _lines_head(path: Path) -> Head | None:
    with open(path, "rb") as source:
        data = source.read(_HEAD_BYTES)
    lines = _lines(data.decode(_encoding(data), "ignore")).split("\n")
    try:
        # the last line may be cut off
        rows = rows_of("\n".join((lines if len(data) < _HEAD_BYTES else lines[:-1])[:_ROWS]), path)
    except BadMetadata:
        return None
    names = tuple(dict.fromkeys(name for row in rows for name in row))
    return Head(names, tuple(tuple(row.get(name, "").strip() for name in names) for row in rows)) if names else None


def _encoding(data: bytes) -> str:
    return "utf-16" if data[:2] in _UTF16 else "utf-8-sig"


def _text_head(path: Path) -> Head | None:
    with open(path, "rb") as source:
        data = source.read(_HEAD_BYTES)
    whole = len(data) < _HEAD_BYTES
    text = _lines(data.decode(_encoding(data), "ignore"))
    if "\0" in text or not text.strip():
        return None
    names = header_of(text)
    lines = csv.reader(io.StringIO(text if whole else text.rpartition("\n")[0]), delimiter=separator(text))
    try:
        next(lines)
        rows = [tuple(cell.strip() for cell in row) for row, _ in zip(lines, range(_ROWS), strict=False)]
    except (csv.Error, StopIteration):
        return None
    width = len(names)
    return Head(tuple(names), tuple((*row, *[""] * width)[:width] for row in rows if row))


def _parquet_head(path: Path) -> Head | None:
    # takes a tenth of a second to import: only where there is such a file
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as source:
            plain = [field.name for field in source.schema_arrow if not _is_nested(field.type)]
            first = next(source.iter_batches(batch_size=_ROWS, columns=plain), None)
        # here too: what says that it is text need not be UTF-8
        columns = [["" if v is None else str(v) for v in one.to_pylist()] for one in (first.columns if first else [])]
    except (pa.ArrowException, ValueError, OverflowError):
        return None
    return Head(tuple(plain), tuple(zip(*columns, strict=True)))


def _is_nested(kind: object) -> bool:
    import pyarrow as pa

    return pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
