"""`write_export`: all files of a run in one folder, checked before any of them appears there."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import BadRequest
from core.files import resolved, storage_problems, write_json
from core.progress import Progress, silent
from core.workspace import Workspace

CURATION, REPLAY = "curation.parquet", "replay.json"
# formats of models that can be left out (`core.export.model.OPTIONAL`, which needs torch)
FORMATS = ("torchscript", "torch.export", "onnx")
# of the progress: models take most of the time
_MODELS, STEPS = 7, 10


@dataclass(frozen=True)
class Exported:
    """files: all that was written. refused: (format, why) of each that could not be: the others are whole."""

    files: tuple[Path, ...]
    refused: tuple[tuple[str, str], ...]

    def to_dict(self) -> dict[str, Any]:
        return {
            "files": [str(path) for path in self.files],
            "refused": [{"format": name, "reason": reason} for name, reason in self.refused],
        }


def export_run(
    workspace: Workspace, run_id: str, out: Path, *, formats: Collection[str] = FORMATS, progress: Progress = silent
) -> tuple[Path, ...]:
    """The files of `write_export`."""
    return write_export(workspace, run_id, out, formats=formats, progress=progress).files


def write_export(
    workspace: Workspace,
    run_id: str,
    out: Path,
    *,
    formats: Collection[str] = FORMATS,
    progress: Progress = silent,
) -> Exported:
    """Write the repaired model, what it was made from, and a report into `out`, replacing earlier exports there.

    Models: see `core.export.model.write_model`. With them `tags.csv`, `curated.csv` (where images were chosen),
    `replay.json` (of runs that can be had again), `model-card.md`, `report.json`, `report.html`, `report.pdf`. Every
    model is read back and has to give the logits of the run before it is offered. formats: of the models, besides the
    weights; any of `FORMATS`. Other files in `out` are left alone.

    Raises `BadRequest` for another format, `NotFound` for an unknown run, `BadCheckpoint` when the model changed since
    or the weights fail the check, `PathNotFound` when its file is gone, `DiskFull`, `StorageProblem`.
    """
    # the page that prints contact sheets comes through this room and needs nothing of it
    from core.activations.store import open_analysis
    from core.concepts.exchange import export_csv
    from core.export.card import model_card
    from core.export.curated import curated_csv
    from core.export.page import render
    from core.export.report import make_report, shown_images
    from core.retraining.runs import open_run, run_folder

    unknown = [name for name in formats if name not in FORMATS]
    if unknown:
        raise BadRequest(f"{unknown[0]} is no format of models.", next_step=f"Use any of: {', '.join(FORMATS)}.")
    run = open_run(workspace, run_id)
    analysis = open_analysis(workspace, run.analysis)
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

            models = write_model(workspace, analysis, run.run, folder, formats=formats, progress=_part(progress))
            files = list(models.paths)
            progress(_MODELS, STEPS, "Writing tags and images")
            tags = folder / "tags.csv"
            export_csv(workspace, analysis, tags)
            files.append(tags)
            stored = run_folder(workspace, run.run)
            if (stored / CURATION).is_file():
                (folder / "curated.csv").write_bytes(curated_csv(stored / CURATION, run.to_dict()))
                files.append(folder / "curated.csv")
            if (stored / REPLAY).is_file():
                shutil.copyfile(stored / REPLAY, folder / REPLAY)
                files.append(folder / REPLAY)
            progress(_MODELS + 1, STEPS, "Writing the report")
            report = make_report(workspace, analysis, run.to_dict(), models, files)
            (folder / "model-card.md").write_text(model_card(report), encoding="utf-8")
            write_json(folder / "report.json", report)
            shown = shown_images(report)
            rows = analysis.rows_of(shown)
            thumbnails = {image: analysis.thumbnail(int(row)) for image, row in zip(shown, rows, strict=True)}
            (folder / "report.html").write_text(render(report, thumbnails), encoding="utf-8")
            progress(_MODELS + 2, STEPS, "Printing the report")
            # its library is needed for nothing else
            from core.export.printed import pdf

            (folder / "report.pdf").write_bytes(pdf(report, thumbnails))
            files += [folder / name for name in ("model-card.md", "report.json", "report.html", "report.pdf")]
            for path in files:
                os.replace(path, out / path.name)
    progress(STEPS, STEPS, "Exported")
    return Exported(tuple(out / path.name for path in files), tuple((one.format, one.reason) for one in models.refused))


def _part(progress: Progress) -> Callable[..., None]:
    """The progress of the models as a part of the whole."""
    return lambda done, total, message="": progress(int(_MODELS * done / total) if total else 0, STEPS, message)
