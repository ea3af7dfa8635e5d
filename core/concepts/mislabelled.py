"""Which labels are probably wrong: images whose features contradict their label in a model that has not seen them.

Within each split, a last layer is fitted to the labels on four fifths of the images, every class with the same total
weight, and asked about the remaining fifth, five times: so every image gets probabilities from a model that did not
learn its label. An image is suspected when another class is the most probable one and as probable as that class
usually is for its own images (the thresholds of confident learning, Northcutt et al. 2021, arXiv:1911.00068); the
further the other class is ahead, the more suspicious.

Exceptions to a shortcut (a waterbird on land) do not swamp the list: the background speaks against their label and
the bird for it, so they end in the middle, while a wrong label has both against it. Weighting class x concept cells
equally, as retraining does, makes the list much worse: nearly all wrong labels lie in the rare cells, and would count
as much there as the true exceptions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from core.classifiers.head import Head
from core.classifiers.softmax import softmax_regression, standardise
from core.datasets.dataset import SPLITS
from core.files import release
from core.progress import Progress, silent

if TYPE_CHECKING:
    from core.activations.store import Analysis
    from core.concepts.labels import LabelVerdicts

# images that are checked at most, in all splits together
MOST_IMAGES = 100_000
# images a fold's last layer is fitted on: at most, at least, and so that images x features x classes stay below
MOST_FITTED, FEWEST_FITTED, MOST_NUMBERS = 10_000, 2_000, 10_000_000
FOLDS = 5
# of a class with fewer images in a split, no label is doubted: too few are left to learn from
FEWEST_OF_A_CLASS = 10
# chosen on the demo with 3% wrong labels; 0.1 finds as many on val and train, and fewer on test
L2 = 0.01
# from so many classes on, least squares stands in for softmax regression, whose work grows with them
MANY_CLASSES = 20
# ridge of it, in units of one feature's variance
_RIDGE = 0.1
# how sharp a choice among least-squares scores may become
_SHARPNESS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
# images that is found on, and scores that become probabilities at once
_SHARPENED, _AT_ONCE = 10_000, 1_000_000
# images like a suspect that are counted, and those they are looked for among
NEIGHBOURS, AMONG = 15, 20_000


@dataclass(frozen=True)
class Suspect:
    """An image whose label may be wrong. given, likely: class indices. score: 0..1, how far the likely class is ahead
    of the given one. nearest: its nearest images of the same split, and how many of them have the likely label.
    why: a sentence."""

    row: int
    given: int
    likely: int
    score: float
    nearest: tuple[int, int]
    why: str

    def to_dict(self) -> dict[str, Any]:
        return {
            "row": self.row,
            "given": self.given,
            "likely": self.likely,
            "score": self.score,
            "why": self.why,
        }


@dataclass(frozen=True, eq=False)
class LabelCheck:
    """suspects: the most suspicious first. found: how many there are, listed or not. checked, total: images.
    notes: what could not be told, and what was left out, one sentence each."""

    suspects: tuple[Suspect, ...]
    found: int
    checked: int
    total: int
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        return {
            "suspects": [suspect.to_dict() for suspect in self.suspects],
            "found": self.found,
            "checked": self.checked,
            "total": self.total,
            "notes": list(self.notes),
        }


def suspects(analysis: Analysis, *, verdicts: LabelVerdicts | None = None, limit: int = 200) -> tuple[Suspect, ...]:
    """The suspects of `check_labels`."""
    return check_labels(analysis, verdicts=verdicts, limit=limit).suspects


def check_labels(
    analysis: Analysis,
    *,
    verdicts: LabelVerdicts | None = None,
    limit: int = 200,
    seed: int = 0,
    progress: Progress = silent,
) -> LabelCheck:
    """Rank the images whose labels are probably wrong, at most `limit`.

    verdicts: what people said already; nothing is learnt from images that were left out, corrected labels count, and
    judged images are not listed. At most 100,000 images are checked, drawn evenly, and a note says so. Where features
    tell nothing of the labels nobody is suspected, and a note says so. Progress counts folds. Deterministic. Raises
    `BadRequest` where there are no labels.
    """
    analysis.need_labels()
    rng = np.random.default_rng(seed)
    labels = np.asarray(analysis.labels) if verdicts is None else verdicts.labels
    usable = np.ones(analysis.n, dtype=bool) if verdicts is None else ~verdicts.excluded
    silenced = np.zeros(analysis.n, dtype=bool) if verdicts is None else verdicts.judged
    rows = np.flatnonzero(usable)
    notes = []
    if len(rows) > MOST_IMAGES:
        notes.append(f"{MOST_IMAGES:,} of {len(rows):,} images were checked, drawn evenly.")
        rows = np.sort(rng.choice(rows, MOST_IMAGES, replace=False))
    names = [name for name in analysis.split_names if len(rows)]
    found: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    checked = 0
    for place, name in enumerate(names):
        mine = rows[analysis.splits[rows] == SPLITS.index(name)]
        sizes = np.bincount(labels[mine], minlength=analysis.k)
        mine = mine[sizes[labels[mine]] >= FEWEST_OF_A_CLASS]
        classes = np.unique(labels[mine])
        if len(classes) < 2:
            notes.append(f"Too few images in {name} to doubt a label.")
            continue
        checked += len(mine)
        codes = np.searchsorted(classes, labels[mine])

        def told(done: int, before: int = place * FOLDS) -> None:
            progress(before + done, len(names) * FOLDS, "Asking models about labels they have not seen")

        chances = unseen_chances(analysis.features, mine, codes, len(classes), rng=rng, done=told)
        if not tells_classes(chances, codes):
            notes.append(f"In {name}, the features do not tell the classes apart, so no label can be doubted.")
            continue
        doubted, likely, lead = doubtful(chances, codes)
        found.append((mine[doubted], classes[likely], lead))
    if not found:
        return LabelCheck((), 0, checked, analysis.n, tuple(notes))
    found_rows, likely, lead = (np.concatenate(parts) for parts in zip(*found, strict=True))
    listed = ~silenced[found_rows]
    found_rows, likely, lead = found_rows[listed], likely[listed], lead[listed]
    order = np.lexsort((found_rows, -lead))[:limit]
    return LabelCheck(
        _told(analysis, labels, rows, found_rows[order], likely[order], lead[order], rng),
        len(found_rows),
        checked,
        analysis.n,
        tuple(notes),
    )


def doubtful(chances: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which labels are doubted: places (s,) int64, the likely class (s,) int64 of each, and its lead (s,) float64 over
    the given one in 0..1.

    chances: (n, k) from models that did not see the label. labels: (n,) in 0..k-1, every class occurring.
    """
    everyone = np.arange(len(labels))
    own = chances[everyone, labels]
    usual = np.bincount(labels, weights=own, minlength=chances.shape[1]) / np.bincount(labels)
    best = chances.argmax(axis=1)
    places = np.flatnonzero((best != labels) & (chances[everyone, best] >= usual[best]))
    likely = best[places]
    return places, likely, chances[places, likely] - own[places]


def tells_classes(chances: np.ndarray, labels: np.ndarray) -> bool:
    """Whether the models guess labels surely better than chance: the mean of the classes' shares of right guesses, less
    two standard errors, lies above 1 / k. chances: (n, k). labels: (n,) in 0..k-1, every class occurring."""
    sizes = np.bincount(labels)
    shares = np.bincount(labels, weights=chances.argmax(axis=1) == labels) / sizes
    # Laplace's rule, so that a class all of whose few images are right does not count as certain
    kept = (shares * sizes + 1) / (sizes + 2)
    error = np.sqrt((kept * (1 - kept) / sizes).sum()) / len(sizes)
    return bool(shares.mean() - 2 * error > 1 / len(sizes))


def unseen_chances(
    features: np.ndarray,
    rows: np.ndarray,
    labels: np.ndarray,
    k: int,
    *,
    rng: np.random.Generator,
    done: Any = None,
) -> np.ndarray:
    """Each class's probability for images by last layers fitted without them: (n, k) float32, which for 100,000 images
    of 1,000 classes is 400 MB and the most that is held.

    features: (all, d) float32, may be a map; rows: (n,) of it. labels: (n,) in 0..k-1. done: called with the number of
    folds after each.
    """
    fold = np.empty(len(rows), dtype=np.int64)
    for c in range(k):
        members = np.flatnonzero(labels == c)
        fold[rng.permutation(members)] = np.arange(len(members)) % FOLDS
    most = int(np.clip(MOST_NUMBERS // (features.shape[1] * min(k, MANY_CLASSES)), FEWEST_FITTED, MOST_FITTED))
    scores = np.empty((len(rows), k), dtype=np.float32)
    for i in range(FOLDS):
        training, held = np.flatnonzero(fold != i), np.flatnonzero(fold == i)
        if len(training) > most:
            training = _every_class(training, labels, most, rng)
        block = _block(features, rows[training])
        scaling = standardise(block)
        head = _fit(scaling.apply(block), labels[training], k)
        for start in range(0, len(held), MOST_FITTED):
            part = held[start : start + MOST_FITTED]
            scores[part] = head.logits(scaling.apply(_block(features, rows[part])))
        if done is not None:
            done(i + 1)
    sharpness = 1.0
    if k >= MANY_CLASSES:
        # as sharp as makes the labels most probable
        some = np.sort(rng.choice(len(rows), min(len(rows), _SHARPENED), replace=False))
        own = np.arange(len(some)), labels[some]
        fits = [np.log(np.maximum(_chances(scores[some], s)[own], 1e-12)).mean() for s in _SHARPNESS]
        sharpness = _SHARPNESS[int(np.argmax(fits))]
    return _chances(scores, sharpness)


def _chances(scores: np.ndarray, sharpness: float) -> np.ndarray:
    """softmax(sharpness * scores) in the memory of the scores, (n, k) float32."""
    size = max(1, _AT_ONCE // scores.shape[1])
    for start in range(0, len(scores), size):
        block = scores[start : start + size]
        block -= block.max(axis=1, keepdims=True)
        block *= np.float32(sharpness)
        np.exp(block, out=block)
        block /= block.sum(axis=1, keepdims=True)
    return scores


def _every_class(training: np.ndarray, labels: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    """About `most` of the images, drawn evenly, but a few of each class at least."""
    mixed = rng.permutation(training)
    order = np.argsort(labels[mixed], kind="stable")
    sizes = np.bincount(labels[mixed])
    starts = np.cumsum(sizes) - sizes
    rank = np.empty(len(mixed), dtype=np.int64)
    rank[order] = np.arange(len(mixed)) - starts[labels[mixed[order]]]
    return np.sort(mixed[(np.arange(len(mixed)) < most) | (rank < FEWEST_OF_A_CLASS)])


def _fit(x: np.ndarray, labels: np.ndarray, k: int) -> Head:
    """x: (m, d) float32, standardised. Every class has the same total weight."""
    weights = 1 / np.bincount(labels, minlength=k)[labels]
    if k < MANY_CLASSES:
        return softmax_regression(x, labels, weights, classes=k, l2=L2, tolerance=1e-3, max_iterations=200)
    weights = (weights / weights.sum()).astype(np.float32)
    weighted = x * weights[:, None]
    mean = weighted.sum(axis=0, dtype=np.float64)
    gram = (weighted.T @ x).astype(np.float64) - np.outer(mean, mean) + _RIDGE * np.eye(x.shape[1])
    # of the one-hot labels: their sums by class, and their means
    sums = np.zeros((k, x.shape[1]))
    np.add.at(sums, labels, weighted)
    shares = np.bincount(labels, weights=weights, minlength=k)
    weight = np.linalg.solve(gram, (sums - np.outer(shares, mean)).T).T
    # scores of about one size whatever k is: a one-hot column has the mean 1 / k
    return Head((k * weight).astype(np.float32), (k * (shares - weight @ mean)).astype(np.float32))


def _block(features: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """(m, d) float32 in memory; 0 for what is not finite."""
    found = features[rows]
    release(features)
    if not np.isfinite(found.sum(dtype=np.float64)):
        found = np.nan_to_num(found, nan=0.0, posinf=0.0, neginf=0.0)
    return found


def _told(
    analysis: Analysis,
    labels: np.ndarray,
    rows: np.ndarray,
    found: np.ndarray,
    likely: np.ndarray,
    lead: np.ndarray,
    rng: np.random.Generator,
) -> tuple[Suspect, ...]:
    """Suspects with what their nearest images say. rows: all that were checked. found, likely, lead: (s,)."""
    told: dict[int, Suspect] = {}
    for code in np.unique(analysis.splits[found]).tolist():
        among = rows[analysis.splits[rows] == code]
        if len(among) > AMONG:
            among = np.sort(rng.choice(among, AMONG, replace=False))
        mine = np.flatnonzero(analysis.splits[found] == code)
        others = _block(analysis.features, among)
        scaling = standardise(others)
        others = scaling.apply(others)
        asked = scaling.apply(_block(analysis.features, found[mine]))
        distances = np.square(others).sum(axis=1) - 2 * asked @ others.T
        # never the image itself
        distances[found[mine][:, None] == among] = np.inf
        near = np.argsort(distances, axis=1, kind="stable")[:, : min(NEIGHBOURS, len(among) - 1)]
        for place, nearest in zip(mine.tolist(), near, strict=True):
            row, other = int(found[place]), int(likely[place])
            agree = int((labels[among[nearest]] == other).sum())
            name = analysis.classes[other]
            why = f"Its features look like {name}; {agree} of the {len(nearest)} images most like it are labelled so."
            told[place] = Suspect(row, int(labels[row]), other, float(lead[place]), (len(nearest), agree), why)
    return tuple(told[place] for place in range(len(found)))
