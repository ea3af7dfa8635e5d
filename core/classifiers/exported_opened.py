"""A program of torch.export, opened: its graph, its weights by the names that the graph has for them, what it takes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from core.classifiers.exported_archive import AGAIN, DTYPES, ExportedArchive, damaged, read_archive
from core.classifiers.exported_graph import Graph, parse_argument, parse_graph
from core.classifiers.programs import Takes, takes_of
from core.errors import BadRequest, HeadNotFound, UnsafeCheckpoint

_FQN = re.compile(r"[\w\-]+(\.[\w\-]+)*")


@dataclass(frozen=True, eq=False)
class Opened:
    name: str
    graph: Graph
    archive: ExportedArchive
    weights: dict[str, tuple[str, torch.Tensor, bool]]
    constants: dict[str, Any]
    images: str
    outputs: tuple[str, ...]
    takes: Takes


def open_program(file: Path) -> Opened:
    archive = read_archive(file)
    try:
        return _opened(archive, file)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, RuntimeError, RecursionError) as error:
        raise damaged(file, error) from error


def _opened(archive: ExportedArchive, file: Path) -> Opened:
    serialized, signature = archive.graph["graph"], archive.graph["signature"]
    graph = parse_graph(serialized, file)
    weights: dict[str, tuple[str, torch.Tensor, bool]] = {}
    constants: dict[str, Any] = {}
    images = []
    for name, argument, spec in zip(graph.inputs, serialized["inputs"], signature["input_specs"], strict=True):
        ((kind, what),) = spec.items()
        if kind == "user_input" and "as_tensor" in argument:
            images.append(name)
        elif kind == "parameter":
            fqn = what["parameter_name"]
            weights[name] = fqn, _single_precision(archive.state[fqn]), True
        elif kind == "buffer":
            fqn = what["buffer_name"]
            held = archive.state if what["persistent"] else archive.constants
            weights[name] = fqn, _single_precision(held[fqn]), False
        elif kind == "tensor_constant":
            fqn = what["tensor_constant_name"]
            weights[name] = f"constants.{fqn}", _single_precision(archive.constants[fqn]), False
        elif kind in ("user_input", "constant_input"):
            constants[name] = None if kind == "constant_input" else parse_argument(argument, file)
        else:
            raise UnsafeCheckpoint(
                f"{file.name} needs an object of a class of its own ({kind}), which only running its code could make.",
                next_step=AGAIN,
            )
    if not all(_FQN.fullmatch(fqn) for fqn, _, _ in weights.values()):
        raise ValueError("a weight has a name that none can have")
    if len(images) != 1:
        raise BadRequest(
            f"{file.name} takes {len(images)} tensors, not one batch of images.",
            next_step="Export the network of a classifier of images.",
        )
    wanted = [
        argument["as_tensor"]["name"]
        for argument, spec in zip(serialized["outputs"], signature["output_specs"], strict=True)
        if "user_output" in spec and "as_tensor" in argument
    ]
    if not wanted:
        raise HeadNotFound(f"{file.name} returns no tensor.", next_step="Export a network that returns its logits.")
    takes = _takes(serialized["tensor_values"][images[0]], file)
    return Opened(file.name, graph, archive, weights, constants, images[0], tuple(wanted), takes)


def _takes(meta: Mapping[str, Any], file: Path) -> Takes:
    """What the graph says of its input."""
    sizes: list[int | None] = [size.get("as_int") for size in meta["sizes"]]
    dtype = DTYPES.get(meta["dtype"])
    if dtype is None or not (dtype.is_floating_point or dtype == torch.uint8) or len(sizes) != 4:
        raise BadRequest(
            f"{file.name} takes a tensor of {len(sizes)} dimensions and type {dtype}, not a batch of images.",
            next_step="Export the network of a classifier of images.",
        )
    return takes_of(sizes, dtype, file)


def _single_precision(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().float() if tensor.is_floating_point() else tensor.detach()
