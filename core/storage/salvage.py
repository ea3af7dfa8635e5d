"""Whatever can be read of a damaged database, in a new one."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from core.errors import StorageProblem
from core.storage.derived import rebuild

# made anew from the log
_DERIVED = ("standing_tags", "log_versions")
# rows that are looked for one by one between two that can be read
_SEARCHED = 100_000


@dataclass(frozen=True)
class Salvaged:
    """rows: copied, by table. lost: by table, how many row numbers could not be read or were never used."""

    rows: dict[str, int]
    lost: dict[str, int]


def salvage(damaged: Path, fresh: Path) -> Salvaged:
    """Copy what can be read into a new file. Raises `StorageProblem` where not even the list of tables can be."""
    fresh.unlink(missing_ok=True)
    rows: dict[str, int] = {}
    lost: dict[str, int] = {}
    with closing(sqlite3.connect(damaged)) as source, closing(sqlite3.connect(fresh)) as target:
        try:
            parts = source.execute("SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
        except sqlite3.DatabaseError as error:
            raise StorageProblem(
                f"Nothing can be read of the database ({error}).",
                next_step="Put a backup in its place: `python -m core restore --file FILE`.",
            ) from error
        tables = {name: sql for kind, name, sql in parts if kind == "table" and not name.startswith("sqlite_")}
        for name, sql in tables.items():
            target.execute(sql)
            if name not in _DERIVED:
                rows[name], missing = _copy(source, target, name)
                if missing:
                    lost[name] = missing
        if set(_DERIVED) <= set(tables):
            rebuild(target)
        # triggers last: they would count again what is copied
        for wanted in ("index", "trigger"):
            for kind, _, sql in parts:
                if kind == wanted:
                    target.execute(sql)
        target.commit()
    return Salvaged(rows, lost)


def _copy(source: sqlite3.Connection, target: sqlite3.Connection, table: str) -> tuple[int, int]:
    """Rows that were copied, and row numbers that could not be read."""
    columns = [row[1] for row in target.execute(f'PRAGMA table_info("{table}")')]
    names, marks = ", ".join(f'"{name}"' for name in columns), ", ".join("?" * (len(columns) + 1))
    query = f'SELECT rowid, {names} FROM "{table}" NOT INDEXED'  # noqa: S608  # names of our own tables
    insert = f'INSERT OR IGNORE INTO "{table}" (rowid, {names}) VALUES ({marks})'  # noqa: S608
    copied, last = 0, 0
    forwards = _until_damage(source, f"{query} ORDER BY rowid")
    for row in forwards:
        if row is None:
            break
        target.execute(insert, row)
        copied, last = copied + 1, row[0]
    else:
        return copied, 0
    first = last + _SEARCHED
    for row in _until_damage(source, f"{query} ORDER BY rowid DESC"):
        if row is None or row[0] <= last:
            break
        target.execute(insert, row)
        copied, first = copied + 1, row[0]
    missing = 0
    for number in range(last + 1, min(first, last + 1 + _SEARCHED)):
        try:
            found = source.execute(f"{query} WHERE rowid = ?", (number,)).fetchone()
        except sqlite3.DatabaseError:
            missing += 1
            continue
        if found is not None:
            target.execute(insert, found)
            copied += 1
    return copied, missing + max(0, first - (last + 1 + _SEARCHED))


def _until_damage(source: sqlite3.Connection, query: str) -> Iterator[tuple | None]:
    """Rows one by one, then None where reading failed."""
    try:
        yield from source.execute(query)
    except sqlite3.DatabaseError:
        yield None
