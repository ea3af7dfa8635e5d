"""What chosen images have in common."""

from __future__ import annotations

import numpy as np
import pytest

from core.activations.selection import describe
from tests.core.conftest import AnalysisMaker


def test_what_sets_a_selection_apart_is_told_the_largest_difference_first(make_analysis: AnalysisMaker) -> None:
    labels = np.repeat([0, 1], [80, 20])
    place = np.where(np.arange(100) < 50, 0, 1)
    analysis = make_analysis(np.zeros((100, 2)), labels, classes=("landbird", "waterbird"), place=place)
    analysis.predicted[:] = 0
    found = describe(analysis, np.arange(80, 100))
    assert [(t.title, t.value, t.share, t.overall) for t in found.traits] == [
        ("class", "waterbird", 1.0, 0.2),
        ("place", "water", 1.0, 0.5),
    ]
    assert (found.count, found.wrong, found.wrong_overall) == (20, 1.0, pytest.approx(0.2))
    assert found.sentence() == (
        "100% waterbird (20% of all images), 100% place: water (50%). "
        "The model is wrong on 100% of them (20% of all images)."
    )
    assert found.to_dict()["traits"][0]["value"] == "waterbird"


def test_what_is_like_all_images_has_no_traits(make_analysis: AnalysisMaker) -> None:
    labels = np.arange(100) % 2
    analysis = make_analysis(np.zeros((100, 2)), labels, place=np.full(100, -1))
    analysis.predicted[:] = labels
    found = describe(analysis, np.arange(50))
    assert found.traits == ()
    assert found.sentence() == "The model is wrong on 0% of them (0% of all images)."


def test_nearly_all_is_not_written_as_all(make_analysis: AnalysisMaker) -> None:
    labels = (np.arange(1000) >= 500).astype(int)
    analysis = make_analysis(np.zeros((1000, 2)), labels, classes=("a", "b"))
    analysis.predicted[:] = labels
    analysis.predicted[0] = 1
    assert describe(analysis, np.arange(498, 1000)).sentence().startswith("99.6% b (50% of all images).")
    assert describe(analysis, np.arange(300)).sentence().endswith("wrong on 0.3% of them (0.1% of all images).")


def test_images_are_compared_with_those_of_their_split(make_analysis: AnalysisMaker) -> None:
    labels = np.repeat([0, 1], 50)
    analysis = make_analysis(np.zeros((100, 2)), labels, splits=np.where(np.arange(100) < 60, 1, 2))
    analysis.predicted[:] = 0
    found = describe(analysis, np.array([0, 1, 50, 51]), split="val")
    assert found.wrong_overall == pytest.approx(10 / 60)
    assert [(trait.value, trait.overall) for trait in found.traits] == [(analysis.classes[1], pytest.approx(10 / 60))]
    assert found.sentence().endswith("50% of them (17% of all val images).")
