"""The layouts of the Map page: principal components are there at once, a UMAP once it was made."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from core.activations.projection import MapPoints, MapSettings, map_points, pca_points, umap_stamp
from core.datasets.dataset import SPLITS
from pages.parts import band_data

if TYPE_CHECKING:
    from core.activations.store import Analysis
    from pages.parts.map_state import MapView

UMAP, PCA = "umap", "pca"
LAYOUTS = {UMAP: "UMAP", PCA: "Principal components"}


def points(analysis: Analysis, view: MapView) -> MapPoints:
    """Of the layout wanted where it is there, else the principal components."""
    stamp = umap_stamp(analysis, view.settings) if view.layout == UMAP else None
    return principal(analysis) if stamp is None else _laid_out(analysis, view.settings, stamp)


@lru_cache(maxsize=4)
def principal(analysis: Analysis) -> MapPoints:
    return pca_points(analysis)


@lru_cache(maxsize=4)
def _laid_out(analysis: Analysis, settings: MapSettings, stamp: tuple[int, ...]) -> MapPoints:
    """stamp: of what is on disk, so that another one is seen."""
    return map_points(analysis, settings)


def layout_id(points: MapPoints, view: MapView) -> str:
    return f"{points.kind} {view.neighbours} {view.min_dist:g}" if points.kind == UMAP else PCA


def shown_id(points: MapPoints, view: MapView) -> str:
    """Of the points on screen: a layout, and whose images."""
    return f"{layout_id(points, view)} {view.split}"


@lru_cache(maxsize=4)
def of_split(analysis: Analysis, split: str) -> np.ndarray:
    """(n,) bool, whose points are shown."""
    if split == band_data.ALL:
        return np.ones(analysis.n, dtype=bool)
    return np.asarray(analysis.splits == SPLITS.index(split))


def images(split: str) -> str:
    """What the images shown are called."""
    return "images" if split == band_data.ALL else f"{split} images"
