"""What is asked in the story of one class."""

from __future__ import annotations

from typing import Any

import numpy as np

from core.concepts.concept import create_concept
from core.concepts.questions import FEW_CLASSES, answered, questions
from core.concepts.suggestions import suggest_next
from core.concepts.tags import tag
from core.workspace import Workspace


def among(make_analysis: Any, k: int, n: int = 300) -> Any:
    labels = np.arange(n) % k
    return make_analysis(np.random.default_rng(0).normal(size=(n, 12)), labels)


def test_with_few_classes_the_questions_are_those_of_tagging(workspace: Workspace, make_analysis: Any) -> None:
    analysis = among(make_analysis, FEW_CLASSES)
    concept = create_concept(workspace, analysis.dataset_id, "water")
    usual = [one.row for one in suggest_next(workspace, analysis, concept, budget=20)]
    assert questions(workspace, analysis, concept, 1, budget=20).tolist() == usual


def test_with_many_classes_they_are_about_the_one_at_hand(workspace: Workspace, make_analysis: Any) -> None:
    analysis = among(make_analysis, FEW_CLASSES + 1)
    concept = create_concept(workspace, analysis.dataset_id, "water")
    first = questions(workspace, analysis, concept, 3, budget=20)
    assert len(set(first.tolist())) == 20
    assert ((analysis.labels[first] == 3) | (analysis.predicted[first] == 3)).all()
    # some are mistakes for it, not only its own
    assert (analysis.labels[first] != 3).any()
    tag(workspace, analysis, concept, first, True)
    assert not np.isin(questions(workspace, analysis, concept, 3, budget=20), first).any()


def test_what_was_answered_and_whether_there_is_more(workspace: Workspace, make_analysis: Any) -> None:
    analysis = among(make_analysis, 2, n=12)
    concept = create_concept(workspace, analysis.dataset_id, "water")
    tag(workspace, analysis, concept, [1, 3], True)
    tag(workspace, analysis, concept, [0, 2, 5], False)
    said = answered(workspace, analysis, concept)
    assert (said.present.tolist(), said.absent.tolist(), said.count, said.more) == ([1, 3], [0, 2, 5], 5, True)
    tag(workspace, analysis, concept, range(12), False)
    said = answered(workspace, analysis, concept)
    assert (said.count, said.more) == (12, False)
    assert len(questions(workspace, analysis, concept, 0, budget=20)) == 0
