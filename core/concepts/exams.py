"""How well a classifier names images it did not learn from, and whether another set of images tells something else."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from core.activations.store import Analysis

# of accuracy, between two sets of images: this much is not chance, and worth a word
APART = 0.05
# of the share of unusual images: from here on one exam asks for something else than the other
UNLIKE = 0.1


@dataclass(frozen=True)
class Exam:
    """split: "" where there is no image. accuracy: 0..1, NaN without images. count: of images. unusual: the share of
    them, 0..1, that go with another value of the first attribute than most images of their class that were learnt from;
    None where the dataset has no attribute."""

    split: str
    accuracy: float
    count: int
    unusual: float | None = None

    @property
    def learnt(self) -> bool:
        """Whether these are the very images that were learnt from."""
        return self.split in ("train", "")

    def is_stranger_than(self, other: Exam) -> bool:
        """Whether clearly more of its images are unusual."""
        if self.unusual is None or other.unusual is None:
            return False
        return self.unusual - other.unusual >= UNLIKE

    def to_dict(self) -> dict[str, Any]:
        return {"split": self.split, "accuracy": self.accuracy, "images": self.count, "unusual": self.unusual}


def exam(analysis: Analysis) -> Exam:
    """The one whose score is told: on val, else on test, else on the images that were learnt from."""
    split = next((name for name in ("val", "test", "train") if len(analysis.split_rows(name))), "")
    return exam_on(analysis, split) if split else Exam("", float("nan"), 0)


def second_exam(analysis: Analysis) -> Exam | None:
    """The one on test, where it is told on val and test is clearly harder."""
    first = exam(analysis)
    if first.split != "val" or not len(analysis.split_rows("test")):
        return None
    other = exam_on(analysis, "test")
    return other if first.accuracy - other.accuracy >= APART else None


@lru_cache(maxsize=32)
def exam_on(analysis: Analysis, split: str) -> Exam:
    """split: one with images."""
    rows = analysis.split_rows(split)
    return Exam(split, 1 - share_wrong(analysis, rows), len(rows), _unusual(analysis, rows))


def share_wrong(analysis: Analysis, rows: np.ndarray) -> float:
    """The share of some images, 0..1, that is named wrongly; NaN for none."""
    if not len(rows):
        return float("nan")
    return float((np.asarray(analysis.predicted[rows]) != np.asarray(analysis.labels[rows])).mean())


def _unusual(analysis: Analysis, rows: np.ndarray) -> float | None:
    if not analysis.attributes or not analysis.labelled:
        return None
    attribute = analysis.attributes[0]
    learnt = analysis.split_rows("train")
    learnt = learnt if len(learnt) else np.arange(analysis.n)
    learnt, rows = (which[attribute.codes[which] >= 0] for which in (learnt, rows))
    if not len(rows):
        return None
    values = len(attribute.values)
    pairs = np.asarray(analysis.labels[learnt], dtype=np.int64) * values + attribute.codes[learnt]
    usual = np.bincount(pairs, minlength=analysis.k * values).reshape(analysis.k, values).argmax(axis=1)
    return float((usual[analysis.labels[rows]] != attribute.codes[rows]).mean())
