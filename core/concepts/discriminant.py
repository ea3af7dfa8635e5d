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

from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from core.classifiers.softmax import Scaling, standardise

# a guess as sure as this counts in the next round. Higher values leave out the exceptions nearest to the usual images,
# which are those that tags, being of the oddest images, say least about
SURE = 0.6
# images of each pattern that a class is taken to have besides those known: where few or none are known, rareness says
# little
FORGIVING = 5
# rounds at most; most fits settle in less than ten
ROUNDS = 30
# images that the covariance is measured on at most
_MOST = 6_000
# entries of the features that are centred at a time: as many as stay in the processor's cache
_BLOCK = 256_000
# entries from which two threads read them
_MANY = 8_000_000
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
        return _chances(scores, None if said is None else _against(self.patterns, said))

    def probability(self, features: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """How likely images of these classes show each concept: (n, d), (n,) -> (n, m) float64 in 0..1."""
        return self.chances(features, labels) @ self.patterns.astype(np.float64)

    def guess(
        self, features: np.ndarray, labels: np.ndarray, said: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """The likeliest pattern that agrees with what is certain: (n, m) int8, and how likely it is: (n,) float64."""
        return _likeliest(self.patterns, self.chances(features, labels, said), said)


@dataclass(frozen=True, eq=False)
class Outside:
    """What features that lie in some directions of a larger space leave out of it. dimensions: how many. squares: (n,)
    float, the squared lengths there."""

    dimensions: int
    squares: np.ndarray


class Discriminant:
    """What all fits share: standardised features and the covariance within classes, factored.

    features: (n, d). labels: (n,) classes. classes: how many. reference: (n,) bool, the images that rounds of
    refinement may add; the others teach by their tags only. calm: (n,) bool, the images that the covariance is of,
    few exceptions among them; None means the reference. settled: share of the images whose going to and fro is no
    reason for another round. scaling: of the reference's features, measured where it is not given. outside: what the
    features leave out of the space that they are directions of, for the covariance to be shrunk as there. Fits leave it
    as it is, so that one serves for as long as the features do.
    """

    def __init__(
        self,
        features: np.ndarray,
        labels: np.ndarray,
        classes: int,
        reference: np.ndarray,
        calm: np.ndarray | None = None,
        settled: float = 0.0,
        scaling: Scaling | None = None,
        outside: Outside | None = None,
    ) -> None:
        self._settled = settled
        self.scaling = scaling or standardise(features if reference.all() else features[reference])
        # a class's images lie together, so that what is summed by class is read in one go
        self._order = np.argsort(labels, kind="stable")
        self._labels, self._classes, self._reference = labels[self._order], classes, reference[self._order]
        ends = np.searchsorted(self._labels, np.arange(classes + 1))
        self._own = [slice(int(start), int(end)) for start, end in pairwise(ends)]
        self._scaled = _standardised(features, self._order, self.scaling)
        rows = np.flatnonzero(self._reference if calm is None else calm[self._order])
        rows = rows[:: -(-len(rows) // _MOST)]
        centred, of = self._scaled[rows], self._labels[rows]
        for c in np.unique(of):
            own = slice(*np.searchsorted(of, [c, c + 1]))
            centred[own] -= centred[own].mean(axis=0)
        # the inverse itself would take six times as long
        beyond = None if outside is None else Outside(outside.dimensions, outside.squares[self._order][rows])
        self._factor = cho_factor(shrunk_covariance(centred, beyond), lower=True, overwrite_a=True, check_finite=False)

    def fit(self, values: np.ndarray, known: np.ndarray, fixed: np.ndarray) -> PatternProbe | None:
        """A probe from answers and assumptions, refined on what it is sure about.

        values: (n, m) of 0 and 1 where `known`, (n, m) bool. fixed: (n, m) bool, the known values that refinement may
        not change: what a person said. None when no class is known with both values of any concept: then there is no
        shift to see.
        """
        (probe,) = self.fit_all([(values, known, fixed)])
        return probe

    def fit_all(self, known: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> list[PatternProbe | None]:
        """`fit` of several (values, known, fixed), round by round together: the features are read once for all."""
        among: list[_Sums] = []
        fits = [self._rounds(*each, among) for each in known]
        found: list[PatternProbe | None] = [None] * len(fits)
        asking: dict[int, np.ndarray] = {}

        def go_on(i: int, answer: tuple[np.ndarray, np.ndarray] | None) -> None:
            try:
                asking[i] = fits[i].send(answer)  # type: ignore[arg-type]
            except StopIteration as end:
                found[i] = end.value

        for i in range(len(fits)):
            go_on(i, None)
        while asking:
            asked, asking = asking, {}
            ends = np.cumsum([0, *(len(shifts) for shifts in asked.values())])
            directions = cho_solve(self._factor, np.concatenate(list(asked.values())).T, check_finite=False)
            places = self._places(directions.astype(np.float32))
            for i, (start, end) in zip(asked, pairwise(ends), strict=True):
                go_on(i, (directions[:, start:end], places[:, start:end]))
        return found

    def _places(self, directions: np.ndarray) -> np.ndarray:
        """Where all images lie along directions (d, m): (n, m) float64. Many are read by two threads, whatever the
        machine: memory gives more to two than to one."""
        if self._scaled.size < _MANY:
            return (self._scaled @ directions).astype(np.float64)
        places, half = np.empty((len(self._scaled), directions.shape[1])), len(self._scaled) // 2

        def place(part: slice) -> None:
            places[part] = self._scaled[part] @ directions

        with ThreadPoolExecutor(max_workers=2, thread_name_prefix="placing") as workers:
            list(workers.map(place, (slice(None, half), slice(half, None))))
        return places

    def _rounds(
        self, values: np.ndarray, known: np.ndarray, fixed: np.ndarray, among: list[_Sums]
    ) -> Generator[np.ndarray, tuple[np.ndarray, np.ndarray], PatternProbe | None]:
        """One fit. It asks with shifts (m, d), and is told their directions (d, m) and where all images lie along
        them, (n, m). among: sums of the fits so far, whose images are nearly the same."""
        values, known, fixed = (array[self._order] for array in (values, known, fixed))
        said = np.where(fixed, values, _UNKNOWN).astype(np.int8)
        values, taken = self._completed(values, known, fixed)
        whole = known.all(axis=1)
        seen = whole if whole.any() else taken
        if not seen.any():
            return None
        patterns = np.unique(values[seen], axis=0).astype(np.int8)
        certain, against = fixed.all(axis=1), _against(patterns, said)
        sums = _Sums(self._scaled, self._own, values, taken, among)
        among.append(sums)
        probe: PatternProbe | None = None
        for _ in range(1 + ROUNDS):
            shifts, differs = self._shifts(sums)
            if not differs.any():
                break
            directions, places = yield shifts
            probe, scores = self._placed(sums, patterns, differs, shifts, directions, places)
            guessed, confidence = _likeliest(patterns, _chances(scores, against), said)
            sure = certain | (self._reference & (confidence > SURE))
            moved = (sure != sums.taken) | (sure & (guessed != sums.values).any(axis=1))
            if moved.sum() <= self._settled * len(moved):
                break
            sums.change(guessed, sure)
        if probe is None:
            return None
        weight = probe.weight / self.scaling.scale[:, None]
        return PatternProbe(weight, probe.bias - self.scaling.mean @ weight, patterns)

    def _completed(self, values: np.ndarray, known: np.ndarray, fixed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Values to begin with, and whose are complete: (n, m), (n,) bool.

        Where a person answered for one concept and not for another, the other is taken for what most of the class
        show, until a guess is made.
        """
        values = values.astype(np.int8)
        complete: np.ndarray = known.copy()
        answered: np.ndarray = np.logical_or.reduce(fixed, axis=1)
        for own in self._own:
            for j in range(values.shape[1]):
                shown = values[own, j][known[own, j]]
                missing = answered[own] & ~known[own, j]
                if len(shown) and missing.any():
                    values[own, j][missing] = int(2 * shown.sum(dtype=np.int64) > len(shown))
                    complete[own, j][missing] = True
        whole: np.ndarray = np.logical_and.reduce(complete, axis=1)
        return values, whole

    @staticmethod
    def _shifts(sums: _Sums) -> tuple[np.ndarray, np.ndarray]:
        """What one more concept shown adds: (m, d), and which concepts some class shows both ways: (m,) bool."""
        together, outcome = sums.within()
        # of concepts that exclude each other only the differences are known: the smallest shifts with these
        return np.linalg.pinv(together, rcond=1e-9, hermitian=True) @ outcome, np.diag(together) > 0

    def _placed(
        self,
        sums: _Sums,
        patterns: np.ndarray,
        differs: np.ndarray,
        shifts: np.ndarray,
        directions: np.ndarray,
        places: np.ndarray,
    ) -> tuple[PatternProbe, np.ndarray]:
        """The probe for scaled features that these directions make, and the scores (n, p) that it gives all images."""
        along = shifts @ directions @ patterns.T
        scores = places @ patterns.T
        bias = np.zeros((self._classes, len(patterns)))
        for c, own in enumerate(self._own):
            place, taken = scores[own], sums.taken[own]
            if taken.any():
                values = sums.values[own][taken]
                # where the class would be if it showed no concept
                origin = place[taken].mean(axis=0) - values.mean(axis=0) @ along
                # a concept that no class shows both ways moves nothing: every class keeps its own value
                own_values = np.unique(values[:, ~differs], axis=0)
                apart = ~(patterns[:, None, ~differs] == own_values).all(axis=2).any(axis=1)
                shown = (values[:, None] == patterns).all(axis=2).sum(axis=0) + FORGIVING
            else:
                # a class of which nothing is known is parted in the middle
                of = self._reference[own]
                origin = place[of].mean(axis=0) - patterns.mean(axis=0) @ along if of.any() else 0.0
                apart, shown = np.zeros(len(patterns), dtype=bool), np.ones(len(patterns))
            even = np.log(shown / shown.sum()) - origin - np.diag(patterns @ along) / 2
            bias[c] = np.where(apart, -np.inf, even)
            scores[own] += bias[c]
        return PatternProbe(directions @ patterns.T, bias, patterns), scores


class _Sums:
    """Sums over the images taken, kept up to date as values and choice change: rounds change few images of many, and
    the fits of folds differ in few.

    scaled: (n, d), the images of class c at own[c]. values: (n, m) int8 and taken: (n,) bool, as of the last `change`.
    among: sums of other fits of the same concepts, of which the most similar are where a change begins.
    """

    def __init__(
        self,
        scaled: np.ndarray,
        own: list[slice],
        values: np.ndarray,
        taken: np.ndarray,
        among: Sequence[_Sums] = (),
    ) -> None:
        self._scaled, self._own, self._among = scaled, own, among
        self.values, self.taken = np.zeros_like(values), np.zeros_like(taken)
        # per class: one row of features for all images taken, and one for those that show each concept
        self._sums = np.zeros((len(own), 1 + values.shape[1], scaled.shape[1]))
        self.change(values, taken)

    def change(self, values: np.ndarray, taken: np.ndarray) -> None:
        def changed(start: _Sums) -> int:
            return int(((start.taken != taken) | (taken & (start.values != values).any(axis=1))).sum())

        start = min((self, *self._among), key=changed)
        weights = self._weights(values, taken) - self._weights(start.values, start.taken)
        if start is not self:
            self._sums = start._sums.copy()
        self.values, self.taken = values, taken
        self._add((weights != 0).any(axis=0), weights)

    def within(self) -> tuple[np.ndarray, np.ndarray]:
        """Products of values and values, (m, m), and of values and features, (m, d), about the means of classes."""
        m, d = self.values.shape[1], self._scaled.shape[1]
        together, outcome = np.zeros((m, m)), np.zeros((m, d))
        for own, sums in zip(self._own, self._sums, strict=True):
            values = self.values[own][self.taken[own]].astype(np.float64)
            if len(values):
                mean = values.mean(axis=0)
                together += (values - mean).T @ (values - mean)
                outcome += sums[1:] - np.outer(mean, sums[0])
        return together, outcome

    def _weights(self, values: np.ndarray, taken: np.ndarray) -> np.ndarray:
        """How often each image counts in the rows of its class: (1 + m, n) float32."""
        return np.concatenate([taken[None], values.T * taken], axis=0).astype(np.float32)

    def _add(self, changed: np.ndarray, weights: np.ndarray) -> None:
        for own, sums in zip(self._own, self._sums, strict=True):
            which = np.flatnonzero(changed[own])
            # where most have changed, reading them all is faster than picking them out
            if 2 * len(which) > own.stop - own.start:
                sums += weights[:, own] @ self._scaled[own]
            elif len(which):
                which += own.start
                sums += weights[:, which] @ self._scaled[which]


def _likeliest(patterns: np.ndarray, chances: np.ndarray, said: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """See `PatternProbe.guess`. chances: (n, p)."""
    values = patterns[chances.argmax(axis=1)]
    if said is not None:
        values = np.where(said != _UNKNOWN, said, values)
    return values.astype(np.int8), chances.max(axis=1)


def _against(patterns: np.ndarray, said: np.ndarray) -> np.ndarray:
    """Which patterns what is certain rules out: (n, p) bool. Nothing where that would be all."""
    against = np.zeros((len(said), len(patterns)), dtype=bool)
    some = np.flatnonzero((said != _UNKNOWN).any(axis=1))
    certain = said[some][:, None]
    ruled_out = ((certain != _UNKNOWN) & (certain != patterns)).any(axis=2)
    against[some] = ruled_out & ~ruled_out.all(axis=1, keepdims=True)
    return against


def _chances(scores: np.ndarray, against: np.ndarray | None) -> np.ndarray:
    """Softmax of scores (n, p) over the patterns that are not ruled out."""
    if against is not None:
        scores = np.where(against, -np.inf, scores)
    scores = np.exp(scores - scores.max(axis=1, keepdims=True))
    return scores / scores.sum(axis=1, keepdims=True)


def _standardised(features: np.ndarray, order: np.ndarray, scaling: Scaling) -> np.ndarray:
    """Features in this order on one scale: (n, d) float32."""
    mean, inverse = scaling.mean.astype(np.float32), (1 / scaling.scale).astype(np.float32)
    result = np.empty(features.shape, dtype=np.float32)
    step = max(1, _BLOCK // features.shape[1])
    for start in range(0, len(order), step):
        block = result[start : start + step]
        np.subtract(features[order[start : start + step]], mean, out=block, casting="same_kind")
        block *= inverse
    return result


def shrunk_covariance(centred: np.ndarray, outside: Outside | None = None) -> np.ndarray:
    """Covariance of (n, d) rows of mean zero, drawn towards a multiple of the identity as far as n is small.

    Ledoit & Wolf 2004: with the norm |A|^2 = tr(AA')/d, the share drawn is the error of the sample covariance over its
    distance from the multiple. (d, d) float64, positive definite. outside: of these rows; the share and the multiple
    are then those of the whole space, in which what is outside is taken to be alike in all directions.
    """
    n, d = centred.shape
    # by one and the same array on both sides, half of the products are computed
    sample = (centred.T @ centred).astype(np.float64) / n
    trace, squared = float(np.trace(sample)), float(np.vdot(sample, sample))
    lengths = np.einsum("ij,ij->i", centred, centred).astype(np.float64)
    if outside is not None and outside.dimensions:
        left = float(outside.squares.mean())
        trace, d = trace + left, d + outside.dimensions
        # n draws of as many alike differ from each other by chance as well
        squared += left**2 * (1 / outside.dimensions + 1 / n)
        lengths += outside.squares
    level = trace / d or 1.0
    distance = squared / d - level**2
    error = (float((lengths**2).mean()) - squared) / d / n
    share = 1.0 if distance <= 0 else float(np.clip(error / distance, 1e-3, 1.0))
    sample *= 1 - share
    sample[np.diag_indices_from(sample)] += share * level
    return sample
