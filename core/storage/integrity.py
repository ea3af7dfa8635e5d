"""Whether everything of a workspace is as it was written. Reads, never writes: a damaged one can be looked at too."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.database import TRIGGERS
from core.files import read_array
from core.migrations import HEAD
from core.storage.checksums import changed
from core.storage.derived import differences
from core.workspace import DATABASE

# of an analysis: made again by whoever reads them, once they are gone
CACHES = ("sorted", "map")
NAMES = ("names.npy", "name_offsets.npy")


@dataclass(frozen=True)
class Finding:
    """Something that is not as it was written. repairable: `repair` makes it again from what is whole."""

    place: str
    sentence: str
    next_step: str
    repairable: bool

    def to_dict(self) -> dict[str, Any]:
        return {
            "place": self.place,
            "sentence": self.sentence,
            "next_step": self.next_step,
            "repairable": self.repairable,
        }


@dataclass(frozen=True)
class Verification:
    findings: tuple[Finding, ...]
    analyses: int
    runs: int

    def to_dict(self) -> dict[str, Any]:
        return {
            "whole": not self.findings,
            "findings": [finding.to_dict() for finding in self.findings],
            "analyses": self.analyses,
            "runs": self.runs,
        }


def verify(root: Path) -> Verification:
    """Check the database, the files of analyses and runs by their checksums, and what is derived from them."""
    analyses, runs = _folders(root / "analyses"), _folders(root / "runs")
    found = [*check_database(root / DATABASE)]
    for folder in analyses:
        found += _of_analysis(folder)
    for folder in runs:
        step = "Have it again from its replay.json (`python -m core replay`), or retrain."
        found += [
            Finding(
                f"runs/{folder.name}/{damage.name}", f"{damage.name} of run {folder.name} {damage.reason}.", step, False
            )
            for damage in changed(folder)
        ]
    return Verification(tuple(found), len(analyses), len(runs))


def open_readonly(database: Path) -> sqlite3.Connection:
    """Raises `sqlite3.OperationalError` where it cannot be opened."""
    return sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True, timeout=30)


def check_database(database: Path) -> tuple[Finding, ...]:
    try:
        with closing(open_readonly(database)) as connection:
            problems = [row[0] for row in connection.execute("PRAGMA integrity_check(10)") if row[0] != "ok"]
            if problems:
                return (_damaged("; ".join(" ".join(problem.split()) for problem in problems)),)
            return tuple(_of_tables(connection))
    except sqlite3.DatabaseError as error:
        return (_damaged(str(error)),)


def _damaged(reason: str) -> Finding:
    return Finding(
        DATABASE,
        f"The database is damaged: {reason[:500]}.",
        "Stop the server, then `python -m core repair`, or `python -m core restore` with a backup.",
        True,
    )


def _of_tables(connection: sqlite3.Connection) -> list[Finding]:
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if "alembic_version" not in tables:
        return [Finding(DATABASE, "The database is of an older version.", "Open the workspace once.", False)]
    revision = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    if revision != (HEAD,):
        return [
            Finding(DATABASE, "The database is of another version of Midband.", "Open the workspace with it.", False)
        ]
    found = []
    for table, row, parent, _ in connection.execute("PRAGMA foreign_key_check").fetchmany(20):
        sentence = f"Row {row} of {table} refers to a row of {parent} that is not there."
        found.append(Finding(f"{DATABASE}: {table}", sentence, "Restore a backup if it is missed.", False))
    kept = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")}
    found += [
        Finding(f"{DATABASE}: {name}", f"The trigger {name} is missing.", _REPAIR, True)
        for name in sorted({trigger_name(sql) for sql in TRIGGERS} - kept)
    ]
    for table, count in differences(connection).items():
        sentence = f"{count:,} rows of {table} are not what the log of tags says."
        found.append(Finding(f"{DATABASE}: {table}", sentence, _REPAIR, True))
    return found


_REPAIR = "Run `python -m core repair`."


def trigger_name(sql: str) -> str:
    """`CREATE TRIGGER IF NOT EXISTS name ...`"""
    return sql.split()[5]


def _of_analysis(folder: Path) -> list[Finding]:
    step = "Remove that folder and analyse the dataset again; tags and concepts stay."
    found = [
        Finding(
            f"analyses/{folder.name}/{damage.name}",
            f"{damage.name} of analysis {folder.name} {damage.reason}.",
            step,
            False,
        )
        for damage in changed(folder)
    ]
    for file in derived_arrays(folder):
        try:
            read_array(file)
        except (OSError, ValueError) as error:
            place = file.relative_to(folder.parents[1]).as_posix()
            found.append(Finding(place, f"{file.name} cannot be read ({error}).", _REPAIR, True))
    return found


def derived_arrays(folder: Path) -> list[Path]:
    """Files of an analysis that whoever reads them makes again once they are gone."""
    caches = [file for cache in CACHES for file in sorted((folder / cache).glob("*.npy"))]
    return caches + [folder / name for name in NAMES if (folder / name).is_file()]


def _folders(place: Path) -> list[Path]:
    # hidden ones are being made, or were deleted
    return sorted(path for path in place.glob("*") if path.is_dir() and not path.name.startswith("."))
