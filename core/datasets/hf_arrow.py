"""Datasets of Hugging Face as `save_to_disk` leaves them, and as its cache keeps them: Arrow files with the pictures
inside, beside `dataset_info.json` or `state.json`; a folder per split below `dataset_dict.json`."""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from core.datasets.choices import Choices
from core.datasets.dataset import Dataset, Problem
from core.datasets.format import Format
from core.datasets.hf_arrow_messages import outline
from core.datasets.hf_pictures import Part, ShardPictures
from core.datasets.hf_reading import Kind, looks_like, read_shards
from core.datasets.images import UnreadableImage
from core.datasets.table_text import short
from core.files import read_json
from core.progress import Progress

SUFFIX = ".arrow"
STATE, SPLITS = "state.json", "dataset_dict.json"
# what the library computed in passing and left behind
_PASSING = ("cache-", "tmp")
# rows of pictures that are handed on at once
PART_ROWS = 128
# the beginning of a file that has its directory at its end: behind it lies a stream, as the others are from the start
_WITH_DIRECTORY = b"ARROW1\0\0"


class ArrowShard:
    """One open file; see `core.datasets.hf_pictures.Shard`. It is mapped, and a cursor walks from batch to batch. Of
    batches that are packed, the columns that are asked for are unpacked, one batch at a time."""

    def __init__(self, path: Path, numbered: Sequence[str] = ()) -> None:
        """numbered: words come as they are written."""
        import pyarrow as pa

        with open(path, "rb") as source:
            self._map = mmap.mmap(source.fileno(), 0, access=mmap.ACCESS_READ)
        content = pa.py_buffer(self._map)
        is_stream = self._map[: len(_WITH_DIRECTORY)] != _WITH_DIRECTORY
        self._content = content if is_stream else content.slice(len(_WITH_DIRECTORY))
        # the batch that comes next; the batch whose pictures were asked for last, and these
        self._cursor: tuple[int, Iterator[Any]] | None = None
        self._held: tuple[int, Any] | None = None
        said = outline(self._content)
        self.schema = said.schema
        self._starts = np.concatenate([[0], np.cumsum(said.counts, dtype=np.int64)])
        self.rows = int(self._starts[-1])

    def is_blank(self, column: str) -> bool:
        return all(_blank(batch.column(column)) for batch in self._opened([column]))

    def batches(self, columns: list[str]) -> Iterator[Any]:
        for batch in self._opened(columns):
            some = batch.select(columns)
            some.validate(full=True)
            yield some

    def parts_until(self, column: str, row: int) -> Iterator[Part]:
        if row >= self.rows:
            raise UnreadableImage("the file has fewer rows than it had")
        wanted = int(np.searchsorted(self._starts, row, side="right")) - 1
        start = int(self._starts[wanted])
        if self._held is None or self._held[0] != wanted:
            pictures = self._batch(column, wanted).column(column)
            # whoever wrote it may have lied about lengths, and what is read there would be any memory
            pictures.validate(full=True)
            self._held = wanted, pictures
        self._map.madvise(mmap.MADV_DONTNEED)
        first = (row - start) // PART_ROWS * PART_ROWS
        yield Part(start + first, self._held[1].slice(first, PART_ROWS))

    def _batch(self, column: str, wanted: int) -> Any:
        """Fastest one after another."""
        at, batches = self._cursor if self._cursor is not None else (0, self._opened([column]))
        if at > wanted:
            at, batches = 0, self._opened([column])
        # what fails leaves no cursor in the middle
        self._cursor = self._held = None
        batch = next(islice(batches, wanted - at, None))
        self._cursor = wanted + 1, batches
        return batch

    def close(self) -> None:
        """The map goes with the last picture that is held of it."""
        self._cursor = self._held = None

    def _opened(self, columns: Sequence[str]) -> Iterator[Any]:
        """The batches from the first one on, with these columns."""
        import pyarrow as pa

        wanted = [place for place, name in enumerate(self.schema.names) if name in columns]
        options = pa.ipc.IpcReadOptions(included_fields=wanted, use_threads=False)
        return map(_sound, pa.ipc.open_stream(pa.BufferReader(self._content), options=options))


class ArrowPictures(ShardPictures):
    def __init__(self, root: Path, choices: Choices) -> None:
        super().__init__(root, choices, ArrowShard)


def _sound(batch: Any) -> Any:
    """The batch where its lengths agree; with others, whatever is asked of it may end the program."""
    batch.validate()
    return batch


def _blank(column: Any) -> bool:
    import pyarrow as pa

    if column.null_count == len(column):
        return True
    return pa.types.is_struct(column.type) and all(_blank(one) for one in column.flatten())


def _recognises(path: Path) -> bool:
    """By what the library wrote beside, whose names other programs use too, or by a file."""
    described = (_texts(path, SPLITS, ("splits",), []), _texts(path, STATE, ("_data_files", "filename"), []))
    return any(found is not None for found in described) or looks_like(path, _KIND)


def _of_dataset(root: Path, names: list[str], problems: list[Problem]) -> list[str]:
    """Without what the library keeps beside; in a folder that lists its files, those."""
    there = [name for name in names if not PurePosixPath(name).name.startswith(_PASSING)]
    splits = _texts(root, SPLITS, ("splits",), problems) or []
    empty = [split for split in splits if not any(name.startswith(f"{split}/") for name in there)]
    problems += [Problem(short(split), f"{SPLITS} names it, but it holds no Arrow file") for split in empty]
    kept = []
    for folder in sorted({name.rpartition("/")[0] for name in there}):
        inside = [name for name in there if name.rpartition("/")[0] == folder]
        said = _texts(root / folder, STATE, ("_data_files", "filename"), problems)
        wanted = inside if said is None else [f"{folder}/{name}".lstrip("/") for name in said]
        absent = [name for name in wanted if name not in inside]
        problems += [Problem(short(name), f"{STATE} names it, but the file is not there") for name in absent]
        kept += [name for name in inside if name in wanted]
    return kept


def _texts(folder: Path, name: str, keys: tuple[str, ...], problems: list[Problem]) -> list[str] | None:
    """A list of texts in a description; of the key that comes second, in each entry. None where there is none."""
    if not (folder / name).is_file():
        return None
    try:
        found = read_json(folder / name)[keys[0]]
        found = [one[key] for one in found] if (key := keys[-1]) != keys[0] else found
        if isinstance(found, list) and all(isinstance(one, str) for one in found):
            return found
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        pass
    problems.append(Problem(f"{folder.name}/{name}", "cannot be read: every Arrow file there is used"))
    return None


def _read(path: Path, *, seed: int, choices: Choices, store: Path | None, progress: Progress) -> Dataset:
    return read_shards(path, _KIND, seed=seed, choices=choices, progress=progress)


_KIND = Kind("hf-arrow", "Arrow", SUFFIX, ArrowShard, _of_dataset)

FORMAT = Format(
    name=_KIND.name,
    title="A dataset saved by Hugging Face's save_to_disk",
    layout="pets/train/data-00000-of-00001.arrow\npets/test/data-00000-of-00001.arrow\npets/dataset_dict.json",
    recognises=_recognises,
    read=_read,
    choosing=("columns", "attributes", "target", "group"),
)
