"""The head of networks that nobody wrote down: found by watching them run, and put back."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from core.classifiers.head import Head
from core.classifiers.tracing import Found, LogitsOnly, fill, head_of, layer_of, logits_of, take_out, watching
from core.errors import HeadNotFound

Wrap = Callable[[torch.Tensor], Any]


@dataclass
class Output:
    loss: None
    logits: torch.Tensor


class Returns(nn.Module):
    """A network whose last layer is called first in its definition, and whose output is wrapped."""

    def __init__(self, wrap: Wrap) -> None:
        super().__init__()
        self.last = nn.Linear(6, 3)
        self.body = nn.Conv2d(3, 6, 3)
        self.beside = nn.Linear(6, 3)
        self.wrap = wrap

    def forward(self, images: torch.Tensor) -> Any:
        features = torch.relu(self.body(images)).mean((2, 3))
        self.beside(features)
        return self.wrap(self.last(features))


WRAPS: dict[str, Wrap] = {
    "tensor": lambda logits: logits,
    "tuple": lambda logits: (logits, logits * 2),
    "list": lambda logits: [None, logits],
    "dict": lambda logits: {"loss": torch.zeros(()), "logits": logits},
    "dict of one": lambda logits: OrderedDict(out=logits),
    "dataclass": lambda logits: Output(None, logits),
    "one place": lambda logits: logits[:, :, None, None],
}


def images() -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).normal(size=(4, 3, 8, 8)).astype(np.float32))


def taken(network: nn.Module, hint: str | None = None) -> tuple[Found, torch.Tensor]:
    network.eval()
    with torch.inference_mode(), watching(network) as called:
        logits = logits_of(network(images()))
    assert logits is not None
    return take_out(network, called, images(), logits, name="it", tolerance=1e-4, hint=hint), logits


@pytest.mark.parametrize("wrap", WRAPS)
def test_the_head_is_found_whatever_is_returned(wrap: str) -> None:
    network = LogitsOnly(Returns(WRAPS[wrap]))
    found, logits = taken(network)
    assert (found.name, found.convolution) == ("network.last", False)
    with torch.inference_mode():
        features = network(images())
    np.testing.assert_allclose(found.head.logits(features.numpy()), logits, atol=1e-5)
    network.set_submodule(found.name, layer_of(found.head))
    with torch.inference_mode():
        torch.testing.assert_close(network(images()), logits)


@pytest.mark.parametrize("value", [None, "text", {"loss": 1.0}, (), Output(None, None)])  # type: ignore[arg-type]
def test_what_holds_no_tensor_has_no_logits(value: Any) -> None:
    assert logits_of(value) is None


class Pointwise(nn.Module):
    """Ends in a 1x1 convolution, before its average or after it."""

    def __init__(self, *, after: bool, bias: bool = True, rectified: bool = False) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, 6, 3)
        self.last = nn.Conv2d(6, 3, 1, bias=bias)
        self.after, self.rectified = after, rectified

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        places = torch.relu(self.body(batch))
        if self.after:
            return self.last(places.mean((2, 3), keepdim=True)).flatten(1)
        places = self.last(places)
        return (torch.relu(places) if self.rectified else places).mean((2, 3))


@pytest.mark.parametrize("after", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_a_convolution_of_one_place_is_a_head(after: bool, bias: bool) -> None:
    network = Pointwise(after=after, bias=bias)
    found, logits = taken(network)
    assert (found.name, found.convolution, found.head.weight.shape) == ("last", True, (3, 6))
    assert bias or not found.head.bias.any()
    with torch.inference_mode():
        np.testing.assert_allclose(found.head.logits(network(images()).numpy()), logits, atol=1e-5)
    network.set_submodule("last", layer_of(found.head, convolution=True))
    with torch.inference_mode():
        torch.testing.assert_close(network(images()), logits)


def test_what_follows_the_last_layer_is_said_with_its_size() -> None:
    network = Pointwise(after=False, rectified=True)
    before = dict(network.named_modules())
    with pytest.raises(HeadNotFound, match=r"last: they differ by \d+\.\d% of the largest"):
        taken(network)
    assert dict(network.named_modules()) == before, "the network is whole again"
    with pytest.raises(HeadNotFound, match="differ by"):
        taken(nn.Sequential(nn.Flatten(), nn.Linear(192, 3), nn.Softmax(1)))


def test_layers_with_other_numbers_of_outputs_are_named_as_absent() -> None:
    with pytest.raises(HeadNotFound, match=r"no linear layer and no 1x1 convolution with 6 outputs"):
        taken(nn.Sequential(nn.Conv2d(3, 6, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()))


def test_a_hint_comes_first_and_may_be_wrong() -> None:
    assert taken(Returns(WRAPS["tensor"]), hint="last")[0].name == "last"
    assert taken(Returns(WRAPS["tensor"]), hint="beside")[0].name == "last"
    assert taken(Returns(WRAPS["tensor"]), hint="nowhere")[0].name == "last"


def test_no_hook_stays() -> None:
    network = Returns(WRAPS["tensor"])
    taken(network)
    assert not any(module._forward_hooks for module in network.modules())


@pytest.mark.parametrize("convolution", [True, False])
def test_numbers_go_into_a_layer_and_come_out(convolution: bool) -> None:
    rng = np.random.default_rng(0)
    head = Head(rng.normal(size=(3, 5)).astype(np.float32), rng.normal(size=3).astype(np.float32))
    layer = layer_of(head, convolution=convolution)
    assert np.array_equal(head_of(layer).weight, head.weight)
    assert np.array_equal(head_of(layer).bias, head.bias)
    fill(layer, Head(head.weight * 2, head.bias))
    assert np.array_equal(head_of(layer).weight, head.weight * 2)
