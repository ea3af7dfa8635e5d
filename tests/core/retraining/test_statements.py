"""What people said comes back from a file as it was, and means the same."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from core.concepts.adoption import adopt
from core.concepts.concept import create_concept
from core.concepts.labels import judge
from core.concepts.tags import tag
from core.errors import BadRequest
from core.retraining.material import assemble, gather
from core.retraining.statements import read_statements, statements_from_dict
from core.workspace import Workspace


@pytest.fixture
def analysis(planted_analysis: Any) -> Any:
    return planted_analysis(0, sizes=(60, 80, 40), dimensions=12)


@pytest.fixture
def concepts(workspace: Workspace, analysis: Any) -> list[Any]:
    """A concept with a hostile name and tags of all kinds in all splits, and one that follows a column."""
    hostile = create_concept(workspace, analysis.dataset_id, "<i>мокрый</i> 🌊, \u202ex")
    for rows, said in (([1, 70, 160], True), ([2, 71], False), ([3, 72], "unsure")):
        tag(workspace, analysis, hostile, rows, said)
    judge(workspace, analysis, [75, 5], "wrong")
    judge(workspace, analysis, [76], "wrong", relabel_to=analysis.classes[1 - int(analysis.labels[76])])
    return [hostile, adopt(workspace, analysis, "place", "water")]


def test_a_round_trip_changes_nothing(workspace: Workspace, analysis: Any, concepts: list[Any]) -> None:
    said = read_statements(workspace, analysis, concepts)
    back = statements_from_dict(json.loads(json.dumps(said.to_dict(analysis))), analysis)
    assert back.names == said.names
    for name in ("states", "said", "wrong", "labels"):
        np.testing.assert_array_equal(getattr(back, name), getattr(said, name), err_msg=name)
        assert getattr(back, name).dtype == getattr(said, name).dtype
    assert said.said.sum() == 5, "what cannot be told and what a column says is not among what people tagged"
    assert said.wrong.sum() == 2
    assert (said.labels != analysis.labels).sum() == 1
    gathered, again = gather(workspace, analysis, concepts), assemble(analysis, back)
    assert again.tags == gathered.tags
    assert again.notes == gathered.notes
    np.testing.assert_array_equal(again.material.pool.rows, gathered.material.pool.rows)
    np.testing.assert_array_equal(again.material.pool.labels, gathered.material.pool.labels)


def test_no_concepts_and_nothing_said(workspace: Workspace, analysis: Any) -> None:
    said = read_statements(workspace, analysis, ())
    back = statements_from_dict(said.to_dict(analysis), analysis)
    assert back.states.shape == (analysis.n, 0)
    assert not back.said.any()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"said": ["nowhere.png"]}, "nowhere.png"),
        ({"relabelled": {"nowhere.png": "class 0"}}, "nowhere.png"),
        ({"relabelled": {"images/000001.png": "heron"}}, "no class “heron”"),
        ({"concepts": [{"concept": "x", "present": ["nowhere.png"], "absent": []}]}, "nowhere.png"),
    ],
)
def test_what_the_analysis_lacks_is_named(
    workspace: Workspace, analysis: Any, concepts: list[Any], change: dict[str, Any], says: str
) -> None:
    value = read_statements(workspace, analysis, concepts).to_dict(analysis)
    with pytest.raises(BadRequest, match=says):
        statements_from_dict({**value, **change}, analysis)
