"""Concept probes: from a few tags to a guess for every image.

A probe is softmax regression from penultimate features to present/absent, on the tagged images and the assumed
majority (majority.py), each class x value cell with the same total weight: otherwise the probe would learn the class,
which predicts the concept in 19 of 20 images, instead of the concept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from core.classifiers.logistic import logistic_regression
from core.classifiers.softmax import Scaling, standardise
from core.concepts.concept import Concept, get_concept
from core.concepts.evidence import check_both_values, design, evidence, ground
from core.workspace import Workspace

if TYPE_CHECKING:
    from core.activations.store import Analysis

# strength of the L2 penalty. A weaker one (0.03) does as well, one of 0.3 blurs the concept with the class.
L2 = 0.1
# folds of the check on tags that were held out
FOLDS = 5
# a tag is doubtful when the other tags give it less than this chance: smaller values miss slips, larger ones take right
# answers with them
DOUBT = 0.1
# agreement with held-out tags below which a probe does not see the concept (0.5 is guessing)
PROBE_WARNING = 0.65
# tags below which single true exceptions are too few to be told from slips
DOUBT_FROM = 40


@dataclass(frozen=True)
class Probe:
    """weight: (d,) float64, bias: the log-odds that an image shows the concept are features @ weight + bias."""

    weight: np.ndarray
    bias: float

    def probability(self, features: np.ndarray) -> np.ndarray:
        """How likely each image shows the concept: (n, d) -> (n,) float64 in 0..1, NaN where features are NaN or
        infinite."""
        log_odds = (features @ self.weight.astype(np.float32) + np.float32(self.bias)).astype(np.float64)
        return np.where(np.isfinite(log_odds), 1 / (1 + np.exp(-np.clip(log_odds, -500, 500))), np.nan)


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
    is for; None means of these. Images with NaN or infinite features are left out.
    """
    whole = np.isfinite(features).all(axis=1)
    if not whole.all():
        features, labels, values = features[whole], labels[whole], values[whole]
    scaling = scaling or standardise(features)
    fit = logistic_regression(scaling.apply(features), values, cell_weights(labels * 2 + values), l2=l2)
    return folded(scaling, fit.weight[:, 0], float(fit.bias[0]))


def folded(scaling: Scaling, weight: np.ndarray, bias: float) -> Probe:
    """A fit on scaled features as a probe of plain ones. weight: (d,)."""
    plain = weight / scaling.scale
    return Probe(plain, bias - float(plain @ scaling.mean))


def held_out_probabilities(
    features: np.ndarray,
    labels: np.ndarray,
    values: np.ndarray,
    tagged: np.ndarray,
    *,
    rng: np.random.Generator,
    most_assumed: int = 1000,
) -> np.ndarray:
    """What probes say of tagged images they have not seen: (t,) float64, one per tagged image, in order.

    values: (n,) 0 or 1 of tagged and assumed images; tagged: (n,) bool. The tags are parted into folds, and each fold
    is guessed by a probe fitted on the others and on at most `most_assumed` assumed images, which is enough for a
    check. NaN where a fold left nothing to learn from, or features are NaN or infinite.
    """
    known, assumed = np.flatnonzero(tagged), np.flatnonzero(~tagged)
    if len(assumed) > most_assumed:
        assumed = rng.choice(assumed, most_assumed, replace=False)
    fold = np.empty(len(known), dtype=np.int64)
    for value in (0, 1):
        # both values in every fold, as far as they reach
        members = np.flatnonzero(values[known] == value)
        fold[rng.permutation(members)] = np.arange(len(members)) % FOLDS
    guesses = np.full(len(known), np.nan)
    for i in range(FOLDS):
        held = fold == i
        training = np.concatenate([known[~held], assumed])
        if held.any() and len(np.unique(values[training])) == 2:
            probe = fit_probe(features[training], labels[training], values[training])
            guesses[held] = probe.probability(features[known[held]])
    return guesses


def balanced_accuracy(probabilities: np.ndarray, values: np.ndarray) -> float | None:
    """Mean of the accuracies on present and on absent images; 0.5 is guessing. None unless both occur twice.

    probabilities: (t,) float, NaN left out. values: (t,) of 0 and 1.
    """
    measured = ~np.isnan(probabilities)
    right = (probabilities > 0.5) == (values == 1)
    if min(int((measured & (values == value)).sum()) for value in (0, 1)) < 2:
        return None
    return float(np.mean([right[measured & (values == value)].mean() for value in (0, 1)]))


def doubtful_tags(
    probabilities: np.ndarray, values: np.ndarray, cells: np.ndarray, unusual_on_top: np.ndarray, doubt: float = DOUBT
) -> np.ndarray:
    """Which tags contradict all the others so clearly that they are likelier slips than exceptions: (t,) bool.

    probabilities: (t,) of `held_out_probabilities`. values: (t,) of 0 and 1. cells: (t,) int, class x value.
    unusual_on_top: (t,) bool, tags with a class's unusual value in its top half. Exceptions are as rare there as
    slips, so the probe's word decides; elsewhere it has to be sure, there have to be 40 tags, and never more than a
    third of a cell is doubted: a handful of true exceptions must not be voted down.
    """
    agreement = np.where(values == 1, probabilities, 1 - probabilities)
    doubtful = unusual_on_top & (agreement < 0.5)
    if len(values) < DOUBT_FROM:
        return doubtful
    for cell in np.unique(cells):
        members = np.flatnonzero(cells == cell)
        worst = members[np.argsort(agreement[members], kind="stable")[: len(members) // 3]]
        doubtful[worst] |= agreement[worst] < doubt
    return doubtful


def concept_probe(workspace: Workspace, analysis: Analysis, concept: Concept) -> Probe:
    """Fit a concept's probe on its tags and the assumed majority, all outside test.

    The same tags give the same probe in every process. Raises `NotEnoughTags` unless both values are tagged.
    """
    known = evidence(workspace, analysis, concept)
    check_both_values(known, concept)
    fit = logistic_regression(*design(analysis, known, cell_weights(known.cells)), l2=L2)
    return folded(ground(analysis).scaling, fit.weight[:, 0], float(fit.bias[0]))


def concept_direction(workspace: Workspace, analysis: Analysis, name: str) -> tuple[np.ndarray, float]:
    """Weight (d,) float32 and bias of a concept's probe: the activation is its log-odds.

    Raises `NotFound` or `NotEnoughTags`.
    """
    probe = concept_probe(workspace, analysis, get_concept(workspace, analysis.dataset_id, name))
    return probe.weight.astype(np.float32), probe.bias
