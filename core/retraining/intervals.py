"""How far a measured accuracy, or a change of it, can be trusted: intervals and paired tests.

Everything here is at 95% and two-sided unless told otherwise. Of the worst group there is more to say than of any other
figure: a minimum over groups that were measured is on average below the minimum of what they are, since it picks the
group that was unluckiest, and resampling picks the unluckiest once more. Where several groups are about equally bad
the percentile bootstrap of the minimum holds the truth far too seldom (four groups of 100 images at 80%: in 63 of 100
cases; nine of 20 at 85%: in 17). So minima are bounded group by group, which is right whatever the groups are:

    the smallest accuracy is not above a bound unless some group's own upper bound fails, and there are as many of those
    to fail as groups may be the worst; it is below all lower bounds only if that of the worst one fails
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import bdtr, gammaln, ndtri, stdtrit

from core.activations.curves import wilson as bounds

# two-sided probability below which a difference is called one
SIGNIFICANCE = 0.05
# a group may be the worst when its accuracy at this many standard errors reaches down to the others': beyond it lies a
# chance of one in a thousand, which is small beside that of the interval
_FAR = 3.0
_LEVEL = 1 - SIGNIFICANCE
# pairs of groups that are looked at at once: ten thousand groups make a hundred million
_PAIRS = 2_000_000


def wilson(correct: int, count: int) -> tuple[float, float]:
    """95% score interval of a proportion (Wilson 1927). count 0: nothing is known, (0, 1)."""
    low, high = bounds(np.array([correct]), np.array([count]))
    return float(low[0]), float(high[0])


def mean_interval(values: np.ndarray) -> tuple[float, float]:
    """95% interval of the mean of a few independent figures, such as those of five seeds (Student 1908).

    values: (s,) float. Resampling so few would give too narrow an interval. Infinite for a single one.
    """
    values = np.asarray(values, dtype=np.float64)
    if len(values) < 2:
        return -np.inf, np.inf
    half = float(stdtrit(len(values) - 1, (1 + _LEVEL) / 2) * values.std(ddof=1) / np.sqrt(len(values)))
    return float(values.mean()) - half, float(values.mean()) + half


def bootstrap_interval(
    values: np.ndarray,
    rng: np.random.Generator,
    *,
    statistic: Callable[[np.ndarray], float] | None = None,
    draws: int = 2000,
) -> tuple[float, float]:
    """95% percentile interval (Efron 1979) of a statistic of images drawn anew, the mean unless told otherwise.

    values: (n, ...), one entry per image; statistic: of such an array. For smooth statistics of some dozens of images
    and more; not for minima, see above. Raises `ValueError` without values.
    """
    values = np.asarray(values)
    n = len(values)
    if n == 0:
        raise ValueError("no values to draw from")
    if statistic is None and values.ndim == 1:
        # means of many draws at once; in blocks, so that a million images need no gigabyte
        block = max(1, 2_000_000 // n)
        sizes = [min(block, draws - start) for start in range(0, draws, block)]
        found = np.concatenate([values[rng.integers(n, size=(size, n))].mean(axis=1) for size in sizes])
    else:
        of = statistic or (lambda drawn: float(drawn.mean()))
        found = np.array([of(values[rng.integers(n, size=n)]) for _ in range(draws)])
    return percentile_interval(found)


def percentile_interval(draws: np.ndarray) -> tuple[float, float]:
    """What holds the middle 95% of (b,) draws; NaN among them counts for nothing."""
    low, high = np.nanquantile(draws, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return float(low), float(high)


def minimum_interval(correct: np.ndarray, count: np.ndarray) -> tuple[float, float]:
    """95% interval of the smallest of several proportions, as in "worst-group accuracy".

    correct, count: (g,) int, every count above 0. Holds the truth at least about as often as it says, however many
    groups are equally bad (the bootstrap does not: see above), and the observed minimum, which is itself too low on
    average.
    """
    correct, count = np.asarray(correct), np.asarray(count)
    low, _ = bounds(correct, count)
    _, high = bounds(correct, count, z=_shared(int(maybe_smallest(correct, count).sum())))
    return float(low.min()), float(high.min())


def maybe_smallest(correct: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Which of several proportions may be the smallest: (g,) bool, at least one."""
    low, high = bounds(correct, count, z=_FAR)
    may: np.ndarray = low <= high.min()
    return may


def mcnemar(fixed: int, broken: int) -> float:
    """Two-sided exact McNemar test: the chance of a split as uneven, were either direction equally likely."""
    return min(1.0, 2 * float(bdtr(min(fixed, broken), fixed + broken, 0.5))) if fixed + broken else 1.0


def minimum_change(
    fixed: np.ndarray, broken: np.ndarray, before: np.ndarray, count: np.ndarray
) -> tuple[float, tuple[float, float]]:
    """Whether the smallest of several proportions has changed: two-sided p and 95% interval of the change.

    fixed, broken, before, count: (g,) int, per group the images right only after, only before, before at all, and all;
    every count above 0. The minimum has risen if there is a group g such that every group is better after than g was
    before. So p is the largest, over the groups after, of the exact p of that comparison (McNemar's where it is the
    same group, which is paired; Fisher's where it is another), multiplied by the number of groups that may have been
    the worst, for choosing among them (an intersection-union test, Berger 1982, with Bonferroni's correction). Nothing
    is assumed about the other groups: a failure that moves elsewhere is no rise, and heads that differ by luck alone
    are told apart in at most 5 of 100 cases. The interval is made of the same pairs (Newcombe 1998), and never leaves
    out 0 where the test finds nothing.
    """
    after = before + fixed - broken
    rise = _rise(fixed, broken, before, after, count)
    fall = _rise(broken, fixed, after, before, count)
    p = min(1.0, 2 * min(rise, fall))
    low = _change_bound(fixed, broken, before, after, count)
    high = -_change_bound(broken, fixed, after, before, count)
    if p >= SIGNIFICANCE:
        low, high = min(low, 0.0), max(high, 0.0)
    return p, (low, high)


def _rise(fixed: np.ndarray, broken: np.ndarray, before: np.ndarray, after: np.ndarray, count: np.ndarray) -> float:
    """One-sided p of the minimum's rise."""
    chosen = np.flatnonzero(maybe_smallest(before, count))
    # the groups that come out low decide, so that most pairs need no look
    lowest = np.argsort(after / count, kind="stable").tolist()
    # more would be 1 after the correction below
    smallest = 1 / len(chosen)
    for g in chosen.tolist():
        largest = float(bdtr(broken[g], fixed[g] + broken[g], 0.5)) if fixed[g] + broken[g] else 1.0
        for h in lowest:
            if largest >= smallest:
                break
            if h != g:
                largest = max(largest, fisher(int(after[h]), int(count[h]), int(before[g]), int(count[g])))
        smallest = min(smallest, largest)
    return min(1.0, len(chosen) * smallest)


def fisher(correct: int, count: int, than: int, of: int) -> float:
    """One-sided exact test (Fisher 1935) of whether correct/count is above than/of."""
    total = correct + than
    at = np.arange(correct, min(count, total) + 1)

    def choose(n: int, k: np.ndarray | int) -> np.ndarray:
        return gammaln(n + 1) - gammaln(np.add(k, 1)) - gammaln(np.subtract(n, k) + 1)

    terms = choose(count, at) + choose(of, total - at) - choose(count + of, total)
    return float(min(1.0, np.exp(terms).sum()))


def _change_bound(
    fixed: np.ndarray, broken: np.ndarray, before: np.ndarray, after: np.ndarray, count: np.ndarray
) -> float:
    """Lower bound of min after - min before, at one side of 95%.

    The change is the largest over g of the smallest over h of (h after - g before); pairs are bounded by combining
    their Wilson intervals (Newcombe 1998, methods 10), where they are of one group with their correlation.
    """
    chosen = np.flatnonzero(maybe_smallest(before, count))
    z = _shared(len(chosen))
    was, now = before / count, after / count
    _, high_was = bounds(before, count, z=z)
    low_now, _ = bounds(after, count, z=z)
    together = _correlation(fixed, broken, before, count)
    best, block = -np.inf, max(1, _PAIRS // len(count))
    for start in range(0, len(chosen), block):
        part = chosen[start : start + block]
        down, up = (now - low_now)[None, :], (high_was - was)[part, None]
        both = np.zeros((len(part), len(count)))
        both[np.arange(len(part)), part] = together[part]
        half = np.sqrt(np.maximum(down**2 - 2 * both * down * up + up**2, 0))
        best = max(best, float((now[None, :] - was[part, None] - half).min(axis=1).max()))
    return best


def _correlation(fixed: np.ndarray, broken: np.ndarray, before: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Of being right before and after, per group: (g,) in -1..1, 0 where it is not defined."""
    always = before - broken
    never = count - always - fixed - broken
    sides = (always + broken) * (fixed + never) * (always + fixed) * (broken + never)
    return np.where(sides > 0, (always * never - fixed * broken) / np.sqrt(np.maximum(sides, 1)), 0.0)


def shared_level(groups: int) -> float:
    """Level of a one-sided bound that holds for several groups at once at one side of 95% (Šidák 1967)."""
    return float(((1 + _LEVEL) / 2) ** (1 / max(groups, 1)))


def _shared(groups: int) -> float:
    """The same in standard errors."""
    return float(ndtri(shared_level(groups)))
