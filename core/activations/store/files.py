"""What the files of an analysis are called that more than one module goes to, and how they are opened."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from core.files import read_array, slug

DESCRIPTION = "analysis.json"
# files and folders that come and go after an analysis was written: its checksums are without them
DERIVED = ("sorted", "map", "names.npy", "name_offsets.npy", "computed.json", "marks.npy")


def attribute_file(folder: Path, name: str) -> Path:
    return folder / "attributes" / f"{slug(name)}.npy"


def mapped(path: Path) -> np.ndarray:
    """Raises `OSError`, `ValueError`."""
    # a plain ndarray over the map: the memmap subclass slows small operations and travels into every result
    return np.asarray(read_array(path))
