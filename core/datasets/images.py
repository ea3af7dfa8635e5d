"""Opening one image file, whatever is in it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

IMAGE_SUFFIXES = frozenset(
    {
        ".jpg",
        ".jpeg",
        ".jfif",
        ".png",
        ".webp",
        ".bmp",
        ".gif",
        ".tif",
        ".tiff",
        ".ppm",
        ".pgm",
        ".pnm",
        ".jp2",
        ".avif",
    }
)
"""Lower-case endings of files that are taken for images."""


class UnreadableImage(Exception):
    """One image that cannot be used. Not shown as an error: callers list its `reason` beside the image's name."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def is_image_name(name: str) -> bool:
    dot = name.rfind(".")
    return dot > name.rfind("/") and name[dot:].lower() in IMAGE_SUFFIXES


def decode(path: Path, max_pixels: int) -> Image.Image:
    """The image as RGB, upright (EXIF orientation applied), its first frame where there are several.

    max_pixels: width x height, checked from the header before any pixel is decoded, so that a small file that unpacks
    to gigabytes is refused in time. Raises `UnreadableImage`.
    """
    try:
        with Image.open(path) as source:
            width, height = source.size
            if width * height > max_pixels:
                raise UnreadableImage(f"too large: {width} x {height} pixels (the limit is {max_pixels:,} in all)")
            upright = ImageOps.exif_transpose(source)
            return _rgb(upright)
    except UnreadableImage:
        raise
    except FileNotFoundError:
        raise UnreadableImage("the file is not there any more") from None
    except PermissionError:
        raise UnreadableImage("the file may not be read") from None
    except UnidentifiedImageError:
        empty = path.stat().st_size == 0
        raise UnreadableImage("the file is empty" if empty else "not an image that Pillow knows") from None
    except Image.DecompressionBombError:
        raise UnreadableImage(f"too large (the limit is {max_pixels:,} pixels)") from None
    except Exception as error:
        # Pillow's decoders raise OSError, SyntaxError, ValueError, struct.error, zlib.error, IndexError and more on
        # damaged files; each of them means the same to the caller, and one bad file must not end a pass over a million.
        raise UnreadableImage(f"damaged: {str(error) or type(error).__name__}") from error


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        # Pillow's own conversion clips 16 bits to 8 and turns nearly every such picture white
        values = np.asarray(image, dtype=np.float64)
        if image.mode.startswith("I;16") or values.max(initial=0) > 255:
            values = values / 257.0
        return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8)).convert("RGB")
    if image.mode == "P" and "transparency" in image.info:
        return image.convert("RGBA").convert("RGB")
    return image.convert("RGB")
