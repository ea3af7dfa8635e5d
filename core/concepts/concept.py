"""Concepts: named, coloured things a person sees in the images of a dataset.

Making, changing, merging and deleting them are actions of the log (log.py) like tagging, so each is one step to undo.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import exists, func, insert, literal, select, text
from sqlalchemy.orm import Session, aliased

from core.concepts.log import ANYBODY, begin, clean_line, settle_tags
from core.database import ConceptChange, ConceptRecord, DatasetRecord, StandingTag, TagAction, TagRecord, now
from core.errors import BadRequest, NotFound
from core.migration import SHORTCUTS
from core.workspace import Workspace

ROLES = ("confounder", "core", "wrong-label", "other")
LONGEST_NAME = 200
LONGEST_NOTE = 4000
# parts a key from what makes it unique once another concept has the name; no typed name can hold a NUL
_ASIDE = "\0"
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
        _check_shortcut(shortcut)
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
            facts["shortcut"] = _check_shortcut(shortcut) or None
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
            holder = _holder_of(session, record.dataset_id, facts["shortcut"])
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


def merge_concepts(workspace: Workspace, kept: Concept, merged: Concept, *, author: str = ANYBODY) -> Concept:
    """Say of `kept` all that was said of `merged`, and put `merged` away, in one step. Returns `kept`.

    Where something was said of both, `kept` wins; nothing is overwritten, and undo brings back both as they were. Who
    said it, when, how and from which band stays known (`StatementOrigin`), images that were suggested for `merged` are
    suggested for `kept`, and the column that `merged` follows passes on to a `kept` that follows none. Raises
    `BadRequest` for the same concept twice, concepts of different datasets or two that follow different columns,
    `NotFound` when one is gone.
    """
    with workspace.writing() as session:
        target, gone = live_record(session, kept), live_record(session, merged)
        if target.id == gone.id or target.dataset_id != gone.dataset_id:
            raise BadRequest(
                f"“{gone.name}” cannot be merged into “{target.name}”.",
                next_step="Choose two different concepts of one dataset.",
            )
        passed_on = as_concept(gone).attribute
        if passed_on and as_concept(target).attribute not in (None, passed_on):
            raise BadRequest(
                f"“{target.name}” and “{gone.name}” follow different columns of the dataset.",
                next_step="Delete one of them instead: the columns stay where they are.",
            )
        action = begin(
            session,
            target.dataset_id,
            kind="merge",
            author=author,
            how="merge",
            subject=target.name,
            sentence=f"Merged “{gone.name}” into “{target.name}”",
        )
        theirs, own = aliased(StandingTag), aliased(StandingTag)
        spoken = exists().where(own.concept_id == target.id, own.image == theirs.image, own.state != "cleared")
        said = select(literal(action.id), literal(target.id), theirs.image, theirs.state).where(
            theirs.concept_id == gone.id, theirs.state != "cleared", ~spoken
        )
        session.execute(insert(TagRecord).from_select(["action_id", "concept_id", "image", "state"], said))
        copied = select(func.count()).select_from(TagRecord).where(TagRecord.action_id == action.id)
        action.images = session.scalar(copied) or 0
        _keep_origins(session, action, gone)
        settle_tags(session)
        if passed_on and target.attribute is None:
            state_facts(session, action, target, attribute=list(passed_on))
        state_facts(session, action, gone, exists=False, merged=target.id)
        settle(session, [target.id, gone.id])
        return as_concept(target)


def _keep_origins(session: Session, action: TagAction, gone: ConceptRecord) -> None:
    """Note of each tag that a merge copied where it came from."""
    session.execute(
        text(
            "INSERT INTO statement_origins "
            "(kind, statement_id, author, source, how, time, direction, low, high, action_id) "
            "SELECT 'tag', copied.id, coalesce(known.author, said.author), coalesce(known.source, said.source), "
            # of an imported one its file says these, or nobody
            "iif(known.statement_id IS NULL, nullif(said.how, ''), known.how), coalesce(known.time, said.created), "
            "iif(known.statement_id IS NULL, said.direction, known.direction), "
            "iif(known.statement_id IS NULL, said.low, known.low), "
            "iif(known.statement_id IS NULL, said.high, known.high), coalesce(known.action_id, said.id) "
            "FROM tags AS copied "
            "CROSS JOIN standing_tags AS held ON held.concept_id = :gone AND held.image = copied.image "
            "CROSS JOIN tags AS original ON original.id = held.tag_id "
            "CROSS JOIN tag_actions AS said ON said.id = original.action_id "
            "LEFT JOIN statement_origins AS known ON known.kind = 'tag' AND known.statement_id = original.id "
            "WHERE copied.action_id = :action"
        ),
        {"gone": gone.id, "action": action.id},
    )


def merged_into(session: Session, concept: int) -> list[int]:
    """The concepts that were merged into one and are still put away, with those that were merged into them."""
    dataset = select(ConceptRecord.dataset_id).where(ConceptRecord.id == concept).scalar_subquery()
    query = (
        select(ConceptChange.concept_id, ConceptChange.value)
        .join(ConceptRecord, ConceptRecord.id == ConceptChange.concept_id)
        .join(TagAction, TagAction.id == ConceptChange.action_id)
        .where(
            ConceptRecord.dataset_id == dataset,
            ConceptRecord.deleted.is_not(None),
            ConceptChange.field == "merged",
            TagAction.undone.is_(None),
        )
        .order_by(ConceptChange.id)
    )
    went: dict[int, int] = dict(session.execute(query).tuples().all())
    found = [concept]
    for kept in found:
        found += [gone for gone, into in went.items() if into == kept and gone not in found]
    return found[1:]


def state_facts(session: Session, action: TagAction, record: ConceptRecord, **facts: Any) -> None:
    """Add statements about a concept to an action. Fields: see `ConceptChange`."""
    session.add_all(
        ConceptChange(action_id=action.id, concept_id=record.id, field=field, value=value)
        for field, value in facts.items()
    )
    session.flush()


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


def free_name(wanted: str, taken: set[str]) -> str:
    """The name, cut to its longest, with the lowest number from 2 on that makes it none of the keys in `taken`."""
    name = clean_name(wanted[:LONGEST_NAME])
    for number in itertools.count(2):
        if concept_key(name) not in taken:
            break
        suffix = f" ({number})"
        name = clean_name(f"{wanted[: LONGEST_NAME - len(suffix)]}{suffix}")
    return name


def lowest_free(taken: set[int]) -> int | None:
    return next((key for key in range(1, SHORTCUTS + 1) if key not in taken), None)


def state_shortcuts(session: Session, action: TagAction, wanted: dict[int, int | None]) -> None:
    """Give concepts of a dataset number keys, in an action; a key that is taken by then goes to none of them, and the
    lowest free one instead."""
    taken = set(
        session.scalars(
            select(ConceptRecord.shortcut).where(
                ConceptRecord.dataset_id == action.dataset_id,
                ConceptRecord.deleted.is_(None),
                ConceptRecord.shortcut.is_not(None),
                ConceptRecord.id.not_in(list(wanted)),
            )
        )
    )
    given: dict[int, int | None] = {}
    for number, key in wanted.items():
        if key is None or key not in taken:
            given[number] = key
            taken |= {key} - {None}
    for number in wanted:
        if number not in given:
            given[number] = lowest_free({key for key in taken if key is not None})
            taken |= {given[number]} - {None}
    for number, key in given.items():
        state_facts(session, action, session.get_one(ConceptRecord, number), shortcut=key)


def free_shortcut(session: Session, dataset_id: str, wanted: int | None = None) -> int | None:
    """The key wanted where it is free, else the lowest that is; None when all nine are taken."""
    taken = set(
        session.scalars(
            select(ConceptRecord.shortcut).where(
                ConceptRecord.dataset_id == dataset_id,
                ConceptRecord.deleted.is_(None),
                ConceptRecord.shortcut.is_not(None),
            )
        )
    )
    if wanted is not None and wanted not in taken:
        return wanted
    return lowest_free({key for key in taken if key is not None})


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


def clean_name(name: str) -> str:
    """The name as it is stored: NFC, spaces trimmed and runs of them made one, no control characters.

    Raises `BadRequest` unless 1 to 200 characters are left.
    """
    clean = clean_line(name)
    if not 1 <= len(clean) <= LONGEST_NAME:
        problem = "is empty" if not clean else f"has {len(clean)} characters"
        raise BadRequest(f"The concept's name {problem}.", next_step=f"Use 1 to {LONGEST_NAME} characters.")
    return clean


def clean_note(note: str) -> str:
    """The note as it is stored: NFC, no control characters but newlines, no empty space around it.

    Raises `BadRequest` when more than 4,000 characters are left.
    """
    lines = note.replace("\r\n", "\n").replace("\r", "\n").replace("\t", " ")
    kept = (one for one in lines if one == "\n" or unicodedata.category(one) not in ("Cc", "Cs"))
    clean = unicodedata.normalize("NFC", "".join(kept)).strip()
    if len(clean) > LONGEST_NOTE:
        raise BadRequest(
            f"The note has {len(clean):,} characters.", next_step=f"Use at most {LONGEST_NOTE:,} characters."
        )
    return clean


def concept_key(name: str) -> str:
    """What makes two clean names the same concept: equal but for case."""
    # case folding can undo the normal form, hence once more
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


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


def _holder_of(session: Session, dataset_id: str, shortcut: int) -> ConceptRecord | None:
    return session.scalars(
        select(ConceptRecord).where(
            ConceptRecord.dataset_id == dataset_id,
            ConceptRecord.deleted.is_(None),
            ConceptRecord.shortcut == shortcut,
        )
    ).first()


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


def _check_shortcut(shortcut: int) -> int:
    if isinstance(shortcut, bool) or not 0 <= shortcut <= SHORTCUTS:
        raise BadRequest(f"{shortcut} is not a number key.", next_step=f"Use 1 to {SHORTCUTS}, or 0 for none.")
    return shortcut
