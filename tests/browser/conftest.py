"""A real Chromium and real Streamlit servers for the tests of this folder.

`browser` is started once for all tests; `page` is a fresh tab at 1440 px; `serve` starts `streamlit run SCRIPT` on a
free port of 127.0.0.1 and waits until it answers. Every server is ended by its process id when its test module ends,
and what it wrote on its log is kept in the failure message when it does not start.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from core.demo import MODEL, make_demo
from core.workspace import Workspace, open_workspace
from scripts.local_app import CHROMIUM_FLAGS, ROOT, DidNotStart, Server, chromium_path, end, start_server

playwright_api = pytest.importorskip("playwright.sync_api")

Serve = Callable[..., Server]


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
    """The demo workspace, made once for the whole run; to be copied, never written to."""
    if not MODEL.is_file():
        pytest.skip("the demo's classifier is not in assets/ (make demo-model)")
    root = tmp_path_factory.mktemp("demo") / "workspace"
    make_demo(open_workspace(root))
    return root


@pytest.fixture(scope="module")
def demo(finished_demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A demo workspace of the module's own."""
    root = tmp_path_factory.mktemp("copy") / "workspace"
    shutil.copytree(finished_demo, root)
    return open_workspace(root)


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
