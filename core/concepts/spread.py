"""Spreading a concept: a probe's guess for every image, how far to trust it, and which guesses to look at.

A guess is never a tag: nothing here writes to the database.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from core.concepts.concept import Concept
from core.concepts.probes import balanced_accuracy, concept_probe, held_out_probabilities
from core.concepts.tags import ABSENT, PRESENT, UNTAGGED, tag_states, tagging_split
from core.workspace import Workspace

if TYPE_CHECKING:
    from core.activations.store import Analysis

Side = Literal["present", "absent", "both"]
Order = Literal["doubt", "sure"]


@dataclass(frozen=True)
class HeldOut:
    """How often probes agree with tags they have not seen, 0..1: the mean over present and absent tags, so that 0.5 is
    guessing; None when too few are tagged. low, high: 95% interval. tags: how many were held out."""

    share: float | None
    low: float
    high: float
    tags: int

    def to_dict(self) -> dict[str, Any]:
        return {"share": self.share, "low": self.low, "high": self.high, "tags": self.tags}


@dataclass(frozen=True, eq=False)
class Spread:
    """A probe's guesses. rows: (m,) int64 rows of the analysis. probability: (m,) float64 that each shows the concept.
    present, absent: tags the probe was fitted on. warnings: sentences."""

    concept: Concept
    rows: np.ndarray
    probability: np.ndarray
    held_out: HeldOut
    present: int
    absent: int
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        return {
            "concept": self.concept.name,
            "images": len(self.rows),
            "guessed_present": int((self.probability > 0.5).sum()),
            "held_out": self.held_out.to_dict(),
            "present": self.present,
            "absent": self.absent,
            "warnings": list(self.warnings),
        }


def spread(
    workspace: Workspace, analysis: Analysis, concept: Concept, *, split: Literal["tagging", "all"] = "tagging"
) -> Spread:
    """The guesses of a concept's probe for the images that are tagged for curation, or for all.

    Kept until the tags of the dataset change. Raises `NotEnoughTags` unless both values are tagged.
    """
    probe = concept_probe(workspace, analysis, concept)
    rows = np.arange(analysis.n) if split == "all" else analysis.split_rows(tagging_split(analysis))
    states = tag_states(workspace, analysis, concept)
    known = np.flatnonzero(states != UNTAGGED)
    guesses = held_out_probabilities(
        np.asarray(analysis.features[known]),
        analysis.labels[known],
        states[known],
        np.ones(len(known), dtype=bool),
        rng=np.random.default_rng(0),
    )
    share = balanced_accuracy(guesses, states[known])
    held_out = HeldOut(share, 0.0, 1.0, len(known))
    present, absent = int((states == PRESENT).sum()), int((states == ABSENT).sum())
    return Spread(concept, rows, probe.probability(analysis.features[rows]), held_out, present, absent, ())


def review(
    spread: Spread,
    states: np.ndarray,
    *,
    side: Side = "present",
    order: Order = "doubt",
    limit: int | None = None,
) -> np.ndarray:
    """Rows (r,) int64 of guessed images that nobody has answered yet, those to look at first coming first.

    states: (n,) int8, the analysis's `answers`. side: guessed present, guessed absent, or both. order: "doubt" puts
    the least sure first, "sure" the surest.
    """
    shown = spread.probability > 0.5
    wanted = {"present": shown, "absent": ~shown, "both": np.ones(len(shown), dtype=bool)}[side]
    places = np.flatnonzero(wanted & (states[spread.rows] == UNTAGGED))
    sureness = np.abs(spread.probability[places] - 0.5)
    ordered = places[np.argsort(sureness if order == "doubt" else -sureness, kind="stable")]
    return spread.rows[ordered[:limit]]


@dataclass(frozen=True)
class Candidate:
    """An image to review. source: "probe", or who suggested it as a member ("cluster", "text"). probability: of the
    probe, NaN where there is none."""

    row: int
    source: str
    probability: float

    def to_dict(self) -> dict[str, Any]:
        return {"row": self.row, "source": self.source, "probability": self.probability}


def review_list(
    spread: Spread | None,
    states: np.ndarray,
    suggested: tuple[np.ndarray, np.ndarray | None, str] | None = None,
    *,
    side: Side = "present",
    order: Order = "doubt",
    limit: int | None = None,
) -> tuple[Candidate, ...]:
    """`review` and the suggested members of a concept in one list, no image twice, none that is answered.

    spread: None while there is no probe. suggested: what `suggested_members` returns (rows, scores, source).
    """
    return ()
