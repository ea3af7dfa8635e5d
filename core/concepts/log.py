"""The log of what people do: actions are appended, undone and done again, and what holds follows from those that stand.

An action is about tags, about the palette (the concepts themselves), or about labels. What holds depends only on which
actions stand and on their order, not on when they were undone: so undoing one never destroys what others said, and
doing it again gives back exactly what was.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from typing import Any, Literal

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from core.access import audit
from core.access.policy import Permission, require
from core.database import ConceptChange, ConceptRecord, TagAction, now
from core.errors import BadRequest

Said = bool | None | Literal["unsure"]
"""True: shows it. False: does not. "unsure": looked at, but cannot tell. None: takes back what was said."""

ANYBODY = "local"
LONGEST_AUTHOR = 200
STATES: dict[Said, str] = {True: "present", False: "absent", "unsure": "unsure", None: "cleared"}


def clean_line(text: str) -> str:
    """One line of text as it is kept: NFC, spaces trimmed and runs of them made one, no control characters."""
    # Cc: control characters, of which some count as spaces; Cs: lone surrogates, which no file or page can hold
    kept = (one for one in text if one.isspace() or unicodedata.category(one) not in ("Cc", "Cs"))
    return unicodedata.normalize("NFC", " ".join("".join(kept).split()))


def clean_author(name: str) -> str:
    """The name as it is kept: one line, at most 200 characters, no control characters; "local" for an empty one."""
    return clean_line(name)[:LONGEST_AUTHOR].strip() or ANYBODY


def begin(
    session: Session,
    dataset_id: str,
    *,
    kind: str,
    author: str,
    source: str = "person",
    how: str = "",
    direction: str | None = None,
    low: float | None = None,
    high: float | None = None,
    subject: str = "",
    sentence: str = "",
    state: str | None = None,
    images: int = 0,
) -> TagAction:
    """Append an action to an open transaction; what it says is added to it afterwards.

    Of somebody who signed in, whatever the author. Raises `NotAllowed`.
    """
    person = require(Permission.TAG, subject)
    action = TagAction(
        dataset_id=dataset_id,
        kind=kind,
        author=person.name if person.signed_in else clean_author(author),
        source=source,
        how=how,
        direction=direction,
        low=low,
        high=high,
        subject=subject,
        sentence=sentence,
        state=state,
        images=images,
        created=now(),
    )
    session.add(action)
    session.flush()
    if kind != "tag":
        _audit(session, action)
    return action


def record_action(
    session: Session,
    dataset_id: str,
    statements: Iterable[tuple[int, str, Said]],
    *,
    author: str,
    source: str,
    how: str = "",
    direction: str | None = None,
    low: float | None = None,
    high: float | None = None,
    action: TagAction | None = None,
) -> int:
    """Add one action with its (concept id, image, said) statements to an open transaction; returns its id.

    action: one that was begun already, to which the statements belong; the facts about it are its own then. Raises
    `BadRequest` for what is no answer.
    """
    said = [(concept, image, _state_of(answer)) for concept, image, answer in statements]
    concepts = dict.fromkeys(concept for concept, _, _ in said)
    named = {
        record.id: record.name
        for record in session.scalars(select(ConceptRecord).where(ConceptRecord.id.in_(list(concepts))))
    }
    states = {state for *_, state in said}
    if action is None:
        action = begin(
            session,
            dataset_id,
            kind="tag",
            author=author,
            source=source,
            how=how,
            direction=direction,
            low=low,
            high=high,
        )
    action.subject = ", ".join(named[concept] for concept in concepts if concept in named)
    action.state = states.pop() if len(states) == 1 else None
    action.images = len({image for _, image, _ in said})
    session.flush()
    if said:
        # as plain rows: a whole band is tens of thousands of them
        session.connection().exec_driver_sql(
            "INSERT INTO tags (action_id, concept_id, image, state) VALUES (?, ?, ?, ?)",
            [(action.id, *statement) for statement in said],
        )
    settle_tags(session)
    if action.kind == "tag":
        # only now it is known what was said
        _audit(session, action)
    return action.id


_AUDITED = {"tag": "tagged", "label": "judged labels", "merge": "merged concepts"}


def _audit(session: Session, action: TagAction) -> None:
    done = "imported tags" if action.source == "import" else _AUDITED.get(action.kind, "changed concepts")
    audit.record(session, done, sentence_of(action), {"step": action.id, "dataset": action.dataset_id})


def state_facts(session: Session, action: TagAction, record: ConceptRecord, **facts: Any) -> None:
    """Add statements about a concept to an action. Fields: see `ConceptChange`."""
    session.add_all(
        ConceptChange(action_id=action.id, concept_id=record.id, field=field, value=value)
        for field, value in facts.items()
    )
    session.flush()


def _state_of(answer: Said) -> str:
    try:
        return STATES[answer]
    except (KeyError, TypeError):
        raise BadRequest(
            f"“{answer}” is no answer.", next_step="Say True, False or “unsure”, or None to take an answer back."
        ) from None


def settle_tags(session: Session) -> None:
    """Add the tags that were appended to those that hold; also those of a program that knows nothing of it."""
    session.execute(
        text(
            "INSERT INTO standing_tags (concept_id, image, tag_id, state) "
            "SELECT tags.concept_id, tags.image, tags.id, tags.state FROM tag_actions "
            "CROSS JOIN tags ON tags.action_id = tag_actions.id "
            # the plus keeps SQLite from the index of all actions that stand: the unsettled are few
            "WHERE tag_actions.settled = 0 AND +tag_actions.undone IS NULL ORDER BY tags.id "
            "ON CONFLICT (concept_id, image) DO UPDATE SET tag_id = excluded.tag_id, state = excluded.state "
            "WHERE excluded.tag_id > tag_id"
        )
    )
    # one that is undone already gets there with its redo
    session.execute(text("UPDATE tag_actions SET settled = 1 WHERE settled = 0"))


def newest_of(session: Session, dataset_id: str, author: str) -> int:
    """Number of the newest action of an author, standing or not; 0 without any."""
    newest = select(func.max(TagAction.id)).where(TagAction.dataset_id == dataset_id, TagAction.author == author)
    return session.scalar(newest) or 0


def author_names(session: Session, dataset_id: str) -> list[str]:
    """Everybody who did something, by name."""
    names: list[str] = []
    while True:
        # one look into the index per author: the log may be long, the authors are few
        after = TagAction.author > names[-1] if names else TagAction.author.is_not(None)
        name = session.scalar(select(func.min(TagAction.author)).where(TagAction.dataset_id == dataset_id, after))
        if name is None:
            return names
        names.append(name)


def sentence_of(action: TagAction) -> str:
    """What was done, in words: "Tagged 12 images with “water”"."""
    if action.sentence:
        return action.sentence
    images = "1 image" if action.images == 1 else f"{action.images:,} images"
    name = f"“{action.subject}”"
    if action.source == "import":
        return f"Imported tags of {images}: {action.subject}" if action.subject else "Imported tags"
    if action.state == "present":
        return f"Tagged {images} with {name}"
    if action.state == "absent":
        return f"Tagged {images} as without {name}"
    if action.state == "unsure":
        return f"Marked {images} as unsure for {name}"
    if action.state == "cleared":
        return f"Took back the tags of {images} for {name}"
    return f"Tagged {images}: {action.subject}" if action.subject else "Did nothing that was kept"
