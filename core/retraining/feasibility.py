"""Whether a repair can be promised at all, said before anything is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from core.retraining.curated import measure_features
from core.retraining.curation import Curation, curate
from core.retraining.material import check_needs, chosen_concepts, gather
from core.retraining.pool import Pool
from core.workspace import Workspace

if TYPE_CHECKING:
    from core.activations.store import Analysis


@dataclass(frozen=True)
class Feasibility:
    """possible: whether the features hold enough of the classes beyond the concepts for a new last layer to be worth
    fitting. mean: accuracy of such a layer on curated images it was not fitted on, groups weighing the same; NaN where
    groups are too small to tell. chance: of guessing. sentence: the same for a person."""

    possible: bool
    mean: float
    chance: float
    sentence: str

    def to_dict(self) -> dict[str, Any]:
        return {
            "possible": self.possible,
            "mean": None if np.isnan(self.mean) else self.mean,
            "chance": self.chance,
            "sentence": self.sentence,
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
    return feasibility_of(material.pool, curate(material.pool, material.concepts, rng=rng), seed=seed)


def feasibility_of(pool: Pool, curation: Curation, *, seed: int = 0) -> Feasibility:
    """The same of images chosen already."""
    found = measure_features(pool, curation, rng=np.random.default_rng(seed))
    if found is None:
        return Feasibility(
            True,
            float("nan"),
            1 / pool.k,
            "The groups are too small to tell beforehand whether the features can carry a repair.",
        )
    return Feasibility(found.possible, found.mean, found.chance, found.sentence)
