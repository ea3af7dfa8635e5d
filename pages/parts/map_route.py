"""The address the map asks for the images near the pointer: their thumbnails and what is known of them.

A run of Streamlit for each took a tenth of a second of computing, most of it a full garbage collection. Apart from
`map_pictures`, so that the server is up before numpy and the database are imported.
"""

from __future__ import annotations

import streamlit as st
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

# what is said of an image belongs to one person's view, and changes with their tags
HEADERS = {"Cache-Control": "private, no-store", "X-Content-Type-Options": "nosniff"}


def path(token: str) -> str:
    """Where a page asks, rows to follow as `/3,17`; token: what its map is known by."""
    base = st.get_option("server.baseUrlPath").strip("/")
    return f"{'/' + base if base else ''}/points/{token}"


def routes() -> list[Route]:
    """For `st.App`. Read-only; a token is as hard to guess as a password and opens the images of one investigation."""
    return [Route(path("{token}") + "/{rows}", _answer, methods=["GET"])]


def _answer(request: Request) -> Response:
    # in a thread of its own: it reads files
    from pages.parts import map_pictures

    told = map_pictures.answer(request.path_params["token"], request.path_params["rows"])
    if told is None:
        return JSONResponse({"unknown": True}, status_code=404, headers=HEADERS)
    return JSONResponse(told, headers=HEADERS)
