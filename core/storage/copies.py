"""A backup when asked for, and putting one back."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from core.access import audit
from core.access.person import acting
from core.access.policy import Permission, require
from core.errors import PathNotFound, StorageProblem
from core.files import storage_problems, sync_folder
from core.migrations.backup import copy_database
from core.storage.integrity import open_readonly
from core.workspace import BACKUPS, DATABASE

# what SQLite keeps beside a database in use
BESIDE = ("-wal", "-shm")


def back_up_now(root: Path, out: Path | None = None) -> Path:
    """Copy the database, while it is in use, to `out` or into the workspace's `backups`.

    Raises `StorageProblem` where it is damaged, or `out` is there already; `DiskFull`.
    """
    require(Permission.MANAGE, "a backup")
    target = out or root / BACKUPS / f"midband-{moment()}.db"
    if target.exists():
        raise StorageProblem(f"{target} is there already.", next_step="Name another file, or leave --out away.")
    try:
        copy_database(root / DATABASE, target)
        require_whole(target)
    except (sqlite3.DatabaseError, StorageProblem) as error:
        target.unlink(missing_ok=True)
        raise StorageProblem(
            f"The database cannot be copied ({error}).", next_step="See what `python -m core verify` says."
        ) from error
    return target


def restore(root: Path, backup: Path) -> Path:
    """Put a backup in the place of the database. What was there is kept in `backups`; returns where.

    Raises `PathNotFound`, `StorageProblem` where the backup is damaged or the database is in use.
    """
    require(Permission.MANAGE, "a backup")
    if not backup.is_file():
        raise PathNotFound(f"There is no file {backup}.", next_step=f"Backups lie in {root / BACKUPS}.")
    require_whole(backup)
    fresh = root / f".{DATABASE}.restored"
    with storage_problems(fresh):
        copy_database(backup, fresh)
        _sign_everybody_out(fresh, backup.name)
        return replace_database(root, fresh)


def replace_database(root: Path, fresh: Path) -> Path:
    """Move the database aside, whole or damaged, and another one in its place. Raises `StorageProblem` while any other
    process has it open."""
    database = root / DATABASE
    aside = root / BACKUPS / f"replaced-{moment()}"
    aside.mkdir(parents=True)
    if database.is_file():
        _require_alone(database)
        # a copy, not a move: a process killed here leaves the old one in its place
        for name in (DATABASE, *(DATABASE + end for end in BESIDE)):
            if (root / name).is_file():
                shutil.copy2(root / name, aside / name)
        sync_folder(aside)
        for end in BESIDE:
            # of a damaged one: its log would be played into the new one
            (root / (DATABASE + end)).unlink(missing_ok=True)
    os.replace(fresh, database)
    sync_folder(root)
    return aside


def _sign_everybody_out(file: Path, name: str) -> None:
    """A sign-in of then would open the workspace to who signed out, was removed or got another password since. That it
    was restored stands in the audit log; what was written there since the backup lies aside."""
    person = acting()
    with closing(sqlite3.connect(file)) as connection, connection:
        tables = {table for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if "sign_ins" in tables:
            connection.execute("DELETE FROM sign_ins")
        if "audit" in tables:
            audit.add_row(connection, person, "restored", name)


def require_whole(file: Path) -> None:
    """Raises `StorageProblem` where a file is no whole database of a workspace."""
    try:
        with closing(open_readonly(file)) as connection:
            answer = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
            connection.execute("SELECT id FROM tag_actions LIMIT 1")
    except sqlite3.DatabaseError as error:
        answer = str(error)
    if answer != "ok":
        raise StorageProblem(
            f"{file} is no whole database of a workspace ({answer}).", next_step="Choose another backup."
        )


def moment() -> str:
    return datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")


def _require_alone(database: Path) -> None:
    try:
        with closing(sqlite3.connect(database, timeout=1, isolation_level=None)) as connection:
            # only whoever is alone may end the log of writes; it is merged into the file by this
            connection.execute("PRAGMA journal_mode=DELETE").fetchone()
    except sqlite3.DatabaseError as error:
        if "locked" in str(error):
            raise StorageProblem(
                "The database is in use.", next_step="Stop the server and running jobs first, then try again."
            ) from error
        # damaged: it is about to be replaced
