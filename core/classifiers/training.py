"""Training a classifier by empirical risk minimisation (ERM), the baseline that the repair starts from.

Plain on purpose: cross-entropy, no weighting of groups or classes, no selection by any held-out split. If images of a
class mostly share a background, a network trained so will use it, which is what there is to see.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from torch import nn

from core.classifiers.architectures import SMALL, build, channels_last, check, default_preprocessing
from core.classifiers.checkpoint import ModelDescription, check_output, write_checkpoint
from core.classifiers.image_cache import decode_images
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
WEIGHT_DECAY = 1e-2
# Share of the steps in which the learning rate rises, before it falls along a cosine to zero.
WARMUP = 0.15
# Augmentation: mirrored half of the time, shifted by up to this share of the side.
SHIFT = 1 / 16


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

    with tempfile.TemporaryDirectory(prefix="midband-train-") as folder, _own_randomness(seed):
        network = channels_last(build(arch, len(dataset.classes)))
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
        rate = _fit(
            network,
            images.pixels,
            labels,
            train,
            preprocessing,
            epochs=epochs,
            learning_rate=learning_rate or (LEARNING_RATE if arch == SMALL else LARGE_LEARNING_RATE),
            weight_decay=weight_decay,
            rng=np.random.default_rng(seed),
            progress=steps.part(epochs * len(train_ids)),
        )
        measured = test if len(test) else train
        predicted = _predict(network, images.pixels, measured, preprocessing, steps.part(max(len(test_ids), 1)))

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


@contextmanager
def _own_randomness(seed: int) -> Iterator[None]:
    """Initial weights and dropout follow the seed; the caller's random state is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def _fit(
    network: nn.Module,
    pixels: np.ndarray,
    labels: np.ndarray,
    rows: np.ndarray,
    preprocessing: Preprocessing,
    *,
    epochs: int,
    learning_rate: float,
    weight_decay: float,
    rng: np.random.Generator,
    progress: Progress,
) -> float:
    """Train in place. pixels: (m, s, s, 3) uint8. rows: those to train on. Returns images per second."""
    # small datasets in small batches: an epoch of few steps teaches little, and normalisation lags behind
    batch = min(len(rows), max(16, min(BATCH, len(rows) // 16)))
    batches = max(1, len(rows) // batch)
    optimizer = torch.optim.AdamW(_parameter_groups(network, weight_decay), lr=learning_rate, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _warm_cosine(step, epochs * batches))
    started = time.monotonic()
    network.train()
    for epoch in range(epochs):
        # the remainder that fills no batch changes every epoch; a last batch of one would break batch normalisation
        order = rng.permutation(rows)
        loss_sum, right, seen = 0.0, 0, 0
        for index in range(batches):
            chosen = np.sort(order[index * batch : (index + 1) * batch])
            inputs = _tensor(preprocessing.normalise(augment(pixels[chosen], rng)))
            targets = torch.from_numpy(labels[chosen])
            logits = network(inputs)
            loss = nn.functional.cross_entropy(logits, targets)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 5.0)
            optimizer.step()
            schedule.step()
            loss_sum += float(loss.detach()) * len(chosen)
            right += int((logits.detach().argmax(1) == targets).sum())
            seen += len(chosen)
            _check_finite(loss_sum)
            progress(
                epoch * len(rows) + seen,
                epochs * len(rows),
                f"Epoch {epoch + 1} of {epochs}: loss {loss_sum / seen:.3f}, accuracy {right / seen:.1%} on train",
            )
    return epochs * batches * batch / (time.monotonic() - started)


def augment(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Mirror half of the images and shift each a little, repeating its border. (b, s, s, 3) uint8, in and out."""
    side = pixels.shape[1]
    margin = max(1, round(side * SHIFT))
    padded = np.pad(pixels, ((0, 0), (margin, margin), (margin, margin), (0, 0)), mode="edge")
    windows = sliding_window_view(padded, (side, side), axis=(1, 2))  # (b, 2m+1, 2m+1, 3, s, s)
    down, right = rng.integers(0, 2 * margin + 1, size=(2, len(pixels)))
    shifted = windows[np.arange(len(pixels)), down, right].transpose(0, 2, 3, 1)
    mirrored = rng.random(len(pixels)) < 0.5
    shifted[mirrored] = shifted[mirrored][:, :, ::-1]
    return shifted


def _predict(
    network: nn.Module, pixels: np.ndarray, rows: np.ndarray, preprocessing: Preprocessing, progress: Progress
) -> np.ndarray:
    """Predicted classes (len(rows),) int64."""
    network.eval()
    predicted = np.empty(len(rows), dtype=np.int64)
    with torch.inference_mode():
        for start in range(0, len(rows), BATCH):
            chosen = rows[start : start + BATCH]
            inputs = _tensor(preprocessing.normalise(pixels[chosen]))
            predicted[start : start + len(chosen)] = network(inputs).argmax(1).numpy()
            progress(start + len(chosen), len(rows), "Measuring accuracy")
    return predicted


def _tensor(images: np.ndarray) -> torch.Tensor:
    """(b, h, w, 3) to a (b, 3, h, w) view: channels-last memory, which convolutions on a CPU like best."""
    return torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2)


def _parameter_groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Decay pulls weight matrices and filters towards zero; biases and normalisation are left alone."""
    decayed = [parameter for parameter in network.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in network.parameters() if parameter.ndim <= 1]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]


def _warm_cosine(step: int, steps: int) -> float:
    """Factor of the learning rate at this step: up in a line, down along a cosine."""
    warm = max(1, round(steps * WARMUP))
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def _check_finite(loss: float) -> None:
    if not math.isfinite(loss):
        raise BadRequest(
            "The training diverged: its loss is not a number any more.",
            next_step="Try another seed, the small network, or a lower learning rate.",
        )


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
