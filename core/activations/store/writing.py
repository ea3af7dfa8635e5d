"""Writing an analysis, and bringing what its dataset says of the images up to date."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from core.activations import thumbnails
from core.activations.store.analysis import Analysis, accuracy_of
from core.activations.store.files import DERIVED, DESCRIPTION, attribute_file
from core.activations.store.names import write_names
from core.activations.store.opening import open_analysis
from core.classifiers.head import Head
from core.database import AnalysisRecord, DatasetRecord, now
from core.datasets.dataset import Dataset, Problem
from core.files import digest, read_array, read_json, storage_problems, sync_folder, write_array, write_json
from core.storage.checksums import seal, unseal
from core.workspace import Workspace

FORMAT = 1


@dataclass(frozen=True)
class ModelFacts:
    """What an analysis remembers of its classifier. classes: its names for its outputs, empty where it has none; used
    where the dataset has no labels."""

    name: str
    file: Path
    arch: str
    digest: str
    preprocessing: dict[str, Any]
    classes: tuple[str, ...] = ()


def publish(
    workspace: Workspace,
    analysis_id: str,
    folder: Path,
    dataset: Dataset,
    model: ModelFacts,
    head: Head,
    skipped: Sequence[Problem],
) -> Analysis:
    """Complete a folder that holds features, logits, ids and thumbnails, and give it its name.

    Predictions, names, labels and the description are added, then the folder is renamed: readers see all or nothing.
    """
    with storage_problems(folder / DESCRIPTION):
        ids = read_array(folder / "ids.npy", mapped=False)
        write_array(folder / "predicted.npy", np.argmax(read_array(folder / "logits.npy"), axis=1).astype(np.int64))
        write_names(folder, dataset.images[ids])
        head.save(folder / "head.safetensors")
        write_json(folder / "skipped.json", [problem.to_dict() for problem in skipped])
        _write_truth(folder, dataset, ids)
        write_json(folder / DESCRIPTION, _describe(workspace, analysis_id, folder, dataset, model, ids))
        seal(folder, without=DERIVED)
        target = workspace.analyses / analysis_id
        # only a damaged analysis can be in the way: whole ones are never computed twice
        shutil.rmtree(target, ignore_errors=True)
        os.replace(folder, target)
        sync_folder(target.parent)
    _record(workspace, analysis_id, dataset, model)
    return open_analysis(workspace, analysis_id)


def refresh(workspace: Workspace, analysis_id: str, dataset: Dataset, model: ModelFacts) -> Analysis:
    """Bring labels, splits, attributes and names of an existing analysis up to date, and make it the latest."""
    folder = workspace.analyses / analysis_id
    ids = read_array(folder / "ids.npy", mapped=False)
    fresh = _describe(workspace, analysis_id, folder, dataset, model, ids)
    if _truth_changed(folder, dataset, ids) or read_json(folder / DESCRIPTION) != fresh:
        unseal(folder)
        _write_truth(folder, dataset, ids)
        write_json(folder / DESCRIPTION, fresh)
        seal(folder, without=DERIVED)
    _record(workspace, analysis_id, dataset, model)
    return open_analysis(workspace, analysis_id)


def write_analysis(
    workspace: Workspace,
    dataset: Dataset,
    *,
    features: np.ndarray,
    head: Head,
    logits: np.ndarray | None = None,
    ids: np.ndarray | None = None,
    thumbnail_files: Sequence[bytes] | None = None,
    skipped: Sequence[Problem] = (),
    model: ModelFacts | None = None,
    analysis_id: str | None = None,
) -> Analysis:
    """Store an analysis from arrays in memory, as extraction does from a network.

    features: (n, d). logits: (n, k), from `head` when left out. ids: (n,) positions in the dataset, all of it when
    left out. thumbnail_files: n files, WebP or JPEG, grey squares when left out.
    """
    rows = np.arange(len(dataset), dtype=np.int64) if ids is None else np.asarray(ids, dtype=np.int64)
    features = np.asarray(features, dtype=np.float32)
    logits = head.logits(features) if logits is None else np.asarray(logits, dtype=np.float32)
    if not len(features) == len(logits) == len(rows):
        raise ValueError(f"{len(features)} features, {len(logits)} logits and {len(rows)} ids do not match")
    if model is None:
        model = ModelFacts(name="planted", file=workspace.models / "planted", arch="small", digest="", preprocessing={})
    identity = analysis_id or digest(features.tobytes(), logits.tobytes(), dataset.id, dataset.fingerprint)
    folder = workspace.analyses / f".{identity}.partial"
    shutil.rmtree(folder, ignore_errors=True)
    write_array(folder / "features.npy", features)
    write_array(folder / "logits.npy", logits)
    write_array(folder / "ids.npy", rows)
    thumbnails.pack(folder, [_grey()] * len(rows) if thumbnail_files is None else thumbnail_files)
    return publish(workspace, identity, folder, dataset, model, head, skipped)


def _describe(
    workspace: Workspace, analysis_id: str, folder: Path, dataset: Dataset, model: ModelFacts, ids: np.ndarray
) -> dict[str, Any]:
    description = {
        "format": FORMAT,
        "id": analysis_id,
        "dataset": {
            "id": dataset.id,
            "name": dataset.name,
            "root": _portable(workspace, dataset.root),
            "source": dataset.source,
            "fingerprint": dataset.fingerprint,
            "choices": dataset.choices.to_dict(),
        },
        "model": {
            "name": model.name,
            "file": _portable(workspace, model.file),
            "arch": model.arch,
            "digest": model.digest,
            "preprocessing": model.preprocessing,
        },
        "classes": list(dataset.classes) or _model_classes(folder, model),
        "labelled": dataset.labelled,
        "attributes": [[attribute.name, list(attribute.values)] for attribute in dataset.attributes],
        "notes": list(dataset.notes),
        "images": len(ids),
        "accuracy": accuracy_of(read_array(folder / "predicted.npy"), dataset.labels[ids], dataset.splits[ids])
        if dataset.labelled
        else None,
    }
    # as it will be read back, so that descriptions can be compared
    return json.loads(json.dumps(description))


def _model_classes(folder: Path, model: ModelFacts) -> list[str]:
    """The classifier's names for its outputs; numbered where it has none, or not as many."""
    k = read_array(folder / "logits.npy").shape[1]
    return list(model.classes) if len(model.classes) == k else [f"class {c}" for c in range(k)]


def _portable(workspace: Workspace, path: Path) -> str:
    """A path relative to the workspace if it lies inside, so that a moved workspace still opens."""
    try:
        return path.relative_to(workspace.root).as_posix()
    except ValueError:
        return str(path)


def _write_truth(folder: Path, dataset: Dataset, ids: np.ndarray) -> None:
    for path, values in _truth(folder, dataset, ids):
        write_array(path, values)
    write_json(folder / "left_out.json", [problem.to_dict() for problem in dataset.problems])


def _truth_changed(folder: Path, dataset: Dataset, ids: np.ndarray) -> bool:
    return read_json(folder / "left_out.json") != [problem.to_dict() for problem in dataset.problems] or any(
        not path.is_file() or not np.array_equal(read_array(path), values)
        for path, values in _truth(folder, dataset, ids)
    )


def _truth(folder: Path, dataset: Dataset, ids: np.ndarray) -> list[tuple[Path, np.ndarray]]:
    """What the dataset says about each row, and the file that holds it. Without labels, the predictions stand in."""
    labels = dataset.labels[ids] if dataset.labelled else read_array(folder / "predicted.npy")
    return [
        (folder / "labels.npy", labels.astype(np.int64)),
        (folder / "splits.npy", dataset.splits[ids].astype(np.int8)),
        *((attribute_file(folder, a.name), a.codes[ids].astype(np.int16)) for a in dataset.attributes),
    ]


def _record(workspace: Workspace, analysis_id: str, dataset: Dataset, model: ModelFacts) -> None:
    """Insert or update the rows of the dataset and of the analysis; the analysis becomes the latest."""
    facts = read_json(workspace.analyses / analysis_id / DESCRIPTION)
    with workspace.writing() as session:
        session.merge(
            DatasetRecord(
                id=dataset.id,
                name=dataset.name,
                root=str(dataset.root),
                source=dataset.source,
                fingerprint=dataset.fingerprint,
            )
        )
        session.flush()
        session.merge(
            AnalysisRecord(
                id=analysis_id,
                dataset_id=dataset.id,
                model_name=model.name,
                model_file=str(model.file),
                arch=model.arch,
                images=facts["images"],
                accuracy=facts["accuracy"],
                used=now(),
            )
        )


@lru_cache(maxsize=1)
def _grey() -> bytes:
    from PIL import Image

    return thumbnails.make_thumbnail(Image.new("RGB", (16, 16), (128, 128, 128)), size=16, quality=50)
