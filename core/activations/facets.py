"""Facets: ways to split the images of an analysis into a few named parts.

class              the dataset's label
prediction         the model's answer
correctness        wrong or right
split              train, val, test: those there are
attribute:NAME     something the dataset knows of its images
concept:NAME       what people tagged: absent, present, not tagged
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from core.datasets.dataset import SPLITS
from core.errors import NotFound
from core.files import release

if TYPE_CHECKING:
    from core.activations.store import Analysis
    from core.datasets.dataset import Attribute

ConceptStates = Callable[[str], np.ndarray]
"""Name of a concept -> (n,) int8 tag states: 1 present, 0 absent, -1 not tagged."""

CORRECTNESS = ("wrong", "right")
CONCEPT_VALUES = ("absent", "present", "not tagged")


@dataclass(frozen=True, eq=False)
class Facet:
    """values: names of the parts. codes: (n,) small int, index into values, -1 unknown."""

    spec: str
    title: str
    values: tuple[str, ...]
    codes: np.ndarray


def parse_facet(spec: str, analysis: Analysis, *, states: ConceptStates | None = None) -> Facet:
    """Read a facet as links and the command line write it.

    states: gives the tag states of a concept by name; without it, `concept:` facets are not found. Raises `NotFound`
    saying what exists, and `BadRequest` for correctness where there are no labels.
    """
    spec = spec.strip()
    values = facet_values(spec, analysis)
    kind, _, name = spec.partition(":")
    if spec == "class":
        return Facet(spec, "class", values, _small(analysis.labels, len(values)))
    if spec == "prediction":
        return Facet(spec, "prediction", values, _small(analysis.predicted, len(values)))
    if spec == "correctness":
        analysis.need_labels()
        return Facet(spec, "correctness", values, (analysis.predicted == analysis.labels).astype(np.int8))
    if spec == "split":
        place = np.full(len(SPLITS), -1, dtype=np.int8)
        place[[SPLITS.index(value) for value in values]] = np.arange(len(values))
        return Facet(spec, "split", values, place[analysis.splits])
    if kind == "attribute":
        attribute = _attribute(analysis, name)
        return Facet(f"attribute:{attribute.name}", attribute.name, values, _small(attribute.codes, len(values)))
    if states is None:
        raise NotFound(f"There is no concept “{name}”.", next_step="Make the concept and tag images with it first.")
    held = np.asarray(states(name))
    return Facet(spec, name, values, np.where(held < 0, 2, held).astype(np.int8))


def facet_values(spec: str, analysis: Analysis) -> tuple[str, ...]:
    """Names of a facet's parts, without looking at a single image's. Raises `NotFound` as `parse_facet` does."""
    spec = spec.strip()
    kind, separator, name = spec.partition(":")
    if spec in ("class", "prediction"):
        return analysis.classes
    if spec == "correctness":
        return CORRECTNESS
    if spec == "split":
        return analysis.split_names
    if kind == "attribute" and separator:
        return tuple(_attribute(analysis, name).values)
    if kind == "concept" and name:
        return CONCEPT_VALUES
    raise NotFound(
        f"“{spec}” is not a way to split the images.",
        next_step="Use class, prediction, correctness, split, attribute:NAME or concept:NAME.",
    )


def facet_specs(analysis: Analysis, concepts: Sequence[str] = ()) -> tuple[tuple[str, str], ...]:
    """(spec, title) of every facet there is; split only where there is more than one. concepts: their names.

    Without labels the class is what the model predicted, and is called so.
    """
    found = [("class", "class"), ("prediction", "prediction"), ("correctness", "correctness")]
    if not analysis.labelled:
        found = [("class", "prediction")]
    if len(analysis.split_names) > 1:
        found.append(("split", "split"))
    found += [(f"attribute:{attribute.name}", attribute.name) for attribute in analysis.attributes]
    return (*found, *((f"concept:{name}", name) for name in concepts))


def _attribute(analysis: Analysis, name: str) -> Attribute:
    for same in (str, str.casefold):
        for attribute in analysis.attributes:
            if same(attribute.name.strip()) == same(name.strip()):
                return attribute
    names = ", ".join(attribute.name for attribute in analysis.attributes)
    raise NotFound(
        f"The dataset knows no attribute “{name}”.",
        next_step=f"Its attributes are: {names}." if names else "It has none; use class, prediction or correctness.",
    )


def _small(codes: np.ndarray, count: int) -> np.ndarray:
    """Codes 0..count-1 and -1 in the smallest signed type."""
    small = np.asarray(codes).astype(np.min_scalar_type(-max(count, 1)))
    release(codes)
    return small
