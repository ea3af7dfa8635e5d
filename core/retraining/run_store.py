"""Runs on disk.

<workspace>/runs/<id>/
  head.safetensors     the new last layer (core/classifiers/head.py); of a run that trained the whole network too
  model.safetensors    the whole network, logits.npy (n, k) float32 what it says of every image: only where it was
                       trained
  curation.parquet     one line per image it was fitted on: image, row, class, group, weight, reason
  replay.json          everything that is needed to have the run again (replay.py)
  result.json          `RunResult.to_dict()`; written last: a folder with one is whole
  remarks.json         name and note, what people wrote about it
  training/            checkpoints of a network under way; removed at the end
<workspace>/runs/.deleted/<id>/   the same of runs that were deleted
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import select

from core.access import audit
from core.access.policy import Permission, require
from core.classifiers.head import Head, load_head
from core.concepts.log import clean_line
from core.database import RunRecord, now
from core.errors import BadRequest, NotFound, StorageProblem
from core.files import json_text, read_array, read_json, replacing, storage_problems, write_array, write_json
from core.retraining.curation import Curation
from core.retraining.result import RunResult, run_from_dict
from core.storage.checksums import resized, seal, unseal
from core.workspace import Workspace

if TYPE_CHECKING:
    from core.activations.store import Analysis

HEAD, RESULT, CURATION = "head.safetensors", "result.json", "curation.parquet"
WEIGHTS, LOGITS, TRAINING = "model.safetensors", "logits.npy", "training"
REPLAY, REMARKS = "replay.json", "remarks.json"
DELETED = ".deleted"
LONGEST_NAME, LONGEST_NOTE, LONGEST_ID = 200, 10_000, 100


def new_run_id() -> str:
    return secrets.token_hex(6)


def run_folder(workspace: Workspace, run_id: str) -> Path:
    """Where a run lies, or will. Raises `NotFound` for what cannot be an id."""
    # ids come from people too: only what `new_run_id` and jobs make may become a path
    if not 0 < len(run_id) <= LONGEST_ID or not all(character.isalnum() or character in "-_" for character in run_id):
        raise NotFound(f"“{run_id[:50]}” is not the id of a run.", next_step="Use the id that `retrain` printed.")
    return workspace.runs / run_id


def open_run(workspace: Workspace, run_id: str | None = None) -> RunResult:
    """A finished run; None means the latest. Raises `NotFound`, or `StorageProblem` for one that cannot be read."""
    if run_id is None:
        latest = latest_run(workspace)
        if latest is None:
            raise NotFound("There is no run yet.", next_step="Retrain first: `python -m core retrain --wait`.")
        return latest
    return _read(_finished(workspace, run_id))


def _finished(workspace: Workspace, run_id: str) -> Path:
    """The folder of a finished run. Raises `NotFound`."""
    folder = run_folder(workspace, run_id)
    if not (folder / RESULT).is_file():
        if (workspace.runs / DELETED / run_id / RESULT).is_file():
            raise NotFound(f"Run {run_id} was deleted.", next_step="Restore it, or use another run.")
        raise NotFound(
            f"There is no finished run {run_id}.",
            next_step="See whether its job is still running or failed; `compare` without --run takes the latest.",
        )
    return folder


def _read(folder: Path) -> RunResult:
    try:
        # half a result is no JSON, which says so itself
        if torn := resized(folder, but=(RESULT,)):
            raise ValueError(f"{torn[0].name} {torn[0].reason}")
        return _with_remarks(run_from_dict(read_json(folder / RESULT)), folder)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ZeroDivisionError, RecursionError) as error:
        # half a file, one that somebody edited, one of a version that wrote something else
        raise StorageProblem(
            f"The result of run {folder.name} cannot be read ({type(error).__name__}: {error}).",
            next_step="Have it again from its replay.json (`python -m core replay`), retrain, or delete it.",
            title="The run cannot be read",
        ) from error


def _readable(folders: Iterable[Path]) -> Iterator[RunResult]:
    """Those that are there and can be read: one that cannot must not hide the others."""
    for folder in folders:
        with suppress(StorageProblem):
            if (folder / RESULT).is_file():
                yield _read(folder)


def list_runs(workspace: Workspace, analysis_id: str | None = None) -> tuple[RunResult, ...]:
    """Finished runs, latest first; of one analysis when given. Without those of `damaged_runs`."""
    return tuple(_readable(run_folder(workspace, run_id) for run_id in _recorded_ids(workspace, analysis_id)))


def latest_run(workspace: Workspace, analysis_id: str | None = None) -> RunResult | None:
    """The first of `list_runs`, without reading the others; None where there is none."""
    return next(_readable(run_folder(workspace, run_id) for run_id in _recorded_ids(workspace, analysis_id)), None)


def damaged_runs(workspace: Workspace, analysis_id: str | None = None) -> dict[str, StorageProblem]:
    """Finished runs that cannot be read, by id: why. `delete_run` puts them aside."""
    found = {}
    for run_id in _recorded_ids(workspace, analysis_id):
        try:
            if (run_folder(workspace, run_id) / RESULT).is_file():
                open_run(workspace, run_id)
        except StorageProblem as problem:
            found[run_id] = problem
        except NotFound:
            # deleted meanwhile
            continue
    return found


def deleted_runs(workspace: Workspace, analysis_id: str | None = None) -> tuple[RunResult, ...]:
    """Runs that `restore_run` brings back, latest first; of one analysis when given."""
    place = workspace.runs / DELETED
    return tuple(_readable(place / run_id for run_id in _recorded_ids(workspace, analysis_id)))


def _recorded_ids(workspace: Workspace, analysis_id: str | None = None) -> Sequence[str]:
    query = select(RunRecord.id).where(RunRecord.finished.is_not(None)).order_by(RunRecord.created.desc())
    if analysis_id is not None:
        query = query.where(RunRecord.analysis_id == analysis_id)
    with workspace.reading() as session:
        return session.scalars(query).all()


def run_head(workspace: Workspace, run_id: str, analysis: Analysis | None = None) -> Head:
    """The new last layer of a run, for the features of its analysis, its classes in the order that they have there now.

    analysis: that of the run, opened here when left out. Raises `PathNotFound`, `BadCheckpoint`, or `BadRequest` for a
    run that trained the whole network (its last layer belongs to features of its own) or has other classes.
    """
    folder = run_folder(workspace, run_id)
    if (folder / LOGITS).is_file():
        raise BadRequest(
            f"Run {run_id} trained the whole network, so its last layer says nothing of the features stored here.",
            next_step="Export it and analyse the exported model to look at its bands.",
        )
    head, places = load_head(folder / HEAD), _places(workspace, run_id, analysis)
    return head if places is None else Head(head.weight[places], head.bias[places])


def class_places(run: RunResult, analysis: Analysis) -> np.ndarray | None:
    """Where each class of the analysis stands among the outputs of a run: (k,) int64, None where all are in place.

    A run that does not say its classes was written by an earlier version: they are taken to be those of the analysis.
    Raises `BadRequest` where the classes have become others.
    """
    if run.classes in ((), analysis.classes):
        return None
    if sorted(run.classes) != sorted(analysis.classes):
        raise BadRequest(
            f"Run {run.run} was made when the classes were {_some(run.classes)}; now they are "
            f"{_some(analysis.classes)}.",
            next_step="Analyse the images with the classes as they were, or retrain.",
            title="The run has other classes",
        )
    return np.array([run.classes.index(name) for name in analysis.classes], dtype=np.int64)


def order_note(run: RunResult, analysis: Analysis) -> str:
    """A sentence where the classes stand in another order than when a run was measured, else empty."""
    if sorted(run.classes) != sorted(analysis.classes) or run.classes == analysis.classes:
        return ""
    return (
        f"The order of the classes has changed since this run ({_some(run.classes)} then): its outputs are matched by "
        "name, and its figures, also of the model before, are those of that time. Retrain to have them anew."
    )


def _some(names: Sequence[str], most: int = 10) -> str:
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest:,} more" if rest > 0 else "")


def _places(workspace: Workspace, run_id: str, analysis: Analysis | None) -> np.ndarray | None:
    from core.activations.store import open_analysis

    try:
        run = _read(run_folder(workspace, run_id))
        return class_places(run, open_analysis(workspace, run.analysis) if analysis is None else analysis)
    except (StorageProblem, NotFound):
        # a run without its result, or without its analysis, has nothing that could be in another order
        return None


def run_logits(workspace: Workspace, analysis: Analysis, run_id: str, rows: np.ndarray) -> np.ndarray:
    """What the model of a run says of some rows of its analysis: (m, k) float32.

    Of a head: computed from the stored features. Of a whole network: as it was stored, since its features are others.
    Columns are in the order of the analysis's classes. Raises `NotFound`, `PathNotFound`, `BadCheckpoint`, `BadRequest`
    where the classes have become others, or `StorageProblem` for stored logits that are damaged.
    """
    stored = run_folder(workspace, run_id) / LOGITS
    if not stored.is_file():
        return run_head(workspace, run_id, analysis).logits(analysis.features[rows])
    try:
        logits = read_array(stored)
        if logits.shape != analysis.logits.shape:
            raise ValueError(f"it has the shape {logits.shape}, not {analysis.logits.shape}")
    except (OSError, ValueError) as error:
        raise StorageProblem(
            f"What run {run_id} says of the images cannot be read ({error}).",
            next_step="Run it again; the settings are kept.",
        ) from error
    found, places = np.asarray(logits[rows], dtype=np.float32), _places(workspace, run_id, analysis)
    return found if places is None else found[:, places]


def predictions(workspace: Workspace, analysis: Analysis, run_id: str, rows: np.ndarray) -> np.ndarray:
    """What a run's model predicts for some rows of its analysis: (m,) int64."""
    return run_logits(workspace, analysis, run_id, rows).argmax(axis=1)


def note_run(workspace: Workspace, run_id: str, *, name: str | None = None, note: str | None = None) -> RunResult:
    """Write down what a person calls a run, or says of it; None leaves it as it is, "" takes it away.

    name: one line. note: may have lines. Raises `NotAllowed`, `NotFound`, `BadRequest` for too long a
    text.
    """
    require(Permission.NOTE, run_id)
    run = open_run(workspace, run_id)
    given = {"name": name, "note": note}
    kept = {key: getattr(run, key) if text is None else _clean(key, text) for key, text in given.items()}
    write_json(run_folder(workspace, run_id) / REMARKS, kept)
    audit.record(workspace, "noted", f"run {run_id}")
    return replace(run, name=kept["name"], note=kept["note"])


def _clean(what: str, text: str) -> str:
    cleaned = clean_line(text) if what == "name" else "\n".join(clean_line(line) for line in text.splitlines()).strip()
    longest = LONGEST_NAME if what == "name" else LONGEST_NOTE
    if len(cleaned) > longest:
        raise BadRequest(
            f"The {what} of a run has {len(cleaned):,} characters; {longest:,} are the most.",
            next_step="Shorten it." if what == "note" else "Put the rest into the note.",
        )
    return cleaned


def _with_remarks(run: RunResult, folder: Path) -> RunResult:
    try:
        remarks = read_json(folder / REMARKS)
        return replace(run, name=str(remarks["name"]), note=str(remarks["note"]))
    except FileNotFoundError:
        return run
    except (OSError, ValueError, KeyError, TypeError):
        # a damaged remark must not keep anybody from the figures
        return run


def delete_run(workspace: Workspace, run_id: str) -> None:
    """Put a run aside, whole: `restore_run` brings it back. Raises `NotFound`, `NotAllowed`."""
    require(Permission.DELETE, f"run {run_id}")
    _move(_finished(workspace, run_id), workspace.runs / DELETED / run_id)
    audit.record(workspace, "deleted", f"run {run_id}")


def restore_run(workspace: Workspace, run_id: str) -> RunResult:
    """Bring a deleted run back as it was. Raises `NotFound`, `BadRequest` when a run of that id is there, or
    `StorageProblem` for one that cannot be read: it is back then, and still cannot."""
    require(Permission.DELETE, f"run {run_id}")
    folder = run_folder(workspace, run_id)
    aside = workspace.runs / DELETED / run_id
    if not (aside / RESULT).is_file():
        raise NotFound(f"There is no deleted run {run_id}.", next_step="Reload the page: it may be back already.")
    if (folder / RESULT).is_file():
        raise BadRequest(f"A run {run_id} is there already.", next_step="Delete that one first.")
    _move(aside, folder)
    audit.record(workspace, "brought back", f"run {run_id}")
    return open_run(workspace, run_id)


def _move(source: Path, target: Path) -> None:
    with storage_problems(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        # what lies there has no result, or was deleted before
        shutil.rmtree(target, ignore_errors=True)
        try:
            os.replace(source, target)
        except FileNotFoundError:
            raise NotFound("The run is not there any more.", next_step="Reload the page.") from None


def rerun_request(run: RunResult, *, seed: int | None = None) -> dict[str, Any]:
    """A job's request for the same retraining, with the tags as they are now."""
    request: dict[str, Any] = {
        "analysis": run.analysis,
        "method": run.method,
        "concepts": list(run.concepts),
        "seed": run.seed if seed is None else seed,
        "run": new_run_id(),
    }
    if run.settings:
        request["settings"] = dict(run.settings)
    if run.edits:
        request["edits"] = run.edits
    return request


def write_curation(folder: Path, analysis: Analysis, curation: Curation) -> None:
    table = pa.table(
        {
            "image": pa.array(analysis.image_names(curation.rows), pa.string()),
            "row": curation.rows,
            "class": [analysis.classes[label] for label in curation.labels],
            "group": curation.groups,
            "weight": curation.weights,
            "reason": curation.reasons.tolist(),
        }
    )
    with replacing(folder / CURATION) as beside:
        pq.write_table(table, beside)


def write_network(folder: Path, weights: Path, logits: np.ndarray) -> None:
    """Keep a trained network. logits: (n, k) float32."""
    write_array(folder / LOGITS, np.asarray(logits, dtype=np.float32))
    # not moved: a process killed before the result is written must find its checkpoints whole
    with replacing(folder / WEIGHTS) as beside:
        shutil.copyfile(weights, beside)


def write_result(folder: Path, result: RunResult) -> None:
    """The last file of a run; what all of them are is written down right before, so that no run is listed without."""
    without = (REMARKS, TRAINING)
    if again := (folder / RESULT).exists():
        unseal(folder)
    with replacing(folder / RESULT) as beside:
        beside.write_text(json_text(result.to_dict()), encoding="utf-8")
        if not again:
            seal(folder, without=without, coming={RESULT: beside})
    if again:
        seal(folder, without=without)


def record_run(workspace: Workspace, result: RunResult, created: datetime) -> None:
    """Make a run known to the database, so that it is listed."""
    with workspace.writing() as session:
        session.merge(
            RunRecord(
                id=result.run,
                analysis_id=result.analysis,
                method=result.method,
                settings={
                    "concepts": list(result.concepts),
                    "seed": result.seed,
                    "tags": result.tags,
                    "data": result.data,
                    "settings": result.settings,
                    "edits": result.edits,
                },
                created=created,
                finished=now(),
            )
        )
