"""Concept probes: from a few tags to a guess for every image.

A probe is softmax regression from penultimate features to present/absent, on the tagged images and the assumed
majority (majority.py), each class x value cell with the same total weight: otherwise the probe would learn the class,
which predicts the concept in 19 of 20 images, instead of the concept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from core.classifiers.softmax import Scaling, softmax_regression, standardise
from core.concepts.concept import Concept, get_concept
from core.concepts.majority import top_half, usual_values
from core.concepts.suggestions import tagging_split
from core.concepts.tags import ABSENT, PRESENT, UNTAGGED, tag_states
from core.errors import NotEnoughTags
from core.workspace import Workspace

if TYPE_CHECKING:
    from core.activations.store import Analysis

# strength of the L2 penalty. On planted data 0.03 is as good; 0.3 costs 8 to 13 points of worst-group accuracy.
L2 = 0.1
# folds of the check on tags that were held out
FOLDS = 5


@dataclass(frozen=True)
class Probe:
    """weight: (d,) float64, bias: the log-odds that an image shows the concept are features @ weight + bias."""

    weight: np.ndarray
    bias: float

    def probability(self, features: np.ndarray) -> np.ndarray:
        """How likely each image shows the concept: (n, d) -> (n,) float64 in 0..1."""
        log_odds = features @ self.weight.astype(np.float32) + np.float32(self.bias)
        return 1 / (1 + np.exp(-np.clip(log_odds.astype(np.float64), -500, 500)))


def confidence(probability: np.ndarray) -> np.ndarray:
    """How sure a probe is of its guess, whichever: (n,) in 0.5..1."""
    return np.maximum(probability, 1 - probability)


def cell_weights(cells: np.ndarray) -> np.ndarray:
    """Weights that give every cell that occurs the same total: (n,) int cells -> (n,) float64, summing to 1."""
    _, position, sizes = np.unique(cells, return_inverse=True, return_counts=True)
    return 1 / (sizes[position] * len(sizes)) if len(cells) else np.empty(0)


def fit_probe(
    features: np.ndarray,
    labels: np.ndarray,
    values: np.ndarray,
    *,
    scaling: Scaling | None = None,
    l2: float = L2,
) -> Probe:
    """Fit a probe on images whose value is known or assumed.

    features: (n, d). labels: (n,) classes. values: (n,) of 0 and 1, both occurring. scaling: of the images the probe
    is for; None means of these.
    """
    scaling = scaling or standardise(features)
    head = softmax_regression(
        scaling.apply(features), values.astype(np.int64), cell_weights(labels * 2 + values), classes=2, l2=l2
    )
    folded = scaling.fold(head)
    weight = folded.weight[1].astype(np.float64) - folded.weight[0]
    return Probe(weight, float(folded.bias[1]) - float(folded.bias[0]))


def held_out_accuracy(
    features: np.ndarray,
    labels: np.ndarray,
    values: np.ndarray,
    tagged: np.ndarray,
    *,
    rng: np.random.Generator,
    most_assumed: int = 2000,
) -> float | None:
    """How well a probe guesses tags it has not seen: mean of the accuracies on present and on absent ones.

    values: (n,) 0 or 1 of tagged and assumed images; tagged: (n,) bool. 0.5 is guessing. None when a value has fewer
    than two tags. At most `most_assumed` assumed images are used, which is enough for a check.
    """
    known, assumed = np.flatnonzero(tagged), np.flatnonzero(~tagged)
    if min(np.bincount(values[known], minlength=2)) < 2:
        return None
    if len(assumed) > most_assumed:
        assumed = rng.choice(assumed, most_assumed, replace=False)
    fold = np.empty(len(known), dtype=np.int64)
    for value in (0, 1):
        # both values in every fold, as far as they reach
        members = np.flatnonzero(values[known] == value)
        fold[rng.permutation(members)] = np.arange(len(members)) % FOLDS
    right = np.zeros(len(known), dtype=bool)
    for i in range(FOLDS):
        held = fold == i
        training = np.concatenate([known[~held], assumed])
        if not held.any() or len(np.unique(values[training])) < 2:
            continue
        probe = fit_probe(features[training], labels[training], values[training])
        right[held] = (probe.probability(features[known[held]]) > 0.5) == (values[known[held]] == 1)
    return float(np.mean([right[values[known] == value].mean() for value in (0, 1)]))


def concept_probe(workspace: Workspace, analysis: Analysis, concept: Concept) -> Probe:
    """Fit a concept's probe on its tags and the assumed majority, all outside test.

    Raises `NotEnoughTags` unless both values are tagged.
    """
    states = tag_states(workspace, analysis, concept)
    states[analysis.split_rows("test")] = UNTAGGED
    split = np.zeros(analysis.n, dtype=bool)
    split[analysis.split_rows(tagging_split(analysis))] = True
    rows = np.flatnonzero(split | (states != UNTAGGED))
    states, labels, held_out = states[rows], analysis.labels[rows], split[rows]
    for value, word in ((PRESENT, "present"), (ABSENT, "absent")):
        if not (states == value).any():
            raise NotEnoughTags(
                f"No image outside test is tagged {word} for {concept.name}, so nothing can be told apart.",
                next_step=f"Tag a few images as {word}; “tag next” proposes some.",
            )
    top = top_half(analysis.logits[rows], labels, held_out)
    usual = usual_values(states, labels, top, analysis.classes, concept.name).values[labels]
    known = np.where(states != UNTAGGED, states, np.where(top & held_out, usual, UNTAGGED))
    training = np.flatnonzero(known != UNTAGGED)
    features = np.asarray(analysis.features[rows], dtype=np.float32)
    return fit_probe(features[training], labels[training], known[training], scaling=standardise(features[held_out]))


def concept_direction(workspace: Workspace, analysis: Analysis, name: str) -> tuple[np.ndarray, float]:
    """Weight (d,) float32 and bias of a concept's probe: the activation is its log-odds.

    Raises `NotFound` or `NotEnoughTags`.
    """
    probe = concept_probe(workspace, analysis, get_concept(workspace, analysis.dataset_id, name))
    return probe.weight.astype(np.float32), probe.bias
