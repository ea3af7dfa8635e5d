"""Tags as a Parquet table; palette and verdicts on labels as JSON in the metadata of its schema, key `midband`.

Columns: image, concept, present ("1", "0" or "unsure"), author, source, how, direction: string; time: timestamp[us,
UTC]; low, high: double. Any Parquet file with the columns image, concept and present is read; present may be boolean
or a number too.
"""

from __future__ import annotations

import json
from datetime import UTC
from typing import Any

from core.concepts.exchange import json_file
from core.concepts.exchange.contents import MOST_TAGS, ORIGIN, Contents, Raw, name_of, unreadable, written_answer
from core.concepts.exchange.csv_table import COLUMNS

_KEY = b"midband"
# bytes of the columns when they are unpacked
_UNPACKED = 2_000_000_000
_BATCH = 65_536
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
        there = {column.lower(): column for column in file.schema_arrow.names}
        _check_columns(file, there, name)
        wanted = [there[column] for column in (*COLUMNS, *ORIGIN) if column in there]
        # columns that are lists or objects say nothing here
        wanted = [column for column in wanted if not pa.types.is_nested(file.schema_arrow.field(column).type)]
        tags: list[tuple[int, dict[str, Any]]] = []
        for batch in file.iter_batches(batch_size=_BATCH, columns=wanted):
            columns = {column.lower(): _cells(batch.column(column)) for column in wanted}
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


def _check_columns(file: Any, there: dict[str, str], name: str) -> None:
    import pyarrow as pa

    missing = [column for column in COLUMNS if column not in there]
    if missing:
        found = ", ".join(there)[:200] or "none"
        raise unreadable(f"{name_of(name)} has no column {' or '.join(missing)}; its columns: {found}.", _ADVICE)
    for column in COLUMNS:
        kind = file.schema_arrow.field(there[column]).type
        if pa.types.is_nested(kind):
            raise unreadable(f"The column {column} of {name_of(name)} holds {str(kind)[:80]}, not one value.", _ADVICE)
    rows = file.metadata.num_rows
    unpacked = sum(file.metadata.row_group(i).total_byte_size for i in range(file.metadata.num_row_groups))
    if rows > MOST_TAGS or unpacked > _UNPACKED:
        raise unreadable(
            f"{name_of(name)} holds {rows:,} rows ({unpacked / 1e6:,.0f} MB unpacked); at most {MOST_TAGS:,} rows and "
            f"{_UNPACKED / 1e6:,.0f} MB are read at once.",
            "Split it into several files.",
        )


def _cells(column: Any) -> list[Any]:
    """As Python values; a time beyond what Python knows is left out rather than the whole file."""
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("us", tz=column.type.tz), safe=False)
    try:
        return column.to_pylist()
    except (ValueError, OverflowError):
        return [None] * len(column)
