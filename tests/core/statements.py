"""What a workspace's database is asked while a block runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event

from core.workspace import Workspace, _engine


@contextmanager
def asked(workspace: Workspace) -> Iterator[list[tuple[str, Any]]]:
    """Each statement and its parameters, in their order."""
    found: list[tuple[str, Any]] = []

    def listen(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        found.append((statement, parameters))

    engine = _engine(workspace.root)
    event.listen(engine, "before_cursor_execute", listen)
    try:
        yield found
    finally:
        event.remove(engine, "before_cursor_execute", listen)
