"""Heat maps: that a class activation map is the logit, spread over places, and is drawn where the network looked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import nn

from core.classifiers.checkpoint import ModelDescription, write_checkpoint
from core.classifiers.classifier import Classifier, load_classifier
from core.classifiers.head import Head
from core.classifiers.heatmap import (
    CAM,
    DIVERGING,
    GRAD_CAM,
    SEQUENTIAL,
    UNSEEN_LIGHT,
    Box,
    HeatMap,
    drawn,
    heat_map,
    overlaid,
    png,
    ramp,
    seen_box,
)
from core.classifiers.preprocessing import Preprocessing, squeezed
from core.errors import NotFound

NetworkMaker = Callable[..., nn.Module]


@pytest.fixture
def classifier_of(tmp_path: Path, network: NetworkMaker) -> Callable[..., Classifier]:
    def make(arch: str, *, classes: int = 3, preprocessing: Preprocessing | None = None) -> Classifier:
        path = tmp_path / f"{arch}.safetensors"
        description = ModelDescription(arch=arch, classes=None, preprocessing=preprocessing or squeezed(96))
        write_checkpoint(path, network(arch, classes).state_dict(), description)
        return load_classifier(path)

    return make


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 255, (90, 130, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((260, 180))


@pytest.mark.parametrize("arch", ["small", "resnet18", "mobilenet_v2", "densenet121", "googlenet"])
def test_the_mean_of_a_cam_plus_the_bias_is_the_logit(
    arch: str, classifier_of: Callable[..., Classifier], photo: Image.Image
) -> None:
    classifier = classifier_of(arch)
    _, logits = classifier(torch.from_numpy(classifier.preprocessing.apply(photo))[None])
    scale = float(logits.abs().max())
    for index in range(3):
        heat = heat_map(classifier, photo, index)
        assert heat.method == CAM
        assert heat.exact
        assert heat.values.mean(dtype=np.float64) + heat.bias == pytest.approx(
            float(logits[0, index]), abs=1e-4 * scale
        )
        assert heat.score == pytest.approx(float(logits[0, index]), abs=1e-4 * scale)
        assert heat.values.std() > 0, "some places say more than others"


def test_the_map_of_a_difference_is_the_difference_of_the_maps(
    classifier_of: Callable[..., Classifier], photo: Image.Image
) -> None:
    classifier = classifier_of("small")
    first, second = heat_map(classifier, photo, 0), heat_map(classifier, photo, 2)
    both = heat_map(classifier, photo, 0, minus=2)
    np.testing.assert_allclose(both.values, first.values - second.values, atol=1e-5)
    assert both.score == pytest.approx(first.score - second.score, abs=1e-5)
    assert both.limits == (-both.limits[1], both.limits[1])


def test_another_last_layer_gives_the_map_of_that_layer(
    classifier_of: Callable[..., Classifier], photo: Image.Image
) -> None:
    classifier = classifier_of("small")
    repaired = Head(classifier.head.weight * 2, classifier.head.bias + 1)
    plain, changed = heat_map(classifier, photo, 1), heat_map(classifier, photo, 1, head=repaired)
    np.testing.assert_allclose(changed.values, 2 * plain.values, rtol=1e-5)
    assert changed.bias == pytest.approx(plain.bias + 1)


class Corner(nn.Module):
    """A network whose one channel is the brightness of 16 x 16 pixel places: where it looks is known."""

    def __init__(self) -> None:
        super().__init__()
        self.see = nn.AvgPool2d(16)
        self.mix = nn.Conv2d(3, 2, 1, bias=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.mix(self.see(images)).mean((2, 3))


def planted(backbone: nn.Module, preprocessing: Preprocessing) -> Classifier:
    with torch.no_grad():
        backbone.mix.weight.copy_(torch.tensor([[1.0, 1, 1], [0, 0, 0]])[:, :, None, None])  # type: ignore[union-attr]
    return Classifier(
        name="planted",
        arch="planted",
        classes=None,
        preprocessing=preprocessing,
        head=Head(np.array([[1, 0], [-1, 0]], dtype=np.float32), np.array([0.5, 0], dtype=np.float32)),
        digest="",
        file=Path("planted"),
        backbone=backbone.eval(),
        head_name="",
    )


@pytest.mark.parametrize(("x", "y"), [(0, 0), (3, 1), (2, 3)])
def test_the_map_is_hot_where_the_planted_network_looks(x: int, y: int) -> None:
    image = Image.new("RGB", (64, 64))
    image.paste((255, 255, 255), (16 * x, 16 * y, 16 * x + 16, 16 * y + 16))
    heat = heat_map(planted(Corner(), squeezed(64)), image, 0)
    assert np.unravel_index(heat.values.argmax(), heat.values.shape) == (y, x)
    red, _, blue, alpha = np.moveaxis(np.asarray(drawn(heat, longest=64)).astype(int), 2, 0)
    lit = (red > blue) * alpha
    row, column = np.unravel_index(lit.argmax(), lit.shape)
    assert (column // 16, row // 16) == (x, y)


@pytest.mark.parametrize("arch", ["mobilenet_v3_small", "vgg11", "convnext_tiny"])
def test_networks_with_more_behind_the_last_map_get_grad_cam(
    arch: str, classifier_of: Callable[..., Classifier], photo: Image.Image
) -> None:
    classifier = classifier_of(arch)
    heat = heat_map(classifier, photo, 0)
    assert heat.method == GRAD_CAM
    assert not heat.exact
    assert (heat.values >= 0).all()
    assert min(heat.values.shape) > 1
    again = heat_map(classifier, photo, 0)
    np.testing.assert_array_equal(again.values, heat.values)
    assert not any(module._forward_hooks for module in classifier.backbone.modules())  # type: ignore[union-attr]
    assert not any(p.requires_grad for p in classifier.backbone.parameters())  # type: ignore[union-attr]


class Sees(nn.Module):
    """A map, a mean, and one more linear layer: the gradient of the logit by each channel is known."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Conv2d(3, 2, 1, bias=False)
        self.next = nn.Linear(2, 2, bias=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.next(self.mix(images).mean((2, 3)))


def test_grad_cam_is_the_papers_sum_on_a_network_done_by_hand() -> None:
    backbone = Sees()
    with torch.no_grad():
        backbone.next.weight.copy_(torch.tensor([[2.0, 0], [0, 1]]))
    classifier = planted(backbone, squeezed(8))
    image = Image.fromarray(np.random.default_rng(1).integers(0, 255, (8, 8, 3), dtype=np.uint8))
    heat = heat_map(classifier, image, 0)
    channel = classifier.preprocessing.apply(image).sum(axis=0)
    # d logit / d channel: 1 x 2, over the 64 places of the mean
    np.testing.assert_allclose(heat.values, np.maximum(2 / 64 * channel, 0), rtol=1e-4, atol=1e-6)


class SeesTwice(Sees):
    """The same module used twice, the second time on what the first gave: the last map is that of the second call."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Conv2d(3, 3, 1, bias=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.next(self.mix(self.mix(images) ** 2)[:, :2].mean((2, 3)))


def test_of_a_module_used_twice_the_last_map_counts() -> None:
    backbone = SeesTwice()
    with torch.no_grad():
        backbone.next.weight.copy_(torch.tensor([[2.0, 0], [0, 1]]))
        backbone.mix.weight.copy_(torch.tensor([[0.0, 1, 0], [0, 0, 1], [1, 0, 0]])[:, :, None, None])
    classifier = replace(planted(Sees(), squeezed(8)), backbone=backbone.eval())
    image = Image.fromarray(np.random.default_rng(1).integers(0, 255, (8, 8, 3), dtype=np.uint8))
    heat = heat_map(classifier, image, 0)
    # twice a rotation of the channels, squared between
    channel = classifier.preprocessing.apply(image)[2].astype(np.float64) ** 2
    np.testing.assert_allclose(heat.values, 2 / 64 * channel, rtol=1e-4, atol=1e-6)


class SeesInPlace(Sees):
    """What follows the map overwrites it, as ReLU(inplace=True) does in many networks."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.next((self.mix(images).relu_() * 3).mean((2, 3)))


def test_what_follows_the_map_may_work_in_place() -> None:
    backbone = SeesInPlace()
    with torch.no_grad():
        backbone.next.weight.copy_(torch.tensor([[2.0, 0], [0, 1]]))
    classifier = planted(backbone, squeezed(8))
    image = Image.fromarray(np.random.default_rng(1).integers(0, 255, (8, 8, 3), dtype=np.uint8))
    heat = heat_map(classifier, image, 0)
    channel = classifier.preprocessing.apply(image).sum(axis=0, dtype=np.float64)
    # the mean gradient: 3 x 2 / 64 where the channel is positive, nothing elsewhere
    gradient = 6 / 64 * (channel > 0).mean()
    assert 0 < (channel > 0).mean() < 1
    np.testing.assert_allclose(heat.values, np.maximum(gradient * channel, 0), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("arch", "preprocessing", "said"),
    [("vit_b_16", squeezed(224), "transformer"), ("small", squeezed(16), "single place")],
)
def test_networks_without_places_say_so(
    arch: str, preprocessing: Preprocessing, said: str, classifier_of: Callable[..., Classifier], photo: Image.Image
) -> None:
    with pytest.raises(NotFound, match=said) as caught:
        heat_map(classifier_of(arch, preprocessing=preprocessing), photo, 0)
    assert caught.value.next_step


def test_torchscript_says_that_it_cannot_be_looked_into(
    tmp_path: Path, network: NetworkMaker, photo: Image.Image
) -> None:
    path = tmp_path / "scripted.pt"
    torch.jit.script(network("small", 2)).save(str(path))
    with pytest.raises(NotFound, match="TorchScript"):
        heat_map(load_classifier(path, preprocessing=squeezed(32)), photo, 0)


def exported(network: nn.Module, path: Path, side: int) -> Classifier:
    example = torch.zeros(1, 3, side, side)
    if path.suffix == ".onnx":
        torch.onnx.export(network, (example,), str(path), dynamo=False)
    else:
        torch.export.save(torch.export.export(network, (example,)), path)
    return load_classifier(path)


@pytest.mark.parametrize("suffix", [".pt2", ".onnx"])
@pytest.mark.parametrize("arch", ["small", "mobilenet_v2"])
def test_programs_show_what_the_network_shows(
    tmp_path: Path,
    arch: str,
    suffix: str,
    network: NetworkMaker,
    classifier_of: Callable[..., Classifier],
    photo: Image.Image,
) -> None:
    wanted = heat_map(classifier_of(arch, preprocessing=squeezed(64)), photo, 1)
    heat = heat_map(exported(network(arch, 3), tmp_path / f"m{suffix}", 64), photo, 1)
    assert heat.method == CAM
    np.testing.assert_allclose(heat.values, wanted.values, atol=1e-4 * float(np.abs(wanted.values).max()))
    assert heat.score == pytest.approx(wanted.score, rel=1e-4)


def test_where_more_than_one_layer_follows_the_map_a_program_gives_gradients_and_a_graph_says_why_not(
    tmp_path: Path, network: NetworkMaker, classifier_of: Callable[..., Classifier], photo: Image.Image
) -> None:
    wanted = heat_map(classifier_of("mobilenet_v3_small", preprocessing=squeezed(96)), photo, 1)
    heat = heat_map(exported(network("mobilenet_v3_small", 3), tmp_path / "m.pt2", 96), photo, 1)
    assert heat.method == GRAD_CAM
    np.testing.assert_allclose(heat.values, wanted.values, atol=1e-3 * float(wanted.values.max()))
    with pytest.raises(NotFound, match="ONNX graph gives no gradients") as caught:
        heat_map(exported(network("mobilenet_v3_small", 3), tmp_path / "m.onnx", 96), photo, 1)
    assert caught.value.next_step


def test_a_program_without_places_says_so(tmp_path: Path, photo: Image.Image) -> None:
    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.patches, self.mix, self.head = nn.Conv2d(3, 4, 8, 8), nn.Linear(4, 4), nn.Linear(4, 2)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.head(self.mix(self.patches(images).flatten(2).transpose(1, 2))[:, 0])

    torch.manual_seed(0)
    with pytest.raises(NotFound, match="m is a transformer"):
        heat_map(exported(Tokens().eval(), tmp_path / "m.pt2", 32), photo, 0)


@settings(max_examples=60, deadline=None)
@given(st.integers(20, 400), st.integers(20, 400), st.integers(8, 128), st.integers(8, 160))
def test_the_box_is_what_preprocessing_keeps(width: int, height: int, crop: int, resize: int) -> None:
    """Every pixel tells its own place: red its column, green its row; blue tells image from padding."""
    preprocessing = Preprocessing(resize=resize, crop=crop, interpolation="bilinear")
    x, y = np.meshgrid((np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height)
    image = Image.fromarray(np.stack([255 * x, 255 * y, np.full_like(x, 255)], axis=2).astype(np.uint8))
    pixels = preprocessing.pixels(image).astype(np.float64)
    box = seen_box(preprocessing, width, height)
    rows, columns = np.nonzero(pixels[:, :, 2] > 250)
    for places, channel, low, high, size in (
        (columns, 0, box.left, box.right, width),
        (rows, 1, box.top, box.bottom, height),
    ):
        step = (high - low) / crop
        assert places.min() == round(max(0.0, -low) / step)
        assert places.max() + 1 == crop - round(max(0.0, high - 1) / step)
        told = pixels[rows, columns, channel] / 255
        # away from the borders, where resizing has nothing to mix with
        inner = (told > 0.1) & (told < 0.9)
        expected = low + (places + 0.5) * step
        np.testing.assert_allclose(told[inner], expected[inner], atol=1 / 255 + 1 / size)


def test_a_squeezed_image_is_seen_whole() -> None:
    assert seen_box(squeezed(64), 300, 200).whole
    assert not seen_box(Preprocessing(resize=256, crop=224), 300, 200).whole


def map_of(values: np.ndarray, *, box: Box | None = None, method: str = CAM) -> HeatMap:
    return HeatMap(
        values=values.astype(np.float32),
        method=method,
        score=0.0,
        bias=0.0,
        box=box or Box(0.0, 0.0, 1.0, 1.0),
        features=np.zeros(1, dtype=np.float32),
    )


def test_a_constant_map_can_be_drawn() -> None:
    picture = np.asarray(drawn(map_of(np.full((3, 5), 7.0)), longest=50))
    assert picture.shape == (30, 50, 4)
    assert len(np.unique(picture.reshape(-1, 4), axis=0)) == 1


def test_where_nothing_speaks_for_or_against_the_image_shines_through() -> None:
    picture = np.asarray(drawn(map_of(np.array([[-3.0, 0.0, 3.0]])), longest=300)).astype(int)
    np.testing.assert_allclose(picture[50, 150, :3], ramp(DIVERGING)[128], atol=8)
    assert picture[50, 150, 3] < 40
    assert picture[50, 299, 3] > 240
    assert picture[50, 299, 0] > picture[50, 299, 2], "orange speaks for the class"
    assert picture[50, 0, 2] > picture[50, 0, 0], "purple speaks against it"


def test_what_was_cropped_away_is_darkened_and_what_was_seen_is_coloured() -> None:
    image = Image.new("RGB", (100, 50), (200, 200, 200))
    heat = map_of(np.ones((2, 2)), box=Box(0.25, 0.0, 0.75, 1.0), method=GRAD_CAM)
    result = np.asarray(overlaid(image, heat, opacity=0.5))
    outside = np.full(3, 200 * UNSEEN_LIGHT)
    np.testing.assert_allclose(result[25, 10], outside, atol=1)
    np.testing.assert_allclose(result[25, 90], outside, atol=1)
    np.testing.assert_allclose(result[25, 50], (200 + ramp(SEQUENTIAL)[128].astype(float)) / 2, atol=2)
    whole = overlaid(image, replace(heat, box=Box(-0.2, -0.5, 1.2, 1.5)), opacity=0)
    np.testing.assert_array_equal(np.asarray(whole), np.asarray(image))
    assert png(whole).startswith(b"\x89PNG")


def lightness(colours: np.ndarray) -> np.ndarray:
    """CIE L* of (n, 3) uint8 sRGB."""
    linear = colours / 255
    linear = np.where(linear <= 0.04045, linear / 12.92, ((linear + 0.055) / 1.055) ** 2.4)
    luminance = linear @ np.array([0.2126, 0.7152, 0.0722])
    return np.where(luminance > 0.008856, 116 * np.cbrt(luminance) - 16, 903.3 * luminance)


def test_lightness_alone_tells_the_colours_apart() -> None:
    """So eyes of every kind of colour vision, and grey prints, see the same order."""
    steps = np.diff(lightness(ramp(SEQUENTIAL, 33)))
    assert (steps > 0).all()
    assert steps.max() < 2.5 * np.median(steps), "no step jumps out"
    sides = lightness(ramp(DIVERGING, 33))
    assert (np.diff(sides[:17]) > 0).all()
    assert (np.diff(sides[16:]) < 0).all()
