"""Signing in as people do it: nothing before, what the role allows after, nothing left behind."""

from __future__ import annotations

import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from core.access import modes
from core.access.accounts import add_account, set_password
from core.access.audit import entries
from core.activations.store import open_analysis
from core.concepts.concept import create_concept
from core.concepts.history import history
from core.demo import find_demo
from core.workspace import Workspace
from pages.parts.rooms import ROOMS
from scripts.local_app import Server, end, free_port, start_server

GOOD = "correct horse battery"
FOREIGN = "evil.example"


@pytest.fixture(scope="module")
def team(demo: Workspace) -> Workspace:
    add_account(demo, "Ann", "owner", GOOD)
    add_account(demo, "Lea", "labeller", GOOD)
    add_account(demo, "Vic", "viewer", GOOD)
    return demo


@pytest.fixture(scope="module")
def server(serve: Any, team: Workspace) -> Server:
    return serve(env={"MIDBAND_WORKSPACE": str(team.root), modes.VARIABLE: modes.PASSWORD})


@pytest.fixture
def fresh(browser: Browser) -> Iterator[BrowserContext]:
    """A browser that has never been here."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    yield context
    context.close()


def sign_in(page: Page, server: Server, name: str, path: str = "/", password: str = GOOD) -> None:
    page.goto(server.url + path)
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()


def ask(url: str, **headers: str) -> tuple[int, bytes]:
    """Without a cookie, and without following."""

    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_: Any) -> None:
            return None

    request = urllib.request.Request(url, headers={name.replace("_", "-"): value for name, value in headers.items()})
    try:
        with urllib.request.build_opener(Stay).open(request) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


@pytest.mark.parametrize("room", ROOMS)
def test_a_deep_link_first_thing_on_a_fresh_server_shows_the_sign_in_only(
    team: Workspace, fresh: BrowserContext, room: str, tmp_path: Path
) -> None:
    env = {"MIDBAND_WORKSPACE": str(team.root), modes.VARIABLE: modes.PASSWORD}
    server = start_server(log=tmp_path / "log.txt", env=env)
    try:
        page = fresh.new_page()
        connections: list[str] = []
        answers: list[str] = []
        page.on("websocket", lambda one: connections.append(one.url))
        page.on("response", lambda one: answers.append(one.url))
        page.goto(f"{server.url}/{room}?analysis={find_demo(team)}")
        expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
        assert page.locator("body").inner_text().split("\n")[0] == "Midband"
        assert page.locator("[data-testid], script").count() == 0
        assert not connections
        assert len(answers) == 2
        # not by a connection either
        assert (
            page.evaluate(
                """url => new Promise(done => {
                const socket = new WebSocket(url, ["streamlit"])
                socket.onopen = () => done("open")
                socket.onerror = () => done("refused")
            })""",
                f"{server.url.replace('http', 'ws')}/_stcore/stream",
            )
            == "refused"
        )
        assert [cookie["name"] for cookie in fresh.cookies()] == []
    finally:
        end(server.process)


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/nothing", "/live/token", "/live/token/repair", "/points/token/1,2", "/media/x.png"),
        *("/component/x/index.html", "/static/js/x.js", "/app/static/x.html", "/_stcore/host-config"),
        *("/_stcore/upload_file/a/b", "/_stcore/script-health-check", "/_stcore/stream", "//map", "/sign-in/../map"),
        *("/%2e%2e/map", "/map%00", "/healthz/", "/_stcore/agent"),
    ],
)
def test_any_other_address_first_thing_on_a_fresh_server_shows_no_more(
    team: Workspace, fresh: BrowserContext, path: str, tmp_path: Path
) -> None:
    server = start_server(
        log=tmp_path / "log.txt", env={"MIDBAND_WORKSPACE": str(team.root), modes.VARIABLE: modes.PASSWORD}
    )
    try:
        page = fresh.new_page()
        connections: list[str] = []
        page.on("websocket", lambda one: connections.append(one.url))
        answer = page.goto(server.url + path)
        assert answer is not None
        if answer.status == 404:
            assert page.locator("body").inner_text() == "There is nothing here."
        else:
            expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
        assert page.locator("[data-testid], script").count() == 0
        assert not connections
        assert fresh.cookies() == []
    finally:
        end(server.process)


@pytest.mark.parametrize(
    "path",
    [
        "/live/token",
        "/live/token/repair",
        "/points/token/1,2",
        "/media/x.png",
        "/_stcore/host-config",
        "/static/js/x.js",
    ],
)
def test_addresses_besides_pages_need_a_sign_in_and_our_name(server: Server, path: str) -> None:
    assert ask(server.url + path) == (401, b"Sign in first.")
    assert ask(server.url + path, host=FOREIGN)[0] == 403
    assert ask(server.url + path, origin=f"http://{FOREIGN}")[0] == 403


def test_without_people_the_names_are_asked_for_too(serve: Any, demo: Workspace) -> None:
    alone = serve(env={"MIDBAND_WORKSPACE": str(demo.root)})
    for path in ("/", "/live/token", "/points/token/1", "/static/js/x.js", "/_stcore/health"):
        assert ask(alone.url + path, host=FOREIGN)[0] == 403
    assert ask(f"{alone.url}/_stcore/agent/openapi.json")[0] == 404
    assert ask(f"{alone.url}/live/token")[0] == 404


def test_signing_in_leads_to_the_link_and_out_again(server: Server, team: Workspace, fresh: BrowserContext) -> None:
    page = fresh.new_page()
    sign_in(page, server, "Ann", "/glossary", password="not the password")
    expect(page.get_by_role("alert")).to_contain_text("Name and password do not go together.")
    page.get_by_label("Password").fill(GOOD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Glossary")).to_be_visible()
    expect(page).to_have_url(re.compile(r"/glossary$"))
    cookie = next(each for each in fresh.cookies() if each["name"] == "midband-session")
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Lax", "/")
    assert page.evaluate("document.cookie").find("midband-session") == -1
    page.get_by_role("button", name="Ann · owner").click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    # what the browser still holds opens nothing
    page.goto(f"{server.url}/glossary")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    said = [entry.action for entry in entries(team, actions=("signed in", "signed out", "sign-in failed"))]
    assert said[:3] == ["signed out", "signed in", "sign-in failed"]


def test_pages_break_no_rule_of_what_they_may_load(server: Server, fresh: BrowserContext) -> None:
    page = fresh.new_page()
    broken: list[str] = []
    page.on("console", lambda told: broken.append(told.text) if "Content Security Policy" in told.text else None)
    sign_in(page, server, "Ann")
    for room in ROOMS:
        page.goto(f"{server.url}/{room}")
        expect(page.get_by_role("heading").first).to_be_visible()
        expect(page.locator("[data-testid=stStatusWidget]")).to_have_count(0)
    assert broken == []


def test_a_labeller_tags_under_their_name_and_an_owner_reads_it(
    server: Server, team: Workspace, fresh: BrowserContext
) -> None:
    found = find_demo(team)
    assert found is not None
    analysis = open_analysis(team, found)
    create_concept(team, analysis.dataset_id, "water")
    page = fresh.new_page()
    sign_in(page, server, "lea", "/tag_next")
    expect(page.get_by_role("button", name="Lea · labeller")).to_be_visible()
    page.get_by_role("heading", name="Tag next").wait_for()
    page.locator("body").press("1")
    expect(page.get_by_text(re.compile("you may not", re.IGNORECASE))).to_have_count(0)
    page.goto(f"{server.url}/concepts")
    page.get_by_text("water", exact=True).first.wait_for()
    assert {step.author for step in history(team, analysis.dataset_id)} <= {"local", "Lea"}


def test_a_sign_in_that_ends_closes_what_is_open(server: Server, team: Workspace, fresh: BrowserContext) -> None:
    page = fresh.new_page()
    sign_in(page, server, "Vic", "/glossary")
    expect(page.get_by_role("heading", name="Glossary")).to_be_visible()
    set_password(team, "Vic", "another good password")
    page.get_by_role("link", name="Home").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_an_identity_provider_asks_for_people(team: Workspace, fresh: BrowserContext, tmp_path: Path) -> None:
    pytest.importorskip("authlib")
    from tests.browser.identity_provider import CLIENT, SECRET, IdentityProvider

    add_account(team, "lea@example.org", "labeller")
    provider, port = IdentityProvider(), free_port()
    secrets = tmp_path / "secrets.toml"
    secrets.write_text(
        "[auth]\n"
        f'redirect_uri = "http://127.0.0.1:{port}/oauth2callback"\ncookie_secret = "{"s" * 40}"\n'
        f'client_id = "{CLIENT}"\nclient_secret = "{SECRET}"\n'
        f'server_metadata_url = "{provider.url}/.well-known/openid-configuration"\n'
    )
    env = {"MIDBAND_WORKSPACE": str(team.root), modes.VARIABLE: modes.OIDC}
    server = start_server(log=tmp_path / "log.txt", env=env, arguments=("--secrets.files", str(secrets)), port=port)
    url = server.url
    page = fresh.new_page()
    try:
        # somebody the workspace does not know
        provider.claims = {"email": "eve@example.org", "email_verified": True}
        page.goto(f"{url}/glossary")
        page.get_by_role("link", name="Sign in with your organisation").click()
        expect(page.get_by_role("alert")).to_contain_text("eve@example.org is not among the people of this workspace.")
        # somebody who says they were somebody
        provider.claims = {"email": "lea@example.org", "email_verified": False}
        page.get_by_role("link", name="Sign in with another account").click()
        expect(page.get_by_role("alert")).to_contain_text("does not vouch for lea@example.org")
        provider.claims = {"email": "Lea@Example.org", "email_verified": True}
        page.goto(f"{url}/glossary")
        page.get_by_role("link", name=re.compile("Sign in with")).click()
        expect(page.get_by_role("heading", name="Glossary")).to_be_visible()
        expect(page).to_have_url(f"{url}/glossary")
        expect(page.get_by_role("button", name="lea@example.org · labeller")).to_be_visible()
        assert provider.asked == 3
        # the provider's answer, kept by a thief, opens nothing a second time
        kept = [cookie for cookie in fresh.cookies() if cookie["name"] != "midband-session"]
        thief = fresh.browser.new_context()
        thief.add_cookies(kept)
        stolen = thief.new_page()
        stolen.goto(f"{url}/glossary")
        expect(stolen.get_by_role("heading", name="Sign in")).to_be_visible()
        thief.close()
        page.get_by_role("button", name="lea@example.org · labeller").click()
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
        assert provider.ended == 1
        assert server.process.poll() is None
    finally:
        end(server.process)
        provider.close()
