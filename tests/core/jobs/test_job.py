"""Rate and time left."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.jobs.job import pace


def steady(rate: float, seconds: int, begin: float = 0.0) -> list[list[float]]:
    return [[100.0 + second, begin + rate * second] for second in range(seconds)]


def test_steady_work_has_its_rate_and_its_end() -> None:
    found = pace(steady(20, 6), total=200, now=105.0)
    assert found.rate == pytest.approx(20)
    assert found.seconds_left == pytest.approx(5)


def test_leap_of_resumed_work_is_not_taken_for_speed() -> None:
    resumed = [[99.9, 0.0], *steady(20, 6, begin=5000)]
    found = pace(resumed, total=6000, now=105.0)
    assert found.rate == pytest.approx(20)
    assert found.seconds_left == pytest.approx(45)


def test_stalled_work_does_not_keep_its_promise() -> None:
    moving, stalled = pace(steady(20, 6), 200, 105.0), pace(steady(20, 6), 200, 165.0)
    assert moving.seconds_left is not None
    assert stalled.seconds_left is not None
    assert stalled.seconds_left > 5 * moving.seconds_left


@pytest.mark.parametrize("samples", [[], [[1.0, 0.0]], [[1.0, 5.0], [1.0, 9.0]]])
def test_rate_is_unknown_before_there_is_something_to_measure(samples: list[list[float]]) -> None:
    assert pace(samples, 10, 2.0).rate is None


def test_time_left_is_unknown_when_the_length_is() -> None:
    found = pace(steady(20, 6), total=0, now=105.0)
    assert found.rate == pytest.approx(20)
    assert found.seconds_left is None


@given(
    st.lists(st.tuples(st.floats(0.01, 60), st.floats(0, 1e6)), min_size=0, max_size=30),
    st.integers(0, 10**7),
    st.floats(0, 1e3),
)
def test_rate_and_time_left_are_never_negative(steps: list[tuple[float, float]], total: int, silence: float) -> None:
    samples, at, done = [], 0.0, 0.0
    for seconds, count in steps:
        at, done = at + seconds, done + count
        samples.append([at, done])
    found = pace(samples, total, at + silence)
    assert found.rate is None or found.rate > 0
    assert found.seconds_left is None or found.seconds_left >= 0
