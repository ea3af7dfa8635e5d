"""Tags: statements of a person about an image and a concept.

Nothing is overwritten: a correction is a newer tag, and undo marks a whole action as undone. What holds is, per image
and concept, the newest tag whose action is not undone. Tags belong to images of a dataset, by name, so they hold for
every classifier that is analysed on it. A concept that follows a column of the dataset (adoption.py) says what the
column says wherever no person said anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from core.access import audit
from core.access.policy import Permission, require
from core.concepts.concept import Concept, as_concept
from core.concepts.log import ANYBODY, author_names, clean_author, newest_of, sentence_of
from core.concepts.log import Said as Said
from core.concepts.log import record_action as record_action
from core.concepts.merging import merged_into
from core.concepts.settlement import settle
from core.database import (
    ConceptChange,
    ConceptRecord,
    LogVersion,
    StandingTag,
    SuggestedMember,
    TagAction,
    TagRecord,
    now,
)
from core.errors import BadRequest, NotFound
from core.workspace import Workspace

if TYPE_CHECKING:
    from core.activations.store import Analysis

PRESENT, ABSENT, UNTAGGED = 1, 0, -1
UNSURE = -2
"""Somebody looked and could not tell; in `answers` only. Elsewhere it counts as UNTAGGED: nothing to learn from."""
_CODES = {"present": PRESENT, "absent": ABSENT, "unsure": UNSURE, "cleared": UNTAGGED}
# names per query: SQLite takes a bounded number of variables
_CHUNK = 500
# per analysis and concept what people said, and the version of the log it was read at: a page asks again and again
_KEPT: WeakKeyDictionary[Analysis, dict[tuple[Path, int], tuple[int, np.ndarray]]] = WeakKeyDictionary()


@dataclass(frozen=True)
class UndoneAction:
    """What an undo or redo was about. concept: names, as they were. state: present, absent, unsure or cleared; None
    when mixed, or not about tags. sentence: what had been done: "Tagged 12 images with “water”". notes: sentences about
    what could not be exactly as it was, since somebody else changed something in between."""

    id: int
    concept: str
    state: str | None
    images: int
    sentence: str = ""
    author: str = ANYBODY
    notes: tuple[str, ...] = field(default=())

    def to_dict(self) -> dict[str, Any]:
        return {
            "action": self.id,
            "concept": self.concept,
            "state": self.state,
            "images": self.images,
            "sentence": self.sentence,
            "author": self.author,
            "notes": list(self.notes),
        }


def tag(
    workspace: Workspace,
    analysis: Analysis,
    concept: Concept,
    rows: Sequence[int] | np.ndarray,
    present: Said,
    *,
    author: str = ANYBODY,
    source: str = "person",
    direction: str | None = None,
    low: float | None = None,
    high: float | None = None,
    how: str = "",
) -> int | None:
    """Say that images show a concept (True), do not show it (False), that one cannot tell ("unsure"), or take back
    what was said (None).

    rows: positions in the analysis; `analysis.rows_of(ids)` turns ids into them. source: person, or review for a
    guess that a person accepted or rejected; metadata, import, cluster, text. direction, low, high: the band a person
    was looking at; how: where on screen. Both are kept as provenance. One transaction, one undo. Returns the action's
    id, None without rows: then nothing was done. Raises `NotFound` when the concept was deleted meanwhile, `BadRequest`
    for what is no answer, `IndexError` for rows that do not exist.
    """
    images = analysis.image_names(rows)
    with workspace.writing() as session:
        record = session.get(ConceptRecord, concept.id)
        if record is None or record.deleted is not None or record.dataset_id != analysis.dataset_id:
            raise NotFound(f"The concept “{concept.name}” is not there.", next_step="Create it again, then tag.")
        if not images:
            return None
        return record_action(
            session,
            analysis.dataset_id,
            ((concept.id, image, present) for image in dict.fromkeys(images)),
            author=author,
            source=source,
            how=how,
            direction=direction,
            low=low,
            high=high,
        )


def undo(workspace: Workspace, dataset_id: str, author: str | None = None) -> UndoneAction | None:
    """Take back the newest action of an author that stands (None: of anybody); None when there is none.

    Tags, palette and labels alike. What others said since stays: a later tag on the same image holds on, a name that
    another concept has by now stays with that one, and a concept that others have used stays; `notes` says so.
    """
    require(Permission.TAG)
    with workspace.writing() as session:
        action = newest_standing(session, dataset_id, author)
        return None if action is None else take_back(session, action)


def redo(workspace: Workspace, dataset_id: str, author: str | None = None) -> UndoneAction | None:
    """Bring back the action of an author that was undone last (None: of anybody).

    None when there is none, or when its author did something since: then what was undone before is history, as in any
    editor. What others do does not stand in the way.
    """
    require(Permission.TAG)
    with workspace.writing() as session:
        people = author_names(session, dataset_id) if author is None else [clean_author(author)]
        found = [action for name in people if (action := _undone_last(session, dataset_id, name)) is not None]
        if not found:
            return None
        action = max(found, key=lambda action: (action.undone, -action.id))
        audit.record(session, "did again", sentence_of(action), {"step": action.id, "author": action.author})
        action.undone = action.undone_after = None
        return _settled(session, action)


def _undone_last(session: Session, dataset_id: str, author: str) -> TagAction | None:
    # undone one after the other from the newest on, so the oldest was last
    return session.scalars(
        select(TagAction)
        .where(
            TagAction.dataset_id == dataset_id,
            TagAction.author == author,
            TagAction.undone.is_not(None),
            TagAction.undone_after >= newest_of(session, dataset_id, author),
        )
        .order_by(TagAction.id)
        .limit(1)
    ).one_or_none()


def newest_standing(session: Session, dataset_id: str, author: str | None) -> TagAction | None:
    """The action that an undo takes back next."""
    query = select(TagAction).where(TagAction.dataset_id == dataset_id, TagAction.undone.is_(None))
    if author is not None:
        query = query.where(TagAction.author == clean_author(author))
    return session.scalars(query.order_by(TagAction.id.desc()).limit(1)).one_or_none()


def take_back(session: Session, action: TagAction) -> UndoneAction:
    """Undo one action in an open transaction. Raises `NotAllowed`."""
    require(Permission.TAG)
    audit.record(session, "took back", sentence_of(action), {"step": action.id, "author": action.author})
    action.undone, action.undone_after = now(), newest_of(session, action.dataset_id, action.author)
    return _settled(session, action)


def _settled(session: Session, action: TagAction) -> UndoneAction:
    """Bring the concepts that an action speaks of in line, once it was undone or done again."""
    session.flush()
    said = session.execute(
        select(ConceptChange.concept_id, ConceptChange.field, ConceptChange.value).where(
            ConceptChange.action_id == action.id
        )
    ).all()
    concepts = {concept: None for concept, _, _ in said}
    tagged = select(TagRecord.concept_id).where(TagRecord.action_id == action.id).distinct()
    concepts |= dict.fromkeys(session.scalars(tagged))
    notes = settle(session, list(concepts))
    made = [concept for concept, what, value in said if what == "exists" and value]
    if action.undone is not None and made:
        still = select(ConceptRecord.name).where(ConceptRecord.id.in_(made), ConceptRecord.deleted.is_(None))
        notes += [f"“{name}” stays, since others have used it by now." for name in session.scalars(still)]
    return UndoneAction(
        action.id, action.subject, action.state, action.images, sentence_of(action), action.author, tuple(notes)
    )


def tagging_split(analysis: Analysis) -> str:
    """Where images are tagged for curation: "val", or "train" in a dataset without val."""
    return "val" if len(analysis.split_rows("val")) else "train"


def answers(workspace: Workspace, analysis: Analysis, concept: Concept) -> np.ndarray:
    """What holds for each image: (n,) int8 of PRESENT, ABSENT, UNSURE, UNTAGGED, in row order."""
    with workspace.reading() as session:
        record = session.get(ConceptRecord, concept.id)
        attribute = concept.attribute if record is None else as_concept(record).attribute
        said = _said(session, workspace, analysis, concept)
    states = column_states(analysis, attribute)
    return np.where(said == UNTAGGED, states, said)


def tag_states(workspace: Workspace, analysis: Analysis, concept: Concept) -> np.ndarray:
    """What holds for each image: (n,) int8 of PRESENT, ABSENT, UNTAGGED, in row order."""
    states = answers(workspace, analysis, concept)
    states[states == UNSURE] = UNTAGGED
    return states


def said_states(workspace: Workspace, analysis: Analysis, concept: Concept) -> np.ndarray:
    """Like `tag_states`, of what people said only: without what a column of the dataset says."""
    with workspace.reading() as session:
        said = _said(session, workspace, analysis, concept)
    return np.where(said == UNSURE, np.int8(UNTAGGED), said)


def _said(session: Session, workspace: Workspace, analysis: Analysis, concept: Concept) -> np.ndarray:
    """What people said of each image: (n,) int8 as in `answers`, read-only."""
    version = session.scalar(select(LogVersion.version).where(LogVersion.dataset_id == analysis.dataset_id)) or 0
    kept = _KEPT.setdefault(analysis, {})
    known = kept.get((workspace.root, concept.id))
    if known is not None and known[0] == version:
        return known[1]
    # beside the session: its bookkeeping would take longer than the query
    held = (
        session.connection()
        .execute(
            select(StandingTag.image, StandingTag.state).where(
                StandingTag.concept_id == concept.id, StandingTag.state != "cleared"
            )
        )
        .all()
    )
    states = np.full(analysis.n, UNTAGGED, dtype=np.int8)
    rows = rows_of_images(analysis, [image for image, _ in held])
    codes = np.array([_CODES[state] for _, state in held], dtype=np.int8)
    # tags of images that this analysis skipped stay in the database
    states[rows[rows >= 0]] = codes[rows >= 0]
    states.flags.writeable = False
    kept[workspace.root, concept.id] = version, states
    return states


def column_states(analysis: Analysis, attribute: tuple[str, str] | None, rows: np.ndarray | None = None) -> np.ndarray:
    """What a column of the dataset says of all images, or of some: int8 of PRESENT, ABSENT, UNTAGGED.

    attribute: (column, value that means present); None, or one that the dataset no longer has, says nothing.
    """
    states = np.full(analysis.n if rows is None else len(rows), UNTAGGED, dtype=np.int8)
    for column in analysis.attributes if attribute is not None else ():
        name, value = attribute or ("", "")
        if column.name == name and value in column.values:
            codes = np.asarray(column.codes if rows is None else column.codes[rows])
            states[codes >= 0] = ABSENT
            states[codes == column.values.index(value)] = PRESENT
    return states


def tags_of(
    workspace: Workspace, analysis: Analysis, rows: Sequence[int] | np.ndarray
) -> dict[int, list[tuple[str, bool | Literal["unsure"]]]]:
    """What holds for some images: row -> [(concept name, True, False or "unsure")], concepts in the order they were
    made. Rows of which nothing is known have no entry.
    """
    wanted = np.asarray(rows, dtype=np.int64).reshape(-1)
    names = dict(zip(analysis.image_names(wanted), wanted.tolist(), strict=True))
    asked = list(names)
    with workspace.reading() as session:
        concepts = {
            record.id: as_concept(record)
            for record in session.scalars(
                select(ConceptRecord)
                .where(ConceptRecord.dataset_id == analysis.dataset_id, ConceptRecord.deleted.is_(None))
                .order_by(ConceptRecord.id)
            )
        }
        said: dict[int, dict[int, str]] = {concept: {} for concept in concepts}
        for start in range(0, len(asked), _CHUNK):
            query = select(StandingTag.concept_id, StandingTag.image, StandingTag.state).where(
                StandingTag.image.in_(asked[start : start + _CHUNK]), StandingTag.state != "cleared"
            )
            for concept_id, image, state in session.execute(query):
                # images of another dataset may have the same names, its concepts have not
                if concept_id in said:
                    said[concept_id][names[image]] = state
    found: dict[int, list[tuple[str, bool | Literal["unsure"]]]] = {}
    for concept_id, concept in concepts.items():
        codes = column_states(analysis, concept.attribute, wanted).tolist()
        for row, code in zip(wanted.tolist(), codes, strict=True):
            code = _CODES[said[concept_id][row]] if row in said[concept_id] else code
            if code != UNTAGGED:
                found.setdefault(row, []).append((concept.name, "unsure" if code == UNSURE else code == PRESENT))
    return found


def tag_version(workspace: Workspace, dataset_id: str) -> int:
    """A number that differs whenever other tags, concepts or label verdicts hold, and returns with an undo: for caching
    what is derived. Read from one row, however long the log is.
    """
    with workspace.reading() as session:
        return session.scalar(select(LogVersion.version).where(LogVersion.dataset_id == dataset_id)) or 0


class Suggested(NamedTuple):
    """rows: (m,) int64, best first. scores: (m,) float64, NaN where none was given. source: cluster, text ..."""

    rows: np.ndarray
    scores: np.ndarray
    source: str


def suggest_members(
    workspace: Workspace,
    analysis: Analysis,
    concept: Concept,
    rows: Sequence[int] | np.ndarray,
    source: str,
    scores: Sequence[float] | np.ndarray | None = None,
) -> None:
    """Keep images that may show a concept, best first, in place of those suggested before; they are no tags.

    source: cluster, text ... scores: (m,), higher is better. Raises `NotFound` when the concept is gone, `BadRequest`
    unless every image has a score, or none; `NotAllowed`.
    """
    require(Permission.TAG, concept.name)
    images = analysis.image_names(rows)
    given = np.full(len(images), np.nan) if scores is None else np.asarray(scores, dtype=np.float64).reshape(-1)
    if len(given) != len(images):
        raise BadRequest(
            f"There are {len(images):,} images but {len(given):,} scores.",
            next_step="Give one score per image, or none.",
        )
    with workspace.writing() as session:
        record = session.get(ConceptRecord, concept.id)
        if record is None or record.deleted is not None or record.dataset_id != analysis.dataset_id:
            raise NotFound(f"The concept “{concept.name}” is not there.", next_step="Create it again, then try again.")
        replaced = [concept.id, *merged_into(session, concept.id)]
        session.execute(delete(SuggestedMember).where(SuggestedMember.concept_id.in_(replaced)))
        kept = dict(reversed(list(zip(images, given.tolist(), strict=True))))
        members = [
            {
                "concept_id": concept.id,
                "place": place,
                "image": image,
                "score": kept[image] if np.isfinite(kept[image]) else None,
                "source": source,
            }
            for place, image in enumerate(dict.fromkeys(images))
        ]
        if members:
            session.execute(insert(SuggestedMember), members)


def suggested_members(workspace: Workspace, analysis: Analysis, concept: Concept) -> Suggested:
    """The images suggested for a concept that nobody answered yet, best first; after them, those suggested for concepts
    that were merged into it."""
    with workspace.reading() as session:
        by_image: dict[str, tuple[float | None, str]] = {}
        for one in (concept.id, *merged_into(session, concept.id)):
            members = session.execute(
                select(SuggestedMember.image, SuggestedMember.score, SuggestedMember.source)
                .where(SuggestedMember.concept_id == one)
                .order_by(SuggestedMember.place)
            )
            for image, score, source in members:
                by_image.setdefault(image, (score, source))
    rows = rows_of_images(analysis, list(by_image))
    scores = np.array([np.nan if score is None else score for score, _ in by_image.values()], dtype=np.float64)
    open_ones = rows >= 0
    if len(rows):
        open_ones[open_ones] = answers(workspace, analysis, concept)[rows[open_ones]] == UNTAGGED
    return Suggested(rows[open_ones], scores[open_ones], next((source for _, source in by_image.values()), ""))


def rows_of_images(analysis: Analysis, images: Sequence[str]) -> np.ndarray:
    """Rows of images by name: (m,) int64, -1 for a name the analysis does not have."""
    return analysis.rows_named(images)
