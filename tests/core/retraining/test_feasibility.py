"""What is said before anything is promised is recorded with the run, and is the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from core.classifiers.head import Head
from core.errors import NotEnoughTags
from core.retraining.feasibility import Feasibility, feasibility, unassociated
from core.retraining.pool import ConceptTags, Pool
from core.retraining.runs import open_run, retrain
from core.workspace import Workspace


def test_good_features_are_called_good_before_and_after(
    workspace: Workspace, planted_analysis: Any, answer: Callable[..., None]
) -> None:
    analysis = planted_analysis(0)
    answer(analysis, analysis.attributes[0].codes)
    found = feasibility(workspace, analysis, ("water",))
    assert found.possible
    assert found.mean > 0.7
    assert found.chance == 0.5
    assert f"{found.mean:.0%}" in found.sentence
    assert retrain(workspace, analysis, concepts=("water",), run_id="run1").feasibility == found.to_dict()
    assert open_run(workspace, "run1").feasibility == found.to_dict()


def test_features_without_the_class_are_said_to_carry_no_repair(
    workspace: Workspace, planted_analysis: Any, answer: Callable[..., None]
) -> None:
    analysis = planted_analysis(0, core=0.0)
    answer(analysis, analysis.attributes[0].codes)
    found = feasibility(workspace, analysis)
    assert not found.possible
    assert found.mean < 0.625
    assert "No last layer can repair that" in found.sentence
    run = retrain(workspace, analysis)
    assert run.feasibility is not None
    assert run.feasibility == found.to_dict()
    assert any("No last layer can repair that" in note for note in run.notes)


def test_methods_without_tags_were_not_asked(workspace: Workspace, planted_analysis: Any) -> None:
    analysis = planted_analysis(0, sizes=(400, 400, 200), dimensions=24)
    assert retrain(workspace, analysis, method="class-balanced").feasibility is None
    with pytest.raises(NotEnoughTags):
        feasibility(workspace, analysis)


def test_what_is_not_known_is_null_in_json() -> None:
    found = Feasibility(True, float("nan"), 0.5, "")
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["mean"] is None
    assert np.isnan(found.mean)


def told(*classes: str) -> str:
    """What is said of tags in the top bands: "++-" of a class are two present and one absent; below they are the other
    way round, which must not matter."""
    states, labels, logits = [], [], []
    for c, answers in enumerate(classes):
        for place, answer in enumerate((*answers, *answers)):
            above = place < len(answers)
            states.append(int((answer == "+") == above))
            labels.append(c)
            logits.append([float(above and k == c) for k in range(len(classes))])
    n, k = len(labels), len(classes)
    head = Head(np.zeros((k, 2), dtype=np.float32), np.zeros(k, dtype=np.float32))
    pool = Pool(
        np.arange(n),
        np.zeros((n, 2), dtype=np.float32),
        np.array(logits, dtype=np.float32),
        np.array(labels),
        tuple(f"c{c}" for c in range(k)),
        head,
        "val",
        np.ones(n, dtype=bool),
    )
    return unassociated(pool, ConceptTags("water", np.array(states, dtype=np.int8)))


@pytest.mark.parametrize(
    "classes",
    [
        ("+++++", "-----"),
        ("-----", "+++++"),
        ("++++-", "-----"),
        # too few for a test, but of one mind
        ("++", "--"),
        ("++++", "----", "----", "----"),
        ("++++++++--", "--------++"),
    ],
)
def test_tags_that_show_an_association_are_not_warned_of(classes: tuple[str, ...]) -> None:
    assert told(*classes) == ""


@pytest.mark.parametrize(
    "classes",
    [
        ("+++--", "++---"),
        ("++++-", "+++--"),
        # both show it alike: it tells no class from another
        ("+++++", "+++++"),
        ("-----", "-----"),
        # one each may be anything
        ("+", "-"),
        ("++-", "---"),
        ("+++--", "++---", "++---", "+----"),
    ],
)
def test_tags_that_show_none_are(classes: tuple[str, ...]) -> None:
    assert told(*classes).startswith("The tags do not show that water goes with a class")


def test_the_classes_that_differ_most_are_named() -> None:
    assert "in the top bands 3 of 5 of c1 and 1 of 5 of c2 show it, which may be chance" in told(
        "++---", "+++--", "+----"
    )
