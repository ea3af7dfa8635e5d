from __future__ import annotations

from typing import Any

import pytest

from core.concepts.concept import change_concept, create_concept, delete_concept, list_concepts
from core.concepts.tags import redo, undo
from core.errors import BadRequest
from core.workspace import Workspace


def one(workspace: Workspace, dataset: str, number: int) -> Any:
    return next(concept for concept in list_concepts(workspace, dataset) if concept.id == number)


def test_a_concept_is_made_with_its_key_in_one_step(workspace: Workspace, dataset: str) -> None:
    create_concept(workspace, dataset, "first")
    assert create_concept(workspace, dataset, "water", shortcut=7).shortcut == 7
    assert create_concept(workspace, dataset, "taken", shortcut=7).shortcut == 2
    assert create_concept(workspace, dataset, "none", shortcut=0).shortcut is None
    with pytest.raises(BadRequest, match="10 is not a number key"):
        create_concept(workspace, dataset, "far", shortcut=10)
    undone = [undo(workspace, dataset) for _ in range(4)]
    assert [None if action is None else action.concept for action in undone] == ["none", "taken", "water", "first"]
    assert list_concepts(workspace, dataset) == ()
    for _ in range(4):
        redo(workspace, dataset)
    assert [concept.shortcut for concept in list_concepts(workspace, dataset)] == [1, 7, 2, None]


def test_keys_are_the_lowest_free_ones_and_run_out_after_nine(workspace: Workspace, dataset: str) -> None:
    made = [create_concept(workspace, dataset, f"concept {i}") for i in range(11)]
    assert [concept.shortcut for concept in made] == [*range(1, 10), None, None]
    delete_concept(workspace, made[3])
    assert create_concept(workspace, dataset, "next").shortcut == 4


def test_a_key_that_is_taken_is_exchanged_and_comes_back_with_one_undo(workspace: Workspace, dataset: str) -> None:
    water, snow = (create_concept(workspace, dataset, name) for name in ("water", "snow"))
    assert change_concept(workspace, snow, shortcut=1).shortcut == 1
    assert one(workspace, dataset, water.id).shortcut == 2
    undo(workspace, dataset)
    assert [concept.shortcut for concept in list_concepts(workspace, dataset)] == [1, 2]
    assert change_concept(workspace, snow, shortcut=0).shortcut is None
    assert change_concept(workspace, snow, shortcut=9).shortcut == 9


@pytest.mark.parametrize("shortcut", [-1, 10, True])
def test_only_the_number_keys_are_keys(workspace: Workspace, dataset: str, shortcut: int) -> None:
    water = create_concept(workspace, dataset, "water")
    with pytest.raises(BadRequest):
        change_concept(workspace, water, shortcut=shortcut)
