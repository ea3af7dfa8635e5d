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
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from core.classifiers.checkpoint import check_finite
from core.classifiers.classifier import Classifier, one_output, two_logits
from core.classifiers.head import Head
from core.classifiers.limits import TRIED_BYTES, TooLarge, TooSlow, bytes_for
from core.classifiers.onnx_file import attributes_of, damaged, part_of, read_model, taken_by
from core.classifiers.onnx_session import Session, open_session
from core.classifiers.origins import ONNX
from core.classifiers.preprocessing import Preprocessing, preprocessing_from_dict
from core.classifiers.programs import (
    Takes,
    check_alone,
    check_parts,
    in_batches,
    probe,
    stripped,
    stripped_still,
    takes_of,
)
from core.classifiers.torchscript import close
from core.errors import BadRequest, HeadNotFound, MidbandError
from core.files import digest, file_digest, replacing

# onnx's numbers for types of inputs
DTYPES = {1: torch.float32, 2: torch.uint8, 10: torch.float16, 11: torch.float64}
# bytes of weights above which they are written into a file beside the graph
LARGEST_INSIDE = 1_900_000_000
# characters: a list of names in a file's metadata that is longer is no list of names
LONGEST_NAMES = 1_000_000
# a literal of Python with nothing in it to be computed: lists and dictionaries of texts and numbers
_LITERAL = re.compile(r"""(?:[\s\d,:\[\]{}()]|'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*")*+""")

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


class OnnxBackbone:
    """(b, c, h, w) normalised images -> (b, d) float32, the session's first output. Threads may share it."""

    def __init__(
        self, session: Session, takes: Takes, chosen: Preprocessing, *, half: bool, trying: bool = False
    ) -> None:
        """half: its numbers have three digits. trying: it may not take long."""
        self._session, self._takes, self._chosen = session, takes, chosen
        self.half_precision = half
        self._trying = trying

    @property
    def takes(self) -> Takes:
        return self._takes

    def prepared(self, chosen: Preprocessing) -> OnnxBackbone:
        """The same graph for images that are prepared so; the session is shared."""
        self._takes.check("The graph", chosen)
        return OnnxBackbone(self._session, self._takes, chosen, half=self.half_precision)

    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        return self.value(batch).reshape(len(batch), -1)

    def value(self, batch: torch.Tensor, place: int = 0) -> torch.Tensor:
        """One of the session's outputs, float32, a row per image."""
        name = self._session.outputs[place]
        return in_batches(lambda part: self._run(part, name), self._takes.batch)(batch)

    def _run(self, batch: torch.Tensor, name: str) -> torch.Tensor:
        given = self._takes.inputs(batch, self._chosen).to(self._takes.dtype).contiguous().numpy()
        found = self._session.run(name, {self._session.inputs[0]: given}, trying=self._trying)
        return torch.from_numpy(np.asarray(found, dtype=np.float32))


def load(file: Path, preprocessing: Preprocessing | None) -> Classifier:
    """Load an ONNX graph. preprocessing: None for what its metadata says, else what images of its size usually go
    through.

    Raises `UnsafeCheckpoint`, `BadCheckpoint`, `BadWeights`, `HeadNotFound`, `BadRequest`.
    """
    try:
        return _load(file, preprocessing)
    except (TypeError, ValueError, KeyError, IndexError, AttributeError, RuntimeError, OverflowError) as error:
        # a field that is missing, of another type or not text: protobuf takes all of them
        raise damaged(file, error) from error


def _load(file: Path, preprocessing: Preprocessing | None) -> Classifier:
    model, beside = read_model(file)
    _check_weights(model, beside, file)
    image, fixed = _input(model, file)
    parted = _part(model, beside, file)
    classes, said = _facts(model)
    chosen = preprocessing or said or fixed.preprocessing()
    fixed.check(file.name, chosen)
    backbone = _backbone(model, beside, parted, image, fixed, chosen, file)
    weight, bias = parted.weight.astype(np.float32), parted.bias.astype(np.float32)
    head = Head(weight, bias)
    single = head.k == 1
    notes = stripped(parted.left_out, file)
    if backbone.takes.batch is not None:
        notes = (*notes, f"{file.name} takes {_images(backbone.takes.batch)} at a time, no more and no fewer.")
    found = two_logits(head) if single else head
    return Classifier(
        name=file.stem,
        arch=ONNX,
        classes=classes if classes is not None and len(classes) == found.k else None,
        preprocessing=chosen,
        head=found,
        digest=digest(ONNX, file_digest(file, 64), *_digests(model, beside), length=24),
        file=file,
        backbone=backbone,
        head_name=parted.output,
        single=single,
        origin=ONNX,
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
    parted = _part(model, beside, classifier.file)
    chosen = one_output(head) if classifier.single else head
    for tensor in model.graph.initializer:
        if tensor.name in beside:
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.asarray(beside[tensor.name]), tensor.name))
    graph = model.graph
    taken = {name for node in graph.node for name in (*node.output, *taken_by(node))}
    taken |= {value.name for value in (*graph.input, *graph.initializer)}
    weight_name, bias_name, product = (_free(name, taken) for name in ("head.weight", "head.bias", "head.product"))
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
    parted = _part(model, beside, file)
    name = parted.features if parted.convolution else _averaged(model, parted.features)
    if name is None:
        return None
    assert isinstance(classifier.backbone, OnnxBackbone)
    takes = classifier.backbone.takes
    found = _cut(model, parted, image, takes, [name])
    backbone = OnnxBackbone(
        open_session(found, beside, file, bytes_for(None)),
        takes,
        classifier.preprocessing,
        half=classifier.backbone.half_precision,
    )

    def run(batch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return backbone(batch), backbone.value(batch, 1)

    return run


def _averaged(model: Any, features: str) -> str | None:
    """The value that these features are the mean of, going back through what only changes their shape."""
    producers = _producers(model)
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


def _rounds(model: Any) -> bool:
    """Whether a graph computes in whole numbers of 8 bits somewhere, and so has two digits."""
    return any(
        node.op_type.startswith(("Quantize", "Dequantize", "QLinear", "DynamicQuantize")) or "Integer" in node.op_type
        for node in model.graph.node
    )


def _images(count: int) -> str:
    return "one image" if count == 1 else f"{count} images"


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    taken.add(name)
    return name


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


def _producers(model: Any) -> dict[str, int]:
    return {name: place for place, node in enumerate(model.graph.node) for name in node.output if name}


def _part(model: Any, beside: Mapping[str, np.ndarray], file: Path) -> Parted:
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
    producers = _producers(model)

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


def _cut(model: Any, parted: Parted, image: str, takes: Takes, more: list[str]) -> Any:
    """A model from the images to the features, and to `more` values. takes: batches of which size it is to take."""
    import onnx

    features, added = parted.features, []
    if parted.convolution:
        taken = {name for node in model.graph.node for name in (*node.output, *taken_by(node))}
        pooled, features = _free("head.pooled", taken), _free("head.features", taken)
        added = [
            onnx.helper.make_node("GlobalAveragePool", [parted.features], [pooled]),
            onnx.helper.make_node("Flatten", [pooled], [features]),
        ]
    found = part_of(model, [features, *(name for name in more if name != features)], added)
    for value in found.graph.input:
        if value.name == image and takes.batch is None:
            value.type.tensor_type.shape.dim[0].Clear()
            value.type.tensor_type.shape.dim[0].dim_param = "batch"
    return found


def _with_open_rows(model: Any, image: str, batch: int) -> Any:
    """The graph with sizes opened that were written down for a batch of this size: those in front of what follows from
    the images. A guess, to be tried: another size in front may be meant as it is."""
    import onnx

    opened = type(model)()
    opened.CopyFrom(model)
    numbers = {tensor.name: tensor for tensor in opened.graph.initializer}
    for node in opened.graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            numbers[node.output[0]] = node.attribute[0].t
    follows, taken = {image}, {name for node in opened.graph.node for name in (*node.output, *node.input)}
    for node in opened.graph.node:
        if not taken_by(node) & follows:
            continue
        follows.update(node.output)
        if node.op_type != "Reshape" or node.input[1] not in numbers:
            continue
        sizes = onnx.numpy_helper.to_array(numbers[node.input[1]]).copy()
        if sizes.ndim != 1 or not len(sizes) or sizes[0] <= 0 or sizes[0] % batch:
            continue
        # one size may be left to be worked out; where it is another, the first is taken over as it comes
        sizes[0] = -1 if (sizes >= 0).all() else 0
        name = _free("head.sizes", taken)
        opened.graph.initializer.append(onnx.numpy_helper.from_array(sizes, name))
        node.input[1] = name
    return opened


def _backbone(
    model: Any,
    beside: Mapping[str, np.ndarray],
    parted: Parted,
    image: str,
    fixed: Takes,
    chosen: Preprocessing,
    file: Path,
) -> OnnxBackbone:
    """The graph up to the features, tried: for batches of any size where that gives the same."""
    images = probe(chosen, fixed.channels)
    half = parted.dtype == np.float16 or fixed.dtype == torch.float16 or _rounds(model)
    k, d = parted.weight.shape
    # batches of other sizes than it was exported for work with most graphs, if sizes are opened that were written down
    # for that one; a batch that is open by name may be written down all the same
    size = fixed.batch or 1
    opened = _with_open_rows(model, image, size)
    tries = [(model, fixed.open_ended()), (opened, fixed.open_ended()), (model, replace(fixed, batch=size))]
    problem: Exception | None = None
    for place, (tried, takes) in enumerate(tries, 1):
        is_last = place == len(tries)
        try:
            session = open_session(_cut(tried, parted, image, takes, [parted.logits]), beside, file, bytes_for(images))
            trial = OnnxBackbone(session, takes, chosen, half=half, trying=True)
            together, own = trial(images), trial.value(images, 1).reshape(len(images), -1)
            alone = torch.cat([trial(one[None]) for one in images])
        except (MemoryError, TooLarge, TooSlow):
            raise
        except Exception as error:
            # onnxruntime's own exceptions have no common parent
            problem = problem or error
            continue
        if together.shape != (len(images), d) or own.shape != (len(images), k) or parted.bias.shape != (k,):
            problem = problem or HeadNotFound(
                f"{file.name} does not give one row of {k} logits per image (it gives {tuple(own.shape)}).",
                next_step="Export a network that ends in one linear layer and returns its output.",
            )
            continue
        if not is_last and not close(alone, together, 1e-2 if half else 1e-3):
            continue
        check_alone(file.name, together, alone, half=half)
        weight, bias = parted.weight.astype(np.float32), parted.bias.astype(np.float32)
        check_parts(file.name, together, own, weight, bias, half=half)
        found = open_session(_cut(tried, parted, image, takes, []), beside, file, bytes_for(None))
        return OnnxBackbone(found, takes, chosen, half=half)
    if isinstance(problem, MidbandError):
        raise problem
    cause = [line for line in str(problem).splitlines() if line.strip()][:1]
    raise BadRequest(
        f"{file.name} cannot take images of {chosen.crop} x {chosen.crop} pixels ({''.join(cause)[:200]}).",
        next_step="Give the preprocessing that the model was trained with.",
    ) from problem
