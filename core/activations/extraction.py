"""One pass over a dataset: each image decoded once, its features, logits and thumbnail written as they come.

Threads decode ahead of the network; what they bring is written at once, so memory does not grow with the number of
images. The work lies in a hidden folder (`analyses/.<id>.partial/`, see partial.py) that gets its name when it is
whole. A pass that was killed or cancelled continues near where it stopped and ends in the same bytes, because images
are always batched alike: batch b holds images b * size to (b + 1) * size of the dataset, those that can be read.
"""

from __future__ import annotations

import fcntl
import json
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from core.activations.partial import JOURNAL, PartialAnalysis, clear_notes
from core.activations.store import Analysis, ModelFacts, has_analysis, publish, refresh
from core.activations.thumbnails import make_thumbnail
from core.classifiers.classifier import Classifier
from core.classifiers.lookahead import in_threads
from core.datasets.dataset import Dataset, Problem
from core.datasets.images import UnreadableImage, decode
from core.errors import DiskFull, EmptyDataset
from core.files import digest, storage_problems
from core.progress import Progress, silent
from core.settings import DEFAULTS, Settings
from core.workspace import Workspace

# Part of the cache key: another precision gives other numbers.
PRECISION = "float32"
# why an image is left out that the network cannot handle
NOT_FINITE = "the network gives numbers for it that are not finite"
# pixels the network sees at once: 16 images of 224 x 224. More makes two cores no faster and takes hundreds of MB.
PIXELS_AT_ONCE = 16 * 224 * 224
# seconds between two notes of how far the pass is: what a kill costs at most
NOTE_EVERY = 2.0
# bytes left free beyond the estimate, so that a nearly full disk is noticed here and not by the database
SPARE_BYTES = 64 * 2**20
# hidden folders untouched for longer belong to nobody any more
ABANDONED_SECONDS = 7 * 24 * 3600


def analysis_id(dataset: Dataset, classifier: Classifier) -> str:
    """Names the result: equal for equal weights, preprocessing, precision and images; labels do not matter."""
    return digest(
        classifier.digest,
        json.dumps(classifier.preprocessing.to_dict(), sort_keys=True),
        PRECISION,
        dataset.id,
        dataset.fingerprint,
    )


def analyse(
    workspace: Workspace,
    dataset: Dataset,
    classifier: Classifier,
    *,
    progress: Progress = silent,
    settings: Settings = DEFAULTS,
) -> Analysis:
    """Apply a classifier to a dataset and store the result, or give back the stored one.

    An analysis of the same weights, preprocessing and images is never computed twice: its labels, splits and
    attributes are brought up to date and it becomes the latest. Images that cannot be read are left out and listed.
    Progress counts images. Raises `ClassMismatch`, `EmptyDataset` when not one image can be read, `DiskFull`,
    `StorageProblem`, and what `progress` raises to cancel; then the next call continues where this one stopped.
    """
    classifier.check_classes(dataset.classes)
    identity = analysis_id(dataset, classifier)
    model = ModelFacts(
        name=classifier.name,
        file=classifier.file,
        arch=classifier.arch,
        digest=classifier.digest,
        preprocessing=classifier.preprocessing.to_dict(),
    )
    folder = _partial_folder(workspace, identity)
    _remove_abandoned(workspace)
    with _alone(workspace, identity, progress, len(dataset)):
        # looked up under the lock: another process may just have finished the very same work
        if has_analysis(workspace, identity):
            progress(len(dataset), len(dataset), "Analysed before: nothing to compute")
            return refresh(workspace, identity, dataset, model)
        with storage_problems(folder / "features.npy"):
            skipped = _extract(folder, dataset, classifier, progress, settings)
            clear_notes(folder)
        progress(len(dataset), len(dataset), "Writing the analysis")
        return publish(workspace, identity, folder, dataset, model, classifier.head, skipped)


@dataclass(frozen=True, eq=False)
class _Read:
    """One image as the threads bring it: position in the dataset, (s, s, 3) uint8 for the network, thumbnail."""

    image: int
    pixels: np.ndarray
    thumbnail: bytes


def _extract(
    folder: Path, dataset: Dataset, classifier: Classifier, progress: Progress, settings: Settings
) -> list[Problem]:
    """Fill the partial folder, from where its journal ends. Returns the images that could not be read."""
    n, size = len(dataset), settings.batch_size

    def read(image: int) -> _Read | Problem:
        name = str(dataset.images[image])
        try:
            picture = decode(dataset.root / name, settings.max_image_pixels)
        except UnreadableImage as problem:
            return Problem(name, problem.reason)
        thumbnail = make_thumbnail(picture, settings.thumbnail_size, settings.thumbnail_quality)
        return _Read(image, classifier.preprocessing.pixels(picture), thumbnail)

    with ExitStack() as stack:
        partial = stack.enter_context(
            PartialAnalysis(folder, key=_key(settings), d=classifier.d, k=classifier.k),
        )
        first = min(partial.journal.batches * size, n)
        _check_space(partial, n - first, classifier)
        if first:
            progress(first, n, f"Continuing after the first {first:,} images")
        images = in_threads(read, range(first, n), ahead=2 * size)
        # a failure or a cancellation must not leave threads decoding
        stack.callback(images.close)
        started = time.monotonic()
        noted = -np.inf
        for begin in range(first, n, size):
            end = min(begin + size, n)
            found = [next(images) for _ in range(begin, end)]
            overflown = _append(partial, classifier, [item for item in found if isinstance(item, _Read)])
            unreadable = [item for item in found if isinstance(item, Problem)]
            partial.end_batch([*unreadable, *(Problem(str(dataset.images[i]), NOT_FINITE) for i in overflown)])
            now = time.monotonic()
            if now - noted > NOTE_EVERY:
                partial.note()
                _check_space(partial, n - end, classifier)
                noted = now
            progress(end, n, f"Extracting features, {(end - first) / max(now - started, 1e-9):,.0f} images/s")
        if not partial.journal.rows:
            raise _nothing_readable(dataset, partial.journal.skipped)
        partial.note()
        partial.finish()
        return [Problem(**problem) for problem in partial.journal.skipped]


def _append(partial: PartialAnalysis, classifier: Classifier, images: list[_Read]) -> list[int]:
    """Run the network on one batch, a few images at a time, and write what comes out.

    Returns the images for which a feature or logit is not finite. They are left out: whatever is computed from
    features later (components, probes, heads) would be spoiled for all images by one of them.
    """
    overflown: list[int] = []
    at_once = max(1, PIXELS_AT_ONCE // classifier.preprocessing.crop**2)
    for start in range(0, len(images), at_once):
        chosen = images[start : start + at_once]
        batch = classifier.preprocessing.normalise(np.stack([image.pixels for image in chosen]))
        # channels-last memory as it is: convolutions on a CPU like it best
        features, logits = classifier(torch.from_numpy(batch).permute(0, 3, 1, 2))
        sound = (torch.isfinite(features).all(dim=1) & torch.isfinite(logits).all(dim=1)).numpy()
        overflown += [image.image for image, is_sound in zip(chosen, sound, strict=True) if not is_sound]
        kept = [image for image, is_sound in zip(chosen, sound, strict=True) if is_sound]
        partial.append(
            features.numpy()[sound], logits.numpy()[sound], [i.image for i in kept], [i.thumbnail for i in kept]
        )
    return overflown


def _key(settings: Settings) -> dict[str, int]:
    """What two processes must have in common to continue each other's work byte for byte."""
    return {
        "batch_size": settings.batch_size,
        "thumbnail_size": settings.thumbnail_size,
        "thumbnail_quality": settings.thumbnail_quality,
        "max_image_pixels": settings.max_image_pixels,
    }


def _check_space(partial: PartialAnalysis, images: int, classifier: Classifier) -> None:
    """Raise `DiskFull` unless `images` more fit on the disk. Thumbnails count as much as those so far, on average."""
    journal = partial.journal
    thumbnail = journal.bytes / journal.rows if journal.rows else 0
    needed = images * (4 * classifier.d + 4 * classifier.k + 16 + thumbnail) + SPARE_BYTES
    free = shutil.disk_usage(partial.folder).free
    if free < needed:
        raise DiskFull(
            f"{images:,} more images need about {_size(needed)}, and {_size(free)} are free where the workspace lies "
            f"({partial.folder.parent}).",
            next_step="Free some space or choose a workspace on another disk; what is done so far is kept.",
        )


def _size(count: float) -> str:
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:,.0f} MB"


def _nothing_readable(dataset: Dataset, skipped: list[dict[str, str]]) -> EmptyDataset:
    reason = f" (the first, {skipped[0]['image']}: {skipped[0]['reason']})" if skipped else ""
    return EmptyDataset(
        f"None of the {len(dataset):,} images of {dataset.name} can be used{reason}.",
        next_step="Check that the files are images and that they are whole.",
    )


def _partial_folder(workspace: Workspace, identity: str) -> Path:
    return workspace.analyses / f".{identity}.partial"


def _lock_file(workspace: Workspace, identity: str) -> Path:
    return workspace.analyses / ".locks" / identity


@contextmanager
def _alone(workspace: Workspace, identity: str, progress: Progress, total: int) -> Iterator[None]:
    """Hold the lock of this analysis; wait for another process that has it. A killed process loses it by itself."""
    path = _lock_file(workspace, identity)
    with storage_problems(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = open(path, "ab")  # noqa: SIM115  # closed by the next line, outside of this translation of errors
    with lock:
        while not _locked(lock.fileno()):
            progress(0, total, "Waiting for another process that computes the same analysis")
            time.sleep(0.2)
        yield


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _remove_abandoned(workspace: Workspace) -> None:
    """Delete unfinished work that nobody has continued for a week: its dataset or model has changed since."""
    for folder in workspace.analyses.glob(".*.partial"):
        newest = max((path.stat().st_mtime for path in (folder, folder / JOURNAL) if path.exists()), default=0.0)
        if time.time() - newest < ABANDONED_SECONDS:
            continue
        lock_file = _lock_file(workspace, folder.name.removeprefix(".").removesuffix(".partial"))
        lock_file.parent.mkdir(exist_ok=True)
        with open(lock_file, "ab") as lock:
            if _locked(lock.fileno()):
                shutil.rmtree(folder, ignore_errors=True)
