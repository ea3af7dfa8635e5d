"""Calibration of heads whose true probabilities are planted."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, log_loss

from core.classifiers.softmax import softmax
from core.errors import EmptyGroup
from core.retraining.calibration import calibrate, calibration_from_dict


def _drawn(seed: int, n: int, k: int, spread: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and labels drawn from what they say."""
    rng = np.random.default_rng(seed)
    logits = spread * rng.normal(size=(n, k))
    chances = softmax(logits)
    labels = (chances.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1)
    return logits, np.minimum(labels, k - 1)


@pytest.mark.parametrize("k", [2, 3, 10])
def test_a_head_that_means_what_it_says_is_calibrated(k: int) -> None:
    logits, labels = _drawn(0, 30_000, k)
    found = calibrate(softmax(logits), labels)
    assert found.ece < 0.01
    held = [one.accuracy_low <= one.confidence <= one.accuracy_high for one in found.bins]
    assert np.mean(held) >= 0.8
    assert "as sure as it is right" in found.sentence


def test_a_head_that_shouts_is_found_out_by_how_much() -> None:
    logits, labels = _drawn(1, 30_000, 2)
    found = calibrate(softmax(4 * logits), labels)
    truth = softmax(logits).max(axis=1).mean()
    assert found.ece == pytest.approx(softmax(4 * logits).max(axis=1).mean() - truth, abs=0.01)
    assert "surer than it is right" in found.sentence
    assert "less sure" in calibrate(softmax(logits / 4), labels).sentence


def test_by_hand() -> None:
    probabilities = np.array([[0.95, 0.05], [0.95, 0.05], [0.3, 0.7], [0.5, 0.5]])
    found = calibrate(probabilities, np.array([0, 1, 1, 0]), bins=10)
    assert [(one.low, one.count) for one in found.bins] == [
        (pytest.approx(0.5), 1),
        (pytest.approx(0.7), 1),
        (pytest.approx(0.9), 2),
    ]
    assert found.ece == pytest.approx((0.5 + 0.3 + 2 * 0.45) / 4)
    assert found.brier == pytest.approx(2 * (0.05**2 + 0.95**2 + 0.3**2 + 0.5**2) / 4)
    assert found.nll == pytest.approx(-np.log([0.95, 0.05, 0.7, 0.5]).mean())


def test_scores_equal_scikit_learns() -> None:
    logits, labels = _drawn(2, 500, 4)
    found = calibrate(softmax(logits), labels)
    assert found.nll == pytest.approx(log_loss(labels, softmax(logits)))
    expected = brier_score_loss(labels, softmax(logits), labels=range(4), scale_by_half=False)
    assert found.brier == pytest.approx(expected)


def test_every_image_is_in_one_bin() -> None:
    probabilities = np.array([[1.0, 0.0], [0.5, 0.5], [0.6, 0.4], [1.0 + 1e-9, -1e-9], [np.nan, np.nan]])
    found = calibrate(probabilities, np.zeros(5, dtype=int), bins=5)
    assert sum(one.count for one in found.bins) == found.count == 4
    # 0.6 begins a bin, and 1 is in the last one
    assert [(one.low, one.count) for one in found.bins] == [
        (pytest.approx(0.4), 1),
        (pytest.approx(0.6), 1),
        (pytest.approx(0.8), 2),
    ]


def test_certain_and_wrong_costs_much_but_not_infinity() -> None:
    found = calibrate(np.array([[1.0, 0.0]]), np.array([1]))
    assert np.isfinite(found.nll)
    assert found.nll > 20


def test_it_survives_json_and_needs_images() -> None:
    logits, labels = _drawn(3, 100, 3)
    found = calibrate(softmax(logits), labels)
    assert calibration_from_dict(json.loads(json.dumps(found.to_dict()))) == found
    with pytest.raises(EmptyGroup):
        calibrate(np.empty((0, 2)), np.empty(0, dtype=int))
