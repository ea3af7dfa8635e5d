"""What was done in a dataset, by whom, when, how and from which band: the log as people read it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import func, select

from core.concepts.log import clean_author, sentence_of
from core.concepts.tags import newest_standing, take_back
from core.database import ConceptRecord, LogVersion, TagAction, TagRecord
from core.errors import BadRequest, NotFound
from core.workspace import Workspace


@dataclass(frozen=True)
class Entry:
    """One action. when: UTC, naive. kind: tag, palette, merge or label. source, how, direction, low, high: see
    `TagAction`. sentence: what was done. undone: when it was taken back, None while it stands. images: how many it
    is about. concept: names, as they were then."""

    id: int
    when: datetime
    author: str
    kind: str
    source: str
    how: str
    sentence: str
    direction: str | None
    low: float | None
    high: float | None
    undone: datetime | None
    images: int
    concept: str

    def to_dict(self) -> dict[str, Any]:
        return {
            "action": self.id,
            "when": self.when.isoformat(sep=" "),
            "author": self.author,
            "kind": self.kind,
            "source": self.source,
            "how": self.how,
            "sentence": self.sentence,
            "direction": self.direction,
            "low": self.low,
            "high": self.high,
            "undone": None if self.undone is None else self.undone.isoformat(sep=" "),
            "images": self.images,
            "concept": self.concept,
        }


# by workspace and dataset: the version of the log, and the tags of people that hold; pages ask again and again
_COUNTED: dict[tuple[Path, str], tuple[int | None, dict[str, int]]] = {}


class Author(NamedTuple):
    """tags: their answers about living concepts, each image and concept once. last: when they last did something, UTC,
    naive."""

    name: str
    tags: int
    last: datetime


def history(workspace: Workspace, dataset_id: str, *, limit: int = 50, before: int | None = None) -> tuple[Entry, ...]:
    """The newest actions first, at most `limit`, undone ones too. before: the id that the last page ended with."""
    query = select(TagAction).where(TagAction.dataset_id == dataset_id)
    if before is not None:
        query = query.where(TagAction.id < before)
    with workspace.reading() as session:
        actions = session.scalars(query.order_by(TagAction.id.desc()).limit(limit)).all()
    return tuple(
        Entry(
            action.id,
            action.created,
            action.author,
            action.kind,
            action.source,
            action.how,
            sentence_of(action),
            action.direction,
            action.low,
            action.high,
            action.undone,
            action.images,
            action.subject,
        )
        for action in actions
    )


def undo_until(workspace: Workspace, dataset_id: str, action_id: int, author: str) -> int:
    """Go back to where things stood right after an action: take back what its author did since, newest first.

    Only the author's own actions are touched; `redo` brings them back one by one. Returns how many were undone. Raises
    `NotFound` for an action that is not there, `BadRequest` for somebody else's.
    """
    with workspace.writing() as session:
        goal = session.get(TagAction, action_id)
        if goal is None or goal.dataset_id != dataset_id:
            raise NotFound("That step is not in the history.", next_step="Load the history again.")
        if goal.author != clean_author(author):
            raise BadRequest(f"That step is one of {goal.author}'s.", next_step="Go back to one of your own steps.")
        undone = 0
        while (action := newest_standing(session, dataset_id, author)) is not None and action.id > action_id:
            take_back(session, action)
            undone += 1
        return undone


def authors(workspace: Workspace, dataset_id: str) -> tuple[Author, ...]:
    """Everybody who did something, the one who did most recently first."""
    query = (
        select(TagAction.author, func.max(TagAction.created))
        .where(TagAction.dataset_id == dataset_id)
        .group_by(TagAction.author)
        .order_by(func.max(TagAction.id).desc())
    )
    # what somebody said last of an image counts for them, whoever spoke after them
    last = (
        select(TagAction.author, func.max(TagRecord.id).label("id"))
        .join(TagRecord, TagRecord.action_id == TagAction.id)
        .join(ConceptRecord, ConceptRecord.id == TagRecord.concept_id)
        .where(
            TagAction.dataset_id == dataset_id,
            TagAction.kind == "tag",
            TagAction.undone.is_(None),
            ConceptRecord.deleted.is_(None),
        )
        .group_by(TagAction.author, TagRecord.concept_id, TagRecord.image)
        .subquery()
    )
    answered = (
        select(last.c.author, func.count())
        .join(TagRecord, TagRecord.id == last.c.id)
        .where(TagRecord.state != "cleared")
        .group_by(last.c.author)
    )
    with workspace.reading() as session:
        version = session.scalar(select(LogVersion.version).where(LogVersion.dataset_id == dataset_id))
        known = _COUNTED.get((workspace.root, dataset_id))
        if known is None or known[0] != version:
            known = version, dict(session.execute(answered).tuples().all())
            _COUNTED[workspace.root, dataset_id] = known
        counts = known[1]
        return tuple(Author(name, counts.get(name, 0), last) for name, last in session.execute(query))
