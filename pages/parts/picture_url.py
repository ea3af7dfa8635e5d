"""Pictures as addresses that hold them: what components show arrives with the message."""

from __future__ import annotations

import base64

# how a file of each kind begins
_BEGINNINGS = {b"\xff\xd8": "jpeg", b"\x89PNG": "png", b"RIFF": "webp"}


def picture_url(content: bytes) -> str:
    """A data URL of a JPEG, PNG or WebP file. Thumbnails are WebP or JPEG, see `core.activations.thumbnails`."""
    kind = next((kind for beginning, kind in _BEGINNINGS.items() if content.startswith(beginning)), "webp")
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"
