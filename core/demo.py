"""The demo workspace: drawn birds, a classifier that goes by the background, and its analysis, ready to explore."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from core.activations.store import Analysis, has_analysis, open_analysis, touch
from core.database import Meta
from core.datasets import Dataset, open_dataset
from core.errors import PathNotFound
from core.files import file_digest, replacing
from core.progress import Progress, silent
from core.workspace import Workspace

MODEL = Path(__file__).resolve().parent.parent / "assets" / "demo.safetensors"
SEED = 0
# what a visitor is likely to call what sits where it should not
CONCEPT = "water background"
_RECORD = "demo"


def make_demo(workspace: Workspace, *, progress: Progress = silent) -> Analysis:
    """Draw the birds, analyse them with the shipped classifier, and make that the latest analysis.

    What is there already is kept: a second call takes a moment and needs no torch. The classifier is copied into the
    workspace, so that the workspace can be moved. No tags are made: naming the confounder is the visitor's part.
    Raises `PathNotFound` when the shipped classifier is missing.
    """
    if not MODEL.is_file():
        raise PathNotFound(
            f"The demo's classifier is not at {MODEL}.",
            next_step="Train it with `make demo-model`, or restore the file from the repository.",
        )
    dataset = _birds(workspace, progress)
    version = [file_digest(MODEL), dataset.fingerprint]
    known = _recorded(workspace, version)
    if known is not None and has_analysis(workspace, known):
        touch(workspace, known)
        return open_analysis(workspace, known)

    from core.activations.extraction import analyse
    from core.classifiers.classifier import load_classifier

    # exactly what the README shows, on any machine
    classifier = load_classifier(_copied_model(workspace))
    analysis = analyse(workspace, dataset, classifier, precision="fp32", progress=progress)
    with workspace.writing() as session:
        session.merge(Meta(key=_RECORD, value=json.dumps({"version": version, "analysis": analysis.id})))
    return analysis


def find_demo(workspace: Workspace) -> str | None:
    """Id of the demo's analysis if it has been made in this workspace."""
    with workspace.reading() as session:
        record = session.get(Meta, _RECORD)
    known = json.loads(record.value)["analysis"] if record is not None else None
    return known if known is not None and has_analysis(workspace, known) else None


def _birds(workspace: Workspace, progress: Progress) -> Dataset:
    folder = workspace.datasets / "birds"
    if not folder.exists():
        from core.synthetic.birds import make_birds

        # appears whole or not at all, so a folder that exists is complete
        make_birds(folder, seed=SEED, progress=progress)
    return open_dataset(folder)


def _copied_model(workspace: Workspace) -> Path:
    target = workspace.models / "demo.safetensors"
    if not target.is_file() or file_digest(target) != file_digest(MODEL):
        with replacing(target) as beside:
            shutil.copyfile(MODEL, beside)
    return target


def _recorded(workspace: Workspace, version: list[str]) -> str | None:
    with workspace.reading() as session:
        record = session.get(Meta, _RECORD)
    if record is None:
        return None
    made = json.loads(record.value)
    return made["analysis"] if made["version"] == version else None
