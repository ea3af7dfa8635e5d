"""Steps of the log looked at without taking any: whether there is one to undo or redo, what single answers said."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import exists, select

from core.concepts.log import newest_of
from core.concepts.tags import newest_standing
from core.database import TagAction, TagRecord
from core.workspace import Workspace

# names per query: SQLite takes a bounded number of variables
_CHUNK = 500


class Steps(NamedTuple):
    """Whether there is something to undo, and to redo."""

    undo: bool
    redo: bool


class Said(NamedTuple):
    """image: its name. state: present, absent, unsure or cleared."""

    image: str
    state: str


def said_in(workspace: Workspace, actions: Sequence[int]) -> dict[int, Said]:
    """What each of these actions about a single image said of it, by the action's id; those about more have none."""
    found: dict[int, Said] = {}
    several: set[int] = set()
    with workspace.reading() as session:
        for start in range(0, len(actions), _CHUNK):
            query = select(TagRecord.action_id, TagRecord.image, TagRecord.state).where(
                TagRecord.action_id.in_(actions[start : start + _CHUNK])
            )
            for action, image, state in session.execute(query):
                several |= {action} & found.keys()
                found[action] = Said(image, state)
    return {action: said for action, said in found.items() if action not in several}


def steps(workspace: Workspace, dataset_id: str, authors: Sequence[str]) -> Steps:
    """What `undo` and `redo` would find for any of these authors, names as they are kept."""
    with workspace.reading() as session:
        return Steps(
            any(newest_standing(session, dataset_id, author) is not None for author in authors),
            any(
                session.scalar(
                    select(
                        exists().where(
                            TagAction.dataset_id == dataset_id,
                            TagAction.author == author,
                            TagAction.undone.is_not(None),
                            TagAction.undone_after >= newest_of(session, dataset_id, author),
                        )
                    )
                )
                for author in authors
            ),
        )
