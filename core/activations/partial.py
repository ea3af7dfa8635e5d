"""An analysis while it is being computed: files that grow, and a note of how much of them is whole.

    features.npy logits.npy ids.npy   rows appended behind a header that is corrected at the end
    thumbnails.bin lengths.bin        WebP files back to back; (n,) int64 bytes of each
    journal.json                      {key, batches, rows, bytes, skipped}: what is known to be on the disk

The journal is written after everything it speaks of has reached the disk, so whatever a killed process left behind it
is cut off when the next one continues.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np

from core.activations.thumbnails import OFFSETS, PACK, offsets_of
from core.datasets.dataset import Problem
from core.files import read_json, write_array, write_json

JOURNAL = "journal.json"
LENGTHS = "lengths.bin"


@dataclass
class Journal:
    """key: what must not change between two processes working on the same folder. bytes: of thumbnails."""

    key: dict[str, Any]
    batches: int = 0
    rows: int = 0
    bytes: int = 0
    skipped: list[dict[str, Any]] = field(default_factory=list)


class GrowingArray:
    """A `.npy` file to which rows are appended: a header for 0 rows, corrected by `finish`."""

    def __init__(self, path: Path, width: int | None, dtype: str, rows: int) -> None:
        """width: numbers per row, None for one dimension. rows: what the file holds already, 0 for a new file."""
        self.width = width
        self.dtype = np.dtype(dtype)
        self.row_bytes = self.dtype.itemsize * (width or 1)
        self.file: IO[bytes] = open(path, "r+b" if rows else "w+b")  # noqa: SIM115  # closed by PartialAnalysis
        if not rows:
            self._write_header(0)
            self.file.flush()
        else:
            np.lib.format.read_magic(self.file)
            np.lib.format.read_array_header_1_0(self.file)
        self.start = self.file.tell()
        end = self.start + rows * self.row_bytes
        if os.fstat(self.file.fileno()).st_size < end:
            raise ValueError(f"{path.name} is shorter than {rows} rows")
        self.file.truncate(end)
        self.file.seek(end)

    def append(self, values: np.ndarray) -> None:
        self.file.write(np.ascontiguousarray(values, dtype=self.dtype).tobytes())

    def finish(self, rows: int) -> None:
        """Put the number of rows into the header."""
        self.file.seek(0)
        self._write_header(rows)
        # numpy leaves room for the first axis to grow; should it ever stop doing so, nothing may be overwritten
        assert self.file.tell() == self.start

    def _write_header(self, rows: int) -> None:
        shape = (rows,) if self.width is None else (rows, self.width)
        description = {"descr": self.dtype.str, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self.file, description)


class PartialAnalysis:
    """The growing files of one folder. Use as a context manager: leaving it closes them, whatever happened."""

    def __init__(self, folder: Path, *, key: dict[str, Any], d: int, k: int) -> None:
        """Continue where the journal ends, or begin anew when there is none, it is damaged, or the key differs."""
        self.folder = folder
        self.journal = _read_journal(folder, key)
        try:
            self._open(d, k)
        except (FileNotFoundError, ValueError):
            # the files do not hold what the journal says: somebody changed the folder, so nothing in it is trusted
            self.journal = Journal(key=key)
            self._open(d, k)

    def _open(self, d: int, k: int) -> None:
        rows = self.journal.rows
        if not rows:
            shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.features = GrowingArray(self.folder / "features.npy", d, "<f4", rows)
        self.logits = GrowingArray(self.folder / "logits.npy", k, "<f4", rows)
        self.ids = GrowingArray(self.folder / "ids.npy", None, "<i8", rows)
        self.thumbnails = _appending(self.folder / PACK, self.journal.bytes)
        self.lengths = _appending(self.folder / LENGTHS, rows * 8)

    def append(
        self,
        features: np.ndarray,
        logits: np.ndarray,
        ids: Sequence[int],
        thumbnails: Sequence[bytes],
    ) -> None:
        """features: (b, d). logits: (b, k). ids: b positions in the dataset. thumbnails: b WebP files."""
        self.features.append(features)
        self.logits.append(logits)
        self.ids.append(np.asarray(ids, dtype=np.int64))
        self.thumbnails.write(b"".join(thumbnails))
        self.lengths.write(np.array([len(thumbnail) for thumbnail in thumbnails], dtype="<i8").tobytes())
        self.journal.rows += len(ids)
        self.journal.bytes += sum(len(thumbnail) for thumbnail in thumbnails)

    def end_batch(self, skipped: Sequence[Problem]) -> None:
        self.journal.batches += 1
        self.journal.skipped += [problem.to_dict() for problem in skipped]

    def note(self) -> None:
        """Force everything to the disk, then say so in the journal."""
        for file in self._files():
            file.flush()
            os.fsync(file.fileno())
        write_json(self.folder / JOURNAL, asdict(self.journal))

    def finish(self) -> None:
        """Make the arrays readable and remove what only the work needed."""
        for array in (self.features, self.logits, self.ids):
            array.finish(self.journal.rows)
        self.lengths.flush()
        lengths = np.fromfile(self.folder / LENGTHS, dtype="<i8")
        write_array(self.folder / OFFSETS, offsets_of(lengths))
        for file in self._files():
            file.flush()
            os.fsync(file.fileno())

    def _files(self) -> tuple[IO[bytes], ...]:
        return (self.features.file, self.logits.file, self.ids.file, self.thumbnails, self.lengths)

    def __enter__(self) -> PartialAnalysis:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files():
            file.close()


def clear_notes(folder: Path) -> None:
    """Remove what a finished analysis does not need."""
    (folder / JOURNAL).unlink(missing_ok=True)
    (folder / LENGTHS).unlink(missing_ok=True)


def pinned(folder: Path) -> str | None:
    """The earlier analysis that a pass begun in this folder takes rows from; None where there is none."""
    try:
        source = Journal(**read_json(folder / JOURNAL)).key.get("source")
    except (OSError, ValueError, TypeError, AttributeError):
        return None
    return source if isinstance(source, str) else None


def _read_journal(folder: Path, key: dict[str, Any]) -> Journal:
    try:
        journal = Journal(**read_json(folder / JOURNAL))
    except (OSError, ValueError, TypeError):
        # none yet, or not one of ours: begin anew
        return Journal(key=key)
    return journal if journal.key == json.loads(json.dumps(key)) else Journal(key=key)


def _appending(path: Path, size: int) -> IO[bytes]:
    """Open for appending after the first `size` bytes. Raises `ValueError` when there are fewer."""
    file = open(path, "r+b" if size else "w+b")  # noqa: SIM115  # closed by PartialAnalysis
    if os.fstat(file.fileno()).st_size < size:
        file.close()
        raise ValueError(f"{path.name} is shorter than {size} bytes")
    file.truncate(size)
    file.seek(size)
    return file
