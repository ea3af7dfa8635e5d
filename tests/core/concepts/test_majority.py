from __future__ import annotations

import numpy as np
import pytest

from core.concepts.majority import top_half, usual_values

CLASSES = ("landbird", "waterbird")


def decided(tags: list[tuple[int, bool, int]]) -> tuple[list[int], tuple[str, ...]]:
    """Usual values from (class, on top, state) of each image."""
    labels, top, states = (np.array(column) for column in zip(*tags, strict=True))
    found = usual_values(states.astype(np.int8), labels, top.astype(bool), CLASSES, "water")
    return found.values.tolist(), found.warnings


def test_top_half_is_the_upper_half_of_each_class() -> None:
    logits = np.array([[1.0, 0], [2, 0], [3, 0], [4, 0], [0, 10], [0, 20]])
    labels = np.array([0, 0, 0, 0, 1, 1])
    assert top_half(logits, labels).tolist() == [False, False, True, True, False, True]


def test_the_median_can_be_taken_over_other_images() -> None:
    logits, labels = np.array([[1.0, 0], [2, 0], [9, 0]]), np.zeros(3, dtype=int)
    assert top_half(logits, labels, np.array([True, True, False])).tolist() == [False, True, True]
    assert not top_half(logits, labels, np.zeros(3, dtype=bool)).any()


def test_majority_on_top_decides() -> None:
    values, warnings = decided([(0, True, 0)] * 4 + [(0, True, 1)] + [(1, True, 1)] * 5)
    assert (values, warnings) == ([0, 1], ())


def test_low_images_do_not_outvote_the_top() -> None:
    # a class that never shows the concept: absent on top and absent below
    values, _ = decided([(0, True, 0)] + [(0, False, 0)] * 30 + [(1, True, 1)])
    assert values == [0, 1]


def test_a_tie_is_broken_by_the_low_images_turned_round() -> None:
    values, _ = decided([(0, True, 0), (0, True, 1)] + [(0, False, 1)] * 6 + [(1, True, 1)])
    assert values == [0, 1]


def test_a_mixed_class_gets_no_assumption_and_a_warning() -> None:
    values, warnings = decided([(0, True, 0)] * 3 + [(0, True, 1)] * 2 + [(1, True, 1)] * 5)
    assert values == [-1, 1]
    assert "3 do not" in warnings[0]


def test_a_class_without_answers_on_top_is_left_out_and_named() -> None:
    values, warnings = decided([(0, True, 0)] * 3 + [(1, False, 0)] * 9)
    assert values == [0, -1]
    assert "waterbird" in warnings[0]


@pytest.mark.parametrize("share", [0.1])
def test_five_answers_withstand_one_wrong_in_ten(share: float) -> None:
    rng = np.random.default_rng(0)
    wrong = 0
    for _ in range(300):
        slips = rng.random(5) < share
        values, _ = decided([(0, True, int(slip)) for slip in slips] + [(1, True, 1)])
        wrong += values[0] == 1
    assert wrong <= 9
