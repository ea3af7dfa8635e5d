from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from core.concepts.concept import create_concept, delete_concept
from core.concepts.history import authors, history, undo_until
from core.concepts.labels import judge
from core.concepts.tags import redo, tag, tag_states, undo
from core.errors import BadRequest, NotFound
from core.workspace import Workspace

N = 6


@pytest.fixture
def analysis(make_analysis: Any) -> Any:
    return make_analysis(np.zeros((N, 1)), np.arange(N) % 2)


def test_every_kind_of_step_is_told_in_a_sentence_with_its_provenance(workspace: Workspace, analysis: Any) -> None:
    water = create_concept(workspace, analysis.dataset_id, "water", author="Ann")
    tag(workspace, analysis, water, range(N), True, author="Ann", direction="logit:class 1", low=-1, high=2, how="band")
    tag(workspace, analysis, water, [0], "unsure", author="Bob", source="review", how="card")
    tag(workspace, analysis, water, [1], None, author="Bob")
    tag(workspace, analysis, water, [1, 2], False, author="Bob")
    judge(workspace, analysis, [3], "wrong", author="Bob")
    judge(workspace, analysis, [3, 5], "wrong", relabel_to="class 0", author="Bob")
    undo(workspace, analysis.dataset_id, "Ann")
    delete_concept(workspace, water, author="Bob")
    told = history(workspace, analysis.dataset_id)
    assert [entry.sentence for entry in told] == [
        "Deleted “water”",
        "Relabelled 2 images as class 0",
        "Marked 1 label as wrong",
        "Tagged 2 images as without “water”",
        "Took back the tags of 1 image for “water”",
        "Marked 1 image as unsure for “water”",
        "Tagged 6 images with “water”",
        "Created “water”",
    ]
    assert [entry.author for entry in told] == ["Bob"] * 6 + ["Ann"] * 2
    band = told[-2]
    assert (band.direction, band.low, band.high, band.how, band.images) == ("logit:class 1", -1, 2, "band", N)
    assert band.concept == "water"
    assert [entry.undone is not None for entry in told] == [False] * 6 + [True, False]
    assert (told[-3].source, told[-3].how) == ("review", "card")
    assert told[0].to_dict()["sentence"] == "Deleted “water”"


def test_history_is_read_page_by_page(workspace: Workspace, analysis: Any) -> None:
    water = create_concept(workspace, analysis.dataset_id, "water")
    for row in range(5):
        tag(workspace, analysis, water, [row], True)
    whole = [entry.id for entry in history(workspace, analysis.dataset_id)]
    pages: list[int] = []
    while page := history(workspace, analysis.dataset_id, limit=4, before=pages[-1] if pages else None):
        pages += [entry.id for entry in page]
    assert pages == whole == sorted(whole, reverse=True)
    assert len(pages) == 6
    assert history(workspace, "nowhere") == ()


def test_several_steps_back_are_ones_own_only_and_come_back_one_by_one(workspace: Workspace, analysis: Any) -> None:
    water = create_concept(workspace, analysis.dataset_id, "water", author="Ann")
    kept = tag(workspace, analysis, water, [0], True, author="Ann")
    tag(workspace, analysis, water, [1], True, author="Bob")
    tag(workspace, analysis, water, [2], True, author="Ann")
    tag(workspace, analysis, water, [3], True, author="Ann")
    assert undo_until(workspace, analysis.dataset_id, kept, "Ann") == 2
    assert tag_states(workspace, analysis, water)[:4].tolist() == [1, 1, -1, -1]
    assert undo_until(workspace, analysis.dataset_id, kept, "Ann") == 0
    redo(workspace, analysis.dataset_id, "Ann")
    assert tag_states(workspace, analysis, water)[:4].tolist() == [1, 1, 1, -1]
    redo(workspace, analysis.dataset_id, "Ann")
    assert tag_states(workspace, analysis, water)[:4].tolist() == [1, 1, 1, 1]
    with pytest.raises(BadRequest, match="Ann"):
        undo_until(workspace, analysis.dataset_id, kept, "Bob")
    with pytest.raises(NotFound):
        undo_until(workspace, analysis.dataset_id, 999, "Ann")


def test_authors_are_listed_with_what_stands_of_them(workspace: Workspace, analysis: Any) -> None:
    water = create_concept(workspace, analysis.dataset_id, "water", author="Ann")
    tag(workspace, analysis, water, [0, 1, 2], True, author="Ann")
    tag(workspace, analysis, water, [3], True, author="<b>Bob</b>")
    tag(workspace, analysis, water, [4], True, author="Ann")
    undo(workspace, analysis.dataset_id, "Ann")
    assert [(name, tags) for name, tags, _ in authors(workspace, analysis.dataset_id)] == [
        ("Ann", 3),
        ("<b>Bob</b>", 1),
    ]
    assert authors(workspace, "nowhere") == ()


def test_tags_of_people_are_what_they_said_last_of_concepts_that_are_there(workspace: Workspace, analysis: Any) -> None:
    water, snow = (create_concept(workspace, analysis.dataset_id, name, author="Ann") for name in ("water", "snow"))
    tag(workspace, analysis, water, [0, 1, 2], True, author="Ann")
    tag(workspace, analysis, water, [2], False, author="Bob")
    tag(workspace, analysis, water, [0], False, author="Ann")
    tag(workspace, analysis, snow, [0, 1], True, author="Ann")

    def counted() -> dict[str, int]:
        return {name: tags for name, tags, _ in authors(workspace, analysis.dataset_id)}

    # Bob's other answer about an image is no answer of Ann's less
    assert counted() == {"Ann": 5, "Bob": 1}
    delete_concept(workspace, snow, author="Cy")
    assert counted() == {"Cy": 0, "Ann": 3, "Bob": 1}
    tag(workspace, analysis, water, [2], None, author="Bob")
    assert counted()["Bob"] == 0
