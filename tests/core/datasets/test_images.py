from __future__ import annotations

import io
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.datasets.images import UnreadableImage, decode, is_image_name

LIMIT = 10_000


def pixel(image: Image.Image) -> tuple[int, int, int]:
    red, green, blue = np.asarray(image)[0, 0].tolist()
    return red, green, blue


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


@pytest.mark.parametrize("suffix", ["gif", "webp", "png"])
def test_the_first_frame_of_an_animation(tmp_path: Path, suffix: str) -> None:
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "blue")]
    frames[0].save(tmp_path / f"x.{suffix}", save_all=True, append_images=frames[1:], duration=50)
    red, green, blue = pixel(decode(tmp_path / f"x.{suffix}", LIMIT))
    assert red > 240
    assert max(green, blue) < 15


def test_two_pictures_of_a_telephone_in_one_jpeg(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (16, 16), color) for color in ("red", "blue")]
    frames[0].save(tmp_path / "x.jpg", format="MPO", save_all=True, append_images=frames[1:])
    assert pixel(decode(tmp_path / "x.jpg", LIMIT))[0] > 240


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "gif", "tif", "bmp", "ppm", "jp2"])
def test_every_kind_of_file(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x.{suffix}"
    Image.new("RGB", (40, 30), (200, 40, 40)).save(path)
    for source in (path, path.read_bytes()):
        image = decode(source, LIMIT)
        assert (image.mode, image.size) == ("RGB", (40, 30))
        assert np.abs(np.array(pixel(image)) - (200, 40, 40)).max() < 8


def test_grey_and_cmyk_jpegs(tmp_path: Path) -> None:
    Image.new("L", (16, 16), 77).save(tmp_path / "grey.jpg")
    assert pixel(decode(tmp_path / "grey.jpg", LIMIT)) == (77, 77, 77)
    # Pillow writes CMYK inverted with Adobe's marker, as Photoshop does
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(tmp_path / "cmyk.jpg")
    red, green, blue = pixel(decode(tmp_path / "cmyk.jpg", LIMIT))
    assert red > 240
    assert max(green, blue) < 15


def test_transparency_is_dropped_as_torchvision_does(tmp_path: Path) -> None:
    pixels = np.zeros((2, 2, 4), dtype=np.uint8)
    pixels[0, 0] = (200, 100, 50, 0)
    pixels[1, 1] = (10, 20, 30, 128)
    Image.fromarray(pixels).save(tmp_path / "x.png")
    image = decode(tmp_path / "x.png", LIMIT)
    assert np.array_equal(np.asarray(image), np.asarray(Image.open(tmp_path / "x.png").convert("RGB")))
    assert pixel(image) == (200, 100, 50)


def test_a_palette_with_a_transparent_colour(tmp_path: Path) -> None:
    image = Image.new("P", (3, 3), 1)
    image.putpalette([0, 0, 0, 250, 120, 0])
    for transparency in (1, bytes([0, 128])):
        image.save(tmp_path / "x.png", transparency=transparency)
        assert pixel(decode(tmp_path / "x.png", LIMIT)) == (250, 120, 0)


def test_numbers_of_other_kinds_keep_their_shades(tmp_path: Path) -> None:
    for values, found in (
        (np.array([[0.0, 0.5, 1.0]], dtype=np.float32), [0, 127, 255]),
        (np.array([[0.0, 100.0, 255.0]], dtype=np.float32), [0, 100, 255]),
        (np.array([[np.nan, 100.0, 300.0 * 257]], dtype=np.float32), [0, 0, 255]),
        (np.array([[0, 257 * 9, 65535]], dtype=np.int32), [0, 9, 255]),
    ):
        Image.fromarray(values).save(tmp_path / "x.tif")
        assert np.asarray(decode(tmp_path / "x.tif", LIMIT))[0, :, 0].tolist() == found


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation(tmp_path: Path, orientation: int) -> None:
    made = Image.fromarray(np.arange(6, dtype=np.uint8).reshape(2, 3) * 40)
    exif = Image.Exif()
    exif[0x0112] = orientation
    made.save(tmp_path / "x.png", exif=exif)
    turns = {
        1: np.asarray(made),
        2: np.fliplr(made),
        3: np.rot90(made, 2),
        4: np.flipud(made),
        5: np.transpose(made),
        6: np.rot90(made, -1),
        7: np.rot90(np.transpose(made), 2),
        8: np.rot90(made),
    }
    assert np.array_equal(np.asarray(decode(tmp_path / "x.png", LIMIT))[..., 0], turns[orientation])


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_a_broken_orientation_does_not_spoil_the_picture(tmp_path: Path) -> None:
    for exif in (b"Exif\0\0", b"Exif\0\0nonsense", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*" + b"\xff" * 40):
        Image.new("RGB", (16, 16), (10, 200, 10)).save(tmp_path / "x.jpg", exif=exif)
        assert pixel(decode(tmp_path / "x.jpg", LIMIT))[1] > 190


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1)])
def test_very_small_and_very_long_ones(tmp_path: Path, size: tuple[int, int]) -> None:
    Image.new("L", size, 9).save(tmp_path / "x.png")
    assert decode(tmp_path / "x.png", LIMIT).size == size


def test_pixels_and_bytes_are_images_too(tmp_path: Path) -> None:
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    assert np.array_equal(np.asarray(decode(pixels, LIMIT)), pixels)
    assert np.array_equal(np.asarray(decode(pixels[:, ::-1], LIMIT)), pixels[:, ::-1])
    assert np.array_equal(np.asarray(decode(pixels[..., 0], LIMIT))[..., 2], pixels[..., 0])
    assert np.array_equal(np.asarray(decode(pixels[..., :1], LIMIT))[..., 1], pixels[..., 0])
    assert np.array_equal(np.asarray(decode(np.dstack([pixels, pixels[..., :1]]), LIMIT)), pixels)
    for odd in (pixels.astype(float), pixels[0, 0], pixels[None], np.empty((0, 3), np.uint8), pixels[..., :2]):
        with pytest.raises(UnreadableImage):
            decode(odd, LIMIT)
    with pytest.raises(UnreadableImage, match="too large"):
        decode(np.zeros((101, 100), np.uint8), LIMIT)
    for content, reason in ((b"", "empty"), (b"hello", "not an image"), (b"\x89PNG\r\n\x1a\n", "not an image|damaged")):
        with pytest.raises(UnreadableImage, match=reason):
            decode(content, LIMIT)


def test_a_bomb_in_bytes_is_refused_from_its_header() -> None:
    target = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(target, format="PNG")
    assert len(target.getvalue()) < 100_000
    with pytest.raises(UnreadableImage, match="too large"):
        decode(target.getvalue(), 100_000_000)


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
