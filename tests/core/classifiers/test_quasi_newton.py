from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from core.classifiers import quasi_newton as module
from core.classifiers.quasi_newton import InverseHessian, _Few


def pairs(seed: int, count: int, size: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Steps and the changes of the gradient along them, of a Hessian that itself changes a little."""
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(size, size))
    hessian = root @ root.T / size + 0.1 * np.eye(size)
    steps = rng.normal(size=(count, size))
    return [(step, hessian @ step + 0.02 * rng.random() * step) for step in steps]


def applied(inverse: InverseHessian, vector: np.ndarray) -> np.ndarray:
    own = inverse.coordinates(vector)
    return inverse.scale * vector + inverse.combined(inverse.middle() @ own)


def bfgs(pairs: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """The inverse Hessian by the textbook's recursion, one pair after the other."""
    size = len(pairs[0][0])
    s, y = pairs[-1]
    result = (s @ y) / (y @ y) * np.eye(size)
    for s, y in pairs:
        turn = np.eye(size) - np.outer(s, y) / (s @ y)
        result = turn @ result @ turn.T + np.outer(s, s) / (s @ y)
    return result


@pytest.mark.parametrize("count", [1, 5, 23])
def test_the_compact_form_is_that_of_the_recursion(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(module, "_KEPT", 10)
    monkeypatch.setattr(module, "_FORGOTTEN", 4)
    known, inverse = pairs(0, count, 12), InverseHessian(12, np.float64)
    for step, change in known:
        inverse.learn(step, change)
    kept = len(inverse.steps)
    assert min(count, 7) <= kept <= 10
    expected = bfgs(known[-kept:])
    vector = np.random.default_rng(1).normal(size=12)
    np.testing.assert_allclose(applied(inverse, vector), expected @ vector, rtol=1e-8, atol=1e-10)
    # what was seen last is known exactly
    np.testing.assert_allclose(applied(inverse, known[-1][1]), known[-1][0], rtol=1e-8, atol=1e-10)


def test_steps_without_curvature_teach_nothing_and_copies_are_their_own() -> None:
    inverse = InverseHessian(4, np.float64)
    step = np.array([1.0, 0, 0, 0])
    inverse.learn(step, np.zeros(4))
    inverse.learn(step, -step)
    assert len(inverse.steps) == 0
    copy = inverse.copy()
    copy.learn(step, 2 * step)
    assert len(inverse.steps) == 0
    assert copy.scale == pytest.approx(0.5)


@pytest.mark.parametrize("learnt", [0, 6, 20])
def test_a_step_is_to_the_minimum_of_the_model_and_the_heavy_rows(learnt: int) -> None:
    rng = np.random.default_rng(2)
    d, h = 9, 5
    features, shows, w = rng.normal(size=(h, d)), np.array([0.0, 1, 1, 0, 1]), 3 * rng.random(h)
    inverse = InverseHessian(d + 1, np.float64)
    few = _Few(features, shows, w, inverse)
    for step, change in pairs(3, learnt, d + 1):
        few.learn(step, change)
    z, light = 2 * rng.normal(size=h), rng.normal(size=d + 1)
    # small enough to be written out
    hessian = np.linalg.inv(np.column_stack([applied(inverse, column) for column in np.eye(d + 1)]))
    wide = np.column_stack([features, np.ones(h)])

    def model(step: np.ndarray) -> float:
        odds = (2 * shows - 1) * (z + wide @ step)
        return float(light @ step + step @ hessian @ step / 2 + w @ np.logaddexp(0, -odds))

    found = few.step(z, light)
    best = minimize(model, np.zeros(d + 1), method="BFGS", options={"gtol": 1e-9})
    assert model(found) <= best.fun + 1e-9
    np.testing.assert_allclose(found, best.x, atol=1e-4)
