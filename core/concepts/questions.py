"""What to ask a person about one concept, and what was answered: rows of an analysis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from core.concepts.concept import Concept
from core.concepts.suggestions import suggest_next
from core.concepts.tags import ABSENT, PRESENT, UNTAGGED, answers, tagging_split
from core.workspace import Workspace

if TYPE_CHECKING:
    from core.activations.store import Analysis

# with more classes, only images that have to do with the one at hand are asked about: among twenty images of a thousand
# classes nobody would see what they share
FEW_CLASSES = 4


@dataclass(frozen=True, eq=False)
class Answered:
    """present, absent: rows (m,) int64. more: whether images are left that can be asked about."""

    present: np.ndarray
    absent: np.ndarray
    more: bool

    @property
    def count(self) -> int:
        return len(self.present) + len(self.absent)


def questions(
    workspace: Workspace, analysis: Analysis, concept: Concept, class_index: int, *, budget: int
) -> np.ndarray:
    """Rows (m,) int64 of up to `budget` images to ask about next, in the story of one class."""
    about = None if analysis.k <= FEW_CLASSES else class_index
    found = suggest_next(workspace, analysis, concept, budget=budget, about=about)
    return np.array([one.row for one in found], dtype=np.int64)


def answered(workspace: Workspace, analysis: Analysis, concept: Concept) -> Answered:
    """What holds so far, whoever said it."""
    said = answers(workspace, analysis, concept)
    pool = analysis.split_rows(tagging_split(analysis))
    present, absent = (np.flatnonzero(said == value) for value in (PRESENT, ABSENT))
    return Answered(present, absent, more=bool((said[pool] == UNTAGGED).any()))
