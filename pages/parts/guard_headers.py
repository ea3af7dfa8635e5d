"""What every answer tells browsers: what a page may load, who may show it, what files may do."""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from functools import lru_cache
from pathlib import Path

import streamlit
from starlette.datastructures import MutableHeaders

_ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
}
# what lies in a workspace is never a page of ours, whatever it says it is
_OF_FILES = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox; frame-ancestors 'none'"
_INLINE = re.compile(r"<script>(.*?)</script>", re.DOTALL)
_YEAR = 365 * 24 * 3600


def add(headers: MutableHeaders, path: str, *, secure: bool, shared: bool) -> None:
    """path: without what every address begins with. secure: by https. shared: people sign in."""
    for name, value in _ALWAYS.items():
        headers[name] = value
    # every page of ours is of this origin
    del headers["access-control-allow-origin"]
    is_file = path.startswith("/media/")
    if is_file:
        headers["Content-Security-Policy"] = _OF_FILES
    elif "content-security-policy" not in headers:
        headers["Content-Security-Policy"] = page_policy()
    if shared and (is_file or headers.get("content-type", "").startswith("application/json")):
        headers["Cache-Control"] = "private, no-store"
    if secure:
        headers["Strict-Transport-Security"] = f"max-age={_YEAR}"
        _lock_cookies(headers)


@lru_cache(maxsize=1)
def page_policy() -> str:
    """Scripts and data from this server only; styles inside the page, which Streamlit and our components write.

    blob: is how Streamlit runs the script of a component; the scripts that its page brings along are named by hash.
    """
    page = (Path(streamlit.__file__).parent / "static" / "index.html").read_text(encoding="utf-8")
    hashes = " ".join(f"'{hash_of(script)}'" for script in _INLINE.findall(page))
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src 'self' blob: {hashes}",
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "font-src 'self' data:",
            "media-src 'self' blob:",
            "connect-src 'self'",
            "worker-src 'self' blob:",
            "manifest-src 'self'",
            "base-uri 'none'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        )
    )


def hash_of(text: str) -> str:
    """How a policy names a script or a style within a page."""
    return f"sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _lock_cookies(headers: MutableHeaders) -> None:
    """Cookies of a page that came by https go by https only; Streamlit leaves that open."""
    cookies = headers.getlist("set-cookie")
    del headers["set-cookie"]
    for cookie in cookies:
        headers.append("set-cookie", cookie if "; secure" in cookie.lower() else f"{cookie}; Secure")
