"""Guessing concepts where the class is known: Fisher's discriminant within classes, refined on all images.

In held-out images the class of each is known, so nothing about the class needs to be learnt: what remains is how the
images of one class that show a concept differ from those of the same class that do not, one shift shared by all
classes. Its mean takes few tags, and the spread within classes that it is measured against takes none: it is read off
the held-out images. So a handful of tags say as much here as several times as many in a softmax regression, which
learns few tags by heart, and single wrong answers are averaged out.

    shifts       of all concepts together, by least squares within classes: what one more concept shown adds
    directions   the inverse covariance within classes times the shifts
    thresholds   per class, between the patterns (which concepts are shown and which not), nearer to the rare ones

Several concepts are guessed as one pattern, out of those that were seen: where forest, desert and sea exclude each
other, what speaks for one speaks against the others, and all exceptions teach together.

The covariance has to be one of images with the same value. Were the exceptions among them, their shift would count as
spread, and the direction would turn away from just what it looks for: the caller leaves out the images among which
exceptions gather.

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
# images of each pattern that a class is taken to have besides those known: where few or none are known, rareness says
# little
FORGIVING = 5
# rounds at most; most fits settle in less than ten
ROUNDS = 30
# images that the covariance is measured on at most
_MOST = 10_000
_UNKNOWN = -1


@dataclass(frozen=True, eq=False)
class PatternProbe:
    """weight: (d, p) float64, bias: (k, p) float64; patterns: (p, m) int8 of 0 and 1, the values of m concepts. The
    log-odds that an image of class c shows one pattern and not another are the difference of their columns in
    features @ weight + bias[c]."""

    weight: np.ndarray
    bias: np.ndarray
    patterns: np.ndarray

    def chances(self, features: np.ndarray, labels: np.ndarray, said: np.ndarray | None = None) -> np.ndarray:
        """How likely each pattern is: (n, d), (n,) -> (n, p) float64, rows summing to 1.

        said: (n, m) int8, values that are certain, -1 for none; patterns that contradict them are ruled out, unless
        all do.
        """
        scores = (features @ self.weight.astype(np.float32)).astype(np.float64) + self.bias[labels]
        if said is not None:
            against = ((said[:, None] != _UNKNOWN) & (said[:, None] != self.patterns)).any(axis=2)
            scores[against & ~against.all(axis=1, keepdims=True)] = -np.inf
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
        return scores / scores.sum(axis=1, keepdims=True)

    def probability(self, features: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """How likely images of these classes show each concept: (n, d), (n,) -> (n, m) float64 in 0..1."""
        return self.chances(features, labels) @ self.patterns.astype(np.float64)

    def guess(
        self, features: np.ndarray, labels: np.ndarray, said: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """The likeliest pattern that agrees with what is certain: (n, m) int8, and how likely it is: (n,) float64."""
        chances = self.chances(features, labels, said)
        values = self.patterns[chances.argmax(axis=1)]
        if said is not None:
            values = np.where(said != _UNKNOWN, said, values)
        return values.astype(np.int8), chances.max(axis=1)


class Discriminant:
    """What all fits share: centred features and the inverse covariance within classes.

    features: (n, d). labels: (n,) classes. classes: how many. reference: (n,) bool, the images that rounds of
    refinement may add; the others teach by their tags only. calm: (n,) bool, the images that the covariance is of,
    few exceptions among them; None means the reference.
    """

    def __init__(
        self,
        features: np.ndarray,
        labels: np.ndarray,
        classes: int,
        reference: np.ndarray,
        calm: np.ndarray | None = None,
    ) -> None:
        self._labels, self._classes, self._reference = labels, classes, reference
        self._scaling = standardise(features[reference])
        self._scaled = self._scaling.apply(features)
        rows = np.flatnonzero(reference if calm is None else calm)
        rows = rows[:: -(-len(rows) // _MOST)]
        centred = self._scaled[rows]
        for c in np.unique(labels[rows]):
            centred[labels[rows] == c] -= centred[labels[rows] == c].mean(axis=0)
        self._inverse = np.linalg.inv(shrunk_covariance(centred))

    def fit(self, values: np.ndarray, known: np.ndarray, fixed: np.ndarray) -> PatternProbe | None:
        """A probe from answers and assumptions, refined on what it is sure about.

        values: (n, m) of 0 and 1 where `known`, (n, m) bool. fixed: (n, m) bool, the known values that refinement may
        not change: what a person said. None when no class is known with both values of any concept: then there is no
        shift to see.
        """
        said = np.where(fixed, values, _UNKNOWN).astype(np.int8)
        values, taken = self._completed(values, known, fixed)
        whole = known.all(axis=1)
        seen = whole if whole.any() else taken
        if not seen.any():
            return None
        patterns = np.unique(values[seen], axis=0).astype(np.int8)
        probe = self._from(values, taken, patterns)
        if probe is None:
            return None
        certain = fixed.all(axis=1)
        for _ in range(ROUNDS):
            guessed, confidence = probe.guess(self._scaled, self._labels, said)
            sure = certain | (self._reference & (confidence > SURE))
            if np.array_equal(sure, taken) and np.array_equal(guessed[sure], values[sure]):
                break
            values, taken = guessed, sure
            refined = self._from(values, taken, patterns)
            if refined is None:
                break
            probe = refined
        weight = probe.weight / self._scaling.scale[:, None]
        return PatternProbe(weight, probe.bias - self._scaling.mean @ weight, patterns)

    def _completed(self, values: np.ndarray, known: np.ndarray, fixed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Values to begin with, and whose are complete: (n, m), (n,) bool.

        Where a person answered for one concept and not for another, the other is taken for what most of the class
        show, until a guess is made.
        """
        values, complete = values.astype(np.int8), known.copy()
        answered = fixed.any(axis=1)
        for c in range(self._classes):
            members = self._labels == c
            for j in range(values.shape[1]):
                shown = values[members & known[:, j], j]
                missing = members & answered & ~known[:, j]
                if len(shown) and missing.any():
                    values[missing, j] = int(2 * shown.sum() > len(shown))
                    complete[missing, j] = True
        whole: np.ndarray = np.logical_and.reduce(complete, axis=1)
        return values, whole

    def _from(self, values: np.ndarray, taken: np.ndarray, patterns: np.ndarray) -> PatternProbe | None:
        """One fit, for scaled features, on the images `taken`: (n,) bool."""
        m = values.shape[1]
        members = [taken & (self._labels == c) for c in range(self._classes)]
        together, outcome = np.zeros((m, m)), np.zeros((m, self._scaled.shape[1]))
        for own in members:
            if own.any():
                shown = values[own] - values[own].mean(axis=0, dtype=np.float64)
                together += shown.T @ shown
                outcome += shown.astype(np.float32).T @ self._scaled[own]
        differs = np.diag(together) > 0
        if not differs.any():
            return None
        # of concepts that exclude each other only the differences are known: the smallest shifts with these
        shifts = np.linalg.pinv(together, rcond=1e-9, hermitian=True) @ outcome
        directions: np.ndarray = self._inverse @ shifts.T
        along = shifts @ directions @ patterns.T
        weight = directions @ patterns.T
        place = self._scaled @ weight.astype(np.float32)
        bias = np.zeros((self._classes, len(patterns)))
        for c, own in enumerate(members):
            if own.any():
                # where the class would be if it showed no concept
                origin = place[own].mean(axis=0, dtype=np.float64) - values[own].mean(axis=0) @ along
                # a concept that no class shows both ways moves nothing: every class keeps its own value
                own_values = np.unique(values[own][:, ~differs], axis=0)
                apart = ~(patterns[:, None, ~differs] == own_values).all(axis=2).any(axis=1)
                shown = (values[own][:, None] == patterns).all(axis=2).sum(axis=0) + FORGIVING
            else:
                # a class of which nothing is known is parted in the middle
                of = self._reference & (self._labels == c)
                origin = place[of].mean(axis=0, dtype=np.float64) - patterns.mean(axis=0) @ along if of.any() else 0.0
                apart, shown = np.zeros(len(patterns), dtype=bool), np.ones(len(patterns))
            even = np.log(shown / shown.sum()) - origin - np.diag(patterns @ along) / 2
            bias[c] = np.where(apart, -np.inf, even)
        return PatternProbe(weight, bias, patterns)


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
