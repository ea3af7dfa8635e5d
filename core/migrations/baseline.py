"""The schema that revisions begin with."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from sqlalchemy import Connection

BASELINE = "0001_baseline"


def create_baseline(connection: Connection) -> None:
    """Make every table, index and trigger of the baseline that is missing; part of the caller's transaction."""
    for statement in _statements(Path(__file__).with_name("baseline.sql").read_text(encoding="utf-8")):
        connection.exec_driver_sql(statement)


def _statements(script: str) -> list[str]:
    # sqlite3's own executescript would commit; a trigger's body holds semicolons of its own
    found, pending = [], ""
    for line in script.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            found.append(pending)
            pending = ""
    return found
