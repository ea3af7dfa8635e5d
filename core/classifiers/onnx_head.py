"""The last linear node of an ONNX graph: found by going back from its outputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core.classifiers.limits import TRIED_BYTES
from core.classifiers.onnx_file import attributes_of, part_of, taken_by
from core.classifiers.onnx_session import open_session
from core.errors import HeadNotFound

# what may follow the logits, and what it is called
SQUASHING = {"Softmax": "softmax", "LogSoftmax": "log-softmax", "Sigmoid": "sigmoid"}
ROUNDING = frozenset({"QuantizeLinear", "DequantizeLinear"})
PASSING = frozenset({"Identity", "Cast", "Dropout", "Squeeze", "Reshape", "Flatten"})
POOLING = frozenset({"GlobalAveragePool", "ReduceMean", "AveragePool"})


@dataclass(frozen=True, eq=False)
class Parted:
    """Where a graph ends in a linear map. features: the value that goes in. convolution: the map is a 1x1 convolution,
    and the mean over the places is what goes in. node: which one it is, output: its result. logits: the value that
    comes out in the end, before anything is left out. weight: (k, d). bias: (k,). dtype: of the numbers in the graph.
    left_out: what followed."""

    features: str
    convolution: bool
    node: int
    output: str
    logits: str
    weight: np.ndarray
    bias: np.ndarray
    dtype: np.dtype
    left_out: list[str]


def part(model: Any, beside: Mapping[str, np.ndarray], file: Path) -> Parted:
    """Find the last linear node behind the first output that has one. Raises `HeadNotFound`."""
    ends = []
    for output in model.graph.output:
        found = _linear(model, beside, output.name, file)
        if isinstance(found, Parted):
            return found
        ends.append(found)
    raise HeadNotFound(
        f"{file.name} ends in {ends[0] if ends else 'nothing'}, not in a linear layer with weights of its own.",
        next_step="Export a network whose output is its last linear layer's, in full precision.",
    )


def _linear(model: Any, beside: Mapping[str, np.ndarray], output: str, file: Path) -> Parted | str:
    """The linear node that an output comes from, or what it comes from instead."""
    producers = producers_of(model)

    def constant(name: str) -> np.ndarray | None:
        return _constant(model, beside, name, file)

    left_out: list[str] = []
    name = logits = output
    pooled, seen = False, set()
    while name in producers:
        if name in seen:
            return "a circle"
        seen.add(name)
        node = model.graph.node[producers[name]]
        if node.op_type in SQUASHING and not pooled:
            left_out.append(SQUASHING[node.op_type])
            logits = node.input[0]
        elif node.op_type in ROUNDING:
            if "rounding to 8 bits" not in left_out:
                left_out.append("rounding to 8 bits")
            logits = node.input[0]
        elif node.op_type in POOLING:
            pooled = True
        elif node.op_type not in PASSING:
            break
        name = node.input[0]
    if name not in producers:
        return "its own input"
    place = producers[name]
    node = model.graph.node[place]
    given = attributes_of(node)
    source: str | None = None
    weight: np.ndarray | None = None
    bias: np.ndarray | None = np.zeros(1, dtype=np.float32)
    if node.op_type == "Gemm" and not given.get("transA", 0):
        source, weight = node.input[0], constant(node.input[1])
        if weight is not None:
            weight = (weight if given.get("transB", 0) else weight.T) * weight.dtype.type(given.get("alpha", 1.0))
        if len(node.input) > 2 and node.input[2]:
            bias = constant(node.input[2])
            bias = None if bias is None else bias * bias.dtype.type(given.get("beta", 1.0))
    elif node.op_type == "MatMul":
        source, weight = node.input[0], constant(node.input[1])
        weight = None if weight is None else weight.T
    elif node.op_type == "Add":
        for first, second in (node.input, node.input[::-1]):
            inner = model.graph.node[producers[first]] if first in producers else None
            if inner is not None and inner.op_type == "MatMul":
                source, weight, bias = inner.input[0], constant(inner.input[1]), constant(second)
                weight = None if weight is None else weight.T
                break
    elif node.op_type == "Conv":
        source, weight = node.input[0], constant(node.input[1])
        bias = constant(node.input[2]) if len(node.input) > 2 and node.input[2] else bias
        if weight is not None and (weight.ndim != 4 or weight.shape[2:] != (1, 1)):
            weight = None
        weight = None if weight is None else weight[:, :, 0, 0]
    if source is None or weight is None or bias is None or weight.ndim != 2 or weight.dtype.kind != "f":
        return f"the operator {node.op_type}"
    flat = bias.reshape(-1)
    return Parted(
        features=source,
        convolution=node.op_type == "Conv",
        node=place,
        output=name,
        logits=logits,
        weight=np.ascontiguousarray(weight),
        bias=np.broadcast_to(flat, (len(weight),)).copy() if len(flat) in (1, len(weight)) else flat,
        dtype=weight.dtype,
        left_out=left_out[::-1],
    )


def _constant(model: Any, beside: Mapping[str, np.ndarray], name: str, file: Path) -> np.ndarray | None:
    """The numbers of a value that does not depend on the images; None where it does."""
    import onnx

    for tensor in model.graph.initializer:
        if tensor.name == name:
            return np.asarray(beside[name]) if name in beside else onnx.numpy_helper.to_array(tensor)
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = {value.name for value in model.graph.input} - weights
    found = part_of(model, [name])
    if not found.graph.node or any(inputs & taken_by(node) for node in found.graph.node):
        return None
    return open_session(found, beside, file, TRIED_BYTES).run(name, {}, trying=True)


def producers_of(model: Any) -> dict[str, int]:
    return {name: place for place, node in enumerate(model.graph.node) for name in node.output if name}


def averaged(model: Any, features: str) -> str | None:
    """The value that these features are the mean of, going back through what only changes their shape."""
    producers = producers_of(model)
    name = features
    # each node once: what was loaded has no circles
    while name in producers:
        node = model.graph.node[producers[name]]
        if node.op_type in POOLING:
            return str(node.input[0])
        if node.op_type not in PASSING:
            return None
        name = node.input[0]
    return None
