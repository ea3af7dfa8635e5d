from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from core.classifiers import preprocessing as module
from core.classifiers import torchvision_compat
from core.classifiers.preprocessing import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Preprocessing,
    imagenet,
    preprocessing_from_dict,
    squeezed,
)
from core.errors import BadRequest


def noise(width: int, height: int) -> Image.Image:
    pixels = np.random.default_rng(width * 1000 + height).integers(0, 256, size=(height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@settings(max_examples=60, deadline=None)
@given(
    width=st.integers(1, 90),
    height=st.integers(1, 90),
    resize=st.integers(8, 40),
    crop=st.integers(8, 40),
    interpolation=st.sampled_from(["bilinear", "bicubic", "nearest"]),
)
def test_input_is_what_torchvisions_preset_makes(
    width: int, height: int, resize: int, crop: int, interpolation: str
) -> None:
    torchvision_compat.load()
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms._presets import ImageClassification

    preset = ImageClassification(
        crop_size=crop, resize_size=resize, interpolation=InterpolationMode(interpolation), antialias=True
    )
    image = noise(width, height)
    ours = Preprocessing(resize, crop, interpolation=interpolation).apply(image)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, preset(image).numpy(), atol=2e-6)


def test_squeezed_input_shows_the_whole_image() -> None:
    image = Image.new("RGB", (40, 10), (0, 0, 0))
    image.paste((255, 255, 255), (36, 0, 40, 10))
    pixels = squeezed(20).pixels(image)
    assert pixels.shape == (20, 20, 3)
    assert (pixels[:, -1] == 255).all()
    assert (pixels[:, :10] == 0).all()


def test_a_grey_image_of_the_mean_becomes_zeros() -> None:
    level = np.asarray(IMAGENET_MEAN) * 255
    values = squeezed(4).normalise(np.broadcast_to(level, (4, 4, 3)))
    np.testing.assert_allclose(values, 0, atol=1e-5)
    one_deviation_up = np.broadcast_to(level + 255 * np.asarray(IMAGENET_STD), (1, 1, 3))
    np.testing.assert_allclose(squeezed(4).normalise(one_deviation_up), 1, atol=1e-5)


def test_dictionary_brings_the_same_preprocessing_back_through_json() -> None:
    chosen = Preprocessing(50, 40, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6), "bicubic")
    assert preprocessing_from_dict(json.loads(json.dumps(chosen.to_dict()))) == chosen
    assert preprocessing_from_dict({"crop": 64}) == squeezed(64)


def test_blue_comes_first_for_a_network_that_wants_it_so() -> None:
    image = noise(30, 20)
    mean, std = (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)
    usual = Preprocessing(16, 12, mean, std).apply(image)
    turned = Preprocessing(16, 12, mean[::-1], std[::-1], colour="bgr").apply(image)
    np.testing.assert_array_equal(turned, usual[::-1])
    assert turned.flags.c_contiguous


def test_a_grey_network_gets_one_channel_as_torchvision_makes_it() -> None:
    torchvision_compat.load()
    from torchvision.transforms import functional

    image = noise(30, 20)
    chosen = Preprocessing(None, 12, (0.25,), (0.5,), colour="grey")
    made = chosen.apply(image)
    assert made.shape == (1, 12, 12)
    resized = image.resize((12, 12), Image.Resampling.BILINEAR)
    wanted = (functional.to_tensor(functional.to_grayscale(resized)).numpy() - 0.25) / 0.5
    np.testing.assert_allclose(made, wanted, atol=1e-6)
    assert chosen.pixels(image).shape == (12, 12, 1)


def test_a_grey_network_takes_the_averages_of_three_means() -> None:
    chosen = Preprocessing(None, 12, colour="grey")
    assert chosen.mean == pytest.approx((0.449,))
    assert chosen.std == pytest.approx((0.226,))
    assert preprocessing_from_dict({"crop": 12, "colour": "grey"}) == chosen


@pytest.mark.parametrize("colour", ["rgb", "bgr", "grey"])
def test_what_is_shown_is_what_the_network_gets_in_the_colours_people_see(colour: str) -> None:
    image = noise(30, 20)
    chosen = Preprocessing(16, 12, colour=colour)
    shown = chosen.shown(image)
    assert shown.shape == (12, 12, 3)
    given = chosen.pixels(image)
    np.testing.assert_array_equal(shown, given[..., ::-1] if colour == "bgr" else np.broadcast_to(given, shown.shape))


def test_colours_come_back_from_json_and_the_usual_ones_are_not_written() -> None:
    for colour in ("bgr", "grey"):
        chosen = Preprocessing(50, 40, colour=colour)
        assert preprocessing_from_dict(json.loads(json.dumps(chosen.to_dict()))) == chosen
    # ids of analyses are made of this
    assert Preprocessing(50, 40).to_dict() == {
        "resize": 50,
        "crop": 40,
        "mean": list(IMAGENET_MEAN),
        "std": list(IMAGENET_STD),
        "interpolation": "bilinear",
    }


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"crop": "wide"},
        {"crop": 0},
        {"crop": 64, "resize": -1},
        {"crop": 64, "mean": [0.5]},
        {"crop": 64, "std": [1, 0, 1]},
        {"crop": 64, "std": [float("inf"), 1, 1]},
        {"crop": 64, "mean": [float("nan"), 0, 0]},
        {"crop": 64, "interpolation": "magic"},
        {"crop": 64, "colour": "cmyk"},
        {"crop": 64, "colour": "grey", "mean": [0.1, 0.2]},
        {"crop": 64, "mean": [0.5], "std": [0.5]},
        {"crop": None},
    ],
)
def test_impossible_preprocessing_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(BadRequest):
        preprocessing_from_dict(values)


def test_imagenet_preprocessing_is_that_of_the_first_published_weights() -> None:
    assert imagenet("resnet50") == Preprocessing(256, 224)
    assert imagenet("inception_v3").crop == 299
    weights = torchvision_compat.load().models.get_model_weights("swin_t").IMAGENET1K_V1.transforms()
    assert imagenet("swin_t").resize == weights.resize_size[0]
    assert imagenet("swin_t").interpolation == "bicubic"


@pytest.mark.parametrize(("width", "height"), [(1, 65_000), (65_000, 1), (70_000, 3)])
def test_of_a_picture_like_a_line_only_the_middle_is_resized(width: int, height: int) -> None:
    """Whole, its longer side would have millions of pixels: 12 GB."""
    picture = Image.new("RGB", (width, height), "black")
    # the middle half, as a planted difference
    quarter = (width // 4, 0) if width > height else (0, height // 4)
    picture.paste("white", (*quarter, width - quarter[0], height - quarter[1]))
    seen = Preprocessing(resize=256, crop=224).pixels(picture)
    assert seen.shape == (224, 224, 3)
    assert (seen == 255).all()


def test_of_a_long_picture_the_middle_is_what_the_whole_would_show(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = noise(650, 10)
    chosen = Preprocessing(resize=20, crop=16)
    # of which the middle lies on the same pixels
    whole = chosen.pixels(picture.crop((5, 0, 645, 10)))
    monkeypatch.setattr(module, "MOST_RESIZED", 1000)
    assert np.abs(chosen.pixels(picture).astype(int) - whole).max() <= 1
