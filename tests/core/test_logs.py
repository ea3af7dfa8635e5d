"""The log: one JSON object a line whatever names hold, no secrets, shared by processes, turned over by size."""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from core import logs
from core.__main__ import main
from core.errors import BadRequest
from core.settings import Settings
from core.workspace import open_workspace

NASTY = 'a"b\n{"level": "error"}\r\x1b[2J\u202egpj.exe\u2028\x00' + "x" * 10_000


@pytest.fixture(autouse=True)
def _no_log_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for variable in (logs.STDERR, logs.LEVEL):
        monkeypatch.delenv(variable, raising=False)
    yield
    logs.stop()


def lines_of(workspace: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (workspace / "logs" / "midband.log").read_text("ascii").split("\n")[:-1]]


def test_a_line_is_one_object_with_facts_whatever_a_name_holds(tmp_path: Path) -> None:
    logs.keep_in(tmp_path)
    logs.get_logger("jobs").info("a job ends", job=7, name=NASTY, share=0.5, missing=None)
    (told,) = lines_of(tmp_path)
    assert (told["level"], told["subject"], told["event"]) == ("info", "jobs", "a job ends")
    assert (told["job"], told["share"], told["missing"]) == (7, 0.5, None)
    assert told["name"] == f"{NASTY[: logs.LONGEST]}…"
    assert str(told["time"]).endswith("Z")
    assert told["pid"] == os.getpid()


def test_an_event_is_no_format(tmp_path: Path) -> None:
    logs.keep_in(tmp_path)
    logs.get_logger("pages").info("100% of %s", name="%d")
    assert lines_of(tmp_path)[0]["event"] == "100% of %s"


@pytest.mark.parametrize("name", ["password", "new_password", "session_token", "cookie", "api_key", "Authorization"])
def test_facts_that_are_secrets_are_not_written(tmp_path: Path, name: str) -> None:
    logs.keep_in(tmp_path)
    logs.get_logger("access").warning("a sign-in failed", **{name: "hunter2"})
    assert "hunter2" not in (tmp_path / "logs" / "midband.log").read_text("ascii")
    assert lines_of(tmp_path)[0][name] == logs.HIDDEN


def test_people_read_text_without_control_characters_and_without_tracebacks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.keep_in(tmp_path, stderr="text")
    logs.get_logger("pages").error("a page failed", error=ZeroDivisionError("why"), name=NASTY)
    (line,) = capsys.readouterr().err.splitlines()
    assert "\x1b" not in line
    assert "\u202e" not in line
    assert "error   a page failed  name=" in line
    assert "ZeroDivisionError (traceback in the log)" in line
    assert "ZeroDivisionError: why" in str(lines_of(tmp_path)[0]["traceback"])


def test_the_level_is_chosen_and_what_is_below_it_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(logs.LEVEL, "warning")
    monkeypatch.setenv(logs.STDERR, "json")
    logs.keep_in(tmp_path, stderr="text")
    log = logs.get_logger("jobs")
    log.info("below")
    log.warning("above")
    assert [told["event"] for told in lines_of(tmp_path)] == ["above"]
    assert json.loads(capsys.readouterr().err)["event"] == "above"


def test_a_level_that_is_none_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(logs.LEVEL, "loud")
    with pytest.raises(BadRequest, match="loud"):
        logs.keep_in(tmp_path)


def test_nothing_is_made_where_there_is_no_workspace(tmp_path: Path) -> None:
    logs.keep_in(tmp_path / "typo")
    logs.get_logger("jobs").info("nobody hears")
    assert not (tmp_path / "typo").exists()


def test_a_log_that_cannot_be_written_is_told_once_and_ends_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "logs").write_text("a file where the folder should be")
    logs.keep_in(tmp_path)
    for _ in range(3):
        logs.get_logger("jobs").info("nobody hears")
    assert capsys.readouterr().err.count("cannot be written") == 1


def _write(folder: Path, who: int) -> None:
    logs.keep_in(folder)
    for number in range(200):
        logs.get_logger("jobs").info("an event", who=who, number=number, filling="y" * 300)


def test_processes_share_a_log_that_is_turned_over_without_losing_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "DEFAULTS", Settings(log_bytes=20_000, logs_kept=50))
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_write, args=(tmp_path, who)) for who in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    files = sorted((tmp_path / "logs").iterdir())
    assert len(files) > 3
    told = [json.loads(line) for file in files for line in file.read_text("ascii").splitlines()]
    assert sorted((each["who"], each["number"]) for each in told) == [(w, n) for w in range(3) for n in range(200)]


def test_older_logs_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "DEFAULTS", Settings(log_bytes=2_000, logs_kept=2))
    _write(tmp_path, 0)
    names = {file.name for file in (tmp_path / "logs").iterdir()}
    assert names <= {"midband.log", "midband.log.1", "midband.log.2"}
    assert sum(file.stat().st_size for file in (tmp_path / "logs").iterdir()) < 3 * 3_000


def test_a_command_that_changes_the_tables_says_so(tmp_path: Path) -> None:
    folder = tmp_path / "workspace"
    logs.keep_in(folder)
    open_workspace(folder)
    assert [told["event"] for told in lines_of(folder)] == ["the tables were brought up to date"]
    assert main(["jobs", "--workspace", str(folder), "--quiet"]) == 0
    assert logs.log_file() == folder / "logs" / "midband.log"
