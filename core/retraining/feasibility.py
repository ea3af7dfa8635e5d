"""Whether a repair can be promised at all, said before anything is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from core.concepts.majority import top_half
from core.concepts.tags import ABSENT, PRESENT
from core.retraining.curated import measure_features
from core.retraining.curation import Curation, curate
from core.retraining.intervals import SIGNIFICANCE
from core.retraining.material import check_needs, chosen_concepts, gather
from core.retraining.pool import ConceptTags, Pool
from core.workspace import Workspace

if TYPE_CHECKING:
    from core.activations.store import Analysis

# draws of tables in which a concept goes with no class
DRAWS = 4000
# tags in the top band of a class that may speak for it, where none speaks against
FEW = 2


@dataclass(frozen=True)
class Feasibility:
    """possible: whether the features hold enough of the classes beyond the concepts for a new last layer to be worth
    fitting. mean: accuracy of such a layer on curated images it was not fitted on, groups weighing the same; NaN where
    groups are too small to tell. chance: of guessing. sentence: the same for a person. warnings: sentences about
    concepts whose tags do not show that they go with a class (`unassociated`)."""

    possible: bool
    mean: float
    chance: float
    sentence: str
    warnings: tuple[str, ...] = ()

    @property
    def doubts(self) -> tuple[str, ...]:
        """All that speaks against a repair."""
        return self.warnings if self.possible else (self.sentence, *self.warnings)

    def to_dict(self) -> dict[str, Any]:
        return {
            "possible": self.possible,
            "mean": None if np.isnan(self.mean) else self.mean,
            "chance": self.chance,
            "sentence": self.sentence,
            "warnings": list(self.warnings),
        }


def feasibility(
    workspace: Workspace, analysis: Analysis, concepts: Sequence[str] = (), *, seed: int = 0
) -> Feasibility:
    """Ask the features before a retraining. concepts: names; none means every confounder that has a tag.

    Raises `NotFound`, `BadRequest`, `NotEnoughTags`, `EmptyGroup` as `retrain` does.
    """
    chosen = chosen_concepts(workspace, analysis, concepts)
    check_needs("tags", analysis, chosen)
    material = gather(workspace, analysis, chosen).material
    rng = np.random.default_rng(seed)
    chosen_images = curate(material.pool, material.concepts, rng=rng)
    return feasibility_of(material.pool, chosen_images, material.concepts, seed=seed)


def feasibility_of(
    pool: Pool, curation: Curation, concepts: Sequence[ConceptTags] = (), *, seed: int = 0
) -> Feasibility:
    """The same of images chosen already. concepts: those they were chosen for."""
    warnings = tuple(warning for concept in concepts if (warning := unassociated(pool, concept)))
    found = measure_features(pool, curation, rng=np.random.default_rng(seed))
    if found is None:
        return Feasibility(
            True,
            float("nan"),
            1 / pool.k,
            "The groups are too small to tell beforehand whether the features can carry a repair.",
            warnings,
        )
    return Feasibility(found.possible, found.mean, found.chance, found.sentence, warnings)


def unassociated(pool: Pool, concept: ConceptTags) -> str:
    """A sentence where the tags do not show that a concept goes with a class, or "".

    Balancing what goes with no class only takes images away: on planted features whose place agrees with the class in
    50 to 70 of 100 images `mid` costs 10 to 20 points of the worst group, at 80 it gains nothing, at 95 it gains 30.
    Asked are the tags in the top bands alone. Those further down are of exceptions, and guesses show an association
    whether there is one or not, since the probe is told the class. The test is a permutation test of classes x present
    by chi squared; tags too few for it are believed where every class is of one mind and two of them differ.
    """
    top = top_half(pool.logits, pool.labels, pool.eligible)
    present, absent = (
        np.bincount(pool.labels[top & (concept.states == value)], minlength=pool.k) for value in (PRESENT, ABSENT)
    )
    counts = present + absent
    asked = np.flatnonzero(counts)
    speaks = counts >= FEW
    if (speaks & (present > 0)).any() and (speaks & (absent > 0)).any() and not np.minimum(present, absent).any():
        return ""
    if len(asked) > 1 and _chance(present[asked], counts[asked]) < SIGNIFICANCE:
        return ""
    named = asked[np.argsort(-present[asked] / counts[asked], kind="stable")]
    named = named if len(named) <= 2 else named[[0, -1]]
    shown = " and ".join(f"{present[c]} of {counts[c]} of {pool.classes[c]}" for c in named.tolist())
    return (
        f"The tags do not show that {concept.name} goes with a class: in the top bands {shown or 'no image'} "
        "show it, which may be chance. Where it goes with none, balancing it can only cost accuracy: tag more of the "
        "images that the model is surest about."
    )


def _chance(present: np.ndarray, counts: np.ndarray) -> float:
    """p of classes differing this much in how often a concept shows, (k,) each, where it goes with no class."""
    total, shown = int(counts.sum()), int(present.sum())
    if shown in (0, total):
        return 1.0
    expected = counts * shown / total
    drawn = np.random.default_rng(0).multivariate_hypergeometric(counts, shown, size=DRAWS)
    # chi squared but for a factor that all tables share
    far = ((present - expected) ** 2 / counts).sum()
    return float((1 + (((drawn - expected) ** 2 / counts).sum(axis=1) >= far - 1e-9).sum()) / (1 + DRAWS))
