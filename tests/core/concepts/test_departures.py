from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from core.concepts.concept import create_concept, delete_concept
from core.concepts.departures import Departure, departure
from core.concepts.merging import merge_concepts
from core.concepts.tags import undo
from core.workspace import Workspace


@pytest.fixture
def dataset(make_analysis: Any) -> str:
    return make_analysis(np.zeros((2, 1)), np.array([0, 1])).dataset_id


def test_who_deleted_a_concept_is_told_until_it_is_back(workspace: Workspace, dataset: str) -> None:
    water = create_concept(workspace, dataset, "water", author="Ann")
    assert departure(workspace, dataset, water.id) is None
    delete_concept(workspace, water, author="Bob")
    told = departure(workspace, dataset, water.id)
    assert told is not None
    assert (told.name, told.author, told.into) == ("water", "Bob", None)
    assert told.when is not None
    assert departure(workspace, "another dataset", water.id) is None
    undo(workspace, dataset, "Bob")
    assert departure(workspace, dataset, water.id) is None
    assert departure(workspace, dataset, 999) is None


def test_a_merged_concept_and_one_whose_making_was_undone(workspace: Workspace, dataset: str) -> None:
    water, lake = (create_concept(workspace, dataset, name, author="Ann") for name in ("water", "lake"))
    merge_concepts(workspace, water, lake, author="Bob")
    told = departure(workspace, dataset, lake.id)
    assert told is not None
    assert (told.name, told.author, told.into) == ("lake", "Bob", "water")
    made = create_concept(workspace, dataset, "reed", author="Cid")
    undo(workspace, dataset, "Cid")
    assert departure(workspace, dataset, made.id) == Departure("reed")
