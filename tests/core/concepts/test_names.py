from __future__ import annotations

import pytest

from core.concepts.concept import change_concept, create_concept, get_concept, list_concepts
from core.errors import BadRequest
from core.workspace import Workspace


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
    assert create_concept(workspace, dataset, "\x1b\r0").name == "0"
    assert create_concept(workspace, dataset, "e\x07\u0301").name == "\u00e9"


def test_notes_keep_their_lines_and_nothing_that_no_page_can_hold(workspace: Workspace, dataset: str) -> None:
    water = create_concept(workspace, dataset, "water", note=" e\u0301\r\n<b>two</b>\x00\ud800\tthree\r\n")
    assert water.note == "\u00e9\n<b>two</b> three"
    assert change_concept(workspace, water, note="\x07 ماء \n\n🐦").note == "ماء \n\n🐦"
    assert change_concept(workspace, water, note="n" * 4000 + "  ").note == "n" * 4000
    with pytest.raises(BadRequest, match=r"note has 4,001 characters"):
        change_concept(workspace, water, note="n" * 4001)
    with pytest.raises(BadRequest, match=r"note has 4,001 characters"):
        create_concept(workspace, dataset, "snow", note="n" * 4001)
    assert [concept.name for concept in list_concepts(workspace, dataset)] == ["water"]
