"""A demo as it was when it was made, for the next visitor, and back again.

Nothing that people said is destroyed by a reset: it is put aside as it is, and `undo_reset` puts it back as it was.

in the database    the concepts and everything said of images belong to another dataset meanwhile, whose id ends in
                   "-aside"; runs and finished jobs lie in `Meta` "demo-reset-NAME"
<workspace>/before-reset/NAME/
  runs/ deleted/ bakeoffs/ map/ vectors/ edits.json    folders of the runs, ... of the analysis

Only what belongs to the demo's analysis and, where tags and labels are concerned, to its dataset. One reset is kept for
each demo: the next one that has something to put aside takes its place.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import and_, delete, func, or_, select, update
from sqlalchemy.orm import Session

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
_ACTIVE = ("queued", "running")


@dataclass(frozen=True)
class Reset:
    """What was put aside. tags: images with an answer, counted once for each concept. concepts: without those deleted
    before. runs, deleted: retrainings, and those deleted before. labels: verdicts on labels. made: ISO 8601, UTC."""

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
        )
        said = [f"{count:,} {_plural(noun) if count != 1 else noun}" for count, noun in counts if count]
        if not said:
            return "There was nothing to remove: the demo is as it was made."
        return f"Removed {', '.join(said[:-1])}{' and ' if said[:-1] else ''}{said[-1]}."


def reset_demo(workspace: Workspace, name: str = "birds") -> Reset:
    """Put aside what people made of a demo: concepts, tags, labels, runs, comparisons, maps, directions they brought.

    Other datasets and analyses are left alone, and so are files that were exported. Where there is nothing, nothing
    happens, and an earlier reset can still be undone. Raises `NotFound` for a demo that was not made, `BadRequest`
    while a job of it waits or runs.
    """
    analysis = _analysis(workspace, name)
    folders = _folders(workspace, analysis)
    with workspace.writing() as session:
        dataset = session.get_one(AnalysisRecord, analysis).dataset_id
        _check_idle(session, name, analysis, _run_ids(session, analysis))
        reset = _counted(session, name, analysis, dataset, folders)
        if not _anything(session, dataset, analysis) and not folders:
            return reset
        _forget(session, _aside_id(dataset))
        shutil.rmtree(_place(workspace, name), ignore_errors=True)
        _hold(session, dataset)
        _move_log(session, dataset, _aside_id(dataset))
        rows = _take_rows(session, analysis)
        session.merge(Meta(key=_key(name), value=json.dumps(_kept(reset, rows, folders))))
    _move_folders(folders, _place(workspace, name))
    return reset


def last_reset(workspace: Workspace, name: str = "birds") -> Reset | None:
    """The reset that can be undone, None without one."""
    with workspace.reading() as session:
        record = session.get(Meta, _key(demo_named(name).name))
    return Reset(**json.loads(record.value)["reset"]) if record is not None else None


def undo_reset(workspace: Workspace, reset: Reset) -> Reset | None:
    """Put everything back as it was. What was made since is put aside in its turn: undoing what this returns brings it
    back. None where nothing was made since.

    Raises `NotFound` when another reset has taken the place of this one, `BadRequest` while a job of the demo runs.
    """
    name = reset.demo
    analysis = _analysis(workspace, name)
    folders = _folders(workspace, analysis)
    place = _place(workspace, name)
    with workspace.writing() as session:
        record = session.get(Meta, _key(name))
        kept = json.loads(record.value) if record is not None else None
        if record is None or kept is None or kept["reset"] != reset.to_dict() or reset.analysis != analysis:
            raise NotFound(
                "What this reset removed is not kept any more.",
                next_step="Only the latest reset of a demo can be undone.",
            )
        # whoever was stopped between the rows and the files left some where they belong
        there = {kind for kind in kept["files"] if not (place / kind).exists()}
        folders = {kind: path for kind, path in folders.items() if kind not in there}
        dataset = session.get_one(AnalysisRecord, analysis).dataset_id
        _check_idle(session, name, analysis, _run_ids(session, analysis))
        since = _counted(session, name, analysis, dataset, folders)
        anything = _anything(session, dataset, analysis) or bool(folders)
        rows = _take_rows(session, analysis)
        # three moves, because two concepts of one dataset cannot have the same name
        between = f"{_aside_id(dataset)}-2"
        _hold(session, dataset, between)
        _move_log(session, dataset, between)
        _move_log(session, _aside_id(dataset), dataset)
        _move_log(session, between, _aside_id(dataset))
        session.execute(delete(DatasetRecord).where(DatasetRecord.id == between))
        _put_rows(session, kept["rows"])
        if anything:
            session.merge(Meta(key=_key(name), value=json.dumps(_kept(since, rows, folders))))
        else:
            session.delete(record)
            _forget(session, _aside_id(dataset))
    beside = place.with_name(f"{place.name}.old")
    with storage_problems(place):
        shutil.rmtree(beside, ignore_errors=True)
        with suppress(FileNotFoundError):
            os.replace(place, beside)
    _move_folders(folders, place)
    for source, target in _places(workspace, analysis, beside):
        _move(source, target)
    shutil.rmtree(beside, ignore_errors=True)
    return since if anything else None


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
        maps=kinds.count("map"),
    )


def _anything(session: Session, dataset: str, analysis: str) -> bool:
    said = (
        select(ConceptRecord.id).where(ConceptRecord.dataset_id == dataset),
        select(TagAction.id).where(TagAction.dataset_id == dataset),
        select(RunRecord.id).where(RunRecord.analysis_id == analysis),
    )
    return any(session.scalar(query.limit(1)) is not None for query in said)


def _hold(session: Session, dataset: str, *others: str) -> None:
    """Datasets that have no analysis, so that nothing lists them."""
    known = session.get_one(DatasetRecord, dataset)
    for other in (_aside_id(dataset), *others):
        session.merge(
            DatasetRecord(
                id=other, name=known.name, root=known.root, source=known.source, fingerprint=known.fingerprint
            )
        )
    session.flush()


def _move_log(session: Session, source: str, target: str) -> None:
    """Concepts and actions, and with the actions the number of their state; the target has none."""
    for table in (ConceptRecord, TagAction, LogVersion):
        session.execute(update(table).where(table.dataset_id == source).values(dataset_id=target))


def _forget(session: Session, dataset: str) -> None:
    """Remove for good what was put aside before."""
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


def _folders(workspace: Workspace, analysis: str) -> dict[str, Path]:
    """What lies in files, by where it goes in the place aside."""
    from core.retraining.bakeoff import list_bake_offs

    with workspace.reading() as session:
        runs = sorted(_run_ids(session, analysis))
    homes = _homes(workspace)
    found = {f"{kind}/{run}": homes[kind] / run for kind in ("runs", "deleted") for run in runs}
    for one in list_bake_offs(workspace, analysis):
        found[f"bakeoffs/{one.id}"] = homes["bakeoffs"] / one.id
    for kind in ("map", "vectors"):
        found[kind] = workspace.analyses / analysis / kind
    found["edits.json"] = workspace.runs / f"edits-{analysis}.json"
    return {kind: path for kind, path in found.items() if path.exists()}


def _homes(workspace: Workspace) -> dict[str, Path]:
    # not at the top: pages that only ask whether there is a demo would wait for these
    from core.retraining.bakeoff import FOLDER
    from core.retraining.run_store import DELETED

    return {"runs": workspace.runs, "deleted": workspace.runs / DELETED, "bakeoffs": workspace.root / FOLDER}


def _places(workspace: Workspace, analysis: str, aside: Path) -> Iterator[tuple[Path, Path]]:
    """From where each thing lies aside to where it belongs."""
    for kind, home in _homes(workspace).items():
        for folder in sorted((aside / kind).glob("*")):
            yield folder, home / folder.name
    for kind in ("map", "vectors"):
        if (aside / kind).exists():
            yield aside / kind, workspace.analyses / analysis / kind
    if (aside / "edits.json").exists():
        yield aside / "edits.json", workspace.runs / f"edits-{analysis}.json"


def _move_folders(folders: dict[str, Path], place: Path) -> None:
    for kind, source in folders.items():
        _move(source, place / kind)


def _move(source: Path, target: Path) -> None:
    with storage_problems(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        # derived meanwhile, such as a map
        shutil.rmtree(target, ignore_errors=True)
        with suppress(FileNotFoundError):
            os.replace(source, target)


def _kept(reset: Reset, rows: dict[str, list[dict[str, Any]]], folders: dict[str, Path]) -> dict[str, Any]:
    return {"reset": reset.to_dict(), "rows": rows, "files": list(folders)}


def _place(workspace: Workspace, name: str) -> Path:
    return workspace.root / ASIDE / name


def _aside_id(dataset: str) -> str:
    return f"{dataset}-aside"


def _key(name: str) -> str:
    return f"demo-reset-{name}"


def _plural(noun: str) -> str:
    first, space, rest = noun.partition(" ")
    return f"{first}s{space}{rest}"
