"""Columns of the dataset as concepts: a rule, not a row per image.

An adopted concept says present where the column has its value, absent where it has another, and nothing where it is
not known. What a person says of an image wins over the column; taken back or undone, the column holds again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sqlalchemy import select

from core.concepts.concept import Concept, as_concept, bring_back, check_dataset, concept_in
from core.concepts.log import ANYBODY, begin
from core.concepts.names import free_name
from core.database import ConceptRecord
from core.errors import BadRequest
from core.workspace import Workspace

if TYPE_CHECKING:
    from core.activations.store import Analysis

# values that say no more than that the column's name is true
_YES = {"1", "1.0", "yes", "y", "true", "present"}


def adoptable(analysis: Analysis) -> tuple[tuple[str, str, int], ...]:
    """(column, value, images that have it) of every known attribute of the dataset, in their order."""
    return tuple(
        (column.name, value, int(count))
        for column in analysis.attributes
        for value, count in zip(
            column.values,
            np.bincount(column.codes[column.codes >= 0].astype(np.int64), minlength=len(column.values)),
            strict=True,
        )
    )


def adopt(workspace: Workspace, analysis: Analysis, attribute: str, value: str, *, author: str = ANYBODY) -> Concept:
    """Make a value of a column a concept, in one step; the one that follows it already is returned as it is.

    It is called after both ("place: water"), or after the column where the value is a mere yes. One that followed it
    before it was deleted comes back with its tags. A concept that a person made and that has this name stays what it
    is, deleted or not, and the new one is numbered. Raises `BadRequest` when the
    dataset has no such column or value.
    """
    columns = {column.name: column for column in analysis.attributes}
    if attribute not in columns or value not in columns[attribute].values:
        known = [f"{name}: {', '.join(column.values)}" for name, column in columns.items()]
        raise BadRequest(
            f"The dataset has no column “{attribute}” with the value “{value}”.",
            next_step=f"Choose one of its columns ({'; '.join(known)})." if known else "It has no columns to adopt.",
        )
    with workspace.writing() as session:
        check_dataset(session, analysis.dataset_id)
        records = session.scalars(
            select(ConceptRecord)
            .where(ConceptRecord.dataset_id == analysis.dataset_id)
            # the one that was made last, of several that followed it
            .order_by(ConceptRecord.deleted.is_not(None), ConceptRecord.id.desc())
        ).all()
        followed = [record for record in records if (record.attribute, record.attribute_value) == (attribute, value)]
        if followed and followed[0].deleted is None:
            return as_concept(followed[0])
        if followed:
            back = followed[0]
            others = {record.key for record in records if record is not back and record.deleted is None}
            name = free_name(back.name, others)
        else:
            back = None
            plain = attribute if value.strip().lower() in _YES else f"{attribute}: {value}"
            name = free_name(plain, {record.key for record in records})
        action = begin(
            session,
            analysis.dataset_id,
            kind="palette",
            author=author,
            source="metadata",
            subject=name,
            sentence=f"Adopted the column {attribute} = {value} as “{name}”",
        )
        if back is not None:
            return bring_back(session, back, action, name=name, attribute=[attribute, value])
        return concept_in(session, analysis.dataset_id, name, attribute=(attribute, value), action=action)
