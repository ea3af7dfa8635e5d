from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from core.concepts import labels
from core.concepts.concept import create_concept
from core.concepts.labels import judge, label_verdicts, verdict_list
from core.concepts.merging import merge_concepts
from core.concepts.tags import redo, tag, tag_states, tag_version, undo
from core.errors import BadRequest
from core.workspace import Workspace
from tests.core.statements import asked

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


def test_a_merge_does_not_make_old_tags_new(workspace: Workspace, analysis: Any) -> None:
    odd = create_concept(workspace, analysis.dataset_id, "odd", role="wrong-label")
    old, older = (create_concept(workspace, analysis.dataset_id, name) for name in ("old", "older"))
    tag(workspace, analysis, older, [3, 5], True, author="Ann")
    judge(workspace, analysis, [5], "right", author="Ann")
    merge_concepts(workspace, old, older, author="Bob")
    merge_concepts(workspace, odd, old, author="Bob")
    assert label_verdicts(workspace, analysis).excluded.tolist() == [False, False, False, True, False, False]
    tag(workspace, analysis, odd, [5], True, author="Ann")
    assert label_verdicts(workspace, analysis).excluded[5]


def test_verdicts_are_read_once_until_something_changes(workspace: Workspace, analysis: Any) -> None:
    judge(workspace, analysis, [0], "wrong")
    first = label_verdicts(workspace, analysis)
    first.excluded[:], first.labels[:], first.judged[:] = True, 9, True
    with asked(workspace) as statements:
        again = label_verdicts(workspace, analysis)
    assert len([one for one, _ in statements if one.startswith("SELECT")]) == 1, "the version of the log"
    assert again.excluded.tolist() == [True] + [False] * 5
    assert again.labels.tolist() == LABELS.tolist()
    assert again.judged.tolist() == [True] + [False] * 5
    undo(workspace, analysis.dataset_id)
    assert not label_verdicts(workspace, analysis).excluded.any()


def test_what_somebody_says_while_it_is_read_is_not_missed(
    workspace: Workspace, analysis: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge(workspace, analysis, [0], "wrong")
    read = labels.standing_verdicts

    def late(session: Any, dataset: str) -> Any:
        monkeypatch.setattr(labels, "standing_verdicts", read)
        judge(workspace, analysis, [1], "wrong", author="Bob")
        return read(session, dataset)

    monkeypatch.setattr(labels, "standing_verdicts", late)
    label_verdicts(workspace, analysis)
    undo(workspace, analysis.dataset_id, "Bob")
    assert label_verdicts(workspace, analysis).excluded.tolist() == [True] + [False] * 5


def test_10_000_verdicts_take_as_few_questions_as_one(workspace: Workspace, make_analysis: Any) -> None:
    """Of the database: none is asked about each image."""
    many = make_analysis(np.zeros((20_000, 1)), np.arange(20_000) % 2)
    judge(workspace, many, [1], "wrong")
    with asked(workspace) as of_one:
        assert label_verdicts(workspace, many).count == 1
    judge(workspace, many, np.arange(0, 20_000, 2), "wrong")
    with asked(workspace) as of_many:
        assert label_verdicts(workspace, many).count == 10_001
    assert len(of_many) == len(of_one) > 0


def test_without_images_nothing_is_done(workspace: Workspace, analysis: Any) -> None:
    assert judge(workspace, analysis, [], "wrong") is None
    assert undo(workspace, analysis.dataset_id) is None


def test_each_image_gets_its_own_class_in_one_step(workspace: Workspace, analysis: Any) -> None:
    judge(workspace, analysis, [2, 0, 3, 0], "wrong", relabel_to=["cat", "cat", "cat", "dog"], author="Ann", how="list")
    held = label_verdicts(workspace, analysis)
    assert held.labels.tolist() == [1, 1, 0, 0, 1, 2]
    assert held.count == 2
    assert [(one.image, one.verdict, one.new_label) for one in verdict_list(workspace, analysis)] == [
        ("images/000000.png", "wrong", "dog"),
        ("images/000002.png", "wrong", "cat"),
        ("images/000003.png", "right", None),
    ]
    undone = undo(workspace, analysis.dataset_id, "Ann")
    assert undone is not None
    assert (undone.sentence, undone.images) == ("Relabelled 3 images as dog or cat", 3)
    assert not label_verdicts(workspace, analysis).judged.any()


def test_one_unknown_class_of_several_changes_nothing(workspace: Workspace, analysis: Any) -> None:
    with pytest.raises(BadRequest, match="no class “bird”"):
        judge(workspace, analysis, [0, 1], "wrong", relabel_to=["dog", "bird"])
    assert not label_verdicts(workspace, analysis).judged.any()


def test_more_classes_than_a_sentence_holds_are_not_named(workspace: Workspace, analysis: Any) -> None:
    judge(workspace, analysis, [0, 1, 2], "wrong", relabel_to=["dog", "cat", "<b>fish</b>"], author="Ann")
    undone = undo(workspace, analysis.dataset_id, "Ann")
    assert undone is not None
    assert undone.sentence == "Relabelled 3 images"
