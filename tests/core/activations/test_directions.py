from __future__ import annotations

import shutil
import subprocess
import sys
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import scipy.special

from core.activations import directions
from core.activations.directions import (
    class_of,
    leaning_class,
    of_block,
    parse_direction,
    principal_components,
    scores,
)
from core.activations.index import open_index
from core.classifiers.head import Head
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


@pytest.mark.parametrize("name", ["Waterbird", "sea-land-bird"])
def test_margin_and_probability_are_what_numpy_and_scipy_say(analysis: Any, name: str) -> None:
    index = analysis.classes.index(name)
    margin, probability = (parse_direction(f"{kind}:{name}", analysis) for kind in ("margin", "probability"))
    others = np.delete(analysis.logits, index, axis=1)
    assert np.array_equal(scores(analysis, margin), analysis.logits[:, index] - others.max(axis=1))
    expected = scipy.special.softmax(analysis.logits.astype(np.float64), axis=1)[:, index]
    np.testing.assert_allclose(scores(analysis, probability), expected, rtol=1e-6)
    assert np.array_equal(scores(analysis, margin) > 0, analysis.predicted == index)
    assert (margin.own_class, probability.own_class) == (index, index)


def test_probabilities_of_huge_logits_do_not_overflow(make_analysis) -> None:  # type: ignore[no-untyped-def]
    head = Head(np.array([[1.0], [-1.0]], np.float32), np.zeros(2, np.float32))
    analysis = make_analysis(np.array([[2e38], [-2e38], [0.0], [np.inf]]), np.array([0, 1, 0, 1]), head=head)
    found = scores(analysis, parse_direction("probability:class 0", analysis))
    assert found[:3].tolist() == [1.0, 0.0, 0.5]
    assert np.isnan(found[3])


@pytest.mark.parametrize(
    "spec",
    [
        "logit:Waterbird",
        "margin:Waterbird",
        "probability:land-bird",
        "neuron:2",
        "difference:land-bird-Waterbird",
        "pc:1",
        "concept:water",
    ],
)
@pytest.mark.parametrize("block", [7, 16_384])
def test_chosen_rows_get_the_same_activations(analysis: Any, spec: str, block: int) -> None:
    direction = parse_direction(spec, analysis, concept=lambda name: (np.arange(5, dtype=np.float32), 0.5))
    whole = scores(analysis, direction)
    rows = np.array([79, 0, 3, 3, 40])
    # blocks, and the part of a map that stays in memory, must not show
    with patch.object(directions, "BLOCK", block), patch.object(directions, "RESIDENT", 100):
        np.testing.assert_allclose(scores(analysis, direction), whole, rtol=1e-5)
        np.testing.assert_allclose(scores(analysis, direction, rows), whole[rows], rtol=1e-5)
    assert len(scores(analysis, direction, rows[:0])) == 0


def test_the_class_of_a_direction_is_its_own(analysis: Any) -> None:
    named = ("logit:land-bird", "margin:land-bird", "probability:land-bird", "difference:land-bird-Waterbird")
    for spec in named:
        direction = parse_direction(spec, analysis)
        assert direction.own_class == class_of(analysis, direction) == 1
    assert parse_direction("neuron:0", analysis).own_class is None


@pytest.mark.parametrize("planted", range(4))
def test_leaning_class_is_the_one_planted_on_top(planted: int) -> None:
    rng = np.random.default_rng(planted)
    labels = rng.choice(4, size=2000, p=[0.7, 0.2, 0.07, 0.03])
    values = rng.normal(size=2000) * 100 + 1e5
    values[labels == planted] += 80
    values[0] = np.nan
    assert leaning_class(values.astype(np.float32), labels, 4) == planted


def test_leaning_class_weighs_the_distance_by_the_spread() -> None:
    # class 0 has the higher mean but is all over the place; class 1 lies tightly above the rest
    values = np.array([-200.0, 260.0, 10, 10.1, 0, 0.1, -0.1, 0.05])
    labels = np.array([0, 0, 1, 1, 2, 2, 2, 2])
    within = [
        np.std(
            np.r_[values[labels == c] - values[labels == c].mean(), values[labels != c] - values[labels != c].mean()]
        )
        for c in range(3)
    ]
    lead = [(values[labels == c].mean() - values[labels != c].mean()) / within[c] for c in range(3)]
    assert leaning_class(values, labels, 3) == int(np.argmax(lead))


def test_leaning_class_is_found_far_from_zero() -> None:
    # squares of numbers around 1e9 leave no digit for a spread of 1
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 3000)
    values = rng.normal(size=3000) + np.array([0.4, 0.9, -1.3])[labels]
    expected = leaning_class(values, labels, 3)
    assert expected == 1
    for far in (1e9, -1e9):
        assert leaning_class(values + far, labels, 3) == expected


def test_leaning_class_exists_where_nothing_leans() -> None:
    assert leaning_class(np.full(3, np.nan), np.array([0, 1, 1]), 2) == 0
    assert leaning_class(np.ones(3), np.array([1, 1, 1]), 3) == 1
    assert leaning_class(np.ones(4), np.array([2, 1, 2, 1]), 3) == 1
    # perfectly parted: infinitely far, and no division by zero
    assert leaning_class(np.array([0.0, 0, 5, 5]), np.array([0, 0, 1, 1]), 2) == 1


def test_leaning_class_is_worked_out_once(analysis: Any) -> None:
    with patch.object(directions, "leaning_class", wraps=directions.leaning_class) as worked:
        found = {class_of(analysis, parse_direction("neuron:4", analysis)) for _ in range(3)}
    assert worked.call_count == 1
    expected = leaning_class(analysis.features[:, 4], analysis.labels, 3)
    assert found == {expected}


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e19, 1e37])
def test_components_of_huge_and_tiny_features_are_those_of_ordinary_ones(make_analysis, scale: float) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(0)
    features = rng.normal(size=(200, 4)) * np.array([1, 5, 2, 3]) + 1
    labels = np.arange(200) % 2
    expected = np.linalg.eigh(np.cov(features.T))[1].T[::-1]
    mean, components = principal_components(make_analysis(features * scale, labels))
    np.testing.assert_allclose(mean, features.mean(axis=0) * scale, rtol=1e-4)
    np.testing.assert_allclose(np.abs(np.sum(components * expected, axis=1)), 1, atol=1e-4)


def test_images_whose_features_are_not_finite_do_not_spoil_the_components(make_analysis) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(0)
    features = rng.normal(size=(200, 3)) * np.array([1, 5, 2])
    broken = features.copy()
    broken[3, 0], broken[4, 1] = np.nan, np.inf
    whole = principal_components(make_analysis(np.delete(features, [3, 4], axis=0), np.arange(198) % 2))
    shutil.rmtree(make_analysis(features, np.arange(200) % 2).folder)
    found = principal_components(make_analysis(broken, np.arange(200) % 2))
    np.testing.assert_allclose(found[1], whole[1], atol=1e-5)
    shutil.rmtree(make_analysis(features, np.arange(200) % 2).folder)
    _, components = principal_components(make_analysis(np.full((6, 3), np.nan), np.arange(6) % 2))
    assert np.isfinite(components).all()


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("margin:seagull", "Waterbird, land-bird"),
        ("probability:", "Waterbird, land-bird"),
        ("vector:mine", "Upload a vector"),
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


def test_retagged_concept_does_not_reuse_old_scores(analysis: Any) -> None:
    def along(axis: int) -> np.ndarray:
        weight = np.eye(5, dtype=np.float32)[axis]
        direction = parse_direction("concept:water", analysis, concept=lambda name: (weight, 0.0))
        return open_index(analysis, direction).order.copy()

    assert not np.array_equal(along(0), along(1))
    versions = {file.name.partition(".")[0] for file in (analysis.folder / "sorted").glob("concept-*")}
    assert len(versions) == 1, "older versions are removed"


def test_images_without_a_number_come_last(make_analysis) -> None:  # type: ignore[no-untyped-def]
    features = np.array([[1.0], [np.nan], [0.0]])
    analysis = make_analysis(features, np.array([0, 1, 0]))
    found = open_index(analysis, parse_direction("neuron:0", analysis))
    assert found.order.tolist() == [2, 0, 1]


def test_browsing_needs_neither_torch_nor_scipy() -> None:
    code = (
        "import sys, core.activations.sampling, core.activations.proposals, core.activations.filters, "
        "core.activations.findings, core.activations.store; print({'torch', 'scipy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_activations_do_not_depend_on_the_images_beside(make_analysis) -> None:  # type: ignore[no-untyped-def]
    # odd sizes, so that matrix products would take another path at the ends
    rng = np.random.default_rng(0)
    features = rng.normal(size=(4099, 65)) * np.exp(rng.normal(size=65))
    many = make_analysis(features, np.arange(4099) % 7)
    weight = rng.normal(size=65).astype(np.float32)
    specs = ["logit:class 1", "margin:class 2", "probability:class 3", "difference:class 4-class 5", "pc:0", "pc:3"]
    specs += ["neuron:2", "concept:c"]
    for spec in specs:
        direction = parse_direction(spec, many, concept=lambda name: (weight, 0.3))
        whole = scores(many, direction)
        for _ in range(5):
            rows = np.sort(rng.choice(4099, rng.integers(1, 999), replace=False))
            assert np.array_equal(scores(many, direction, rows), whole[rows]), spec


@pytest.mark.parametrize("kind", ["logit", "margin", "probability", "difference"])
def test_directions_computed_together_are_those_computed_one_by_one(analysis: Any, kind: str) -> None:
    block = np.array(analysis.logits)
    block[0] = 1.5
    block[1, 0], block[2, 1], block[3, 2] = np.nan, np.inf, -np.inf
    block[4] = [np.inf, np.inf, 0]
    names = analysis.classes
    pairs = [f"{a}-{b}" for a in names for b in names if a != b] if kind == "difference" else names
    directions_ = [parse_direction(f"{kind}:{name}", analysis) for name in pairs]
    together = of_block(block, directions_)
    with np.errstate(invalid="ignore"):
        for column, direction in enumerate(directions_):
            own = block[:, direction.own_class]
            if kind == "margin":
                expected = own - np.delete(block, direction.own_class, axis=1).max(axis=1)
            elif kind == "probability":
                expected = scipy.special.softmax(block.astype(np.float64), axis=1)[:, direction.own_class]
            else:
                expected = own - block[:, direction.against] if kind == "difference" else own
            np.testing.assert_allclose(together[:, column], expected, rtol=1e-6)
            np.testing.assert_array_equal(together[:, column], of_block(block, [direction])[:, 0])


def test_a_class_name_is_taken_as_it_stands_before_it_is_trimmed(make_analysis) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(0)
    classes = (" cat", "cat", "dog ", "a", "b-a", "a-b", "b")
    odd = make_analysis(rng.normal(size=(70, 3)), np.arange(70) % 7, classes=classes)
    for index, name in enumerate(classes):
        for kind in ("logit", "margin", "probability"):
            direction = parse_direction(f"{kind}:{name}", odd)
            assert (direction.spec, direction.own_class) == (f"{kind}:{name}", index)
    assert parse_direction("logit: b-a ", odd).own_class == 4
    for names, pair in (
        (" cat-cat", (0, 1)),
        ("cat- cat", (1, 0)),
        ("dog -b", (2, 6)),
        ("cat - B", (1, 6)),
        ("b-a-dog ", (4, 2)),
    ):
        direction = parse_direction(f"difference:{names}", odd)
        assert (direction.own_class, direction.against) == pair
        assert parse_direction(direction.spec, odd).spec == direction.spec
    with pytest.raises(NotFound, match="several ways"):
        parse_direction("difference:a-b-a", odd)


def test_damaged_components_are_made_again(make_analysis: Any) -> None:
    rng = np.random.default_rng(2)
    analysis = make_analysis(rng.normal(size=(80, 4)), rng.integers(0, 2, 80))
    before = principal_components(analysis)[1].copy()
    file = analysis.folder / "sorted" / "principal-components.npy"
    for damage in (b"", b"\x93NUMPY", file.read_bytes()[:-8]):
        file.write_bytes(damage)
        np.testing.assert_array_equal(principal_components(analysis)[1], before)
