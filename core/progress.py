"""How long work says where it is, and how it hears that it should stop."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Called by long work after each step.

    done, total: steps (images, epochs ...); total 0 when unknown. message: a short sentence for a person, empty to
    leave the last one. Raises `core.errors.Cancelled` when the work should stop: the worker lets it pass.
    """

    def __call__(self, done: int, total: int, message: str = "") -> None: ...


def silent(done: int, total: int, message: str = "") -> None:
    """Report nothing, never cancel."""
