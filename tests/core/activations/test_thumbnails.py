from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.activations.thumbnails import make_thumbnail, offsets_of, open_pack, pack


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
