"""A model file as somebody's training wrote it, with other numbers in it: the same names, wrappers and number types.

Whoever reads such files has code that knows them. A repaired model that this code can read needs no other change.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from core.classifiers.checkpoint import kind_of_file, read_torch, weights_in
from core.classifiers.fitting import fitted
from core.errors import BadRequest
from core.files import replacing

# entries of a checkpoint named in a sentence
_LISTED = 4


@dataclass(frozen=True, eq=False)
class Layout:
    """content: all that the file holds. weights: the part of it that holds the weights, maybe itself. names: the
    architecture's name of each tensor -> the file's. metadata: of a safetensors file."""

    kind: str
    content: Any
    weights: MutableMapping[Any, Any]
    names: Mapping[str, Any]
    metadata: Mapping[str, str] | None

    @property
    def plain(self) -> bool:
        """Whether it is what any state dict of the architecture is: nothing around it, no name or type of its own."""
        return (
            self.content is self.weights
            and set(self.weights) == set(self.names)
            and all(name == key for name, key in self.names.items())
            and all(not t.is_floating_point() or t.dtype == torch.float32 for t in self.weights.values())
        )


def read_layout(file: Path, arch: str) -> Layout:
    """Read a state dict (safetensors or PyTorch) of a known architecture. Raises as `load_classifier`."""
    kind = kind_of_file(file)
    metadata = None
    if kind == "safetensors":
        with safe_open(file, framework="pt") as source:
            metadata = source.metadata()
            content: Any = {name: source.get_tensor(name) for name in source.keys()}  # noqa: SIM118  # not a dict
    else:
        content = read_torch(file)
    weights = weights_in(content, file)
    assert isinstance(weights, MutableMapping)
    tensors = {str(key): value for key, value in weights.items() if isinstance(value, torch.Tensor)}
    keys = {id(value): key for key, value in weights.items()}
    places = {value.data_ptr(): keys[id(value)] for value in tensors.values()}
    names = {}
    for name, tensor in fitted(arch, tensors, file=file.name).items():
        # `fitted` renames tensors and reshapes one, but never copies any; those it adds itself have no key
        key = keys.get(id(tensor), places.get(tensor.data_ptr()))
        if key is not None:
            names[name] = key
    return Layout(kind, content, weights, names, metadata)


def write_layout(layout: Layout, state: Mapping[str, torch.Tensor], path: Path) -> tuple[str, ...]:
    """Write other weights in this layout, whole or not at all; the layout is used up. Returns sentences about what the
    file holds beside them.

    state: by the architecture's names. Numbers that did not change stay as they are, others take the type of those
    they replace. Raises `BadRequest` when the layout has no place for one that is needed.
    """
    same: dict[tuple[int, tuple[int, ...]], list[Any]] = {}
    for key, tensor in layout.weights.items():
        if isinstance(tensor, torch.Tensor) and tensor.numel():
            same.setdefault((tensor.data_ptr(), tuple(tensor.shape)), []).append(key)
    for name, value in state.items():
        if name not in layout.names:
            # counts of batches, which nothing reads while predicting, and biases of zero can be left out
            if value.is_floating_point() and bool(value.any()):
                raise BadRequest(
                    f"Its weights have no {name}, and the repaired network needs one.",
                    next_step="Use model.pt, which has it.",
                )
            continue
        key = layout.names[name]
        before = layout.weights[key]
        # a head may be kept as a 1x1 convolution
        value = value.detach().cpu().reshape(before.shape)
        if torch.equal(before.to(value.dtype), value):
            continue
        changed = value.to(before.dtype).clone(memory_format=torch.contiguous_format)
        # the same weights under another name, as where a network is kept whole and in parts
        for other in same.get((before.data_ptr(), tuple(before.shape)), [key]):
            layout.weights[other] = changed
    with replacing(path) as beside:
        if layout.kind == "safetensors":
            tensors = {key: tensor.clone() for key, tensor in layout.weights.items()}
            save_file(tensors, beside, metadata=None if layout.metadata is None else dict(layout.metadata))
        else:
            torch.save(layout.content, beside)
    return _beside(layout)


def _beside(layout: Layout) -> tuple[str, ...]:
    """What a checkpoint holds beside the weights, in a sentence."""
    others: list[str] = []
    value = layout.content
    while value is not layout.weights:
        inner = next(key for key, item in value.items() if isinstance(item, Mapping) and _holds(item, layout.weights))
        others += [str(key) for key in value if key != inner]
        value = value[inner]
    if not others:
        return ()
    shown = ", ".join(others[:_LISTED]) + (f" and {len(others) - _LISTED} more" if len(others) > _LISTED else "")
    return (f"What else the file holds ({shown}) is as it came: an optimiser's state or averaged weights are the old.",)


def _holds(value: Mapping[Any, Any], wanted: Any) -> bool:
    return value is wanted or any(isinstance(item, Mapping) and _holds(item, wanted) for item in value.values())
