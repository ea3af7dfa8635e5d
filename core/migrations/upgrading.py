"""Bringing a database to the newest revision with Alembic, on a connection and in a transaction of the caller.

Imported only where there is something to do: a workspace that is up to date opens without Alembic.
"""

from __future__ import annotations

from pathlib import Path

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection


def scripts() -> ScriptDirectory:
    """The revisions in `versions/`."""
    return ScriptDirectory(str(Path(__file__).parent))


def knows(revision: str) -> bool:
    """Whether this program has that revision: one that it does not know was written by a newer program."""
    return any(script.revision == revision for script in scripts().walk_revisions())


def upgrade(connection: Connection, *, stamp: str | None = None) -> None:
    """Apply what is missing, within the caller's transaction: all of it or, if that is rolled back, nothing.

    stamp: the revision that the tables are at already, of a database that does not say so itself.
    """
    if stamp is not None:
        MigrationContext.configure(connection).stamp(scripts(), stamp)
    directory = scripts()
    with EnvironmentContext(
        Config(), directory, fn=lambda revision, _context: directory._upgrade_revs("head", revision)
    ) as environment:
        # batch mode: SQLite changes a column by copying its table
        environment.configure(connection=connection, render_as_batch=True)
        environment.run_migrations()
