"""What follows from the log of tags, and is kept so that reading it does not slow down: compared with it, made anew."""

from __future__ import annotations

import sqlite3

# as in the triggers of core/database.py
_BITS = 2305843009213693951
# of the columns beside max(), SQLite gives those of the row that holds the largest
_STANDING = """
    SELECT tags.concept_id, tags.image, max(tags.id), tags.state FROM tags
    JOIN tag_actions ON tag_actions.id = tags.action_id WHERE tag_actions.undone IS NULL
    GROUP BY tags.concept_id, tags.image
"""
_KEPT = "SELECT concept_id, image, tag_id, state FROM standing_tags"


def differences(connection: sqlite3.Connection) -> dict[str, int]:
    """Rows that are not what the log says, by table; only tables that have some."""
    stale = {
        "standing_tags": len(set(connection.execute(_STANDING).fetchall()) ^ set(connection.execute(_KEPT).fetchall())),
        "log_versions": len(_versions(connection).items() ^ _kept_versions(connection).items()),
    }
    return {table: count for table, count in stale.items() if count}


def rebuild(connection: sqlite3.Connection) -> None:
    """Make both anew from the log, within the caller's transaction."""
    connection.execute("DELETE FROM standing_tags")
    connection.execute("INSERT INTO standing_tags (concept_id, image, tag_id, state)" + _STANDING)
    connection.execute("UPDATE tag_actions SET settled = 1 WHERE settled = 0")
    connection.execute("DELETE FROM log_versions")
    connection.executemany(
        "INSERT INTO log_versions (dataset_id, version) VALUES (?, ?)", list(_versions(connection).items())
    )


def _versions(connection: sqlite3.Connection) -> dict[str, int]:
    # datasets whose every action is undone have 0
    versions: dict[str, int] = {}
    for dataset, stamp, undone in connection.execute("SELECT dataset_id, stamp, undone FROM tag_actions"):
        versions[dataset] = (versions.get(dataset, 0) + (stamp if undone is None else 0)) & _BITS
    return versions


def _kept_versions(connection: sqlite3.Connection) -> dict[str, int]:
    return dict(connection.execute("SELECT dataset_id, version FROM log_versions").fetchall())
