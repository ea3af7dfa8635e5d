from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from core.classifiers import logistic as module
from core.classifiers.logistic import LogOdds, logistic_regression
from core.classifiers.softmax import softmax_regression


def problem(seed: int, n: int, d: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) / np.sqrt(d)
    y = (x[:, 0] + rng.normal(size=n) > 0.3).astype(np.int64)
    y[:2] = (0, 1)
    return x, y, rng.random(n) + 0.1


def objective(fit: LogOdds, x: np.ndarray, y: np.ndarray, w: np.ndarray, l2: float, column: int = 0) -> float:
    odds = (2 * y - 1) * (x @ fit.weight[:, column] + fit.bias[column])
    penalty = l2 / 4 * (fit.weight[:, column] ** 2).sum()
    return float((w * np.logaddexp(0, -odds)).sum() / w.sum() + penalty)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    n=st.integers(8, 200),
    d=st.integers(1, 30),
    l2=st.sampled_from([0.003, 0.1, 1.0]),
)
def test_minimum_is_that_of_scikit_learn(seed: int, n: int, d: int, l2: float) -> None:
    x, y, w = problem(seed, n, d)
    ours = logistic_regression(x, y, w, l2=l2, tolerance=1e-8)
    # C scales the summed loss
    theirs = LogisticRegression(C=2 / (l2 * w.sum()), solver="newton-cg", tol=1e-10, max_iter=5000)
    theirs.fit(x, y, sample_weight=w)
    np.testing.assert_allclose(ours.weight[:, 0], theirs.coef_[0], atol=2e-4)
    np.testing.assert_allclose(ours.bias[0], theirs.intercept_[0], atol=2e-4)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    n=st.integers(8, 200),
    d=st.integers(1, 30),
    columns=st.integers(1, 3),
    heavy=st.sampled_from([1.0, 30.0, 3000.0]),
    l2=st.sampled_from([0.003, 0.1, 1.0]),
)
def test_objective_is_within_a_ten_thousandth_of_that_of_scikit_learn(
    seed: int, n: int, d: int, columns: int, heavy: float, l2: float
) -> None:
    x, y, w = problem(seed, n, d)
    w[np.random.default_rng(seed).random(n) < 0.1] *= heavy
    values, weights = np.repeat(y[:, None], columns, axis=1), np.repeat(w[:, None], columns, axis=1)
    ours = logistic_regression(x, values, weights, l2=l2)
    theirs = LogisticRegression(C=2 / (l2 * w.sum()), solver="newton-cholesky", tol=1e-10, max_iter=5000)
    theirs.fit(x, y, sample_weight=w)
    best = objective(LogOdds(theirs.coef_.T, theirs.intercept_, np.zeros(1), 0), x, y, w, l2)
    for column in range(columns):
        assert best - 1e-9 <= objective(ours, x, y, w, l2, column) <= best + 1e-4


@pytest.mark.parametrize("precise", [True, False])
def test_refits_of_a_tagging_session_stay_with_the_minimum(monkeypatch: pytest.MonkeyPatch, precise: bool) -> None:
    """Each tag changes the answer of a heavy row; what earlier fits learnt must help, and never mislead."""
    if not precise:
        monkeypatch.setattr(module, "DOUBLE", 0)
    x, y, w = problem(6, 3000, 80)
    tagged = np.random.default_rng(0).choice(3000, 60, replace=False)
    w[tagged] *= 60
    after = logistic_regression(x, y, w, l2=0.1, tolerance=5e-4)
    warm, cold = 0, 0
    for row in tagged[:12]:
        y[row] = 1 - y[row]
        alone = logistic_regression(x, y, w, l2=0.1, tolerance=5e-4)
        after = logistic_regression(x, y, w, l2=0.1, tolerance=5e-4, after=after, odds=after.odds)
        assert after.gradient[0] <= 5e-4
        assert after.odds == pytest.approx((x @ after.weight + after.bias)[:, 0], abs=1e-4)
        assert objective(after, x, y, w, 0.1) == pytest.approx(objective(alone, x, y, w, 0.1), abs=5e-6)
        warm, cold = warm + after.passes, cold + alone.passes
    # each of these answers contradicts all others, which is the hardest that can be learnt anew
    assert warm < 0.75 * cold


def test_log_odds_that_are_known_are_not_computed_again() -> None:
    x, y, w = problem(7, 400, 10)
    before = logistic_regression(x, y, w, l2=0.1, tolerance=1e-8)
    assert before.odds is not None
    # of a lie about the first rows the first step is misled, and the minimum is found all the same
    for known in (before.odds[:100], before.odds, before.odds[:100] + 5):
        again = logistic_regression(x, y, w, l2=0.1, tolerance=1e-8, after=before, odds=known)
        np.testing.assert_allclose(again.weight, before.weight, atol=1e-5)
    assert logistic_regression(x, y, w, l2=0.1, tolerance=1e-7, after=before, odds=before.odds).passes == 1


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_misleading_memories_are_overcome(seed: int) -> None:
    """What was learnt of a problem of other features and other weights."""
    x, y, w = problem(seed, 120, 15)
    other, values, weights = problem(seed + 1, 90, 15)
    before = logistic_regression(30 * other, values, weights, l2=0.01, tolerance=1e-6)
    found = logistic_regression(x, y, w, l2=0.1, tolerance=1e-6, after=before)
    best = logistic_regression(x, y, w, l2=0.1, tolerance=1e-8)
    assert objective(found, x, y, w, 0.1) <= objective(best, x, y, w, 0.1) + 1e-8


def test_two_opposite_rows_of_softmax_regression_are_the_same() -> None:
    x, y, w = problem(0, 300, 12)
    ours = logistic_regression(x, y, w, l2=0.1, tolerance=1e-7)
    head = softmax_regression(x, y, w, classes=2, l2=0.1, tolerance=1e-7)
    np.testing.assert_allclose(ours.weight[:, 0], head.weight[1] - head.weight[0], atol=1e-4)
    np.testing.assert_allclose(ours.bias[0], head.bias[1] - head.bias[0], atol=1e-4)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([1e-2, 1e-3, 1e-4]))
def test_tolerance_bounds_the_distance_to_the_minimum(seed: int, tolerance: float) -> None:
    x, y, w = problem(seed, 150, 20)
    best = objective(logistic_regression(x, y, w, l2=0.1, tolerance=1e-9), x, y, w, 0.1)
    found = logistic_regression(x, y, w, l2=0.1, tolerance=tolerance)
    assert found.gradient[0] <= tolerance
    assert best - 1e-12 <= objective(found, x, y, w, 0.1) <= best + 1.1 * tolerance**2 / 0.1


def test_columns_are_fits_of_their_own() -> None:
    x, y, w = problem(1, 200, 10)
    rng = np.random.default_rng(0)
    values = np.column_stack([y, 1 - y, rng.integers(0, 2, 200)])
    weights = np.column_stack([w, rng.random(200), w * (rng.random(200) > 0.3)])
    together = logistic_regression(x, values, weights, l2=0.1, tolerance=1e-7)
    for column in range(3):
        alone = logistic_regression(x, values[:, column], weights[:, column], l2=0.1, tolerance=1e-7)
        np.testing.assert_allclose(together.weight[:, column], alone.weight[:, 0], atol=1e-5)
        assert together.bias[column] == pytest.approx(alone.bias[0], abs=1e-5)


def test_rows_without_weight_and_several_arrays_change_nothing() -> None:
    x, y, w = problem(2, 200, 8)
    w[:50] = 0
    whole = logistic_regression(x, y, w, l2=0.1, tolerance=1e-7)
    parts = logistic_regression([x[:70], x[:0], x[70:]], y, w, l2=0.1, tolerance=1e-7)
    without = logistic_regression(x[50:], y[50:], w[50:], l2=0.1, tolerance=1e-7)
    np.testing.assert_allclose(parts.weight, whole.weight, atol=1e-6)
    np.testing.assert_allclose(without.weight, whole.weight, atol=1e-6)


def test_large_features_in_float32_on_two_threads_agree_with_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y, w = problem(3, 3000, 40)
    exact = logistic_regression(x, y, w, l2=0.1, tolerance=1e-7)
    monkeypatch.setattr(module, "DOUBLE", 0)
    monkeypatch.setattr(module, "_ALONE", 0)
    monkeypatch.setattr(module, "_BLOCK", 40 * 100)
    single = logistic_regression(x, y, w, l2=0.1, tolerance=1e-4)
    assert objective(single, x, y, w, 0.1) == pytest.approx(objective(exact, x, y, w, 0.1), abs=1e-6)
    again = logistic_regression(x, y, w, l2=0.1, tolerance=1e-4)
    assert np.array_equal(single.weight, again.weight)
    assert single.bias == again.bias


def test_a_fit_to_start_from_saves_passes_and_gives_the_same() -> None:
    x, y, w = problem(4, 2000, 60)
    before = logistic_regression(x, y, w, l2=0.1, tolerance=1e-4)
    y[10] = 1 - y[10]
    cold = logistic_regression(x, y, w, l2=0.1, tolerance=1e-4)
    warm = logistic_regression(x, y, w, l2=0.1, tolerance=1e-4, after=before)
    assert warm.passes < 0.7 * cold.passes
    np.testing.assert_allclose(warm.weight, cold.weight, atol=5e-3)


def test_a_tolerance_below_rounding_ends() -> None:
    x, y, w = problem(5, 500, 10)
    found = logistic_regression(x, y, w, l2=0.1, tolerance=0.0)
    assert found.gradient[0] < 1e-7
    assert found.passes < 200


def test_huge_and_separable_features_stay_finite() -> None:
    rng = np.random.default_rng(0)
    y = np.arange(60) % 2
    x = 1e4 * (2 * y - 1)[:, None] + rng.normal(size=(60, 3))
    found = logistic_regression(x, y, np.ones(60), l2=0.1)
    assert np.isfinite(found.weight).all()
    assert (((x @ found.weight + found.bias) > 0)[:, 0] == (y == 1)).all()
