"""Suspected wrong labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from core.activations.store import Analysis
    from core.workspace import Workspace


@dataclass(frozen=True)
class Suspect:
    """An image whose label may be wrong. given, likely: class indices. score: 0..1, larger is more suspicious.
    why: a sentence."""

    row: int
    given: int
    likely: int
    score: float
    why: str

    def to_dict(self) -> dict[str, Any]:
        return {"row": self.row, "given": self.given, "likely": self.likely, "score": self.score, "why": self.why}


def suspects(workspace: Workspace, analysis: Analysis, *, limit: int = 200) -> tuple[Suspect, ...]:
    """The most suspicious images first, at most `limit`."""
    raise NotImplementedError
