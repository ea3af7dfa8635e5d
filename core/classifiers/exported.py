"""Programs of torch.export (`.pt2`): graphs of torch's own operators, run here one operator after another.

The archive is read as data (exported_archive.py), and only operators of exported_operators.py are run: arithmetic on
tensors, none of which reaches files, code or randomness. So a program can do no more than compute, whoever made it. The
features are what goes into the last linear operator; what follows it is left out.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from core.classifiers.checkpoint import check_finite
from core.classifiers.classifier import Classifier, one_output, two_logits
from core.classifiers.exported_archive import (
    AGAIN,
    DTYPES,
    ExportedArchive,
    damaged,
    is_harmless,
    read_archive,
    record_bytes,
    with_records,
)
from core.classifiers.exported_graph import (
    IMAGES,
    Graph,
    Run,
    Step,
    Value,
    last_uses,
    needed_steps,
    parse_argument,
    parse_graph,
    with_open_rows,
)
from core.classifiers.exported_kernels import LARGEST_VALUE, largest_value
from core.classifiers.exported_operators import CONVOLVING, NUMBERS_OUT, PASSING, POOLING, SQUASHING, TRANSPOSING
from core.classifiers.head import Head
from core.classifiers.limits import Budget, TooLarge, TooSlow, bytes_for, trial
from core.classifiers.origins import EXPORTED
from core.classifiers.preprocessing import Preprocessing
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
from core.errors import BadRequest, HeadNotFound, UnsafeCheckpoint
from core.files import digest, file_digest, replacing

_FQN = re.compile(r"[\w\-]+(\.[\w\-]+)*")


class Program(nn.Module):
    """A graph up to some of its values: (b, c, h, w) normalised images -> (b, d), or (b, k) with a head of its own.

    Weights are parameters and buffers under the names that they had in the network that was exported, in float32: half
    precision is for other processors. Fit to be moved, cast, traced, and to be watched (`watching`).
    """

    def __init__(
        self,
        graph: Graph,
        weights: Mapping[str, tuple[str, torch.Tensor, bool]],
        *,
        name: str,
        images: str,
        constants: Mapping[str, Any],
        wanted: tuple[str, ...],
        pooled: bool,
        takes: Takes,
        chosen: Preprocessing,
        half: bool,
    ) -> None:
        """weights: (fully qualified name, tensor, whether it is a parameter) by the graph's name for it. name: of the
        file, for messages. images: the graph's name for its input. constants: inputs that are no tensors. wanted: the
        values to give, side by side. pooled: of the first it is the mean over its places that is wanted. half: the
        weights had three digits."""
        super().__init__()
        steps = needed_steps(graph.steps, wanted)
        read = frozenset().union(*(step.taken() for step in steps), wanted)
        self._where: dict[str, tuple[nn.Module, str]] = {}
        self._steps, self._last_use = steps, last_uses(steps, wanted)
        self._images, self._constants, self._wanted, self._pooled = images, dict(constants), wanted, pooled
        self._takes, self._chosen = takes, chosen
        self._head: tuple[tuple[nn.Module, str], tuple[nn.Module, str]] | None = None
        self._after: Callable[[Step, Any], Any] | None = None
        self._name = name
        # how large values are may depend on the images then
        self._sizes_from_numbers = any(step.kind in NUMBERS_OUT for step in steps)
        self.half_precision = half
        self.open_rows = False
        # sizes are foreseen before each operator runs, which takes time
        self.trying = False
        # last, so that what is called as something here is told
        for value, (fqn, tensor, is_parameter) in weights.items():
            if value in read:
                self._where[value] = _put(self, fqn, tensor, is_parameter)

    @property
    def takes(self) -> Takes:
        """What it takes here, which may be more than the file says that it does."""
        return self._takes

    @property
    def chosen(self) -> Preprocessing:
        return self._chosen

    def prepared(self, chosen: Preprocessing) -> Program:
        """The same program for images that are prepared so; weights are shared."""
        self._takes.check("The program", chosen)
        found = copy.copy(self)
        found._chosen = chosen
        return found

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.finished(in_batches(self.raw, self._takes.batch)(images))

    def raw(self, images: torch.Tensor) -> torch.Tensor:
        """As many images as the graph takes. Returns the wanted values, a row per image, (b, d)."""
        known: dict[str, Any] = {name: getattr(*place) for name, place in self._where.items()}
        known.update(self._constants)
        known[self._images] = self._takes.inputs(images, self._chosen)
        known[IMAGES] = images.shape[0]
        self._run(images).steps(self._steps, known, self._last_use)
        first, *others = (known[name] for name in self._wanted)
        if self._pooled and first.ndim == 4:
            first = first.mean((2, 3))
        first = first.reshape(images.shape[0], -1)
        return torch.cat([first, *(one.reshape(len(first), -1) for one in others)], dim=1) if others else first

    def _run(self, images: torch.Tensor) -> Run:
        if self.trying:
            return _trial(self._name, images)
        largest = largest_value(images)
        budget = Budget(self._name, bytes_for(None)) if largest else None
        return Run(images.device, largest, budget, foreseeing=self._sizes_from_numbers, after=self._after)

    def finished(self, features: torch.Tensor) -> torch.Tensor:
        if self._head is None:
            return features
        weight, bias = (getattr(*place) for place in self._head)
        return nn.functional.linear(features, weight.flatten(1), bias)

    def set_head(self, head: Head, names: tuple[str, str]) -> None:
        """Give logits from now on. names: of weight and bias."""
        tensors = (torch.from_numpy(head.weight.copy()), torch.from_numpy(head.bias.copy()))
        weight, bias = (
            _put(self, name, tensor, is_parameter=True) for name, tensor in zip(names, tensors, strict=True)
        )
        self._head = weight, bias

    @contextmanager
    def watching(self, after: Callable[[Step, Any], Any]) -> Iterator[None]:
        """Inside, `after` is called with each operator and its result, in order; what it returns, if it does, takes
        the result's place."""
        self._after = after
        try:
            yield
        finally:
            self._after = None


@dataclass(frozen=True, eq=False)
class Parted:
    """Where a program ends in a linear map. features: the value that goes in. pooled: the mean over its places does.
    logits: what comes out, before anything is left out. weight: (k, d), float32. bias: (k,). names: the weight's and
    the bias's own in the state; None where they are computed, or there is none. left_out: what followed the logits."""

    features: str
    pooled: bool
    logits: str
    weight: torch.Tensor
    bias: torch.Tensor
    names: tuple[str | None, str | None]
    left_out: list[str]


@dataclass(frozen=True, eq=False)
class _Opened:
    name: str
    graph: Graph
    archive: ExportedArchive
    weights: dict[str, tuple[str, torch.Tensor, bool]]
    constants: dict[str, Any]
    images: str
    outputs: tuple[str, ...]
    takes: Takes


def load(file: Path, preprocessing: Preprocessing | None) -> Classifier:
    """Load a program of torch.export. preprocessing: None for what images of its size usually go through.

    Raises `UnsafeCheckpoint`, `BadCheckpoint`, `BadWeights`, `HeadNotFound`, `BadRequest`.
    """
    opened = _open(file)
    check_finite({fqn: tensor for fqn, tensor, _ in opened.weights.values()}, file)
    try:
        parted = _part(opened, file)
    except (TooLarge, TooSlow):
        raise
    except (ArithmeticError, LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        # weights that are computed, from numbers that do not fit
        raise damaged(file, error) from error
    chosen = preprocessing or opened.takes.preprocessing()
    opened.takes.check(file.name, chosen)
    backbone = _backbone(opened, parted, chosen, file)
    head = Head(parted.weight.numpy().copy(), parted.bias.numpy().copy())
    single = head.k == 1
    return Classifier(
        name=file.stem,
        arch=EXPORTED,
        classes=None,
        preprocessing=chosen,
        head=two_logits(head) if single else head,
        digest=digest(EXPORTED, file_digest(file, 64), length=24),
        file=file,
        backbone=backbone,
        head_name=parted.names[0] or "",
        single=single,
        origin=EXPORTED,
        notes=stripped(parted.left_out, file),
    )


def with_head(classifier: Classifier, head: Head) -> Program:
    """The whole network up to its logits, with this last layer. head: of the classifier's size."""
    opened = _open(classifier.file)
    parted = _part(opened, classifier.file)
    assert isinstance(classifier.backbone, Program)
    if classifier.backbone.open_rows:
        opened = _with_open_rows(opened, parted, classifier.preprocessing)
    program = _program(opened, parted, (parted.features,), classifier.preprocessing, classifier.backbone.takes)
    weight = parted.names[0] or "head.weight"
    bias = parted.names[1] or re.sub(r"weight$", "bias", weight)
    program.set_head(one_output(head) if classifier.single else head, (weight, bias if bias != weight else "head.bias"))
    return program.eval()


def declared(classifier: Classifier) -> Takes:
    """What the file says that its program takes."""
    return _open(classifier.file).takes


def write_with_head(classifier: Classifier, head: Head, path: Path) -> tuple[str, ...]:
    """The program as it came, in its own archive, with other numbers in its last layer: inputs and outputs stay.

    Written anew from the network instead where that layer's numbers lie in no place of their own, or where torch's
    reader would run code that the file brings. Returns sentences on what else is in it.
    """
    file = classifier.file
    opened = _open(file)
    parted = _part(opened, file)
    records = _new_records(opened, parted, one_output(head) if classifier.single else head, file)
    with replacing(path) as beside:
        if records is not None and is_harmless(file):
            with_records(file, records, beside)
            return stripped_still(parted.left_out)
        _write_anew(with_head(classifier, head), beside)
    return (
        "It was written anew, up to the logits, since its last layer could not be changed in place: it takes images of "
        "(b, channels, height, width) that are normalised already.",
    )


def _write_anew(program: Program, path: Path) -> None:
    images = probe(program.chosen, program.takes.channels)
    size = program.takes.batch
    sample = images[:2] if size is None else images[:1].expand(size, -1, -1, -1).contiguous()
    shapes = ({0: torch.export.Dim("batch", min=1)},) if size is None else None
    written = torch.export.export(program, (sample,), dynamic_shapes=shapes)
    for node in written.graph.nodes:
        # where on this machine the code lies is nobody's business
        node.meta.pop("stack_trace", None)
    # given a path, torch minds how it ends
    with open(path, "wb") as target:
        torch.export.save(written, target)


def _new_records(opened: _Opened, parted: Parted, head: Head, file: Path) -> dict[str, bytes] | None:
    """Content of the records that hold the last layer, with its new numbers; None where they are used elsewhere too."""
    weight, bias = parted.names
    if weight is None or (bias is None and head.bias.any()):
        return None
    stored = opened.archive.stored
    records: dict[str, bytes] = {}
    changed = [(weight, head.weight), *([(bias, head.bias)] if bias else [])]
    for fqn, numbers in changed:
        place = stored.get(fqn)
        tensor = opened.archive.state[fqn]
        users = sum(name in step.taken() for step in opened.graph.steps for name, one in opened.weights.items()
                    if one[0] == fqn)  # fmt: skip
        shared = sum(one.record == place.record for one in stored.values()) if place else 0
        if place is None or users != 1 or shared != 1 or not tensor.is_contiguous() or tensor.numel() != numbers.size:
            return None
        old = records.get(place.record) or record_bytes(file, place.record)
        data = torch.from_numpy(numbers.copy()).to(place.dtype).contiguous().view(torch.uint8).numpy().tobytes()
        records[place.record] = old[: place.start] + data + old[place.start + len(data) :]
    return records


def _open(file: Path) -> _Opened:
    archive = read_archive(file)
    try:
        return _opened(archive, file)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, RuntimeError, RecursionError) as error:
        raise damaged(file, error) from error


def _opened(archive: ExportedArchive, file: Path) -> _Opened:
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
    return _Opened(file.name, graph, archive, weights, constants, images[0], tuple(wanted), takes)


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


def _put(root: nn.Module, fqn: str, tensor: torch.Tensor, is_parameter: bool) -> tuple[nn.Module, str]:
    """Hold a tensor under its dotted name. Returns the module and the last part of the name."""
    *parents, last = fqn.split(".")
    holder = root
    for parent in parents:
        name = _free(holder, parent)
        if name not in holder._modules:
            holder.add_module(name, nn.Module())
        holder = holder.get_submodule(name)
    last = _free(holder, last)
    if last in holder._parameters or last in holder._buffers:
        # two of the graph's names for one tensor
        return holder, last
    if is_parameter:
        holder.register_parameter(last, nn.Parameter(tensor, requires_grad=False))
    else:
        holder.register_buffer(last, tensor)
    return holder, last


def _free(holder: nn.Module, name: str) -> str:
    """The name, or one that no network has where modules have something else of this name (`raw`, `type`)."""
    held = (holder._modules, holder._parameters, holder._buffers)
    return name if any(name in names for names in held) or not hasattr(holder, name) else f"{name}+"


def _single_precision(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().float() if tensor.is_floating_point() else tensor.detach()


def _part(opened: _Opened, file: Path) -> Parted:
    """Find the last linear map, behind the first of the outputs that has one. Raises `HeadNotFound`."""
    producers = {name: step for step in opened.graph.steps for name in step.given()}
    ends = []
    for output in opened.outputs:
        found = _linear(output, opened, producers)
        if isinstance(found, Parted):
            return found
        ends.append(found)
    raise HeadNotFound(
        f"{file.name} ends in {ends[0]}, not in a linear layer with weights of its own.",
        next_step="Export a network whose output is its last linear layer's.",
    )


def _linear(output: str, opened: _Opened, producers: Mapping[str, Step]) -> Parted | str:
    """The linear map that an output comes from, or what it comes from instead."""
    left_out: list[str] = []
    name = logits = output
    pooled = False
    while (step := producers.get(name)) is not None and step.arguments:
        before = step.arguments[0]
        if not isinstance(before, Value):
            break
        if step.kind in SQUASHING and not pooled:
            left_out.append(SQUASHING[step.kind])
            logits = before.name
        elif step.kind in POOLING:
            pooled = True
        elif step.kind not in PASSING:
            break
        name = before.name
    if step is None:
        return "its own input" if name == opened.images else "a constant"
    arguments = step.arguments
    weight = bias = None
    bias_name: str | None = None
    source = None
    if step.kind == "linear":
        source, weight = arguments[0], _weight(arguments[1], opened, producers, transposed=False)
        bias_name, bias = _bias(arguments[2] if len(arguments) > 2 else None, opened, producers)
    elif step.kind == "addmm" and not step.named:
        source, weight = arguments[1], _weight(arguments[2], opened, producers, transposed=True)
        bias_name, bias = _bias(arguments[0], opened, producers)
    elif step.kind in ("mm", "matmul"):
        source, weight = arguments[0], _weight(arguments[1], opened, producers, transposed=True)
        bias_name, bias = None, torch.zeros(1)
    elif step.kind == "add" and not step.named:
        for first, second in (arguments[:2], arguments[1::-1]):
            inner = _through(first, producers)
            if inner is not None and inner.kind in ("mm", "matmul", "linear") and isinstance(second, Value):
                transposed = inner.kind != "linear"
                source = inner.arguments[0]
                weight = _weight(inner.arguments[1], opened, producers, transposed=transposed)
                bias_name, bias = _bias(second, opened, producers)
                own = inner.arguments[2] if inner.kind == "linear" and len(inner.arguments) > 2 else None
                if own is not None and bias is not None:
                    # two biases, which a new one takes the place of
                    _, inside = _bias(own, opened, producers)
                    bias_name, bias = None, None if inside is None else bias.flatten() + inside.flatten()
                break
    elif step.kind in CONVOLVING:
        source, weight = arguments[0], _weight(arguments[1], opened, producers, transposed=False)
        bias_name, bias = _bias(arguments[2] if len(arguments) > 2 else None, opened, producers)
        if weight is not None and (weight[1].ndim != 4 or weight[1].shape[2:] != (1, 1)):
            weight = None
    if not isinstance(source, Value) or weight is None or bias is None:
        return f"{step.kind or 'arithmetic'}"
    numbers = weight[1].flatten(1)
    return Parted(
        features=source.name,
        pooled=step.kind in CONVOLVING,
        logits=logits,
        weight=numbers.contiguous(),
        bias=bias.flatten().expand(len(numbers)).contiguous() if bias.numel() in (1, len(numbers)) else bias.flatten(),
        names=(weight[0], bias_name),
        left_out=left_out[::-1],
    )


def _through(argument: Any, producers: Mapping[str, Step]) -> Step | None:
    """The operator that a value comes from, but for those that only give it another shape."""
    while isinstance(argument, Value):
        step = producers.get(argument.name)
        if step is None or step.kind not in PASSING:
            return step
        argument = step.arguments[0]
    return None


def _weight(
    argument: Any, opened: _Opened, producers: Mapping[str, Step], *, transposed: bool
) -> tuple[str | None, torch.Tensor] | None:
    """(name in the state, numbers (k, d)) of a weight; no name where it is more than one parameter turned round."""
    numbers = _constant(argument, opened, producers)
    if numbers is None or numbers.ndim not in (2, 4):
        return None
    if not transposed:
        return _fqn(argument, opened), numbers
    step = producers.get(argument.name)
    turned = step.arguments[0] if step is not None and step.kind in TRANSPOSING else None
    return (_fqn(turned, opened) if isinstance(turned, Value) else None), numbers.T


def _bias(argument: Any, opened: _Opened, producers: Mapping[str, Step]) -> tuple[str | None, torch.Tensor | None]:
    if argument is None:
        return None, torch.zeros(1)
    return _fqn(argument, opened), _constant(argument, opened, producers)


def _fqn(argument: Any, opened: _Opened) -> str | None:
    held = opened.weights.get(argument.name) if isinstance(argument, Value) else None
    return held[0] if held is not None else None


def _constant(argument: Any, opened: _Opened, producers: Mapping[str, Step]) -> torch.Tensor | None:
    """The numbers of a value that does not depend on the images; None where it does, or is no tensor of floats."""
    if not isinstance(argument, Value):
        return None
    steps = needed_steps(opened.graph.steps, (argument.name,), in_place=False)
    read = frozenset().union(*(step.taken() for step in steps), {argument.name})
    if opened.images in read:
        return None
    known: dict[str, Any] = {name: opened.weights[name][1] for name in read if name in opened.weights}
    known.update(opened.constants)
    run = _trial(opened.name, torch.empty(0))
    with torch.inference_mode():
        for step in steps:
            run.step(step, known)
    found = known.get(argument.name)
    if not isinstance(found, torch.Tensor) or not found.is_floating_point():
        return None
    return found.detach().clone()


def _trial(name: str, images: torch.Tensor) -> Run:
    return Run(images.device, max(LARGEST_VALUE, largest_value(images)), trial(name, images))


def _program(opened: _Opened, parted: Parted, wanted: tuple[str, ...], chosen: Preprocessing, takes: Takes) -> Program:
    program = Program(
        opened.graph,
        opened.weights,
        name=opened.name,
        images=opened.images,
        constants=opened.constants,
        wanted=wanted,
        pooled=parted.pooled,
        takes=takes,
        chosen=chosen,
        half=any(tensor.dtype in (torch.float16, torch.bfloat16) for tensor in opened.archive.state.values()),
    )
    return program.eval()


def _with_open_rows(opened: _Opened, parted: Parted, chosen: Preprocessing) -> _Opened:
    size = opened.takes.batch
    assert size is not None
    images = probe(chosen, opened.takes.channels)
    held = {name: tensor for name, (_, tensor, _) in opened.weights.items()} | opened.constants

    def known(count: int) -> dict[str, Any]:
        batch = images[torch.arange(count) % len(images)]
        return {**held, opened.images: opened.takes.inputs(batch, chosen), IMAGES: count}

    with torch.inference_mode():
        graph = with_open_rows(
            opened.graph, (parted.features, parted.logits), known(size), known(size + 2), _trial(opened.name, images)
        )
    return replace(opened, graph=graph)


def _backbone(opened: _Opened, parted: Parted, chosen: Preprocessing, file: Path) -> Program:
    """The program up to the features, tried: for batches of any size where that gives the same."""
    images = probe(chosen, opened.takes.channels)
    fixed = opened.takes
    k, d = parted.weight.shape
    if parted.bias.shape != (k,):
        raise HeadNotFound(
            f"The last linear layer of {file.name} has {k} rows and {len(parted.bias)} numbers in its bias.",
            next_step="Export a network that ends in one linear layer and returns its output.",
        )
    # most programs are exported for the batch of their example and work for any other, if sizes are opened that were
    # written down for that one
    tries = [(False, fixed.open_ended())]
    if fixed.batch is not None:
        tries += [(True, fixed.open_ended()), (False, fixed)]
    for place, (open_rows, takes) in enumerate(tries, 1):
        is_last = place == len(tries)
        try:
            tried = _with_open_rows(opened, parted, chosen) if open_rows else opened
            tested = _program(tried, parted, (parted.features, parted.logits), chosen, takes)
            tested.trying = True
            with torch.inference_mode():
                both = tested(images)
                alone = torch.cat([tested(image[None])[:, :d] for image in images])
        except (TooLarge, TooSlow):
            raise
        except (
            *(RuntimeError, IndexError, ValueError, TypeError, AssertionError, NotImplementedError),
            *(ArithmeticError, KeyError, AttributeError),
        ) as error:
            if not is_last:
                continue
            cause = [line for line in str(error).splitlines() if line.strip()][-1:]
            raise BadRequest(
                f"{file.name} cannot take images of {chosen.crop} x {chosen.crop} pixels ({''.join(cause).strip()}).",
                next_step="Give the preprocessing that the model was trained with.",
            ) from error
        together, own = both[:, :d], both[:, d:]
        if own.shape[1] != k:
            if not is_last:
                continue
            raise HeadNotFound(
                f"{file.name} gives {own.shape[1]:,} numbers per image, and its last linear layer {k}.",
                next_step="Export a network that ends in one linear layer and returns its output.",
            )
        if not is_last and not close(alone, together, 1e-3):
            # what depends on the other images does so however many are taken at once, and is said below
            continue
        check_alone(file.name, together, alone, half=False)
        check_parts(file.name, together, own, parted.weight.numpy(), parted.bias.numpy(), half=False)
        program = _program(tried, parted, (parted.features,), chosen, takes)
        program.open_rows = open_rows
        return program
    raise AssertionError("the program as it came is tried last")
