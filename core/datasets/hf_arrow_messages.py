"""What the messages of an Arrow stream say of themselves: told before any of it is unpacked.

The layout is that of Arrow's Message.fbs, version 5, and of FlatBuffers tables. A batch may be packed, and a few bytes
stand for any number of others; whoever reads one unpacks it as a whole.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

# what a message may always grow to, by how much more beyond that, and what none may grow to, in bytes
ALWAYS_ALLOWED, MOST_GROWTH, MOST_BYTES = 64 * 2**20, 20, 2**31

# kinds of messages
_DICTIONARY, _BATCH = 2, 3
# how long a buffer is once it is unpacked stands in front of it; -1 where it is not packed
_LENGTH = struct.Struct("<q")
_PLAIN = -1


@dataclass(frozen=True)
class Outline:
    """schema: of pyarrow. counts: rows of each batch."""

    schema: Any
    counts: list[int]


def outline(content: Any) -> Outline:
    """content: a buffer of pyarrow that holds a stream. Raises `ValueError` for what would grow beyond measure, and
    whatever pyarrow does where it is damaged."""
    import pyarrow as pa

    reader = pa.ipc.MessageReader.open_stream(pa.BufferReader(content))
    schema = pa.ipc.open_stream(pa.BufferReader(content)).schema
    counts: list[int] = []
    dictionaries = 0
    for message in _each(reader):
        table = _Table.root(memoryview(message.metadata))
        kind, header = table.number(1, "B"), table.table(2)
        if header is None or kind not in (_DICTIONARY, _BATCH):
            continue
        batch = header if kind == _BATCH else header.table(1)
        if batch is None:
            raise ValueError("a batch of it has no description")
        grown = _unpacked_bytes(batch, message.body)
        _check(grown, message.body.size if message.body is not None else 0)
        if kind == _BATCH:
            counts.append(_positive(batch.number(0, "q")))
        else:
            # these are all held at once
            dictionaries += grown
            _check(dictionaries, content.size)
    return Outline(schema, counts)


def _each(reader: Any) -> Any:
    while True:
        try:
            message = reader.read_next_message()
        except StopIteration:
            return
        yield message


def _check(grown: int, packed: int) -> None:
    if grown > min(max(ALWAYS_ALLOWED, MOST_GROWTH * packed), MOST_BYTES):
        raise ValueError(f"a part of {packed:,} bytes would be unpacked to {grown:,}")


def _unpacked_bytes(batch: _Table, body: Any) -> int:
    """Of its buffers that are packed."""
    if batch.table(3) is None or body is None:
        return 0
    total = 0
    view = memoryview(body)
    for start, length in batch.pairs(2):
        if length < _LENGTH.size:
            continue
        if start < 0 or start + length > len(view):
            raise ValueError("a part of it lies outside of the file")
        (unpacked,) = _LENGTH.unpack_from(view, start)
        total += 0 if unpacked == _PLAIN else _positive(unpacked)
    return total


def _positive(value: int) -> int:
    if value < 0:
        raise ValueError("a part of it has a length below 0")
    return value


@dataclass(frozen=True)
class _Table:
    """A table of FlatBuffers: at `place` in `data`. Raises `ValueError` where it leads out."""

    data: memoryview
    place: int

    @staticmethod
    def root(data: memoryview) -> _Table:
        return _Table(data, _read(data, 0, "I"))

    def number(self, field: int, kind: str) -> int:
        """kind: as in `struct`. 0 where it is not given."""
        at = self._at(field)
        return 0 if at is None else _read(self.data, at, kind)

    def table(self, field: int) -> _Table | None:
        at = self._at(field)
        return None if at is None else _Table(self.data, at + _read(self.data, at, "I"))

    def pairs(self, field: int) -> list[tuple[int, int]]:
        """A vector of structs of two int64."""
        at = self._at(field)
        if at is None:
            return []
        at += _read(self.data, at, "I")
        count = _read(self.data, at, "I")
        if at + 4 + 16 * count > len(self.data):
            raise ValueError("its description leads out of itself")
        return list(struct.iter_unpack("<qq", self.data[at + 4 : at + 4 + 16 * count]))

    def _at(self, field: int) -> int | None:
        fields = self.place - _read(self.data, self.place, "i")
        if 4 + 2 * field >= _read(self.data, fields, "H"):
            return None
        offset = _read(self.data, fields + 4 + 2 * field, "H")
        return self.place + offset if offset else None


def _read(data: memoryview, place: int, kind: str) -> int:
    try:
        # a place below 0 would be one from the end
        found: int = struct.unpack_from(f"<{kind}", data[place:] if place >= 0 else b"")[0]
    except struct.error:
        raise ValueError("its description leads out of itself") from None
    return found
