"""What is shown before a retraining is what it learns from, counted right, and honest about what is uncertain."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from core.concepts.concept import create_concept
from core.concepts.labels import judge
from core.concepts.tags import UNTAGGED, tag
from core.errors import BadRequest, EmptyGroup, NotEnoughTags
from core.retraining import preview
from core.retraining.edits import CurationEdits
from core.retraining.feasibility import feasibility
from core.retraining.preview import (
    FEW,
    KNOWN,
    LEFT_OUT,
    PUT_IN,
    TAGGED,
    UNCLEAR,
    VERY_FEW,
    Choice,
    Preview,
    _guessed,
    choose,
    group_title,
    look_through,
    pattern_of,
    promised,
)
from core.retraining.runs import retrain
from core.workspace import Workspace


@pytest.fixture
def analysis(planted_analysis: Any, answer: Callable[..., None]) -> Any:
    analysis = planted_analysis(0, sizes=(600, 700, 400), dimensions=48)
    answer(analysis, analysis.attributes[0].codes)
    return analysis


@pytest.fixture
def choice(workspace: Workspace, analysis: Any) -> Choice:
    return choose(workspace, analysis)


def rows_of(preview: Preview, which: np.ndarray) -> list[int]:
    return preview.images.rows[which].tolist()


@pytest.mark.parametrize("method", ["mid", "mid-tags"])
def test_what_is_shown_is_what_is_learnt_from(workspace: Workspace, analysis: Any, method: str) -> None:
    shown = look_through(choose(workspace, analysis, method=method, seed=3), analysis)
    edits = CurationEdits(tuple(analysis.image_names(shown.curation.rows[::4])))
    shown = look_through(choose(workspace, analysis, method=method, seed=3), analysis, edits)
    retrain(workspace, analysis, method=method, seed=3, edits=shown.edits, run_id="run1")
    table = pq.read_table(workspace.runs / "run1" / "curation.parquet")
    assert rows_of(shown, shown.images.used) == table.column("row").to_pylist()
    assert shown.images.weights[shown.images.used] == pytest.approx(table.column("weight").to_numpy())
    assert shown.images.groups[shown.images.used].tolist() == table.column("group").to_pylist()


def test_the_groups_add_up(analysis: Any, choice: Choice) -> None:
    shown = look_through(choice, analysis)
    images, groups = shown.images, shown.groups
    assert images.rows.tolist() == sorted(analysis.split_rows("val").tolist())
    assert sum(group.found for group in groups) == int((images.groups >= 0).sum())
    assert sum(group.chosen for group in groups) == int(images.used.sum()) == len(shown.curation.rows)
    assert sum(group.share for group in groups) == pytest.approx(1)
    assert [group.weight for group in groups] == pytest.approx([1 / 4] * 4)
    assert [group.times for group in groups] == pytest.approx([0.25 / group.share for group in groups])
    assert sum(group.tagged for group in groups) == int((images.reasons == TAGGED).sum())
    assert {group.title for group in groups} == {
        f"{name} {word} water" for name in analysis.classes for word in ("with", "without")
    }
    assert shown.past == 0
    assert shown.problem is None
    assert shown.to_dict()["images"] == len(shown.curation.rows)


def test_every_image_has_a_reason_and_is_used_for_it(analysis: Any, choice: Choice) -> None:
    images = look_through(choice, analysis).images
    assert set(images.reasons[images.used]) == {"tagged", "assumed", "probe"}
    assert not images.used[np.isin(images.reasons, [UNCLEAR, LEFT_OUT, "doubtful"])].any()
    assert images.used[np.isin(images.reasons, ["tagged", "assumed", "probe"])].all()
    assert (images.confidence[images.reasons == TAGGED] == 1).all()
    probe = images.confidence[images.reasons == "probe"]
    assert ((probe > 0.9) & (probe <= 1)).all()
    assert images.unedited.tolist() == images.reasons.tolist()


def test_bands_are_those_of_the_bands_page(analysis: Any, choice: Choice) -> None:
    images = look_through(choice, analysis).images
    for c in range(analysis.k):
        of_class = analysis.labels[images.rows] == c
        own = analysis.logits[images.rows, c]
        top = own >= np.median(own[of_class])
        assert ((images.bands == "top") == top)[of_class].all()
        bottom = own < np.median(own[~of_class])
        assert ((images.bands == "bottom") == (bottom & ~top))[of_class].all()
    assert {"top", "middle"} <= set(images.bands.tolist())
    group = look_through(choice, analysis).groups[0]
    members = images.used & (images.groups == group.code)
    assert group.middle == int((images.bands[members] != "top").sum())


def test_edits_change_reasons_groups_and_weights(analysis: Any, choice: Choice) -> None:
    before = look_through(choice, analysis)
    used = np.flatnonzero(before.images.used)
    out, moved = used[:5], int(used[10])
    pattern = pattern_of(choice, int(before.images.groups[moved]))
    other = {"water": not pattern["water"]}
    names = analysis.image_names(before.images.rows)
    after = look_through(choice, analysis, CurationEdits(tuple(names[place] for place in out), {names[moved]: other}))
    assert (after.images.reasons[out] == LEFT_OUT).all()
    assert (after.images.unedited[out] == before.images.reasons[out]).all()
    assert not after.images.used[out].any()
    assert after.images.reasons[moved] == PUT_IN
    assert pattern_of(choice, int(after.images.groups[moved])) == other
    assert after.images.weights.sum() == pytest.approx(1)
    assert int(after.images.used.sum()) == len(used) - 5
    # what is left out still shows which group it was of
    assert (after.images.groups[out] == before.images.groups[out]).all()


def test_an_unclear_image_can_be_put_in(analysis: Any, choice: Choice) -> None:
    before = look_through(choice, analysis)
    unclear = np.flatnonzero(before.images.reasons == UNCLEAR)
    assert len(unclear), "the planted features leave some unclear"
    (name,) = analysis.image_names(before.images.rows[unclear[:1]])
    after = look_through(choice, analysis, CurationEdits(kept={name: {"water": True}}))
    assert after.images.used[unclear[0]]
    assert after.images.confidence[unclear[0]] == 1


def test_edits_that_do_not_apply_any_more_stop_nothing(workspace: Workspace, analysis: Any, choice: Choice) -> None:
    val, test = analysis.split_rows("val"), analysis.split_rows("test")
    first, second, measured = analysis.image_names([val[0], val[1], test[0]])
    edits = CurationEdits(
        (first, "gone.png"), {second: {"water": True}, measured: {"water": True}, "lost.png": {"water": False}}
    )
    shown = look_through(choice, analysis, edits)
    assert shown.edits == CurationEdits((first,), {second: {"water": True}})
    assert shown.past == 3
    assert shown.warnings[0].startswith("3 edits do not apply any more")
    judge(workspace, analysis, [int(val[1])], "wrong")
    again = look_through(choose(workspace, analysis), analysis, edits)
    assert again.edits == CurationEdits((first,))
    assert retrain(workspace, analysis, edits=again.edits).edits == again.edits.to_dict()
    other = look_through(choice, analysis, CurationEdits(kept={second: {"reeds": True}}))
    assert (other.edits, other.past) == (CurationEdits(), 1)


def test_what_cannot_be_fitted_any_more_is_told_and_can_be_undone(analysis: Any, choice: Choice) -> None:
    plain = look_through(choice, analysis)
    landbirds = plain.curation.rows[plain.curation.labels == 0]
    shown = look_through(choice, analysis, CurationEdits(tuple(analysis.image_names(landbirds))))
    assert isinstance(shown.problem, NotEnoughTags)
    assert shown.curation.rows.tolist() == plain.curation.rows.tolist()
    assert (shown.images.reasons == LEFT_OUT).sum() == len(landbirds)


def without(preview: Preview, analysis: Any, code: int, keep: int) -> CurationEdits:
    """All but so many images of a group left out."""
    members = preview.images.rows[preview.images.used & (preview.images.groups == code)]
    return CurationEdits(tuple(analysis.image_names(members[keep:])))


def test_small_groups_are_warned_of_as_documented(analysis: Any, choice: Choice) -> None:
    plain = look_through(choice, analysis)
    group = plain.groups[0]
    for left, says in (
        (FEW - 1, f"Only {FEW - 1} images of {group.title}: the gain will be uncertain."),
        (VERY_FEW - 1, f"Only {VERY_FEW - 1} images of {group.title}: what is learnt of it rests on so few"),
        (1, f"Only 1 image of {group.title}: what is learnt of it rests on a single image"),
        (0, f"You left out every image of {group.title}: the new head learns nothing about such images."),
    ):
        warnings = look_through(choice, analysis, without(plain, analysis, group.code, left)).warnings
        assert any(warning.startswith(says) for warning in warnings), (left, warnings)
    enough = look_through(choice, analysis, without(plain, analysis, group.code, FEW)).warnings
    assert not any(warning.startswith(("Only", "You left out")) and group.title in warning for warning in enough)


def test_images_that_weigh_much_are_warned_of(analysis: Any, choice: Choice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preview, "HEAVY", 9)
    plain = look_through(choice, analysis)
    group = plain.groups[0]
    for left in (FEW, FEW + 30):
        shown = look_through(choice, analysis, without(plain, analysis, group.code, left))
        now = next(one for one in shown.groups if one.code == group.code)
        says = f"Each of the {left} images of {group.title} counts as {now.times:.0f} average ones"
        assert any(warning.startswith(says) for warning in shown.warnings) == (left == FEW)
        assert (now.times >= 9) == (left == FEW)


def test_a_tagged_image_is_certain_also_where_it_is_not_used(analysis: Any, choice: Choice) -> None:
    states = choice.material.concepts[0].states
    tagged, used = states != UNTAGGED, np.isin(np.arange(len(states)), choice.curation.positions)
    assert (choice.confidence[tagged] == 1).all()
    assert (choice.confidence[~tagged & ~used & (choice.grouping.codes >= 0)] < 1).all()
    # tagged images that are not chosen are certain for being tagged, not for what a probe says
    curation = replace(
        choice.curation,
        probe=None,
        **{
            name: getattr(choice.curation, name)[~tagged[choice.curation.positions]]
            for name in ("positions", "rows", "labels", "groups", "weights", "reasons", "confidence")
        },
    )
    _, confidence = _guessed(choice.material, choice.names, curation)
    assert tagged.any()
    assert (confidence[tagged] == 1).all()


def test_a_group_nobody_looked_at_is_said_to_be_guessed(workspace: Workspace, planted_analysis: Any) -> None:
    analysis = planted_analysis(0, sizes=(600, 700, 400), dimensions=48)
    concept = create_concept(workspace, analysis.dataset_id, "water")
    truth = analysis.attributes[0].codes == 1
    val = analysis.split_rows("val")
    # answers about landbirds only
    landbirds = val[analysis.labels[val] == 0]
    for present in (True, False):
        tag(workspace, analysis, concept, landbirds[truth[landbirds] == present][:20], present)
    shown = look_through(choose(workspace, analysis), analysis)
    unseen = [group for group in shown.groups if group.chosen >= FEW and not group.tagged]
    assert {group.class_name for group in unseen} == {analysis.classes[1]}
    for group in unseen:
        sentence = f"Nobody has looked at an image of {group.title}: all {group.chosen} are guessed. Look through some."
        assert sentence in shown.warnings


def test_known_attributes_make_the_groups_of_methods_that_need_them(workspace: Workspace, analysis: Any) -> None:
    shown = look_through(choose(workspace, analysis, method="dfr", source="attributes"), analysis)
    val = analysis.split_rows("val")
    assert rows_of(shown, shown.images.used) == sorted(val.tolist())
    assert set(shown.images.reasons.tolist()) == {KNOWN}
    codes = analysis.labels[val] * 2 + analysis.attributes[0].codes[val]
    assert [group.chosen for group in shown.groups] == np.bincount(codes).tolist()
    assert [group.weight for group in shown.groups] == pytest.approx([1 / 4] * 4)
    assert shown.groups[0].title == f"{analysis.classes[0]} (place: land)"


def test_the_promise_is_that_of_the_run(workspace: Workspace, analysis: Any, choice: Choice) -> None:
    said = promised(look_through(choice, analysis))
    assert said == feasibility(workspace, analysis)
    assert retrain(workspace, analysis).feasibility == said.to_dict()


def test_features_without_the_class_are_told_before_anything_is_promised(
    workspace: Workspace, planted_analysis: Any, answer: Callable[..., None]
) -> None:
    analysis = planted_analysis(0, core=0.0)
    answer(analysis, analysis.attributes[0].codes)
    assert not promised(look_through(choose(workspace, analysis), analysis)).possible


def test_several_concepts_make_joint_groups(workspace: Workspace, analysis: Any, answer: Callable[..., None]) -> None:
    answer(analysis, (np.asarray(analysis.features)[:, 3] > 0.5).astype(int), name="reeds")
    shown = look_through(choose(workspace, analysis, concepts=("water", "reeds")), analysis)
    assert shown.choice.names == ("water", "reeds")
    for group in shown.groups:
        pattern = pattern_of(shown.choice, group.code)
        words = ", ".join(f"{'with' if shows else 'without'} {name}" for name, shows in pattern.items())
        assert group.title == group_title(shown.choice.grouping, group.code) == f"{group.class_name} {words}"
    tagged = shown.images.reasons == TAGGED
    assert tagged.any()


def test_what_is_missing_is_raised_as_by_a_run(workspace: Workspace, planted_analysis: Any) -> None:
    bare = planted_analysis(0, sizes=(60, 60, 60), dimensions=24, with_place=False)
    with pytest.raises(NotEnoughTags):
        choose(workspace, bare)
    with pytest.raises(BadRequest):
        choose(workspace, bare, source="attributes", method="dfr")


def test_a_class_without_images_cannot_be_chosen_from(workspace: Workspace, make_analysis: Any) -> None:
    features = np.random.default_rng(0).normal(size=(40, 6))
    labels = np.repeat([0, 1], 20)
    analysis = make_analysis(features, labels, splits=np.where(labels == 1, 0, 1).astype(np.int8), place=labels)
    with pytest.raises(EmptyGroup):
        choose(workspace, analysis, method="dfr", source="attributes")
