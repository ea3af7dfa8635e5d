"""The runs of an investigation as pages use them: read from disk once, and called what people call them."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import select

from core.database import AnalysisRecord, RunRecord
from core.errors import NotFound
from core.retraining.flips import GroupFlips, flips_by_group
from core.retraining.methods import METHODS
from core.retraining.runs import RunResult, open_run, predictions
from pages.parts import state
from pages.parts.words import ago, short

if TYPE_CHECKING:
    import numpy as np
    from sqlalchemy import Select

    from core.activations.store import Analysis
    from core.workspace import Workspace

# files of a run that say what it found, and what people wrote about it
_READ = ("result.json", "remarks.json")


def finished_runs(analysis_id: str) -> dict[str, RunResult]:
    """By id, the newest first. Each is parsed again only when its files changed."""
    return _opened_all(select(RunRecord.id).where(RunRecord.analysis_id == analysis_id))


def runs_of_dataset(dataset_id: str) -> dict[str, RunResult]:
    """The same of every investigation of a dataset: what other models came to on its images."""
    query = select(RunRecord.id).join(AnalysisRecord, AnalysisRecord.id == RunRecord.analysis_id)
    return _opened_all(query.where(AnalysisRecord.dataset_id == dataset_id))


def _opened_all(query: Select[tuple[str]]) -> dict[str, RunResult]:
    workspace = state.workspace()
    finished = query.where(RunRecord.finished.is_not(None)).order_by(RunRecord.created.desc())
    with workspace.reading() as session:
        ids = session.scalars(finished).all()
    found = {}
    for run_id in ids:
        stamps = tuple(_stamp(workspace.runs / run_id / name) for name in _READ)
        # one that was deleted has no result here any more
        if stamps[0]:
            found[run_id] = _opened(workspace, run_id, stamps)
    return found


def _stamp(path: Path) -> int:
    """When a file was written; 0 for one that is not there."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


@lru_cache(maxsize=512)
def _opened(workspace: Workspace, run_id: str, stamps: tuple[int, ...]) -> RunResult:
    """stamps: so that what changed on disk is read again."""
    return open_run(workspace, run_id)


def opened(run_id: str) -> RunResult | None:
    """A run of any investigation; None for one that is not there."""
    try:
        return open_run(state.workspace(), run_id)
    except NotFound:
        return None


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


def when(run: RunResult) -> str:
    """12 minutes ago."""
    try:
        return ago(datetime.fromisoformat(run.created))
    except ValueError:
        return run.created


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
