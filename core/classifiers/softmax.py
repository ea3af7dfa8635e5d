"""Softmax regression: fitting a last layer on features, without torch.

Objective, for features x_i in R^d, classes y_i and weights w_i:

    sum_i w_i CE(W x_i + b, y_i) / sum_i w_i  +  l2/2 |W - W0|^2

The mean of the cross-entropy is weighted, so l2 does not depend on how many images there are; W0 is 0, or the head to
stay close to; the bias is free. scikit-learn's `LogisticRegression(C=1/(l2 n))` minimises the same with W0 = 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from core.classifiers.head import Head
from core.classifiers.newton import DIRECT, log_odds_regression
from core.classifiers.precision import DOUBLE

# images that give the values about which sums are taken, and entries of features that are summed at a time
_NEAR, _BLOCK = 64, 256_000


@dataclass(frozen=True)
class Scaling:
    """x -> (x - mean) / scale. mean, scale: (d,) float64, scale > 0."""

    mean: np.ndarray
    scale: np.ndarray

    def apply(self, features: np.ndarray) -> np.ndarray:
        """(n, d) of any float type -> (n, d) float32."""
        scaled = features - self.mean.astype(np.float32)
        scaled /= self.scale.astype(np.float32)
        return scaled.astype(np.float32, copy=False)

    def fold(self, head: Head) -> Head:
        """A head for scaled features as the head for plain ones with the same logits: W/s, b - (W/s) m."""
        weight = head.weight.astype(np.float64) / self.scale
        bias = head.bias.astype(np.float64) - weight @ self.mean
        return Head(weight.astype(np.float32), bias.astype(np.float32))

    def unfold(self, head: Head) -> Head:
        """The inverse of `fold`: a head for plain features as the one for scaled features."""
        weight = head.weight.astype(np.float64)
        bias = head.bias.astype(np.float64) + weight @ self.mean
        return Head((weight * self.scale).astype(np.float32), bias.astype(np.float32))


def standardise(features: np.ndarray) -> Scaling:
    """Mean and standard deviation of each feature, plus a little: a dead feature must not become a loud one.

    features: (n, d) float. The little is 1e-3 of the features' typical (root mean square) deviation, so that features
    in other units give the same fit.
    """
    n, d = features.shape
    # sums are taken about values near the features, a block that fits the processor's cache at a time: numpy's own
    # deviation would write all of them again in float64
    near = features[:_NEAR].mean(axis=0, dtype=np.float64).astype(features.dtype)
    total, squares = np.zeros(d), np.zeros(d)
    step = max(16, _BLOCK // d)
    for start in range(0, n, step):
        away = features[start : start + step] - near
        total += np.ones(len(away), dtype=away.dtype) @ away
        squares += np.einsum("ij,ij->j", away, away)
    mean = total / n
    return scaling_of(near + mean, np.sqrt(np.maximum(squares / n - mean**2, 0)))


def scaling_of(mean: np.ndarray, deviation: np.ndarray) -> Scaling:
    """`standardise` from the mean and the standard deviation of each feature, (d,) float64 each."""
    typical = float(np.sqrt(np.mean(deviation**2))) or 1.0
    return Scaling(mean, deviation + 1e-3 * typical)


def softmax_regression(
    features: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray | None = None,
    *,
    classes: int,
    l2: float,
    towards: Head | None = None,
    start: Head | None = None,
    tolerance: float = 1e-5,
    max_iterations: int = 1000,
) -> Head:
    """Minimise the objective above: by Newton's method for two classes (newton.py), else by L-BFGS.

    features: (n, d) float, scaled by the caller. labels: (n,) int in 0..classes-1. weights: (n,) >= 0, None for equal
    ones. start: a head near the solution, to be faster; None starts from `towards` or zero. tolerance: largest entry of
    the gradient at the solution. Classes without images keep their weight W0. Returns a head for the scaled features.
    Deterministic.
    """
    n, d = features.shape
    precision = np.float64 if n * d <= DOUBLE else np.float32
    x = np.ascontiguousarray(features, dtype=precision)
    w = np.full(n, 1 / n) if weights is None else np.asarray(weights, dtype=np.float64) / np.sum(weights)
    centre = np.zeros((classes, d)) if towards is None else towards.weight.astype(np.float64)
    base = np.zeros(classes) if towards is None else towards.bias.astype(np.float64)
    offsets = np.zeros((n, classes), dtype=precision) + base.astype(precision)
    if towards is not None:
        offsets += x @ centre.T.astype(precision)
    if classes == 2 and all(w[labels == c].any() for c in (0, 1)):
        apart = offsets[:, 1].astype(np.float64) - offsets[:, 0]
        near = None
        if start is not None:
            away = start.weight - centre
            near = (away[1] - away[0], float(start.bias[1] - base[1]) - float(start.bias[0] - base[0]))
        row, bias = log_odds_regression(x, labels, w, apart, l2=l2, tolerance=tolerance, start=near)
        weight, more = np.stack([-row / 2, row / 2]), np.array([-bias / 2, bias / 2])
    else:
        basis = None
        if n < d and n <= DIRECT:
            # W - W0 lies in the span of the images: as many unknowns as images are enough
            basis, corners = np.linalg.qr(x.T.astype(np.float64))
            x = np.ascontiguousarray(corners.T, dtype=precision)
        first = np.zeros((classes, x.shape[1] + 1))
        if start is not None:
            away = start.weight - centre
            first[:, :-1], first[:, -1] = away if basis is None else away @ basis, start.bias - base
        weight, more = _lbfgs(x, labels, w.astype(precision), offsets, first, l2, tolerance, max_iterations)
        weight = weight if basis is None else weight @ basis.T
    return Head((centre + weight).astype(np.float32), (base + more).astype(np.float32))


def _lbfgs(
    x: np.ndarray,
    labels: np.ndarray,
    w: np.ndarray,
    offsets: np.ndarray,
    start: np.ndarray,
    l2: float,
    tolerance: float,
    max_iterations: int,
) -> tuple[np.ndarray, np.ndarray]:
    """W - W0 and the bias beyond the old one. offsets: (n, k), logits of the old head. start: (k, d + 1)."""
    (n, d), classes = x.shape, start.shape[0]
    everyone = np.arange(n)

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        parameters = flat.reshape(classes, d + 1)
        away, bias = parameters[:, :d], parameters[:, d]
        logits = x @ away.T.astype(x.dtype) + bias.astype(x.dtype)
        logits += offsets
        logits -= logits.max(axis=1, keepdims=True)
        correct = logits[everyone, labels]
        exponentials = np.exp(logits, out=logits)
        total = exponentials.sum(axis=1)
        loss = float(np.dot((np.log(total) - correct).astype(np.float64), w))
        # gradient in the logits: w_i (softmax - one-hot), in the same memory
        exponentials *= (w / total)[:, None]
        exponentials[everyone, labels] -= w
        gradient = np.empty((classes, d + 1))
        gradient[:, :d] = (exponentials.T @ x).astype(np.float64) + l2 * away
        gradient[:, d] = exponentials.sum(axis=0, dtype=np.float64)
        return loss + l2 / 2 * float((away**2).sum()), gradient.ravel()

    found = minimize(
        objective,
        start.ravel(),
        jac=True,
        method="L-BFGS-B",
        options={"gtol": tolerance, "ftol": 1e-12, "maxiter": max_iterations, "maxcor": 20},
    )
    solution = found.x.reshape(classes, d + 1)
    return solution[:, :d], solution[:, d]


def softmax(logits: np.ndarray) -> np.ndarray:
    """(n, k) logits -> (n, k) probabilities, float64."""
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    exponentials = np.exp(shifted)
    return exponentials / exponentials.sum(axis=1, keepdims=True)
