"""How much memory and time a graph out of a file may take.

Sizes can be computed on the way, from numbers that no one sees before they are there, so a few lines can ask for all
memory there is, or for days. Here they get a share of it, counted while they run; what wants more is refused.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch

from core.classifiers.memory import free_bytes
from core.errors import BadCheckpoint

# of the memory that is free, what the values on the way may take
SHARE = 0.5
# bytes that they may take while a few images are tried, and this many times those of the images besides
TRIED_BYTES, TIMES_THE_IMAGES = 2 * 2**30, 256
# seconds of one core that trying a model may take in all: the largest networks there are take two minutes for three
# images, and are run on them a few times
SECONDS = 900.0
# multiplications and additions of one operator on a few images: the largest networks need a tenth
OPERATIONS = 3e12

_deadline: ContextVar[float | None] = ContextVar("_deadline", default=None)

_AGAIN = "Export it again for one size of images. If it really is that large, load it on a larger machine."


class TooLarge(BadCheckpoint, torch.OutOfMemoryError):
    """More memory than it may take. For fewer images at once it may suffice, so this is torch's error too."""


class TooSlow(BadCheckpoint):
    title = "The model takes too long"


def too_large(name: str, most: int) -> TooLarge:
    return TooLarge(
        f"What {name} computes on the way needs more than {most / 2**30:.2g} GB of memory, so it was stopped.",
        next_step=_AGAIN,
    )


def too_slow(name: str) -> TooSlow:
    return TooSlow(
        f"{name} was stopped: trying it on three images would take one core more than {SECONDS / 60:.0f} minutes.",
        next_step=_AGAIN,
    )


@contextmanager
def one_trial() -> Iterator[None]:
    """Inside, all that is tried has `SECONDS` together."""
    token = _deadline.set(deadline())
    try:
        yield
    finally:
        _deadline.reset(token)


def deadline() -> float:
    """When what is tried now has to have ended, as `time.process_time` counts: by what this program has computed.
    Waiting, for others on a busy machine too, takes nothing off it."""
    given = _deadline.get()
    return time.process_time() + SECONDS if given is None else given


def bytes_for(images: torch.Tensor | None, where: torch.device | None = None) -> int:
    """Bytes that values on the way may take. images: those that are tried, of any type; None in the pass. where: the
    device that computes, the processor if absent."""
    free = int(SHARE * _free(where))
    return free if images is None else min(free, TRIED_BYTES + TIMES_THE_IMAGES * images.nbytes)


def _free(where: torch.device | None) -> int:
    if where is not None and where.type == "cuda":
        free, _ = torch.cuda.mem_get_info(where)
        # torch keeps what it has been given, to use it again
        return free + torch.cuda.memory_reserved(where) - torch.cuda.memory_allocated(where)
    return free_bytes()


class Budget:
    """What one run of a graph may still take. Tensors that share their memory count once."""

    def __init__(self, name: str, most: int, *, until: float | None = None) -> None:
        """name: of the file, for messages. most: bytes. until: as `deadline` gives it; None for any time."""
        self._name, self._most, self._until = name, most, until
        self._taken = 0
        # address -> how many values share that memory
        self._held: dict[int, int] = {}

    @property
    def trying(self) -> bool:
        """Whether each operator is looked at before it runs."""
        return self._until is not None

    def check(self, coming: int, operations: float = 0) -> None:
        """Raise `TooLarge` or `TooSlow` where there is no room for so many bytes more, or no time."""
        if self._taken + coming > self._most:
            raise too_large(self._name, self._most)
        if self._until is not None and (operations > OPERATIONS or time.process_time() > self._until):
            raise too_slow(self._name)

    def hold(self, values: Any) -> None:
        for tensor in tensors_in(values):
            memory = tensor.untyped_storage()
            place, size = memory.data_ptr(), memory.nbytes()
            count = self._held.get(place, 0)
            self._held[place] = count + 1
            self._taken += size if count == 0 else 0
        self.check(0)

    def release(self, values: Any) -> None:
        for tensor in tensors_in(values):
            memory = tensor.untyped_storage()
            place = memory.data_ptr()
            # what was there before the run is not counted
            count = self._held.get(place, 0)
            if count > 1:
                self._held[place] = count - 1
            elif count == 1:
                del self._held[place]
                self._taken -= memory.nbytes()


def trial(name: str, images: torch.Tensor) -> Budget:
    """For a few images."""
    return Budget(name, bytes_for(images, images.device), until=deadline())


def tensors_in(found: Any) -> Iterator[torch.Tensor]:
    """Those in a result of any nesting."""
    if isinstance(found, torch.Tensor):
        yield found
    elif isinstance(found, (tuple, list)):
        for one in found:
            yield from tensors_in(one)
