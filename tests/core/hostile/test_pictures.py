"""Pictures that are damaged or made to do harm: each is used or listed with a reason, none ends the pass."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.activations.extraction import analyse
from core.activations.store import Analysis
from core.classifiers.classifier import load_classifier
from core.datasets import open_dataset
from core.workspace import open_workspace

Bounds = Callable[[], AbstractContextManager[None]]
PIXELS = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)


def encoded(kind: str, pixels: np.ndarray = PIXELS, **options: object) -> bytes:
    target = io.BytesIO()
    Image.fromarray(pixels).save(target, format=kind, **options)
    return target.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, *more: bytes, data: bytes = b"") -> bytes:
    """A grey PNG that says it is so large, with chunks before its (few) pixels."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(more) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def wrong_crc(of: str) -> bytes:
    content = bytearray(encoded("PNG"))
    content[content.index(of.encode()) + 7] ^= 0xFF
    return bytes(content)


def animated() -> bytes:
    frames = [Image.new("RGB", (20, 10), colour) for colour in ("red", "blue", "blue")]
    target = io.BytesIO()
    frames[0].save(target, format="GIF", save_all=True, append_images=frames[1:], duration=[10, 10, 20], loop=0)
    return target.getvalue()


def endless_animation() -> bytes:
    """Ten thousand frames; only the first is of interest."""
    start = animated()
    first = start.index(b"\x21\xf9")
    second = start.index(b"\x21\xf9", first + 2)
    return start[:first] + start[first:second] * 10_000 + b";"


def large_tiff() -> bytes:
    """Says 60,000 x 60,000 in strips that are not there."""
    content = bytearray(encoded("TIFF", PIXELS[:, :, 0]))
    return (
        bytes(content.replace(struct.pack("<HHI", 256, 4, 1), struct.pack("<HHI", 256, 4, 1)))
        .replace(struct.pack("<HHII", 256, 4, 1, 50), struct.pack("<HHII", 256, 4, 1, 60_000))
        .replace(struct.pack("<HHII", 257, 4, 1, 40), struct.pack("<HHII", 257, 4, 1, 60_000))
    )


def bmp_upside_down() -> bytes:
    content = bytearray(encoded("BMP"))
    struct.pack_into("<ii", content, 18, -50, -(2**31))
    return bytes(content)


def broken_exif() -> bytes:
    content = encoded("JPEG")
    return content[:2] + b"\xff\xe1" + struct.pack(">H", 40) + b"Exif\0\0MM\0*" + b"\xff" * 28 + content[2:]


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n%%EOF\n"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
WHOLE_JPEG = encoded("JPEG", quality=95)

# what it is -> (name, bytes, the reason why it is left out, None where it is used)
PICTURES: dict[str, tuple[str, bytes, str | None]] = {
    "sound": ("sound.png", encoded("PNG"), None),
    "truncated JPEG": ("cut.jpg", WHOLE_JPEG[: len(WHOLE_JPEG) // 2], "damaged: image file is truncated"),
    "JPEG of its first bytes": ("start.jpg", WHOLE_JPEG[:20], "damaged|not an image"),
    # what decoders everywhere show: grey where the rest would be, and a pixel of another colour
    "JPEG that says it ends early": ("early.jpg", WHOLE_JPEG[:800] + b"\xff\xd9" + WHOLE_JPEG[900:], None),
    "PNG with pixels that are not those of its checksum": ("pixels.png", wrong_crc("IDAT"), None),
    "PNG with a header that is not that of its checksum": ("crc.png", wrong_crc("IHDR"), "damaged|not an image"),
    "PNG cut off": ("cut.png", encoded("PNG")[:3000], "damaged"),
    "WebP cut off": ("cut.webp", encoded("WEBP")[:600], "damaged|not an image"),
    "GIF cut off": ("cut.gif", animated()[:60], "damaged|not an image"),
    "decompression bomb": ("bomb.png", png(60_000, 60_000), "too large"),
    "decompression bomb below Pillow's own limit": ("bomb2.png", png(12_000, 12_000), "too large: 12000 x 12000"),
    "decompression bomb as TIFF": ("bomb.tif", large_tiff(), "too large"),
    "a side of 2^31 - 1": ("side.png", png(2**31 - 1, 1), "too large"),
    "no width": ("none.png", png(0, 5), "damaged|not an image"),
    "text that unpacks to gigabytes": (
        "text.png",
        png(5, 5, chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(2**27), 9)), data=bytes(30)),
        "damaged|too large",
    ),
    "colour profile that unpacks to gigabytes": (
        "profile.png",
        png(5, 5, chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(2**27), 9)), data=bytes(30)),
        "damaged|too large",
    ),
    "animation": ("moves.gif", animated(), None),
    "animation of ten thousand frames": ("long.gif", endless_animation(), None),
    "negative sides": ("down.bmp", bmp_upside_down(), "damaged|not an image|too large"),
    "broken Exif": ("exif.jpg", broken_exif(), None),
    "empty file": ("empty.jpg", b"", "the file is empty"),
    "text": ("text.jpg", b"This is not a picture.", "not an image"),
    "page of a browser": ("page.jpg", b"<!DOCTYPE html><title>404 Not Found</title>", "not an image"),
    "SVG with a script": ("vector.png", SVG, "not an image"),
    "PostScript, a program": ("program.jpg", EPS, "not an image"),
    "zeros": ("zeros.png", bytes(10_000), "not an image"),
    "a pickle": ("pickle.png", b"\x80\x04cos\nsystem\n(S'true'\ntR.", "not an image"),
    "another format than its ending says": ("other.png", WHOLE_JPEG, None),
    "one pixel": ("one.png", encoded("PNG", PIXELS[:1, :1]), None),
    "a line of 20,000": ("line.png", encoded("PNG", np.zeros((1, 20_000, 3), dtype=np.uint8)), None),
    "16 bits": ("deep.png", encoded("PNG", PIXELS[:, :, 0].astype(np.uint16) * 257), None),
}


@pytest.fixture(scope="module")
def analysis(model: Path, bounds: Bounds, tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    root = tmp_path_factory.mktemp("pictures")
    for index, (name, content, _) in enumerate(PICTURES.values()):
        path = root / "data" / ("cat" if index % 2 else "dog") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    workspace = open_workspace(root / "workspace")
    with bounds():
        return analyse(workspace, open_dataset(root / "data"), load_classifier(model))


@pytest.mark.parametrize("kind", PICTURES)
def test_a_picture_is_used_or_listed_with_a_reason(kind: str, analysis: Analysis) -> None:
    name, _, reason = PICTURES[kind]
    used = {Path(image).name for image in analysis.images.tolist()}
    reasons = {Path(problem.image).name: problem.reason for problem in analysis.skipped}
    assert (name in used) == (reason is None), reasons.get(name)
    if reason is not None:
        assert any(reasons[name].startswith(start) for start in reason.split("|")), reasons[name]
        assert reasons[name].isprintable()
        assert len(reasons[name]) < 200


def test_the_first_frame_of_an_animation_is_seen(analysis: Analysis) -> None:
    row = next(i for i, name in enumerate(analysis.images.tolist()) if name.endswith("moves.gif"))
    with Image.open(io.BytesIO(analysis.thumbnail(row))) as small:
        red, _, blue = small.convert("RGB").getpixel((10, 5))
    assert red > 200
    assert blue < 60
