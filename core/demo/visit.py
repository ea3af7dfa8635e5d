"""What one visitor did to a demo that others work on too: their answers, concepts and repairs since a moment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select

from core.database import ConceptChange, ConceptRecord, RunRecord, TagAction, TagRecord
from core.workspace import Workspace


@dataclass(frozen=True)
class Visit:
    """answers: by the id of each living concept that was made or answered about, how many images were answered.
    runs: ids of finished repairs, the latest first."""

    answers: dict[int, int]
    runs: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return {"answers": self.answers, "runs": list(self.runs)}


def newest_action(workspace: Workspace) -> int:
    """The number of what was done last in a workspace, 0 where nothing was: a moment to count from."""
    with workspace.reading() as session:
        return session.scalar(select(func.max(TagAction.id))) or 0


def visit(
    workspace: Workspace,
    analysis: str,
    dataset: str,
    *,
    authors: Sequence[str],
    since: int = 0,
    named: Sequence[int] = (),
    jobs: Sequence[str] = (),
) -> Visit:
    """What people by these names did since an action of the log, as far as it stands.

    named: ids of concepts that count as theirs though somebody else had made them. jobs: ids of those that they began;
    a repair does not know by itself whose it is.
    """
    standing = (
        TagAction.dataset_id == dataset,
        TagAction.author.in_(authors),
        TagAction.id > since,
        TagAction.undone.is_(None),
    )
    made = (
        select(ConceptChange.concept_id)
        .join(TagAction, TagAction.id == ConceptChange.action_id)
        .where(*standing, ConceptChange.field == "exists")
    )
    said = (
        select(TagRecord.concept_id, TagRecord.image, TagRecord.state)
        .join(TagAction, TagAction.id == TagRecord.action_id)
        .where(*standing)
        .order_by(TagRecord.id)
    )
    living = select(ConceptRecord.id).where(ConceptRecord.dataset_id == dataset, ConceptRecord.deleted.is_(None))
    runs = (
        select(RunRecord.id)
        .where(RunRecord.analysis_id == analysis, RunRecord.finished.is_not(None), RunRecord.job_id.in_(jobs))
        .order_by(RunRecord.created.desc())
    )
    with workspace.reading() as session:
        there = set(session.scalars(living))
        answers = dict.fromkeys(there & {*named, *session.scalars(made)}, 0)
        # of two answers to the same image the later one holds
        latest = {(concept, image): state for concept, image, state in session.execute(said) if concept in there}
        finished = tuple(session.scalars(runs)) if jobs else ()
    for (concept, _), state in latest.items():
        if state != "cleared":
            answers[concept] = answers.get(concept, 0) + 1
    return Visit(answers, finished)
