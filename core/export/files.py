"""`write_export`: all files of a run in one folder, checked before any of them appears there."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.access import audit
from core.access.policy import Permission, require
from core.access.roots import allowed_path
from core.errors import BadRequest
from core.files import resolved, storage_problems, write_json
from core.locks import alone_in
from core.progress import Progress, silent
from core.workspace import Workspace

CURATION, REPLAY = "curation.parquet", "replay.json"
REPORT = "report.json"
# what an export can be made of: of an earlier one, these are taken away, and only where its report lists them
OWN = re.compile(
    r"model(-as-it-came|-torchscript)?\.\w{1,16}(\.data)?|tags\.csv|curated\.csv|replay\.json|model-card\.md|"
    r"report\.(html|pdf)"
)
ALWAYS = ("model.safetensors", "model.pt", "tags.csv", "model-card.md", REPORT, "report.html", "report.pdf")
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
    weights; any of `FORMATS`. Other files in `out` are left alone; those of an earlier export are all taken away, or
    a format that this one does not have would be that of another run. Of two exports at once the last one stays.

    Raises `BadRequest` for another format, where the images have no labels any more or the classes have become others,
    or where a file would be written over the classifier that was analysed or a folder; `NotFound` for an unknown run,
    `BadCheckpoint` when the model changed since or the weights fail the check, `PathNotFound` when its file is gone,
    `DiskFull`, `StorageProblem`.
    """
    # the page that prints contact sheets comes through this room and needs nothing of it
    from core.activations.store import open_analysis
    from core.concepts.exchange import export_csv
    from core.export.card import model_card
    from core.export.curated import curated_csv
    from core.export.page import render
    from core.export.report import make_report, shown_images
    from core.retraining.result import NETWORK
    from core.retraining.runs import class_places, open_run, run_folder

    require(Permission.EXPORT, f"run {run_id}")
    unknown = [name for name in formats if name not in FORMATS]
    if unknown:
        raise BadRequest(f"{unknown[0]} is no format of models.", next_step=f"Use any of: {', '.join(FORMATS)}.")
    run = open_run(workspace, run_id)
    analysis = open_analysis(workspace, run.analysis)
    analysis.need_labels()
    if class_places(run, analysis) is not None and run.kind == NETWORK:
        raise BadRequest(
            f"Run {run.run} trained the whole network when the classes were in another order.",
            next_step=f"Analyse with the classes in that order ({', '.join(run.classes[:9])}), or train anew.",
            title="The run has its classes in another order",
        )
    out = allowed_path(resolved(out, advice="Name a folder for the export."))
    if out.exists() and not out.is_dir():
        raise BadRequest(f"{out} is a file.", next_step="Name a folder for the export.")
    # before minutes of work; again once it is known which files there are
    _check(out, ALWAYS, analysis.model_file)
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
            write_json(folder / REPORT, report)
            shown = shown_images(report)
            rows = analysis.rows_of(shown)
            thumbnails = {image: analysis.thumbnail(int(row)) for image, row in zip(shown, rows, strict=True)}
            (folder / "report.html").write_text(render(report, thumbnails), encoding="utf-8")
            progress(_MODELS + 2, STEPS, "Printing the report")
            # its library is needed for nothing else
            from core.export.printed import pdf

            refused = [(one.format, one.reason) for one in models.refused]
            try:
                (folder / "report.pdf").write_bytes(pdf(report, thumbnails))
                files.append(folder / "report.pdf")
            except (MemoryError, OSError):
                raise
            except Exception as error:
                # fonts and texts of all kinds go through it: the page says the same, and the models are whole
                refused.append(("PDF", f"It cannot be printed here ({type(error).__name__}); print report.html."))
            files += [folder / name for name in ("model-card.md", "report.html", REPORT)]
            _put(files, out, original=analysis.model_file)
    progress(STEPS, STEPS, "Exported")
    audit.record(workspace, "exported", f"run {run.run}", {"to": str(out)})
    return Exported(tuple(out / path.name for path in files), tuple(refused))


def _put(files: Sequence[Path], out: Path, *, original: Path) -> None:
    """Move files into `out`, in place of an earlier export. Raises `BadRequest`."""
    with alone_in(out):
        _check(out, [path.name for path in files], original)
        earlier = [name for name in _earlier(out) if not _same(out / name, original)]
        # the report goes first and comes last: it lists what is there
        for name in (REPORT, *earlier):
            (out / name).unlink(missing_ok=True)
        for path in files:
            os.replace(path, out / path.name)


def _check(out: Path, names: Collection[str], original: Path) -> None:
    """Raise `BadRequest` where a file of the export would take the place of what is no file of an export."""
    for target in (out / name for name in names):
        if target.is_dir():
            raise BadRequest(f"{target} is a folder.", next_step="Move it away, or name another folder.")
        if _same(target, original):
            raise BadRequest(
                f"{target} is the classifier that was analysed, and the export has a file of that name.",
                next_step="Name another folder for the export.",
            )


def _same(first: Path, second: Path) -> bool:
    return first.exists() and second.exists() and first.samefile(second)


def _earlier(out: Path) -> list[str]:
    """Names of the files that the report of an earlier export lists."""
    try:
        listed = json.loads((out / REPORT).read_text(encoding="utf-8"))["files"]
        names = [str(file["file"]) for file in listed]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return []
    return [name for name in names if OWN.fullmatch(name) and not (out / name).is_dir()]


def _part(progress: Progress) -> Callable[..., None]:
    """The progress of the models as a part of the whole."""
    return lambda done, total, message="": progress(int(_MODELS * done / total) if total else 0, STEPS, message)
