"""The runs of an investigation as pages use them: read from disk once, and called what people call them."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st
from sqlalchemy import select

from core.database import AnalysisRecord, RunRecord
from core.errors import NotFound, StorageProblem
from core.retraining.flips import GroupFlips, flips_by_group
from core.retraining.methods import METHODS
from core.retraining.run_store import DELETED
from core.retraining.runs import RunResult, damaged_runs, deleted_runs, open_run, order_note, predictions
from pages.parts import state
from pages.parts.words import ago, distinct, short

if TYPE_CHECKING:
    import numpy as np
    from sqlalchemy import Select

    from core.activations.store import Analysis
    from core.workspace import Workspace

# files of a run that say what it found, and what people wrote about it
_READ = ("result.json", "remarks.json")
# ids of the runs that are picked in the table of the Runs page
PICKED = "runs_picked"


def pick(run_ids: list[str]) -> None:
    """Have these picked."""
    st.session_state[PICKED] = run_ids


def finished_runs(analysis_id: str) -> dict[str, RunResult]:
    """By id, the newest first; without those of `damaged`. Each is parsed again only when its files changed."""
    return _opened_all(_of_analysis(analysis_id))


def runs_of_dataset(dataset_id: str) -> dict[str, RunResult]:
    """The same of every investigation of a dataset: what other models came to on its images."""
    query = select(RunRecord.id).join(AnalysisRecord, AnalysisRecord.id == RunRecord.analysis_id)
    return _opened_all(query.where(AnalysisRecord.dataset_id == dataset_id))


def damaged(analysis_id: str) -> dict[str, StorageProblem]:
    """Runs that are there and cannot be read, by id: why. Looked for again only when a file changed."""
    return _damaged(state.workspace(), analysis_id, tuple(_stamped(_of_analysis(analysis_id)).items()))


def deleted(analysis_id: str) -> tuple[RunResult, ...]:
    """Runs that can be brought back, the newest first. Looked for again only when one came or went."""
    workspace = state.workspace()
    return _deleted(workspace, analysis_id, _stamp(workspace.runs / DELETED))


def _of_analysis(analysis_id: str) -> Select[tuple[str]]:
    return select(RunRecord.id).where(RunRecord.analysis_id == analysis_id)


def _opened_all(query: Select[tuple[str]]) -> dict[str, RunResult]:
    workspace = state.workspace()
    found = {}
    for run_id, stamps in _stamped(query).items():
        # one that cannot be read must not hide the others; one may be deleted this moment
        with suppress(StorageProblem, NotFound):
            found[run_id] = _opened(workspace, run_id, stamps)
    return found


def _stamped(query: Select[tuple[str]]) -> dict[str, tuple[int, ...]]:
    """When the files of finished runs were written, by id, the newest run first."""
    workspace = state.workspace()
    with workspace.reading() as session:
        ids = session.scalars(query.where(RunRecord.finished.is_not(None)).order_by(RunRecord.created.desc())).all()
    stamps = {run_id: tuple(_stamp(workspace.runs / run_id / name) for name in _READ) for run_id in ids}
    # one that was deleted has no result here any more
    return {run_id: found for run_id, found in stamps.items() if found[0]}


def _stamp(path: Path) -> int:
    """When a file or folder was written to; 0 for one that is not there."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


@lru_cache(maxsize=512)
def _opened(workspace: Workspace, run_id: str, stamps: tuple[int, ...]) -> RunResult:
    """stamps: so that what changed on disk is read again."""
    return open_run(workspace, run_id)


@lru_cache(maxsize=8)
def _damaged(
    workspace: Workspace, analysis_id: str, stamps: tuple[tuple[str, tuple[int, ...]], ...]
) -> dict[str, StorageProblem]:
    return damaged_runs(workspace, analysis_id)


@lru_cache(maxsize=8)
def _deleted(workspace: Workspace, analysis_id: str, stamp: int) -> tuple[RunResult, ...]:
    return deleted_runs(workspace, analysis_id)


def method_title(name: str) -> str:
    """A run of another version may name a method that this one does not have."""
    return METHODS[name].title if name in METHODS else name


def title(run: RunResult) -> str:
    """What a run is called where there is room for a line; to be escaped."""
    if run.name:
        return run.name
    about = f" · {', '.join(short(name, 24) for name in run.concepts)}" if run.concepts else ""
    return f"{method_title(run.method)}{about}"


def titled(run: RunResult) -> str:
    """The same with when it was made, so that two of a kind are told apart; to be escaped."""
    return f"{title(run)} · {when(run)}"


def titles(runs: dict[str, RunResult]) -> dict[str, str]:
    """`titled` of all, by id, no two alike: a list that is chosen from goes by what it shows."""
    hints = [f"seed {run.seed} · {run.run[:6]}" for run in runs.values()]
    return dict(zip(runs, distinct([titled(run) for run in runs.values()], hints), strict=True))


def model_names() -> dict[str, str]:
    """What the models of all investigations are called, by investigation, no two alike; to be escaped."""
    known = state.investigations()
    names = distinct([one.model_name for one in known], [one.id[:6] for one in known], most=60)
    return dict(zip((one.id for one in known), names, strict=True))


def when(run: RunResult) -> str:
    """12 minutes ago."""
    try:
        return ago(datetime.fromisoformat(run.created))
    except ValueError:
        return run.created


def reordered(run: RunResult, analysis: Analysis) -> str:
    """A sentence where the classes stood in another order when a run of this investigation was measured, else ""; to
    be escaped."""
    return order_note(run, analysis) if run.analysis == analysis.id else ""


def predicted_on_test(analysis: Analysis, run: RunResult) -> np.ndarray:
    """(t,) int64, what the run's model says of the images it was measured on; read only."""
    return _predicted(state.workspace(), analysis, run.run, run.after.split)


@lru_cache(maxsize=8)
def _predicted(workspace: Workspace, analysis: Analysis, run_id: str, split: str) -> np.ndarray:
    return predictions(workspace, analysis, run_id, analysis.split_rows(split))


def flips(analysis: Analysis, run: RunResult) -> tuple[GroupFlips, ...]:
    """Images fixed and broken by group; with a probe to ask, it takes a moment once."""
    return _flips(state.workspace(), analysis, run.run)


@lru_cache(maxsize=16)
def _flips(workspace: Workspace, analysis: Analysis, run_id: str) -> tuple[GroupFlips, ...]:
    return flips_by_group(workspace, analysis, open_run(workspace, run_id))
