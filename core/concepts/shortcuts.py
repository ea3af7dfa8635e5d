"""Number keys of concepts: each living one of a dataset has one of its own, as long as there are any."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.concepts.log import state_facts
from core.database import ConceptRecord, TagAction
from core.errors import BadRequest
from core.migration import SHORTCUTS


def lowest_free(taken: set[int]) -> int | None:
    return next((key for key in range(1, SHORTCUTS + 1) if key not in taken), None)


def free_shortcut(session: Session, dataset_id: str, wanted: int | None = None) -> int | None:
    """The key wanted where it is free, else the lowest that is; None when all nine are taken."""
    taken = set(
        session.scalars(
            select(ConceptRecord.shortcut).where(
                ConceptRecord.dataset_id == dataset_id,
                ConceptRecord.deleted.is_(None),
                ConceptRecord.shortcut.is_not(None),
            )
        )
    )
    if wanted is not None and wanted not in taken:
        return wanted
    return lowest_free({key for key in taken if key is not None})


def state_shortcuts(session: Session, action: TagAction, wanted: dict[int, int | None]) -> None:
    """Give concepts of a dataset number keys, in an action; a key that is taken by then goes to none of them, and the
    lowest free one instead."""
    taken = set(
        session.scalars(
            select(ConceptRecord.shortcut).where(
                ConceptRecord.dataset_id == action.dataset_id,
                ConceptRecord.deleted.is_(None),
                ConceptRecord.shortcut.is_not(None),
                ConceptRecord.id.not_in(list(wanted)),
            )
        )
    )
    given: dict[int, int | None] = {}
    for number, key in wanted.items():
        if key is None or key not in taken:
            given[number] = key
            taken |= {key} - {None}
    for number in wanted:
        if number not in given:
            given[number] = lowest_free({key for key in taken if key is not None})
            taken |= {given[number]} - {None}
    for number, key in given.items():
        state_facts(session, action, session.get_one(ConceptRecord, number), shortcut=key)


def holder_of(session: Session, dataset_id: str, shortcut: int) -> ConceptRecord | None:
    """The living concept that has this key."""
    return session.scalars(
        select(ConceptRecord).where(
            ConceptRecord.dataset_id == dataset_id,
            ConceptRecord.deleted.is_(None),
            ConceptRecord.shortcut == shortcut,
        )
    ).first()


def check_shortcut(shortcut: int) -> int:
    if isinstance(shortcut, bool) or not 0 <= shortcut <= SHORTCUTS:
        raise BadRequest(f"{shortcut} is not a number key.", next_step=f"Use 1 to {SHORTCUTS}, or 0 for none.")
    return shortcut
