"""One fit of logistic regression with as few readings of the features as possible; see logistic.py for the objective.

In a tagging session some fifty tagged images carry half of the weight, and what they contribute is far from quadratic:
a new tag on an image that the last fit was sure of has no curvature until the fit has moved. So the objective is
parted. The many light rows are modelled by a quadratic, whose inverse Hessian is learnt from the gradients seen so far
(L-BFGS in its compact form: Byrd, Nocedal & Schnabel 1994) and is nearly the same for the next fit; the few heavy rows
stay as they are. A step minimises the sum, which is a problem in as many unknowns as there are heavy rows, and costs
one reading of the features: there for the log-odds, and back for the gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

# steps that the inverse Hessian is made of, and how many of the oldest are forgotten at once
_KEPT, _FORGOTTEN = 100, 20
# weight of a heavy row, in those of a middling one; where there are more than `_MOST` of them, only the `_WORST`
# by what they contribute to the gradient are
_HEAVY, _MOST, _WORST = 8, 128, 64
_MOST_STEPS = 100
# steps without a shorter gradient after which something else has to be tried, or rounding is all that is left
_FRUITLESS = 8
# slope at the end of a step, as a share of that at its start, from which a step was too long
_TOO_LONG = 0.5

Sweep = Callable[[np.ndarray, np.ndarray, int], np.ndarray]
"""(at, z, first) -> gradient (d + 1,) of the weighted loss. Writes the log-odds of all rows but the `first` ones into
z (n,), where these are known."""


class InverseHessian:
    """Of the light rows and the penalty, learnt from steps s and the changes y of the gradient along them. steps,
    changes: (k, d + 1), scaled so that s y = 1. scale: what it is where nothing is known."""

    def __init__(self, size: int, precision: type[np.floating]) -> None:
        self.steps = np.empty((0, size), dtype=precision)
        self.changes = np.empty((0, size), dtype=precision)
        self.scale = 1.0
        # s_i y_j and y_i y_j
        self._across, self._among = np.empty((0, 0)), np.empty((0, 0))

    def copy(self) -> InverseHessian:
        other = InverseHessian.__new__(InverseHessian)
        # arrays are replaced and never written to
        other.__dict__.update(self.__dict__)
        return other

    def learn(self, step: np.ndarray, change: np.ndarray) -> bool:
        """Take in a step unless the objective did not bend along it. Returns whether older ones were forgotten."""
        bend = float(step.astype(np.float64) @ change)
        if not bend > 1e-10 * float(np.linalg.norm(step)) * float(np.linalg.norm(change)):
            return False
        size = step.dtype.type(bend**-0.5)
        forget = _FORGOTTEN if len(self.steps) == _KEPT else 0
        s, y = step * size, change * size
        steps, changes = self.steps[forget:], self.changes[forget:]
        k = len(steps)
        across, among = np.empty((k + 1, k + 1)), np.empty((k + 1, k + 1))
        across[:k, :k], among[:k, :k] = self._across[forget:, forget:], self._among[forget:, forget:]
        across[:k, k], across[k, :k], across[k, k] = steps @ y, changes @ s, 1
        among[:k, k] = among[k, :k] = changes @ y
        among[k, k] = y.astype(np.float64) @ y
        self.steps, self.changes = np.vstack([steps, s]), np.vstack([changes, y])
        self._across, self._among = across, among
        self.scale = 1 / among[k, k]
        return bool(forget)

    def middle(self) -> np.ndarray:
        """M (2k, 2k) of scale I + [s y] M [s y]^T."""
        k = len(self.steps)
        upper = np.linalg.inv(np.triu(self._across))
        middle = np.zeros((2 * k, 2 * k))
        middle[:k, :k] = upper.T @ (np.eye(k) + self.scale * self._among) @ upper
        middle[:k, k:] = -self.scale * upper.T
        middle[k:, :k] = -self.scale * upper
        return middle

    def coordinates(self, vectors: np.ndarray) -> np.ndarray:
        """(h, d + 1) or (d + 1,) -> its products with [s y], (h, 2k) or (2k,)."""
        return np.concatenate([vectors @ self.steps.T, vectors @ self.changes.T], axis=-1)

    def combined(self, coordinates: np.ndarray) -> np.ndarray:
        """[s y] coordinates: (2k,) -> (d + 1,)."""
        k, single = len(self.steps), coordinates.astype(self.steps.dtype)
        combined: np.ndarray = single[:k] @ self.steps + single[k:] @ self.changes
        return combined


@dataclass(frozen=True, eq=False)
class Found:
    """at: (d + 1,) with the bias last. z: (n,) its log-odds. length: of its gradient. passes: how often the features
    were read."""

    at: np.ndarray
    z: np.ndarray
    length: float
    passes: int
    inverse: InverseHessian


def minimise(
    sweep: Sweep,
    rows: Callable[[np.ndarray], np.ndarray],
    shows: np.ndarray,
    w: np.ndarray,
    *,
    penalty: float,
    start: np.ndarray,
    known: np.ndarray,
    inverse: InverseHessian | None,
    tolerance: float,
) -> Found:
    """Minimise sum w log(1 + exp(-s z)) + penalty/2 |v|^2 until the gradient is no longer than the tolerance, or
    nothing is gained any more.

    rows: positions -> their features (h, d). shows: (n,) 0 and 1; w: (n,). start: (d + 1,). known: (m,) log-odds of the
    first rows by `start`. inverse: of nearly the same problem.
    """
    n, precision = len(w), w.dtype.type
    inverse = InverseHessian(len(start), precision) if inverse is None else inverse.copy()
    at, z = start, np.empty(n, dtype=precision)
    z[: len(known)] = known
    shrink = np.full(len(start), penalty, dtype=precision)
    shrink[-1] = 0
    gradient = sweep(at, z, len(known)) + shrink * at
    passes, fruitless = 1, 0
    best = at, z, _length(gradient)
    heavy = _heavy(z, shows, w)
    few = _Few(rows(heavy), shows[heavy], w[heavy], inverse)
    for _ in range(_MOST_STEPS):
        if best[2] <= tolerance or fruitless == _FRUITLESS:
            break
        light = gradient - few.gradient(z[heavy])
        step = few.step(z[heavy], light)
        slope = float(gradient.astype(np.float64) @ step)
        if not slope < 0 or not np.isfinite(step).all():
            break
        beyond = np.empty(n, dtype=precision)
        following = sweep(at + step, beyond, 0) + shrink * (at + step)
        passes += 1
        if float(following @ step) > -_TOO_LONG * slope:
            shorter = precision(_pace(z, beyond - z, shows, w, penalty * _products(at, step)))
            step = shorter * step
            beyond = z + shorter * (beyond - z)
            following = sweep(at + step, beyond, n) + shrink * (at + step)
            passes += 1
        few.learn(step, following - few.gradient(beyond[heavy]) - light)
        at, z, gradient = at + step, beyond, following
        length = _length(gradient)
        fruitless = 0 if length < best[2] else fruitless + 1
        if length < best[2]:
            best = at, z, length
    return Found(*best, passes, inverse)


class _Few:
    """The heavy rows, and where the model of the others leaves them. features: (h, d)."""

    def __init__(self, features: np.ndarray, shows: np.ndarray, w: np.ndarray, inverse: InverseHessian) -> None:
        self.features = np.column_stack([features, np.ones(len(features), dtype=features.dtype)])
        self.shows, self.w = shows.astype(np.float64), w.astype(np.float64)
        self.inverse = inverse
        self._gram = (self.features @ self.features.T).astype(np.float64)
        self._coordinates = inverse.coordinates(self.features)

    def learn(self, step: np.ndarray, change: np.ndarray) -> None:
        before = len(self.inverse.steps)
        forgot = self.inverse.learn(step, change)
        k = len(self.inverse.steps)
        if forgot:
            self._coordinates = self.inverse.coordinates(self.features)
        elif k > before:
            old, last = self._coordinates, [self.inverse.steps[-1], self.inverse.changes[-1]]
            s, y = (self.features @ np.column_stack(last)).T
            self._coordinates = np.column_stack([old[:, : k - 1], s, old[:, k - 1 :], y])

    def gradient(self, z: np.ndarray) -> np.ndarray:
        """What the heavy rows add to the gradient: log-odds (h,) -> (d + 1,)."""
        share = (self.w * (_sigmoid(z.astype(np.float64)) - self.shows)).astype(self.features.dtype)
        gradient: np.ndarray = share @ self.features
        return gradient

    def step(self, z: np.ndarray, light: np.ndarray) -> np.ndarray:
        """The step to the minimum of the model and the heavy rows' own loss. z: (h,) log-odds; light: (d + 1,) gradient
        of the others."""
        inverse, middle = self.inverse, self.inverse.middle()
        own = inverse.coordinates(light)
        # log-odds of the heavy rows after a step -H (light + x^T c) are z - ahead - among c
        ahead = inverse.scale * (self.features @ light) + self._coordinates @ (middle @ own)
        among = inverse.scale * self._gram + self._coordinates @ middle @ self._coordinates.T
        c = self._shares(z.astype(np.float64), ahead.astype(np.float64), among)
        pull = light + c.astype(light.dtype) @ self.features
        step = inverse.scale * pull + inverse.combined(middle @ (own + self._coordinates.T @ c))
        return np.negative(step).astype(light.dtype)

    def _shares(self, z: np.ndarray, ahead: np.ndarray, among: np.ndarray) -> np.ndarray:
        """Newton's method for c = w (sigmoid(z - ahead - among c) - shows), the minimum of c among c / 2 + the loss."""
        sign = 2 * self.shows - 1

        def value(c: np.ndarray) -> tuple[float, np.ndarray]:
            moved = among @ c
            odds = z - ahead - moved
            return float(c @ moved / 2 + self.w @ np.logaddexp(0, -sign * odds)), odds

        c = self.w * (_sigmoid(z) - self.shows)
        now, odds = value(c)
        for _ in range(30):
            chance = _sigmoid(odds)
            off = c - self.w * (chance - self.shows)
            if np.abs(off).sum() <= 1e-9:
                break
            bend = self.w * chance * (1 - chance)
            direction = -np.linalg.solve(np.eye(len(c)) + bend[:, None] * among, off)
            for pace in 0.5 ** np.arange(12):
                there, odds_there = value(c + pace * direction)
                if there <= now:
                    break
            else:
                break
            c, now, odds = c + pace * direction, there, odds_there
        return c


def _heavy(z: np.ndarray, shows: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Positions (h,), increasing, of the rows to keep apart."""
    used = w[w > 0]
    heavy = np.flatnonzero(w > _HEAVY * np.median(used))
    if len(heavy) > _MOST:
        share = w[heavy] * np.abs(_sigmoid(z[heavy]) - shows[heavy])
        heavy = np.sort(heavy[np.argpartition(-share, _WORST)[:_WORST]])
    return heavy


def _pace(z: np.ndarray, moved: np.ndarray, shows: np.ndarray, w: np.ndarray, lean: np.ndarray) -> float:
    """Where between 0 and 1 the objective is least along a step that is too long. lean: its penalty's slope at 0, and
    by how much that grows."""
    low, high, pace = 0.0, 1.0, 0.5
    for _ in range(12):
        chance = _sigmoid(z + z.dtype.type(pace) * moved)
        slope = float((w * (chance - shows)) @ moved) + lean[0] + pace * lean[1]
        bend = float((w * chance * (1 - chance)) @ (moved * moved)) + lean[1]
        low, high = (pace, high) if slope < 0 else (low, pace)
        following = pace - slope / bend if bend > 0 else (low + high) / 2
        following = following if low < following < high else (low + high) / 2
        if abs(following - pace) < 0.01 * pace:
            break
        pace = following
    return pace


def _products(at: np.ndarray, step: np.ndarray) -> np.ndarray:
    """v s and s s of the weights, without the bias: (2,) float64."""
    inner = step[:-1].astype(np.float64)
    return np.array([at[:-1] @ inner, inner @ inner])


def _length(vector: np.ndarray) -> float:
    return float(np.linalg.norm(vector.astype(np.float64)))


def _sigmoid(z: np.ndarray) -> np.ndarray:
    # beyond 80 a float32 exponential overflows, and nothing changes any more
    return 1 / (1 + np.exp(np.minimum(np.negative(z), 80)))
