"""Group DRO on the last layer: Sagawa, Koh, Hashimoto & Liang 2020 (arXiv:1911.08731)."""

from __future__ import annotations

import numpy as np

from core.classifiers.head import Head
from core.classifiers.softmax import softmax_regression
from core.progress import Progress
from core.retraining.curated import Grouped, grouped, groups_knob
from core.retraining.fitting import pull
from core.retraining.interface import Fitted, Knob, Material, Settings

# of the pull, 0.02 does better than 0.1 and 0.5 on birds, shapes and digits alike (tuning seeds)
L2 = 0.02
ROUNDS = 60
STEP = 0.5
# of a group, images taken at most: more change little and cost time
LARGEST_GROUP = 1024

KNOBS = (
    groups_knob("concepts"),
    pull(L2),
    Knob(
        "step",
        "Step of the group weights",
        STEP,
        0.001,
        10.0,
        help="How fast groups with a high loss gain weight from round to round.",
    ),
    Knob(
        "rounds",
        "Rounds",
        ROUNDS,
        1,
        1000,
        help="How often the weights of the groups are moved and the head is fitted again.",
    ),
    Knob(
        "adjustment",
        "Adjustment for small groups",
        0.0,
        0.0,
        20.0,
        help="Adds this number over the root of a group's size to its loss, since small groups generalise worse.",
    ),
)


def fit_group_dro(material: Material, settings: Settings, rng: np.random.Generator, progress: Progress) -> Fitted:
    """The head with the smallest loss of its worst group: min over heads of max over group weights q of
    sum_g q_g loss_g + penalty.

    Algorithm 1 there: q_g grows by exp(step * loss_g) and the model takes a step on the q-weighted loss. What differs:
    whole groups in place of minibatches, and the last layer is solved to the end for each q where they take one
    gradient step, which gives the exact gradient of a concave function of q. Their strong penalty (section 3.2),
    without which group DRO gains nothing, is the pull towards the old head; `adjustment` is theirs of section 3.3.
    """
    given = grouped(material, settings["groups"], rng, method="Group DRO")
    pool, rounds = material.pool, int(settings["rounds"])
    found, group = np.unique(given.groups, return_inverse=True)
    taken = np.concatenate([rng.permutation(np.flatnonzero(group == g))[:LARGEST_GROUP] for g in range(len(found))])
    sizes = np.bincount(group)
    group, chosen = group[taken], given.positions[taken]
    scaling = pool.scaling
    x, labels = scaling.apply(pool.features[chosen]), pool.labels[chosen]
    counts = np.bincount(group)
    old = scaling.unfold(pool.head)
    q = np.full(len(found), 1 / len(found))
    head: Head = old
    best, lowest = old, np.inf
    for step in range(rounds):
        progress(step, rounds, "Fitting with the worst groups weighing more")
        head = softmax_regression(
            x, labels, (q / counts)[group], classes=pool.k, l2=settings["pull"], towards=old, start=head
        )
        losses = np.bincount(group, weights=_losses(head, x, labels)) / counts
        losses += settings["adjustment"] / np.sqrt(sizes)
        height = float(losses.max()) + settings["pull"] / 2 * float(((head.weight - old.weight) ** 2).sum())
        if height < lowest:
            best, lowest = head, height
        q = q * np.exp(settings["step"] * (losses - losses.max()))
        q /= q.sum()
    progress(rounds, rounds)
    return Fitted(
        scaling.fold(best),
        given.curation,
        chosen={"weights": dict(zip(_names(material, given, found), q.tolist(), strict=True))},
    )


def _losses(head: Head, x: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Cross-entropy of each image: (n,) float64."""
    logits = head.logits(x).astype(np.float64)
    highest = logits.max(axis=1)
    return np.log(np.exp(logits - highest[:, None]).sum(axis=1)) + highest - logits[np.arange(len(x)), labels]


def _names(material: Material, given: Grouped, found: np.ndarray) -> list[str]:
    """One name per group that occurs, as a person reads it."""
    if given.curation is not None:
        pairs = [(size.class_name, size.concept) for size in given.curation.sizes]
    else:
        pairs = [material.known.name(int(group)) for group in found] if material.known is not None else []
    return [f"{name} · {pattern}" for name, pattern in pairs]
