"""Two-class softmax regression with a head to stay close to, by Newton's method.

The two rows of W - W0 are opposite at the minimum, -v/2 and v/2, so one row of log-odds is all there is to find:

    sum_i w_i log(1 + exp(-s_i (o_i + x_i v + b)))  +  l2/4 |v|^2,        s = 2 y - 1,  sum_i w_i = 1

with the old head's log-odds as offsets o. Where features are more than images, v = X^T a lies in the span of the images
and Newton's equations are solved in a (Rasmussen & Williams 2006, section 3.4, with a free bias): that is exact, and no
larger than the images are many. Where both are many, logistic.py solves them by conjugate gradients.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from core.classifiers.logistic import LogOdds, logistic_regression

# images or features up to which equations are solved directly
DIRECT = 640
_MOST_STEPS = 100


def log_odds_regression(
    x: np.ndarray,
    values: np.ndarray,
    weights: np.ndarray,
    offsets: np.ndarray,
    *,
    l2: float,
    tolerance: float,
    start: tuple[np.ndarray, float] | None = None,
) -> tuple[np.ndarray, float]:
    """Minimise the objective above: v (d,) float64 and b.

    x: (n, d) float32 or float64. values: (n,) of 0 and 1, both occurring with some weight. weights: (n,) summing to 1.
    offsets: (n,). tolerance: length of the gradient at the solution. start: v and b near it; None for zero.
    """
    n, d = x.shape
    if n <= min(d, DIRECT):
        return _in_the_span(x, values, weights, offsets, l2=l2, tolerance=tolerance)
    if d <= DIRECT:
        return _direct(x, values, weights, offsets, l2=l2, tolerance=tolerance, start=start)
    after = None if start is None else LogOdds(start[0][:, None], np.array([start[1]]), np.zeros(1), 0)
    found = logistic_regression(x, values, weights, l2=l2, offsets=offsets, after=after, tolerance=tolerance)
    return found.weight[:, 0], float(found.bias[0])


def _in_the_span(
    x: np.ndarray, y: np.ndarray, w: np.ndarray, offsets: np.ndarray, *, l2: float, tolerance: float
) -> tuple[np.ndarray, float]:
    """v = X^T a, with a of the length of the images."""
    penalty = l2 / 2
    products = (x @ x.T).astype(np.float64)
    y, w, offsets = (np.asarray(values, dtype=np.float64) for values in (y, w, offsets))
    a, b, reach = np.zeros(len(x)), 0.0, np.zeros(len(x))
    for _ in range(_MOST_STEPS):
        z = offsets + reach + b
        first, second = _derivatives(z, y, w)
        left = first + penalty * a
        along = products @ left
        if max(np.sqrt(max(left @ along, 0)), abs(first.sum())) <= tolerance:
            break
        root = np.sqrt(second)
        matrix = root[:, None] * products * root
        matrix[np.diag_indices_from(matrix)] += penalty
        factor = cho_factor(matrix, lower=True, check_finite=False, overwrite_a=True)
        target = root * (reach + b) - first / root
        solved = cho_solve(factor, np.stack([target, root], axis=1), check_finite=False)
        b_step = (root @ solved[:, 0]) / (root @ solved[:, 1])
        a_step = root * (solved[:, 0] - solved[:, 1] * b_step) - a
        b_step -= b
        moved = products @ a_step
        lean, square = penalty * (a @ moved), penalty * (a_step @ moved)
        t = _step_length(z, moved + b_step, y, w, lean, square)
        a, b, reach = a + t * a_step, b + t * b_step, reach + t * moved
    return x.T.astype(np.float64) @ a if x.dtype == np.float64 else (x.T @ a.astype(x.dtype)).astype(np.float64), b


def _direct(
    x: np.ndarray,
    y: np.ndarray,
    w: np.ndarray,
    offsets: np.ndarray,
    *,
    l2: float,
    tolerance: float,
    start: tuple[np.ndarray, float] | None,
) -> tuple[np.ndarray, float]:
    """Newton's equations in v and b."""
    n, d = x.shape
    penalty = np.full(d + 1, l2 / 2)
    penalty[d] = 0
    wide = np.empty((n, d + 1), dtype=x.dtype)
    wide[:, :d], wide[:, d] = x, 1
    y, w, offsets = (np.asarray(values, dtype=np.float64) for values in (y, w, offsets))
    at = np.zeros(d + 1) if start is None else np.append(start[0], start[1])
    for _ in range(_MOST_STEPS):
        z = offsets + wide @ at.astype(x.dtype)
        first, second = _derivatives(z, y, w)
        gradient = (wide.T @ first.astype(x.dtype)).astype(np.float64) + penalty * at
        if np.linalg.norm(gradient) <= tolerance:
            break
        scaled = wide * np.sqrt(second).astype(x.dtype)[:, None]
        matrix = (scaled.T @ scaled).astype(np.float64)
        matrix[np.diag_indices_from(matrix)] += penalty + 1e-12
        step = cho_solve(cho_factor(matrix, lower=True, check_finite=False, overwrite_a=True), -gradient)
        moved = (wide @ step.astype(x.dtype)).astype(np.float64)
        t = _step_length(z, moved, y, w, float(penalty @ (at * step)), float(penalty @ (step * step)))
        at = at + t * step
    return at[:d], float(at[d])


def _derivatives(z: np.ndarray, y: np.ndarray, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of the weighted losses in the log-odds. The second is kept above zero, which changes the step and not the
    solution."""
    chance = 1 / (1 + np.exp(-np.clip(z, -500, 500)))
    return w * (chance - y), np.maximum(w * chance * (1 - chance), 1e-10 * w.max())


def _step_length(z: np.ndarray, moved: np.ndarray, y: np.ndarray, w: np.ndarray, lean: float, square: float) -> float:
    """How far to go along a Newton step: all of it, or halved until the slope there is no longer a steep rise."""

    def slope(t: float) -> float:
        chance = 1 / (1 + np.exp(-np.clip(z + t * moved, -500, 500)))
        return float((w * (chance - y)) @ moved) + lean + t * square

    start, t = slope(0.0), 1.0
    low, high = 0.0, np.inf
    for _ in range(30):
        here = slope(t)
        # the objective is convex along the step: where the slope is small against the start, it has fallen
        if abs(here) <= 0.5 * abs(start) or start >= 0:
            break
        low, high = (t, high) if here < 0 else (low, t)
        if here < 0 and np.isinf(high):
            # a longer step would gain a little more; the next Newton step does better
            break
        t = (low + high) / 2
    return t
