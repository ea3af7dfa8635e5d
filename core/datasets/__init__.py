"""Sets of labelled images: one reader per source format, all giving the same `Dataset`."""

from __future__ import annotations

import os
from pathlib import Path

from core.datasets.dataset import SPLITS, Attribute, Dataset, Problem
from core.datasets.folders import read_folders
from core.errors import PathNotFound
from core.files import resolved

__all__ = ["SPLITS", "Attribute", "Dataset", "Problem", "open_dataset"]


def open_dataset(path: Path | str, *, seed: int = 0) -> Dataset:
    """Read the dataset in a folder: `metadata.csv` (GroupDRO/Waterbirds) where there is one, else a folder per class.

    No image is opened. seed: of the splits that are made where the dataset has none.
    Raises `PathNotFound`, `EmptyDataset`, `BadMetadata`, `OneClass`.
    """
    # pandas takes a fifth of a second to import and 40 MB: only for who reads a dataset
    from core.datasets.metadata_csv import TABLE, read_metadata

    root = _folder(path)
    if (root / TABLE).is_file():
        return read_metadata(root, seed=seed)
    return read_folders(root, seed=seed)


def _folder(path: Path | str) -> Path:
    root = resolved(str(path).strip(), advice="Give the folder that holds the images.")
    if not root.exists():
        nearest = next(parent for parent in root.parents if parent.exists())
        raise PathNotFound(
            f"There is no folder {root}.",
            next_step=f"Check the spelling: {nearest} exists, what follows it does not.",
        )
    if not root.is_dir():
        raise PathNotFound(
            f"{root} is a file, not a folder.",
            next_step=f"Give the folder it is in: {root.parent}."
            if root.suffix.lower() not in (".zip", ".tar", ".gz", ".tgz")
            else "Unpack it first, then give the folder that comes out.",
        )
    if not os.access(root, os.R_OK | os.X_OK):
        raise PathNotFound(f"{root} may not be read.", next_step="Change its permissions, or choose another folder.")
    return root
