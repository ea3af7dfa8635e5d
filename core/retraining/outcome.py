"""What a retraining computes, from plain arrays: a run stores it, a replay has to find it again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.classifiers.head import Head
from core.progress import Progress, silent
from core.retraining.curation import Curation, curate
from core.retraining.disjoint import Roles, duplicates
from core.retraining.edits import CurationEdits, edit_curation
from core.retraining.evaluation import Comparison, Evaluation
from core.retraining.feasibility import Feasibility, feasibility_of
from core.retraining.material import Gathered
from core.retraining.measuring import Measure, check_measurable, measure_baselines, measured_groups
from core.retraining.methods import fit, get_method
from core.retraining.result import NETWORK, Baseline
from core.retraining.run_store import TRAINING

if TYPE_CHECKING:
    from core.activations.store import Analysis

# steps of progress of a whole run; the last one is writing it
STEPS = 5


@dataclass(frozen=True, eq=False)
class Repaired:
    """A model that a method gave. head: its last layer. logits: (n, k) float32 of every image and weights: the file of
    the whole network, both None where only the head was fitted. fitted_on, tuned_on: rows of the analysis, None
    where the method used the whole pool."""

    head: Head
    curation: Curation | None
    notes: tuple[str, ...]
    chosen: dict[str, Any]
    tried: tuple[dict[str, Any], ...] = ()
    logits: np.ndarray | None = None
    weights: Path | None = None
    fitted_on: np.ndarray | None = None
    tuned_on: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a retraining computes, and what a replay of it has to find again."""

    repaired: Repaired
    settings: dict[str, Any]
    before: Evaluation
    after: Evaluation
    comparison: Comparison
    measured: Measure
    baselines: tuple[Baseline, ...]
    shifts: tuple[dict[str, Any], ...]
    feasibility: Feasibility | None
    notes: tuple[str, ...]


def compute(
    analysis: Analysis,
    gathered: Gathered,
    *,
    method: str,
    settings: Mapping[str, Any],
    edits: CurationEdits,
    seed: int,
    folder: Path,
    progress: Progress = silent,
) -> Outcome:
    """Everything of a retraining but reading and writing: depends on its arguments and the number of threads only.

    settings: checked. folder: where a network under way keeps its checkpoints.
    """

    # before anything is fitted: a network takes hours
    check_measurable(analysis)

    def at(step: int) -> Progress:
        return lambda done, total, message="": progress(step, STEPS, message)

    repaired = repair(
        analysis,
        gathered,
        method=method,
        settings=settings,
        edits=edits,
        seed=seed,
        folder=folder,
        # minutes and more: there the steps within are what people want to see
        progress=progress if get_method(method).kind == NETWORK else at(1),
    )
    at(2)(0, 0, "Measuring on test")
    groups = measured_groups(analysis, gathered, repaired.curation, seed)
    measured = Measure(analysis, groups)
    old = measured.logits(analysis.head)
    new = measured.logits(repaired.head) if repaired.logits is None else repaired.logits[measured.rows]
    before, after = measured(old), measured(new)
    comparison = measured.compare(old.argmax(axis=1), new.argmax(axis=1), before, after)
    curation = repaired.curation
    material = gathered.material
    feasible = None if curation is None else feasibility_of(material.pool, curation, material.concepts, seed=seed)
    doubts = () if feasible is None else feasible.doubts
    at(3)(0, 0, "Measuring the baselines")
    doubles = duplicates(analysis).sentence
    baselines, more_notes = measure_baselines(gathered, measured, seed, at(3))
    notes = (*gathered.notes, *repaired.notes, *doubts, groups.note, doubles, *more_notes)
    return Outcome(
        repaired=repaired,
        settings=dict(settings),
        before=before,
        after=after,
        comparison=comparison,
        measured=measured,
        baselines=baselines,
        shifts=tuple(shift.to_dict() for shift in measured.shifts(old, new)),
        feasibility=feasible,
        notes=tuple(note for note in notes if note),
    )


def repair(
    analysis: Analysis,
    gathered: Gathered,
    *,
    method: str,
    settings: Mapping[str, Any],
    edits: CurationEdits,
    seed: int,
    folder: Path,
    progress: Progress = silent,
) -> Repaired:
    """The new model that a method gives. Raises what methods raise, and `LeakedImages` where it was made from images of
    test: no figure is ever of those."""
    rng = np.random.default_rng(seed)
    material = gathered.material
    notes: tuple[str, ...] = ()
    if edits:
        curation = curate(material.pool, material.concepts, rng=rng, use_probe=method != "mid-tags")
        material = replace(material, curation=edit_curation(curation, edits, material, analysis))
        notes = (edits.sentence(),)
    if get_method(method).kind == NETWORK:
        repaired = _train(analysis, replace(gathered, material=material), settings, seed, folder, notes, progress)
    else:
        fitted = fit(method, material, rng=rng, settings=settings, progress=progress)
        repaired = Repaired(fitted.head, fitted.curation, (*notes, *fitted.notes), dict(fitted.chosen), fitted.tried)
    _roles(gathered, repaired, analysis.split_rows("test"))
    return repaired


def _train(
    analysis: Analysis,
    gathered: Gathered,
    settings: Mapping[str, Any],
    seed: int,
    folder: Path,
    notes: tuple[str, ...],
    progress: Progress,
) -> Repaired:
    # torch is needed for nothing else here
    from core.retraining.finetune import finetune

    material = gathered.material
    curation = material.curation or curate(material.pool, material.concepts, rng=np.random.default_rng(seed))
    trained = finetune(
        analysis,
        gathered,
        curation,
        settings=settings,
        seed=seed,
        folder=folder / TRAINING,
        progress=progress,
    )
    return Repaired(
        head=trained.head,
        curation=curation,
        notes=(*notes, *trained.notes),
        chosen={"epochs": trained.epochs, "best_epoch": trained.best_epoch, "history": list(trained.history)},
        logits=np.asarray(trained.logits, dtype=np.float32),
        weights=trained.weights,
        fitted_on=trained.trained,
        tuned_on=trained.stopping,
    )


def _roles(gathered: Gathered, repaired: Repaired, reporting: np.ndarray) -> Roles:
    """What every image was for."""
    if repaired.fitted_on is not None and repaired.tuned_on is not None:
        return Roles(curation=repaired.fitted_on, tuning=repaired.tuned_on, reporting=reporting)
    pool, curation = gathered.material.pool, repaired.curation
    return Roles(curation=pool.rows if curation is None else np.union1d(pool.rows, curation.rows), reporting=reporting)


def figures(analysis: Analysis, outcome: Outcome) -> dict[str, Any]:
    """What is stored of an outcome, as plain JSON: a replay compares it."""
    ids = analysis.ids[outcome.measured.rows]
    comparison = outcome.comparison
    curation = outcome.repaired.curation
    return {
        "before": outcome.before.to_dict(),
        "after": outcome.after.to_dict(),
        "comparison": {
            **comparison.to_dict(),
            "fixed": ids[comparison.fixed].tolist(),
            "broken": ids[comparison.broken].tolist(),
        },
        "baselines": [baseline.to_dict() for baseline in outcome.baselines],
        "curation": None if curation is None else curation.to_dict(),
        "chosen": outcome.repaired.chosen,
        "tried": list(outcome.repaired.tried),
        "shifts": list(outcome.shifts),
        "feasibility": None if outcome.feasibility is None else outcome.feasibility.to_dict(),
    }
