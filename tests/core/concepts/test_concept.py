from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from core.concepts import concept as concepts
from core.concepts.concept import change_concept, create_concept, delete_concept, get_concept, list_concepts
from core.errors import BadRequest, NotFound
from core.workspace import Workspace


@pytest.fixture
def dataset(make_analysis: Any) -> str:
    return make_analysis(np.zeros((2, 1)), np.array([0, 1])).dataset_id


def test_names_equal_but_for_case_are_one_concept(workspace: Workspace, dataset: str) -> None:
    made = create_concept(workspace, dataset, "Water background")
    assert create_concept(workspace, dataset, "  water   BACKGROUND ") == made
    assert get_concept(workspace, dataset, "WATER background") == made
    assert len(list_concepts(workspace, dataset)) == 1


def test_composed_and_decomposed_letters_are_one_concept(workspace: Workspace, dataset: str) -> None:
    assert create_concept(workspace, dataset, "e\u0301toile") == create_concept(workspace, dataset, "\u00e9TOILE")


@pytest.mark.parametrize("name", ["", "   ", "\t\n", "\x00", "x" * 201])
def test_unusable_names_are_refused(workspace: Workspace, dataset: str, name: str) -> None:
    with pytest.raises(BadRequest):
        create_concept(workspace, dataset, name)


@pytest.mark.parametrize("name", ["<img src=x onerror=alert(1)>", "水の背景", "🐦" * 200, "=cmd()", 'a"b,c;d'])
def test_any_printable_name_is_kept_as_it_is(workspace: Workspace, dataset: str, name: str) -> None:
    create_concept(workspace, dataset, name)
    assert get_concept(workspace, dataset, name).name == name


def test_line_breaks_become_spaces(workspace: Workspace, dataset: str) -> None:
    assert create_concept(workspace, dataset, "water\r\n background\x07").name == "water background"


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
