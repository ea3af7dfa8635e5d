from __future__ import annotations

import gc
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from core.__main__ import main
from core.access import passwords
from core.access.accounts import add_account, find_account
from core.access.audit import entries
from core.access.signing_in import person_of, sign_in, sign_out
from core.activations.store import open_analysis
from core.errors import StorageProblem
from core.storage.copies import back_up_now, restore
from core.storage.integrity import verify
from core.storage.repair import repair
from core.workspace import DATABASE, _engine, open_workspace
from tests.core.storage.conftest import rows

EVERY_TAG = "SELECT * FROM tags ORDER BY id"
DERIVED = "SELECT * FROM standing_tags ORDER BY concept_id, image", "SELECT * FROM log_versions"


def flip(file: Path, place: int) -> None:
    """Change one byte; size and everything else stay."""
    content = bytearray(file.read_bytes())
    content[place] ^= 0xFF
    file.write_bytes(content)


def test_a_whole_workspace_is_said_to_be(root: Path) -> None:
    found = verify(root)
    assert (found.findings, found.analyses, found.runs) == ((), 1, 0)


@pytest.mark.parametrize("name", ["features.npy", "logits.npy", "ids.npy", "head.safetensors", "thumbnails.bin"])
def test_a_torn_file_is_found_on_opening_and_by_verify(root: Path, name: str) -> None:
    file = root / "analyses" / "planted" / name
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(StorageProblem, match=name) as caught:
        open_analysis(open_workspace(root), "planted")
    assert caught.value.next_step
    assert [finding.place for finding in verify(root).findings] == [f"analyses/planted/{name}"]


@pytest.mark.parametrize("name", ["features.npy", "labels.npy", "analysis.json", "images.parquet", "skipped.json"])
def test_a_changed_byte_is_found_by_verify(root: Path, name: str) -> None:
    file = root / "analyses" / "planted" / name
    flip(file, file.stat().st_size - 1)
    [finding] = verify(root).findings
    assert (finding.place, finding.repairable) == (f"analyses/planted/{name}", False)


def test_a_missing_file_and_a_damaged_manifest_are_found(root: Path) -> None:
    (root / "analyses" / "planted" / "splits.npy").unlink()
    assert "is missing" in verify(root).findings[0].sentence
    (root / "analyses" / "planted" / "checksums.json").write_text("{")
    assert verify(root).findings[0].place == "analyses/planted/checksums.json"


@pytest.mark.parametrize("name", ["names.npy", "sorted/x.sorted.npy", "map/pca.npy"])
def test_a_derived_file_is_removed_and_made_again(root: Path, name: str) -> None:
    file = root / "analyses" / "planted" / name
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(b"\x93NUMPY")
    assert verify(root).findings[0].repairable
    assert repair(root).left == ()
    assert not file.exists()
    assert open_analysis(open_workspace(root), "planted").image_names([3]) == ["3.png"]


@pytest.mark.parametrize(
    "harm",
    [
        "DELETE FROM standing_tags WHERE image < '2'",
        "UPDATE standing_tags SET state = 'unsure'",
        "UPDATE log_versions SET version = version + 1",
        "DELETE FROM log_versions",
        "DROP TRIGGER action_undone",
    ],
)
def test_what_follows_from_the_log_is_made_again(root: Path, harm: str) -> None:
    before = [rows(root, query) for query in DERIVED]
    with closing(sqlite3.connect(root / DATABASE)) as connection:
        connection.execute(harm)
        connection.commit()
    assert [finding.repairable for finding in verify(root).findings] == [True]
    repaired = repair(root)
    assert (repaired.lost, repaired.left) == ((), ())
    assert repaired.kept is not None
    assert repaired.kept.is_file()
    assert [rows(root, query) for query in DERIVED] == before


def test_a_reference_to_nothing_is_said_and_not_deleted(root: Path) -> None:
    with closing(sqlite3.connect(root / DATABASE)) as connection:
        connection.execute("INSERT INTO runs VALUES ('r', 'nowhere', NULL, 'erm', '{}', '2026-01-01 00:00:00', NULL)")
        connection.commit()
    assert [finding.place for finding in repair(root).left] == [f"{DATABASE}: runs"]
    assert rows(root, "SELECT id FROM runs") == [("r",)]


def page_of(root: Path, name: str) -> tuple[int, int]:
    """Where the root page of a table or index begins, and the bytes of a page."""
    [(size,)] = rows(root, "PRAGMA page_size")
    page = dict(rows(root, "SELECT name, rootpage FROM sqlite_master"))[name]
    return (page - 1) * size, size


def wipe(root: Path, name: str) -> None:
    start, size = page_of(root, name)
    with open(root / DATABASE, "r+b") as file:
        file.seek(start)
        file.write(b"\xaa" * size)


def test_a_damaged_index_costs_nothing(root: Path) -> None:
    before = rows(root, EVERY_TAG), [rows(root, query) for query in DERIVED]
    wipe(root, "tags_by_concept")
    assert verify(root).findings[0].place == DATABASE
    repaired = repair(root)
    assert (repaired.lost, repaired.left) == ((), ())
    assert (rows(root, EVERY_TAG), [rows(root, query) for query in DERIVED]) == before
    assert (repaired.kept or root).is_dir()


def test_of_a_damaged_table_the_others_are_kept_and_the_loss_is_said(root: Path) -> None:
    before, actions = rows(root, "SELECT * FROM concepts"), rows(root, "SELECT * FROM tag_actions")
    wipe(root, "tags")
    repaired = repair(root)
    assert any("rows of tags could not be read" in sentence for sentence in repaired.lost)
    assert rows(root, "SELECT * FROM concepts") == before
    assert rows(root, "SELECT * FROM tag_actions") == actions
    assert rows(root, "PRAGMA integrity_check") == [("ok",)]
    open_workspace(root)


def test_a_file_that_is_no_database_leads_to_a_backup(root: Path) -> None:
    kept, before = back_up_now(root), rows(root, EVERY_TAG)
    (root / DATABASE).write_bytes(b"x" * 8192)
    with pytest.raises(StorageProblem, match="Nothing can be read") as caught:
        repair(root)
    assert "restore" in caught.value.next_step
    restore(root, kept)
    assert rows(root, EVERY_TAG) == before
    assert verify(root).findings == ()


def test_a_backup_taken_in_use_equals_the_database_and_comes_back(root: Path) -> None:
    workspace = open_workspace(root)
    before = rows(root, EVERY_TAG)
    with workspace.writing():
        made = back_up_now(root)
    with closing(sqlite3.connect(made)) as copy:
        assert copy.execute(EVERY_TAG).fetchall() == before
    with workspace.reading() as session:
        session.connection()
        with pytest.raises(StorageProblem, match="in use"):
            restore(root, made)
    assert rows(root, EVERY_TAG) == before


def test_a_backup_brings_back_nobody_who_signed_out_and_is_written_down(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passwords, "_COST", 2**5)
    workspace = open_workspace(root)
    add_account(workspace, "Ann", "owner", "correct horse battery")
    token = sign_in(workspace, "Ann", "correct horse battery", "192.0.2.1")
    made = back_up_now(root)
    sign_out(workspace, token)
    _engine.cache_clear()
    gc.collect()
    restore(root, made)
    assert person_of(open_workspace(root), token) is None
    assert find_account(open_workspace(root), "Ann").role == "owner"
    told = [(each.action, each.subject) for each in entries(open_workspace(root), limit=2)]
    assert told == [("restored", made.name), ("signed in", "Ann")]


def test_a_damaged_backup_is_refused_and_the_database_stays(root: Path, tmp_path: Path) -> None:
    before = rows(root, EVERY_TAG)
    (tmp_path / "bad.db").write_bytes(b"x" * 8192)
    with pytest.raises(StorageProblem, match="no whole database"):
        restore(root, tmp_path / "bad.db")
    assert rows(root, EVERY_TAG) == before


def test_the_commands_answer_with_keys_and_codes(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*arguments: str) -> tuple[int, dict]:
        code = main(["--workspace", str(root), "--json", *arguments])
        return code, json.loads(capsys.readouterr().out)

    assert run("verify") == (0, {"whole": True, "findings": [], "analyses": 1, "runs": 0})
    code, made = run("backup", "--out", str(tmp_path / "copy.db"))
    assert (code, made["backup"]) == (0, str(tmp_path / "copy.db"))
    wipe(root, "tags")
    assert run("verify")[0] == 1
    code, answer = run("restore", "--file", str(tmp_path / "copy.db"))
    assert (code, answer["restored"]) == (0, str(tmp_path / "copy.db"))
    assert run("verify")[0] == 0
    assert run("repair") == (0, {"done": [], "lost": [], "left": [], "kept": None})
