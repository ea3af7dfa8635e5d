from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from core.concepts.concept import change_concept, create_concept, delete_concept, get_concept, list_concepts
from core.concepts.tags import redo, tag, tag_states, undo
from core.workspace import Workspace


def one(workspace: Workspace, dataset: str, number: int) -> Any:
    return next(concept for concept in list_concepts(workspace, dataset) if concept.id == number)


def test_undo_of_one_change_leaves_the_later_one_of_somebody_else(workspace: Workspace, dataset: str) -> None:
    water = create_concept(workspace, dataset, "water")
    change_concept(workspace, water, name="lake", role="core", author="Ann")
    change_concept(workspace, water, name="sea", author="Bob")
    undo(workspace, dataset, "Ann")
    assert (one(workspace, dataset, water.id).name, one(workspace, dataset, water.id).role) == ("sea", "confounder")
    undo(workspace, dataset, "Bob")
    assert one(workspace, dataset, water.id).name == "water"
    redo(workspace, dataset, "Ann")
    assert one(workspace, dataset, water.id).name == "lake"


@pytest.mark.parametrize("name", ["water", "<b>🐦</b>", "ماء", "x" * 200, "🐦" * 200])
def test_a_name_that_somebody_else_took_meanwhile_stays_theirs(workspace: Workspace, dataset: str, name: str) -> None:
    first = create_concept(workspace, dataset, name, author="Ann")
    change_concept(workspace, first, name="other", author="Ann")
    second = create_concept(workspace, dataset, name.upper(), author="Bob")
    undone = undo(workspace, dataset, "Ann")
    assert undone is not None
    assert len(undone.notes) == 1
    assert f"“{name.upper()}”" in undone.notes[0]
    back = one(workspace, dataset, first.id)
    assert back.name == f"{name[:196]} (2)"
    assert one(workspace, dataset, second.id).name == name.upper()
    assert get_concept(workspace, dataset, back.name).id == first.id
    undone = undo(workspace, dataset, "Bob")
    assert undone is not None
    assert undone.notes == (f"“{back.name}” is called “{name}” again.",)
    assert list_concepts(workspace, dataset) == (first,), "the clash is over"
    redone = redo(workspace, dataset, "Bob")
    assert redone is not None
    assert redone.notes == (f"Another concept is called “{name.upper()}” by now, so “{name}” is “{back.name}”.",)
    assert list_concepts(workspace, dataset) == (back, second), "what holds follows from what stands"


def test_a_deleted_concept_comes_back_beside_one_that_took_its_name_and_key(workspace: Workspace, dataset: str) -> None:
    water, snow = (create_concept(workspace, dataset, name, author="Ann") for name in ("water", "snow"))
    delete_concept(workspace, water, author="Ann")
    change_concept(workspace, snow, name="Water", shortcut=1, author="Bob")
    undone = undo(workspace, dataset, "Ann")
    assert undone is not None
    assert undone.sentence == "Deleted “water”"
    assert [(concept.name, concept.shortcut) for concept in list_concepts(workspace, dataset)] == [
        ("water (2)", 2),
        ("Water", 1),
    ]
    assert undone.notes == (
        "Another concept is called “Water” by now, so this one is “water (2)”.",
        "Key 1 is “Water” by now, so “water (2)” has key 2.",
    )
    changed = change_concept(workspace, one(workspace, dataset, water.id), color="#123456", author="Ann")
    assert (changed.name, changed.shortcut) == ("water (2)", 2)
    undone = undo(workspace, dataset, "Bob")
    assert undone is not None
    assert undone.notes == ("“water (2)” is called “water” again.", "“water” has key 1 again.")
    assert [(concept.name, concept.shortcut) for concept in list_concepts(workspace, dataset)] == [
        ("water", 1),
        ("snow", 2),
    ]


def test_a_concept_that_comes_back_alone_is_as_it_was(workspace: Workspace, dataset: str) -> None:
    """Ann deletes water, Bob makes his own snow water, Ann wants hers back, Bob takes everything back."""

    def shown() -> list[tuple[str, int | None]]:
        return [(each.name, each.shortcut) for each in list_concepts(workspace, dataset)]

    water = create_concept(workspace, dataset, "water", author="Ann")
    delete_concept(workspace, water, author="Ann")
    change_concept(workspace, create_concept(workspace, dataset, "snow", author="Bob"), name="water", author="Bob")
    undo(workspace, dataset, "Ann")
    assert shown() == [
        ("water (2)", 2),
        ("water", 1),
    ]
    undo(workspace, dataset, "Bob")
    assert shown() == [("water", 2), ("snow", 1)]
    undo(workspace, dataset, "Bob")
    assert list_concepts(workspace, dataset) == (water,)


def test_a_key_that_comes_back_when_all_nine_are_taken_waits_for_one(workspace: Workspace, dataset: str) -> None:
    water = create_concept(workspace, dataset, "water", author="Ann")
    delete_concept(workspace, water, author="Ann")
    for number in range(9):
        create_concept(workspace, dataset, f"{number}", author="Bob")
    undone = undo(workspace, dataset, "Ann")
    assert undone is not None
    assert undone.notes == ("Key 1 is “0” by now, so “water” has no key.",)
    assert one(workspace, dataset, water.id).shortcut is None
    delete_concept(workspace, get_concept(workspace, dataset, "7"), author="Bob")
    assert one(workspace, dataset, water.id).shortcut == 8
    undo(workspace, dataset, "Bob")
    assert one(workspace, dataset, water.id).shortcut is None


def test_a_concept_that_others_use_outlives_the_undo_of_its_making(
    workspace: Workspace, make_analysis: Any, dataset: str
) -> None:
    analysis = make_analysis(np.zeros((2, 1)), np.array([0, 1]))
    water = create_concept(workspace, dataset, "water", author="Ann")
    tag(workspace, analysis, water, [0], True, author="Bob")
    undone = undo(workspace, dataset, "Ann")
    assert undone is not None
    assert undone.notes == ("“water” stays, since others have used it by now.",)
    assert list_concepts(workspace, dataset) == (water,)
    assert tag_states(workspace, analysis, water).tolist() == [1, -1]
    undo(workspace, dataset, "Bob")
    assert list_concepts(workspace, dataset) == (), "nobody says anything of it any more"
    redo(workspace, dataset, "Bob")
    assert tag_states(workspace, analysis, list_concepts(workspace, dataset)[0]).tolist() == [1, -1]
