"""Which images the whole network is trained on, which decide when to stop, and that these never meet.

Both come from the curated held-out images, every group parted alike. Images of train may be added to the first, put
into groups by the probe; test is for measuring only.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from core.concepts.tags import UNTAGGED
from core.errors import BadRequest, EmptyGroup, NotEnoughTags
from core.retraining.curation import CONFIDENCE, Curation
from core.retraining.disjoint import Roles
from core.retraining.groups import by_concepts

if TYPE_CHECKING:
    from core.activations.store import Analysis
    from core.retraining.material import Gathered

# of each group, the share that decides when to stop
SET_ASIDE = 0.25


@dataclass(frozen=True, eq=False)
class ChosenImages:
    """rows, labels, groups: (m,) int64, some images of an analysis."""

    rows: np.ndarray
    labels: np.ndarray
    groups: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def of(self, which: np.ndarray) -> ChosenImages:
        return ChosenImages(self.rows[which], self.labels[which], self.groups[which])

    def __add__(self, other: ChosenImages) -> ChosenImages:
        pairs = ((self.rows, other.rows), (self.labels, other.labels), (self.groups, other.groups))
        return ChosenImages(*(np.concatenate(pair) for pair in pairs))


@dataclass(frozen=True, eq=False)
class Parts:
    """trained: images that the network learns. stopping: those that decide when to stop. notes: sentences."""

    trained: ChosenImages
    stopping: ChosenImages
    notes: tuple[str, ...]


def part_images(
    analysis: Analysis, curation: Curation, *, seed: int, added: ChosenImages | None = None, share: float = SET_ASIDE
) -> Parts:
    """Part the curated images by group; a group of one image is learnt from and decides nothing.

    added: images of train to learn from as well. Raises `LeakedImages` where an image would have two roles, and
    `NotEnoughTags` where every group has one image.
    """
    curated = ChosenImages(curation.rows, curation.labels, curation.groups)
    rng = np.random.default_rng([seed, len(curated)])
    aside = np.zeros(len(curated), dtype=bool)
    alone = []
    for group in np.unique(curated.groups):
        members = rng.permutation(np.flatnonzero(curated.groups == group))
        if len(members) == 1:
            alone.append(int(group))
        else:
            aside[members[: max(1, round(share * len(members)))]] = True
    if not aside.any():
        raise NotEnoughTags(
            "Every group has one curated image only, so none can be set aside to decide when to stop.",
            next_step="Tag more images: “tag next” proposes which.",
        )
    trained, stopping = curated.of(~aside), curated.of(aside)
    if added is not None:
        trained = trained + added
    notes = []
    if alone:
        notes.append(
            f"{len(alone)} {'groups have' if len(alone) > 1 else 'group has'} one curated image only, so "
            f"{'they do' if len(alone) > 1 else 'it does'} not take part in deciding when to stop."
        )
    Roles(curation=trained.rows, tuning=stopping.rows, reporting=analysis.split_rows("test"))
    return Parts(trained, stopping, tuple(notes))


def without_twins(parts: Parts, pixels: np.ndarray, place: np.ndarray) -> Parts:
    """The parts without the images to learn from that are, pixel by pixel, one of those set aside.

    pixels: (m, s, s, c) uint8. place: (n,) int64, where a row's pixels are. Raises `EmptyGroup` where a class is left
    with nothing to learn from.
    """
    known = {_mark(pixels[place[row]]) for row in parts.stopping.rows.tolist()}
    twins = np.array([_mark(pixels[place[row]]) in known for row in parts.trained.rows.tolist()], dtype=bool)
    trained = parts.trained.of(~twins)
    if len(np.unique(trained.labels)) < len(np.unique(parts.trained.labels)):
        raise EmptyGroup(
            "Of one class only duplicates of images set aside would be left to learn from.",
            next_step="Remove the duplicates from the dataset, or use the method mid.",
        )
    count = int(twins.sum())
    if not count:
        return parts
    note = f"{count} {'duplicates' if count > 1 else 'duplicate'} of images set aside {'were' if count > 1 else 'was'}"
    return Parts(trained, parts.stopping, (*parts.notes, f"{note} not trained on."))


def train_images(analysis: Analysis, gathered: Gathered, curation: Curation) -> ChosenImages:
    """Images of train that the probe can surely put into a group of the curation, but for those judged wrongly
    labelled. Raises `BadRequest` where there is no probe."""
    said = gathered.statements
    if curation.probe is None:
        raise BadRequest(
            "Training images have no groups without a probe to guess them.",
            next_step="Train on the held-out images only, or let the probe take part.",
        )
    free = np.setdiff1d(analysis.split_rows("train"), curation.rows)
    rows = free[~said.wrong[free]]
    states, labels = said.states[rows], said.labels[rows].astype(np.int64)
    values, sure = curation.probe.guess(np.asarray(analysis.features[rows]), labels, states)
    groups = by_concepts(labels, analysis.classes, gathered.names, values, estimated=True).codes
    kept = ((sure > CONFIDENCE) | (states != UNTAGGED).all(axis=1)) & np.isin(groups, curation.groups)
    return ChosenImages(rows[kept], labels[kept], groups[kept])


def _mark(image: np.ndarray) -> bytes:
    return hashlib.blake2b(image.tobytes(), digest_size=16).digest()
