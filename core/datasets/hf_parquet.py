"""Parquet files with the pictures inside, as Hugging Face keeps image datasets: one file or several shards, such as
`data/train-00000-of-00002.parquet`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from core.datasets.choices import Choices
from core.datasets.dataset import Dataset
from core.datasets.format import Format
from core.datasets.hf_pictures import Part, ShardPictures
from core.datasets.hf_reading import Kind, looks_like, read_shards
from core.datasets.images import UnreadableImage
from core.progress import Progress

# a row group up to this size is read whole; a larger one in parts, from its start
WHOLE_BYTES = 8 * 2**20
# and so few rows; what is the same in many rows is written once, so that the size of a file says little of them
WHOLE_ROWS = 1000
PART_ROWS = 128
# rows of labels read at once
ROWS = 65_536
# bytes asked of the file at once while a row group is read in parts
BUFFER = 2**20


class ParquetShard:
    """One open file; see `core.datasets.hf_pictures.Shard`. Row groups that are too large to be held are walked through
    by a cursor."""

    def __init__(self, path: Path, numbered: Sequence[str] = ()) -> None:
        """numbered: columns of text that come as a dictionary of their words and a number for each row."""
        import pyarrow.parquet as pq

        # buffered: without it a whole column of a row group is fetched to read its beginning
        self._file = pq.ParquetFile(
            path, buffer_size=BUFFER, pre_buffer=False, read_dictionary=list(numbered) if numbered else None
        )
        self.schema = self._file.schema_arrow
        metadata = self._file.metadata
        self.rows = metadata.num_rows
        counts = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
        self._starts = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
        self._cursor: tuple[int, int, Iterator[Any]] | None = None

    def is_blank(self, column: str) -> bool:
        """As the statistics of the file tell."""
        metadata = self._file.metadata
        for group in range(metadata.num_row_groups):
            for one in self._facts(group, column):
                said = one.statistics
                if said is None or not said.has_null_count or said.null_count < one.num_values:
                    return False
        return True

    def batches(self, columns: list[str]) -> Iterator[Any]:
        return self._file.iter_batches(ROWS, columns=columns)

    def parts_until(self, column: str, row: int) -> Iterator[Part]:
        if row >= self._starts[-1]:
            raise UnreadableImage("the file has fewer rows than it had")
        group = int(np.searchsorted(self._starts, row, side="right")) - 1
        count = int(self._starts[group + 1] - self._starts[group])
        size = self._size(group, column)
        if size <= WHOLE_BYTES and count <= WHOLE_ROWS:
            table = self._file.read_row_group(group, columns=[column], use_threads=False)
            yield Part(int(self._starts[group]), table.column(0).combine_chunks())
            return
        if self._cursor is None or self._cursor[0] != group or self._cursor[1] > row:
            rows = max(1, min(PART_ROWS, WHOLE_BYTES * count // max(size, 1)))
            batches = self._file.iter_batches(rows, row_groups=[group], columns=[column], use_threads=False)
            self._cursor = (group, int(self._starts[group]), batches)
        while self._cursor[1] <= row:
            _, start, batches = self._cursor
            self._cursor = None
            part = Part(start, next(batches).column(0))
            self._cursor = (group, part.stop, batches)
            yield part

    def _size(self, group: int, column: str) -> int:
        """Bytes of its pictures, unpacked."""
        return sum(one.total_uncompressed_size for one in self._facts(group, column))

    def _facts(self, group: int, column: str) -> list[Any]:
        """What the file says of a column in a row group; of one of structs, of each of their fields."""
        facts = self._file.metadata.row_group(group)
        columns = (facts.column(index) for index in range(facts.num_columns))
        return [one for one in columns if one.path_in_schema == column or one.path_in_schema.startswith(f"{column}.")]

    def close(self) -> None:
        self._file.close()


class ParquetPictures(ShardPictures):
    def __init__(self, root: Path, choices: Choices) -> None:
        super().__init__(root, choices, ParquetShard)


def _read(path: Path, *, seed: int, choices: Choices, store: Path | None, progress: Progress) -> Dataset:
    return read_shards(path, _KIND, seed=seed, choices=choices, progress=progress)


_KIND = Kind("hf-parquet", "Parquet", ".parquet", ParquetShard)

FORMAT = Format(
    name=_KIND.name,
    title="Parquet with the pictures inside (Hugging Face)",
    layout="data/train-00000-of-00002.parquet\ndata/test-00000-of-00001.parquet\n(columns: image, label)",
    recognises=lambda path: looks_like(path, _KIND),
    read=_read,
    choosing=("columns", "attributes", "target", "group"),
)
