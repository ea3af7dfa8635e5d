"""Verdicts on labels: this image's class is wrong (leave it out, or it is another one), or it is right after all.

They are statements in the same log as tags: nothing is overwritten, and each is one step to undo. The dataset's own
files are never touched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from sqlalchemy import and_, func, insert, select
from sqlalchemy.orm import Session

from core.concepts.concept import Concept, check_dataset, list_concepts
from core.concepts.log import ANYBODY, begin
from core.concepts.tags import PRESENT, rows_of_images, tag_states, tag_version
from core.database import LabelVerdict, StandingTag, StatementOrigin, TagAction, TagRecord
from core.errors import BadRequest
from core.workspace import Workspace

if TYPE_CHECKING:
    from core.activations.store import Analysis

WRONG, RIGHT = "wrong", "right"
# classes named in the sentence of the log
NAMED = 2


@dataclass(frozen=True, eq=False)
class LabelVerdicts:
    """excluded: (n,) bool, judged wrong without a better label. labels: (n,) int64, the dataset's, corrected where a
    new one was given. judged: (n,) bool, images with any verdict. count: images whose label was judged wrong."""

    excluded: np.ndarray
    labels: np.ndarray
    judged: np.ndarray
    count: int


@dataclass(frozen=True)
class Verdict:
    """image: the dataset's name. label, new_label: names of classes; new_label is None where none was given. when: UTC,
    naive."""

    image: str
    label: str
    verdict: str
    new_label: str | None
    author: str
    when: datetime

    def to_dict(self) -> dict[str, Any]:
        return {
            "image": self.image,
            "label": self.label,
            "verdict": self.verdict,
            "new_label": self.new_label,
            "author": self.author,
            "when": self.when.isoformat(sep=" "),
        }


class StandingVerdict(NamedTuple):
    """What holds of the label of one image, and the action that says so. id: of `LabelVerdict`. when: UTC, naive."""

    id: int
    image: str
    label: str
    verdict: str
    new_label: str | None
    action: int
    author: str
    source: str
    how: str
    when: datetime


# per analysis what was found, and the version of the log it was read at: a page asks again and again
_KEPT: WeakKeyDictionary[Analysis, dict[Path, tuple[int, LabelVerdicts]]] = WeakKeyDictionary()


def judge(
    workspace: Workspace,
    analysis: Analysis,
    rows: Sequence[int] | np.ndarray,
    verdict: Literal["wrong", "right"] | None,
    *,
    relabel_to: str | Sequence[str] | None = None,
    author: str = ANYBODY,
    source: str = "person",
    how: str = "",
) -> int | None:
    """Say that the labels of images are wrong or right, or take back what was said (None); returns the action's id,
    None without rows: then nothing was done.

    relabel_to: the class they should have, one for all or one for each of the rows; without it, wrong ones are left
    out of curation. An image that has its class already counts as right. One transaction, one undo. Raises
    `BadRequest` for an unknown class or verdict and where there are no labels, `IndexError` for rows that do not exist.
    """
    analysis.need_labels()
    if verdict not in (WRONG, RIGHT, None):
        raise BadRequest(f"“{verdict}” is no verdict.", next_step="Use wrong or right, or None to take one back.")
    if relabel_to is not None and verdict != WRONG:
        raise BadRequest("Only a wrong label can be replaced.", next_step="Judge it wrong to give it another class.")
    asked = np.asarray(rows, dtype=np.int64).reshape(-1).tolist()
    each: Sequence[str | None]
    each = [relabel_to] * len(asked) if relabel_to is None or isinstance(relabel_to, str) else relabel_to
    named = [relabel_to] if isinstance(relabel_to, str) else relabel_to or ()
    if (unknown := next((name for name in named if name not in analysis.classes), None)) is not None:
        raise BadRequest(
            f"There is no class “{unknown}”.", next_step=f"The classes are: {', '.join(analysis.classes)}."
        )
    wanted = dict(zip(asked, each, strict=True))
    places = np.array(sorted(wanted), dtype=np.int64)
    images = analysis.image_names(places)
    given = [analysis.classes[code] for code in np.asarray(analysis.labels)[places].tolist()]
    new_labels = [wanted[row] for row in places.tolist()]
    with workspace.writing() as session:
        check_dataset(session, analysis.dataset_id)
        if not images:
            return None
        action = begin(
            session,
            analysis.dataset_id,
            kind="label",
            author=author,
            source=source,
            how=how,
            images=len(images),
            sentence=_sentence(len(images), verdict, new_labels),
        )
        session.execute(
            insert(LabelVerdict),
            [
                {
                    "action_id": action.id,
                    "image": image,
                    "label": label,
                    "verdict": RIGHT if label == new else verdict or "cleared",
                    "new_label": None if label == new else new,
                }
                for image, label, new in zip(images, given, new_labels, strict=True)
            ],
        )
        return action.id


def label_verdicts(workspace: Workspace, analysis: Analysis) -> LabelVerdicts:
    """What people say of the labels, for every image.

    A concept of the role "wrong-label" counts too: images that show it are excluded. Of a verdict and such a tag on
    the same image, the newer one holds. A verdict on a label that the dataset has changed since is void, and so is a
    new label whose class it no longer has. Where the images have no labels, nothing is judged.
    """
    if not analysis.labelled:
        nothing = np.zeros(analysis.n, dtype=bool)
        return LabelVerdicts(nothing, np.array(analysis.labels, dtype=np.int64), nothing.copy(), 0)
    kept = _KEPT.setdefault(analysis, {})
    version = tag_version(workspace, analysis.dataset_id)
    known = kept.get(workspace.root)
    if known is None or known[0] != version:
        known = version, _read(workspace, analysis)
        # somebody may have spoken while it was read
        if tag_version(workspace, analysis.dataset_id) == version:
            kept[workspace.root] = known
    held = known[1]
    return LabelVerdicts(held.excluded.copy(), held.labels.copy(), held.judged.copy(), held.count)


def _read(workspace: Workspace, analysis: Analysis) -> LabelVerdicts:
    excluded = np.zeros(analysis.n, dtype=bool)
    labels = np.array(analysis.labels, dtype=np.int64)
    # number of the action that says so; a column of the dataset is older than anything a person says
    since = np.zeros(analysis.n, dtype=np.int64)
    for concept in list_concepts(workspace, analysis.dataset_id):
        if concept.role == "wrong-label":
            excluded |= tag_states(workspace, analysis, concept) == PRESENT
            rows, actions = _present(workspace, analysis, concept)
            np.maximum.at(since, rows, actions)
    judged = excluded.copy()
    corrected = np.zeros(analysis.n, dtype=bool)
    codes = {name: code for code, name in enumerate(analysis.classes)}
    with workspace.reading() as session:
        held = standing_verdicts(session, analysis.dataset_id)
    places = rows_of_images(analysis, list(held))
    for row, verdict in zip(places.tolist(), held.values(), strict=True):
        if row < 0 or verdict.label != analysis.classes[labels[row]] or since[row] > verdict.action:
            continue
        judged[row] = True
        new = codes.get(verdict.new_label or "")
        excluded[row] = verdict.verdict == WRONG and new is None
        if new is not None:
            labels[row], corrected[row] = new, True
    return LabelVerdicts(excluded, labels, judged, int((excluded | corrected).sum()))


def verdict_list(workspace: Workspace, analysis: Analysis) -> tuple[Verdict, ...]:
    """Every verdict that holds, by image. Those of images that this analysis lacks are listed too."""
    with workspace.reading() as session:
        held = standing_verdicts(session, analysis.dataset_id)
    return tuple(
        Verdict(image, found.label, found.verdict, found.new_label, found.author, found.when)
        for image, found in sorted(held.items())
    )


def standing_verdicts(session: Session, dataset_id: str) -> dict[str, StandingVerdict]:
    """By image the newest verdict whose action stands, without those taken back."""
    query = (
        select(
            LabelVerdict.id,
            LabelVerdict.image,
            LabelVerdict.label,
            LabelVerdict.verdict,
            LabelVerdict.new_label,
            TagAction.id.label("action"),
            TagAction.author,
            TagAction.source,
            TagAction.how,
            TagAction.created.label("when"),
        )
        .join(TagAction, TagAction.id == LabelVerdict.action_id)
        .where(TagAction.dataset_id == dataset_id, TagAction.undone.is_(None))
        .order_by(LabelVerdict.id)
    )
    # beside the session: its bookkeeping would take longer than the query
    newest = {row.image: row for row in session.connection().execute(query)}
    return {image: StandingVerdict._make(row) for image, row in newest.items() if row.verdict != "cleared"}


def _present(workspace: Workspace, analysis: Analysis, concept: Concept) -> tuple[np.ndarray, np.ndarray]:
    """Rows (m,) that people tagged with a concept, and the numbers of the actions (m,) that did, before any merge."""
    query = (
        select(StandingTag.image, func.coalesce(StatementOrigin.action_id, TagRecord.action_id))
        .join(TagRecord, TagRecord.id == StandingTag.tag_id)
        .outerjoin(
            StatementOrigin, and_(StatementOrigin.kind == "tag", StatementOrigin.statement_id == StandingTag.tag_id)
        )
        .where(StandingTag.concept_id == concept.id, StandingTag.state == "present")
    )
    with workspace.reading() as session:
        said = session.connection().execute(query).all()
    rows = rows_of_images(analysis, [image for image, _ in said])
    actions = np.array([action for _, action in said], dtype=np.int64)
    return rows[rows >= 0], actions[rows >= 0]


def _sentence(images: int, verdict: str | None, new: Sequence[str | None]) -> str:
    """new: of each image the class it was given."""
    number = "1 label" if images == 1 else f"{images:,} labels"
    if verdict is None:
        return f"Took back what was said of {number}"
    names = [name for name in dict.fromkeys(new) if name is not None]
    if not names:
        return f"Marked {number} as {verdict}"
    relabelled = f"Relabelled {'1 image' if images == 1 else f'{images:,} images'}"
    return f"{relabelled} as {' or '.join(names)}" if len(names) <= NAMED else relabelled
