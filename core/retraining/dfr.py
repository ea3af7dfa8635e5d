"""Deep feature reweighting: Kirichenko, Izmailov & Wilson 2022 (arXiv:2204.02937)."""

from __future__ import annotations

import numpy as np

from core.classifiers.head import Head
from core.classifiers.softmax import Scaling, standardise
from core.classifiers.sparse import sparse_regression
from core.concepts.probes import cell_weights
from core.progress import Progress
from core.retraining.curated import CHECK_REFITS, Grouped, grouped, groups_knob
from core.retraining.fitting import fit_balanced, mean_head
from core.retraining.interface import Fitted, Knob, Material, Settings
from core.retraining.pool import Pool
from core.retraining.threads import pinned_threads

# inverse strengths tried, of the summed loss, as published
C_TRIED = (1.0, 0.7, 0.3, 0.1, 0.07, 0.03, 0.01)
# L2: strengths tried, of the mean loss
L2_TRIED = (1.0, 0.3, 0.1, 0.03, 0.01)
# L2: random partings in two halves that the strength is tuned over
PARTINGS = 2
# images of each group in a subset, where the smallest group has fewer: subsets of a few images teach nothing
SMALLEST = 10
REFITS = 10
# entries of features that are laid out anew at a time
_TURNED = 128_000

KNOBS = (
    Knob(
        "penalty",
        "Penalty",
        "l1",
        choices=("l1", "l2"),
        help="l1 is the published protocol and uses few features; l2 uses all, tuned over several partings.",
    ),
    Knob(
        "strength",
        "Inverse strength C",
        0.0,
        0.0,
        1e4,
        help="Smaller values hold the new head back more; 0 tries seven and keeps the best on half of the images.",
    ),
    Knob(
        "refits",
        "Fits to average",
        REFITS,
        1,
        200,
        help="How many heads, each fitted on its own random balanced subset, are averaged.",
    ),
    groups_knob("attribute"),
)


def fit_dfr(material: Material, settings: Settings, rng: np.random.Generator, progress: Progress) -> Fitted:
    """Averaged fits on group-balanced subsets of the held-out images (section 4 and appendix B there).

    As published: a random half of the held-out images is cut to equal groups, standardised and fitted with an L1
    penalty of seven strengths; the one with the best worst group on the other half counts; then ten heads are fitted on
    random balanced subsets of all held-out images and averaged. What differs: halves are drawn group by group, so that
    no group is missing in one of them; groups of fewer than ten images are taken whole and weighted up, where the
    authors would cut every other group to their size; more than two classes are fitted jointly, not one against the
    rest; features of the last fits are standardised over the held-out images, not train. The intercept is penalised
    like a weight, as theirs is by liblinear.

    penalty "l2" is our own variant: L2, and the strength tuned over two partings, both ways round.
    """
    given = grouped(material, settings["groups"], rng, method="DFR")
    if settings["penalty"] == "l2":
        return _fit_l2(material.pool, given, settings, rng, progress)
    return _fit_l1(material.pool, given, settings, rng, progress)


def _fit_l1(pool: Pool, given: Grouped, settings: Settings, rng: np.random.Generator, progress: Progress) -> Fitted:
    refits = int(settings["refits"])
    steps = refits + 1
    progress(0, steps, "Tuning the penalty on half of the held-out images")
    tried: tuple[dict[str, float], ...] = ()
    best = float(settings["strength"])
    if not best:
        with pinned_threads(1):
            best, tried = _tuned(pool, given, rng)
    scaling = pool.scaling
    subsets = [np.sort(balanced(given.groups, rng)) for _ in range(refits)]
    if all(np.array_equal(subset, subsets[0]) for subset in subsets):
        # groups of the same size are taken whole, every time
        subsets = subsets[:1]
    # what the fits share is standardised once
    occurring = np.unique(np.concatenate(subsets))
    place = np.zeros(len(given.positions), dtype=np.int64)
    place[occurring] = np.arange(len(occurring))
    shared = _laid_out(pool.features[given.positions[occurring]], scaling)

    def fit_one(subset: np.ndarray) -> Head:
        (head,) = sparse_regression(
            np.take(shared, place[subset], axis=1).T,
            pool.labels[given.positions[subset]],
            cell_weights(given.groups[subset]),
            classes=pool.k,
            l1=[1 / (best * len(subset))],
            bias=False,
            # errors of single fits average out
            tolerance=0.05,
        )
        return head

    head = mean_head(
        fit_one, subsets, lambda done, total, message="": progress(1 + done, steps, "Fitting on balanced subsets")
    )
    progress(steps, steps)
    return Fitted(
        scaling.fold(_with_bias(head)),
        given.curation,
        notes=(f"DFR balanced {len(np.unique(given.groups))} groups; L1 with C = {best:g}, {refits} fits averaged.",),
        chosen={"strength": best},
        tried=tried,
    )


def _tuned(pool: Pool, given: Grouped, rng: np.random.Generator) -> tuple[float, tuple[dict[str, float], ...]]:
    """The strength whose worst group is best on images not fitted on, the weakest among equals, and all tried."""
    (first, second), _ = halves(given.groups, rng)
    subset = first[balanced(given.groups[first], rng)]
    chosen, held = given.positions[subset], given.positions[second]
    scaling = standardise(pool.features[chosen])
    heads = sparse_regression(
        _laid_out(pool.features[chosen], scaling).T,
        pool.labels[chosen],
        cell_weights(given.groups[subset]),
        classes=pool.k,
        l1=[1 / (c * len(subset)) for c in C_TRIED],
        bias=False,
        tolerance=0.02,
    )
    features, labels = scaling.apply(pool.features[held]), pool.labels[held]
    tried = []
    for c, head in zip(C_TRIED, heads, strict=True):
        right = _with_bias(head).logits(features).argmax(axis=1) == labels
        worst, mean = _worst_and_mean(right, given.groups[second])
        tried.append({"strength": c, "worst_group": worst, "group_average": mean})
    best = max(tried, key=lambda line: line["worst_group"])
    return best["strength"], tuple(tried)


def _laid_out(features: np.ndarray, scaling: Scaling) -> np.ndarray:
    """(n, d) features scaled as the fits take them, feature by feature, and a constant for the intercept: (d + 1, n)
    float32."""
    n, d = features.shape
    rows = np.empty((d + 1, n), dtype=np.float32)
    rows[d] = 1
    # as many at a time as stay in the processor's cache while they are turned
    step = max(16, _TURNED // d)
    for start in range(0, n, step):
        rows[:d, start : start + step] = scaling.apply(features[start : start + step]).T
    return rows


def _with_bias(head: Head) -> Head:
    """The weights of the constant as the bias."""
    return Head(np.ascontiguousarray(head.weight[:, :-1]), head.bias + head.weight[:, -1])


def balanced(groups: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Positions of as many images of each group as the smallest has, or ten; smaller groups whole. groups: (n,) int."""
    parts = members(groups)
    size = max(SMALLEST, min(len(part) for part in parts))
    return np.concatenate([rng.permutation(part)[:size] for part in parts])


def members(groups: np.ndarray) -> list[np.ndarray]:
    """Positions of each group that occurs."""
    return [np.flatnonzero(groups == group) for group in np.unique(groups)]


def _fit_l2(pool: Pool, given: Grouped, settings: Settings, rng: np.random.Generator, progress: Progress) -> Fitted:
    steps = len(L2_TRIED) + 1
    progress(0, steps, "Tuning the penalty on half of the held-out images")
    best, tried = 0.0, []
    if settings["strength"]:
        best = 1 / float(settings["strength"])
    else:
        partings = [pair for _ in range(PARTINGS) for pair in halves(given.groups, rng)]
        for step, l2 in enumerate(L2_TRIED, start=1):
            worst, mean = _score(pool, given, partings, l2, rng)
            tried.append({"strength": 1 / l2, "worst_group": worst, "group_average": mean})
            progress(step, steps)
        # the mean over groups decides between equal minima
        found = max(tried, key=lambda line: (line["worst_group"], line["group_average"]))
        best = 1 / found["strength"]
    head = fit_balanced(
        pool,
        given.positions,
        given.groups,
        rng=rng,
        l2=best,
        refits=int(settings["refits"]),
        smallest=SMALLEST,
        pulled=False,
    )
    progress(steps, steps)
    return Fitted(
        head,
        given.curation,
        notes=(f"DFR balanced the groups; L2 penalty {best:g}, fits on balanced subsets averaged.",),
        chosen={"strength": 1 / best},
        tried=tuple(tried),
    )


Halves = tuple[np.ndarray, np.ndarray]


def halves(groups: np.ndarray, rng: np.random.Generator) -> tuple[Halves, Halves]:
    """One random parting, every group halved: to fit on the first and try on the second, and the other way round."""
    first, second = [], []
    for part in members(groups):
        mixed = rng.permutation(part)
        first.append(mixed[: (len(mixed) + 1) // 2])
        second.append(mixed[(len(mixed) + 1) // 2 :])
    one, two = np.concatenate(first), np.concatenate(second)
    return (one, two), (two, one)


def _score(
    pool: Pool, given: Grouped, partings: list[Halves], l2: float, rng: np.random.Generator
) -> tuple[float, float]:
    """Worst-group accuracy of DFR with this penalty on images not fitted on, and the mean over groups."""
    tried = np.concatenate([second for _, second in partings])
    right = []
    for first, second in partings:
        head = fit_balanced(
            pool,
            given.positions[first],
            given.groups[first],
            rng=rng,
            l2=l2,
            refits=CHECK_REFITS,
            smallest=SMALLEST,
            pulled=False,
        )
        held = given.positions[second]
        right.append(head.logits(pool.features[held]).argmax(axis=1) == pool.labels[held])
    return _worst_and_mean(np.concatenate(right), given.groups[tried])


def _worst_and_mean(right: np.ndarray, groups: np.ndarray) -> tuple[float, float]:
    accuracies = [float(right[groups == group].mean()) for group in np.unique(groups)]
    return min(accuracies), float(np.mean(accuracies))
