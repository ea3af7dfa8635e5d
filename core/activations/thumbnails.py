"""Small images, packed one after another in one file: thumbnails are read by position, never made on the fly.

thumbnails.bin   WebP files back to back; JPEG where the picture was one and small already
thumbnails.npy   (n + 1,) int64 offsets: image i is bytes offsets[i] to offsets[i + 1]
"""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

import numpy as np
from PIL import Image

from core.datasets.pictures import Picture
from core.files import read_array, replacing, write_array

PACK = "thumbnails.bin"
OFFSETS = "thumbnails.npy"

# WebP effort 0..6: 2 halves the time of Pillow's default 4 for files about 3% larger
_EFFORT = 2


# bytes of a JPEG up to which it is its own thumbnail
_OWN_BYTES = 16_384
# segments of a JPEG that it is decoded with: tables, frames, restart intervals, and the marks of JFIF and Adobe, which
# say what the colours are; all else is what cameras and editors wrote beside the picture
_FRAMES = frozenset({0xC0, 0xC1, 0xC2})
_KEPT = _FRAMES | {0xC4, 0xDB, 0xDD, 0xE0, 0xEE}


def thumbnail_of(source: Picture, image: Image.Image, size: int, quality: int) -> bytes:
    """The thumbnail of a picture that is decoded already. source: where it came from.

    A small JPEG is its own thumbnail, without metadata: encoding it again would take most of the time that small
    pictures take, and lose a little. Anything else becomes a WebP, see `make_thumbnail`.
    """
    if isinstance(source, Path) and max(image.size) <= size and source.suffix.lower() in (".jpg", ".jpeg"):
        # a file that has gone since it was decoded gets a thumbnail like any other
        with suppress(OSError), open(source, "rb") as file:
            source = file.read(_OWN_BYTES + 1)
    if isinstance(source, bytes) and max(image.size) <= size and len(source) <= _OWN_BYTES:
        bare = _bare_jpeg(source)
        if bare is not None:
            return bare
    return make_thumbnail(image, size, quality)


def _bare_jpeg(content: bytes) -> bytes | None:
    """A JPEG that every browser shows as Pillow decodes it, without metadata. None for all others: other formats, grey
    and four colours, and those with Exif data, which may say that the picture lies on its side."""
    if content[:2] != b"\xff\xd8":
        return None
    kept, place = [content[:2]], 2
    while place + 4 <= len(content) and content[place] == 0xFF:
        marker = content[place + 1]
        length = int.from_bytes(content[place + 2 : place + 4])
        segment = content[place : place + 2 + length]
        if marker == 0xDA:
            end = content.rfind(b"\xff\xd9")
            return b"".join([*kept, content[place : end + 2]]) if end > place else None
        exif = marker == 0xE1 and segment[4:8] == b"Exif"
        # bytes 4 and 9 of a frame: bits per sample, number of colours
        odd = marker in _FRAMES and (len(segment) < 10 or segment[4] != 8 or segment[9] != 3)
        unknown = 0xC0 <= marker <= 0xCF and marker not in _KEPT
        if length < 2 or exif or odd or unknown:
            return None
        if marker in _KEPT:
            kept.append(segment)
        place += 2 + length
    return None


def make_thumbnail(image: Image.Image, size: int, quality: int) -> bytes:
    """image: RGB. size: pixels of the longer side at most; smaller images keep their size. Returns a WebP file."""
    small = image.copy() if max(image.size) <= size else _shrunk(image, size)
    target = io.BytesIO()
    small.save(target, format="WEBP", quality=quality, method=_EFFORT)
    return target.getvalue()


def _shrunk(image: Image.Image, size: int) -> Image.Image:
    width, height = image.size
    scale = size / max(width, height)
    target = (max(1, round(width * scale)), max(1, round(height * scale)))
    # in two steps, the first by whole numbers: twice as fast for a photograph, and 43 dB from the result of one step
    return image.resize(target, Image.Resampling.LANCZOS, reducing_gap=1.5)


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
