"""Planted shortcuts come first, clean data raises nothing, and the figures are those of the literature."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import false_discovery_control, fisher_exact

from core.classifiers.head import Head
from core.concepts.adoption import adopt
from core.concepts.concept import create_concept
from core.concepts.explaining import (
    Trait,
    benjamini_yekutieli,
    explain,
    explain_errors,
    fisher,
    known_traits,
    newcombe,
)
from core.concepts.tags import tag
from core.workspace import Workspace

CLASSES = ("landbird", "waterbird")


def analysis_of(make_analysis: Any, labels: np.ndarray, wrong: np.ndarray, **options: Any) -> Any:
    """An analysis that is wrong exactly where `wrong` says."""
    predicted = np.where(wrong, 1 - labels, labels)
    head = Head(np.eye(2, dtype=np.float32), np.zeros(2, dtype=np.float32))
    return make_analysis(np.eye(2)[predicted], labels, classes=CLASSES, head=head, **options)


def dataset(seed: int, n: int = 1200) -> tuple[np.random.Generator, np.ndarray, list[Trait]]:
    """Classes, and traits that go with the class and with each other, some of them known of a part of the images."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, n)
    common = rng.random(n)
    traits = []
    for number in range(8):
        draws = common if number % 3 == 0 else rng.random(n)
        states = (draws < rng.uniform(0.03, 0.97, 2)[labels]).astype(np.int8)
        states[rng.random(n) < (0.6 if number % 2 else 0)] = -1
        traits.append(Trait(f"concept:{number}", str(number), None, states))
    return rng, labels, traits


@pytest.mark.parametrize("n", [150, 1200])
def test_a_clean_dataset_raises_nothing(make_analysis: Any, n: int) -> None:
    alarms = compared = 0
    for seed in range(60):
        rng, labels, traits = dataset(seed, n)
        # classes differ in how hard they are; that is no concept's doing
        wrong = rng.random(n) < rng.uniform(0.02, 0.4, 2)[labels]
        found = explain_errors(analysis_of(make_analysis, labels, wrong), traits)
        compared += len(found)
        alarms += any(one.raised for one in found)
    assert compared > 500
    assert alarms == 0


def test_a_planted_shortcut_comes_first(make_analysis: Any) -> None:
    for seed in range(30):
        rng, labels, traits = dataset(seed)
        water = rng.random(len(labels)) < np.where(labels == 1, 0.9, 0.1)
        # wrong mostly where the water disagrees with the class
        wrong = rng.random(len(labels)) < np.where(water != labels, 0.45, 0.06)
        shortcut = Trait("concept:water", "water", None, water.astype(np.int8))
        first, second, *rest = explain_errors(analysis_of(make_analysis, labels, wrong), [*traits, shortcut])
        assert {(one.name, one.class_name) for one in (first, second)} == {("water", name) for name in CLASSES}
        assert first.raised
        assert second.raised
        by_class = {one.class_name: one for one in (first, second)}
        assert by_class["waterbird"].high < 0 < by_class["landbird"].low
        # traits that go with nothing but by chance stay below
        assert not any(one.raised for one in rest if one.name not in ("0", "3", "6"))


def test_the_sentence_says_it_plainly(workspace: Workspace, make_analysis: Any) -> None:
    labels = np.ones(190, dtype=np.int64)
    labels[:20] = 0
    wrong = np.zeros(190, dtype=bool)
    without, having = np.arange(20, 120), np.arange(120, 190)
    wrong[without[:48]] = True
    wrong[having[:5]] = True
    place = np.zeros(190, dtype=np.int64)
    place[having] = 1
    analysis = analysis_of(make_analysis, labels, wrong, place=place)
    water = create_concept(workspace, analysis.dataset_id, "water")
    tag(workspace, analysis, water, without, False)
    tag(workspace, analysis, water, having, True)
    report = explain(workspace, analysis)
    by_spec = {one.spec: one for one in report.explanations}
    assert (
        by_spec["concept:water"].sentence == "waterbird without water: 48% wrong (48 of 100), with water 7% (5 of 70)"
    )
    place_sentence = by_spec["attribute:place=water"].sentence
    assert place_sentence == "waterbird with place land: 48% wrong (48 of 100), with place water 7% (5 of 70)"
    assert by_spec["concept:water"].tagged
    assert not by_spec["attribute:place=water"].tagged
    assert report.sentence == f"{report.explanations[0].sentence}."
    one = by_spec["concept:water"]
    assert (one.errors_with, one.count_with, one.errors_without, one.count_without) == (5, 70, 48, 100)
    assert one.difference == pytest.approx(5 / 70 - 0.48)
    assert one.excess == pytest.approx(100 * (0.48 - 5 / 70))
    assert one.share == pytest.approx(one.excess / 53)
    assert any("no random sample" in note for note in report.notes)


def test_train_is_left_out_where_there_is_anything_else(workspace: Workspace, make_analysis: Any) -> None:
    labels = np.tile([0, 1], 60)
    wrong = np.zeros(120, dtype=bool)
    wrong[::7] = True
    splits = np.repeat([0, 1, 2], 40)
    place = np.tile([0, 0, 1, 1], 30)
    report = explain(workspace, analysis_of(make_analysis, labels, wrong, splits=splits, place=place))
    assert (report.splits, report.images, report.errors) == (("val", "test"), 80, int(wrong[40:].sum()))
    assert report.notes == ()
    alone = explain(workspace, analysis_of(make_analysis, labels, wrong, splits=np.zeros(120), place=place))
    assert (alone.splits, alone.images) == (("train",), 120)
    assert "has seen" in alone.notes[0]


def test_nothing_to_say_is_said(workspace: Workspace, make_analysis: Any) -> None:
    labels = np.arange(40) % 2
    none_wrong = explain(workspace, analysis_of(make_analysis, labels, np.zeros(40, dtype=bool), place=labels // 1))
    assert (none_wrong.compared, "nothing to explain" in none_wrong.sentence) == (0, True)
    untold = explain(workspace, analysis_of(make_analysis, labels, labels == 0))
    assert (untold.compared, "Nothing can be compared yet" in untold.sentence) == (0, True)
    rng = np.random.default_rng(0)
    chance = explain(workspace, analysis_of(make_analysis, labels, rng.random(40) < 0.3, place=rng.integers(0, 2, 40)))
    assert not any(one.raised for one in chance.explanations)
    assert "stands out from chance" in chance.sentence


def test_a_concept_that_cannot_be_judged_is_named_with_the_reason(workspace: Workspace, make_analysis: Any) -> None:
    n = 80
    labels, splits = np.arange(n) % 2, np.where(np.arange(n) < 40, 0, 1)
    # of the first class some are wrong, of the second none
    analysis = analysis_of(make_analysis, labels, (labels == 0) & (np.arange(n) % 8 == 0), splits=splits)
    val = np.arange(40, n)

    def say(name: str, present: Any, absent: Any) -> None:
        concept = create_concept(workspace, analysis.dataset_id, name)
        for rows, answer in ((present, True), (absent, False)):
            if len(rows):
                tag(workspace, analysis, concept, rows, answer)

    say("silent", [], [])
    say("on train", [1], [2, 3])
    say("few", val[:3], [*val[10:14], 5])
    say("never wrong", val[1:21:2], val[21::2])
    say("judged", val[0:20:2], val[20::2])
    assert dict(explain(workspace, analysis).unjudged) == {
        "silent": "nothing was said of it yet",
        "on train": "all 3 answers are on train, which does not count",
        "few": "no class has 5 images with and 5 without it; 3 present and 4 absent count, 1 on train does not",
        "never wrong": "where it could be compared, the model is never wrong or never right",
    }
    assert explain(workspace, analysis).to_dict()["unjudged"][0]["name"] == "silent"


def test_an_adopted_column_is_not_compared_twice(workspace: Workspace, make_analysis: Any) -> None:
    labels = np.arange(40) % 2
    analysis = make_analysis(np.zeros((40, 2)), labels, place=np.arange(40) // 20)
    assert [trait.spec for trait in known_traits(workspace, analysis)] == ["attribute:place=water"]
    adopt(workspace, analysis, "place", "land")
    (followed,) = known_traits(workspace, analysis)
    assert (followed.spec, followed.tagged) == ("concept:place: land", False)
    assert (followed.states == 1).sum() == 20


def test_interval_of_newcombes_own_example() -> None:
    # Newcombe 1998, table II: 56/70 and 48/80, 9/10 and 3/10, 10/10 and 0/20, method 10
    low, high = newcombe(np.array([[56, 70, 48, 80], [9, 10, 3, 10], [10, 10, 0, 20]]))
    assert low == pytest.approx([0.0524, 0.1705, 0.6791], abs=1e-4)
    assert high == pytest.approx([0.3339, 0.8090, 1.0], abs=1e-4)


def test_fisher_and_adjustment_agree_with_scipy() -> None:
    rng = np.random.default_rng(1)
    trials = rng.integers(1, 90, (200, 2))
    events = (rng.random((200, 2)) * (trials + 1)).astype(np.int64)
    tables = np.stack([events[:, 0], trials[:, 0], events[:, 1], trials[:, 1]], axis=1)
    expected = [fisher_exact([[a, n - a], [c, m - c]])[1] for a, n, c, m in tables.tolist()]
    p = fisher(tables)
    assert p == pytest.approx(expected, abs=1e-9)
    assert benjamini_yekutieli(p) == pytest.approx(false_discovery_control(p, method="by"))
    assert benjamini_yekutieli(np.empty(0)).shape == (0,)
    # mirrored tables are as unlikely as each other, though their logarithms differ in the last digit
    mirrored = np.array([[0, 10, 6, 10], [0, 15, 6, 15], [1, 7, 5, 7], [1, 4, 2, 4]])
    assert fisher(mirrored) == pytest.approx(
        [fisher_exact([[a, n - a], [c, m - c]])[1] for a, n, c, m in mirrored.tolist()], abs=1e-9
    )
    # far from what a float can tell from 1 in its sums
    assert fisher(np.array([[0, 50_000, 50_000, 50_000]]))[0] == 0
