"""Tags as a Parquet table; palette and verdicts on labels as JSON in the metadata of its schema, key `midband`.

Columns: image, concept, present ("1", "0" or "unsure"), author, source, how, direction: string; time: timestamp[us,
UTC]; low, high: double. Any Parquet file with the columns image, concept and present is read; present may be boolean
or a number too. What a file repeats, Parquet keeps once: so does the reader, or a kilobyte would fill the memory.
"""

from __future__ import annotations

import json
from datetime import UTC
from typing import Any

from core.concepts.exchange import json_file
from core.concepts.exchange.contents import (
    LONGEST_TEXT,
    MOST_TAGS,
    ORIGIN,
    Contents,
    Raw,
    name_of,
    unreadable,
    written_answer,
)
from core.concepts.exchange.csv_table import COLUMNS
from core.errors import BadRequest

_KEY = b"midband"
# bytes of the columns when they are unpacked, as the file says; texts are kept once each there
_UNPACKED = 1_000_000_000
# characters of all different texts together, counted while reading
_CHARACTERS = 300_000_000
_BATCH = 16_384
# stores what texts begin with in common once, so that no size in the file says how much they hold
_SHARED_BEGINNINGS = "DELTA_BYTE_ARRAY"
_ADVICE = "Give a Parquet file with the plain columns image, concept and present."


def write(contents: Contents) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    texts = ("image", "concept", "present", "author", "source", "how", "direction")
    types: dict[str, pa.DataType] = {
        **dict.fromkeys(texts, pa.string()),
        "time": pa.timestamp("us", tz="UTC"),
        "low": pa.float64(),
        "high": pa.float64(),
    }
    columns: dict[str, list[Any]] = {name: [] for name in (*COLUMNS, *ORIGIN)}
    for one in contents.statements:
        origin = one.origin
        columns["image"].append(one.image)
        columns["concept"].append(one.concept)
        columns["present"].append(written_answer(one.said))
        columns["time"].append(None if origin.time is None else origin.time.replace(tzinfo=UTC))
        for name in ("author", "source", "how", "direction", "low", "high"):
            columns[name].append(getattr(origin, name))
    beside = {
        "format": json_file.FORMAT,
        "version": json_file.VERSION,
        "concepts": [json_file.palette_entry(entry) for entry in contents.palette],
        "verdicts": [json_file.verdict(one) for one in contents.verdicts],
    }
    schema = pa.schema(
        [(name, types[name]) for name in columns],
        metadata={_KEY: json.dumps(beside, ensure_ascii=False, allow_nan=False).encode("utf-8")},
    )
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns, schema=schema), sink, compression="zstd")
    return sink.getvalue().to_pybytes()


def read(content: bytes, name: str) -> Raw:
    """Raises `BadRequest`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(pa.BufferReader(content))
        wanted = _checked_columns(file, name)
        kinds = {column: file.schema_arrow.field(column).type for column in wanted}
        # texts come with a dictionary of the different ones, however often the file repeats them
        file = pq.ParquetFile(
            pa.BufferReader(content), read_dictionary=[column for column in wanted if _is_text(kinds[column])]
        )
        texts = _Texts(name)
        tags: list[tuple[int, dict[str, Any]]] = []
        for batch in file.iter_batches(batch_size=_BATCH, columns=wanted):
            columns = {column.lower(): _cells(batch.column(column), texts) for column in wanted}
            for values in zip(*columns.values(), strict=True):
                tags.append((len(tags) + 1, dict(zip(columns, values, strict=True))))
        beside = (file.schema_arrow.metadata or {}).get(_KEY)
    except (pa.ArrowException, OSError, OverflowError, UnicodeDecodeError, ValueError) as error:
        raise unreadable(f"{name_of(name)} is not a whole Parquet file.", _ADVICE) from error
    if beside is None:
        return Raw("row", tags)
    more = json_file.parse(beside, name)
    if not isinstance(more, dict):
        return Raw("row", tags)
    also = json_file.raw_of({**more, "tags": []}, name)
    return Raw("row", tags, also.concepts, also.verdicts)


class _Texts:
    """One string for each different text of a file, whichever rows and columns it is in."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.known: dict[str | None, str | None] = {None: None}
        self.characters = 0

    def of(self, column: Any) -> list[str | None]:
        """The cells of a dictionary array of texts; of longer ones the beginning, by which they are known as such."""
        import pyarrow.compute as pc

        used = pc.unique(column.indices)
        kept = pc.utf8_slice_codeunits(column.dictionary.take(used), 0, LONGEST_TEXT + 1).to_pylist()
        one = dict(zip(used.to_pylist(), (self._once(text) for text in kept), strict=True))
        return [one[place] for place in column.indices.to_pylist()]

    def _once(self, text: str | None) -> str | None:
        if text not in self.known:
            assert text is not None
            self.known[text] = text
            self.characters += len(text)
            if self.characters > _CHARACTERS:
                raise _too_much(
                    f"{name_of(self.name)} holds more than {_CHARACTERS / 1e6:,.0f} million characters of text, more "
                    "than is read at once."
                )
        return self.known[text]


def _checked_columns(file: Any, name: str) -> list[str]:
    """The columns to be read, as the file calls them; raises `BadRequest` where one is missing or there is too much."""
    names = file.schema_arrow.names
    # of columns with one and the same name none can be asked for
    there = {column.lower(): column for column in names if names.count(column) == 1}
    missing = [column for column in COLUMNS if column not in there]
    if missing:
        found = ", ".join(names)[:200] or "none"
        raise unreadable(f"{name_of(name)} has no column {' or '.join(missing)}; its columns: {found}.", _ADVICE)
    wanted = []
    for column in (*COLUMNS, *ORIGIN):
        if column not in there:
            continue
        kind = file.schema_arrow.field(there[column]).type
        if _is_text(kind) or _is_plain(kind):
            wanted.append(there[column])
        elif column in COLUMNS:
            raise unreadable(
                f"The column {column} of {name_of(name)} holds {str(kind)[:80]}, not one text or number.", _ADVICE
            )
    rows, unpacked = file.metadata.num_rows, 0
    for group in range(file.metadata.num_row_groups):
        for place in range(file.metadata.num_columns):
            chunk = file.metadata.row_group(group).column(place)
            if chunk.path_in_schema in wanted:
                unpacked += chunk.total_uncompressed_size
                if _SHARED_BEGINNINGS in chunk.encodings:
                    raise unreadable(
                        f"The column {chunk.path_in_schema} of {name_of(name)} is encoded as {_SHARED_BEGINNINGS}.",
                        "Save it with the usual encoding, PLAIN or a dictionary.",
                    )
    if rows > MOST_TAGS or unpacked > _UNPACKED:
        raise _too_much(
            f"{name_of(name)} holds {rows:,} rows ({unpacked / 1e6:,.0f} MB unpacked); at most {MOST_TAGS:,} rows and "
            f"{_UNPACKED / 1e6:,.0f} MB are read at once."
        )
    return wanted


def _too_much(detail: str) -> BadRequest:
    return unreadable(detail, "Split it into several files.")


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def _is_plain(kind: Any) -> bool:
    import pyarrow as pa

    return (
        pa.types.is_boolean(kind)
        or pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_temporal(kind)
        or pa.types.is_null(kind)
    )


def _cells(column: Any, texts: _Texts) -> list[Any]:
    """As Python values; a time beyond what Python knows is given as its number, which is understood by nobody."""
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
        return texts.of(column)
    if pa.types.is_timestamp(column.type):
        # the same moment, whether the file's time zone is known here or not
        column = column.cast(pa.timestamp("us", tz=column.type.tz and "UTC"), safe=False)
    try:
        return column.to_pylist()
    except (ValueError, OverflowError):
        return [_cell(value) for value in column]


def _cell(value: Any) -> Any:
    try:
        return value.as_py()
    except (ValueError, OverflowError):
        return str(value.value)
