"""What a browser's tours have seen: kept in the workspace, so that it outlives a reload and a restart of the server."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from core.database import Meta
from pages.parts import state, who

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

_KEY = "tour-"


@dataclass(frozen=True)
class Taken:
    """One demo's tour. seen: steps of which nothing else tells that they were done. skipped: steps left out. ended: it
    was gone through, or put away. since: what was done last in the workspace when it began, an action of the log; what
    was done before, or by others, is no part of it. named: ids of concepts that were there already and were named
    again. jobs: ids of the repairs that were begun."""

    seen: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    ended: bool = False
    since: int = 0
    named: tuple[int, ...] = ()
    jobs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Record:
    """A browser's tours. on: name of the demo whose tour is under way, "" for none. taken: by name of the demo. reset:
    when this browser reset a demo last, as `core.demo.Reset.made`; "" once that was undone or put away."""

    on: str = ""
    taken: dict[str, Taken] = field(default_factory=dict)
    reset: str = ""

    @property
    def now(self) -> Taken:
        return self.taken.get(self.on, Taken())

    def with_now(self, taken: Taken) -> Record:
        return replace(self, taken={**self.taken, self.on: taken})


def read() -> Record:
    """This browser's; what cannot be read counts as none."""
    with state.workspace().reading() as session:
        return _read(session)


def change(to: Callable[[Record], Record]) -> Record:
    """Change this browser's. It is read where it is written: of two tabs at once neither loses what the other did."""
    # who one is may have to be looked up, which is no part of writing
    key = _key()
    with state.workspace().writing() as session:
        record = _read(session)
        changed = to(record)
        if changed != record:
            session.merge(Meta(key=key, value=json.dumps(asdict(changed))))
    return changed


def _read(session: Session) -> Record:
    found = session.get(Meta, _key())
    if found is None:
        return Record()
    try:
        kept = json.loads(found.value)
        taken = {str(name): _taken(each) for name, each in kept["taken"].items()}
        return Record(str(kept["on"]), taken, str(kept.get("reset", "")))
    except (ValueError, KeyError, TypeError, AttributeError):
        return Record()


def _taken(kept: dict[str, Any]) -> Taken:
    """Of a version that did not count from a moment yet, everything counts."""
    lists = {name: tuple(kept.get(name, ())) for name in ("seen", "skipped", "named", "jobs")}
    return Taken(**lists, ended=bool(kept["ended"]), since=int(kept.get("since", 0)))


def _key() -> str:
    return f"{_KEY}{who.browser().id}"
