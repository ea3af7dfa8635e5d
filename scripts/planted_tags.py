"""Answers of somebody who sees what was planted, for pictures, benchmarks and tests."""

from __future__ import annotations

import numpy as np

from core.activations.store import Analysis
from core.concepts.concept import create_concept
from core.concepts.suggestions import suggest_next
from core.concepts.tags import tag
from core.workspace import Workspace


def tag_by_truth(workspace: Workspace, analysis: Analysis, count: int, name: str = "water background") -> None:
    """Create a concept and answer the queue's first `count` questions: the second value of the first known attribute
    is it, such as water."""
    concept = create_concept(workspace, analysis.dataset_id, name)
    rows = np.array([item.row for item in suggest_next(workspace, analysis, concept, budget=60)[:count]])
    shows = analysis.attributes[0].codes[rows] == 1
    tag(workspace, analysis, concept, rows[shows], True)
    tag(workspace, analysis, concept, rows[~shows], False)
