"""Where an image stands, against counting all others one by one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from core.activations import standing as standing_room
from core.activations.directions import Direction, parse_direction, scores
from core.activations.index import make_index
from core.activations.standing import (
    BINS,
    Company,
    company,
    place,
    probabilities,
    standing,
    standings,
    strongest_first,
    telling_classes,
    telling_directions,
)
from core.activations.store import Analysis
from core.classifiers.head import Head

AnalysisMaker = Callable[..., Analysis]
ANY = Direction("vector:any", "any", np.ones(1, dtype=np.float32), 0.0)
NUMBERS = st.one_of(
    st.sampled_from([0.0, 1.0, -1.0, np.inf, -np.inf, np.nan]), st.floats(-1e6, 1e6, allow_nan=False, width=32)
)


@settings(max_examples=300, deadline=None)
@given(arrays.arrays(np.float32, st.integers(1, 80), elements=NUMBERS), st.integers(0, 79), st.integers(1, 3))
def test_percentiles_and_counts_are_those_of_counting_one_by_one(values: np.ndarray, row: int, classes: int) -> None:
    row %= len(values)
    labels = np.arange(len(values)) % classes
    found = place(make_index(values), ANY, row, labels)
    finite = np.isfinite(values)
    own = finite & (labels == labels[row])
    if not finite[row]:
        assert found.percentile is None
        assert found.own_percentile is None
        assert (found.value is None) == bool(np.isnan(values[row]))
    else:
        assert found.value == values[row]
        for share, among in ((found.percentile, values[finite]), (found.own_percentile, values[own])):
            expected = sum(1.0 if x < values[row] else 0.5 if x == values[row] else 0.0 for x in among) / len(among)
            assert share == pytest.approx(expected)
            assert 0 < share < 1 or len(among) == 0
        assert found.edges[0] <= found.value <= found.edges[-1]
    assert len(found.counts) == len(found.own_counts) == len(found.edges) - 1 <= BINS
    assert sum(found.counts) == finite.sum()
    assert sum(found.own_counts) == own.sum()
    assert all(own <= every for own, every in zip(found.own_counts, found.counts, strict=True))
    assert list(found.edges) == sorted(set(found.edges))


@pytest.fixture
def analysis(make_analysis: AnalysisMaker) -> Analysis:
    rng = np.random.default_rng(0)
    return make_analysis(rng.normal(size=(300, 6)) * (1, 1, 9, 1, 1, 3), rng.integers(0, 2, 300))


def test_the_strongest_image_of_a_direction_stands_at_its_top(analysis: Analysis) -> None:
    for spec in ("logit:class 1", "margin:class 0", "neuron:2", "pc:0", "difference:class 0-class 1"):
        direction = parse_direction(spec, analysis)
        values = scores(analysis, direction)
        top, bottom = (standing(analysis, direction, int(find(values))) for find in (np.argmax, np.argmin))
        assert top.percentile == pytest.approx(1 - 0.5 / 300)
        assert bottom.percentile == pytest.approx(0.5 / 300)
        assert top.value == top.edges[-1] == pytest.approx(float(values.max()))
        assert top.own_percentile > 1 - 1 / 100


def test_a_second_look_gives_the_same(analysis: Analysis) -> None:
    directions = telling_directions(analysis, 7)
    assert standings(analysis, directions, 7) == standings(analysis, directions, 7)


def test_the_current_direction_comes_first_and_only_once(analysis: Analysis) -> None:
    current = parse_direction("logit:class 1", analysis)
    concept = parse_direction("concept:water", analysis, concept=lambda name: (np.ones(6, np.float32), 0.0))
    found = telling_directions(analysis, 0, current=current, concepts=[concept])
    assert [direction.spec for direction in found] == [
        "logit:class 1",
        "logit:class 0",
        "concept:water",
        "pc:0",
        "pc:1",
        "pc:2",
    ]


def test_of_many_classes_the_strongest_and_the_label_are_told(make_analysis: AnalysisMaker) -> None:
    features = np.eye(20)[None, 3] * 1.0
    head = Head(np.arange(400, dtype=np.float32).reshape(20, 20), np.zeros(20, dtype=np.float32))
    analysis = make_analysis(features, np.array([5]), classes=tuple(f"class {i}" for i in range(20)), head=head)
    assert telling_classes(analysis, 0) == [19, 18, 17, 16, 5]
    assert telling_classes(analysis, 0, few=20) == list(range(20))
    analysis.labels[0] = 17
    assert telling_classes(analysis, 0) == [19, 18, 17, 16]


def test_components_of_very_many_features_are_shown_only_once_they_are_known(
    analysis: Analysis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standing_room, "REACH", 10)
    assert not any(direction.kind == "pc" for direction in telling_directions(analysis, 0))
    parse_direction("pc:0", analysis)
    assert any(direction.kind == "pc" for direction in telling_directions(analysis, 0))


def test_features_that_are_not_finite_leave_the_rest_standing(make_analysis: AnalysisMaker) -> None:
    features = np.random.default_rng(1).normal(size=(50, 3))
    features[4] = np.nan
    analysis = make_analysis(features, np.arange(50) % 2)
    told = standings(analysis, telling_directions(analysis, 4), 4)
    assert [one.value for one in told] == [None] * len(told)
    assert all(one.percentile is not None for one in standings(analysis, telling_directions(analysis, 5), 5))


def test_probabilities_are_the_softmax_and_survive_large_logits() -> None:
    np.testing.assert_allclose(probabilities(np.log([1.0, 2.0, 5.0])), [0.125, 0.25, 0.625])
    np.testing.assert_allclose(probabilities(np.array([1e4, 0.0])), [1, 0])
    assert np.isnan(probabilities(np.array([np.nan, 0.0]))).all()


def test_what_is_not_a_number_is_never_strongest() -> None:
    assert strongest_first(np.array([np.nan, 1.0, 3.0, 3.0, -np.inf])).tolist() == [2, 3, 1, 4, 0]


def test_company_is_counted_against_the_image_for_labels_and_against_the_model_for_verdicts(
    make_analysis: AnalysisMaker,
) -> None:
    analysis = replace(
        make_analysis(np.zeros((5, 2), dtype=np.float32), np.array([0, 0, 1, 1, 1])),
        predicted=np.array([1, 0, 0, 1, 1]),
    )
    assert company(analysis, 0, np.array([1, 2, 3, 4])) == Company(images=4, same=1, right=3)
    assert company(analysis, 4, np.array([3, 0])) == Company(images=2, same=1, right=1)
    assert company(analysis, 0, np.array([], dtype=np.int64)) == Company(0, 0, 0)
