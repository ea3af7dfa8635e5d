"""The same images under other last layers: what each gives is computed once and kept beside the analysis."""

from __future__ import annotations

import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np

from core.activations.store.analysis import Analysis, accuracy_of
from core.activations.store.files import mapped
from core.classifiers.head import Head
from core.errors import ClassMismatch, StorageProblem
from core.files import digest, mark_used, release, replacing, write_array

# last layers whose logits are kept per analysis
HEADS = 8
# rows of features per step of applying one
_BLOCK = 16_384
# times that a last layer is applied and opened before giving up on the disk
_ATTEMPTS = 4


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
            logits, predicted = mapped(folder / "logits.npy"), mapped(folder / "predicted.npy")
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
        accuracy=accuracy_of(predicted, analysis.labels, analysis.splits) if analysis.labelled else math.nan,
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
