"""Opening one image file, whatever is in it."""

from __future__ import annotations

import io
import warnings
from functools import cache
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

# What is decoded, by content. Pillow tries forty kinds on any file, whatever its ending, and one of them hands the file
# to Ghostscript, which runs the program that it is.
_KINDS = frozenset({"JPEG", "PNG", "WEBP", "BMP", "DIB", "GIF", "TIFF", "PPM", "JPEG2000", "AVIF"})

# what Pillow says of large or odd files is said here, per image; its own lines would go between those of the progress
warnings.filterwarnings("ignore", module=r"PIL\.")


class UnreadableImage(Exception):
    """One image that cannot be used. Not shown as an error: callers list its `reason` beside the image's name."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def is_image_name(name: str) -> bool:
    dot = name.rfind(".")
    return dot > name.rfind("/") and name[dot:].lower() in IMAGE_SUFFIXES


def decode(source: Path | bytes | np.ndarray, max_pixels: int) -> Image.Image:
    """The image as RGB, upright (EXIF orientation applied), its first frame where there are several.

    source: a file, an encoded image, or pixels (h, w), (h, w, 1), (h, w, 3) or (h, w, 4) uint8. Transparency is
    dropped, not laid over a colour, and CMYK is converted without a profile: so do torchvision's and timm's loaders,
    and the network sees what it was trained on. 16 bits are scaled to 8, which those loaders clip.
    max_pixels: width x height, checked from the header before any pixel is decoded, so that a small file that unpacks
    to gigabytes is refused in time. Raises `UnreadableImage`.
    """
    if isinstance(source, np.ndarray):
        return _of_pixels(source, max_pixels)
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=_known_kinds()) as opened:
            _check_size(*opened.size, max_pixels)
            return _rgb(_upright(opened))
    except UnreadableImage:
        raise
    except FileNotFoundError:
        raise UnreadableImage("the file is not there any more") from None
    except PermissionError:
        raise UnreadableImage("the file may not be read") from None
    except UnidentifiedImageError:
        empty = not source if isinstance(source, bytes) else source.stat().st_size == 0
        raise UnreadableImage("the file is empty" if empty else "not an image of a known kind") from None
    except Image.DecompressionBombError:
        raise UnreadableImage(f"too large (the limit is {max_pixels:,} pixels)") from None
    except Exception as error:
        # Pillow's decoders raise OSError, SyntaxError, ValueError, struct.error, zlib.error, IndexError and more on
        # damaged files; each of them means the same to the caller, and one bad file must not end a pass over a million.
        raise UnreadableImage(f"damaged: {str(error) or type(error).__name__}") from error


@cache
def _known_kinds() -> tuple[str, ...]:
    """Those of `_KINDS` that this Pillow has."""
    Image.init()
    return tuple(kind for kind in Image.ID if kind in _KINDS)


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise UnreadableImage(f"too large: {width} x {height} pixels (the limit is {max_pixels:,} in all)")


def _of_pixels(pixels: np.ndarray, max_pixels: int) -> Image.Image:
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] not in (1, 3, 4)):
        raise UnreadableImage(f"not a picture: numbers of shape {pixels.shape} and type {pixels.dtype}")
    if not pixels.size:
        raise UnreadableImage("a picture without pixels")
    _check_size(pixels.shape[1], pixels.shape[0], max_pixels)
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    return Image.fromarray(np.ascontiguousarray(pixels[..., :3] if pixels.ndim == 3 else pixels)).convert("RGB")


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:
        # what cameras and editors wrote beside the picture is often broken; the picture itself is not for that
        return image


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        # Pillow's own conversion clips 16 bits to 8 and turns nearly every such picture white
        values = np.asarray(image, dtype=np.float64)
        largest = values.max(initial=0, where=np.isfinite(values))
        if image.mode == "F" and largest <= 1:
            values = values * 255.0
        elif image.mode.startswith("I;16") or largest > 255:
            values = values / 257.0
        return Image.fromarray(np.clip(np.nan_to_num(values), 0, 255).astype(np.uint8)).convert("RGB")
    if image.mode == "P" and "transparency" in image.info:
        return image.convert("RGBA").convert("RGB")
    return image.convert("RGB")
