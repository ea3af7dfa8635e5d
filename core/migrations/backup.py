"""Copies of a workspace's database, taken while it is in use."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from core.files import replacing

# before changes of the tables; older ones are removed
KEPT = 5
_PREFIX = "before-"


def back_up(database: Path, folder: Path, *, before: str) -> Path:
    """Copy a database whole into `folder`, keeping the newest `KEPT` of such copies. before: what is about to change.

    Readers and writers may go on: SQLite copies one state of it. Raises `DiskFull`, `StorageProblem`.
    """
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    made = folder / f"{_PREFIX}{before}-{moment}.db"
    copy_database(database, made)
    copies = sorted(folder.glob(f"{_PREFIX}*.db"), key=lambda file: file.stat().st_mtime_ns)
    for old in copies[:-KEPT]:
        old.unlink(missing_ok=True)
    return made


def copy_database(source: Path, target: Path) -> None:
    """Copy one state of a database, what is still in its log of writes included, into a single file.

    Raises `DiskFull`, `StorageProblem`, `sqlite3.DatabaseError` for a damaged one.
    """
    with (
        replacing(target) as beside,
        closing(sqlite3.connect(f"{source.resolve().as_uri()}?mode=ro", uri=True)) as original,
        closing(sqlite3.connect(beside)) as copy,
    ):
        original.backup(copy)
        # a file of its own, without a log beside it
        copy.execute("PRAGMA journal_mode=DELETE")
