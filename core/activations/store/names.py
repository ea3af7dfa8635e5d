"""Names of an analysis's images, on disk: as a column for whoever reads tables, and as bytes that a few are read from
without the rest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from core.activations import thumbnails
from core.activations.store.files import mapped
from core.files import replacing, write_array

TABLE = "images.parquet"
# names that are put together at once
_CHUNK = 16_384


def write_names(folder: Path, names: np.ndarray) -> None:
    """names: (n,) StringDType. Raises `DiskFull`, `StorageProblem`."""
    column = _strings(names)
    with replacing(folder / TABLE) as beside:
        pq.write_table(pa.Table.from_arrays([column], names=["image"]), beside)
    _write(folder, column)


def read_names(folder: Path) -> np.ndarray:
    """All of them, (n,) StringDType."""
    return np.array(_column(folder).to_pylist(), dtype=np.dtypes.StringDType())


def open_names(folder: Path, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Bytes and offsets of the names; made now where an earlier version did not write them, or they are damaged."""
    try:
        return _mapped(folder, n)
    except (OSError, ValueError):
        _write(folder, _column(folder))
        return _mapped(folder, n)


def _column(folder: Path) -> pa.ChunkedArray:
    return pq.read_table(folder / TABLE).column("image")


def _strings(names: np.ndarray) -> pa.ChunkedArray:
    """names: (n,) StringDType. Built from their bytes: `pa.array` would load pandas, which takes as long as a small
    pass."""
    chunks = []
    # offsets have 32 bits: a chunk holds 2 GiB at most
    for start in range(0, max(len(names), 1), _CHUNK):
        encoded = [name.encode() for name in names[start : start + _CHUNK].tolist()]
        ends = np.concatenate([[0], np.cumsum([len(name) for name in encoded], dtype=np.int64)]).astype(np.int32)
        parts = [None, pa.py_buffer(ends), pa.py_buffer(b"".join(encoded))]
        chunks.append(pa.Array.from_buffers(pa.string(), len(encoded), parts))
    return pa.chunked_array(chunks, pa.string())


def _write(folder: Path, names: pa.ChunkedArray) -> None:
    """names: (n,) strings. Their bytes are copied as they lie in memory, without a string object each."""
    lengths: list[np.ndarray] = [np.zeros(0, np.int64)]
    content: list[np.ndarray] = [np.zeros(0, np.uint8)]
    for chunk in names.chunks:
        _, places, data = chunk.buffers()
        offsets = np.frombuffer(places, dtype=np.int32)[chunk.offset : chunk.offset + len(chunk) + 1]
        lengths.append(np.diff(offsets.astype(np.int64)))
        if data is not None and len(chunk):
            content.append(np.frombuffer(data, dtype=np.uint8)[offsets[0] : offsets[-1]])
    # the offsets last: with them the names are whole
    write_array(folder / "names.npy", np.concatenate(content))
    write_array(folder / "name_offsets.npy", thumbnails.offsets_of(np.concatenate(lengths)))


def _mapped(folder: Path, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Raises `ValueError` where the two files are not whole or do not belong together."""
    offsets = mapped(folder / "name_offsets.npy")
    if offsets.shape != (n + 1,) or offsets.dtype != np.int64:
        raise ValueError("offsets of other names")
    # names of no bytes cannot be mapped
    content = mapped(folder / "names.npy") if offsets[-1] else np.empty(0, np.uint8)
    if content.shape != (offsets[-1],) or content.dtype != np.uint8:
        raise ValueError("names of another length")
    return content, offsets
