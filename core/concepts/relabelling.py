"""New labels for many images at once, each its own, in one step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from sqlalchemy import insert

from core.concepts.concept import check_dataset
from core.concepts.labels import RIGHT, WRONG
from core.concepts.log import ANYBODY, begin
from core.database import LabelVerdict
from core.errors import BadRequest
from core.workspace import Workspace

if TYPE_CHECKING:
    from core.activations.store import Analysis

# classes named in the sentence of the log
NAMED = 2


def relabel(
    workspace: Workspace,
    analysis: Analysis,
    classes: Mapping[int, str],
    *,
    author: str = ANYBODY,
    source: str = "person",
    how: str = "",
) -> int | None:
    """Say which class each image should have: row -> name of a class. Like `judge`, one transaction and one undo for
    all of them; an image that has its class already counts as right.

    Returns the action's id, None without any image. Raises `BadRequest` for an unknown class, `IndexError` for rows
    that do not exist.
    """
    if unknown := next((name for name in classes.values() if name not in analysis.classes), None):
        raise BadRequest(
            f"There is no class “{unknown}”.", next_step=f"The classes are: {', '.join(analysis.classes)}."
        )
    if not classes:
        return None
    rows = np.array(sorted(classes), dtype=np.int64)
    images = analysis.image_names(rows)
    given = [analysis.classes[code] for code in np.asarray(analysis.labels)[rows].tolist()]
    wanted = [classes[row] for row in rows.tolist()]
    with workspace.writing() as session:
        check_dataset(session, analysis.dataset_id)
        action = begin(
            session,
            analysis.dataset_id,
            kind="label",
            author=author,
            source=source,
            how=how,
            images=len(images),
            sentence=_sentence(wanted),
        )
        session.execute(
            insert(LabelVerdict),
            [
                {
                    "action_id": action.id,
                    "image": image,
                    "label": label,
                    "verdict": RIGHT if label == new else WRONG,
                    "new_label": None if label == new else new,
                }
                for image, label, new in zip(images, given, wanted, strict=True)
            ],
        )
        return action.id


def _sentence(wanted: list[str]) -> str:
    names = list(dict.fromkeys(wanted))
    number = "1 image" if len(wanted) == 1 else f"{len(wanted):,} images"
    return f"Relabelled {number} as {' or '.join(names)}" if len(names) <= NAMED else f"Relabelled {number}"
