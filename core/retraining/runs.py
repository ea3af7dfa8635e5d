"""Runs: retrainings from tags to a measured, stored model. What pages, commands and jobs use.

result.py      what a run found                    run_store.py  runs on disk: open, list, note, delete, restore
retraining.py  make one                            comparing.py  two side by side
replay.py      have one again, to the last digit   bakeoff.py    all methods on the same images
"""

from __future__ import annotations

from core.retraining.comparing import RunComparison, compare_runs
from core.retraining.edits import CurationEdits, edits_from_dict
from core.retraining.feasibility import Feasibility, feasibility
from core.retraining.measuring import NO_PERSON
from core.retraining.result import Baseline, RunResult
from core.retraining.retraining import CURATING, check_request, preview, retrain
from core.retraining.run_store import (
    class_places,
    damaged_runs,
    delete_run,
    deleted_runs,
    latest_run,
    list_runs,
    new_run_id,
    note_run,
    open_run,
    order_note,
    predictions,
    rerun_request,
    restore_run,
    run_folder,
    run_head,
    run_logits,
)

__all__ = [
    "CURATING",
    "NO_PERSON",
    "Baseline",
    "CurationEdits",
    "Feasibility",
    "RunComparison",
    "RunResult",
    "check_request",
    "class_places",
    "compare_runs",
    "damaged_runs",
    "delete_run",
    "deleted_runs",
    "edits_from_dict",
    "feasibility",
    "latest_run",
    "list_runs",
    "new_run_id",
    "note_run",
    "open_run",
    "order_note",
    "predictions",
    "preview",
    "rerun_request",
    "restore_run",
    "retrain",
    "run_folder",
    "run_head",
    "run_logits",
]
