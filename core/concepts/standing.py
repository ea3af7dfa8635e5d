"""Whose statement holds of an image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sqlalchemy import select

from core.concepts.concept import Concept
from core.database import StandingTag, TagAction, TagRecord
from core.workspace import Workspace

if TYPE_CHECKING:
    from core.activations.store import Analysis


def standing_by(
    workspace: Workspace, analysis: Analysis, concept: Concept, row: int, authors: Sequence[str]
) -> int | None:
    """The action whose statement about an image and a concept holds, where one of these authors made it; else None."""
    [image] = analysis.image_names([row])
    made = (
        select(TagAction.id)
        .join(TagRecord, TagRecord.action_id == TagAction.id)
        .join(StandingTag, StandingTag.tag_id == TagRecord.id)
        .where(StandingTag.concept_id == concept.id, StandingTag.image == image, TagAction.author.in_(authors))
    )
    with workspace.reading() as session:
        return session.scalar(made)
