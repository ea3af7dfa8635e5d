from __future__ import annotations

from typing import Any

import pytest

from core.concepts import concept as concepts
from core.concepts.concept import change_concept, create_concept, delete_concept, get_concept, list_concepts
from core.concepts.tags import redo, undo
from core.errors import BadRequest, NotFound
from core.workspace import Workspace


def one(workspace: Workspace, dataset: str, number: int) -> Any:
    return next(concept for concept in list_concepts(workspace, dataset) if concept.id == number)


def test_colours_differ_until_the_palette_is_used_up(workspace: Workspace, dataset: str) -> None:
    made = [create_concept(workspace, dataset, f"concept {i}").color for i in range(2 * len(concepts.PALETTE))]
    assert sorted(made) == sorted(concepts.PALETTE * 2)
    assert len(set(made[: len(concepts.PALETTE)])) == len(concepts.PALETTE)


def test_unknown_concept_says_which_exist(workspace: Workspace, dataset: str) -> None:
    create_concept(workspace, dataset, "water")
    with pytest.raises(NotFound) as caught:
        get_concept(workspace, dataset, "watr")
    assert "water" in caught.value.next_step


def test_unknown_dataset_is_refused(workspace: Workspace) -> None:
    with pytest.raises(NotFound):
        create_concept(workspace, "nowhere", "water")


def test_renaming_keeps_the_concept_and_refuses_a_name_in_use(workspace: Workspace, dataset: str) -> None:
    water, snow = (create_concept(workspace, dataset, name) for name in ("water", "snow"))
    assert change_concept(workspace, water, name="Lake").id == water.id
    assert change_concept(workspace, snow, name="SNOW").name == "SNOW", "a change of case is no conflict"
    with pytest.raises(BadRequest):
        change_concept(workspace, snow, name="lake")


def test_deleted_concept_is_gone_until_its_name_is_made_again(workspace: Workspace, dataset: str) -> None:
    water = create_concept(workspace, dataset, "water")
    delete_concept(workspace, water)
    assert list_concepts(workspace, dataset) == ()
    with pytest.raises(NotFound):
        get_concept(workspace, dataset, "water")
    with pytest.raises(NotFound):
        change_concept(workspace, water, note="x")
    assert create_concept(workspace, dataset, "Water").id == water.id


def test_a_living_concept_may_take_the_name_of_a_deleted_one(workspace: Workspace, dataset: str) -> None:
    water, lake = (create_concept(workspace, dataset, name) for name in ("water", "lake"))
    delete_concept(workspace, water)
    assert change_concept(workspace, lake, name="water").id == lake.id
    assert get_concept(workspace, dataset, "water").id == lake.id


@pytest.mark.parametrize("wrong", [{"role": "villain"}, {"color": "blue"}, {"color": "#12"}])
def test_unknown_role_or_colour_is_refused(workspace: Workspace, dataset: str, wrong: dict[str, str]) -> None:
    with pytest.raises(BadRequest):
        create_concept(workspace, dataset, "water", **wrong)


def test_changes_are_stored(workspace: Workspace, dataset: str) -> None:
    water = create_concept(workspace, dataset, "water")
    change_concept(workspace, water, color="#123abc", role="wrong-label", note="blue below")
    found = get_concept(workspace, dataset, "water")
    assert (found.color, found.role, found.note) == ("#123abc", "wrong-label", "blue below")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"name": "Lake"}, "Renamed “water” to “Lake”"),
        ({"color": "#123abc"}, "Gave “water” another colour"),
        ({"role": "core"}, "Set the role of “water” to core"),
        ({"note": "blue"}, "Changed the note of “water”"),
        ({"shortcut": 7}, "Gave “water” the key 7"),
        ({"shortcut": 0}, "Took the key of “water” away"),
        ({"name": "Lake", "role": "other", "note": "x"}, "Changed name, role and note of “Lake”"),
    ],
)
def test_every_change_is_undone_and_done_again_exactly(
    workspace: Workspace, dataset: str, change: dict[str, Any], sentence: str
) -> None:
    water = create_concept(workspace, dataset, "water", note="n")
    changed = change_concept(workspace, water, **change, author="Ann")
    undone = undo(workspace, dataset, "Ann")
    assert undone is not None
    assert (undone.sentence, undone.notes) == (sentence, ())
    assert list_concepts(workspace, dataset) == (water,)
    redo(workspace, dataset, "Ann")
    assert list_concepts(workspace, dataset) == (changed,)
    undo(workspace, dataset, "Ann")
    assert undo(workspace, dataset, "Ann") is None
    undo(workspace, dataset)
    assert list_concepts(workspace, dataset) == ()
    redo(workspace, dataset)
    assert list_concepts(workspace, dataset) == (water,)


def test_a_change_that_changes_nothing_is_no_step(workspace: Workspace, dataset: str) -> None:
    water = create_concept(workspace, dataset, "water", role="core", note="n")
    change_concept(workspace, water, name="water", role="core", note="n", shortcut=1, author="Ann")
    assert create_concept(workspace, dataset, "WATER", author="Ann") == water
    assert undo(workspace, dataset, "Ann") is None
