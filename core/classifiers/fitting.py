"""Weights by name against an architecture: prefixes removed, the head found, differences named."""

from __future__ import annotations

import contextlib
import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import nn

from core.classifiers.architectures import SMALL, build, last_linear, names
from core.errors import ArchitectureMismatch, HeadNotFound

# What wrapping a network (DataParallel, torch.compile, Lightning, a class of one's own) puts before each name.
PREFIXES = (
    "module.",
    "model.",
    "_orig_mod.",
    "net.",
    "network.",
    "backbone.",
    "encoder.",
    "classifier.",
    "state_dict.",
)

# Extra classifiers of GoogLeNet and Inception: used while training only.
AUXILIARY = re.compile(r"^(aux1|aux2|AuxLogits)\.")

# Part of a weight's name that gives a family away -> how its architectures begin. Outlining all of them takes seconds.
FAMILIES = {
    "layer1.0.conv1.": ("resnet", "resnext", "wide_resnet"),
    "features.denseblock1.": ("densenet",),
    "encoder.layers.encoder_layer_0.": ("vit",),
    "features.1.0.attn.": ("swin",),
    "stem.0.0.": ("maxvit",),
    "stage2.0.branch1.": ("shufflenet",),
    "layers.0.": ("mnasnet",),
    "Mixed_5b.": ("inception",),
    "inception3a.": ("googlenet",),
    "features.0.0.": ("mobilenet", "efficientnet", "convnext", "swin", SMALL),
    "features.0.": ("alexnet", "vgg"),
    "trunk_output.": ("regnet",),
}

# Names listed in a message about differences.
LISTED = 3

State = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Outline:
    """An architecture without its numbers: the shape of each tensor by name, and the name of the last linear layer."""

    shapes: Mapping[str, tuple[int, ...]]
    head: str | None


@lru_cache(maxsize=128)
def outline(arch: str) -> Outline:
    """Built on torch's meta device, which allocates nothing, where the architecture allows it."""
    try:
        with torch.device("meta"):
            network = build(arch, 2)
    except NotImplementedError:
        # RegNet computes its widths with tensors, which have no values on the meta device
        with torch.random.fork_rng(devices=[]):
            network = build(arch, 2)
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    return Outline(shapes=shapes, head=last_linear(network))


def head_name(arch: str) -> str:
    """Name of the architecture's last linear layer. Raises `HeadNotFound` where it ends in something else."""
    name = outline(arch).head
    if name is None:
        raise HeadNotFound(
            f"{arch} ends in a convolution, not in a linear layer, so there is no last layer to retrain.",
            next_step="Use another architecture, for example resnet18 or mobilenet_v3_small.",
        )
    return name


def fitted(arch: str, state: Mapping[str, torch.Tensor], *, file: str) -> State:
    """The weights under the names the architecture gives them, with a head of any number of classes and a bias.

    file: what to call the weights in messages. Raises `ArchitectureMismatch` naming the first differences, or
    `HeadNotFound`.
    """
    head = head_name(arch)
    expected = dict(outline(arch).shapes)
    found = _with_plain_head(_without_prefixes(state, expected), head)
    found = {name: tensor for name, tensor in found.items() if not AUXILIARY.match(name)}
    weight = found.get(f"{head}.weight")
    if weight is not None and weight.ndim == 2:
        # a head may have any number of rows, and may have been trained without a bias
        rows = int(weight.shape[0])
        expected[f"{head}.weight"] = (rows, *expected[f"{head}.weight"][1:])
        expected[f"{head}.bias"] = (rows,)
        found.setdefault(f"{head}.bias", torch.zeros(rows))
    for name in expected:
        # counts of batches seen, absent from files of torch's first years; nothing here reads them
        if name.endswith("num_batches_tracked"):
            found.setdefault(name, torch.zeros((), dtype=torch.long))
    differences = _differences(expected, found)
    if differences:
        raise ArchitectureMismatch(
            f"{file} does not hold the weights of {arch}: {differences}.",
            next_step="Name the architecture that the weights were trained with.",
        )
    return found


def build_fitted(arch: str, state: State) -> nn.Module:
    """The architecture holding weights that `fitted` returned, in float32, in evaluation mode."""
    head = head_name(arch)
    network = _unfilled(arch, classes=int(state[f"{head}.weight"].shape[0]))
    last = network.get_submodule(head)
    if isinstance(last, nn.Linear) and last.bias is None:
        network.set_submodule(head, nn.Linear(last.in_features, last.out_features))
    weights = OrderedDict(
        (name, tensor.float() if tensor.is_floating_point() else tensor) for name, tensor in state.items()
    )
    # some architectures (MNASNet) read a version of theirs from here, which prefixes and safetensors lose
    weights._metadata = network.state_dict()._metadata  # type: ignore[attr-defined]
    network.load_state_dict(weights, assign=True)
    return network.eval()


def _unfilled(arch: str, classes: int) -> nn.Module:
    """The architecture without numbers where that is possible: sampling random ones takes seconds for some."""
    with contextlib.suppress(NotImplementedError), torch.device("meta"):
        network = build(arch, classes)
        # what the state dict will not bring has to be computed for real
        if {name for name, _ in network.named_buffers()} <= set(network.state_dict()):
            return network
    with torch.random.fork_rng(devices=[]):
        return build(arch, classes)


def suggest(state: Mapping[str, torch.Tensor]) -> tuple[str, ...]:
    """Architectures that these weights fit but for the number of classes; empty when none does.

    Takes a second or so: for messages, not for loading.
    """
    count = sum(tensor.numel() for tensor in state.values())
    beginnings = tuple(
        beginning for part, family in FAMILIES.items() if any(part in name for name in state) for beginning in family
    )
    fitting = []
    for arch in names():
        # the large RegNets cannot be outlined without allocating them
        too_large = arch.startswith("regnet") and count < 5_000_000 * _gigaflops(arch)
        if arch.startswith(beginnings) and not too_large:
            with contextlib.suppress(ArchitectureMismatch, HeadNotFound):
                fitted(arch, state, file="")
                fitting.append(arch)
    return tuple(fitting)


def _gigaflops(regnet: str) -> float:
    """regnet_x_1_6gf -> 1.6, regnet_y_400mf -> 0.4: its size, by its name."""
    size = regnet.split("_", 2)[2]
    return float(size[:-2].replace("_", ".")) / (1000 if size.endswith("mf") else 1)


def _without_prefixes(state: Mapping[str, torch.Tensor], expected: Mapping[str, tuple[int, ...]]) -> State:
    """Strip prefixes until the names are the expected ones; what lies outside the prefix then (a loss) is left out."""
    current = dict(state)
    while current and not any(name in expected for name in current):
        for prefix in PREFIXES:
            inside = {name.removeprefix(prefix): tensor for name, tensor in current.items() if name.startswith(prefix)}
            if inside and (len(inside) == len(current) or any(name in expected for name in inside)):
                current = inside
                break
        else:
            break
    return current


def _with_plain_head(state: State, head: str) -> State:
    """A head wrapped as `Sequential(Dropout, Linear)` (`fc.1.weight`), or as the last of several names, made plain."""
    if f"{head}.weight" in state:
        return state
    inside = [name for name in state if name.startswith(f"{head}.")]
    weights = [name for name in inside if name.endswith(".weight") and state[name].ndim == 2]
    if len(weights) != 1 or not set(inside) <= {weights[0], weights[0].removesuffix("weight") + "bias"}:
        return state
    start = weights[0].removesuffix("weight")
    return {(f"{head}." + name.removeprefix(start) if name in inside else name): state[name] for name in state}


def _differences(expected: Mapping[str, tuple[int, ...]], found: State) -> str:
    """What does not match, in words, empty when all does."""
    missing = [name for name in expected if name not in found]
    unknown = [name for name in found if name not in expected]
    shapes = [
        f"{name} is {_times(tuple(found[name].shape))} instead of {_times(shape)}"
        for name, shape in expected.items()
        if name in found and tuple(found[name].shape) != shape
    ]
    parts = []
    if shapes:
        parts.append("; ".join(shapes[:LISTED]) + _more(shapes))
    if missing:
        parts.append(f"it lacks {', '.join(missing[:LISTED])}{_more(missing)}")
    if unknown:
        parts.append(f"it has {', '.join(unknown[:LISTED])}{_more(unknown)}, unknown to the architecture")
    return "; ".join(parts)


def _times(shape: tuple[int, ...]) -> str:
    return "x".join(str(size) for size in shape) or "a single number"


def _more(listed: list[str]) -> str:
    return f" and {len(listed) - LISTED} more" if len(listed) > LISTED else ""
