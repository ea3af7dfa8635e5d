from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.datasets.images import UnreadableImage, decode, is_image_name

LIMIT = 10_000


def test_names() -> None:
    assert is_image_name("a/b.JPG")
    assert not is_image_name("a.jpg/b")
    assert not is_image_name("jpg")


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "CMYK", "1"])
def test_every_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("x.tif" if mode == "CMYK" else "x.png")
    Image.new(mode, (5, 3)).save(path)
    image = decode(path, LIMIT)
    assert (image.mode, image.size) == ("RGB", (5, 3))


def test_orientation_is_applied(tmp_path: Path) -> None:
    image = Image.new("RGB", (40, 20), "black")
    image.paste("white", (0, 0, 20, 20))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise: the left side comes to the top
    image.save(tmp_path / "x.jpg", exif=exif, quality=95)
    upright = decode(tmp_path / "x.jpg", LIMIT)
    assert upright.size == (20, 40)
    assert upright.getpixel((10, 5))[0] > 200
    assert upright.getpixel((10, 35))[0] < 50


def test_sixteen_bits_keep_their_shades(tmp_path: Path) -> None:
    values = np.array([[0, 257 * 50, 257 * 200, 65535]], dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / "x.png")
    assert np.asarray(decode(tmp_path / "x.png", LIMIT))[0, :, 0].tolist() == [0, 50, 200, 255]


def test_the_first_frame_of_several(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (4, 4), color) for color in ("red", "blue")]
    frames[0].save(tmp_path / "x.tif", save_all=True, append_images=frames[1:])
    assert decode(tmp_path / "x.tif", LIMIT).getpixel((0, 0)) == (255, 0, 0)


def test_too_many_pixels_are_refused_from_the_header(tmp_path: Path) -> None:
    Image.new("RGB", (200, 100)).save(tmp_path / "x.png")
    assert decode(tmp_path / "x.png", 20_000).size == (200, 100)
    with pytest.raises(UnreadableImage) as raised:
        decode(tmp_path / "x.png", 19_999)
    assert "200 x 100" in raised.value.reason


def test_damaged_files_are_unreadable_with_a_reason(tmp_path: Path) -> None:
    whole = tmp_path / "whole.png"
    Image.effect_noise((64, 64), 90).save(whole)
    data = whole.read_bytes()
    rng = np.random.default_rng(0)
    cases = {"empty": b"", "text": b"hello", "half": data[: len(data) // 2], "header": data[:30]}
    for name, content in cases.items():
        path = tmp_path / f"{name}.png"
        path.write_bytes(content)
        with pytest.raises(UnreadableImage) as raised:
            decode(path, LIMIT)
        assert raised.value.reason
    for turn in range(100):
        garbled = bytearray(data)
        for at in rng.integers(0, 200, size=5):
            garbled[at] ^= int(rng.integers(1, 256))
        (tmp_path / f"{turn}.png").write_bytes(garbled)
        # any other exception would fail the test
        with suppress(UnreadableImage):
            assert decode(tmp_path / f"{turn}.png", LIMIT).mode == "RGB"


def test_an_absent_file_and_a_folder_are_unreadable(tmp_path: Path) -> None:
    for path in (tmp_path / "none.jpg", tmp_path):
        with pytest.raises(UnreadableImage):
            decode(path, LIMIT)
