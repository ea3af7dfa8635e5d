"""What a repair would give with the tags so far, in a fraction of a second and without a look at test.

The head is that of `mid` with fewer fits averaged. How good it is, is estimated on the held-out images themselves: they
are parted into folds, and each fold is predicted by a head fitted on the images chosen of the others. What their groups
are is guessed by the probe, with its doubt in the interval (estimates.py). Tags decide the group of the image tagged
and of no other: images are not tagged at random, but because they are odd.

Of features with many dimensions the probe sees the 256 in which they differ most, which are found once: its rounds are
most of a refit, and are several times as fast then. Heads are fitted in all dimensions. `python -m
benchmarks.bench_retraining --only live` compares this with a probe that sees all 2,048. Where variances fall with the
rank to the power of -1.5, the heads name 99.8% of test images alike, as many as those of two seeds, and the estimates
differ by up to 0.02. Where they fall more slowly, 94% to 98% are named alike (-1.25; two seeds 97% to 99%), or 90% to
91% (-1; two seeds 95%): there tags are learnt by heart in all dimensions, and the probe of few finds more of the
exceptions, so that what it estimates of the old head is nearer to test.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from core.classifiers.head import Head
from core.classifiers.softmax import Scaling
from core.concepts.discriminant import Discriminant, Outside
from core.concepts.tags import UNTAGGED
from core.errors import NotEnoughTags
from core.retraining.curation import Curation, curate, space_of
from core.retraining.estimates import GuessedGroups, estimated_evaluation, guessed_groups
from core.retraining.evaluation import Evaluation
from core.retraining.fitting import fit_balanced
from core.retraining.pool import ConceptTags, Pool
from core.retraining.threads import pinned_threads

FOLDS = 2
# dimensions that the probe sees of many, images that tell which, and how often they are asked
DIMENSIONS, LOOKED_AT, ITERATIONS = 256, 3_000, 2
# share of the images that may still go to and fro between rounds of the probe: half of the rounds move fewer
SETTLED = 0.001
# fits averaged for the head of a fold, and for that of all: fewer than a repair averages, so that the estimate errs
# on the low side
FOLD_REFITS, REFITS = 2, 3


@dataclass(frozen=True, eq=False)
class LiveGround:
    """What refits have in common as long as the same images may be used.

    seen: the pool that the probe sees, with few dimensions of many. scaling: of the pool's eligible images.
    """

    pool: Pool
    seen: Pool
    space: Discriminant
    scaling: Scaling


def live_ground(pool: Pool, dimensions: int = DIMENSIONS) -> LiveGround:
    """dimensions: that the probe sees beside those of the classes' means; it sees all where features have no more than
    twice as many."""
    if pool.features.shape[1] <= 2 * (dimensions + pool.k):
        space = space_of(pool, SETTLED)
        return LiveGround(pool, pool, space, space.scaling)
    features, outside = _in_few(pool, dimensions)
    seen = replace(pool, features=features)
    plain = Scaling(np.zeros(features.shape[1]), np.ones(features.shape[1]))
    return LiveGround(pool, seen, space_of(seen, SETTLED, plain, outside), pool.scaling)


def _in_few(pool: Pool, dimensions: int) -> tuple[np.ndarray, Outside]:
    """Scaled features along the directions in which they differ most, and along the classes' means: (m, q) float32; and
    what they leave out. By subspace iteration from random directions, always the same ones (Halko et al. 2011, "Finding
    structure with randomness").
    """
    scaled = pool.scaling.apply(pool.features)
    rows = np.flatnonzero(pool.eligible)
    some = scaled[rows[:: -(-len(rows) // LOOKED_AT)]]
    found = np.random.default_rng(0).standard_normal((scaled.shape[1], dimensions), dtype=np.float32)
    for _ in range(ITERATIONS):
        found = np.linalg.qr(some.T @ (some @ found))[0]
    of = pool.labels[rows]
    means = np.stack([scaled[rows[of == c]].mean(axis=0) for c in np.unique(of)], axis=1)
    basis = np.linalg.qr(np.concatenate([means, found], axis=1))[0]
    features = scaled @ basis
    squares = np.einsum("ij,ij->i", scaled, scaled) - np.einsum("ij,ij->i", features, features)
    return features, Outside(len(basis) - basis.shape[1], np.maximum(squares, 0).astype(np.float64))


@dataclass(frozen=True, eq=False)
class LiveEstimate:
    """head: as a repair would fit it now. before, after: the old head and such a one on held-out images that it was not
    fitted on; both estimated. curation: what it was fitted on."""

    head: Head
    before: Evaluation
    after: Evaluation
    curation: Curation

    @property
    def sentence(self) -> str:
        low, high = self.after.worst_interval
        gain = self.after.worst_group - self.before.worst_group
        verb = "stay at" if abs(gain) < 0.005 else "rise from" if gain > 0 else "fall from"
        change = f"about {self.after.worst_group:.0%}"
        if verb != "stay at":
            change = f"{self.before.worst_group:.0%} to {change}"
        return (
            f"Repaired with the tags so far, the worst group would {verb} {change} (95% interval {low:.0%} to "
            f"{high:.0%}). Estimated on held-out images whose groups a probe guesses; test is not looked at."
        )


def live_estimate(ground: LiveGround, concepts: Sequence[ConceptTags], *, seed: int = 0) -> LiveEstimate:
    """Refit and estimate. The same tags and seed give the same. Raises `NotEnoughTags` as `curate` does."""
    # beside pages that want the other cores, and no faster with more for products as small as these
    with pinned_threads(1):
        return _estimate(ground, concepts, seed)


def _estimate(ground: LiveGround, concepts: Sequence[ConceptTags], seed: int) -> LiveEstimate:
    pool, rng = ground.pool, np.random.default_rng(seed)
    curation = curate(ground.seen, concepts, rng=rng, space=ground.space)
    if curation.probe is None:
        raise NotEnoughTags(
            "Every class shows the concept always or never among the images tagged so far.",
            next_step="Tag images that break the rule: the lowest logits of each class hold most of them.",
        )
    head = fit_balanced(pool, curation.positions, curation.groups, rng=rng, refits=REFITS, scaling=ground.scaling)
    held_out = np.flatnonzero(pool.eligible)
    labels = pool.labels[held_out]
    groups = _guessed(ground.seen, curation, concepts, held_out)
    train = np.zeros(groups.grouping.count, dtype=np.int64)
    old = pool.logits[held_out].argmax(axis=1)
    new = _cross_fitted(ground, curation, rng)[held_out]
    return LiveEstimate(
        head=head,
        before=estimated_evaluation(old, labels, groups, train, pool.split, seed=seed),
        after=estimated_evaluation(new, labels, groups, train, pool.split, seed=seed),
        curation=curation,
    )


def _cross_fitted(ground: LiveGround, curation: Curation, rng: np.random.Generator) -> np.ndarray:
    """What heads say of images that they were not fitted on: (m,) int64 classes; -1 where an image is not eligible."""
    pool = ground.pool
    # a few of each group in every fold; those not chosen have none and are parted by class
    stratum = -1 - pool.labels
    stratum[curation.positions] = curation.groups
    mixed = rng.permutation(len(pool))
    fold = np.empty(len(pool), dtype=np.int64)
    fold[mixed[np.argsort(stratum[mixed], kind="stable")]] = np.arange(len(pool)) % FOLDS
    predicted = np.full(len(pool), -1, dtype=np.int64)
    for i in range(FOLDS):
        others = fold[curation.positions] != i
        held = np.flatnonzero(pool.eligible & (fold == i))
        head = fit_balanced(
            pool,
            curation.positions[others],
            curation.groups[others],
            rng=rng,
            refits=FOLD_REFITS,
            scaling=ground.scaling,
        )
        predicted[held] = head.logits(pool.features[held]).argmax(axis=1)
    return predicted


def _guessed(pool: Pool, curation: Curation, concepts: Sequence[ConceptTags], held_out: np.ndarray) -> GuessedGroups:
    """Groups of the held-out images, with no tag speaking for any image but its own."""
    if curation.probe is None:
        raise ValueError("groups are guessed by a probe")
    features, labels = pool.features[held_out], pool.labels[held_out]
    states = np.stack([concept.states[held_out] for concept in concepts], axis=1)
    groups = guessed_groups(
        curation.probe,
        features,
        labels,
        # a tag that contradicts the others beyond doubt says no more here than in the fit
        np.where(np.isin(pool.rows[held_out], curation.doubtful)[:, None], UNTAGGED, states),
        pool.classes,
        [concept.name for concept in concepts],
        reference_features=features,
        reference_labels=labels,
        held_out=curation.probe_accuracy,
    )
    # apart from the others: tags were asked for of odd images
    return replace(groups, guessed=np.where(groups.told >= 0, groups.chances.shape[1] + groups.told, groups.guessed))
