from __future__ import annotations

import numpy as np
import pytest

from core.concepts.majority import above, clear_majority, top_half, usual_values

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


def test_a_share_of_each_class_lies_below() -> None:
    logits = np.stack([np.arange(20.0), 20 - np.arange(20.0)], axis=1)
    labels = np.repeat([0, 1], 10)
    left = above(0.2, logits, labels)
    assert np.flatnonzero(~left).tolist() == [0, 1, 18, 19]


def test_majority_on_top_decides() -> None:
    values, warnings = decided([(0, True, 0)] * 4 + [(0, True, 1)] + [(1, True, 1)] * 5)
    assert (values, warnings) == ([0, 1], ())


def test_low_images_do_not_outvote_the_top() -> None:
    # a class that never shows the concept: absent on top and absent below
    values, _ = decided([(0, True, 0)] + [(0, False, 0)] * 30 + [(1, True, 1)])
    assert values == [0, 1]


@pytest.mark.parametrize(("yes", "no"), [(1, 1), (2, 1), (2, 2), (3, 2)])
def test_divided_answers_leave_a_class_open_whatever_is_said_below(yes: int, no: int) -> None:
    values, warnings = decided([(0, True, 1)] * yes + [(0, True, 0)] * no + [(0, False, 1)] * 6 + [(1, True, 1)])
    assert values == [-1, 1]
    assert len(warnings) == 1
    assert "landbird" in warnings[0]


@pytest.mark.parametrize(("yes", "no"), [(1, 0), (3, 1), (6, 3), (70, 30)])
def test_one_slip_among_four_and_many_exceptions_among_many_do_not(yes: int, no: int) -> None:
    assert decided([(0, True, 1)] * yes + [(0, True, 0)] * no + [(1, True, 1)]) == ([1, 1], ())


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


@pytest.mark.parametrize("seed", range(30))
def test_above_is_what_quantiles_of_each_class_say(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, k = rng.integers(0, 60), int(rng.integers(1, 8))
    # with ties, and classes of few images or none
    logits = np.round(rng.normal(size=(n, k)), seed % 4).astype(np.float32)
    labels, reference = rng.integers(0, k, n), rng.random(n) < 0.5
    for share in (0.2, 0.5):
        expected = np.zeros(n, dtype=bool)
        for c in range(k):
            own = logits[:, c].astype(np.float64)
            if (reference & (labels == c)).any():
                expected |= (labels == c) & (own > np.quantile(own[reference & (labels == c)], share))
        assert np.array_equal(above(share, logits, labels, reference), expected)


def test_clear_majority_is_the_rule_of_usual_values() -> None:
    numbers = [(0, 0), (1, 0), (0, 1), (1, 1), (2, 1), (3, 1), (3, 2), (6, 3)]
    present, absent = np.array(numbers).T
    assert clear_majority(present, absent).tolist() == [-1, 1, 0, -1, -1, 1, -1, 1]
    assert clear_majority(present[:, None], absent[:, None]).shape == (len(numbers), 1)
