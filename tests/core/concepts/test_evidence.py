from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.classifiers.head import Head
from core.classifiers.logistic import logistic_regression
from core.classifiers.softmax import standardise
from core.concepts import evidence as module
from core.concepts.concept import create_concept
from core.concepts.evidence import check_both_values, design, evidence, ground, log_odds, scaled, spread_evenly
from core.concepts.labels import judge
from core.concepts.probes import cell_weights
from core.concepts.tags import tag
from core.errors import NotEnoughTags
from core.workspace import Workspace

N = 400


@pytest.fixture
def analysis(make_analysis: Any) -> Any:
    rng = np.random.default_rng(0)
    features = rng.normal(3, 2, size=(N, 6))
    return make_analysis(features, rng.integers(2, size=N), splits=np.arange(N) % 3)


def tops(analysis: Any, c: int) -> np.ndarray:
    base = ground(analysis)
    rows = base.rows[: base.assumable]
    return rows[analysis.labels[rows] == c]


def test_ground_is_the_standardised_pool_with_its_top_halves_first(analysis: Any) -> None:
    base = ground(analysis)
    assert set(base.rows.tolist()) == set(analysis.split_rows("val").tolist())
    assert base.top[base.rows[: base.assumable]].all()
    assert not base.top[base.rows[base.assumable :]].any()
    expected = standardise(analysis.features[base.pool])
    np.testing.assert_allclose(base.scaling.mean, expected.mean, rtol=1e-5)
    np.testing.assert_allclose(base.scaling.scale, expected.scale, rtol=1e-5)
    np.testing.assert_allclose(base.features, expected.apply(analysis.features[base.rows]), atol=1e-5)
    assert np.array_equal(base.rows[base.place[base.rows]], base.rows)
    assert (base.place >= 0).sum() == len(base.rows)


def test_ground_is_made_once_and_anew_for_other_logits(analysis: Any, make_analysis: Any) -> None:
    assert ground(analysis) is ground(analysis)
    other = make_analysis(analysis.features + 1, analysis.labels, splits=analysis.splits)
    assert ground(other) is not ground(analysis)


def test_no_more_than_two_grounds_are_kept(make_analysis: Any) -> None:
    rng = np.random.default_rng(0)
    for _ in range(5):
        ground(make_analysis(rng.normal(size=(50, 3)), np.arange(50) % 2))
    assert len(module._grounds) <= 2


def test_scaling_of_features_far_from_zero_is_exact(make_analysis: Any) -> None:
    features = np.random.default_rng(0).normal(10_000, 0.5, size=(300, 4)).astype(np.float32)
    base = ground(make_analysis(features, np.arange(300) % 2))
    np.testing.assert_allclose(base.scaling.scale, features.std(axis=0, dtype=np.float64) * 1.001, rtol=1e-3)


def test_two_threads_make_the_ground_that_one_makes(analysis: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    one = ground(analysis)
    monkeypatch.setattr(module, "_ALONE", 0)
    monkeypatch.setattr(module, "_BLOCK", 6 * 16)
    grounds = []
    for _ in range(2):
        module._grounds.clear()
        grounds.append(ground(analysis))
    module._grounds.clear()
    np.testing.assert_allclose(grounds[0].features, one.features, atol=1e-5)
    # whichever thread was first
    assert np.array_equal(grounds[0].features, grounds[1].features)


def test_a_pool_larger_than_the_ground_is_scaled_without_its_broken_images(
    make_analysis: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST", 40)
    rng = np.random.default_rng(0)
    features = rng.normal(3, 2, size=(N, 6))
    labels = np.arange(N) % 2
    spoilt = features.copy()
    spoilt[[5, 77], 2] = np.nan
    with np.errstate(invalid="ignore"):
        base = ground(make_analysis(spoilt, labels))
    assert set(range(N)) - set(base.pool) == {5, 77}
    assert len(base.rows) == 40
    expected = standardise(np.delete(features, [5, 77], axis=0))
    np.testing.assert_allclose(base.scaling.mean, expected.mean, rtol=1e-5)
    np.testing.assert_allclose(base.scaling.scale, expected.scale, rtol=1e-5)
    assert np.isfinite(base.features).all()


def test_evidence_is_the_tags_outside_test_and_what_is_usual(workspace: Workspace, analysis: Any) -> None:
    concept = create_concept(workspace, analysis.dataset_id, "water")
    train, val, test = (analysis.split_rows(name) for name in ("train", "val", "test"))
    top0, top1 = tops(analysis, 0), tops(analysis, 1)
    low = np.setdiff1d(val, np.concatenate([top0, top1]))[:4]
    tag(workspace, analysis, concept, [*top1[:3], *train[:2], *test[:5], *low[:2]], True)
    tag(workspace, analysis, concept, [*top0[:3], *low[2:]], False)
    known = evidence(workspace, analysis, concept)
    assert known.usual.values.tolist() == [0, 1]
    assert set(known.rows[known.tagged]) == {*top1[:3], *train[:2], *low, *top0[:3]}
    assert set(known.rows[~known.tagged]) == {*top0[3:], *top1[3:]}
    assert (known.values[~known.tagged] == analysis.labels[known.rows[~known.tagged]]).all()
    assert known.count(1) == 7
    assert known.count(0) == 5


def test_unsure_and_wrongly_labelled_images_are_not_assumed(workspace: Workspace, analysis: Any) -> None:
    concept = create_concept(workspace, analysis.dataset_id, "water")
    top0, top1 = tops(analysis, 0), tops(analysis, 1)
    tag(workspace, analysis, concept, top1[:3], True)
    tag(workspace, analysis, concept, top0[:3], False)
    tag(workspace, analysis, concept, top0[3:5], "unsure")
    judge(workspace, analysis, [top0[5], top0[0]], "wrong")
    judge(workspace, analysis, [top0[6], top0[1]], "wrong", relabel_to=analysis.classes[1])
    known = evidence(workspace, analysis, concept)
    assert not set(top0[3:7].tolist()) & set(known.rows.tolist())
    # a tag on an image without a class is left out, one on a relabelled image counts in its new class
    assert top0[0] not in known.rows
    assert known.labels[known.rows == top0[1]].tolist() == [1]


def test_a_relabelled_image_stands_where_its_logit_puts_it_in_its_new_class(
    workspace: Workspace, make_analysis: Any
) -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(N, 2)).astype(np.float32)
    labels = np.arange(N) % 2
    analysis = make_analysis(logits, labels, head=Head(np.eye(2, dtype=np.float32), np.zeros(2, np.float32)))
    base = ground(analysis)
    middle = np.median(logits[labels == 1, 1])
    there = np.flatnonzero(base.top & (labels == 0) & (logits[:, 1] <= middle))[:5]
    gone = np.flatnonzero(~base.top & (labels == 0) & (logits[:, 1] > middle))[:4]
    concept = create_concept(workspace, analysis.dataset_id, "water")
    judge(workspace, analysis, [*there, *gone], "wrong", relabel_to=analysis.classes[1])
    tag(workspace, analysis, concept, there, False)
    tag(workspace, analysis, concept, gone, True)
    known = evidence(workspace, analysis, concept)
    assert set(known.rows[known.tagged & known.top]) == set(gone)
    assert known.usual.values.tolist() == [-1, 1]
    assert not known.usual.absent.any()
    assert np.array_equal(ground(analysis).top, base.top)


def test_one_analysis_does_not_wait_for_the_ground_of_another(
    analysis: Any, make_analysis: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = make_analysis(analysis.features + 1, analysis.labels, splits=analysis.splits)
    module._grounds.clear()
    begun, go_on, made = threading.Event(), threading.Event(), []
    make = module._ground

    def slow(which: Any, made_of: Any) -> Any:
        made.append(which)
        if which is analysis:
            begun.set()
            assert go_on.wait(30)
        return make(which, made_of)

    monkeypatch.setattr(module, "_ground", slow)
    with ThreadPoolExecutor(3) as threads:
        first = threads.submit(ground, analysis)
        assert begun.wait(30)
        second = threads.submit(ground, analysis)
        try:
            assert threads.submit(ground, other).result(30).features.shape[1] == 6
            assert not first.done()
        finally:
            go_on.set()
        assert first.result(30) is second.result(30)
    assert len(made) == 2


def test_of_more_cells_than_images_that_may_be_used_each_gives_one() -> None:
    cells = np.repeat(np.arange(30), 5)
    chosen = spread_evenly(cells, 10)
    assert cells[chosen].tolist() == list(range(30))


def test_of_many_images_each_cell_gives_as_many_as_it_can(
    workspace: Workspace, analysis: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST", 40)
    module._grounds.clear()
    base = ground(analysis)
    assert len(base.rows) == base.assumable == 40
    assert np.bincount(analysis.labels[base.rows]).tolist() == [20, 20]
    concept = create_concept(workspace, analysis.dataset_id, "water")
    val = analysis.split_rows("val")
    tag(workspace, analysis, concept, val[:7], True)
    tag(workspace, analysis, concept, val[7:], False)
    known = evidence(workspace, analysis, concept)
    assert known.count(1) == 7
    assert 30 <= known.count(0) <= 33
    module._grounds.clear()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 5), max_size=200), st.integers(6, 100))
def test_even_choice_is_bounded_increasing_and_fair(cells: list[int], most: int) -> None:
    chosen = spread_evenly(np.array(cells, dtype=np.int64), most)
    assert (np.diff(chosen) > 0).all()
    assert len(chosen) <= max(most, 0) or len(chosen) == len(cells) <= most
    kept, there = (
        np.bincount(np.array(values, dtype=np.int64), minlength=6)
        for values in (np.array(cells, dtype=np.int64)[chosen], cells)
    )
    if len(cells) > most:
        assert most - len(chosen) < 6
        # a cell gives less than all only where none gives more than one above it
        short = kept < there
        assert not short.any() or kept.max() <= kept[short].min() + 1


@pytest.mark.parametrize("tagged", ["few", "nearly all"])
def test_design_holds_what_the_evidence_says(workspace: Workspace, analysis: Any, tagged: str) -> None:
    concept = create_concept(workspace, analysis.dataset_id, "water")
    rows = analysis.split_rows("val")
    rows = np.concatenate([rows[:20] if tagged == "few" else rows[:-3], analysis.split_rows("train")[:4]])
    for present in (True, False):
        tag(workspace, analysis, concept, rows[(analysis.features[rows, 0] > 3) == present], present)
    known = evidence(workspace, analysis, concept)
    weights = cell_weights(known.cells)
    blocks, values, shares = design(analysis, known, weights)
    assert shares.sum() == pytest.approx(1)
    assert (shares > 0).sum() == len(known.rows)
    arranged = logistic_regression(blocks, values, shares, l2=0.1, tolerance=1e-7)
    plain = scaled(analysis.features, known.rows, ground(analysis).scaling)
    simple = logistic_regression(plain, known.values, weights, l2=0.1, tolerance=1e-7)
    np.testing.assert_allclose(arranged.weight, simple.weight, atol=1e-5)


def test_log_odds_of_scattered_and_neighbouring_rows(analysis: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BLOCK", 6 * 16)
    weight = np.random.default_rng(0).normal(size=(6, 2))
    for rows in (np.arange(N), np.arange(0, N, 7), np.array([], dtype=np.int64)):
        expected = analysis.features[rows] @ weight + [1, 2]
        np.testing.assert_allclose(log_odds(analysis.features, rows, weight, np.array([1, 2])), expected, atol=1e-4)


def test_one_value_is_not_enough(workspace: Workspace, analysis: Any) -> None:
    concept = create_concept(workspace, analysis.dataset_id, "water")
    tag(workspace, analysis, concept, analysis.split_rows("val")[:5], False)
    with pytest.raises(NotEnoughTags, match="tagged present"):
        check_both_values(evidence(workspace, analysis, concept), concept)
