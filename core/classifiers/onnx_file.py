"""ONNX files: read, looked through before anything runs, and edited.

An ONNX graph computes and nothing else, with three exceptions, which are refused: operators of other libraries (native
code that would have to be loaded), weights in files outside of its folder, and operators that hold a compiled program.
What is too large to be a classifier's is refused before memory is taken for it, as far as that can be foreseen; what
cannot is limited while it runs (onnx_session.py).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import BadCheckpoint, UnsafeCheckpoint

# a protobuf holds 2 GiB
LARGEST_FILE = 2**31 - 1
# entries of any value on the way for one image, or this many times those of the image where it is large: beyond it a
# graph is broken, or made to take all memory
LARGEST_VALUE = 2**26
TIMES_THE_IMAGE = 256
# entries of a tensor that sizes may be computed from
SMALL = 1024
# operators that onnxruntime has built in, by where they come from
DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml", "com.microsoft"})
# runs what another program compiled, out of a file
COMPILED = frozenset({"EPContext"})
# run other nodes as often as a number says, which nothing can be made to stop
REPEATING = frozenset({"Loop", "Scan"})
# onnx's numbers for types without a size in whole bytes, and for text
_NOT_PLAIN = frozenset({8, 21, 22, 23, 25, 26})

AGAIN = "Export it again, for example with torch.onnx.export(model.eval(), (images,), 'model.onnx')."


def read_model(file: Path) -> tuple[Any, dict[str, np.ndarray]]:
    """An `onnx.ModelProto`, and the weights that lie in files beside it, by name.

    Raises `UnsafeCheckpoint`, `BadCheckpoint`.
    """
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # protobuf brings no types

    size = file.stat().st_size
    if size > LARGEST_FILE:
        raise BadCheckpoint(f"{file.name} is larger than any ONNX file can be (2 GiB).", next_step=AGAIN)
    try:
        model = onnx.ModelProto.FromString(file.read_bytes())
    except (DecodeError, OSError) as error:
        raise BadCheckpoint(f"{file.name} is not a whole ONNX file ({error}).", next_step=AGAIN) from error
    if not model.graph.node:
        raise BadCheckpoint(f"{file.name} holds no graph.", next_step=AGAIN)
    _check_operators(model, file)
    beside = {}
    for tensor in model.graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            beside[tensor.name] = _beside(tensor, file)
        else:
            _check_size(tensor, file)
    for tensor in _constants(model):
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            raise BadCheckpoint(f"A constant of {file.name} lies in another file.", next_step=AGAIN)
        _check_size(tensor, file)
    _check_values(model, file)
    return model, beside


def part_of(model: Any, outputs: Iterable[str], more: Iterable[Any] = ()) -> Any:
    """A model that computes these values and nothing else. more: nodes that are added at the end."""
    import onnx

    wanted = list(outputs)
    nodes = [*model.graph.node, *more]
    needed, kept = set(wanted), []
    for node in reversed(nodes):
        if needed & set(node.output):
            needed |= taken_by(node)
            kept.append(node)
    found = onnx.ModelProto()
    found.ir_version = model.ir_version
    found.opset_import.extend(model.opset_import)
    found.functions.extend(model.functions)
    graph = found.graph
    graph.name = model.graph.name or "graph"
    graph.node.extend(reversed(kept))
    graph.initializer.extend(tensor for tensor in model.graph.initializer if tensor.name in needed)
    graph.sparse_initializer.extend(tensor for tensor in model.graph.sparse_initializer if tensor.values.name in needed)
    graph.input.extend(value for value in model.graph.input if value.name in needed)
    # onnxruntime finds their types itself
    graph.output.extend(onnx.ValueInfoProto(name=name) for name in wanted)
    return found


def taken_by(node: Any) -> set[str]:
    """Names of the values that a node reads, those inside its branches included."""
    names = set(node.input)
    for attribute in node.attribute:
        for graph in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
            for inner in graph.node:
                names |= taken_by(inner)
            names.update(output.name for output in graph.output)
    return names


def attributes_of(node: Any) -> dict[str, Any]:
    import onnx

    return {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}


def _check_operators(model: Any, file: Path) -> None:
    own = {(function.domain, function.name) for function in model.functions}
    for node in _nodes(model):
        if node.op_type in COMPILED:
            raise UnsafeCheckpoint(
                f"{file.name} holds a program that was compiled for one machine ({node.op_type}), which is never run.",
                next_step="Load the ONNX file that it was compiled from.",
            )
        if node.op_type in REPEATING:
            raise BadCheckpoint(
                f"{file.name} repeats some of its nodes ({node.op_type}), as often as a number in it says, which no "
                "classifier of images needs; it is not run.",
                next_step="Export the network without loops, for one size of images.",
            )
        if node.domain not in DOMAINS and (node.domain, node.op_type) not in own:
            raise UnsafeCheckpoint(
                f"{file.name} uses {node.domain[:60]}:{node.op_type[:60]}, an operator of another library. Its code "
                "would have to be loaded, so the model was not read.",
                next_step="Export the model with operators of ONNX itself only, or load its weights with the name of "
                "its architecture.",
            )


def _nodes(model: Any) -> Iterator[Any]:
    waiting = [*model.graph.node, *(node for function in model.functions for node in function.node)]
    while waiting:
        node = waiting.pop()
        yield node
        for attribute in node.attribute:
            waiting.extend(attribute.g.node)
            for graph in attribute.graphs:
                waiting.extend(graph.node)


def _constants(model: Any) -> Iterator[Any]:
    """Tensors that are not weights of the graph: inside nodes, and inside their branches."""
    graphs = []
    for node in _nodes(model):
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            graphs += [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]
    for graph in graphs:
        yield from graph.initializer
    for graph in (model.graph, *graphs):
        for tensor in graph.sparse_initializer:
            yield tensor.values
            yield tensor.indices


def _check_size(tensor: Any, file: Path) -> None:
    """Raise `BadCheckpoint` where a tensor says that it is larger than what is stored of it."""
    entries = math.prod(tensor.dims)
    fields = ("float_data", "int32_data", "int64_data", "double_data", "uint64_data", "string_data")
    # two numbers of 4 bits share a byte
    stored = max(2 * len(tensor.raw_data), *(2 * len(getattr(tensor, field)) for field in fields))
    if any(side < 0 for side in tensor.dims) or entries > stored:
        raise BadCheckpoint(
            f"The weight {tensor.name[:80] or 'without a name'} in {file.name} should have {entries:,} numbers and "
            "has fewer: the file is damaged.",
            next_step="Copy or export it again.",
        )


def _beside(tensor: Any, file: Path) -> np.ndarray:
    """The numbers of a weight that lies in another file, mapped. Raises `UnsafeCheckpoint`, `BadCheckpoint`."""
    import onnx

    told = {entry.key: entry.value for entry in tensor.external_data}
    location = told.get("location", "")
    folder = file.parent.resolve()
    target = (folder / location).resolve()
    if not location or not target.is_relative_to(folder) or Path(location).is_absolute():
        raise UnsafeCheckpoint(
            f"{file.name} wants to read {location[:120]!r}, which is outside of its folder, so it was not loaded.",
            next_step="Put the weights beside the model and export it again.",
        )
    if not target.is_file():
        raise BadCheckpoint(
            f"The weights of {file.name} lie in {location[:120]}, which is not there.",
            next_step="Put that file beside the model: both belong together.",
        )
    try:
        if tensor.data_type in _NOT_PLAIN or any(side < 0 for side in tensor.dims):
            raise ValueError("numbers of this type are not read from another file")
        dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type))
        start, size = int(told.get("offset", 0)), math.prod(tensor.dims) * dtype.itemsize
        if start < 0 or size != int(told.get("length", size)) or start + size > target.stat().st_size:
            raise ValueError(f"{size:,} bytes are not there")
        if size == 0:
            return np.zeros(tuple(tensor.dims), dtype=dtype)
        return np.memmap(target, dtype=dtype, mode="r", offset=start, shape=tuple(tensor.dims))
    except (ValueError, KeyError, OSError) as error:
        raise BadCheckpoint(
            f"The weight {tensor.name[:80]} of {file.name} cannot be read from {location[:120]} ({error}).",
            next_step="Copy both files again.",
        ) from error


def _check_values(model: Any, file: Path) -> None:
    """Raise `BadCheckpoint` where a value on the way is larger than any network's, as far as sizes are known. What is
    not known meets the limits of `open_session`."""
    weights = {tensor.name for tensor in model.graph.initializer}
    shapes = [given.type.tensor_type.shape.dim for given in model.graph.input if given.name not in weights]
    batch = max((sides[0].dim_value for sides in shapes if sides), default=1)
    images = (math.prod(side.dim_value or 1 for side in sides[1:]) for sides in shapes if sides)
    largest = max(LARGEST_VALUE, *(TIMES_THE_IMAGE * entries for entries in images)) if shapes else LARGEST_VALUE
    for name, sides in foreseen(model, model.graph.node).items():
        entries = math.prod(side for side in sides if side is not None)
        if entries > largest * max(batch, 1):
            raise BadCheckpoint(
                f"{name[:80]} in {file.name} would have {entries:,} numbers, more than any classifier needs.",
                next_step=AGAIN,
            )


def foreseen(model: Any, nodes: Iterable[Any]) -> dict[str, tuple[int | None, ...]]:
    """Sizes of the values that these nodes of a model give, for one image where the batch is open; None for a size
    that cannot be known before it is computed. What onnx cannot say anything of is left out."""
    import onnx

    outline = onnx.ModelProto()
    outline.ir_version = model.ir_version
    outline.opset_import.extend(model.opset_import)
    outline.functions.extend(model.functions)
    graph = outline.graph
    graph.name = "outline"
    # what the file itself says of values on the way is not taken over
    weights = {tensor.name for tensor in model.graph.initializer}
    for given in model.graph.input:
        if given.name not in weights:
            graph.input.append(given)
            sides = graph.input[-1].type.tensor_type.shape.dim
            if sides and not sides[0].HasField("dim_value"):
                # sizes that follow from that of the batch are known then
                sides[0].dim_value = 1
    for tensor in model.graph.initializer:
        # sizes are computed from small tensors; of large ones it is enough to know theirs
        if math.prod(tensor.dims) <= SMALL and tensor.data_location != onnx.TensorProto.EXTERNAL:
            graph.initializer.append(tensor)
        else:
            graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims)))
    graph.node.extend(nodes)
    try:
        inferred = onnx.shape_inference.infer_shapes(outline, data_prop=True)
    except (onnx.shape_inference.InferenceError, RuntimeError, ValueError):
        # it knows fewer operators than onnxruntime, which checks them again: no size is known then
        return {}
    return {
        value.name: tuple(dim.dim_value if dim.HasField("dim_value") else None for dim in shape.dim)
        for value in inferred.graph.value_info
        if value.type.HasField("tensor_type")
        and (shape := value.type.tensor_type.shape) is not None
        and value.type.tensor_type.HasField("shape")
    }


def damaged(file: Path, error: Exception) -> BadCheckpoint:
    return BadCheckpoint(
        f"{file.name} is no valid ONNX graph ({type(error).__name__}: {first_line(error)}).", next_step=AGAIN
    )


def first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return lines[0][:200]
