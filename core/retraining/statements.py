"""What people said, as one retraining uses it: read from the workspace, kept in the run, had again from there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from core.concepts.concept import Concept
from core.concepts.labels import label_verdicts
from core.concepts.tags import ABSENT, PRESENT, UNTAGGED, said_states, tag_states
from core.errors import BadRequest
from core.workspace import Workspace

if TYPE_CHECKING:
    from core.activations.store import Analysis


@dataclass(frozen=True, eq=False)
class Statements:
    """Everything said of the n images of an analysis that a retraining on m concepts depends on.

    names: of the concepts. states: (n, m) int8 of PRESENT, ABSENT, UNTAGGED. said: (n,) bool, images that people tagged
    with one of them; what a column of the dataset says is not among it. wrong: (n,) bool, judged wrongly labelled.
    labels: (n,) int64, the dataset's, corrected where a person gave another one.
    """

    names: tuple[str, ...]
    states: np.ndarray
    said: np.ndarray
    wrong: np.ndarray
    labels: np.ndarray

    def to_dict(self, analysis: Analysis) -> dict[str, Any]:
        """Plain JSON, by the names of images."""

        def images(which: np.ndarray) -> list[str]:
            return analysis.image_names(np.flatnonzero(which))

        relabelled = np.flatnonzero(self.labels != analysis.labels)
        given = [analysis.classes[label] for label in self.labels[relabelled]]
        return {
            "concepts": [
                {"concept": name, "present": images(column == PRESENT), "absent": images(column == ABSENT)}
                for name, column in zip(self.names, self.states.T, strict=True)
            ],
            "said": images(self.said),
            "wrong": images(self.wrong),
            "relabelled": dict(zip(analysis.image_names(relabelled), given, strict=True)),
        }


def read_statements(workspace: Workspace, analysis: Analysis, concepts: Sequence[Concept]) -> Statements:
    """What holds in the workspace now."""
    verdicts = label_verdicts(workspace, analysis)
    states = np.full((analysis.n, len(concepts)), UNTAGGED, dtype=np.int8)
    said = np.zeros(analysis.n, dtype=bool)
    for i, concept in enumerate(concepts):
        states[:, i] = tag_states(workspace, analysis, concept)
        # by people: what a column of the dataset says is known of all images, and those for fitting are enough
        said |= said_states(workspace, analysis, concept) != UNTAGGED
    return Statements(
        names=tuple(concept.name for concept in concepts),
        states=states,
        said=said,
        wrong=verdicts.excluded,
        labels=verdicts.labels,
    )


def statements_from_dict(value: Mapping[str, Any], analysis: Analysis) -> Statements:
    """The inverse of `Statements.to_dict`. Raises `BadRequest` for an image or class that the analysis lacks;
    `KeyError`, `TypeError` and the like for what are no statements."""

    def rows(images: Sequence[str]) -> np.ndarray:
        found = analysis.rows_named(list(images))
        if (found < 0).any():
            absent = images[int(np.flatnonzero(found < 0)[0])]
            raise BadRequest(
                f"The image “{absent}” that was tagged is not part of this analysis.",
                next_step="Use the analysis that the run was made with, of the dataset as it was then.",
            )
        return found

    def which(images: Sequence[str]) -> np.ndarray:
        mask = np.zeros(analysis.n, dtype=bool)
        mask[rows(images)] = True
        return mask

    concepts = value["concepts"]
    names = tuple(concept["concept"] for concept in concepts)
    if not all(isinstance(name, str) for name in names):
        raise TypeError("a concept has no name")
    states = np.full((analysis.n, len(concepts)), UNTAGGED, dtype=np.int8)
    for i, concept in enumerate(concepts):
        states[rows(concept["present"]), i] = PRESENT
        states[rows(concept["absent"]), i] = ABSENT
    labels = np.array(analysis.labels, dtype=np.int64)
    relabelled: dict[str, str] = value["relabelled"]
    if unknown := sorted(set(relabelled.values()) - set(analysis.classes)):
        raise BadRequest(
            f"There is no class “{unknown[0]}” in this analysis.",
            next_step="Use the analysis that the run was made with.",
        )
    labels[rows(list(relabelled))] = [analysis.classes.index(name) for name in relabelled.values()]
    return Statements(
        names=names,
        states=states,
        said=which(value["said"]),
        wrong=which(value["wrong"]),
        labels=labels,
    )
