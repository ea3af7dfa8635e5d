"""`export_run`: all files of a run in one folder, checked before any of them appears there."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from core.activations.store import open_analysis
from core.concepts.exchange import export_csv
from core.errors import BadRequest
from core.export.page import render
from core.export.report import make_report
from core.files import resolved, storage_problems, write_json
from core.progress import Progress, silent
from core.retraining.runs import open_run, run_head
from core.workspace import Workspace

STEPS = 4


def export_run(workspace: Workspace, run_id: str, out: Path, *, progress: Progress = silent) -> tuple[Path, ...]:
    """Write the repaired model, the tags and a report into `out`, replacing earlier exports there.

    `model.safetensors`, `model.pt` (and `model-torchscript.pt` where TorchScript came in), `tags.csv`, `report.json`,
    `report.html`. The model is read back and has to give the logits of the run before anything is offered. Other files
    in `out` are left alone. Raises `NotFound` for an unknown run, `BadCheckpoint` when the model changed since or the
    check fails, `PathNotFound` when its file is gone, `DiskFull`, `StorageProblem`.
    """
    run = open_run(workspace, run_id)
    analysis = open_analysis(workspace, run.analysis)
    head = run_head(workspace, run.run)
    out = resolved(out, advice="Name a folder for the export.")
    if out.exists() and not out.is_dir():
        raise BadRequest(f"{out} is a file.", next_step="Name a folder for the export.")
    progress(0, STEPS, "Writing the model and reading it back")
    with storage_problems(out / "model.safetensors"):
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out, prefix=".export-") as beside:
            folder = Path(beside)
            # torch is not needed for anything else here
            from core.export.model import write_model

            files = list(write_model(analysis, head, folder))
            progress(2, STEPS, "Writing the tags")
            tags = folder / "tags.csv"
            export_csv(workspace, analysis, tags)
            files.append(tags)
            progress(3, STEPS, "Writing the report")
            report = make_report(workspace, analysis, run.to_dict(), head, files)
            write_json(folder / "report.json", report)
            shown = [image["id"] for images in report["examples"].values() for image in images]
            rows = analysis.rows_of(shown)
            thumbnails = {image: analysis.thumbnail(int(row)) for image, row in zip(shown, rows, strict=True)}
            (folder / "report.html").write_text(render(report, thumbnails), encoding="utf-8")
            files += [folder / "report.json", folder / "report.html"]
            for path in files:
                os.replace(path, out / path.name)
    progress(STEPS, STEPS, "Exported")
    return tuple(out / path.name for path in files)
