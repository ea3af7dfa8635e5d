"""The last linear operator of a program of torch.export: found by going back from what the program returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from core.classifiers.exported_graph import Run, Step, Value, needed_steps
from core.classifiers.exported_kernels import LARGEST_VALUE, largest_value
from core.classifiers.exported_opened import Opened
from core.classifiers.exported_operators import CONVOLVING, PASSING, POOLING, SQUASHING, TRANSPOSING
from core.classifiers.limits import trial
from core.errors import HeadNotFound


def trial_run(name: str, images: torch.Tensor) -> Run:
    return Run(images.device, max(LARGEST_VALUE, largest_value(images)), trial(name, images))


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


def part(opened: Opened, file: Path) -> Parted:
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


def _linear(output: str, opened: Opened, producers: Mapping[str, Step]) -> Parted | str:
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
    argument: Any, opened: Opened, producers: Mapping[str, Step], *, transposed: bool
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


def _bias(argument: Any, opened: Opened, producers: Mapping[str, Step]) -> tuple[str | None, torch.Tensor | None]:
    if argument is None:
        return None, torch.zeros(1)
    return _fqn(argument, opened), _constant(argument, opened, producers)


def _fqn(argument: Any, opened: Opened) -> str | None:
    held = opened.weights.get(argument.name) if isinstance(argument, Value) else None
    return held[0] if held is not None else None


def _constant(argument: Any, opened: Opened, producers: Mapping[str, Step]) -> torch.Tensor | None:
    """The numbers of a value that does not depend on the images; None where it does, or is no tensor of floats."""
    if not isinstance(argument, Value):
        return None
    steps = needed_steps(opened.graph.steps, (argument.name,), in_place=False)
    read = frozenset().union(*(step.taken() for step in steps), {argument.name})
    if opened.images in read:
        return None
    known: dict[str, Any] = {name: opened.weights[name][1] for name in read if name in opened.weights}
    known.update(opened.constants)
    run = trial_run(opened.name, torch.empty(0))
    with torch.inference_mode():
        for step in steps:
            run.step(step, known)
    found = known.get(argument.name)
    if not isinstance(found, torch.Tensor) or not found.is_floating_point():
        return None
    return found.detach().clone()
