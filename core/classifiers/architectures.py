"""Networks by name: our own small one, every classification architecture of torchvision, and timm's if installed."""

from __future__ import annotations

import difflib
from functools import lru_cache
from typing import Any

import torch
from torch import nn

from core.classifiers import timm_models, torchvision_compat
from core.classifiers.peek import TIMM
from core.classifiers.preprocessing import Preprocessing, imagenet, squeezed
from core.errors import BadRequest

SMALL = "small"
# pixels, both sides: enough for birds of the demo, and thousands of images a second on a CPU
SMALL_INPUT = 64
SMALL_FEATURES = 128


class SmallNetwork(nn.Module):
    """Five 3x3 convolutions with batch normalisation, average pooling, 128 features, one linear head.

    Input (b, 3, h, w) with h, w >= 16 (64 by default). A third of a million parameters, 1.3 MB. Made to be trained on
    two CPU cores in a minute, not to win anything.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            _block(3, 32, stride=2),
            _block(32, 64, stride=2),
            _block(64, 96, stride=2),
            _block(96, SMALL_FEATURES, stride=1),
            _block(SMALL_FEATURES, SMALL_FEATURES, stride=2),
        )
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(SMALL_FEATURES, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """images: (b, 3, h, w) float32. Returns logits (b, classes)."""
        return self.head(torch.flatten(self.pool(self.features(images)), 1))


def _block(inputs: int, outputs: int, *, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel_size=3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


@lru_cache(maxsize=1)
def names() -> tuple[str, ...]:
    """Every architecture that can be named without another library before it, `small` first."""
    models = torchvision_compat.load().models
    return (SMALL, *sorted(models.list_models(module=models)))


def check(arch: str) -> str:
    """The name itself if it is one. Raises `BadRequest` with the closest names otherwise."""
    if arch.startswith(TIMM):
        return timm_models.check(arch)
    # `small` is asked first: it needs no torchvision
    if arch == SMALL or arch in names():
        return arch
    close = difflib.get_close_matches(arch.lower().replace("-", "_"), names(), n=3, cutoff=0.5)
    hint = f"Did you mean {' or '.join(close)}?" if close else "Use `small`, or a name such as resnet18."
    version = torchvision_compat.load().__version__.partition("+")[0]
    raise BadRequest(
        f"There is no architecture called {arch!r}.",
        next_step=f"{hint} Every classification model of torchvision {version} can be named, and timm's as timm:name.",
    )


def build(arch: str, classes: int) -> nn.Module:
    """A network with random weights and `classes` outputs. Its randomness is torch's global generator's.

    The extra classifiers that GoogLeNet and Inception have while training are left out: they never take part in a
    prediction. Raises `BadRequest` for an unknown name.
    """
    check(arch)
    if arch == SMALL:
        return SmallNetwork(classes)
    if arch.startswith(TIMM):
        return timm_models.build(arch, classes)
    # without init_weights these two spend seconds sampling truncated normals, and warn
    extra: dict[str, Any] = (
        {"aux_logits": False, "init_weights": False} if arch in ("googlenet", "inception_v3") else {}
    )
    return torchvision_compat.load().models.get_model(arch, weights=None, num_classes=classes, **extra)


def default_preprocessing(arch: str) -> Preprocessing:
    """What the architecture expects of its input when nobody says otherwise."""
    if arch.startswith(TIMM):
        return timm_models.default_preprocessing(arch)
    return squeezed(SMALL_INPUT) if check(arch) == SMALL else imagenet(arch)


def last_layer(network: nn.Module, arch: str) -> str | None:
    """Name of the layer that is the head: where the library says it is, else the last linear layer, else the last 1x1
    convolution, in the order of definition. None if there is none."""
    if arch.startswith(TIMM):
        return timm_models.head_name(network)
    name = last_linear(network)
    if name is None:
        for inner, module in network.named_modules():
            if isinstance(module, nn.Conv2d) and set(module.kernel_size) == {1}:
                name = inner
    return name


def last_linear(network: nn.Module) -> str | None:
    """Name of the last linear layer in the order of definition, None if there is none."""
    found = None
    for name, module in network.named_modules():
        if isinstance(module, nn.Linear):
            found = name
    return found


def channels_last(network: nn.Module) -> nn.Module:
    """The network itself, its filters laid out with the channels last: convolutions on a CPU are faster so."""
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack this one
    return network
