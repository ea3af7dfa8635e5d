"""How the concepts of a dataset follow from the log: who is there, and who has which name and number key, is settled
anew from the statements that stand whenever some are added, undone or done again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.concepts.names import concept_key, free_name
from core.concepts.shortcuts import lowest_free
from core.database import ConceptChange, ConceptRecord, StandingTag, TagAction, now

# parts a key from what makes it unique once another concept has the name; no typed name can hold a NUL
_ASIDE = "\0"


@dataclass(frozen=True)
class _Wanted:
    """What the standing statements ask for a concept. name_since, shortcut_since: number of the statement that claims
    the name (also by making the concept, or bringing it back) and the key; of two claims the newer one wins."""

    alive: bool
    facts: dict[str, Any]
    name_since: int
    shortcut_since: int


def settle(session: Session, concepts: Sequence[int]) -> list[str]:
    """Make the records of a dataset what the standing actions say, after statements about some of its concepts were
    added, undone or done again.

    A concept is there when the newest standing statement says so; once its creation is undone, as long as anything
    else that stands is said of it, so that nobody's tags vanish. Of living concepts that want the same name or key, the
    one that asked last has it; the others get the nearest that is free, until it is free again. So names and keys
    follow from what stands, whatever was undone when. Returns sentences about names and keys that changed by the way.
    """
    dataset = session.scalar(select(ConceptRecord.dataset_id).where(ConceptRecord.id.in_(concepts)).limit(1))
    records = session.scalars(
        select(ConceptRecord).where(ConceptRecord.dataset_id == dataset).order_by(ConceptRecord.id)
    ).all()
    wanted = _standing_facts(session, records)
    living = [record for record in records if wanted[record.id].alive]
    names, shortcuts = _shared_names(living, wanted), _shared_shortcuts(living, wanted)
    notes = _differences(living, wanted, names, shortcuts, set(concepts))
    keys = {number: concept_key(name) for number, name in names.items()}
    taken = set(keys.values())
    # a deleted concept keeps its key for coming back, unless a living one has it or a deleted one that had it later
    for record in sorted(records, key=lambda record: (-wanted[record.id].name_since, record.id)):
        if record.id not in keys:
            key = concept_key(wanted[record.id].facts["name"])
            keys[record.id] = f"{key}{_ASIDE}{record.id}" if key in taken else key
            taken.add(key)
    moving = [record for record in records if record.key != keys[record.id]]
    for record in moving:
        # all let go of what they hold first, so that two can change places
        record.key = f"{_ASIDE}{record.id}"
    session.flush()
    for record in records:
        alive, facts = wanted[record.id].alive, wanted[record.id].facts
        record.key, record.name = keys[record.id], names.get(record.id, facts["name"])
        record.color, record.role, record.note = facts["color"], facts["role"], facts["note"]
        record.attribute, record.attribute_value = facts["attribute"] or (None, None)
        record.shortcut = shortcuts[record.id] if alive else facts["shortcut"]
        record.deleted = None if alive else record.deleted or now()
    session.flush()
    return notes


def _standing_facts(session: Session, records: Sequence[ConceptRecord]) -> dict[int, _Wanted]:
    """What is asked for each concept."""
    query = (
        select(ConceptChange.concept_id, ConceptChange.id, ConceptChange.field, ConceptChange.value, TagAction.undone)
        .outerjoin(TagAction, TagAction.id == ConceptChange.action_id)
        .where(ConceptChange.concept_id.in_([record.id for record in records]))
        .order_by(ConceptChange.id)
    )
    # field -> value and number of the statement
    first: dict[int, dict[str, tuple[Any, int]]] = {record.id: {} for record in records}
    standing: dict[int, dict[str, tuple[Any, int]]] = {record.id: {} for record in records}
    for concept, number, field, value, undone in session.execute(query):
        first[concept].setdefault(field, (value, number))
        if undone is None:
            standing[concept][field] = value, number
    found = {}
    for record in records:
        said = standing[record.id]
        known = {**_as_it_is(record), **first[record.id], **said}
        if "exists" in said or not first[record.id]:
            alive = bool(known["exists"][0])
        else:
            used = select(StandingTag.image).where(StandingTag.concept_id == record.id, StandingTag.state != "cleared")
            alive = bool(said) or session.scalar(used.limit(1)) is not None
        found[record.id] = _Wanted(
            alive,
            {field: value for field, (value, _) in known.items()},
            max(known["name"][1], known["exists"][1] if alive else 0),
            known["shortcut"][1],
        )
    return found


def _as_it_is(record: ConceptRecord) -> dict[str, tuple[Any, int]]:
    """Facts about a concept of which no statement is kept: one that an older program made."""
    return {
        "exists": (record.deleted is None, 0),
        "name": (record.name, 0),
        "color": (record.color, 0),
        "role": (record.role, 0),
        "note": (record.note, 0),
        "shortcut": (None, 0),
        "attribute": (None, 0),
    }


def _shared_names(living: Sequence[ConceptRecord], wanted: dict[int, _Wanted]) -> dict[int, str]:
    """Concept -> the name it wants, or that name with a number where a newer claim has it."""
    names: dict[int, str] = {}
    taken: set[str] = set()
    for record in sorted(living, key=lambda record: (-wanted[record.id].name_since, record.id)):
        name = wanted[record.id].facts["name"]
        if concept_key(name) not in taken:
            names[record.id] = name
            taken.add(concept_key(name))
    for record in living:
        if record.id not in names:
            names[record.id] = free_name(wanted[record.id].facts["name"], taken)
            taken.add(concept_key(names[record.id]))
    return names


def _shared_shortcuts(living: Sequence[ConceptRecord], wanted: dict[int, _Wanted]) -> dict[int, int | None]:
    """Concept -> the key it wants, or the lowest free one where a newer claim has it; None when all nine are taken."""
    keys: dict[int, int | None] = {}
    for record in sorted(living, key=lambda record: (-wanted[record.id].shortcut_since, record.id)):
        key = wanted[record.id].facts["shortcut"]
        if key is None or key not in keys.values():
            keys[record.id] = key
    for record in living:
        if record.id not in keys:
            keys[record.id] = lowest_free({key for key in keys.values() if key is not None})
    return keys


def _differences(
    living: Sequence[ConceptRecord],
    wanted: dict[int, _Wanted],
    names: dict[int, str],
    shortcuts: dict[int, int | None],
    about: set[int],
) -> list[str]:
    """Sentences about living concepts that get another name or key than they ask for, or get theirs back although the
    step was not about them. The records are as they were before."""
    by_key = {concept_key(name): name for name in names.values()}
    by_shortcut = {key: names[number] for number, key in shortcuts.items()}
    notes = []
    for record in living:
        name, key, facts = names[record.id], shortcuts[record.id], wanted[record.id].facts
        fresh = record.deleted is not None
        if name != facts["name"] and (fresh or name != record.name):
            which = "this one" if record.id in about else f"“{record.name}”"
            holder = by_key[concept_key(facts["name"])]
            notes.append(f"Another concept is called “{holder}” by now, so {which} is “{name}”.")
        elif name != record.name and record.id not in about:
            notes.append(f"“{record.name}” is called “{name}” again.")
        if key != facts["shortcut"] and (fresh or key != record.shortcut):
            has = "no key" if key is None else f"key {key}"
            notes.append(
                f"Key {facts['shortcut']} is “{by_shortcut[facts['shortcut']]}” by now, so “{name}” has {has}."
            )
        elif key != record.shortcut and record.id not in about:
            notes.append(f"“{name}” has key {key} again.")
    return notes
