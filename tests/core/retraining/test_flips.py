"""Fixed and broken images by group: nothing lost, nothing twice, and each where it belongs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

from core.retraining.flips import flips_by_group, groups_of_run
from core.retraining.retraining import retrain
from core.retraining.run_store import REPLAY, predictions, run_folder
from core.workspace import Workspace

SIZES = (1500, 900, 1200)


def together(found: tuple[Any, ...], kind: str) -> Counter[int]:
    return Counter(image for group in found for image in getattr(group, kind))


def test_every_flipped_image_is_in_its_own_group(
    workspace: Workspace, planted_analysis: Any, answer: Callable[..., None]
) -> None:
    analysis = planted_analysis(0, sizes=SIZES)
    place = analysis.attributes[0]
    answer(analysis, place.codes)
    run = retrain(workspace, analysis, concepts=("water",))
    found = flips_by_group(workspace, analysis, run)
    assert [(group.class_name, group.concept) for group in found] == [
        (group.class_name, group.concept) for group in run.before.groups
    ]
    assert [group.count for group in found] == [group.count for group in run.before.groups]
    for kind in ("fixed", "broken"):
        assert together(found, kind) == Counter(run.comparison[kind])
    for group in found:
        rows = analysis.rows_of([*group.fixed, *group.broken])
        assert {analysis.classes[label] for label in analysis.labels[rows]} <= {group.class_name}
        assert {place.values[code] for code in place.codes[rows]} <= {group.concept}
        fixed = analysis.rows_of(list(group.fixed))
        assert (predictions(workspace, analysis, run.run, fixed) == analysis.labels[fixed]).all()
        assert (analysis.predicted[fixed] != analysis.labels[fixed]).all()
    # the change of each group's accuracy is what its flips say
    for group, was, now in zip(found, run.before.groups, run.after.groups, strict=True):
        assert now.correct - was.correct == len(group.fixed) - len(group.broken)


def test_images_of_no_known_group_come_last(workspace: Workspace, planted_analysis: Any, make_analysis: Any) -> None:
    analysis = planted_analysis(0, sizes=SIZES)
    place = analysis.attributes[0]
    hidden = np.asarray(place.codes).copy()
    hidden[analysis.split_rows("test")[::3]] = -1
    place.codes[:] = hidden
    run = retrain(workspace, analysis, method="class-balanced")
    found = flips_by_group(workspace, analysis, run)
    assert found[-1].class_name is None
    assert found[-1].count == int((hidden[analysis.split_rows("test")] < 0).sum())
    for kind in ("fixed", "broken"):
        assert together(found, kind) == Counter(run.comparison[kind])


def test_without_an_attribute_the_groups_are_those_the_tags_said_then(
    workspace: Workspace, planted_analysis: Any, answer: Callable[..., None]
) -> None:
    shown = planted_analysis(0, sizes=SIZES)
    place = np.asarray(shown.attributes[0].codes)
    analysis = planted_analysis(0, sizes=SIZES, with_place=False)
    answer(analysis, place)
    run = retrain(workspace, analysis, concepts=("water",))
    assert run.after.estimated
    found = flips_by_group(workspace, analysis, run)
    assert {group.concept for group in found} == {"water", "no water"}
    for kind in ("fixed", "broken"):
        assert together(found, kind) == Counter(run.comparison[kind])
    # most images are where the planted truth has them
    rows = [analysis.rows_of(list(group.fixed)) for group in found]
    right = sum(int((place[own] == (group.concept == "water")).sum()) for group, own in zip(found, rows, strict=True))
    assert right > 0.8 * sum(len(own) for own in rows)


def test_a_run_of_an_earlier_version_is_grouped_by_what_is_known(workspace: Workspace, planted_analysis: Any) -> None:
    analysis = planted_analysis(0, sizes=SIZES, with_place=False)
    run = retrain(workspace, analysis, method="class-balanced")
    (run_folder(workspace, run.run) / REPLAY).unlink()
    found = flips_by_group(workspace, analysis, run)
    assert [group.class_name for group in found] == list(analysis.classes)
    for kind in ("fixed", "broken"):
        assert together(found, kind) == Counter(run.comparison[kind])


def test_groups_of_a_run_are_weighed_as_train_has_them(workspace: Workspace, planted_analysis: Any) -> None:
    analysis = planted_analysis(0, sizes=SIZES)
    run = retrain(workspace, analysis, method="class-balanced")
    found = groups_of_run(workspace, analysis, run, analysis.split_rows("test")[:50])
    train = analysis.split_rows("train")
    codes = analysis.labels[train] * 2 + analysis.attributes[0].codes[train]
    assert found.train.tolist() == np.bincount(codes, minlength=4).tolist()
    assert len(found.grouping.codes) == 50
