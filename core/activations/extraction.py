"""One pass over a dataset: each image decoded once, its features, logits and thumbnail written as they come.

Threads decode ahead of the network, other threads run it, a batch each, and what they bring is written at once: memory
does not grow with the number of images. The work lies in a hidden folder (`analyses/.<id>.partial/`, see partial.py)
that gets its name when it is whole. A pass that was killed or cancelled continues near where it stopped and ends in the
same bytes, because images are always batched alike: batch b holds images b * size to (b + 1) * size of those to be
computed, as far as they can be read. Images that an earlier analysis knows are taken from there (reuse.py).
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from core.access import audit
from core.access.policy import Permission, require
from core.activations.computed import COMPUTED, Computed, read_computed, write_computed
from core.activations.partial import JOURNAL, PartialAnalysis, clear_notes, pinned
from core.activations.reuse import Known, find_known, merge, write_marks
from core.activations.store import Analysis, ModelFacts, has_analysis, publish, refresh
from core.activations.thumbnails import thumbnail_of
from core.classifiers.classifier import Classifier
from core.classifiers.lookahead import in_threads
from core.classifiers.network_precision import (
    AUTO,
    BF16,
    FP32,
    NAMES,
    Runner,
    check_precision,
    parity,
    runner,
    why_not_bf16,
)
from core.datasets.dataset import Dataset, Problem
from core.datasets.images import UnreadableImage, decode
from core.errors import BadRequest, DiskFull, EmptyDataset, PathNotFound
from core.files import digest, read_array, storage_problems
from core.locks import held, held_if_free
from core.progress import Progress, silent
from core.settings import DEFAULTS, Settings
from core.workspace import Workspace

# why an image is left out that the network cannot handle
NOT_FINITE = "the network gives numbers for it that are not finite"
# pixels the network sees at once: 8 images of 224 x 224, 98 of 64 x 64. More makes a core slower, since what one layer
# leaves no longer fits its caches, and takes hundreds of MB.
PIXELS_AT_ONCE = 8 * 224 * 224
# seconds between two notes of how far the pass is: what a kill costs at most
NOTE_EVERY = 2.0
# bytes left free beyond the estimate, so that a nearly full disk is noticed here and not by the database
SPARE_BYTES = 64 * 2**20
# hidden folders untouched for longer belong to nobody any more
ABANDONED_SECONDS = 7 * 24 * 3600
# images on which bfloat16 is compared with float32: a hundredth of all, within these bounds
COMPARED = (32, 200)
# images that are looked for, all over the dataset, when some of a batch are gone
LOOKED_FOR = 20
# how many times faster bfloat16 is taken to be when it is weighed against rows that are known in float32 already
BF16_GAIN = 2.5


def analysis_id(dataset: Dataset, classifier: Classifier, precision: str = FP32) -> str:
    """Names the result: equal for equal weights, preprocessing, precision and images; labels do not matter."""
    return digest(
        classifier.digest,
        json.dumps(classifier.preprocessing.to_dict(), sort_keys=True),
        NAMES[precision],
        dataset.id,
        dataset.fingerprint,
    )


def analyse(
    workspace: Workspace,
    dataset: Dataset,
    classifier: Classifier,
    *,
    precision: str = AUTO,
    progress: Progress = silent,
    settings: Settings = DEFAULTS,
) -> Analysis:
    """Apply a classifier to a dataset and store the result, or give back the stored one.

    precision: "fp32", "bf16", or "auto": bfloat16 where the machine has instructions for it, the network tolerates it
    (`core.classifiers.network_precision.Parity`) and it is worth it; what was chosen and why is in `Analysis.computed`.
    An analysis of the same weights, preprocessing and images is never computed twice: its labels, splits and
    attributes are brought up to date and it becomes the latest. Nor is an image that an earlier analysis of the dataset
    knows. Images that cannot be read are left out and listed. Progress counts images.

    Raises `BadRequest`, `ClassMismatch`, `EmptyDataset` when not one image can be read, and `PathNotFound` when all are
    gone half way through, `DiskFull`, `StorageProblem`, and what `progress` raises to cancel; then the next call
    continues where this one stopped.
    """
    require(Permission.LOAD, dataset.name)
    check_precision(precision)
    if dataset.labelled:
        classifier.check_classes(dataset.classes)
    _remove_abandoned(workspace)
    job = _Pass(workspace, dataset, classifier, progress, settings)
    computed = job.chosen(precision)
    identity = analysis_id(dataset, classifier, computed.precision)

    def waiting() -> None:
        progress(0, len(dataset), "Waiting for another process that computes the same analysis")

    with held(_lock_file(workspace, identity), waiting):
        # looked up under the lock: another process may just have finished the very same work
        analysis = job.found(identity) if has_analysis(workspace, identity) else job.run(identity, computed)
    audit.record(workspace, "loaded", dataset.name, {"analysis": identity, "images": analysis.n})
    return analysis


@dataclass(frozen=True, eq=False)
class _Read:
    """One image as the threads bring it: position in the dataset, (s, s, c) uint8 for the network, thumbnail."""

    image: int
    pixels: np.ndarray
    thumbnail: bytes


@dataclass(frozen=True, eq=False)
class _Piece:
    """Images that go through the network together: at most a batch. problems: of the whole batch, with its last piece.
    ends: whether it is that."""

    images: list[_Read]
    problems: list[Problem]
    ends: bool


class _Pass:
    """One call of `analyse`."""

    def __init__(
        self, workspace: Workspace, dataset: Dataset, classifier: Classifier, progress: Progress, settings: Settings
    ) -> None:
        self.workspace = workspace
        self.dataset = dataset
        self.classifier = classifier
        self.progress = progress
        self.settings = settings
        self.n = len(dataset)
        self.pictures = dataset.pictures()
        self.thumbnail = (settings.thumbnail_size, settings.thumbnail_quality)
        self.model = ModelFacts(
            name=classifier.name,
            file=classifier.file,
            arch=classifier.arch,
            digest=classifier.digest,
            preprocessing=classifier.preprocessing.to_dict(),
            classes=classifier.classes or (),
        )

    # which precision ----------------------------------------------------------------------------------------------

    def chosen(self, precision: str) -> Computed:
        """The precision to compute with, and why. Measures only where nothing else decides."""
        if precision != AUTO:
            return self._facts(precision, "As asked.")
        ids = {name: analysis_id(self.dataset, self.classifier, name) for name in (FP32, BF16)}
        for name, identity in ids.items():
            if has_analysis(self.workspace, identity):
                return self._facts(name, "")
        reason = why_not_bf16(self.classifier, self.n)
        if reason:
            return self._facts(FP32, reason)
        for identity in ids.values():
            begun = _begun(_partial_folder(self.workspace, identity))
            if begun is not None:
                return begun
        known = find_known(self.workspace, self.dataset, self.model, self.thumbnail)
        most = {name: max((len(k) for k in known if k.computed.precision == name), default=0) for name in ids}
        evidence = next((k.computed for k in known if k.computed.measured), None)
        if most[FP32] and self.n - most[FP32] <= (self.n - most[BF16]) / BF16_GAIN:
            return self._facts(FP32, f"{most[FP32]:,} of the images are known in float32.")
        if evidence is not None:
            return self._facts(evidence.precision, evidence.reason, measured=True)
        return self._measured()

    def _facts(self, precision: str, reason: str, *, measured: bool = False) -> Computed:
        return Computed(precision=precision, reason=reason, measured=measured, thumbnail=self.thumbnail)

    def _measured(self) -> Computed:
        """bfloat16 if the network passes, on images from all over the dataset."""
        count = min(self.n, int(np.clip(self.n // 100, *COMPARED)))
        message = f"Comparing bfloat16 with float32 on {count} images"
        self.progress(0, self.n, message)
        try:
            exact, rounded = runner(self.classifier, FP32), runner(self.classifier, BF16)
        except BadRequest as problem:
            return self._facts(FP32, problem.detail, measured=True)
        images = np.unique(np.linspace(0, self.n - 1, count).astype(np.int64)).tolist()
        found = [item.pixels for item in in_threads(self.read, images) if isinstance(item, _Read)]
        pairs = []
        for start in range(0, len(found), self.at_once):
            pixels = np.stack(found[start : start + self.at_once])
            pairs.append((exact(pixels)[1], rounded(pixels)[1]))
            self.progress(0, self.n, message)
        if not pairs:
            return self._facts(FP32, "None of the images to measure with could be read.")
        logits = [np.concatenate(side) for side in zip(*pairs, strict=True)]
        finite = np.isfinite(logits[0]).all(axis=1)
        if not finite.any():
            return self._facts(FP32, "None of the images to measure with gives finite numbers.")
        result = parity(logits[0][finite], logits[1][finite])
        if result.holds:
            return self._facts(BF16, f"In bfloat16, {result}.", measured=True)
        return self._facts(FP32, f"bfloat16 would change too much: {result}.", measured=True)

    # the pass -----------------------------------------------------------------------------------------------------

    def found(self, identity: str) -> Analysis:
        """The analysis as it is stored, under what the dataset says now."""
        self.progress(self.n, self.n, "Analysed before: nothing to compute")
        folder = self.workspace.analyses / identity
        if not (folder / COMPUTED).is_file():
            # by an earlier version, which knew float32 and thumbnails of the usual size; the fingerprint says that the
            # images are the same
            usual = (DEFAULTS.thumbnail_size, DEFAULTS.thumbnail_quality)
            write_marks(folder, self.dataset, read_array(folder / "ids.npy", mapped=False))
            write_computed(folder, Computed(thumbnail=usual))
        # of a process that was killed between publishing and clearing up
        shutil.rmtree(_partial_folder(self.workspace, identity), ignore_errors=True)
        return refresh(self.workspace, identity, self.dataset, self.model)

    def run(self, identity: str, computed: Computed) -> Analysis:
        run = runner(self.classifier, computed.precision)
        folder = whole = _partial_folder(self.workspace, identity)
        with storage_problems(folder / "features.npy"):
            known = self._known(folder, computed.precision)
            # of a pass that is continued, another device or source may be noted that is gone by now
            computed = replace(
                computed,
                device=run.device.type,
                source=None if known is None else known.analysis,
                copied=0 if known is None else len(known),
            )
            skipped = self._extract(folder, run, known, computed)
            if known is not None:
                whole = folder / "whole"
                merge(whole, folder, known, self._merging)
            ids = read_array(whole / "ids.npy", mapped=False)
            write_computed(whole, computed)
            write_marks(whole, self.dataset, ids)
            clear_notes(whole)
        self.progress(self.n, self.n, "Writing the analysis")
        analysis = publish(self.workspace, identity, whole, self.dataset, self.model, self.classifier.head, skipped)
        if whole != folder:
            shutil.rmtree(folder, ignore_errors=True)
        return analysis

    def _known(self, folder: Path, precision: str) -> Known | None:
        """Where rows are taken over from: what a pass that is continued took, else what knows most."""
        begun = pinned(folder)
        found = find_known(self.workspace, self.dataset, self.model, self.thumbnail, first=begun)
        usable = [known for known in found if known.computed.precision == precision and len(known)]
        return usable[0] if usable else None

    def _merging(self, done: int, total: int, message: str = "") -> None:
        self.progress(self.n, self.n, message)

    def read(self, image: int) -> _Read | Problem:
        name = str(self.dataset.images[image])
        try:
            source = self.pictures.read(name)
            picture = decode(source, self.settings.max_image_pixels)
            thumbnail = thumbnail_of(source, picture, *self.thumbnail)
        except UnreadableImage as problem:
            return Problem(name, problem.reason)
        return _Read(image, self.classifier.preprocessing.pixels(picture), thumbnail)

    @property
    def at_once(self) -> int:
        return max(1, PIXELS_AT_ONCE // self.classifier.preprocessing.crop**2)

    def _extract(self, folder: Path, run: Runner, known: Known | None, computed: Computed) -> list[Problem]:
        """Fill the partial folder, from where its journal ends. Returns the images that could not be read."""
        size, copied = self.settings.batch_size, 0 if known is None else len(known)
        new = np.arange(self.n) if known is None else np.setdiff1d(np.arange(self.n), known.images, assume_unique=True)
        with ExitStack() as stack:
            key = {**_key(self.settings, computed.device), "source": computed.source, "copied": copied}
            partial = stack.enter_context(
                PartialAnalysis(folder, key=key, d=self.classifier.d, k=self.classifier.k),
            )
            write_computed(folder, computed)
            first = min(partial.journal.batches * size, len(new))
            _check_space(partial, len(new) - first, self.classifier, copied)
            if first:
                self.progress(copied + first, self.n, f"Continuing after the first {copied + first:,} images")
            elif copied:
                self.progress(copied, self.n, f"{copied:,} of {self.n:,} images are known")
            images = in_threads(self.read, new[first:].tolist(), ahead=2 * size)
            # a failure or a cancellation must not leave threads decoding
            stack.callback(images.close)
            results = in_threads(
                _through(run),
                self._pieces(images, len(new) - first),
                ahead=run.streams + 1,
                threads=run.streams,
                begin=run.limit_threads,
                name="network",
            )
            stack.callback(results.close)
            started = time.monotonic()
            noted = -np.inf
            done, overflown = first, []
            for piece, features, logits in results:
                sound = np.isfinite(features).all(axis=1) & np.isfinite(logits).all(axis=1)
                kept = [image for image, is_sound in zip(piece.images, sound, strict=True) if is_sound]
                overflown += [i.image for i, is_sound in zip(piece.images, sound, strict=True) if not is_sound]
                partial.append(features[sound], logits[sound], [i.image for i in kept], [i.thumbnail for i in kept])
                if not piece.ends:
                    continue
                self._check_there(piece.problems)
                done = min(done + size, len(new))
                # left out: whatever is computed from features later (components, probes, heads) would be spoiled for
                # all images by one of them
                left_out = [Problem(str(self.dataset.images[i]), NOT_FINITE) for i in overflown]
                partial.end_batch([*piece.problems, *left_out])
                overflown = []
                now = time.monotonic()
                if now - noted > NOTE_EVERY:
                    partial.note()
                    _check_space(partial, len(new) - done, self.classifier, copied)
                    noted = now
                rate = (done - first) / max(now - started, 1e-9)
                self.progress(copied + done, self.n, f"Extracting features, {rate:,.0f} images/s")
            if not partial.journal.rows + copied:
                raise _nothing_readable(self.dataset, partial.journal.skipped)
            partial.note()
            partial.finish()
            return [Problem(**problem) for problem in partial.journal.skipped]

    def _check_there(self, problems: list[Problem]) -> None:
        """Raise `PathNotFound` where images are absent because all are: a drive that was taken out, a folder that was
        moved. Listed as unreadable, they would stay so when it is back."""
        if not problems or self.pictures.missing([problem.image for problem in problems]) is None:
            return
        some = self.dataset.images[np.unique(np.linspace(0, self.n - 1, LOOKED_FOR).astype(np.int64))].tolist()
        if all(self.pictures.missing([name]) is not None for name in some):
            raise PathNotFound(
                f"The images of {self.dataset.name} are not in {self.dataset.root} any more.",
                next_step="Bring them back and analyse them again: what is done so far is kept.",
            )

    def _pieces(self, images: Iterator[_Read | Problem], count: int) -> Iterator[_Piece]:
        """Whole batches, each in pieces that the network takes at once; a batch that has no readable image is a piece
        without images."""
        size = self.settings.batch_size
        for begin in range(0, count, size):
            found = [next(images) for _ in range(begin, min(begin + size, count))]
            readable = [item for item in found if isinstance(item, _Read)]
            problems = [item for item in found if isinstance(item, Problem)]
            starts = range(0, max(len(readable), 1), self.at_once)
            for start in starts:
                ends = start == starts[-1]
                yield _Piece(readable[start : start + self.at_once], problems if ends else [], ends)


def _begun(folder: Path) -> Computed | None:
    """What a pass that did not end computed with: what was measured then holds."""
    try:
        return read_computed(folder) if (folder / COMPUTED).is_file() else None
    except (OSError, ValueError):
        return None


def _through(run: Runner) -> Callable[[_Piece], tuple[_Piece, np.ndarray, np.ndarray]]:
    def compute(piece: _Piece) -> tuple[_Piece, np.ndarray, np.ndarray]:
        if not piece.images:
            return piece, np.empty((0, run.classifier.d), np.float32), np.empty((0, run.classifier.k), np.float32)
        return piece, *run(np.stack([image.pixels for image in piece.images]))

    return compute


def _key(settings: Settings, device: str) -> dict[str, Any]:
    """What two processes must have in common to continue each other's work byte for byte. device: left out where it is
    the processor, as earlier versions did."""
    return {
        **({} if device == "cpu" else {"device": device}),
        "batch_size": settings.batch_size,
        "thumbnail_size": settings.thumbnail_size,
        "thumbnail_quality": settings.thumbnail_quality,
        "max_image_pixels": settings.max_image_pixels,
    }


def _check_space(partial: PartialAnalysis, images: int, classifier: Classifier, copied: int) -> None:
    """Raise `DiskFull` unless `images` more fit on the disk. Thumbnails count as much as those so far, on average.

    copied: rows of an earlier analysis. With them, all rows are written once more at the end.
    """
    journal = partial.journal
    thumbnail = journal.bytes / journal.rows if journal.rows else 0
    again = copied + journal.rows + images if copied else 0
    needed = (images + again) * (4 * classifier.d + 4 * classifier.k + 16 + thumbnail) + SPARE_BYTES
    free = shutil.disk_usage(partial.folder).free
    if free < needed:
        raise DiskFull(
            f"{images:,} more images need about {_size(needed)}, and {_size(free)} are free where the workspace lies "
            f"({partial.folder.parent}).",
            next_step="Free some space or choose a workspace on another disk; what is done so far is kept.",
        )


def _size(count: float) -> str:
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:,.0f} MB"


def _nothing_readable(dataset: Dataset, skipped: list[dict[str, Any]]) -> EmptyDataset:
    reason = f" (the first, {skipped[0]['image']}: {skipped[0]['reason']})" if skipped else ""
    return EmptyDataset(
        f"None of the {len(dataset):,} images of {dataset.name} can be used{reason}.",
        next_step="Check that the files are images and that they are whole.",
    )


def _partial_folder(workspace: Workspace, identity: str) -> Path:
    return workspace.analyses / f".{identity}.partial"


def _lock_file(workspace: Workspace, identity: str) -> Path:
    return workspace.analyses / ".locks" / identity


def _remove_abandoned(workspace: Workspace) -> None:
    """Delete unfinished work that nobody has continued for a week: its dataset or model has changed since."""
    for folder in workspace.analyses.glob(".*.partial"):
        newest = max((path.stat().st_mtime for path in (folder, folder / JOURNAL) if path.exists()), default=0.0)
        if time.time() - newest < ABANDONED_SECONDS:
            continue
        lock_file = _lock_file(workspace, folder.name.removeprefix(".").removesuffix(".partial"))
        with held_if_free(lock_file) as is_free:
            if is_free:
                shutil.rmtree(folder, ignore_errors=True)
