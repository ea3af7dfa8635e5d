"""Does a classifier fit a dataset? A look at a few hundred labelled images, before a pass over all of them.

The two mistakes that ruin everything after them are classes in another order and another preprocessing. Both show in
the accuracy, and both can be found by trying. What is offered was found on one half of the images and judged on the
other, so a network that is merely bad gets no offer.

Works without torch until a network is called, so that pages can import it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from core.classifiers.alternatives import Alternative, alternatives, far_below, smaller_inputs
from core.classifiers.lookahead import in_threads
from core.classifiers.order_search import ALPHA, Answers, FoundOrder, exceeds, find_order, skill
from core.classifiers.preprocessing import Preprocessing
from core.datasets.alignment import listed
from core.datasets.dataset import Dataset
from core.datasets.even_draw import even_rows
from core.datasets.images import UnreadableImage, decode
from core.errors import BadRequest, EmptyDataset, MidbandError
from core.progress import Progress, silent
from core.settings import DEFAULTS

if TYPE_CHECKING:
    from core.classifiers.classifier import Classifier
    from core.classifiers.network_precision import Runner

CLASSES, PREPROCESSING = "classes", "preprocessing"
# verdicts: it fits as it is; better than guessing, but low or with the classes in doubt; not clearly better than
# guessing
GOOD, POOR, NONE = "good", "weak", "none"

# Labelled images looked at unless told otherwise.
IMAGES = 300
# Of each class at least so many, or fewer classes: an order cannot be told from one image of each.
PER_CLASS = 6
# Where between guessing and perfection a network counts as working, so that no other preprocessing is tried.
WORKING = 0.8
# Where it counts as weak, which is said.
WEAK = 0.5
# Images for a first look at each other preprocessing, and how many of them are then tried on half of the images.
SCREENED, FINALISTS = 32, 3
# Accuracies that differ by less count as equal.
AS_GOOD = 0.02
# What another preprocessing has to gain: so much accuracy, and this share of what is missing. And where between
# guessing and perfection it has to bring the network, at the lower end of a 95% interval: of a dozen ways to change the
# colours one makes a few more images right by any network, a badly trained one, too.
LEAST_GAIN, LEAST_SHARE, LEAST_WORKING = 0.05, 0.2, 0.5
# Bytes of decoded images that are kept for trying them again.
KEPT_BYTES = 256 * 2**20
# Images from which an accuracy is told while more are tried.
LEAST_TOLD = 30
# Pixels a network sees at once, as in the pass over all images.
PIXELS_AT_ONCE = 16 * 224 * 224
# Images by which bfloat16 is compared with float32, if they are no more than so many times that.
COMPARED, TIMES_AT_ONCE = 32, 8

NO_LABELS = "These images have no labels, so whether the model fits them cannot be checked."


@dataclass(frozen=True)
class Offer:
    """One change that makes the network clearly better on images it was not chosen by.

    kind: `CLASSES` (then `classes` is the dataset's class names in the model's order, for `Choices.classes`) or
    `PREPROCESSING` (then `classes` may be there as well: both are needed). title: a few words, for a button. accuracy:
    with it, 0..1.
    """

    kind: str
    title: str
    accuracy: float
    classes: tuple[str, ...] | None = None
    preprocessing: Preprocessing | None = None

    def to_dict(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "title": self.title,
            "accuracy": self.accuracy,
            "classes": None if self.classes is None else list(self.classes),
            "preprocessing": None if self.preprocessing is None else self.preprocessing.to_dict(),
        }


@dataclass(frozen=True)
class Sanity:
    """accuracy: estimated for the whole dataset, nan without labels. chance: what always giving the most frequent class
    would reach. images: how many were looked at. verdict: of the accuracy as it is, by its 95% interval against
    guessing: `GOOD`, `POOR`, `NONE`, or None without labels. sentence: for a person. offers: the best first, usually
    none."""

    accuracy: float
    chance: float
    images: int
    verdict: str | None
    sentence: str
    offers: tuple[Offer, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return {
            "accuracy": None if math.isnan(self.accuracy) else self.accuracy,
            "chance": None if math.isnan(self.chance) else self.chance,
            "images": self.images,
            "verdict": self.verdict,
            "sentence": self.sentence,
            "offers": [offer.to_dict() for offer in self.offers],
        }


def facts_of(dataset: Dataset, classifier: Classifier) -> dict[str, Any]:
    """What a check was about, as plain JSON: the classes in the model's order, how images were prepared, what was
    assumed of either."""
    return {
        "model": classifier.name,
        "arch": classifier.arch,
        "classes": list(classifier.classes or dataset.classes),
        "preprocessing": classifier.preprocessing.to_dict(),
        "notes": [*dataset.notes, *classifier.notes],
    }


def sanity_check(
    dataset: Dataset, classifier: Classifier, *, images: int = IMAGES, seed: int = 0, progress: Progress = silent
) -> Sanity:
    """Try a classifier on `images` labelled images, drawn evenly from the classes of all splits.

    dataset and classifier: with their classes in one order, see `class_order.matched`. A dataset without labels gives a
    `Sanity` that says so. Progress counts images. Raises `ClassMismatch`, `EmptyDataset` when not one of the images can
    be read, and what `progress` raises to cancel.
    """
    if not dataset.labelled:
        return Sanity(math.nan, math.nan, 0, None, NO_LABELS)
    classifier.check_classes(dataset.classes)
    trial = _Trial(dataset, classifier, _drawn(dataset, images, seed), progress)
    predicted = trial.predicted(classifier.preprocessing, trial.everything, f"Trying {classifier.name}")
    right = predicted == trial.labels
    accuracy = trial.first = trial.accuracy(right, trial.everything)
    progress(len(right), len(right), trial.told("Trying other orders of the classes"))
    order = find_order(Answers(trial.labels, predicted, trial.found_on, classifier.k), dataset.classes)
    offers: list[Offer] = []
    if order is not None and (order.whole or trial.every_class):
        offers.append(_order_offer(dataset, trial, order))
    if trial.skill(right) < WORKING:
        # red and blue exchanged can look like classes exchanged: both are tried, the better one is offered first
        chosen = classifier.preprocessing
        tried = alternatives(chosen, whole_numbers=classifier.whole_numbers)
        offers += _size_offers(dataset, trial, chosen, right) or _preprocessing_offers(trial, tried, right)
    offers.sort(key=lambda offer: -offer.accuracy)
    verdict = _verdict(trial, right, order)
    sentence = _sentence(trial, right, verdict, order, offers)
    if verdict != GOOD and not offers and far_below(classifier.preprocessing, trial.size):
        crop = classifier.preprocessing.crop
        sentence += f" The images are {trial.size[0]} x {trial.size[1]}, the network gets {crop} x {crop}: was it "
        sentence += "trained on smaller inputs?"
    return Sanity(accuracy, trial.chance, len(right), verdict, sentence, tuple(offers))


def _drawn(dataset: Dataset, images: int, seed: int) -> np.ndarray:
    """Rows (m,) int64, evenly from the classes, or from some of them where they are too many for `images`."""
    rng = np.random.default_rng(seed)
    present = np.unique(dataset.labels)
    most = max(2, images // PER_CLASS)
    if len(present) <= most:
        return even_rows(dataset.labels, images, seed=seed)
    kept = np.flatnonzero(np.isin(dataset.labels, rng.choice(present, most, replace=False)))
    return kept[even_rows(dataset.labels[kept], images, seed=seed)]


class _Trial:
    """The images drawn, those that can be read, and what the network says of them."""

    def __init__(self, dataset: Dataset, classifier: Classifier, rows: np.ndarray, progress: Progress) -> None:
        self._dataset, self._classifier, self._progress = dataset, classifier, progress
        self._pictures = dataset.pictures()
        self._kept: dict[int, Image.Image] = {}
        # accuracy of the network as it came, once it is known
        self.first: float | None = None
        # (width, height) of a usual image
        self.size = (1, 1)
        self._runner: Runner | None = None
        self._rows = self._read(rows)
        self.labels = dataset.labels[self._rows]
        self.everything = np.arange(len(self._rows))
        shares = np.bincount(dataset.labels, minlength=len(dataset.classes)) / len(dataset)
        counts = np.bincount(self.labels, minlength=len(shares))
        self.most_frequent, self.chance = dataset.classes[int(shares.argmax())], float(shares.max())
        self.guess = float(counts.max() / len(self.labels))
        self.every_class = np.count_nonzero(counts) == np.count_nonzero(shares)
        self._weights = (shares / np.maximum(counts, 1))[self.labels]
        # every second image of each class: the two halves are alike
        order = np.argsort(self.labels, kind="stable")
        turn = np.empty_like(order)
        turn[order] = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
        self.found_on = turn % 2 == 0

    def accuracy(self, right: np.ndarray, chosen: np.ndarray) -> float:
        """right: bool, of the images at these positions. An estimate of the share in the whole dataset."""
        weights = self._weights[chosen]
        return float((right * weights).sum() / weights.sum())

    def skill(self, right: np.ndarray, *, lower: bool = False) -> float:
        return skill(int(right.sum()), len(right), self.guess, lower=lower)

    def predicted(self, preprocessing: Preprocessing, chosen: np.ndarray, message: str) -> np.ndarray:
        """What the network takes the images at these positions for when they are prepared so: (m,) int64, -1 where its
        logits are not finite."""
        from core.classifiers.classifier import with_preprocessing

        at_once = max(1, PIXELS_AT_ONCE // preprocessing.crop**2)
        read = in_threads(
            lambda row: preprocessing.pixels(self._picture(row)), self._rows[chosen].tolist(), ahead=2 * at_once
        )
        found = np.empty(len(chosen), dtype=np.int64)
        start = 0
        with closing(read):
            while start < len(chosen):
                self._progress(start, len(chosen), self._told(message, found[:start], chosen[:start]))
                first = self._runner is None
                wanted = max(at_once, min(COMPARED, TIMES_AT_ONCE * at_once)) if first else at_once
                end = min(start + wanted, len(chosen))
                pixels = np.stack([next(read) for _ in range(start, end)])
                if self._runner is None:
                    self._runner, logits = _fastest(self._classifier, pixels, at_once, len(self._rows))
                else:
                    prepared = with_preprocessing(self._runner.classifier, preprocessing)
                    logits = replace(self._runner, classifier=prepared)(pixels)[1]
                found[start:end] = np.where(np.isfinite(logits).all(axis=1), logits.argmax(axis=1), -1)
                start = end
        self._progress(len(chosen), len(chosen), self._told(message, found, chosen))
        return found

    def told(self, message: str) -> str:
        """A message, after the accuracy of the network as it came where that is known."""
        return message if self.first is None else f"{self.first:.0%} right so far, {message[0].lower()}{message[1:]}"

    def _told(self, message: str, predicted: np.ndarray, chosen: np.ndarray) -> str:
        if self.first is not None or len(predicted) < LEAST_TOLD:
            return self.told(message)
        return f"{message}: {self.accuracy(predicted == self.labels[chosen], chosen):.0%} right so far"

    def takes(self, preprocessing: Preprocessing) -> bool:
        """Whether the network can be given inputs of this size: many are made for one."""
        from core.classifiers.classifier import with_preprocessing

        assert self._runner is not None
        pixels = preprocessing.pixels(self._picture(int(self._rows[0])))[None]
        try:
            prepared = with_preprocessing(self._runner.classifier, preprocessing)
            logits = replace(self._runner, classifier=prepared)(pixels)[1]
        except (MidbandError, RuntimeError, AssertionError, ValueError, TypeError, IndexError):
            return False
        return logits.shape == (1, self._classifier.k)

    def _read(self, rows: np.ndarray) -> np.ndarray:
        """Those of the rows that can be read; their pictures are kept as far as memory allows."""
        kept, sizes, budget, problem = [], [], KEPT_BYTES, ""
        found = in_threads(self._try, rows.tolist(), ahead=16)
        with closing(found):
            for done, (row, read) in enumerate(zip(rows.tolist(), found, strict=True)):
                self._progress(done, len(rows), "Reading some images")
                if isinstance(read, str):
                    problem = problem or read
                    continue
                kept.append(row)
                sizes.append(read.size)
                budget -= read.width * read.height * 3
                if budget > 0:
                    self._kept[row] = read
        if not kept:
            raise EmptyDataset(
                f"None of {len(rows):,} images of {self._dataset.name} could be read (the first: {problem}).",
                next_step="Check that the files are images and that they are whole.",
            )
        width, height = np.median(sizes, axis=0).astype(int).tolist()
        self.size = width, height
        return np.array(kept, dtype=np.int64)

    def _try(self, row: int) -> Image.Image | str:
        try:
            return self._decoded(row)
        except UnreadableImage as problem:
            return problem.reason

    def _picture(self, row: int) -> Image.Image:
        kept = self._kept.get(row)
        return self._decoded(row) if kept is None else kept

    def _decoded(self, row: int) -> Image.Image:
        return decode(self._pictures.read(str(self._dataset.images[row])), DEFAULTS.max_image_pixels)


def _fastest(classifier: Classifier, pixels: np.ndarray, at_once: int, images: int) -> tuple[Runner, np.ndarray]:
    """In bfloat16 where that is fast and says the same of these pixels, (b, s, s, c) uint8; and its logits of them,
    (b, k)."""
    from core.classifiers.network_precision import BF16, FP32, parity, runner, why_not_bf16

    def logits_by(ready: Runner) -> np.ndarray:
        parts = [pixels[start : start + at_once] for start in range(0, len(pixels), at_once)]
        return np.concatenate([ready(part)[1] for part in parts])

    exact = runner(classifier, FP32)
    logits = logits_by(exact)
    # what might be tried besides is as much again
    if why_not_bf16(classifier, 2 * images):
        return exact, logits
    try:
        rounded = runner(classifier, BF16)
    except BadRequest:
        return exact, logits
    found = logits_by(rounded)
    return (rounded, found) if parity(logits, found).holds else (exact, logits)


def _order_offer(dataset: Dataset, trial: _Trial, order: FoundOrder) -> Offer:
    judged = np.flatnonzero(~trial.found_on)
    accuracy = trial.accuracy(order.right, judged)
    names = order.names(dataset.classes)
    moved = [new for new, old in zip(names, dataset.classes, strict=True) if new != old]
    title = f"Exchange {moved[1]} and {moved[0]}" if len(moved) == 2 else f"Use the order {listed(names)}"
    return Offer(CLASSES, title, accuracy, classes=names)


def _size_offers(dataset: Dataset, trial: _Trial, chosen: Preprocessing, right: np.ndarray) -> list[Offer]:
    """A smaller input, for images that are far below the present one; with another order of the classes if the answers
    speak for it, since at the wrong size no order can be seen."""
    judged = np.flatnonzero(~trial.found_on)
    if not len(judged):
        return []
    best: tuple[float, Alternative, FoundOrder | None, np.ndarray] | None = None
    for tried in smaller_inputs(chosen, trial.size):
        if not trial.takes(tried.preprocessing):
            continue
        predicted = trial.predicted(tried.preprocessing, trial.everything, f"Trying {tried.title}")
        order = find_order(Answers(trial.labels, predicted, trial.found_on, len(dataset.classes)), dataset.classes)
        if order is not None and not (order.whole or trial.every_class):
            order = None
        wanted = trial.labels if order is None else order.logits[trial.labels]
        score = float((predicted == wanted)[trial.found_on].mean())
        if best is None or score > best[0]:
            then = (predicted == trial.labels)[judged] if order is None else order.right
            best = score, tried, order, then
    if best is None or not _clear(trial, best[3], right[judged]):
        return []
    _, tried, order, then = best
    names = None if order is None else order.names(dataset.classes)
    title = f"Use {tried.title}" + ("" if names is None else f" and the order {listed(names)}")
    return [Offer(PREPROCESSING, title, trial.accuracy(then, judged), classes=names, preprocessing=tried.preprocessing)]


def _preprocessing_offers(trial: _Trial, tried: Sequence[Alternative], right: np.ndarray) -> list[Offer]:
    """The other preprocessing that did best on one half, if it is clearly better on the other."""
    searched, judged = np.flatnonzero(trial.found_on), np.flatnonzero(~trial.found_on)
    if not len(judged):
        return []

    def accuracy(one: Alternative, positions: np.ndarray) -> float:
        predicted = trial.predicted(one.preprocessing, positions, f"Trying {one.title}")
        return float((predicted == trial.labels[positions]).mean())

    first = searched[:SCREENED]
    screened = np.array([accuracy(one, first) for one in tried])
    if screened.max() <= right[first].mean():
        return []
    # the likelier first where they are as good: several may mend what one change spoiled
    finalists = [tried[place] for place in sorted(np.argsort(-screened, kind="stable")[:FINALISTS].tolist())]
    scores = [accuracy(one, searched) for one in finalists]
    best = next(one for one, score in zip(finalists, scores, strict=True) if score >= max(scores) - AS_GOOD)
    then, now = (
        trial.predicted(best.preprocessing, judged, f"Trying {best.title}") == trial.labels[judged],
        right[judged],
    )
    if not _clear(trial, then, now):
        return []
    return [Offer(PREPROCESSING, f"Use {best.title}", trial.accuracy(then, judged), preprocessing=best.preprocessing)]


def _clear(trial: _Trial, then: np.ndarray, now: np.ndarray) -> bool:
    """Whether another preprocessing is worth offering. then, now: of the same images, whether each is right with it and
    without."""
    gain = float(then.mean() - now.mean())
    return (
        gain >= max(LEAST_GAIN, LEAST_SHARE * (1 - float(now.mean())))
        and exceeds(int((then & ~now).sum()), int((now & ~then).sum())) <= ALPHA
        and trial.skill(then, lower=True) >= LEAST_WORKING
    )


def _verdict(trial: _Trial, right: np.ndarray, order: FoundOrder | None) -> str:
    # images are drawn evenly from the classes: guessing is judged on them, not on the shares of the dataset
    if trial.skill(right, lower=True) <= 0:
        return NONE
    return POOR if order is not None or trial.skill(right) < WEAK else GOOD


def _sentence(trial: _Trial, right: np.ndarray, verdict: str, order: FoundOrder | None, offers: Sequence[Offer]) -> str:
    found = f"Accuracy is {trial.accuracy(right, trial.everything):.0%} on {len(right):,} images"
    if offers and offers[0].kind == CLASSES and (names := offers[0].classes) is not None:
        return f"{found}: the classes may be in another order. With {listed(names)} it is {offers[0].accuracy:.0%}."
    if offers:
        made = offers[0].title.removeprefix("Use ")
        if offers[0].classes is not None:
            both = "inputs may be smaller and the classes in another order"
            return f"{found}: {both}. With {made} it is {offers[0].accuracy:.0%}."
        return f"{found}: the preprocessing may be another one. With {made} it is {offers[0].accuracy:.0%}."
    if order is not None:
        return (
            f"{found}: the classes are probably in another order, but there are too many to find it by trying. Give "
            "their names in the model's order."
        )
    nothing = "No other order of the classes and no usual preprocessing is clearly better"
    if verdict == NONE:
        compared = "no better" if trial.skill(right) <= 0 else "not clearly better"
        return (
            f"{found}, {compared} than always answering {trial.most_frequent} ({trial.chance:.0%}). {nothing}: the "
            "model may have been trained on other images, or badly."
        )
    if verdict == POOR:
        return f"{found}, which is low. {nothing}."
    return f"{found}: the order of the classes and the preprocessing look right."
