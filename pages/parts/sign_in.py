"""The page to sign in, with a password or an identity provider: HTML of its own, before anything of the app is sent."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import lru_cache
from html import escape
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import streamlit as st
from anyio import CapacityLimiter, to_thread
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from core.access import modes
from core.access.accounts import anybody
from core.access.signing_in import lasts, sign_in, sign_in_as
from core.errors import MidbandError, NotAllowed
from pages.parts import gate, guard, guard_headers, shell, state
from pages.parts.component_source import source

# where somebody wanted to go before the identity provider asked for them
GOAL = "midband-goal"
# bytes of a form
LARGEST = 8192
# passwords looked at side by side; `core.access.passwords` computes two at a time
MOST_AT_ONCE = 4


def routes() -> list[Route]:
    """For `st.App`; none where nobody signs in."""
    if not modes.signs_in():
        return []
    address = guard.base() + guard.SIGN_IN
    return [
        Route(address, _page, methods=["GET"]),
        Route(address, _entered, methods=["POST"]),
        Route(f"{address}/start", _to_provider, methods=["GET"]),
    ]


def goal_of(asked: str) -> str:
    """Where to go after signing in: an address of this server, its beginning for any other."""
    parts = urlsplit(asked)
    inside = asked.startswith("/") and not asked.startswith("//") and "\\" not in asked and asked.isprintable()
    if not inside or parts.scheme or parts.netloc or parts.path.startswith(guard.base() + guard.SIGN_IN):
        return f"{guard.base()}/"
    return quote(asked, safe="/?&=%+,:;@!$'()*~-._")


async def _page(request: Request) -> Response:
    goal = goal_of(request.query_params.get("next", "/"))
    if gate.person_in(request.cookies) is not None:
        return RedirectResponse(goal, 303)
    if modes.mode() == modes.OIDC:
        return await _from_provider(request, goal)
    return await run_in_threadpool(_drawn, goal)


async def _entered(request: Request) -> Response:
    """Name and password. That another site sent them is refused by `guard`."""
    if modes.mode() != modes.PASSWORD:
        return Response(status_code=404)
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST:
            return Response(status_code=413)
    fields = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=8)
    name, password, asked = (fields.get(field, [""])[0] for field in ("name", "password", "next"))
    goal = goal_of(asked)
    try:
        token = await to_thread.run_sync(_checked, name, password, _where(request), limiter=_at_the_door())
    except MidbandError as error:
        status = 403 if isinstance(error, NotAllowed) else 503
        return await run_in_threadpool(_drawn, goal, error, name, status)
    return _let_in(request, goal, token)


def _checked(name: str, password: str, where: str) -> str:
    return sign_in(state.opened(), name, password, where)


@lru_cache(maxsize=1)
def _at_the_door() -> CapacityLimiter:
    """Threads that may be busy with passwords: a crowd that tries some must not take those of the people inside."""
    return CapacityLimiter(MOST_AT_ONCE)


async def _to_provider(request: Request) -> Response:
    if modes.mode() != modes.OIDC:
        return Response(status_code=404)
    from streamlit.auth_util import encode_provider_token

    # what st.login() does from within a page, which nobody gets before
    response = RedirectResponse(f"{guard.base()}/auth/login?provider={encode_provider_token('default')}", 303)
    goal = goal_of(request.query_params.get("next", "/"))
    response.set_cookie(
        GOAL, quote(goal, safe=""), max_age=600, path=guard.base() or "/", httponly=True, samesite="lax"
    )
    return response


async def _from_provider(request: Request, goal: str) -> Response:
    """Exchange what the identity provider said, which is good once and for minutes, for a sign-in of our own."""
    user = _identity(request)
    email = str(user.get("email", ""))
    # some providers write it as text
    if not email or str(user.get("email_verified", True)).strip().lower() not in ("true", "1"):
        problem = _unverified(email) if user else None
        return await run_in_threadpool(_drawn, goal, problem)
    proof = json.dumps([user.get(name) for name in ("iss", "sub", "iat", "nonce")])
    issued = datetime.fromtimestamp(float(user.get("iat") or 0), UTC).replace(tzinfo=None)
    try:
        token = await run_in_threadpool(sign_in_as, state.opened(), email, proof, issued, _where(request))
    except MidbandError as error:
        # one from before, or used: nothing went wrong, one only has to sign in
        told = None if error.title == "Signed out" else error
        return await run_in_threadpool(_drawn, goal, told)
    return _let_in(request, goal_of(_kept_goal(request) or goal), token)


def _identity(request: Request) -> dict[str, Any]:
    """What Streamlit's cookie says of who came back from the identity provider; {} without one that is signed."""
    from streamlit.web.server.starlette import starlette_websocket as connection
    from streamlit.web.server.starlette.starlette_server_config import USER_COOKIE_NAME

    read = connection._get_signed_cookie_with_chunks(dict(request.cookies), USER_COOKIE_NAME)
    if read is None:
        return {}
    found = json.loads(read)
    return found if isinstance(found, dict) and found.get("is_logged_in") else {}


def _kept_goal(request: Request) -> str:
    from urllib.parse import unquote

    return unquote(request.cookies.get(GOAL, ""))


def _unverified(email: str) -> NotAllowed:
    return NotAllowed(
        f"The identity provider does not vouch for {email}." if email else "The identity provider names no address.",
        next_step="Have the address confirmed there, or sign in with another one.",
        title="Not signed in",
    )


def _let_in(request: Request, goal: str, token: str) -> Response:
    response = RedirectResponse(goal, 303, {"Cache-Control": "no-store"})
    response.set_cookie(
        gate.COOKIE,
        token,
        max_age=int(lasts().total_seconds()),
        path=guard.base() or "/",
        httponly=True,
        samesite="lax",
        secure=guard.is_secure(request.scope, request.headers),
    )
    response.delete_cookie(GOAL, path=guard.base() or "/")
    return response


def _where(request: Request) -> str:
    return request.client.host if request.client else ""


def _drawn(goal: str, error: MidbandError | None = None, name: str = "", status: int = 200) -> Response:
    told = ""
    if error is not None:
        told = (
            f'<p role="alert"><strong>{escape(error.title)}.</strong> {escape(f"{error.detail} {error.next_step}")}</p>'
        )
    body = _provider_button(goal, again=error is not None) if modes.mode() == modes.OIDC else _fields(goal, name)
    style = source("sign_in", "sign_in.css")
    page = (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="robots" content="noindex"><title>Sign in · Midband</title>'
        f'<link rel="icon" href="{shell.mark()}"><style>{style}</style></head><body><main>'
        f'<p class="brand"><img src="{shell.mark()}" alt="">Midband</p><h1>Sign in</h1>{told}{body}'
        "</main></body></html>"
    )
    policy = (
        f"default-src 'none'; style-src '{guard_headers.hash_of(style)}'; img-src data:; base-uri 'none'; "
        f"form-action {'*' if modes.mode() == modes.OIDC else chr(39) + 'self' + chr(39)}; frame-ancestors 'none'"
    )
    return HTMLResponse(page, status, {"Content-Security-Policy": policy, "Cache-Control": "no-store"})


def _fields(goal: str, name: str) -> str:
    first, second = (" autofocus", "") if not name else ("", " autofocus")
    hint = "" if anybody(state.opened()) else _no_accounts()
    return (
        f'<form method="post" action="{escape(guard.base() + guard.SIGN_IN)}">'
        f'<input type="hidden" name="next" value="{escape(goal)}">'
        f'<label>Name<input name="name" value="{escape(name)}" autocomplete="username" autocapitalize="none" '
        f'spellcheck="false" maxlength="100" required{first}></label>'
        '<label>Password<input type="password" name="password" autocomplete="current-password" maxlength="1024" '
        f"required{second}></label><button>Sign in</button></form>"
        f"{hint or '<p class=more>Forgotten it? An owner of this workspace can set a new password.</p>'}"
    )


def _no_accounts() -> str:
    return (
        '<p class="more">There is no account yet. Who runs the server makes one with '
        "<code>python -m core users --add NAME --role owner</code></p>"
    )


def _provider_button(goal: str, *, again: bool) -> str:
    address = f"{guard.base()}{guard.SIGN_IN}/start?next={quote(goal, safe='')}"
    words = "Sign in with another account" if again else "Sign in with your organisation"
    return f'<a class="button" href="{escape(address)}">{words}</a>'


@lru_cache(maxsize=1)
def check_provider() -> None:
    """Ends the program where an identity provider is to ask for people and it is not said which."""
    if modes.mode() != modes.OIDC:
        return
    missing = [name for name in ("redirect_uri", "cookie_secret", "client_id") if not _told(name)]
    try:
        import authlib  # noqa: F401
    except ImportError:
        raise SystemExit("Midband does not start: `pip install -r requirements-oidc.txt` first.") from None
    if missing:
        raise SystemExit(
            f"Midband does not start: [auth] in .streamlit/secrets.toml lacks {', '.join(missing)} (docs/team.md)."
        )


def _told(name: str) -> bool:
    # without any file of secrets, asking for one of them fails
    section = st.secrets.get("auth") if st.secrets.load_if_toml_exists() else None
    return bool(section and section.get(name))
