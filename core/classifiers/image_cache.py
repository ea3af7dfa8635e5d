"""Images decoded once and kept as 8-bit pixels, for training that reads each of them many times."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.classifiers.lookahead import in_threads
from core.classifiers.preprocessing import Preprocessing
from core.datasets.dataset import Dataset, Problem
from core.datasets.images import UnreadableImage, decode
from core.errors import EmptyDataset
from core.files import storage_problems
from core.progress import Progress, silent

# bytes of pixels kept in memory; more lies in a memory-mapped file
IN_MEMORY = 512 * 2**20


@dataclass(frozen=True, eq=False)
class DecodedImages:
    """m readable images. pixels: (m, s, s, 3) uint8. ids: (m,) int64 positions in the dataset. skipped: the others."""

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
    shape = (len(ids), preprocessing.crop, preprocessing.crop, 3)
    if int(np.prod(shape, dtype=np.int64)) <= IN_MEMORY:
        pixels = np.empty(shape, dtype=np.uint8)
    else:
        with storage_problems(folder / "pixels.npy"):
            pixels = np.lib.format.open_memmap(folder / "pixels.npy", mode="w+", dtype=np.uint8, shape=shape)

    def read(image: int) -> np.ndarray | Problem:
        name = str(dataset.images[image])
        try:
            return preprocessing.pixels(decode(dataset.root / name, max_pixels))
        except UnreadableImage as problem:
            return Problem(name, problem.reason)

    kept: list[int] = []
    skipped: list[Problem] = []
    for done, (image, found) in enumerate(zip(ids, in_threads(read, ids), strict=True), start=1):
        if isinstance(found, Problem):
            skipped.append(found)
        else:
            pixels[len(kept)] = found
            kept.append(int(image))
        if done % 64 == 0 or done == len(ids):
            progress(done, len(ids), "Decoding images")
    if not kept:
        raise EmptyDataset(
            f"None of the {len(ids):,} images of {dataset.name} could be read (the first: {skipped[0].reason}).",
            next_step="Check that the files are images and that they are whole.",
        )
    return DecodedImages(pixels[: len(kept)], np.array(kept, dtype=np.int64), tuple(skipped))
