"""The map: principal components, UMAP in its phases, what lies inside a drawn area."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from core.activations import projection
from core.activations.projection import (
    USUAL,
    MapSettings,
    inside_polygon,
    make_umap,
    map_points,
    map_settings,
    nearest_among,
    pca_map,
    pca_points,
    read_umap,
)
from core.errors import BadRequest, Cancelled
from core.jobs.kinds import kind_of
from core.workspace import Workspace
from tests.core.conftest import AnalysisMaker

FAST = MapSettings(neighbours=8)


def clusters(n: int = 240, d: int = 12, k: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features of k far groups, and which group each is of."""
    rng = np.random.default_rng(seed)
    group = np.arange(n) % k
    return (rng.normal(size=(k, d)) * 8)[group] + rng.normal(size=(n, d)), group


# --- principal components --------------------------------------------------------------------------------------------


def test_components_are_those_of_a_singular_value_decomposition(make_analysis: AnalysisMaker) -> None:
    features, group = clusters()
    analysis = make_analysis(features, group)
    found = pca_points(analysis)
    centred = features - features.mean(axis=0)
    _, sizes, axes = np.linalg.svd(centred, full_matrices=False)
    expected = centred @ axes[:2].T
    # in a unit of their own, and either way around
    scale = np.abs(found.xy).max() / np.abs(expected).max()
    for column in range(2):
        sign = np.sign(found.xy[0, column] * expected[0, column])
        np.testing.assert_allclose(found.xy[:, column], sign * scale * expected[:, column], atol=1e-4 * scale)
    assert found.spread == pytest.approx((sizes[:2] ** 2).sum() / (sizes**2).sum(), abs=1e-5)
    assert (found.kind, found.laid_out, found.nowhere) == ("pca", 240, 0)


def test_components_are_kept_and_read_again(make_analysis: AnalysisMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    features, group = clusters()
    analysis = make_analysis(features, group)
    first = pca_map(analysis)
    monkeypatch.setattr(projection, "_reduce", lambda *_: pytest.fail("computed again"))
    np.testing.assert_array_equal(pca_map(analysis), first)


@pytest.mark.parametrize("damage", ["half", "other size", "no description"])
def test_a_damaged_map_is_made_again(make_analysis: AnalysisMaker, damage: str) -> None:
    features, group = clusters()
    analysis = make_analysis(features, group)
    first = pca_map(analysis).copy()
    file = analysis.folder / "map" / "pca.npy"
    if damage == "half":
        file.write_bytes(file.read_bytes()[:300])
    elif damage == "other size":
        np.save(file, np.zeros((5, 2), np.float32))
    else:
        file.with_suffix(".json").write_text("{}")
    np.testing.assert_array_equal(pca_map(analysis), first)


def test_images_without_finite_features_have_no_place(make_analysis: AnalysisMaker) -> None:
    features, group = clusters()
    features[3, 0], features[5, 1], features[7] = np.nan, np.inf, -np.inf
    found = pca_points(make_analysis(features, group))
    assert np.flatnonzero(np.isnan(found.xy).any(axis=1)).tolist() == [3, 5, 7]
    assert np.isnan(found.xy[[3, 5, 7]]).all()
    assert found.nowhere == 3


@pytest.mark.parametrize("size", [1e-30, 1e30])
def test_huge_and_tiny_features_are_mapped_like_any(make_analysis: AnalysisMaker, size: float) -> None:
    features, group = clusters()
    usual = pca_map(make_analysis(features, group)).copy()
    (make_analysis(features, group).folder / "map" / "pca.npy").unlink()
    with np.errstate(all="ignore"):
        found = pca_map(make_analysis(features * size, group))
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found / np.abs(found).max(), usual / np.abs(usual).max(), atol=1e-4)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e20])
def test_equal_images_lie_in_one_place_without_noise(make_analysis: AnalysisMaker, value: float) -> None:
    found = pca_points(make_analysis(np.full((30, 6), value), np.arange(30) % 2))
    np.testing.assert_array_equal(found.xy, np.zeros((30, 2)))
    assert found.spread == 0


def test_one_feature_gives_a_line(make_analysis: AnalysisMaker) -> None:
    found = pca_map(make_analysis(np.arange(20.0)[:, None], np.arange(20) % 2))
    assert (np.diff(found[:, 0]) > 0).all()
    assert not found[:, 1].any()


def test_blocks_change_nothing(make_analysis: AnalysisMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    features, group = clusters()
    whole = pca_map(make_analysis(features, group)).copy()
    (make_analysis(features, group).folder / "map" / "pca.npy").unlink()
    monkeypatch.setattr(projection, "BLOCK_NUMBERS", 12 * 17)
    np.testing.assert_allclose(pca_map(make_analysis(features, group)), whole, atol=1e-6)


def test_a_sample_of_many_images_gives_nearly_the_same_components(
    make_analysis: AnalysisMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    features, group = clusters(3000)
    whole = pca_map(make_analysis(features, group)).copy()
    (make_analysis(features, group).folder / "map" / "pca.npy").unlink()
    monkeypatch.setattr(projection, "FITTED", 600)
    some = pca_map(make_analysis(features, group))
    assert min(abs(np.corrcoef(whole[:, c], some[:, c])[0, 1]) for c in range(2)) > 0.999


@pytest.mark.parametrize("n", [0, 1, 2])
def test_fewer_than_three_images_are_no_map(make_analysis: AnalysisMaker, n: int) -> None:
    analysis = make_analysis(np.ones((n, 4)), np.zeros(n, dtype=int), classes=("a", "b"))
    for ask in (pca_points, map_points, make_umap):
        with pytest.raises(BadRequest, match="at least 3 images"):
            ask(analysis)


# --- UMAP ------------------------------------------------------------------------------------------------------------


def test_umap_keeps_groups_together_reports_each_phase_and_is_the_same_again(make_analysis: AnalysisMaker) -> None:
    features, group = clusters()
    features[11] = np.nan
    analysis = make_analysis(features, group)
    assert map_points(analysis, FAST).kind == "pca"
    calls: list[tuple[int, int, str]] = []
    found = make_umap(analysis, FAST, progress=lambda done, total, message="": calls.append((done, total, message)))
    assert (found.laid_out, found.nowhere, found.spread) == (239, 1, None)
    assert np.flatnonzero(np.isnan(found.xy[:, 0])).tolist() == [11]
    assert purity(found.xy, group) > 0.99
    phases = list(dict.fromkeys(message for _, _, message in calls))
    assert phases == ["Reducing the features", "Finding neighbours", "Starting UMAP", "Laying out the map"]
    epochs = [(done, total) for done, total, message in calls if message == "Laying out the map"]
    assert all(0 <= done <= total == 500 for done, total in epochs)
    assert epochs == sorted(epochs)
    read = map_points(analysis, FAST)
    assert read.kind == "umap"
    np.testing.assert_array_equal(read.xy, found.xy)
    # kept: nothing runs again; made anew: the same points
    again: list[int] = []
    make_umap(analysis, FAST, progress=lambda *_: again.append(1))
    assert not again
    for file in (analysis.folder / "map").glob("umap*"):
        file.unlink()
    np.testing.assert_array_equal(make_umap(analysis, FAST).xy, found.xy)


def test_images_beyond_the_sample_are_placed_in_their_group(make_analysis: AnalysisMaker) -> None:
    features, group = clusters(600)
    analysis = make_analysis(features, group)
    messages: list[str] = []
    found = make_umap(
        analysis,
        MapSettings(neighbours=8, sample=150),
        progress=lambda done, total, message="": messages.append(message),
    )
    assert found.laid_out == 150
    assert messages[-1] == "Placing the other images"
    assert np.isfinite(found.xy).all()
    assert purity(found.xy, group) > 0.99


@pytest.mark.parametrize("n", [3, 4, 6, 14])
def test_a_handful_of_images_is_mapped_too(make_analysis: AnalysisMaker, n: int) -> None:
    features, _ = clusters(n)
    found = make_umap(make_analysis(features, np.arange(n) % 2))
    assert np.isfinite(found.xy).all()
    assert len(np.unique(found.xy, axis=0)) == n


def test_equal_and_doubled_images_are_mapped_without_an_error(make_analysis: AnalysisMaker) -> None:
    same = make_umap(make_analysis(np.ones((40, 5)), np.arange(40) % 2))
    np.testing.assert_array_equal(same.xy, np.zeros((40, 2)))
    features, group = clusters(60)
    doubled = np.concatenate([features] * 3)
    analysis = make_analysis(doubled, np.concatenate([group] * 3))
    found = make_umap(analysis, MapSettings(neighbours=9))
    assert np.isfinite(found.xy).all()


@pytest.mark.parametrize("phase", ["Reducing the features", "Finding neighbours", "Laying out the map"])
def test_a_cancelled_map_leaves_nothing(make_analysis: AnalysisMaker, phase: str) -> None:
    features, group = clusters(60)
    analysis = make_analysis(features, group)

    def stop(done: int, total: int, message: str = "") -> None:
        if message == phase:
            raise Cancelled

    with pytest.raises(Cancelled):
        make_umap(analysis, FAST, progress=stop)
    assert not list(Path(analysis.folder / "map").glob("*"))


def test_maps_with_other_settings_lie_beside_each_other_and_old_ones_go(
    make_analysis: AnalysisMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    features, group = clusters(30)
    analysis = make_analysis(features, group)
    monkeypatch.setattr(projection, "_lay_out", lambda values, settings, progress: values[:, :2] * settings.neighbours)
    make_umap(analysis)
    for neighbours in range(3, 3 + projection.KEPT + 2):
        make_umap(analysis, MapSettings(neighbours=neighbours))
    there = [n for n in range(3, 3 + projection.KEPT + 2) if read_umap(analysis, MapSettings(neighbours=n))]
    assert len(there) == projection.KEPT
    assert there[-1] == 3 + projection.KEPT + 1
    assert read_umap(analysis, USUAL) is not None
    described = json.loads((analysis.folder / "map" / "umap.json").read_text())
    assert described["neighbours"] == USUAL.neighbours


def test_settings_are_read_from_a_request_and_refused_with_a_next_step() -> None:
    assert map_settings({"analysis": "x"}) == USUAL
    assert map_settings({"neighbours": "30", "min_dist": "0"}) == MapSettings(neighbours=30, min_dist=0.0)
    for wrong in (
        {"neighbours": 1},
        {"neighbours": "many"},
        {"min_dist": 1.5},
        {"min_dist": "nan"},
        {"neighbours": 1e9},
    ):
        with pytest.raises(BadRequest) as told:
            map_settings(wrong)
        assert told.value.next_step


def test_the_job_makes_the_map_of_its_analysis(
    workspace: Workspace, make_analysis: AnalysisMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    features, group = clusters(30)
    analysis = make_analysis(features, group)
    monkeypatch.setattr("core.activations.store.open_analysis", lambda _workspace, _id: analysis)
    monkeypatch.setattr(projection, "_lay_out", lambda values, settings, progress: values[:, :2])
    kind = kind_of("map")
    request = kind.prepare({"analysis": "planted", "neighbours": 20})
    told = kind.run(workspace, request, lambda *_: None)
    assert told == {"analysis": "planted", "images": 30, "laid_out": 30}
    assert read_umap(analysis, MapSettings(neighbours=20)) is not None
    assert read_umap(analysis) is None
    with pytest.raises(BadRequest):
        kind.prepare({"neighbours": 3})


def purity(xy: np.ndarray, group: np.ndarray) -> float:
    """Share of images whose nearest other image on the map is of their group."""
    there = np.isfinite(xy).all(axis=1)
    apart = ((xy[there][:, None] - xy[there]) ** 2).sum(axis=2)
    np.fill_diagonal(apart, np.inf)
    return float((group[there][apart.argmin(axis=1)] == group[there]).mean())


# --- neighbours and samples ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("m", "count"), [(40, 5), (500, 15), (2000, 3), (7, 7)])
def test_neighbours_are_exact(m: int, count: int) -> None:
    rng = np.random.default_rng(m)
    points = rng.normal(size=(m, 6)).astype(np.float32)
    queries = rng.normal(size=(23, 6)).astype(np.float32)
    found, distances = nearest_among(queries, points, count)
    apart = np.linalg.norm(queries[:, None].astype(float) - points, axis=2)
    expected = np.sort(apart, axis=1)[:, :count]
    np.testing.assert_allclose(distances, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(np.take_along_axis(apart, found, 1), expected, rtol=1e-4, atol=1e-4)


def test_a_point_comes_first_among_its_own_neighbours_also_beside_its_double() -> None:
    points = np.repeat(np.random.default_rng(0).normal(size=(30, 4)), 4, axis=0).astype(np.float32)
    own = np.arange(120)
    found, distances = nearest_among(points, points, 6, own=own)
    assert (found[:, 0] == own).all()
    assert not distances[:, 0].any()
    assert (np.sort(found, axis=1)[:, 1:] != np.sort(found, axis=1)[:, :-1]).all()
    assert (np.diff(distances, axis=1) >= 0).all()


@pytest.mark.parametrize("different", [1, 2, 40, 4000])
def test_equal_points_are_neighbours_by_position_without_more_work(different: int) -> None:
    m, count = 4000, 15
    # whole numbers, so that distances are exact and equal ones equal
    points = np.random.default_rng(0).integers(-9, 10, size=(different, 8)).astype(np.float32)
    points = np.tile(points, (m // different, 1))
    queries = points[:60]
    apart = ((queries[:, None] - points) ** 2).sum(axis=2)
    expected = np.argsort(apart, axis=1, kind="stable")[:, :count]
    found, distances = nearest_among(queries, points, count)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(distances, np.sqrt(np.take_along_axis(apart, expected, 1)))
    rows, _ = projection._candidates(apart, count)
    assert np.bincount(rows).max() <= 64 * count
    own, _ = nearest_among(queries, points, count, own=np.arange(60))
    assert (own[:, 0] == np.arange(60)).all()
    assert (np.sort(own, axis=1)[:, 1:] != np.sort(own, axis=1)[:, :-1]).all()


def test_a_sample_keeps_the_share_of_every_class() -> None:
    labels = np.repeat([0, 1, 2], [9000, 900, 100])
    rows = np.arange(10_000)
    sample = projection._stratified(rows, labels, 1000, 0)
    assert len(np.unique(sample)) == 1000
    assert (np.diff(sample) > 0).all()
    assert np.abs(np.bincount(labels[sample]) - [900, 90, 10]).max() <= 1
    assert projection._stratified(rows, labels, 10_000, 0) is rows


# --- areas -----------------------------------------------------------------------------------------------------------


def goes_around(point: np.ndarray, corners: np.ndarray) -> bool:
    """The winding number by the angles that the corners turn, seen from the point."""
    seen = corners - point
    angles = np.arctan2(seen[:, 1], seen[:, 0])
    turns = (np.diff(np.append(angles, angles[0])) + np.pi) % (2 * np.pi) - np.pi
    return bool(round(turns.sum() / (2 * np.pi)) != 0)


@pytest.mark.parametrize("seed", range(6))
def test_any_drawn_curve_holds_what_it_goes_around(seed: int) -> None:
    rng = np.random.default_rng(seed)
    xy = rng.normal(size=(400, 2)).astype(np.float32)
    corners = rng.normal(size=(rng.integers(3, 14), 2))
    expected = [goes_around(point, corners) for point in xy.astype(float)]
    np.testing.assert_array_equal(inside_polygon(xy, corners), expected)
    np.testing.assert_array_equal(inside_polygon(xy, corners[::-1]), expected)


def test_a_star_holds_its_middle() -> None:
    star = np.array([[0, 3], [2, -3], [-3, 1], [3, 1], [-2, -3]])
    np.testing.assert_array_equal(inside_polygon(np.array([[0, 0], [0, 2], [2.5, -2.5]]), star), [True, True, False])


def test_areas_that_touch_share_no_point_and_leave_none_out() -> None:
    xy = np.stack(np.meshgrid(np.arange(9.0), np.arange(5.0)), axis=-1).reshape(-1, 2)
    left, right = ([[a, -1], [b, -1], [b, 9], [a, 9]] for a, b in ((-1, 4), (4, 20)))
    held = inside_polygon(xy, np.array(left)).astype(int) + inside_polygon(xy, np.array(right))
    assert (held == 1).all()


@pytest.mark.parametrize(
    "corners", [[], [[0, 0]], [[0, 0], [1, 1]], [[0, 0], [1, 0], [np.nan, 1]], [[0, 0], [9, 0], [4, 0]]]
)
def test_what_is_no_area_holds_nothing(corners: list[list[float]]) -> None:
    xy = np.array([[0.5, 0.2], [np.nan, np.nan], [4, 0]])
    assert not inside_polygon(xy, np.array(corners)).any()


def test_images_without_a_place_are_in_no_area() -> None:
    xy = np.array([[np.nan, np.nan], [0, 0]], dtype=np.float32)
    everything = np.array([[-9, -9], [9, -9], [9, 9], [-9, 9]])
    np.testing.assert_array_equal(inside_polygon(xy, everything), [False, True])
