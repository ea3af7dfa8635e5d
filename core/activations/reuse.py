"""Rows of an earlier analysis that a new one takes over: images that the same network saw before, unchanged.

A sample that was looked at first, a dataset that has grown, an image that was taken out: only what is new is computed.
An image is the same when its name and its mark (`Dataset.marks`) are; a network, when weights, preprocessing and
precision are.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from core.activations.computed import Computed, read_computed
from core.activations.partial import PartialAnalysis, clear_notes
from core.activations.store import DESCRIPTION, ModelFacts
from core.activations.thumbnails import open_pack
from core.datasets.dataset import Dataset
from core.files import read_array, read_json, release, write_array
from core.progress import Progress
from core.workspace import Workspace

MARKS = "marks.npy"

# rows that are copied at a time
_BLOCK = 4096


@dataclass(frozen=True, eq=False)
class Known:
    """What an earlier analysis knows of a dataset. rows: (m,) int64, its rows. images: (m,) int64, their places in the
    dataset, increasing. m may be 0."""

    analysis: str
    folder: Path
    computed: Computed
    rows: np.ndarray
    images: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)


def find_known(
    workspace: Workspace, dataset: Dataset, model: ModelFacts, thumbnail: tuple[int, int], *, first: str | None = None
) -> list[Known]:
    """Every earlier analysis of this dataset by this network, in either precision, the one that knows most images
    first. thumbnail: pixels and quality that thumbnails must have for rows to be taken over. first: an analysis that
    comes before all others if it is still there."""
    if dataset.marks is None:
        return []
    names: pa.Array | None = None
    found: list[Known] = []
    for folder, facts in _descriptions(workspace):
        same = (
            facts["dataset"]["id"] == dataset.id
            and facts["model"]["digest"] == model.digest
            and facts["model"]["preprocessing"] == json.loads(json.dumps(model.preprocessing))
        )
        if not same:
            continue
        try:
            computed = read_computed(folder)
            if names is None:
                names = pa.array(dataset.images.tolist(), pa.string())
            rows, images = _matching(folder, names, dataset.marks) if computed.thumbnail == thumbnail else _nothing()
        except (OSError, ValueError, pa.ArrowException):
            # damaged, or just being removed: what it knows is computed again
            continue
        found.append(Known(folder.name, folder, computed, rows, images))
    return sorted(found, key=lambda known: (known.analysis != first, -len(known), known.analysis))


def write_marks(folder: Path, dataset: Dataset, ids: np.ndarray) -> None:
    """ids: (n,) int64, positions in the dataset of the analysis's rows."""
    if dataset.marks is not None:
        write_array(folder / MARKS, np.asarray(dataset.marks[ids], dtype=np.int64))


def merge(target: Path, fresh: Path, known: Known, progress: Progress) -> None:
    """Write features, logits, ids and thumbnails of all images into `target`, a folder that is made anew.

    fresh: a partial analysis that is finished, of the other images. Progress counts rows.
    """
    shutil.rmtree(target, ignore_errors=True)
    ids = np.concatenate([known.images, read_array(fresh / "ids.npy", mapped=False)])
    order = np.argsort(ids)
    many = len(known)
    before, after = (
        [_rows(folder / f"{name}.npy") for name in ("features", "logits")] for folder in (known.folder, fresh)
    )
    old, new = open_pack(known.folder), open_pack(fresh)
    try:
        with PartialAnalysis(target, key={}, d=before[0].shape[1], k=before[1].shape[1]) as whole:
            for start in range(0, len(order), _BLOCK):
                chosen = order[start : start + _BLOCK]
                is_old = chosen < many
                rows = np.where(is_old, known.rows[np.minimum(chosen, many - 1)], chosen - many)
                block = []
                for then, now in zip(before, after, strict=True):
                    values = np.empty((len(chosen), then.shape[1]), dtype=np.float32)
                    values[is_old], values[~is_old] = then[rows[is_old]], now[rows[~is_old]]
                    block.append(values)
                    release(then)
                    release(now)
                pairs = zip(is_old.tolist(), rows.tolist(), strict=True)
                thumbnails = [old[row] if was else new[row] for was, row in pairs]
                whole.append(block[0], block[1], ids[chosen].tolist(), thumbnails)
                progress(min(start + _BLOCK, len(order)), len(order), "Putting known and new images together")
            whole.finish()
    finally:
        old.file.close()
        new.file.close()
    clear_notes(target)


def _descriptions(workspace: Workspace) -> Iterator[tuple[Path, dict]]:
    for path in sorted(workspace.analyses.glob(f"*/{DESCRIPTION}")):
        try:
            facts = read_json(path)
            facts["dataset"]["id"], facts["model"]["digest"], facts["model"]["preprocessing"]
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if not path.parent.name.startswith("."):
            yield path.parent, facts


def _nothing() -> tuple[np.ndarray, np.ndarray]:
    return np.zeros(0, np.int64), np.zeros(0, np.int64)


def _matching(folder: Path, names: pa.Array, marks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """names, marks: (n,) of the dataset. Returns rows of the analysis and positions in the dataset, each (m,) int64."""
    if not (folder / MARKS).is_file():
        return _nothing()
    theirs = pq.read_table(folder / "images.parquet").column("image").combine_chunks()
    known = read_array(folder / MARKS)
    if len(known) != len(theirs):
        raise ValueError("marks of other images")
    places = pc.index_in(names, value_set=theirs)
    rows = pc.fill_null(places, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    images = np.flatnonzero(rows >= 0)
    images = images[known[rows[images]] == marks[images]]
    return rows[images], images.astype(np.int64)


def _rows(path: Path) -> np.ndarray:
    """(n, width), mapped unless there are no rows, which cannot be mapped."""
    try:
        return np.asarray(read_array(path))
    except ValueError:
        return read_array(path, mapped=False)
