"""Where a network looks: one number per place of an image for a class, or for the difference of two.

CAM (Zhou et al. 2016, arXiv:1512.04150). Where the features are the mean of the last feature map over its places, the
logit is a mean as well: at each place, the class's weights times the map's channels there. That is no approximation:
the mean of the heat map plus the bias is the logit. Whether it holds is found out by computing it, not by name.

Grad-CAM (Selvaraju et al. 2017, arXiv:1610.02391). Where more than one layer follows the last map (VGG, MobileNetV3),
each channel is weighted by the mean gradient of the logit, and what speaks against the class is left out (the paper's
ReLU). It shows where, not how much.

Other networks have no such map: what ViT's last layer reads belongs to no place (Swin averages a map: CAM holds), and
TorchScript cannot be looked into. Programs of torch.export can, operator by operator; ONNX graphs give CAM, but no
gradients. A place of a deep feature map has seen more of the image than the patch it is drawn
on, so edges of a heat map are soft, whatever its resolution.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from core.classifiers.classifier import TOLERANCE, Classifier
from core.classifiers.exported_graph import Step
from core.classifiers.exported_operators import CONVOLVING, POOLS
from core.classifiers.head import Head
from core.classifiers.origins import EXPORTED, ONNX, TORCHSCRIPT
from core.classifiers.preprocessing import Preprocessing
from core.errors import NotFound

CAM, GRAD_CAM = "cam", "grad-cam"
# parts of a network that matter here
POOL, CONVOLUTION = "pool", "convolution"
# pixels of the longer side of a drawn map: smooth enough to be enlarged by a browser
DRAWN = 320
# opacity of an overlay until somebody says otherwise
OPACITY = 0.6
# share of its light that is left to what the network did not see
UNSEEN_LIGHT = 0.35

# Anchors at equal steps, sRGB. Magma and PuOr as plotly.colors has them (van der Walt & Smith 2015; Brewer 2003): the
# lightness of the first only rises, that of the second falls to both sides, so neither needs colour vision.
SEQUENTIAL = ("000004", "180f3d", "440f76", "721f81", "9e2f7f", "cd4071", "f1605d", "fd9668", "feca8d", "fcfdbf")
DIVERGING = (
    *("2d004b", "542788", "8073ac", "b2abd2", "d8daeb", "f7f7f7"),
    *("fee0b6", "fdb863", "e08214", "b35806", "7f3b08"),
)


@dataclass(frozen=True)
class Box:
    """Part of an image, in fractions of its width and height; beyond 0..1 where the network saw padding."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def whole(self) -> bool:
        return (self.left, self.top, self.right, self.bottom) == (0.0, 0.0, 1.0, 1.0)

    def to_dict(self) -> dict[str, float]:
        return {"left": self.left, "top": self.top, "right": self.right, "bottom": self.bottom}


@dataclass(frozen=True, eq=False)
class HeatMap:
    """values: (h, w) float32, one per place of the last feature map. method: "cam" (in units of the logit, signed) or
    "grad-cam" (no unit, never negative). score: the logit, or the difference of two. bias: what of it no place
    contributes. box: the part of the image that the network saw. features: (d,) float32, as computed just now."""

    values: np.ndarray
    method: str
    score: float
    bias: float
    box: Box
    features: np.ndarray

    @property
    def exact(self) -> bool:
        """Whether mean(values) + bias = score."""
        return self.method == CAM

    @property
    def limits(self) -> tuple[float, float]:
        """What the ends of the colour ramp stand for: symmetric about 0 where places speak for and against."""
        low, high = float(self.values.min()), float(self.values.max())
        if self.exact:
            furthest = max(abs(low), abs(high))
            return -furthest, furthest
        return low, high

    def to_dict(self) -> dict[str, Any]:
        return {
            "method": self.method,
            "score": self.score,
            "bias": self.bias,
            "mean": float(self.values.mean()),
            "places": list(self.values.shape),
            "box": self.box.to_dict(),
        }


def heat_map(
    classifier: Classifier, image: Image.Image, index: int, *, minus: int | None = None, head: Head | None = None
) -> HeatMap:
    """Where the network sees a class, or one class rather than another.

    image: RGB, as decoded. index: the class. minus: the class that is subtracted. head: another last layer than the
    classifier's own (a repaired one). Raises `NotFound` saying why this network has no such map.
    """
    head = head or classifier.head
    weight, bias = head.weight[index].astype(np.float64), float(head.bias[index])
    if minus is not None:
        weight, bias = weight - head.weight[minus], bias - float(head.bias[minus])
    batch = torch.from_numpy(classifier.preprocessing.apply(image))[None]
    seen = _last_map(classifier, batch)
    features = seen.features[0].double().numpy()
    if seen.averaged:
        values = np.einsum("c,chw->hw", weight, seen.values[0].double().numpy())
        method = CAM
    else:
        values = _grad_cam(classifier, batch, seen, torch.from_numpy(weight).float())
        method = GRAD_CAM
    if not np.isfinite(values).all():
        raise _none(
            f"{classifier.name} computes numbers that are not finite for this image.",
            "Look at another image; if it is so for many, the training of this model diverged.",
        )
    return HeatMap(
        values=values.astype(np.float32),
        method=method,
        score=float(features @ weight) + bias,
        bias=bias,
        box=seen_box(classifier.preprocessing, *image.size),
        features=features.astype(np.float32),
    )


def seen_box(preprocessing: Preprocessing, width: int, height: int) -> Box:
    """The part of an image of this size that becomes the network's input: the geometry of `Preprocessing.pixels`."""
    if preprocessing.resize is None:
        return Box(0.0, 0.0, 1.0, 1.0)
    short, crop = min(width, height), preprocessing.crop
    wide = preprocessing.resize if width == short else int(preprocessing.resize * width / short)
    high = preprocessing.resize if height == short else int(preprocessing.resize * height / short)
    left, top = _crop_start(wide, crop), _crop_start(high, crop)
    return Box(left / wide, top / high, (left + crop) / wide, (top + crop) / high)


def drawn(heat: HeatMap, *, longest: int = DRAWN) -> Image.Image:
    """The map in colours, RGBA: interpolated between places, so that no edge is shown that the map does not have.

    Places that speak neither for nor against let the image through.
    """
    low, high = heat.limits
    span = high - low
    shares = (heat.values - low) / span if span > 0 else np.full(heat.values.shape, 0.5, dtype=np.float32)
    h, w = shares.shape
    scale = longest / max(h, w)
    size = (max(1, round(w * scale)), max(1, round(h * scale)))
    smooth = Image.fromarray(shares.astype(np.float32)).resize(size, Image.Resampling.BICUBIC)
    table = ramp(ramp_of(heat))
    places = np.clip(np.rint(np.asarray(smooth) * (len(table) - 1)), 0, len(table) - 1).astype(np.int64)
    alpha = np.full(len(table), 255, dtype=np.uint8)
    if ramp_of(heat) is DIVERGING:
        alpha = np.rint(255 * np.abs(np.linspace(-1, 1, len(table)))).astype(np.uint8)
    return Image.fromarray(np.concatenate([table, alpha[:, None]], axis=1)[places])


def ramp_of(heat: HeatMap) -> tuple[str, ...]:
    """Anchors (rrggbb) of the colours a map is drawn in: two-sided where it has a sign."""
    return DIVERGING if heat.exact else SEQUENTIAL


def png(image: Image.Image) -> bytes:
    target = io.BytesIO()
    image.save(target, format="PNG")
    return target.getvalue()


def overlaid(image: Image.Image, heat: HeatMap, *, opacity: float = OPACITY) -> Image.Image:
    """The image with the map over the part that the network saw, and the rest darkened. image, result: RGB."""
    width, height = image.size
    edges = (heat.box.left * width, heat.box.top * height, heat.box.right * width, heat.box.bottom * height)
    left, top, right, bottom = map(round, edges)
    size = (max(1, right - left), max(1, bottom - top))
    # pasting clips what lies outside of the image, which is padding
    seen = Image.new("L", image.size)
    seen.paste(255, (left, top, left + size[0], top + size[1]))
    dark = Image.eval(image, lambda level: round(level * UNSEEN_LIGHT))
    colours = Image.new("RGBA", image.size)
    colours.paste(drawn(heat).resize(size, Image.Resampling.BICUBIC), (left, top))
    mask = Image.eval(colours.getchannel("A"), lambda level: round(level * opacity))
    return Image.composite(colours.convert("RGB"), Image.composite(image, dark, seen), mask)


def ramp(anchors: tuple[str, ...], steps: int = 256) -> np.ndarray:
    """(steps, 3) uint8, from the first anchor to the last."""
    colours = np.array([[int(anchor[i : i + 2], 16) for i in (0, 2, 4)] for anchor in anchors], dtype=np.float64)
    at, known = np.linspace(0, 1, steps), np.linspace(0, 1, len(anchors))
    channels = [np.interp(at, known, colours[:, channel]) for channel in range(3)]
    return np.rint(np.stack(channels, axis=1)).astype(np.uint8)


@dataclass(frozen=True, eq=False)
class _LastMap:
    """name: the module it comes from. call: which of that module's calls in one pass. values: (1, c, h, w).
    features: (1, d). averaged: whether the features are the mean of the map. last: the module itself has its channels
    last, (1, h, w, c), as timm's Swin."""

    name: str
    call: int
    values: torch.Tensor
    features: torch.Tensor
    averaged: bool
    last: bool = False


def _last_map(classifier: Classifier, batch: torch.Tensor) -> _LastMap:
    """The last feature map that still has places, found by watching one pass. Raises `NotFound`."""
    if classifier.origin == ONNX:
        return _map_of_graph(classifier, batch)
    if classifier.origin == TORCHSCRIPT or not isinstance(classifier.backbone, nn.Module):
        raise _none(
            f"{classifier.name} is TorchScript, which cannot be looked into.",
            "Load its weights as a state dict with the name of its architecture, if it is a known one.",
        )
    found: tuple[str, int, torch.Tensor] | None = None
    calls: dict[str, int] = {}
    # what came after the map: tokens, which are no places any more, or a convolution that left a single place
    tokens = single = False

    def after(name: str, kind: str, output: Any) -> None:
        nonlocal found, tokens, single
        calls[name] = calls.get(name, 0) + 1
        if not isinstance(output, torch.Tensor):
            return
        if output.ndim == 4 and min(output.shape[2:]) > 1 and kind != POOL:
            found, tokens, single = (name, calls[name], output), False, False
        elif output.ndim == 3:
            tokens = True
        elif output.ndim == 4 and kind == CONVOLUTION:
            single = True

    with _watched(classifier.backbone, after), torch.inference_mode():
        features = classifier.backbone(batch).float()
    seen = None if found is None or single else _seen(*found, features)
    network = classifier.name if classifier.origin == EXPORTED else classifier.arch
    # a mean may be taken over places in a row as well
    if tokens and (seen is None or not seen.averaged):
        raise _none(
            f"{network} is a transformer: what its last layer reads is no longer tied to places of the image.",
            "Use the nearest neighbours and the bands to see what the class has in common.",
        )
    if seen is None:
        raise _none(
            f"{network} sees {classifier.preprocessing.crop} pixels as one single place in the end.",
            "Analyse with larger images, if the network takes them.",
        )
    return seen


def _seen(name: str, call: int, values: torch.Tensor, features: torch.Tensor) -> _LastMap:
    # images are square, and so are maps of them
    last = values.shape[1] == values.shape[2] != values.shape[3]
    # a graph of fixed batches sees the image several times
    values = values[:1].float().permute(0, 3, 1, 2) if last else values[:1].float()
    averaged = values.shape[1] == features.shape[1] and _close(values.mean((2, 3)), features)
    return _LastMap(name, call, values, features, averaged, last)


def _map_of_graph(classifier: Classifier, batch: torch.Tensor) -> _LastMap:
    """Of an ONNX graph, from which no gradients are to be had. Raises `NotFound`."""
    from core.classifiers.onnx_model import last_map

    run = last_map(classifier)
    if run is not None:
        features, values = run(batch)
        seen = _seen("", 0, values, features) if values.ndim == 4 and min(values.shape[2:]) > 1 else None
        if seen is not None and seen.averaged:
            return seen
    raise _none(
        f"The features of {classifier.name} are not the mean of a map, and an ONNX graph gives no gradients to tell "
        "places by.",
        "Load its weights as a state dict with the name of its architecture, if it is a known one.",
    )


@contextmanager
def _watched(backbone: nn.Module, after: Callable[[str, str, Any], torch.Tensor | None]) -> Iterator[None]:
    """Inside, `after` is called with the name, the kind (`POOL`, `CONVOLUTION` or "") and the output of each part of
    the network; what it returns, if it does, takes the output's place."""
    from core.classifiers.exported_program import Program

    if isinstance(backbone, Program):

        def note(step: Step, output: Any) -> Any:
            kind = POOL if step.kind in POOLS else CONVOLUTION if step.kind in CONVOLVING else ""
            return after(step.name, kind, output)

        with backbone.watching(note):
            yield
        return
    pools = (nn.AdaptiveAvgPool2d, nn.AvgPool2d, nn.AdaptiveMaxPool2d, nn.MaxPool2d)

    def watch(name: str, module: nn.Module) -> Any:
        kind = POOL if isinstance(module, pools) else CONVOLUTION if isinstance(module, nn.Conv2d) else ""
        return module.register_forward_hook(lambda _module, _inputs, output: after(name, kind, output))

    hooks = [watch(name, module) for name, module in backbone.named_modules() if name]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _grad_cam(classifier: Classifier, batch: torch.Tensor, seen: _LastMap, weight: torch.Tensor) -> np.ndarray:
    """(h, w) float64, >= 0."""
    assert isinstance(classifier.backbone, nn.Module)
    held: list[torch.Tensor] = []
    calls = 0

    def hold(name: str, _kind: str, output: Any) -> torch.Tensor | None:
        nonlocal calls
        calls += name == seen.name
        if name != seen.name or calls != seen.call:
            return None
        held.append(output.detach().requires_grad_(True))
        # a copy goes on: what follows may work in place, which a leaf does not allow
        return held[0].clone()

    with _watched(classifier.backbone, hold), torch.enable_grad():
        score = (classifier.backbone(batch)[0] * weight).sum()
        (gradient,) = torch.autograd.grad(score, held[0])
    values = held[0].detach()
    if seen.last:
        gradient, values = gradient.permute(0, 3, 1, 2), values.permute(0, 3, 1, 2)
    channels = gradient.mean((2, 3), keepdim=True)
    return torch.relu((channels * values).sum(1))[0].double().numpy()


def _close(first: torch.Tensor, second: torch.Tensor) -> bool:
    return bool((first - second).abs().max() <= TOLERANCE * second.abs().max().clamp_min(1e-12))


def _crop_start(length: int, crop: int) -> int:
    """Where `_centre_crop` starts: negative by the padding where the image is too small."""
    return -((crop - length) // 2) if length < crop else round((length - crop) / 2.0)


def _none(detail: str, next_step: str) -> NotFound:
    return NotFound(detail, next_step=next_step, title="No heat map for this network")
