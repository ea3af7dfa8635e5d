from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from core.concepts import concept as concepts
from core.concepts.concept import (
    Concept,
    change_concept,
    create_concept,
    delete_concept,
    get_concept,
    list_concepts,
    merge_concepts,
)
from core.concepts.exchange import load_tags
from core.concepts.exchange.gathering import gather
from core.concepts.tags import answers, redo, suggest_members, suggested_members, tag, tag_states, undo
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
    assert create_concept(workspace, dataset, "\x1b\r0").name == "0"
    assert create_concept(workspace, dataset, "e\x07\u0301").name == "\u00e9"


def test_colours_differ_until_the_palette_is_used_up(workspace: Workspace, dataset: str) -> None:
    made = [create_concept(workspace, dataset, f"concept {i}").color for i in range(2 * len(concepts.PALETTE))]
    assert sorted(made) == sorted(concepts.PALETTE * 2)
    assert len(set(made[: len(concepts.PALETTE)])) == len(concepts.PALETTE)


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


def one(workspace: Workspace, dataset: str, number: int) -> Any:
    return next(concept for concept in list_concepts(workspace, dataset) if concept.id == number)


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


def test_merging_adds_what_was_said_and_overwrites_nothing(
    workspace: Workspace, make_analysis: Any, dataset: str
) -> None:
    analysis = make_analysis(np.zeros((5, 1)), np.arange(5) % 2)
    lake, sea = (create_concept(workspace, dataset, name) for name in ("lake", "sea"))
    tag(workspace, analysis, lake, [0], True)
    tag(workspace, analysis, lake, [1], "unsure")
    tag(workspace, analysis, lake, [2], False)
    tag(workspace, analysis, lake, [2], None)
    tag(workspace, analysis, sea, [0, 1, 2], False)
    tag(workspace, analysis, sea, [3], "unsure")
    before = [answers(workspace, analysis, concept).tolist() for concept in (lake, sea)]
    assert merge_concepts(workspace, lake, sea, author="Ann") == lake
    assert list_concepts(workspace, dataset) == (lake,)
    assert answers(workspace, analysis, lake).tolist() == [1, -2, 0, -2, -1]
    tag(workspace, analysis, lake, [4], True, author="Bob")
    undone = undo(workspace, dataset, "Ann")
    assert undone is not None
    assert undone.sentence == "Merged “sea” into “lake”"
    assert list_concepts(workspace, dataset) == (lake, sea)
    after = [answers(workspace, analysis, concept).tolist() for concept in (lake, sea)]
    assert after == [[*before[0][:4], 1], before[1]]
    redo(workspace, dataset, "Ann")
    assert answers(workspace, analysis, lake).tolist() == [1, -2, 0, -2, 1]


def test_what_cannot_be_merged_is_refused_with_a_sentence(workspace: Workspace, dataset: str) -> None:
    lake, sea = (create_concept(workspace, dataset, name) for name in ("lake", "sea"))
    with pytest.raises(BadRequest):
        merge_concepts(workspace, lake, lake)
    merge_concepts(workspace, lake, sea)
    with pytest.raises(NotFound):
        merge_concepts(workspace, lake, sea)


def test_merged_tags_keep_who_said_them_when_how_and_from_which_band(
    workspace: Workspace, make_analysis: Any, dataset: str
) -> None:
    analysis = make_analysis(np.zeros((4, 1)), np.arange(4) % 2)
    lake, sea, pond = (create_concept(workspace, dataset, name) for name in ("lake", "sea", "pond"))
    tag(workspace, analysis, sea, [0, 1], True, author="Ann", direction="logit:x", low=-1, high=2, how="band")
    tag(workspace, analysis, sea, [1], False, author="Bob", source="review")
    file = "image,concept,present,author,how,time\r\nimages/000002.png,sea,1,Cy,card,2020-01-02T03:04:05\r\n"
    load_tags(workspace, analysis, file.encode(), "sea.csv", author="Dee")
    before = gather(workspace, analysis).statements
    merge_concepts(workspace, pond, sea, author="Eve")
    merge_concepts(workspace, lake, pond, author="Eve")
    after = gather(workspace, analysis).statements
    assert [(one.image, one.concept, one.said) for one in after] == [
        ("images/000000.png", "lake", True),
        ("images/000001.png", "lake", False),
        ("images/000002.png", "lake", True),
    ]
    assert [one.origin for one in after] == [one.origin for one in before]
    assert [one.origin.author for one in after] == ["Ann", "Bob", "Cy"]
    assert (after[0].origin.direction, after[0].origin.low, after[0].origin.how) == ("logit:x", -1, "band")
    undo(workspace, dataset, "Eve")
    undo(workspace, dataset, "Eve")
    assert gather(workspace, analysis).statements == before


def test_merging_carries_suggestions_over_and_undo_gives_them_back(
    workspace: Workspace, make_analysis: Any, dataset: str
) -> None:
    analysis = make_analysis(np.zeros((8, 1)), np.arange(8) % 2)
    lake, sea, pond = (create_concept(workspace, dataset, name) for name in ("lake", "sea", "pond"))
    suggest_members(workspace, analysis, lake, [0, 1], "cluster", [0.9, 0.8])
    suggest_members(workspace, analysis, sea, [2, 1], "text", [0.7, 0.6])
    suggest_members(workspace, analysis, pond, [5], "text")

    def suggested(concept: Concept) -> list[int]:
        return suggested_members(workspace, analysis, concept).rows.tolist()

    merge_concepts(workspace, sea, pond)
    assert suggested(sea) == [2, 1, 5]
    merge_concepts(workspace, lake, sea)
    assert suggested(lake) == [0, 1, 2, 5]
    assert suggested_members(workspace, analysis, lake).scores[:3].tolist() == [0.9, 0.8, 0.7]
    undo(workspace, dataset)
    assert (suggested(lake), suggested(sea)) == ([0, 1], [2, 1, 5])
    redo(workspace, dataset)
    assert create_concept(workspace, dataset, "sea").id == sea.id
    assert (suggested(lake), suggested(sea)) == ([0, 1], [2, 1, 5]), "it is there again, with what is its own"
    undo(workspace, dataset)
    suggest_members(workspace, analysis, lake, [7], "cluster")
    assert suggested(lake) == [7], "a new list takes the place of all that was shown"


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
