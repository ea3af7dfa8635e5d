"""Where imported statements came from: who said them, when and how, before the file was written.

An import is one action of the person who imports; what the file says of its statements is kept beside them, so that the
next export says it again.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import insert, inspect
from sqlalchemy.orm import Mapped, Session, mapped_column

from core.concepts.exchange.contents import Origin
from core.database import Base

_ROWS = 1000


class StatementOrigin(Base):
    """kind: "tag" or "label"; statement_id: of `TagRecord` or `LabelVerdict`. Null: the file did not say."""

    __tablename__ = "statement_origins"
    kind: Mapped[str] = mapped_column(primary_key=True)
    statement_id: Mapped[int] = mapped_column(primary_key=True)
    author: Mapped[str | None] = mapped_column(default=None)
    source: Mapped[str | None] = mapped_column(default=None)
    how: Mapped[str | None] = mapped_column(default=None)
    time: Mapped[datetime | None] = mapped_column(default=None)
    direction: Mapped[str | None] = mapped_column(default=None)
    low: Mapped[float | None] = mapped_column(default=None)
    high: Mapped[float | None] = mapped_column(default=None)


FIELDS = ("author", "source", "how", "time", "direction", "low", "high")


def keep_origins(session: Session, kind: str, origins: Iterable[tuple[int, Origin]]) -> None:
    """Add (statement id, origin) pairs to an open transaction; those that say nothing are not kept."""
    rows = [
        {"kind": kind, "statement_id": statement, **{name: getattr(origin, name) for name in FIELDS}}
        for statement, origin in origins
        if origin != Origin()
    ]
    if not rows:
        return
    _make_table(session)
    for start in range(0, len(rows), _ROWS):
        session.execute(insert(StatementOrigin), rows[start : start + _ROWS])


def origins(session: Session, kind: str) -> dict[int, Origin]:
    """Statement id -> origin, of every imported statement of a kind."""
    if not inspect(session.connection()).has_table(StatementOrigin.__tablename__):
        return {}
    table = StatementOrigin.__table__
    query = table.select().where(table.c.kind == kind)
    return {row.statement_id: Origin(*(getattr(row, name) for name in FIELDS)) for row in session.execute(query)}


def _make_table(session: Session) -> None:
    # workspaces made before there was an import with origins lack it
    Base.metadata.create_all(session.connection(), tables=[Base.metadata.tables[StatementOrigin.__tablename__]])
