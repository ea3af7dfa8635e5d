"""Pages of a band: every image on exactly one, in the order that was promised, the same for the same seed."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from core.activations import sampling
from core.activations.directions import Direction, parse_direction
from core.activations.index import members, open_index
from core.activations.sampling import ORDERS, BandPage, page, shuffled
from core.classifiers.head import Head

N = 3000


@pytest.fixture
def analysis(make_analysis) -> Any:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(0)
    labels = np.arange(N) % 3
    features = rng.normal(size=(N, 6))
    features[np.arange(N), labels] += 2
    head = Head(np.eye(3, 6, dtype=np.float32), np.zeros(3, np.float32))
    return make_analysis(features, labels, classes=("a", "b", "c"), head=head)


def shown(analysis: Any, order: str, *, number: int = 0, seed: int = 0, size: int = 60, **options: Any) -> BandPage:
    direction = options.pop("direction", None) or parse_direction("logit:a", analysis)
    index = options.pop("index", None) or open_index(analysis, direction)
    low, high, closed = options.pop("low", 0.0), options.pop("high", 1.5), options.pop("closed", True)
    return page(analysis, direction, index, low, high, closed=closed, order=order, seed=seed, number=number, size=size)


def all_rows(analysis: Any, order: str, **options: Any) -> list[int]:
    first = shown(analysis, order, **options)
    rest = [shown(analysis, order, number=number, **options) for number in range(1, first.pages)]
    return [row for one in (first, *rest) for row in one.rows.tolist()]


@pytest.mark.parametrize("count", [0, 1, 2, 3, 10, 1023, 1024, 1025, 1026, 4096, 4097, 10_007, 65_536, 65_537])
@pytest.mark.parametrize("seed", [0, 1, 2**40])
def test_shuffling_is_a_permutation(count: int, seed: int) -> None:
    assert np.array_equal(np.sort(shuffled(np.arange(count), count, seed)), np.arange(count))


@settings(deadline=None)
@given(st.integers(1, 6000), st.integers(0, 2**63), st.data())
def test_a_part_of_the_permutation_is_the_part_of_the_whole(count: int, seed: int, data: st.DataObject) -> None:
    whole = shuffled(np.arange(count), count, seed)
    assert len(np.unique(whole)) == count
    places = np.array(data.draw(st.lists(st.integers(0, count - 1), max_size=20)), dtype=np.int64)
    assert np.array_equal(shuffled(places, count, seed), whole[places])


# 5,000 and 5,010 lie on the same 71 x 71 numbers
@pytest.mark.parametrize("sizes", [(1000, 1010), (5000, 5010)])
def test_bands_of_other_sizes_are_shuffled_otherwise(sizes: tuple[int, int]) -> None:
    """The same seed on two bands, one within the other, must not show the same places of both."""
    first, second = (shuffled(np.arange(900), count, 3) for count in sizes)
    assert (np.abs(first - second) < 20).mean() < 0.1
    # nor must one be the other one scaled
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.2


@pytest.mark.parametrize("count", [17, 1500, 2_000_003])
def test_every_image_comes_equally_often_at_every_place(count: int) -> None:
    """Over 4,000 seeds, first, second and sixtieth place fall evenly into ten parts, and independently."""
    places = np.array([0, 1, min(59, count - 1)])
    drawn = np.array([shuffled(places, count, seed) for seed in range(4000)])
    parts = drawn * 10 // count
    sizes = np.bincount(np.arange(count) * 10 // count, minlength=10) / count
    for column in range(3):
        counts = np.bincount(parts[:, column], minlength=10)
        assert stats.chisquare(counts, sizes * 4000).pvalue > 1e-3
    pairs = np.bincount(parts[:, 0] * 10 + parts[:, 1], minlength=100)
    expected = np.outer(sizes, sizes).ravel() * 4000
    if count > 1000:
        assert stats.chisquare(pairs, expected).pvalue > 1e-3


@pytest.mark.parametrize("seed", [0, 5])
def test_one_permutation_looks_random_in_itself(seed: int) -> None:
    count = 1_000_000
    drawn = shuffled(np.arange(50_000), count, seed)
    assert stats.kstest(drawn / count, "uniform").pvalue > 1e-3
    assert abs(np.corrcoef(drawn[:-1], drawn[1:])[0, 1]) < 0.02
    # gaps of a random sample are exponential; those of a lattice are all alike
    gaps = np.diff(np.sort(drawn)) / count * len(drawn)
    assert gaps.std() == pytest.approx(1, abs=0.05)
    other = shuffled(np.arange(50_000), count, seed + 1)
    assert abs(np.corrcoef(drawn, other)[0, 1]) < 0.02


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("closed", [True, False])
def test_every_image_of_the_band_is_on_exactly_one_page(analysis: Any, order: str, closed: bool) -> None:
    index = open_index(analysis, parse_direction("logit:a", analysis))
    # the ends are activations that occur
    low, high = float(index.values[400]), float(index.values[1800])
    inside = members(index, low, high, closed=closed)
    assert len(inside) == 1400 + closed
    for size in (60, 61):
        rows = all_rows(analysis, order, low=low, high=high, closed=closed, size=size)
        assert len(rows) == len(inside)
        assert set(rows) == set(inside.tolist())


@pytest.mark.parametrize("order", ORDERS)
def test_bands_too_large_to_compare_are_still_shown_whole(analysis: Any, order: str) -> None:
    limits = dict.fromkeys((sampling.UNSURE, sampling.TYPICAL, sampling.DIVERSE), 100)
    with patch.object(sampling, "_MOST", limits):
        rows = all_rows(analysis, order, low=-1.0, high=3.0)
        first = shown(analysis, order, low=-1.0, high=3.0)
    index = open_index(analysis, parse_direction("logit:a", analysis))
    assert sorted(rows) == sorted(members(index, -1.0, 3.0, closed=True).tolist())
    if order in limits:
        assert f"100 of the {first.total:,} images, drawn at random" in first.note
    else:
        assert first.note == ""


def test_pages_that_do_not_exist_become_the_nearest(analysis: Any) -> None:
    first, last = shown(analysis, "mixed"), shown(analysis, "mixed", number=10**6)
    assert (first.number, last.number) == (0, first.pages - 1)
    assert shown(analysis, "mixed", number=-3).rows.tolist() == first.rows.tolist()
    assert len(last.rows) == first.total - 60 * (first.pages - 1)


@pytest.mark.parametrize("order", ORDERS)
def test_an_empty_band_is_one_empty_page(analysis: Any, order: str) -> None:
    empty = shown(analysis, order, low=1000.0, high=2000.0)
    assert (len(empty.rows), len(empty.values), empty.total, empty.number, empty.pages) == (0, 0, 0, 0, 1)


def test_a_page_that_makes_no_sense_is_refused(analysis: Any) -> None:
    with pytest.raises(ValueError, match="no order"):
        shown(analysis, "nicest")
    with pytest.raises(ValueError, match="0 images"):
        shown(analysis, "mixed", size=0)


@pytest.mark.parametrize("order", ["mixed", "surprising"])
def test_the_seed_decides_the_sample(analysis: Any, order: str) -> None:
    first, again, other = (shown(analysis, order, seed=seed).rows.tolist() for seed in (7, 7, 8))
    assert first == again
    assert len(set(first) & set(other)) < 20


@pytest.mark.parametrize("order", ["strongest", "weakest", "unsure", "typical", "diverse"])
def test_the_seed_changes_nothing_where_the_order_is_the_bands_own(analysis: Any, order: str) -> None:
    assert all_rows(analysis, order, seed=1) == all_rows(analysis, order, seed=2)


def test_strongest_and_weakest_go_through_the_whole_band(analysis: Any) -> None:
    index = open_index(analysis, parse_direction("logit:a", analysis))
    inside = members(index, 0.0, 1.5, closed=True).tolist()
    assert all_rows(analysis, "weakest") == inside
    assert all_rows(analysis, "strongest") == inside[::-1]


def test_values_are_the_activations_of_the_rows(analysis: Any) -> None:
    for order in ORDERS:
        one = shown(analysis, order, number=2)
        assert one.values.tolist() == analysis.logits[one.rows, 0].tolist()


def test_surprising_arranges_the_random_sample_page_by_page(analysis: Any) -> None:
    for number in (0, 3):
        mixed, found = (shown(analysis, order, number=number, seed=4) for order in ("mixed", "surprising"))
        assert set(found.rows.tolist()) == set(mixed.rows.tolist())
        distance = found.values - 0.75
        surprise = np.where(analysis.labels[found.rows] == 0, -distance, distance)
        assert (np.diff(surprise) <= 0).all()


def test_surprising_follows_the_class_that_a_direction_leans_to(analysis: Any) -> None:
    # feature 1 is high for class b
    found = shown(analysis, "surprising", direction=parse_direction("neuron:1", analysis), low=0.5, high=1.5)
    own = analysis.labels[found.rows] == 1
    surprise = np.where(own, 1.0 - found.values, found.values - 1.0)
    assert (np.diff(surprise) <= 1e-6).all()


def test_a_band_without_end_is_surprising_around_the_middle_of_the_images(analysis: Any) -> None:
    index = open_index(analysis, parse_direction("logit:a", analysis))
    open_ended = shown(analysis, "surprising", low=-np.inf, high=np.inf)
    same = shown(analysis, "surprising", low=index.low, high=index.high)
    assert open_ended.rows.tolist() == same.rows.tolist()


def test_unsure_begins_where_the_two_best_logits_are_nearest(analysis: Any) -> None:
    rows = all_rows(analysis, "unsure")
    best = np.sort(analysis.logits[rows].astype(float), axis=1)
    assert (np.diff(best[:, -1] - best[:, -2]) >= -1e-6).all()


def test_a_single_class_is_least_sure_where_its_logit_is_lowest(make_analysis) -> None:  # type: ignore[no-untyped-def]
    analysis = make_analysis(np.random.default_rng(0).normal(size=(200, 3)), np.zeros(200, dtype=int), classes=("a",))
    for spec in ("logit:a", "neuron:1"):
        direction = parse_direction(spec, analysis)
        rows = all_rows(analysis, "unsure", direction=direction, low=-np.inf, high=np.inf)
        assert len(set(rows)) == 200
        assert (np.diff(analysis.logits[rows, 0]) >= 0).all()


def test_typical_begins_at_the_centre_of_the_band(analysis: Any) -> None:
    rows = all_rows(analysis, "typical")
    features = analysis.features[rows].astype(float)
    distance = np.linalg.norm(features - features.mean(axis=0), axis=1)
    assert (np.diff(distance) >= -1e-5).all()


def test_diverse_takes_the_farthest_from_all_before(analysis: Any) -> None:
    rows = all_rows(analysis, "diverse", low=1.0, high=1.2)
    features = analysis.features[rows].astype(float)
    centre = np.linalg.norm(features - features.mean(axis=0), axis=1)
    assert centre[0] == pytest.approx(centre.min(), abs=1e-5)
    apart = np.linalg.norm(features[:, None] - features[None], axis=2)
    for place in range(1, len(rows)):
        nearest = apart[place:, :place].min(axis=1)
        assert nearest[0] == pytest.approx(nearest.max(), rel=1e-3)


@pytest.mark.parametrize("seed", range(5))
def test_diverse_shows_every_planted_cluster_first(make_analysis, seed: int) -> None:  # type: ignore[no-untyped-def]
    """Seven clusters, the largest with nine images in ten: a random page shows mostly that one."""
    rng = np.random.default_rng(seed)
    cluster = rng.choice(7, size=1500, p=[0.9, 0.05, 0.02, 0.01, 0.01, 0.005, 0.005])
    cluster[:7] = np.arange(7)
    centres = 20 * np.eye(7, 12) + rng.normal(size=(7, 12))
    features = centres[cluster] + rng.normal(size=(1500, 12))
    analysis = make_analysis(features, np.arange(1500) % 2)
    direction = Direction("neuron:11", "neuron 11", np.eye(12, dtype=np.float32)[11], 0.0)
    options: dict[str, Any] = {"direction": direction, "low": -np.inf, "high": np.inf}
    assert set(cluster[all_rows(analysis, "diverse", **options)[:7]]) == set(range(7))
    # the most typical ones are of the largest cluster
    assert set(cluster[shown(analysis, "typical", **options).rows]) == {0}


def test_features_that_are_not_finite_come_last(make_analysis) -> None:  # type: ignore[no-untyped-def]
    features = np.random.default_rng(0).normal(size=(50, 3))
    features[7, 1], features[9, 2] = np.nan, np.inf
    analysis = make_analysis(features, np.arange(50) % 2)
    direction = parse_direction("neuron:0", analysis)
    for order in ("typical", "diverse"):
        rows = all_rows(analysis, order, direction=direction, low=-np.inf, high=np.inf)
        assert set(rows[-2:]) == {7, 9}
        assert len(set(rows)) == 50
    features[:, 1] = np.nan
    nothing = make_analysis(features, np.arange(50) % 2)
    for order in ("typical", "diverse", "unsure"):
        assert len(set(all_rows(nothing, order, direction=direction, low=-np.inf, high=np.inf))) == 50


def test_large_features_do_not_overflow(make_analysis) -> None:  # type: ignore[no-untyped-def]
    features = np.random.default_rng(0).normal(size=(200, 3)) * 1e30
    analysis = make_analysis(features, np.arange(200) % 2)
    direction = parse_direction("neuron:0", analysis)
    rows = all_rows(analysis, "typical", direction=direction, low=-np.inf, high=np.inf)
    distance = np.linalg.norm((features - features.mean(axis=0))[rows] / 1e30, axis=1)
    assert (np.diff(distance) >= -1e-5).all()


def test_comparing_is_done_once_per_band(analysis: Any) -> None:
    index = open_index(analysis, parse_direction("logit:a", analysis))
    with patch.object(sampling, "_ranked", wraps=sampling._ranked) as ranked:
        for number in (0, 1, 2, 0):
            shown(analysis, "diverse", number=number, index=index)
        assert ranked.call_count == 1
        shown(analysis, "diverse", index=index, high=1.4)
        assert ranked.call_count == 2
