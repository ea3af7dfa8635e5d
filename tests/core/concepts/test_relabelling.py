from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from core.concepts.labels import label_verdicts, verdict_list
from core.concepts.relabelling import relabel
from core.concepts.tags import undo
from core.errors import BadRequest
from core.workspace import Workspace


@pytest.fixture
def analysis(make_analysis: Any) -> Any:
    return make_analysis(np.zeros((4, 1)), np.array([0, 1, 2, 0]), classes=("cat", "dog", "fish"))


def test_each_image_gets_its_own_class_in_one_step(workspace: Workspace, analysis: Any) -> None:
    relabel(workspace, analysis, {2: "cat", 0: "dog", 3: "cat"}, author="Ann", how="wrong labels")
    held = label_verdicts(workspace, analysis)
    assert held.labels.tolist() == [1, 1, 0, 0]
    assert held.count == 2
    told = [(one.image, one.verdict, one.new_label, one.author) for one in verdict_list(workspace, analysis)]
    assert told == [
        ("images/000000.png", "wrong", "dog", "Ann"),
        ("images/000002.png", "wrong", "cat", "Ann"),
        ("images/000003.png", "right", None, "Ann"),
    ]
    undone = undo(workspace, analysis.dataset_id, "Ann")
    assert undone is not None
    assert undone.sentence == "Relabelled 3 images as dog or cat"
    assert not label_verdicts(workspace, analysis).judged.any()


def test_an_unknown_class_changes_nothing(workspace: Workspace, analysis: Any) -> None:
    with pytest.raises(BadRequest, match="no class “bird”"):
        relabel(workspace, analysis, {0: "dog", 1: "bird"})
    assert not label_verdicts(workspace, analysis).judged.any()
    assert relabel(workspace, analysis, {}) is None
