"""The three questions that `scoreboard` asks of a direction's middle, as functions of arrays.

Each answer lies in 0..1 and is 0 where there is nothing beyond sampling noise. What they mean and why they are asked
stands at the head of scoreboard.py.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

from core.activations.curves import wilson

# of one-sided bounds
CONFIDENCE = 0.975
# dimensions in which clumps are looked for; each needs that many images of the class
DIMENSIONS, IMAGES_PER_DIMENSION = 32, 10
# axes to other classes that are removed, nearest classes first
AXES = 8
# what a clump counts beside an attribute or concept that is known, and where there is none
BESIDE_KNOWN, ALONE = 0.5, 0.9


def combined(*, skew: float, harm: float, clump: float, error: float, known: float = 1.0) -> float:
    """The score of a direction, as the head of scoreboard.py says. known: 0..1, of how many images of middle and top an
    attribute or concept is known."""
    named, shared = math.sqrt(skew * harm), math.sqrt(clump * error)
    return 1 - (1 - named) * (1 - (ALONE - known * (ALONE - BESIDE_KNOWN)) * shared)


def share_gain(
    first: np.ndarray, of_first: np.ndarray, second: np.ndarray, of_second: np.ndarray, level: float
) -> np.ndarray:
    """How much larger a share is in the first group than in the second, at least: 0..1, 0 where it may not be larger.

    first, second: images that have it. of_first, of_second: images in all; all broadcast. level: of confidence, 0.975
    or so. The lower bound of Newcombe's score interval for the difference of two shares (1998, method 10).
    """
    z = float(ndtri(level))
    low, _ = wilson(first, of_first, z=z)
    _, high = wilson(second, of_second, z=z)
    with np.errstate(invalid="ignore", divide="ignore"):
        p, q = first / of_first, second / of_second
        bound = p - q - np.sqrt(np.square(p - low) + np.square(high - q))
    return np.clip(np.nan_to_num(bound, nan=0.0), 0.0, 1.0)


@dataclass(frozen=True, eq=False)
class ClassSpace:
    """A class's images in a space where all axes have variance 1 and none leads to another class.

    points: (n, q) float32, mean 0. squares: (n,), their squared lengths.
    """

    points: np.ndarray
    squares: np.ndarray


def reduced(features: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Standardised features on the axes along which the classes vary most within themselves: (m, p) float32.

    A randomised range finder with one power iteration (Halko et al. 2011, arXiv:0909.4061), started from the images'
    side, so that the order of the features does not matter.
    """
    points = np.where(np.isfinite(features), features, np.float32(0))
    means = np.zeros((len(starts) - 1, points.shape[1]), dtype=np.float32)
    spread = np.zeros(points.shape[1])
    for c, (start, stop) in enumerate(spans(starts)):
        if stop > start:
            own = points[start:stop]
            means[c] = own.mean(axis=0, dtype=np.float64)
            # in place: at 8,192 images of 2,048 features each copy takes 64 MiB
            own -= means[c]
            spread += np.einsum("ij,ij->j", own, own, dtype=np.float64)
    deviation = np.sqrt(spread / max(len(points), 1))
    # what hardly varies against its size is rounding, not a feature
    alive = (deviation > 1e-6 * np.abs(means).max(axis=0, initial=0)) & np.isfinite(deviation) & (deviation > 0)
    scale = np.where(alive, 1 / np.where(alive, deviation, 1), 0).astype(np.float32)
    points *= scale
    wanted = min(DIMENSIONS, int(alive.sum()), len(points))
    if not wanted:
        return np.zeros((len(points), 0), dtype=np.float32)
    if points.shape[1] <= 4 * DIMENSIONS:
        basis = _strongest(points, wanted)
    else:
        begun = np.random.default_rng(0).normal(size=(len(points), 2 * wanted)).astype(np.float32)
        span = np.linalg.qr(points.T @ begun)[0]
        span = np.linalg.qr(points.T @ (points @ span))[0]
        basis = span @ _strongest(points @ span, wanted)
    return points @ basis + np.repeat((means * scale) @ basis, np.diff(starts), axis=0)


def _strongest(points: np.ndarray, wanted: int) -> np.ndarray:
    """The axes along which centred points vary most, strongest first: (d, wanted) float32."""
    return np.linalg.eigh((points.T @ points).astype(np.float64))[1][:, ::-1][:, :wanted].astype(np.float32)


def class_space(axes: np.ndarray, starts: np.ndarray, class_index: int) -> ClassSpace | None:
    """The space in which a class's clumps are looked for; None where it has too few images, or nothing varies in it.

    axes: (m, p) as `reduced` gives them. starts: (k+1,), where each class begins.
    """
    start, stop = starts[class_index], starts[class_index + 1]
    own = axes[start:stop].astype(np.float64)
    kept = min(own.shape[1], len(own) // IMAGES_PER_DIMENSION)
    if kept < 2:
        return None
    centre = own.mean(axis=0)
    variances, vectors = np.linalg.eigh(np.atleast_2d(np.cov(own, rowvar=False)))
    variances, vectors = variances[::-1][:kept], vectors[:, ::-1][:, :kept]
    alive = variances > 1e-6 * max(variances[0], 1e-12)
    white = vectors[:, alive] / np.sqrt(variances[alive])
    others = [
        axes[first:last].mean(axis=0, dtype=np.float64) - centre
        for c, (first, last) in enumerate(spans(starts))
        if c != class_index and last > first
    ]
    points = (own - centre) @ white
    if others:
        steps = np.array(others) @ white
        nearest = steps[np.argsort(np.linalg.norm(steps, axis=1), kind="stable")[: min(AXES, points.shape[1] // 2)]]
        # orthonormal rows that span the steps
        _, sizes, ways = np.linalg.svd(nearest, full_matrices=False)
        ways = ways[sizes > 1e-9 * max(sizes[0], 1e-12)]
        points = points - (points @ ways.T) @ ways
    return ClassSpace(points.astype(np.float32), np.square(points).sum(axis=1).astype(np.float32))


def clumping(
    values: np.ndarray, finite: np.ndarray, middle: np.ndarray, top: np.ndarray, space: ClassSpace
) -> np.ndarray:
    """How far the middle lies beside where the rest of the class leads one to expect it: (directions,) float64, 0..1.

    values: (n, directions) of the class's images. finite, middle, top: which of them count, as 0 and 1 or bool.
    """
    points, squares = space.points, space.squares
    kept = points.shape[1]
    if not kept:
        return np.zeros(values.shape[1])
    counted = finite.astype(np.float32)
    # scale does not matter, and large activations must not overflow
    safe = np.where(finite, values, 0)
    with np.errstate(over="ignore"):
        centre = (safe.sum(axis=0, dtype=np.float64) / np.maximum(counted.sum(axis=0), 1)).astype(np.float32)
        safe = np.where(finite, safe - centre, np.float32(0))
    size = np.abs(safe).max(axis=0, initial=0)
    safe /= np.where(size > 0, size, 1)
    rest = counted - middle
    n_rest, n_mid, n_top = rest.sum(axis=0), middle.sum(axis=0), top.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean_activation = np.einsum("ij,ij->j", safe, rest) / n_rest
        deviation = (safe - mean_activation) * rest
        spread = np.einsum("ij,ij->j", deviation, deviation)
        mean_point = points.T @ rest / n_rest
        slope = np.where(spread > 0, points.T @ deviation / spread, 0.0)
        around = (squares @ rest) / n_rest - np.square(mean_point).sum(axis=0)
        distances = []
        for members, n in ((middle, n_mid), (top, n_top)):
            step = np.einsum("ij,ij->j", safe, members) / n - mean_activation
            mean = points.T @ members / n
            beside = mean - mean_point - slope * step
            spread_inside = (squares @ members) / n - np.square(mean).sum(axis=0)
            chance = spread_inside / n + around * (1 / n_rest + np.where(spread > 0, np.square(step) / spread, 0.0))
            distances.append((np.square(beside).sum(axis=0) - chance, chance))
        (mid_distance, chance), (top_distance, _) = distances
        # the squared length of a random vector of q equal parts varies by sqrt(2/q) of its mean
        certain = mid_distance - np.maximum(top_distance, 0) - 2 * np.sqrt(2 / kept) * chance
    return 2 * ndtr(np.sqrt(np.maximum(np.nan_to_num(certain, nan=0.0), 0)) / 2) - 1


def spans(starts: np.ndarray) -> Iterator[tuple[int, int]]:
    """Start and stop of each class."""
    return zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True)
