"""Tags: statements of a person about an image and a concept.

Nothing is overwritten: a correction is a newer tag, and undo marks a whole action as undone. What holds is, per image
and concept, the newest tag whose action is not undone. Tags belong to images of a dataset, by name, so they hold for
every classifier that is analysed on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlalchemy import Select, exists, func, select
from sqlalchemy.orm import Session

from core.concepts.concept import Concept
from core.database import ConceptRecord, TagAction, TagRecord, now
from core.errors import NotFound
from core.workspace import Workspace

if TYPE_CHECKING:
    from core.activations.store import Analysis

PRESENT, ABSENT, UNTAGGED = 1, 0, -1
_STATES = {True: "present", False: "absent", None: "cleared"}
_CODES = {"present": PRESENT, "absent": ABSENT, "cleared": UNTAGGED}
# names per query: SQLite takes a bounded number of variables
_CHUNK = 500


@dataclass(frozen=True)
class UndoneAction:
    """What an undo or redo was about, for a sentence on screen. state: present, absent or cleared; None when mixed."""

    id: int
    concept: str
    state: str | None
    images: int

    def to_dict(self) -> dict[str, Any]:
        return {"action": self.id, "concept": self.concept, "state": self.state, "images": self.images}


def tag(
    workspace: Workspace,
    analysis: Analysis,
    concept: Concept,
    rows: Sequence[int] | np.ndarray,
    present: bool | None,
    *,
    author: str = "local",
    source: str = "person",
    direction: str | None = None,
    low: float | None = None,
    high: float | None = None,
) -> int:
    """Say that images show a concept (True), do not show it (False), or take back what was said (None).

    rows: positions in the analysis; `analysis.rows_of(ids)` turns ids into them. direction, low, high: the band a
    person was looking at, kept as provenance. One transaction, one undo. Returns the action's id. Raises `NotFound`
    when the concept was deleted meanwhile, `IndexError` for rows that do not exist.
    """
    images = analysis.image_names(rows)
    with workspace.writing() as session:
        record = session.get(ConceptRecord, concept.id)
        if record is None or record.deleted is not None or record.dataset_id != analysis.dataset_id:
            raise NotFound(f"The concept “{concept.name}” is not there.", next_step="Create it again, then tag.")
        return record_action(
            session,
            analysis.dataset_id,
            ((concept.id, image, present) for image in dict.fromkeys(images)),
            author=author,
            source=source,
            direction=direction,
            low=low,
            high=high,
        )


def record_action(
    session: Session,
    dataset_id: str,
    statements: Iterable[tuple[int, str, bool | None]],
    *,
    author: str,
    source: str,
    direction: str | None = None,
    low: float | None = None,
    high: float | None = None,
) -> int:
    """Add one action with its (concept id, image, present) statements to an open transaction; returns its id."""
    action = TagAction(
        dataset_id=dataset_id, source=source, author=author, direction=direction, low=low, high=high, created=now()
    )
    session.add(action)
    session.flush()
    session.add_all(
        TagRecord(action_id=action.id, concept_id=concept, image=image, state=_STATES[present])
        for concept, image, present in statements
    )
    session.flush()
    return action.id


def undo(workspace: Workspace, dataset_id: str) -> UndoneAction | None:
    """Take back the newest action that stands; None when there is none."""
    with workspace.writing() as session:
        action = session.scalars(
            select(TagAction)
            .where(TagAction.dataset_id == dataset_id, TagAction.undone.is_(None))
            .order_by(TagAction.id.desc())
            .limit(1)
        ).one_or_none()
        if action is None:
            return None
        action.undone = now()
        return _described(session, action)


def redo(workspace: Workspace, dataset_id: str) -> UndoneAction | None:
    """Bring back the action undone last; None when there is none, or when something was tagged since."""
    with workspace.writing() as session:
        action = session.scalars(
            select(TagAction)
            .where(TagAction.dataset_id == dataset_id, TagAction.undone.is_not(None))
            .order_by(TagAction.undone.desc(), TagAction.id)
            .limit(1)
        ).one_or_none()
        if action is None:
            return None
        newer = exists().where(
            TagAction.dataset_id == dataset_id,
            TagAction.undone.is_(None),
            TagAction.created > action.undone,
        )
        # something new was done after the undo: what was undone before it is history now, as in any editor
        if session.scalar(select(newer)):
            return None
        action.undone = None
        return _described(session, action)


def tagging_split(analysis: Analysis) -> str:
    """Where images are tagged for curation: "val", or "train" in a dataset without val."""
    return "val" if len(analysis.split_rows("val")) else "train"


def tag_states(workspace: Workspace, analysis: Analysis, concept: Concept) -> np.ndarray:
    """What holds for each image: (n,) int8 of PRESENT, ABSENT, UNTAGGED, in row order."""
    states = np.full(analysis.n, UNTAGGED, dtype=np.int8)
    with workspace.reading() as session:
        held = session.execute(effective_tags(analysis.dataset_id).where(TagRecord.concept_id == concept.id)).all()
    rows = rows_of_images(analysis, [image for _, image, _ in held])
    codes = np.array([_CODES[state] for _, _, state in held], dtype=np.int8)
    # tags of images that this analysis skipped stay in the database
    states[rows[rows >= 0]] = codes[rows >= 0]
    return states


def tags_of(
    workspace: Workspace, analysis: Analysis, rows: Sequence[int] | np.ndarray
) -> dict[int, list[tuple[str, bool]]]:
    """The tags that hold for some images: row -> [(concept name, present)], concepts in the order they were made.

    Rows without tags have no entry.
    """
    names = dict(zip(analysis.image_names(rows), map(int, rows), strict=True))
    found: dict[int, list[tuple[str, bool]]] = {}
    asked = list(names)
    with workspace.reading() as session:
        concepts = {
            record.id: record.name
            for record in session.scalars(
                select(ConceptRecord).where(
                    ConceptRecord.dataset_id == analysis.dataset_id, ConceptRecord.deleted.is_(None)
                )
            )
        }
        for start in range(0, len(asked), _CHUNK):
            query = effective_tags(analysis.dataset_id, asked[start : start + _CHUNK]).order_by(TagRecord.concept_id)
            for concept_id, image, state in session.execute(query):
                if concept_id in concepts and state != "cleared":
                    found.setdefault(names[image], []).append((concepts[concept_id], state == "present"))
    return found


def tag_version(workspace: Workspace, dataset_id: str) -> int:
    """A number that differs whenever other tags hold (and returns with an undo): for caching what is derived."""
    with workspace.reading() as session:
        newest = session.scalar(select(func.max(TagAction.id)).where(TagAction.dataset_id == dataset_id)) or 0
        undone = session.scalars(
            select(TagAction.id)
            .where(TagAction.dataset_id == dataset_id, TagAction.undone.is_not(None))
            .order_by(TagAction.id)
        ).all()
    # actions are numbered upwards and never removed: the newest and the undone ones say which stand
    return hash((newest, *undone))


def rows_of_images(analysis: Analysis, images: Sequence[str]) -> np.ndarray:
    """Rows of images by name: (m,) int64, -1 for a name the analysis does not have."""
    return analysis.rows_named(images)


def effective_tags(dataset_id: str, images: Sequence[str] | None = None) -> Select:
    """Query for (concept id, image, state) of the tags that hold."""
    newest = (
        select(func.max(TagRecord.id))
        .join(TagAction, TagAction.id == TagRecord.action_id)
        .where(TagAction.dataset_id == dataset_id, TagAction.undone.is_(None))
        .group_by(TagRecord.concept_id, TagRecord.image)
    )
    if images is not None:
        newest = newest.where(TagRecord.image.in_(images))
    return select(TagRecord.concept_id, TagRecord.image, TagRecord.state).where(TagRecord.id.in_(newest))


def _described(session: Session, action: TagAction) -> UndoneAction:
    tags = session.execute(
        select(ConceptRecord.name, TagRecord.state, TagRecord.image)
        .join(ConceptRecord, ConceptRecord.id == TagRecord.concept_id)
        .where(TagRecord.action_id == action.id)
    ).all()
    states = {state for _, state, _ in tags}
    names = ", ".join(dict.fromkeys(name for name, _, _ in tags))
    return UndoneAction(
        action.id, names, states.pop() if len(states) == 1 else None, len({image for *_, image in tags})
    )
