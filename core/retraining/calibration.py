"""Calibration: whether a head that says 90% is right nine times in ten.

Bins of the largest probability, as in Guo et al. 2017 ("On Calibration of Modern Neural Networks", arXiv:1706.04599).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from core.activations.bands import assign
from core.errors import EmptyGroup
from core.retraining.intervals import wilson

BINS = 15
# a probability of 0 for what turned out true costs this much and not infinity
_SMALLEST = 1e-12


@dataclass(frozen=True)
class ReliabilityBin:
    """Images whose confidence lies in [low, high), the last bin closed. confidence: their mean largest probability;
    accuracy: the share predicted right, with its 95% interval."""

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float
    accuracy_low: float
    accuracy_high: float

    def to_dict(self) -> dict[str, Any]:
        return {
            "low": self.low,
            "high": self.high,
            "count": self.count,
            "confidence": self.confidence,
            "accuracy": self.accuracy,
            "accuracy_low": self.accuracy_low,
            "accuracy_high": self.accuracy_high,
        }


@dataclass(frozen=True)
class Calibration:
    """ece: expected calibration error, the mean over images of |accuracy - confidence| of their bin, 0..1; above 0 by
    luck even where calibration is perfect, the more so the fewer images. brier: mean squared distance of the
    probabilities from the truth, summed over classes, 0..2. nll: mean negative log-probability of the true class, in
    nats. confidence, accuracy: means over all images. bins: those that hold images, in order."""

    ece: float
    brier: float
    nll: float
    confidence: float
    accuracy: float
    count: int
    bins: tuple[ReliabilityBin, ...]

    @property
    def sentence(self) -> str:
        gap = self.confidence - self.accuracy
        if abs(gap) < 0.01:
            about = "as sure as it is right"
        else:
            about = f"{abs(gap):.1%} {'surer' if gap > 0 else 'less sure'} than it is right"
        return f"On average the head is {about}; its confidence is off by {self.ece:.1%} (expected calibration error)."

    def to_dict(self) -> dict[str, Any]:
        return {
            "ece": self.ece,
            "brier": self.brier,
            "nll": self.nll,
            "confidence": self.confidence,
            "accuracy": self.accuracy,
            "count": self.count,
            "bins": [one.to_dict() for one in self.bins],
            "sentence": self.sentence,
        }


def calibrate(probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS) -> Calibration:
    """Compare what a head says with how often it is right.

    probabilities: (n, k) float, rows summing to 1. labels: (n,) int. bins: of equal width from 0 to 1. Raises
    `EmptyGroup` without images; images whose probabilities are not numbers are left out.
    """
    probabilities = np.asarray(probabilities, dtype=np.float64)
    finite = np.isfinite(probabilities).all(axis=1)
    probabilities, labels = probabilities[finite], np.asarray(labels)[finite]
    n = len(labels)
    if not n:
        raise EmptyGroup(
            "There is no image with a prediction, so calibration cannot be measured.",
            next_step="Check that the images could be read and that the logits are numbers.",
        )
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    # 7 / 10 is what a person who writes 0.7 means; linspace is a hair off
    edges = np.arange(bins + 1) / bins
    # rounding may leave a probability a hair above 1
    where = assign(np.clip(confidence, 0, 1), edges)
    found = []
    for b in np.unique(where).tolist():
        members = where == b
        count, correct = int(members.sum()), int(right[members].sum())
        found.append(
            ReliabilityBin(
                float(edges[b]),
                float(edges[b + 1]),
                count,
                float(confidence[members].mean()),
                correct / count,
                *wilson(correct, count),
            )
        )
    own = probabilities[np.arange(n), labels]
    return Calibration(
        ece=sum(one.count * abs(one.accuracy - one.confidence) for one in found) / n,
        # |p - e_y|^2 = |p|^2 - 2 p_y + 1
        brier=float(((probabilities**2).sum(axis=1) - 2 * own + 1).mean()),
        nll=float(-np.log(np.maximum(own, _SMALLEST)).mean()),
        confidence=float(confidence.mean()),
        accuracy=float(right.mean()),
        count=n,
        bins=tuple(found),
    )


def calibration_from_dict(value: dict[str, Any]) -> Calibration:
    """The inverse of `Calibration.to_dict`."""
    kept = {key: value[key] for key in ("ece", "brier", "nll", "confidence", "accuracy", "count")}
    return Calibration(**kept, bins=tuple(_bin(one) for one in value["bins"]))


def _bin(value: dict[str, Any]) -> ReliabilityBin:
    return ReliabilityBin(**{field.name: value[field.name] for field in fields(ReliabilityBin)})
