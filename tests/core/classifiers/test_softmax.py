from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from core.classifiers import newton
from core.classifiers import softmax as module
from core.classifiers.head import Head
from core.classifiers.softmax import Scaling, softmax, softmax_regression, standardise


def objective(head: Head, x: np.ndarray, y: np.ndarray, w: np.ndarray, l2: float, towards: Head | None = None) -> float:
    logits = x @ head.weight.T.astype(np.float64) + head.bias
    losses = np.log(np.exp(logits - logits.max(1, keepdims=True)).sum(1)) + logits.max(1) - logits[np.arange(len(y)), y]
    centre = 0 if towards is None else towards.weight
    return float((w * losses).sum() / w.sum() + l2 / 2 * ((head.weight - centre) ** 2).sum())


def problem(seed: int, n: int, d: int, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d))
    y = (x @ rng.normal(size=(d, k)) + rng.normal(size=(n, k))).argmax(axis=1)
    y[:k] = np.arange(k)
    return x, y, rng.random(n) + 0.1


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    n=st.integers(12, 120),
    d=st.integers(1, 200),
    k=st.integers(2, 5),
    l2=st.sampled_from([0.001, 0.01, 0.1, 1.0]),
)
def test_objective_is_that_of_scikit_learn(seed: int, n: int, d: int, k: int, l2: float) -> None:
    x, y, w = problem(seed, n, d, k)
    ours = softmax_regression(x, y, w, classes=k, l2=l2)
    # C scales the summed loss: 1 / (l2 * total weight) makes it our weighted mean
    theirs = LogisticRegression(C=1 / (l2 * w.sum()), tol=1e-8, max_iter=5000).fit(x, y, sample_weight=w)
    if k == 2:
        # one row stands for the difference of two: half of it each is what our penalty prefers
        weight = np.vstack([-theirs.coef_ / 2, theirs.coef_ / 2])
        bias = np.array([-theirs.intercept_[0] / 2, theirs.intercept_[0] / 2])
        # their penalty on the one row is twice ours on the two halves
        assert objective(ours, x, y, w, l2) <= objective(Head(weight, bias), x, y, w, l2) + 1e-4
    else:
        other = Head(theirs.coef_, theirs.intercept_)
        assert objective(ours, x, y, w, l2) == pytest.approx(objective(other, x, y, w, l2), abs=1e-4)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 4))
def test_no_step_from_the_solution_lowers_the_objective(seed: int, k: int) -> None:
    x, y, w = problem(seed, 60, 6, k)
    rng = np.random.default_rng(seed)
    towards = Head(rng.normal(size=(k, 6)).astype(np.float32), rng.normal(size=k).astype(np.float32))
    found = softmax_regression(x, y, w, classes=k, l2=0.1, towards=towards)
    best = objective(found, x, y, w, 0.1, towards)
    for _ in range(20):
        step = Head(
            found.weight + 0.01 * rng.normal(size=(k, 6)).astype(np.float32),
            found.bias + 0.01 * rng.normal(size=k).astype(np.float32),
        )
        assert objective(step, x, y, w, 0.1, towards) >= best - 1e-6


@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize(("n", "d"), [(60, 300), (300, 60), (200, 210)])
def test_every_way_to_solve_finds_the_same_head(monkeypatch: pytest.MonkeyPatch, k: int, n: int, d: int) -> None:
    """In the span of the images, in the features, by conjugate gradients; by L-BFGS with fewer unknowns or all."""
    x, y, w = problem(4, n, d, k)
    rng = np.random.default_rng(1)
    towards = Head(rng.normal(size=(k, d)).astype(np.float32), rng.normal(size=k).astype(np.float32))
    found = []
    for direct in (10_000, 250, 0):
        monkeypatch.setattr(module, "DIRECT", direct)
        monkeypatch.setattr(newton, "DIRECT", direct)
        found.append(softmax_regression(x, y, w, classes=k, l2=0.01, towards=towards, tolerance=1e-7))
    for other in found[1:]:
        np.testing.assert_allclose(other.weight, found[0].weight, atol=2e-4)
        np.testing.assert_allclose(other.bias, found[0].bias, atol=2e-4)


@pytest.mark.parametrize("k", [2, 4])
@pytest.mark.parametrize(("n", "d"), [(50, 120), (120, 20)])
def test_renaming_the_classes_renames_the_rows(k: int, n: int, d: int) -> None:
    x, y, w = problem(5, n, d, k)
    rng = np.random.default_rng(0)
    order = rng.permutation(k)
    towards = Head(rng.normal(size=(k, d)).astype(np.float32), rng.normal(size=k).astype(np.float32))
    there = np.argsort(order)
    moved = Head(towards.weight[there], towards.bias[there])
    plain = softmax_regression(x, y, w, classes=k, l2=0.1, towards=towards, tolerance=1e-7)
    renamed = softmax_regression(x, order[y], w, classes=k, l2=0.1, towards=moved, tolerance=1e-7)
    np.testing.assert_allclose(renamed.weight[order], plain.weight, atol=1e-4)
    np.testing.assert_allclose(renamed.bias[order], plain.bias, atol=1e-4)


@pytest.mark.parametrize("k", [2, 3])
def test_features_in_other_units_give_the_same_logits(k: int) -> None:
    x, y, w = problem(6, 90, 15, k)
    rng = np.random.default_rng(0)
    units, zero = 10 ** rng.uniform(-3, 3, 15), rng.normal(size=15)
    features, others = x.astype(np.float32), (x * units + zero * units).astype(np.float32)
    logits = []
    for table in (features, others):
        scaling = standardise(table)
        # without the little that quiets dead features, which is of the features' common unit
        scaling = Scaling(scaling.mean, table.std(axis=0, dtype=np.float64))
        head = scaling.fold(softmax_regression(scaling.apply(table), y, w, classes=k, l2=0.1, tolerance=1e-7))
        logits.append(head.logits(table))
    np.testing.assert_allclose(logits[0], logits[1], atol=2e-3)


def test_one_class_alone_is_no_endless_search() -> None:
    x, _, w = problem(0, 40, 5, 2)
    towards = Head(np.zeros((2, 5), dtype=np.float32), np.zeros(2, dtype=np.float32))
    found = softmax_regression(x, np.zeros(40, dtype=np.int64), w, classes=2, l2=0.1, towards=towards)
    assert np.isfinite(found.weight).all()
    assert (found.logits(x.astype(np.float32)).argmax(axis=1) == 0).all()


def test_classes_far_apart_have_a_finite_head() -> None:
    x = np.array([[-100.0, 1], [-200, 1], [100, 1], [200, 1]])
    found = softmax_regression(x, np.array([0, 0, 1, 1]), classes=2, l2=1e-6)
    assert np.isfinite(found.weight).all()
    assert objective(found, x, np.array([0, 0, 1, 1]), np.ones(4), 1e-6) < 1e-3


@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("direct", [10_000, 0])
def test_a_start_changes_the_time_and_not_the_result(monkeypatch: pytest.MonkeyPatch, k: int, direct: int) -> None:
    monkeypatch.setattr(module, "DIRECT", direct)
    monkeypatch.setattr(newton, "DIRECT", direct)
    x, y, w = problem(7, 80, 20, k)
    rng = np.random.default_rng(0)
    towards, start = (
        Head(rng.normal(size=(k, 20)).astype(np.float32), rng.normal(size=k).astype(np.float32)) for _ in range(2)
    )
    plain = softmax_regression(x, y, w, classes=k, l2=0.1, towards=towards, tolerance=1e-7)
    started = softmax_regression(x, y, w, classes=k, l2=0.1, towards=towards, start=start, tolerance=1e-7)
    np.testing.assert_allclose(plain.weight, started.weight, atol=1e-4)


def test_a_strong_pull_returns_the_head_it_pulls_to() -> None:
    x, y, w = problem(0, 80, 5, 3)
    towards = Head(np.arange(15, dtype=np.float32).reshape(3, 5), np.zeros(3, dtype=np.float32))
    found = softmax_regression(x, y, w, classes=3, l2=1e6, towards=towards)
    np.testing.assert_allclose(found.weight, towards.weight, atol=1e-4)


def test_weights_count_as_copies() -> None:
    x, y, _ = problem(1, 50, 4, 3)
    copies = np.arange(50) % 3 + 1
    weighted = softmax_regression(x, y, copies.astype(float), classes=3, l2=0.1)
    repeated = softmax_regression(np.repeat(x, copies, axis=0), np.repeat(y, copies), classes=3, l2=0.1)
    np.testing.assert_allclose(weighted.weight, repeated.weight, atol=1e-4)


def test_float32_path_agrees_with_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y, w = problem(2, 400, 20, 3)
    exact = softmax_regression(x, y, w, classes=3, l2=0.1)
    monkeypatch.setattr(module, "DOUBLE", 0)
    single = softmax_regression(x, y, w, classes=3, l2=0.1)
    assert objective(single, x, y, w, 0.1) == pytest.approx(objective(exact, x, y, w, 0.1), abs=1e-6)


def test_a_class_without_images_keeps_its_weight() -> None:
    x, y, w = problem(3, 40, 4, 2)
    towards = Head(np.ones((3, 4), dtype=np.float32), np.zeros(3, dtype=np.float32))
    found = softmax_regression(x, y, w, classes=3, l2=0.1, towards=towards)
    assert np.isfinite(found.weight).all()
    assert found.logits(x.astype(np.float32)).argmax(axis=1).max() < 2


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 30), st.integers(2, 5))
def test_folded_head_gives_the_logits_of_the_scaled_one(seed: int, d: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    features = (rng.normal(size=(40, d)) * rng.uniform(0.1, 5, d) + rng.normal(size=d)).astype(np.float32)
    scaling = standardise(features)
    head = Head(rng.normal(size=(k, d)).astype(np.float32), rng.normal(size=k).astype(np.float32))
    scaled, folded = head.logits(scaling.apply(features)), scaling.fold(head).logits(features)
    size = max(1.0, float(np.abs(scaled).max()))
    np.testing.assert_allclose(folded / size, scaled / size, atol=1e-5)
    back = scaling.unfold(scaling.fold(head))
    np.testing.assert_allclose(back.weight, head.weight, atol=1e-5)


def test_standardised_features_have_mean_zero_and_deviation_one() -> None:
    features = np.random.default_rng(0).normal(3, 7, size=(500, 4)).astype(np.float32)
    scaled = standardise(features).apply(features)
    np.testing.assert_allclose(scaled.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(scaled.std(axis=0), 1, atol=2e-3)


def test_the_deviation_is_that_of_numpy_over_many_blocks_and_far_from_zero() -> None:
    rng = np.random.default_rng(0)
    features = (rng.normal(size=(3000, 400)) + 1000).astype(np.float32)
    features[:, 1] *= 0.001
    # sorted, so that the first images are like no others
    features = features[np.argsort(features[:, 0])]
    scaling = standardise(features)
    deviation = features.std(axis=0, dtype=np.float64)
    np.testing.assert_allclose(scaling.mean, features.mean(axis=0, dtype=np.float64), rtol=1e-6)
    np.testing.assert_allclose(scaling.scale - 1e-3 * np.sqrt(np.mean(deviation**2)), deviation, rtol=1e-4)


def test_a_dead_feature_stays_quiet() -> None:
    features = np.random.default_rng(0).normal(size=(100, 3)).astype(np.float32)
    features[:, 1] = 5.0
    scaling = standardise(features)
    assert np.abs(scaling.apply(features)[:, 1]).max() == 0
    assert np.isfinite(scaling.scale).all()
    assert (standardise(np.ones((5, 2), dtype=np.float32)).scale > 0).all()


def test_a_nearly_dead_feature_stays_quiet() -> None:
    features = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32)
    features[:, 1] = 1e-7 * features[:, 0]
    scaled = standardise(features).apply(features)
    assert np.abs(scaled[:, 1]).max() < 0.01
    assert scaled[:, 0].std() > 0.99


def test_other_units_give_the_same_standardised_features() -> None:
    features = np.random.default_rng(0).normal(size=(100, 3)).astype(np.float32)
    small = (features * 1e-4).astype(np.float32)
    np.testing.assert_allclose(standardise(features).apply(features), standardise(small).apply(small), atol=1e-4)


def test_softmax_survives_huge_logits() -> None:
    np.testing.assert_allclose(softmax(np.array([[1e4, 0.0], [-1e4, 1e4]])), [[1, 0], [0, 1]])
