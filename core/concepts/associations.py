"""How concepts go with classes and with bands: counts, shares and measures of association, with 95% intervals.

All figures are over the images of which something was said. Tags are not a random sample (people tag what is proposed),
so a share says what was seen, not how common the concept is. A concept that follows a column of the dataset covers all
images of which the column knows the value, and so do the dataset's attributes, which are summarised like concepts.

With a = present here, b = absent here, c = present elsewhere, d = absent elsewhere:

share        a / (a + b); interval: Wilson 1927.
odds ratio   (a d) / (b c), each count plus one half (Haldane 1940, Anscombe 1956), so that an empty cell gives a large
             number and not infinity; interval: Woolf 1955, exp(log ratio +- 1.96 sqrt(1/a + 1/b + 1/c + 1/d)).
lift         the share here over the share in all: 1 means no association. Both shares count the images here, so the
             interval is that of the ratio r of the share here to the share elsewhere, which has none in common (Katz
             et al. 1978: exp(log r +- 1.96 sqrt(1/a - 1/(a+b) + 1/c - 1/(c+d))), carried over by
             lift = r / (w r + 1 - w), w being the fraction of the images that are here. Where a count is zero, one
             half is added to each for the interval; its end is then the largest or smallest lift there can be.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from core.activations.bands import assign
from core.activations.curves import wilson
from core.concepts.concept import Concept, list_concepts
from core.concepts.tags import ABSENT, PRESENT, UNSURE, answers
from core.workspace import Workspace

if TYPE_CHECKING:
    from core.activations.store import Analysis
    from core.datasets.dataset import Attribute

# 97.5% quantile of the normal distribution
Z = 1.959964


@dataclass(frozen=True)
class Association:
    """A concept among the images of one class (or band) of which something was said.

    images: all of the class, whether anything was said or not. share, low, high: None without tags. lift: None where
    the concept is nowhere present. odds_ratio: None where nothing was said elsewhere.
    """

    name: str
    images: int
    present: int
    absent: int
    share: float | None = None
    low: float | None = None
    high: float | None = None
    lift: float | None = None
    lift_low: float | None = None
    lift_high: float | None = None
    odds_ratio: float | None = None
    odds_low: float | None = None
    odds_high: float | None = None

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "images": self.images,
            "present": self.present,
            "absent": self.absent,
            "share": self.share,
            "share_low": self.low,
            "share_high": self.high,
            "lift": self.lift,
            "lift_low": self.lift_low,
            "lift_high": self.lift_high,
            "odds_ratio": self.odds_ratio,
            "odds_low": self.odds_low,
            "odds_high": self.odds_high,
        }


@dataclass(frozen=True)
class ConceptSummary:
    """A concept, its tags, and how it goes with the classes. unsure: images looked at without an answer. labelled:
    False where the classes are those that the model predicts, because nobody has said what is right."""

    concept: Concept
    present: int
    absent: int
    unsure: int
    classes: tuple[Association, ...]
    labelled: bool = True

    def to_dict(self) -> dict[str, Any]:
        return {
            **self.concept.to_dict(),
            "present": self.present,
            "absent": self.absent,
            "unsure": self.unsure,
            "labelled": self.labelled,
            "classes": [association.to_dict() for association in self.classes],
        }


@dataclass(frozen=True)
class AttributeSummary:
    """One value of a known attribute of the dataset, like a concept: present where the attribute has this value.

    adopted: name of the concept that follows it, None where there is none. labelled: as of a concept.
    """

    attribute: str
    value: str
    present: int
    absent: int
    adopted: str | None
    classes: tuple[Association, ...]
    labelled: bool = True

    def to_dict(self) -> dict[str, Any]:
        return {
            "attribute": self.attribute,
            "value": self.value,
            "present": self.present,
            "absent": self.absent,
            "adopted": self.adopted,
            "labelled": self.labelled,
            "classes": [association.to_dict() for association in self.classes],
        }


@dataclass(frozen=True)
class ConceptTable:
    """A concept by class and band of a direction. edges: (b+1,).

    classes: each class among all images. bands: each band among all images. cells[c][b]: band b among the images of
    class c, so its lift and odds ratio compare with the rest of that class: a concept that merely goes with the class
    shows none. labelled: as of a concept.
    """

    edges: tuple[float, ...]
    present: int
    absent: int
    classes: tuple[Association, ...]
    bands: tuple[Association, ...]
    cells: tuple[tuple[Association, ...], ...]
    labelled: bool = True

    def to_dict(self) -> dict[str, Any]:
        return {
            "edges": list(self.edges),
            "present": self.present,
            "absent": self.absent,
            "labelled": self.labelled,
            "classes": [one.to_dict() for one in self.classes],
            "bands": [one.to_dict() for one in self.bands],
            "cells": [[one.to_dict() for one in row] for row in self.cells],
        }


def summarise(workspace: Workspace, analysis: Analysis) -> tuple[ConceptSummary, ...]:
    """Every concept of the analysis's dataset with its tags and associations."""
    return tuple(
        replace(
            concept_summary(concept, answers(workspace, analysis, concept), analysis.labels, analysis.classes),
            labelled=analysis.labelled,
        )
        for concept in list_concepts(workspace, analysis.dataset_id)
    )


def summarise_attributes(analysis: Analysis, concepts: Sequence[Concept] = ()) -> tuple[AttributeSummary, ...]:
    """Every value of every known attribute, as if it were a concept; of two values the second only, since the first
    says the same the other way round. concepts: those among which adopted ones are looked for."""
    followed = {concept.attribute: concept.name for concept in concepts if concept.attribute is not None}
    found = []
    for attribute in analysis.attributes:
        for value in told_apart(attribute):
            states = attribute_states(attribute, value)
            classes = associations(states, analysis.labels, analysis.classes)
            counts = int((states == PRESENT).sum()), int((states == ABSENT).sum())
            adopted = followed.get((attribute.name, value))
            found.append(AttributeSummary(attribute.name, value, *counts, adopted, classes, analysis.labelled))
    return tuple(found)


def summarise_all(
    workspace: Workspace, analysis: Analysis
) -> tuple[tuple[ConceptSummary, ...], tuple[AttributeSummary, ...]]:
    """`summarise` and `summarise_attributes`."""
    concepts = summarise(workspace, analysis)
    return concepts, summarise_attributes(analysis, [summary.concept for summary in concepts])


def told_apart(attribute: Attribute) -> tuple[str, ...]:
    """The values that are treated as concepts: all, but of two the second only."""
    return attribute.values[1:] if len(attribute.values) == 2 else attribute.values


def attribute_states(attribute: Attribute, value: str) -> np.ndarray:
    """(n,) int8 like tag states: present where the attribute has this value, absent where it has another."""
    codes = np.asarray(attribute.codes)
    states = np.where(codes == attribute.values.index(value), PRESENT, ABSENT).astype(np.int8)
    states[codes < 0] = -1
    return states


def concept_summary(concept: Concept, states: np.ndarray, labels: np.ndarray, classes: Sequence[str]) -> ConceptSummary:
    """states: (n,) int8 tags or answers. labels: (n,) int."""
    return ConceptSummary(
        concept=concept,
        present=int((states == PRESENT).sum()),
        absent=int((states == ABSENT).sum()),
        unsure=int((states == UNSURE).sum()),
        classes=associations(states, labels, classes),
    )


def concept_table(
    workspace: Workspace, analysis: Analysis, concept: Concept, scores: np.ndarray, edges: np.ndarray
) -> ConceptTable:
    """A concept by class and band. scores: (n,) activations. edges: (b+1,) increasing."""
    return state_table(answers(workspace, analysis, concept), analysis, scores, edges)


def state_table(states: np.ndarray, analysis: Analysis, scores: np.ndarray, edges: np.ndarray) -> ConceptTable:
    """`concept_table` of (n,) int8 states, such as those of an attribute."""
    labels, names = np.asarray(analysis.labels), band_names(edges)
    bands = assign(scores, edges)
    return ConceptTable(
        edges=tuple(float(edge) for edge in edges),
        present=int((states == PRESENT).sum()),
        absent=int((states == ABSENT).sum()),
        classes=associations(states, labels, analysis.classes),
        bands=associations(states, bands, names),
        cells=tuple(
            associations(states[labels == label], bands[labels == label], names)
            for label in range(len(analysis.classes))
        ),
        labelled=analysis.labelled,
    )


def associations(states: np.ndarray, cells: np.ndarray, names: Sequence[str]) -> tuple[Association, ...]:
    """A concept's association with each cell. states: (n,) int8 tags. cells: (n,) int, -1 for none; names: of cells."""
    inside = cells >= 0
    images = np.bincount(cells[inside], minlength=len(names))
    present = np.bincount(cells[inside & (states == PRESENT)], minlength=len(names))
    absent = np.bincount(cells[inside & (states == ABSENT)], minlength=len(names))
    everywhere_yes, everywhere_no = int(present.sum()), int(absent.sum())
    lows, highs = wilson(present, present + absent)
    found = []
    for name, count, yes, no, low, high in zip(
        names, images.tolist(), present.tolist(), absent.tolist(), lows.tolist(), highs.tolist(), strict=True
    ):
        if yes + no == 0:
            found.append(Association(name, count, 0, 0))
            continue
        elsewhere_yes, elsewhere_no = everywhere_yes - yes, everywhere_no - no
        found.append(
            Association(
                name,
                count,
                yes,
                no,
                yes / (yes + no),
                low,
                high,
                *_lift(yes, no, elsewhere_yes, elsewhere_no),
                *_odds_ratio(yes, no, elsewhere_yes, elsewhere_no),
            )
        )
    return tuple(found)


def by_band(states: np.ndarray, scores: np.ndarray, edges: np.ndarray) -> tuple[Association, ...]:
    """A concept's association with each band of a direction. scores: (n,). edges: (b+1,), see `bands.assign`."""
    return associations(states, assign(scores, edges), band_names(edges))


def band_names(edges: np.ndarray) -> list[str]:
    return [f"{low:.3g} to {high:.3g}" for low, high in itertools.pairwise(edges)]


def _lift(a: int, b: int, c: int, d: int) -> tuple[float | None, float | None, float | None]:
    """Lift with its interval: no lift where the concept is nowhere present, no interval where nothing is elsewhere."""
    if a + c == 0:
        return None, None, None
    here, everywhere = a + b, a + b + c + d
    lift = (a / here) / ((a + c) / everywhere)
    if c + d == 0:
        return lift, None, None
    weight = here / everywhere
    half = 0.5 if 0 in (a, b, c, d) else 0.0
    yes, no, other_yes, other_no = a + half, b + half, c + half, d + half
    ratio = (yes / (yes + no)) / (other_yes / (other_yes + other_no))
    error = Z * math.sqrt(1 / yes - 1 / (yes + no) + 1 / other_yes - 1 / (other_yes + other_no))
    low, high = (
        scaled / (weight * scaled + 1 - weight) for scaled in (ratio * math.exp(-error), ratio * math.exp(error))
    )
    # with halves added the interval moves a little: it reaches what is so at least
    return lift, 0.0 if a == 0 else min(low, lift), 1 / weight if c == 0 else max(high, lift)


def _odds_ratio(a: int, b: int, c: int, d: int) -> tuple[float | None, float | None, float | None]:
    if c + d == 0:
        return None, None, None
    yes, no, other_yes, other_no = a + 0.5, b + 0.5, c + 0.5, d + 0.5
    ratio = yes * other_no / (no * other_yes)
    error = Z * math.sqrt(1 / yes + 1 / no + 1 / other_yes + 1 / other_no)
    return ratio, ratio * math.exp(-error), ratio * math.exp(error)
