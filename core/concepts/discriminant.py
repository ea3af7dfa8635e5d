"""Guessing a concept where the class is known: Fisher's discriminant within classes, refined on all images.

In held-out images the class of each is known, so nothing about the class needs to be learnt: what remains is how the
images of one class that show the concept differ from those of the same class that do not, one shift shared by all
classes. Its mean takes few tags, and the spread within classes that it is measured against takes none: it is read off
every held-out image. So a handful of tags say as much here as several times as many in a softmax regression, which
learns few tags by heart, and single wrong answers are averaged out.

    shift        mean over the classes of (mean showing it - mean not showing it), weighed by how many of both are known
    direction    the inverse covariance within classes times the shift
    threshold    per class, half a shift from where its images without the concept lie

Sources: Fisher 1936 ("The use of multiple measurements in taxonomic problems"); the covariance is shrunk as by Ledoit &
Wolf 2004 ("A well-conditioned estimator for large-dimensional covariance matrices"); few labels serve a generative
model longer: Ng & Jordan 2001; it bears wrong labels: Lachenbruch 1966. Guesses that are sure are then taken for
answers and the fit is repeated (self-training; for missing group labels: Nam et al. 2022, Spread Spurious Attribute).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.classifiers.softmax import standardise

# a guess as sure as this counts in the next round. Higher values leave out the exceptions nearest to the usual images,
# which are those that tags, being of the oddest images, say least about
SURE = 0.6
# rounds at most; most fits settle in less than ten
ROUNDS = 30
# images that the covariance is measured on at most
_MOST = 10_000


@dataclass(frozen=True, eq=False)
class ClassProbe:
    """weight: (d,) float64, bias: (k,) float64. The log-odds that an image of class c shows the concept are
    features @ weight + bias[c]."""

    weight: np.ndarray
    bias: np.ndarray

    def probability(self, features: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """How likely images of these classes show the concept: (n, d), (n,) -> (n,) float64 in 0..1."""
        log_odds = (features @ self.weight.astype(np.float32)).astype(np.float64) + self.bias[labels]
        return 1 / (1 + np.exp(-np.clip(log_odds, -500, 500)))


class Discriminant:
    """What all concepts and all folds share: centred features and the inverse covariance within classes.

    features: (n, d). labels: (n,) classes. classes: how many. reference: (n,) bool, the images that mean and covariance
    are of and that rounds of refinement may add; the others teach by their tags only.
    """

    def __init__(self, features: np.ndarray, labels: np.ndarray, classes: int, reference: np.ndarray) -> None:
        self._labels, self._classes, self._reference = labels, classes, reference
        self._scaling = standardise(features[reference])
        self._scaled = self._scaling.apply(features)
        centred = self._scaled.copy()
        for c in range(classes):
            members = labels == c
            if (members & reference).any():
                centred[members] -= centred[members & reference].mean(axis=0)
        rows = np.flatnonzero(reference)
        self._inverse = np.linalg.inv(shrunk_covariance(centred[rows[:: -(-len(rows) // _MOST)]]))

    def fit(self, values: np.ndarray, known: np.ndarray, fixed: np.ndarray) -> ClassProbe | None:
        """A probe from answers and assumptions, refined on what it is sure about.

        values: (n,) of 0 and 1 where `known`, (n,) bool. fixed: (n,) bool, the known values that refinement may not
        change: what a person said. None when no class is known with both values: then there is no shift to see.
        """
        probe = self._from(values, known)
        if probe is None:
            return None
        for _ in range(ROUNDS):
            chance = self._probability(probe)
            guessed = np.where(fixed, values, chance > 0.5)
            sure = fixed | (self._reference & (np.maximum(chance, 1 - chance) > SURE))
            if np.array_equal(guessed[sure], values[sure]) and np.array_equal(sure, known):
                break
            refined = self._from(guessed, sure)
            if refined is None:
                break
            probe, values, known = refined, guessed, sure
        return self._for_plain_features(probe)

    def _from(self, values: np.ndarray, known: np.ndarray) -> ClassProbe | None:
        """One fit, for scaled features."""
        shift: np.ndarray = np.zeros(self._scaled.shape[1])
        total = 0.0
        for c in range(self._classes):
            shows, lacks = (known & (self._labels == c) & (values == value) for value in (1, 0))
            both = int(shows.sum()), int(lacks.sum())
            if min(both):
                weight = both[0] * both[1] / sum(both)
                shift += weight * (self._scaled[shows].mean(axis=0) - self._scaled[lacks].mean(axis=0))
                total += weight
        if not total:
            return None
        shift /= total
        direction: np.ndarray = self._inverse @ shift
        length = float(direction @ shift)
        place = self._scaled @ direction.astype(np.float32)
        bias = np.zeros(self._classes)
        for c in range(self._classes):
            members = known & (self._labels == c)
            # a class of which nothing is known is parted in its middle
            of = members if members.any() else self._reference & (self._labels == c)
            if of.any():
                lacking = place[of] - length * (values[of] if members.any() else 0.5)
                bias[c] = -(float(lacking.mean()) + length / 2)
        return ClassProbe(direction, bias)

    def _probability(self, probe: ClassProbe) -> np.ndarray:
        return probe.probability(self._scaled, self._labels)

    def _for_plain_features(self, probe: ClassProbe) -> ClassProbe:
        weight = probe.weight / self._scaling.scale
        return ClassProbe(weight, probe.bias - weight @ self._scaling.mean)


def shrunk_covariance(centred: np.ndarray) -> np.ndarray:
    """Covariance of (n, d) rows of mean zero, drawn towards a multiple of the identity as far as n is small.

    Ledoit & Wolf 2004: with the norm |A|^2 = tr(AA')/d, the share drawn is the error of the sample covariance over its
    distance from the multiple. (d, d) float64, positive definite.
    """
    n, d = centred.shape
    sample = (centred.T @ centred).astype(np.float64) / n
    level = float(np.trace(sample)) / d or 1.0
    squared = float((sample**2).sum())
    distance = squared / d - level**2
    lengths = (centred.astype(np.float64) ** 2).sum(axis=1)
    error = (float((lengths**2).mean()) - squared) / d / n
    share = 1.0 if distance <= 0 else float(np.clip(error / distance, 1e-3, 1.0))
    return (1 - share) * sample + share * level * np.eye(d)
