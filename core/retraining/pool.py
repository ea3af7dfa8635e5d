"""The held-out images that curation chooses from, as plain arrays."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from core.classifiers.head import Head
from core.classifiers.softmax import Scaling, standardise


@dataclass(frozen=True, eq=False)
class Pool:
    """rows: (m,) int64, positions in the analysis. features: (m, d) float32. logits: (m, k) float32, of the head that
    is being repaired. labels: (m,) int64. classes: k names. head: that head. split: where the eligible images are
    from. eligible: (m,) bool, images a head may be fitted on; tags of the others only teach the probe."""

    rows: np.ndarray
    features: np.ndarray
    logits: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    head: Head
    split: str
    eligible: np.ndarray

    @property
    def k(self) -> int:
        return len(self.classes)

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def scaling(self) -> Scaling:
        """`standardise` over all images a head may be fitted on: those chosen are few and odd, and their statistics
        would bend the space. Kept, for every fit needs it."""
        return standardise(self.only_eligible().features)

    def only_eligible(self) -> Pool:
        """The pool without the images that a head may not be fitted on; itself where it has none."""
        which = self.eligible
        if which.all():
            return self
        return Pool(
            self.rows[which],
            self.features[which],
            self.logits[which],
            self.labels[which],
            self.classes,
            self.head,
            self.split,
            self.eligible[which],
        )


@dataclass(frozen=True, eq=False)
class ConceptTags:
    """What a person said of the pool's images about one concept. states: (m,) int8 of PRESENT, ABSENT, UNTAGGED."""

    name: str
    states: np.ndarray
