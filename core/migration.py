"""Bringing the database of a workspace from before revisions were kept to the first of them, in one transaction.

Schema 1 knew tags only: concepts were changed without a trace, and undo went by the clock. Schema 2 was of no release.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from datetime import datetime

from sqlalchemy import Connection, bindparam, func, insert, inspect, select, text, update

from core.database import (
    SCHEMA_VERSION,
    ConceptChange,
    ConceptRecord,
    LogVersion,
    Meta,
    TagAction,
    TagRecord,
    now,
)
from core.errors import StorageProblem
from core.migrations.baseline import create_baseline

# keys of the number row
SHORTCUTS = 9
_NEW_COLUMNS = {
    "concepts": ("shortcut INTEGER", "attribute VARCHAR", "attribute_value VARCHAR"),
    "tag_actions": (
        "kind VARCHAR NOT NULL DEFAULT 'tag'",
        "how VARCHAR NOT NULL DEFAULT ''",
        "subject VARCHAR NOT NULL DEFAULT ''",
        "state VARCHAR",
        "images INTEGER NOT NULL DEFAULT 0",
        "sentence VARCHAR NOT NULL DEFAULT ''",
        "undone_after INTEGER",
        "settled BOOLEAN NOT NULL DEFAULT 0",
        "stamp BIGINT NOT NULL DEFAULT 0",
    ),
}


def schema_version(connection: Connection) -> int:
    """The version of the tables in a database, 0 where there are none."""
    tables = inspect(connection)
    if tables.has_table(Meta.__tablename__):
        stored = connection.scalar(select(Meta.value).where(Meta.key == "schema"))
        if stored is not None:
            return int(stored)
    # one that was being made when the process ended: the first version wrote its number last
    return 1 if tables.has_table(TagAction.__tablename__) else 0


def migrate(connection: Connection, version: int) -> None:
    """Bring the tables of schema 1 or 3 to those of the first revision, within the caller's transaction.

    Raises `StorageProblem` for a version that no release had.
    """
    if version not in (1, 3):
        raise StorageProblem(
            f"This workspace was written between two releases of Midband (schema {version}), so it cannot be read.",
            next_step="Export its tags with the Midband that wrote it, then import them into a new workspace.",
        )
    if version == 1:
        _widen(connection)
    create_baseline(connection)
    if version == 1:
        _describe_actions(connection)
        _order_undone(connection)
        _stamp_actions(connection)
        _keep_standing_tags(connection)
        _keep_concepts(connection)


def write_facts(connection: Connection) -> None:
    """Note the version of the tables, and when the workspace was made. Programs from before revisions read the first,
    and refuse by it."""
    facts = {row.key: row.value for row in connection.execute(select(Meta.key, Meta.value))}
    wanted = {"created": facts.get("created", now().isoformat()), "schema": str(SCHEMA_VERSION)}
    for key, value in wanted.items():
        if key in facts:
            connection.execute(update(Meta).where(Meta.key == key).values(value=value))
        else:
            connection.execute(insert(Meta).values(key=key, value=value))


def _widen(connection: Connection) -> None:
    tables = inspect(connection)
    for table, columns in _NEW_COLUMNS.items():
        if not tables.has_table(table):
            continue
        known = {column["name"] for column in tables.get_columns(table)}
        for column in columns:
            if column.split()[0] not in known:
                connection.execute(text(f"ALTER TABLE {table} ADD COLUMN {column}"))


def _describe_actions(connection: Connection) -> None:
    """What an action was about, as newer ones keep it from the start."""
    query = (
        select(TagRecord.action_id, ConceptRecord.name, TagRecord.state, func.count())
        .join(ConceptRecord, ConceptRecord.id == TagRecord.concept_id)
        .group_by(TagRecord.action_id, TagRecord.concept_id, TagRecord.state)
        .order_by(TagRecord.action_id, TagRecord.concept_id)
    )
    names: dict[int, dict[str, None]] = defaultdict(dict)
    states: dict[int, set[str]] = defaultdict(set)
    images: dict[int, int] = {}
    for action, name, state, count in connection.execute(query):
        names[action][name] = None
        states[action].add(state)
        images[action] = images.get(action, 0) + count
    several = [action for action in names if len(names[action]) > 1]
    for action in several:
        images[action] = (
            connection.scalar(select(func.count(TagRecord.image.distinct())).where(TagRecord.action_id == action)) or 0
        )
    described = [
        {
            "action": action,
            "subject": ", ".join(names[action]),
            "state": next(iter(states[action])) if len(states[action]) == 1 else None,
            "images": images[action],
        }
        for action in names
    ]
    if described:
        connection.execute(
            update(TagAction)
            .where(TagAction.id == bindparam("action"))
            .values(subject=bindparam("subject"), state=bindparam("state"), images=bindparam("images")),
            described,
        )


def _order_undone(connection: Connection) -> None:
    """Which actions can be redone: those after whose undo their author did nothing. The clock was all there was."""
    made: dict[tuple[str, str], tuple[list[datetime], list[int]]] = defaultdict(lambda: ([], []))
    undone = []
    query = select(TagAction.id, TagAction.dataset_id, TagAction.author, TagAction.created, TagAction.undone)
    for action, dataset, author, created, taken_back in connection.execute(query.order_by(TagAction.id)):
        times, ids = made[dataset, author]
        # a clock that stepped back must not bring actions out of their order
        times.append(max(created, times[-1]) if times else created)
        ids.append(action)
        if taken_back is not None:
            undone.append((action, dataset, author, taken_back))
    found = []
    for action, dataset, author, taken_back in undone:
        times, ids = made[dataset, author]
        place = bisect_right(times, taken_back)
        found.append({"action": action, "newest": max(action, ids[place - 1]) if place else action})
    if found:
        connection.execute(
            update(TagAction).where(TagAction.id == bindparam("action")).values(undone_after=bindparam("newest")), found
        )


def _stamp_actions(connection: Connection) -> None:
    connection.execute(text("UPDATE tag_actions SET stamp = random() & 2305843009213693951"))
    versions: dict[str, int] = defaultdict(int)
    for dataset, stamp in connection.execute(
        select(TagAction.dataset_id, TagAction.stamp).where(TagAction.undone.is_(None))
    ):
        versions[dataset] = (versions[dataset] + stamp) & 2305843009213693951
    for dataset, version in versions.items():
        connection.execute(insert(LogVersion).values(dataset_id=dataset, version=version))


def _keep_standing_tags(connection: Connection) -> None:
    # of the columns beside max(), SQLite gives those of the row that holds the largest
    connection.execute(
        text(
            "INSERT INTO standing_tags (concept_id, image, tag_id, state) "
            "SELECT tags.concept_id, tags.image, max(tags.id), tags.state FROM tags "
            "JOIN tag_actions ON tag_actions.id = tags.action_id WHERE tag_actions.undone IS NULL "
            "GROUP BY tags.concept_id, tags.image"
        )
    )
    connection.execute(update(TagAction).values(settled=True))


def _keep_concepts(connection: Connection) -> None:
    """Concepts as they are become the ground that later changes are undone to; the first nine living ones get keys."""
    keys: dict[str, int] = defaultdict(int)
    for row in connection.execute(
        select(
            ConceptRecord.id,
            ConceptRecord.dataset_id,
            ConceptRecord.name,
            ConceptRecord.color,
            ConceptRecord.role,
            ConceptRecord.note,
            ConceptRecord.deleted,
        ).order_by(ConceptRecord.id)
    ).all():
        shortcut = None
        if row.deleted is None and keys[row.dataset_id] < SHORTCUTS:
            keys[row.dataset_id] += 1
            shortcut = keys[row.dataset_id]
            connection.execute(update(ConceptRecord).where(ConceptRecord.id == row.id).values(shortcut=shortcut))
        facts = {
            "exists": row.deleted is None,
            "name": row.name,
            "color": row.color,
            "role": row.role,
            "note": row.note,
            "shortcut": shortcut,
            "attribute": None,
        }
        connection.execute(
            insert(ConceptChange),
            [
                {"action_id": None, "concept_id": row.id, "field": field, "value": value}
                for field, value in facts.items()
            ],
        )
