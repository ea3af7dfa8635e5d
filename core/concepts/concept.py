"""Concepts: named, coloured things a person sees in the images of a dataset."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.database import ConceptRecord, DatasetRecord, now
from core.errors import BadRequest, NotFound
from core.workspace import Workspace

ROLES = ("confounder", "core", "wrong-label", "other")
LONGEST_NAME = 200
# Okabe & Ito, "Color Universal Design" (2008): told apart by people of every type of colour vision. Its black is left
# out, since it would vanish on a dark page; its yellow comes last, since it is faint on a light one.
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7", "#F0E442")


@dataclass(frozen=True)
class Concept:
    """role: "confounder" (the default), "core", "wrong-label" (images that show it are left out of curation) or
    "other". color: "#RRGGBB". The name is what a person typed: show it as text, never as markup."""

    id: int
    name: str
    color: str
    role: str
    note: str

    def to_dict(self) -> dict[str, Any]:
        return {"id": self.id, "concept": self.name, "color": self.color, "role": self.role, "note": self.note}


def create_concept(
    workspace: Workspace,
    dataset_id: str,
    name: str,
    *,
    color: str | None = None,
    role: str = "confounder",
    note: str = "",
) -> Concept:
    """Make a concept, or return the one that has this name already (equal but for case), unchanged.

    A name that was deleted comes back with its tags: deleting loses nothing. color: None takes the next of the
    palette. Raises `BadRequest` for an unusable name, colour or role, `NotFound` for an unknown dataset.
    """
    name, role = clean_name(name), _check_role(role)
    if color is not None:
        _check_color(color)
    with workspace.writing() as session:
        if session.get(DatasetRecord, dataset_id) is None:
            raise NotFound("This workspace does not know the dataset.", next_step="Analyse the dataset first.")
        return concept_in(session, dataset_id, name, color=color, role=role, note=note)


def concept_in(
    session: Session,
    dataset_id: str,
    name: str,
    *,
    color: str | None = None,
    role: str = "confounder",
    note: str = "",
) -> Concept:
    """`create_concept` within a transaction that is open already. The name has to be clean."""
    record = _by_key(session, dataset_id, name)
    if record is None:
        taken = session.scalars(
            select(ConceptRecord.color).where(ConceptRecord.dataset_id == dataset_id, ConceptRecord.deleted.is_(None))
        ).all()
        record = ConceptRecord(
            dataset_id=dataset_id,
            name=name,
            key=concept_key(name),
            # the least used colour, the first of the palette among equals
            color=color or min(PALETTE, key=taken.count),
            role=role,
            note=note,
        )
        session.add(record)
        session.flush()
    elif record.deleted is not None:
        record.deleted = None
    return _concept(record)


def get_concept(workspace: Workspace, dataset_id: str, name: str) -> Concept:
    """The concept of this name (case ignored). Raises `NotFound` listing those that exist."""
    with workspace.reading() as session:
        record = _by_key(session, dataset_id, " ".join(name.split()))
        if record is not None and record.deleted is None:
            return _concept(record)
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
        return tuple(_concept(record) for record in records)


def change_concept(
    workspace: Workspace,
    concept: Concept,
    *,
    name: str | None = None,
    color: str | None = None,
    role: str | None = None,
    note: str | None = None,
) -> Concept:
    """Rename a concept or change what is known of it; its tags stay. Returns it as it is now.

    Raises `BadRequest` when another concept has the name, `NotFound` when the concept is gone.
    """
    with workspace.writing() as session:
        record = _live(session, concept)
        if name is not None:
            name = clean_name(name)
            other = _by_key(session, record.dataset_id, name)
            if other is not None and other.id != record.id:
                if other.deleted is None:
                    raise BadRequest(
                        f"There is a concept “{other.name}” already.", next_step="Choose another name, or use that one."
                    )
                # a deleted concept gives up its name to a living one; no typed name can hold a NUL
                other.key = f"{other.key}\0{other.id}"
                session.flush()
            record.name, record.key = name, concept_key(name)
        if color is not None:
            record.color = _check_color(color)
        if role is not None:
            record.role = _check_role(role)
        if note is not None:
            record.note = note
        return _concept(record)


def rename_concept(workspace: Workspace, concept: Concept, name: str) -> Concept:
    """See `change_concept`."""
    return change_concept(workspace, concept, name=name)


def delete_concept(workspace: Workspace, concept: Concept) -> None:
    """Put a concept away. Its tags are kept, and come back with it when the name is created again."""
    with workspace.writing() as session:
        _live(session, concept).deleted = now()


def clean_name(name: str) -> str:
    """The name as it is stored: NFC, spaces trimmed and runs of them made one, no control characters.

    Raises `BadRequest` unless 1 to 200 characters are left.
    """
    spaced = " ".join(unicodedata.normalize("NFC", name).split())
    # Cc: control characters; Cs: lone surrogates, which no file or page can hold
    clean = "".join(character for character in spaced if unicodedata.category(character) not in ("Cc", "Cs"))
    if not 1 <= len(clean) <= LONGEST_NAME:
        problem = "is empty" if not clean else f"has {len(clean)} characters"
        raise BadRequest(f"The concept's name {problem}.", next_step=f"Use 1 to {LONGEST_NAME} characters.")
    return clean


def concept_key(name: str) -> str:
    """What makes two clean names the same concept: equal but for case."""
    # case folding can undo the normal form, hence once more
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _by_key(session: Session, dataset_id: str, name: str) -> ConceptRecord | None:
    return session.scalars(
        select(ConceptRecord).where(ConceptRecord.dataset_id == dataset_id, ConceptRecord.key == concept_key(name))
    ).one_or_none()


def _live(session: Session, concept: Concept) -> ConceptRecord:
    record = session.get(ConceptRecord, concept.id)
    if record is None or record.deleted is not None:
        raise NotFound(f"The concept “{concept.name}” was deleted.", next_step="Create it again to get it back.")
    return record


def _concept(record: ConceptRecord) -> Concept:
    return Concept(record.id, record.name, record.color, record.role, record.note)


def _check_role(role: str) -> str:
    if role not in ROLES:
        raise BadRequest(f"“{role}” is not a role of a concept.", next_step=f"Use one of: {', '.join(ROLES)}.")
    return role


def _check_color(color: str) -> str:
    if not re.fullmatch(r"#[0-9A-Fa-f]{6}", color):
        raise BadRequest(f"“{color}” is not a colour.", next_step="Write it like #0072B2.")
    return color
