"""The summary of a soak finds what is planted: lost and doubled tags, errors, a leak; and nothing where nothing is."""

from __future__ import annotations

import pytest

from scripts.soak_summary import Memory, Notes, Press, Said, compare, latencies, slope, summary

ADA, BO = Said("Ada", "water", "1.jpg"), Said("Bo", "water", "1.jpg")
START = 400_000_000


def memory(per_minute: int, minutes: int = 20) -> list[Memory]:
    """Every five seconds, growing evenly by so many bytes a minute."""
    return [Memory(5.0 * k, START + per_minute * 5 * k // 60, START, 10, 20) for k in range(12 * minutes)]


def notes(**changes: object) -> Notes:
    return Notes(**{"acknowledged": [ADA, BO], "memory": memory(0), "presses": [Press("tag", 0.2)], **changes})


def test_what_is_held_once_and_flat_does_not_fail() -> None:
    told = summary(notes(), [BO, ADA], until=600)
    assert not told["failed"]
    assert told["acknowledged"] == 2
    assert told["lost"] == told["unexpected"] == told["errors"] == []
    assert told["memory"]["flat"] is True


@pytest.mark.parametrize(
    ("held", "lost", "unexpected"),
    [
        ([ADA], ["1 × Bo: water, 1.jpg"], []),
        ([ADA, ADA, BO], [], ["1 × Ada: water, 1.jpg"]),
        # somebody else's name on it
        ([ADA, ADA], ["1 × Bo: water, 1.jpg"], ["1 × Ada: water, 1.jpg"]),
        # taken back though nobody did
        ([ADA, BO._replace(undone=True)], ["1 × Bo: water, 1.jpg"], ["1 × Bo: water, 1.jpg (undone)"]),
    ],
)
def test_a_lost_and_a_doubled_tag_fail(held: list[Said], lost: list[str], unexpected: list[str]) -> None:
    told = summary(notes(), held, until=600)
    assert told["failed"]
    assert (told["lost"], told["unexpected"]) == (lost, unexpected)


def test_a_tag_that_was_not_answered_may_be_there_or_not() -> None:
    assert compare([ADA], [BO], [ADA]) == compare([ADA], [BO], [ADA, BO]) == {"lost": [], "unexpected": []}


def test_an_error_fails() -> None:
    assert summary(notes(errors=["Ada, console: no"]), [ADA, BO], until=600)["failed"]


@pytest.mark.parametrize(("per_minute", "flat"), [(1_000_000, True), (5_000_000, False), (-5_000_000, True)])
def test_memory_that_grows_by_a_twentieth_in_ten_minutes_is_not_flat(per_minute: int, flat: bool) -> None:
    told = summary(notes(memory=memory(per_minute)), [ADA, BO], until=600)
    assert told["memory"]["flat"] is flat
    assert told["failed"] is not flat
    assert slope(memory(per_minute)) == pytest.approx(10 * per_minute, rel=0.01)


def test_what_the_first_phase_took_is_no_leak() -> None:
    grows = [each if each.at >= 600 else each._replace(rss=START // 2 + int(each.at)) for each in memory(0)]
    told = summary(notes(memory=grows), [ADA, BO], until=600)["memory"]
    assert told["flat"] is True
    assert told["first_phase_growth_mb"] == pytest.approx(0, abs=0.1)


def test_latencies_by_kind_and_over_all() -> None:
    told = latencies([*(Press("tag", k / 100) for k in range(101)), Press("reload", 3.0)])
    assert told["tag"] == {"count": 101, "p50": 0.5, "p95": 0.95, "max": 1.0}
    assert told["reload"]["count"] == 1
    assert told["all"]["max"] == 3.0
