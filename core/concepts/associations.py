"""How tagged concepts go with classes and with bands: counts and simple measures of association.

All figures are over tagged images only. Tags are not a random sample (people tag what is proposed), so a share says
what was seen, not how common the concept is.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from core.activations.bands import assign
from core.concepts.concept import Concept, list_concepts
from core.concepts.tags import ABSENT, PRESENT, tag_states
from core.workspace import Workspace

if TYPE_CHECKING:
    from core.activations.store import Analysis


@dataclass(frozen=True)
class Association:
    """A concept among the tagged images of one class (or band).

    share: present / (present + absent), None without tags. lift: share over the share in all tagged images; 1 means
    no association. odds_ratio: odds of the concept here over elsewhere, each count plus one half (Haldane 1940,
    Anscombe 1956), so that an empty cell gives a large number and not infinity.
    """

    name: str
    present: int
    absent: int
    share: float | None
    lift: float | None
    odds_ratio: float | None

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "present": self.present,
            "absent": self.absent,
            "share": self.share,
            "lift": self.lift,
            "odds_ratio": self.odds_ratio,
        }


@dataclass(frozen=True)
class ConceptSummary:
    """A concept, its tags, and how it goes with the classes."""

    concept: Concept
    present: int
    absent: int
    classes: tuple[Association, ...]

    def to_dict(self) -> dict[str, Any]:
        return {
            **self.concept.to_dict(),
            "present": self.present,
            "absent": self.absent,
            "classes": [association.to_dict() for association in self.classes],
        }


def summarise(workspace: Workspace, analysis: Analysis) -> tuple[ConceptSummary, ...]:
    """Every concept of the analysis's dataset with its tags and associations."""
    return tuple(
        concept_summary(concept, tag_states(workspace, analysis, concept), analysis.labels, analysis.classes)
        for concept in list_concepts(workspace, analysis.dataset_id)
    )


def concept_summary(concept: Concept, states: np.ndarray, labels: np.ndarray, classes: Sequence[str]) -> ConceptSummary:
    """states: (n,) int8 tags. labels: (n,) int."""
    return ConceptSummary(
        concept=concept,
        present=int((states == PRESENT).sum()),
        absent=int((states == ABSENT).sum()),
        classes=associations(states, labels, classes),
    )


def associations(states: np.ndarray, cells: np.ndarray, names: Sequence[str]) -> tuple[Association, ...]:
    """A concept's association with each cell. states: (n,) int8 tags. cells: (n,) int, -1 for none; names: of cells."""
    inside = cells >= 0
    present = np.bincount(cells[inside & (states == PRESENT)], minlength=len(names))
    absent = np.bincount(cells[inside & (states == ABSENT)], minlength=len(names))
    everywhere_yes, everywhere_no = int(present.sum()), int(absent.sum())
    found = []
    for name, yes, no in zip(names, present.tolist(), absent.tolist(), strict=True):
        if yes + no == 0:
            found.append(Association(name, 0, 0, None, None, None))
            continue
        share = yes / (yes + no)
        overall = everywhere_yes / (everywhere_yes + everywhere_no)
        elsewhere_yes, elsewhere_no = everywhere_yes - yes, everywhere_no - no
        odds = None
        if elsewhere_yes + elsewhere_no:
            odds = (yes + 0.5) * (elsewhere_no + 0.5) / ((no + 0.5) * (elsewhere_yes + 0.5))
        found.append(Association(name, yes, no, share, share / overall if overall else None, odds))
    return tuple(found)


def by_band(states: np.ndarray, scores: np.ndarray, edges: np.ndarray) -> tuple[Association, ...]:
    """A concept's association with each band of a direction. scores: (n,). edges: (b+1,), see `bands.assign`."""
    names = [f"{low:.3g} to {high:.3g}" for low, high in itertools.pairwise(edges)]
    return associations(states, assign(scores, edges), names)
