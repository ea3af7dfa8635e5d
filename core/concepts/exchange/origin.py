"""Where imported statements came from: who said them, when and how, before the file was written.

An import is one action of the person who imports; what the file says of its statements is kept beside them, so that the
next export says it again.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from core.concepts.exchange.contents import ORIGIN, Origin
from core.database import StatementOrigin


def keep_origins(session: Session, kind: str, origins: Iterable[tuple[int, Origin]]) -> None:
    """Add (statement id, origin) pairs to an open transaction; those that say nothing are not kept."""
    rows = [
        {"kind": kind, "statement_id": statement, **vars(origin)} for statement, origin in origins if origin != Origin()
    ]
    if not rows:
        return
    # by the connection: a session would make an object of each row
    session.connection().execute(insert(StatementOrigin), rows)


def origins(session: Session, kind: str) -> dict[int, Origin]:
    """Statement id -> origin, of every imported statement of a kind."""
    columns = (getattr(StatementOrigin, name) for name in ORIGIN)
    query = select(StatementOrigin.statement_id, *columns).where(StatementOrigin.kind == kind)
    known: dict[Any, Origin] = {}
    found = {}
    for statement, *cells in session.execute(query).all():
        key = tuple(cells)
        found[statement] = known.get(key) or known.setdefault(key, Origin(*key))
    return found
