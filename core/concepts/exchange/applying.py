"""Taking what a file says into a workspace, or saying what that would do."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from core.concepts.concept import check_dataset, concept_in
from core.concepts.exchange.contents import Contents, LabelStatement, PaletteEntry, Rejected, Statement, shown
from core.concepts.exchange.origin import keep_origins
from core.concepts.labels import standing_verdicts
from core.concepts.log import STATES, begin, record_action
from core.concepts.names import concept_key
from core.concepts.settlement import settle
from core.concepts.shortcuts import state_shortcuts
from core.database import ConceptRecord, LabelVerdict, StandingTag, TagAction, TagRecord
from core.workspace import Workspace

if TYPE_CHECKING:
    from core.activations.store import Analysis


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

    @property
    def summary(self) -> str:
        """What is new, for a sentence: "12 tags, 1 concept and 2 verdicts on labels"; empty when nothing is."""
        counts = ((self.added, "tag"), (len(self.made), "concept"), (self.verdicts, "verdict"))
        parts = [f"{count:,} {noun}{'' if count == 1 else 's'}" for count, noun in counts if count]
        if self.verdicts:
            parts[-1] += " on labels"
        return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)

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


@dataclass(frozen=True)
class _Plan:
    """What is new in a file. palette: concepts to be made, in this order."""

    imported: Imported
    palette: tuple[PaletteEntry, ...]
    statements: tuple[Statement, ...]
    verdicts: tuple[LabelStatement, ...]


def preview(workspace: Workspace, analysis: Analysis, contents: Contents) -> Imported:
    """What `apply` would do; nothing is written."""
    with workspace.reading() as session:
        return _plan(session, analysis, contents).imported


def apply(workspace: Workspace, analysis: Analysis, contents: Contents, *, author: str, name: str) -> Imported:
    """Take what is new into the workspace, as one action of `author`; no action where nothing is. name: of the file."""
    with workspace.writing() as session:
        check_dataset(session, analysis.dataset_id)
        plan = _plan(session, analysis, contents)
        imported = plan.imported
        if imported.nothing_new:
            return imported
        kind = "tag" if plan.statements else "label" if plan.verdicts else "palette"
        action = begin(session, analysis.dataset_id, kind=kind, author=author, source="import", how=name)
        ids = _make_concepts(session, analysis, action, plan)
        _say(session, analysis, action, plan, ids)
        _judge(session, analysis, action, plan)
        # after `record_action`, which describes the tags alone
        action.sentence = f"Imported {imported.summary} from “{name}”"
        return replace(imported, action=action.id)


def _make_concepts(session: Session, analysis: Analysis, action: TagAction, plan: _Plan) -> dict[str, int]:
    """Ids by key of all concepts that the statements are about; those that are missing are made."""
    made: dict[str, int] = {}
    for entry in plan.palette:
        concept = concept_in(
            session,
            analysis.dataset_id,
            entry.name,
            color=entry.color,
            role=entry.role or "confounder",
            note=entry.note or "",
            attribute=entry.attribute,
            action=action,
        )
        made[concept_key(entry.name)] = concept.id
    # keys once all are there, so that none takes for the moment what another one has in the file
    keys = {made[concept_key(one.name)]: one.shortcut or None for one in plan.palette if one.shortcut is not None}
    state_shortcuts(session, action, keys)
    settle(session, list(made.values()))
    living = select(ConceptRecord.key, ConceptRecord.id).where(
        ConceptRecord.dataset_id == analysis.dataset_id, ConceptRecord.deleted.is_(None)
    )
    return {key: concept for key, concept in session.execute(living)}  # noqa: C416


def _say(session: Session, analysis: Analysis, action: TagAction, plan: _Plan, ids: dict[str, int]) -> None:
    if not plan.statements:
        return
    by_name = {name: ids[concept_key(name)] for name in {one.concept for one in plan.statements}}
    said = [(by_name[one.concept], one.image, one.said) for one in plan.statements]
    record_action(session, analysis.dataset_id, said, author=action.author, source="import", action=action)
    tags = session.scalars(select(TagRecord.id).where(TagRecord.action_id == action.id).order_by(TagRecord.id)).all()
    keep_origins(session, "tag", zip(tags, (one.origin for one in plan.statements), strict=True))


def _judge(session: Session, analysis: Analysis, action: TagAction, plan: _Plan) -> None:
    if not plan.verdicts:
        return
    session.execute(
        insert(LabelVerdict),
        [
            {
                "action_id": action.id,
                "image": one.image,
                "label": one.label,
                "verdict": one.verdict,
                "new_label": one.new_label,
            }
            for one in plan.verdicts
        ],
    )
    query = select(LabelVerdict.id).where(LabelVerdict.action_id == action.id).order_by(LabelVerdict.id)
    keep_origins(
        session, "label", zip(session.scalars(query).all(), (one.origin for one in plan.verdicts), strict=True)
    )
    if not plan.statements:
        action.images = len(plan.verdicts)


def _plan(session: Session, analysis: Analysis, contents: Contents) -> _Plan:
    records = session.execute(
        select(ConceptRecord.key, ConceptRecord.id, ConceptRecord.name, ConceptRecord.deleted).where(
            ConceptRecord.dataset_id == analysis.dataset_id
        )
    ).all()
    living = {record.key: record.name for record in records if record.deleted is None}
    # a concept that was deleted comes back with its tags
    known = {record.key: record.id for record in records}
    held: dict[str, dict[str, str]] = {}
    counts: dict[str, list[int]] = {}
    names: dict[str, str] = {}
    fresh = []
    keys = {name: concept_key(name) for name in {one.concept for one in contents.statements}}
    for one in contents.statements:
        key = keys[one.concept]
        if key not in counts:
            counts[key], names[key] = [0, 0, 0], living.get(key, one.concept)
            held[key] = _held(session, known[key]) if key in known else {}
        before = held[key].get(one.image)
        if before == STATES[one.said]:
            counts[key][2] += 1
            continue
        counts[key][0] += 1
        counts[key][1] += before is not None
        fresh.append(one)
    palette, notes = _new_concepts(session, analysis, contents, names, living)
    verdicts = _new_verdicts(session, analysis, contents)
    imported = Imported(
        added=len(fresh),
        changed=sum(changed for _, changed, _ in counts.values()),
        unchanged=sum(unchanged for _, _, unchanged in counts.values()),
        concepts=tuple(names.values()),
        made=tuple(entry.name for entry in palette),
        verdicts=len(verdicts),
        rejected=contents.rejected,
        details=tuple(ImportedConcept(names[key], key not in living, *counts[key]) for key in counts),
        notes=(*contents.notes, *notes),
        unit=contents.unit,
        action=None,
    )
    return _Plan(imported, tuple(palette), tuple(fresh), tuple(verdicts))


def _held(session: Session, concept: int) -> dict[str, str]:
    """What people said of a concept: image -> state."""
    query = select(StandingTag.image, StandingTag.state).where(
        StandingTag.concept_id == concept, StandingTag.state != "cleared"
    )
    return {image: state for image, state in session.execute(query)}  # noqa: C416


def _new_concepts(
    session: Session, analysis: Analysis, contents: Contents, named: dict[str, str], living: dict[str, str]
) -> tuple[list[PaletteEntry], list[str]]:
    """The concepts to be made, in the order of the file's palette, then of its tags; sentences about what cannot be."""
    columns = {(column.name, value) for column in analysis.attributes for value in column.values}
    followed = set(
        session.execute(
            select(ConceptRecord.attribute, ConceptRecord.attribute_value).where(
                ConceptRecord.dataset_id == analysis.dataset_id, ConceptRecord.deleted.is_(None)
            )
        ).tuples()
    )
    wanted = {concept_key(entry.name): entry for entry in contents.palette}
    wanted |= {key: PaletteEntry(name) for key, name in named.items() if key not in wanted}
    found, notes = [], []
    for key, entry in wanted.items():
        if key in living:
            continue
        if entry.attribute is not None and (entry.attribute not in columns or entry.attribute in followed):
            reason = "another concept follows already" if entry.attribute in columns else "this dataset does not have"
            notes.append(f"“{shown(entry.name)}” is made without the column it followed, which {reason}.")
            entry = replace(entry, attribute=None)
        if entry.attribute is not None:
            followed.add(entry.attribute)
        found.append(entry)
    return found, notes


def _new_verdicts(session: Session, analysis: Analysis, contents: Contents) -> list[LabelStatement]:
    if not contents.verdicts or not analysis.labelled:
        return []
    held = {
        image: (found.label, found.verdict, found.new_label)
        for image, found in standing_verdicts(session, analysis.dataset_id).items()
    }
    return [one for one in contents.verdicts if held.get(one.image) != (one.label, one.verdict, one.new_label)]
