from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from core.concepts.agreement import agreements
from core.concepts.concept import Concept, create_concept
from core.concepts.exchange import load_tags
from core.concepts.log import record_action
from core.concepts.merging import merge_concepts
from core.concepts.tags import tag, undo
from core.workspace import Workspace

N = 60


@pytest.fixture
def analysis(make_analysis: Any) -> Any:
    return make_analysis(np.zeros((N, 1)), np.arange(N) % 2)


@pytest.fixture
def water(workspace: Workspace, analysis: Any) -> Concept:
    return create_concept(workspace, analysis.dataset_id, "water")


def answer(workspace: Workspace, analysis: Any, concept: Concept, author: str, yes: Any, no: Any) -> None:
    tag(workspace, analysis, concept, yes, True, author=author)
    tag(workspace, analysis, concept, no, False, author=author)


def test_kappa_and_interval_of_a_table_worked_by_hand(workspace: Workspace, analysis: Any, water: Concept) -> None:
    """20 both yes, 5 and 10 apart, 15 both no: 0.7 agree, 0.5 by chance (25 * 30 + 25 * 20 of 2500), so kappa 0.4."""
    answer(workspace, analysis, water, "Ann", range(25), range(25, 50))
    answer(workspace, analysis, water, "Bob", [*range(20), *range(25, 35)], [*range(20, 25), *range(35, 50)])
    (found,) = agreements(workspace, analysis)
    assert (found.first, found.second, found.both, found.same) == ("Ann", "Bob", 50, 35)
    assert found.share == 0.7
    assert found.kappa == pytest.approx(0.4)
    # Wilson 1927, by hand: (0.7 + 1.9208 / 50 -+ 1.96 * sqrt(0.21 / 50 + 0.9604 / 2500)) / (1 + 3.8415 / 50)
    assert (found.low, found.high) == pytest.approx((0.5625, 0.8089), abs=5e-4)
    assert len(found.differing) == 15
    first = found.differing[0]
    assert (first.concept, first.image, first.row, first.states) == ("water", "images/000020.png", 20, (True, False))
    assert found.to_dict()["differing"][-1]["states"] == [False, True]


def test_each_ones_newest_standing_word_counts_whoever_spoke_last(
    workspace: Workspace, analysis: Any, water: Concept
) -> None:
    tag(workspace, analysis, water, [0, 1, 2], True, author="Ann")
    tag(workspace, analysis, water, [0, 1, 2, 3], True, author="Bob")
    tag(workspace, analysis, water, [1], "unsure", author="Ann")
    tag(workspace, analysis, water, [2], False, author="Bob")
    (found,) = agreements(workspace, analysis)
    assert (found.both, found.same) == (2, 1), "0 alike, 1 no answer of Ann, 2 apart, 3 Bob alone"
    undo(workspace, analysis.dataset_id, "Bob")
    undo(workspace, analysis.dataset_id, "Ann")
    (found,) = agreements(workspace, analysis)
    assert (found.both, found.same, found.kappa) == (3, 3, None)


def test_what_chance_explains_is_counted_within_each_concept(
    workspace: Workspace, analysis: Any, water: Concept
) -> None:
    """Both nearly always say yes to one concept and no to the other: thrown together that would look like skill."""
    snow = create_concept(workspace, analysis.dataset_id, "snow")
    rng = np.random.default_rng(0)
    for author in ("Ann", "Bob"):
        rare = rng.permutation(N)[:6]
        answer(workspace, analysis, water, author, np.setdiff1d(np.arange(N), rare), rare)
        answer(workspace, analysis, snow, author, rare, np.setdiff1d(np.arange(N), rare))
    (found,) = agreements(workspace, analysis)
    assert found.share is not None
    assert found.share > 0.75
    assert found.kappa is not None
    assert abs(found.kappa) < 0.2
    (alone,) = agreements(workspace, analysis, snow)
    assert alone.both == N


def test_without_two_people_there_is_no_agreement(workspace: Workspace, analysis: Any, water: Concept) -> None:
    assert agreements(workspace, analysis) == ()
    tag(workspace, analysis, water, [0], True, author="Ann")
    tag(workspace, analysis, water, [1], True, author="Bob")
    assert agreements(workspace, analysis) == ()


def test_a_merge_puts_no_words_into_anybodys_mouth(workspace: Workspace, analysis: Any, water: Concept) -> None:
    snow = create_concept(workspace, analysis.dataset_id, "snow")
    tag(workspace, analysis, snow, [0], True, author="Ann")
    tag(workspace, analysis, water, [0], None, author="Bob")
    merge_concepts(workspace, water, snow, author="Cy")
    tag(workspace, analysis, water, [0], True, author="Bob")
    assert agreements(workspace, analysis) == ()


def test_images_that_the_analysis_skipped_do_not_count(workspace: Workspace, analysis: Any, water: Concept) -> None:
    tag(workspace, analysis, water, [0], True, author="Ann")
    tag(workspace, analysis, water, [0, N - 1], True, author="Bob")
    for author, said in (("Ann", True), ("Bob", False)):
        with workspace.writing() as session:
            statements = [(water.id, "skipped.png", said)]
            record_action(session, analysis.dataset_id, statements, author=author, source="person")
    (found,) = agreements(workspace, analysis)
    assert (found.both, found.same, found.differing) == (1, 1, ())


def load(workspace: Workspace, analysis: Any, rows: Any, said: str, named: str, by: str) -> None:
    lines = [f"{image},water,{said},{named}\r\n" for image in analysis.image_names(rows)]
    load_tags(workspace, analysis, f"image,concept,present,author\r\n{''.join(lines)}".encode(), "x.csv", author=by)


def test_what_somebody_imports_are_not_their_own_words(workspace: Workspace, analysis: Any, water: Concept) -> None:
    tag(workspace, analysis, water, range(6), True, author="Ann")
    tag(workspace, analysis, water, range(6), False, author="Bob")
    load(workspace, analysis, range(6), "1", "Carl", by="Bob")
    assert [(one.first, one.second, one.both, one.same) for one in agreements(workspace, analysis)] == [
        ("Ann", "Bob", 6, 0),
        ("Ann", "Carl", 6, 6),
        ("Bob", "Carl", 6, 0),
    ]
    undo(workspace, analysis.dataset_id, "Bob")
    assert [(one.first, one.second) for one in agreements(workspace, analysis)] == [("Ann", "Bob")]
    load(workspace, analysis, range(6), "1", "", by="Bob")
    (found,) = agreements(workspace, analysis)
    assert (found.first, found.second, found.same) == ("Ann", "Bob", 0), "nobody is named: nobody's words"


def test_an_import_changes_nobodys_own_answers_and_adds_those_it_names(
    workspace: Workspace, analysis: Any, water: Concept
) -> None:
    tag(workspace, analysis, water, [0], True, author="Ann")
    tag(workspace, analysis, water, [0, 2], False, author="Bob")
    load(workspace, analysis, [0], "unsure", " Ann ", by="Ann")
    load(workspace, analysis, [2], "1", "Ann", by="Bob")
    (found,) = agreements(workspace, analysis)
    assert (found.first, found.second, found.both, found.same) == ("Ann", "Bob", 2, 0)
    assert [difference.row for difference in found.differing] == [0, 2]
