"""Two runs side by side."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from core.concepts.concept import create_concept
from core.concepts.tags import tag
from core.retraining.comparing import compare_results
from core.retraining.result import RunResult
from core.retraining.retraining import retrain
from core.retraining.run_store import predictions
from core.workspace import Workspace


@pytest.fixture
def analysis(planted_analysis: Any, answer: Callable[..., None]) -> Any:
    analysis = planted_analysis(0, sizes=(1500, 900, 1200))
    answer(analysis, analysis.attributes[0].codes)
    return analysis


def differing(found: Any) -> dict[str, tuple[Any, Any]]:
    return {one.what: (one.first, one.second) for one in found.differences}


def test_the_better_of_two_is_named_with_the_images_that_tell_them_apart(workspace: Workspace, analysis: Any) -> None:
    erm = retrain(workspace, analysis, method="erm")
    mid = retrain(workspace, analysis, concepts=("water",), seed=1, settings={"pull": 0.01})
    found = compare_results(workspace, erm, mid, analysis, analysis)
    assert found.comparison is not None
    assert found.comparison.significant
    # against the classifier as it is, the comparison is that of the run itself
    assert list(found.better) == mid.comparison["fixed"]
    assert list(found.worse) == mid.comparison["broken"]
    assert found.comparison.p_minimum == mid.comparison["p_minimum"]
    assert found.sentence.startswith("From the first run to the second: Worst-group accuracy rose")
    apart = differing(found)
    assert apart["method"] == ("erm", "mid")
    assert apart["seed"] == (0, 1)
    assert apart["pull"] == (None, 0.01)
    assert apart["concepts"] == ([], ["water"])
    assert "data" not in apart
    back = compare_results(workspace, mid, erm, analysis, analysis)
    assert back.better == found.worse
    assert not back.comparison.significant if back.comparison else False
    rows = analysis.rows_of(list(found.better))
    assert (predictions(workspace, analysis, mid.run, rows) == analysis.labels[rows]).all()
    assert (predictions(workspace, analysis, erm.run, rows) != analysis.labels[rows]).all()


def test_the_same_run_twice_is_said_to_be_the_same(workspace: Workspace, analysis: Any) -> None:
    one, two = (retrain(workspace, analysis, concepts=("water",)) for _ in range(2))
    found = compare_results(workspace, one, two, analysis, analysis)
    assert found.differences == ()
    assert (found.better, found.worse) == ((), ())
    assert found.comparison is not None
    assert found.comparison.p_minimum == 1.0
    assert found.sentence == "Both runs are right and wrong about the same images. They were told the same."
    assert found.to_dict()["comparison"]["fixed"] == []


def test_more_tags_are_a_difference(workspace: Workspace, analysis: Any) -> None:
    one = retrain(workspace, analysis, concepts=("water",))
    water = create_concept(workspace, analysis.dataset_id, "water")
    truth = analysis.attributes[0].codes
    rows = analysis.split_rows("val")[:30]
    for present in (True, False):
        tag(workspace, analysis, water, rows[(truth[rows] == 1) == present], present)
    two = retrain(workspace, analysis, concepts=("water",))
    assert differing(compare_results(workspace, one, two, analysis, analysis)).keys() == {"tags"}


def test_estimated_groups_are_those_the_second_run_measured_with(workspace: Workspace, analysis: Any) -> None:
    blind = replace(analysis, attributes=())
    blind.__dict__["images"] = analysis.images
    erm = retrain(workspace, blind, method="erm")
    mid = retrain(workspace, blind, concepts=("water",))
    found = compare_results(workspace, erm, mid, blind, blind)
    assert mid.after.estimated
    assert found.comparison is not None
    assert found.comparison.p_minimum == mid.comparison["p_minimum"]
    assert found.comparison.worst_change == pytest.approx(mid.after.worst_group - mid.before.worst_group)


def test_runs_of_two_networks_are_compared_on_the_images_both_have(workspace: Workspace, analysis: Any) -> None:
    keep = np.delete(np.arange(analysis.n), analysis.split_rows("test")[:100])
    arrays = ("features", "logits", "ids", "labels", "splits", "predicted")
    other = replace(
        analysis,
        id="other",
        **{name: getattr(analysis, name)[keep] for name in arrays},
        attributes=tuple(replace(one, codes=one.codes[keep]) for one in analysis.attributes),
    )
    other.__dict__["images"] = analysis.images[keep]
    one = retrain(workspace, analysis, method="erm")
    # the database knows one analysis only; the run says which it is of
    two = replace(retrain(workspace, replace_id(other), method="class-balanced"), analysis="other")
    found = compare_results(workspace, one, two, analysis, other)
    assert found.images == 1100
    assert differing(found)["analysis"] == ("planted", "other")
    assert set(found.better) | set(found.worse) <= set(other.ids[other.split_rows("test")].tolist())


def replace_id(analysis: Any) -> Any:
    known = replace(analysis, id="planted")
    known.__dict__["images"] = analysis.images
    return known


def test_runs_of_two_datasets_share_nothing(workspace: Workspace, analysis: Any) -> None:
    one = retrain(workspace, analysis, method="erm")
    stranger = replace(analysis, id="other", dataset_id="elsewhere")
    found = compare_results(workspace, one, replace(one, analysis="other"), analysis, stranger)
    assert found.comparison is None
    assert found.to_dict()["comparison"] is None
    assert "different datasets" in found.sentence


def test_a_run_without_a_recipe_is_compared_by_what_the_dataset_knows(workspace: Workspace, analysis: Any) -> None:
    one = retrain(workspace, analysis, method="erm")
    two: RunResult = retrain(workspace, analysis, concepts=("water",))
    (workspace.runs / two.run / "replay.json").unlink()
    found = compare_results(workspace, one, two, analysis, analysis)
    assert found.comparison is not None
    assert found.comparison.p_minimum == two.comparison["p_minimum"]
