"""`doctor` names what is planted and nothing else, and changes nothing; readiness is yes or no."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections import namedtuple
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from core import health
from core.__main__ import main
from core.access import modes
from core.database import JobRecord
from core.health import Check, examine, pins, readiness
from core.jobs import processes
from core.jobs.queue import submit
from core.storage import lease
from core.workspace import DATABASE, Workspace

Usage = namedtuple("Usage", "total used free")


def found(workspace: Workspace, subject: str) -> Check:
    (check,) = [check for check in examine(workspace.root).checks if check.subject == subject]
    return check


def plant_job(workspace: Workspace, **values: object) -> str:
    job = submit(workspace, "train", "Train", {"data": "x", "out": str(values)})
    with workspace.writing() as session:
        record = session.get_one(JobRecord, job.id)
        for name, value in values.items():
            setattr(record, name, value)
    return job.id


def test_a_fresh_workspace_is_fit(workspace: Workspace) -> None:
    examination = examine(workspace.root)
    assert [check for check in examination.checks if check.level == "fail"] == []
    subjects = [check.subject for check in examination.checks]
    assert {"python", "libraries", "models", "devices", "memory", "disk", "database", "jobs", "folder"} <= set(subjects)
    assert all(check.next_step for check in examination.checks if check.level != "ok")


def test_the_command_prints_one_object_and_its_code_says_whether_it_fails(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", "--workspace", str(workspace.root), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["level"] in ("ok", "warn")
    for file in workspace.root.glob(f"{DATABASE}-*"):
        file.unlink()
    (workspace.root / DATABASE).write_bytes(b"no database" * 1000)
    assert main(["doctor", "--workspace", str(workspace.root)]) == 1
    shown = capsys.readouterr().out
    assert "FAIL  database: It is damaged" in shown
    assert "-> Stop the server, then `python -m core repair`" in shown


def test_it_makes_nothing_where_there_is_no_workspace(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--workspace", str(tmp_path / "typo")]) == 0
    assert "There is no workspace" in capsys.readouterr().out
    assert not (tmp_path / "typo").exists()


def test_an_older_database_is_told_and_left_as_it_is(workspace: Workspace) -> None:
    with closing(sqlite3.connect(workspace.root / DATABASE)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0001_baseline'")
        connection.commit()
    before = (workspace.root / DATABASE).read_bytes()
    check = found(workspace, "database")
    assert (check.level, check.facts["revision"]) == ("warn", "0001_baseline")
    assert (workspace.root / DATABASE).read_bytes() == before
    assert not readiness(workspace.root).ready


def test_a_job_whose_process_is_gone_is_stuck_and_left_as_it_is(workspace: Workspace) -> None:
    job = plant_job(workspace, state="running", pid=2**22 - 1, process_started=1.0, host=processes.this_host())
    check = found(workspace, "jobs")
    assert (check.level, check.facts["stuck"]) == ("warn", [job])
    with workspace.reading() as session:
        assert session.get_one(JobRecord, job).state == "running"


def test_a_job_that_waits_without_anybody_is_told(workspace: Workspace) -> None:
    job = plant_job(workspace)
    assert found(workspace, "jobs").facts["unattended"] == [job]
    plant_job(workspace, state="paused")
    assert found(workspace, "jobs").facts["unattended"] == [job]


def test_a_process_that_outlived_its_job_is_found(workspace: Workspace) -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True)
    try:
        started = psutil.Process(child.pid).create_time()
        plant_job(workspace, state="done", pid=child.pid, process_started=started, host=processes.this_host())
        check = found(workspace, "processes")
        assert (check.level, check.facts["pids"]) == ("warn", [child.pid])
    finally:
        os.killpg(child.pid, signal.SIGKILL)
        child.communicate()
    assert found(workspace, "processes").level == "ok"


@pytest.mark.parametrize(("free", "level"), [(10**8, "fail"), (10**9, "warn"), (10**12, "ok")])
def test_disk_is_compared_with_what_waiting_jobs_need(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, free: int, level: str
) -> None:
    plant_job(workspace, needs_bytes=3 * 10**9)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**13, 10**13 - free, free))
    check = found(workspace, "disk")
    assert check.level == level
    assert "3.0 GB" in check.sentence or level == "fail"
    assert readiness(workspace.root).disk == (level != "fail")


def test_servers_that_are_gone_and_those_elsewhere_are_told_apart(workspace: Workspace) -> None:
    assert found(workspace, "servers").level == "ok"
    held = lease.hold(workspace, host="elsewhere", pid=7)
    assert "another machine" in found(workspace, "servers").sentence
    os.utime(held.file, (0, 0))
    assert found(workspace, "servers").facts == {"living": [], "stale": ["elsewhere (7)"]}
    held.release()


def test_a_folder_that_may_not_be_written_fails(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    # the tests may run as root, whom no mode of a folder keeps out
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    check = found(workspace, "folder")
    assert check.level == "fail"
    assert "may not be read and written" in check.sentence


def test_a_database_that_others_may_read_is_told_where_people_sign_in(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    (workspace.root / DATABASE).chmod(0o644)
    assert found(workspace, "folder").level == "ok"
    monkeypatch.setenv(modes.VARIABLE, modes.PASSWORD)
    assert found(workspace, "folder").level == "warn"
    assert found(workspace, "accounts").level == "warn"
    (workspace.root / DATABASE).chmod(0o600)
    assert found(workspace, "folder").level == "ok"


@pytest.mark.parametrize(("kind", "level"), [("ext4", "ok"), ("nfs4", "warn"), ("cifs", "warn")])
def test_a_network_file_system_is_told(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, kind: str, level: str
) -> None:
    part = namedtuple("part", "mountpoint fstype")
    monkeypatch.setattr(psutil, "disk_partitions", lambda all: [part("/", "ext4"), part(str(workspace.root), kind)])
    assert found(workspace, "file system").level == level


def test_settings_that_mean_nothing_fail(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIDBAND_LOG_LEVEL", "loud")
    check = found(workspace, "settings")
    assert (check.level, "loud" in check.sentence) == ("fail", True)
    monkeypatch.setenv("MIDBAND_JOB_MEMORY", "much")
    assert found(workspace, "memory").level == "fail"


def test_libraries_are_compared_with_those_tested(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    assert {"torch", "torchvision", "streamlit", "sqlalchemy"} <= set(pins())
    monkeypatch.setattr(health, "pins", lambda: {"torch": "0.0.1", "no-such-library": "1"})
    (check,) = [each for each in examine(workspace.root).checks if each.subject == "libraries"]
    assert (check.level, check.sentence) == ("fail", "Not installed: no-such-library.")
    monkeypatch.setattr(health, "pins", lambda: {"numpy": "0.0.1"})
    assert "tested: 0.0.1" in found(workspace, "libraries").sentence


def test_a_build_for_a_device_is_the_same_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "version", lambda name: "2.13.0+cpu")
    monkeypatch.setattr(health, "pins", lambda: {"torch": "2.13.0"})
    assert next(iter(health._libraries())).level == "ok"


def test_readiness_is_no_without_a_database(tmp_path: Path) -> None:
    assert not readiness(tmp_path).database
    assert not (tmp_path / DATABASE).exists()


def test_readiness_is_yes_while_somebody_writes(workspace: Workspace) -> None:
    with workspace.writing():
        assert readiness(workspace.root).ready
