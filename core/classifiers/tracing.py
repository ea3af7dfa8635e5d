"""The last linear map of a network, found by watching the network run, and taken out of it.

A library's own word for where its head is comes first; otherwise the layers are tried that were called last and have
as many outputs as there are logits. What decides is the same for all: with the layer taken out, what comes out of the
network are features, and the layer's weights times these must be the logits again. A 1x1 convolution is a linear map
at each place, so averaging over places after it or before it is the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, is_dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from core.classifiers.head import Head
from core.errors import HeadNotFound

# layers tried, the last called first: each costs a forward pass of the probe
TRIED = 6


@dataclass(frozen=True, eq=False)
class Found:
    """name: of the layer that was the head. head: its numbers. convolution: whether it was a 1x1 convolution."""

    name: str
    head: Head
    convolution: bool


class LogitsOnly(nn.Module):
    """A network whose output is something around its logits (a tuple, a dict, a dataclass), giving them alone."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits = logits_of(self.network(images))
        assert logits is not None
        return logits


def logits_of(output: Any) -> torch.Tensor | None:
    """The logits inside whatever a network returned: under that name, else the first tensor; None where there is none.

    Of (b, k, 1, 1) the two sides of length 1 are dropped.
    """
    found: Any = output
    if isinstance(output, Mapping):
        found = output["logits"] if "logits" in output else _first_tensor(output.values())
    elif isinstance(output, (tuple, list)):
        found = output.logits if hasattr(output, "logits") else _first_tensor(output)
    elif is_dataclass(output) or hasattr(output, "logits"):
        found = getattr(output, "logits", None)
        if not isinstance(found, torch.Tensor):
            found = _first_tensor(vars(output).values())
    if not isinstance(found, torch.Tensor):
        return None
    return found.flatten(1) if found.ndim == 4 and found.shape[2:] == (1, 1) else found


def _first_tensor(values: Any) -> torch.Tensor | None:
    return next((value for value in values if isinstance(value, torch.Tensor)), None)


@contextmanager
def watching(network: nn.Module) -> Iterator[list[str]]:
    """Inside, the list grows by the name of each linear layer and 1x1 convolution as it is called."""
    called: list[str] = []

    def watch(name: str) -> Any:
        def note(_module: nn.Module, _inputs: Any, _output: Any) -> None:
            called.append(name)

        return note

    hooks = [module.register_forward_hook(watch(name)) for name, module in network.named_modules() if is_linear(module)]
    try:
        yield called
    finally:
        for hook in hooks:
            hook.remove()


def is_linear(module: nn.Module) -> bool:
    """Whether a layer is a linear map of its channels: a linear layer, or a convolution that sees one place."""
    if isinstance(module, nn.Linear):
        return True
    return (
        isinstance(module, nn.Conv2d)
        and set(module.kernel_size) == {1}
        and set(module.stride) == {1}
        and module.groups == 1
        and module.padding in (0, (0, 0), "valid", "same")
    )


def take_out(
    network: nn.Module,
    called: list[str],
    probe: torch.Tensor,
    logits: torch.Tensor,
    *,
    name: str,
    tolerance: float,
    hint: str | None = None,
) -> Found:
    """Replace the head by a layer that passes its input on, so that the network gives the features (b, d).

    called: linear layers in the order of their calls. logits: (b, k), the network's own for the probe. name: of the
    model, for messages. hint: where the library says that the head is. Raises `HeadNotFound` saying how far the nearest
    layer is from being it; then the network is as it was.
    """
    k = int(logits.shape[1])
    # a dict keeps the order and drops repetitions
    order = dict.fromkeys(([hint] if hint in called else []) + called[::-1])
    candidates = [layer for layer in order if _outputs(network.get_submodule(layer)) == k][:TRIED]
    nearest: tuple[float, str] | None = None
    for layer in candidates:
        last = network.get_submodule(layer)
        head = head_of(last)
        network.set_submodule(layer, nn.Identity().eval())
        difference = _difference(network, probe, logits, head)
        if difference is not None and difference <= tolerance:
            return Found(layer, head, isinstance(last, nn.Conv2d))
        network.set_submodule(layer, last)
        if difference is not None and (nearest is None or difference < nearest[0]):
            nearest = difference, layer
    raise _not_found(name, k, nearest, candidates)


def head_of(layer: nn.Module) -> Head:
    """The numbers of a linear layer or a 1x1 convolution; zeros where it has no bias."""
    assert isinstance(layer, (nn.Linear, nn.Conv2d))
    weight = layer.weight.detach().float().flatten(1).cpu().numpy().copy()
    if layer.bias is None:
        return Head(weight, np.zeros(len(weight), dtype=np.float32))
    return Head(weight, layer.bias.detach().float().cpu().numpy().copy())


def layer_of(head: Head, *, convolution: bool = False) -> nn.Module:
    """A layer with these numbers, in evaluation mode: the inverse of `head_of`."""
    layer = nn.Conv2d(head.d, head.k, 1) if convolution else nn.Linear(head.d, head.k)
    fill(layer, head)
    return layer.eval()


def fill(layer: nn.Module, head: Head) -> None:
    """Put the numbers of a head into a layer that has a bias, wherever the layer is."""
    assert isinstance(layer, (nn.Linear, nn.Conv2d))
    assert layer.bias is not None
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(head.weight).reshape(layer.weight.shape))
        layer.bias.copy_(torch.from_numpy(head.bias))


def _outputs(layer: nn.Module) -> int | None:
    if isinstance(layer, nn.Linear):
        return layer.out_features
    return layer.out_channels if isinstance(layer, nn.Conv2d) and is_linear(layer) else None


def _difference(network: nn.Module, probe: torch.Tensor, logits: torch.Tensor, head: Head) -> float | None:
    """The largest difference of head(network(probe)) from the logits, relative to the largest logit; None where the
    network does not give one row of d features per image."""
    try:
        with torch.inference_mode():
            features = logits_of(network(probe))
    except (RuntimeError, ValueError, AssertionError, IndexError):
        # what follows needs k columns: not the last layer
        return None
    if features is None or features.shape != (len(probe), head.d):
        return None
    found = nn.functional.linear(features.float(), torch.from_numpy(head.weight), torch.from_numpy(head.bias))
    # untrained networks may have logits of 1e-10
    largest = float(logits.abs().max())
    furthest = float((found - logits).abs().max())
    return furthest / largest if largest > 0 else (0.0 if furthest == 0 else float("inf"))


def _not_found(name: str, k: int, nearest: tuple[float, str] | None, tried: list[str]) -> HeadNotFound:
    outputs = f"{k} logits" if k > 1 else "one logit"
    if nearest is not None:
        detail = (
            f"The logits of {name} are not those of its last linear layer, {nearest[1]}: they differ by "
            f"{nearest[0]:.1%} of the largest one, so something that is not linear comes after it."
        )
    elif tried:
        detail = (
            f"No one layer of {name} gives its {outputs} from one row of features per image; those that have as many "
            f"outputs are {', '.join(tried)}."
        )
    else:
        detail = f"{name} has no linear layer and no 1x1 convolution with {k} output{'s' if k > 1 else ''}."
    return HeadNotFound(
        detail,
        next_step="Use a network whose output is its last linear layer's: no softmax, sigmoid or ReLU after it, and "
        "one head instead of the mean of several.",
    )
