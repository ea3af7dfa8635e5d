from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from core.concepts.concept import create_concept
from core.concepts.labels import judge, label_verdicts, verdict_list
from core.concepts.tags import redo, tag, tag_states, tag_version, undo
from core.errors import BadRequest
from core.workspace import Workspace

LABELS = np.array([0, 1, 2, 0, 1, 2])


@pytest.fixture
def analysis(make_analysis: Any) -> Any:
    return make_analysis(np.zeros((6, 1)), LABELS, classes=("cat", "dog", "<b>fish</b>"))


def test_verdicts_exclude_relabel_and_confirm(workspace: Workspace, analysis: Any) -> None:
    judge(workspace, analysis, [0, 1], "wrong", author="Ann")
    judge(workspace, analysis, [1, 2], "wrong", relabel_to="cat", author="Ann")
    judge(workspace, analysis, [3], "right", author="Bob")
    held = label_verdicts(workspace, analysis)
    assert held.excluded.tolist() == [True, False, False, False, False, False]
    assert held.labels.tolist() == [0, 0, 0, 0, 1, 2]
    assert held.judged.tolist() == [True, True, True, True, False, False]
    assert held.count == 3
    assert [
        (one.image, one.label, one.verdict, one.new_label, one.author) for one in verdict_list(workspace, analysis)
    ] == [
        ("images/000000.png", "cat", "wrong", None, "Ann"),
        ("images/000001.png", "dog", "wrong", "cat", "Ann"),
        ("images/000002.png", "<b>fish</b>", "wrong", "cat", "Ann"),
        ("images/000003.png", "cat", "right", None, "Bob"),
    ]
    assert analysis.labels.tolist() == LABELS.tolist(), "the dataset's own labels are never touched"


def test_a_new_label_that_an_image_has_already_means_right(workspace: Workspace, analysis: Any) -> None:
    judge(workspace, analysis, [0, 1], "wrong", relabel_to="cat")
    assert [one.verdict for one in verdict_list(workspace, analysis)] == ["right", "wrong"]
    assert label_verdicts(workspace, analysis).count == 1


def test_verdicts_are_undone_and_done_again_like_tags(workspace: Workspace, analysis: Any) -> None:
    before = tag_version(workspace, analysis.dataset_id)
    judge(workspace, analysis, [0], "wrong", author="Ann")
    judge(workspace, analysis, [0], "wrong", relabel_to="dog", author="Bob")
    assert label_verdicts(workspace, analysis).labels[0] == 1
    undone = undo(workspace, analysis.dataset_id, "Bob")
    assert undone is not None
    assert (undone.sentence, undone.images) == ("Relabelled 1 image as dog", 1)
    assert label_verdicts(workspace, analysis).excluded[0]
    undo(workspace, analysis.dataset_id, "Ann")
    assert label_verdicts(workspace, analysis).count == 0
    assert tag_version(workspace, analysis.dataset_id) == before
    redo(workspace, analysis.dataset_id, "Bob")
    assert label_verdicts(workspace, analysis).labels[0] == 1
    judge(workspace, analysis, [0], None, author="Ann")
    assert verdict_list(workspace, analysis) == ()
    assert not label_verdicts(workspace, analysis).judged.any()


def test_a_concept_of_the_role_wrong_label_still_counts(workspace: Workspace, analysis: Any) -> None:
    odd = create_concept(workspace, analysis.dataset_id, "odd", role="wrong-label")
    tag(workspace, analysis, odd, [4], True)
    tag(workspace, analysis, odd, [5], False)
    held = label_verdicts(workspace, analysis)
    assert held.excluded.tolist() == [False] * 4 + [True, False]
    assert (held.judged.tolist(), held.count) == ([False] * 4 + [True, False], 1)
    judge(workspace, analysis, [4], "right")
    assert not label_verdicts(workspace, analysis).excluded[4], "the newer word holds"
    tag(workspace, analysis, odd, [4], True)
    assert label_verdicts(workspace, analysis).excluded[4]
    judge(workspace, analysis, [4], "wrong", relabel_to="cat")
    held = label_verdicts(workspace, analysis)
    assert (bool(held.excluded[4]), int(held.labels[4])) == (False, 0)


def test_a_verdict_on_a_label_that_the_dataset_changed_since_is_void(workspace: Workspace, analysis: Any) -> None:
    judge(workspace, analysis, [0], "wrong")
    judge(workspace, analysis, [1], "wrong", relabel_to="<b>fish</b>")
    corrected = replace(analysis, labels=np.array([1, 2, 2, 0, 1, 2]))
    corrected.__dict__["images"] = analysis.images
    held = label_verdicts(workspace, corrected)
    assert (held.count, held.judged.any()) == (0, False)
    assert held.labels.tolist() == corrected.labels.tolist()
    # a class that is gone cannot be a new label: the image is still wrong, and left out
    fewer = replace(analysis, classes=("cat", "dog", "shark"))
    fewer.__dict__["images"] = analysis.images
    assert label_verdicts(workspace, fewer).excluded.tolist() == [True, True] + [False] * 4


def test_verdicts_leave_tags_alone_and_tags_verdicts(workspace: Workspace, analysis: Any) -> None:
    water = create_concept(workspace, analysis.dataset_id, "water")
    judge(workspace, analysis, [0], "wrong", author="Ann")
    tag(workspace, analysis, water, [0], True, author="Ann")
    undo(workspace, analysis.dataset_id, "Ann")
    assert tag_states(workspace, analysis, water)[0] == -1
    assert label_verdicts(workspace, analysis).excluded[0]


@pytest.mark.parametrize(
    ("verdict", "new"), [("odd", None), ("right", "cat"), (None, "cat"), ("wrong", "bird"), ("wrong", "")]
)
def test_what_is_no_verdict_is_refused(workspace: Workspace, analysis: Any, verdict: Any, new: str | None) -> None:
    with pytest.raises(BadRequest):
        judge(workspace, analysis, [0], verdict, relabel_to=new)
    assert verdict_list(workspace, analysis) == ()


def test_rows_that_do_not_exist_are_refused(workspace: Workspace, analysis: Any) -> None:
    with pytest.raises(IndexError):
        judge(workspace, analysis, [0, 99], "wrong")
    assert verdict_list(workspace, analysis) == ()
