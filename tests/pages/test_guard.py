"""What the server answers, and to whom: the middleware before everything else, without a browser."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
import streamlit as st
from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

from core.access import modes, passwords
from core.access.accounts import add_account
from core.access.audit import entries
from core.access.person import acting
from core.access.signing_in import sign_in, sign_out
from core.workspace import Workspace
from pages.parts import gate, guard, guard_headers, health_route, live_route, map_route
from pages.parts import sign_in as sign_in_page

GOOD = "correct horse battery"
HEADERS = {"host": "localhost:8501"}
REACHED: list[str] = []


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """What stands behind the guard: says that it was reached, and who is acting."""
    if scope["type"] == "websocket":
        REACHED.append("websocket")
        await send({"type": "websocket.accept"})
        return
    REACHED.append(f"{acting().name} {acting().role}")
    named = [(b"content-type", b"text/html"), (b"access-control-allow-origin", b"*"), (b"set-cookie", b"a=b; Path=/")]
    if scope["path"].endswith(".csv"):
        named.append((b"content-disposition", b'attachment; filename="tags.csv"'))
    await send({"type": "http.response.start", "status": 200, "headers": named})
    await send({"type": "http.response.body", "body": b"the secret of the workspace"})


def ask(
    path: str = "/", *, kind: str = "http", method: str = "GET", scheme: str = "", **headers: str
) -> dict[str, Any]:
    """Status, headers and body of an answer; of a connection, whether it was accepted."""
    given = {**HEADERS, **{name.replace("_", "-"): value for name, value in headers.items()}}
    place, _, query = path.partition("?")
    scope: Scope = {
        "type": kind,
        "method": method,
        "path": place,
        "query_string": query.encode(),
        "scheme": scheme or ("ws" if kind == "websocket" else "http"),
        "headers": [(name.encode(), value.encode()) for name, value in given.items() if value],
    }
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request", "body": b""}

    REACHED.clear()
    asyncio.run(guard.Guard(app)(scope, receive, send))
    first = sent[0]
    found = {name.decode().lower(): value.decode() for name, value in first.get("headers", [])}
    return {
        "kind": first["type"],
        "status": first.get("status"),
        "headers": found,
        "body": b"".join(message.get("body", b"") for message in sent),
    }


@pytest.fixture
def team(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    monkeypatch.setattr(passwords, "_COST", 2**5)
    monkeypatch.setattr(gate, "KEPT", 0.0)
    monkeypatch.setenv("MIDBAND_WORKSPACE", str(workspace.root))
    monkeypatch.setenv(modes.VARIABLE, modes.PASSWORD)
    for name, role in (("Ann", "owner"), ("Lea", "labeller"), ("Vic", "viewer")):
        add_account(workspace, name, role, GOOD)
    yield workspace
    gate._known.clear()


def cookie_of(workspace: Workspace, name: str) -> str:
    return f"{gate.COOKIE}={sign_in(workspace, name, GOOD, '192.0.2.1')}"


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example",
        "evil.example:8501",
        "127.0.0.1.evil.example",
        "192.0.2.7",
        "",
        "a b",
        "[x",
    ],
)
@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_a_name_that_is_not_ours_gets_nothing(host: str, kind: str) -> None:
    answer = ask(kind=kind, host=host)
    assert not REACHED
    assert answer["kind"] == "websocket.close" or answer["status"] == 403


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:80", "127.0.0.1:8501", "[::1]:8501", "localhost.:8501"])
@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_the_names_of_this_machine_are_answered(host: str, kind: str) -> None:
    ask(kind=kind, host=host)
    assert REACHED


def test_names_are_listed_for_a_team(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(guard.HOSTS, "midband.example.org, other.example.org")
    ask(host="midband.example.org")
    assert REACHED
    ask(host="localhost:8501")
    assert not REACHED


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://localhost:9999", "http://localhost.evil:8501"]
)
@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_pages_of_other_sites_get_nothing(origin: str, kind: str) -> None:
    ask("/_stcore/stream", kind=kind, origin=origin)
    assert not REACHED
    ask("/_stcore/stream", kind=kind, origin="http://localhost:8501")
    assert REACHED


def test_a_link_from_another_site_is_followed_and_nothing_else_of_it() -> None:
    ask("/map", sec_fetch_site="cross-site", sec_fetch_mode="navigate")
    assert REACHED
    for mode, method in (("no-cors", "GET"), ("cors", "GET"), ("navigate", "POST")):
        assert ask("/live/x", method=method, sec_fetch_site="cross-site", sec_fetch_mode=mode)["status"] == 403
        assert not REACHED


@pytest.mark.parametrize(
    "path", ["/_stcore/agent/interact", "/_stcore/agent/mcp", "/_stcore/agent", "/_stcore/metrics"]
)
def test_what_streamlit_has_besides_pages_is_shut_for_everybody(team: Workspace, path: str) -> None:
    assert ask(path, method="POST", cookie=cookie_of(team, "Ann"))["status"] == 404
    assert not REACHED


def test_one_person_on_one_machine_needs_no_sign_in() -> None:
    assert ask("/map")["status"] == 200
    assert REACHED == ["local owner"]


# every kind of address that the server has
ADDRESSES = (
    *("/", "/map", "/load", "/present?analysis=1", "/nothing"),
    *(live_route.path("token"), live_route.repair_path("token"), map_route.path("token") + "/3,17"),
    *("/media/abc.png", "/media/tags.csv", "/component/x/index.html", "/_stcore/bidi-components/x/y.js"),
    *("/static/js/index.js", "/app/static/x", "/_stcore/host-config", "/_stcore/upload_file/a/b", "/_stcore/stream"),
    *(
        "/sign-in/",
        "/sign-in/../map",
        "//sign-in",
        "/health/../map",
        "/_stcore/health/",
        "/oauth2callback",
        "/auth/login",
    ),
)


@pytest.mark.parametrize("path", ADDRESSES)
@pytest.mark.parametrize("cookie", ["", f"{gate.COOKIE}=", f"{gate.COOKIE}=guessed", "other=1", f"{gate.COOKIE}=a; ;="])
def test_without_a_sign_in_nothing_is_reached(team: Workspace, path: str, cookie: str) -> None:
    page = ask(path, cookie=cookie, accept="text/html")
    assert page["status"] == 303
    assert page["headers"]["location"].startswith("/sign-in?next=%2F")
    for method in ("GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD"):
        answer = ask(path, cookie=cookie, method=method)
        assert (answer["status"], answer["body"]) == (401, b"Sign in first.")
    assert ask(path, kind="websocket", cookie=cookie)["kind"] == "websocket.close"
    assert not REACHED


# addresses of our own, and who gets them: to be said of every new one
ROUTES = {
    "/live/{token}": "who signed in",
    "/live/{token}/repair": "who signed in",
    "/points/{token}/{rows}": "who signed in",
    "/healthz": "everybody",
    "/sign-in": "everybody",
    "/sign-in/start": "everybody",
}


@pytest.mark.parametrize("mode", [modes.PASSWORD, modes.OIDC])
def test_every_address_of_our_own_has_its_place(team: Workspace, monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    monkeypatch.setenv(modes.VARIABLE, mode)
    launcher = (Path(__file__).parents[2] / "app.py").read_text(encoding="utf-8")
    named = set(re.findall(r"\*(\w+)\.routes\(\)", launcher))
    assert named == {"sign_in", "live_route", "map_route", "health_route"}
    routes = [route for module in (sign_in_page, live_route, map_route, health_route) for route in module.routes()]
    assert {route.path for route in routes} == set(ROUTES)
    for route in routes:
        reads = route.methods <= {"GET", "HEAD"}
        assert reads or route.path == guard.SIGN_IN, "our own addresses only read, but for signing in"
        ask(route.path, cookie="other=1")
        # the way to a provider is open where there is one
        is_open = ROUTES[route.path] == "everybody" and (mode == modes.OIDC or not route.path.endswith("/start"))
        assert bool(REACHED) is is_open, route.path


def test_the_way_in_and_the_health_are_open(team: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in ("/sign-in", "/_stcore/health"):
        assert ask(path)["status"] == 200
    monkeypatch.setenv(modes.VARIABLE, modes.OIDC)
    for path in ("/sign-in/start", "/auth/login", "/auth/logout", "/oauth2callback"):
        assert ask(path)["status"] == 200


def test_with_a_sign_in_everything_is_done_in_that_name(team: Workspace) -> None:
    cookie = cookie_of(team, "Lea")
    assert ask("/map", cookie=cookie)["status"] == 200
    assert REACHED == ["Lea labeller"]
    assert ask("/_stcore/stream", kind="websocket", cookie=cookie)["kind"] == "websocket.accept"
    sign_out(team, cookie.partition("=")[2])
    assert ask("/map", cookie=cookie)["status"] == 401


def test_files_are_given_to_owners_and_written_down(team: Workspace) -> None:
    for name in ("Vic", "Lea"):
        answer = ask("/media/tags.csv", cookie=cookie_of(team, name))
        assert answer["status"] == 403
        assert b"secret" not in answer["body"]
        # a picture of a page is no download
        assert ask("/media/a.png", cookie=cookie_of(team, name))["status"] == 200
    assert ask("/media/tags.csv", cookie=cookie_of(team, "Ann"))["status"] == 200
    assert [(one.actor, one.subject) for one in entries(team, actions=("downloaded",))] == [("Ann", "tags.csv")]


def test_who_only_looks_brings_no_files(team: Workspace) -> None:
    assert ask("/_stcore/upload_file/a/b", method="PUT", cookie=cookie_of(team, "Vic"))["status"] == 403
    assert ask("/_stcore/upload_file/a/b", method="PUT", cookie=cookie_of(team, "Lea"))["status"] == 200


def test_every_answer_says_what_browsers_may_do(team: Workspace) -> None:
    for answer in (ask("/map", cookie=cookie_of(team, "Ann")), ask("/map"), ask(host="evil.example"), ask("/sign-in")):
        told = answer["headers"]
        assert told["x-content-type-options"] == "nosniff"
        assert told["x-frame-options"] == "DENY"
        assert told["cross-origin-resource-policy"] == "same-origin"
        assert told["referrer-policy"] == "same-origin"
        assert "frame-ancestors 'none'" in told["content-security-policy"]
        assert "access-control-allow-origin" not in told


def test_a_page_runs_scripts_of_this_server_only() -> None:
    parts = dict(part.split(" ", 1) for part in guard_headers.page_policy().split("; "))
    assert "unsafe" not in parts["script-src"]
    assert "*" not in guard_headers.page_policy()
    assert parts["default-src"] == "'none'"


def test_what_lies_in_a_workspace_is_never_a_page() -> None:
    told = ask("/media/report.html")["headers"]["content-security-policy"]
    assert "sandbox" in told
    assert "default-src 'none'" in told


def test_by_https_cookies_go_by_https_only() -> None:
    assert "Secure" not in ask()["headers"]["set-cookie"]
    for answer in (ask(scheme="https"), ask(x_forwarded_proto="https")):
        assert answer["headers"]["set-cookie"] == "a=b; Path=/; Secure"
        assert answer["headers"]["strict-transport-security"].startswith("max-age=")


@pytest.mark.parametrize(
    ("asked", "goal"),
    [
        ("/map?analysis=1&band=4", "/map?analysis=1&band=4"),
        ("//evil.example/x", "/"),
        ("https://evil.example", "/"),
        ("javascript:alert(1)", "/"),
        ("/\\evil.example", "/"),
        ("/\r\nSet-Cookie: a=b", "/"),
        ("map", "/"),
        ("", "/"),
        ("/sign-in?next=/sign-in", "/"),
        ("/ü<script>", "/%C3%BC%3Cscript%3E"),
    ],
)
def test_signing_in_leads_nowhere_else(asked: str, goal: str) -> None:
    assert sign_in_page.goal_of(asked) == goal


@pytest.mark.parametrize(
    ("address", "mode", "anyway", "starts"),
    [
        ("127.0.0.1", "local", "", True),
        ("localhost", "local", "", True),
        ("::1", "local", "", True),
        ("127.3.3.3", "local", "", True),
        ("unix:///run/midband.sock", "local", "", True),
        ("0.0.0.0", "local", "", False),
        ("", "local", "", False),
        ("192.0.2.1", "local", "", False),
        ("example.org", "local", "", False),
        ("0.0.0.0", "local", "1", True),
        ("0.0.0.0", "password", "", True),
        ("127.0.0.1", "nonsense", "", False),
    ],
)
def test_no_server_is_open_to_strangers_by_mistake(
    address: str, mode: str, anyway: str, starts: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(st, "get_option", lambda name: address if name == "server.address" else "")
    monkeypatch.setenv(modes.VARIABLE, mode)
    monkeypatch.setenv(guard.OPEN_ANYWAY, anyway)
    if starts:
        guard.require_safe_address()
    else:
        with pytest.raises(SystemExit, match=r"MIDBAND_ACCESS"):
            guard.require_safe_address()


def page_of(path: str, *, method: str = "GET", body: bytes = b"") -> Request:
    """A request as the page for signing in gets it."""
    scope: Scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": b"",
        "scheme": "http",
        "headers": [(b"host", b"localhost:8501")],
    }

    async def receive() -> Message:
        return {"type": "http.request", "body": body}

    return Request(scope, receive)


@pytest.mark.parametrize(
    ("verified", "enters"), [(True, True), ("true", True), (None, True), (False, False), ("false", False), ("", False)]
)
def test_an_address_that_nobody_verified_opens_nothing(
    team: Workspace, monkeypatch: pytest.MonkeyPatch, verified: object, enters: bool
) -> None:
    monkeypatch.setenv(modes.VARIABLE, modes.OIDC)
    add_account(team, "lea@example.org", "labeller")
    said = {"email": "lea@example.org", "iss": "i", "sub": "s", "iat": time.time(), "nonce": "n"}
    if verified is not None:
        said["email_verified"] = verified
    monkeypatch.setattr(sign_in_page, "_identity", lambda _: said)
    answer = asyncio.run(sign_in_page._page(page_of("/sign-in")))
    assert (gate.COOKIE in answer.headers.get("set-cookie", "")) is enters


def test_a_crowd_at_the_door_leaves_room_for_those_inside(team: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    crowd, tried = 60, threading.Semaphore(0)
    open_again = threading.Event()

    def slow(*_: object) -> str:
        tried.release()
        assert open_again.wait(30)
        return "token"

    monkeypatch.setattr(sign_in_page, "sign_in", slow)
    body = b"name=Ann&password=x"

    async def all_at_once() -> list[int]:
        sign_in_page._at_the_door.cache_clear()
        waiting = [
            asyncio.create_task(sign_in_page._entered(page_of("/sign-in", method="POST", body=body)))
            for _ in range(crowd)
        ]
        try:
            await anyio.to_thread.run_sync(tried.acquire, limiter=anyio.CapacityLimiter(1))
            # whoever is inside asks in a thread of the common ones: as many as there are have to be free but for a few
            limiter = anyio.to_thread.current_default_thread_limiter()
            for _ in range(crowd):
                await asyncio.sleep(0)
            assert limiter.borrowed_tokens == 0
        finally:
            open_again.set()
        return [answer.status_code for answer in await asyncio.gather(*waiting)]

    assert asyncio.run(all_at_once()) == [303] * crowd
    sign_in_page._at_the_door.cache_clear()
