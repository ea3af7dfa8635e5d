"""Merging two concepts into one, in one step to undo: all that was said of one is said of the other."""

from __future__ import annotations

from sqlalchemy import exists, func, insert, literal, select, text
from sqlalchemy.orm import Session, aliased

from core.concepts.concept import Concept, as_concept, live_record
from core.concepts.log import ANYBODY, begin, settle_tags, state_facts
from core.concepts.settlement import settle
from core.database import ConceptChange, ConceptRecord, StandingTag, TagAction, TagRecord
from core.errors import BadRequest
from core.workspace import Workspace


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
