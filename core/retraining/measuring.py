"""Measuring heads on the test images, and the baselines beside every run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from core.classifiers.head import Head
from core.classifiers.softmax import softmax
from core.errors import EmptyGroup, NotEnoughTags
from core.progress import Progress
from core.retraining.curation import Curation, curate
from core.retraining.estimates import GuessedGroups, estimated_comparison, estimated_evaluation, guessed_groups
from core.retraining.evaluation import Comparison, Evaluation, compare, evaluate
from core.retraining.groups import Grouping, by_class, by_concepts
from core.retraining.material import Gathered
from core.retraining.methods import fit, fit_without_tags, get_method
from core.retraining.result import Baseline
from core.retraining.shifts import ActivationShift, activation_shift

if TYPE_CHECKING:
    from core.activations.store import Analysis

NO_PERSON = "no-person"
# classes whose activations are followed: more make nobody wiser, and a result of megabytes
MOST_SHIFTS = 20


@dataclass(frozen=True, eq=False)
class MeasuredGroups:
    """Groups of the images measured, t of them. rows: (t,) int64. grouping: of these images. train: (g,) int64, images
    of each group in train. guessed: what a probe says of them, None where the groups are known. note: a sentence on
    where they are from, "" where they are known."""

    rows: np.ndarray
    grouping: Grouping
    train: np.ndarray
    guessed: GuessedGroups | None = None
    note: str = ""


class Measure:
    """Evaluates logits of the images of some groups."""

    def __init__(self, analysis: Analysis, groups: MeasuredGroups, *, seed: int = 0) -> None:
        self.rows, self.groups = groups.rows, groups
        self.features = np.asarray(analysis.features[self.rows], dtype=np.float32)
        self.labels = analysis.labels[self.rows]
        self._seed = seed

    @property
    def grouping(self) -> Grouping:
        return self.groups.grouping

    def logits(self, head: Head) -> np.ndarray:
        """What a head says of the test images: (t, k) float32."""
        return head.logits(self.features)

    def __call__(self, logits: np.ndarray) -> Evaluation:
        return self.evaluate(logits.argmax(axis=1), softmax(logits))

    def evaluate(self, predicted: np.ndarray, probabilities: np.ndarray | None = None) -> Evaluation:
        """predicted: (t,) int64. probabilities: (t, k), for calibration."""
        groups = self.groups
        if groups.guessed is not None:
            return estimated_evaluation(
                predicted,
                self.labels,
                groups.guessed,
                groups.train,
                "test",
                probabilities=probabilities,
                seed=self._seed,
            )
        return evaluate(predicted, self.labels, groups.grouping, groups.train, "test", probabilities=probabilities)

    def shifts(self, old: np.ndarray, new: np.ndarray) -> tuple[ActivationShift, ...]:
        """Where the test images lie along the classes before and after; of many classes those most often wrong before.

        old, new: (t, k) logits.
        """
        classes = self.grouping.classes
        wrong = np.bincount(self.labels[old.argmax(axis=1) != self.labels], minlength=len(classes))
        chosen = sorted(np.argsort(-wrong, kind="stable")[:MOST_SHIFTS].tolist())
        return tuple(activation_shift(old, new, self.labels, classes, self.grouping, c) for c in chosen)

    def compare(self, old: np.ndarray, new: np.ndarray, before: Evaluation, after: Evaluation) -> Comparison:
        """old, new: (t,) int64 predictions."""
        if self.groups.guessed is not None:
            return estimated_comparison(old, new, self.labels, self.groups.guessed, before, after, seed=self._seed)
        return compare(old, new, self.labels, self.groups.grouping, before, after)


def check_measurable(analysis: Analysis) -> None:
    """Raise `EmptyGroup` for an analysis without images to measure on, `BadRequest` for one without labels."""
    analysis.need_labels()
    if not len(analysis.split_rows("test")):
        raise EmptyGroup(
            "There is no test image, so what a repair is worth could not be told.",
            next_step="Give the dataset a test split (a column `split` of metadata.csv, or a folder `test`), then "
            "analyse it again.",
            title="Nothing to measure on",
        )


def measured_groups(
    analysis: Analysis, gathered: Gathered, curation: Curation | None, seed: int, rows: np.ndarray | None = None
) -> MeasuredGroups:
    """The dataset's attribute where known; else the tagged concepts as a probe sees them; else the classes.

    curation: whose probe is asked; None makes one. rows: (t,) int64 of test, None for all of it.
    """
    rows = analysis.split_rows("test") if rows is None else rows
    train = analysis.split_rows("train")
    if gathered.groups is not None and (gathered.groups.codes[rows] >= 0).any():
        return told_groups(analysis, gathered.groups, rows)
    guessed = _guessed(analysis, gathered, curation, seed, rows, train)
    if guessed is not None:
        return guessed
    note = "Neither an attribute nor enough tags say what the groups are: the groups measured are the classes."
    return told_groups(analysis, by_class(analysis.labels, analysis.classes), rows, note)


def told_groups(analysis: Analysis, grouping: Grouping, rows: np.ndarray, note: str = "") -> MeasuredGroups:
    """Those of `rows`, where the group of every image is known. grouping: of all images."""
    train = _of(grouping, analysis.split_rows("train"))
    return MeasuredGroups(rows, _of(grouping, rows), _counts(train), note=note)


def _guessed(
    analysis: Analysis,
    gathered: Gathered,
    curation: Curation | None,
    seed: int,
    rows: np.ndarray,
    train: np.ndarray,
) -> MeasuredGroups | None:
    material, names = gathered.material, gathered.names
    if not names:
        return None
    if curation is None or curation.probe is None:
        try:
            curation = curate(material.pool, material.concepts, rng=np.random.default_rng(seed))
        except NotEnoughTags:
            return None
    if curation.probe is None:
        return None
    held_out = material.pool.only_eligible()
    guessed = guessed_groups(
        curation.probe,
        np.asarray(analysis.features[rows], dtype=np.float32),
        analysis.labels[rows],
        gathered.states[rows],
        analysis.classes,
        names,
        reference_features=held_out.features,
        reference_labels=held_out.labels,
        held_out=curation.probe_accuracy,
    )
    labels = analysis.labels[train]
    values, _ = curation.probe.guess(analysis.features[train], labels, gathered.states[train])
    shares = _counts(by_concepts(labels, analysis.classes, names, values, estimated=True))
    return MeasuredGroups(rows, guessed.grouping, shares, guessed, guessed.note)


def _of(grouping: Grouping, rows: np.ndarray) -> Grouping:
    return replace(grouping, codes=grouping.codes[rows])


def _counts(grouping: Grouping) -> np.ndarray:
    return np.bincount(grouping.codes[grouping.codes >= 0], minlength=grouping.count)


# what a repair is measured against: the old head, what needs no person or no tags and takes a moment, the oracle
BASELINES = ("erm", NO_PERSON, "class-balanced", "afr", "jtt", "dfr")


def measure_baselines(
    gathered: Gathered, measured: Measure, seed: int, progress: Progress
) -> tuple[tuple[Baseline, ...], list[str]]:
    """What other ways give on the same images, and sentences about those that cannot be gone."""
    notes: list[str] = []
    found: list[Baseline] = []
    rng = np.random.default_rng(seed)
    for name in BASELINES:
        if name == "dfr" and gathered.material.known is None:
            continue
        title = baseline_title(name)
        try:
            if name == NO_PERSON:
                fitted = fit_without_tags(gathered.material.pool, rng=rng)
            else:
                fitted = fit(name, gathered.material, rng=rng, progress=progress)
        except EmptyGroup as error:
            notes.append(f"{title} is not among the baselines: {error.detail}")
        else:
            evaluation = measured.evaluate(measured.logits(fitted.head).argmax(axis=1))
            found.append(Baseline(name, title, evaluation.worst_group, evaluation.average))
    return tuple(found), notes


def baseline_title(method: str) -> str:
    return "No person: assumptions only" if method == NO_PERSON else get_method(method).title
