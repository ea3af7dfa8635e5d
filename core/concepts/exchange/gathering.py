"""What a workspace knows of a dataset's images, as files carry it."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import select

from core.concepts.concept import list_concepts
from core.concepts.exchange.contents import Answer, Contents, LabelStatement, Origin, PaletteEntry, Statement
from core.concepts.exchange.origin import origins
from core.concepts.labels import standing_verdicts
from core.database import ConceptRecord, StandingTag, TagAction, TagRecord
from core.workspace import Workspace

if TYPE_CHECKING:
    from core.activations.store import Analysis

_SAID: dict[str, Answer] = {"present": True, "absent": False, "unsure": "unsure"}


def gather(workspace: Workspace, analysis: Analysis) -> Contents:
    """The statements that hold, by image, then concept; the living concepts in the order they were made; the verdicts.

    Tags of images that this analysis lacks are among them.
    """
    query = (
        select(
            TagRecord.id,
            TagRecord.image,
            TagRecord.state,
            ConceptRecord.name,
            TagAction.author,
            TagAction.source,
            TagAction.how,
            TagAction.created,
            TagAction.direction,
            TagAction.low,
            TagAction.high,
        )
        .join(StandingTag, StandingTag.tag_id == TagRecord.id)
        .join(ConceptRecord, ConceptRecord.id == TagRecord.concept_id)
        .join(TagAction, TagAction.id == TagRecord.action_id)
        .where(
            ConceptRecord.dataset_id == analysis.dataset_id,
            ConceptRecord.deleted.is_(None),
            TagRecord.state.in_(list(_SAID)),
        )
        .order_by(TagRecord.image, ConceptRecord.name)
    )
    with workspace.reading() as session:
        kept = origins(session, "tag")
        statements = tuple(
            Statement(number, image, concept, _SAID[state], _origin(kept.get(tag), *of_action))
            for number, (tag, image, state, concept, *of_action) in enumerate(session.execute(query), start=1)
        )
        judged = origins(session, "label")
        verdicts = tuple(
            LabelStatement(
                number,
                image,
                found.label,
                found.verdict,
                found.new_label,
                _origin(judged.get(found.id), found.author, found.source, found.how, found.when),
            )
            for number, (image, found) in enumerate(
                sorted(standing_verdicts(session, analysis.dataset_id).items()), start=1
            )
        )
    palette = tuple(
        PaletteEntry(one.name, one.color, one.role, one.note, one.shortcut, one.attribute)
        for one in list_concepts(workspace, analysis.dataset_id)
    )
    return Contents(statements, palette, verdicts)


def _origin(
    kept: Origin | None,
    author: str,
    source: str,
    how: str,
    time: datetime,
    direction: str | None = None,
    low: float | None = None,
    high: float | None = None,
) -> Origin:
    """What is exported: what a file said where the statement came from one, else what its action says."""
    if kept is None:
        return Origin(author, source, how or None, time, direction or None, low, high)
    return Origin(
        kept.author or author,
        kept.source or source,
        kept.how,
        kept.time or time,
        kept.direction,
        kept.low,
        kept.high,
    )
