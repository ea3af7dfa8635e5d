"""Softmax regression with an L1 penalty, along a path of strengths.

    sum_i w_i CE(W x_i + b, y_i)  +  l1 |W|_1,        sum_i w_i = 1

The bias is free. scikit-learn's `LogisticRegression(l1_ratio=1, C=1/(l1 n))` minimises the same; its liblinear solver
penalises the bias as well, which is a constant feature here and no bias. With two classes W has the rows -v/2 and v/2,
of which |v|_1 is the penalty.

Few weights are not zero, so that only few features matter. With two classes, those in use and those whose loss is
steepest take Newton's step together; weights that it would take beyond zero stop there and the others make up for them,
as in feature-sign search (Lee, Battle, Raina & Ng 2007), then the step is halved until the objective falls. From zero,
each step is taken for a weaker penalty than the one before it, down to the one asked for: few weights are in use while
the head is far from the solution, and Newton's equations are small (Park & Hastie 2007 follow the path for its own
sake). With more classes, features that are in use or that the strong rule (Tibshirani et al. 2012) does not rule out
are worked on by FISTA with restarts (Beck & Teboulle 2009, O'Donoghue & Candes 2015), and all are looked at again at
the end.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from scipy.linalg import get_blas_funcs, get_lapack_funcs

from core.classifiers.head import Head
from core.classifiers.precision import DOUBLE

_MOST_LOOKS, _MOST_STEPS, _MOST_GRADIENT_STEPS = 50, 200, 5000
# features that join those worked on at a time, or as many as are in use
_JOINING = 200
# weights that leave zero in one Newton step, or a quarter of those that have, and how often some are stopped at zero
# again: more of either costs more than a step more
_LEAVING_ZERO = 60
_MOST_PINS = 4
# from zero, the first step is for this share of the strength at which all weights are zero, and each one for this share
# of the strength before: between 0.3 and 0.5 either is as fast
_FALL = 0.4


def sparse_regression(
    features: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray | None = None,
    *,
    classes: int,
    l1: Sequence[float],
    bias: bool = True,
    start: Head | None = None,
    tolerance: float = 1e-3,
) -> tuple[Head, ...]:
    """One head per strength, for the scaled features, each found from the one before it, the strongest first.

    features: (n, d) float, scaled by the caller. labels: (n,) int in 0..classes-1, at least two of them occurring.
    weights: (n,) >= 0, None for equal ones. bias: False leaves it at zero. start: a head near the solution of the
    strongest. tolerance: of the strength, by how much a gradient may miss its condition. Deterministic.
    """
    n, d = features.shape
    precision = np.float64 if n * d <= DOUBLE else np.float32
    # columns in one piece: single features are taken out of it all the time
    x = np.asfortranarray(features, dtype=precision)
    w = np.full(n, 1 / n) if weights is None else np.asarray(weights, dtype=np.float64) / np.sum(weights)
    loss = _TwoClasses(w, labels) if classes == 2 else _Classes(w, labels, classes)
    loss.free = bias
    weight, at = loss.zero(d)
    if start is not None:
        weight, at = loss.read(start)
        at = at if bias else np.zeros_like(at)
    found: dict[float, Head] = {}
    before = None
    for strength in sorted(set(l1), reverse=True):
        weight, at = _solve(x, loss, weight, at, strength, before or strength, tolerance)
        found[strength] = loss.head(weight, at)
        before = strength
    return tuple(found[strength] for strength in l1)


class _Loss(ABC):
    """A weighted loss of logits (n, m) with weights (d, m): m = 1 for two classes, else k.

    free: whether the bias is; else it is zero.
    """

    def __init__(self, w: np.ndarray, columns: int) -> None:
        self.w, self.columns, self.free = w, columns, True

    def zero(self, d: int) -> tuple[np.ndarray, np.ndarray]:
        return np.zeros((d, self.columns)), np.zeros(self.columns)

    @abstractmethod
    def value(self, z: np.ndarray) -> float: ...

    @abstractmethod
    def first(self, z: np.ndarray) -> np.ndarray:
        """The gradient in the logits: (n, m)."""


class _TwoClasses(_Loss):
    def __init__(self, w: np.ndarray, labels: np.ndarray) -> None:
        super().__init__(w, 1)
        self._y = (labels == 1).astype(np.float64)[:, None]
        self._w = w[:, None]

    def read(self, head: Head) -> tuple[np.ndarray, np.ndarray]:
        weight, bias = head.weight.astype(np.float64), head.bias.astype(np.float64)
        return (weight[1] - weight[0])[:, None], (bias[1:] - bias[:1])

    def head(self, weight: np.ndarray, bias: np.ndarray) -> Head:
        row = weight[:, 0] / 2
        return Head(np.stack([-row, row]).astype(np.float32), np.array([-bias[0] / 2, bias[0] / 2], dtype=np.float32))

    def value(self, z: np.ndarray) -> float:
        return float((self._w * (np.logaddexp(0, z) - self._y * z)).sum())

    def chance(self, z: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-np.clip(z, -500, 500)))

    def first(self, z: np.ndarray) -> np.ndarray:
        return self._w * (self.chance(z) - self._y)

    def second(self, z: np.ndarray) -> np.ndarray:
        chance = self.chance(z)
        return (self._w * chance * (1 - chance))[:, 0]


class _Classes(_Loss):
    def __init__(self, w: np.ndarray, labels: np.ndarray, classes: int) -> None:
        super().__init__(w, classes)
        self._hot = np.zeros((len(w), classes))
        self._hot[np.arange(len(w)), labels] = 1

    def read(self, head: Head) -> tuple[np.ndarray, np.ndarray]:
        return head.weight.astype(np.float64).T.copy(), head.bias.astype(np.float64)

    def head(self, weight: np.ndarray, bias: np.ndarray) -> Head:
        return Head(np.ascontiguousarray(weight.T, dtype=np.float32), bias.astype(np.float32))

    def value(self, z: np.ndarray) -> float:
        highest = z.max(axis=1)
        totals = np.log(np.exp(z - highest[:, None]).sum(axis=1)) + highest
        return float(self.w @ (totals - (z * self._hot).sum(axis=1)))

    def first(self, z: np.ndarray) -> np.ndarray:
        exponentials = np.exp(z - z.max(axis=1, keepdims=True))
        return self.w[:, None] * (exponentials / exponentials.sum(axis=1, keepdims=True) - self._hot)


def _solve(
    x: np.ndarray,
    loss: _Loss,
    weight: np.ndarray,
    bias: np.ndarray,
    l1: float,
    before: float,
    tolerance: float,
) -> tuple[np.ndarray, np.ndarray]:
    """One strength. weight: (d, m) and bias: (m,) to start from. before: the strength they are the solution of."""
    if isinstance(loss, _TwoClasses):
        return _newton(x, loss, weight, bias, l1, tolerance)
    used = np.flatnonzero(weight.any(axis=1))
    z = (x[:, used] @ weight[used].astype(x.dtype)).astype(np.float64) + bias
    steep = np.abs(x.T @ loss.first(z).astype(x.dtype)).max(axis=1)
    likely = np.flatnonzero(steep >= max(2 * l1 - before, 0.5 * l1))
    working = np.union1d(used, _steepest(likely, steep, max(_JOINING, len(used))))
    for _ in range(_MOST_LOOKS):
        part = x[:, working].astype(np.float64)
        found, bias = _fista(part, loss, weight[working], bias, l1, tolerance)
        weight = np.zeros_like(weight)
        weight[working] = found
        steep = np.abs(x.T @ loss.first(part @ found + bias).astype(x.dtype)).max(axis=1)
        missed = np.setdiff1d(np.flatnonzero(steep > l1 * (1 + tolerance)), working)
        if not len(missed):
            break
        working = np.union1d(working, _steepest(missed, steep, max(_JOINING, int(found.any(axis=1).sum()))))
    return weight, bias


def _steepest(rows: np.ndarray, steep: np.ndarray, most: int) -> np.ndarray:
    """Of some features, those with the largest gradient."""
    return rows if len(rows) <= most else rows[np.argsort(-steep[rows], kind="stable")[:most]]


def _newton(
    x: np.ndarray, loss: _TwoClasses, weight: np.ndarray, bias: np.ndarray, l1: float, tolerance: float
) -> tuple[np.ndarray, np.ndarray]:
    """Two classes: x (n, d) in columns, weight (d, 1), bias (1,)."""
    rows, v, b = x.T, weight[:, 0].copy(), float(bias[0])
    used = np.flatnonzero(v)
    z = _reach(rows[used], v[used]) + b
    lost, strength = loss.value(z[:, None]), l1 if len(used) else np.inf
    for _ in range(_MOST_STEPS):
        first = loss.first(z[:, None])[:, 0]
        gradient, lean = (rows @ first.astype(x.dtype)).astype(np.float64), float(first.sum()) if loss.free else 0.0
        strength = max(l1, _FALL * min(strength, float(np.abs(gradient).max())))
        signs = np.where(v != 0, np.sign(v), -np.sign(gradient))
        slope = np.where(
            v != 0, gradient + strength * signs, np.sign(gradient) * np.maximum(np.abs(gradient) - strength, 0)
        )
        if max(np.abs(slope).max(), abs(lean)) <= tolerance * strength:
            if strength == l1:
                break
            continue
        inside, entering = np.flatnonzero(v), np.flatnonzero((v == 0) & (slope != 0))
        # as many weights as images would fit them in many ways, and Newton's equations would choose a wild one
        room = max(1, min(max(_LEAVING_ZERO, len(inside) // 4), len(x) * 3 // 4 - len(inside)))
        free = np.sort(np.append(inside, _steepest(entering, np.abs(slope), room)))
        now, sign = v[free], signs[free]
        root = np.sqrt(loss.second(z[:, None]))
        root = np.maximum(root, 1e-5 * root.max()).astype(x.dtype)
        columns = np.empty((len(free) + loss.free, len(x)), dtype=x.dtype)
        np.take(rows, free, axis=0, out=columns[: len(free)], mode="clip")
        columns[len(free) :] = 1
        columns *= root
        step = _newton_step(columns, np.append(slope[free], lean)[: len(columns)], now, sign)
        step, b_step = step[: len(free)], float(step[len(free) :].sum())
        crossing = step * sign < 0
        first_zero = float((-now[crossing] / step[crossing]).min(initial=1.0))
        before = lost + strength * np.abs(now).sum()
        # Newton's steps from long to short, each weight as far as zero, and as far as the first one; should none of
        # them help, gradient steps
        for t in (1.0, 0.5, 0.25, 0.125, 0.0625, first_zero, *(-(0.5**i) for i in range(-6, 40))):
            if t >= 0:
                moved, b_new = now + t * step, b + t * b_step
                moved[moved * sign < 0] = 0
            else:
                target = now + t * gradient[free]
                moved = np.sign(target) * np.maximum(np.abs(target) + t * strength, 0)
                b_new = b + t * lean
            z_new = z + _reach(columns[: len(free)], moved - now) / root + (b_new - b)
            lost_new = loss.value(z_new[:, None])
            promised = float(slope[free] @ (moved - now)) + lean * (b_new - b)
            if lost_new + strength * np.abs(moved).sum() < before + 1e-4 * min(promised, 0.0):
                v[free], b, lost, z = moved, b_new, lost_new, z_new
                break
        else:
            # rounding sets a floor that no step gets below
            if strength == l1:
                break
    return v[:, None], np.array([b])


def _reach(rows: np.ndarray, v: np.ndarray) -> np.ndarray:
    return (v.astype(rows.dtype) @ rows).astype(np.float64)


def _newton_step(scaled: np.ndarray, slope: np.ndarray, v: np.ndarray, signs: np.ndarray) -> np.ndarray:
    """Newton's step of the free weights, and of a bias that is last where there is one more row than weights.

    scaled: (p, n), features times the root of the loss's second derivative. Weights that the step would take beyond
    zero stop there, and the others make up for them: with H the matrix of Newton's equations, the step moves along
    H^-1 of those that stop, for which the one factor of H is enough.
    """
    kind = (scaled,)
    (syrk,) = get_blas_funcs(("syrk",), kind)
    potrf, trtrs, potrs = get_lapack_funcs(("potrf", "trtrs", "potrs"), kind)
    # one triangle, where it is computed
    matrix = syrk(1.0, scaled.T, trans=1)
    diagonal = matrix.diagonal() * (1 + (1e-6 if scaled.dtype == np.float64 else 1e-5))
    np.fill_diagonal(matrix, diagonal)
    target = -slope.astype(scaled.dtype)
    factor, failed = potrf(matrix, overwrite_a=True, clean=False)
    if failed:
        return (target / diagonal).astype(np.float64)
    plain = potrs(factor, target)[0]
    step, stopped = plain, np.empty(0, dtype=np.int64)
    held = np.empty((len(target), 0), dtype=scaled.dtype, order="F")
    for _ in range(_MOST_PINS - 1):
        beyond = (v + step[: len(v)]) * signs < 0
        beyond[stopped] = False
        new = np.flatnonzero(beyond)
        if not len(new):
            break
        stopped = np.append(stopped, new)
        unit = np.zeros((len(target), len(new)), dtype=scaled.dtype, order="F")
        unit[new, np.arange(len(new))] = 1
        held = np.hstack([held, trtrs(factor, unit, trans=1, overwrite_b=True)[0]])
        inner, failed = potrf(held.T @ held, clean=False)
        if failed:
            break
        pull = potrs(inner, (plain[stopped] + v[stopped]).astype(scaled.dtype))[0]
        step = plain - trtrs(factor, held @ pull)[0]
        step[stopped] = -v[stopped]
    return step.astype(np.float64)


def _fista(
    x: np.ndarray, loss: _Loss, weight: np.ndarray, bias: np.ndarray, l1: float, tolerance: float
) -> tuple[np.ndarray, np.ndarray]:
    """Any number of classes, on the features worked on: x (n, p) float64, weight (p, m), bias (m,)."""
    # the bias is one more feature, as large as the others are on average, so that steps suit it
    size = float(np.sqrt(np.mean(x**2))) if x.size else 1.0
    size = size or 1.0
    wide = np.hstack([x, np.full((len(x), 1), size if loss.free else 0.0)])
    at = np.vstack([weight, bias / size])
    ahead, momentum, bend = at, 1.0, 1.0
    held = np.full((len(at), 1), l1)
    held[-1] = 0
    z = wide @ at
    for step in range(_MOST_GRADIENT_STEPS):
        z_ahead = wide @ ahead
        gradient = wide.T @ loss.first(z_ahead)
        value = loss.value(z_ahead)
        while True:
            target = ahead - gradient / bend
            new = np.sign(target) * np.maximum(np.abs(target) - held / bend, 0)
            change = new - ahead
            z = wide @ new
            if loss.value(z) <= value + (gradient * change).sum() + bend / 2 * (change**2).sum() + 1e-14:
                break
            bend *= 2
        if ((ahead - new) * (new - at)).sum() > 0:
            momentum, ahead = 1.0, new
        else:
            following = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
            ahead = new + (momentum - 1) / following * (new - at)
            momentum = following
        at = new
        bend *= 0.98
        if step % 5 == 4:
            gradient = wide.T @ loss.first(z)
            slope = np.where(
                at != 0, gradient + held * np.sign(at), np.sign(gradient) * np.maximum(np.abs(gradient) - held, 0)
            )
            if np.abs(slope).max() <= tolerance * l1:
                break
    return at[:-1], at[-1] * size
