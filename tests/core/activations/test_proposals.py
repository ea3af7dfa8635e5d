"""Bands proposed on planted activations: each rule finds what it is named after, along any kind of direction."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from core.activations import proposals
from core.activations.bands import bounds
from core.activations.directions import parse_direction, scores
from core.activations.index import members, open_index
from core.activations.proposals import (
    MID_RULES,
    bottom_range,
    boundary_range,
    boundary_value,
    landmarks,
    mid_range,
    own_low_range,
    propose,
    top_range,
    usual_rows,
)
from core.classifiers.head import Head
from core.errors import BadRequest

RULES = ("top", "bottom", *MID_RULES)
N = 1200


@pytest.fixture
def analysis(make_analysis) -> Any:  # type: ignore[no-untyped-def]
    """Class 1 lies 4 above class 0 along feature 0. The middle of the way between them is at 2."""
    rng = np.random.default_rng(0)
    labels = np.arange(N) % 2
    features = rng.normal(size=(N, 3))
    features[:, 0] += 4 * labels
    head = Head(np.array([[-0.5, 0, 0], [0.5, 0, 0]], np.float32), np.array([1, -1], np.float32))
    splits = np.where(np.arange(N) < 800, 1, 2)
    return make_analysis(features, labels, classes=("land", "water"), head=head, splits=splits)


def test_mid_range_is_the_middle_half_between_the_class_means() -> None:
    scores = np.array([-5.0, -3.0, 3.0, 5.0])
    found = mid_range(scores, scores > 0, "waterbird")
    assert (found.low, found.high) == (-2.0, 2.0)
    assert "waterbird" in found.why


def test_mid_range_of_a_useless_logit_is_the_middle_of_all_images() -> None:
    scores = np.arange(101.0)
    found = mid_range(scores, scores < 50, "waterbird")
    assert (found.low, found.high) == (25.0, 75.0)
    assert "does not tell" in found.why


def test_top_starts_at_the_class_median_and_bottom_ends_at_the_others() -> None:
    scores = np.array([-30.0, 1.0, 2.0, 10.0, 11.0, 40.0])
    own = scores > 5
    assert top_range(scores, own, "x").low == 11.0
    assert top_range(scores, own, "x").high == 40.0
    assert bottom_range(scores, own, "x").low == -30.0
    assert bottom_range(scores, own, "x").high == 1.0


@pytest.mark.parametrize("rule", [mid_range, top_range, bottom_range, own_low_range])
def test_presets_exist_without_images_of_the_class_or_finite_values(rule) -> None:  # type: ignore[no-untyped-def]
    for own in (np.zeros(4, dtype=bool), np.ones(4, dtype=bool)):
        found = rule(np.arange(4.0), own, "x")
        assert found.low <= found.high
    assert rule(np.full(4, np.nan), np.ones(4, dtype=bool), "x").why


def test_own_low_holds_the_lowest_tenth_of_the_class() -> None:
    rng = np.random.default_rng(0)
    values, own = rng.normal(size=2000), np.arange(2000) < 1000
    found = own_low_range(values, own, "x")
    inside = (values >= found.low) & (values <= found.high)
    assert inside[own].sum() == 100
    assert set(np.flatnonzero(inside & own)) == set(np.flatnonzero(own)[np.argsort(values[own])[:100]])
    few = own_low_range(values[:50], own[:50], "x")
    assert ((values[:50] >= few.low) & (values[:50] <= few.high)).sum() == 30, "30 at least"


@pytest.mark.parametrize("boundary", [0.0, 0.3, 5.0])
def test_boundary_holds_the_nearest_tenth_on_both_sides(boundary: float) -> None:
    values = np.random.default_rng(0).normal(size=2000).astype(np.float32)
    found = boundary_range(values, boundary)
    inside = np.flatnonzero((values >= found.low) & (values <= found.high))
    assert set(inside) == set(np.argsort(np.abs(values.astype(float) - boundary))[:200])
    assert abs((found.low + found.high) / 2 - boundary) < 1e-6


def test_boundary_value_parts_the_sides_with_the_fewest_errors() -> None:
    assert boundary_value(np.array([3.0, 0.0, 1.0, 4.0]), np.array([True, False, False, True])) == 2.0
    # one stray on each side does not move it
    values = np.array([0.0, 1, 2, 3, 4, 6, 7, 8, 9, 10])
    assert boundary_value(values, np.array([0, 0, 1, 0, 0, 1, 1, 0, 1, 1], dtype=bool)) == 5.0
    # a rare side weighs as much as a common one
    rare = np.concatenate([np.zeros(90), np.ones(8), np.ones(2)])
    assert boundary_value(rare, np.arange(100) >= 98) == 0.5
    # equal values stay on one side
    assert boundary_value(np.array([1.0, 1.0, 2.0, 2.0]), np.array([False, True, True, True])) == 1.5
    # not a number is on no side
    assert boundary_value(np.array([np.nan, 0.0, 1.0, np.inf]), np.array([True, False, True, True])) == 0.5
    assert boundary_value(np.arange(4.0), np.ones(4, dtype=bool)) is None
    assert boundary_value(np.arange(4.0), np.zeros(4, dtype=bool)) is None


def test_all_predicted_alike_leaves_the_middle_of_all_images() -> None:
    assert "no boundary" in boundary_range(np.arange(5.0), None).why


@pytest.mark.parametrize("spec", ["logit:water", "margin:water", "difference:water-land", "neuron:0"])
def test_planted_middle_is_found_along_every_direction(analysis: Any, spec: str) -> None:
    direction = parse_direction(spec, analysis)
    values = scores(analysis, direction)
    # where feature 0 is 2 the two classes are equally likely
    middle = values[np.abs(analysis.features[:, 0] - 2) < 0.1].mean()
    spread = values.std()
    mid, boundary = propose(analysis, direction, "mid-gap"), propose(analysis, direction, "boundary")
    for found in (mid, boundary):
        assert found.low < middle < found.high
        assert abs((found.low + found.high) / 2 - middle) < 0.15 * spread
    # the middle half of the way between the means
    gap = values[analysis.labels == 1].mean() - values[analysis.labels == 0].mean()
    assert mid.high - mid.low == pytest.approx(gap / 2, rel=1e-4)
    top, bottom, low = (propose(analysis, direction, rule) for rule in ("top", "bottom", "own-low"))
    assert bottom.high < mid.low < mid.high < top.low
    own = np.sort(values[analysis.labels == 1])
    assert (low.low, low.high) == (own[0], own[59])
    quarter = propose(analysis, direction, "quantiles")
    assert ((values >= quarter.low) & (values <= quarter.high)).mean() == pytest.approx(0.5, abs=0.01)


def test_a_direction_that_leans_the_other_way_has_the_other_class_on_top(make_analysis) -> None:  # type: ignore[no-untyped-def]
    labels = np.arange(400) % 2
    features = np.random.default_rng(0).normal(size=(400, 2))
    features[:, 1] -= 5 * labels
    analysis = make_analysis(features, labels, classes=("land", "water"))
    assert "land" in propose(analysis, parse_direction("neuron:1", analysis), "top").why


@pytest.mark.parametrize("rule", RULES)
def test_a_proposal_looks_at_the_rows_given(analysis: Any, rule: str) -> None:
    direction = parse_direction("logit:water", analysis)
    rows = np.arange(N) % 3 == 0
    found = propose(analysis, direction, rule, rows)
    assert found != propose(analysis, direction, rule)
    inside = members(open_index(analysis, direction, rows), found.low, found.high, closed=found.closed)
    assert len(inside) >= 30
    assert found.why.endswith(".")


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("spec", ["logit:water", "margin:water", "probability:land", "neuron:0", "pc:1"])
def test_every_rule_answers_for_odd_activations(make_analysis, rule: str, spec: str) -> None:  # type: ignore[no-untyped-def]
    constant = make_analysis(np.ones((40, 2)), np.arange(40) % 2, classes=("land", "water"))
    infinite = make_analysis(np.full((40, 2), np.inf), np.arange(40) % 2, classes=("land", "water"))
    for analysis in (constant, infinite):
        direction = parse_direction(spec, analysis)
        found = propose(analysis, direction, rule)
        assert found.low <= found.high
        assert np.isfinite([found.low, found.high]).all()
        values = np.sort(scores(analysis, direction))
        bounds(values, found.low, found.high, closed=found.closed)
        nothing = propose(analysis, direction, rule, np.zeros(40, dtype=bool))
        assert (nothing.low, nothing.high) == (0.0, 0.0)
        assert landmarks(analysis, direction, np.zeros(40, dtype=bool)) is not None


def test_an_unknown_rule_is_refused(analysis: Any) -> None:
    with pytest.raises(BadRequest, match="best") as caught:
        propose(analysis, parse_direction("logit:water", analysis), "best")
    assert "own-low" in caught.value.next_step


@pytest.mark.parametrize(
    ("spec", "value", "label"),
    [
        ("margin:water", 0.0, "decision boundary"),
        ("difference:water-land", 0.0, "decision boundary"),
        ("probability:water", 0.5, "decision boundary"),
        # logits are -x/2 + 1 and x/2 - 1: they meet at 0
        ("logit:water", 0.0, "about the decision boundary"),
        ("neuron:0", 2.0, "about the decision boundary"),
    ],
)
def test_the_boundary_is_marked_where_the_prediction_turns(analysis: Any, spec: str, value: float, label: str) -> None:
    direction = parse_direction(spec, analysis)
    found = {mark.label: mark.value for mark in landmarks(analysis, direction)}
    assert found[label] == pytest.approx(value, abs=0.02 if "about" in label else 0)
    values = scores(analysis, direction)
    assert ((values > found[label]) == (analysis.predicted == 1)).all()


@pytest.mark.parametrize("kind", ["probability", "logit"])
def test_of_many_classes_no_probability_is_the_boundary(make_analysis, kind: str) -> None:  # type: ignore[no-untyped-def]
    """Three equally good classes: the prediction turns at a third, not at one half."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(3000, 3)) * 0.05
    head = Head(np.eye(3, dtype=np.float32), np.zeros(3, np.float32))
    analysis = make_analysis(features, np.arange(3000) % 3, classes=("a", "b", "c"), head=head)
    direction = parse_direction(f"{kind}:a", analysis)
    values = scores(analysis, direction)
    found = {mark.label: mark.value for mark in landmarks(analysis, direction)}
    assert "decision boundary" not in found
    expected = 1 / 3 if kind == "probability" else 0.02
    assert found["about the decision boundary"] == pytest.approx(expected, abs=0.02)
    # far more of what lies above is predicted as the class than of what lies below
    above = values > found["about the decision boundary"]
    assert (analysis.predicted == 0)[above].mean() > 0.6 > 0.2 > (analysis.predicted == 0)[~above].mean()
    band = propose(analysis, direction, "boundary")
    assert band.low < found["about the decision boundary"] < band.high
    assert ((values >= band.low) & (values <= band.high)).sum() == pytest.approx(300, abs=2)


@settings(deadline=None, max_examples=300)
@given(
    arrays(np.float32, st.integers(30, 80), elements=st.floats(-1e7, 1e7, width=32)),
    st.floats(-1e7, 1e7) | st.sampled_from([0.1, 1 / 3, 1e-9]),
)
def test_rounding_pushes_no_image_out_of_the_boundary(values: np.ndarray, boundary: float) -> None:
    """boundary - reach need not be the number that lies that far away: the farthest image is inside all the same."""
    found = boundary_range(values, boundary)
    distance = np.abs(values.astype(np.float64) - boundary)
    reach = np.sort(distance)[29]
    start, stop = bounds(np.sort(values), found.low, found.high, closed=found.closed)
    assert stop - start >= (distance <= reach).sum() >= 30


def test_the_last_bit_of_a_boundary_keeps_its_image() -> None:
    """Far from a boundary, the plain sum misses the farthest image by one bit of float64, on either side."""
    rng = np.random.default_rng(0)
    missed = {"low": 0, "high": 0}
    for _ in range(400):
        boundary = float(3 * rng.normal())
        values = np.sort(rng.normal(size=30).astype(np.float32)).astype(np.float64)
        reach = float(np.abs(values - boundary).max())
        missed["low"] += values[0] < boundary - reach
        missed["high"] += values[-1] > boundary + reach
        found = boundary_range(values, boundary)
        assert found.low <= values[0]
        assert found.high >= values[-1]
    assert min(missed.values()) > 0, "the guards are needed"


def test_what_was_looked_at_is_kept_for_the_same_images_only(analysis: Any) -> None:
    direction, other = parse_direction("logit:water", analysis), parse_direction("neuron:0", analysis)
    rows = np.arange(N) % 3 == 0
    with patch.object(proposals, "open_index", wraps=open_index) as opened:
        for _ in range(2):
            propose(analysis, direction, "top", rows)
            landmarks(analysis, direction, rows.copy())
        assert opened.call_count == 1
        first = propose(analysis, direction, "top", rows)
        rows[:600] = False
        assert propose(analysis, direction, "top", rows) != first
        assert propose(analysis, direction, "top") != propose(analysis, other, "top")
        assert opened.call_count == 4


def test_nothing_left_is_not_called_no_number(analysis: Any) -> None:
    direction, nothing = parse_direction("logit:water", analysis), np.zeros(N, dtype=bool)
    for rule in RULES:
        assert "No image is left" in propose(analysis, direction, rule, nothing).why


def test_landmarks_hold_the_class_means_lowest_first(analysis: Any) -> None:
    direction = parse_direction("logit:water", analysis)
    marks = landmarks(analysis, direction, analysis.splits == 1)
    assert [mark.value for mark in marks] == sorted(mark.value for mark in marks)
    found = {mark.label: mark.value for mark in marks}
    for index, name in enumerate(analysis.classes):
        values = analysis.logits[(analysis.labels == index) & (analysis.splits == 1), 1]
        assert found[f"mean of {name}"] == pytest.approx(values.mean(dtype=np.float64))
    assert marks[0].to_dict() == {"value": marks[0].value, "label": marks[0].label}


def test_many_classes_are_marked_as_one_against_the_others(make_analysis) -> None:  # type: ignore[no-untyped-def]
    analysis = make_analysis(np.random.default_rng(0).normal(size=(200, 3)), np.arange(200) % 9)
    labels = {mark.label for mark in landmarks(analysis, parse_direction("difference:class 2-class 5", analysis))}
    assert labels == {"both logits are equal", "mean of class 2", "mean of other classes"}


def test_usual_rows_are_val_or_all(analysis: Any, make_analysis) -> None:  # type: ignore[no-untyped-def]
    assert usual_rows(analysis).tolist() == (analysis.splits == 1).tolist()
    assert usual_rows(analysis, "test").sum() == 400
    assert not usual_rows(analysis, "train").any()
    plain = make_analysis(np.ones((4, 2)), np.array([0, 1, 0, 1]), splits=np.zeros(4))
    assert usual_rows(plain).all()
