"""A demo as it was when it was made, for the next visitor, and back again.

What people said is put aside as it is, and `undo_reset` puts it back as it was. The resets of a demo are numbered, and
the latest `KEPT` are kept: whoever resets again destroys nothing of those before.

in the database    the concepts and everything said of images belong to another dataset meanwhile, whose id ends in
                   "-aside-NUMBER"; runs and finished jobs lie in `Meta` "demo-reset-NAME-NUMBER"
<workspace>/before-reset/NAME/NUMBER/
  runs/ deleted/ bakeoffs/ map/ vectors/ edits.json    folders of the runs, ... of the analysis

Only what belongs to the demo's analysis and, where tags and labels are concerned, to its dataset. Files follow the
rows: whoever is stopped in between has them moved by the next reset or undo.
"""

from __future__ import annotations

import json
import os
import shutil
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import and_, delete, func, or_, select, update
from sqlalchemy.orm import Session

from core.access import audit
from core.access.policy import Permission, require
from core.database import (
    AnalysisRecord,
    Base,
    ConceptChange,
    ConceptRecord,
    DatasetRecord,
    JobRecord,
    LabelVerdict,
    LogVersion,
    Meta,
    RunRecord,
    StandingTag,
    StatementOrigin,
    SuggestedMember,
    TagAction,
    TagRecord,
    now,
)
from core.demo.making import demo_named, find_demo
from core.errors import BadRequest, NotFound
from core.files import storage_problems
from core.workspace import Workspace

ASIDE = "before-reset"
# resets of a demo that can be undone
KEPT = 20
# what is worked out again when somebody looks: no reason for a reset
_DERIVED = frozenset({"map"})
# what lies in files: once for the analysis, and folders by their id
_WHOLE = ("map", "vectors", "edits.json")
_EACH = ("runs", "deleted", "bakeoffs")
_ACTIVE = ("queued", "running", "paused")


@dataclass(frozen=True)
class Reset:
    """What was put aside. tags: images with an answer, counted once for each concept. concepts: without those deleted
    before. runs, deleted: retrainings, and those deleted before. labels: verdicts on labels. directions: those brought.
    anything: something was made at all, if only what is deleted or undone by now. sharing: other analyses of these
    images, which lose the concepts and tags too. made: ISO 8601, UTC."""

    demo: str
    analysis: str
    made: str
    tags: int = 0
    concepts: int = 0
    runs: int = 0
    deleted: int = 0
    bake_offs: int = 0
    labels: int = 0
    maps: int = 0
    directions: int = 0
    anything: bool = False
    sharing: int = 0

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def sentence(self) -> str:
        counts = (
            (self.tags, "tag"),
            (self.concepts, "concept"),
            (self.runs + self.deleted, "run"),
            (self.bake_offs, "comparison of methods"),
            (self.labels, "verdict on a label"),
            (self.directions, "direction"),
        )
        said = [f"{count:,} {_plural(noun) if count != 1 else noun}" for count, noun in counts if count]
        if not said and self.anything:
            return "Removed what had been undone or deleted before."
        if not said:
            return "There was nothing to remove: the demo is as it was made."
        return f"Removed {', '.join(said[:-1])}{' and ' if said[:-1] else ''}{said[-1]}."


def reset_demo(workspace: Workspace, name: str = "birds") -> Reset:
    """Put aside what people made of a demo: concepts, tags, labels, runs, comparisons, directions they brought, and the
    maps with them.

    Other datasets and analyses are left alone, and so are files that were exported. Where people made nothing, nothing
    happens. Of more than `KEPT` resets the oldest is given up. Raises `NotFound` for a demo that was not made,
    `BadRequest` while a job of it waits or runs.
    """
    require(Permission.DELETE, f"demo {name}")
    analysis = _analysis(workspace, name)
    with workspace.writing() as session:
        _settle(workspace, session, name, analysis)
        dataset = session.get_one(AnalysisRecord, analysis).dataset_id
        _check_idle(session, name, analysis, _run_ids(session, analysis))
        reset = _put_aside(workspace, session, name, analysis)
        audit.record(session, "reset", f"demo {name}")
        numbers = sorted(_kept(session, name))
        for number in numbers[:-KEPT]:
            session.delete(session.get_one(Meta, _key(name, number)))
            _forget(session, _aside_id(dataset, number))
    for number in numbers[:-KEPT]:
        # away from what `_settle` knows first: it would put back what a failure leaves
        place = _place(workspace, name, number)
        with suppress(FileNotFoundError):
            os.replace(place, gone := place.with_name(f"gone-{number}"))
            shutil.rmtree(gone, ignore_errors=True)
    _move_files(workspace, name, analysis)
    return reset


def would_reset(workspace: Workspace, name: str = "birds") -> Reset:
    """What a reset would put aside now. Raises `NotFound` for a demo that was not made."""
    analysis = _analysis(workspace, name)
    with workspace.reading() as session:
        dataset = session.get_one(AnalysisRecord, analysis).dataset_id
        folders = _folders(workspace, analysis, _run_ids(session, analysis))
        return _counted(session, name, analysis, dataset, folders)


def resets(workspace: Workspace, name: str = "birds") -> tuple[Reset, ...]:
    """Those that can be undone, the latest first."""
    with workspace.reading() as session:
        kept = _kept(session, demo_named(name).name)
    return tuple(Reset(**kept[number]["reset"]) for number in sorted(kept, reverse=True))


def last_reset(workspace: Workspace, name: str = "birds") -> Reset | None:
    """The latest that can be undone, None without one."""
    return next(iter(resets(workspace, name)), None)


def undo_reset(workspace: Workspace, reset: Reset) -> Reset | None:
    """Put everything back as it was. What was made since is put aside in its turn, as the latest reset: undoing what
    this returns brings it back. None where nothing was made since.

    Raises `NotFound` when the reset is not kept any more, `BadRequest` while a job of the demo runs.
    """
    name = reset.demo
    require(Permission.DELETE, f"demo {name}")
    analysis = _analysis(workspace, name)
    with workspace.writing() as session:
        _settle(workspace, session, name, analysis)
        kept = _kept(session, name)
        wanted = [number for number, one in kept.items() if one["reset"] == reset.to_dict()]
        if not wanted or reset.analysis != analysis:
            raise NotFound(
                "What this reset removed is not kept any more.",
                next_step=f"It was undone already, or {KEPT} others came after it.",
            )
        number = wanted[0]
        dataset = session.get_one(AnalysisRecord, analysis).dataset_id
        _check_idle(session, name, analysis, _run_ids(session, analysis))
        since = _put_aside(workspace, session, name, analysis)
        audit.record(session, "brought back", f"demo {name}")
        _move_log(session, _aside_id(dataset, number), dataset)
        session.execute(delete(DatasetRecord).where(DatasetRecord.id == _aside_id(dataset, number)))
        _put_rows(session, kept[number]["rows"])
        session.delete(session.get_one(Meta, _key(name, number)))
    _move_files(workspace, name, analysis)
    return since if since.anything else None


def _put_aside(workspace: Workspace, session: Session, name: str, analysis: str) -> Reset:
    """The rows, under the next number; `_settle` moves the files after them. Nothing where people made nothing."""
    dataset = session.get_one(AnalysisRecord, analysis).dataset_id
    folders = _folders(workspace, analysis, _run_ids(session, analysis))
    reset = _counted(session, name, analysis, dataset, folders)
    if not reset.anything:
        return reset
    number = max(_kept(session, name), default=0) + 1
    aside = _aside_id(dataset, number)
    _hold(session, dataset, aside)
    _move_log(session, dataset, aside)
    rows = _take_rows(session, analysis)
    kept = {"reset": reset.to_dict(), "rows": rows, "files": list(folders)}
    session.add(Meta(key=_key(name, number), value=json.dumps(kept)))
    session.flush()
    return reset


def _kept(session: Session, name: str) -> dict[int, dict[str, Any]]:
    """What is known of each reset, by its number."""
    start = _key(name, "")
    records = session.scalars(select(Meta).where(Meta.key.startswith(start, autoescape=True)))
    return {int(record.key[len(start) :]): json.loads(record.value) for record in records}


def _analysis(workspace: Workspace, name: str) -> str:
    found = find_demo(workspace, name)
    if found is None:
        raise NotFound(
            f"The demo “{demo_named(name).title}” is not in this workspace.",
            next_step=f"Make it: `python -m core demo --which {name}`.",
        )
    return found


def _check_idle(session: Session, name: str, analysis: str, runs: set[str]) -> None:
    for job in session.scalars(select(JobRecord).where(JobRecord.state.in_(_ACTIVE))):
        if _is_of(job, analysis, runs) or (job.kind == "demo" and (job.request.get("which") or "birds") == name):
            raise BadRequest(
                f"“{job.title}” is still at work on the demo.",
                next_step="Wait until it is done, or cancel it, then reset the demo.",
                title="The demo is being worked on",
            )


def _is_of(job: JobRecord, analysis: str, runs: set[str]) -> bool:
    return job.request.get("analysis") == analysis or job.request.get("run") in runs


def _run_ids(session: Session, analysis: str) -> set[str]:
    return set(session.scalars(select(RunRecord.id).where(RunRecord.analysis_id == analysis)))


def _counted(session: Session, name: str, analysis: str, dataset: str, folders: dict[str, Path]) -> Reset:
    living = select(ConceptRecord.id).where(ConceptRecord.dataset_id == dataset, ConceptRecord.deleted.is_(None))
    tags = select(func.count()).where(StandingTag.concept_id.in_(living), StandingTag.state != "cleared")
    standing = select(TagAction.id).where(TagAction.dataset_id == dataset, TagAction.undone.is_(None))
    labels = select(func.count(func.distinct(LabelVerdict.image))).where(LabelVerdict.action_id.in_(standing))
    said = (
        select(ConceptRecord.id).where(ConceptRecord.dataset_id == dataset),
        select(TagAction.id).where(TagAction.dataset_id == dataset),
        select(RunRecord.id).where(RunRecord.analysis_id == analysis),
    )
    kinds = [kind.partition("/")[0] for kind in folders]
    return Reset(
        demo=name,
        analysis=analysis,
        made=now().isoformat(),
        tags=session.scalar(tags) or 0,
        concepts=session.scalar(select(func.count()).select_from(living.subquery())) or 0,
        runs=kinds.count("runs"),
        deleted=kinds.count("deleted"),
        bake_offs=kinds.count("bakeoffs"),
        labels=session.scalar(labels) or 0,
        sharing=(session.scalar(select(func.count()).where(AnalysisRecord.dataset_id == dataset)) or 1) - 1,
        maps=kinds.count("map"),
        directions=len(list(folders["vectors"].glob("*.json"))) if "vectors" in folders else 0,
        anything=not folders.keys() <= _DERIVED or any(session.scalar(query.limit(1)) is not None for query in said),
    )


def _hold(session: Session, dataset: str, aside: str) -> None:
    """A dataset that has no analysis, so that nothing lists it."""
    known = session.get_one(DatasetRecord, dataset)
    session.merge(
        DatasetRecord(id=aside, name=known.name, root=known.root, source=known.source, fingerprint=known.fingerprint)
    )
    session.flush()


def _move_log(session: Session, source: str, target: str) -> None:
    """Concepts and actions, and with the actions the number of their state; the target has none."""
    for table in (ConceptRecord, TagAction, LogVersion):
        session.execute(update(table).where(table.dataset_id == source).values(dataset_id=target))


def _forget(session: Session, dataset: str) -> None:
    """Remove for good what was put aside."""
    concepts = select(ConceptRecord.id).where(ConceptRecord.dataset_id == dataset)
    actions = select(TagAction.id).where(TagAction.dataset_id == dataset)
    tags = select(TagRecord.id).where(TagRecord.action_id.in_(actions))
    verdicts = select(LabelVerdict.id).where(LabelVerdict.action_id.in_(actions))
    said = StatementOrigin
    for statement in (
        delete(said).where(
            or_(
                said.action_id.in_(actions),
                and_(said.kind == "tag", said.statement_id.in_(tags)),
                and_(said.kind == "label", said.statement_id.in_(verdicts)),
            )
        ),
        delete(StandingTag).where(StandingTag.concept_id.in_(concepts)),
        delete(TagRecord).where(TagRecord.action_id.in_(actions)),
        delete(LabelVerdict).where(LabelVerdict.action_id.in_(actions)),
        delete(ConceptChange).where(ConceptChange.concept_id.in_(concepts)),
        delete(SuggestedMember).where(SuggestedMember.concept_id.in_(concepts)),
        delete(ConceptRecord).where(ConceptRecord.dataset_id == dataset),
        delete(TagAction).where(TagAction.dataset_id == dataset),
        delete(LogVersion).where(LogVersion.dataset_id == dataset),
        delete(DatasetRecord).where(DatasetRecord.id == dataset),
    ):
        session.execute(statement, execution_options={"synchronize_session": False})
    session.expire_all()


def _take_rows(session: Session, analysis: str) -> dict[str, list[dict[str, Any]]]:
    """The rows of runs and of their jobs, which are removed."""
    runs = session.scalars(select(RunRecord).where(RunRecord.analysis_id == analysis)).all()
    ids = {run.id for run in runs}
    jobs = [job for job in session.scalars(select(JobRecord)) if _is_of(job, analysis, ids)]
    taken = {"jobs": [_as_json(job) for job in jobs], "runs": [_as_json(run) for run in runs]}
    for rows in (runs, jobs):
        for row in rows:
            session.delete(row)
        # runs name their jobs
        session.flush()
    return taken


def _put_rows(session: Session, rows: dict[str, list[dict[str, Any]]]) -> None:
    for table, stored in ((JobRecord, rows["jobs"]), (RunRecord, rows["runs"])):
        for row in stored:
            times = {
                column.key: datetime.fromisoformat(row[column.key])
                for column in table.__table__.columns
                if column.type.python_type is datetime and row[column.key] is not None
            }
            session.merge(table(**{**row, **times}))
        session.flush()


def _as_json(row: Base) -> dict[str, Any]:
    values = {column.key: getattr(row, column.key) for column in row.__table__.columns}
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in values.items()}


def _folders(workspace: Workspace, analysis: str, runs: set[str]) -> dict[str, Path]:
    """What lies in files, by where it goes in the place aside."""
    kinds = [f"{kind}/{run}" for kind in ("runs", "deleted") for run in sorted(runs)]
    kinds += [f"bakeoffs/{one}" for one in _bake_offs(workspace, analysis)]
    found = {kind: _home(workspace, analysis, kind) for kind in (*kinds, *_WHOLE)}
    return {kind: path for kind, path in found.items() if path.exists()}


def _bake_offs(workspace: Workspace, analysis: str) -> list[str]:
    """Ids of comparisons. Pages that only ask whether there is something to reset do not wait for what makes them."""
    if not (workspace.root / "bakeoffs").is_dir():
        return []
    from core.retraining.bakeoff import list_bake_offs

    return [one.id for one in list_bake_offs(workspace, analysis)]


def _home(workspace: Workspace, analysis: str, kind: str) -> Path:
    """Where something belongs that lies aside as `kind`."""
    of, inside, name = kind.partition("/")
    if of == "deleted":
        from core.retraining.run_store import DELETED

        return workspace.runs / DELETED / name
    if inside:
        return workspace.root / of / name
    return workspace.runs / f"edits-{analysis}.json" if of == "edits.json" else workspace.analyses / analysis / of


def _move_files(workspace: Workspace, name: str, analysis: str) -> None:
    # under the lock of who writes: two resets at once do not move the same
    with workspace.writing() as session:
        _settle(workspace, session, name, analysis)


def _settle(workspace: Workspace, session: Session, name: str, analysis: str) -> None:
    """Move the files to where the rows are: aside what a reset put aside, back what was undone."""
    kept = _kept(session, name)
    for number, one in kept.items():
        place = _place(workspace, name, number)
        for kind in one["files"]:
            if not (place / kind).exists():
                _move(_home(workspace, analysis, kind), place / kind)
    for place in _place(workspace, name).glob("[0-9]*"):
        if int(place.name) in kept:
            continue
        whole = [place / kind for kind in _WHOLE]
        for path in (*whole, *(inner for of in _EACH for inner in (place / of).glob("*"))):
            _move(path, _home(workspace, analysis, path.relative_to(place).as_posix()))
        shutil.rmtree(place, ignore_errors=True)


def _move(source: Path, target: Path) -> None:
    if not source.exists():
        return
    with storage_problems(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        # derived meanwhile, such as a map
        shutil.rmtree(target, ignore_errors=True)
        with suppress(FileNotFoundError):
            os.replace(source, target)


def _place(workspace: Workspace, name: str, number: int | str = "") -> Path:
    return workspace.root / ASIDE / name / str(number)


def _aside_id(dataset: str, number: int) -> str:
    return f"{dataset}-aside-{number}"


def _key(name: str, number: int | str) -> str:
    return f"demo-reset-{name}-{number}"


def _plural(noun: str) -> str:
    first, space, rest = noun.partition(" ")
    return f"{first}s{space}{rest}"
