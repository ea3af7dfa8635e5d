"""Whether somebody has a step to undo or to redo, without taking it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import exists, select

from core.concepts.log import newest_of
from core.concepts.tags import newest_standing
from core.database import TagAction
from core.workspace import Workspace


class Steps(NamedTuple):
    undo: bool
    redo: bool


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
