"""What a repair would give by now: honest about images it was not fitted on, and always about the newest tags."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from core.concepts.concept import create_concept
from core.concepts.tags import tag, tag_version, undo
from core.errors import NotEnoughTags
from core.retraining import live, live_estimate
from core.retraining.evaluation import evaluate
from core.retraining.live import LiveRepair, live_repair
from core.retraining.live_estimate import LiveEstimate, LiveGround, live_ground
from core.retraining.material import chosen_concepts, gather
from core.workspace import Workspace

from .conftest import planted


@pytest.fixture(autouse=True)
def no_rest(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(live, "REST", 0.0)
    monkeypatch.setattr(live, "_open", {})
    yield
    for one in live._open.values():
        one.close()


def estimated(workspace: Workspace, analysis: Any) -> LiveEstimate:
    material = gather(workspace, analysis, chosen_concepts(workspace, analysis, ())).material
    return live_estimate.live_estimate(live_ground(material.pool), material.concepts)


def on_test(analysis: Any, head: Any) -> float:
    """Worst-group accuracy on test, by the planted groups."""
    rows = analysis.split_rows("test")
    place = analysis.attributes[0].codes
    right = head.logits(analysis.features[rows]).argmax(axis=1) == analysis.labels[rows]
    groups = analysis.labels[rows] * 2 + place[rows]
    return min(float(right[groups == group].mean()) for group in range(4))


@pytest.mark.parametrize("seed", range(3))
def test_the_estimate_holds_what_test_says_and_sees_the_gain(
    workspace: Workspace, planted_analysis: Any, answer: Callable[..., None], seed: int
) -> None:
    analysis = planted_analysis(seed)
    answer(analysis, planted(seed).place)
    found = estimated(workspace, analysis)
    truth = on_test(analysis, found.head)
    assert truth > on_test(analysis, analysis.head) + 0.1
    low, high = found.after.worst_interval
    assert low <= truth <= high
    assert found.after.worst_group > found.before.worst_group + 0.05
    assert found.after.worst_group == pytest.approx(truth, abs=0.15)
    assert found.after.estimated
    assert found.after.split == "val"
    assert f"{found.before.worst_group:.0%} to about {found.after.worst_group:.0%}" in found.sentence


def test_features_that_do_not_hold_the_class_are_promised_nothing(
    workspace: Workspace, planted_analysis: Any, answer: Callable[..., None]
) -> None:
    """In as many dimensions as there are images a head learns them by heart: only held-out images tell."""
    options: dict[str, Any] = {"core": 0.0, "dimensions": 400, "sizes": (1500, 800, 400)}
    analysis = planted_analysis(1, **options)
    answer(analysis, planted(1, **options).place)
    found = estimated(workspace, analysis)
    fitted = found.head.logits(analysis.features[found.curation.rows]).argmax(axis=1)
    assert found.after.worst_group < 0.62
    by_heart = min(
        float((fitted == found.curation.labels)[found.curation.groups == group].mean())
        for group in np.unique(found.curation.groups)
    )
    assert by_heart > found.after.worst_group


def test_each_image_is_predicted_by_a_head_that_did_not_see_it(
    workspace: Workspace, planted_analysis: Any, answer: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    analysis = planted_analysis(0)
    answer(analysis, planted(0).place)
    material = gather(workspace, analysis, chosen_concepts(workspace, analysis, ())).material
    fitted: list[set[int]] = []
    chosen: list[np.ndarray] = []
    predicted: list[set[int]] = []
    real = live_estimate.fit_balanced

    class Head:
        def __init__(self, head: Any) -> None:
            self._head = head

        def logits(self, features: np.ndarray) -> np.ndarray:
            # which images these are, by their features
            predicted.append(set(map(bytes, features)))
            return self._head.logits(features)

    def spy(pool: Any, positions: np.ndarray, groups: np.ndarray, **options: Any) -> Any:
        fitted.append(set(map(bytes, pool.features[positions])))
        chosen.append(np.bincount(groups, minlength=4))
        return Head(real(pool, positions, groups, **options))

    monkeypatch.setattr(live_estimate, "fit_balanced", spy)
    live_estimate.live_estimate(live_ground(material.pool), material.concepts)
    # the first is the head of all images; the others see what they did not learn
    assert len(predicted) == live_estimate.FOLDS == len(fitted) - 1
    for seen, asked in zip(fitted[1:], predicted, strict=True):
        assert not seen & asked
    assert sum(map(len, predicted)) == len(material.pool)
    # every fold has its part of the rarest group, too
    for of_others in chosen[1:]:
        assert np.abs(of_others - chosen[0] * (1 - 1 / live_estimate.FOLDS)).max() <= 1


@pytest.mark.parametrize("seed", range(2))
def test_a_probe_that_sees_few_dimensions_of_many_says_the_same(
    workspace: Workspace, planted_analysis: Any, answer: Callable[..., None], seed: int
) -> None:
    """With all 400 and with 96 of them: nearly the same images and estimates; marks agree as those of two seeds do."""
    options: dict[str, Any] = {"dimensions": 400, "core": 2.0, "sizes": (3000, 1500, 1000)}
    analysis = planted_analysis(seed, **options)
    answer(analysis, planted(seed, **options).place)
    material = gather(workspace, analysis, chosen_concepts(workspace, analysis, ())).material
    whole, few = live_ground(material.pool), live_ground(material.pool, 96)
    assert whole.seen is material.pool
    assert few.pool is material.pool
    assert few.seen.features.shape == (len(material.pool), 96 + 2)
    found = [live_estimate.live_estimate(ground, material.concepts) for ground in (whole, few)]
    again = live_estimate.live_estimate(live_ground(material.pool, 96), material.concepts)
    assert np.array_equal(again.head.weight, found[1].head.weight)
    other = live_estimate.live_estimate(whole, material.concepts, seed=1)
    was = analysis.logits.argmax(axis=1)
    now, few_now, other_now = (one.head.logits(analysis.features).argmax(axis=1) for one in (*found, other))

    def shared(some: np.ndarray) -> float:
        """Of the images that one of two heads names otherwise than the old one, those that both name so."""
        return float(((some == now) & (now != was)).sum() / ((some != was) | (now != was)).sum())

    assert (few_now == now).mean() > (other_now == now).mean() - 0.01
    assert shared(few_now) > 0.85 * shared(other_now)
    rows = [set(one.curation.rows.tolist()) for one in found]
    assert len(rows[0] & rows[1]) > 0.98 * len(rows[0] | rows[1])
    assert found[1].before.worst_group == pytest.approx(found[0].before.worst_group, abs=0.06)
    assert found[1].after.worst_group == pytest.approx(found[0].after.worst_group, abs=0.06)
    truth = on_test(analysis, found[1].head)
    low, high = found[1].after.worst_interval
    assert low <= truth <= high


def test_test_is_not_looked_at(workspace: Workspace, planted_analysis: Any, answer: Callable[..., None]) -> None:
    analysis = planted_analysis(0)
    place = planted(0).place
    answer(analysis, place)
    before = estimated(workspace, analysis)
    (water,) = chosen_concepts(workspace, analysis, ())
    # tags on test, wrong ones at that, change nothing
    rows = analysis.split_rows("test")[:200]
    tag(workspace, analysis, water, rows, True)
    after = estimated(workspace, analysis)
    assert np.array_equal(before.head.weight, after.head.weight)
    assert before.after.to_dict() == after.after.to_dict()


def test_a_page_gets_the_newest_tags_and_an_undo_takes_its_point_along(
    workspace: Workspace, planted_analysis: Any, answer: Callable[..., None]
) -> None:
    analysis = planted_analysis(0)
    place = planted(0).place
    repair = LiveRepair(workspace, analysis)
    create_concept(workspace, analysis.dataset_id, "water")
    assert repair.follow() is None
    none = repair.wait(30)
    assert none is not None
    assert none.estimate is None
    assert "water" not in none.problem or none.tags == 0
    assert none.problem
    assert repair.changes([0, 1]) == {}
    answer(analysis, place, budget=40)
    repair.follow()
    first = repair.wait(30)
    assert first is not None
    assert first.estimate is not None
    assert first.tags == 40
    assert [moment.tags for moment in repair.way] == [40]
    (water,) = chosen_concepts(workspace, analysis, ())
    left = analysis.split_rows("val")
    states = gather(workspace, analysis, [water]).states[:, 0]
    fresh = left[states[left] < 0][:5]
    for row in fresh:
        tag(workspace, analysis, water, [int(row)], bool(place[row]), author="Ada")
    repair.follow()
    second = repair.wait(30)
    assert second is not None
    assert second.version == tag_version(workspace, analysis.dataset_id)
    assert [moment.tags for moment in repair.way] == [40, 45]
    undo(workspace, analysis.dataset_id, "Ada")
    repair.follow()
    third = repair.wait(30)
    assert third is not None
    assert third.tags == 44
    assert [moment.tags for moment in repair.way] == [40, 44]
    rows = np.arange(analysis.n)
    changes = repair.changes(rows)
    assert third.estimate is not None
    now = third.estimate.head.logits(analysis.features[rows]).argmax(axis=1)
    was = analysis.logits[rows].argmax(axis=1)
    assert changes == {int(row): int(now[row]) for row in np.flatnonzero(now != was)}
    assert changes
    repair.close()


def test_only_the_newest_of_many_requests_is_computed(
    workspace: Workspace, planted_analysis: Any, answer: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    analysis = planted_analysis(0)
    answer(analysis, planted(0).place)
    (water,) = chosen_concepts(workspace, analysis, ())
    computed: list[str] = []
    go, begun = threading.Event(), threading.Event()
    real = live.live_estimate

    def slow(ground: LiveGround, concepts: Any) -> LiveEstimate:
        computed.append(threading.current_thread().name)
        begun.set()
        assert go.wait(30)
        return real(ground, concepts)

    monkeypatch.setattr(live, "live_estimate", slow)
    repair = live_repair(workspace, analysis)
    assert repair is not None
    assert live_repair(workspace, analysis) is repair
    repair.follow()
    assert begun.wait(30)
    rows = analysis.split_rows("val")[-6:]
    for row in rows:
        tag(workspace, analysis, water, [int(row)], True)
        # nobody who asks waits for the one under way, which waits for `go`
        repair.follow()
        assert not go.is_set()
        assert len(computed) == 1
    go.set()
    found = repair.wait(60)
    assert found is not None
    assert found.version == tag_version(workspace, analysis.dataset_id)
    assert computed == ["live repair", "live repair"]


def test_what_fails_is_said_and_the_next_tags_are_computed_again(
    workspace: Workspace, planted_analysis: Any, answer: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    analysis = planted_analysis(0)
    answer(analysis, planted(0).place)
    (water,) = chosen_concepts(workspace, analysis, ())
    real = live.live_estimate

    def broken(*_: Any) -> LiveEstimate:
        raise FloatingPointError("overflow")

    monkeypatch.setattr(live, "live_estimate", broken)
    repair = LiveRepair(workspace, analysis)
    repair.follow()
    found = repair.wait(30)
    assert found is not None
    assert "log of the server" in found.problem
    monkeypatch.setattr(live, "live_estimate", real)
    tag(workspace, analysis, water, analysis.split_rows("val")[-1:], True)
    repair.follow()
    found = repair.wait(30)
    assert found is not None
    assert found.problem == ""
    repair.close()


def test_the_thread_ends_when_nobody_asks_and_begins_again(
    workspace: Workspace, planted_analysis: Any, answer: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "IDLE", 0.2)
    analysis = planted_analysis(0)
    answer(analysis, planted(0).place)
    repair = LiveRepair(workspace, analysis)
    repair.follow()
    assert repair.wait(30) is not None
    for _ in range(200):
        if repair._thread is None:
            break
        time.sleep(0.05)
    assert repair._thread is None
    assert repair.follow() is not None
    (water,) = chosen_concepts(workspace, analysis, ())
    tag(workspace, analysis, water, analysis.split_rows("val")[-1:], True)
    repair.follow()
    found = repair.wait(30)
    assert found is not None
    assert found.tags == 61
    repair.close()


def test_what_somebody_looks_at_is_never_given_up_for_another(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    analyses: list[Any] = [SimpleNamespace(id=name) for name in "abc"]
    first, second, third = (live_repair(workspace, analysis) for analysis in analyses)
    assert first is not None
    assert second is not None
    assert third is None
    for _ in range(5):
        assert [live_repair(workspace, analysis) for analysis in analyses] == [first, second, None]
    # the first tab was left some time ago, the second a little later
    monkeypatch.setattr(first, "_asked", time.monotonic() - 3 * live.LEFT)
    monkeypatch.setattr(second, "_asked", time.monotonic() - 2 * live.LEFT)
    third = live_repair(workspace, analyses[2])
    assert third is not None
    assert (first._closed, second._closed, third._closed) == (True, False, False)
    assert live_repair(workspace, analyses[1]) is second
    assert live_repair(workspace, analyses[2]) is third


def test_an_estimate_under_way_counts_although_its_analysis_was_given_up(
    workspace: Workspace, planted_analysis: Any, answer: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "_computing", threading.BoundedSemaphore(1))
    analysis = planted_analysis(0)
    answer(analysis, planted(0).place)
    at_once, most = 0, 0
    go, begun = threading.Event(), threading.Event()
    real = live.live_estimate

    def slow(ground: LiveGround, concepts: Any) -> LiveEstimate:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        begun.set()
        assert go.wait(30)
        at_once -= 1
        return real(ground, concepts)

    monkeypatch.setattr(live, "live_estimate", slow)
    old, fresh = LiveRepair(workspace, analysis), LiveRepair(workspace, analysis)
    old.follow()
    assert begun.wait(30)
    old.close()
    fresh.follow()
    assert fresh.wait(0.5) is None
    go.set()
    assert fresh.wait(30) is not None
    assert most == 1
    fresh.close()


def test_after_an_estimate_it_rests_as_long_as_it_worked(
    workspace: Workspace, planted_analysis: Any, answer: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    analysis = planted_analysis(0)
    answer(analysis, planted(0).place)
    (water,) = chosen_concepts(workspace, analysis, ())
    begun: list[float] = []
    real = live.live_estimate

    def slow(ground: LiveGround, concepts: Any) -> LiveEstimate:
        begun.append(time.perf_counter())
        time.sleep(0.5)
        return real(ground, concepts)

    monkeypatch.setattr(live, "live_estimate", slow)
    repair = LiveRepair(workspace, analysis)
    repair.follow()
    assert repair.wait(30) is not None
    tag(workspace, analysis, water, analysis.split_rows("val")[-1:], True)
    repair.follow()
    assert repair.wait(30) is not None
    assert begun[1] - begun[0] >= 1
    repair.close()


def test_an_answer_that_changes_leaves_one_point_for_so_many_tags(
    workspace: Workspace, planted_analysis: Any, answer: Callable[..., None]
) -> None:
    analysis = planted_analysis(0)
    answer(analysis, planted(0).place)
    (water,) = chosen_concepts(workspace, analysis, ())
    repair = LiveRepair(workspace, analysis)
    repair.follow()
    assert repair.wait(30) is not None
    states = gather(workspace, analysis, [water]).states[:, 0]
    row = int(np.flatnonzero(states == 1)[0])
    tag(workspace, analysis, water, [row], False)
    repair.follow()
    found = repair.wait(30)
    assert found is not None
    assert found.estimate is not None
    (only,) = repair.way
    assert only.tags == 60
    assert only.worst == found.estimate.after.worst_group
    repair.close()


def test_a_long_way_keeps_its_ends_and_points_all_along() -> None:
    way: tuple[live.Moment, ...] = ()
    before: Any = None
    for tags in range(1, 2001):
        after = SimpleNamespace(worst_group=tags / 2000, worst_interval=(0.0, 1.0))
        now: Any = SimpleNamespace(concepts=("water",), tags=tags, estimate=SimpleNamespace(after=after))
        way, before = live._onwards(way, before, now), now
    tags_kept = [moment.tags for moment in way]
    assert len(way) == live.MOST_MOMENTS
    assert (tags_kept[0], tags_kept[-1]) == (1, 2000)
    assert np.all(np.diff(tags_kept) > 0)
    assert np.diff(tags_kept).max() < 4 * 2000 / live.MOST_MOMENTS


def test_of_very_many_images_some_of_each_class_do(
    workspace: Workspace, planted_analysis: Any, answer: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    analysis = planted_analysis(0)
    answer(analysis, planted(0).place)
    monkeypatch.setattr(live, "MOST_IMAGES", 600)
    repair = LiveRepair(workspace, analysis)
    repair.follow()
    found = repair.wait(30)
    assert found is not None
    assert found.tags == 60
    assert found.estimate is not None
    assert 600 <= found.estimate.after.count <= 660
    repair.close()


def test_tags_of_one_look_alone_are_refused(workspace: Workspace, planted_analysis: Any) -> None:
    analysis = planted_analysis(0)
    water = create_concept(workspace, analysis.dataset_id, "water")
    tag(workspace, analysis, water, analysis.split_rows("val")[:20], True)
    with pytest.raises(NotEnoughTags):
        estimated(workspace, analysis)


def test_estimates_are_of_the_groups_evaluate_would_have_with_the_truth(
    workspace: Workspace, planted_analysis: Any
) -> None:
    """Every held-out image tagged: nothing is left to guess, and both say the same."""
    analysis = planted_analysis(2)
    place = planted(2).place
    water = create_concept(workspace, analysis.dataset_id, "water")
    val = analysis.split_rows("val")
    for value in (0, 1):
        tag(workspace, analysis, water, val[place[val] == value], bool(value))
    found = estimated(workspace, analysis)
    gathered = gather(workspace, analysis, [water])
    assert gathered.material.known is not None
    exact = evaluate(
        analysis.logits[val].argmax(axis=1),
        analysis.labels[val],
        gathered.material.known,
        np.zeros(4, dtype=np.int64),
        "val",
    )
    assert found.before.worst_group == pytest.approx(exact.worst_group, abs=0.05)
    assert found.before.average == pytest.approx(exact.average)
