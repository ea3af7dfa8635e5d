from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from core.activations.directions import parse_direction, scores
from core.activations.index import open_index
from core.errors import NotFound


@pytest.fixture
def analysis(make_analysis) -> Any:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(0)
    features = rng.normal(size=(80, 5)) * np.array([1, 1, 6, 1, 3]) + 2
    labels = np.arange(80) % 3
    return make_analysis(features, labels, classes=("Waterbird", "land-bird", "sea-land-bird"))


def test_logit_direction_is_the_stored_logit(analysis: Any) -> None:
    direction = parse_direction("logit:land-bird", analysis)
    assert np.array_equal(scores(analysis, direction), analysis.logits[:, 1])


def test_case_of_a_class_name_does_not_matter(analysis: Any) -> None:
    assert parse_direction("logit:waterbird", analysis).spec == "logit:Waterbird"


def test_neuron_direction_is_the_feature(analysis: Any) -> None:
    assert np.array_equal(scores(analysis, parse_direction("neuron:3", analysis)), analysis.features[:, 3])


def test_difference_is_the_difference_of_logits_even_with_hyphens_in_names(analysis: Any) -> None:
    direction = parse_direction("difference:sea-land-bird-Waterbird", analysis)
    expected = analysis.logits[:, 2] - analysis.logits[:, 0]
    np.testing.assert_allclose(scores(analysis, direction), expected, atol=1e-4)


def test_principal_component_finds_the_planted_axis(analysis: Any) -> None:
    first, second = (parse_direction(f"pc:{i}", analysis) for i in (0, 1))
    assert np.abs(first.weight).argmax() == 2
    assert np.abs(second.weight).argmax() == 4
    assert abs(scores(analysis, first).mean()) < 1e-4, "components are centred"


def test_signs_of_components_do_not_depend_on_the_library(analysis: Any) -> None:
    weights = [parse_direction(f"pc:{i}", analysis).weight for i in range(analysis.d)]
    assert all(weight[np.abs(weight).argmax()] > 0 for weight in weights)


def test_concept_direction_comes_from_the_probe(analysis: Any) -> None:
    weight = np.arange(5, dtype=np.float32)
    direction = parse_direction("concept:water", analysis, concept=lambda name: (weight, 0.5))
    np.testing.assert_allclose(scores(analysis, direction), analysis.features @ weight + 0.5, atol=1e-4)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("logit:seagull", "Waterbird, land-bird"),
        ("neuron:5", "0 to 4"),
        ("neuron:-1", "0 to 4"),
        ("neuron:", "0 to 4"),
        ("pc:99", "0 to 4"),
        ("difference:Waterbird", "Waterbird, land-bird"),
        ("concept:water", "tag images"),
        ("Waterbird", "logit:CLASS"),
        ("layer:3", "logit:CLASS"),
    ],
)
def test_unknown_direction_says_what_exists(analysis: Any, spec: str, said: str) -> None:
    with pytest.raises(NotFound) as caught:
        parse_direction(spec, analysis)
    assert said in caught.value.next_step


def test_misspelt_class_is_suggested(analysis: Any) -> None:
    with pytest.raises(NotFound, match="Did you mean “Waterbird”"):
        parse_direction("logit:Watrbird", analysis)


def test_sorted_scores_are_sorted_and_read_back_from_disk(analysis: Any) -> None:
    direction = parse_direction("logit:Waterbird", analysis)
    made, read = open_index(analysis, direction), open_index(analysis, direction)
    assert isinstance(read.values.base, np.memmap)
    for found in (made, read):
        assert (np.diff(found.values) >= 0).all()
        assert np.array_equal(found.values, scores(analysis, direction)[found.order])


def test_retagged_concept_does_not_reuse_old_scores(analysis: Any) -> None:
    def along(axis: int) -> np.ndarray:
        weight = np.eye(5, dtype=np.float32)[axis]
        direction = parse_direction("concept:water", analysis, concept=lambda name: (weight, 0.0))
        return open_index(analysis, direction).order.copy()

    assert not np.array_equal(along(0), along(1))
    assert len(list((analysis.folder / "sorted").glob("concept-*"))) == 2, "older versions are removed"


def test_images_without_a_number_come_last(make_analysis) -> None:  # type: ignore[no-untyped-def]
    features = np.array([[1.0], [np.nan], [0.0]])
    analysis = make_analysis(features, np.array([0, 1, 0]))
    found = open_index(analysis, parse_direction("neuron:0", analysis))
    assert found.order.tolist() == [2, 0, 1]
