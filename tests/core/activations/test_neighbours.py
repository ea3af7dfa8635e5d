"""Nearest neighbours against a search that measures every pair in float64."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from core.activations import neighbours as searching
from core.activations.neighbours import COSINE, METRICS, STANDARDISED, deviations_of, nearest, neighbours
from core.activations.store import Analysis
from core.errors import BadRequest, Cancelled
from core.files import read_array, write_array

AnalysisMaker = Callable[..., Analysis]


def brute_force(features: np.ndarray, row: int, count: int, metric: str) -> tuple[list[int], list[float]]:
    """Pair by pair, with Python's own sorting."""
    values = features.astype(np.float64)
    usable = np.isfinite(values).all(axis=1)
    spread = values[usable].std(axis=0) if usable.any() else np.ones(values.shape[1])
    constant = spread <= 1e-12 * np.abs(values[usable].mean(axis=0)) if usable.any() else spread == 0
    pairs = []
    for other in range(len(values)):
        if other == row or not usable[other] or not usable[row]:
            continue
        a, b = values[row], values[other]
        if metric == COSINE:
            norms = float(np.linalg.norm(a)) * float(np.linalg.norm(b))
            distance = 1 - float(np.clip(a @ b / norms, -1, 1)) if norms > 0 else 1.0
        else:
            distance = float(np.sqrt((((a - b) / np.where(constant, np.inf, spread)) ** 2).sum()))
        pairs.append((distance, other))
    pairs.sort()
    return [other for _, other in pairs[:count]], [distance for distance, _ in pairs[:count]]


def search(features: np.ndarray, row: int, count: int, metric: str) -> tuple[np.ndarray, np.ndarray]:
    return nearest(features, row, count, deviations=deviations_of(features) if metric == STANDARDISED else None)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("block_numbers", [16, 1000, 1 << 20])
def test_nearest_is_what_measuring_every_pair_finds(
    metric: str, block_numbers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "BLOCK_NUMBERS", block_numbers)
    features = np.random.default_rng(0).normal(1.0, 2.0, size=(500, 16)).astype(np.float32)
    for row in (0, 250, 499):
        rows, distances = search(features, row, 12, metric)
        expected, exactly = brute_force(features, row, 12, metric)
        assert rows.tolist() == expected
        np.testing.assert_allclose(distances, exactly, atol=1e-9)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("seed", range(6))
def test_what_float32_cannot_tell_apart_is_still_ordered_exactly(metric: str, seed: int) -> None:
    """Images so near to each other that their float32 distances come out in another order than the true ones."""
    rng = np.random.default_rng(seed)
    row, count, deviations = 17, 12, None
    if metric == COSINE:
        features = (100 + rng.normal(size=64) + 1e-4 * rng.normal(size=(3000, 64))).astype(np.float32)
    else:
        # all at a distance of 1 from the first, but for what float32 rounds
        deviations, steps = rng.uniform(0.5, 2, 64), rng.normal(size=(3000, 64))
        features = (deviations * steps / np.linalg.norm(steps, axis=1, keepdims=True)).astype(np.float32)
        features[row] = 0
    query = features[row].astype(np.float64)
    measure = searching._Cosine(query) if deviations is None else searching._Standardised(query, deviations)
    exact = measure.exact(features)
    exact[row] = np.inf
    rough = measure.rough(features)
    rough[row] = np.inf
    expected = np.lexsort((np.arange(len(features)), exact))[:count]
    assert (rough[expected] > exact[expected[-1]]).any(), "without a margin one of them would be passed over"
    rows, distances = nearest(features, row, count, deviations=deviations)
    assert rows.tolist() == expected.tolist()
    assert distances.tolist() == exact[expected].tolist()


# few different numbers: ties, zero vectors and constant columns come up all the time
NUMBERS = st.sampled_from([0.0, 1.0, -1.0, 2.0, 0.5, 1e-20, 1e20, np.nan, np.inf])
MATRICES = arrays.arrays(
    np.float32, st.tuples(st.integers(1, 24), st.integers(1, 4)), elements=NUMBERS.map(lambda x: float(np.float32(x)))
)


@settings(max_examples=300, deadline=None)
@given(MATRICES, st.integers(0, 23), st.integers(0, 30), st.sampled_from(METRICS), st.integers(1, 60))
def test_ties_zeros_and_what_is_not_finite_are_defined(
    features: np.ndarray, row: int, count: int, metric: str, block: int
) -> None:
    row %= len(features)
    with pytest.MonkeyPatch.context() as patch:
        whole_rows, whole = search(features, row, count, metric)
        patch.setattr(searching, "BLOCK_NUMBERS", block)
        rows, distances = search(features, row, count, metric)
    finite = np.isfinite(features).all(axis=1)
    assert len(rows) == (min(count, int(finite.sum()) - 1) if finite[row] else 0)
    assert row not in rows
    assert len(set(rows.tolist())) == len(rows)
    assert finite[rows].all()
    assert (np.diff(distances) >= 0).all()
    assert all(a < b for a, b, tied in zip(rows, rows[1:], np.diff(distances) == 0, strict=False) if tied)
    if metric == COSINE:
        # how rows are parted into blocks changes nothing
        assert rows.tolist() == whole_rows.tolist()
        np.testing.assert_array_equal(distances, whole)
        np.testing.assert_allclose(distances, brute_force(features, row, count, metric)[1], atol=1e-9)


@pytest.mark.parametrize("metric", METRICS)
def test_equal_distances_come_in_the_order_of_the_rows(metric: str) -> None:
    features = np.tile(np.array([[1.0, 2.0, 3.0]], dtype=np.float32), (5000, 1))
    features[7] = (0.3, 9.0, 1.0)
    rows, distances = search(features, 100, 12, metric)
    assert rows.tolist() == [0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12]
    np.testing.assert_allclose(distances, 0, atol=1e-12)


def test_planted_clusters_are_each_others_neighbours() -> None:
    rng = np.random.default_rng(1)
    centres = rng.normal(size=(10, 32)) * 10
    cluster = rng.integers(0, 10, 2000)
    features = (centres[cluster] + rng.normal(size=(2000, 32))).astype(np.float32)
    for metric in METRICS:
        rows, _ = search(features, 5, 30, metric)
        assert (cluster[rows] == cluster[5]).all()


def test_a_zero_vector_is_one_away_from_everything() -> None:
    features = np.array([[0, 0], [1, 0], [0, 0], [-1, 0], [1, 1e-3]], dtype=np.float32)
    rows, distances = nearest(features, 0, 5)
    assert rows.tolist() == [1, 2, 3, 4]
    assert distances.tolist() == [1, 1, 1, 1]
    rows, distances = nearest(features, 1, 5)
    assert rows.tolist() == [4, 0, 2, 3]
    np.testing.assert_allclose(distances, [5e-7, 1, 1, 2], atol=1e-8)


def test_standardising_makes_units_irrelevant_and_constants_silent() -> None:
    features = np.random.default_rng(2).normal(size=(300, 3)).astype(np.float32)
    rescaled = np.column_stack([features * np.array([1e-3, 1.0, 1e4], dtype=np.float32), np.full(300, 7.0)])
    plain, _ = search(features, 3, 20, STANDARDISED)
    other, _ = search(rescaled.astype(np.float32), 3, 20, STANDARDISED)
    assert plain.tolist() == other.tolist()


def test_deviations_agree_with_numpy_and_pass_over_rows_that_are_not_finite() -> None:
    features = np.random.default_rng(3).normal(1000.0, 0.5, size=(5000, 6)).astype(np.float32)
    features[:, 2] = 1e6
    features[17, 1], features[18, 4] = np.nan, np.inf
    kept = np.delete(features, [17, 18], axis=0).astype(np.float64)
    found = deviations_of(features)
    np.testing.assert_allclose(found, np.where(np.arange(6) == 2, 0, kept.std(axis=0)), rtol=1e-9)


def test_the_share_of_one_class_and_the_verdict_of_each_neighbour(make_analysis: AnalysisMaker) -> None:
    rng = np.random.default_rng(4)
    labels = rng.integers(0, 2, 200)
    features = rng.normal(size=(200, 4)) + 6 * labels[:, None]
    analysis = make_analysis(features, labels)
    found = neighbours(analysis, 9, 12, metric=STANDARDISED)
    assert found.same_class(analysis.labels, int(labels[9])) == 1.0
    told = found.to_dicts(analysis)
    assert [item["id"] for item in told] == found.rows.tolist()
    assert all(item["correct"] == (item["label"] == item["predicted"]) for item in told)
    assert (analysis.folder / "sorted" / "feature-deviations.npy").is_file()


@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is read from /proc")
@pytest.mark.parametrize("metric", METRICS)
def test_a_map_of_features_does_not_stay_in_memory(tmp_path: Path, metric: str) -> None:
    """160 MB are searched, of which no more than some blocks are resident at any time."""
    write_array(tmp_path / "features.npy", np.random.default_rng(0).random((100_000, 400), dtype=np.float32))
    features = np.asarray(read_array(tmp_path / "features.npy"))
    resident: list[int] = []

    def look(done: int, total: int, message: str = "") -> None:
        resident.append(int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"))

    look(0, 0)
    deviations = deviations_of(features, progress=look) if metric == STANDARDISED else None
    nearest(features, 5, 12, deviations=deviations, progress=look)
    assert len(resident) > 30
    assert max(resident) - resident[0] < 60_000_000


@pytest.mark.parametrize("damage", ["empty", "cut off", "another length", "another type"])
def test_damaged_deviations_are_measured_again(make_analysis: AnalysisMaker, damage: str) -> None:
    analysis = make_analysis(np.random.default_rng(0).normal(size=(50, 6)), np.arange(50) % 2)
    expected = neighbours(analysis, 3, 5, metric=STANDARDISED)
    file = analysis.folder / "sorted" / "feature-deviations.npy"
    whole = file.read_bytes()
    if damage in ("empty", "cut off"):
        file.write_bytes(whole[: 0 if damage == "empty" else 140])
    else:
        np.save(file, np.ones(5) if damage == "another length" else np.ones(6, dtype=np.float32))
    found = neighbours(analysis, 3, 5, metric=STANDARDISED)
    assert found.rows.tolist() == expected.rows.tolist()
    assert found.distances.tolist() == expected.distances.tolist()
    assert file.read_bytes() == whole


def test_without_neighbours_there_is_no_share(make_analysis: AnalysisMaker) -> None:
    analysis = make_analysis(np.ones((1, 3)), np.zeros(1, dtype=np.int64), classes=("a", "b"))
    assert neighbours(analysis, 0, 12).same_class(analysis.labels, 0) is None


def test_a_search_can_be_stopped_between_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "BLOCK_NUMBERS", 100)
    seen = []

    def stop(done: int, total: int, message: str = "") -> None:
        seen.append((done, total))
        if done >= 30:
            raise Cancelled

    with pytest.raises(Cancelled):
        nearest(np.ones((100, 10), dtype=np.float32), 0, 3, progress=stop)
    assert seen == [(10, 100), (20, 100), (30, 100)]


def test_unknown_distances_and_negative_counts_are_refused(make_analysis: AnalysisMaker) -> None:
    analysis = make_analysis(np.eye(3), np.arange(3))
    with pytest.raises(BadRequest, match="manhattan"):
        neighbours(analysis, 0, 3, metric="manhattan")
    with pytest.raises(BadRequest, match="-1"):
        neighbours(analysis, 0, -1)
