"""Who did what, and when: rows that are only ever added."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.access.person import Person, acting
from core.access.policy import Permission, require
from core.database import AuditRecord, now
from core.workspace import Workspace

# characters kept of a subject: names of files may be as long as they like
LONGEST = 300
_ROW = 'INSERT INTO audit (at, actor, role, action, subject, details, "where") VALUES (?, ?, ?, ?, ?, ?, ?)'


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
    if isinstance(place, Workspace):
        with place.writing() as session:
            _add(session, who, action, subject, details)
    else:
        _add(place, who, action, subject, details)


def add_row(connection: sqlite3.Connection, who: Person, action: str, subject: str) -> None:
    """The same in a database that is no workspace's yet."""
    connection.execute(_ROW, _row(who, action, subject, None))


def _add(session: Session, who: Person, action: str, subject: str, details: dict[str, Any] | None) -> None:
    # as a plain row: every tag has one
    session.connection().exec_driver_sql(_ROW, _row(who, action, subject, details))


def _row(who: Person, action: str, subject: str, details: dict[str, Any] | None) -> tuple[str, ...]:
    return str(now()), who.name, who.role, action, subject[:LONGEST], json.dumps(details or {}), who.where


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
