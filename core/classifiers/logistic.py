"""Two-class softmax regression: fast enough to refit a probe at every tag, and several probes at once.

With two classes and nothing to stay close to, the two rows of softmax regression are opposite, -v/2 and v/2, so one row
of log-odds is all there is to find. For each column of values y and weights w this minimises

    sum_i w_i log(1 + exp(-s_i (x_i v + b))) / sum_i w_i  +  l2/4 |v|^2,        s = 2 y - 1

which is the objective of softmax.py in half the unknowns, and scikit-learn's with C = 2/(l2 n). It is (l2/2)-strongly
convex in v, so a gradient of length g is at most about g^2/l2 above the minimum.

A single column is fitted by quasi_newton.py, which starts from what the fit before learnt. Several share each reading
of the features: Newton's equations are solved by conjugate gradients, as exactly as the distance to the minimum
deserves (Dembo, Eisenstat & Steihaug 1982); directions of the last steps precondition the next ones (Morales & Nocedal
2000); and a step is as long as is best. Either way a block of rows goes there and back while it is in the processor's
cache; a second thread takes every other block.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from core.classifiers.precision import DOUBLE
from core.classifiers.quasi_newton import InverseHessian, minimise

# entries of a block that goes there and back at once: it stays in the cache, and OpenBLAS does not wake its threads for
# it, which would cost more than they bring, and far more on a busy machine
_BLOCK = 262_144
# with several columns it wakes them for nearly any size, so that fewer and larger blocks are better
_BLOCK_OF_SEVERAL = 4_194_304
# directions that are kept to precondition with
_KEPT = 24
# entries below which a second thread is not worth waking
_ALONE = 2_000_000
# of the gradient, the part that a step may leave at first; later steps leave its square root
_FORCING = 0.25
_MOST_STEPS, _MOST_PRODUCTS = 40, 80


@dataclass(frozen=True, eq=False)
class _Direction:
    """p: (d + 1, K) with the bias below. h: the Hessian times p. rho: (K,) 1 / p.h, 0 where there is nothing to use."""

    p: np.ndarray
    h: np.ndarray
    rho: np.ndarray


@dataclass(frozen=True, eq=False)
class LogOdds:
    """K fits. weight: (d, K), bias: (K,): the log-odds of value 1 are x @ weight + bias. gradient: (K,) its length at
    the solution. passes: how often the features were read. odds: (n,) log-odds of the rows, of a single fit only."""

    weight: np.ndarray
    bias: np.ndarray
    gradient: np.ndarray
    passes: int
    odds: np.ndarray | None = None
    inverse: InverseHessian | None = None
    directions: tuple[_Direction, ...] = ()


def logistic_regression(
    features: np.ndarray | Sequence[np.ndarray],
    values: np.ndarray,
    weights: np.ndarray,
    *,
    l2: float,
    after: LogOdds | None = None,
    odds: np.ndarray | None = None,
    offsets: np.ndarray | None = None,
    tolerance: float = 1e-4,
) -> LogOdds:
    """Minimise the objective above for every column.

    features: (n, d) float, scaled by the caller, or several of them that together have n rows. values: (n,) or (n, K)
    of 0 and 1. weights: (n,) or (n, K) >= 0, each column with some on either value. after: the fit of nearly the same
    problem to start from; the result depends on it within the tolerance only. odds: (m,) log-odds by `after` of the
    first rows where they are known, for a single column: these rows are not read for them. offsets: (n,) or (n, K),
    added to the log-odds of each image, as of a fit to stay close to; None for none. tolerance: length of the gradient
    at the solution. Deterministic.
    """
    blocks = [features] if isinstance(features, np.ndarray) else [block for block in features if len(block)]
    n, d = sum(len(block) for block in blocks), blocks[0].shape[1]
    precision: type[np.floating] = np.float64 if n * d <= DOUBLE else np.float32
    blocks = [np.ascontiguousarray(block, dtype=precision) for block in blocks]
    w = np.asarray(weights, dtype=np.float64).reshape(n, -1)
    w = (w / w.sum(axis=0)).astype(precision)
    columns = w.shape[1]
    shows = np.broadcast_to(np.asarray(values).reshape(n, -1), (n, columns)).astype(precision)
    base = np.zeros((1, 1)) if offsets is None else np.asarray(offsets).reshape(n, -1)
    base = np.broadcast_to(base, (n, columns)).astype(precision)
    if columns > 1:
        return _several(blocks, shows, w, base, l2=l2, after=after, tolerance=tolerance)
    known = np.empty(0, dtype=precision)
    if after is not None and odds is not None:
        known = odds[:n].astype(precision) + base[: len(odds), 0]
    return _single(blocks, shows[:, 0], w[:, 0], base[:, 0], l2=l2, after=after, known=known, tolerance=tolerance)


def _single(
    blocks: Sequence[np.ndarray],
    shows: np.ndarray,
    w: np.ndarray,
    base: np.ndarray,
    *,
    l2: float,
    after: LogOdds | None,
    known: np.ndarray,
    tolerance: float,
) -> LogOdds:
    """One column, by quasi_newton.py. shows, w, base: (n,). known: (m,) log-odds of the first rows by `after`, with
    what is added to them."""
    n, d, precision = len(w), blocks[0].shape[1], w.dtype.type
    parts = _parts([len(block) for block in blocks], max(16, _BLOCK // d))

    def sweep(at: np.ndarray, z: np.ndarray, known: int) -> np.ndarray:
        inner, bias = np.ascontiguousarray(at[:d]), at[d]

        def one(part: list[_Piece]) -> np.ndarray:
            back = np.zeros(d + 1, dtype=precision)
            for number, within, rows in part:
                x = blocks[number][within]
                if rows.stop > known:
                    first = max(known - rows.start, 0)
                    new = slice(rows.start + first, rows.stop)
                    z[new] = x[first:] @ inner + (bias + base[new])
                change = w[rows] * (_sigmoid(z[rows]) - shows[rows])
                back[:d] += change @ x
                back[d] += change.sum()
            return back

        return _both(one, parts, n * d)

    def chosen(positions: np.ndarray) -> np.ndarray:
        result, done = np.empty((len(positions), d), dtype=precision), 0
        for block in blocks:
            here = (positions >= done) & (positions < done + len(block))
            result[here] = block[positions[here] - done]
            done += len(block)
        return result

    start, inverse = np.zeros(d + 1, dtype=precision), None
    if after is not None:
        start[:d], start[d] = after.weight[:, 0], after.bias[0]
        if after.inverse is not None and after.inverse.steps.dtype == precision:
            inverse = after.inverse
    found = minimise(
        sweep, chosen, shows, w, penalty=l2 / 2, start=start, known=known, inverse=inverse, tolerance=tolerance
    )
    fit = LogOdds(
        found.at[:d, None].astype(np.float64),
        found.at[d:].astype(np.float64),
        np.array([found.length]),
        found.passes,
        found.z - base,
        found.inverse,
    )
    if found.length <= tolerance:
        return fit
    # what was learnt misled it, or rounding is all that is left: Newton's method tells
    other = _several(blocks, shows[:, None], w[:, None], base[:, None], l2=l2, after=fit, tolerance=tolerance)
    passes = fit.passes + other.passes
    if other.gradient[0] >= fit.gradient[0]:
        return replace(fit, passes=passes)
    z = np.concatenate([block @ other.weight[:, 0].astype(precision) for block in blocks]) + precision(other.bias[0])
    return replace(other, passes=passes + 1, odds=z, inverse=found.inverse)


def _several(
    blocks: Sequence[np.ndarray],
    shows: np.ndarray,
    w: np.ndarray,
    base: np.ndarray,
    *,
    l2: float,
    after: LogOdds | None,
    tolerance: float,
) -> LogOdds:
    """Newton's method for all columns at once. shows, w, base: (n, K)."""
    (n, columns), d, precision = w.shape, blocks[0].shape[1], w.dtype.type
    rows_at_once = max(16, (_BLOCK if columns == 1 else _BLOCK_OF_SEVERAL) // d)
    penalty = np.full((d + 1, 1), l2 / 2, dtype=precision)
    penalty[d] = 0
    at = np.zeros((d + 1, columns), dtype=precision)
    directions: list[_Direction] = []
    if after is not None:
        at[:d], at[d] = after.weight, after.bias
        directions = list(after.directions)
    passes = 0

    # the same two parts whatever the machine, so that sums are the same
    parts = _parts([len(block) for block in blocks], rows_at_once)

    def there_and_back(
        along: np.ndarray, change: Callable[[np.ndarray, slice], np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray]:
        """z = x along, and x^T change(z)."""
        nonlocal passes
        passes += 1
        z = np.empty((n, columns), dtype=precision)
        inner = np.ascontiguousarray(along[:d])

        def one(part: list[_Piece]) -> np.ndarray:
            back = np.zeros((d + 1, columns), dtype=precision)
            for number, within, rows in part:
                x = blocks[number][within]
                z[rows] = x @ inner + along[d]
                changed = change(z[rows], rows)
                back[:d] += x.T @ changed
                back[d] += changed.sum(axis=0)
            return back

        return z, _both(one, parts, n * d)

    length = np.full(columns, np.inf)
    best, best_length, fruitless = at, length, 0
    for _ in range(_MOST_STEPS):
        z, gradient = there_and_back(at, lambda z, rows: w[rows] * (_sigmoid(z + base[rows]) - shows[rows]))
        z += base
        gradient += penalty * at
        length = _lengths(gradient)
        fruitless = 0 if length.max() < best_length.max() else fruitless + 1
        if length.max() < best_length.max():
            best, best_length = at, length
        # rounding sets a floor that no step gets below
        if (length <= tolerance).all() or fruitless == 2:
            break
        chance = _sigmoid(z)
        curvature = w * chance * (1 - chance)

        def hessian(p: np.ndarray, curvature: np.ndarray = curvature) -> tuple[np.ndarray, np.ndarray]:
            z, back = there_and_back(p, lambda z, rows: curvature[rows] * z)
            return z, back + penalty * p

        goal = np.maximum(np.minimum(_FORCING, np.sqrt(length)) * length, tolerance / 2)
        step, moved, new = _solve(hessian, np.negative(gradient), goal, directions)
        directions = [*directions, *new][-_KEPT:]
        at = at + step * _step_length(z, moved, shows, w, l2 / 2, at[:d], step[:d]).astype(precision)
    return LogOdds(
        best[:d].astype(np.float64),
        best[d].astype(np.float64),
        best_length,
        passes,
        directions=tuple(directions[-_KEPT:]),
    )


_Piece = tuple[int, slice, slice]


def _parts(lengths: Sequence[int], size: int) -> tuple[list[_Piece], list[_Piece]]:
    """All rows in pieces, in two halves: number of the block, rows within it, rows within all."""
    pieces: list[_Piece] = []
    done = 0
    for number, length in enumerate(lengths):
        for start in range(0, length, size):
            stop = min(start + size, length)
            pieces.append((number, slice(start, stop), slice(done + start, done + stop)))
        done += length
    return pieces[::2], pieces[1::2]


def _both(
    one: Callable[[list[_Piece]], np.ndarray], parts: tuple[list[_Piece], list[_Piece]], entries: int
) -> np.ndarray:
    """The sum over both halves, each by a thread of its own where that is worth it."""
    if entries < _ALONE:
        return one(parts[0]) + one(parts[1])
    other = _other_thread().submit(one, parts[1])
    return one(parts[0]) + other.result()


@lru_cache(maxsize=1)
def _other_thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="logistic")


def _solve(
    hessian: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]],
    target: np.ndarray,
    goal: np.ndarray,
    directions: Sequence[_Direction],
) -> tuple[np.ndarray, np.ndarray, list[_Direction]]:
    """Conjugate gradients for hessian step = target until what is left is shorter than goal: the step, x times it, and
    the directions that were gone."""
    step, left = np.zeros_like(target), target.copy()
    moved: np.ndarray | float = 0.0
    new: list[_Direction] = []
    turned = _precondition(left, directions)
    p, size = turned, _dot(left, turned)
    for _ in range(_MOST_PRODUCTS):
        along, h = hessian(p)
        bend = _dot(p, h)
        usable = (bend > 0) & (size > 0)
        pace = np.where(usable, size / np.where(usable, bend, 1), 0).astype(p.dtype)
        step += pace * p
        moved = moved + pace * along
        left -= pace * h
        new.append(_Direction(p, h, np.where(usable, 1 / np.where(usable, bend, 1), 0).astype(p.dtype)))
        if (~usable | (_lengths(left) <= goal)).all():
            break
        turned = _precondition(left, directions)
        before, size = size, _dot(left, turned)
        p = turned + np.where(usable, size / np.where(usable, before, 1), 0).astype(p.dtype) * p
    return step, np.asarray(moved), new


def _precondition(vector: np.ndarray, directions: Sequence[_Direction]) -> np.ndarray:
    """About the inverse Hessian times a vector, from products with the Hessian so far (the two loops of L-BFGS)."""
    if not directions:
        return vector.copy()
    result, shares = vector.copy(), []
    for one in reversed(directions):
        share = one.rho * (one.p * result).sum(axis=0)
        result -= share * one.h
        shares.append(share)
    last = directions[-1]
    steep = (last.rho * (last.h * last.h).sum(axis=0)).astype(vector.dtype)
    result /= np.where(steep > 0, steep, 1)
    for one, share in zip(directions, reversed(shares), strict=True):
        result += (share - one.rho * (one.h * result).sum(axis=0)) * one.p
    return result


def _step_length(
    z: np.ndarray,
    moved: np.ndarray,
    shows: np.ndarray,
    w: np.ndarray,
    penalty: float,
    weight: np.ndarray,
    step: np.ndarray,
) -> np.ndarray:
    """How far to go along a step, per column: to where the objective falls a tenth as steeply as at first, or less."""
    lean, square = penalty * _dot(weight, step), penalty * _dot(step, step)
    low, high, t = np.zeros(z.shape[1]), np.full(z.shape[1], np.inf), np.ones(z.shape[1])

    def slope(t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        chance = _sigmoid(z + t.astype(z.dtype) * moved)
        first = (w * (chance - shows) * moved).sum(axis=0, dtype=np.float64) + lean + t * square
        second = (w * chance * (1 - chance) * moved * moved).sum(axis=0, dtype=np.float64) + square
        return first, second

    start, _ = slope(low)
    for _ in range(12):
        first, second = slope(t)
        # nothing is left to gain where the step is rounding
        if (np.abs(first) <= 0.1 * np.abs(start)).all() or (start >= 0).all():
            break
        low, high = np.where(first < 0, t, low), np.where(first >= 0, t, high)
        newton = t - first / np.where(second > 0, second, 1)
        inside = (newton > low) & (newton < np.minimum(high, 4 * np.maximum(t, low)))
        middle = np.where(np.isinf(high), 2 * t, (low + np.where(np.isinf(high), low, high)) / 2)
        t = np.where(np.abs(first) <= 0.1 * np.abs(start), t, np.where(inside, newton, middle))
    return t


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a * b).sum(axis=0, dtype=np.float64)


def _lengths(vectors: np.ndarray) -> np.ndarray:
    return np.sqrt(_dot(vectors, vectors))


def _sigmoid(z: np.ndarray) -> np.ndarray:
    # beyond 80 a float32 exponential overflows, and nothing changes any more
    return 1 / (1 + np.exp(np.minimum(np.negative(z), 80)))
