"""Guesses that a person takes over as tags: in one step, and only of images that nobody answered meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from core.concepts.concept import Concept
from core.concepts.tags import UNTAGGED, answers, record_action
from core.database import ConceptRecord
from core.errors import NotFound
from core.workspace import Workspace

if TYPE_CHECKING:
    from core.activations.store import Analysis


class Accepted(NamedTuple):
    """action: its id, None where nothing was left to say. rows: (m,) int64, images tagged with it."""

    action: int | None
    rows: np.ndarray


def accept_guesses(
    workspace: Workspace,
    analysis: Analysis,
    concept: Concept,
    present: Sequence[int],
    absent: Sequence[int],
    *,
    author: str,
    source: str = "review",
    how: str = "",
) -> Accepted:
    """Tag images as guessed, in one action and so one undo; those with an answer by now are left as they are.

    present, absent: rows. Raises `NotFound` when the concept was deleted meanwhile.
    """
    with workspace.writing() as session:
        record = session.get(ConceptRecord, concept.id)
        if record is None or record.deleted is not None or record.dataset_id != analysis.dataset_id:
            raise NotFound(
                f"The concept “{concept.name}” was deleted, so nothing was accepted.",
                next_step="Undo of who deleted it brings it back; or choose another concept.",
            )
        # read under the write lock: no answer can come in between
        said = answers(workspace, analysis, concept)
        taken = {int(row): value for value, rows in ((True, present), (False, absent)) for row in rows}
        left = [row for row in taken if said[row] == UNTAGGED]
        rows = np.array(left, dtype=np.int64)
        if not left:
            return Accepted(None, rows)
        statements = zip(analysis.image_names(rows), (taken[row] for row in left), strict=True)
        action = record_action(
            session,
            analysis.dataset_id,
            [(concept.id, image, value) for image, value in statements],
            author=author,
            source=source,
            how=how,
        )
        return Accepted(action, rows)
