"""Pictures for a large screen: the originals where thumbnails would blur, small enough to travel."""

from __future__ import annotations

import io
from functools import lru_cache
from typing import TYPE_CHECKING

from PIL import Image, ImageFilter

from core.datasets.images import UnreadableImage, decode
from core.settings import DEFAULTS
from pages.parts.picture_url import picture_url

if TYPE_CHECKING:
    from core.activations.store import Analysis

# pixels of the longer side: a fifth of a wide projector's picture
LARGE = 400
# up to here a picture is shown in its own pixels, and every one of them counts
LOSSLESS = 64


def thumbnail(analysis: Analysis, row: int) -> str:
    return picture_url(analysis.thumbnail(row))


@lru_cache(maxsize=512)
def sharp(analysis: Analysis, row: int) -> str | None:
    """The address of a larger picture, made once; None where the file cannot be read: the thumbnail stays."""
    try:
        image = decode(analysis.picture(row), DEFAULTS.max_image_pixels)
    except UnreadableImage:
        return None
    longest = max(image.size)
    if LOSSLESS < longest < LARGE:
        # smoother than a browser enlarges, and its edges are kept
        size = tuple(round(side * LARGE / longest) for side in image.size)
        image = image.resize((max(size[0], 1), max(size[1], 1)), Image.Resampling.LANCZOS)
        image = image.filter(ImageFilter.UnsharpMask(radius=0.6 * LARGE / longest, percent=60, threshold=2))
    else:
        image.thumbnail((LARGE, LARGE), reducing_gap=2.0)
    target = io.BytesIO()
    image.save(target, "WEBP", quality=90, method=2, lossless=longest <= LOSSLESS)
    return picture_url(target.getvalue())
