"""The HTML that a browser gets before anything of the app runs: with our styles, and the scripts that a room will need.

Streamlit sends styles like everything else of a page, after the page's frame is drawn, and has a browser fetch the code
of a widget when the first one of its kind is to be drawn, with something else in its place till then. With both there
from the start nothing moves when they come.
"""

from __future__ import annotations

import gzip
import hashlib
import re
from base64 import b64encode
from functools import lru_cache
from pathlib import Path

import streamlit
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pages.parts import theme

ASSETS = Path(__file__).resolve().parents[2] / "assets"
# of the rooms, which draw with them
ROOMS = ("home", "concepts", "tag_next", "retrain", "results", "plot")
SCRIPTS = Path(streamlit.__file__).parent / "static" / "static" / "js"
# scripts of Streamlit by the name they have before a hash; one that a later version names otherwise is fetched late
EVERYWHERE = ("BidiComponent", "Html", "PageLink", "Button", "Selectbox", "ButtonGroup", "WidgetLabelHelpIconInline")
WIDGETS = {
    "bands": ("NumberInput", "Checkbox", "TextInput"),
    "map": ("NumberInput", "Slider", "TextInput"),
    "tag_next": ("Checkbox", "TextInput"),
    "concepts": ("TextInput", "DownloadButton", "FileUploader"),
    "load": ("TextInput", "FileUploader"),
    "retrain": ("Radio", "NumberInput", "DownloadButton"),
    "results": ("Metric",),
    "runs": ("TextArea",),
    "glossary": ("TextInput",),
}
_IMPORTED = re.compile(rb"""(?:from|import)\s*["']\./([\w.-]+\.js)["']""")

# the page until another room than the stage is drawn
NO_ROOM = f"html:not(:has(.st-key-{theme.ROOM}))"

# what would have Streamlit answer with nothing new, or with a body that cannot be read
_NOT_ASKED = {b"accept-encoding", b"if-none-match", b"if-modified-since"}
_NOT_TOLD = {b"content-length", b"content-encoding", b"etag", b"last-modified", b"vary", b"accept-ranges"}


class Shell:
    """Middleware: every other answer than a page passes through as it is."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not _asks_for_page(scope):
            await self.app(scope, receive, send)
            return
        given = dict(scope["headers"])
        asked = [(name, value) for name, value in scope["headers"] if name not in _NOT_ASKED]
        start: Message = {}
        body = bytearray()

        async def changed(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                start = message
                if not _is_page(start):
                    await send(message)
            elif not _is_page(start):
                await send(message)
            else:
                body.extend(message.get("body", b""))
                if not message.get("more_body", False):
                    packs = b"gzip" in given.get(b"accept-encoding", b"")
                    whole, tag = _ready(bytes(body), _wanted(scope["path"]), packs)
                    kept = [(name, value) for name, value in start["headers"] if name.lower() not in _NOT_TOLD]
                    kept += [(b"etag", tag), (b"vary", b"Accept-Encoding")]
                    if tag in given.get(b"if-none-match", b""):
                        await send({**start, "status": 304, "headers": kept})
                        await send({**message, "body": b""})
                        return
                    kept += [(b"content-encoding", b"gzip")] if packs else []
                    kept.append((b"content-length", str(len(whole)).encode()))
                    await send({**start, "headers": kept})
                    await send({**message, "body": whole})

        await self.app({**scope, "headers": asked}, receive, changed)


def middleware() -> list[Middleware]:
    """For `st.App`."""
    return [Middleware(Shell)]


def dressed(page: bytes, path: str) -> bytes:
    """The page with our title, mark and styles, and its scripts asked for."""
    return _dressed(page, _wanted(path))


@lru_cache(maxsize=64)
def _ready(page: bytes, room: str, packs: bool) -> tuple[bytes, bytes]:
    """The dressed page as it travels, and the tag by which a browser knows that it has it. packs: with gzip."""
    whole = _dressed(page, room)
    tag = f'"{hashlib.blake2b(whole, digest_size=16).hexdigest()}{"-gzip" * packs}"'.encode()
    return gzip.compress(whole, mtime=0) if packs else whole, tag


def _wanted(path: str) -> str:
    """The room of an address that is known here, else ""."""
    room = path.rstrip("/").rpartition("/")[2]
    return room if room in WIDGETS or room == "present" else ""


def _dressed(page: bytes, room: str) -> bytes:
    text = "\n".join(map(_style, ["theme/midband.css", *(f"{each}/{each}.css" for each in ROOMS)]))
    # they stay in the page for good, and who leaves the stage needs what stands around the other rooms
    text += f"{NO_ROOM} {{ {_style('theme/stage.css')} }}" if room == "present" else _style("theme/shell.css")
    links = "".join(
        f'<link rel="modulepreload" crossorigin href="./static/js/{name}">'
        for name in scripts((*EVERYWHERE, *WIDGETS.get(room, ())))
        if name.encode() not in page
    )
    page = page.replace(b"</head>", f"{links}</head>".encode(), 1)
    # behind the styles of the app, which then do not win where both are as specific
    page = page.replace(b"</body>", f"<style>{text}</style></body>".encode(), 1)
    page = page.replace(b"<title>Streamlit</title>", b"<title>Midband</title>", 1)
    return page.replace(b'href="./favicon.png"', f'href="{mark()}"'.encode(), 1)


def _style(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")


@lru_cache(maxsize=32)
def scripts(names: tuple[str, ...]) -> tuple[str, ...]:
    """File names of Streamlit's scripts and of all they import."""
    files = {file.name.partition(".")[0]: file.name for file in SCRIPTS.glob("*.js")}
    found: dict[str, None] = {}
    ahead = [files[name] for name in names if name in files]
    while ahead:
        name = ahead.pop()
        if name not in found and (SCRIPTS / name).is_file():
            found[name] = None
            ahead += [each.decode() for each in _IMPORTED.findall((SCRIPTS / name).read_bytes())]
    return tuple(found)


@lru_cache(maxsize=1)
def mark() -> str:
    """The mark as an address that needs no request."""
    drawn = (ASSETS / "brand" / "mark.svg").read_bytes()
    return f"data:image/svg+xml;base64,{b64encode(drawn).decode()}"


def _asks_for_page(scope: Scope) -> bool:
    if scope["type"] != "http" or scope["method"] != "GET" or "." in scope["path"].rpartition("/")[2]:
        return False
    return any(name == b"accept" and b"text/html" in value for name, value in scope["headers"])


def _is_page(start: Message) -> bool:
    headers = {name.lower(): value for name, value in start["headers"]}
    # a page that says itself what it may load is not one of Streamlit's (pages/parts/sign_in.py)
    whole = start["status"] == 200 and not {b"content-encoding", b"content-security-policy"} & set(headers)
    return whole and headers.get(b"content-type", b"").startswith(b"text/html")
