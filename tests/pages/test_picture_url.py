"""Pictures travel as addresses that say what they are: a thumbnail may be WebP or JPEG."""

from __future__ import annotations

import base64
import io

import pytest
from PIL import Image

from core.activations.store import Analysis
from pages.parts import inspector, tag_card
from pages.parts.image_grid import GridImage, thumbnail_data
from pages.parts.picture_url import picture_url


def encoded(kind: str) -> bytes:
    written = io.BytesIO()
    Image.new("RGB", (8, 8), (200, 40, 10)).save(written, kind)
    return written.getvalue()


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp"])
def test_the_type_follows_from_the_bytes(kind: str) -> None:
    head, _, content = picture_url(encoded(kind)).partition(",")
    assert head == f"data:image/{kind};base64"
    assert base64.b64decode(content) == encoded(kind)


def test_every_component_gets_it(planted: Analysis, monkeypatch: pytest.MonkeyPatch) -> None:
    jpeg, address = encoded("jpeg"), picture_url(encoded("jpeg"))
    monkeypatch.setattr(type(planted), "thumbnail", lambda self, row: jpeg)
    assert thumbnail_data("k", [GridImage(id=4, thumbnail=jpeg, title="")])["thumbnails"] == {"4": address}
    first = int(planted.ids[0])
    assert tag_card.thumbnails("k", planted, [first])["thumbnails"] == {str(first): address}
    around = inspector.around(planted, 0, "cosine", lambda: None)
    assert {item["url"] for item in around["items"]} == {address}
