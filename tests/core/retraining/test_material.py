"""Which images, labels and tags a retraining gets once people have judged labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from core.concepts.adoption import adopt
from core.concepts.concept import Concept, create_concept
from core.concepts.labels import judge
from core.concepts.tags import tag, undo
from core.retraining.groups import Grouping
from core.retraining.material import chosen_concepts, gather
from core.workspace import Workspace

# 4 images of train, 8 of val, 4 of test
SPLITS = np.repeat([0, 1, 2], (4, 8, 4))
LABELS = np.arange(16) % 2
PLACE = np.arange(16) // 2 % 2


@pytest.fixture
def analysis(make_analysis: Any) -> Any:
    features = np.random.default_rng(0).normal(size=(16, 3))
    return make_analysis(features, LABELS, splits=SPLITS, classes=("cat", "dog"), place=PLACE)


@pytest.fixture
def water(workspace: Workspace, analysis: Any) -> Concept:
    concept = create_concept(workspace, analysis.dataset_id, "water")
    tag(workspace, analysis, concept, [1, 4, 5, 13], True)
    return concept


def test_wrong_labels_are_left_out_and_new_ones_used(workspace: Workspace, analysis: Any, water: Concept) -> None:
    before = gather(workspace, analysis, [water])
    assert before.material.pool.rows.tolist() == [1, *range(4, 12)]
    judge(workspace, analysis, [4], "wrong")
    judge(workspace, analysis, [1, 6], "wrong", relabel_to="dog")
    gathered = gather(workspace, analysis, [water])
    pool = gathered.material.pool
    assert pool.rows.tolist() == [1, *range(5, 12)]
    expected = LABELS[pool.rows].copy()
    expected[pool.rows == 6] = 1
    assert pool.labels.tolist() == expected.tolist()
    assert "1 image tagged as wrongly labelled was left out." in gathered.notes
    assert "1 image was used with the label that a person gave." in gathered.notes


def test_known_groups_follow_the_new_label_for_fitting_and_the_given_one_for_measuring(
    workspace: Workspace, analysis: Any, water: Concept
) -> None:
    judge(workspace, analysis, [6], "wrong", relabel_to="dog")
    gathered = gather(workspace, analysis, [water])
    known, groups = gathered.material.known, gathered.groups
    assert known is not None
    assert groups is not None
    place = gathered.material.pool.rows.tolist().index(6)

    def class_of(grouping: Grouping, row: int) -> str:
        return grouping.classes[int(grouping.codes[row]) // len(grouping.patterns)]

    assert (class_of(known, place), class_of(groups, 6)) == ("dog", "cat")


def test_test_is_measured_on_labels_as_given_and_says_how_many_were_doubted(
    workspace: Workspace, analysis: Any, water: Concept
) -> None:
    groups = gather(workspace, analysis, [water]).groups
    judge(workspace, analysis, [12], "wrong")
    judge(workspace, analysis, [13, 14, 15], "wrong", relabel_to="cat")  # 14 is a cat already
    gathered = gather(workspace, analysis, [water])
    assert any(note.startswith("3 images of test were judged wrongly labelled.") for note in gathered.notes)
    assert groups is not None
    assert gathered.groups is not None
    assert gathered.groups.codes.tolist() == groups.codes.tolist()
    assert gathered.material.pool.rows.tolist() == [1, *range(4, 12)]


def test_the_hash_of_what_was_used_knows_verdicts(workspace: Workspace, analysis: Any, water: Concept) -> None:
    seen = [gather(workspace, analysis, [water]).tags]
    judge(workspace, analysis, [4], "wrong")
    seen.append(gather(workspace, analysis, [water]).tags)
    judge(workspace, analysis, [4], "wrong", relabel_to="dog")
    seen.append(gather(workspace, analysis, [water]).tags)
    assert len(set(seen)) == 3
    undo(workspace, analysis.dataset_id)
    undo(workspace, analysis.dataset_id)
    assert gather(workspace, analysis, [water]).tags == seen[0]
    judge(workspace, analysis, [15], "wrong")
    assert gather(workspace, analysis, [water]).tags == seen[0], "nothing is fitted on test"


def test_a_concept_of_the_role_wrong_label_is_left_out_as_ever(
    workspace: Workspace, analysis: Any, water: Concept
) -> None:
    odd = create_concept(workspace, analysis.dataset_id, "odd", role="wrong-label")
    tag(workspace, analysis, odd, [7], True)
    assert 7 not in gather(workspace, analysis, [water]).material.pool.rows
    judge(workspace, analysis, [7], "right")
    assert 7 in gather(workspace, analysis, [water]).material.pool.rows


def test_an_adopted_column_does_not_pull_all_of_train_into_memory(workspace: Workspace, analysis: Any) -> None:
    adopted = adopt(workspace, analysis, "place", "water")
    tag(workspace, analysis, adopted, [2], True)
    gathered = gather(workspace, analysis, [adopted])
    assert gathered.material.pool.rows.tolist() == [2, *range(4, 12)]
    (tags,) = gathered.material.concepts
    assert tags.states.tolist() == [1, *PLACE[4:12].tolist()]
    assert not any("tagged test images" in note for note in gathered.notes)


def test_unsure_teaches_nothing(workspace: Workspace, analysis: Any, water: Concept) -> None:
    tag(workspace, analysis, water, [1, 4, 9], "unsure")
    gathered = gather(workspace, analysis, [water])
    assert gathered.material.pool.rows.tolist() == [*range(4, 12)]
    assert gathered.material.concepts[0].states.tolist() == [-1, 1] + [-1] * 6


def test_without_names_only_concepts_that_suffice_are_chosen(workspace: Workspace, analysis: Any) -> None:
    def said(name: str, present: list[int], absent: list[int]) -> Concept:
        concept = create_concept(workspace, analysis.dataset_id, name)
        tag(workspace, analysis, concept, present, True)
        tag(workspace, analysis, concept, absent, False)
        return concept

    begun = said("one of a kind", [4], list(range(5, 12)))
    measured = said("mostly test", [4, 5, 12, 13], [6, 7, 14, 15])
    assert chosen_concepts(workspace, analysis, ()) == (begun, measured)
    enough = said("enough", [0, 4, 6, 8], [1, 5, 7, 9])
    assert chosen_concepts(workspace, analysis, ()) == (enough,)
