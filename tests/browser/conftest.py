"""A real Chromium and real Streamlit servers for the tests of this folder.

`browser` is started once for all tests; `page` is a fresh tab at 1440 px; `serve` starts `streamlit run SCRIPT` on a
free port of 127.0.0.1 and waits until it answers. Every server is ended by its process id when its test module ends,
and what it wrote on its log is kept in the failure message when it does not start.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

playwright_api = pytest.importorskip("playwright.sync_api")

ROOT = Path(__file__).resolve().parents[2]
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
BROWSER_FLAGS = [
    "--no-sandbox",  # containers and CI run as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # a page that a test does not look at must not fall asleep
    "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding",
]
START_SECONDS = 60.0


@dataclass(frozen=True)
class Server:
    """A running app: where it is, and what it has written on its log."""

    url: str
    log: Path
    pid: int


Serve = Callable[..., Server]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder needs a browser, whether its file says so or not."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)


def browser_path() -> str | None:
    """The Chromium to drive: what CHROMIUM names, else one on the machine, else None (Playwright's own)."""
    named = os.environ.get("CHROMIUM")
    if named:
        return named
    return next((found for name in BROWSERS if (found := shutil.which(name))), None)


@pytest.fixture(scope="session")
def browser() -> Iterator[playwright_api.Browser]:
    """One headless Chromium for the whole run."""
    with playwright_api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=browser_path(), headless=True, args=BROWSER_FLAGS)
        yield running
        running.close()


@pytest.fixture
def page(browser: playwright_api.Browser) -> Iterator[playwright_api.Page]:
    """A tab of its own: no cookies, no storage of the test before."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    context.set_default_timeout(15_000)
    yield context.new_page()
    context.close()


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """`serve(script, env=..., arguments=...)` starts an app and returns it once it answers; all end with the module."""
    started: list[subprocess.Popen[bytes]] = []

    def start(
        script: Path | str = ROOT / "app.py",
        *,
        env: Mapping[str, str] | None = None,
        arguments: tuple[str, ...] = (),
    ) -> Server:
        port = _free_port()
        log = tmp_path_factory.mktemp("server") / "log.txt"
        command = [sys.executable, "-m", "streamlit", "run", str(script)]
        command += [
            "--server.address",
            "127.0.0.1",
            "--server.port",
            str(port),
            "--server.headless",
            "true",
            *arguments,
        ]
        python_path = os.pathsep.join(part for part in (str(ROOT), os.environ.get("PYTHONPATH", "")) if part)
        with log.open("wb") as out:
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": python_path, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # its children end with it
            )
        started.append(process)
        url = f"http://127.0.0.1:{port}"
        _wait_until_healthy(process, url, log)
        return Server(url=url, log=log, pid=process.pid)

    yield start
    for process in started:
        _end(process)


def open_app(page: playwright_api.Page, server: Server, path: str = "/") -> playwright_api.Page:
    """Go to a page of the app and wait until its first run is through."""
    page.goto(server.url + path)
    page.wait_for_selector("[data-testid=stApp]")
    page.wait_for_selector("[data-testid=stAppViewContainer]")
    return page


@pytest.fixture
def visit(page: playwright_api.Page) -> Callable[..., playwright_api.Page]:
    """`visit(server, "/path")` opens the app in this test's tab."""
    return lambda server, path="/": open_app(page, server, path)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_healthy(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    # a proxy in the environment would swallow requests to this machine
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while time.monotonic() < deadline:
        if process.poll() is not None:
            pytest.fail(f"streamlit ended with {process.returncode}:\n{log.read_text(errors='replace')}")
        try:
            with opener.open(f"{url}/_stcore/health", timeout=2) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    pytest.fail(f"streamlit did not answer within {START_SECONDS:.0f} s:\n{log.read_text(errors='replace')}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask the server's process group to end, then make it."""
    for signal_number in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            return
        try:
            os.killpg(process.pid, signal_number)
            process.wait(timeout=10)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue
