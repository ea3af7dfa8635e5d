from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from core.concepts.concept import create_concept, delete_concept
from core.concepts.guesses import accept_guesses
from core.concepts.standing import said_of, standing_by
from core.concepts.tags import ABSENT, PRESENT, UNSURE, UNTAGGED, answers, redo, tag, undo
from core.errors import NotFound
from core.workspace import Workspace


@pytest.fixture
def analysis(make_analysis: Any) -> Any:
    return make_analysis(np.zeros((6, 1)), np.array([0, 1, 0, 1, 0, 1]))


def test_both_values_are_one_step_and_no_answer_is_overwritten(workspace: Workspace, analysis: Any) -> None:
    water = create_concept(workspace, analysis.dataset_id, "water")
    tag(workspace, analysis, water, [1], "unsure", author="Ann")
    tag(workspace, analysis, water, [3], True, author="Bob")
    done = accept_guesses(workspace, analysis, water, [0, 1, 1], [2, 3], author="Ann", how="review")
    assert done.rows.tolist() == [0, 2]
    said = [PRESENT, UNSURE, ABSENT, PRESENT, UNTAGGED, UNTAGGED]
    assert answers(workspace, analysis, water).tolist() == said
    undone = undo(workspace, analysis.dataset_id, "Ann")
    assert undone is not None
    assert (undone.id, undone.images) == (done.action, 2)
    assert answers(workspace, analysis, water).tolist() == [-1, UNSURE, -1, PRESENT, -1, -1]
    redo(workspace, analysis.dataset_id, "Ann")
    assert answers(workspace, analysis, water).tolist() == said
    assert accept_guesses(workspace, analysis, water, [0], [3], author="Ann").action is None


def test_a_concept_that_is_gone_takes_no_guesses(workspace: Workspace, analysis: Any) -> None:
    water = create_concept(workspace, analysis.dataset_id, "water")
    delete_concept(workspace, water)
    with pytest.raises(NotFound):
        accept_guesses(workspace, analysis, water, [0], [], author="Ann")


def test_whose_statement_holds(workspace: Workspace, analysis: Any) -> None:
    water = create_concept(workspace, analysis.dataset_id, "water")
    first = tag(workspace, analysis, water, [0, 1], True, author="Ann")
    second = tag(workspace, analysis, water, [1], True, author="Bob")
    found = [standing_by(workspace, analysis, water, row, ("Ann", "Cid")) for row in (0, 1, 2)]
    assert found == [first, None, None]
    assert standing_by(workspace, analysis, water, 1, ("Bob",)) == second
    undo(workspace, analysis.dataset_id, "Bob")
    assert standing_by(workspace, analysis, water, 1, ("Ann",)) == first


def test_what_people_said_of_images(workspace: Workspace, analysis: Any) -> None:
    water, tree = (create_concept(workspace, analysis.dataset_id, name) for name in ("water", "tree"))
    tag(workspace, analysis, tree, [0, 1], "unsure")
    tag(workspace, analysis, water, [0], False)
    tag(workspace, analysis, tree, [1], None)
    assert said_of(workspace, analysis, [0, 1, 2]) == {0: [("water", False), ("tree", "unsure")]}
    delete_concept(workspace, water)
    assert said_of(workspace, analysis, range(6)) == {0: [("tree", "unsure")]}
