from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from core.concepts.concept import Concept, create_concept, delete_concept
from core.concepts.tags import (
    ABSENT,
    PRESENT,
    UNTAGGED,
    redo,
    rows_of_images,
    tag,
    tag_states,
    tag_version,
    tags_of,
    undo,
)
from core.database import TagAction, TagRecord
from core.errors import NotFound
from core.workspace import Workspace

N = 6


@pytest.fixture
def analysis(make_analysis: Any) -> Any:
    return make_analysis(np.zeros((N, 1)), np.arange(N) % 2)


@pytest.fixture
def water(workspace: Workspace, analysis: Any) -> Concept:
    return create_concept(workspace, analysis.dataset_id, "water")


def states(workspace: Workspace, analysis: Any, concept: Concept) -> list[int]:
    return tag_states(workspace, analysis, concept).tolist()


def test_newest_tag_holds(workspace: Workspace, analysis: Any, water: Concept) -> None:
    tag(workspace, analysis, water, [0, 1, 2], True)
    tag(workspace, analysis, water, [1], False)
    tag(workspace, analysis, water, [2], None)
    assert states(workspace, analysis, water) == [PRESENT, ABSENT, UNTAGGED, UNTAGGED, UNTAGGED, UNTAGGED]


def test_undo_takes_back_a_whole_action_and_uncovers_the_one_before(
    workspace: Workspace, analysis: Any, water: Concept
) -> None:
    tag(workspace, analysis, water, [0, 1], True)
    tag(workspace, analysis, water, [1, 2], False)
    undone = undo(workspace, analysis.dataset_id)
    assert undone is not None
    assert (undone.concept, undone.state, undone.images) == ("water", "absent", 2)
    assert states(workspace, analysis, water)[:3] == [PRESENT, PRESENT, UNTAGGED]
    redo(workspace, analysis.dataset_id)
    assert states(workspace, analysis, water)[:3] == [PRESENT, ABSENT, ABSENT]


def test_nothing_to_undo_or_redo_is_none(workspace: Workspace, analysis: Any, water: Concept) -> None:
    assert undo(workspace, analysis.dataset_id) is None
    tag(workspace, analysis, water, [0], True)
    assert redo(workspace, analysis.dataset_id) is None


def test_tagging_after_an_undo_leaves_nothing_to_redo(workspace: Workspace, analysis: Any, water: Concept) -> None:
    tag(workspace, analysis, water, [0], True)
    undo(workspace, analysis.dataset_id)
    tag(workspace, analysis, water, [1], True)
    assert redo(workspace, analysis.dataset_id) is None


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(["tag", "undo", "redo"]), max_size=14), st.integers(0, 2**31))
def test_undo_and_redo_behave_as_in_an_editor(
    workspace: Workspace, make_analysis: Any, moves: list[str], seed: int
) -> None:
    """Against the plain model: two stacks of whole states."""
    analysis = make_analysis(np.zeros((N, 1)), np.arange(N) % 2)
    water = create_concept(workspace, analysis.dataset_id, f"water {seed} {len(moves)}")
    while undo(workspace, analysis.dataset_id) is not None:
        pass  # the workspace is shared between examples; clear what the last one left
    rng = np.random.default_rng(seed)
    past, future, now = [], [], [UNTAGGED] * N  # type: ignore[var-annotated]
    first = True
    for move in moves:
        if move == "tag":
            rows, present = rng.choice(N, 2, replace=False), [True, False, None][rng.integers(3)]
            tag(workspace, analysis, water, rows, present)
            past, future, now = [*past, now], [], list(now)
            for row in rows:
                now[row] = {True: PRESENT, False: ABSENT, None: UNTAGGED}[present]
            first = False
        elif move == "undo" and past:
            undo(workspace, analysis.dataset_id)
            past, future, now = past[:-1], [*future, now], past[-1]
        elif move == "redo" and future and not first:
            redo(workspace, analysis.dataset_id)
            past, future, now = [*past, now], future[:-1], future[-1]
        assert states(workspace, analysis, water) == now


def test_version_changes_with_every_change_and_returns_with_undo(
    workspace: Workspace, analysis: Any, water: Concept
) -> None:
    before = tag_version(workspace, analysis.dataset_id)
    tag(workspace, analysis, water, [0], True)
    first = tag_version(workspace, analysis.dataset_id)
    tag(workspace, analysis, water, [0], True)
    second = tag_version(workspace, analysis.dataset_id)
    assert len({before, first, second}) == 3
    undo(workspace, analysis.dataset_id)
    undone = tag_version(workspace, analysis.dataset_id)
    assert undone not in (before, second)
    redo(workspace, analysis.dataset_id)
    assert tag_version(workspace, analysis.dataset_id) == second


def test_tags_are_appended_never_overwritten(workspace: Workspace, analysis: Any, water: Concept) -> None:
    for present in (True, False, None):
        tag(workspace, analysis, water, [3], present, direction="logit:class 1", low=0.5, high=1.5)
    undo(workspace, analysis.dataset_id)
    with workspace.reading() as session:
        assert session.scalar(select(func.count(TagRecord.id))) == 3
        action = session.scalars(select(TagAction)).first()
    assert action is not None
    assert (action.direction, action.low, action.high, action.source) == ("logit:class 1", 0.5, 1.5, "person")


def test_tags_of_lists_chips_of_living_concepts(workspace: Workspace, analysis: Any, water: Concept) -> None:
    snow = create_concept(workspace, analysis.dataset_id, "snow")
    gone = create_concept(workspace, analysis.dataset_id, "gone")
    tag(workspace, analysis, snow, [1, 2], False)
    tag(workspace, analysis, water, [1], True)
    tag(workspace, analysis, water, [4], True)
    tag(workspace, analysis, gone, [1], True)
    delete_concept(workspace, gone)
    found = tags_of(workspace, analysis, np.array([0, 1, 2]))
    assert found == {1: [("water", True), ("snow", False)], 2: [("snow", False)]}


def test_tagging_with_a_deleted_concept_is_refused(workspace: Workspace, analysis: Any, water: Concept) -> None:
    delete_concept(workspace, water)
    with pytest.raises(NotFound):
        tag(workspace, analysis, water, [0], True)


@pytest.mark.parametrize("size", [6, 500])
def test_rows_are_found_whatever_the_order_of_the_images(make_analysis: Any, size: int) -> None:
    analysis = make_analysis(np.zeros((size, 1)), np.arange(size) % 2)
    asked = [analysis.images[4], "nowhere.png", "zzz.png", analysis.images[0]]
    assert rows_of_images(analysis, asked).tolist() == [4, -1, -1, 0]
    analysis.images[:] = analysis.images[::-1].copy()
    assert rows_of_images(analysis, asked).tolist() == [size - 5, -1, -1, size - 1]


def test_two_people_tagging_at_once_lose_nothing(workspace: Workspace, analysis: Any, water: Concept) -> None:
    def work(row: int) -> None:
        for _ in range(5):
            tag(workspace, analysis, water, [row], True)

    threads = [threading.Thread(target=work, args=(row,)) for row in range(N)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert states(workspace, analysis, water) == [PRESENT] * N
    with workspace.reading() as session:
        assert session.scalar(select(func.count(TagAction.id))) == 5 * N
