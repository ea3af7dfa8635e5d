"""What people said of single images, and whose statement it is that holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from sqlalchemy import select

from core.concepts.concept import Concept
from core.database import ConceptRecord, StandingTag, TagAction, TagRecord
from core.workspace import Workspace

if TYPE_CHECKING:
    from core.activations.store import Analysis

# names per query: SQLite takes a bounded number of variables
_CHUNK = 500
_SAID: dict[str, bool | Literal["unsure"]] = {"present": True, "absent": False, "unsure": "unsure"}


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


def said_of(
    workspace: Workspace, analysis: Analysis, rows: Sequence[int] | np.ndarray
) -> dict[int, list[tuple[str, bool | Literal["unsure"]]]]:
    """Like `tags_of`, of what people said only: nothing that a column of the dataset gives away."""
    wanted = np.asarray(rows, dtype=np.int64).reshape(-1)
    names = dict(zip(analysis.image_names(wanted), wanted.tolist(), strict=True))
    asked = list(names)
    found: dict[int, list[tuple[str, bool | Literal["unsure"]]]] = {}
    with workspace.reading() as session:
        for start in range(0, len(asked), _CHUNK):
            query = (
                select(ConceptRecord.name, StandingTag.image, StandingTag.state)
                .join(ConceptRecord, ConceptRecord.id == StandingTag.concept_id)
                .where(
                    ConceptRecord.dataset_id == analysis.dataset_id,
                    ConceptRecord.deleted.is_(None),
                    StandingTag.image.in_(asked[start : start + _CHUNK]),
                    StandingTag.state != "cleared",
                )
                .order_by(ConceptRecord.id)
            )
            for concept, image, state in session.execute(query):
                found.setdefault(names[image], []).append((concept, _SAID[state]))
    return found
