"""ONNX graphs as classifiers, run by onnxruntime: cut at the input of the last linear node.

What follows that node (a softmax, a sigmoid) is left out and said. Writing a repaired model back changes that node's
numbers and leaves everything else of the graph as it came.
"""

from __future__ import annotations

import ast
import json
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from core.classifiers.checkpoint import check_finite
from core.classifiers.classifier import Classifier, of_program, one_output
from core.classifiers.head import Head
from core.classifiers.limits import bytes_for, one_trial
from core.classifiers.onnx_backbone import OnnxBackbone, backbone_of, cut, free_name
from core.classifiers.onnx_file import damaged, read_model, taken_by
from core.classifiers.onnx_head import averaged, part
from core.classifiers.onnx_session import open_session
from core.classifiers.origins import ONNX
from core.classifiers.preprocessing import Preprocessing, preprocessing_from_dict
from core.classifiers.programs import Takes, stripped, stripped_still, takes_of
from core.errors import BadRequest, MidbandError
from core.files import digest, replacing

# onnx's numbers for types of inputs
DTYPES = {1: torch.float32, 2: torch.uint8, 10: torch.float16, 11: torch.float64}
# bytes of weights above which they are written into a file beside the graph
LARGEST_INSIDE = 1_900_000_000
# characters: a list of names in a file's metadata that is longer is no list of names
LONGEST_NAMES = 1_000_000
# a literal of Python with nothing in it to be computed: lists and dictionaries of texts and numbers
_LITERAL = re.compile(r"""(?:[\s\d,:\[\]{}()]|'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*")*+""")


@one_trial()
def load(file: Path, preprocessing: Preprocessing | None) -> Classifier:
    """Load an ONNX graph. preprocessing: None for what its metadata says, else what images of its size usually go
    through.

    Raises `UnsafeCheckpoint`, `BadCheckpoint`, `BadWeights`, `HeadNotFound`, `BadRequest`.
    """
    try:
        return _load(file, preprocessing)
    except MidbandError:
        # one that does not fit into memory is a RuntimeError as well
        raise
    except (TypeError, ValueError, KeyError, IndexError, AttributeError, RuntimeError, OverflowError) as error:
        # a field that is missing, of another type or not text: protobuf takes all of them
        raise damaged(file, error) from error


def _load(file: Path, preprocessing: Preprocessing | None) -> Classifier:
    model, beside = read_model(file)
    _check_weights(model, beside, file)
    image, fixed = _input(model, file)
    parted = part(model, beside, file)
    classes, said = _facts(model)
    chosen = preprocessing or said or fixed.preprocessing()
    fixed.check(file.name, chosen)
    backbone = backbone_of(model, beside, parted, image, fixed, chosen, file)
    notes = stripped(parted.left_out, file)
    if backbone.takes.batch is not None:
        notes = (*notes, f"{file.name} takes {_images(backbone.takes.batch)} at a time, no more and no fewer.")
    return of_program(
        file,
        ONNX,
        Head(parted.weight.astype(np.float32), parted.bias.astype(np.float32)),
        backbone,
        chosen,
        head_name=parted.output,
        classes=classes,
        beside=_digests(model, beside),
        runs_on=("cpu",),
        notes=notes,
    )


def declared(classifier: Classifier) -> Takes:
    """What the file says that its graph takes."""
    return _input(read_model(classifier.file)[0], classifier.file)[1]


def write_with_head(classifier: Classifier, head: Head, path: Path) -> tuple[str, ...]:
    """The graph as it came, with other numbers in its last linear node. Returns sentences on what else is in it.

    Classes and preprocessing are stored as metadata properties, as JSON, beside those that are there. Weights of more
    than 1.9 GB lie beside it in `<name>.data`.
    """
    import onnx

    model, beside = read_model(classifier.file)
    parted = part(model, beside, classifier.file)
    chosen = one_output(head) if classifier.single else head
    for tensor in model.graph.initializer:
        if tensor.name in beside:
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.asarray(beside[tensor.name]), tensor.name))
    graph = model.graph
    taken = {name for node in graph.node for name in (*node.output, *taken_by(node))}
    taken |= {value.name for value in (*graph.input, *graph.initializer)}
    weight_name, bias_name, product = (free_name(name, taken) for name in ("head.weight", "head.bias", "head.product"))
    weight, bias = chosen.weight.astype(parted.dtype), chosen.bias.astype(parted.dtype)
    if parted.convolution:
        old = graph.node[parted.node]
        nodes = [onnx.helper.make_node("Conv", [parted.features, weight_name, bias_name], [parted.output])]
        nodes[0].attribute.extend(old.attribute)
        weight = weight[:, :, None, None]
    else:
        # a product and a sum take features of any number of axes
        nodes = [
            onnx.helper.make_node("MatMul", [parted.features, weight_name], [product]),
            onnx.helper.make_node("Add", [product, bias_name], [parted.output]),
        ]
        weight = np.ascontiguousarray(weight.T)
    before, after = list(graph.node[: parted.node]), list(graph.node[parted.node + 1 :])
    graph.ClearField("node")
    graph.node.extend([*before, *nodes, *after])
    graph.initializer.extend(
        [onnx.numpy_helper.from_array(weight, weight_name), onnx.numpy_helper.from_array(bias, bias_name)]
    )
    _drop_unused(graph)
    facts = {one.key: one.value for one in model.metadata_props}
    facts["preprocessing"] = json.dumps(classifier.preprocessing.to_dict())
    if classifier.classes is not None:
        facts["classes"] = json.dumps(list(classifier.classes), ensure_ascii=False)
    onnx.helper.set_model_props(model, facts)
    if model.ByteSize() > LARGEST_INSIDE:
        _write_in_two(model, path)
    else:
        with replacing(path) as written:
            written.write_bytes(model.SerializeToString())
    return stripped_still(parted.left_out)


def _write_in_two(model: Any, path: Path) -> None:
    """The graph, and its weights in a file beside it. Each takes its place when both are whole, the graph last."""
    import onnx

    data = path.with_name(f"{path.name}.data")
    with TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
        written = Path(folder) / path.name
        onnx.save_model(model, str(written), save_as_external_data=True, location=data.name)
        if (beside := written.with_name(data.name)).exists():
            os.replace(beside, data)
        os.replace(written, path)


def last_map(classifier: Classifier) -> Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]] | None:
    """A function of a batch that gives features (b, d) and the map (b, c, h, w) that they are the mean of; None where
    they come from no such map."""
    file = classifier.file
    model, beside = read_model(file)
    image, _ = _input(model, file)
    parted = part(model, beside, file)
    name = parted.features if parted.convolution else averaged(model, parted.features)
    if name is None:
        return None
    assert isinstance(classifier.backbone, OnnxBackbone)
    takes = classifier.backbone.takes
    found = cut(model, parted, image, takes, [name])
    backbone = OnnxBackbone(
        open_session(found, beside, file, bytes_for(None)),
        takes,
        classifier.preprocessing,
        half=classifier.backbone.half_precision,
    )

    def run(batch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return backbone(batch), backbone.value(batch, 1)

    return run


def _images(count: int) -> str:
    return "one image" if count == 1 else f"{count} images"


def _drop_unused(graph: Any) -> None:
    """Take away the nodes and weights that no output follows from any more."""
    needed = {output.name for output in graph.output}
    kept = []
    for node in reversed(graph.node):
        if needed & set(node.output):
            needed |= taken_by(node)
            kept.append(node)
    weights = [tensor for tensor in graph.initializer if tensor.name in needed]
    gone = {tensor.name for tensor in graph.initializer} - needed
    inputs = [value for value in graph.input if value.name not in gone]
    for field, values in (("node", kept[::-1]), ("initializer", weights), ("input", inputs)):
        copies = [type(value).FromString(value.SerializeToString()) for value in values]
        graph.ClearField(field)
        getattr(graph, field).extend(copies)


def _check_weights(model: Any, beside: Mapping[str, np.ndarray], file: Path) -> None:
    import onnx

    for tensor in model.graph.initializer:
        if tensor.name in beside or tensor.data_type in DTYPES:
            numbers = beside[tensor.name] if tensor.name in beside else onnx.numpy_helper.to_array(tensor)
            if numbers.dtype.kind == "f":
                check_finite({tensor.name: torch.from_numpy(np.array(numbers))}, file)


def _digests(model: Any, beside: Mapping[str, np.ndarray]) -> list[bytes]:
    """Of the weights that lie beside the file, in the order of the graph."""
    return [
        digest(np.ascontiguousarray(beside[tensor.name]).tobytes(), length=64).encode()
        for tensor in model.graph.initializer
        if tensor.name in beside
    ]


def _input(model: Any, file: Path) -> tuple[str, Takes]:
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    if len(inputs) != 1:
        raise BadRequest(
            f"{file.name} takes {len(inputs)} inputs, not one batch of images.",
            next_step="Load the model of a classifier of images.",
        )
    kind = inputs[0].type.tensor_type
    # a size of 0 or less is how some exporters write any size
    sizes = [dim.dim_value if dim.HasField("dim_value") and dim.dim_value > 0 else None for dim in kind.shape.dim]
    dtype = DTYPES.get(kind.elem_type)
    if len(sizes) != 4 or dtype is None:
        raise BadRequest(
            f"{file.name} takes an input of {len(sizes)} dimensions and type {kind.elem_type} of ONNX, not a batch of "
            "images.",
            next_step="Load the model of a classifier of images.",
        )
    return inputs[0].name, takes_of(sizes, dtype, file)


def _facts(model: Any) -> tuple[tuple[str, ...] | None, Preprocessing | None]:
    """Names of the classes and preprocessing out of the metadata: as Midband writes them, or `names` as others do."""
    told = {one.key: one.value for one in model.metadata_props}
    classes, chosen = None, None
    for key in ("classes", "names"):
        names = _read(told.get(key, ""))
        if isinstance(names, dict) and all(isinstance(one, int) or str(one).isdecimal() for one in names):
            names = [name for _, name in sorted((int(place), name) for place, name in names.items())]
        if isinstance(names, list) and names and all(isinstance(name, str) for name in names):
            classes = tuple(names)
            break
    preprocessing = _read(told.get("preprocessing", ""))
    if isinstance(preprocessing, dict):
        try:
            chosen = preprocessing_from_dict(preprocessing)
        except BadRequest:
            # of another program
            chosen = None
    return classes, chosen


def _read(text: str) -> Any:
    """JSON, or a literal of Python as some exporters write it; None for anything else."""
    if not text or len(text) > LONGEST_NAMES:
        return None
    for reader in (json.loads, ast.literal_eval):
        if reader is ast.literal_eval and not _LITERAL.fullmatch(text):
            return None
        try:
            return reader(text)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            continue
    return None
