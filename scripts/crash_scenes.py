"""What the crash harness kills: tagging, analysing, retraining and exporting on a small planted dataset.

Each scene is work that a person starts and a look at what is on disk afterwards. The harness (crash.py) runs the work
in a process group of its own, kills that at some point, looks, starts the same work again and looks once more.
"""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from core.storage.checksums import changed
from core.workspace import DATABASE, open_workspace

IMAGES, SIZE, ACTIONS = 192, 32, 40
RUN = "crash-run"
CHECKSUMS = "checksums.json"
# of a PDF: when it was made, and the name that its library makes of that
PRINTED_AT = re.compile(rb"/(CreationDate|ModDate) ?\([^)]*\)|/ID ?\[[^]]*\]")
# of one file or row to the next run: when it was made, how long it took, what the job was called
TIMES = frozenset(
    {"created", "finished", "started", "used", "seconds", "at", "made", "written", "date", "when", "generated", "job"}
)

Acknowledge = Callable[[int], None]


@dataclass(frozen=True)
class Scene:
    """work(root, begin, acknowledge): all of it from step `begin` on; of a job there is one step. seen(root): what is
    finished and can be read now, part by part, as hashes; nothing that is half made may be among it. base: the scene
    whose result it starts from."""

    work: Callable[[Path, int, Acknowledge], None]
    seen: Callable[[Path], dict[str, str]]
    base: str
    steps: int = 1


def prepare(root: Path) -> None:
    """A workspace below `root` with images and a classifier; the same bytes each time."""
    import torch

    from core.classifiers.architectures import build
    from core.classifiers.checkpoint import ModelDescription, write_checkpoint
    from core.classifiers.preprocessing import squeezed
    from core.synthetic.birds import make_birds

    make_birds(root / "birds", n=IMAGES, size=SIZE, seed=1, processes=1)
    torch.manual_seed(0)
    write_checkpoint(
        root / "model.safetensors",
        build("small", 2).state_dict(),
        ModelDescription(arch="small", preprocessing=squeezed(24), classes=("landbird", "waterbird")),
    )
    open_workspace(root / "workspace")


# jobs: the worker's own main, as the launcher would start it ---------------------------------------------------------


def _job(root: Path, kind: str, request: dict[str, Any]) -> None:
    from core.jobs import get_job, worker
    from core.jobs.queue import submit

    workspace = open_workspace(root / "workspace")
    job = submit(workspace, kind, kind, request)
    worker.main(["--workspace", str(workspace.root), "--job", job.id])
    ended = get_job(workspace, job.id)
    if ended.state != "done":
        raise RuntimeError(f"{kind} is {ended.state}: {ended.error}")


def _analyse(root: Path, begin: int, acknowledge: Acknowledge) -> None:
    from core.activations import extraction

    # two batches a note, so that kills fall between notes as they do in hours of work
    extraction.NOTE_EVERY = 0.0
    request = {"data": str(root / "birds"), "model": str(root / "model.safetensors"), "precision": "fp32"}
    _job(root, "analyse", request)
    acknowledge(0)


def _retrain(root: Path, begin: int, acknowledge: Acknowledge) -> None:
    request = {"analysis": _analysis_id(root), "method": "mid-tags", "concepts": ["water"], "seed": 1, "run": RUN}
    _job(root, "retrain", request)
    acknowledge(0)


def _export(root: Path, begin: int, acknowledge: Acknowledge) -> None:
    from core.export import report

    # printed to the minute, and minutes pass between the runs that are compared
    with patch.object(report, "now", lambda: datetime(2026, 1, 1)):
        _job(root, "export", {"run": RUN, "out": str(root / "out"), "formats": []})
    acknowledge(0)


def _analysis_id(root: Path) -> str:
    from core.activations.store import open_analysis

    return open_analysis(open_workspace(root / "workspace")).id


# tagging: acknowledged action by action ------------------------------------------------------------------------------


def _tag(root: Path, begin: int, acknowledge: Acknowledge) -> None:
    from core.activations.store import open_analysis
    from core.concepts.concept import create_concept, get_concept
    from core.concepts.tags import redo, tag, undo

    workspace = open_workspace(root / "workspace")
    analysis = open_analysis(workspace)
    shows = analysis.attributes[0].codes == 1
    for step in range(begin, ACTIONS):
        rng = np.random.default_rng(step)
        author = ("ann", "ben")[step % 2]
        if step == 0:
            create_concept(workspace, analysis.dataset_id, "water")
        elif step % 9 == 7:
            undo(workspace, analysis.dataset_id, author)
        elif step % 18 == 9:
            redo(workspace, analysis.dataset_id, author)
        else:
            concept = get_concept(workspace, analysis.dataset_id, "water")
            rows = rng.choice(analysis.n, size=24, replace=False)
            present = bool(step % 4 < 2)
            tag(workspace, analysis, concept, rows[shows[rows] == present], present, author=author)
        acknowledge(step)


# what is there --------------------------------------------------------------------------------------------------------


def tags_seen(root: Path) -> dict[str, str]:
    """The whole log and what holds, as it lies in the database, without its times."""
    with closing(sqlite3.connect(f"file:{root / 'workspace' / DATABASE}?mode=ro", uri=True)) as database:
        parts = {}
        for table in ("concepts", "concept_changes", "tag_actions", "tags", "standing_tags"):
            columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
            if not columns:
                raise LookupError(f"The database has no table {table}.")
            rows = database.execute(f"SELECT * FROM {table}").fetchall()  # noqa: S608
            kept = [[_untimed(name, value) for name, value in zip(columns, row, strict=True)] for row in rows]
            parts[table] = _hash(json.dumps(sorted(kept, key=str)).encode())
        return parts


def _untimed(name: str, value: Any) -> Any:
    # an undo is a time where there is one: that there is one stays
    return value is not None if name in TIMES | {"undone", "deleted", "stamp"} else value


def _analyses_seen(root: Path) -> dict[str, str]:
    """Every analysis that the workspace offers, read whole."""
    from sqlalchemy import select

    from core.activations.store import has_analysis, open_analysis
    from core.database import AnalysisRecord

    workspace = open_workspace(root / "workspace")
    with workspace.reading() as session:
        listed = set(session.scalars(select(AnalysisRecord.id)))
    whole = {folder.name for folder in _folders(workspace.analyses) if has_analysis(workspace, folder.name)}
    seen = {}
    for one in sorted(listed & whole):
        analysis = open_analysis(workspace, one)
        arrays = {"features": analysis.features, "logits": analysis.logits, "head": analysis.head.weight}
        arrays |= {"labels": analysis.labels, "predicted": analysis.predicted}
        seen |= {f"{one} {name}": _hash(np.ascontiguousarray(array).tobytes()) for name, array in arrays.items()}
        seen |= {f"{one}/{name}": value for name, value in _files(analysis.folder).items()}
        seen |= {f"{one} is damaged": str(found) for found in changed(analysis.folder)}
    return seen


def _runs_seen(root: Path) -> dict[str, str]:
    from core.activations.store import open_analysis
    from core.retraining.runs import damaged_runs, list_runs, run_folder, run_head, run_logits

    workspace = open_workspace(root / "workspace")
    seen = {f"damaged {run}": str(problem) for run, problem in damaged_runs(workspace).items()}
    for run in list_runs(workspace):
        analysis = open_analysis(workspace, run.analysis)
        head = run_head(workspace, run.run)
        seen[f"{run.run} head"] = _hash(head.weight.tobytes() + head.bias.tobytes())
        logits = run_logits(workspace, analysis, run.run, np.arange(analysis.n))
        seen[f"{run.run} logits"] = _hash(np.ascontiguousarray(logits).tobytes())
        folder = run_folder(workspace, run.run)
        seen |= {f"{run.run}/{name}": value for name, value in _files(folder).items()}
        seen |= {f"{run.run} is damaged": str(found) for found in changed(folder)}
    return seen


def _exports_seen(root: Path) -> dict[str, str]:
    """The files of an export once its report is there, which comes last."""
    from core.export.files import REPORT

    out = root / "out"
    return _files(out) if (out / REPORT).is_file() else {}


def _folders(place: Path) -> list[Path]:
    return (
        [path for path in place.iterdir() if path.is_dir() and not path.name.startswith(".")] if place.is_dir() else []
    )


def _files(folder: Path) -> dict[str, str]:
    """Hash of every file; times inside of JSON are left out, hidden files and folders too."""
    found = {}
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if path.is_file() and not any(part.startswith(".") for part in inside.parts):
            found[str(inside)] = _hash(_content(path))
    return found


def _content(path: Path) -> bytes:
    if path.name == CHECKSUMS:
        # of files that hold times, the sums differ from run to run
        sums = _plain(json.loads(path.read_text(encoding="utf-8")))
        return json.dumps(_without_json(sums), sort_keys=True).encode()
    if path.suffix == ".json":
        return json.dumps(_plain(json.loads(path.read_text(encoding="utf-8"))), sort_keys=True).encode()
    return PRINTED_AT.sub(b"", path.read_bytes()) if path.suffix == ".pdf" else path.read_bytes()


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items() if key not in TIMES}
    return [_plain(one) for one in value] if isinstance(value, list) else value


def _without_json(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_json(one) for key, one in value.items() if not key.endswith(".json")}
    return value


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def damage(root: Path) -> list[str]:
    """What the database says of itself: empty when it is whole."""
    with closing(sqlite3.connect(root / "workspace" / DATABASE)) as database:
        found = [row[0] for row in database.execute("PRAGMA integrity_check") if row[0] != "ok"]
        return found + [f"foreign key: {row}" for row in database.execute("PRAGMA foreign_key_check")]


SCENES = {
    "analyse": Scene(_analyse, _analyses_seen, base=""),
    "tagging": Scene(_tag, tags_seen, base="analyse", steps=ACTIONS),
    "retrain": Scene(_retrain, _runs_seen, base="tagging"),
    "export": Scene(_export, _exports_seen, base="retrain"),
}
