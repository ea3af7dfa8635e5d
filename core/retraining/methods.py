"""The ways to fit a new last layer, behind one interface.

    mid             our default: tags of the middle of the range, a probe, groups balanced (curation.py)
    mid-tags        the same without the probe: tagged mid-range images and the assumed majority only
    dfr             deep feature reweighting with known groups: an oracle where a dataset has attributes
    afr             automatic feature reweighting: images the old head is unsure about weigh more
    self            class-balanced fit on the images the old head gets wrong, or nearly
    class-balanced  every class weighs the same
    erm             the old head, unchanged

All fits are softmax regression on features standardised over the held-out images, pulled towards the old head, and
folded back; nothing here needs the network.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from core.classifiers.head import Head
from core.classifiers.softmax import softmax, softmax_regression, standardise
from core.concepts.probes import cell_weights
from core.errors import BadRequest, EmptyGroup, NotFound
from core.progress import Progress, silent
from core.retraining.curation import Curation, curate, curate_without_tags
from core.retraining.groups import Grouping
from core.retraining.pool import ConceptTags, Pool

# strength of the pull towards the old head, in standardised space; see softmax.py for the convention
L2 = 0.1
# the same where groups are balanced, as `mid` does. What holds the fit back there is the smallest group, of 12 to 19
# images: on shapes and digits a pull of 0.02 leaves a twentieth of the gap to oracle DFR, 0.04 a tenth; on birds 0.005
# and 0.02 do as well (benchmarks/bench_tagging.py, tuning seeds)
BALANCED_L2 = 0.005
# DFR: strengths tried
DFR_L2 = (1.0, 0.3, 0.1, 0.03, 0.01)
# random partings in two halves that the strength is tuned over: in one alone the rarest group has too few images
DFR_PARTINGS = 2
# images of each group in a subset, where the smallest group has fewer: subsets of a few images teach nothing
DFR_SMALLEST = 10
# fits on random balanced subsets that are averaged; fewer leave the worst group to the luck of the draw
REFITS = 20
# larger subsets vary less: fewer of them do
FEWEST_REFITS = 5
LARGEST_SUBSET = 256
# images of each group in a subset, where the smallest group has fewer
SUBSET = 30
# of the way from guessing to perfect, what a head has to get right on held-out images for a repair to be promising:
# features without the class stay below it (the groups are guesses too), those with an oracle worth having above
LITTLE = 0.25
# fits averaged where a figure is wanted and not a head
CHECK_REFITS = 5
# AFR: how much more an image weighs the less likely the old head finds its class
AFR_GAMMA = 4.0
# SELF: images taken per image that the old head gets wrong; with fewer right ones among them the head turns over
SELF_TIMES_WRONG = 3
SELF_L2 = 1.0


@dataclass(frozen=True, eq=False)
class Material:
    """What a method may use. pool: held-out images. concepts: tags on them. known: groups of the pool's images by a
    known attribute, None where the dataset has none; for `dfr` only."""

    pool: Pool
    concepts: tuple[ConceptTags, ...] = ()
    known: Grouping | None = None


@dataclass(frozen=True, eq=False)
class Fitted:
    """head: the new last layer, for features as the network gives them. notes: sentences for a person."""

    head: Head
    curation: Curation | None = None
    notes: tuple[str, ...] = ()


Fit = Callable[[Material, np.random.Generator, Progress], Fitted]


@dataclass(frozen=True)
class Method:
    """needs: "tags", "attributes" or "". source: where it is from."""

    name: str
    title: str
    description: str
    needs: str
    source: str
    fit: Fit

    def to_dict(self) -> dict[str, str]:
        return {
            "method": self.name,
            "title": self.title,
            "description": self.description,
            "needs": self.needs,
            "source": self.source,
        }


def get_method(name: str) -> Method:
    """Raises `NotFound` listing the methods."""
    if name not in METHODS:
        raise NotFound(f"There is no method “{name}”.", next_step=f"Use one of: {', '.join(METHODS)}.")
    return METHODS[name]


def fit(method: str, material: Material, *, rng: np.random.Generator, progress: Progress = silent) -> Fitted:
    """Fit a head by a method's name. Raises `NotFound`, `NotEnoughTags`, `BadRequest` or `EmptyGroup`."""
    return get_method(method).fit(material, rng, progress)


def fit_towards(pool: Pool, positions: np.ndarray, weights: np.ndarray, *, l2: float = L2) -> Head:
    """Softmax regression on some of the pool's images, pulled towards the old head.

    positions: (c,) int. weights: (c,) float. Standardised over the whole pool, not only the images chosen: the chosen
    ones are few and odd, and their statistics would bend the space.
    """
    scaling = standardise(pool.features[pool.eligible])
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
    pulled: bool = True,
) -> Head:
    """The mean of heads fitted on random subsets in which the groups are equally large, as DFR does.

    positions: (c,) int in the pool. groups: (c,) int. In each subset a group has as many images as the smallest group,
    or `smallest` where that is more, and never more than 256; groups that have fewer weigh as much as the others.
    refits: None means 20, fewer where the subsets are large. pulled: towards the old head; towards zero instead costs
    much where there are many classes and few images of each.

    One fit on all images, the few of a minority weighted up, learns those few by heart and the many not; in subsets it
    learns all alike, and the mean forgets what each learnt by heart.
    """
    scaling = standardise(pool.features[pool.eligible])
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    size = min(max(smallest, min(len(group) for group in members)), LARGEST_SUBSET)
    refits = refits or int(np.clip(REFITS * SUBSET / size, FEWEST_REFITS, REFITS))
    towards = scaling.unfold(pool.head) if pulled else None
    weight, bias = np.zeros((pool.k, pool.features.shape[1])), np.zeros(pool.k)
    for _ in range(refits):
        subset = np.concatenate([rng.choice(group, min(size, len(group)), replace=False) for group in members])
        chosen = positions[subset]
        fitted = softmax_regression(
            scaling.apply(pool.features[chosen]),
            pool.labels[chosen],
            cell_weights(groups[subset]),
            classes=pool.k,
            l2=l2,
            towards=towards,
            # errors of single fits average out
            tolerance=1e-4,
        )
        weight += fitted.weight / refits
        bias += fitted.bias / refits
    return scaling.fold(Head(weight.astype(np.float32), bias.astype(np.float32)))


def _mid(material: Material, rng: np.random.Generator, progress: Progress) -> Fitted:
    return _curated(material, rng, progress, use_probe=True)


def _mid_tags(material: Material, rng: np.random.Generator, progress: Progress) -> Fitted:
    return _curated(material, rng, progress, use_probe=False)


def _curated(material: Material, rng: np.random.Generator, progress: Progress, *, use_probe: bool) -> Fitted:
    if not material.concepts:
        raise BadRequest(
            "This method repairs what tagged concepts point at, and no concept was chosen.",
            next_step="Create a concept, tag images with it, and choose it for the retraining.",
        )
    progress(0, 2, "Curating: from the tags to a balanced set")
    curation = curate(material.pool, material.concepts, rng=rng, use_probe=use_probe)
    progress(1, 2, f"Fitting the last layer on {len(curation.positions)} images")
    head = fit_balanced(material.pool, curation.positions, curation.groups, rng=rng)
    warnings = check_features(material.pool, curation, rng=rng)
    progress(2, 2)
    return Fitted(head, curation, warnings)


def fit_without_tags(pool: Pool, *, rng: np.random.Generator) -> Fitted:
    """The baseline "no person": `mid` with assumptions in place of answers (`curate_without_tags`)."""
    curation = curate_without_tags(pool)
    # its positions are those of the eligible images
    head = fit_balanced(pool.only_eligible(), curation.positions, curation.groups, rng=rng)
    return Fitted(head, curation)


def check_features(pool: Pool, curation: Curation, *, rng: np.random.Generator) -> tuple[str, ...]:
    """Whether the features can carry a repair at all: a sentence when they can hardly.

    A head is fitted on half of the curated images and tried on the other half, both ways round, with two partings. If
    the mean of its group accuracies is near guessing, the features hold little of the classes but the concept, and no
    last layer helps.
    """
    groups = np.unique(curation.groups)
    accuracies = []
    for _ in range(2):
        fold = np.empty(len(curation.positions), dtype=np.int64)
        for group in groups:
            members = rng.permutation(np.flatnonzero(curation.groups == group))
            fold[members] = np.arange(len(members)) % 2
        right = np.zeros(len(fold), dtype=bool)
        for half in (0, 1):
            training, held = fold != half, fold == half
            if len(np.unique(curation.labels[training])) < pool.k:
                return ()
            head = fit_balanced(
                pool, curation.positions[training], curation.groups[training], rng=rng, refits=CHECK_REFITS
            )
            guesses = head.logits(pool.features[curation.positions[held]]).argmax(axis=1)
            right[held] = guesses == curation.labels[held]
        accuracies += [right[curation.groups == group].mean() for group in groups]
    mean, chance = float(np.mean(accuracies)), 1 / pool.k
    if mean > chance + LITTLE * (1 - chance):
        return ()
    return (
        f"The features hold little of the classes beyond the concept: balanced over the groups, a new head gets "
        f"{mean:.0%} of the held-out images right, and guessing gets {chance:.0%}. No last layer can repair that; the "
        f"network itself would have to be trained on other data.",
    )


def _dfr(material: Material, rng: np.random.Generator, progress: Progress) -> Fitted:
    """Kirichenko et al. 2022 (arXiv:2204.02937): averaged fits on group-balanced subsets of the held-out images.

    As published but for the penalty: L2 where they use L1, and heads start from zero, not from the old one. The
    strength is tuned by worst-group accuracy on one half after fitting on the other, over a few partings.
    """
    if material.known is None:
        raise BadRequest(
            "DFR needs the group of every held-out image, and this dataset has no known attribute.",
            next_step="Use the method mid, which asks for a few dozen tags instead, or add an attribute column to "
            "metadata.csv.",
        )
    pool, groups = material.pool, material.known.codes
    known = np.flatnonzero(pool.eligible & (groups >= 0))
    absent = np.setdiff1d(np.arange(pool.k), pool.labels[known])
    if len(absent):
        raise EmptyGroup(
            f"DFR needs held-out images with a known group of every class; {pool.classes[absent[0]]} has none.",
            next_step="Use the method mid, or complete the attribute column of metadata.csv.",
        )
    progress(0, len(DFR_L2) + 1, "Tuning the penalty on half of the held-out images")
    halves = [halves for _ in range(DFR_PARTINGS) for halves in _halves(known, groups, rng)]
    scores = {}
    for step, l2 in enumerate(DFR_L2, start=1):
        scores[l2] = _score(pool, groups, halves, l2, rng)
        progress(step, len(DFR_L2) + 1)
    best = max(scores, key=lambda l2: scores[l2])
    head = fit_balanced(pool, known, groups[known], rng=rng, l2=best, smallest=DFR_SMALLEST, pulled=False)
    progress(len(DFR_L2) + 1, len(DFR_L2) + 1)
    return Fitted(
        head, notes=(f"DFR used every held-out group label; penalty {best:g}, fits on balanced subsets averaged.",)
    )


Halves = tuple[np.ndarray, np.ndarray]


def _halves(positions: np.ndarray, groups: np.ndarray, rng: np.random.Generator) -> tuple[Halves, Halves]:
    """One random parting, every group halved: to fit on the first and try on the second, and the other way round."""
    first, second = [], []
    for group in np.unique(groups[positions]):
        members = rng.permutation(positions[groups[positions] == group])
        first.append(members[: (len(members) + 1) // 2])
        second.append(members[(len(members) + 1) // 2 :])
    one, two = np.concatenate(first), np.concatenate(second)
    return (one, two), (two, one)


def _score(
    pool: Pool, groups: np.ndarray, halves: list[Halves], l2: float, rng: np.random.Generator
) -> tuple[float, float]:
    """Worst-group accuracy of DFR with this penalty on images not fitted on, then the mean over groups, which decides
    between equal minima."""
    tried = np.concatenate([second for _, second in halves])
    right = []
    for first, second in halves:
        head = fit_balanced(
            pool, first, groups[first], rng=rng, l2=l2, refits=CHECK_REFITS, smallest=DFR_SMALLEST, pulled=False
        )
        right.append(head.logits(pool.features[second]).argmax(axis=1) == pool.labels[second])
    hits = np.concatenate(right)
    accuracies = [float(hits[groups[tried] == group].mean()) for group in np.unique(groups[tried])]
    return min(accuracies), float(np.mean(accuracies))


def _afr(material: Material, rng: np.random.Generator, progress: Progress) -> Fitted:
    """Qiu et al. 2023 (arXiv:2306.11074): weights beta_y exp(-gamma p_y), p_y the old head's probability of the true
    class, beta balancing the classes; the fit is pulled towards the old head.

    They tune gamma with group labels, which are not used here: it is fixed.
    """
    pool = material.pool.only_eligible()
    likely = softmax(pool.logits)[np.arange(len(pool)), pool.labels]
    weights = np.exp(-AFR_GAMMA * likely) * cell_weights(pool.labels)
    return Fitted(fit_towards(pool, np.arange(len(pool)), weights))


def _self(material: Material, rng: np.random.Generator, progress: Progress) -> Fitted:
    """LaBonte et al. 2023 (arXiv:2309.08534), misclassification SELF: a class-balanced fit on the held-out images with
    the highest loss, staying close to the old head. They tune how many and how close with group labels, which are not
    used here: both are fixed.
    """
    pool = material.pool.only_eligible()
    loss = -np.log(np.maximum(softmax(pool.logits)[np.arange(len(pool)), pool.labels], 1e-12))
    wrong = int((pool.logits.argmax(axis=1) != pool.labels).sum())
    chosen = np.argsort(-loss, kind="stable")[: max(SELF_TIMES_WRONG * wrong, 20 * pool.k)]
    return Fitted(
        fit_towards(pool, chosen, cell_weights(pool.labels[chosen]), l2=SELF_L2),
        notes=(f"SELF fitted on {len(chosen)} held-out images, of which the old head gets {wrong} wrong.",),
    )


def _class_balanced(material: Material, rng: np.random.Generator, progress: Progress) -> Fitted:
    pool = material.pool.only_eligible()
    return Fitted(fit_towards(pool, np.arange(len(pool)), cell_weights(pool.labels)))


def _erm(material: Material, rng: np.random.Generator, progress: Progress) -> Fitted:
    return Fitted(material.pool.head, notes=("The classifier as it is: nothing was retrained.",))


METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method(
            "mid",
            "Mid-range curation",
            "Your tags teach a probe to see the concept in every held-out image; the new last layer is fitted with "
            "every class and concept combination weighing the same.",
            "tags",
            "Our recipe after O'Mahony et al. 2025 (arXiv:2411.10019)",
            _mid,
        ),
        Method(
            "mid-tags",
            "Mid-range curation, tags only",
            "As mid without the probe: only the images you tagged and the surest half of each class are used.",
            "tags",
            "After O'Mahony et al. 2025 (arXiv:2411.10019)",
            _mid_tags,
        ),
        Method(
            "dfr",
            "DFR with known groups",
            "Balances the groups by an attribute the dataset knows of every image: what tags can be compared with.",
            "attributes",
            "Kirichenko et al. 2022 (arXiv:2204.02937)",
            _dfr,
        ),
        Method(
            "afr",
            "AFR, no tags",
            "Images that the classifier finds unlikely for their class weigh more.",
            "",
            "Qiu et al. 2023 (arXiv:2306.11074)",
            _afr,
        ),
        Method(
            "self",
            "SELF, no tags",
            "Fits on the images that the classifier gets wrong or nearly wrong, classes balanced.",
            "",
            "LaBonte et al. 2023 (arXiv:2309.08534)",
            _self,
        ),
        Method(
            "class-balanced",
            "Class-balanced retraining",
            "Fits the last layer again on held-out images, every class weighing the same.",
            "",
            "LaBonte et al. 2023 (arXiv:2309.08534)",
            _class_balanced,
        ),
        Method(
            "erm",
            "The classifier as it is",
            "Changes nothing: the line to beat.",
            "",
            "Empirical risk minimisation",
            _erm,
        ),
    )
}
