"""Measuring heads on the test images, and the baselines beside every run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from core.classifiers.head import Head
from core.classifiers.softmax import softmax
from core.errors import EmptyGroup, NotEnoughTags
from core.progress import Progress
from core.retraining.curation import Curation, curate
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


class Measure:
    """Evaluates logits of the test images with one grouping. rows: (t,) int64, those images."""

    def __init__(self, analysis: Analysis, grouping: Grouping) -> None:
        self.rows = analysis.split_rows("test")
        self.features = np.asarray(analysis.features[self.rows], dtype=np.float32)
        self.labels = analysis.labels[self.rows]
        self.whole = grouping
        self.grouping = Grouping(
            grouping.codes[self.rows], grouping.classes, grouping.patterns, grouping.source, grouping.estimated
        )
        train = grouping.codes[analysis.split_rows("train")]
        self.train = np.bincount(train[train >= 0], minlength=grouping.count)

    def logits(self, head: Head) -> np.ndarray:
        """What a head says of the test images: (t, k) float32."""
        return head.logits(self.features)

    def __call__(self, logits: np.ndarray) -> Evaluation:
        return self.evaluate(logits.argmax(axis=1), softmax(logits))

    def evaluate(self, predicted: np.ndarray, probabilities: np.ndarray | None = None) -> Evaluation:
        """predicted: (t,) int64. probabilities: (t, k), for calibration."""
        return evaluate(predicted, self.labels, self.grouping, self.train, "test", probabilities=probabilities)

    def shifts(self, old: np.ndarray, new: np.ndarray) -> tuple[ActivationShift, ...]:
        """Where the test images lie along the classes before and after; of many classes those most often wrong before.

        old, new: (t, k) logits.
        """
        classes = self.grouping.classes
        wrong = np.bincount(self.labels[old.argmax(axis=1) != self.labels], minlength=len(classes))
        chosen = sorted(np.argsort(-wrong, kind="stable")[:MOST_SHIFTS].tolist())
        return tuple(activation_shift(old, new, self.labels, classes, self.grouping, c) for c in chosen)

    def compare(self, old: np.ndarray, new: np.ndarray, before: Evaluation, after: Evaluation) -> Comparison:
        return compare(old.argmax(axis=1), new.argmax(axis=1), self.labels, self.grouping, before, after)


def evaluation_groups(
    analysis: Analysis, gathered: Gathered, curation: Curation | None, seed: int
) -> tuple[Grouping, tuple[str, ...]]:
    """The dataset's attribute where known; else the tagged concepts as a probe sees them; else the classes. With
    sentences about it."""
    test = analysis.split_rows("test")
    if gathered.groups is not None and (gathered.groups.codes[test] >= 0).any():
        return gathered.groups, ()
    if gathered.names:
        try:
            if curation is None or curation.probe is None:
                material = gathered.material
                curation = curate(material.pool, material.concepts, rng=np.random.default_rng(seed))
            if curation.probe is not None:
                values, _ = curation.probe.guess(analysis.features, analysis.labels, gathered.states)
                note = "The groups of test are what the probe guesses of each image, so their accuracies are estimates."
                grouping = by_concepts(analysis.labels, analysis.classes, gathered.names, values, estimated=True)
                return grouping, (note,)
        except NotEnoughTags:
            pass
    note = "Neither an attribute nor enough tags say what the groups are: the groups measured are the classes."
    return by_class(analysis.labels, analysis.classes), (note,)


def measure_baselines(
    gathered: Gathered, measured: Measure, seed: int, progress: Progress
) -> tuple[tuple[Baseline, ...], list[str]]:
    """What other ways give on the same images, and sentences about those that cannot be gone."""
    notes: list[str] = []
    found: list[Baseline] = []
    rng = np.random.default_rng(seed)
    for name in ("erm", NO_PERSON, "class-balanced", "dfr"):
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
