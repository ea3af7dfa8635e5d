"""What one visitor did to a demo: theirs alone, from a moment on, as far as it stands."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from core.activations.store import Analysis
from core.concepts.concept import Concept, create_concept, delete_concept
from core.concepts.tags import tag, undo
from core.database import JobRecord, RunRecord, now
from core.demo import Visit, newest_action, visit
from core.workspace import Workspace

N = 60


@pytest.fixture
def demo(make_analysis: Any) -> Analysis:
    rng = np.random.default_rng(0)
    return make_analysis(rng.normal(size=(N, 4)), np.arange(N) % 2, classes=("landbird", "waterbird"))


@pytest.fixture
def water(workspace: Workspace, demo: Analysis) -> Concept:
    """Bob's."""
    return create_concept(workspace, demo.dataset_id, "water", author="Bob")


def of_ann(workspace: Workspace, demo: Analysis, **more: Any) -> Visit:
    return visit(workspace, demo.id, demo.dataset_id, authors=("Ann", "Person 1"), **more)


def test_only_ones_own_answers_count_under_any_name_one_had(
    workspace: Workspace, demo: Analysis, water: Concept
) -> None:
    tag(workspace, demo, water, range(20), True, author="Bob")
    assert of_ann(workspace, demo).answers == {}
    tag(workspace, demo, water, range(10, 14), False, author="Ann")
    tag(workspace, demo, water, range(13, 16), True, author="Person 1")
    # the fourteenth was answered twice, and what somebody else says of it later takes nothing from that
    tag(workspace, demo, water, [10], True, author="Bob")
    assert of_ann(workspace, demo).answers == {water.id: 6}


def test_what_was_taken_back_or_cleared_does_not_count(workspace: Workspace, demo: Analysis, water: Concept) -> None:
    tag(workspace, demo, water, range(5), True, author="Ann")
    tag(workspace, demo, water, [0], None, author="Ann")
    assert of_ann(workspace, demo).answers == {water.id: 4}
    tag(workspace, demo, water, range(5, 9), "unsure", author="Ann")
    assert of_ann(workspace, demo).answers == {water.id: 8}
    undo(workspace, demo.dataset_id, "Ann")
    assert of_ann(workspace, demo).answers == {water.id: 4}


def test_it_counts_from_a_moment_on(workspace: Workspace, demo: Analysis, water: Concept) -> None:
    assert newest_action(workspace) > 0
    tag(workspace, demo, water, range(5), True, author="Ann")
    since = newest_action(workspace)
    assert of_ann(workspace, demo, since=since).answers == {}
    tag(workspace, demo, water, range(3, 6), True, author="Ann")
    assert of_ann(workspace, demo, since=since).answers == {water.id: 3}


def test_a_concept_counts_once_it_is_made_or_named_and_no_longer_than_it_lives(
    workspace: Workspace, demo: Analysis, water: Concept
) -> None:
    own = create_concept(workspace, demo.dataset_id, "rock", author="Ann")
    assert of_ann(workspace, demo).answers == {own.id: 0}
    assert of_ann(workspace, demo, named=(water.id, 999)).answers == {own.id: 0, water.id: 0}
    delete_concept(workspace, own)
    assert of_ann(workspace, demo).answers == {}


def test_repairs_are_those_of_the_jobs_that_were_begun(workspace: Workspace, demo: Analysis) -> None:
    with workspace.writing() as session:
        for turn, job in enumerate(("hers", "unfinished"), 1):
            session.add(
                JobRecord(id=job, kind="retrain", title="", request={}, key=job, turn=turn, samples=[], created=now())
            )
        session.flush()
        for run, job, ended in (("his", None, now()), ("hers", "hers", now()), ("unfinished", "unfinished", None)):
            session.add(
                RunRecord(
                    id=run, analysis_id=demo.id, job_id=job, method="mid", settings={}, created=now(), finished=ended
                )
            )
            session.flush()
    assert of_ann(workspace, demo).runs == ()
    assert of_ann(workspace, demo, jobs=("hers", "unfinished")).runs == ("hers",)
