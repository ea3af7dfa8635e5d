"""The app on a free port of this machine, and the Chromium to look at it with.

What browser tests, screenshots and start-up measurements share.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM_FLAGS = [
    "--no-sandbox",  # containers and CI run as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # a page that nobody looks at must not fall asleep
    "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding",
]
START_SECONDS = 60.0


class DidNotStart(Exception):
    """The server ended or never answered; the message holds its log."""


@dataclass(frozen=True)
class Server:
    """A running app: where it is, what it writes its log to, and its process."""

    url: str
    log: Path
    process: subprocess.Popen[bytes]

    @property
    def pid(self) -> int:
        return self.process.pid


def chromium_path() -> str | None:
    """The Chromium to drive: what CHROMIUM names, else one on the machine, else None (Playwright's own)."""
    return os.environ.get("CHROMIUM") or next((path for name in BROWSERS if (path := shutil.which(name))), None)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start_server(
    script: Path | str = ROOT / "app.py",
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    arguments: Sequence[str] = (),
    port: int | None = None,
) -> Server:
    """`streamlit run SCRIPT` on a port of 127.0.0.1 (a free one), once it answers. Raises `DidNotStart`."""
    port = port or free_port()
    command = [sys.executable, "-m", "streamlit", "run", str(script), "--server.address", "127.0.0.1"]
    command += ["--server.port", str(port), "--server.headless", "true", *arguments]
    path = os.pathsep.join(part for part in (str(ROOT), os.environ.get("PYTHONPATH", "")) if part)
    with log.open("wb") as out:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": path, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # its children end with it
        )
    server = Server(f"http://127.0.0.1:{port}", log, process)
    try:
        wait_until_healthy(server)
    except DidNotStart:
        end(process)
        raise
    return server


def wait_until_healthy(server: Server, seconds: float = START_SECONDS) -> None:
    """Return once the server answers. Raises `DidNotStart` with its log when it ends, or does not in time."""
    deadline = time.monotonic() + seconds
    # a proxy in the environment would swallow requests to this machine
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while time.monotonic() < deadline:
        if server.process.poll() is not None:
            raise DidNotStart(f"it ended with {server.process.returncode}:\n{server.log.read_text(errors='replace')}")
        with (
            contextlib.suppress(urllib.error.URLError, OSError),
            opener.open(f"{server.url}/_stcore/health", timeout=2),
        ):
            return
        time.sleep(0.05)
    raise DidNotStart(f"no answer within {seconds:.0f} s:\n{server.log.read_text(errors='replace')}")


def end(process: subprocess.Popen[bytes]) -> None:
    """Ask the process's group to end, then make it."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            return
        with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
            os.killpg(process.pid, number)
            process.wait(timeout=10)


@contextlib.contextmanager
def serving(workspace: Path) -> Iterator[Server]:
    """The app over a workspace, ended with the block."""
    with tempfile.TemporaryDirectory() as folder:
        server = start_server(log=Path(folder) / "log.txt", env={"MIDBAND_WORKSPACE": str(workspace)})
        try:
            yield server
        finally:
            end(server.process)
