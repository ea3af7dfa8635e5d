"""Edits of a choice survive, can be taken back step by step, and never take what others did with them."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.concepts.concept import Concept, change_concept, create_concept
from core.errors import StorageProblem
from core.retraining import kept_edits as module
from core.retraining.edits import CurationEdits
from core.retraining.kept_edits import (
    MOST_STEPS,
    KeptEdits,
    forget_edits,
    kept_edits,
    leave_out,
    put_in,
    redo_edit,
    take_as_chosen,
    undo_edit,
)
from core.workspace import Workspace


@pytest.fixture
def analysis(planted_analysis: Any) -> Any:
    return planted_analysis(0, sizes=(40, 40, 40), dimensions=24)


@pytest.fixture
def water(workspace: Workspace, analysis: Any) -> tuple[Concept, ...]:
    return (create_concept(workspace, analysis.dataset_id, "water"),)


@pytest.fixture
def do(workspace: Workspace, analysis: Any, water: tuple[Concept, ...]) -> Callable[..., int]:
    """do(leave_out, ["a"]): the same on these concepts."""
    return lambda function, *more: function(workspace, analysis, water, *more)


@pytest.fixture
def now(workspace: Workspace, analysis: Any, water: tuple[Concept, ...]) -> Callable[[], KeptEdits]:
    return lambda: kept_edits(workspace, analysis, water)


def test_nothing_is_edited_at_first(now: Callable[[], KeptEdits], do: Callable[..., int]) -> None:
    assert now() == KeptEdits()
    assert not now().edits
    assert do(undo_edit) == do(redo_edit) == do(forget_edits) == 0


def test_what_is_said_of_an_image_last_holds(now: Callable[[], KeptEdits], do: Callable[..., int]) -> None:
    assert do(leave_out, ["a", "b", "a"]) == 2
    assert do(leave_out, ["a"]) == 0
    assert now().undo == 1, "what changes nothing is no step"
    assert do(put_in, {"a": {"water": True}, "c": {"water": False}}) == 2
    assert now().edits == CurationEdits(("b",), {"a": {"water": True}, "c": {"water": False}})
    assert now().count == 3
    assert do(take_as_chosen, ["b", "never named"]) == 1
    assert now().edits == CurationEdits((), {"a": {"water": True}, "c": {"water": False}})


def test_steps_are_taken_back_and_done_again(now: Callable[[], KeptEdits], do: Callable[..., int]) -> None:
    states = [now().edits]
    for step in ((leave_out, ["a", "b"]), (put_in, {"a": {"water": False}}), (take_as_chosen, ["b"])):
        do(*step)
        states.append(now().edits)
    do(forget_edits)
    assert now().edits == CurationEdits()
    for expected in reversed(states):
        assert do(undo_edit) > 0
        assert now().edits == expected
    assert (now().undo, now().redo) == (0, 4)
    for expected in states[1:]:
        do(redo_edit)
        assert now().edits == expected
    do(undo_edit)
    do(leave_out, ["z"])
    assert now().redo == 0, "what was taken back is gone once something else is done"


def test_edits_belong_to_their_concepts_and_analysis(
    workspace: Workspace, analysis: Any, water: tuple[Concept, ...], do: Callable[..., int]
) -> None:
    reeds = create_concept(workspace, analysis.dataset_id, "reeds")
    do(leave_out, ["a"])
    both = (reeds, *water)
    leave_out(workspace, analysis, both, ["b"])
    assert kept_edits(workspace, analysis, water).edits.left_out == ("a",)
    assert kept_edits(workspace, analysis, tuple(reversed(both))).edits.left_out == ("b",)
    assert kept_edits(workspace, analysis, (reeds,)) == KeptEdits()
    assert [file.name for file in workspace.runs.iterdir()] == [f"edits-{analysis.id}.json"]


def test_a_renamed_concept_keeps_its_edits(
    workspace: Workspace, analysis: Any, water: tuple[Concept, ...], do: Callable[..., int]
) -> None:
    do(put_in, {"a": {"water": True}})
    renamed = change_concept(workspace, water[0], name="<b>wet</b>")
    assert kept_edits(workspace, analysis, (renamed,)).edits.kept == {"a": {"<b>wet</b>": True}}


@pytest.mark.parametrize(
    "spoiled",
    [
        "",
        "[1]",
        '{"KEY": 3}',
        '{"KEY": {"said": {"a": "in", "b": 7, "c": {"99": true}, "d": {"ID": 1}}, "past": 5}}',
        '{"KEY": {"said": ["a"], "past": [3], "future": [null]}}',
    ],
)
def test_a_spoiled_file_says_nothing_and_is_written_over(
    workspace: Workspace,
    analysis: Any,
    water: tuple[Concept, ...],
    do: Callable[..., int],
    now: Callable[[], KeptEdits],
    spoiled: str,
) -> None:
    number = str(water[0].id)
    workspace.runs.mkdir(exist_ok=True)
    file = workspace.runs / f"edits-{analysis.id}.json"
    file.write_text(spoiled.replace("KEY", number).replace("ID", number))
    assert now().edits == CurationEdits()
    assert do(leave_out, ["a"]) == 1
    assert now().edits.left_out == ("a",)
    assert json.loads(file.read_text())[number]["said"] == {"a": "out"}


def test_only_so_many_steps_are_kept(now: Callable[[], KeptEdits], do: Callable[..., int]) -> None:
    for number in range(MOST_STEPS + 5):
        do(leave_out, [str(number)])
    assert now().undo == MOST_STEPS
    assert len(now().edits.left_out) == MOST_STEPS + 5


def test_two_pages_at_once_lose_nothing(now: Callable[[], KeptEdits], do: Callable[..., int]) -> None:
    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda number: do(leave_out, [f"{number}"]), range(40)))
    assert done == [1] * 40
    assert len(now().edits.left_out) == 40
    assert now().undo == 40


def test_what_cannot_be_written_is_told_and_changes_nothing(
    now: Callable[[], KeptEdits], do: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    do(leave_out, ["a"])

    def refuse(*_: object) -> None:
        raise StorageProblem("The workspace cannot be written.", next_step="Choose another folder.")

    monkeypatch.setattr(module, "write_json", refuse)
    with pytest.raises(StorageProblem):
        do(leave_out, ["b"])
    assert now().edits.left_out == ("a",)


SAID = st.one_of(st.none(), st.just("out"), st.fixed_dictionaries({"1": st.booleans()}))


@given(st.lists(st.dictionaries(st.sampled_from("abcde"), SAID), max_size=12))
@settings(max_examples=200, deadline=None)
def test_taking_all_steps_back_leads_to_the_beginning_and_doing_them_again_to_the_end(
    steps: list[dict[str, Any]],
) -> None:
    said: dict[str, Any] = {}
    seen, past, future = [], [], []
    for step in steps:
        seen.append(dict(said))
        past.append(module._say(said, step))
    end = dict(said)
    for before, expected in zip(reversed(past), reversed(seen), strict=True):
        future.append(module._say(said, before))
        assert said == expected
    for after in reversed(future):
        module._say(said, after)
    assert said == end
