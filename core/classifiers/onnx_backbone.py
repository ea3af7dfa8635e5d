"""ONNX graphs up to their features: cut at the input of the last linear node, and tried before they are trusted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from core.classifiers.limits import TooLarge, TooSlow, bytes_for
from core.classifiers.onnx_file import part_of, taken_by
from core.classifiers.onnx_head import Parted
from core.classifiers.onnx_session import Session, open_session
from core.classifiers.preprocessing import Preprocessing
from core.classifiers.programs import Takes, check_alone, check_parts, in_batches, probe
from core.classifiers.torchscript import close
from core.errors import BadRequest, HeadNotFound, MidbandError


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


def backbone_of(
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
            session = open_session(cut(tried, parted, image, takes, [parted.logits]), beside, file, bytes_for(images))
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
        found = open_session(cut(tried, parted, image, takes, []), beside, file, bytes_for(None))
        return OnnxBackbone(found, takes, chosen, half=half)
    if isinstance(problem, MidbandError):
        raise problem
    cause = [line for line in str(problem).splitlines() if line.strip()][:1]
    raise BadRequest(
        f"{file.name} cannot take images of {chosen.crop} x {chosen.crop} pixels ({''.join(cause)[:200]}).",
        next_step="Give the preprocessing that the model was trained with.",
    ) from problem


def cut(model: Any, parted: Parted, image: str, takes: Takes, more: list[str]) -> Any:
    """A model from the images to the features, and to `more` values. takes: batches of which size it is to take."""
    import onnx

    features, added = parted.features, []
    if parted.convolution:
        taken = {name for node in model.graph.node for name in (*node.output, *taken_by(node))}
        pooled, features = free_name("head.pooled", taken), free_name("head.features", taken)
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
        name = free_name("head.sizes", taken)
        opened.graph.initializer.append(onnx.numpy_helper.from_array(sizes, name))
        node.input[1] = name
    return opened


def _rounds(model: Any) -> bool:
    """Whether a graph computes in whole numbers of 8 bits somewhere, and so has two digits."""
    return any(
        node.op_type.startswith(("Quantize", "Dequantize", "QLinear", "DynamicQuantize")) or "Integer" in node.op_type
        for node in model.graph.node
    )


def free_name(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    taken.add(name)
    return name
