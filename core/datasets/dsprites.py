"""dSprites as distributed: 737,280 pictures of white shapes in an `.npz`, with the six latents that made them.

Matthey et al. 2017. The latents become attributes; the class is the shape unless another one is chosen. Its metadata is
a pickled object, which is not read: the names are written down here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from core.datasets.array_members import Member, values_of
from core.datasets.arrays import arrays_at, opened_arrays
from core.datasets.bundles import Coded, Said, assemble, bundle_of
from core.datasets.choices import Choices
from core.datasets.dataset import Dataset
from core.datasets.format import Format
from core.errors import BadMetadata, EmptyDataset
from core.progress import Progress

IMAGES, CLASSES, VALUES = "imgs", "latents_classes", "latents_values"
LATENTS = ("color", "shape", "scale", "orientation", "x", "y")
_SHAPES = ("square", "ellipse", "heart")
_QUARTERS = ("0° to 90°", "90° to 180°", "180° to 270°", "270° to 360°")
_ACROSS = ("left", "middle", "right")
_DOWN = ("top", "middle", "bottom")


def _read(path: Path, *, seed: int, choices: Choices, store: Path | None, progress: Progress) -> Dataset:
    """Matthey et al. 2017: 737,280 pictures of every combination of six latents. Those with more values than groups
    could be made of are told in ranges: the turn in quarters, the place in thirds."""
    root, members, _, problems = opened_arrays(path, replace(choices, columns={"image": IMAGES}), store, progress)
    if not _is_dsprites(members):
        raise EmptyDataset(
            f"{path} is not dSprites: it has no {IMAGES}, {CLASSES} and {VALUES} of one length.",
            next_step="Open it as arrays of numpy.",
        )
    classes = values_of(members[CLASSES]).astype(np.int64)
    values = values_of(members[VALUES])
    found = [_latent(name, classes[:, place], values[:, place]) for place, name in enumerate(LATENTS)]
    shape = found.pop(LATENTS.index("shape"))
    said = Said([bundle_of(IMAGES, len(classes), members[IMAGES].file)], shape, found, None)
    notes = ["The turn is told in quarters and the place in thirds, so that groups are large enough to be measured."]
    return assemble(root, FORMAT.name, said, problems, seed=seed, choices=choices, notes=notes)


def _is_dsprites(members: Mapping[str, Member]) -> bool:
    pictures, classes, values = (members.get(name) for name in (IMAGES, CLASSES, VALUES))
    if pictures is None or classes is None or values is None or not pictures.is_pictures:
        return False
    return classes.shape == values.shape == (pictures.shape[0], len(LATENTS))


def _recognises(path: Path) -> bool:
    return _is_dsprites(arrays_at(path))


def _latent(name: str, codes: np.ndarray, values: np.ndarray) -> Coded:
    """codes: (n,) int64 from 0. values: (n,) the same as numbers."""
    count = int(codes.max(initial=0)) + 1
    if codes.min(initial=0) < 0 or count > 1000:
        raise BadMetadata(
            f"The latent {name} has codes from {codes.min()} to {codes.max()}.", next_step="Download it again."
        )
    if name == "orientation":
        return Coded(name, _QUARTERS, np.clip(np.nan_to_num(values) // (np.pi / 2), 0, 3).astype(np.int64))
    if name in ("x", "y"):
        thirds = np.clip(np.nan_to_num(values) * 3, 0, 2).astype(np.int64)
        return Coded(name, _ACROSS if name == "x" else _DOWN, thirds)
    if name == "shape" and count <= len(_SHAPES):
        return Coded(name, _SHAPES[:count], codes)
    if name == "color" and count == 1:
        return Coded(name, ("white",), codes)
    first = np.zeros(count)
    first[codes] = values
    return Coded(name, tuple(f"{value:g}" for value in first), codes)


FORMAT = Format(
    name="dsprites",
    title="dSprites",
    layout="dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz: imgs, latents_classes, latents_values",
    recognises=_recognises,
    read=_read,
    choosing=("target", "group", "attributes"),
)
