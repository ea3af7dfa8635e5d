from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sqlalchemy import func, select

from core.concepts.adoption import adopt, adoptable
from core.concepts.concept import change_concept, create_concept, delete_concept, list_concepts
from core.concepts.merging import merge_concepts
from core.concepts.tags import answers, redo, said_states, tag, tag_states, tag_version, tags_of, undo
from core.database import TagRecord
from core.datasets.dataset import Attribute
from core.errors import BadRequest
from core.workspace import Workspace

PLACE = np.array([0, 1, 1, -1, 0])


@pytest.fixture
def analysis(make_analysis: Any) -> Any:
    return make_analysis(np.zeros((5, 1)), np.arange(5) % 2, place=PLACE)


def test_a_column_is_a_concept_without_a_row_per_image(workspace: Workspace, analysis: Any) -> None:
    assert adoptable(analysis) == (("place", "land", 2), ("place", "water", 2))
    before = tag_version(workspace, analysis.dataset_id)
    water = adopt(workspace, analysis, "place", "water", author="Ann")
    assert (water.name, water.attribute, water.shortcut) == ("place: water", ("place", "water"), 1)
    assert tag_states(workspace, analysis, water).tolist() == [0, 1, 1, -1, 0]
    assert said_states(workspace, analysis, water).tolist() == [-1] * 5
    assert tags_of(workspace, analysis, [3, 4, 1]) == {4: [("place: water", False)], 1: [("place: water", True)]}
    with workspace.reading() as session:
        assert session.scalar(select(func.count(TagRecord.id))) == 0
    assert adopt(workspace, analysis, "place", "water") == water
    assert tag_version(workspace, analysis.dataset_id) != before


def test_a_persons_word_wins_and_taken_back_the_column_holds_again(workspace: Workspace, analysis: Any) -> None:
    water = adopt(workspace, analysis, "place", "water")
    tag(workspace, analysis, water, [0, 3], True, author="Ann")
    tag(workspace, analysis, water, [1], "unsure", author="Ann")
    assert tag_states(workspace, analysis, water).tolist() == [1, -1, 1, 1, 0]
    assert answers(workspace, analysis, water).tolist() == [1, -2, 1, 1, 0]
    tag(workspace, analysis, water, [0], None, author="Ann")
    assert tag_states(workspace, analysis, water)[0] == 0
    for _ in range(3):
        undo(workspace, analysis.dataset_id, "Ann")
    assert tag_states(workspace, analysis, water).tolist() == [0, 1, 1, -1, 0]


def test_adopting_is_one_step_to_undo(workspace: Workspace, analysis: Any) -> None:
    adopt(workspace, analysis, "place", "water", author="Ann")
    undone = undo(workspace, analysis.dataset_id, "Ann")
    assert undone is not None
    assert undone.sentence == "Adopted the column place = water as “place: water”"
    assert list_concepts(workspace, analysis.dataset_id) == ()
    redo(workspace, analysis.dataset_id, "Ann")
    (water,) = list_concepts(workspace, analysis.dataset_id)
    assert tag_states(workspace, analysis, water).tolist() == [0, 1, 1, -1, 0]
    delete_concept(workspace, water)
    assert adopt(workspace, analysis, "place", "water").id == water.id


def test_a_concept_of_a_person_with_the_same_name_stays_what_it_is(workspace: Workspace, analysis: Any) -> None:
    own = create_concept(workspace, analysis.dataset_id, "Place: WATER")
    water = adopt(workspace, analysis, "place", "water")
    assert (water.name, water.id == own.id) == ("place: water (2)", False)
    assert tag_states(workspace, analysis, own).tolist() == [-1] * 5


def test_unknown_columns_and_values_are_refused_with_those_there_are(workspace: Workspace, analysis: Any) -> None:
    for attribute, value in (("place", "moon"), ("weather", "rain")):
        with pytest.raises(BadRequest) as caught:
            adopt(workspace, analysis, attribute, value)
        assert "place: land, water" in caught.value.next_step
    with pytest.raises(BadRequest, match="no column"):
        adopt(workspace, replace(analysis, attributes=()), "place", "water")


def test_a_mere_yes_is_named_after_its_column_and_long_names_are_cut(workspace: Workspace, analysis: Any) -> None:
    columns = (Attribute("smiling", ("0", "1"), PLACE), Attribute("x" * 300, ("<b>ماء</b>", "1"), PLACE))
    many = replace(analysis, attributes=columns)
    many.__dict__["images"] = analysis.images
    assert adopt(workspace, many, "smiling", "1").name == "smiling"
    assert adopt(workspace, many, "smiling", "0").name == "smiling: 0"
    assert adopt(workspace, many, "x" * 300, "1").name == "x" * 200
    assert adopt(workspace, many, "x" * 300, "<b>ماء</b>").name == "x" * 196 + " (2)"


def test_a_column_that_the_dataset_no_longer_has_says_nothing(workspace: Workspace, analysis: Any) -> None:
    water = adopt(workspace, analysis, "place", "water")
    tag(workspace, analysis, water, [4], True)
    bare = replace(analysis, attributes=())
    bare.__dict__["images"] = analysis.images
    assert tag_states(workspace, bare, water).tolist() == [-1, -1, -1, -1, 1]


def test_merging_passes_the_column_on_and_two_columns_do_not_merge(workspace: Workspace, analysis: Any) -> None:
    own = create_concept(workspace, analysis.dataset_id, "sea")
    tag(workspace, analysis, own, [1], False)
    water = adopt(workspace, analysis, "place", "water")
    land = adopt(workspace, analysis, "place", "land")
    with pytest.raises(BadRequest, match="different columns"):
        merge_concepts(workspace, water, land)
    merged = merge_concepts(workspace, own, water)
    assert merged.attribute == ("place", "water")
    assert tag_states(workspace, analysis, merged).tolist() == [0, 0, 1, -1, 0]
    undo(workspace, analysis.dataset_id)
    assert tag_states(workspace, analysis, own).tolist() == [-1, 0, -1, -1, -1]
    assert [concept.attribute for concept in list_concepts(workspace, analysis.dataset_id)] == [
        None,
        ("place", "water"),
        ("place", "land"),
    ]


def test_a_deleted_concept_of_a_person_says_nothing_over_the_column(workspace: Workspace, analysis: Any) -> None:
    own = create_concept(workspace, analysis.dataset_id, "place: water")
    tag(workspace, analysis, own, [0, 4], True)
    delete_concept(workspace, own)
    water = adopt(workspace, analysis, "place", "water")
    assert (water.name, water.id == own.id) == ("place: water (2)", False)
    assert tag_states(workspace, analysis, water).tolist() == [0, 1, 1, -1, 0]
    assert create_concept(workspace, analysis.dataset_id, "place: water").id == own.id


def test_one_that_followed_the_column_comes_back_whatever_it_is_called(workspace: Workspace, analysis: Any) -> None:
    water = change_concept(workspace, adopt(workspace, analysis, "place", "water"), name="sea")
    tag(workspace, analysis, water, [0], True)
    delete_concept(workspace, water)
    taken = create_concept(workspace, analysis.dataset_id, "other")
    change_concept(workspace, taken, name="Sea")
    back = adopt(workspace, analysis, "place", "water", author="Ann")
    assert (back.id, back.name, back.shortcut) == (water.id, "sea (2)", 2)
    assert tag_states(workspace, analysis, back).tolist() == [1, 1, 1, -1, 0]
    undo(workspace, analysis.dataset_id, "Ann")
    assert [concept.name for concept in list_concepts(workspace, analysis.dataset_id)] == ["Sea"]
