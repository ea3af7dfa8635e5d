"""One host at a time serves a workspace: over a network file system SQLite's log of writes does not hold.

<workspace>/servers/<host>-<pid>.json   one per server, its modification time the sign of life

Ages are differences of modification times in that folder, so that they follow one clock, the file server's, however the
clocks of the hosts differ. Any number of servers on one host is fine.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from core.errors import MidbandError, StorageProblem
from core.files import read_json, slug, write_json
from core.logs import get_logger
from core.workspace import Workspace

FOLDER = "servers"
# seconds between two signs of life, and after which there is no life
BEAT, STALE = 10.0, 60.0
_log = get_logger("storage")


class Lease:
    """Had until released, or until the process gave no sign of life for `STALE` seconds.

    lost: called once, with what to tell people, when another host took the workspace meanwhile: this machine slept, or
    did not reach the file server.
    """

    def __init__(self, file: Path, facts: dict[str, Any], lost: Callable[[StorageProblem], None] | None) -> None:
        self.file = file
        self._facts = facts
        self._lost = lost
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._live, name="midband-lease", daemon=True)

    def start(self) -> Lease:
        self._thread.start()
        return self

    def beat(self) -> None:
        """Give a sign of life; take the workspace again if nobody has it. Raises `OSError` where the file cannot be
        reached, `StorageProblem` where another host has the workspace by now."""
        try:
            # no times given: the file server's own clock
            os.utime(self.file)
        except FileNotFoundError:
            _take(self.file, self._facts)

    def release(self) -> None:
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()
        self.file.unlink(missing_ok=True)

    def _live(self) -> None:
        while not self._ended.wait(BEAT):
            # a network that is away for a while must not end the server
            try:
                self.beat()
            except StorageProblem as error:
                _log.error("the workspace was lost to another host", problem=str(error))
                if self._lost is not None:
                    self._lost(error)
                return
            except (MidbandError, OSError) as error:
                _log.warning("no sign of life could be given", problem=str(error))


def hold(
    workspace: Workspace,
    *,
    host: str | None = None,
    pid: int | None = None,
    lost: Callable[[StorageProblem], None] | None = None,
) -> Lease:
    """Say that a server on this host has the workspace. Raises `StorageProblem` where one on another host has it.

    host, pid: for tests; this machine and this process when left out. lost: see `Lease`.
    """
    here, number = host or socket.gethostname(), os.getpid() if pid is None else pid
    own = workspace.root / FOLDER / f"{slug(here)}-{number}.json"
    facts = {"host": here, "pid": number, "boot": boot_id()}
    _take(own, facts)
    return Lease(own, facts, lost).start()


def _take(own: Path, facts: dict[str, Any]) -> None:
    # written first, looked after: of two that begin at once, neither misses the other
    write_json(own, facts)
    for other in _living(own):
        if (named := _host(other)) != facts["host"]:
            own.unlink(missing_ok=True)
            raise StorageProblem(
                f"A server on {named} has this workspace open.",
                next_step=f"Use that one, or stop it first; if {named} is down, try again in a minute.",
                title="The workspace is in use on another machine",
            )


def boot_id() -> str:
    """Tells one start of this machine from the next; empty where the system does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _living(own: Path) -> list[Path]:
    """Other servers that gave a sign of life lately; those that did not are forgotten."""
    this_moment, found = own.stat().st_mtime, []
    for other in sorted(own.parent.glob("*.json")):
        if other == own:
            continue
        try:
            age = this_moment - other.stat().st_mtime
        except FileNotFoundError:
            continue
        if age > STALE:
            other.unlink(missing_ok=True)
        else:
            found.append(other)
    return found


def _host(file: Path) -> str:
    try:
        return str(read_json(file)["host"])
    except (OSError, ValueError, KeyError, TypeError):
        # its sign of life says that somebody is there
        return "another machine"
