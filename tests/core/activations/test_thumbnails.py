from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.activations.thumbnails import make_thumbnail, offsets_of, open_pack, pack, thumbnail_of
from core.datasets.images import decode


def opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


@pytest.mark.parametrize(
    ("size", "wanted"),
    [
        ((400, 200), (160, 80)),
        ((200, 400), (80, 160)),
        ((96, 64), (96, 64)),
        ((160, 160), (160, 160)),
        ((2000, 1), (160, 1)),
    ],
)
def test_longer_side_shrinks_to_the_size_and_small_images_stay(size: tuple[int, int], wanted: tuple[int, int]) -> None:
    thumbnail = opened(make_thumbnail(Image.new("RGB", size, (200, 30, 30)), 160, 80))
    assert thumbnail.size == wanted
    assert thumbnail.format == "WEBP"
    red = np.asarray(thumbnail.convert("RGB"), dtype=int).reshape(-1, 3).mean(axis=0)
    assert np.abs(red - [200, 30, 30]).max() < 12


def test_pack_gives_back_every_thumbnail_in_its_place(tmp_path: Path) -> None:
    written = [b"first", b"", b"third and longest", b"x"]
    pack(tmp_path, written)
    read = open_pack(tmp_path)
    assert len(read) == 4
    assert [read[row] for row in range(4)] == written
    with pytest.raises(IndexError):
        read[4]
    with pytest.raises(IndexError):
        read[-1]


def test_pack_of_nothing_opens(tmp_path: Path) -> None:
    pack(tmp_path, [])
    assert len(open_pack(tmp_path)) == 0


def test_offsets_start_at_zero_and_end_at_the_size() -> None:
    assert offsets_of([3, 0, 5]).tolist() == [0, 3, 3, 8]
    assert offsets_of([]).tolist() == [0]
    assert offsets_of([1]).dtype == np.int64


def encoded(image: Image.Image, **options: object) -> bytes:
    target = io.BytesIO()
    image.save(target, format="JPEG", quality=90, **options)
    return target.getvalue()


def photo(width: int = 90, height: int = 60, mode: str = "RGB") -> Image.Image:
    values = np.random.default_rng(0).integers(0, 256, size=(height // 6, width // 6, 3), dtype=np.uint8)
    return Image.fromarray(values).resize((width, height), Image.Resampling.BICUBIC).convert(mode)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}, {"restart_marker_blocks": 2}])
def test_small_jpeg_is_its_own_thumbnail_without_what_stood_beside_the_picture(
    tmp_path: Path, options: dict[str, object]
) -> None:
    content = encoded(photo(), comment=b"taken by Nobody", icc_profile=b"a long profile" * 40, **options)
    (tmp_path / "a.JPG").write_bytes(content + b"trailing")
    for source in (tmp_path / "a.JPG", content):
        thumbnail = thumbnail_of(source, decode(source, 10**6), 160, 80)
        assert opened(thumbnail).format == "JPEG"
        assert thumbnail.endswith(b"\xff\xd9")
        assert b"Nobody" not in thumbnail
        assert b"profile" not in thumbnail
        np.testing.assert_array_equal(np.asarray(opened(thumbnail)), np.asarray(decode(source, 10**6)))


def test_everything_else_becomes_webp(tmp_path: Path) -> None:
    lying = Image.Exif()
    lying[0x0112] = 6
    target = io.BytesIO()
    photo().save(target, format="PNG")
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, size=(150, 150, 3), dtype=np.uint8))
    (tmp_path / "a.jpg").write_bytes(target.getvalue())
    sources = {
        "on its side": encoded(photo(), exif=lying),
        "grey": encoded(photo(mode="L")),
        "four colours": encoded(photo(mode="CMYK")),
        "too large a picture": encoded(photo(300, 200)),
        "too large a file": encoded(noise),
        "another format": target.getvalue(),
        "another format than its name says": tmp_path / "a.jpg",
        "pixels": np.asarray(photo()),
    }
    for name, source in sources.items():
        image = decode(source, 10**6)
        thumbnail = opened(thumbnail_of(source, image, 160, 80))
        assert (thumbnail.format, thumbnail.mode) == ("WEBP", "RGB"), name
        assert thumbnail.size == ((160, 107) if name == "too large a picture" else image.size), name


@pytest.mark.parametrize(
    "harm", [b"", b"\xff", b"\xff\xe0\x00\x01", b"\xff\xda", b"\x00\x00\x00\x00", b"\xff\xc0\x00\x02"]
)
def test_damaged_headers_are_no_thumbnails(harm: bytes) -> None:
    image = photo()
    assert opened(thumbnail_of(b"\xff\xd8" + harm, image, 160, 80)).format == "WEBP"
