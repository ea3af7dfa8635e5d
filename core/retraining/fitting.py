"""Fits that several methods share: on weighted images, and on balanced subsets whose heads are averaged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from core.classifiers.head import Head
from core.classifiers.softmax import Scaling, softmax_regression
from core.concepts.probes import cell_weights
from core.progress import Progress, silent
from core.retraining.interface import Knob
from core.retraining.pool import Pool
from core.retraining.threads import pinned_threads

# strength of the pull towards the old head, in standardised space; see softmax.py for the convention
L2 = 0.1
# the same where groups are balanced, as `mid` does. What holds the fit back there is the smallest group, of 12 to 19
# images: on shapes and digits a pull of 0.02 leaves a twentieth of the gap to oracle DFR, 0.04 a tenth; on birds 0.005
# and 0.02 do as well (benchmarks/bench_tagging.py, tuning seeds)
BALANCED_L2 = 0.005
# fits on random balanced subsets that are averaged; fewer leave the worst group to the luck of the draw
REFITS = 20
# larger subsets vary less: fewer of them do
FEWEST_REFITS = 5
LARGEST_SUBSET = 256
# images of each group in a subset, where the smallest group has fewer
SUBSET = 30


def pull(default: float) -> Knob:
    """The knob that most methods have: how far the new head may go from the old one."""
    return Knob(
        "pull",
        "Pull towards the old head",
        default,
        1e-5,
        1e3,
        help="A stronger pull keeps the new head close to the old one: safer with few images, and it changes less.",
    )


def fit_towards(
    pool: Pool, positions: np.ndarray, weights: np.ndarray, *, l2: float = L2, scaling: Scaling | None = None
) -> Head:
    """Softmax regression on some of the pool's images, pulled towards the old head.

    positions: (c,) int. weights: (c,) float. scaling: None means that of the pool.
    """
    scaling = scaling or pool.scaling
    fitted = softmax_regression(
        scaling.apply(pool.features[positions]),
        pool.labels[positions],
        weights,
        classes=pool.k,
        l2=l2,
        towards=scaling.unfold(pool.head),
    )
    return scaling.fold(fitted)


def fit_balanced(
    pool: Pool,
    positions: np.ndarray,
    groups: np.ndarray,
    *,
    rng: np.random.Generator,
    l2: float = BALANCED_L2,
    refits: int | None = None,
    smallest: int = SUBSET,
    largest: int = LARGEST_SUBSET,
    pulled: bool = True,
    scaling: Scaling | None = None,
) -> Head:
    """The mean of heads fitted on random subsets in which the groups are equally large, as DFR does.

    positions: (c,) int in the pool. groups: (c,) int. In each subset a group has as many images as the smallest group,
    or `smallest` where that is more, and never more than `largest`; groups that have fewer weigh as much as the others.
    refits: None means 20, fewer where the subsets are large. pulled: towards the old head; towards zero instead costs
    much where there are many classes and few images of each. scaling: None means that of the pool.

    One fit on all images, the few of a minority weighted up, learns those few by heart and the many not; in subsets it
    learns all alike, and the mean forgets what each learnt by heart.
    """
    scaling = scaling or pool.scaling
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    size = min(max(smallest, min(len(group) for group in members)), largest)
    refits = refits or int(np.clip(REFITS * SUBSET / size, FEWEST_REFITS, REFITS))
    towards = scaling.unfold(pool.head) if pulled else None
    subsets = [
        np.concatenate([rng.choice(group, min(size, len(group)), replace=False) for group in members])
        for _ in range(refits)
    ]

    def fit_one(subset: np.ndarray) -> Head:
        chosen = positions[subset]
        return softmax_regression(
            scaling.apply(pool.features[chosen]),
            pool.labels[chosen],
            cell_weights(groups[subset]),
            classes=pool.k,
            l2=l2,
            towards=towards,
            # errors of single fits average out
            tolerance=1e-4,
        )

    return scaling.fold(mean_head(fit_one, subsets))


def mean_head(
    fit_one: Callable[[np.ndarray], Head], subsets: Sequence[np.ndarray], progress: Progress = silent
) -> Head:
    """The mean of the heads fitted on each of some subsets.

    Two are fitted at a time, whatever the machine, each with one thread: libraries that share every small product among
    threads take many times as long. The mean does not depend on who is first.
    """
    total: list[np.ndarray] = []
    with pinned_threads(1), ThreadPoolExecutor(max_workers=2, thread_name_prefix="fitting") as workers:
        for step, head in enumerate(workers.map(fit_one, subsets), start=1):
            parts = [part.astype(np.float64) / len(subsets) for part in (head.weight, head.bias)]
            total = [sum_ + part for sum_, part in zip(total, parts, strict=True)] if total else parts
            progress(step, len(subsets))
    weight, bias = total
    return Head(weight.astype(np.float32), bias.astype(np.float32))
