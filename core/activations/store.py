"""Analyses on disk: one classifier applied to one dataset.

    <workspace>/analyses/<id>/
      analysis.json          names, places, sizes, classes, preprocessing, notes (keys: see `_describe`)
      features.npy           (n, d) float32, penultimate features
      logits.npy             (n, k) float32
      predicted.npy          (n,) int64, the largest logit
      ids.npy                (n,) int64, strictly increasing: position of each row in the dataset
      images.parquet         column `image`: the dataset's name of each row
      names.npy              (bytes,) uint8, the same names in UTF-8 one after another: a few are read without the rest
      name_offsets.npy       (n + 1,) int64: name i is bytes offsets[i] to offsets[i + 1]
      labels.npy splits.npy  (n,) int64 and int8, codes of `classes` and of `SPLITS`; without labels, the predictions
      attributes/<slug>.npy  (n,) int16, codes of the attribute's values, -1 unknown
      head.safetensors       the classifier's last layer
      computed.json          in which precision the network computed, and why: see computed.py
      marks.npy              (n,) int64, `Dataset.marks` of each row: see reuse.py
      thumbnails.bin .npy    see thumbnails.py
      skipped.json           [{image, reason}] of images that could not be decoded
      left_out.json          [{image, reason}] of what the dataset's reader left out before
      sorted/                activations in order, made when first asked for (index.py)
      vectors/               directions that somebody brought (vectors.py)
      heads/<digest>/        logits.npy, predicted.npy and sorted/ of another last layer (`with_head`)

What the network computed never changes once written. What the dataset says of the images (labels, splits, attributes,
what it left out) does, and is written again by `refresh` without another forward pass. A folder appears under its name
only when whole.
"""

from __future__ import annotations

import json
import math
import os
import shutil
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import select

from core.activations import thumbnails
from core.activations.computed import Computed, read_computed
from core.classifiers.head import Head, load_head
from core.database import AnalysisRecord, DatasetRecord, now
from core.datasets.choices import AUTOMATIC, Choices, choices_from_dict
from core.datasets.dataset import SPLITS, Attribute, Dataset, Problem, no_labels
from core.datasets.pictures import Picture, Pictures, open_pictures
from core.errors import BadCheckpoint, ClassMismatch, NotFound, PathNotFound, StorageProblem
from core.files import (
    digest,
    mark_used,
    read_array,
    read_json,
    release,
    replacing,
    slug,
    storage_problems,
    write_array,
    write_json,
)
from core.workspace import Workspace

FORMAT = 1
DESCRIPTION = "analysis.json"
# last layers whose logits are kept per analysis
HEADS = 8
# rows of features per step of applying one
_BLOCK = 16_384
# times that a last layer is applied and opened before giving up on the disk
_ATTEMPTS = 4
# names looked up one by one as long as they are fewer than the images by this factor
_FEW = 20


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


@dataclass(frozen=True, eq=False)
class Analysis:
    """An open analysis: n images, d features, k classes. Arrays are read-only memory maps, one row per image."""

    id: str
    folder: Path
    dataset_id: str
    dataset_name: str
    dataset_root: Path
    model_name: str
    model_file: Path
    arch: str
    classes: tuple[str, ...]
    preprocessing: dict[str, Any]
    features: np.ndarray  # (n, d) float32
    logits: np.ndarray  # (n, k) float32
    ids: np.ndarray  # (n,) int64, strictly increasing
    labels: np.ndarray  # (n,) int64
    splits: np.ndarray  # (n,) int8, codes of SPLITS
    predicted: np.ndarray  # (n,) int64
    attributes: tuple[Attribute, ...]  # codes (n,) int16, one per row
    head: Head
    skipped: tuple[Problem, ...]  # everything that is not in the analysis, and why
    notes: tuple[str, ...]
    accuracy: float  # share of right predictions on test, on all images where there is no test split; nan: no labels
    dataset_source: str = "class-folders"  # name of the dataset's `Format`
    choices: Choices = AUTOMATIC  # how the dataset was opened
    labelled: bool = True  # False: `labels` are what the classifier predicted, because nobody has said what is right
    other_head: Path | None = None  # folder of what another last layer gives, see `with_head`

    @property
    def n(self) -> int:
        return int(self.features.shape[0])

    @property
    def d(self) -> int:
        return int(self.features.shape[1])

    @property
    def k(self) -> int:
        return int(self.logits.shape[1])

    @property
    def head_folder(self) -> Path:
        """Where what depends on the last layer lies."""
        return self.other_head or self.folder

    @cached_property
    def pictures(self) -> Pictures:
        """Opens the full-size images by name (they may be gone by now); threads may share it."""
        return open_pictures(self.dataset_root, self.dataset_source, self.choices)

    def picture(self, row: int) -> Picture:
        """The row's full-size image, for `core.datasets.images.decode`. Raises `UnreadableImage`."""
        return self.pictures.read(self.image_names([row])[0])

    def need_labels(self) -> None:
        """Raise `BadRequest` where the images have no labels: for whatever takes `labels` for the truth."""
        if not self.labelled:
            raise no_labels(self.dataset_name)

    def label_name(self, row: int) -> str | None:
        """The class that the dataset gives an image; None where nobody has said."""
        return self.classes[self.labels[row]] if self.labelled else None

    @cached_property
    def split_names(self) -> tuple[str, ...]:
        """The splits that have images, in the order of SPLITS."""
        there = np.bincount(self.splits, minlength=len(SPLITS))
        return tuple(name for name, count in zip(SPLITS, there, strict=True) if count)

    def image_names(self, rows: Sequence[int] | np.ndarray) -> list[str]:
        """What `images` says of some rows, without reading the others."""
        wanted = np.asarray(rows, dtype=np.int64).reshape(-1)
        if "images" in self.__dict__:
            return self.images[wanted].tolist()
        content, offsets = self._names
        if len(wanted) and (wanted.min() < 0 or wanted.max() >= self.n):
            raise IndexError(f"rows from {wanted.min()} to {wanted.max()} among {self.n}")
        ends = zip(offsets[wanted].tolist(), offsets[wanted + 1].tolist(), strict=True)
        names = [content[start:stop].tobytes().decode() for start, stop in ends]
        release(content)
        return names

    def rows_named(self, names: Sequence[str]) -> np.ndarray:
        """Rows (m,) int64 of images by name; -1 for a name that the analysis does not have."""
        if "images" not in self.__dict__ and len(names) * _FEW < self.n:
            return np.array([self._row_named(name) for name in names], dtype=np.int64)
        known = self.images
        # Datasets list their images sorted by name; looking a few up there costs less than a dictionary of all.
        # (numpy.searchsorted finds wrong places for StringDType keys that lie in another array, as of numpy 2.4.)
        if len(names) * _FEW < self.n and bool((known[1:] > known[:-1]).all()):
            places = ((bisect_left(known, name), name) for name in names)
            found = [place if place < self.n and known[place] == name else -1 for place, name in places]
        else:
            rows = {name: row for row, name in enumerate(known.tolist())}
            found = [rows.get(name, -1) for name in names]
        return np.array(found, dtype=np.int64)

    def _row_named(self, name: str) -> int:
        """Found by halving: names are sorted, in UTF-8 as well."""
        content, offsets = self._names
        wanted = name.encode("utf-8", "surrogateescape")

        def at(row: int) -> bytes:
            return content[offsets[row] : offsets[row + 1]].tobytes()

        row = bisect_left(range(self.n), wanted, key=at)
        return row if row < self.n and at(row) == wanted else -1

    @cached_property
    def _names(self) -> tuple[np.ndarray, np.ndarray]:
        """Bytes and offsets of the names; made now where an earlier version did not write them, or they are damaged."""
        try:
            return _mapped_names(self.folder, self.n)
        except (OSError, ValueError):
            _write_names(self.folder, pq.read_table(self.folder / "images.parquet").column("image"))
            return _mapped_names(self.folder, self.n)

    @cached_property
    def images(self) -> np.ndarray:
        """(n,) StringDType: each row's image as the dataset names it. All of them are read when first asked for;
        `image_names` reads a few."""
        column = pq.read_table(self.folder / "images.parquet").column("image")
        return np.array(column.to_pylist(), dtype=np.dtypes.StringDType())

    @cached_property
    def computed(self) -> Computed:
        """In which precision the network computed the features, and why. Raises `StorageProblem` when damaged."""
        try:
            return read_computed(self.folder)
        except (OSError, ValueError) as error:
            raise StorageProblem(
                f"The analysis in {self.folder} is damaged ({type(error).__name__}: {error}).",
                next_step="Remove that folder and analyse the dataset again.",
            ) from error

    @property
    def precision(self) -> str:
        """What the network computed with: "fp32" or "bf16"."""
        return self.computed.precision

    @cached_property
    def thumbnails(self) -> thumbnails.ThumbnailPack:
        return thumbnails.open_pack(self.folder)

    def thumbnail(self, row: int) -> bytes:
        """The row's thumbnail, WebP or JPEG."""
        return self.thumbnails[int(row)]

    def image_path(self, row: int) -> Path:
        """The file that holds the row's full-size image, its own or one of many (it may be gone by now)."""
        return self.pictures.file(self.image_names([row])[0])

    def rows_of(self, ids: Sequence[int] | np.ndarray) -> np.ndarray:
        """Rows (m,) int64 of these image ids, in the order given. Raises `NotFound` naming the first one absent."""
        wanted = np.asarray(ids, dtype=np.int64).reshape(-1)
        rows = np.searchsorted(self.ids, wanted)
        found = rows < self.n
        found[found] = self.ids[rows[found]] == wanted[found]
        if not found.all():
            raise NotFound(
                f"Image {int(wanted[~found][0])} is not part of this analysis.",
                next_step="Reload the page: the dataset may have changed, or the image was skipped.",
            )
        return rows.astype(np.int64)

    def split_rows(self, name: str) -> np.ndarray:
        """Rows (m,) int64 of one split, in order; empty where the dataset has no such split."""
        return np.flatnonzero(self.splits == SPLITS.index(name)).astype(np.int64)

    def to_dict(self) -> dict[str, Any]:
        """What the command line prints of an analysis."""
        return {
            "analysis": self.id,
            "images": self.n,
            "skipped": [problem.to_dict() for problem in self.skipped],
            "classes": list(self.classes),
            "labelled": self.labelled,
            "accuracy": self.accuracy if self.labelled else None,
            "features": self.d,
            "dataset": self.dataset_name,
            "model": self.model_name,
            "arch": self.arch,
            "precision": self.precision,
            "notes": list(self.notes),
        }


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


def list_analyses(workspace: Workspace) -> list[AnalysisRecord]:
    """All analyses, the one used last first."""
    with workspace.reading() as session:
        return list(session.scalars(select(AnalysisRecord).order_by(AnalysisRecord.used.desc())))


def touch(workspace: Workspace, analysis_id: str) -> None:
    """Make this analysis the latest. Raises `NotFound`."""
    with workspace.writing() as session:
        record = session.get(AnalysisRecord, analysis_id)
        if record is None:
            raise NotFound(f"There is no analysis {analysis_id!r}.", next_step="Choose one of those listed.")
        record.used = now()


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
        with replacing(folder / "images.parquet") as beside:
            names = _strings(dataset.images[ids])
            pq.write_table(pa.Table.from_arrays([names], names=["image"]), beside)
        _write_names(folder, names)
        head.save(folder / "head.safetensors")
        write_json(folder / "skipped.json", [problem.to_dict() for problem in skipped])
        _write_truth(folder, dataset, ids)
        write_json(folder / DESCRIPTION, _describe(workspace, analysis_id, folder, dataset, model, ids))
        target = workspace.analyses / analysis_id
        # only a damaged analysis can be in the way: whole ones are never computed twice
        shutil.rmtree(target, ignore_errors=True)
        os.replace(folder, target)
    _record(workspace, analysis_id, dataset, model)
    return open_analysis(workspace, analysis_id)


def refresh(workspace: Workspace, analysis_id: str, dataset: Dataset, model: ModelFacts) -> Analysis:
    """Bring labels, splits, attributes and names of an existing analysis up to date, and make it the latest."""
    folder = workspace.analyses / analysis_id
    ids = read_array(folder / "ids.npy", mapped=False)
    fresh = _describe(workspace, analysis_id, folder, dataset, model, ids)
    if _truth_changed(folder, dataset, ids) or read_json(folder / DESCRIPTION) != fresh:
        _write_truth(folder, dataset, ids)
        write_json(folder / DESCRIPTION, fresh)
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


def with_head(analysis: Analysis, head: Head, name: str) -> Analysis:
    """The same images and features under another last layer.

    Its logits and predictions are computed once, block by block, into `heads/<digest>/` of the analysis. name: what
    the classifier is called now. The `id` stays, since it is about the same images. Raises `ClassMismatch` for a head
    of another size.
    """
    if (head.k, head.d) != (analysis.k, analysis.d):
        raise ClassMismatch(
            f"The new last layer has {head.k} classes and {head.d} features; this analysis has {analysis.k} and "
            f"{analysis.d}.",
            next_step="Compare runs of the same analysis only.",
        )
    weight, bias = (np.ascontiguousarray(part, dtype=np.float32) for part in (head.weight, head.bias))
    return _with_head(analysis, Head(weight, bias), name, digest(weight.tobytes(), bias.tobytes()))


def _with_head(analysis: Analysis, head: Head, name: str, identity: str) -> Analysis:
    folder = analysis.folder / "heads" / identity
    for attempt in range(_ATTEMPTS):
        try:
            logits, predicted = _mapped(folder / "logits.npy"), _mapped(folder / "predicted.npy")
            if logits.shape != (analysis.n, head.k) or predicted.shape != (analysis.n,):
                raise ValueError("logits of another size")
            mark_used(folder)
            break
        except (OSError, ValueError) as error:
            # absent, damaged, or just being removed by a process that uses many others
            if attempt == _ATTEMPTS - 1:
                raise StorageProblem(
                    f"What {name} computes cannot be kept in {folder} ({type(error).__name__}: {error}).",
                    next_step="Try again; if it stays so, check that the disk is well.",
                ) from error
            _apply_head(folder, analysis.features, head)
            _trim_heads(folder)
    return replace(
        analysis,
        model_name=name,
        logits=logits,
        predicted=predicted,
        labels=analysis.labels if analysis.labelled else predicted,
        head=head,
        accuracy=_accuracy(predicted, analysis.labels, analysis.splits) if analysis.labelled else math.nan,
        other_head=folder,
    )


def _apply_head(folder: Path, features: np.ndarray, head: Head) -> None:
    """Write logits (n, k) float32 and predictions (n,) int64 of a last layer, a block of features at a time."""
    predicted = np.empty(len(features), dtype=np.int64)
    with replacing(folder / "logits.npy") as beside:
        shape = (len(features), head.k)
        # numpy cannot map an array without rows
        logits = (
            np.lib.format.open_memmap(beside, mode="w+", dtype=np.float32, shape=shape)
            if len(features)
            else np.empty(shape, np.float32)
        )
        for start in range(0, len(features), _BLOCK):
            place = slice(start, start + _BLOCK)
            logits[place] = head.logits(features[place])
            predicted[place] = np.argmax(logits[place], axis=1)
            release(features)
        if isinstance(logits, np.memmap):
            logits.flush()
        else:
            with open(beside, "wb") as target:
                np.save(target, logits, allow_pickle=False)
    write_array(folder / "predicted.npy", predicted)


def _trim_heads(kept: Path) -> None:
    """Remove the heads used longest ago, so that `HEADS` are left; whoever has one open keeps it until they let go."""
    ages = []
    for folder in kept.parent.iterdir():
        try:
            ages.append((folder.stat().st_mtime_ns, folder))
        except OSError:
            # another process is removing it
            continue
    for _, folder in sorted(ages)[:-HEADS]:
        if folder != kept:
            shutil.rmtree(folder, ignore_errors=True)


@lru_cache(maxsize=8)
def _open(root: Path, folder: Path, changed: int) -> Analysis:
    """changed: modification time of the description; only there so that a rewritten analysis is opened anew."""
    try:
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
            features=_mapped(folder / "features.npy"),
            logits=_mapped(folder / "logits.npy"),
            ids=_mapped(folder / "ids.npy"),
            labels=_mapped(folder / "labels.npy"),
            splits=_mapped(folder / "splits.npy"),
            predicted=_mapped(folder / "predicted.npy"),
            attributes=tuple(
                Attribute(name, tuple(values), _mapped(_attribute_file(folder, name)))
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


def _strings(names: np.ndarray) -> pa.ChunkedArray:
    """names: (n,) StringDType. Built from their bytes: `pa.array` would load pandas, which takes as long as a small
    pass."""
    chunks = []
    # offsets have 32 bits: a chunk holds 2 GiB at most
    for start in range(0, max(len(names), 1), _BLOCK):
        encoded = [name.encode() for name in names[start : start + _BLOCK].tolist()]
        ends = np.concatenate([[0], np.cumsum([len(name) for name in encoded], dtype=np.int64)]).astype(np.int32)
        parts = [None, pa.py_buffer(ends), pa.py_buffer(b"".join(encoded))]
        chunks.append(pa.Array.from_buffers(pa.string(), len(encoded), parts))
    return pa.chunked_array(chunks, pa.string())


def _write_names(folder: Path, names: pa.ChunkedArray) -> None:
    """names: (n,) strings. Their bytes are copied as they lie in memory, without a string object each."""
    lengths: list[np.ndarray] = [np.zeros(0, np.int64)]
    content: list[np.ndarray] = [np.zeros(0, np.uint8)]
    for chunk in names.chunks:
        _, places, data = chunk.buffers()
        offsets = np.frombuffer(places, dtype=np.int32)[chunk.offset : chunk.offset + len(chunk) + 1]
        lengths.append(np.diff(offsets.astype(np.int64)))
        if data is not None and len(chunk):
            content.append(np.frombuffer(data, dtype=np.uint8)[offsets[0] : offsets[-1]])
    # the offsets last: with them the names are whole
    write_array(folder / "names.npy", np.concatenate(content))
    write_array(folder / "name_offsets.npy", thumbnails.offsets_of(np.concatenate(lengths)))


def _mapped_names(folder: Path, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Raises `ValueError` where the two files are not whole or do not belong together."""
    offsets = _mapped(folder / "name_offsets.npy")
    if offsets.shape != (n + 1,) or offsets.dtype != np.int64:
        raise ValueError("offsets of other names")
    # names of no bytes cannot be mapped
    content = _mapped(folder / "names.npy") if offsets[-1] else np.empty(0, np.uint8)
    if content.shape != (offsets[-1],) or content.dtype != np.uint8:
        raise ValueError("names of another length")
    return content, offsets


def _mapped(path: Path) -> np.ndarray:
    # a plain ndarray over the map: the memmap subclass slows small operations and travels into every result
    return np.asarray(read_array(path))


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
        "accuracy": _accuracy(read_array(folder / "predicted.npy"), dataset.labels[ids], dataset.splits[ids])
        if dataset.labelled
        else None,
    }
    # as it will be read back, so that descriptions can be compared
    return json.loads(json.dumps(description))


def _model_classes(folder: Path, model: ModelFacts) -> list[str]:
    """The classifier's names for its outputs; numbered where it has none, or not as many."""
    k = read_array(folder / "logits.npy").shape[1]
    return list(model.classes) if len(model.classes) == k else [f"class {c}" for c in range(k)]


def _accuracy(predicted: np.ndarray, labels: np.ndarray, splits: np.ndarray) -> float:
    """Share of right predictions on test, on everything where there is no test image."""
    test = splits == SPLITS.index("test")
    right = predicted == labels
    return float(right[test].mean() if test.any() else right.mean())


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
        *((_attribute_file(folder, a.name), a.codes[ids].astype(np.int16)) for a in dataset.attributes),
    ]


def _attribute_file(folder: Path, name: str) -> Path:
    return folder / "attributes" / f"{slug(name)}.npy"


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
