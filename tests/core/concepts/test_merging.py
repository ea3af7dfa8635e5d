from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from core.concepts.concept import Concept, create_concept, list_concepts
from core.concepts.exchange import load_tags
from core.concepts.exchange.gathering import gather
from core.concepts.merging import merge_concepts
from core.concepts.tags import answers, redo, suggest_members, suggested_members, tag, undo
from core.errors import BadRequest, NotFound
from core.workspace import Workspace


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
