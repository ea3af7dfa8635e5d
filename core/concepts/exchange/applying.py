"""Taking what a file says into a workspace, or saying what that would do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.concepts.concept import concept_in, concept_key
from core.concepts.exchange.contents import Contents, Rejected, Statement
from core.concepts.exchange.origin import keep_origins
from core.concepts.tags import record_action
from core.database import ConceptRecord, StandingTag, TagRecord
from core.workspace import Workspace

if TYPE_CHECKING:
    from core.activations.store import Analysis

_STATES = {True: "present", False: "absent", "unsure": "unsure"}


@dataclass(frozen=True)
class ImportedConcept:
    """new: the workspace has no such concept yet. changed: images of which it said something else; among `added`."""

    name: str
    new: bool
    added: int
    changed: int
    unchanged: int

    def to_dict(self) -> dict[str, Any]:
        return {
            "concept": self.name,
            "new": self.new,
            "added": self.added,
            "changed": self.changed,
            "unchanged": self.unchanged,
        }


@dataclass(frozen=True)
class Imported:
    """What an import did, or would do.

    added: statements taken, all in one action. changed: those among them that replace another answer. unchanged: those
    that the workspace holds already, not taken again. concepts: names of the concepts the file is about. made: those
    that were new. verdicts: on labels. action: None where nothing was new, and in a preview.
    """

    added: int
    changed: int
    unchanged: int
    concepts: tuple[str, ...]
    made: tuple[str, ...]
    verdicts: int
    rejected: tuple[Rejected, ...]
    details: tuple[ImportedConcept, ...]
    notes: tuple[str, ...]
    unit: str
    action: int | None

    @property
    def nothing_new(self) -> bool:
        return not (self.added or self.made or self.verdicts)

    def to_dict(self) -> dict[str, Any]:
        return {
            "added": self.added,
            "changed": self.changed,
            "unchanged": self.unchanged,
            "concepts": list(self.concepts),
            "made": list(self.made),
            "verdicts": self.verdicts,
            "rejected": [line.to_dict() for line in self.rejected],
            "details": [concept.to_dict() for concept in self.details],
            "notes": list(self.notes),
            "unit": self.unit,
            "action": self.action,
        }


def preview(workspace: Workspace, analysis: Analysis, contents: Contents) -> Imported:
    """What `apply` would do; nothing is written."""
    with workspace.reading() as session:
        return _plan(session, analysis, contents)[0]


def apply(workspace: Workspace, analysis: Analysis, contents: Contents, *, author: str, how: str) -> Imported:
    """Take what is new into the workspace, as one action of `author`."""
    with workspace.writing() as session:
        planned, fresh = _plan(session, analysis, contents)
        if planned.nothing_new:
            return planned
        ids = {}
        for statement in fresh:
            if statement.concept not in ids:
                ids[statement.concept] = concept_in(session, analysis.dataset_id, statement.concept).id
        action = record_action(
            session,
            analysis.dataset_id,
            [(ids[one.concept], one.image, one.said) for one in fresh],
            author=author,
            source="import",
        )
        tags = session.scalars(select(TagRecord.id).where(TagRecord.action_id == action).order_by(TagRecord.id))
        keep_origins(session, "tag", zip(tags, (one.origin for one in fresh), strict=True))
    return planned


def _plan(session: Session, analysis: Analysis, contents: Contents) -> tuple[Imported, list[Statement]]:
    """What there is to do, and the statements that are new."""
    records = session.execute(
        select(ConceptRecord.id, ConceptRecord.key, ConceptRecord.name).where(
            ConceptRecord.dataset_id == analysis.dataset_id, ConceptRecord.deleted.is_(None)
        )
    ).all()
    known = {key: (concept, name) for concept, key, name in records}
    held: dict[str, dict[str, str]] = {}
    counts: dict[str, list[int]] = {}
    names: dict[str, str] = {}
    fresh = []
    for one in contents.statements:
        key = concept_key(one.concept)
        if key not in counts:
            counts[key], names[key], held[key] = [0, 0, 0], one.concept, {}
            if key in known:
                concept, names[key] = known[key]
                query = select(StandingTag.image, StandingTag.state).where(
                    StandingTag.concept_id == concept, StandingTag.state != "cleared"
                )
                held[key] = {image: state for image, state in session.execute(query)}  # noqa: C416
        before = held[key].get(one.image)
        if before == _STATES[one.said]:
            counts[key][2] += 1
            continue
        counts[key][0] += 1
        counts[key][1] += before is not None
        fresh.append(one)
    palette = {concept_key(entry.name): entry.name for entry in contents.palette}
    made = {key: name for key, name in {**palette, **names}.items() if key not in known}
    details = tuple(ImportedConcept(names[key], key not in known, *counts[key]) for key in counts)
    planned = Imported(
        added=len(fresh),
        changed=sum(one.changed for one in details),
        unchanged=sum(one.unchanged for one in details),
        concepts=tuple(names.values()),
        made=tuple(made.values()),
        verdicts=0,
        rejected=contents.rejected,
        details=details,
        notes=contents.notes,
        unit=contents.unit,
        action=None,
    )
    return planned, fresh
