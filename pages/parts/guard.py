"""Middleware before everything that the server answers: whose name it is asked by, who asks, and what browsers may do
with the answer.

Pages, their connection, their files and our own addresses go through here alike. What a browser may reach without a
sign-in is listed; everything else is not.
"""

from __future__ import annotations

import ipaddress
import os
import re
from contextlib import nullcontext
from urllib.parse import unquote, urlencode, urlsplit

import anyio.to_thread
import streamlit as st
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.access import audit, modes
from core.access.person import LOCAL, Person, acting_as
from core.access.policy import Permission, allowed
from core.errors import MidbandError
from core.logs import get_logger
from pages.parts import gate, guard_headers, state

HOSTS = "MIDBAND_HOSTS"
OPEN_ANYWAY = "MIDBAND_OPEN_WITHOUT_SIGN_IN"
USUAL_HOSTS = ("localhost", "127.0.0.1", "::1")
SIGN_IN = "/sign-in"
# without a sign-in, where people sign in: the page for it, and whether the server lives
OPEN = (SIGN_IN, "/_stcore/health", "/healthz")
# the way to an identity provider and back
OPEN_FOR_PROVIDER = (f"{SIGN_IN}/start", "/auth/login", "/auth/logout", "/oauth2callback")
# of Streamlit, and not used here: a way to run pages without a browser, figures about the server, a run for nobody
SHUT = ("/_stcore/agent", "/_stcore/metrics", "/_stcore/script-health-check")
# files that Streamlit keeps for pages: what people brought, or what was made of it
FILES = "/media/"
UPLOADS = "/_stcore/upload_file"
_NAMED = re.compile(r"""filename\*?=(?:UTF-8'')?"?([^";]+)""", re.IGNORECASE)

log = get_logger("access")


class Guard:
    """Middleware, to be the outermost."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        path, headers = path_of(scope), Headers(scope=scope)
        secure = is_secure(scope, headers)
        answer = _Answer(send, path, secure=secure)
        if not is_host_known(headers.get("host", "")):
            await _refuse(scope, receive, answer, f"This server does not go by that name (see {HOSTS}).", 403)
        elif is_foreign(scope, headers):
            await _refuse(scope, receive, answer, "Another site asks for this.", 403)
        elif any(path == shut or path.startswith(f"{shut}/") for shut in SHUT):
            await _refuse(scope, receive, answer, "There is nothing here.", 404)
        elif not modes.signs_in():
            await self.app(scope, receive, answer)
        else:
            await self._for_somebody(scope, receive, answer, path, headers)

    async def _for_somebody(self, scope: Scope, receive: Receive, answer: _Answer, path: str, headers: Headers) -> None:
        person = await anyio.to_thread.run_sync(gate.person_in, cookie_parser(headers.get("cookie", "")))
        if person is None and is_open(path):
            await self.app(scope, receive, answer)
        elif person is None:
            await _turn_away(scope, receive, answer, headers)
        elif path.startswith(UPLOADS) and not allowed(person.role, Permission.TAG):
            await _refuse(scope, receive, answer, "You may not bring files here.", 403)
        else:
            answer.person = person
            # a connection outlives a sign-in: what runs for it asks anew each time (`gate`)
            with acting_as(person) if scope["type"] == "http" else nullcontext():
                await self.app(scope, receive, answer)


class _Answer:
    """Sends what the app answers, with what has to be said to browsers. person: who gets it."""

    def __init__(self, send: Send, path: str, *, secure: bool) -> None:
        self._send, self._path, self._secure = send, path, secure
        self._refused = False
        self.person: Person = LOCAL

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(raw=message.setdefault("headers", []))
            guard_headers.add(headers, self._path, secure=self._secure, shared=modes.signs_in())
            if self._path.startswith(FILES) and "attachment" in headers.get("content-disposition", ""):
                if not allowed(self.person.role, Permission.EXPORT):
                    self._refused = True
                    await _forbid(self._send)
                    return
                await anyio.to_thread.run_sync(_note_download, self.person, headers["content-disposition"])
        if not self._refused:
            await self._send(message)


def middleware() -> list[Middleware]:
    """For `st.App`, before all others."""
    return [Middleware(Guard)]


def require_safe_address() -> None:
    """Ends the program where strangers could reach a server at which nobody signs in."""
    try:
        signs_in = modes.signs_in()
    except MidbandError as error:
        raise SystemExit(str(error)) from None
    address = st.get_option("server.address") or ""
    if signs_in or is_loopback(address) or os.environ.get(OPEN_ANYWAY) == "1":
        return
    raise SystemExit(
        f"Midband does not start: it would be open to everybody on the network at {address or 'every address'}, and "
        "nobody has to sign in.\n"
        f"Leave --server.address at 127.0.0.1, or set {modes.VARIABLE}=password (docs/team.md says how). "
        f"{OPEN_ANYWAY}=1 starts it all the same, for a network of which you trust every machine."
    )


def is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost" or address.startswith("unix://")


def is_host_known(host: str) -> bool:
    """Whether a request's Host is one of ours: a page of another site that has its name point here is not."""
    try:
        asked = (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return False
    named = {name.strip().lower() for name in os.environ.get(HOSTS, "").split(",") if name.strip()}
    # the address it listens on is a number, which nobody can have point elsewhere
    return bool(asked) and asked in (named or {*USUAL_HOSTS, st.get_option("server.address") or "localhost"})


def is_foreign(scope: Scope, headers: Headers) -> bool:
    """Whether a page of another site asks; following a link from one is something else."""
    origin = headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != headers.get("host"):
        return True
    navigates = headers.get("sec-fetch-mode") == "navigate" and scope.get("method") in ("GET", "HEAD")
    return headers.get("sec-fetch-site") in ("cross-site", "same-site") and not navigates


def is_open(path: str) -> bool:
    """Whether one may go there without a sign-in."""
    return path in OPEN or (modes.mode() == modes.OIDC and path in OPEN_FOR_PROVIDER)


def is_secure(scope: Scope, headers: Headers) -> bool:
    """Whether the browser came by https. A proxy says so; that somebody says so untruly harms them alone."""
    return scope["scheme"] in ("https", "wss") or headers.get("x-forwarded-proto") == "https"


def base() -> str:
    """What every address of this server begins with: "" or "/midband"."""
    named = (st.get_option("server.baseUrlPath") or "").strip("/")
    return f"/{named}" if named else ""


def path_of(scope: Scope) -> str:
    """Without what every address begins with."""
    return str(scope["path"]).removeprefix(base()) or "/"


async def _turn_away(scope: Scope, receive: Receive, send: Send, headers: Headers) -> None:
    if scope["type"] == "http" and scope["method"] == "GET" and "text/html" in headers.get("accept", ""):
        query = scope["query_string"].decode("latin-1")
        target = f"{base()}{SIGN_IN}?{urlencode({'next': scope['path'] + (f'?{query}' if query else '')})}"
        await RedirectResponse(target, 303, {"Cache-Control": "no-store"})(scope, receive, send)
    else:
        await _refuse(scope, receive, send, "Sign in first.", 401)


async def _refuse(scope: Scope, receive: Receive, send: Send, sentence: str, status: int) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": sentence})
    else:
        await PlainTextResponse(sentence, status, {"Cache-Control": "no-store"})(scope, receive, send)


async def _forbid(send: Send) -> None:
    body = b"You may not download files here."
    kind = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 403, "headers": kind})
    await send({"type": "http.response.body", "body": body})


def _note_download(person: Person, disposition: str) -> None:
    found = _NAMED.search(disposition)
    try:
        audit.record(state.opened(), "downloaded", unquote(found[1]) if found else "a file", person=person)
    except MidbandError as error:
        # a disk that is full must not keep anybody from their own file
        log.error("a download is not in the audit log", problem=str(error))
