"""Concepts that are gone: who put them away, for those who were still at work on them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from core.concepts.concept import as_concept
from core.database import ConceptChange, ConceptRecord, TagAction
from core.workspace import Workspace


@dataclass(frozen=True)
class Departure:
    """name: of the concept, as it was. author, when (UTC, naive): of the action that put it away; None where its making
    was undone instead. into: the concept it was merged into, if it was."""

    name: str
    author: str | None = None
    when: datetime | None = None
    into: str | None = None


def departure(workspace: Workspace, dataset_id: str, concept_id: int) -> Departure | None:
    """Why a concept of this dataset is not there (any more); None when it is, or never was."""
    with workspace.reading() as session:
        record = session.get(ConceptRecord, concept_id)
        if record is None or record.deleted is None or record.dataset_id != dataset_id:
            return None
        stands = (
            select(TagAction, ConceptChange.value)
            .join(ConceptChange, ConceptChange.action_id == TagAction.id)
            .where(
                ConceptChange.concept_id == concept_id,
                ConceptChange.field == "exists",
                TagAction.undone.is_(None),
            )
            .order_by(ConceptChange.id.desc())
            .limit(1)
        )
        found = session.execute(stands).first()
        name = as_concept(record).name
        if found is None or found[1]:
            return Departure(name)
        action: TagAction = found[0]
        return Departure(name, action.author, action.created, action.subject if action.kind == "merge" else None)
