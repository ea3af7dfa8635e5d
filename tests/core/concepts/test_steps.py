"""What can be undone and redone is known beforehand, and is what undo and redo then do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from core.concepts.concept import create_concept
from core.concepts.steps import Said, Steps, said_in, steps
from core.concepts.tags import redo, tag, undo
from core.workspace import Workspace


@pytest.fixture
def analysis(make_analysis: Any) -> Any:
    return make_analysis(np.zeros((4, 1)), np.arange(4) % 2)


def test_what_can_be_undone_and_redone_is_what_undo_and_redo_do(workspace: Workspace, analysis: Any) -> None:
    def now(*authors: str) -> Steps:
        return steps(workspace, analysis.dataset_id, authors)

    assert now("Ada") == Steps(False, False)
    concept = create_concept(workspace, analysis.dataset_id, "water", author="Ada")
    assert now("Ada") == Steps(True, False)
    assert now("Bo") == now() == Steps(False, False)
    assert now("Bo", "Ada") == Steps(True, False)
    tag(workspace, analysis, concept, [1], True, author="Ada")
    assert undo(workspace, analysis.dataset_id, "Ada") is not None
    assert now("Ada") == Steps(True, True)
    assert undo(workspace, analysis.dataset_id, "Ada") is not None
    assert now("Ada") == Steps(False, True)
    assert now("Bo") == Steps(False, False)
    assert redo(workspace, analysis.dataset_id, "Ada") is not None
    assert now("Ada") == Steps(True, True)
    # who does something else has nothing to redo any more
    tag(workspace, analysis, concept, [2], True, author="Ada")
    assert now("Ada") == Steps(True, False)
    assert redo(workspace, analysis.dataset_id, "Ada") is None


def test_single_answers_are_told_with_their_image(workspace: Workspace, analysis: Any) -> None:
    concept = create_concept(workspace, analysis.dataset_id, "water")
    names = analysis.image_names([0, 1, 2])
    one = tag(workspace, analysis, concept, [0], True)
    other = tag(workspace, analysis, concept, [1], "unsure")
    many = tag(workspace, analysis, concept, [1, 2], False)
    assert said_in(workspace, [one, other, many, 99]) == {
        one: Said(names[0], "present"),
        other: Said(names[1], "unsure"),
    }
    assert said_in(workspace, []) == {}
    singles = [tag(workspace, analysis, concept, [0], True) for _ in range(3)]
    assert set(said_in(workspace, range(1, 1200))) == {one, other, *singles}, "more than fit into one query"
