"""`mid` and `mid-tags`: heads fitted on images that tags have grouped (curation.py), and whether features allow it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from core.errors import BadRequest, EmptyGroup
from core.progress import Progress
from core.retraining.curation import Curation, curate, curate_without_tags
from core.retraining.fitting import BALANCED_L2, LARGEST_SUBSET, SUBSET, fit_balanced, pull
from core.retraining.interface import Fitted, Knob, Material, Settings
from core.retraining.pool import Pool

# of the way from guessing to perfect, what a head has to get right on held-out images for a repair to be promising:
# features without the class stay below it (the groups are guesses too), those with an oracle worth having above
LITTLE = 0.25
# fits averaged where a figure is wanted and not a head
CHECK_REFITS = 5
# images of each group in their subsets, at most: enough to tell the classes, or they cannot be told
CHECK_SUBSET = 64

KNOBS = (
    pull(BALANCED_L2),
    Knob(
        "refits",
        "Fits to average",
        0,
        0,
        200,
        help="How many heads, each fitted on its own random balanced subset, are averaged; 0 chooses 5 to 20.",
    ),
    Knob(
        "subset",
        "Images per group",
        SUBSET,
        2,
        LARGEST_SUBSET,
        unit="images",
        help="The least that each group has in a subset, as far as it has as many; more where every group is larger.",
    ),
)


@dataclass(frozen=True)
class FeatureCheck:
    """mean: accuracy of a new head on curated images it was not fitted on, groups weighing the same. chance: of
    guessing. possible: whether that is enough for a repair to be worth trying. sentence: the same for a person."""

    possible: bool
    mean: float
    chance: float
    sentence: str

    def to_dict(self) -> dict[str, Any]:
        return {"possible": self.possible, "mean": self.mean, "chance": self.chance, "sentence": self.sentence}


def fit_mid(material: Material, settings: Settings, rng: np.random.Generator, progress: Progress) -> Fitted:
    """Our own, after O'Mahony et al. 2025 (arXiv:2411.10019): curation.py chooses and groups the images.

    Their published text of the mid-range rule is not at hand, so the rule is ours. The fit is that of DFR (Kirichenko
    et al. 2022, section 4: balanced subsets, averaged) but pulled towards the old head, since the smallest group may
    have a dozen images.
    """
    return _curated(material, settings, rng, progress, use_probe=True)


def fit_mid_tags(material: Material, settings: Settings, rng: np.random.Generator, progress: Progress) -> Fitted:
    """As `mid` with nothing guessed: the tagged images and the assumed top halves only, nearest to the paper's own."""
    return _curated(material, settings, rng, progress, use_probe=False)


def _curated(
    material: Material, settings: Settings, rng: np.random.Generator, progress: Progress, *, use_probe: bool
) -> Fitted:
    progress(0, 2, "Choosing the images to fit on")
    curation = curated(material, rng, use_probe=use_probe)
    progress(1, 2, f"Fitting the last layer on {len(curation.positions)} images")
    pool = material.pool
    head = fit_balanced(
        pool,
        curation.positions,
        curation.groups,
        rng=rng,
        l2=settings["pull"],
        refits=settings["refits"] or None,
        smallest=settings["subset"],
    )
    progress(2, 2)
    return Fitted(head, curation)


def curated(material: Material, rng: np.random.Generator, *, use_probe: bool = True) -> Curation:
    """The images of a material, grouped by what is tagged, or as somebody has looked them through.

    Raises `BadRequest` without concepts, `NotEnoughTags` with too few tags.
    """
    if material.curation is not None:
        return material.curation
    if not material.concepts:
        raise BadRequest(
            "This method repairs what tagged concepts point at, and no concept was chosen.",
            next_step="Choose a concept and tag some images that “tag next” proposes.",
        )
    return curate(material.pool, material.concepts, rng=rng, use_probe=use_probe)


def groups_knob(default: str) -> Knob:
    """The knob of methods that balance whatever groups they are given."""
    return Knob(
        "groups",
        "Groups from",
        default,
        choices=("concepts", "attribute"),
        help="Whether the groups are your tagged concepts, spread to other images by a probe, or the attribute that "
        "the dataset knows.",
    )


@dataclass(frozen=True, eq=False)
class Grouped:
    """positions: (c,) int64, held-out images whose group is known. groups: (c,) int64. curation: where the groups are
    from tags."""

    positions: np.ndarray
    groups: np.ndarray
    curation: Curation | None


def grouped(material: Material, source: str, rng: np.random.Generator, *, method: str) -> Grouped:
    """The held-out images with a group, from tags ("concepts") or the dataset's attribute ("attribute").

    Images whose attribute is unknown are left out; a group that does not occur is no group. method: its name in
    sentences. Raises `BadRequest`, `EmptyGroup`, `NotEnoughTags`.
    """
    if source == "concepts":
        curation = curated(material, rng)
        return Grouped(curation.positions, curation.groups, curation)
    if material.known is None:
        raise BadRequest(
            f"{method} needs the group of every held-out image, and this dataset has no known attribute.",
            next_step="Use the method mid, which asks for a few dozen tags instead, or add an attribute column to "
            "metadata.csv.",
        )
    pool, codes = material.pool, material.known.codes
    positions = np.flatnonzero(pool.eligible & (codes >= 0))
    absent = np.setdiff1d(np.arange(pool.k), pool.labels[positions])
    if len(absent):
        raise EmptyGroup(
            f"{method} needs held-out images with a known group of every class; {pool.classes[absent[0]]} has none.",
            next_step="Use the method mid, or complete the attribute column of metadata.csv.",
        )
    return Grouped(positions, codes[positions], None)


def fit_without_tags(pool: Pool, *, rng: np.random.Generator) -> Fitted:
    """The baseline "no person": `mid` with assumptions in place of answers (`curate_without_tags`)."""
    curation = curate_without_tags(pool)
    # its positions are those of the eligible images
    head = fit_balanced(pool.only_eligible(), curation.positions, curation.groups, rng=rng)
    return Fitted(head, curation)


def measure_features(pool: Pool, curation: Curation, *, rng: np.random.Generator) -> FeatureCheck | None:
    """Whether the features can carry a repair at all; None where halves are too small to tell.

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
                return None
            head = fit_balanced(
                pool,
                curation.positions[training],
                curation.groups[training],
                rng=rng,
                refits=CHECK_REFITS,
                largest=CHECK_SUBSET,
            )
            guesses = head.logits(pool.features[curation.positions[held]]).argmax(axis=1)
            right[held] = guesses == curation.labels[held]
        accuracies += [right[curation.groups == group].mean() for group in groups]
    mean, chance = float(np.mean(accuracies)), 1 / pool.k
    shares = f"balanced over the groups, a new head gets {mean:.0%} of the held-out images right, and guessing gets"
    if mean > chance + LITTLE * (1 - chance):
        return FeatureCheck(True, mean, chance, f"The features hold enough for a repair: {shares} {chance:.0%}.")
    return FeatureCheck(
        False,
        mean,
        chance,
        f"The features hold little of the classes beyond the concept: {shares} {chance:.0%}. No last layer can repair "
        f"that; the network itself would have to be trained on other data.",
    )
