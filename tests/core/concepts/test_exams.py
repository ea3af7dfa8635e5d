"""The exam that is told, and the one that tells something else."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from core.classifiers.head import Head
from core.concepts.exams import exam, exam_on, second_exam, share_wrong

# two features: the class, the place; this head looks at the place alone
BY_PLACE = Head(np.array([[0, -1], [0, 1]], dtype=np.float32), np.zeros(2, dtype=np.float32))


def leaning(make_analysis: Any, splits: np.ndarray, agrees: np.ndarray, *, told: bool = True) -> Any:
    """A head that goes by the place, which agrees with the class where it is said to."""
    labels = np.arange(len(splits)) % 2
    place = np.where(agrees, labels, 1 - labels)
    features = np.column_stack([2.0 * labels - 1, 2.0 * place - 1])
    return make_analysis(features, labels, splits=splits, head=BY_PLACE, place=place if told else None)


SPLITS = np.repeat([0, 1, 2], 100)
# 95 of 100 agree in train and val, 50 in test
AGREES = np.tile(np.arange(100), 3) >= np.repeat([5, 5, 50], 100)


def test_the_exam_is_on_val_and_the_second_one_on_test(make_analysis: Any) -> None:
    analysis = leaning(make_analysis, SPLITS, AGREES)
    first, second = exam(analysis), second_exam(analysis)
    assert (first.split, first.accuracy, first.count, first.learnt) == ("val", 0.95, 100, False)
    assert second is not None
    assert (second.split, second.accuracy, second.count) == ("test", 0.5, 100)
    assert (first.unusual, second.unusual) == (0.05, 0.5)
    assert second.is_stranger_than(first)
    assert not first.is_stranger_than(second)
    assert first.to_dict() == {"split": "val", "accuracy": 0.95, "images": 100, "unusual": 0.05}


def test_what_is_usual_is_what_was_learnt_from(make_analysis: Any) -> None:
    """Where train was the other way round, what agrees is what is unusual."""
    analysis = leaning(make_analysis, SPLITS, np.where(SPLITS == 0, ~AGREES, AGREES))
    assert exam(analysis).unusual == 0.95


def test_without_an_attribute_nobody_knows_what_is_unusual(make_analysis: Any) -> None:
    analysis = leaning(make_analysis, SPLITS, AGREES, told=False)
    second = second_exam(analysis)
    assert second is not None
    assert second.unusual is None
    assert not second.is_stranger_than(exam(analysis))


def test_images_of_unknown_value_count_in_the_score_alone(make_analysis: Any) -> None:
    analysis = leaning(make_analysis, SPLITS, AGREES)
    attribute = analysis.attributes[0]
    attribute.codes[100:105] = -1
    assert exam_on(analysis, "val").unusual == 0.0
    assert exam_on(analysis, "val").count == 100


def test_an_exam_as_hard_as_the_first_is_no_second_one(make_analysis: Any) -> None:
    same = np.tile(np.arange(100), 3) >= np.repeat([5, 5, 9], 100)
    assert second_exam(leaning(make_analysis, SPLITS, same)) is None


@pytest.mark.parametrize(("split", "name"), [(0, "train"), (2, "test")])
def test_with_a_single_split_there_is_one_exam(make_analysis: Any, split: int, name: str) -> None:
    analysis = leaning(make_analysis, np.full(100, split), AGREES[:100])
    assert exam(analysis).split == name
    assert exam(analysis).learnt == (name == "train")
    assert second_exam(analysis) is None


def test_nothing_is_no_share(make_analysis: Any) -> None:
    analysis = leaning(make_analysis, SPLITS, AGREES)
    assert math.isnan(share_wrong(analysis, np.array([], dtype=np.int64)))
