"""Opening the analyses that a workspace has."""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path

from sqlalchemy import select

from core.activations.store.analysis import Analysis
from core.activations.store.files import DESCRIPTION, attribute_file, mapped
from core.classifiers.head import load_head
from core.database import AnalysisRecord, now
from core.datasets.choices import choices_from_dict
from core.datasets.dataset import Attribute, Problem
from core.errors import BadCheckpoint, NotFound, PathNotFound, StorageProblem
from core.files import read_json
from core.storage.checksums import resized
from core.workspace import Workspace


def open_analysis(workspace: Workspace, analysis_id: str | None = None) -> Analysis:
    """Open an analysis, the one used last when none is named. Raises `NotFound`, or `StorageProblem` when damaged.

    Opening maps files and reads a small description: its time does not grow with n. The same object is given back
    until the analysis is written again.
    """
    if analysis_id is None:
        with workspace.reading() as session:
            latest = session.scalar(select(AnalysisRecord.id).order_by(AnalysisRecord.used.desc()).limit(1))
        if latest is None:
            raise NotFound("There is no analysis yet.", next_step="Load a dataset and a model, or open the demo.")
        analysis_id = latest
    folder = workspace.analyses / Path(analysis_id).name
    try:
        changed = (folder / DESCRIPTION).stat().st_mtime_ns
    except OSError:
        raise NotFound(
            f"There is no analysis {analysis_id!r} in this workspace.",
            next_step="Choose one of those listed, or analyse the dataset again.",
        ) from None
    return _open(workspace.root, folder, changed)


def has_analysis(workspace: Workspace, analysis_id: str) -> bool:
    return (workspace.analyses / analysis_id / DESCRIPTION).is_file()


def touch(workspace: Workspace, analysis_id: str) -> None:
    """Make this analysis the latest. Raises `NotFound`."""
    with workspace.writing() as session:
        record = session.get(AnalysisRecord, analysis_id)
        if record is None:
            raise NotFound(f"There is no analysis {analysis_id!r}.", next_step="Choose one of those listed.")
        record.used = now()


@lru_cache(maxsize=8)
def _open(root: Path, folder: Path, changed: int) -> Analysis:
    """changed: modification time of the description; only there so that a rewritten analysis is opened anew."""
    try:
        # half a description is no JSON, which says so itself
        if torn := resized(folder, but=(DESCRIPTION,)):
            raise ValueError(f"{torn[0].name} {torn[0].reason}")
        facts = read_json(folder / DESCRIPTION)
        opened = Analysis(
            id=facts["id"],
            folder=folder,
            dataset_id=facts["dataset"]["id"],
            dataset_name=facts["dataset"]["name"],
            dataset_root=root / facts["dataset"]["root"],
            model_name=facts["model"]["name"],
            model_file=root / facts["model"]["file"],
            arch=facts["model"]["arch"],
            classes=tuple(facts["classes"]),
            preprocessing=facts["model"]["preprocessing"],
            features=mapped(folder / "features.npy"),
            logits=mapped(folder / "logits.npy"),
            ids=mapped(folder / "ids.npy"),
            labels=mapped(folder / "labels.npy"),
            splits=mapped(folder / "splits.npy"),
            predicted=mapped(folder / "predicted.npy"),
            attributes=tuple(
                Attribute(name, tuple(values), mapped(attribute_file(folder, name)))
                for name, values in facts["attributes"]
            ),
            head=load_head(folder / "head.safetensors"),
            skipped=tuple(
                Problem(**problem) for name in ("left_out.json", "skipped.json") for problem in read_json(folder / name)
            ),
            notes=tuple(facts["notes"]),
            accuracy=math.nan if facts["accuracy"] is None else float(facts["accuracy"]),
            # absent in what earlier versions wrote
            dataset_source=facts["dataset"].get("source", "class-folders"),
            choices=choices_from_dict(facts["dataset"].get("choices", {})),
            labelled=facts.get("labelled", True),
        )
        _check_sizes(opened)
        return opened
    except (OSError, KeyError, ValueError, TypeError, PathNotFound, BadCheckpoint) as error:
        raise StorageProblem(
            f"The analysis in {folder} is damaged ({type(error).__name__}: {error}).",
            next_step="Remove that folder and analyse the dataset again.",
        ) from error


def _check_sizes(analysis: Analysis) -> None:
    """Raises `ValueError` where arrays are not about the same images."""
    n, k = len(analysis.ids), len(analysis.classes)
    expected = {
        "features": (n, analysis.head.d),
        "logits": (n, k),
        **dict.fromkeys(("ids", "labels", "splits", "predicted"), (n,)),
    }
    shapes = {name: getattr(analysis, name).shape for name in expected}
    for attribute in analysis.attributes:
        expected[attribute.name], shapes[attribute.name] = (n,), attribute.codes.shape
    for name, shape in expected.items():
        if shapes[name] != shape:
            raise ValueError(f"{name} has the shape {shapes[name]} instead of {shape}")
