"""One host at a time serves a workspace: over a network file system SQLite's log of writes does not hold.

<workspace>/servers/<host>-<pid>.json   one per server, its modification time the sign of life

Ages are differences of modification times in that folder, so that they follow one clock, the file server's, however the
clocks of the hosts differ. Any number of servers on one host is fine.
"""

from __future__ import annotations

import os
import socket
import threading
from contextlib import suppress
from pathlib import Path

from core.errors import StorageProblem
from core.files import read_json, slug, write_json
from core.workspace import Workspace

FOLDER = "servers"
# seconds between two signs of life, and after which there is no life
BEAT, STALE = 10.0, 60.0


class Lease:
    """Had until released, or until the process has been gone for `STALE` seconds."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._live, name="midband-lease", daemon=True)

    def start(self) -> Lease:
        self._thread.start()
        return self

    def beat(self) -> None:
        """Give a sign of life. Raises `OSError` where the file is gone."""
        # no times given: the file server's own clock
        os.utime(self.file)

    def release(self) -> None:
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()
        self.file.unlink(missing_ok=True)

    def _live(self) -> None:
        while not self._ended.wait(BEAT):
            # a network that is away for a while must not end the server
            with suppress(OSError):
                self.beat()


def hold(workspace: Workspace, *, host: str | None = None, pid: int | None = None) -> Lease:
    """Say that a server on this host has the workspace. Raises `StorageProblem` where one on another host has it.

    host, pid: for tests; this machine and this process when left out.
    """
    here, number = host or socket.gethostname(), os.getpid() if pid is None else pid
    own = workspace.root / FOLDER / f"{slug(here)}-{number}.json"
    # written first, looked after: of two that begin at once, neither misses the other
    write_json(own, {"host": here, "pid": number, "boot": boot_id()})
    for other in _living(own):
        if (named := _host(other)) != here:
            own.unlink(missing_ok=True)
            raise StorageProblem(
                f"A server on {named} has this workspace open.",
                next_step=f"Use that one, or stop it first; if {named} is down, try again in a minute.",
                title="The workspace is in use on another machine",
            )
    return Lease(own).start()


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
