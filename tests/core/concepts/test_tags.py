from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from core.concepts import log, tags
from core.concepts.concept import Concept, create_concept, delete_concept, list_concepts
from core.concepts.tags import (
    ABSENT,
    PRESENT,
    UNSURE,
    UNTAGGED,
    answers,
    record_action,
    redo,
    rows_of_images,
    said_states,
    suggest_members,
    suggested_members,
    tag,
    tag_states,
    tag_version,
    tags_of,
    undo,
)
from core.database import TagAction, TagRecord, now
from core.errors import BadRequest, NotFound
from core.workspace import Workspace
from tests.core.statements import asked

ROOT = Path(__file__).parents[3]
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


def test_nothing_to_undo_or_redo_is_none(workspace: Workspace, analysis: Any) -> None:
    assert undo(workspace, analysis.dataset_id) is None
    water = create_concept(workspace, analysis.dataset_id, "water")
    assert undo(workspace, analysis.dataset_id, "somebody else") is None
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
    while undo(workspace, analysis.dataset_id) is not None:
        pass  # the workspace is shared between examples; clear what the last one left
    water = create_concept(workspace, analysis.dataset_id, f"water {seed} {len(moves)}")
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
        action = session.scalars(select(TagAction).where(TagAction.kind == "tag")).first()
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
        assert session.scalar(select(func.count(TagAction.id)).where(TagAction.kind == "tag")) == 5 * N


def test_unsure_is_kept_apart_and_taught_to_nobody(workspace: Workspace, analysis: Any, water: Concept) -> None:
    tag(workspace, analysis, water, [0, 1, 2], True)
    tag(workspace, analysis, water, [1, 3], "unsure")
    assert answers(workspace, analysis, water).tolist() == [PRESENT, UNSURE, PRESENT, UNSURE, UNTAGGED, UNTAGGED]
    assert states(workspace, analysis, water) == [PRESENT, UNTAGGED, PRESENT, UNTAGGED, UNTAGGED, UNTAGGED]
    assert said_states(workspace, analysis, water).tolist() == states(workspace, analysis, water)
    assert tags_of(workspace, analysis, [0, 1]) == {0: [("water", True)], 1: [("water", "unsure")]}
    undo(workspace, analysis.dataset_id)
    assert answers(workspace, analysis, water)[1] == PRESENT, "what was said before holds again"


def test_everybody_undoes_their_own_and_nobody_elses(workspace: Workspace, analysis: Any, water: Concept) -> None:
    tag(workspace, analysis, water, [0], True, author="Ann")
    tag(workspace, analysis, water, [1], True, author="Bob")
    undone = undo(workspace, analysis.dataset_id, "Ann")
    assert undone is not None
    assert (undone.author, undone.sentence) == ("Ann", "Tagged 1 image with “water”")
    assert states(workspace, analysis, water)[:2] == [UNTAGGED, PRESENT]
    assert undo(workspace, analysis.dataset_id, "Ann") is None
    tag(workspace, analysis, water, [2], True, author="Bob")
    assert redo(workspace, analysis.dataset_id, "Bob") is None
    redone = redo(workspace, analysis.dataset_id, "Ann")
    assert redone is not None, "what Bob did since is no reason against it"
    assert states(workspace, analysis, water)[:3] == [PRESENT, PRESENT, PRESENT]


def test_what_was_said_later_by_somebody_else_holds_through_undo_and_redo(
    workspace: Workspace, analysis: Any, water: Concept
) -> None:
    tag(workspace, analysis, water, [0], True, author="Ann")
    tag(workspace, analysis, water, [0], False, author="Bob")
    for step in (undo, redo):
        step(workspace, analysis.dataset_id, "Ann")
        assert states(workspace, analysis, water)[0] == ABSENT
    undo(workspace, analysis.dataset_id, "Bob")
    assert states(workspace, analysis, water)[0] == PRESENT


def test_undo_and_redo_have_no_limit(workspace: Workspace, analysis: Any, water: Concept) -> None:
    for step in range(120):
        tag(workspace, analysis, water, [step % N], bool(step % 2), author="Ann")
    after = states(workspace, analysis, water)
    assert sum(undo(workspace, analysis.dataset_id, "Ann") is not None for _ in range(150)) == 120
    assert states(workspace, analysis, water) == [UNTAGGED] * N
    assert sum(redo(workspace, analysis.dataset_id, "Ann") is not None for _ in range(150)) == 120
    assert states(workspace, analysis, water) == after


def test_redo_goes_by_the_log_and_not_by_the_clock(
    workspace: Workspace, analysis: Any, water: Concept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between an undo and the next tag the clock steps back by an hour."""
    for row in (0, 1):
        tag(workspace, analysis, water, [row], True)
    undo(workspace, analysis.dataset_id)
    undo(workspace, analysis.dataset_id)
    redo(workspace, analysis.dataset_id)
    early = now() - timedelta(hours=1)
    monkeypatch.setattr(log, "now", lambda: early)
    tag(workspace, analysis, water, [5], True)
    assert redo(workspace, analysis.dataset_id) is None
    assert states(workspace, analysis, water)[:2] == [PRESENT, UNTAGGED]


def test_states_are_read_again_whenever_they_changed(workspace: Workspace, analysis: Any, water: Concept) -> None:
    """They are kept in memory: no caller may change what the next one gets, and no change may be missed."""
    tag(workspace, analysis, water, [0], True)
    for read in (tag_states, answers, said_states):
        read(workspace, analysis, water)[:] = 7
        assert read(workspace, analysis, water).tolist() == [PRESENT] + [UNTAGGED] * (N - 1)
    with workspace.writing() as session:  # another process
        record_action(
            session, analysis.dataset_id, [(water.id, "images/000001.png", False)], author="b", source="person"
        )
    assert states(workspace, analysis, water)[:2] == [PRESENT, ABSENT]


def test_authors_differ_by_more_than_spaces(workspace: Workspace, analysis: Any, water: Concept) -> None:
    tag(workspace, analysis, water, [0], True, author="  Ann \n of\x07 Green  Gables ")
    undone = undo(workspace, analysis.dataset_id, "Ann of Green Gables")
    assert undone is not None
    assert undone.author == "Ann of Green Gables"
    tag(workspace, analysis, water, [0], True, author="  ")
    last = undo(workspace, analysis.dataset_id, "")
    assert last is not None
    assert last.author == "local"


def test_a_tag_of_an_older_program_that_is_still_running_is_not_lost(
    workspace: Workspace, analysis: Any, water: Concept
) -> None:
    """It writes to the log only; the next tag of anybody brings its tags to those that hold."""
    with workspace.writing() as session:
        action = TagAction(dataset_id=analysis.dataset_id, source="person", author="old")
        session.add(action)
        session.flush()
        session.add(TagRecord(action_id=action.id, concept_id=water.id, image="images/000002.png", state="present"))
    tag(workspace, analysis, water, [0], True)
    assert states(workspace, analysis, water)[:3] == [PRESENT, UNTAGGED, PRESENT]


def test_suggested_members_are_no_tags_and_drop_out_once_answered(
    workspace: Workspace, analysis: Any, water: Concept
) -> None:
    suggest_members(workspace, analysis, water, [4, 2, 0, 2], "cluster", [0.9, 0.5, float("nan"), 0.4])
    rows, scores, source = suggested_members(workspace, analysis, water)
    assert (rows.tolist(), scores[:2].tolist(), source) == ([4, 2, 0], [0.9, 0.5], "cluster")
    assert np.isnan(scores[2])
    assert states(workspace, analysis, water) == [UNTAGGED] * N
    tag(workspace, analysis, water, [2], False, source="review")
    tag(workspace, analysis, water, [0], "unsure", source="review")
    assert suggested_members(workspace, analysis, water).rows.tolist() == [4]
    undo(workspace, analysis.dataset_id)
    assert suggested_members(workspace, analysis, water).rows.tolist() == [4, 0]
    suggest_members(workspace, analysis, water, [5], "text")
    again = suggested_members(workspace, analysis, water)
    assert (again.rows.tolist(), again.source) == ([5], "text")
    suggest_members(workspace, analysis, water, [], "text")
    assert len(suggested_members(workspace, analysis, water).rows) == 0


_TAGGER = """
import sys
import numpy as np
from core.concepts.concept import create_concept
from core.concepts.tags import tag, undo
from core.workspace import open_workspace

class Images:
    dataset_id = "planted-data"
    def image_names(self, rows):
        return [f"images/{row:06d}.png" for row in rows]

root, author, first = sys.argv[1], sys.argv[2], int(sys.argv[3])
workspace = open_workspace(root)
water = create_concept(workspace, "planted-data", "water", author=author)
for step in range(25):
    tag(workspace, Images(), water, [first + step], True, author=author)
    if step % 5 == 4:
        undo(workspace, "planted-data", author)
"""


def test_two_processes_tagging_at_once_lose_nothing(workspace: Workspace, make_analysis: Any) -> None:
    analysis = make_analysis(np.zeros((50, 1)), np.arange(50) % 2)
    people = [
        subprocess.Popen([sys.executable, "-c", _TAGGER, str(workspace.root), author, str(first)], cwd=ROOT)
        for author, first in (("Ann", 0), ("Bob", 25))
    ]
    assert [person.wait(timeout=120) for person in people] == [0, 0]
    (water,) = list_concepts(workspace, analysis.dataset_id)
    expected = [UNTAGGED if row % 5 == 4 else PRESENT for row in range(50)]
    assert states(workspace, analysis, water) == expected
    with workspace.reading() as session:
        assert session.scalar(select(func.count(TagRecord.id))) == 50


def test_a_band_of_50_000_images_is_one_step(workspace: Workspace, make_analysis: Any) -> None:
    """Of few statements, not one for each image."""
    analysis = make_analysis(np.zeros((50_000, 1)), np.arange(50_000) % 2)
    water = create_concept(workspace, analysis.dataset_id, "water")
    with asked(workspace) as statements:
        tag(workspace, analysis, water, np.arange(50_000), True)
        assert (tag_states(workspace, analysis, water) == PRESENT).all()
        undo(workspace, analysis.dataset_id)
    assert 0 < len(statements) < 60
    assert not (tag_states(workspace, analysis, water) != UNTAGGED).any()


def test_what_is_read_all_the_time_looks_into_an_index(workspace: Workspace, analysis: Any, water: Concept) -> None:
    """Of a log of any length: no query of a click or of a page of images reads a whole table."""
    tag(workspace, analysis, water, [0, 1], True, author="Ann")
    with asked(workspace) as statements:
        tag(workspace, analysis, water, [2], True, author="Ann")
        undo(workspace, analysis.dataset_id, "Ann")
        redo(workspace, analysis.dataset_id, "Ann")
        undo(workspace, analysis.dataset_id)
        redo(workspace, analysis.dataset_id)
        tags_of(workspace, analysis, [0, 1, 2])
        tag_states(workspace, analysis, water)
        tag_version(workspace, analysis.dataset_id)
    assert len(statements) > 20
    with sqlite3.connect(workspace.root / "midband.db") as connection:
        for statement, parameters in statements:
            if statement.startswith(("SELECT", "UPDATE", "DELETE", "INSERT INTO standing_tags")):
                plan = [line[3] for line in connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)]
                # the palette is small, and of unsettled actions there are none but the one being made
                scans = [line for line in plan if line.startswith("SCAN") and "unsettled" not in line]
                assert not scans, (statement, plan)


def test_without_images_nothing_is_done(workspace: Workspace, analysis: Any, water: Concept) -> None:
    assert tag(workspace, analysis, water, [], True, author="Ann") is None
    assert undo(workspace, analysis.dataset_id, "Ann") is None
    delete_concept(workspace, water)
    with pytest.raises(NotFound):
        tag(workspace, analysis, water, [], True)


@pytest.mark.parametrize("said", ["bogus", 2, [True], ""])
def test_what_is_no_answer_is_refused(workspace: Workspace, analysis: Any, water: Concept, said: Any) -> None:
    with pytest.raises(BadRequest, match="is no answer"):
        tag(workspace, analysis, water, [0], said)
    assert states(workspace, analysis, water) == [UNTAGGED] * N


@pytest.mark.parametrize("scores", [[1.0], [], [1.0, 2.0, 3.0]])
def test_scores_have_to_be_as_many_as_images(
    workspace: Workspace, analysis: Any, water: Concept, scores: list[float]
) -> None:
    suggest_members(workspace, analysis, water, [5], "text")
    with pytest.raises(BadRequest, match=f"2 images but {len(scores)} scores"):
        suggest_members(workspace, analysis, water, [0, 1], "text", scores)
    assert suggested_members(workspace, analysis, water).rows.tolist() == [5]


def test_of_steps_taken_back_at_the_same_moment_the_last_one_comes_back_first(
    workspace: Workspace, analysis: Any, water: Concept, monkeypatch: pytest.MonkeyPatch
) -> None:
    moment = now()
    monkeypatch.setattr(tags, "now", lambda: moment)
    older = tag(workspace, analysis, water, [0], True, author="Ann")
    newer = tag(workspace, analysis, water, [1], True, author="Bob")
    undone = [undo(workspace, analysis.dataset_id) for _ in range(2)]
    assert [None if action is None else action.id for action in undone] == [newer, older]
    redone = [redo(workspace, analysis.dataset_id) for _ in range(2)]
    assert [None if action is None else action.id for action in redone] == [older, newer]


def test_a_step_that_was_done_again_is_as_if_never_taken_back(
    workspace: Workspace, analysis: Any, water: Concept
) -> None:
    number = tag(workspace, analysis, water, [0], True)
    undo(workspace, analysis.dataset_id)
    redo(workspace, analysis.dataset_id)
    with workspace.reading() as session:
        action = session.get_one(TagAction, number)
        assert (action.undone, action.undone_after) == (None, None)


def test_what_is_kept_in_memory_cannot_be_changed(workspace: Workspace, analysis: Any, water: Concept) -> None:
    tag(workspace, analysis, water, [0], True)
    with workspace.reading() as session:
        kept = tags._said(session, workspace, analysis, water)
    with pytest.raises(ValueError, match="read-only"):
        kept[0] = ABSENT


def test_names_of_people_have_at_most_200_characters(workspace: Workspace, analysis: Any, water: Concept) -> None:
    tag(workspace, analysis, water, [0], True, author="x" * 199 + " y" * 50)
    undone = undo(workspace, analysis.dataset_id)
    assert undone is not None
    assert undone.author == "x" * 199
    assert log.clean_author("🐦" * 300) == "🐦" * 200
