"""Small WebP images, packed one after another in one file: thumbnails are read by position, never made on the fly.

thumbnails.bin   WebP files back to back
thumbnails.npy   (n + 1,) int64 offsets: image i is bytes offsets[i] to offsets[i + 1]
"""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

import numpy as np
from PIL import Image

from core.files import read_array, replacing, write_array

PACK = "thumbnails.bin"
OFFSETS = "thumbnails.npy"

# WebP effort 0..6: 2 halves the time of Pillow's default 4 for files about 3% larger
_EFFORT = 2


def make_thumbnail(image: Image.Image, size: int, quality: int) -> bytes:
    """image: RGB. size: pixels of the longer side at most; smaller images keep their size. Returns a WebP file."""
    # reducing_gap shrinks large photos in two steps: several times faster, no difference to the eye
    small = image.copy() if max(image.size) <= size else _shrunk(image, size)
    target = io.BytesIO()
    small.save(target, format="WEBP", quality=quality, method=_EFFORT)
    return target.getvalue()


def _shrunk(image: Image.Image, size: int) -> Image.Image:
    width, height = image.size
    scale = size / max(width, height)
    target = (max(1, round(width * scale)), max(1, round(height * scale)))
    return image.resize(target, Image.Resampling.LANCZOS, reducing_gap=2.0)


def pack(folder: Path, thumbnails: Sequence[bytes]) -> None:
    """Write all thumbnails of an analysis at once."""
    with replacing(folder / PACK) as beside:
        beside.write_bytes(b"".join(thumbnails))
    write_array(folder / OFFSETS, offsets_of([len(thumbnail) for thumbnail in thumbnails]))


def offsets_of(lengths: Sequence[int] | np.ndarray) -> np.ndarray:
    """lengths: (n,) bytes of each thumbnail. Returns (n + 1,) int64, starting at 0."""
    return np.concatenate([[0], np.cumsum(np.asarray(lengths, dtype=np.int64))]).astype(np.int64)


@dataclass(frozen=True, eq=False)
class ThumbnailPack:
    """The thumbnails of one analysis, read from the open file one by one: a map of it would keep every page that was
    ever shown in memory."""

    file: BufferedReader
    offsets: np.ndarray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> bytes:
        """The WebP file of one row. Raises `IndexError` outside 0..n-1."""
        if not 0 <= row < len(self):
            raise IndexError(f"no thumbnail {row} among {len(self)}")
        start, stop = int(self.offsets[row]), int(self.offsets[row + 1])
        # at a place of its own: threads share the file
        return os.pread(self.file.fileno(), stop - start, start)


def open_pack(folder: Path) -> ThumbnailPack:
    return ThumbnailPack(file=open(folder / PACK, "rb"), offsets=np.asarray(read_array(folder / OFFSETS)))
