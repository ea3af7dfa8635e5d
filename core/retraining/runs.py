"""Runs: one retraining from tags to a measured, stored head.

<workspace>/runs/<id>/
  head.safetensors     the new last layer (core/classifiers/head.py)
  curation.parquet     one line per image it was fitted on: image, row, class, group, weight, reason
  result.json          `RunResult.to_dict()`
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import select

from core.classifiers.head import Head, load_head
from core.concepts.majority import top_half
from core.database import RunRecord, now
from core.errors import EmptyGroup, NotEnoughTags, NotFound
from core.files import read_json, replacing, write_json
from core.progress import Progress, silent
from core.retraining.curation import Curation, check_tags, curate
from core.retraining.evaluation import Comparison, Evaluation, compare, evaluate, evaluation_from_dict
from core.retraining.groups import Grouping, by_class, by_concepts
from core.retraining.material import MOST_CONCEPTS, Gathered, check_needs, chosen_concepts, gather
from core.retraining.methods import Fitted, fit, fit_without_tags, get_method
from core.workspace import Workspace

if TYPE_CHECKING:
    from core.activations.store import Analysis

HEAD, RESULT, CURATION = "head.safetensors", "result.json", "curation.parquet"
NO_PERSON = "no-person"


@dataclass(frozen=True)
class Baseline:
    """Another way to the same end, measured on the same images."""

    method: str
    title: str
    worst_group: float
    average: float

    def to_dict(self) -> dict[str, Any]:
        return {
            "method": self.method,
            "title": self.title,
            "worst_group": self.worst_group,
            "average": self.average,
        }


@dataclass(frozen=True)
class RunResult:
    """run, analysis: ids. before, after: the old and the new head on test. comparison: sentence, significant,
    p_average, p_worst, and the ids of the test images fixed and broken. curation: `Curation.to_dict()`, None for
    methods without one. tags: hash of the tags used. seconds: of the whole run."""

    run: str
    analysis: str
    method: str
    concepts: tuple[str, ...]
    seed: int
    before: Evaluation
    after: Evaluation
    comparison: dict[str, Any]
    baselines: tuple[Baseline, ...]
    curation: dict[str, Any] | None
    notes: tuple[str, ...]
    seconds: float
    tags: str
    created: str

    def to_dict(self) -> dict[str, Any]:
        return {
            "run": self.run,
            "analysis": self.analysis,
            "method": self.method,
            "concepts": list(self.concepts),
            "seed": self.seed,
            "before": self.before.to_dict(),
            "after": self.after.to_dict(),
            "comparison": self.comparison,
            "baselines": [baseline.to_dict() for baseline in self.baselines],
            "curation": self.curation,
            "notes": list(self.notes),
            "seconds": self.seconds,
            "tags": self.tags,
            "created": self.created,
        }


def new_run_id() -> str:
    return secrets.token_hex(6)


def check_request(workspace: Workspace, analysis: Analysis, method: str, concepts: Sequence[str]) -> None:
    """Raise at once what a retraining would raise after a while: unknown names, too few tags, no attribute."""
    needs = get_method(method).needs
    chosen = chosen_concepts(workspace, analysis, concepts)
    check_needs(needs, analysis, chosen)
    if needs == "tags":
        pool = gather(workspace, analysis, chosen).material
        top = top_half(pool.pool.logits, pool.pool.labels, pool.pool.eligible)
        for concept in pool.concepts:
            check_tags(pool.pool, concept, top)


def preview(
    workspace: Workspace, analysis: Analysis, *, method: str = "mid", concepts: Sequence[str] = (), seed: int = 0
) -> Curation:
    """The images `retrain` would fit on, before it does. Raises as `retrain`; for `mid` and `mid-tags`."""
    chosen = chosen_concepts(workspace, analysis, concepts)
    check_needs("tags", analysis, chosen)
    material = gather(workspace, analysis, chosen).material
    return curate(material.pool, material.concepts, rng=np.random.default_rng(seed), use_probe=method != "mid-tags")


def retrain(
    workspace: Workspace,
    analysis: Analysis,
    *,
    method: str = "mid",
    concepts: Sequence[str] = (),
    seed: int = 0,
    run_id: str | None = None,
    job_id: str | None = None,
    progress: Progress = silent,
) -> RunResult:
    """Fit a new last layer, measure it and its baselines on test, and store all of it.

    concepts: names; none means every confounder that has a tag. The same tags and seed give the same head. Raises
    `NotFound`, `BadRequest`, `NotEnoughTags`, `EmptyGroup`; nothing is stored then.
    """
    started, created = time.perf_counter(), now()
    run_id = run_id or new_run_id()
    steps = 5

    def at(step: int) -> Progress:
        return lambda done, total, message="": progress(step, steps, message)

    at(0)(0, 0, "Reading tags and features")
    needs = get_method(method).needs
    chosen = chosen_concepts(workspace, analysis, concepts)
    check_needs(needs, analysis, chosen)
    if needs != "tags" and not concepts and (analysis.attributes or len(chosen) > MOST_CONCEPTS):
        # nobody asked for them, and they are not needed to measure either
        chosen = ()
    gathered = gather(workspace, analysis, chosen)
    fitted = fit(method, gathered.material, rng=np.random.default_rng(seed), progress=at(1))

    at(2)(0, 0, "Measuring on test")
    grouping, notes = _evaluation_groups(analysis, gathered, fitted.curation, seed)
    measured = _Measure(analysis, grouping)
    before, after = measured(analysis.head), measured(fitted.head)
    comparison = measured.compare(analysis.head, fitted.head, before, after)

    at(3)(0, 0, "Measuring the baselines")
    baselines, more_notes = _baselines(gathered, measured, seed, at(3))

    at(4)(0, 0, "Writing the run")
    ids = analysis.ids[measured.rows]
    result = RunResult(
        run=run_id,
        analysis=analysis.id,
        method=method,
        concepts=tuple(concept.name for concept in chosen),
        seed=seed,
        before=before,
        after=after,
        comparison={
            **comparison.to_dict(),
            "fixed": ids[comparison.fixed].tolist(),
            "broken": ids[comparison.broken].tolist(),
        },
        baselines=baselines,
        curation=None if fitted.curation is None else fitted.curation.to_dict(),
        notes=(*gathered.notes, *fitted.notes, *notes, *more_notes),
        seconds=time.perf_counter() - started,
        tags=gathered.tags,
        created=created.isoformat(sep=" ", timespec="seconds"),
    )
    _store(workspace, analysis, result, fitted, job_id, created)
    progress(steps, steps, comparison.sentence)
    return result


def open_run(workspace: Workspace, run_id: str | None = None) -> RunResult:
    """A finished run; None means the latest. Raises `NotFound`."""
    if run_id is None:
        run_id = next(iter(_finished_ids(workspace)), None)
        if run_id is None:
            raise NotFound("There is no run yet.", next_step="Retrain first: `python -m core retrain --wait`.")
    file = _folder(workspace, run_id) / RESULT
    if not file.is_file():
        raise NotFound(
            f"There is no finished run {run_id}.",
            next_step="See whether its job is still running or failed; `compare` without --run takes the latest.",
        )
    return _run_from_dict(read_json(file))


def list_runs(workspace: Workspace, analysis_id: str | None = None) -> tuple[RunResult, ...]:
    """Finished runs, latest first; of one analysis when given."""
    return tuple(open_run(workspace, run_id) for run_id in _finished_ids(workspace, analysis_id))


def _finished_ids(workspace: Workspace, analysis_id: str | None = None) -> list[str]:
    query = select(RunRecord.id).where(RunRecord.finished.is_not(None)).order_by(RunRecord.created.desc())
    if analysis_id is not None:
        query = query.where(RunRecord.analysis_id == analysis_id)
    with workspace.reading() as session:
        ids = session.scalars(query).all()
    return [run_id for run_id in ids if (_folder(workspace, run_id) / RESULT).is_file()]


def run_head(workspace: Workspace, run_id: str) -> Head:
    """The new last layer of a run. Raises `PathNotFound` or `BadCheckpoint`."""
    return load_head(_folder(workspace, run_id) / HEAD)


def predictions(workspace: Workspace, analysis: Analysis, run_id: str, rows: np.ndarray) -> np.ndarray:
    """What a run's head predicts for some rows of its analysis: (m,) int64."""
    return run_head(workspace, run_id).logits(analysis.features[rows]).argmax(axis=1)


class _Measure:
    """Evaluates heads on the test images with one grouping."""

    def __init__(self, analysis: Analysis, grouping: Grouping) -> None:
        self.rows = analysis.split_rows("test")
        self.features = np.asarray(analysis.features[self.rows], dtype=np.float32)
        self.labels = analysis.labels[self.rows]
        self.grouping = Grouping(
            grouping.codes[self.rows], grouping.classes, grouping.patterns, grouping.source, grouping.estimated
        )
        train = grouping.codes[analysis.split_rows("train")]
        self.train = np.bincount(train[train >= 0], minlength=grouping.count)

    def __call__(self, head: Head) -> Evaluation:
        return evaluate(self._predicted(head), self.labels, self.grouping, self.train, "test")

    def compare(self, old: Head, new: Head, before: Evaluation, after: Evaluation) -> Comparison:
        return compare(self._predicted(old), self._predicted(new), self.labels, self.grouping, before, after)

    def _predicted(self, head: Head) -> np.ndarray:
        return head.logits(self.features).argmax(axis=1)


def _evaluation_groups(
    analysis: Analysis, gathered: Gathered, curation: Curation | None, seed: int
) -> tuple[Grouping, tuple[str, ...]]:
    """The dataset's attribute where known; else the tagged concepts as a probe sees them; else the classes."""
    test = analysis.split_rows("test")
    if gathered.groups is not None and (gathered.groups.codes[test] >= 0).any():
        return gathered.groups, ()
    names = [concept.name for concept in gathered.concepts]
    if names:
        try:
            if curation is None or curation.probe is None:
                material = gathered.material
                curation = curate(material.pool, material.concepts, rng=np.random.default_rng(seed))
            if curation.probe is not None:
                values, _ = curation.probe.guess(analysis.features, analysis.labels, gathered.states)
                note = "The groups of test are what the probe guesses of each image, so their accuracies are estimates."
                return by_concepts(analysis.labels, analysis.classes, names, values, estimated=True), (note,)
        except NotEnoughTags:
            pass
    note = "Neither an attribute nor enough tags say what the groups are: the groups measured are the classes."
    return by_class(analysis.labels, analysis.classes), (note,)


def _baselines(
    gathered: Gathered, measured: _Measure, seed: int, progress: Progress
) -> tuple[tuple[Baseline, ...], list[str]]:
    notes: list[str] = []
    found: list[Baseline] = []

    def add(name: str, title: str, head: Head) -> None:
        evaluation = measured(head)
        found.append(Baseline(name, title, evaluation.worst_group, evaluation.average))

    rng = np.random.default_rng(seed)
    for name in ("erm", NO_PERSON, "class-balanced", "dfr"):
        if name == "dfr" and gathered.material.known is None:
            continue
        title = "No person: assumptions only" if name == NO_PERSON else get_method(name).title
        try:
            if name == NO_PERSON:
                fitted = fit_without_tags(gathered.material.pool, rng=rng)
            else:
                fitted = fit(name, gathered.material, rng=rng, progress=progress)
        except EmptyGroup as error:
            notes.append(f"{title} is not among the baselines: {error.detail}")
        else:
            add(name, title, fitted.head)
    return tuple(found), notes


def _store(
    workspace: Workspace, analysis: Analysis, result: RunResult, fitted: Fitted, job_id: str | None, created: datetime
) -> None:
    folder = _folder(workspace, result.run)
    fitted.head.save(folder / HEAD)
    if fitted.curation is not None:
        chosen = fitted.curation
        table = pa.table(
            {
                "image": pa.array(analysis.image_names(chosen.rows), pa.string()),
                "row": chosen.rows,
                "class": [analysis.classes[label] for label in chosen.labels],
                "group": chosen.groups,
                "weight": chosen.weights,
                "reason": chosen.reasons.tolist(),
            }
        )
        with replacing(folder / CURATION) as beside:
            pq.write_table(table, beside)
    # the result comes last: a folder with one is whole
    write_json(folder / RESULT, result.to_dict())
    with workspace.writing() as session:
        session.merge(
            RunRecord(
                id=result.run,
                analysis_id=analysis.id,
                job_id=job_id,
                method=result.method,
                settings={"concepts": list(result.concepts), "seed": result.seed, "tags": result.tags},
                created=created,
                finished=now(),
            )
        )


def _folder(workspace: Workspace, run_id: str) -> Path:
    # ids come from people too: only what `new_run_id` and jobs make may become a path
    if not run_id or not all(character.isalnum() or character in "-_" for character in run_id):
        raise NotFound(f"“{run_id}” is not the id of a run.", next_step="Use the id that `retrain` printed.")
    return workspace.runs / run_id


def _run_from_dict(value: dict[str, Any]) -> RunResult:
    return RunResult(
        **{
            **value,
            "concepts": tuple(value["concepts"]),
            "before": evaluation_from_dict(value["before"]),
            "after": evaluation_from_dict(value["after"]),
            "baselines": tuple(Baseline(**baseline) for baseline in value["baselines"]),
            "notes": tuple(value["notes"]),
        }
    )
