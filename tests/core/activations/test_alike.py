"""Directions that tell the same become one; what they tell, and not its figures, decides."""

from __future__ import annotations

import pytest

from core.activations.alike import fold
from core.activations.bands import Range
from core.activations.scoreboard import Suspicion

BAND = Range(0.0, 1.0, "", True)


def judged(spec: str, score: float, tells: str = "attribute:place=land", class_name: str = "waterbird") -> Suspicion:
    kind = spec.partition(":")[0]
    why = f"{score:.0%} of them."
    return Suspicion(spec, spec, kind, score, class_name, BAND, BAND, tells, why, {}, (1,), (0.0, 1.0))


def test_a_class_logit_speaks_for_the_neurons_that_tell_the_same() -> None:
    found = fold([judged("neuron:3", 0.53), judged("neuron:8", 0.55), judged("logit:waterbird", 0.50)])
    assert [one.first.spec for one in found] == ["logit:waterbird"]
    assert [one.spec for one in found[0].rest] == ["neuron:8", "neuron:3"]
    assert found[0].score == 0.55


@pytest.mark.parametrize(
    "other",
    [
        judged("neuron:1", 0.5, class_name="landbird"),
        judged("neuron:1", 0.5, "attribute:place=water"),
        judged("neuron:1", 0.5, "apart"),
        judged("neuron:1", 0.1),
    ],
    ids=["another class", "another value", "something without a name", "not suspicious"],
)
def test_what_tells_something_else_stays_apart(other: Suspicion) -> None:
    found = fold([other, judged("logit:waterbird", 0.5)])
    assert {one.first.spec for one in found} == {"logit:waterbird", "neuron:1"}
    assert not any(one.rest for one in found)


def test_the_worst_comes_first_and_a_hair_does_not_count() -> None:
    found = fold(
        [
            judged("neuron:1", 0.52, "a"),
            judged("logit:waterbird", 0.51, "b"),
            judged("pc:1", 0.9, "c"),
        ]
    )
    assert [one.first.spec for one in found] == ["pc:1", "logit:waterbird", "neuron:1"]


def test_nothing_folds_into_nothing() -> None:
    assert fold([]) == ()
