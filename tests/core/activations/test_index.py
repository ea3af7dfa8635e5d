"""Whatever is asked of an index (histogram, counts, members, pages), the one edge rule answers, and all sums to n."""

from __future__ import annotations

import math
import subprocess
import sys
import threading
from fractions import Fraction
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from core.activations import bands, index, sampling
from core.activations.directions import Direction, parse_direction, scores
from core.activations.facets import Facet
from core.activations.index import (
    BandIndex,
    axis_edges,
    cache_folder,
    counts_between,
    facet_index,
    histogram,
    make_index,
    members,
    moments,
    open_index,
    positions,
    quantile_of,
    value_at,
)
from core.activations.store import write_analysis
from core.classifiers.head import Head
from core.datasets.dataset import Dataset
from core.errors import BadRequest
from core.workspace import Workspace

ANY_FLOAT32 = st.floats(width=32, allow_nan=True, allow_infinity=True)
FEW_VALUES = st.sampled_from([-math.inf, -1.5, -0.0, 0.0, 0.1, 0.1000001, 0.25, 3.0, math.inf, math.nan])
SCORES = arrays(np.float32, st.integers(0, 60), elements=ANY_FLOAT32) | arrays(
    np.float32, st.integers(0, 60), elements=FEW_VALUES
)
CONSTANT = st.builds(lambda n, value: np.full(n, value, np.float32), st.integers(1, 30), ANY_FLOAT32)
EDGES = st.lists(
    st.floats(-1e300, 1e300, allow_nan=False) | st.sampled_from([-1.5, 0.0, 0.1, 0.25, 3.0]),
    min_size=2,
    max_size=8,
    unique=True,
).map(sorted) | st.sampled_from([[0.0, 0.0], [0.1, 0.1], [3.0, 3.0]])
SCALES = ("value", "quantile", "z")


@settings(deadline=None)
@given(SCORES | CONSTANT)
def test_an_index_is_a_stable_sort(values: np.ndarray) -> None:
    made = make_index(values)
    assert made.order.dtype == np.uint32
    assert made.order.tolist() == np.argsort(values, kind="stable").tolist()
    np.testing.assert_array_equal(made.values, values[made.order])
    start, stop = made.finite
    assert np.isfinite(made.values[start:stop]).all()
    assert stop - start == np.isfinite(values).sum()
    finite = values[np.isfinite(values)]
    assert (made.low, made.high) == ((finite.min(), finite.max()) if len(finite) else (0.0, 0.0))


@settings(deadline=None)
@given(SCORES | CONSTANT, EDGES)
def test_cuts_bounds_and_assign_are_one_rule(values: np.ndarray, edges: list[float]) -> None:
    at = bands.check_edges(edges)
    made = make_index(values)
    places = bands.cuts(made.values, at)
    band_of = bands.assign(values, at)
    for i in range(len(at) - 1):
        closed = i == len(at) - 2
        assert (places[i], places[i + 1]) == bands.bounds(made.values, at[i], at[i + 1], closed=closed)
        assert sorted(made.order[places[i] : places[i + 1]].tolist()) == np.flatnonzero(band_of == i).tolist()


@settings(max_examples=60, deadline=None)
@given(SCORES | CONSTANT, EDGES, st.data())
def test_histogram_counts_members_and_pages_agree_and_sum_to_all(
    values: np.ndarray, edges: list[float], data: st.DataObject
) -> None:
    n = len(values)
    codes = data.draw(arrays(np.int8, n, elements=st.integers(-1, 2)), label="codes")
    rows = data.draw(st.none() | arrays(np.bool_, n), label="rows")
    at = bands.check_edges(edges)
    rng = np.random.default_rng(n)
    analysis = SimpleNamespace(
        labels=rng.integers(0, 2, n),
        logits=rng.normal(size=(n, 2)).astype(np.float32),
        features=values[:, None] * np.ones(3, np.float32),
    )
    direction = Direction("logit:a", "logit of a", None, 0.0, class_index=0, own_class=0)
    facet = Facet("x", "x", ("a", "b", "c"), codes)
    kept = np.ones(n, dtype=bool) if rows is None else rows
    # blocks this small make every count cross several of them
    with patch.object(index, "BLOCK", 4):
        made = make_index(values, rows)
        split = facet_index(made, facet)
        counted, plain = histogram(made, at, split), histogram(made, at)
        assert counted.total == plain.total == made.m == kept.sum()
        assert counted.not_a_number == np.isnan(values[kept]).sum()
        assert counted.below == (values[kept] < at[0]).sum()
        assert counted.above == (values[kept] > at[-1]).sum()
        assert counted.counts.sum(axis=0).tolist() == plain.counts[0].tolist()
        band_of = bands.assign(values, at)
        for i in range(len(at) - 1):
            closed = i == len(at) - 2
            expected = np.flatnonzero((band_of == i) & kept)
            start, stop = positions(made, at[i], at[i + 1], closed=closed)
            assert stop - start == len(expected) == plain.counts[0, i]
            inside = members(made, at[i], at[i + 1], closed=closed)
            assert sorted(inside.tolist()) == expected.tolist()
            assert (np.diff(values[inside]) >= 0).all()
            per_value = [int((codes[expected] == value).sum()) for value in (0, 1, 2, -1)]
            assert counts_between(split, start, stop).tolist() == per_value == counted.counts[:, i].tolist()
            for order in sampling.ORDERS:
                assert sorted(_all_pages(analysis, direction, made, at[i], at[i + 1], closed, order)) == list(expected)


def _all_pages(
    analysis: Any, direction: Direction, made: BandIndex, low: float, high: float, closed: bool, order: str
) -> list[int]:
    rows: list[int] = []
    number = pages = 0
    while number <= pages - 1 or not number:
        shown = sampling.page(
            analysis, direction, made, low, high, closed=closed, order=order, seed=3, number=number, size=7
        )
        assert shown.values.tolist() == pytest.approx(
            [made.values[made.order == row][0] for row in shown.rows], rel=0, abs=0
        )
        rows += shown.rows.tolist()
        assert (shown.number, shown.total) == (number, shown.total)
        number, pages = number + 1, shown.pages
    assert len(rows) == shown.total
    return rows


def test_counts_over_many_blocks_are_those_of_a_scan() -> None:
    rng = np.random.default_rng(0)
    n = 3 * index.BLOCK * 500 // 100 + 77
    values, codes = rng.normal(size=n).astype(np.float32), rng.integers(-1, 300, n).astype(np.int16)
    made = make_index(values)
    split = facet_index(made, Facet("x", "x", tuple(map(str, range(300))), codes))
    for _ in range(50):
        start, stop = np.sort(rng.integers(0, n + 1, 2)).tolist()
        expected = np.bincount(np.where(codes < 0, 300, codes)[made.order[start:stop]], minlength=301)
        assert np.array_equal(counts_between(split, start, stop), expected)


def test_an_index_without_images_answers() -> None:
    empty = make_index(np.empty(0, np.float32))
    split = facet_index(empty, Facet("x", "x", ("a",), np.empty(0, np.int8)))
    assert (empty.m, empty.low, empty.high) == (0, 0.0, 0.0)
    for scale in SCALES:
        assert histogram(empty, axis_edges(empty, 10, scale=scale), split).total == 0
    assert value_at(empty, 0.5) == quantile_of(empty, 1.0) == 0.0
    assert moments(empty) == (0.0, 0.0)
    assert members(empty, 0, 1, closed=True).tolist() == []


def test_a_histogram_without_edges_has_everything_outside() -> None:
    made = make_index(np.array([np.nan, np.inf, -np.inf], np.float32))
    counted = histogram(made, np.empty(0))
    assert (counted.below, counted.above, counted.not_a_number, counted.total) == (1, 1, 1, 3)


@settings(deadline=None)
@given(SCORES | CONSTANT, st.integers(1, 70), st.sampled_from(SCALES))
def test_an_axis_increases_and_holds_every_finite_image(values: np.ndarray, bins: int, scale: str) -> None:
    made = make_index(values)
    edges = axis_edges(made, bins, scale=scale)
    assert 2 <= len(edges) <= bins + 1
    assert np.isfinite(edges).all()
    assert (np.diff(edges) > 0).all()
    assert histogram(made, edges).counts.sum() == np.isfinite(values).sum()


@settings(deadline=None)
@given(SCORES | CONSTANT)
def test_where_there_is_no_edge_counting_and_histogram_agree(values: np.ndarray) -> None:
    for edges in (np.empty(0), np.zeros(1)):
        counted, drawn = bands.count(values, edges), histogram(make_index(values), edges)
        assert (counted.below, counted.above, counted.not_a_number) == (drawn.below, drawn.above, drawn.not_a_number)
        assert counted.below == np.isneginf(values).sum()
        assert drawn.total == len(values)


def test_rounding_loses_no_image_at_the_ends_of_an_axis_of_z_scores() -> None:
    """The mean plus as many deviations as an end lies away from it need not be that end: it misses it by a bit."""
    missed = np.zeros(2)
    for seed in range(200):
        made = make_index(np.random.default_rng(seed).normal(seed / 10, 1, 50).astype(np.float32))
        mean, deviation = moments(made)
        low, high = (mean + deviation * ((end - mean) / deviation) for end in (made.low, made.high))
        missed += (low > made.low, high < made.high)
        # one bin has its ends there
        edges = axis_edges(made, 1, scale="z")
        assert len(edges) == 2
        assert histogram(made, edges).counts.sum() == 50
    assert (missed > 0).all(), "both guards are needed"


def test_a_quantile_is_not_pushed_on_by_the_rounding_of_a_product() -> None:
    """0.07 * 100 is 7.000000000000001 in float64: the eighth image would be taken for the seventh."""
    made = make_index(np.arange(1, 101, dtype=np.float32))
    assert [value_at(made, i / 100) for i in range(1, 101)] == list(range(1, 101))
    # but a share that lies above a whole number, however little, asks for the next image
    assert value_at(made, 0.07 + 1e-12) == 8.0


def test_bins_of_quantiles_hold_equally_many() -> None:
    made = make_index(np.random.default_rng(0).exponential(size=6000).astype(np.float32))
    counted = histogram(made, axis_edges(made, 60, scale="quantile")).counts[0]
    assert len(counted) == 60
    assert set(counted.tolist()) <= {99, 100, 101}


def test_bins_of_z_scores_are_round_multiples_of_the_deviation() -> None:
    values = np.random.default_rng(0).normal(5, 3, 6000).astype(np.float32)
    made = make_index(values)
    edges = axis_edges(made, 60, scale="z")
    z = (edges - values.mean(dtype=np.float64)) / values.std(dtype=np.float64)
    steps = np.diff(z)
    assert 30 < len(steps) <= 60
    np.testing.assert_allclose(steps, steps[0])
    assert min(abs(steps[0] - step) for step in (0.1, 0.2, 0.25, 0.5)) < 1e-9
    np.testing.assert_allclose(z / steps[0], np.round(z / steps[0]), atol=1e-6)


def test_an_axis_that_makes_no_sense_is_refused() -> None:
    made = make_index(np.arange(3, dtype=np.float32))
    with pytest.raises(ValueError, match="no scale"):
        axis_edges(made, 10, scale="cubic")
    for bins in (0, 10_000):
        with pytest.raises(BadRequest):
            axis_edges(made, bins, scale="value")


@settings(deadline=None)
@given(SCORES | CONSTANT, st.integers(0, 64))
def test_the_value_at_a_quantile_occurs_and_leads_back(values: np.ndarray, eighths: int) -> None:
    made = make_index(values)
    finite = np.sort(values[np.isfinite(values)])
    quantile = eighths / 64
    found = value_at(made, quantile)
    if not len(finite):
        assert found == 0.0
        return
    place = max(math.ceil(Fraction(eighths, 64) * len(finite)) - 1, 0)
    assert found == finite[place]
    assert quantile_of(made, found) == (finite <= found).sum() / len(finite) >= quantile


def test_quantiles_outside_the_data_are_its_ends() -> None:
    made = make_index(np.array([-np.inf, 1, 2, np.inf, np.nan], np.float32))
    asked = [quantile_of(made, value) for value in (-math.inf, 0, 1, 5, math.inf, math.nan)]
    assert asked == [0.0, 0.0, 0.5, 1.0, 1.0, 0.0]
    for wrong in (-0.1, 1.1, math.nan):
        with pytest.raises(BadRequest):
            value_at(made, wrong)


@settings(deadline=None)
@given(SCORES | CONSTANT)
def test_moments_are_numpys(values: np.ndarray) -> None:
    finite = values[np.isfinite(values)].astype(np.float64)
    found = moments(make_index(values))
    expected = (finite.mean(), finite.std()) if len(finite) else (0.0, 0.0)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-300)


@pytest.fixture
def analysis(make_analysis) -> Any:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(0)
    features = rng.normal(size=(300, 5))
    features[7, 1] = np.nan
    return make_analysis(features, np.arange(300) % 3)


def test_a_filtered_index_is_the_index_of_the_filtered_images(analysis: Any) -> None:
    direction = parse_direction("neuron:1", analysis)
    rows = np.arange(300) % 7 == 0
    found = open_index(analysis, direction, rows)
    kept = np.flatnonzero(rows)
    expected = kept[np.argsort(analysis.features[kept, 1], kind="stable")]
    assert found.order.tolist() == expected.tolist()


def test_an_index_is_read_back_from_disk_as_it_was_made(analysis: Any) -> None:
    direction = parse_direction("margin:class 1", analysis)
    made, read = open_index(analysis, direction), open_index(analysis, direction)
    for mapped in (read.values, read.order):
        while isinstance(mapped.base, np.ndarray):
            mapped = mapped.base
        assert isinstance(mapped, np.memmap)
    for found in (made, read):
        assert np.array_equal(found.values, scores(analysis, direction)[found.order], equal_nan=True)


def test_files_of_earlier_versions_are_removed(analysis: Any) -> None:
    direction = parse_direction("logit:class 1", analysis)
    folder = cache_folder(analysis, direction)
    folder.mkdir(parents=True)
    for kind in ("values", "order"):
        np.save(folder / f"{direction.key}.{kind}.npy", np.zeros(300, np.float32))
    np.save(folder / "feature-deviations.npy", np.zeros(5))
    found = open_index(analysis, direction)
    assert np.array_equal(found.values, scores(analysis, direction)[found.order], equal_nan=True)
    assert sorted(file.name for file in folder.iterdir()) == [
        "feature-deviations.npy",
        f"{direction.key}.sorted.npy",
    ]


@pytest.mark.parametrize("damage", ["empty", "cut off", "another length", "another type", "turned", "gone"])
def test_damaged_files_are_made_again(analysis: Any, damage: str) -> None:
    direction = parse_direction("logit:class 1", analysis)
    expected = open_index(analysis, direction)
    values, order = np.array(expected.values), np.array(expected.order)
    (file,) = cache_folder(analysis, direction).iterdir()
    if damage == "gone":
        file.unlink()
    elif damage in ("empty", "cut off"):
        # a file of its own: the open one stays as it was mapped
        content = file.read_bytes()[: 0 if damage == "empty" else 1000]
        file.unlink()
        file.write_bytes(content)
    else:
        wrong = {"another length": np.zeros((2, 9), np.uint32), "another type": np.zeros((2, 300), np.float32)}
        file.unlink()
        np.save(file, wrong.get(damage, np.asfortranarray(np.zeros((2, 300), np.uint32))))
    for _ in range(2):
        found = open_index(analysis, direction)
        np.testing.assert_array_equal(found.values, values)
        np.testing.assert_array_equal(found.order, order)


def test_values_and_order_come_from_the_same_hand(analysis: Any) -> None:
    """Two processes whose sums differ in the last digit, the second one writing while the first one does."""
    direction = parse_direction("neuron:0", analysis)
    versions = [np.random.default_rng(seed).permutation(300).astype(np.float32) for seed in range(2)]
    turn = iter(versions)
    written, inner = index.write_array, []

    def interrupted(*arguments: Any) -> None:
        if not inner:
            inner.append(None)
            inner.append(open_index(analysis, direction))
        written(*arguments)

    with (
        patch.object(index, "scores", side_effect=lambda *_: next(turn)),
        patch.object(index, "write_array", side_effect=interrupted),
    ):
        found = open_index(analysis, direction)
    assert np.array_equal(inner[1].values, versions[1][inner[1].order])
    for read in (found, open_index(analysis, direction)):
        assert np.array_equal(read.values, versions[0][read.order])


def test_a_folder_that_may_not_be_written_to_is_still_read(analysis: Any) -> None:
    direction = parse_direction("logit:class 1", analysis)
    expected = open_index(analysis, direction).order.tolist()
    with (
        patch("core.files.os.utime", side_effect=PermissionError),
        patch.object(index, "write_array", side_effect=AssertionError),
    ):
        assert open_index(analysis, direction).order.tolist() == expected


def test_the_directions_used_longest_ago_are_removed_first(analysis: Any) -> None:
    specs = [f"neuron:{i}" for i in range(5)]
    first = parse_direction(specs[0], analysis)
    open_index(analysis, first)
    folder = cache_folder(analysis, first)
    each = sum(file.stat().st_size for file in folder.iterdir())
    with patch.object(index, "KEPT", 3 * each):
        for spec in specs[1:3]:
            open_index(analysis, parse_direction(spec, analysis))
        # looking at the first one again makes the second the oldest
        held = open_index(analysis, first)
        open_index(analysis, parse_direction(specs[3], analysis))
        open_index(analysis, parse_direction(specs[4], analysis))
    left = {file.name.split("-")[1] for file in folder.iterdir()}
    assert left == {"0", "3", "4"}
    assert sum(file.stat().st_size for file in folder.iterdir()) <= 3 * each
    assert np.array_equal(held.values, scores(analysis, first)[held.order]), "what is open stays readable"


def test_many_at_once_make_and_remove_without_breaking_each_other(analysis: Any) -> None:
    directions = [parse_direction(f"neuron:{i}", analysis) for i in range(5)]
    expected = [scores(analysis, direction) for direction in directions]
    wrong: list[str] = []

    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for _ in range(25):
            i = int(rng.integers(5))
            try:
                found = open_index(analysis, directions[i])
                if not np.array_equal(found.values, expected[i][found.order], equal_nan=True):
                    wrong.append(f"neuron {i} came out wrong")
            except Exception as error:
                wrong.append(repr(error))

    with patch.object(index, "KEPT", 5000):
        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []


def test_only_the_last_results_are_remembered() -> None:
    made = make_index(np.arange(3, dtype=np.float32))
    calls = []
    for key in [*range(20), 19]:
        made.remember(key, lambda key=key: calls.append(key) or str(key))  # type: ignore[misc]
    assert calls == list(range(20))
    assert len(made._results) == 6


RACER = """
import sys
import numpy as np
from core.activations import index
from core.activations.directions import parse_direction, scores
from core.activations.store import open_analysis, with_head
from core.classifiers.head import Head
from core.workspace import open_workspace

index.KEPT = 20_000
analysis = open_analysis(open_workspace(sys.argv[1]))
head = Head(analysis.head.weight[::-1].copy(), analysis.head.bias)
print("ready", flush=True)
sys.stdin.readline()
for turn in range(6):
    model = analysis if turn % 2 else with_head(analysis, head, "after")
    for spec in ("logit:a", "margin:b", "neuron:0"):
        direction = parse_direction(spec, model)
        found = index.open_index(model, direction)
        assert np.array_equal(found.values, scores(model, direction)[found.order]), spec
    print(*model.image_names([turn]))
"""


def test_two_processes_at_once_do_not_break_each_other(workspace: Workspace) -> None:
    rng = np.random.default_rng(0)
    dataset = Dataset(
        id="data",
        name="race",
        root=workspace.root,
        source="class-folders",
        images=np.array([f"{i:04d}.png" for i in range(2000)], dtype=np.dtypes.StringDType()),
        labels=rng.integers(0, 2, 2000),
        splits=np.ones(2000, np.int8),
        classes=("a", "b"),
        attributes=(),
        problems=(),
        notes=(),
        fingerprint="f",
    )
    head = Head(rng.normal(size=(2, 3)).astype(np.float32), np.zeros(2, np.float32))
    analysis = write_analysis(workspace, dataset, features=rng.normal(size=(2000, 3)), head=head)
    # as an earlier version left it: both make the names as well
    (analysis.folder / "names.npy").unlink()
    command = [sys.executable, "-c", RACER, str(workspace.root)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    racers = [subprocess.Popen(command, **pipes) for _ in range(2)]  # type: ignore[call-overload]
    for racer in racers:
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        racer.stdin.write("\n")
        racer.stdin.flush()
    for racer in racers:
        out, err = racer.communicate(timeout=120)
        assert racer.returncode == 0, err
        assert out.split() == [f"{i:04d}.png" for i in range(6)]
