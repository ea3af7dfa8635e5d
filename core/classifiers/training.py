"""Training a classifier by empirical risk minimisation (ERM), the baseline that the repair starts from.

Plain on purpose: cross-entropy, no weighting of groups or classes, no selection by any held-out split. If images of a
class mostly share a background, a network trained so will use it, which is what there is to see.
"""

from __future__ import annotations

import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from core.access.policy import Permission, require
from core.classifiers.architectures import SMALL, build, check, default_preprocessing
from core.classifiers.checkpoint import ModelDescription, check_output, write_checkpoint
from core.classifiers.image_cache import decode_images
from core.classifiers.learner import WEIGHT_DECAY, Learner, augment, own_randomness
from core.classifiers.lookahead import in_threads
from core.classifiers.preprocessing import Preprocessing, squeezed
from core.datasets.dataset import SPLITS, Dataset, Problem
from core.errors import BadRequest, EmptyDataset, OneClass
from core.progress import Progress, silent
from core.settings import DEFAULTS, Settings

# Images seen in all when nobody says how many epochs: a minute for `small` on two cores, and enough for it to settle.
SMALL_BUDGET = 60_000
# Torchvision's networks cost ten to a hundred times as much per image.
LARGE_BUDGET = 20_000
EPOCHS_RANGE = (4, 40)

BATCH = 128
LEARNING_RATE = 2e-3
LARGE_LEARNING_RATE = 5e-4


@dataclass(frozen=True)
class GroupCount:
    """Test accuracy of one group: class x value of the grouping attribute (`concept`, None without one)."""

    class_name: str
    concept: str | None
    count: int
    accuracy: float

    def to_dict(self) -> dict[str, Any]:
        return {
            "class": self.class_name,
            "concept": self.concept,
            "count": self.count,
            "accuracy": self.accuracy,
        }


@dataclass(frozen=True)
class TrainedModel:
    """What training left behind. accuracy and groups are those of the test split (of train where there is no test)."""

    model: Path
    arch: str
    accuracy: float
    groups: tuple[GroupCount, ...]
    split: str
    epochs: int
    images_per_second: float
    seconds: float
    skipped: tuple[Problem, ...]

    def to_dict(self) -> dict[str, Any]:
        return {
            "model": str(self.model),
            "arch": self.arch,
            "accuracy": self.accuracy,
            "groups": [group.to_dict() for group in self.groups],
            "split": self.split,
            "epochs": self.epochs,
            "images_per_second": self.images_per_second,
            "seconds": self.seconds,
            "skipped": [problem.to_dict() for problem in self.skipped],
        }


def train_erm(
    dataset: Dataset,
    *,
    arch: str = SMALL,
    epochs: int | None = None,
    seed: int = 0,
    out: Path,
    progress: Progress = silent,
    image_size: int | None = None,
    learning_rate: float | None = None,
    weight_decay: float = WEIGHT_DECAY,
    settings: Settings = DEFAULTS,
) -> TrainedModel:
    """Train on the train split, measure on test, write `out` (.safetensors, with architecture, classes, preprocessing).

    epochs: by the size of the train split when None. image_size: pixels of the square input. The same seed, data and
    number of threads give the same weights on one machine. Progress counts images: decoded, trained on, measured.
    Raises `BadRequest`, `EmptyDataset`, `OneClass`, and what `progress` raises to cancel; then nothing is written.
    """
    require(Permission.TRAIN, str(out))
    started = time.monotonic()
    out = check_output(Path(out))
    check(arch)
    train_ids = np.flatnonzero(dataset.splits == SPLITS.index("train"))
    test_ids = np.flatnonzero(dataset.splits == SPLITS.index("test"))
    _check_trainable(dataset, train_ids)
    epochs = _checked_epochs(epochs, arch, len(train_ids))
    preprocessing = _input_of(arch, image_size)
    wanted = np.concatenate([train_ids, test_ids])
    steps = _Steps(progress, total=len(wanted) + epochs * len(train_ids) + max(len(test_ids), 1))

    with tempfile.TemporaryDirectory(prefix="midband-train-") as folder, own_randomness(seed):
        network = build(arch, len(dataset.classes))
        _check_input(network, arch, preprocessing)
        images = decode_images(
            dataset,
            wanted,
            preprocessing,
            folder=Path(folder),
            max_pixels=settings.max_image_pixels,
            progress=steps.part(len(wanted)),
        )
        train = np.flatnonzero(dataset.splits[images.ids] == SPLITS.index("train"))
        test = np.flatnonzero(dataset.splits[images.ids] == SPLITS.index("test"))
        _check_trainable(dataset, images.ids[train])
        labels = dataset.labels[images.ids]
        # small datasets in small batches: an epoch of few steps teaches little, and normalisation lags behind
        batch = min(len(train), max(16, min(BATCH, len(train) // 16)))
        learner = Learner(
            network,
            preprocessing,
            learning_rate=learning_rate or (LEARNING_RATE if arch == SMALL else LARGE_LEARNING_RATE),
            weight_decay=weight_decay,
            steps=epochs * max(1, len(train) // batch),
        )
        rate = _fit(
            learner,
            images.pixels,
            labels,
            train,
            batch=batch,
            rng=np.random.default_rng(seed),
            progress=steps.part(epochs * len(train_ids)),
        )
        measured = test if len(test) else train
        predicted = _predict(learner, images.pixels, measured, steps.part(max(len(test_ids), 1)))

    write_checkpoint(
        out,
        network.state_dict(),
        ModelDescription(arch=arch, classes=dataset.classes, preprocessing=preprocessing),
    )
    return TrainedModel(
        model=out,
        arch=arch,
        accuracy=float((predicted == labels[measured]).mean()),
        groups=_groups(dataset, images.ids[measured], predicted),
        split="test" if len(test) else "train",
        epochs=epochs,
        images_per_second=rate,
        seconds=time.monotonic() - started,
        skipped=images.skipped,
    )


def default_epochs(arch: str, images: int) -> int:
    """Epochs for a train split of this size: about the same number of images seen whatever its size."""
    budget = SMALL_BUDGET if arch == SMALL else LARGE_BUDGET
    return int(np.clip(round(budget / max(images, 1)), *EPOCHS_RANGE))


def _checked_epochs(epochs: int | None, arch: str, images: int) -> int:
    if epochs is None:
        return default_epochs(arch, images)
    if epochs < 1:
        raise BadRequest(f"{epochs} epochs cannot be trained.", next_step="Train for at least one epoch.")
    return epochs


def _check_trainable(dataset: Dataset, ids: np.ndarray) -> None:
    dataset.need_labels()
    if not len(ids):
        raise EmptyDataset(
            f"{dataset.name} has no readable images in its train split.",
            next_step="Put images into train, or leave the splits out: then they are made for you.",
        )
    present = np.unique(dataset.labels[ids])
    if len(present) < 2:
        raise OneClass(
            f"All images of the train split of {dataset.name} belong to {dataset.classes[int(present[0])]}.",
            next_step="Add images of another class to train.",
        )


def _input_of(arch: str, image_size: int | None) -> Preprocessing:
    if image_size is None:
        usual = default_preprocessing(arch)
        return squeezed(usual.crop)
    if image_size < 16:
        raise BadRequest(
            f"Images of {image_size} pixels are too small to learn from.", next_step="Use at least 16 pixels."
        )
    return squeezed(image_size)


def _check_input(network: nn.Module, arch: str, preprocessing: Preprocessing) -> None:
    """Refuse sizes that the architecture cannot take, before an hour of decoding."""
    size = preprocessing.crop
    network.eval()
    try:
        with torch.inference_mode():
            network(torch.zeros(1, 3, size, size))
    except (RuntimeError, AssertionError, ValueError) as error:
        raise BadRequest(
            f"{arch} cannot take images of {size} x {size} pixels ({str(error).splitlines()[0]}).",
            next_step=f"Leave the image size out: {default_preprocessing(arch).crop} pixels are usual for {arch}.",
        ) from error


def _fit(
    learner: Learner,
    pixels: np.ndarray,
    labels: np.ndarray,
    rows: np.ndarray,
    *,
    batch: int,
    rng: np.random.Generator,
    progress: Progress,
) -> float:
    """Train in place. pixels: (m, s, s, 3) uint8. rows: those to train on. Returns images per second."""
    batches = max(1, len(rows) // batch)
    epochs = learner.steps // batches
    order = rows

    def prepare(step: int) -> tuple[np.ndarray, np.ndarray]:
        nonlocal order
        index = step % batches
        if index == 0:
            # the remainder that fills no batch changes every epoch; a last batch of one would break normalisation
            order = rng.permutation(rows)
        chosen = np.sort(order[index * batch : (index + 1) * batch])
        return augment(pixels[chosen], rng), labels[chosen]

    started = time.monotonic()
    loss_sum, right, seen = 0.0, 0, 0
    # one thread, which draws random numbers in order, one batch ahead of the network
    with closing(in_threads(prepare, range(learner.steps), ahead=2, threads=1)) as prepared:
        for step, (inputs, targets) in enumerate(prepared):
            epoch, index = divmod(step, batches)
            if index == 0:
                loss_sum, right, seen = 0.0, 0, 0
            loss, hits = learner.step(inputs, targets)
            loss_sum, right, seen = loss_sum + loss * len(targets), right + hits, seen + len(targets)
            progress(
                epoch * len(rows) + seen,
                epochs * len(rows),
                f"Epoch {epoch + 1} of {epochs}: loss {loss_sum / seen:.3f}, accuracy {right / seen:.1%} on train",
            )
    return learner.steps * batch / (time.monotonic() - started)


def _predict(learner: Learner, pixels: np.ndarray, rows: np.ndarray, progress: Progress) -> np.ndarray:
    """Predicted classes (len(rows),) int64."""
    predicted = np.empty(len(rows), dtype=np.int64)
    for start in range(0, len(rows), BATCH):
        chosen = rows[start : start + BATCH]
        predicted[start : start + len(chosen)] = learner.logits(pixels[chosen]).argmax(axis=1)
        progress(start + len(chosen), len(rows), "Measuring accuracy")
    return predicted


def _groups(dataset: Dataset, ids: np.ndarray, predicted: np.ndarray) -> tuple[GroupCount, ...]:
    """Accuracy per class and value of the first attribute, empty groups left out."""
    labels = dataset.labels[ids]
    attribute = dataset.attributes[0] if dataset.attributes else None
    codes = attribute.codes[ids] if attribute else np.zeros(len(ids), dtype=np.int16)
    concepts: tuple[str | None, ...] = attribute.values if attribute else (None,)
    groups = []
    for label, class_name in enumerate(dataset.classes):
        for code, concept in enumerate(concepts):
            members = (labels == label) & (codes == code)
            if members.any():
                accuracy = float((predicted[members] == label).mean())
                groups.append(GroupCount(class_name, concept, int(members.sum()), accuracy))
    return tuple(groups)


class _Steps:
    """One count of images over the parts of the work, each of which counts for itself."""

    def __init__(self, progress: Progress, *, total: int) -> None:
        self.progress = progress
        self.total = total
        self.before = 0

    def part(self, size: int) -> Progress:
        """Progress of the next `size` images, scaled to that when the part counts otherwise (images skipped)."""
        start = self.before
        self.before += size

        def report(done: int, total: int, message: str = "") -> None:
            self.progress(start + (round(size * done / total) if total else 0), self.total, message)

        return report
