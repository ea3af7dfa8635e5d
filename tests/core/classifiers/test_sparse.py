from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from core.classifiers import sparse as module
from core.classifiers.head import Head
from core.classifiers.sparse import sparse_regression


def objective(weight: np.ndarray, bias: np.ndarray, x: np.ndarray, y: np.ndarray, w: np.ndarray, l1: float) -> float:
    logits = x @ weight.T.astype(np.float64) + bias
    highest = logits.max(1)
    losses = np.log(np.exp(logits - highest[:, None]).sum(1)) + highest - logits[np.arange(len(y)), y]
    return float((w * losses).sum() / w.sum() + l1 * np.abs(weight).sum())


def problem(seed: int, n: int, d: int, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d))
    y = (x @ rng.normal(size=(d, k)) + rng.normal(size=(n, k))).argmax(axis=1)
    y[:k] = np.arange(k)
    return x, y, rng.random(n) + 0.1


def missed(head: Head, x: np.ndarray, y: np.ndarray, w: np.ndarray, l1: float) -> float:
    """By how much the conditions of the minimum are missed: for a convex problem, zero means it is one."""
    logits = x @ head.weight.T.astype(np.float64) + head.bias
    chance = np.exp(logits - logits.max(1, keepdims=True))
    chance /= chance.sum(1, keepdims=True)
    chance[np.arange(len(y)), y] -= 1
    residual = chance * (w / w.sum())[:, None]
    slope = residual.T @ x
    used = np.abs(head.weight) > 1e-9
    apart = np.where(used, np.abs(slope + l1 * np.sign(head.weight)), np.maximum(np.abs(slope) - l1, 0))
    return float(max(apart.max(), np.abs(residual.sum(axis=0)).max()))


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    n=st.integers(12, 100),
    d=st.integers(1, 40),
    k=st.integers(2, 4),
    l1=st.sampled_from([0.003, 0.02, 0.1]),
)
def test_objective_is_that_of_scikit_learn(seed: int, n: int, d: int, k: int, l1: float) -> None:
    x, y, w = problem(seed, n, d, k)
    (ours,) = sparse_regression(x, y, w, classes=k, l1=[l1])
    theirs = LogisticRegression(l1_ratio=1, solver="saga", C=1 / (l1 * w.sum()), tol=1e-6, max_iter=20_000)
    theirs.fit(x, y, sample_weight=w)
    if k == 2:
        weight = np.vstack([-theirs.coef_ / 2, theirs.coef_ / 2])
        bias = np.array([-theirs.intercept_[0] / 2, theirs.intercept_[0] / 2])
    else:
        weight, bias = theirs.coef_, theirs.intercept_
    assert objective(ours.weight, ours.bias, x, y, w, l1) <= objective(weight, bias, x, y, w, l1) + 1e-4


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 4), st.integers(20, 150), st.sampled_from([0.001, 0.01, 0.05]))
def test_the_conditions_of_the_minimum_are_met_with_more_features_than_images(
    seed: int, k: int, d: int, l1: float
) -> None:
    x, y, w = problem(seed, 40, d, k)
    (head,) = sparse_regression(x, y, w, classes=k, l1=[l1])
    assert missed(head, x, y, w, l1) <= 2e-3 * l1 + 1e-6


@pytest.mark.parametrize("k", [2, 3])
def test_a_path_gives_what_each_strength_gives_alone(k: int) -> None:
    x, y, w = problem(5, 80, 120, k)
    strengths = [0.01, 0.1, 0.003]
    together = sparse_regression(x, y, w, classes=k, l1=strengths)
    for l1, head in zip(strengths, together, strict=True):
        (alone,) = sparse_regression(x, y, w, classes=k, l1=[l1])
        assert objective(head.weight, head.bias, x, y, w, l1) == pytest.approx(
            objective(alone.weight, alone.bias, x, y, w, l1), abs=1e-5
        )


def test_a_start_changes_the_time_and_not_the_result() -> None:
    x, y, w = problem(6, 80, 120, 2)
    rng = np.random.default_rng(0)
    start = Head(rng.normal(size=(2, 120)).astype(np.float32), np.array([3, -3], dtype=np.float32))
    (plain,) = sparse_regression(x, y, w, classes=2, l1=[0.01])
    (started,) = sparse_regression(x, y, w, classes=2, l1=[0.01], start=start)
    np.testing.assert_allclose(plain.weight, started.weight, atol=5e-3)


@pytest.mark.parametrize("k", [2, 4])
def test_renaming_the_classes_renames_the_rows(k: int) -> None:
    x, y, w = problem(7, 90, 30, k)
    order = np.random.default_rng(1).permutation(k)
    (plain,) = sparse_regression(x, y, w, classes=k, l1=[0.01], tolerance=1e-5)
    (renamed,) = sparse_regression(x, order[y], w, classes=k, l1=[0.01], tolerance=1e-5)
    np.testing.assert_allclose(renamed.weight[order], plain.weight, atol=2e-3)


def test_a_strong_penalty_leaves_the_shares_of_the_classes() -> None:
    x, y, w = problem(8, 60, 10, 3)
    (head,) = sparse_regression(x, y, w, classes=3, l1=[10.0], tolerance=1e-6)
    assert not head.weight.any()
    shares = np.exp(head.bias - head.bias.max())
    np.testing.assert_allclose(shares / shares.sum(), np.bincount(y, weights=w) / w.sum(), atol=1e-3)


def test_weights_count_as_copies() -> None:
    x, y, _ = problem(9, 50, 20, 2)
    copies = np.arange(50) % 3 + 1
    (weighted,) = sparse_regression(x, y, copies.astype(float), classes=2, l1=[0.01], tolerance=1e-5)
    (repeated,) = sparse_regression(
        np.repeat(x, copies, axis=0), np.repeat(y, copies), classes=2, l1=[0.01], tolerance=1e-5
    )
    np.testing.assert_allclose(weighted.weight, repeated.weight, atol=1e-3)


@pytest.mark.parametrize("k", [2, 3])
def test_float32_path_agrees_with_float64(monkeypatch: pytest.MonkeyPatch, k: int) -> None:
    x, y, w = problem(10, 200, 60, k)
    (exact,) = sparse_regression(x, y, w, classes=k, l1=[0.005])
    monkeypatch.setattr(module, "DOUBLE", 0)
    (single,) = sparse_regression(x, y, w, classes=k, l1=[0.005])
    assert objective(single.weight, single.bias, x, y, w, 0.005) == pytest.approx(
        objective(exact.weight, exact.bias, x, y, w, 0.005), abs=1e-6
    )


def test_images_told_apart_with_certainty_have_a_finite_head() -> None:
    x = np.array([[-1.0], [-2.0], [1.0], [2.0]])
    (head,) = sparse_regression(x, np.array([0, 0, 1, 1]), classes=2, l1=[1e-6])
    assert np.isfinite(head.weight).all()
    assert (head.logits(x.astype(np.float32)).argmax(axis=1) == [0, 0, 1, 1]).all()


def test_the_same_images_twice_are_the_same_head() -> None:
    x, y, w = problem(11, 60, 100, 2)
    first, second = (sparse_regression(x, y, w, classes=2, l1=[0.01])[0] for _ in range(2))
    np.testing.assert_array_equal(first.weight, second.weight)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    n=st.integers(30, 120),
    d=st.integers(5, 300),
    c=st.sampled_from([1.0, 0.3, 0.1, 0.03]),
    power=st.sampled_from([0.0, 0.5, 1.0, 1.5]),
)
def test_a_constant_in_place_of_the_bias_minimises_what_liblinear_does(
    seed: int, n: int, d: int, c: float, power: float
) -> None:
    rng = np.random.default_rng(seed)
    spectrum = np.arange(1, d + 1) ** (-power / 2)
    x = rng.normal(size=(n, d)) * spectrum @ np.linalg.qr(rng.normal(size=(d, d)))[0] + 0.2
    x /= x.std()
    y = (x @ rng.normal(size=d) + rng.normal(size=n) > 0.3).astype(np.int64)
    y[:2] = 0, 1
    l1 = 1 / (c * n)
    theirs = LogisticRegression(l1_ratio=1, C=c, solver="liblinear", tol=1e-8, max_iter=10_000).fit(x, y)
    wide = np.hstack([x, np.ones((n, 1))])
    row = np.append(theirs.coef_[0], theirs.intercept_[0]) / 2
    least = objective(np.stack([-row, row]), np.zeros(2), wide, y, np.ones(n), l1)
    # DFR's tolerance for one of the fits it averages, and the usual one
    for tolerance in (0.05, 1e-3):
        (ours,) = sparse_regression(wide, y, classes=2, l1=[l1], bias=False, tolerance=tolerance)
        assert not ours.bias.any()
        # convexity: whoever misses the condition by that much of the strength is at most this far above the least
        promised = tolerance * l1 * np.abs(ours.weight - np.stack([-row, row])).sum()
        excess = objective(ours.weight, ours.bias, wide, y, np.ones(n), l1) - least
        assert -1e-6 <= excess <= promised + 1e-6


def test_many_more_features_than_images_and_hardly_a_penalty() -> None:
    x, y, w = problem(12, 60, 900, 2)
    (head,) = sparse_regression(x, y, w, classes=2, l1=[1e-4])
    assert missed(head, x, y, w, 1e-4) <= 2e-7
    assert np.count_nonzero(head.weight[0]) <= 60


@pytest.mark.parametrize("k", [2, 3])
def test_without_a_bias_it_stays_at_zero(k: int) -> None:
    x, y, w = problem(13, 80, 30, k)
    start = Head(np.ones((k, 30), dtype=np.float32), np.arange(k, dtype=np.float32))
    (plain,) = sparse_regression(x, y, w, classes=k, l1=[0.01], bias=False)
    (started,) = sparse_regression(x, y, w, classes=k, l1=[0.01], bias=False, start=start)
    assert not plain.bias.any()
    assert not started.bias.any()
    np.testing.assert_allclose(plain.weight, started.weight, atol=5e-3)


def test_a_feature_that_is_there_twice() -> None:
    """Newton's equations are singular, and the solution is one of many."""
    x, y, w = problem(14, 50, 20, 2)
    (once,) = sparse_regression(x, y, w, classes=2, l1=[0.01])
    (twice,) = sparse_regression(np.hstack([x, x]), y, w, classes=2, l1=[0.01])
    assert objective(twice.weight, twice.bias, np.hstack([x, x]), y, w, 0.01) == pytest.approx(
        objective(once.weight, once.bias, x, y, w, 0.01), rel=1e-5
    )
