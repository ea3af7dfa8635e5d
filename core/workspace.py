"""A folder that holds everything of one investigation.

<root>/midband.db             the tables of core/database.py (SQLite, WAL)
<root>/datasets/<name>/       datasets made here (the demo)
<root>/models/                classifiers trained or copied here
<root>/analyses/<id>/         features, logits, thumbnails: see core/activations/store/
<root>/runs/<id>/             head.safetensors, result.json: see core/retraining
<root>/jobs/<id>/log.txt      what a job printed
<root>/backups/               copies of the database, made before its tables changed, or by `backup`
<root>/logs/                  what happened: see core/logs.py
<root>/exports/               where exports go unless told otherwise
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlalchemy.orm import Session

from core.database import SCHEMA_VERSION
from core.errors import NotFound, StorageProblem
from core.files import resolved, storage_problems
from core.logs import get_logger
from core.migration import migrate, schema_version, write_facts
from core.migrations import HEAD, revision_of

DATABASE = "midband.db"
BACKUPS = "backups"
_log = get_logger("workspace")
_opened: dict[Path, None] = {}


@dataclass(frozen=True)
class Workspace:
    """An open workspace. Cheap to make and to pass on; equal when the folder is."""

    root: Path

    @property
    def datasets(self) -> Path:
        return self.root / "datasets"

    @property
    def models(self) -> Path:
        return self.root / "models"

    @property
    def analyses(self) -> Path:
        return self.root / "analyses"

    @property
    def runs(self) -> Path:
        return self.root / "runs"

    @property
    def jobs(self) -> Path:
        return self.root / "jobs"

    @property
    def exports(self) -> Path:
        return self.root / "exports"

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A session for queries; nothing is committed."""
        with Session(_engine(self.root), expire_on_commit=False) as session:
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """A session that commits at the end of the block, or rolls all of it back. Takes the write lock at once."""
        with Session(_engine(self.root), expire_on_commit=False) as session:
            try:
                session.connection(execution_options={"midband_write": True})
                yield session
                session.commit()
            except OperationalError as error:
                session.rollback()
                raise _as_problem(self.root, error) from error


def open_workspace(root: Path | str, *, create: bool = True) -> Workspace:
    """Open a workspace, making the folder and its database where they are missing.

    Raises `PathNotFound` for what is no path, `NotFound` when it is missing and `create` is False, `StorageProblem`
    when the folder cannot be written or its database is not one of ours or newer than this program. A database of an
    older version is brought up to date in place, all of it or nothing.
    """
    folder = resolved(root, advice="Name a folder for the workspace.")
    if not create and not (folder / DATABASE).is_file():
        raise NotFound(
            f"There is no workspace at {folder}.",
            next_step="Make one with `python -m core demo --workspace DIR`, or analyse a dataset into it.",
        )
    if folder.exists() and not folder.is_dir():
        raise StorageProblem(f"{folder} is a file, not a folder.", next_step="Name a folder for the workspace.")
    with storage_problems(folder / DATABASE):
        folder.mkdir(parents=True, exist_ok=True)
    _engine(folder)
    _opened[folder] = None
    return Workspace(folder)


def opened() -> tuple[Path, ...]:
    """The folders of the workspaces that this process has opened."""
    return tuple(_opened)


@lru_cache(maxsize=16)
def _engine(root: Path) -> Engine:
    # A connection waits up to 30 s for another writer: two browser tabs tagging at once must never lose a tag. What was
    # written (names that people typed, hashes of passwords) is no part of an error, which may end up in a log.
    engine = create_engine(f"sqlite:///{root / DATABASE}", connect_args={"timeout": 30}, hide_parameters=True)
    event.listen(engine, "connect", _configure)
    event.listen(engine, "begin", _begin)
    try:
        with engine.connect() as connection:
            current = _is_current(connection)
        if not current:
            # whoever opens it at the same time waits for the lock, then finds nothing left to do
            with engine.connect().execution_options(midband_write=True) as connection, connection.begin():
                if not _is_current(connection):
                    _bring_up(root, connection)
    except DatabaseError as error:
        engine.dispose()
        raise _as_problem(root, error) from error
    except BaseException:
        engine.dispose()
        raise
    return engine


def _is_current(connection: Connection) -> bool:
    """Raises `StorageProblem` for a database of a newer version."""
    if (version := schema_version(connection)) > SCHEMA_VERSION:
        raise _newer(f"schema {version}; this one knows {SCHEMA_VERSION}")
    return version == SCHEMA_VERSION and revision_of(connection) == HEAD


def _bring_up(root: Path, connection: Connection) -> None:
    """Make the tables what they have to be, after a copy of what was there, within the caller's transaction."""
    # these take a while to import, and are needed once in the life of a workspace
    from core.migrations.backup import back_up
    from core.migrations.baseline import BASELINE
    from core.migrations.upgrading import knows, upgrade

    revision, version = revision_of(connection), schema_version(connection)
    if revision is not None and not knows(revision):
        raise _newer(f"revision {revision}; this one knows {HEAD}")
    if version:
        # the lock is held: what is copied is what is changed
        back_up(root / DATABASE, root / BACKUPS, before=revision or f"schema-{version}")
    if version and revision is None:
        migrate(connection, version)
        upgrade(connection, stamp=BASELINE)
    else:
        upgrade(connection)
    write_facts(connection)
    _log.info("the tables were brought up to date", workspace=root, before=revision or version, now=HEAD)


def _newer(how: str) -> StorageProblem:
    return StorageProblem(
        f"This workspace was written by a newer Midband ({how}).",
        next_step="Update Midband, or open another workspace.",
    )


def _configure(connection: sqlite3.Connection, _record: Any) -> None:
    # SQLAlchemy emits BEGIN itself (see _begin); the driver's own implicit one would come too late to take the lock
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=30000"):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Any) -> None:
    write = connection.get_execution_options().get("midband_write")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def _as_problem(root: Path, error: DatabaseError) -> StorageProblem:
    reason = str(error.orig) if error.orig else str(error)
    if "locked" in reason:
        step = "Another program is holding it; close that one, or try again in a moment."
    elif "full" in reason:
        step = "Free some disk space, then try again."
    elif "readonly" in reason or "unable to open" in reason:
        step = "Choose a workspace folder that you may write to."
    else:
        step = f"Move {DATABASE} away and open the workspace again, or choose another folder."
    return StorageProblem(f"The database of {root} answered: {reason}.", next_step=step)
