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

# features of up to this many entries are handled in float64: exact, and fast enough to be unnoticeable.
# Above it, float32 halves time and memory.
_DOUBLE = 1_000_000


@dataclass(frozen=True)
class Scaling:
    """x -> (x - mean) / scale. mean, scale: (d,) float64, scale > 0."""

    mean: np.ndarray
    scale: np.ndarray

    def apply(self, features: np.ndarray) -> np.ndarray:
        """(n, d) of any float type -> (n, d) float32."""
        return ((features - self.mean.astype(np.float32)) / self.scale.astype(np.float32)).astype(np.float32)

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

    features: (n, d). The little is 1e-3 of the features' typical (root mean square) deviation, so that features in
    other units give the same fit.
    """
    return scaling_of(features.mean(axis=0, dtype=np.float64), features.std(axis=0, dtype=np.float64))


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
    tolerance: float = 1e-5,
    max_iterations: int = 1000,
) -> Head:
    """Minimise the objective above by L-BFGS, from `towards` or from zero.

    features: (n, d) float, scaled by the caller. labels: (n,) int in 0..classes-1. weights: (n,) >= 0, None for equal
    ones. tolerance: largest entry of the gradient at the solution. Classes without images keep their weight W0.
    Returns a head for the scaled features. Deterministic.
    """
    n, d = features.shape
    precision = np.float64 if n * d <= _DOUBLE else np.float32
    x = np.ascontiguousarray(features, dtype=precision)
    w = np.full(n, 1 / n) if weights is None else np.asarray(weights, dtype=np.float64) / np.sum(weights)
    w = w.astype(precision)
    centre = np.zeros((classes, d)) if towards is None else towards.weight.astype(np.float64)
    start = np.zeros((classes, d + 1))
    start[:, :d] = centre
    if towards is not None:
        start[:, d] = towards.bias
    everyone = np.arange(n)

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        parameters = flat.reshape(classes, d + 1)
        weight, bias = parameters[:, :d], parameters[:, d]
        logits = x @ weight.T.astype(precision) + bias.astype(precision)
        logits -= logits.max(axis=1, keepdims=True)
        correct = logits[everyone, labels]
        exponentials = np.exp(logits, out=logits)
        total = exponentials.sum(axis=1)
        loss = float(np.dot((np.log(total) - correct).astype(np.float64), w))
        # gradient in the logits: w_i (softmax - one-hot), in the same memory
        exponentials *= (w / total)[:, None]
        exponentials[everyone, labels] -= w
        away = weight - centre
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
    return Head(solution[:, :d].astype(np.float32), solution[:, d].astype(np.float32))


def softmax(logits: np.ndarray) -> np.ndarray:
    """(n, k) logits -> (n, k) probabilities, float64."""
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    exponentials = np.exp(shifted)
    return exponentials / exponentials.sum(axis=1, keepdims=True)
