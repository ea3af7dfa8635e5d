from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from core.database import SCHEMA_VERSION, DatasetRecord, Meta, TagAction
from core.errors import NotFound, PathNotFound, StorageProblem
from core.workspace import DATABASE, Workspace, _engine, open_workspace


def add_dataset(workspace: Workspace) -> None:
    with workspace.writing() as session:
        session.add(DatasetRecord(id="a", name="a", root="/a", source="class-folders", fingerprint="f"))


def test_what_was_written_is_there_after_reopening(workspace: Workspace) -> None:
    add_dataset(workspace)
    _engine.cache_clear()
    with open_workspace(workspace.root).reading() as session:
        assert session.get(DatasetRecord, "a") is not None


def test_a_failed_block_writes_nothing(workspace: Workspace) -> None:
    with pytest.raises(RuntimeError), workspace.writing() as session:
        session.add(DatasetRecord(id="a", name="a", root="/a", source="class-folders", fingerprint="f"))
        session.flush()
        raise RuntimeError
    with workspace.reading() as session:
        assert session.get(DatasetRecord, "a") is None


def test_twenty_writers_at_once_lose_nothing(workspace: Workspace) -> None:
    add_dataset(workspace)

    def write(_: int) -> None:
        for _ in range(5):
            with workspace.writing() as session:
                session.add(TagAction(dataset_id="a", source="person", author="me"))

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(write, range(20)))
    with workspace.reading() as session:
        assert session.scalar(select(func.count()).select_from(TagAction)) == 100


def test_a_row_that_points_nowhere_is_refused(workspace: Workspace) -> None:
    with pytest.raises(IntegrityError), workspace.writing() as session:
        session.add(TagAction(dataset_id="missing", source="person", author="me"))


def test_a_missing_workspace_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no workspace"):
        open_workspace(tmp_path / "nothing", create=False)


def test_no_name_is_not_the_folder_one_happens_to_be_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PathNotFound, match="No path"):
        open_workspace("")
    assert list(tmp_path.iterdir()) == []


def test_a_workspace_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageProblem, match="cannot be made"):
        open_workspace(tmp_path / "file" / "workspace")


def test_a_file_in_the_place_of_a_workspace_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageProblem, match="is a file"):
        open_workspace(tmp_path / "file")


def test_a_database_that_is_none_is_refused_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / DATABASE).write_bytes(b"this is not a database, it is a long enough text" * 100)
    with pytest.raises(StorageProblem, match="not a database"):
        open_workspace(tmp_path)


def test_a_workspace_of_a_newer_version_is_refused(workspace: Workspace) -> None:
    with workspace.writing() as session:
        session.merge(Meta(key="schema", value=str(SCHEMA_VERSION + 1)))
    _engine.cache_clear()
    with pytest.raises(StorageProblem, match="newer"):
        open_workspace(workspace.root)
