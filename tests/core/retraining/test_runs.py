"""The whole retraining on planted truth: tags in, a better head out, and honest sentences about it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from core.classifiers.head import Head
from core.concepts.concept import change_concept, create_concept
from core.concepts.suggestions import suggest_next
from core.concepts.tags import tag
from core.errors import BadRequest, EmptyGroup, LeakedImages, NotEnoughTags, NotFound
from core.retraining import bakeoff, outcome, retraining
from core.retraining import replay as replaying
from core.retraining.bakeoff import bake_off
from core.retraining.measuring import BASELINES
from core.retraining.runs import check_request, list_runs, open_run, predictions, preview, retrain, run_head
from core.workspace import Workspace


def answer(workspace: Workspace, analysis: Any, truth: np.ndarray, *, budget: int = 60, name: str = "water") -> None:
    """Tag what is suggested, as somebody who always sees right would."""
    concept = create_concept(workspace, analysis.dataset_id, name)
    rows = np.array([item.row for item in suggest_next(workspace, analysis, concept, budget=budget)])
    for present in (True, False):
        tag(workspace, analysis, concept, rows[(truth[rows] == 1) == present], present)


@pytest.fixture
def analysis(planted_analysis: Any) -> Any:
    return planted_analysis(0)


@pytest.fixture
def truth(analysis: Any) -> np.ndarray:
    return analysis.attributes[0].codes


def without_attributes(analysis: Any) -> Any:
    images = analysis.images
    stripped = replace(analysis, attributes=())
    stripped.__dict__["images"] = images
    return stripped


def test_mid_recovers_most_of_the_gap_to_the_oracle(workspace: Workspace, planted_analysis: Any) -> None:
    # many test images: a group of 250 would add three points of luck to each figure
    analysis = planted_analysis(0, sizes=(3000, 1500, 8000))
    answer(workspace, analysis, analysis.attributes[0].codes)
    run = retrain(workspace, analysis, method="mid", concepts=("water",))
    oracle = next(baseline for baseline in run.baselines if baseline.method == "dfr")
    before, after = run.before.worst_group, run.after.worst_group
    assert after - before >= 0.9 * (oracle.worst_group - before) > 0.1
    assert run.after.average >= run.before.average
    assert run.comparison["significant"]
    assert "rose" in run.comparison["sentence"]
    assert [baseline.method for baseline in run.baselines] == list(BASELINES)


def test_a_stored_run_reads_back_as_it_was(workspace: Workspace, analysis: Any, truth: np.ndarray) -> None:
    answer(workspace, analysis, truth)
    run = retrain(workspace, analysis, concepts=("water",), run_id="abc123")
    assert open_run(workspace, "abc123") == run == open_run(workspace)
    assert list_runs(workspace) == (run,)
    assert list_runs(workspace, "another") == ()
    test = analysis.split_rows("test")
    new = predictions(workspace, analysis, "abc123", test)
    was, now = analysis.predicted[test] == analysis.labels[test], new == analysis.labels[test]
    assert run.comparison["fixed"] == analysis.ids[test][now & ~was].tolist()
    assert run.comparison["broken"] == analysis.ids[test][was & ~now].tolist()
    assert run.after.average == pytest.approx(now.mean())
    table = pq.read_table(workspace.runs / "abc123" / "curation.parquet").to_pandas()
    assert set(table["row"]) <= set(analysis.split_rows("val")), "nothing outside val is fitted on"
    assert run.curation is not None
    doubted = len(run.curation["doubtful"])
    assert doubted <= 2, "every answer is right, so hardly one may be doubted"
    assert (table["reason"] == "tagged").sum() == 60 - doubted
    assert table.groupby("group")["weight"].sum().to_numpy() == pytest.approx(0.25)


def test_same_tags_and_seed_give_the_same_head(workspace: Workspace, analysis: Any, truth: np.ndarray) -> None:
    answer(workspace, analysis, truth)
    first, second = (retrain(workspace, analysis, concepts=("water",), seed=3) for _ in range(2))
    heads = [run_head(workspace, run.run) for run in (first, second)]
    assert np.array_equal(heads[0].weight, heads[1].weight)
    assert first.tags == second.tags
    assert first.run != second.run


def test_attributes_of_the_dataset_do_not_enter_mid(workspace: Workspace, analysis: Any, truth: np.ndarray) -> None:
    answer(workspace, analysis, truth)
    known = retrain(workspace, analysis, concepts=("water",))
    unknown = retrain(workspace, without_attributes(analysis), concepts=("water",))
    assert np.array_equal(run_head(workspace, known.run).weight, run_head(workspace, unknown.run).weight)


def test_without_attributes_groups_are_estimated_and_said_to_be(
    workspace: Workspace, analysis: Any, truth: np.ndarray
) -> None:
    answer(workspace, analysis, truth)
    measured = retrain(workspace, analysis, concepts=("water",))
    guessed = retrain(workspace, without_attributes(analysis), concepts=("water",))
    assert guessed.after.estimated
    assert not measured.after.estimated
    assert guessed.after.groups_from == "concept water, estimated by a probe"
    assert any("groups are estimated" in note for note in guessed.notes)
    assert guessed.after.worst_group == pytest.approx(measured.after.worst_group, abs=0.1)
    assert {baseline.method for baseline in guessed.baselines} == set(BASELINES) - {"dfr"}


def test_without_concepts_groups_are_the_classes(workspace: Workspace, analysis: Any) -> None:
    run = retrain(workspace, without_attributes(analysis), method="class-balanced")
    assert run.after.groups_from == "classes"
    assert [group.concept for group in run.after.groups] == [None, None]


@pytest.mark.parametrize("method", ["erm", "class-balanced", "dfr", "afr", "self"])
def test_methods_without_tags_need_none(workspace: Workspace, analysis: Any, method: str) -> None:
    run = retrain(workspace, analysis, method=method)
    assert (run.method, run.concepts, run.curation) == (method, (), None)
    assert len(run.after.groups) == 4


def test_what_was_tuned_is_kept_with_how(workspace: Workspace, analysis: Any) -> None:
    run = retrain(workspace, analysis, method="dfr", run_id="tuned")
    assert len(run.tried) == 7
    assert run.chosen["strength"] in {one["strength"] for one in run.tried}
    assert open_run(workspace, "tuned").tried == run.tried


def test_shifts_follow_the_test_images_of_every_class(workspace: Workspace, analysis: Any) -> None:
    run = retrain(workspace, analysis, method="dfr")
    assert [shift["class"] for shift in run.shifts] == list(analysis.classes)
    for shift in run.shifts:
        assert sum(shift["before"]) == sum(shift["after"]) == shift["count"] == len(analysis.split_rows("test"))
        assert {(group["class"], group["concept"]) for group in shift["groups"]} == {
            (group.class_name, group.concept) for group in run.after.groups
        }
    assert run.after.calibration is not None
    assert run.after.confusion[0][0] > 0


def test_erm_is_unchanged_and_says_no_improvement(workspace: Workspace, analysis: Any) -> None:
    run = retrain(workspace, analysis, method="erm")
    assert run.before == run.after
    assert (run.comparison["fixed"], run.comparison["broken"]) == ([], [])
    assert "No improvement" in run.comparison["sentence"]


def test_tags_on_test_images_are_not_used(workspace: Workspace, analysis: Any, truth: np.ndarray) -> None:
    answer(workspace, analysis, truth)
    before = retrain(workspace, analysis, concepts=("water",))
    concept = create_concept(workspace, analysis.dataset_id, "water")
    tag(workspace, analysis, concept, analysis.split_rows("test")[:40], True)
    after = retrain(workspace, analysis, concepts=("water",))
    assert np.array_equal(run_head(workspace, before.run).weight, run_head(workspace, after.run).weight)
    assert any("40 tagged test images were not used" in note for note in after.notes)


def test_tags_on_train_teach_the_probe_only(workspace: Workspace, analysis: Any, truth: np.ndarray) -> None:
    answer(workspace, analysis, truth, budget=20)
    concept = create_concept(workspace, analysis.dataset_id, "water")
    train = analysis.split_rows("train")[:200]
    for present in (True, False):
        tag(workspace, analysis, concept, train[(truth[train] == 1) == present], present)
    curation = preview(workspace, analysis, concepts=("water",))
    assert set(curation.rows) <= set(analysis.split_rows("val"))
    assert (curation.reasons == "tagged").sum() == 20


def test_images_tagged_as_wrongly_labelled_are_left_out(workspace: Workspace, analysis: Any, truth: np.ndarray) -> None:
    answer(workspace, analysis, truth)
    wrong = create_concept(workspace, analysis.dataset_id, "wrong label", role="wrong-label")
    rows = analysis.split_rows("val")[:30]
    tag(workspace, analysis, wrong, rows, True)
    run = retrain(workspace, analysis)
    assert run.concepts == ("water",)
    assert any("30 images tagged as wrongly labelled" in note for note in run.notes)
    table = pq.read_table(workspace.runs / run.run / "curation.parquet")
    assert not set(rows.tolist()) & set(table["row"].to_pylist())
    assert not set(rows.tolist()) & {item.row for item in suggest_next(workspace, analysis, budget=500)}


def test_without_val_train_is_used_and_said(workspace: Workspace, analysis: Any, truth: np.ndarray) -> None:
    analysis.splits[analysis.splits == 1] = 0
    answer(workspace, analysis, truth)
    run = retrain(workspace, analysis, concepts=("water",))
    assert any("no val split" in note for note in run.notes)
    assert run.after.worst_group > run.before.worst_group


def test_features_without_the_class_are_called_hopeless(workspace: Workspace, planted_analysis: Any) -> None:
    analysis = planted_analysis(0, core=0.0)
    answer(workspace, analysis, analysis.attributes[0].codes)
    run = retrain(workspace, analysis, concepts=("water",))
    assert any("No last layer can repair that" in note for note in run.notes)


def test_good_features_raise_no_alarm(workspace: Workspace, analysis: Any, truth: np.ndarray) -> None:
    answer(workspace, analysis, truth)
    run = retrain(workspace, analysis, concepts=("water",))
    assert not any("No last layer" in note for note in run.notes)
    assert run.curation is not None
    assert not [warning for warning in run.curation["warnings"] if "second look" not in warning]


def test_a_concept_the_features_do_not_show_is_called_so(workspace: Workspace, analysis: Any) -> None:
    rng = np.random.default_rng(5)
    answer(workspace, analysis, rng.integers(2, size=analysis.n), name="mood")
    try:
        warnings = preview(workspace, analysis, concepts=("mood",)).warnings
    except NotEnoughTags as error:
        warnings = (error.detail,)
    assert warnings


def test_two_concepts_make_groups_of_their_joint_patterns(workspace: Workspace, planted_analysis: Any) -> None:
    analysis = planted_analysis(0, classes=3, values=3, with_place=False, sizes=(3000, 3000, 900))
    data = analysis.features  # the three places, planted again from the same seed
    place = _places(0, classes=3, values=3, sizes=(3000, 3000, 900))
    assert len(place) == len(data)
    for value, name in ((1, "water"), (2, "desert")):
        answer(workspace, analysis, (place == value).astype(int), name=name, budget=90)
    run = retrain(workspace, analysis)
    assert run.concepts == ("water", "desert")
    patterns = {group.concept for group in run.after.groups}
    assert {"no water, no desert", "water, no desert", "no water, desert"} <= patterns


def _places(seed: int, **options: Any) -> np.ndarray:
    import sys

    planted = sys.modules[next(name for name in sys.modules if name.endswith("core.retraining.conftest"))].planted
    return planted(seed, **options).place


@pytest.mark.parametrize(
    ("states", "says"),
    [
        ({}, "no image is tagged"),
        ({True: 3, False: 2}, "5 tagged val images"),
        ({True: 20}, "only 0 absent"),
        ({True: 1, False: 19}, "only 1 present"),
    ],
)
def test_too_few_tags_say_how_many_and_what_next(
    workspace: Workspace, analysis: Any, states: dict[bool, int], says: str
) -> None:
    concept = create_concept(workspace, analysis.dataset_id, "water")
    rows = iter(analysis.split_rows("val"))
    for present, count in states.items():
        tag(workspace, analysis, concept, [next(rows) for _ in range(count)], present)
    for act in (
        lambda: retrain(workspace, analysis),
        lambda: check_request(workspace, analysis, "mid", ()),
        lambda: preview(workspace, analysis),
    ):
        with pytest.raises(NotEnoughTags) as caught:
            act()
        assert says in caught.value.detail
        assert "ag " in caught.value.next_step
    assert list_runs(workspace) == ()


def test_a_concept_only_begun_does_not_stop_another(workspace: Workspace, analysis: Any, truth: np.ndarray) -> None:
    answer(workspace, analysis, truth)
    tag(
        workspace,
        analysis,
        create_concept(workspace, analysis.dataset_id, "fog"),
        [analysis.split_rows("val")[0]],
        True,
    )
    assert retrain(workspace, analysis).concepts == ("water",)
    with pytest.raises(NotEnoughTags, match="fog has 1 tagged val image;"):
        retrain(workspace, analysis, concepts=("water", "fog"))


def test_more_concepts_than_groups_can_bear_are_refused(workspace: Workspace, analysis: Any, truth: np.ndarray) -> None:
    for i in range(7):
        answer(workspace, analysis, truth, budget=20, name=f"water {i}")
    with pytest.raises(BadRequest, match="7 concepts make too many groups"):
        retrain(workspace, analysis)
    assert retrain(workspace, without_attributes(analysis), method="class-balanced").after.groups_from == "classes"


def test_tagging_only_the_low_end_asks_for_the_top(workspace: Workspace, analysis: Any, truth: np.ndarray) -> None:
    concept = create_concept(workspace, analysis.dataset_id, "water")
    val = analysis.split_rows("val")
    own = analysis.logits[val, analysis.labels[val]]
    rows = val[np.argsort(own)[:30]]
    for present in (True, False):
        tag(workspace, analysis, concept, rows[(truth[rows] == 1) == present], present)
    with pytest.raises(NotEnoughTags) as caught:
        retrain(workspace, analysis)
    assert "top band of each class" in caught.value.next_step


def test_dfr_without_attributes_points_to_mid(workspace: Workspace, analysis: Any) -> None:
    for act in (retrain, lambda *args, method: check_request(*args, method, ())):
        with pytest.raises(BadRequest, match="no known attribute") as caught:
            act(workspace, without_attributes(analysis), method="dfr")
        assert "mid" in caught.value.next_step


def test_unknown_names_are_said(workspace: Workspace, analysis: Any) -> None:
    with pytest.raises(NotFound, match="no method"):
        retrain(workspace, analysis, method="magic")
    with pytest.raises(NotFound, match="no concept"):
        retrain(workspace, analysis, concepts=("snow",))
    for name in ("", "nowhere", "../../etc"):
        with pytest.raises(NotFound):
            open_run(workspace, name)
    with pytest.raises(NotFound, match="no run yet"):
        open_run(workspace)


def test_a_classifier_that_sees_nothing_gets_a_run_without_the_baseline_of_assumptions(
    workspace: Workspace, make_analysis: Any
) -> None:
    labels, splits = np.arange(120) % 2, np.arange(120) // 2 % 3
    head = Head(np.zeros((2, 5), np.float32), np.zeros(2, np.float32))
    analysis = make_analysis(np.zeros((120, 5)), labels, splits=splits, head=head)
    run = retrain(workspace, analysis, method="class-balanced")
    assert [baseline.method for baseline in run.baselines] == ["erm", "class-balanced", "afr", "jtt"]
    assert any("No person" in note for note in run.notes)


def test_a_class_without_held_out_images_is_refused(workspace: Workspace, analysis: Any) -> None:
    analysis.splits[(analysis.splits == 1) & (analysis.labels == 1)] = 0
    with pytest.raises(EmptyGroup, match="class 1"):
        retrain(workspace, analysis, method="class-balanced")


def test_progress_can_stop_a_run_and_leaves_nothing(workspace: Workspace, analysis: Any) -> None:
    class StopError(Exception):
        pass

    def stop(done: int, total: int, message: str = "") -> None:
        if done >= 3:
            raise StopError

    with pytest.raises(StopError):
        retrain(workspace, analysis, method="class-balanced", run_id="stopped", progress=stop)
    with pytest.raises(NotFound):
        open_run(workspace, "stopped")


def test_renaming_a_concept_changes_no_head(workspace: Workspace, analysis: Any, truth: np.ndarray) -> None:
    answer(workspace, analysis, truth)
    first = retrain(workspace, analysis)
    change_concept(workspace, create_concept(workspace, analysis.dataset_id, "water"), name="lake")
    second = retrain(workspace, analysis)
    assert second.concepts == ("lake",)
    heads: list[Head] = [run_head(workspace, run.run) for run in (first, second)]
    assert np.array_equal(heads[0].weight, heads[1].weight)


@pytest.mark.parametrize("method", ["mid", "class-balanced", "dfr"])
def test_a_test_image_among_those_fitted_on_is_refused_everywhere(
    workspace: Workspace, analysis: Any, truth: np.ndarray, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """Whatever mistake let it in: no figure is stored, of a run, a replay or a comparison of methods."""
    answer(workspace, analysis, truth)
    retrain(workspace, analysis, method=method, run_id="sound")
    leaked = int(analysis.split_rows("test")[0])

    def mistaken(read: Any) -> Any:
        def read_wrongly(*args: Any, **options: Any) -> Any:
            gathered = read(*args, **options)
            pool = gathered.material.pool
            rows = np.concatenate([pool.rows[:-1], [leaked]])
            return replace(gathered, material=replace(gathered.material, pool=replace(pool, rows=rows)))

        return read_wrongly

    for module, name in ((retraining, "assemble"), (replaying, "assemble"), (bakeoff, "gather")):
        monkeypatch.setattr(module, name, mistaken(getattr(module, name)))
    with pytest.raises(LeakedImages, match="1 image would be both fitted on and reported on"):
        retrain(workspace, analysis, method=method, run_id="leaky")
    with pytest.raises(LeakedImages):
        bake_off(workspace, analysis, methods=(method,), seeds=(0,), bake_off_id="leaky")
    with pytest.raises(LeakedImages):
        replaying.replay(workspace, workspace.runs / "sound", analysis=analysis)
    assert not (workspace.runs / "leaky" / "result.json").exists()
    assert not (workspace.root / "bakeoffs" / "leaky").exists()


def test_nothing_is_fitted_that_cannot_be_measured(
    workspace: Workspace, planted_analysis: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    analysis = planted_analysis(0, sizes=(300, 300, 0), dimensions=24)

    def fitted(*_: Any, **__: Any) -> None:
        raise AssertionError("hours of a network's training would be lost")

    monkeypatch.setattr(outcome, "repair", fitted)
    for asked in (check_request, retrain):
        with pytest.raises(EmptyGroup, match="no test image"):
            asked(workspace, analysis, method="class-balanced", **({"concepts": ()} if asked is check_request else {}))
    with pytest.raises(EmptyGroup, match="no test image"):
        bake_off(workspace, analysis, seeds=(0,))


def test_one_test_image_is_measured_and_proves_nothing(workspace: Workspace, planted_analysis: Any) -> None:
    for with_place in (True, False):
        analysis = planted_analysis(0, sizes=(300, 300, 1), dimensions=24, with_place=with_place)
        run = retrain(workspace, analysis, method="class-balanced")
        assert run.after.count == 1
        assert not run.comparison["significant"]
