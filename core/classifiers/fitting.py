"""Weights by name against an architecture: prefixes removed, the head found, differences named.

People give a network a head of their own: another number of classes, a `Sequential` of dropout and a linear layer, a
small network of two or three layers. Its layers are read off the names and shapes of its weights. What has no weights
leaves no trace but a gap in the numbering, where a ReLU is taken for granted and said so (`assumed`).
"""

from __future__ import annotations

import contextlib
import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import nn

from core.classifiers.architectures import build, last_layer, names
from core.classifiers.peek import TIMM
from core.classifiers.telltales import TELLTALES
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

# How a network in two parts is kept: what comes before the names of its features, and of its head.
SPLITS = (("0.", "1."), ("featurizer.", "classifier."))

# Extra classifiers of GoogLeNet and Inception: used while training only.
AUXILIARY = re.compile(r"^(aux1|aux2|AuxLogits)\.")

# Part of a weight's name that gives away a network of another library, which cannot all be tried.
LIBRARIES = {
    ".embeddings.": "transformers",
    ".encoder.layer": "transformers",
    ".encoder.stages.": "transformers",
    "timm_model.": "transformers",
    "blocks.0.": "timm",
    "stages.0.": "timm",
    "stem.": "timm",
    "conv_stem.": "timm",
    "patch_embed.": "timm",
    "head.fc.": "timm",
}

# Names listed in a message about differences.
LISTED = 3

State = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Outline:
    """An architecture without its numbers: the shape of each tensor by name, and the name of the last layer."""

    shapes: Mapping[str, tuple[int, ...]]
    head: str | None


@lru_cache(maxsize=128)
def outline(arch: str) -> Outline:
    """Built on torch's meta device, which allocates nothing, where the architecture allows it."""
    try:
        with torch.device("meta"):
            network = build(arch, 2)
    except RuntimeError:
        # RegNet and some of timm compute their widths with tensors, which have no values on the meta device
        with torch.random.fork_rng(devices=[]):
            network = build(arch, 2)
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    return Outline(shapes=shapes, head=last_layer(network, arch))


def head_name(arch: str) -> str:
    """Name of the architecture's own last layer, linear or a 1x1 convolution. Raises `HeadNotFound` without one."""
    name = outline(arch).head
    if name is None:
        raise HeadNotFound(
            f"{arch} has no last linear layer that could be retrained.",
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
    found = _with_plain_head(_without_prefixes(state, expected, head), head)
    found = {name: tensor for name, tensor in found.items() if not AUXILIARY.match(name)}
    weight = found.get(f"{head}.weight")
    if weight is not None and weight.ndim in (2, 4):
        if weight.ndim == 4 and weight.shape[2:] == (1, 1) and len(expected[f"{head}.weight"]) == 2:
            # a convolution of one place, where the architecture has a linear layer: the same numbers
            weight = found[f"{head}.weight"] = weight.flatten(1)
        # a head may have any number of rows, and may have been trained without a bias
        rows = int(weight.shape[0])
        expected[f"{head}.weight"] = (rows, *expected[f"{head}.weight"][1:])
        expected[f"{head}.bias"] = (rows,)
        found.setdefault(f"{head}.bias", torch.zeros(rows))
    own = _own_head(found, outline(arch))
    if own is not None:
        outside = {name: shape for name, shape in expected.items() if not _inside(name, own.place)}
        expected = {**outside, **{name: tuple(found[name].shape) for name in found if _inside(name, own.place)}}
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
    own = _own_head(state, outline(arch))
    head = head_name(arch)
    network = _unfilled(arch, classes=2 if own is not None else int(state[f"{head}.weight"].shape[0]))
    if own is not None:
        network.set_submodule(own.place, own.build(network.get_submodule(own.place)))
    last = None if own is not None else network.get_submodule(head)
    if isinstance(last, nn.Linear) and last.bias is None:
        network.set_submodule(head, nn.Linear(last.in_features, last.out_features))
    elif isinstance(last, nn.Conv2d) and last.bias is None:
        network.set_submodule(head, nn.Conv2d(last.in_channels, last.out_channels, 1))
    weights = OrderedDict(
        (name, tensor.float() if tensor.is_floating_point() else tensor) for name, tensor in state.items()
    )
    # some architectures (MNASNet) read a version of theirs from here, which prefixes and safetensors lose
    weights._metadata = network.state_dict()._metadata  # type: ignore[attr-defined]
    network.load_state_dict(weights, assign=True)
    return network.eval()


def assumed(arch: str, state: State) -> tuple[str, ...]:
    """Sentences on what the weights do not say and was taken for granted. state: what `fitted` returned."""
    own = _own_head(state, outline(arch))
    if own is None or not own.gaps:
        return ()
    return (
        f"The head ({own.place}) has {own.linear} linear layers, and a file of weights does not say what is between "
        "them: a ReLU was assumed. If that is wrong, the accuracy is too; save the model as TorchScript then.",
    )


@dataclass(frozen=True)
class _OwnHead:
    """A head that somebody put in the place of the architecture's own.

    place: the name of what it replaces. layers: name within the place (or "") -> kind and shape of its weight, in
    order. gaps: numbers before which something without weights stood between two linear layers.
    """

    place: str
    layers: tuple[tuple[str, str, tuple[int, ...], bool], ...]
    gaps: tuple[int, ...]

    @property
    def linear(self) -> int:
        return sum(kind == "linear" for _, kind, _, _ in self.layers)

    def build(self, replaced: nn.Module) -> nn.Module:
        """The head as modules with random numbers. replaced: what the architecture has in its place, whose activations
        are taken where its layers are at the same numbers."""
        if len(self.layers) == 1 and not self.layers[0][0]:
            return _layer(*self.layers[0][1:])
        sequence = OrderedDict[str, nn.Module]()
        numbered = all(name.isdigit() for name, *_ in self.layers)
        between = _between(replaced, {name for name, *_ in self.layers}) if numbered else {}
        before = -1
        for position, (name, kind, shape, bias) in enumerate(self.layers):
            if numbered:
                for number in range(before + 1, int(name)):
                    first = number == before + 1
                    usual: nn.Module = nn.Identity()
                    if first:
                        usual = nn.ReLU() if int(name) in self.gaps else nn.Flatten(1) if before < 0 else usual
                    sequence[str(number)] = between.get(str(number), usual)
                before = int(name)
            elif position in self.gaps:
                sequence[f"activation{position}"] = nn.ReLU()
            sequence[name] = _layer(kind, shape, bias)
        return nn.Sequential(sequence)


def _layer(kind: str, shape: tuple[int, ...], bias: bool) -> nn.Module:
    if kind == "linear":
        return nn.Linear(shape[1], shape[0], bias=bias)
    return nn.BatchNorm1d(shape[0]) if kind == "batch norm" else nn.LayerNorm(shape[0])


def _between(replaced: nn.Module, layers: set[str]) -> dict[str, nn.Module]:
    """The modules without weights of a sequence whose layers with weights have these numbers; else nothing."""
    children = dict(replaced.named_children()) if isinstance(replaced, nn.Sequential) else {}
    if {name for name, module in children.items() if any(True for _ in module.parameters())} != layers:
        return {}
    return {name: module for name, module in children.items() if name not in layers}


def _own_head(found: State, outlined: Outline) -> _OwnHead | None:
    """The head that the weights have where the architecture has another; None where they have none or it is unclear."""
    head, shapes = outlined.head, outlined.shapes
    if head is None:
        return None
    # the last layer itself, or the sequence that it is part of: classifier.6 and classifier
    for place in dict.fromkeys((head, head.rpartition(".")[0] or head, head.partition(".")[0])):
        wanted = {name for name in shapes if _inside(name, place)}
        inside = [name for name in found if _inside(name, place)]
        rest = {name for name in shapes if name not in wanted and not name.endswith("num_batches_tracked")}
        others = {name for name in found if not _inside(name, place) and not name.endswith("num_batches_tracked")}
        if rest != others or not inside:
            continue
        same = {name: tuple(found[name].shape)[1:] for name in inside} == {name: shapes[name][1:] for name in wanted}
        if same or set(inside) - wanted == {f"{head}.bias"}:
            return None
        entry = next((shapes[name] for name in shapes if name in wanted and len(shapes[name]) == 2), None)
        own = _read_head({name[len(place) + 1 :]: found[name] for name in inside}, place)
        if own is not None and entry is not None and _first_linear(own) == entry[1]:
            return own
    return None


def _read_head(state: State, place: str) -> _OwnHead | None:
    """Layers by the names within their place (`0.weight`, `fc1.bias`); None where they are no chain of layers."""
    names = list(dict.fromkeys(name.rpartition(".")[0] for name in state))
    if any("." in name for name in names) or ("" in names and len(names) > 1):
        return None
    if all(name.isdigit() for name in names):
        names.sort(key=int)
    layers: list[tuple[str, str, tuple[int, ...], bool]] = []
    for name in names:
        start = f"{name}." if name else ""
        weight, bias = state.get(f"{start}weight"), f"{start}bias" in state
        if weight is None:
            return None
        if weight.ndim == 2:
            kind = "linear"
        elif weight.ndim == 1:
            kind = "batch norm" if f"{start}running_mean" in state else "layer norm"
        else:
            return None
        layers.append((name, kind, tuple(weight.shape), bias))
    width: int | None = None
    gaps: list[int] = []
    # None before the first linear layer; then whether something without weights has come since the last one
    activated: bool | None = None
    for position, (name, kind, shape, _) in enumerate(layers):
        if width is not None and shape[-1] != width:
            return None
        width = shape[0]
        if activated is False:
            number = int(name) if name.isdigit() else None
            if number is None and kind == "linear":
                gaps.append(position)
            elif number is not None and number > int(layers[position - 1][0]) + 1:
                gaps.append(number)
                activated = True
        if kind == "linear":
            activated = False
    return _OwnHead(place, tuple(layers), tuple(gaps)) if layers and layers[-1][1] == "linear" else None


def _first_linear(own: _OwnHead) -> int:
    return next(shape[1] for _, kind, shape, _ in own.layers if kind == "linear")


def _inside(name: str, place: str) -> bool:
    return name.startswith(f"{place}.")


def _unfilled(arch: str, classes: int) -> nn.Module:
    """The architecture without numbers where that is possible: sampling random ones takes seconds for some."""
    if arch.startswith(TIMM):
        # some of its networks keep tables beside their buffers, which would stay without numbers
        with torch.random.fork_rng(devices=[]):
            return build(arch, classes)
    with contextlib.suppress(NotImplementedError), torch.device("meta"):
        network = build(arch, classes)
        # what the state dict will not bring has to be computed for real
        if {name for name, _ in network.named_buffers()} <= set(network.state_dict()):
            return network
    with torch.random.fork_rng(devices=[]):
        return build(arch, classes)


def suggest(state: Mapping[str, torch.Tensor]) -> tuple[str, ...]:
    """Architectures that these weights fit but for the number of classes; empty when none does.

    Only those are outlined whose telltale is among the weights: one to three, of a hundred.
    """
    there = {
        (".".join(parts[at:]), tuple(tensor.shape))
        for name, tensor in state.items()
        if tensor.ndim >= 2
        for parts in [name.split(".")]
        for at in range(len(parts))
    }
    fitting = []
    for arch in names():
        if TELLTALES.get(arch) in there or arch not in TELLTALES:
            with contextlib.suppress(ArchitectureMismatch, HeadNotFound):
                fitted(arch, state, file="")
                fitting.append(arch)
    return tuple(fitting)


def library_of(state: Mapping[str, torch.Tensor]) -> str | None:
    """Whose network these names look like, "timm" or "transformers"; None where they do not."""
    return next((library for part, library in LIBRARIES.items() if any(part in name for name in state)), None)


def _without_prefixes(state: Mapping[str, torch.Tensor], expected: Mapping[str, tuple[int, ...]], head: str) -> State:
    """Strip prefixes until the names are the expected ones; what lies outside the prefix then (a loss) is left out."""
    current = dict(state)
    while current and not any(name in expected for name in current):
        joined = _joined(current, expected, head)
        if joined is not None:
            return joined
        for prefix in PREFIXES:
            inside = {name.removeprefix(prefix): tensor for name, tensor in current.items() if name.startswith(prefix)}
            if inside and (
                len(inside) == len(current)
                or any(name in expected for name in inside)
                or _joined(inside, expected, head) is not None
            ):
                current = inside
                break
        else:
            break
    return current


def _joined(state: State, expected: Mapping[str, tuple[int, ...]], head: str) -> State | None:
    """A network kept as features and head (`0.conv1.weight`, `1.weight`; `featurizer.`, `classifier.`), as WILDS and
    DomainBed have it, under the architecture's names; None where it is none."""
    for features, last in SPLITS:
        body = {name.removeprefix(features): t for name, t in state.items() if name.startswith(features)}
        top = {name.removeprefix(last): t for name, t in state.items() if name.startswith(last)}
        if not body or not top:
            continue
        if not any(name in expected for name in body):
            body = {name.removeprefix("network."): tensor for name, tensor in body.items()}
        if any(name in expected for name in body):
            return {**body, **{f"{head}.{name}": tensor for name, tensor in top.items()}}
    return None


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
