"""The revisions of a workspace's database, in their order.

`HEAD` is the newest one. It stands here in so many words, so that opening a workspace that is up to date reads one row
and imports nothing; a test compares it with the scripts in `versions/`.
"""

from __future__ import annotations

from sqlalchemy import Connection, inspect, text

HEAD = "0003_access"
TABLE = "alembic_version"


def revision_of(connection: Connection) -> str | None:
    """The revision that a database says it has; None for one from before revisions were kept, or an empty one."""
    if not inspect(connection).has_table(TABLE):
        return None
    return connection.scalar(text("SELECT version_num FROM alembic_version"))
