"""Concepts: named, coloured things a person sees in the images of a dataset.

Making, changing and deleting them are actions of the log (log.py) like tagging, so each is one step to undo. What
concepts there are follows from the actions that stand (settlement.py).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.concepts.log import ANYBODY, begin, state_facts
from core.concepts.names import clean_name, clean_note, concept_key
from core.concepts.settlement import settle
from core.concepts.shortcuts import check_shortcut, free_shortcut, holder_of
from core.database import ConceptRecord, DatasetRecord, TagAction, now
from core.errors import BadRequest, NotFound
from core.workspace import Workspace

ROLES = ("confounder", "core", "wrong-label", "other")
# Okabe & Ito, "Color Universal Design" (2008): told apart by people of every type of colour vision. Its black is left
# out, since it would vanish on a dark page; its yellow comes last, since it is faint on a light one.
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7", "#F0E442")


@dataclass(frozen=True)
class Concept:
    """role: "confounder" (the default), "core", "wrong-label" (images that show it are left out of curation) or
    "other". color: "#RRGGBB". shortcut: its number key, 1 to 9, of its own among the living concepts of the dataset.
    attribute: (column, value) when it follows a column of the dataset (adoption.py). The name is what a person typed:
    show it as text, never as markup."""

    id: int
    name: str
    color: str
    role: str
    note: str
    shortcut: int | None = None
    attribute: tuple[str, str] | None = None

    def to_dict(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "concept": self.name,
            "color": self.color,
            "role": self.role,
            "note": self.note,
            "shortcut": self.shortcut,
            "attribute": None if self.attribute is None else list(self.attribute),
        }


def create_concept(
    workspace: Workspace,
    dataset_id: str,
    name: str,
    *,
    color: str | None = None,
    role: str = "confounder",
    note: str = "",
    shortcut: int | None = None,
    author: str = ANYBODY,
) -> Concept:
    """Make a concept, or return the one that has this name already (equal but for case), unchanged.

    A name that was deleted comes back with its tags: deleting loses nothing. color: None takes the next of the
    palette. shortcut: 1 to 9, 0 for none; None, or a key that is taken, gives the lowest that is free. Raises
    `BadRequest` for an unusable name, colour, role, note or key, `NotFound` for an unknown dataset.
    """
    name, role, note = clean_name(name), _check_role(role), clean_note(note)
    if color is not None:
        _check_color(color)
    if shortcut is not None:
        check_shortcut(shortcut)
    with workspace.writing() as session:
        check_dataset(session, dataset_id)
        return concept_in(
            session, dataset_id, name, color=color, role=role, note=note, shortcut=shortcut, author=author
        )


def concept_in(
    session: Session,
    dataset_id: str,
    name: str,
    *,
    color: str | None = None,
    role: str = "confounder",
    note: str = "",
    shortcut: int | None = None,
    attribute: tuple[str, str] | None = None,
    author: str = ANYBODY,
    action: TagAction | None = None,
) -> Concept:
    """`create_concept` within a transaction that is open already. The name has to be clean.

    shortcut: None takes the lowest that is free, as does one that is taken; 0 none. action: one that was begun
    already, for making several things in one step; None makes a step of its own.
    """
    record = _by_key(session, dataset_id, name)
    if record is not None and record.deleted is None:
        return as_concept(record)
    verb = "Created" if record is None else "Brought back"
    if action is None:
        action = begin(session, dataset_id, kind="palette", author=author, subject=name, sentence=f"{verb} “{name}”")
    if record is None:
        record = ConceptRecord(
            dataset_id=dataset_id,
            name=name,
            key=concept_key(name),
            color=color or _free_color(session, dataset_id),
            role=role,
            note=note,
            deleted=now(),
        )
        session.add(record)
        session.flush()
        facts: dict[str, Any] = {
            "name": name,
            "color": record.color,
            "role": role,
            "note": note,
            "attribute": None if attribute is None else list(attribute),
        }
    else:
        facts = {} if attribute is None else {"attribute": list(attribute)}
    return bring_back(session, record, action, shortcut=shortcut, **facts)


def bring_back(
    session: Session, record: ConceptRecord, action: TagAction, *, shortcut: int | None = None, **facts: Any
) -> Concept:
    """Make a concept that is deleted, or not yet there, a living one, in an action. shortcut: as in `concept_in`; None
    takes the one it had, where it is free. facts: what else is said of it."""
    wanted = record.shortcut if shortcut is None else shortcut
    key = None if shortcut == 0 else free_shortcut(session, record.dataset_id, wanted)
    state_facts(session, action, record, exists=True, shortcut=key, **facts)
    settle(session, [record.id])
    return as_concept(record)


def get_concept(workspace: Workspace, dataset_id: str, name: str) -> Concept:
    """The concept of this name (case ignored). Raises `NotFound` listing those that exist."""
    with workspace.reading() as session:
        record = _by_key(session, dataset_id, " ".join(name.split()))
        if record is not None and record.deleted is None:
            return as_concept(record)
    existing = ", ".join(concept.name for concept in list_concepts(workspace, dataset_id))
    raise NotFound(
        f"There is no concept “{name}”.",
        next_step=f"The concepts are: {existing}." if existing else "Tag images with it first, or import tags.",
    )


def list_concepts(workspace: Workspace, dataset_id: str) -> tuple[Concept, ...]:
    """The dataset's concepts in the order they were made."""
    with workspace.reading() as session:
        records = session.scalars(
            select(ConceptRecord)
            .where(ConceptRecord.dataset_id == dataset_id, ConceptRecord.deleted.is_(None))
            .order_by(ConceptRecord.id)
        )
        return tuple(as_concept(record) for record in records)


def change_concept(
    workspace: Workspace,
    concept: Concept,
    *,
    name: str | None = None,
    color: str | None = None,
    role: str | None = None,
    note: str | None = None,
    shortcut: int | None = None,
    author: str = ANYBODY,
) -> Concept:
    """Rename a concept or change what is known of it, in one step; its tags stay. Returns it as it is now.

    shortcut: 1 to 9, 0 for none; a concept that has this key gets the other's in exchange. What is None, or as it was,
    is not touched. Raises `BadRequest` when another concept has the name or something is out of its range, `NotFound`
    when the concept is gone.
    """
    with workspace.writing() as session:
        record = live_record(session, concept)
        facts: dict[str, Any] = {}
        if name is not None:
            facts["name"] = name = clean_name(name)
            other = _by_key(session, record.dataset_id, name)
            if other is not None and other.id != record.id and other.deleted is None:
                raise BadRequest(
                    f"There is a concept “{other.name}” already.", next_step="Choose another name, or use that one."
                )
        if color is not None:
            facts["color"] = _check_color(color)
        if role is not None:
            facts["role"] = _check_role(role)
        if note is not None:
            facts["note"] = clean_note(note)
        if shortcut is not None:
            facts["shortcut"] = check_shortcut(shortcut) or None
        facts = {field: value for field, value in facts.items() if getattr(record, field) != value}
        if not facts:
            return as_concept(record)
        action = begin(
            session,
            record.dataset_id,
            kind="palette",
            author=author,
            subject=record.name,
            sentence=_changed(record.name, facts),
        )
        touched = [record.id]
        if facts.get("shortcut") is not None:
            holder = holder_of(session, record.dataset_id, facts["shortcut"])
            if holder is not None:
                state_facts(session, action, holder, shortcut=record.shortcut)
                touched.append(holder.id)
        state_facts(session, action, record, **facts)
        settle(session, touched)
        return as_concept(record)


def rename_concept(workspace: Workspace, concept: Concept, name: str, *, author: str = ANYBODY) -> Concept:
    """See `change_concept`."""
    return change_concept(workspace, concept, name=name, author=author)


def delete_concept(workspace: Workspace, concept: Concept, *, author: str = ANYBODY) -> None:
    """Put a concept away. Its tags are kept, and come back with undo or when the name is created again."""
    with workspace.writing() as session:
        record = live_record(session, concept)
        action = begin(
            session,
            record.dataset_id,
            kind="palette",
            author=author,
            subject=record.name,
            sentence=f"Deleted “{record.name}”",
        )
        state_facts(session, action, record, exists=False)
        settle(session, [record.id])


def check_dataset(session: Session, dataset_id: str) -> None:
    if session.get(DatasetRecord, dataset_id) is None:
        raise NotFound("This workspace does not know the dataset.", next_step="Analyse the dataset first.")


def live_record(session: Session, concept: Concept) -> ConceptRecord:
    record = session.get(ConceptRecord, concept.id)
    if record is None or record.deleted is not None:
        raise NotFound(f"The concept “{concept.name}” was deleted.", next_step="Create it again to get it back.")
    return record


def as_concept(record: ConceptRecord) -> Concept:
    attribute = None
    if record.attribute is not None and record.attribute_value is not None:
        attribute = record.attribute, record.attribute_value
    return Concept(record.id, record.name, record.color, record.role, record.note, record.shortcut, attribute)


def _by_key(session: Session, dataset_id: str, name: str) -> ConceptRecord | None:
    return session.scalars(
        select(ConceptRecord).where(ConceptRecord.dataset_id == dataset_id, ConceptRecord.key == concept_key(name))
    ).one_or_none()


def _free_color(session: Session, dataset_id: str) -> str:
    taken = session.scalars(
        select(ConceptRecord.color).where(ConceptRecord.dataset_id == dataset_id, ConceptRecord.deleted.is_(None))
    ).all()
    # the least used colour, the first of the palette among equals
    return min(PALETTE, key=taken.count)


def _changed(name: str, facts: dict[str, Any]) -> str:
    """What `change_concept` did, in words."""
    if list(facts) == ["name"]:
        return f"Renamed “{name}” to “{facts['name']}”"
    if list(facts) == ["color"]:
        return f"Gave “{name}” another colour"
    if list(facts) == ["role"]:
        return f"Set the role of “{name}” to {facts['role']}"
    if list(facts) == ["note"]:
        return f"Changed the note of “{name}”"
    if list(facts) == ["shortcut"]:
        key = facts["shortcut"]
        return f"Took the key of “{name}” away" if key is None else f"Gave “{name}” the key {key}"
    words = {"name": "name", "color": "colour", "role": "role", "note": "note", "shortcut": "key"}
    *some, last = (words[field] for field in facts)
    return f"Changed {', '.join(some)} and {last} of “{facts.get('name', name)}”"


def _check_role(role: str) -> str:
    if role not in ROLES:
        raise BadRequest(f"“{role}” is not a role of a concept.", next_step=f"Use one of: {', '.join(ROLES)}.")
    return role


def _check_color(color: str) -> str:
    if not re.fullmatch(r"#[0-9A-Fa-f]{6}", color):
        raise BadRequest(f"“{color}” is not a colour.", next_step="Write it like #0072B2.")
    return color
