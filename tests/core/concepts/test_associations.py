from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from core.concepts.adoption import adopt
from core.concepts.associations import (
    Association,
    associations,
    by_band,
    concept_table,
    state_table,
    summarise,
    summarise_all,
)
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


def test_intervals_by_hand() -> None:
    # 8 of 10 here, 6 of 20 elsewhere
    states = np.array([1] * 8 + [0] * 2 + [1] * 6 + [0] * 14, dtype=np.int8)
    first, second = associations(states, np.repeat([0, 1], [10, 20]), CLASSES[:2])
    # Wilson for 8 of 10
    assert (first.low, first.high) == (pytest.approx(0.4902, abs=1e-4), pytest.approx(0.9433, abs=1e-4))
    # Katz for the ratio 0.8 / 0.3, carried over to the share in all (14 of 30)
    error = 1.959964 * np.sqrt(1 / 8 - 1 / 10 + 1 / 6 - 1 / 20)
    ratios = 0.8 / 0.3 * np.exp([-error, error])
    expected = ratios / (ratios / 3 + 2 / 3)
    assert first.lift == pytest.approx(0.8 / (14 / 30))
    assert [first.lift_low, first.lift_high] == pytest.approx(expected)
    # Woolf with halves added
    odds = 8.5 * 14.5 / (2.5 * 6.5)
    error = 1.959964 * np.sqrt(1 / 8.5 + 1 / 14.5 + 1 / 2.5 + 1 / 6.5)
    assert [first.odds_low, first.odds_high] == pytest.approx(odds * np.exp([-error, error]))
    assert second.odds_high == pytest.approx(1 / first.odds_low)


def measures(one: Association) -> list[tuple[float, float, float]]:
    return [
        (one.low, one.share, one.high),
        (one.lift_low, one.lift, one.lift_high),
        (one.odds_low, one.odds_ratio, one.odds_high),
    ]


@pytest.mark.parametrize("counts", [(5, 0, 5, 5), (0, 5, 5, 5), (5, 5, 0, 5), (5, 0, 0, 5), (0, 5, 5, 0), (3, 0, 9, 0)])
def test_empty_cells_keep_intervals_around_what_was_seen(counts: tuple[int, ...]) -> None:
    states = np.repeat([1, 0, 1, 0], counts).astype(np.int8)
    cells = np.repeat([0, 0, 1, 1], counts)
    for one in associations(states, cells, CLASSES[:2]):
        for low, value, high in measures(one):
            assert low <= value <= high
            assert low < high
            assert np.isfinite([low, value, high]).all()
        # no lift is larger than when all of the concept is here
        assert one.lift_high <= sum(counts) / (one.present + one.absent) + 1e-9


def test_intervals_cover_as_often_as_they_say() -> None:
    """Coverage of lift and odds ratio where the truth is known: 95%, give or take what 1,500 draws leave open."""
    rng = np.random.default_rng(3)
    here, elsewhere, share, other = 60, 140, 0.5, 0.25
    weight = here / (here + elsewhere)
    lift = share / (weight * share + (1 - weight) * other)
    odds = share / (1 - share) / (other / (1 - other))
    cells = np.repeat([0, 1], [here, elsewhere])
    inside = np.zeros(2)
    for _ in range(1500):
        states = (rng.random(here + elsewhere) < np.where(cells == 0, share, other)).astype(np.int8)
        first = associations(states, cells, CLASSES[:2])[0]
        inside += [first.lift_low <= lift <= first.lift_high, first.odds_low <= odds <= first.odds_high]
    assert (inside / 1500).tolist() == pytest.approx([0.95, 0.95], abs=0.02)


def test_unsure_is_counted_and_learnt_from_nowhere(workspace: Workspace, make_analysis: Any) -> None:
    analysis = make_analysis(np.zeros((6, 2)), np.arange(6) % 2)
    concept = create_concept(workspace, analysis.dataset_id, "water")
    tag(workspace, analysis, concept, [0, 1], True)
    tag(workspace, analysis, concept, [2, 3], "unsure")
    (summary,) = summarise(workspace, analysis)
    assert (summary.present, summary.absent, summary.unsure) == (2, 0, 2)
    assert [(one.present, one.absent, one.images) for one in summary.classes] == [(1, 0, 3), (1, 0, 3)]


def test_attributes_are_summarised_like_concepts(workspace: Workspace, make_analysis: Any) -> None:
    place = np.array([1, 1, 0, 0, 1, -1])
    analysis = make_analysis(np.zeros((6, 2)), np.array([0, 0, 0, 1, 1, 1]), place=place)
    concept = adopt(workspace, analysis, "place", "water")
    tag(workspace, analysis, concept, [5], True)
    (followed,), (attribute,) = summarise_all(workspace, analysis)
    # of two values one says it all; a person's word on an image whose place is unknown counts for the concept
    assert (attribute.attribute, attribute.value, attribute.adopted) == ("place", "water", concept.name)
    assert (attribute.present, attribute.absent) == (3, 2)
    assert (followed.present, followed.absent) == (4, 2)
    assert [one.share for one in attribute.classes] == [2 / 3, 1 / 2]


def test_table_of_classes_and_bands_compares_within_the_class(workspace: Workspace, make_analysis: Any) -> None:
    labels = np.repeat([0, 1], 400)
    # goes with the class, four of five and one of five, and with nothing within it
    states = (np.arange(800) % 5 < np.where(labels == 1, 4, 1)).astype(np.int8)
    bands = np.repeat([0, 1, 2, 3], [200, 100, 75, 25])
    scores = np.array([-1.0, 0.0, 1.5, 6.0])[np.concatenate([bands, 3 - bands])]
    analysis = make_analysis(np.zeros((800, 2)), labels)
    edges = np.array([-4.0, 0.0, 1.0, 2.0, 6.0])
    table = state_table(states, analysis, scores, edges)
    assert [one.present + one.absent for one in table.classes] == [400, 400]
    for c, row in enumerate(table.cells):
        assert sum(cell.present for cell in row) <= table.classes[c].present
        for b, cell in enumerate(row):
            inside = np.flatnonzero((labels == c) & (np.concatenate([bands, 3 - bands]) == b))
            assert (cell.images, cell.present) == (len(inside), states[inside].sum())
            assert cell.lift == pytest.approx(1)
            assert cell.odds_low < 1 < cell.odds_high
    assert table.bands[3].odds_low > 1, "along the direction it follows the class"
    concept = create_concept(workspace, analysis.dataset_id, "water")
    tag(workspace, analysis, concept, np.flatnonzero(states == 1), True)
    tag(workspace, analysis, concept, np.flatnonzero(states == 0), False)
    assert concept_table(workspace, analysis, concept, scores, edges) == table
