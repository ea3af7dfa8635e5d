"""Intervals and tests hold what they promise: planted accuracies, drawn again and again."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, fisher_exact, t

from core.retraining.intervals import (
    SIGNIFICANCE,
    bootstrap_interval,
    fisher,
    mcnemar,
    mean_interval,
    minimum_change,
    minimum_interval,
    wilson,
)

DRAWS = 250
# 95% of the draws less three standard errors: a right method fails such a test in one of a thousand versions of it
ENOUGH = 0.95 - 3 * np.sqrt(0.95 * 0.05 / DRAWS)


@given(st.integers(0, 300), st.integers(0, 300))
def test_wilson_holds_the_share_and_stays_within_bounds(correct: int, rest: int) -> None:
    count = correct + rest
    low, high = wilson(correct, count)
    assert 0 <= low <= (correct / count if count else 0.5) <= high <= 1


def test_wilson_equals_scipys() -> None:
    for correct, count in ((0, 5), (5, 5), (7, 12), (480, 500)):
        expected = binomtest(correct, count).proportion_ci(method="wilson")
        assert wilson(correct, count) == pytest.approx((expected.low, expected.high))


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_the_exact_binomial_test_and_symmetric(fixed: int, broken: int) -> None:
    expected = binomtest(fixed, fixed + broken).pvalue if fixed + broken else 1.0
    assert mcnemar(fixed, broken) == pytest.approx(expected)
    assert mcnemar(fixed, broken) == mcnemar(broken, fixed)


@given(st.integers(1, 40), st.integers(1, 40), st.data())
def test_fishers_test_equals_scipys(count: int, of: int, data: st.DataObject) -> None:
    correct, than = data.draw(st.integers(0, count)), data.draw(st.integers(0, of))
    expected = fisher_exact([[correct, count - correct], [than, of - than]], alternative="greater").pvalue
    assert fisher(correct, count, than, of) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("accuracies", "sizes"),
    [
        ([0.8] * 4, [100] * 4),
        ([0.85] * 9, [20] * 9),
        ([0.5, 0.9, 0.9, 0.95], [20, 200, 200, 50]),
        ([0.75, 0.8, 0.85, 0.9], [60] * 4),
        ([0.8], [60]),
    ],
    ids=["four alike", "nine alike", "one clearly worst", "a ladder", "one group"],
)
def test_the_interval_of_the_minimum_holds_it(accuracies: list[float], sizes: list[int]) -> None:
    rng = np.random.default_rng(0)
    held = []
    for correct in rng.binomial(sizes, accuracies, size=(DRAWS, len(sizes))):
        low, high = minimum_interval(correct, np.array(sizes))
        assert low <= (correct / sizes).min() <= high
        held.append(low <= min(accuracies) <= high)
    assert np.mean(held) >= ENOUGH


def test_resampling_the_minimum_would_not_hold_it() -> None:
    """Why it is not done: four equally bad groups."""
    rng = np.random.default_rng(0)
    sizes, held = np.full(4, 100), []
    for correct in rng.binomial(100, 0.8, size=(DRAWS, 4)):
        drawn = (rng.binomial(100, correct / 100, size=(400, 4)) / sizes).min(axis=1)
        held.append(np.quantile(drawn, 0.025) <= 0.8 <= np.quantile(drawn, 0.975))
    assert np.mean(held) < 0.75


def _pairs(
    rng: np.random.Generator, before: np.ndarray, after: np.ndarray, sizes: np.ndarray, alike: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fixed, broken, right before: heads of given accuracies that share the luck of an image with this chance."""
    found = []
    for b, a, n in zip(before, after, sizes, strict=True):
        luck = rng.random(n)
        right_before = luck < b
        right_after = np.where(rng.random(n) < alike, luck, rng.random(n)) < a
        found.append(
            ((right_after & ~right_before).sum(), (right_before & ~right_after).sum(), right_before.sum()),
        )
    fixed, broken, right = np.array(found).T
    return fixed, broken, right


@pytest.mark.parametrize(
    ("before", "after", "sizes", "alike"),
    [
        ([0.8] * 4, [0.8] * 4, [50] * 4, 0.0),
        ([0.5, 0.9, 0.9, 0.95], [0.5, 0.9, 0.9, 0.95], [20, 200, 200, 50], 0.5),
        # the failure moves to another group: McNemar's test on the group that was worst would call that a rise in
        # about 47 of 100 cases
        ([0.6, 0.95], [0.95, 0.6], [100, 100], 0.0),
        ([0.6, 0.95, 0.9], [0.95, 0.6, 0.9], [60] * 3, 0.0),
    ],
    ids=["nothing learnt", "nothing learnt, one bad group", "failure moved", "failure moved, three groups"],
)
def test_no_rise_of_the_minimum_is_called_one_too_often(
    before: list[float], after: list[float], sizes: list[int], alike: float
) -> None:
    rng = np.random.default_rng(1)
    n = np.array(sizes)
    called, held = 0, 0
    for _ in range(DRAWS):
        fixed, broken, right = _pairs(rng, np.array(before), np.array(after), n, alike)
        p, (low, high) = minimum_change(fixed, broken, right, n)
        called += p < SIGNIFICANCE
        held += low <= min(after) - min(before) <= high
    assert called / DRAWS <= SIGNIFICANCE + 3 * np.sqrt(SIGNIFICANCE * (1 - SIGNIFICANCE) / DRAWS)
    assert held / DRAWS >= ENOUGH


@pytest.mark.parametrize(
    ("before", "after", "sizes", "power"),
    [
        ([0.65, 0.85, 0.97, 0.99], [0.9, 0.9, 0.92, 0.93], [100, 100, 400, 400], 0.9),
        ([0.4, 0.9, 0.9, 0.95], [0.8, 0.85, 0.85, 0.9], [20, 200, 200, 30], 0.5),
        ([0.7], [0.85], [200], 0.9),
    ],
    ids=["a repair", "a small worst group", "one group"],
)
def test_a_rise_that_is_there_is_found_and_its_size_held(
    before: list[float], after: list[float], sizes: list[int], power: float
) -> None:
    rng = np.random.default_rng(2)
    n = np.array(sizes)
    found, held = 0, 0
    for _ in range(DRAWS):
        fixed, broken, right = _pairs(rng, np.array(before), np.array(after), n, 0.5)
        p, (low, high) = minimum_change(fixed, broken, right, n)
        found += p < SIGNIFICANCE and low > 0
        held += low <= min(after) - min(before) <= high
    assert found / DRAWS >= power
    assert held / DRAWS >= ENOUGH


@given(st.data())
def test_change_back_and_forth_mirror_each_other(data: st.DataObject) -> None:
    g = data.draw(st.integers(1, 4))
    cells = np.array(data.draw(st.lists(st.tuples(*[st.integers(0, 9)] * 4), min_size=g, max_size=g)))
    cells[:, 0] += 1
    always, fixed, broken = cells[:, 0], cells[:, 1], cells[:, 2]
    count, before = cells.sum(axis=1), always + broken
    p, (low, high) = minimum_change(fixed, broken, before, count)
    back, (back_low, back_high) = minimum_change(broken, fixed, before + fixed - broken, count)
    assert 0 <= p <= 1
    assert back == pytest.approx(p)
    assert (back_low, back_high) == pytest.approx((-high, -low))
    change = ((before + fixed - broken) / count).min() - (before / count).min()
    assert low - 1e-12 <= change <= high + 1e-12
    # what the test does not find the interval does not claim either
    assert p < SIGNIFICANCE or low <= 0 <= high


def test_the_mean_of_five_seeds_is_held_where_resampling_would_not() -> None:
    rng = np.random.default_rng(3)
    held, resampled = 0, 0
    for _ in range(DRAWS):
        values = rng.normal(0.8, 0.02, size=5)
        low, high = mean_interval(values)
        held += low <= 0.8 <= high
        low, high = bootstrap_interval(values, rng, draws=300)
        resampled += low <= 0.8 <= high
    assert held / DRAWS >= ENOUGH
    assert resampled < held
    expected = t.interval(0.95, 4, loc=values.mean(), scale=values.std(ddof=1) / np.sqrt(5))
    assert mean_interval(values) == pytest.approx(expected)
    assert mean_interval(values[:1]) == (-np.inf, np.inf)


def test_the_bootstrap_holds_a_mean_and_any_smooth_statistic() -> None:
    rng = np.random.default_rng(4)
    held = np.zeros(2)
    for _ in range(DRAWS):
        pairs = rng.normal(size=(80, 2)) + 1
        low, high = bootstrap_interval(pairs[:, 0], rng, draws=400)
        held[0] += low <= 1 <= high
        low, high = bootstrap_interval(pairs, rng, statistic=lambda drawn: float(np.ptp(drawn.mean(axis=0))), draws=2)
        held[1] += low <= high
    # the percentile bootstrap is known to hold a little less than it says
    assert held[0] / DRAWS >= ENOUGH - 0.02
    assert held[1] == DRAWS
    with pytest.raises(ValueError, match="no values"):
        bootstrap_interval(np.empty(0), rng)


def test_the_bootstrap_is_the_same_in_blocks_and_by_statistic() -> None:
    values = np.random.default_rng(5).random(3000)
    whole = bootstrap_interval(values, np.random.default_rng(0), draws=1500)
    each = bootstrap_interval(values, np.random.default_rng(0), statistic=lambda drawn: float(drawn.mean()), draws=1500)
    assert whole == pytest.approx(each)


def test_many_groups_and_many_images_take_no_time() -> None:
    rng = np.random.default_rng(6)
    for groups, size in ((200, 40), (4, 200_000)):
        count = np.full(groups, size)
        right = rng.binomial(size, 0.8, size=groups)
        fixed, broken = rng.binomial(count - right, 0.3), rng.binomial(right, 0.1)
        p, (low, high) = minimum_change(fixed, broken, right, count)
        assert 0 <= p <= 1
        assert low <= high
