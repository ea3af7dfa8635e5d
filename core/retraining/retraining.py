"""One retraining from tags to a measured, stored model."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from core.access import audit
from core.access.policy import Permission, require
from core.concepts.majority import top_half
from core.database import now
from core.errors import BadRequest
from core.progress import Progress, silent
from core.retraining.curation import Curation, check_tags, curate
from core.retraining.edits import CurationEdits, edit_curation
from core.retraining.identity import data_digest, plain
from core.retraining.material import (
    MOST_CONCEPTS,
    Gathered,
    assemble,
    check_count,
    check_needs,
    chosen_concepts,
    gather,
)
from core.retraining.measuring import check_measurable
from core.retraining.methods import checked_settings, get_method, needs
from core.retraining.outcome import STEPS, Outcome, compute, figures
from core.retraining.replay import write_recipe
from core.retraining.result import HEAD, NETWORK, RunResult
from core.retraining.run_store import HEAD as HEAD_FILE
from core.retraining.run_store import (
    TRAINING,
    new_run_id,
    record_run,
    run_folder,
    write_curation,
    write_network,
    write_result,
)
from core.retraining.statements import Statements, read_statements
from core.retraining.threads import pinned_threads, threads_worth
from core.retraining.tracking import track
from core.workspace import Workspace

if TYPE_CHECKING:
    from core.activations.store import Analysis

# methods that choose images from tags, so that the choice can be looked through beforehand
CURATING = ("mid", "mid-tags", "finetune")


def check_request(
    workspace: Workspace,
    analysis: Analysis,
    method: str,
    concepts: Sequence[str],
    settings: Mapping[str, Any] | None = None,
    edits: CurationEdits | None = None,
) -> None:
    """Raise at once what a retraining would raise after a while: unknown names, too few tags, no attribute, a knob out
    of its range, more concepts than groups can be made of, nothing to measure on."""
    wanted = needs(method, settings)
    check_measurable(analysis)
    check_count(concepts)
    _check_edits(method, edits)
    chosen = chosen_concepts(workspace, analysis, concepts)
    check_needs(wanted, analysis, chosen)
    if get_method(method).kind == NETWORK:
        # torch is needed for nothing else here
        from core.retraining.finetune import check_trainable

        check_trainable(analysis)
    if wanted == "tags":
        pool = gather(workspace, analysis, chosen).material
        top = top_half(pool.pool.logits, pool.pool.labels, pool.pool.eligible)
        for concept in pool.concepts:
            check_tags(pool.pool, concept, top)


def preview(
    workspace: Workspace,
    analysis: Analysis,
    *,
    method: str = "mid",
    concepts: Sequence[str] = (),
    seed: int = 0,
    edits: CurationEdits | None = None,
) -> Curation:
    """The images `retrain` would fit on, before it does. Raises as `retrain`; for methods that choose from tags."""
    chosen = chosen_concepts(workspace, analysis, concepts)
    check_needs("tags", analysis, chosen)
    material = gather(workspace, analysis, chosen).material
    curation = curate(material.pool, material.concepts, rng=np.random.default_rng(seed), use_probe=method != "mid-tags")
    return edit_curation(curation, edits or CurationEdits(), material, analysis)


def retrain(
    workspace: Workspace,
    analysis: Analysis,
    *,
    method: str = "mid",
    concepts: Sequence[str] = (),
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
    edits: CurationEdits | None = None,
    run_id: str | None = None,
    progress: Progress = silent,
) -> RunResult:
    """Fit a new last layer (or train the network anew), measure it and its baselines on test, and store all of it.

    concepts: names; none means every confounder that has a tag. settings: knobs of the method, by name; what is not
    said has its default. edits: what a person changed of the images chosen, for methods that choose from tags. The same
    tags and seed give the same head. A network whose training was interrupted goes on where it was when `run_id` is
    the same. Raises `NotFound`, `BadRequest`, `NotEnoughTags`, `EmptyGroup`, `LeakedImages`; nothing is stored then.
    """
    require(Permission.TRAIN, method)
    started, created = time.perf_counter(), now()
    run_id = run_id or new_run_id()
    folder = run_folder(workspace, run_id)
    edits = edits or CurationEdits()
    progress(0, STEPS, "Reading tags and features")
    checked = checked_settings(method, settings)
    wanted = needs(method, checked)
    _check_edits(method, edits)
    chosen = chosen_concepts(workspace, analysis, concepts)
    check_needs(wanted, analysis, chosen)
    if wanted != "tags" and not concepts and (analysis.attributes or len(chosen) > MOST_CONCEPTS):
        # nobody asked for them, and they are not needed to measure either
        chosen = ()
    statements = read_statements(workspace, analysis, chosen)
    gathered = assemble(analysis, statements)
    trains = get_method(method).kind == NETWORK
    with pinned_threads(None if trains else threads_worth(analysis.d), with_torch=trains) as threads:
        outcome = compute(
            analysis,
            gathered,
            method=method,
            settings=checked,
            edits=edits,
            seed=seed,
            folder=folder,
            progress=progress,
        )
    progress(STEPS - 1, STEPS, "Writing the run")
    result = _result(workspace, analysis, gathered, outcome, method=method, seed=seed, edits=edits)
    result = replace(
        result,
        run=run_id,
        created=created.isoformat(sep=" ", timespec="seconds"),
        seconds=time.perf_counter() - started,
    )
    _store_parts(workspace, analysis, result, outcome, statements, threads)
    # known before it is whole, since what is not whole is not listed; the other way round, a process killed in between
    # would leave a run that nobody finds
    record_run(workspace, result, created)
    write_result(folder, result)
    audit.record(workspace, "trained", f"run {run_id}", {"method": method, "analysis": analysis.id})
    shutil.rmtree(folder / TRAINING, ignore_errors=True)
    if problem := track(result, folder, dataset=analysis.dataset_name, model=analysis.model_name):
        result = replace(result, notes=(*result.notes, problem))
        write_result(folder, result)
    progress(STEPS, STEPS, result.comparison["sentence"])
    return result


def _result(
    workspace: Workspace,
    analysis: Analysis,
    gathered: Gathered,
    outcome: Outcome,
    *,
    method: str,
    seed: int,
    edits: CurationEdits,
) -> RunResult:
    found = plain(figures(analysis, outcome))
    return RunResult(
        run="",
        analysis=analysis.id,
        method=method,
        kind=HEAD if outcome.repaired.logits is None else NETWORK,
        classes=analysis.classes,
        concepts=gathered.names,
        seed=seed,
        settings=outcome.settings,
        chosen=found["chosen"],
        tried=tuple(found["tried"]),
        before=outcome.before,
        after=outcome.after,
        comparison=found["comparison"],
        baselines=outcome.baselines,
        curation=found["curation"],
        edits=edits.to_dict() if edits else None,
        feasibility=found["feasibility"],
        shifts=outcome.shifts,
        notes=outcome.notes,
        seconds=0.0,
        tags=gathered.tags,
        data=data_digest(workspace, analysis),
        created="",
    )


def _store_parts(
    workspace: Workspace,
    analysis: Analysis,
    result: RunResult,
    outcome: Outcome,
    statements: Statements,
    threads: int,
) -> None:
    folder, repaired = run_folder(workspace, result.run), outcome.repaired
    repaired.head.save(folder / HEAD_FILE)
    if repaired.logits is not None and repaired.weights is not None:
        write_network(folder, repaired.weights, repaired.logits)
    if repaired.curation is not None:
        write_curation(folder, analysis, repaired.curation)
    write_recipe(workspace, analysis, result, outcome, statements, threads)


def _check_edits(method: str, edits: CurationEdits | None) -> None:
    if edits and method not in CURATING:
        raise BadRequest(
            f"The method {method} chooses no images from tags, so there is nothing to edit.",
            next_step=f"Use one of {', '.join(CURATING)}, or leave the edits out.",
        )
