"""Who did what, and when: rows that are only ever added."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.access.person import Person, acting
from core.access.policy import Permission, require
from core.database import AuditRecord
from core.workspace import Workspace

# characters kept of a subject: names of files may be as long as they like
LONGEST = 300


@dataclass(frozen=True)
class Entry:
    """at: UTC. actor: a name. role: at that time. action: a word or two. subject: what it was about. where: an
    address, "" at this machine."""

    id: int
    at: datetime
    actor: str
    role: str
    action: str
    subject: str
    details: dict[str, Any]
    where: str

    def to_dict(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "at": f"{self.at.isoformat(timespec='seconds')}Z",
            "actor": self.actor,
            "role": self.role,
            "action": self.action,
            "subject": self.subject,
            "details": self.details,
            "where": self.where,
        }


def record(
    place: Workspace | Session,
    action: str,
    subject: str,
    details: dict[str, Any] | None = None,
    *,
    person: Person | None = None,
) -> None:
    """Add a row about what a person (else the acting one) did.

    place: a workspace, or a session that writes: then the row stands or falls with what it tells of. details: plain
    JSON, never a secret.
    """
    who = person or acting()
    row = AuditRecord(
        actor=who.name,
        role=who.role,
        action=action,
        subject=subject[:LONGEST],
        details=details or {},
        where=who.where,
    )
    if isinstance(place, Workspace):
        with place.writing() as session:
            session.add(row)
    else:
        place.add(row)


def entries(
    workspace: Workspace,
    *,
    actor: str | None = None,
    actions: Sequence[str] = (),
    before: int | None = None,
    limit: int = 100,
) -> list[Entry]:
    """The newest first. actor: of one name only. actions: of these only. before: an id, for the next page.

    Raises `NotAllowed` for who does not manage the workspace.
    """
    require(Permission.MANAGE, "the audit log")
    query = select(AuditRecord).order_by(AuditRecord.id.desc()).limit(limit)
    if actor is not None:
        query = query.where(AuditRecord.actor == actor)
    if actions:
        query = query.where(AuditRecord.action.in_(actions))
    if before is not None:
        query = query.where(AuditRecord.id < before)
    with workspace.reading() as session:
        return [
            Entry(each.id, each.at, each.actor, each.role, each.action, each.subject, each.details, each.where)
            for each in session.scalars(query)
        ]
