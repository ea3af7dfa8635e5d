"""The tables of a workspace. Large arrays lie in files; what people say and what jobs do lies here.

Times are UTC, naive, as SQLite stores them. What people say is append-only: a correction is a newer row, an undo marks
a whole action (`TagAction`) as undone, and nothing is ever overwritten. What holds follows from the actions that stand,
in their order. Two things are derived from them so that reading does not slow down as the log grows: which tag holds
for an image (`StandingTag`), and a number that tells one state of the log from another (`LogVersion`).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, ClassVar

from sqlalchemy import JSON, BigInteger, Connection, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

# in `Meta`, for programs that know no revisions: from 4 on, the revision counts (core/migrations)
SCHEMA_VERSION = 4


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
    # the number key, 1 to 9; no two living concepts of a dataset have the same
    shortcut: Mapped[int | None] = mapped_column(default=None)
    # a column of the dataset that this concept follows, and the value of it that means present
    attribute: Mapped[str | None] = mapped_column(default=None)
    attribute_value: Mapped[str | None] = mapped_column(default=None)
    created: Mapped[datetime] = mapped_column(default=now)
    deleted: Mapped[datetime | None] = mapped_column(default=None)


class TagAction(Base):
    """One thing a person did to tags, palette or labels: the unit of undo. `undone` is set and cleared, rows stay."""

    __tablename__ = "tag_actions"
    id: Mapped[int] = mapped_column(primary_key=True)
    dataset_id: Mapped[str] = mapped_column(ForeignKey("datasets.id"), index=True)
    # tag | palette | merge | label
    kind: Mapped[str] = mapped_column(default="tag", server_default="tag")
    # person | metadata | import | review | cluster | text
    source: Mapped[str]
    author: Mapped[str]
    # where on screen or in which command: grid, card, band, map, review ...
    how: Mapped[str] = mapped_column(default="", server_default="")
    # for a line of history without reading the rows: names at the time, the one state said (None: several), images
    subject: Mapped[str] = mapped_column(default="", server_default="")
    state: Mapped[str | None] = mapped_column(default=None)
    images: Mapped[int] = mapped_column(default=0, server_default="0")
    # what was done in words, where it does not follow from the above
    sentence: Mapped[str] = mapped_column(default="", server_default="")
    direction: Mapped[str | None] = mapped_column(default=None)
    low: Mapped[float | None] = mapped_column(default=None)
    high: Mapped[float | None] = mapped_column(default=None)
    created: Mapped[datetime] = mapped_column(default=now)
    undone: Mapped[datetime | None] = mapped_column(default=None)
    # the author's newest action at that time: once there is a newer one, this one is past redoing
    undone_after: Mapped[int | None] = mapped_column(default=None)
    # whether its tags were added to `standing_tags`
    settled: Mapped[bool] = mapped_column(default=False, server_default="0")
    # random, set by a trigger; the version of the log is the sum of the stamps of what stands
    stamp: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    __table_args__ = (
        Index("tag_actions_standing", "dataset_id", "id", sqlite_where=undone.is_(None)),
        Index("tag_actions_standing_by_author", "dataset_id", "author", "id", sqlite_where=undone.is_(None)),
        Index("tag_actions_unsettled", "id", sqlite_where=text("settled = 0")),
        Index("tag_actions_by_author", "dataset_id", "author", "id"),
        Index("tag_actions_undone", "dataset_id", "author", "undone_after", sqlite_where=undone.is_not(None)),
    )


class TagRecord(Base):
    """This image shows (`present`) or does not show (`absent`) this concept, a person looked and cannot tell
    (`unsure`), or nothing is said any more (`cleared`)."""

    __tablename__ = "tags"
    __table_args__ = (Index("tags_by_concept", "concept_id", "image", "id"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    action_id: Mapped[int] = mapped_column(ForeignKey("tag_actions.id"), index=True)
    concept_id: Mapped[int] = mapped_column(ForeignKey("concepts.id"))
    image: Mapped[str]
    state: Mapped[str]


class StandingTag(Base):
    """The tag that holds for a concept and an image: the newest whose action stands.

    Derived: new tags are added by `core.concepts.log`, undo and redo are followed by a trigger.
    """

    __tablename__ = "standing_tags"
    __table_args__ = (
        Index("standing_tags_by_image", "image"),
        Index("standing_tags_by_tag", "tag_id"),
        {"sqlite_with_rowid": False},
    )
    concept_id: Mapped[int] = mapped_column(primary_key=True)
    image: Mapped[str] = mapped_column(primary_key=True)
    tag_id: Mapped[int]
    state: Mapped[str]


class LogVersion(Base):
    """A number per dataset that differs whenever other actions stand. Derived: kept by triggers, never by hand."""

    __tablename__ = "log_versions"
    dataset_id: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(BigInteger)


class ConceptChange(Base):
    """A statement about a concept itself. Per field the newest whose action stands holds, else the first one made.

    field: exists, name, color, role, note, shortcut, attribute, or merged, the id of what it was merged into.
    action_id: None for what was known before changes were kept.
    """

    __tablename__ = "concept_changes"
    id: Mapped[int] = mapped_column(primary_key=True)
    action_id: Mapped[int | None] = mapped_column(ForeignKey("tag_actions.id"), index=True)
    concept_id: Mapped[int] = mapped_column(ForeignKey("concepts.id"), index=True)
    field: Mapped[str]
    value: Mapped[Any] = mapped_column(JSON)


class LabelVerdict(Base):
    """What a person says of an image's label: `wrong`, `right`, or nothing any more (`cleared`).

    label: the name of the class it had at that time; a verdict on a label that the dataset has changed since is void.
    new_label: the name of the class it should have; None leaves it open.
    """

    __tablename__ = "label_verdicts"
    id: Mapped[int] = mapped_column(primary_key=True)
    action_id: Mapped[int] = mapped_column(ForeignKey("tag_actions.id"), index=True)
    image: Mapped[str]
    label: Mapped[str]
    verdict: Mapped[str]
    new_label: Mapped[str | None] = mapped_column(default=None)


class StatementOrigin(Base):
    """Where a statement came from, when it is not its action that says so: it was imported, or came with a merge.

    kind: "tag" or "label"; statement_id: of `TagRecord` or `LabelVerdict`. Null: not known. action_id: the one that
    said it first in this workspace, where that is another one: a merge says again what was said long before.
    """

    __tablename__ = "statement_origins"
    kind: Mapped[str] = mapped_column(primary_key=True)
    statement_id: Mapped[int] = mapped_column(primary_key=True)
    author: Mapped[str | None] = mapped_column(default=None)
    source: Mapped[str | None] = mapped_column(default=None)
    how: Mapped[str | None] = mapped_column(default=None)
    time: Mapped[datetime | None] = mapped_column(default=None)
    direction: Mapped[str | None] = mapped_column(default=None)
    low: Mapped[float | None] = mapped_column(default=None)
    high: Mapped[float | None] = mapped_column(default=None)
    action_id: Mapped[int | None] = mapped_column(ForeignKey("tag_actions.id"), default=None)


class SuggestedMember(Base):
    """An image that may show a concept, says a cluster or a text: a proposal to look at, never a tag."""

    __tablename__ = "suggested_members"
    concept_id: Mapped[int] = mapped_column(ForeignKey("concepts.id"), primary_key=True)
    place: Mapped[int] = mapped_column(primary_key=True)
    image: Mapped[str]
    score: Mapped[float | None] = mapped_column(default=None)
    # cluster | text | probe ...
    source: Mapped[str]


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
    # higher comes first, before `turn` decides
    priority: Mapped[int] = mapped_column(default=0, server_default="0")
    # queued | running | paused | done | failed | cancelled
    state: Mapped[str] = mapped_column(default="queued", index=True)
    done: Mapped[int] = mapped_column(default=0)
    total: Mapped[int] = mapped_column(default=0)
    message: Mapped[str] = mapped_column(default="")
    # the last few [seconds since the epoch, done] of this phase: rate and time left come from them
    samples: Mapped[list[Any]] = mapped_column(default=list)
    # pid and process group of the worker; process_started as `core.jobs.processes.started_at` tells it
    pid: Mapped[int | None] = mapped_column(default=None)
    process_started: Mapped[float | None] = mapped_column(default=None)
    host: Mapped[str] = mapped_column(default="")
    heartbeat: Mapped[datetime | None] = mapped_column(default=None)
    # when somebody asked for the end of it; None: nobody did
    cancel_requested: Mapped[datetime | None] = mapped_column(default=None)
    # when somebody asked for a pause; None: nobody did, or it was resumed
    pause_requested: Mapped[datetime | None] = mapped_column(default=None)
    # a sentence saying why it ended, or why it stands still; empty while it goes on
    exit_reason: Mapped[str] = mapped_column(default="", server_default="")
    # counts the starts of its process: an interruption that resumes by itself adds one
    attempt: Mapped[int] = mapped_column(default=1, server_default="1")
    # who asked for it
    author: Mapped[str] = mapped_column(default="local", server_default="local")
    # bytes of disk it is expected to write; None: not known before it begins
    needs_bytes: Mapped[int | None] = mapped_column(BigInteger, default=None)
    # bytes of memory its processes may hold together; None: no limit
    memory_limit: Mapped[int | None] = mapped_column(BigInteger, default=None)
    # tells one start of the machine from the next, so that a reboot is known for what it is
    boot: Mapped[str] = mapped_column(default="", server_default="")
    created: Mapped[datetime] = mapped_column(default=now)
    started: Mapped[datetime | None] = mapped_column(default=None)
    finished: Mapped[datetime | None] = mapped_column(default=None)
    # what the job gives back ({"analysis": id} ...) or, when it failed, MidbandError.to_dict()
    result: Mapped[dict[str, Any] | None] = mapped_column(default=None)
    error: Mapped[dict[str, Any] | None] = mapped_column(default=None)


class AccountRecord(Base):
    """Somebody who may sign in. `key` is the name case-folded; an e-mail address where an identity provider asks."""

    __tablename__ = "accounts"
    key: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    # viewer | labeller | owner
    role: Mapped[str]
    # None: nobody signs in with a password under this name
    password_hash: Mapped[str | None] = mapped_column(default=None)
    created: Mapped[datetime] = mapped_column(default=now)
    # when it was removed; the name stays, since what was done under it does
    disabled: Mapped[datetime | None] = mapped_column(default=None)


class SignInRecord(Base):
    """A browser that signed in. token_hash: SHA-256 of what its cookie holds, which is kept nowhere else."""

    __tablename__ = "sign_ins"
    token_hash: Mapped[str] = mapped_column(primary_key=True)
    account: Mapped[str] = mapped_column(ForeignKey("accounts.key"), index=True)
    created: Mapped[datetime] = mapped_column(default=now)
    expires: Mapped[datetime]
    where: Mapped[str] = mapped_column(default="", server_default="")


class SignInFailure(Base):
    """An attempt that failed, under each key it is counted by: name, address, or both."""

    __tablename__ = "sign_in_failures"
    __table_args__ = (Index("sign_in_failures_by_key", "key", "at"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str]
    at: Mapped[datetime] = mapped_column(default=now)


class AuditRecord(Base):
    """Who did what. Triggers refuse to change or remove a row."""

    __tablename__ = "audit"
    __table_args__ = (Index("audit_by_actor", "actor", "id"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(default=now)
    actor: Mapped[str]
    # of the actor at that time
    role: Mapped[str]
    action: Mapped[str]
    subject: Mapped[str]
    details: Mapped[dict[str, Any]]
    # an address; "" at the machine itself
    where: Mapped[str] = mapped_column(default="", server_default="")


# Stamps and versions have 61 bits (2305843009213693951 has them all set), so that the sum of two still is an integer.
TRIGGERS = (
    """
    CREATE TRIGGER IF NOT EXISTS action_added AFTER INSERT ON tag_actions
    BEGIN
        UPDATE tag_actions SET stamp = random() & 2305843009213693951 WHERE id = NEW.id;
        INSERT INTO log_versions (dataset_id, version)
        SELECT dataset_id, stamp FROM tag_actions WHERE id = NEW.id AND undone IS NULL
        ON CONFLICT (dataset_id) DO UPDATE SET version = (version + excluded.version) & 2305843009213693951;
    END
    """,
    """
    CREATE TRIGGER IF NOT EXISTS action_undone AFTER UPDATE OF undone ON tag_actions
    WHEN (OLD.undone IS NULL) <> (NEW.undone IS NULL)
    BEGIN
        UPDATE log_versions
        SET version = (version + CASE WHEN NEW.undone IS NULL THEN NEW.stamp ELSE -NEW.stamp END) & 2305843009213693951
        WHERE dataset_id = NEW.dataset_id;
        DELETE FROM standing_tags WHERE tag_id IN (SELECT id FROM tags WHERE action_id = NEW.id);
        INSERT INTO standing_tags (concept_id, image, tag_id, state)
        SELECT said.concept_id, said.image, max(said.id), said.state
        FROM (SELECT DISTINCT concept_id, image FROM tags WHERE action_id = NEW.id) AS touched
        CROSS JOIN tags AS said ON said.concept_id = touched.concept_id AND said.image = touched.image
        CROSS JOIN tag_actions AS action ON action.id = said.action_id
        WHERE action.undone IS NULL
        GROUP BY said.concept_id, said.image
        ON CONFLICT (concept_id, image) DO UPDATE SET tag_id = excluded.tag_id, state = excluded.state
        WHERE excluded.tag_id > tag_id;
    END
    """,
    """
    CREATE TRIGGER IF NOT EXISTS audit_unchanged BEFORE UPDATE ON audit
    BEGIN
        SELECT RAISE(ABORT, 'the audit log is never changed');
    END
    """,
    """
    CREATE TRIGGER IF NOT EXISTS audit_undeleted BEFORE DELETE ON audit
    BEGIN
        SELECT RAISE(ABORT, 'the audit log is never shortened');
    END
    """,
)


def create_tables(connection: Connection) -> None:
    """Make every table, index and trigger that is missing; part of the caller's transaction."""
    Base.metadata.create_all(connection)
    for table in Base.metadata.sorted_tables:
        for index in table.indexes:
            # create_all makes those of new tables only
            index.create(connection, checkfirst=True)
    for trigger in TRIGGERS:
        connection.execute(text(trigger))
