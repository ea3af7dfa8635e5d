"""Where imported statements came from: who said them, when and how, before the file was written.

An import is one action of the person who imports; what the file says of its statements is kept beside them, so that the
next export says it again.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import DateTime, select
from sqlalchemy.orm import Session

from core.concepts.exchange.contents import ORIGIN, Origin
from core.database import StatementOrigin


def keep_origins(session: Session, kind: str, origins: Iterable[tuple[int, Origin]]) -> None:
    """Add (statement id, origin) pairs to an open transaction; those that say nothing are not kept."""
    connection = session.connection()
    stored = DateTime().dialect_impl(connection.dialect).bind_processor(connection.dialect)
    # many statements have one origin
    cells: dict[Origin, tuple[Any, ...]] = {Origin(): ()}
    rows = []
    for statement, origin in origins:
        if origin not in cells:
            facts = {**vars(origin), "time": stored(origin.time) if stored else origin.time}
            cells[origin] = tuple(facts[name] for name in ORIGIN)
        if cells[origin]:
            rows.append((kind, statement, *cells[origin]))
    if rows:
        # as plain rows: an import may be a million of them
        connection.exec_driver_sql(
            "INSERT INTO statement_origins "
            "(kind, statement_id, author, source, how, time, direction, low, high) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            rows,
        )


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
