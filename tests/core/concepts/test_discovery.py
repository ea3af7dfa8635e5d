from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans
from threadpoolctl import ThreadpoolController

from core.activations.directions import Direction, parse_direction, scores
from core.activations.store import Analysis
from core.classifiers.head import Head
from core.concepts import discovery as module
from core.concepts.discovery import Discovery, discover, discovery, lift, silhouettes
from core.errors import BadRequest


def birds(make_analysis: Any, n: int = 4000, seed: int = 0, d: int = 24) -> Analysis:
    """Birds whose head adds shape and background, and a nuisance (day or night) that it does not use: background
    agrees with the class in 95% of the images."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, n)
    place = np.where(rng.random(n) < 0.95, labels, 1 - labels)
    features = rng.normal(size=(n, d)).astype(np.float32)
    features[:, :4] += 2.0 * (2 * labels - 1)[:, None]
    features[:, 4:8] += 2.0 * (2 * place - 1)[:, None]
    features[:, 8:16] += 2.0 * (2 * rng.integers(0, 2, n) - 1)[:, None]
    weight = np.zeros((2, d), dtype=np.float32)
    weight[1, :8], weight[0, :8] = 0.5, -0.5
    weight += 0.02 * rng.normal(size=weight.shape).astype(np.float32)
    head = Head(weight, np.zeros(2, dtype=np.float32))
    return make_analysis(features, labels, head=head, classes=("landbird", "waterbird"), place=place)


def middle_and_top(analysis: Analysis, direction: Direction) -> tuple[np.ndarray, np.ndarray]:
    """The tenth of the images around the middle of the range, and the upper quarter."""
    values = scores(analysis, direction)
    order = np.argsort(np.abs(values - (0.5 if direction.kind == "probability" else 0)))
    return np.sort(order[: analysis.n // 10]), np.flatnonzero(values >= np.quantile(values, 0.75))


def found_in(analysis: Analysis, spec: str = "logit:waterbird", **rest: Any) -> Discovery:
    direction = parse_direction(spec, analysis)
    return discovery(analysis, direction, *middle_and_top(analysis, direction), **rest)


def exceptions(analysis: Analysis) -> np.ndarray:
    return analysis.labels != analysis.attributes[0].codes


@pytest.mark.parametrize(
    "spec",
    ["logit:waterbird", "logit:landbird", "margin:waterbird", "probability:waterbird", "difference:waterbird-landbird"],
)
def test_the_planted_exceptions_are_clusters_and_come_first(make_analysis: Any, spec: str) -> None:
    analysis = birds(make_analysis)
    unusual = exceptions(analysis)
    found = found_in(analysis, spec)
    middle, _ = middle_and_top(analysis, parse_direction(spec, analysis))
    assert unusual[middle].mean() < 0.9
    first = found.clusters[0]
    assert unusual[first.rows].mean() > 0.95
    assert first.lift_low > 1
    # of both classes, each in clusters of its own
    pure = [cluster for cluster in found.clusters if unusual[cluster.rows].mean() > 0.95]
    assert {cluster.classes[0][0] for cluster in pure} == {"landbird", "waterbird"}
    assert sum(unusual[cluster.rows].sum() for cluster in pure) > 0.8 * unusual[middle].sum()


def test_what_stands_out_is_the_planted_attribute(make_analysis: Any) -> None:
    analysis = birds(make_analysis)
    on_land = [
        cluster
        for cluster in found_in(analysis).clusters
        if cluster.classes[0][0] == "waterbird" and exceptions(analysis)[cluster.rows].mean() > 0.95
    ]
    assert on_land
    for cluster in on_land:
        trait = cluster.traits[0]
        assert (trait.name, trait.value) == ("place", "land")
        assert trait.share > 0.95
        assert trait.share > trait.elsewhere


def test_each_image_of_the_band_is_in_one_cluster(make_analysis: Any) -> None:
    analysis = birds(make_analysis)
    found = found_in(analysis)
    middle, top = middle_and_top(analysis, parse_direction("logit:waterbird", analysis))
    rows = np.concatenate([cluster.rows for cluster in found.clusters])
    assert sorted(rows.tolist()) == middle.tolist()
    assert sum(cluster.top_count for cluster in found.clusters) == len(top) == found.top_compared
    for cluster in found.clusters:
        assert cluster.size == len(cluster.rows) == len(cluster.distances) == sum(n for _, n in cluster.classes)
        assert (np.diff(cluster.distances) >= 0).all()
        wrong = analysis.predicted[cluster.rows] != analysis.labels[cluster.rows]
        assert cluster.error_rate == pytest.approx(wrong.mean())
        assert cluster.low <= cluster.error_rate <= cluster.high
        assert cluster.lift_low <= cluster.lift <= cluster.lift_high


def test_order_is_surely_not_at_the_top_then_surely_wrong(make_analysis: Any) -> None:
    clusters = found_in(birds(make_analysis)).clusters
    keys = [(cluster.lift_low <= 1, -cluster.low) for cluster in clusters]
    assert keys == sorted(keys)


def test_random_features_have_no_large_lifts_and_no_clusters(make_analysis: Any) -> None:
    lifts, arbitrary = [], 0
    for seed in range(8):
        rng = np.random.default_rng(seed)
        head = Head(rng.normal(size=(2, 32)).astype(np.float32), np.zeros(2, dtype=np.float32))
        analysis = make_analysis(rng.normal(size=(4000, 32)), rng.integers(0, 2, 4000), head=head)
        found = found_in(analysis, "logit:class 1")
        arbitrary += "hardly fall into clusters" in found.note
        lifts += [(cluster.lift, cluster.lift_low > 1) for cluster in found.clusters]
    assert arbitrary >= 6
    assert max(value for value, _ in lifts) < 1.8
    # nominally one in forty
    assert np.mean([surely for _, surely in lifts]) <= 0.1


def test_the_direction_is_gone_from_the_points(make_analysis: Any) -> None:
    rng = np.random.default_rng(0)
    axis = rng.normal(size=6).astype(np.float32)
    # features that have much in common
    points = (rng.normal(size=(500, 6)) @ rng.normal(size=(6, 6))).astype(np.float32)
    for groups in ([points[:200], points[200:300]], [points[:20], points[:0]], [points[:0], points[:0]]):
        slope = module._slope(groups, axis)
        assert slope @ axis == pytest.approx(1, abs=1e-4)
        left = points - np.outer(points @ axis, slope)
        assert np.abs(left @ axis).max() < 1e-3
    slope = module._slope([points[:200], points[200:]], axis)
    left = points - np.outer(points @ axis, slope)
    follows = np.corrcoef(np.column_stack([points @ axis, left]), rowvar=False)[0, 1:]
    assert np.abs(follows).max() < 0.05
    assert module._slope([points], 0 * axis).tolist() == [0] * 6


@pytest.mark.parametrize("spec", ["logit:waterbird", "difference:waterbird-landbird", "neuron:5", "pc:0"])
def test_the_axis_taken_out_is_the_direction(make_analysis: Any, spec: str) -> None:
    analysis = birds(make_analysis, n=500)
    direction = parse_direction(spec, analysis)
    axis = module._axis(analysis, direction, np.arange(500))
    values = scores(analysis, direction) - analysis.features @ axis
    assert np.ptp(values) < 1e-2


@pytest.mark.parametrize("kind", ["margin", "probability"])
def test_of_what_is_not_linear_the_mean_gradient_is_taken_out(make_analysis: Any, kind: str) -> None:
    rng = np.random.default_rng(0)
    analysis = make_analysis(rng.normal(size=(50, 5)), rng.integers(0, 3, 50))
    direction = parse_direction(f"{kind}:class 1", analysis)
    axis = module._axis(analysis, direction, np.arange(50))
    features, head = analysis.features.astype(np.float64), analysis.head

    def activation(x: np.ndarray) -> np.ndarray:
        logits = x @ head.weight.T.astype(np.float64) + head.bias
        if kind == "margin":
            return logits[:, 1] - np.delete(logits, 1, axis=1).max(axis=1)
        return np.exp(logits[:, 1]) / np.exp(logits).sum(axis=1)

    for i in range(5):
        step = np.zeros(5)
        step[i] = 1e-6
        slope = (activation(features + step) - activation(features - step)).mean() / 2e-6
        assert axis[i] == pytest.approx(slope, abs=1e-5)


def test_twice_gives_the_same_and_the_seed_may_differ(make_analysis: Any) -> None:
    analysis = birds(make_analysis)
    first, second = found_in(analysis), found_in(analysis)
    assert [c.rows.tolist() for c in first.clusters] == [c.rows.tolist() for c in second.clusters]
    assert first.to_dict() == second.to_dict()
    assert found_in(analysis, seed=1).compared == first.compared


def test_k_means_wakes_no_threads_and_leaves_those_of_others(
    make_analysis: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    analysis = birds(make_analysis)
    found_in(analysis)  # scikit-learn is loaded

    def threads() -> set[int]:
        return {pool["num_threads"] for pool in ThreadpoolController().info() if pool["user_api"] == "openmp"}

    inside: list[set[int]] = []
    for name in ("fit", "predict"):
        real = getattr(KMeans, name)
        monkeypatch.setattr(
            KMeans, name, lambda self, x, real=real: (inside.append(threads()), real(self, x))[1], raising=True
        )
    with ThreadpoolController().limit(limits=2, user_api="openmp"):
        assert threads() == {2}
        found = found_in(analysis)
        assert threads() == {2}
    assert len(inside) > 3
    assert all(seen == {1} for seen in inside)
    assert found.clusters


def test_at_most_twenty_thousand_are_compared_and_that_is_said(
    make_analysis: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    analysis = birds(make_analysis)
    monkeypatch.setattr(module, "MOST_IMAGES", 300)
    found = found_in(analysis)
    assert (found.compared, found.total, found.top_compared, found.top_total) == (300, 400, 300, 1000)
    assert "300 of 400 images of the band and 300 of 1,000 at the top were compared" in found.note
    assert sum(cluster.size for cluster in found.clusters) == 300
    assert module.MOST_IMAGES == 300


def test_a_number_of_clusters_may_be_asked_for(make_analysis: Any) -> None:
    analysis = birds(make_analysis)
    assert len(found_in(analysis, clusters=5).clusters) == 5
    for wanted in (1, 13, 0, -1):
        with pytest.raises(BadRequest, match="clusters"):
            found_in(analysis, clusters=wanted)


def test_few_images_are_parted_less_or_not_at_all(make_analysis: Any) -> None:
    analysis = birds(make_analysis)
    direction = parse_direction("logit:waterbird", analysis)
    middle, top = middle_and_top(analysis, direction)
    asked = discovery(analysis, direction, middle[:40], top, clusters=12)
    assert len(asked.clusters) == 3
    assert "40 images were parted into 3" in asked.note
    for rows in (middle[:23], middle[:1], middle[:0]):
        found = discovery(analysis, direction, rows, top)
        assert found.clusters == ()
        assert "too few" in found.note
        assert discover(analysis, direction, rows, top) == ()


def test_without_a_top_there_is_no_lift(make_analysis: Any) -> None:
    analysis = birds(make_analysis)
    direction = parse_direction("logit:waterbird", analysis)
    middle, _ = middle_and_top(analysis, direction)
    found = discovery(analysis, direction, middle, middle[:0])
    assert all(np.isnan(cluster.lift) and cluster.top_count == 0 for cluster in found.clusters)
    lows = [cluster.low for cluster in found.clusters]
    assert lows == sorted(lows, reverse=True)


def test_the_top_against_itself_has_lifts_of_one(make_analysis: Any) -> None:
    analysis = birds(make_analysis)
    direction = parse_direction("logit:waterbird", analysis)
    _, top = middle_and_top(analysis, direction)
    for cluster in discovery(analysis, direction, top, top).clusters:
        assert cluster.lift == pytest.approx(1, abs=0.1)


@pytest.mark.filterwarnings("error")
def test_equal_and_broken_features_are_parted_without_a_crash(make_analysis: Any) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 200)
    head = Head(np.zeros((2, 6), dtype=np.float32), np.zeros(2, dtype=np.float32))
    equal = make_analysis(np.ones((200, 6)), labels, head=head)
    direction = parse_direction("logit:class 0", equal)
    found = discovery(equal, direction, np.arange(100), np.arange(100, 200))
    assert sum(cluster.size for cluster in found.clusters) == 100
    features = rng.normal(size=(400, 6))
    features[3], features[7, 2] = np.nan, np.inf
    features[:, 5] *= 1e15
    broken = make_analysis(features, rng.integers(0, 2, 400))
    direction = parse_direction("neuron:0", broken)
    found = discovery(broken, direction, np.arange(200), np.arange(200, 400))
    assert sum(cluster.size for cluster in found.clusters) == 200


def test_a_class_nobody_is_labelled_with_has_clusters_too(make_analysis: Any) -> None:
    rng = np.random.default_rng(0)
    analysis = make_analysis(rng.normal(size=(300, 6)), np.zeros(300, dtype=int), classes=("only", "never"))
    found = found_in(replace(analysis), "logit:never")
    assert all(cluster.classes[0][0] == "only" for cluster in found.clusters)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 50), st.integers(1, 500), st.integers(0, 50), st.integers(1, 500))
def test_lift_is_a_ratio_of_shares_within_its_interval(inside: int, of: int, top_inside: int, of_top: int) -> None:
    inside, top_inside = min(inside, of), min(top_inside, of_top)
    value, low, high = lift(inside, of, top_inside, of_top)
    assert 0 < low <= value <= high
    assert value == pytest.approx(((inside + 0.5) / (of + 0.5)) / ((top_inside + 0.5) / (of_top + 0.5)))


def test_lift_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    here, there = rng.binomial(300, 0.2, 2000), rng.binomial(400, 0.1, 2000)
    bounds = np.array([lift(int(a), 300, int(b), 400) for a, b in zip(here, there, strict=True)])
    assert np.mean((bounds[:, 1] <= 2) & (bounds[:, 2] >= 2)) == pytest.approx(0.95, abs=0.02)


def test_lift_needs_images_on_both_sides() -> None:
    assert np.isnan(lift(0, 0, 1, 2)).all()
    assert np.isnan(lift(1, 2, 0, 0)).all()


def test_silhouettes_are_those_of_scikit_learn() -> None:
    from sklearn.metrics import pairwise_distances, silhouette_samples

    rng = np.random.default_rng(0)
    points, labels = rng.normal(size=(80, 3)), rng.integers(0, 4, 80)
    labels[0] = 9
    ours = silhouettes(pairwise_distances(points), labels)
    assert ours == pytest.approx(silhouette_samples(points, labels), abs=1e-9)
    assert silhouettes(np.zeros((3, 3)), np.zeros(3, dtype=int)).tolist() == [0, 0, 0]
