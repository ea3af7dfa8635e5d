from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from core.concepts.associations import associations, by_band, summarise
from core.concepts.concept import create_concept
from core.concepts.tags import tag
from core.workspace import Workspace

CLASSES = ("landbird", "waterbird", "bat")


def test_counts_shares_and_lift_by_hand() -> None:
    states = np.array([1, 0, 0, 0, 1, 1, 1, 0, -1, -1], dtype=np.int8)
    cells = np.array([0, 0, 0, 0, 1, 1, 1, 1, 2, 0])
    land, water, bat = associations(states, cells, CLASSES)
    assert (land.present, land.absent, land.share) == (1, 3, 0.25)
    assert (water.share, water.lift) == (0.75, 1.5)
    assert water.odds_ratio == pytest.approx(3.5 * 3.5 / (1.5 * 1.5))
    assert water.odds_ratio == pytest.approx(1 / land.odds_ratio)
    assert (bat.present, bat.share, bat.lift, bat.odds_ratio) == (0, None, None, None)


def test_a_concept_that_is_everywhere_goes_with_nothing() -> None:
    states = np.ones(8, dtype=np.int8)
    for found in associations(states, np.arange(8) % 2, CLASSES[:2]):
        assert (found.lift, found.odds_ratio) == (1.0, 1.0)


def test_an_empty_cell_gives_a_number() -> None:
    states = np.array([1] * 10 + [0] * 10, dtype=np.int8)
    first, second = associations(states, np.repeat([0, 1], 10), CLASSES[:2])
    assert first.odds_ratio == pytest.approx(10.5 * 10.5 / 0.25)
    assert second.lift == 0
    none_present = associations(np.zeros(4, dtype=np.int8), np.arange(4) % 2, CLASSES[:2])
    assert [found.lift for found in none_present] == [None, None]


def test_bands_follow_the_edge_rule() -> None:
    scores = np.array([0.0, 1.0, 2.0, np.nan, 5.0])
    found = by_band(np.ones(5, dtype=np.int8), scores, np.array([0.0, 1.0, 2.0]))
    assert [band.present for band in found] == [1, 2]


def test_summary_counts_what_holds(workspace: Workspace, make_analysis: Any) -> None:
    analysis = make_analysis(np.zeros((6, 2)), np.arange(6) % 2)
    concept = create_concept(workspace, analysis.dataset_id, "water")
    tag(workspace, analysis, concept, [0, 1, 2], True)
    tag(workspace, analysis, concept, [2, 4], False)
    (summary,) = summarise(workspace, analysis)
    assert (summary.present, summary.absent) == (2, 2)
    assert [found.share for found in summary.classes] == [1 / 3, 1.0]
    assert summary.to_dict()["concept"] == "water"
