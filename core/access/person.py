"""The person on whose behalf something is done.

A context variable says who it is. A program that serves several people at once (the pages) names a way to find the
person of whatever runs; where nobody is named, it is whoever sits at this machine: the command line and workers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import IntEnum


class Role(IntEnum):
    """What people may do; each may do what those before it may. `policy` says what that is."""

    VIEWER = 1
    LABELLER = 2
    OWNER = 3

    @property
    def word(self) -> str:
        return self.name.lower()


ROLES = tuple(role.word for role in Role)


@dataclass(frozen=True)
class Person:
    """name: as tags and the audit log have it. role: one of `ROLES`. where: an address, "" at this machine. signed_in:
    under an account: what they say is signed with its name, whatever they ask for."""

    name: str
    role: str
    where: str = ""
    signed_in: bool = False

    @property
    def rank(self) -> Role:
        """Raises `KeyError` for a role that does not exist."""
        return Role[self.role.upper()]


LOCAL = Person("local", Role.OWNER.word)
_acting: ContextVar[Person | None] = ContextVar("midband_person", default=None)
_finders: list[Callable[[], Person]] = []


@contextmanager
def acting_as(person: Person) -> Iterator[Person]:
    """Within the block everything is done on behalf of that person."""
    token = _acting.set(person)
    try:
        yield person
    finally:
        _acting.reset(token)


def acting() -> Person:
    """Who is acting now. Raises `NotAllowed` where a finder knows of nobody."""
    if (person := _acting.get()) is not None:
        return person
    return _finders[-1]() if _finders else LOCAL


def find_with(finder: Callable[[], Person]) -> None:
    """Ask this wherever `acting_as` says nothing, from now on: a server's threads have no context of a person."""
    _finders[:] = [finder]


def forget_finder() -> None:
    """Nobody but the person at this machine again."""
    _finders.clear()
