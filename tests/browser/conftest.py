"""A real Chromium and real Streamlit servers for the tests of this folder.

`browser` is started once for all tests; `page` is a fresh tab at 1440 px; `serve` starts `streamlit run SCRIPT` on a
free port of 127.0.0.1 and waits until it answers. Every server is ended by its process id when its test module ends,
and what it wrote on its log is kept in the failure message when it does not start.

The tests mostly wait, for servers and for pages, so several processes share the work (`pytest -n 2 --dist loadfile`):
each has a browser of its own, each module its servers and its workspace. The demo is made once for all of them.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from core.demo import MODEL, make_demo
from core.workspace import Workspace, open_workspace
from scripts.local_app import CHROMIUM_FLAGS, ROOT, DidNotStart, Server, chromium_path, end, start_server
from tests.browser.patience import PATIENCE

playwright_api = pytest.importorskip("playwright.sync_api")

Serve = Callable[..., Server]
playwright_api.expect.set_options(timeout=PATIENCE)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder needs a browser, whether its file says so or not."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def browser() -> Iterator[playwright_api.Browser]:
    """One headless Chromium for the whole run."""
    with playwright_api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium_path(), headless=True, args=CHROMIUM_FLAGS)
        yield running
        running.close()


@pytest.fixture(scope="session")
def finished_demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo workspace, made once for all processes of the run; to be copied, never written to."""
    if not MODEL.is_file():
        pytest.skip("the demo's classifier is not in assets/ (make demo-model)")
    own = tmp_path_factory.getbasetemp()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    root = shared / "demo"
    with (shared / "demo.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (complete := shared / "demo.complete").exists():
            make_demo(open_workspace(root))
            complete.touch()
    return root


@pytest.fixture(scope="module")
def demo(finished_demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A demo workspace of the module's own."""
    root = tmp_path_factory.mktemp("copy") / "workspace"
    shutil.copytree(finished_demo, root, copy_function=_link_pictures)
    return open_workspace(root)


def _link_pictures(source: str, target: str) -> None:
    """Nobody writes to a dataset's images: a second name for the same file is enough."""
    if "/datasets/" in source and source.endswith(".jpg"):
        os.link(source, target)
    else:
        shutil.copy2(source, target)


@pytest.fixture(scope="session")
def window(browser: playwright_api.Browser) -> Iterator[playwright_api.BrowserContext]:
    """The window of all `page`s: what Streamlit's own pages are made of is fetched and compiled once per server."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    context.set_default_timeout(PATIENCE)
    yield context
    context.close()


@pytest.fixture
def page(window: playwright_api.BrowserContext) -> Iterator[playwright_api.Page]:
    """A tab of its own: no cookies, no storage of the test before."""
    window.clear_cookies()
    tab = window.new_page()
    session = window.new_cdp_session(tab)
    session.send("Storage.clearDataForOrigin", {"origin": "*", "storageTypes": "local_storage,indexeddb"})
    session.detach()
    yield tab
    for opened in window.pages:
        opened.close()


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """`serve(script, env=..., arguments=...)` starts an app and returns it once it answers; all end with the module."""
    started: list[Server] = []

    def start(
        script: Path | str = ROOT / "app.py",
        *,
        env: Mapping[str, str] | None = None,
        arguments: tuple[str, ...] = (),
    ) -> Server:
        log = tmp_path_factory.mktemp("server") / "log.txt"
        try:
            server = start_server(script, log=log, env=env, arguments=arguments)
        except DidNotStart as error:
            pytest.fail(f"streamlit: {error}")
        started.append(server)
        return server

    yield start
    # all are asked before the first is waited for
    for server in started:
        server.process.terminate()
    for server in started:
        end(server.process)


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
