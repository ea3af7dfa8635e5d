"""What a repair cost is told where it is clear, and only there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from core.retraining.evaluation import Evaluation, evaluate
from core.retraining.groups import by_attribute, by_class
from core.retraining.price import group_changes, of_class_first, price

CLASSES = ("landbird", "waterbird")
# 100 of each class and place; train has 95 of 100 in the usual one
LABELS = np.repeat([0, 0, 1, 1], 100)
PLACE = np.repeat([0, 1, 0, 1], 100)
TRAIN = np.array([95, 5, 5, 95])


def with_right(*right: int, known: bool = True) -> Evaluation:
    """So many of the 100 of each group are right."""
    predicted = np.where(np.tile(np.arange(100), 4) < np.repeat(right, 100), LABELS, 1 - LABELS)
    if not known:
        return evaluate(predicted, LABELS, by_class(LABELS, CLASSES), np.array([100, 100]), "test")
    return evaluate(predicted, LABELS, by_attribute(LABELS, CLASSES, "place", ("land", "water"), PLACE), TRAIN, "test")


def test_the_weakest_group_comes_first() -> None:
    changes = group_changes(with_right(99, 83, 51, 100), with_right(87, 94, 91, 98))
    assert [(one.before.class_name, one.before.concept) for one in changes] == [
        ("waterbird", "land"),
        ("landbird", "water"),
        ("landbird", "land"),
        ("waterbird", "water"),
    ]
    assert [one.after.accuracy for one in changes] == [0.91, 0.94, 0.87, 0.98]


def test_what_fell_clearly_is_lost_and_what_may_be_chance_is_not() -> None:
    paid = price(with_right(99, 83, 51, 100), with_right(80, 94, 91, 90))
    # 100 to 90 of 100 is clear as well; the greater loss comes first
    assert [(one.before.class_name, one.before.concept) for one in paid.lost] == [
        ("landbird", "land"),
        ("waterbird", "water"),
    ]
    assert price(with_right(99, 83, 51, 100), with_right(96, 94, 91, 98)).lost == ()


def test_usual_images_are_weighed_as_in_train() -> None:
    paid = price(with_right(99, 83, 51, 100), with_right(87, 94, 91, 98))
    assert paid.usual == pytest.approx(
        ((0.95 * 0.99 + 0.05 * 0.83 + 0.05 * 0.51 + 0.95) / 2, (0.95 * 0.87 + 0.05 * 0.94 + 0.05 * 0.91 + 0.9310) / 2)
    )


def test_what_did_not_fall_costs_nothing() -> None:
    paid = price(with_right(90, 83, 51, 90), with_right(90, 94, 91, 90))
    assert (paid.lost, paid.usual) == ((), None)


def test_without_groups_beside_the_classes_nothing_is_usual() -> None:
    paid = price(with_right(99, 99, 51, 51, known=False), with_right(60, 60, 90, 90, known=False))
    assert paid.usual is None
    assert [one.before.class_name for one in paid.lost] == ["landbird"]


def test_images_of_the_class_that_did_worst_come_first(make_analysis: Any) -> None:
    analysis = make_analysis(np.zeros((8, 1)), np.arange(8) % 2, classes=CLASSES)
    assert of_class_first(analysis, [0, 1, 2, 3, 5], "waterbird", 4).tolist() == [1, 3, 5, 0]
    assert of_class_first(analysis, [], "waterbird", 4).tolist() == []
