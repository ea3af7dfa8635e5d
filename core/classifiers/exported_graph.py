"""The graph of a program of torch.export: parsed from JSON into operators that may be run, and run."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from core.classifiers.exported_archive import AGAIN, DTYPES
from core.classifiers.exported_kernels import GROWING, check_growth, checked
from core.classifiers.exported_operators import (
    CHECKS,
    DROPPING,
    NORMALISING,
    NUMBERS,
    OPERATORS,
    SIZED,
    WITHIN,
    WORDS,
)
from core.classifiers.limits import Budget
from core.errors import BadCheckpoint, BadRequest

_ATEN = re.compile(r"torch\.ops\.aten\.(\w+)\.(\w+)")
# where the number of images is found among the values: none of them can be called so
IMAGES = "#"
# the largest networks there are have some thousands
MOST_STEPS = 100_000
_NAME = re.compile(r"[A-Za-z_]\w{0,500}")


@dataclass(frozen=True)
class Value:
    """A value computed earlier, by name."""

    name: str


@dataclass(frozen=True)
class Device:
    """Where the images are, wherever the program was exported."""


@dataclass(frozen=True)
class Rows:
    """A number of rows, so many per image: see `with_open_rows`."""

    each: int


@dataclass(frozen=True, eq=False)
class Step:
    """One operator. name: of its first result. kind: its name without version ("" on sizes). arguments, named: with
    `Value` and `Device` to be filled in. results: names of what it gives, nested as it gives them; None where nobody
    reads one. single: it gives one thing, not a sequence. in_place: it changes its first argument. inner: the graph
    that runs instead of an operator."""

    name: str
    kind: str
    call: Callable[..., Any] | None
    arguments: tuple[Any, ...]
    named: Mapping[str, Any]
    results: tuple[Any, ...]
    single: bool
    in_place: bool = False
    inner: Graph | None = None

    def given(self) -> frozenset[str]:
        return frozenset(_names(self.results))

    def taken(self) -> frozenset[str]:
        return frozenset(values_in((self.arguments, tuple(self.named.values()))))


@dataclass(frozen=True, eq=False)
class Graph:
    """inputs: names, in order. outputs: names or plain numbers."""

    inputs: tuple[str, ...]
    steps: tuple[Step, ...]
    outputs: tuple[Any, ...]


def parse_graph(serialized: Mapping[str, Any], file: Path) -> Graph:
    if (count := _operators(serialized)) > MOST_STEPS:
        raise BadCheckpoint(f"{file.name} has {count:,} operators, more than any classifier known.", next_step=AGAIN)
    return _graph(serialized, file)


def _operators(serialized: Mapping[str, Any]) -> int:
    """How many there are, with those of the graphs inside."""
    nodes = serialized["nodes"]
    given = (argument["arg"] for node in nodes for argument in node["inputs"])
    return len(nodes) + sum(_operators(one["as_graph"]["graph"]) for one in given if "as_graph" in one)


def _graph(serialized: Mapping[str, Any], file: Path) -> Graph:
    inputs = tuple(_name(_names_of(argument)) for argument in serialized["inputs"])
    known = set(inputs)
    steps = []
    for node in serialized["nodes"]:
        step = _step(node, file)
        if step is None:
            continue
        if missing := step.taken() - known:
            raise ValueError(f"{min(missing)} is used before it is computed")
        if twice := step.given() & known:
            raise ValueError(f"{min(twice)} is computed twice")
        known |= step.given()
        steps.append(step)
    outputs = tuple(parse_argument(argument, file) for argument in serialized["outputs"])
    if missing := frozenset(values_in(outputs)) - known:
        raise ValueError(f"{min(missing)} is never computed")
    return Graph(inputs, tuple(steps), outputs)


def _step(node: Mapping[str, Any], file: Path) -> Step | None:
    """One operator of the graph; None for checks of sizes."""
    target = node["target"]
    results = tuple(_result(output) for output in node["outputs"])
    single = len(node["outputs"]) == 1 and "as_tensors" not in node["outputs"][0]
    if not single and len(results) == 1:
        (results,) = results
    name = next(iter(_names(results)), target)
    given = [(one["name"], one["arg"]) for one in node["inputs"]]
    if target == WITHIN:
        graphs = [argument["as_graph"]["graph"] for _, argument in given if "as_graph" in argument]
        arguments = tuple(parse_argument(argument, file) for _, argument in given[2:])
        single = bool(node.get("is_hop_single_tensor_return", True)) and single
        return Step(name, "", None, arguments, {}, results, single, inner=_graph(graphs[0], file))
    if target in NUMBERS:
        return Step(name, "", NUMBERS[target], tuple(parse_argument(one, file) for _, one in given), {}, results, True)
    found = _ATEN.fullmatch(target)
    kind = found[1] if found else target
    if kind in CHECKS:
        return None
    plain = kind.removesuffix("_") if kind.removesuffix("_") in OPERATORS else kind
    overload = getattr(getattr(torch.ops.aten, kind, None), found[2], None) if found and plain in OPERATORS else None
    if found is None or overload is None or found[2] == "out" or found[2].endswith("_out"):
        raise BadCheckpoint(
            f"{file.name} uses the operator {str(target)[:80]}, which is none that classifiers of images are known to "
            "need, so it is not run.",
            next_step="Export the network without it, or load its weights with the name of its architecture.",
        )
    by_name = {one: parse_argument(argument, file) for one, argument in given}
    given_in_order, named = [], {}
    for parameter in overload._schema.arguments:
        if parameter.kwarg_only:
            if parameter.name in by_name:
                named[parameter.name] = by_name.pop(parameter.name)
        elif parameter.name in by_name:
            given_in_order.append(by_name.pop(parameter.name))
        elif by_name:
            given_in_order.append(parameter.default_value)
    if by_name:
        raise ValueError(f"{kind} takes no {min(by_name)}")
    step = Step(name, plain, checked(plain, overload), tuple(given_in_order), named, results, single, plain != kind)
    _check_evaluating(step, overload, file)
    return step


def _check_evaluating(step: Step, overload: Any, file: Path) -> None:
    """Raise `BadRequest` for a network that was exported while training."""
    names = [parameter.name for parameter in overload._schema.arguments]
    flags = dict(zip(names, step.arguments, strict=False)) | dict(step.named)
    dropping = step.kind in DROPPING and bool(flags.get("train")) and flags.get("p") != 0
    training = dropping or (step.kind in NORMALISING and bool(flags.get("training")))
    if training:
        raise BadRequest(
            f"{file.name} was exported while training: {step.kind} changes what it gives from batch to batch.",
            next_step="Put the network in evaluation mode (model.eval()), export it again and load that.",
            title="This model is still training",
        )


def parse_argument(argument: Any, file: Path) -> Any:
    """What an operator is called with, out of one entry of the JSON."""
    ((kind, value),) = argument.items()
    if kind == "as_none":
        return None
    if kind in ("as_tensor", "as_sym_int", "as_sym_bool", "as_sym_float", "as_optional_tensor"):
        return _one(value)
    if kind in ("as_tensors", "as_sym_ints", "as_sym_bools", "as_sym_floats", "as_optional_tensors"):
        return [_one(one) for one in value]
    if kind in ("as_int", "as_bool"):
        return _checked(value, int)
    if kind == "as_float":
        return float(value)
    if kind in ("as_ints", "as_bools"):
        return [_checked(one, int) for one in value]
    if kind == "as_floats":
        return [float(one) for one in value]
    if kind == "as_string":
        equation = re.fullmatch(r"[A-Za-z,.\->\s]{1,100}", value)
        if value not in WORDS and not equation:
            raise ValueError(f"{value[:60]!r} is no option of an operator")
        return value
    if kind == "as_scalar_type":
        dtype = DTYPES[value]
        return torch.float32 if dtype.is_floating_point else dtype
    if kind == "as_memory_format":
        return {1: torch.contiguous_format, 2: torch.channels_last, 4: torch.preserve_format}[value]
    if kind == "as_layout":
        return {7: torch.strided}[value]
    if kind == "as_device":
        return Device()
    raise BadCheckpoint(f"{file.name} calls an operator with {kind}, which is not known here.", next_step=AGAIN)


def _one(value: Mapping[str, Any]) -> Any:
    """A value by name, or a plain number between such."""
    if "name" in value:
        return Value(_name(value["name"]))
    ((kind, inner),) = value.items()
    if kind == "as_name":
        return Value(_name(inner))
    if kind == "as_tensor":
        return Value(_name(inner["name"]))
    if kind == "as_none":
        return None
    return float(inner) if kind == "as_float" else _checked(inner, int)


def _result(output: Mapping[str, Any]) -> Any:
    """Names of what an operator gives; None for what it gives to nobody."""
    ((kind, value),) = output.items()
    if kind == "as_tensors":
        return tuple(_name(one["name"]) for one in value)
    if kind == "as_none":
        return None
    return _name(_names_of({kind: value}))


def _names_of(argument: Mapping[str, Any]) -> str:
    ((kind, value),) = argument.items()
    if kind in ("as_tensor", "as_custom_obj"):
        return str(value["name"])
    if kind in ("as_sym_int", "as_sym_bool", "as_sym_float"):
        return str(value["as_name"])
    raise ValueError(f"{kind} has no name")


def _name(text: Any) -> str:
    if not isinstance(text, str) or not _NAME.fullmatch(text):
        raise ValueError(f"{str(text)[:60]!r} is no name of a value")
    return text


def _checked(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise TypeError(f"{value!r} is no number")
    return value


def _names(results: Any) -> Iterator[str]:
    for one in results:
        if isinstance(one, str):
            yield one
        elif one is not None:
            yield from _names(one)


def values_in(arguments: Any) -> Iterator[str]:
    for one in arguments:
        if isinstance(one, Value):
            yield one.name
        elif isinstance(one, (tuple, list)):
            yield from values_in(one)


def _filled(argument: Any, known: Mapping[str, Any], where: torch.device) -> Any:
    if isinstance(argument, Value):
        return known[argument.name]
    if isinstance(argument, (tuple, list)):
        return [_filled(one, known, where) for one in argument]
    if isinstance(argument, Rows):
        return known[IMAGES] * argument.each
    return where if isinstance(argument, Device) else argument


@dataclass(frozen=True, eq=False)
class Run:
    """How a graph is run. where: its device. largest: entries of any value. budget: what it may take; None while the
    graph is written down, without limits. foreseeing: each operator is looked at before it runs, not only those that
    give more than they are given. after: see `Program.watching`."""

    where: torch.device
    largest: int
    budget: Budget | None
    foreseeing: bool = True
    after: Callable[[Step, Any], Any] | None = None

    def steps(self, steps: tuple[Step, ...], known: dict[str, Any], last_use: tuple[tuple[str, ...], ...]) -> None:
        """Run them in order. known: values by name, to which theirs are added. last_use: per step, the names that are
        taken away after it."""
        for step, finished in zip(steps, last_use, strict=True):
            self.step(step, known)
            gone = [known.pop(name, None) for name in finished]
            if self.budget is not None:
                self.budget.release(gone)

    def step(self, step: Step, known: dict[str, Any]) -> None:
        """Add what a step gives to the values known."""
        arguments = [_filled(one, known, self.where) for one in step.arguments]
        if step.inner is not None:
            found = self._inside(step, step.inner, arguments)
        else:
            assert step.call is not None
            named = {name: _filled(one, known, self.where) for name, one in step.named.items()}
            if self.budget is not None and (step.kind in GROWING or (self.foreseeing and step.kind)):
                check_growth(step.kind, step.call, arguments, named, self.largest, self.budget)
            found = step.call(*arguments, **named)
            if self.after is not None and (changed := self.after(step, found)) is not None:
                found = changed
        if step.single:
            known.update((name, found) for name in step.results if name is not None)
        else:
            _give(step.results, found, known)
        if self.budget is not None:
            self.budget.hold([known[name] for name in step.given() if name in known])

    def _inside(self, step: Step, graph: Graph, arguments: list[Any]) -> Any:
        inside: dict[str, Any] = dict(zip(graph.inputs, arguments, strict=True))
        for inner in graph.steps:
            self.step(inner, inside)
        found: Any = [_filled(one, inside, self.where) for one in graph.outputs]
        if self.budget is not None:
            self.budget.release([inside[name] for inner in graph.steps for name in inner.given() if name in inside])
        if step.single:
            (found,) = found
        return found


def _give(names: Any, found: Any, known: dict[str, Any]) -> None:
    for name, one in zip(names, found, strict=False):
        if isinstance(name, str):
            known[name] = one
        elif name is not None:
            _give(name, one, known)


def with_open_rows(
    graph: Graph, wanted: Collection[str], few: Mapping[str, Any], more: Mapping[str, Any], run: Run
) -> Graph:
    """The graph with sizes opened that were written down for the batch of its example.

    It is run for two batches side by side. Where a view of something meets sizes that hold the first batch only, the
    one to open is found from the axis in which the two differ. few, more: inputs and weights by name, `IMAGES` among
    them; the first of the size it was exported for. Raises what operators raise where a size was written elsewhere.
    """
    steps = needed_steps(graph.steps, wanted)
    first, second = dict(few), dict(more)
    # of a value whose rows belong to images: how many come ahead of each image's along that axis
    ahead: dict[str, int] = {}
    opened = []
    for step, finished in zip(steps, last_uses(steps, wanted), strict=True):
        source = next(values_in(step.arguments[:1]), "")
        before, after = first.get(source), second.get(source)
        run.step(step, first)
        inherited = next((ahead[name] for name in values_in(step.arguments) if name in ahead), 1)
        if step.kind in SIZED and isinstance(before, torch.Tensor) and isinstance(after, torch.Tensor):
            sizes = tuple(first[step.name].shape)
            axis = _differing(before, after)
            place, inherited = _row_axis(step.kind, tuple(before.shape), axis, inherited, sizes, first[IMAGES])
            if place is not None and sizes[place] % first[IMAGES] == 0:
                row = Rows(sizes[place] // first[IMAGES])
                changed = [*sizes[:place], row, *sizes[place + 1 :]]
                step = replace(step, arguments=(step.arguments[0], changed, *step.arguments[2:]))
        run.step(step, second)
        for name in step.given():
            if _differing(first.get(name), second.get(name)) is not None:
                ahead[name] = inherited
        opened.append(step)
        gone = [values.pop(name, None) for values in (first, second) for name in finished]
        if run.budget is not None:
            run.budget.release(gone)
    return replace(graph, steps=tuple(opened))


def _differing(first: Any, second: Any) -> int | None:
    """The axis along which two tensors have different sizes."""
    if not isinstance(first, torch.Tensor) or not isinstance(second, torch.Tensor):
        return None
    axes = (axis for axis, (one, other) in enumerate(zip(first.shape, second.shape, strict=True)) if one != other)
    return next(axes, None)


def _row_axis(
    kind: str, before: tuple[int, ...], axis: int | None, ahead: int, sizes: tuple[int, ...], batch: int
) -> tuple[int | None, int]:
    """Which axis of a view or expansion holds the images, that lie along `axis` of what it is of; and how many rows
    come ahead of each image's along it.

    Between two axes they may belong to either: to what follows if that is split up, as into the heads of attention; to
    what comes ahead otherwise, as where images and their places become rows.
    """
    if axis is None:
        # the same for any images: repeated for each of them, if it is
        return (0, 1) if kind == "expand" and sizes[0] == batch else (None, 1)
    if kind == "expand":
        return axis + len(sizes) - len(before), ahead
    total = math.prod(before[:axis]) * ahead
    counts = [math.prod(sizes[:at]) for at in range(len(sizes))]
    fitting = [at for at, count in enumerate(counts) if count == total]
    if not fitting:
        # inside of an axis
        inside = [at for at, count in enumerate(counts) if count < total]
        return inside[-1], total // counts[inside[-1]]
    pure = [at for at in fitting if sizes[at] == batch]
    if pure:
        return pure[0], 1
    at = fitting[-1]
    split = sum(size != 1 for size in sizes[at:]) > sum(size != 1 for size in before[axis + 1 :])
    return (at, 1) if split or at == 0 else (at - 1, total // counts[at - 1])


def needed_steps(steps: tuple[Step, ...], wanted: Collection[str], *, in_place: bool = True) -> tuple[Step, ...]:
    """The steps that values follow from, in order.

    in_place: with all that change tensors before they are computed: such a tensor may be known by another name as well.
    """
    needed = set(wanted)
    chosen: list[Step] = []
    for step in reversed(steps):
        if step.given() & needed or (in_place and step.in_place and chosen):
            needed |= step.taken()
            chosen.append(step)
    return tuple(reversed(chosen))


def last_uses(steps: tuple[Step, ...], wanted: Collection[str]) -> tuple[tuple[str, ...], ...]:
    """Per step, the values that nobody reads after it."""
    seen, uses = set(wanted), []
    for step in reversed(steps):
        ended = (step.taken() | step.given()) - seen
        seen |= ended
        uses.append(tuple(sorted(ended)))
    return tuple(reversed(uses))
