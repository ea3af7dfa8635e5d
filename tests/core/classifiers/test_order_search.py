"""Orders that were planted are found, others hardly ever: over thousands of simulated networks."""

from __future__ import annotations

import numpy as np
import pytest

from core.classifiers.order_search import Answers, exceeds, find_order, natural_key, skill


def names(k: int) -> tuple[str, ...]:
    """Without an order that anything could sort them by."""
    rng = np.random.default_rng(k)
    return tuple("".join(rng.choice(list("abcdefghijklmnop"), 12)) for _ in range(k))


def simulated(confusion: np.ndarray, images: int, rng: np.random.Generator) -> Answers:
    """confusion: (k, k), rows sum to 1. The images are spread evenly over the classes."""
    k = len(confusion)
    labels = np.arange(images) % k
    predicted = np.array([rng.choice(k, p=confusion[label]) for label in labels.tolist()])
    return Answers(labels, predicted, np.arange(images) // k % 2 == 0, k)


def working(k: int, accuracy: float, rng: np.random.Generator) -> np.ndarray:
    """Right with this chance, otherwise wrong in ways of its own for each class."""
    wrong = rng.dirichlet(np.full(k, 0.5), size=k)
    wrong[np.arange(k), np.arange(k)] = 0
    wrong /= wrong.sum(axis=1, keepdims=True) + 1e-12
    return _rows(accuracy * np.eye(k) + (1 - accuracy) * wrong)


def _rows(confusion: np.ndarray) -> np.ndarray:
    return confusion / confusion.sum(axis=1, keepdims=True)


@pytest.mark.parametrize(("k", "accuracy"), [(2, 0.85), (2, 0.95), (5, 0.7), (10, 0.6), (25, 0.8)])
def test_planted_order_is_found(k: int, accuracy: float) -> None:
    rng = np.random.default_rng(k)
    found = 0
    for _ in range(40):
        order = np.roll(rng.permutation(k), 1)
        while (order == np.arange(k)).all():
            order = rng.permutation(k)
        confusion = working(k, accuracy, rng)[:, np.argsort(order)]
        # class c is answered by logit order[c]: column order[c] holds what was column c
        answer = find_order(simulated(confusion, 300, rng), names(k))
        found += answer is not None and np.array_equal(answer.logits, order)
    assert found >= 36


def test_two_exchanged_classes_among_many_right_ones_are_found() -> None:
    rng = np.random.default_rng(0)
    order = np.array([0, 1, 4, 3, 2, 5])
    found = find_order(simulated(working(6, 0.9, rng)[:, order], 300, rng), names(6))
    assert found is not None
    np.testing.assert_array_equal(found.logits, order)


def bad(kind: str, k: int, rng: np.random.Generator) -> np.ndarray:
    """Confusions of networks whose classes are in the right order, or that know nothing of the classes."""
    if kind == "guessing":
        return np.tile(rng.dirichlet(np.ones(k)), (k, 1))
    if kind == "one answer":
        return np.tile(np.eye(k)[rng.integers(k)], (k, 1))
    if kind == "habits":
        # what it answers depends on the class a little, in no order
        return _rows(np.tile(rng.dirichlet(np.ones(k)), (k, 1)) + 0.5 * rng.dirichlet(np.ones(k), size=k))
    if kind == "lookalikes":
        # half of the images of a class are taken for another one, each pair both ways
        partner = np.arange(k) ^ 1 if k % 2 == 0 else np.roll(np.arange(k), 1)
        return _rows(0.45 * np.eye(k) + 0.55 * np.eye(k)[partner])
    if kind == "shortcut":
        # two classes told apart by what stands behind them, which misleads more often than not
        return _rows(np.full((k, k), 0.02) + 0.35 * np.eye(k) + 0.55 * np.eye(k)[np.roll(np.arange(k), 1)])
    return working(k, float(rng.uniform(0.3, 1)), rng)


@pytest.mark.parametrize("k", [2, 3, 6, 10, 30])
@pytest.mark.parametrize("kind", ["working", "guessing", "one answer", "habits", "lookalikes", "shortcut"])
def test_false_alarms_are_rare(kind: str, k: int) -> None:
    rng = np.random.default_rng(k)
    rounds = 200
    alarms = sum(find_order(simulated(bad(kind, k, rng), 300, rng), names(k)) is not None for _ in range(rounds))
    assert alarms <= 0.05 * rounds


def test_order_that_a_program_would_give_is_found_among_a_hundred_classes() -> None:
    """Three images of each are too few to find any permutation, and enough to try six of them."""
    rng = np.random.default_rng(1)
    classes = tuple(str(i) for i in range(100))
    by_characters = sorted(range(100), key=str)
    order = np.argsort(by_characters)
    found = find_order(simulated(working(100, 0.6, rng)[:, by_characters], 300, rng), classes)
    assert found is not None
    assert found.whole
    np.testing.assert_array_equal(found.logits, order)
    assert found.names(classes) == tuple(sorted(classes))


def test_some_of_the_classes_of_a_larger_model_can_be_in_another_order() -> None:
    """Ten folders, a model of 200 classes: image classes 20 i are logits 20 i + 7."""
    rng = np.random.default_rng(2)
    labels = np.repeat(np.arange(0, 200, 20), 30)
    predicted = np.where(rng.random(300) < 0.85, labels + 7, rng.integers(0, 200, 300))
    found = find_order(Answers(labels, predicted, np.arange(300) % 2 == 0, 200), names(200))
    assert found is not None
    assert not found.whole
    np.testing.assert_array_equal(found.logits[np.arange(0, 200, 20)], np.arange(7, 200, 20))
    assert sorted(found.logits.tolist()) == list(range(200))


def test_answers_that_are_not_finite_count_as_wrong() -> None:
    labels = np.arange(300) % 2
    answers = Answers(labels, np.full(300, -1), np.arange(300) // 2 % 2 == 0, 2)
    assert find_order(answers, ("a", "b")) is None


def test_exact_chances() -> None:
    assert exceeds(3, 0) == pytest.approx(1 / 8)
    assert exceeds(2, 1) == pytest.approx(4 / 8)
    assert exceeds(0, 5) == 1
    # Wilson 1927: 95% of 15 of 20 begin at 0.531
    assert skill(15, 20, 0.5) == pytest.approx((0.5313 - 0.5) / 0.5, abs=2e-3)
    assert skill(15, 20, 0.25, lower=False) == pytest.approx((0.75 - 0.25) / 0.75)
    assert skill(0, 0, 0.3) == skill(5, 5, 1.0) == 0


def test_numbers_in_names_sort_as_numbers() -> None:
    given = ["class 10", "Class 2", "class 2b", "class", "7"]
    assert sorted(given, key=natural_key) == ["7", "class", "Class 2", "class 2b", "class 10"]
