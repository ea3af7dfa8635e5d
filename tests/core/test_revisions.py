from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from core.database import TRIGGERS, create_tables
from core.errors import StorageProblem
from core.migrations import HEAD, backup, baseline
from core.migrations.upgrading import scripts
from core.workspace import BACKUPS, DATABASE, open_workspace

ROOT = Path(__file__).parents[2]
SHAPE = (
    "SELECT part.name, shape.name, shape.type, shape.[notnull], shape.dflt_value, shape.pk "
    "FROM sqlite_master AS part, pragma_table_info(part.name) AS shape "
    "WHERE part.type IN ('table') AND part.name NOT LIKE 'alembic%' ORDER BY part.name, shape.name"
)
PARTS = "SELECT type, name FROM sqlite_master WHERE name NOT LIKE '%alembic%' ORDER BY type, name"


def rows(file: Path, query: str) -> list[tuple]:
    with closing(sqlite3.connect(file)) as connection:
        return connection.execute(query).fetchall()


@pytest.fixture
def third(tmp_path: Path) -> Path:
    """The database of a workspace of schema 3, the last before revisions, with one tag."""
    folder = tmp_path / "third"
    folder.mkdir()
    with closing(sqlite3.connect(folder / DATABASE)) as connection:
        connection.executescript((Path(baseline.__file__).parent / "baseline.sql").read_text(encoding="utf-8"))
        connection.executescript(
            "INSERT INTO meta VALUES ('schema', '3'), ('created', '2026-01-01T00:00:00');"
            "INSERT INTO datasets VALUES ('d', 'birds', '/birds', 'class-folders', 'f', '2026-01-01 00:00:00');"
            "INSERT INTO concepts (id, dataset_id, name, key, color, role, note, created) "
            "VALUES (1, 'd', 'water', 'water', '#000000', 'core', '', '2026-01-01 00:00:00');"
            "INSERT INTO tag_actions (id, dataset_id, source, author, created) "
            "VALUES (1, 'd', 'person', 'Ann', '2026-01-01 00:00:00');"
            "INSERT INTO tags VALUES (1, 1, 1, 'a.png', 'present');"
            "INSERT INTO jobs (id, kind, title, request, key, turn, state, done, total, message, samples, host, "
            "created) VALUES ('j', 'map', 'Map', '{}', 'k', 1, 'done', 1, 1, '', '[]', 'here', '2026-01-01 00:00:00');"
        )
    return folder / DATABASE


def test_the_head_that_opening_compares_with_is_that_of_the_scripts() -> None:
    assert scripts().get_heads() == [HEAD]


def test_the_revisions_make_what_the_models_say(tmp_path: Path) -> None:
    open_workspace(tmp_path / "new")
    engine = create_engine(f"sqlite:///{tmp_path / 'models.db'}")
    with engine.begin() as connection:
        create_tables(connection)
    engine.dispose()
    for query in (SHAPE, PARTS):
        assert rows(tmp_path / "new" / DATABASE, query) == rows(tmp_path / "models.db", query)
    triggers = {
        sql for (sql,) in rows(tmp_path / "new" / DATABASE, "SELECT sql FROM sqlite_master WHERE type='trigger'")
    }
    assert len(triggers) == len(TRIGGERS)


def test_a_workspace_of_schema_3_is_brought_up_with_all_it_holds_after_a_copy(third: Path, tmp_path: Path) -> None:
    tables = "SELECT * FROM tags", "SELECT * FROM tag_actions", "SELECT id, kind, request FROM jobs"
    before = [rows(third, query) for query in tables]
    open_workspace(third.parent)
    assert [rows(third, query) for query in tables] == before
    assert rows(third, "SELECT version_num FROM alembic_version") == [(HEAD,)]
    assert rows(third, "SELECT priority, attempt, author FROM jobs") == [(0, 1, "local")]
    [kept] = (third.parent / BACKUPS).iterdir()
    assert [rows(kept, query) for query in tables] == before
    assert rows(kept, "SELECT value FROM meta WHERE key = 'schema'") == [("3",)]
    open_workspace(tmp_path / "new")
    assert rows(third, PARTS) == rows(tmp_path / "new" / DATABASE, PARTS)


def test_one_that_is_up_to_date_opens_without_alembic_and_without_a_copy(tmp_path: Path) -> None:
    open_workspace(tmp_path)
    script = (
        "import sys; from core.workspace import open_workspace; open_workspace(sys.argv[1]); "
        "sys.exit('alembic' in sys.modules)"
    )
    assert (
        subprocess.run([sys.executable, "-c", script, str(tmp_path)], cwd=ROOT, timeout=60, check=False).returncode == 0
    )
    assert not (tmp_path / BACKUPS).exists()


def test_a_revision_of_the_future_is_refused_and_left_alone(tmp_path: Path) -> None:
    open_workspace(tmp_path / "one")
    with closing(sqlite3.connect(tmp_path / "one" / DATABASE)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999_later'")
        connection.commit()
    # by a process of its own: this one has it open
    script = "import sys; from core.workspace import open_workspace; open_workspace(sys.argv[1])"
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "one")],
        cwd=ROOT,
        timeout=60,
        check=False,
        capture_output=True,
        text=True,
    )
    assert "written by a newer Midband (revision 9999_later" in done.stderr
    assert rows(tmp_path / "one" / DATABASE, "SELECT version_num FROM alembic_version") == [("9999_later",)]


@pytest.mark.parametrize("step", ["core.migrations.upgrading.upgrade", "core.workspace.write_facts"])
def test_one_killed_while_it_is_brought_up_is_as_it_was(third: Path, step: str) -> None:
    module, name = step.rsplit(".", 1)
    script = (
        f"import os, sys, {module} as place\n"
        "from core.workspace import open_workspace\n"
        f"whole = place.{name}\n"
        "def killed(*given, **named):\n"
        "    whole(*given, **named)\n"
        "    os.kill(os.getpid(), 9)\n"
        f"place.{name} = killed\n"
        "open_workspace(sys.argv[1])\n"
    )
    before = rows(third, SHAPE)
    done = subprocess.run([sys.executable, "-c", script, str(third.parent)], cwd=ROOT, timeout=60, check=False)
    assert done.returncode == -9
    assert rows(third, SHAPE) == before
    assert rows(third, "SELECT name FROM sqlite_master WHERE name = 'alembic_version'") == []
    open_workspace(third.parent)
    assert rows(third, "SELECT version_num FROM alembic_version") == [(HEAD,)]


def test_the_newest_copies_are_kept(third: Path) -> None:
    made = [backup.back_up(third, third.parent / BACKUPS, before="x") for _ in range(backup.KEPT + 2)]
    assert sorted((third.parent / BACKUPS).iterdir()) == made[2:]


def test_nothing_is_changed_where_no_copy_could_be_made(third: Path) -> None:
    (third.parent / BACKUPS).write_text("a file in the way")
    with pytest.raises(StorageProblem):
        open_workspace(third.parent)
    assert rows(third, "SELECT value FROM meta WHERE key = 'schema'") == [("3",)]
