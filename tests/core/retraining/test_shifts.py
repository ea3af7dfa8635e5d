"""Has the middle emptied: planted heads, where the answer is known."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.activations.proposals import mid_range
from core.errors import BadRequest, EmptyGroup
from core.retraining.groups import by_attribute, by_class
from core.retraining.shifts import MIDDLE, activation_shift, common_scale, margin

CLASSES = ("landbird", "waterbird")
N = 800
RNG = np.random.default_rng(0)
LABELS = np.arange(N) % 2
# where place and class disagree the old head is torn
PLACE = np.where(RNG.random(N) < 0.7, LABELS, 1 - LABELS)
SIDE = 2 * LABELS - 1
NOISE = 0.2 * RNG.normal(size=N)
GROUPS = by_attribute(LABELS, CLASSES, "place", ("land", "water"), PLACE)


def _logits(lead: np.ndarray) -> np.ndarray:
    return np.stack([-lead / 2, lead / 2], axis=1)


TORN = _logits(SIDE * np.where(PLACE == LABELS, 1.0, 0.1) + NOISE)
SURE = _logits(SIDE * 1.0 + NOISE)


def test_a_middle_that_empties_is_seen_and_where() -> None:
    found = activation_shift(TORN, SURE, LABELS, CLASSES, GROUPS, 1)
    assert found.emptied
    assert found.middle_after < found.middle_before / 4
    assert "has emptied" in found.sentence
    moved = {(one.class_name, one.concept): one.middle_before - one.middle_after for one in found.groups}
    assert min(moved["landbird", "water"], moved["waterbird", "land"]) > 80
    assert max(moved["landbird", "land"], moved["waterbird", "water"]) < 30


def test_a_middle_that_fills_is_not_called_empty() -> None:
    found = activation_shift(SURE, TORN, LABELS, CLASSES, GROUPS, 1)
    assert not found.emptied
    assert "filled" in found.sentence


@given(st.floats(0.01, 1000), st.floats(-50, 50), st.integers(0, 1))
def test_a_head_that_only_shouts_empties_nothing(factor: float, offset: float, c: int) -> None:
    louder = factor * TORN + offset * RNG.normal(size=(N, 1))
    found = activation_shift(TORN, louder, LABELS, CLASSES, GROUPS, c)
    assert not found.emptied
    # rounding may carry an image over an edge
    assert np.abs(np.array(found.before) - np.array(found.after)).sum() <= 4


def test_a_bias_that_shifts_all_images_empties_nothing() -> None:
    shifted = TORN + np.array([0.0, 3.0])
    found = activation_shift(TORN, shifted, LABELS, CLASSES, GROUPS, 1)
    assert found.middle_before == found.middle_after


def test_luck_is_not_called_emptying() -> None:
    rng = np.random.default_rng(1)
    called = 0
    for _ in range(200):
        before, after = (_logits(SIDE + 0.9 * rng.normal(size=N)) for _ in range(2))
        called += activation_shift(before, after, LABELS, CLASSES, GROUPS, 1).emptied
    assert called / 200 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 200)


def test_counts_sum_to_the_images_and_the_middle_to_its_bars() -> None:
    wild = TORN.copy()
    wild[:5] *= 1e6
    wild[5] = np.nan
    wild[6, 0] = np.inf
    found = activation_shift(wild, SURE, LABELS, CLASSES, GROUPS, 1)
    assert found.not_a_number == 2
    assert sum(found.before) == sum(found.after) == found.count == N - 2
    edges = np.array(found.edges)
    inside = (edges[:-1] >= MIDDLE[0]) & (edges[1:] <= MIDDLE[1])
    assert edges[:-1][inside].min() == MIDDLE[0]
    assert edges[1:][inside].max() == MIDDLE[1]
    assert np.array(found.before)[inside].sum() == found.middle_before
    assert np.array(found.after)[inside].sum() == found.middle_after
    for part in ("before", "after"):
        assert np.array_equal(np.sum([getattr(group, part) for group in found.groups], axis=0), getattr(found, part))


def test_the_middle_is_the_one_of_the_bands() -> None:
    values, own = margin(TORN, 1), LABELS == 1
    middle = mid_range(values, own, "waterbird")
    scaled, fair = common_scale(np.append(values, [middle.low, middle.high]), np.append(own, [False, False]))
    assert fair
    straight, _ = common_scale(values, own)
    slope = np.polyfit(values, straight, 1)
    assert np.polyval(slope, [middle.low, middle.high]) == pytest.approx(MIDDLE)
    assert len(scaled) == N + 2


def test_a_head_that_does_not_tell_the_class_has_no_middle() -> None:
    found = activation_shift(-TORN, SURE, LABELS, CLASSES, GROUPS, 1)
    assert not found.comparable
    assert not found.emptied
    assert "no middle" in found.sentence
    flat = activation_shift(np.zeros((N, 2)), np.zeros((N, 2)), LABELS, CLASSES, GROUPS, 0)
    assert not flat.comparable
    assert sum(flat.before) == N


def test_many_classes_images_of_unknown_group_and_json() -> None:
    rng = np.random.default_rng(2)
    labels = np.arange(300) % 3
    logits = 2 * np.eye(3)[labels] + rng.normal(size=(300, 3))
    place = rng.integers(-1, 2, size=300)
    groups = by_attribute(labels, ("a", "b", "c"), "place", ("x", "y"), place)
    found = activation_shift(logits, 3 * logits, labels, ("a", "b", "c"), groups, 2)
    assert sum(group.count for group in found.groups) == (place >= 0).sum()
    assert found.own_before == ((labels == 2) & _middle(margin(logits, 2), labels == 2)).sum()
    assert json.loads(json.dumps(found.to_dict()))["class"] == "c"


def _middle(values: np.ndarray, own: np.ndarray) -> np.ndarray:
    scaled, _ = common_scale(values, own)
    return (scaled >= MIDDLE[0]) & (scaled < MIDDLE[1])


def test_what_is_not_there_cannot_be_compared() -> None:
    groups = by_class(LABELS, CLASSES)
    with pytest.raises(BadRequest):
        activation_shift(TORN, SURE, LABELS, CLASSES, groups, 2)
    with pytest.raises(EmptyGroup):
        activation_shift(np.full((N, 2), np.nan), SURE, LABELS, CLASSES, groups, 0)
