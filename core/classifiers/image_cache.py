"""Images decoded once and kept as 8-bit pixels, for training that reads each of them many times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.classifiers.lookahead import in_threads
from core.classifiers.preprocessing import Preprocessing
from core.datasets.dataset import Dataset, Problem
from core.datasets.images import UnreadableImage, decode
from core.datasets.pictures import Pictures
from core.errors import EmptyDataset
from core.files import storage_problems
from core.progress import Progress, silent

# bytes of pixels kept in memory; more lies in a memory-mapped file
IN_MEMORY = 512 * 2**20


@dataclass(frozen=True, eq=False)
class DecodedImages:
    """m readable images. pixels: (m, s, s, c) uint8. ids: (m,) int64 positions in the dataset. skipped: the others."""

    pixels: np.ndarray
    ids: np.ndarray
    skipped: tuple[Problem, ...]


def decode_images(
    dataset: Dataset,
    ids: np.ndarray,
    preprocessing: Preprocessing,
    *,
    folder: Path,
    max_pixels: int,
    progress: Progress = silent,
) -> DecodedImages:
    """Decode, resize and crop these images of the dataset, in threads, in order.

    folder: a temporary one, where the pixels go when they are too many for memory. Raises `EmptyDataset` when not one
    of them can be read.
    """
    names = dataset.images[ids].tolist()
    found = decode_named(
        dataset.pictures(), names, preprocessing, folder=folder, max_pixels=max_pixels, progress=progress
    )
    if not len(found.ids):
        raise EmptyDataset(
            f"None of the {len(ids):,} images of {dataset.name} could be read (the first: {found.skipped[0].reason}).",
            next_step="Check that the files are images and that they are whole.",
        )
    return DecodedImages(found.pixels, np.asarray(ids, dtype=np.int64)[found.ids], found.skipped)


def decode_named(
    pictures: Pictures,
    names: Sequence[str],
    preprocessing: Preprocessing,
    *,
    folder: Path,
    max_pixels: int,
    progress: Progress = silent,
) -> DecodedImages:
    """The same for pictures by name; `ids` are positions among the names, none where not one can be read."""
    shape = (len(names), preprocessing.crop, preprocessing.crop, preprocessing.channels)
    if int(np.prod(shape, dtype=np.int64)) <= IN_MEMORY:
        pixels = np.empty(shape, dtype=np.uint8)
    else:
        with storage_problems(folder / "pixels.npy"):
            pixels = np.lib.format.open_memmap(folder / "pixels.npy", mode="w+", dtype=np.uint8, shape=shape)
    kept: list[int] = []
    skipped: list[Problem] = []
    found = in_threads(lambda name: read_pixels(pictures, name, preprocessing, max_pixels), names)
    for done, read in enumerate(found, start=1):
        if isinstance(read, Problem):
            skipped.append(read)
        else:
            pixels[len(kept)] = read
            kept.append(done - 1)
        if done % 64 == 0 or done == len(names):
            progress(done, len(names), "Decoding images")
    return DecodedImages(pixels[: len(kept)], np.array(kept, dtype=np.int64), tuple(skipped))


def read_pixels(pictures: Pictures, name: str, preprocessing: Preprocessing, max_pixels: int) -> np.ndarray | Problem:
    """One image as a network gets it, (s, s, c) uint8, or why it cannot be read."""
    try:
        return preprocessing.pixels(decode(pictures.read(name), max_pixels))
    except UnreadableImage as problem:
        return Problem(name, problem.reason)
