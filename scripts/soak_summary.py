"""What a soak (soak.py) found: pure functions over what was written down."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

# a second phase may add so much of the memory in ten minutes: what pages keep is bounded, and a leak that is smaller
# than this takes more than three hours to double the server
FLAT = 0.05
TEN_MINUTES = 600.0
MB = 1e6


class Said(NamedTuple):
    """One tag as the driver meant it, or as the database holds it. undone: whether its author took it back."""

    author: str
    concept: str
    image: str
    undone: bool = False


class Press(NamedTuple):
    """kind: of interaction. seconds: from the press to the settled page."""

    kind: str
    seconds: float


class Memory(NamedTuple):
    """The server's processes together. at: seconds since the sessions began. rss, pss: bytes; shared memory counts in
    `pss` only once."""

    at: float
    rss: int
    pss: int
    threads: int
    files: int


@dataclass
class Notes:
    """What was written down. acknowledged: tags that the server confirmed to the page. unanswered: pressed, and no
    answer within patience: they may be in the database. errors: where and what. undos: acknowledged ones are in
    `undone` of the tags."""

    acknowledged: list[Said] = field(default_factory=list)
    unanswered: list[Said] = field(default_factory=list)
    presses: list[Press] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    memory: list[Memory] = field(default_factory=list)


def compare(acknowledged: Sequence[Said], unanswered: Sequence[Said], held: Sequence[Said]) -> dict[str, list[str]]:
    """lost: acknowledged and not held as such. unexpected: held and never asked for, or more often than asked for."""
    wanted, there = Counter(acknowledged), Counter(held)
    lost, more = wanted - there, there - wanted
    return {"lost": _listed(lost), "unexpected": _listed(more - Counter(unanswered))}


def latencies(presses: Sequence[Press]) -> dict[str, dict[str, float]]:
    """By kind and over all: how many, and seconds at the median, the 95th percentile and the most."""
    by_kind: dict[str, list[float]] = {"all": [press.seconds for press in presses]}
    for press in presses:
        by_kind.setdefault(press.kind, []).append(press.seconds)
    return {
        kind: {
            "count": len(seconds),
            "p50": round(float(np.percentile(seconds, 50)), 3),
            "p95": round(float(np.percentile(seconds, 95)), 3),
            "max": round(max(seconds), 3),
        }
        for kind, seconds in by_kind.items()
        if seconds
    }


def slope(memory: Sequence[Memory]) -> float:
    """Bytes of RSS per ten minutes, by least squares; 0 where there are fewer than two moments."""
    if len(memory) < 2:
        return 0.0
    at = np.array([each.at for each in memory])
    return float(np.polyfit(at, [each.rss for each in memory], 1)[0]) * TEN_MINUTES


def grown(memory: Sequence[Memory], until: float) -> dict[str, Any]:
    """Memory of the two phases. until: seconds, when the second begins; flat is None where it was not looked at."""
    first = [each for each in memory if each.at < until]
    second = [each for each in memory if each.at >= until]
    usual = float(np.median([each.rss for each in second])) if second else 0.0
    steep = slope(second)
    return {
        "first_phase_growth_mb": round((first[-1].rss - first[0].rss) / MB, 1) if first else 0.0,
        "first_phase_pss_growth_mb": round((first[-1].pss - first[0].pss) / MB, 1) if first else 0.0,
        "second_phase_slope_mb_per_10_min": round(steep / MB, 2),
        "second_phase_rss_mb": round(usual / MB, 1),
        "highest_rss_mb": round(max((each.rss for each in memory), default=0) / MB, 1),
        "flat": steep < FLAT * usual if len(second) > 1 else None,
    }


def summary(notes: Notes, held: Sequence[Said], until: float) -> dict[str, Any]:
    """What is printed. failed: whether something is lost or unexpected, an error was seen, or memory is not flat."""
    found = compare(notes.acknowledged, notes.unanswered, held)
    memory = grown(notes.memory, until)
    failed = bool(found["lost"] or found["unexpected"] or notes.errors) or memory["flat"] is False
    return {
        "failed": failed,
        "acknowledged": len(notes.acknowledged),
        "unanswered": len(notes.unanswered),
        **found,
        "errors": notes.errors,
        "seconds_to_settled": latencies(notes.presses),
        "memory": memory,
    }


def _listed(some: Counter[Said]) -> list[str]:
    return [
        f"{count} × {said.author}: {said.concept}, {said.image}{' (undone)' * said.undone}"
        for said, count in sorted(some.items())
    ]
