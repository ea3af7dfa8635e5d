"""Directions that tell the same become one; what they tell, and not its figures, decides."""

from __future__ import annotations

import pytest

from core.activations.alike import fold
from core.activations.bands import Range
from core.activations.scoreboard import Suspicion

BAND = Range(0.0, 1.0, "", True)


def judged(spec: str, score: float, why: str, class_name: str = "waterbird") -> Suspicion:
    kind = spec.partition(":")[0]
    return Suspicion(spec, spec, kind, score, class_name, BAND, BAND, why, {}, (1,), (0.0, 1.0))


def on_land(mid: str, top: str, value: str = "land") -> str:
    return f"{mid} of the waterbird images in the middle have place “{value}”; at the top {top}."


def test_a_class_logit_speaks_for_the_neurons_that_tell_the_same() -> None:
    found = fold(
        [
            judged("neuron:3", 0.53, on_land("51%", "0%")),
            judged("neuron:8", 0.55, on_land("4.5%", "0.4%")),
            judged("logit:waterbird", 0.50, on_land("44%", "1%")),
        ]
    )
    assert [one.first.spec for one in found] == ["logit:waterbird"]
    assert [one.spec for one in found[0].rest] == ["neuron:8", "neuron:3"]
    assert found[0].score == 0.55


@pytest.mark.parametrize(
    "other",
    [
        judged("neuron:1", 0.5, on_land("51%", "0%"), class_name="landbird"),
        judged("neuron:1", 0.5, on_land("51%", "0%", "water")),
        judged("neuron:1", 0.5, on_land("51%", "0%", "51% land")),
        judged("neuron:1", 0.1, on_land("51%", "0%")),
    ],
    ids=["another class", "another value", "a name with figures", "not suspicious"],
)
def test_what_tells_something_else_stays_apart(other: Suspicion) -> None:
    first = judged("logit:waterbird", 0.5, on_land("51%", "0%"))
    found = fold([other, first])
    assert {one.first.spec for one in found} == {"logit:waterbird", "neuron:1"}
    assert not any(one.rest for one in found)


def test_counts_of_tags_are_figures_too() -> None:
    told = "{} of the {} tagged waterbird images in the middle show “3 of 4”; at the top {} of {}. Tags are no sample."
    found = fold([judged("pc:0", 0.4, told.format(3, "1,205", 0, 9)), judged("pc:1", 0.4, told.format(8, 12, 2, 7))])
    assert len(found) == 1


def test_the_worst_comes_first_and_a_hair_does_not_count() -> None:
    found = fold(
        [
            judged("neuron:1", 0.52, on_land("51%", "0%", "a")),
            judged("logit:waterbird", 0.51, on_land("51%", "0%", "b")),
            judged("pc:1", 0.9, on_land("51%", "0%", "c")),
        ]
    )
    assert [one.first.spec for one in found] == ["pc:1", "logit:waterbird", "neuron:1"]


def test_nothing_folds_into_nothing() -> None:
    assert fold([]) == ()
