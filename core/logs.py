"""What happened, written down for whoever runs the server: events with a level and facts, one JSON object a line.

    log = get_logger("jobs")
    log.info("a job ended", job=job.id, kind=job.kind, state=job.state)

An event is a fixed sentence; what people typed comes as a fact, never as part of it, so that a line is always one line
and a log can be searched. Facts whose name speaks of a secret are not written.

<workspace>/logs/midband.log    JSON lines, shared by the server, its workers and commands; turned over by size
stderr                          MIDBAND_LOG = text, json or off; else what the program asks for
level                           MIDBAND_LOG_LEVEL = debug, info, warning or error; else info
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from typing import Any

from core.errors import BadRequest
from core.locks import alone_in
from core.settings import DEFAULTS

STDERR, LEVEL = "MIDBAND_LOG", "MIDBAND_LOG_LEVEL"
SHOWN = ("text", "json", "off")
LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
FOLDER, FILE = "logs", "midband.log"
# characters of one fact, and of a traceback: a name may be as long as it likes
LONGEST, LONGEST_TRACE = 500, 20_000
HIDDEN = "(not written)"
_ROOT = logging.getLogger("midband")
_SECRET = re.compile(r"pass(word|wd|phrase)|secret|token|cookie|credential|authori[sz]ation|api_?key", re.IGNORECASE)
# what would move a terminal's cursor, break a line or turn the direction of reading
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class EventLogger:
    """One subject's events, by level."""

    def __init__(self, name: str) -> None:
        self._logger = _ROOT.getChild(name)

    def debug(self, event: str, **facts: object) -> None:
        self._log(logging.DEBUG, event, facts)

    def info(self, event: str, **facts: object) -> None:
        self._log(logging.INFO, event, facts)

    def warning(self, event: str, *, error: BaseException | None = None, **facts: object) -> None:
        self._log(logging.WARNING, event, facts, error)

    def error(self, event: str, *, error: BaseException | None = None, **facts: object) -> None:
        """error: whose traceback is to be written too."""
        self._log(logging.ERROR, event, facts, error)

    def _log(self, level: int, event: str, facts: Mapping[str, object], error: BaseException | None = None) -> None:
        # the event is an argument, not a format: a percent sign in it means itself
        self._logger.log(level, "%s", event, extra={"facts": facts}, exc_info=error)


def get_logger(name: str) -> EventLogger:
    return EventLogger(name)


def keep_in(workspace: Path, *, stderr: str | None = None) -> None:
    """From now on events of this process go to the workspace's log, and to stderr as `MIDBAND_LOG` says (else `stderr`,
    one of `SHOWN`; None: never). Nothing is made before there is something to write, nor where there is no such folder.

    Calling it again changes what is different. Raises `BadRequest` where the environment says what cannot be.
    """
    level = LEVELS[_chosen(LEVEL, tuple(LEVELS), "info")]
    form = "off" if stderr is None else _chosen(STDERR, SHOWN, stderr)
    wanted: list[logging.Handler] = [LogFile(file_in(workspace))]
    if form != "off":
        shown = logging.StreamHandler()
        shown.setFormatter(_Lines() if form == "json" else _Text())
        wanted.append(shown)
    stop()
    for handler in wanted:
        _ROOT.addHandler(handler)
    _ROOT.setLevel(level)
    _ROOT.propagate = False


def check_environment() -> None:
    """Raises `BadRequest` where the environment says what cannot be."""
    _chosen(LEVEL, tuple(LEVELS), "info")
    _chosen(STDERR, SHOWN, "off")


def stop() -> None:
    """Keep no log any more."""
    for old in list(_ROOT.handlers):
        _ROOT.removeHandler(old)
        old.close()


def file_in(workspace: Path) -> Path:
    return workspace.resolve() / FOLDER / FILE


def log_file() -> Path | None:
    """Where events of this process are written; None before `keep_in`."""
    return next((handler.path for handler in _ROOT.handlers if isinstance(handler, LogFile)), None)


class LogFile(logging.Handler):
    """Lines appended to a file that any number of processes share.

    Who finds it full renames it, to .1, .2 ...; the others notice that the name leads to another file now. A line is
    one write, which the system does not tear.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self._file: FileIO | None = None
        self._told = False
        self.setFormatter(_Lines())

    def emit(self, record: logging.LogRecord) -> None:
        # the caller holds this handler's lock; the two between processes are taken for turning over only
        try:
            if not self.path.parent.parent.is_dir():
                return
            self.path.parent.mkdir(exist_ok=True)
            file = self._current()
            file.write(f"{self.format(record)}\n".encode())
            if os.fstat(file.fileno()).st_size > DEFAULTS.log_bytes:
                self._turn_over()
        except (OSError, ValueError) as error:
            # a full disk must not end the work it would have told of; said once, where somebody may see it
            self._drop()
            if not self._told:
                self._told = True
                sys.stderr.write(f"The log {self.path} cannot be written: {error}\n")

    def close(self) -> None:
        self._drop()
        super().close()

    def _current(self) -> FileIO:
        if self._file is not None and not self._is_named(self._file):
            self._drop()
        if self._file is None:
            self._file = FileIO(self.path, "a")
        return self._file

    def _is_named(self, file: FileIO) -> bool:
        try:
            named, held = self.path.stat(), os.fstat(file.fileno())
        except OSError:
            return False
        return (named.st_dev, named.st_ino) == (held.st_dev, held.st_ino)

    def _turn_over(self) -> None:
        with alone_in(self.path.parent):
            # another process may have done so a moment ago
            if self.path.stat().st_size > DEFAULTS.log_bytes:
                for number in range(DEFAULTS.logs_kept, 0, -1):
                    older = self.path.with_name(f"{FILE}.{number - 1}") if number > 1 else self.path
                    with suppress(FileNotFoundError):
                        os.replace(older, self.path.with_name(f"{FILE}.{number}"))
        self._drop()

    def _drop(self) -> None:
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
            self._file = None


class _Lines(logging.Formatter):
    """One JSON object a line, of ASCII: whatever a name holds, it ends no line and turns no direction."""

    def format(self, record: logging.LogRecord) -> str:
        told: dict[str, Any] = {
            "time": _moment(record).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "subject": record.name.removeprefix("midband."),
            "event": record.getMessage()[:LONGEST],
            "pid": record.process,
            "thread": threading.current_thread().name,
            **_facts(record),
        }
        if record.exc_info:
            told["traceback"] = self.formatException(record.exc_info)[-LONGEST_TRACE:]
        return json.dumps(told)


class _Text(logging.Formatter):
    """For people: time, level, event, facts; the traceback stays in the file."""

    def format(self, record: logging.LogRecord) -> str:
        facts = "  ".join(f"{name}={value}" for name, value in _facts(record).items())
        line = f"{_moment(record):%H:%M:%S} {record.levelname.lower():7} {record.getMessage()[:LONGEST]}  {facts}"
        if record.exc_info and (raised := record.exc_info[1]) is not None:
            line += f"  {type(raised).__name__} (traceback in the log)"
        return seen(line.rstrip())


def seen(text: str) -> str:
    """Text with everything that a terminal might act upon written out: ESC becomes \\x1b."""
    return _UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def _facts(record: logging.LogRecord) -> dict[str, Any]:
    facts: Mapping[str, object] = getattr(record, "facts", {})
    return {name: HIDDEN if _SECRET.search(name) else _short(value) for name, value in facts.items()}


def _short(value: object) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value
    text = str(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def _moment(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)


def _chosen(variable: str, choices: tuple[str, ...], usual: str) -> str:
    named = os.environ.get(variable, "").strip().lower() or usual
    if named not in choices:
        raise BadRequest(f"{variable} is {named!r}.", next_step=f"Set it to one of {', '.join(choices)}.")
    return named
