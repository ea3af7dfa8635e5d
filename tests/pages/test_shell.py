"""The page that a browser gets before the app runs."""

from __future__ import annotations

import asyncio
import gzip
from typing import Any

import pytest

from core.activations.store import Analysis
from pages.parts import shell, theme
from pages.parts.shell import Shell

from .conftest import Visit

PAGE = (
    b'<html><head><link rel="shortcut icon" href="./favicon.png" /><title>Streamlit</title></head>'
    b"<body><div id='root'></div></body></html>"
)


def answer(
    path: str = "/bands",
    *,
    accept: bytes = b"text/html",
    kind: bytes = b"text/html; charset=utf-8",
    parts: int = 1,
    encoding: bytes = b"identity",
    tag: bytes = b'"old"',
) -> tuple[dict[bytes, bytes], bytes, dict[bytes, bytes]]:
    """Headers and body that are sent for a page in `parts` parts, and the headers the app was asked with."""
    sent: list[dict[str, Any]] = []
    asked: dict[bytes, bytes] = {}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        asked.update(scope["headers"])
        headers = [(b"content-type", kind), (b"content-length", str(len(PAGE)).encode()), (b"etag", b"old")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        size = -(-len(PAGE) // parts)
        for at in range(0, len(PAGE), size):
            more = at + size < len(PAGE)
            await send({"type": "http.response.body", "body": PAGE[at : at + size], "more_body": more})

    async def receive() -> dict[str, Any]:
        return {"type": "http.request"}

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"accept", accept), (b"accept-encoding", encoding), (b"if-none-match", tag), (b"range", b"bytes=0-")]
    scope = {"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": headers}
    asyncio.run(Shell(app)(scope, receive, send))
    body = b"".join(message.get("body", b"") for message in sent)
    return {b"status": str(sent[0]["status"]).encode(), **dict(sent[0]["headers"])}, body, asked


@pytest.mark.parametrize("parts", [1, 3])
def test_a_page_comes_with_our_title_mark_and_styles(parts: int) -> None:
    headers, body, asked = answer(parts=parts)
    assert b"<title>Midband</title>" in body
    assert b'<link rel="shortcut icon" href="data:image/svg+xml;base64,' in body
    assert b"</style></body>" in body
    assert b"stMainBlockContainer" in body
    assert headers[b"content-length"] == str(len(body)).encode()
    assert headers[b"status"] == b"200"
    # what a browser kept may have other styles than those of Streamlit's tag
    assert headers[b"etag"] not in (b"old", b'"old"')
    assert b"if-none-match" not in asked
    assert b"accept-encoding" not in asked


def test_a_page_travels_packed_and_only_where_it_is_not_known_yet() -> None:
    plain, body, _ = answer()
    packed, small, _ = answer(encoding=b"gzip, deflate, br")
    assert gzip.decompress(small) == body
    assert len(small) < len(body) / 3
    assert packed[b"content-encoding"] == b"gzip"
    assert packed[b"content-length"] == str(len(small)).encode()
    assert packed[b"vary"] == b"Accept-Encoding"
    assert b"content-encoding" not in plain
    assert packed[b"etag"] != plain[b"etag"]
    again, nothing, _ = answer(encoding=b"gzip", tag=packed[b"etag"])
    assert (again[b"status"], nothing) == (b"304", b"")
    # another room has other styles and scripts
    other, whole, _ = answer("/present", encoding=b"gzip", tag=packed[b"etag"])
    assert other[b"status"] == b"200"
    assert whole


def test_a_download_passes_through_as_it_is() -> None:
    headers, body, asked = answer(kind=b"application/zip")
    assert body == PAGE
    assert headers[b"etag"] == b"old"
    assert asked[b"range"] == b"bytes=0-"


@pytest.mark.parametrize(("path", "accept"), [("/bands", b"*/*"), ("/static/js/index.js", b"text/html")])
def test_what_is_no_page_is_asked_for_as_it_was(path: str, accept: bytes) -> None:
    _, body, asked = answer(path, accept=accept)
    assert body == PAGE
    assert asked[b"accept-encoding"] == b"identity"


def test_the_stage_keeps_no_place_for_a_sidebar() -> None:
    assert b"padding-left: 248px" in shell.dressed(PAGE, "/bands")
    assert b"padding-left: 248px" not in shell.dressed(PAGE, "/present")


def test_the_stage_hides_nothing_once_another_room_is_drawn(visit: Visit, planted: Analysis) -> None:
    stage = (shell.ASSETS / "theme" / "stage.css").read_text(encoding="utf-8")
    dressed = shell.dressed(PAGE, "/present").decode()
    assert dressed.count(stage) == 1
    assert f"{shell.NO_ROOM} {{ {stage} }}" in dressed
    assert f":has(.st-key-{theme.ROOM})" in shell.NO_ROOM
    for room, key in (("home", theme.ROOM), ("bands", theme.ROOM), ("present", theme.STAGE)):
        first = visit(room).main.children[0]
        # AppTest knows no keys of containers: their ids end with them
        assert first.proto.id.endswith(f"-{key}"), room


def test_streamlits_page_has_what_is_replaced() -> None:
    page = (shell.SCRIPTS.parents[1] / "index.html").read_bytes()
    dressed = shell.dressed(page, "/")
    assert b"<title>Midband</title>" in dressed
    assert b"favicon.png" not in dressed


def test_the_scripts_named_are_streamlits() -> None:
    named = {*shell.EVERYWHERE, *(name for names in shell.WIDGETS.values() for name in names)}
    for name in named:
        assert any(script.startswith(f"{name}.") for script in shell.scripts((name,))), name


@pytest.mark.parametrize("room", ["/", *(f"/{room}" for room in shell.WIDGETS), "/present"])
def test_no_page_waits_for_the_large_script_of_charts(room: str) -> None:
    page = shell.dressed(PAGE, room)
    assert b"BidiComponent." in page
    assert b"PlotlyChart." not in page


def test_the_styles_of_charts_are_there_before_the_first() -> None:
    assert b".plot .frame" in shell.dressed(PAGE, "/results")
