"""Whether people said anything since a run that a new one would learn from."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from core.concepts.concept import get_concept
from core.concepts.tags import tag_version
from core.errors import NotFound
from core.retraining.material import tags_digest
from core.retraining.result import RunResult
from core.retraining.statements import read_statements
from core.workspace import Workspace

if TYPE_CHECKING:
    from core.activations.store import Analysis


def is_news_since(workspace: Workspace, analysis: Analysis, run: RunResult) -> bool:
    """Whether the answers about the run's concepts, and the verdicts on labels that it may use, are others now; so they
    are where one of its concepts is gone. What is said of other concepts is no news."""
    version = tag_version(workspace, analysis.dataset_id)
    return _digest_now(workspace, analysis, run.concepts, version) != run.tags


@lru_cache(maxsize=8)
def _digest_now(workspace: Workspace, analysis: Analysis, names: tuple[str, ...], version: int) -> str:
    """What a run with these concepts would note as its tags; "" where one of them is gone. version: of the log."""
    try:
        concepts = [get_concept(workspace, analysis.dataset_id, name) for name in names]
    except NotFound:
        return ""
    return tags_digest(analysis, read_statements(workspace, analysis, concepts))
