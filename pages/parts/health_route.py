"""`/healthz`: whether the server lives and is ready, for whoever watches over it (a load balancer, a container).

Open to everybody, so it says no more than yes or no; what is missing is told to whoever may look at the workspace.
"""

from __future__ import annotations

import threading
import time
from typing import Any

import streamlit as st
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from core.access.person import acting
from core.errors import NotAllowed
from core.health import Readiness, readiness
from core.logs import get_logger
from pages.parts import state

ADDRESS = "/healthz"
# seconds for which an answer is given again: strangers may ask as often as they like
KEPT = 1.0

log = get_logger("server")
_lock = threading.Lock()
_last: tuple[float, Readiness] | None = None


def routes() -> list[Route]:
    """For `st.App`: read-only."""
    base = (st.get_option("server.baseUrlPath") or "").strip("/")
    return [Route(f"{'/' + base if base else ''}{ADDRESS}", answer, methods=["GET"])]


def answer(request: Request) -> Response:
    """200 where it is ready, else 503. In a thread of its own: the question reads the database."""
    found = _looked()
    told: dict[str, Any] = {"live": True, "ready": found.ready}
    if _is_known():
        told |= {"database": found.database, "disk": found.disk}
    return JSONResponse(told, 200 if found.ready else 503, {"Cache-Control": "no-store"})


def _looked() -> Readiness:
    global _last
    with _lock:
        moment = time.monotonic()
        if _last is None or moment - _last[0] >= KEPT:
            found = readiness(state.workspace_folder())
            if not found.ready and (_last is None or _last[1].ready):
                log.warning("the server is not ready", database=found.database, disk=found.disk)
            _last = moment, found
        return _last[1]


def _is_known() -> bool:
    try:
        acting()
    except NotAllowed:
        return False
    return True
