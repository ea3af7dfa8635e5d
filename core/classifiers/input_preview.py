"""What of some images reaches a network, for a person to look at before a pass over all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from core.classifiers.lookahead import in_threads
from core.classifiers.preprocessing import Preprocessing
from core.datasets.dataset import Dataset
from core.datasets.images import UnreadableImage, decode
from core.settings import DEFAULTS

if TYPE_CHECKING:
    from core.classifiers.classifier import Classifier


def preview_input(
    dataset: Dataset,
    seen_by: Classifier | Preprocessing,
    rows: Sequence[int] | np.ndarray,
    *,
    max_pixels: int = DEFAULTS.max_image_pixels,
) -> list[np.ndarray | None]:
    """For each row the part of its image that the network gets, at the network's resolution: (crop, crop, 3) uint8 RGB,
    grey where the network is; None where the image cannot be read. Imports no torch."""
    preprocessing = seen_by if isinstance(seen_by, Preprocessing) else seen_by.preprocessing
    pictures = dataset.pictures()

    def shown(row: int) -> np.ndarray | None:
        try:
            return preprocessing.shown(decode(pictures.read(str(dataset.images[row])), max_pixels))
        except UnreadableImage:
            return None

    return list(in_threads(shown, [int(row) for row in rows]))
