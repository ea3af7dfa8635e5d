"""A few thumbnails side by side as one picture: one request, one size, the same gaps everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO

from PIL import Image, ImageOps

# pixels; twice what is shown, for sharp screens
SIDE, GAP = 120, 8


def strip(thumbnails: Sequence[bytes], places: int) -> bytes:
    """Squares cut from the middle of each thumbnail, as WebP. places: width in squares; the rest stays transparent."""
    picture = Image.new("RGBA", (places * (SIDE + GAP) - GAP, SIDE), (0, 0, 0, 0))
    for place, thumbnail in enumerate(thumbnails[:places]):
        with Image.open(BytesIO(thumbnail)) as image:
            picture.paste(ImageOps.fit(image.convert("RGB"), (SIDE, SIDE)), (place * (SIDE + GAP), 0))
    written = BytesIO()
    picture.save(written, "WEBP", quality=85)
    return written.getvalue()
