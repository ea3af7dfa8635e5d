"""A workspace of the first version, made by SQL as that version made it, is brought up to date without losing a tag."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from core import migration
from core.concepts.concept import change_concept, create_concept, list_concepts
from core.concepts.history import history
from core.concepts.tags import redo, tag_states, tag_version, undo
from core.database import SCHEMA_VERSION, TRIGGERS
from core.errors import StorageProblem
from core.workspace import DATABASE, open_workspace

ROOT = Path(__file__).parents[2]
SCHEMA_1 = """
CREATE TABLE meta ("key" VARCHAR NOT NULL, value VARCHAR NOT NULL, PRIMARY KEY ("key"));
CREATE TABLE datasets (id VARCHAR NOT NULL, name VARCHAR NOT NULL, root VARCHAR NOT NULL, source VARCHAR NOT NULL,
    fingerprint VARCHAR NOT NULL, created DATETIME NOT NULL, PRIMARY KEY (id));
CREATE TABLE jobs (id VARCHAR NOT NULL, kind VARCHAR NOT NULL, title VARCHAR NOT NULL, request JSON NOT NULL,
    "key" VARCHAR NOT NULL, turn INTEGER NOT NULL, state VARCHAR NOT NULL, done INTEGER NOT NULL,
    total INTEGER NOT NULL, message VARCHAR NOT NULL, samples JSON NOT NULL, pid INTEGER, process_started DOUBLE,
    host VARCHAR NOT NULL, heartbeat DATETIME, cancel_requested DATETIME, created DATETIME NOT NULL, started DATETIME,
    finished DATETIME, result JSON, error JSON, PRIMARY KEY (id));
CREATE TABLE analyses (id VARCHAR NOT NULL, dataset_id VARCHAR NOT NULL, model_name VARCHAR NOT NULL,
    model_file VARCHAR NOT NULL, arch VARCHAR NOT NULL, images INTEGER NOT NULL, accuracy DOUBLE,
    created DATETIME NOT NULL, used DATETIME NOT NULL, PRIMARY KEY (id),
    FOREIGN KEY(dataset_id) REFERENCES datasets (id));
CREATE TABLE concepts (id INTEGER NOT NULL, dataset_id VARCHAR NOT NULL, name VARCHAR NOT NULL,
    "key" VARCHAR NOT NULL, color VARCHAR NOT NULL, role VARCHAR NOT NULL, note VARCHAR NOT NULL,
    created DATETIME NOT NULL, deleted DATETIME, PRIMARY KEY (id), UNIQUE (dataset_id, "key"),
    FOREIGN KEY(dataset_id) REFERENCES datasets (id));
CREATE TABLE tag_actions (id INTEGER NOT NULL, dataset_id VARCHAR NOT NULL, source VARCHAR NOT NULL,
    author VARCHAR NOT NULL, direction VARCHAR, low DOUBLE, high DOUBLE, created DATETIME NOT NULL, undone DATETIME,
    PRIMARY KEY (id), FOREIGN KEY(dataset_id) REFERENCES datasets (id));
CREATE TABLE runs (id VARCHAR NOT NULL, analysis_id VARCHAR NOT NULL, job_id VARCHAR, method VARCHAR NOT NULL,
    settings JSON NOT NULL, created DATETIME NOT NULL, finished DATETIME, PRIMARY KEY (id),
    FOREIGN KEY(analysis_id) REFERENCES analyses (id), FOREIGN KEY(job_id) REFERENCES jobs (id));
CREATE TABLE tags (id INTEGER NOT NULL, action_id INTEGER NOT NULL, concept_id INTEGER NOT NULL,
    image VARCHAR NOT NULL, state VARCHAR NOT NULL, PRIMARY KEY (id),
    FOREIGN KEY(action_id) REFERENCES tag_actions (id), FOREIGN KEY(concept_id) REFERENCES concepts (id));
CREATE INDEX ix_jobs_key ON jobs ("key");
CREATE INDEX ix_jobs_state ON jobs (state);
CREATE INDEX ix_analyses_dataset_id ON analyses (dataset_id);
CREATE INDEX ix_concepts_dataset_id ON concepts (dataset_id);
CREATE INDEX ix_tag_actions_dataset_id ON tag_actions (dataset_id);
CREATE INDEX ix_runs_analysis_id ON runs (analysis_id);
CREATE INDEX ix_tags_action_id ON tags (action_id);
CREATE INDEX tags_by_concept ON tags (concept_id, image, id);
INSERT INTO meta VALUES ('schema', '1'), ('created', '2026-01-01T00:00:00');
INSERT INTO datasets VALUES ('planted-data', 'birds', '/birds', 'class-folders', 'f', '2026-01-01 00:00:00.000000');
INSERT INTO jobs (id, kind, title, request, "key", turn, state, done, total, message, samples, host, created)
    VALUES ('j', 'analyse', 'Birds', '{}', 'k', 1, 'done', 3, 3, '', '[]', 'here', '2026-01-01 00:00:00.000000');
INSERT INTO concepts VALUES
    (1, 'planted-data', 'Water', 'water', '#0072B2', 'confounder', 'blue', '2026-01-01 00:00:00.000000', NULL),
    (2, 'planted-data', 'snow', 'snow', '#E69F00', 'core', '', '2026-01-01 00:00:01.000000',
     '2026-01-02 00:00:00.000000'),
    (3, 'planted-data', '<b>🐦</b>', '<b>🐦</b>', '#009E73', 'wrong-label', '', '2026-01-01 00:00:02.000000', NULL);
INSERT INTO tag_actions VALUES
    (1, 'planted-data', 'person', 'local', 'logit:bird', -1.5, 2.0, '2026-01-01 01:00:00.000000', NULL),
    (2, 'planted-data', 'person', 'local', NULL, NULL, NULL, '2026-01-01 02:00:00.000000', NULL),
    (3, 'planted-data', 'import', 'local', NULL, NULL, NULL, '2026-01-01 03:00:00.000000', NULL),
    (4, 'planted-data', 'person', 'local', NULL, NULL, NULL, '2026-01-01 04:00:00.000000',
     '2026-01-01 05:30:00.000000'),
    (5, 'planted-data', 'person', 'local', NULL, NULL, NULL, '2026-01-01 05:00:00.000000',
     '2026-01-01 05:20:00.000000'),
    (6, 'planted-data', 'person', 'Ann', NULL, NULL, NULL, '2026-01-01 02:30:00.000000',
     '2026-01-01 02:40:00.000000'),
    (7, 'planted-data', 'person', 'Ann', NULL, NULL, NULL, '2026-01-01 06:00:00.000000', NULL);
INSERT INTO tags (action_id, concept_id, image, state) VALUES
    (1, 1, 'images/000000.png', 'present'), (1, 1, 'images/000001.png', 'present'),
    (2, 1, 'images/000001.png', 'absent'),
    (3, 2, 'images/000002.png', 'present'), (3, 3, 'images/000002.png', 'present'),
    (4, 1, 'images/000000.png', 'absent'),
    (5, 1, 'images/000003.png', 'present'),
    (6, 1, 'images/000004.png', 'present'),
    (7, 3, 'images/000005.png', 'absent'), (7, 3, 'skipped.png', 'present');
"""


def make_old(folder: Path) -> Path:
    """A workspace as the first version left it; returns its database."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / DATABASE
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.executescript(SCHEMA_1)
    connection.close()
    return file


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return make_old(tmp_path / "old")


def rows(file: Path, query: str) -> list[Any]:
    connection = sqlite3.connect(file)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


class Images:
    """As much of an analysis as tags need."""

    dataset_id = "planted-data"
    n = 6
    attributes = ()

    def image_names(self, which: Any) -> list[str]:
        return [f"images/{row:06d}.png" for row in which]

    def rows_named(self, names: Any) -> Any:
        import numpy as np

        known = self.image_names(range(self.n))
        return np.array([known.index(name) if name in known else -1 for name in names], dtype=np.int64)


def held(workspace: Any, analysis: Any) -> dict[str, list[int]]:
    return {
        concept.name: tag_states(workspace, analysis, concept).tolist()
        for concept in list_concepts(workspace, "planted-data")
    }


HELD = {"Water": [1, 0, -1, -1, -1, -1], "<b>🐦</b>": [-1, -1, 1, -1, -1, 0]}


def test_every_tag_action_and_concept_is_there_afterwards(old: Path) -> None:
    before = {
        "tags": rows(old, "SELECT * FROM tags"),
        "jobs": rows(old, "SELECT id, kind, title, request, key, turn, state, samples, created FROM jobs"),
        "actions": rows(old, "SELECT id, source, author, direction, low, high, created, undone FROM tag_actions"),
        "concepts": rows(old, "SELECT id, name, key, color, role, note, created, deleted FROM concepts"),
    }
    workspace = open_workspace(old.parent)
    assert rows(old, "SELECT value FROM meta WHERE key = 'schema'") == [(str(SCHEMA_VERSION),)]
    assert rows(old, "SELECT value FROM meta WHERE key = 'created'") == [("2026-01-01T00:00:00",)]
    assert before == {
        "tags": rows(old, "SELECT * FROM tags"),
        "jobs": rows(old, "SELECT id, kind, title, request, key, turn, state, samples, created FROM jobs"),
        "actions": rows(old, "SELECT id, source, author, direction, low, high, created, undone FROM tag_actions"),
        "concepts": rows(old, "SELECT id, name, key, color, role, note, created, deleted FROM concepts"),
    }
    assert held(workspace, Images()) == HELD
    assert tag_version(workspace, "planted-data") != 0
    assert rows(old, "PRAGMA integrity_check") == [("ok",)]
    assert rows(old, "PRAGMA foreign_key_check") == []


def test_living_concepts_get_keys_and_deleted_ones_come_back_with_their_tags(old: Path) -> None:
    workspace = open_workspace(old.parent)
    assert [(one.name, one.shortcut) for one in list_concepts(workspace, "planted-data")] == [
        ("Water", 1),
        ("<b>🐦</b>", 2),
    ]
    snow = create_concept(workspace, "planted-data", "SNOW")
    assert (snow.id, snow.name, snow.role, snow.shortcut) == (2, "snow", "core", 3)
    assert tag_states(workspace, Images(), snow).tolist() == [-1, -1, 1, -1, -1, -1]  # type: ignore[arg-type]
    undo(workspace, "planted-data")
    assert [one.name for one in list_concepts(workspace, "planted-data")] == ["Water", "<b>🐦</b>"]


def test_old_actions_are_undone_and_done_again_and_old_concepts_stay(old: Path) -> None:
    workspace, analysis = open_workspace(old.parent), Images()
    assert undo(workspace, "planted-data", "Ann") is not None
    assert undo(workspace, "planted-data", "Ann") is None
    assert redo(workspace, "planted-data", "Ann") is not None
    assert redo(workspace, "planted-data", "Ann") is None, "Ann did something since she took the first one back"
    # of local, 5 was undone first and 4 after it: 4 comes back first, and 5 then
    assert redo(workspace, "planted-data", "local") is not None
    assert held(workspace, analysis)["Water"] == [0, 0, -1, -1, -1, -1]
    assert redo(workspace, "planted-data", "local") is not None
    assert held(workspace, analysis)["Water"] == [0, 0, -1, 1, -1, -1]
    while undo(workspace, "planted-data") is not None:
        pass
    assert [one.name for one in list_concepts(workspace, "planted-data")] == ["Water", "<b>🐦</b>"]
    renamed = change_concept(workspace, list_concepts(workspace, "planted-data")[0], name="Lake", role="core")
    undo(workspace, "planted-data")
    assert list_concepts(workspace, "planted-data")[0].name == "Water"
    assert renamed.name == "Lake"


def test_the_history_reads_as_if_it_had_been_kept_from_the_start(old: Path) -> None:
    entries = history(open_workspace(old.parent), "planted-data")
    assert [entry.id for entry in entries] == [7, 6, 5, 4, 3, 2, 1]
    assert entries[-1].sentence == "Tagged 2 images with “Water”"
    assert (entries[-1].direction, entries[-1].low, entries[-1].high) == ("logit:bird", -1.5, 2.0)
    assert entries[4].sentence == "Imported tags of 1 image: snow, <b>🐦</b>"
    assert (entries[5].sentence, entries[5].images) == ("Tagged 1 image as without “Water”", 1)


@pytest.mark.parametrize("step", ["_describe_actions", "_stamp_actions", "_keep_concepts"])
def test_one_that_fails_half_way_leaves_the_old_file_as_it_was(
    old: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    before = rows(old, "SELECT type, name, sql FROM sqlite_master ORDER BY name")
    whole = getattr(migration, step)

    def broken(connection: Any) -> None:
        whole(connection)
        raise RuntimeError("the power went out")

    monkeypatch.setattr(migration, step, broken)
    with pytest.raises(RuntimeError):
        open_workspace(old.parent)
    assert rows(old, "SELECT type, name, sql FROM sqlite_master ORDER BY name") == before
    assert rows(old, "SELECT value FROM meta WHERE key = 'schema'") == [("1",)]
    assert len(rows(old, "SELECT * FROM tags")) == 10
    monkeypatch.undo()
    assert held(open_workspace(old.parent), Images()) == HELD


def test_one_killed_half_way_leaves_the_old_file_as_it_was(old: Path) -> None:
    script = (
        "import os, sys\n"
        "from core import migration\n"
        "from core.workspace import open_workspace\n"
        "migration._keep_concepts = lambda connection: os._exit(9)\n"
        "open_workspace(sys.argv[1])\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(old.parent)], cwd=ROOT, timeout=60, check=False)
    assert done.returncode == 9
    assert rows(old, "SELECT value FROM meta WHERE key = 'schema'") == [("1",)]
    assert held(open_workspace(old.parent), Images()) == HELD


@pytest.mark.parametrize("fresh", [True, False], ids=["empty folder", "older workspace"])
def test_processes_that_open_it_at_the_same_time_do_it_once(tmp_path: Path, fresh: bool) -> None:
    folder = tmp_path / "shared"
    if not fresh:
        make_old(folder)
    script = "import sys; from core.workspace import open_workspace; open_workspace(sys.argv[1])"
    people = [subprocess.Popen([sys.executable, "-c", script, str(folder)], cwd=ROOT) for _ in range(4)]
    assert [person.wait(timeout=60) for person in people] == [0] * 4
    file = folder / DATABASE
    assert rows(file, "SELECT value FROM meta WHERE key = 'schema'") == [(str(SCHEMA_VERSION),)]
    assert len(rows(file, "SELECT * FROM concept_changes")) == (0 if fresh else 21)
    if not fresh:
        assert held(open_workspace(folder), Images()) == HELD


def test_a_migrated_database_has_all_that_a_new_one_has(old: Path, tmp_path: Path) -> None:
    open_workspace(old.parent)
    open_workspace(tmp_path / "new")
    parts = "SELECT type, name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' ORDER BY name"
    assert rows(old, parts) == rows(tmp_path / "new" / DATABASE, parts)
    triggers = {name for (kind, name) in rows(old, parts) if kind == "trigger"}
    assert len(triggers) == len(TRIGGERS)
    shape = (
        "SELECT part.name, shape.name, shape.type FROM sqlite_master AS part, pragma_table_info(part.name) AS shape "
        "WHERE part.type = 'table' ORDER BY part.name, shape.name"
    )
    assert rows(old, shape) == rows(tmp_path / "new" / DATABASE, shape)


def test_a_database_that_was_being_made_when_its_process_ended_is_finished(old: Path) -> None:
    """The first version wrote the number of the schema last."""
    connection = sqlite3.connect(old)
    connection.execute("DELETE FROM meta")
    connection.commit()
    connection.close()
    assert held(open_workspace(old.parent), Images()) == HELD


def test_one_written_between_two_releases_is_told_so_and_left_as_it_was(old: Path) -> None:
    connection = sqlite3.connect(old)
    connection.execute("UPDATE meta SET value = '2' WHERE key = 'schema'")
    connection.commit()
    connection.close()
    before = rows(old, "SELECT type, name, sql FROM sqlite_master ORDER BY name")
    with pytest.raises(StorageProblem, match="between two releases") as caught:
        open_workspace(old.parent)
    assert caught.value.next_step == (
        "Export its tags with the Midband that wrote it, then import them into a new workspace."
    )
    assert rows(old, "SELECT type, name, sql FROM sqlite_master ORDER BY name") == before
    assert rows(old, "SELECT value FROM meta WHERE key = 'schema'") == [("2",)]


def test_a_clock_that_stepped_back_brings_no_old_step_back(old: Path) -> None:
    """Zoe took her first step back, then, by a clock that went an hour wrong, took another one: that one is newer."""
    connection = sqlite3.connect(old)
    connection.executescript(
        "INSERT INTO tag_actions VALUES "
        "(8, 'planted-data', 'person', 'Zoe', NULL, NULL, NULL, '2026-01-01 10:00:00.000000', "
        "'2026-01-01 09:30:00.000000'), "
        "(9, 'planted-data', 'person', 'Zoe', NULL, NULL, NULL, '2026-01-01 09:00:00.000000', NULL)"
    )
    connection.close()
    assert redo(open_workspace(old.parent), "planted-data", "Zoe") is None
