"""Somebody who answers "which images to tag next" from a dataset's own attribute, for the benchmarks of the recipe.

A concept is present or absent, so an attribute of two values is one concept (its second value), and one of more values
is one concept per value, as adopting a metadata column makes them. An image is looked at once and every concept
answered then; a wrong answer takes another value for the true one. Budgets count images looked at.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.activations.store import Analysis
from core.concepts.concept import create_concept
from core.concepts.suggestions import suggest_next
from core.concepts.tags import tag, tagging_split
from core.settings import DEFAULTS
from core.workspace import Workspace


@dataclass(frozen=True)
class Condition:
    """One line of a table. budget: images looked at. wrong: share of them answered wrongly. random: images drawn at
    random instead of suggested. batch: images answered before the queue is asked again, which plans for the usual
    budget as it does on the page; None for all at once, planned for `budget`. demand: share of the gap that has to be
    regained, None where nothing is demanded."""

    title: str
    budget: int
    wrong: float = 0.0
    random: bool = False
    method: str = "mid"
    batch: int | None = None
    demand: float | None = None

    @property
    def is_drawn(self) -> bool:
        return self.random or self.wrong > 0


def answer(
    workspace: Workspace, analysis: Analysis, condition: Condition, name: str, rng: np.random.Generator
) -> tuple[str, ...]:
    """Tag as a person would who knows the attribute, and errs as often as the condition says.

    name: of the concept, or what the names of several begin with. Returns the names of the concepts.
    """
    attribute = analysis.attributes[0]
    count = len(attribute.values)
    values = (1,) if count == 2 else tuple(range(count))
    names = (name,) if count == 2 else tuple(f"{name} {attribute.values[value]}" for value in values)
    concepts = tuple(create_concept(workspace, analysis.dataset_id, each) for each in names)
    choices = analysis.split_rows(tagging_split(analysis))
    budget = min(condition.budget, len(choices))
    queue = rng.choice(choices, budget, replace=False) if condition.random else None
    slips = np.zeros(budget, dtype=bool)
    slips[rng.choice(budget, round(condition.wrong * budget), replace=False)] = True
    done = 0
    while done < budget:
        size = min(condition.batch or budget, budget - done)
        if queue is None:
            planned = budget if condition.batch is None else max(budget, DEFAULTS.tag_budget)
            asked = suggest_next(
                workspace, analysis, concepts[done // size % len(concepts)], budget=max(planned - done, size)
            )
            rows = np.array([item.row for item in asked[:size]], dtype=np.int64)
        else:
            rows = queue[done : done + size]
        if not len(rows):
            break
        said = attribute.codes[rows].astype(np.int64)
        wrong = slips[done : done + len(rows)]
        said[wrong] = (said[wrong] + (1 if count == 2 else rng.integers(1, count, int(wrong.sum())))) % count
        for concept, value in zip(concepts, values, strict=True):
            for present in (True, False):
                if ((said == value) == present).any():
                    tag(workspace, analysis, concept, rows[(said == value) == present], present)
        done += len(rows)
    return names
