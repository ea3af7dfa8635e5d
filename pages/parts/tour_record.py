"""What a browser's tours have seen: kept in the workspace, so that it outlives a reload and a restart of the server."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace

from core.database import Meta
from pages.parts import state, who

_KEY = "tour-"


@dataclass(frozen=True)
class Taken:
    """One demo's tour. seen: steps of which nothing else tells that they were done. skipped: steps left out. ended: it
    was gone through, or put away."""

    seen: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    ended: bool = False


@dataclass(frozen=True)
class Record:
    """A browser's tours. on: name of the demo whose tour is under way, "" for none. taken: by name of the demo."""

    on: str = ""
    taken: dict[str, Taken] = field(default_factory=dict)

    @property
    def now(self) -> Taken:
        return self.taken.get(self.on, Taken())

    def with_now(self, taken: Taken) -> Record:
        return replace(self, taken={**self.taken, self.on: taken})


def read() -> Record:
    """This browser's; what cannot be read counts as none."""
    with state.workspace().reading() as session:
        found = session.get(Meta, _key())
    if found is None:
        return Record()
    try:
        kept = json.loads(found.value)
        taken = {
            str(name): Taken(tuple(each["seen"]), tuple(each["skipped"]), bool(each["ended"]))
            for name, each in kept["taken"].items()
        }
        return Record(str(kept["on"]), taken)
    except (ValueError, KeyError, TypeError, AttributeError):
        return Record()


def write(record: Record) -> None:
    with state.workspace().writing() as session:
        session.merge(Meta(key=_key(), value=json.dumps(asdict(record))))


def _key() -> str:
    return f"{_KEY}{who.browser().id}"
