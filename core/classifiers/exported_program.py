"""Programs of torch.export as modules: run here one operator after another, and tried before they are trusted."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from core.classifiers.exported_graph import IMAGES, Graph, Run, Step, last_uses, needed_steps, with_open_rows
from core.classifiers.exported_head import Parted, trial_run
from core.classifiers.exported_kernels import largest_value
from core.classifiers.exported_opened import Opened
from core.classifiers.exported_operators import NUMBERS_OUT
from core.classifiers.head import Head
from core.classifiers.limits import Budget, TooLarge, TooSlow, bytes_for
from core.classifiers.preprocessing import Preprocessing
from core.classifiers.programs import Takes, check_alone, check_parts, in_batches, probe
from core.classifiers.torchscript import close
from core.errors import BadRequest, HeadNotFound


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
            return trial_run(self._name, images)
        largest = largest_value(images)
        budget = Budget(self._name, bytes_for(None, images.device)) if largest else None
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


def program_of(opened: Opened, parted: Parted, wanted: tuple[str, ...], chosen: Preprocessing, takes: Takes) -> Program:
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


def opened_for_any_rows(opened: Opened, parted: Parted, chosen: Preprocessing) -> Opened:
    size = opened.takes.batch
    assert size is not None
    images = probe(chosen, opened.takes.channels)
    held = {name: tensor for name, (_, tensor, _) in opened.weights.items()} | opened.constants

    def known(count: int) -> dict[str, Any]:
        batch = images[torch.arange(count) % len(images)]
        return {**held, opened.images: opened.takes.inputs(batch, chosen), IMAGES: count}

    with torch.inference_mode():
        graph = with_open_rows(
            opened.graph, (parted.features, parted.logits), known(size), known(size + 2), trial_run(opened.name, images)
        )
    return replace(opened, graph=graph)


def backbone_of(opened: Opened, parted: Parted, chosen: Preprocessing, file: Path) -> Program:
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
            tried = opened_for_any_rows(opened, parted, chosen) if open_rows else opened
            tested = program_of(tried, parted, (parted.features, parted.logits), chosen, takes)
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
        program = program_of(tried, parted, (parted.features,), chosen, takes)
        program.open_rows = open_rows
        return program
    raise AssertionError("the program as it came is tried last")
