"""What was done is written down, and stays as it was written."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from core.access import audit
from core.access.person import Person, acting_as
from core.database import Meta
from core.workspace import Workspace


@pytest.mark.parametrize("change", ["UPDATE audit SET actor = 'Eve'", "DELETE FROM audit"])
def test_no_row_is_changed_or_removed(workspace: Workspace, change: str) -> None:
    audit.record(workspace, "tagged", "12 images")
    with pytest.raises(IntegrityError, match="never"), workspace.writing() as session:
        session.execute(text(change))
    assert [(entry.actor, entry.subject) for entry in audit.entries(workspace)] == [("local", "12 images")]


def test_a_row_falls_with_what_it_tells_of(workspace: Workspace) -> None:
    with pytest.raises(RuntimeError), workspace.writing() as session:
        session.add(Meta(key="something", value=""))
        audit.record(session, "did", "something")
        raise RuntimeError
    assert audit.entries(workspace) == []


def test_rows_are_found_by_person_action_and_page(workspace: Workspace) -> None:
    for name in ("Ann", "Bob", "Ann"):
        with acting_as(Person(name, "owner", "192.0.2.1")):
            audit.record(workspace, "exported", "run " + "x" * 400, {"to": "here"})
            audit.record(workspace, "deleted", "run 2")
    found = audit.entries(workspace, actor="Ann", actions=("exported",))
    assert [(entry.id, entry.actor, entry.action) for entry in found] == [
        (5, "Ann", "exported"),
        (1, "Ann", "exported"),
    ]
    assert len(found[0].subject) == audit.LONGEST
    assert [entry.id for entry in audit.entries(workspace, before=5, limit=2)] == [4, 3]
    assert found[0].to_dict()["details"] == {"to": "here"}
