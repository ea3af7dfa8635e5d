"""Directions that tell the same, folded into one: a network's neurons mostly repeat what its class logits show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from core.activations.scoreboard import Suspicion

# the easier a kind is to grasp, the sooner it speaks for the others
KINDS = ("logit", "difference", "concept", "vector", "pc", "neuron")
# scores that differ by less are called equal: another sample would swap them
HAIR = 0.05


@dataclass(frozen=True)
class Alike:
    """Directions that tell the same of the same class. first: the one that is easiest to grasp, and of those
    the most suspicious. rest: the others, the most suspicious first."""

    first: Suspicion
    rest: tuple[Suspicion, ...]

    @property
    def score(self) -> float:
        """Of the most suspicious one: 0..1."""
        return max(one.score for one in (self.first, *self.rest))


def fold(judged: Sequence[Suspicion]) -> tuple[Alike, ...]:
    """One for each thing told, the most suspicious first; of two that are a hair apart, the easier to grasp."""
    told: dict[tuple[str, str, bool], list[Suspicion]] = {}
    for one in judged:
        told.setdefault((one.class_name, one.tells, one.suspicious), []).append(one)
    found = []
    for same in told.values():
        first = min(same, key=lambda one: (_kind(one), -one.score))
        rest = sorted((one for one in same if one is not first), key=lambda one: -one.score)
        found.append(Alike(first, tuple(rest)))
    return tuple(sorted(found, key=lambda one: (-round(one.score / HAIR), _kind(one.first), -one.score)))


def _kind(one: Suspicion) -> int:
    return KINDS.index(one.kind) if one.kind in KINDS else len(KINDS)
