"""Clusters in a band: what its images have in common besides their activation, before anybody has tagged one.

The features of a band's images are standardised, each weighted by what the last layer makes of it, and the direction
itself is taken out: images of one band have nearly the same activation, and what differs is where they have it from.
One axis more says whether an image is labelled with the direction's class, so that a class and what it is taken for
do not end in one cluster. The rest is brought to its strongest axes and parted by k-means (Lloyd 1982; starts as in
Arthur & Vassilvitskii 2007). Images of the top band are laid to the nearest centre, so each cluster has a lift: its
share in the band over its share at the top. What sits in the middle and not at the top comes first.

Which axis is taken out: of a direction that is linear in the features its weights; of a logit or a difference of two
the weights of the last layer; of a margin or a probability, which are not linear, the mean of their gradients over
the band's images.

On the demo's mid bands, the weights of the last layer and the axis of the label raise what clusters tell of the planted
exceptions (mutual information over entropy) from 0.2 to 0.7.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from core.activations.curves import wilson
from core.activations.directions import class_of
from core.activations.suspicion import share_gain
from core.classifiers.softmax import Scaling, softmax, standardise
from core.errors import BadRequest
from core.files import release

if TYPE_CHECKING:
    from sklearn.cluster import KMeans

    from core.activations.directions import Direction
    from core.activations.store import Analysis
    from core.classifiers.head import Head

# images of the band, and of the top, that are compared at most
MOST_IMAGES = 20_000
FEWEST_CLUSTERS, MOST_CLUSTERS = 2, 12
# a cluster of fewer images on average is nothing to look at, and a band of fewer than two such is not parted
PER_CLUSTER = 12
# axes kept after the direction is gone
DIMENSIONS = 32
# images of the top below which it does not tell how features follow the activation
ENOUGH_AT_TOP = 50
# images that the axes and the number of clusters are found on; images whose distances to each other are measured
AXES_FROM, MEASURED = 5_000, 1_500
# weight at least of a feature that the last layer hardly uses, of the usual one
LEAST_WEIGHT = 0.1
# The clearest parting of nearly every cloud is into two, where a rare kind hides in a larger one. Two rows that are
# alike cost a glance, so the finest parting counts that is this nearly as clear as the clearest.
NEARLY = 0.7
# clusters have silhouettes larger by this than clouds without any (normal, of the same extent along each axis); in 9 of
# 10 bands of 400 images with random features it is less
CLEARER, CLOUDS = 0.03, 3
# values of attributes named per cluster
MOST_TRAITS = 3
# k-means starts, of which the best counts
_STARTS = 4


@dataclass(frozen=True)
class Trait:
    """A value that is more common in a cluster than in the rest of the band: of the class or of a known attribute.

    share, elsewhere: among the images of the cluster, of the band's other images, of which it is known.
    """

    name: str
    value: str
    share: float
    elsewhere: float

    def to_dict(self) -> dict[str, Any]:
        return {"name": self.name, "value": self.value, "share": self.share, "elsewhere": self.elsewhere}


@dataclass(frozen=True, eq=False)
class Cluster:
    """rows: (m,) int64, nearest to its centre first; distances: (m,) float64. lift: share in the band over share at
    the top, with 95% interval. error_rate: share of wrong predictions, with low and high (Wilson 95%). top_count: top
    images nearest to this centre. classes: images per class, the most frequent first. traits: what stands out."""

    rows: np.ndarray
    size: int
    share: float
    lift: float
    lift_low: float
    lift_high: float
    error_rate: float
    low: float
    high: float
    top_count: int
    distances: np.ndarray
    classes: tuple[tuple[str, int], ...]
    traits: tuple[Trait, ...]

    def to_dict(self) -> dict[str, Any]:
        return {
            "size": self.size,
            "share": self.share,
            "lift": self.lift,
            "lift_low": self.lift_low,
            "lift_high": self.lift_high,
            "error_rate": self.error_rate,
            "low": self.low,
            "high": self.high,
            "top_count": self.top_count,
            "classes": dict(self.classes),
            "traits": [trait.to_dict() for trait in self.traits],
        }


@dataclass(frozen=True, eq=False)
class Discovery:
    """clusters: what is surely more common in the band than at the top first, of that the most surely wrong. compared,
    total: images of the band that were looked at, and all of them; top_compared, top_total: of the top. error_rate: of
    the compared images. note: what had to be done differently, or ""."""

    clusters: tuple[Cluster, ...]
    compared: int
    total: int
    top_compared: int
    top_total: int
    error_rate: float
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        return {
            "clusters": [cluster.to_dict() for cluster in self.clusters],
            "compared": self.compared,
            "total": self.total,
            "top_compared": self.top_compared,
            "top_total": self.top_total,
            "error_rate": self.error_rate,
            "note": self.note,
        }


def discover(
    analysis: Analysis,
    direction: Direction,
    band_rows: np.ndarray,
    top_rows: np.ndarray,
    *,
    clusters: int | None = None,
    seed: int = 0,
) -> tuple[Cluster, ...]:
    """The clusters of `discovery`."""
    return discovery(analysis, direction, band_rows, top_rows, clusters=clusters, seed=seed).clusters


def discovery(
    analysis: Analysis,
    direction: Direction,
    band_rows: np.ndarray,
    top_rows: np.ndarray,
    *,
    clusters: int | None = None,
    seed: int = 0,
) -> Discovery:
    """Part the images of a band by what they have in common besides their activation.

    band_rows, top_rows: (m,) int rows of the band and of what it is held against; they may overlap. clusters: how
    many, 2 to 12; None lets the images decide. At most 20,000 images of each are compared, drawn evenly, and `note`
    says so. Features that are not finite count as 0. Deterministic. Raises `BadRequest` for a number of clusters out
    of range.
    """
    if clusters is not None and not FEWEST_CLUSTERS <= clusters <= MOST_CLUSTERS:
        raise BadRequest(
            f"A band cannot be parted into {clusters} clusters.",
            next_step=f"Ask for {FEWEST_CLUSTERS} to {MOST_CLUSTERS}, or for none to let the images decide.",
        )
    rng = np.random.default_rng(seed)
    band, top = _drawn(band_rows, rng), _drawn(top_rows, rng)
    wrong = analysis.predicted[band] != analysis.labels[band]
    notes = []
    if len(band) < len(band_rows) or len(top) < len(top_rows):
        notes.append(
            f"{len(band):,} of {len(band_rows):,} images of the band and {len(top):,} of {len(top_rows):,} at the top "
            "were compared, drawn evenly."
        )
    facts = (len(band), len(band_rows), len(top), len(top_rows), float(wrong.mean()) if len(band) else math.nan)
    if len(band) < FEWEST_CLUSTERS * PER_CLUSTER:
        notes.append(f"Fewer than {FEWEST_CLUSTERS * PER_CLUSTER} images: too few to be parted.")
        return Discovery((), *facts, " ".join(notes))
    points, top_points, side = _points(analysis, direction, band, top, rng)
    most = min(MOST_CLUSTERS, len(band) // PER_CLUSTER)
    if clusters is None:
        wanted, clearer = _finest_clear(points, side, most, rng, seed)
        if clearer < CLEARER:
            notes.append("These images hardly fall into clusters: what parts them is arbitrary.")
    else:
        wanted = min(clusters, most)
        if wanted < clusters:
            notes.append(f"{len(band):,} images were parted into {wanted}: {PER_CLUSTER} images each are the fewest.")
    fitted = _k_means(points, wanted, seed, starts=_STARTS)
    nearest = _nearest(fitted, top_points) if len(top) else np.empty(0, dtype=np.int64)
    distances = np.linalg.norm(points - fitted.cluster_centers_[fitted.labels_], axis=1)
    found = [
        _cluster(analysis, band, fitted.labels_ == c, distances, wrong, int((nearest == c).sum()), len(top))
        for c in range(wanted)
        if (fitted.labels_ == c).any()
    ]
    found.sort(key=_order)
    return Discovery(tuple(found), *facts, " ".join(notes))


def _order(cluster: Cluster) -> tuple[bool, float, float]:
    """What is surely rarer at the top first, the most surely wrong of it first. By lift alone the largest cluster
    would be first: whatever the top has nothing of has the same lift but for the size."""
    return not cluster.lift_low > 1, -cluster.low, -np.nan_to_num(cluster.lift_low)


def lift(inside: int, of: int, top_inside: int, of_top: int) -> tuple[float, float, float]:
    """Share of `of` over share of `of_top`, and its 95% interval; NaN where either is empty.

    One half is added to each count, and to each total, so that nothing at the top gives a large number and not
    infinity (Walter 1975); the interval is that of the logarithm (Katz et al. 1978).
    """
    if not of or not of_top:
        return math.nan, math.nan, math.nan
    here, there = (inside + 0.5) / (of + 0.5), (top_inside + 0.5) / (of_top + 0.5)
    spread = 1 / (inside + 0.5) - 1 / (of + 0.5) + 1 / (top_inside + 0.5) - 1 / (of_top + 0.5)
    reach = math.exp(1.959964 * math.sqrt(max(spread, 0.0)))
    ratio = here / there
    return ratio, ratio / reach, ratio * reach


def _drawn(rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    rows = np.asarray(rows, dtype=np.int64)
    if len(rows) <= MOST_IMAGES:
        return rows
    return rows[np.sort(rng.choice(len(rows), MOST_IMAGES, replace=False))]


def _points(
    analysis: Analysis, direction: Direction, band: np.ndarray, top: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(b, p) float32 of the band, (t, p) of the top, and whether each image of the band is labelled with the
    direction's class: (b,) bool."""
    features, top_features = _features(analysis, band), _features(analysis, top)
    own = class_of(analysis, direction)
    side, top_side = analysis.labels[band] == own, analysis.labels[top] == own
    scaling = standardise(features)
    points, top_points = scaling.apply(features), scaling.apply(top_features)
    del features, top_features
    # activation = points @ axis + a constant
    axis = (_axis(analysis, direction, band) * scaling.scale).astype(np.float32)
    slope = _slope([top_points[top_side], top_points[~top_side]], axis)
    weights = _weights(analysis.head, scaling)
    for block in (points, top_points):
        block -= np.outer(block @ axis, slope)
        block *= weights
    some = points if len(points) <= AXES_FROM else points[rng.choice(len(points), AXES_FROM, replace=False)]
    axes = _strongest(some, rng)
    points, top_points = points @ axes, top_points @ axes
    # as far apart as two images of the band usually are
    apart = np.sqrt(2 * np.square(points - points.mean(axis=0)).sum(axis=1).mean())
    return (
        np.column_stack([points, (side * apart).astype(np.float32)]),
        np.column_stack([top_points, (top_side * apart).astype(np.float32)]),
        side,
    )


def _slope(groups: Sequence[np.ndarray], axis: np.ndarray) -> np.ndarray:
    """What the features hold of one unit of activation: (d,) float32 with slope @ axis = 1, so that points less slope
    times activation all have the same activation: the direction is gone.

    groups: (m, d) of the top band by label. There images are alike, so features that vary with the activation do so
    among any images; in the band itself the exceptions have other activations than the rest, and what makes them
    exceptions would go too. Taking out the bare axis instead leaves what its features have in common with others: of
    random features under a random last layer, 22% of the clusters had lifts surely above 1 instead of 2.5%.
    """
    together, squares = np.zeros(len(axis)), 0.0
    if sum(map(len, groups)) >= ENOUGH_AT_TOP:
        for points in groups:
            if len(points) > 1:
                activation = points @ axis
                activation -= activation.mean()
                together += activation @ points
                squares += float(activation @ activation)
    if squares > 0:
        return (together / squares).astype(np.float32)
    length = float(axis @ axis)
    return axis / length if length > 0 else axis


def _features(analysis: Analysis, rows: np.ndarray) -> np.ndarray:
    """(m, d) float32 in memory; 0 for what is not finite."""
    found = analysis.features[rows]
    release(analysis.features)
    if not np.isfinite(found.sum(dtype=np.float64)):
        found = np.nan_to_num(found, nan=0.0, posinf=0.0, neginf=0.0)
    return found


def _weights(head: Head, scaling: Scaling) -> np.ndarray:
    """What one standard deviation of each feature moves the logits apart, 1 on (quadratic) average: (d,) float32."""
    centred = head.weight.astype(np.float64) - head.weight.mean(axis=0, dtype=np.float64)
    found = np.sqrt(np.square(centred).mean(axis=0)) * scaling.scale
    usual = float(np.sqrt(np.mean(found**2)))
    weights = np.maximum(found / usual, LEAST_WEIGHT) if usual > 0 else np.ones(len(found))
    return weights.astype(np.float32)


def _axis(analysis: Analysis, direction: Direction, rows: np.ndarray) -> np.ndarray:
    """The weights (d,) float64 with which the activation follows the features, exactly or on average over some rows."""
    if direction.weight is not None:
        return direction.weight.astype(np.float64)
    heads = analysis.head.weight.astype(np.float64)
    assert direction.own_class is not None
    own = direction.own_class
    if direction.kind == "logit":
        return heads[own]
    if direction.against is not None:
        return heads[own] - heads[direction.against]
    logits = np.nan_to_num(np.asarray(analysis.logits[rows], dtype=np.float64))
    if direction.kind == "margin":
        logits[:, own] = -np.inf
        return heads[own] - np.bincount(logits.argmax(axis=1), minlength=len(heads)) / len(rows) @ heads
    # probability p of the class: gradient p (w_own - sum_j p_j w_j)
    chances = softmax(logits)
    mine = chances[:, own]
    return mine.mean() * heads[own] - (mine[:, None] * chances).mean(axis=0) @ heads


def _strongest(points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Orthonormal axes along which points vary most: (d, p) float32, p = DIMENSIONS or what there is.

    A randomised range finder with one power iteration (Halko et al. 2011, arXiv:0909.4061).
    """
    centred = points - points.mean(axis=0)
    wanted = min(DIMENSIONS, *centred.shape)
    begun = rng.normal(size=(len(centred), min(2 * wanted, *centred.shape))).astype(np.float32)
    span = np.linalg.qr(centred.T @ begun)[0]
    span = np.linalg.qr(centred.T @ (centred @ span))[0]
    inside = centred @ span
    _, vectors = np.linalg.eigh((inside.T @ inside).astype(np.float64))
    return (span @ vectors[:, ::-1][:, :wanted]).astype(np.float32)


def _finest_clear(
    points: np.ndarray, side: np.ndarray, most: int, rng: np.random.Generator, seed: int
) -> tuple[int, float]:
    """How many clusters, and how much clearer they are than those of a cloud that has none."""
    if len(points) > AXES_FROM:
        chosen = np.sort(rng.choice(len(points), AXES_FROM, replace=False))
        points, side = points[chosen], side[chosen]
    measured = np.sort(rng.choice(len(points), min(MEASURED, len(points)), replace=False))
    some, of_side = points[measured], side[measured]
    clearness = {}
    for wanted in range(FEWEST_CLUSTERS, most + 1):
        clearness[wanted] = _clearness(some, _k_means(points, wanted, seed, starts=2).labels_[measured], of_side)
    best = max(clearness, key=lambda wanted: (clearness[wanted], -wanted))
    without = 0.0
    for _ in range(CLOUDS):
        cloud = np.empty_like(some)
        for value in (False, True):
            mine = some[of_side == value]
            if len(mine):
                cloud[of_side == value] = mine.mean(axis=0) + mine.std(axis=0) * rng.normal(size=mine.shape)
        without += _clearness(cloud, _k_means(cloud, best, seed, starts=2).labels_, of_side) / CLOUDS
    clearer = clearness[best] - without
    if clearer < CLEARER:
        return min(FEWEST_CLUSTERS + 2, most), clearer
    return max(wanted for wanted, found in clearness.items() if found >= NEARLY * clearness[best]), clearer


def _clearness(points: np.ndarray, labels: np.ndarray, side: np.ndarray) -> float:
    """The mean silhouette (Rousseeuw 1987) of images among those of their side: between the sides it would measure the
    label, which is no discovery."""
    total = 0.0
    for value in (False, True):
        mine = points[side == value]
        squares = np.square(mine).sum(axis=1)
        distances = np.sqrt(np.maximum(squares[:, None] + squares - 2 * mine @ mine.T, 0))
        np.fill_diagonal(distances, 0)
        total += float(silhouettes(distances, labels[side == value]).sum())
    return total / len(points)


def silhouettes(distances: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(b - a) / max(a, b) of each image, a: its mean distance to its own cluster, b: to the nearest other one.

    distances: (m, m). labels: (m,) int. Returns (m,) float64 in -1..1; 0 for an image alone in its cluster, and for
    all where there is one cluster.
    """
    _, codes, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    if len(sizes) < 2:
        return np.zeros(len(labels))
    everyone = np.arange(len(labels))
    sums = distances @ np.eye(len(sizes), dtype=distances.dtype)[codes]
    own = sums[everyone, codes] / np.maximum(sizes[codes] - 1, 1)
    means = sums / sizes
    means[everyone, codes] = np.inf
    other = means.min(axis=1)
    larger = np.maximum(own, other)
    found = np.divide(other - own, larger, out=np.zeros(len(labels)), where=larger > 0)
    return np.where(sizes[codes] > 1, found, 0.0)


def _k_means(points: np.ndarray, wanted: int, seed: int, *, starts: int) -> KMeans:
    # half a second of a first page
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings(), _one_thread():
        # equal images may leave clusters empty
        warnings.simplefilter("ignore", ConvergenceWarning)
        return KMeans(wanted, n_init=starts, random_state=seed).fit(points)


def _nearest(fitted: KMeans, points: np.ndarray) -> np.ndarray:
    with _one_thread():
        return fitted.predict(points)


def _one_thread() -> AbstractContextManager[Any]:
    """Keeps the calling thread's k-means from waking others, which wait for each other at every one of its many short
    steps: on two cores they save nothing, and on busy ones a band took three times as long. Other threads keep theirs:
    OpenMP counts for each."""
    return _pools().limit(limits=1, user_api="openmp")


@lru_cache(maxsize=1)
def _pools() -> Any:
    """The libraries with threads, looked for once scikit-learn is loaded."""
    from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

    return ThreadpoolController()


def _cluster(
    analysis: Analysis,
    band: np.ndarray,
    inside: np.ndarray,
    distances: np.ndarray,
    wrong: np.ndarray,
    top_count: int,
    top_total: int,
) -> Cluster:
    """inside: (b,) bool, which images of the band belong to it."""
    places = np.flatnonzero(inside)
    places = places[np.lexsort((band[places], distances[places]))]
    size, failed = len(places), int(wrong[places].sum())
    low, high = wilson(np.array(failed), np.array(size))
    ratio, ratio_low, ratio_high = lift(size, len(band), top_count, top_total)
    counts = np.bincount(analysis.labels[band[places]], minlength=analysis.k)
    order = [int(c) for c in np.argsort(-counts, kind="stable") if counts[c]]
    return Cluster(
        rows=band[places],
        size=size,
        share=size / len(band),
        lift=ratio,
        lift_low=ratio_low,
        lift_high=ratio_high,
        error_rate=failed / size,
        low=float(low),
        high=float(high),
        top_count=top_count,
        distances=distances[places].astype(np.float64),
        classes=tuple((analysis.classes[c], int(counts[c])) for c in order),
        traits=_traits(analysis, band, inside),
    )


def _traits(analysis: Analysis, band: np.ndarray, inside: np.ndarray) -> tuple[Trait, ...]:
    """Values of known attributes that are surely more common inside than elsewhere in the band, the clearest first."""
    found: list[tuple[float, Trait]] = []
    for attribute in analysis.attributes:
        codes = attribute.codes[band]
        known = codes >= 0
        here = np.bincount(codes[inside & known], minlength=len(attribute.values))
        there = np.bincount(codes[~inside & known], minlength=len(attribute.values))
        of_here, of_there = int(here.sum()), int(there.sum())
        if not of_here or not of_there:
            continue
        gains = share_gain(here, np.array(of_here), there, np.array(of_there), 0.975)
        found += [
            (
                float(gains[value]),
                Trait(attribute.name, attribute.values[value], here[value] / of_here, there[value] / of_there),
            )
            for value in np.flatnonzero(gains > 0).tolist()
        ]
    return tuple(trait for _, trait in sorted(found, key=lambda item: -item[0])[:MOST_TRAITS])
