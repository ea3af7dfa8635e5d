"""Which images to tag next: where one answer teaches most.

    top        spread over the top half of a class by its own logit: these confirm what the class usually shows. The
               first of each class comes early
    own-low    the lowest own logits of a class: where images with the unusual value gather
    boundary   the smallest lead of one class over the next, in each class: a mixture of both values, which a probe
               needs while the answers are few
    doubt      images the concept probe is least sure about, once there is one

The shares below were chosen on planted data (benchmarks/bench_demo.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from core.concepts.concept import Concept
from core.concepts.labels import label_verdicts
from core.concepts.majority import above_own
from core.concepts.probes import concept_probe, confidence
from core.concepts.spread import pool_probabilities
from core.concepts.tags import ABSENT, PRESENT, UNTAGGED, answers, tagging_split
from core.workspace import Workspace

if TYPE_CHECKING:
    from core.activations.store import Analysis

# answers asked for in the top half of each class: with one answer in ten wrong, 5 give the wrong majority once in 117
TOP_PER_CLASS = 5
# of a small budget, the part that may go to confirming the majority
TOP_SHARE = 0.25
# answers from which own-low alone is asked about. Below, half of them go to the boundary: own-low is so rich in
# exceptions that a few answers show little else and the probe takes class for concept, while a boundary that leans to
# one class shows no exception of the other. Half and half is best on planted data from 20 to 40 answers, with right
# ones and with 10% wrong; at 60 there is no difference.
FULL_BUDGET = 60
# of a smaller budget, the part that goes to the boundary
BOUNDARY_SHARE = 0.5
# logits that are read at once
_AT_ONCE = 1_000_000
# of a later round, the part that goes to what the probe is unsure about
DOUBT_SHARE = 0.5


@dataclass(frozen=True)
class Suggestion:
    """row: position in the analysis. why: "own-low", "boundary", "top" or "doubt"."""

    row: int
    why: str

    def to_dict(self) -> dict[str, Any]:
        return {"row": self.row, "why": self.why}


def suggest(
    logits: np.ndarray,
    labels: np.ndarray,
    *,
    budget: int,
    states: np.ndarray | None = None,
    sureness: np.ndarray | None = None,
    rows: np.ndarray | None = None,
) -> tuple[Suggestion, ...]:
    """Up to `budget` different untagged images, in an order whose beginning holds some of everything.

    logits: (m, k) and labels: (m,) of the images to choose from; rows of the answer are positions in them. states:
    (m,) int8 answers so far, None for none; what somebody was unsure about is not asked again. sureness: (m,) in
    0.5..1, how sure the concept's probe is; None when there is no probe yet. rows: (m,) of a larger table of logits,
    which is read but in part; None for all. Deterministic.
    """
    k = logits.shape[1]
    rows = np.arange(len(labels)) if rows is None else rows
    own = logits[rows, labels]
    top = above_own(0.5, own, labels, k)
    free = np.ones(len(labels), dtype=bool) if states is None else states == UNTAGGED
    budget = min(budget, int(free.sum()))
    answered = np.zeros(len(labels), dtype=bool) if states is None else states >= 0
    # the plan is for all answers, those given and those asked for: 60 in five batches are the same as 60 at once
    planned = budget + int(answered.sum())
    members = _by_class(labels, k)

    tagged_top = np.bincount(labels[top & answered], minlength=k)
    wanted_top = max(1, min(TOP_PER_CLASS, int(planned * TOP_SHARE / k)))
    spread = []
    # the class with the fewest answers first, or the last classes would wait for theirs in every batch
    for c in np.argsort(tagged_top, kind="stable").tolist():
        # the places do not depend on the answers, so that later batches go on where earlier ones stopped
        places = _spread(_sorted(members[c][top[members[c]]], own), wanted_top)
        spread.append([row for row in places if free[row]][: max(0, wanted_top - int(tagged_top[c]))])
    chosen = {"top": _round_robin(spread)[:budget]}
    left = budget - len(chosen["top"])
    if sureness is not None:
        unsure = np.flatnonzero(free & ~_mask(chosen["top"], len(labels)))
        chosen["doubt"] = _lowest(unsure, sureness, round(left * DOUBT_SHARE)).tolist()
        left -= len(chosen["doubt"])
    if planned < FULL_BUDGET:
        rest = free & ~_mask([row for rows in chosen.values() for row in rows], len(labels))
        lead, count = _lead(logits, rows), round(left * BOUNDARY_SHARE)
        nearest = [_lowest(members[c][rest[members[c]]], lead, count).tolist() for c in range(k)]
        chosen["boundary"] = _round_robin(nearest)[:count]
        left -= len(chosen["boundary"])
    rest = free & ~_mask([row for rows in chosen.values() for row in rows], len(labels))
    # the class with the fewest answers and questions first, so that all get the same number as far as it divides
    asked = np.bincount(labels[answered & ~top], minlength=k)
    asked += np.bincount(labels[np.array(chosen.get("boundary", ()), dtype=np.int64)], minlength=k)
    classes = np.argsort(asked, kind="stable").tolist()
    lowest = [_lowest(members[c][rest[members[c]]], own, left).tolist() for c in classes]
    chosen["own-low"] = _round_robin(lowest)[:left]
    return _interleaved(chosen, first=int((tagged_top == 0).sum()))


def suggest_next(
    workspace: Workspace,
    analysis: Analysis,
    concept: Concept | None = None,
    *,
    budget: int,
    about: int | None = None,
) -> tuple[Suggestion, ...]:
    """`suggest` for the images of an analysis that may be tagged for curation; rows are rows of the analysis.

    concept: skips what is answered for it, images that somebody was unsure about included; None skips nothing. Images
    whose label was judged wrong are never proposed; with a corrected label they count in that class. about: a class:
    only images of it and those taken for it.
    """
    verdicts = label_verdicts(workspace, analysis)
    pool = analysis.split_rows(tagging_split(analysis))
    usable = ~verdicts.excluded[pool]
    if about is not None:
        usable &= (verdicts.labels[pool] == about) | (analysis.predicted[pool] == about)
    rows = pool[usable]
    states = None if concept is None else answers(workspace, analysis, concept)[rows]
    sureness = None
    if concept is not None and states is not None and _ready_for_doubt(states):
        # not the probe that is refitted from the last one: what is asked must follow from the tags alone
        probe = concept_probe(workspace, analysis, concept)
        sureness = confidence(pool_probabilities(analysis, probe)[usable])
    proposed = suggest(
        analysis.logits, verdicts.labels[rows], budget=budget, states=states, sureness=sureness, rows=rows
    )
    return tuple(Suggestion(int(rows[item.row]), item.why) for item in proposed)


def _ready_for_doubt(states: np.ndarray) -> bool:
    """Whether the first round is over and a probe can be fitted: before, own-low teaches more than its doubts do."""
    present, absent = int((states == PRESENT).sum()), int((states == ABSENT).sum())
    return present + absent >= FULL_BUDGET and min(present, absent) > 0


def _lead(logits: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """How far the largest logit leads the next: (m,), read a block at a time."""
    lead = np.empty(len(rows), dtype=logits.dtype)
    size = max(1, _AT_ONCE // logits.shape[1])
    for start in range(0, len(rows), size):
        block = np.array(logits[rows[start : start + size]])
        everyone, best = np.arange(len(block)), block.argmax(axis=1)
        largest = block[everyone, best]
        block[everyone, best] = -np.inf
        lead[start : start + size] = largest - block.max(axis=1)
    return lead


def _by_class(labels: np.ndarray, k: int) -> list[np.ndarray]:
    """Positions of each class's images, increasing."""
    order = np.argsort(labels, kind="stable")
    return np.split(order, np.searchsorted(labels[order], np.arange(1, k)))


def _sorted(rows: np.ndarray, values: np.ndarray) -> np.ndarray:
    return rows[np.argsort(values[rows], kind="stable")]


def _lowest(rows: np.ndarray, values: np.ndarray, count: int) -> np.ndarray:
    """The first `count` of `_sorted`, without sorting the others."""
    if 0 < count < len(rows):
        found = values[rows]
        rows = rows[found <= np.partition(found, count)[count]]
    return _sorted(rows, values)[: max(count, 0)]


def _spread(rows: np.ndarray, count: int) -> list[int]:
    """`count` of the rows, evenly from the first to the last: they stand for the whole half that is assumed."""
    count = min(count, len(rows))
    places = ((np.arange(count) + 0.5) * len(rows) / max(count, 1)).astype(int)
    return rows[places].tolist()


def _mask(rows: Sequence[int], n: int) -> np.ndarray:
    result = np.zeros(n, dtype=bool)
    result[list(rows)] = True
    return result


def _round_robin(lists: Sequence[Sequence[int]]) -> list[int]:
    longest = max((len(rows) for rows in lists), default=0)
    return [rows[i] for i in range(longest) for rows in lists if i < len(rows)]


def _interleaved(chosen: dict[str, list[int]], first: int) -> tuple[Suggestion, ...]:
    """All reasons at the same pace: somebody who stops after a third has answered a third of each.

    first: images of the top that come earlier, by turns with the others. They are the first of each class, and without
    one nothing can be said of a class: four of its lowest that agree may all be exceptions.
    """
    top = [Suggestion(row, "top") for row in chosen["top"][:first]]
    rest = {why: rows[first:] if why == "top" else rows for why, rows in chosen.items()}
    places = [
        ((i + 0.5) / len(rows), order, Suggestion(row, why))
        for order, (why, rows) in enumerate(rest.items())
        for i, row in enumerate(rows)
    ]
    others = [suggestion for _, _, suggestion in sorted(places, key=lambda place: place[:2])]
    turns = [one for pair in zip(top, others, strict=False) for one in pair]
    pairs = min(len(top), len(others))
    return (*turns, *top[pairs:], *others[pairs:])
