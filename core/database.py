"""The tables of a workspace. Large arrays lie in files; what people say and what jobs do lies here.

Times are UTC, naive, as SQLite stores them. Tags are append-only: a correction is a newer row, an undo marks a whole
action (`TagAction`) as undone, and nothing is ever overwritten.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, ClassVar

from sqlalchemy import JSON, ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

SCHEMA_VERSION = 1


def now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)


class Base(DeclarativeBase):
    type_annotation_map: ClassVar[dict[Any, Any]] = {dict[str, Any]: JSON, list[Any]: JSON}


class Meta(Base):
    """Facts about the workspace itself: `schema`, `created`."""

    __tablename__ = "meta"
    key: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str]


class DatasetRecord(Base):
    """Where a dataset lies and how to read it again. `id` follows the place, `fingerprint` the content."""

    __tablename__ = "datasets"
    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    root: Mapped[str]
    source: Mapped[str]
    fingerprint: Mapped[str]
    created: Mapped[datetime] = mapped_column(default=now)


class AnalysisRecord(Base):
    """One classifier applied to one dataset; the arrays lie in `analyses/<id>/`."""

    __tablename__ = "analyses"
    id: Mapped[str] = mapped_column(primary_key=True)
    dataset_id: Mapped[str] = mapped_column(ForeignKey("datasets.id"), index=True)
    model_name: Mapped[str]
    model_file: Mapped[str]
    arch: Mapped[str]
    images: Mapped[int]
    accuracy: Mapped[float | None]
    created: Mapped[datetime] = mapped_column(default=now)
    # "latest" means last used: loading an analysis that exists already moves it to the front
    used: Mapped[datetime] = mapped_column(default=now)


class ConceptRecord(Base):
    """A named thing a person sees in the images of one dataset. `key` is the name case-folded: one concept per key."""

    __tablename__ = "concepts"
    __table_args__ = (UniqueConstraint("dataset_id", "key"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    dataset_id: Mapped[str] = mapped_column(ForeignKey("datasets.id"), index=True)
    name: Mapped[str]
    key: Mapped[str]
    color: Mapped[str]
    # confounder | core | wrong-label | other
    role: Mapped[str] = mapped_column(default="confounder")
    note: Mapped[str] = mapped_column(default="")
    created: Mapped[datetime] = mapped_column(default=now)
    deleted: Mapped[datetime | None] = mapped_column(default=None)


class TagAction(Base):
    """One thing a person did: the unit of undo. `undone` is set and cleared, its tags stay."""

    __tablename__ = "tag_actions"
    id: Mapped[int] = mapped_column(primary_key=True)
    dataset_id: Mapped[str] = mapped_column(ForeignKey("datasets.id"), index=True)
    # person | metadata | import
    source: Mapped[str]
    author: Mapped[str]
    direction: Mapped[str | None] = mapped_column(default=None)
    low: Mapped[float | None] = mapped_column(default=None)
    high: Mapped[float | None] = mapped_column(default=None)
    created: Mapped[datetime] = mapped_column(default=now)
    undone: Mapped[datetime | None] = mapped_column(default=None)


class TagRecord(Base):
    """This image shows (`present`), does not show (`absent`) this concept, or nothing is said any more (`cleared`)."""

    __tablename__ = "tags"
    __table_args__ = (Index("tags_by_concept", "concept_id", "image", "id"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    action_id: Mapped[int] = mapped_column(ForeignKey("tag_actions.id"), index=True)
    concept_id: Mapped[int] = mapped_column(ForeignKey("concepts.id"))
    image: Mapped[str]
    state: Mapped[str]


class RunRecord(Base):
    """One retraining. The head and the full result lie in `runs/<id>/`."""

    __tablename__ = "runs"
    id: Mapped[str] = mapped_column(primary_key=True)
    analysis_id: Mapped[str] = mapped_column(ForeignKey("analyses.id"), index=True)
    job_id: Mapped[str | None] = mapped_column(ForeignKey("jobs.id"), default=None)
    method: Mapped[str]
    settings: Mapped[dict[str, Any]]
    created: Mapped[datetime] = mapped_column(default=now)
    finished: Mapped[datetime | None] = mapped_column(default=None)


class JobRecord(Base):
    """Work in a process of its own. `process_started` guards against a reused pid."""

    __tablename__ = "jobs"
    id: Mapped[str] = mapped_column(primary_key=True)
    # one of core.jobs.kinds.KINDS
    kind: Mapped[str]
    title: Mapped[str]
    request: Mapped[dict[str, Any]]
    # jobs with the same key are the same work: at most one of them is queued or running
    key: Mapped[str] = mapped_column(index=True)
    # place in the queue, counting up from 1; a clock may step back, this does not
    turn: Mapped[int]
    # queued | running | done | failed | cancelled
    state: Mapped[str] = mapped_column(default="queued", index=True)
    done: Mapped[int] = mapped_column(default=0)
    total: Mapped[int] = mapped_column(default=0)
    message: Mapped[str] = mapped_column(default="")
    # the last few [seconds since the epoch, done] of this phase: rate and time left come from them
    samples: Mapped[list[Any]] = mapped_column(default=list)
    # pid and process group of the worker; process_started in seconds since the epoch
    pid: Mapped[int | None] = mapped_column(default=None)
    process_started: Mapped[float | None] = mapped_column(default=None)
    host: Mapped[str] = mapped_column(default="")
    heartbeat: Mapped[datetime | None] = mapped_column(default=None)
    # when somebody asked for the end of it; None: nobody did
    cancel_requested: Mapped[datetime | None] = mapped_column(default=None)
    created: Mapped[datetime] = mapped_column(default=now)
    started: Mapped[datetime | None] = mapped_column(default=None)
    finished: Mapped[datetime | None] = mapped_column(default=None)
    # what the job gives back ({"analysis": id} ...) or, when it failed, MidbandError.to_dict()
    result: Mapped[dict[str, Any] | None] = mapped_column(default=None)
    error: Mapped[dict[str, Any] | None] = mapped_column(default=None)
