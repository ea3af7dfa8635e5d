"""The addresses the browser asks about once a second: whether others tagged, and what a repair would give by now.

Apart from `live`, so that the server is up before numpy and the database are imported.
"""

from __future__ import annotations

import streamlit as st
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route


def path(token: str) -> str:
    """Where a page asks; token: what its session is known by."""
    base = st.get_option("server.baseUrlPath").strip("/")
    return f"{'/' + base if base else ''}/live/{token}"


def repair_path(token: str) -> str:
    """Where the strip of the live preview asks."""
    return f"{path(token)}/repair"


def routes() -> list[Route]:
    """For `st.App`. Read-only; a token is as hard to guess as a password and tells nothing but names and counts."""
    return [
        Route(path("{token}"), _answer, methods=["GET"]),
        Route(repair_path("{token}"), _repair, methods=["GET"]),
    ]


def _answer(request: Request) -> Response:
    # in a thread of its own: the question reads the database
    from pages.parts import live

    told = live.ask(request.path_params["token"])
    return JSONResponse(told or {"unknown": True}, status_code=200 if told else 404)


def _repair(request: Request) -> Response:
    from pages.parts import live_repair

    told = live_repair.ask(request.path_params["token"], request.query_params.get("ids", ""))
    return JSONResponse(told or {"unknown": True}, status_code=200 if told else 404)
