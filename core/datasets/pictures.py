"""Where the pictures of a dataset are: in files of their own, or inside files that hold many of them."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np

from core.datasets.choices import AUTOMATIC, Choices, image_folder

Picture = Path | bytes | np.ndarray
"""What `core.datasets.images.decode` takes: a file, an encoded image, or pixels (h, w) or (h, w, 3) uint8."""


class Pictures(Protocol):
    """The pictures of one dataset by the names that it gives them.

    Cheap to open: nothing is read before it is asked for. Many threads may read at once. No more than a few MB are
    held, whatever the size of the dataset; neighbours are read fastest one after another, in the order of their names.
    """

    def read(self, name: str) -> Picture:
        """The picture, not yet decoded. Raises `core.datasets.images.UnreadableImage`; a file that is not there any
        more is told by `decode`."""
        ...

    def file(self, name: str) -> Path:
        """The file that holds it, its own or one of many: for sentences, and to see whether it was written since."""
        ...

    def missing(self, names: list[str]) -> str | None:
        """The first of these that is not there any more, by a look at files alone; None when all seem to be."""
        ...


class FilePictures:
    """A file each, below one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, name: str) -> Path:
        return self._folder / name

    def file(self, name: str) -> Path:
        return self._folder / name

    def missing(self, names: list[str]) -> str | None:
        return next((name for name in names if not (self._folder / name).is_file()), None)


def open_pictures(root: Path, source: str, choices: Choices = AUTOMATIC) -> Pictures:
    """root, source, choices: of the `Dataset`, or what its analysis has stored of them.

    A format that is not known here keeps a file per picture, as folders and tables do.
    """
    if source == "hf-parquet":
        from core.datasets.hf_parquet import ParquetPictures

        return ParquetPictures(root, choices)
    if source == "hf-arrow":
        from core.datasets.hf_arrow import ArrowPictures

        return ArrowPictures(root, choices)
    if source in ("npz", "dsprites"):
        from core.datasets.arrays import ArrayPictures

        return ArrayPictures(root, choices)
    if source == "cifar":
        from core.datasets.cifar import CifarPictures

        return CifarPictures(root)
    if source == "idx":
        from core.datasets.idx import IdxPictures

        return IdxPictures(root)
    return FilePictures(image_folder(root, choices))
