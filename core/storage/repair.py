"""Making again what can be made again, and saying what cannot."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.access.policy import Permission, require
from core.database import TRIGGERS
from core.files import read_array
from core.migrations.backup import copy_database
from core.storage.copies import moment, replace_database
from core.storage.derived import differences, rebuild
from core.storage.integrity import Finding, derived_arrays, trigger_name, verify
from core.storage.salvage import salvage
from core.workspace import BACKUPS, DATABASE


@dataclass(frozen=True)
class Repaired:
    """done: sentences about what was made again. lost: about what could not be read any more. left: what is still not
    whole. kept: where the database lies as it was, None where it was not touched."""

    done: tuple[str, ...]
    lost: tuple[str, ...]
    left: tuple[Finding, ...]
    kept: Path | None

    def to_dict(self) -> dict[str, Any]:
        return {
            "done": list(self.done),
            "lost": list(self.lost),
            "left": [finding.to_dict() for finding in self.left],
            "kept": None if self.kept is None else str(self.kept),
        }


def repair(root: Path) -> Repaired:
    """Repair a workspace; the database as it was is kept in `backups`.

    Raises `StorageProblem` where the database is in use, or nothing can be read of it; `DiskFull`.
    """
    require(Permission.MANAGE, "repair")
    done: list[str] = []
    lost: list[str] = []
    kept = None
    findings = verify(root).findings
    if any(finding.place == DATABASE and finding.repairable for finding in findings):
        fresh = root / f".{DATABASE}.salvaged"
        saved = salvage(root / DATABASE, fresh)
        kept = replace_database(root, fresh)
        done.append(f"{sum(saved.rows.values()):,} rows of the database were copied into a new file.")
        lost += [f"Up to {count:,} rows of {table} could not be read." for table, count in saved.lost.items()]
    elif any(finding.place.startswith(DATABASE) and finding.repairable for finding in findings):
        kept = root / BACKUPS / f"before-repair-{moment()}.db"
        copy_database(root / DATABASE, kept)
        done += _repair_tables(root / DATABASE)
    done += _drop_damaged(root)
    return Repaired(tuple(done), tuple(lost), verify(root).findings, kept)


def _repair_tables(database: Path) -> list[str]:
    done = []
    with closing(sqlite3.connect(database, timeout=30, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        there = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")}
        for trigger in TRIGGERS:
            if trigger_name(trigger) not in there:
                connection.execute(trigger)
                done.append(f"The trigger {trigger_name(trigger)} was made again.")
        if stale := differences(connection):
            rebuild(connection)
            done += [f"{table} was made again from the log of tags." for table in stale]
        connection.execute("COMMIT")
    return done


def _drop_damaged(root: Path) -> list[str]:
    """Remove derived files that cannot be read: whoever needs them makes them again."""
    done = []
    for folder in sorted((root / "analyses").glob("[!.]*")):
        for file in derived_arrays(folder):
            try:
                read_array(file)
            except (OSError, ValueError):
                file.unlink(missing_ok=True)
                done.append(f"{file.relative_to(root).as_posix()} is removed, and made again when it is needed.")
    return done
