"""The method `finetune`: the whole network trained on the curated images, every class x concept group equally often.

Group-balanced sampling of whole networks is what Sagawa et al. 2020 (arXiv:1911.08731, "resampling") and Idrissi et
al. 2022 (arXiv:2110.14503) found to be hard to beat where groups are known; here they are those of the curation. The
training begins with a last layer repaired on the very images it learns from, as Kumar et al. 2022 (arXiv:2202.10054)
do: from the old one, the first steps would bend the features to suit a head that is wrong.

A quarter of the curated images of every group is not learnt from: after each epoch its worst group decides which
weights are kept and when to stop. Test takes no part.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.activations.store import Analysis
from core.classifiers.head import Head
from core.classifiers.image_cache import decode_named, read_pixels
from core.classifiers.lookahead import in_threads
from core.classifiers.origins import PROGRAMS, is_program
from core.classifiers.preprocessing import Preprocessing
from core.classifiers.softmax import softmax
from core.datasets.dataset import Problem
from core.errors import BadRequest, PathNotFound
from core.files import digest
from core.progress import Progress, silent
from core.retraining.curation import Curation
from core.retraining.finetune_images import ChosenImages, Parts, part_images, train_images, without_twins
from core.retraining.finetune_knobs import LAST_BLOCK
from core.retraining.finetune_state import Standing, read_best, read_state, write_best, write_state
from core.retraining.fitting import fit_balanced
from core.retraining.methods import checked_settings
from core.settings import DEFAULTS, Settings

if TYPE_CHECKING:
    from core.classifiers.classifier import Classifier
    from core.classifiers.learner import Learner
    from core.retraining.material import Gathered

MODEL = "model.safetensors"
# seconds between two notes of how far the training is: what a kill costs at most
NOTE_EVERY = 30.0
# images that the network is asked about before anything is trained, to see that they still give the stored logits
CHECKED = 64
# how far logits may be from the stored ones, relative to the largest, by what those were computed with
TOLERANCE = {"fp32": 1e-2, "bf16": 1e-1}
# images of a group set aside that count for as much as what is known of the other groups
FORGIVING = 5
# images per forward pass when all logits are computed
BLOCK = 64


@dataclass(frozen=True, eq=False)
class Finetuned:
    """weights: the whole network, as `write_checkpoint` writes it. logits: (n, k) float32, of every image of the
    analysis. head: its last layer, for its own features and not for those of the analysis. epochs: gone through.
    best_epoch: whose weights these are; 0 means the repaired last layer alone. history: per epoch, `epoch`, `loss` and
    `train_accuracy` (None for epoch 0), and what `measured` says of the images set aside. trained, stopping: rows of
    the analysis that were learnt from, and set aside. notes: sentences for a person."""

    weights: Path
    logits: np.ndarray
    head: Head
    epochs: int
    best_epoch: int
    history: tuple[dict[str, Any], ...]
    trained: np.ndarray
    stopping: np.ndarray
    notes: tuple[str, ...] = field(default=())


def finetune(
    analysis: Analysis,
    gathered: Gathered,
    curation: Curation,
    *,
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    folder: Path,
    progress: Progress = silent,
    limits: Settings = DEFAULTS,
) -> Finetuned:
    """Train the analysed network on curated images and compute the logits of all images with it.

    settings: knobs (finetune_knobs.py) by name. folder: where the work is kept until it is done; a second call with
    the same folder and the same work goes on where the first one ended, and on one machine with one number of threads
    ends in the same weights as an uninterrupted one. Raises `BadRequest` for TorchScript, for settings out of range and
    for images that changed, `PathNotFound` where the model or an image is gone, `EmptyGroup`, `LeakedImages`, and what
    `progress` raises to cancel.
    """
    from core.activations.reloading import analysed_classifier

    chosen = checked_settings("finetune", settings)
    check_trainable(analysis)
    added = None
    if chosen["train_images"]:
        added = train_images(analysis, gathered, curation)
    parts = part_images(analysis, curation, seed=seed, added=added)
    _check_files(analysis)
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob("pixels-*"):
        # of a process that was killed
        for file in left.glob("*"):
            file.unlink(missing_ok=True)
        left.rmdir()
    classifier = analysed_classifier(analysis)
    with tempfile.TemporaryDirectory(prefix="pixels-", dir=folder) as temporary:
        work = _Work(analysis, classifier, parts, chosen, seed, folder, progress, limits)
        return work.run(gathered, curation, Path(temporary))


def check_trainable(analysis: Analysis) -> None:
    """Raise `BadRequest` for a network that cannot be trained here, or images without labels."""
    analysis.need_labels()
    if is_program(analysis.arch):
        raise BadRequest(
            f"{analysis.model_name} is {PROGRAMS[analysis.arch]}, made for predicting: its layers cannot be trained "
            "here.",
            next_step="Use the method mid, which needs its features only; or load the weights as a state dict with "
            "their architecture and analyse them again.",
            title="This network cannot be trained",
        )


class _Work:
    """One training from its images to its logits. Progress counts images, of all of its parts."""

    def __init__(
        self,
        analysis: Analysis,
        classifier: Classifier,
        parts: Parts,
        chosen: dict[str, Any],
        seed: int,
        folder: Path,
        progress: Progress,
        limits: Settings,
    ) -> None:
        self._analysis, self._classifier, self._chosen = analysis, classifier, chosen
        self._parts, self._seed, self._folder, self._progress, self._limits = parts, seed, folder, progress, limits
        self._names = analysis.images.tolist()
        self._done, self._total = 0, 0

    def run(self, gathered: Gathered, curation: Curation, temporary: Path) -> Finetuned:
        from core.classifiers.checkpoint import write_checkpoint
        from core.classifiers.classifier import description_of, head_in

        rows = np.sort(np.concatenate([self._parts.trained.rows, self._parts.stopping.rows]))
        epochs = self._chosen["epochs"]
        self._total = len(rows) + epochs * len(self._parts.trained) + self._analysis.n
        pixels, place = self._decode(rows, temporary)
        self._check_logits(pixels, place)
        self._parts = without_twins(self._parts, pixels, place)
        learner = self._learner()
        standing = self._train(learner, pixels, place, gathered, curation)
        learner.network.load_state_dict(read_best(self._folder, standing.best_epoch))
        self._done = len(rows) + epochs * len(self._parts.trained)
        logits = self._all_logits(learner, pixels, place)
        state = learner.network.state_dict()
        description = replace(description_of(self._classifier), classes=self._analysis.classes)
        write_checkpoint(self._folder / MODEL, state, description)
        ended = len(standing.history) - 1
        return Finetuned(
            weights=self._folder / MODEL,
            logits=logits,
            head=head_in(learner.network, self._classifier.head_name),
            epochs=ended,
            best_epoch=standing.best_epoch,
            history=tuple(standing.history),
            trained=self._parts.trained.rows,
            stopping=self._parts.stopping.rows,
            notes=(*self._parts.notes, self._said(standing)),
        )

    def _said(self, standing: Standing) -> str:
        trained, aside = len(self._parts.trained), len(self._parts.stopping)
        if standing.best_epoch == 0:
            return (
                f"On {aside} images set aside, no epoch of training was better than the repaired last layer alone, so "
                "the rest of the network is as it was."
            )
        return (
            f"The network learnt from {trained:,} images; {aside:,} others, of the same groups, chose epoch "
            f"{standing.best_epoch} of {len(standing.history) - 1}."
        )

    def _decode(self, rows: np.ndarray, temporary: Path) -> tuple[np.ndarray, np.ndarray]:
        """Pixels (m, s, s, c) uint8 of these rows, and where each row's are: (n,) int64, -1 for the others."""
        found = decode_named(
            self._analysis.pictures,
            [self._names[row] for row in rows.tolist()],
            self._preprocessing,
            folder=temporary,
            max_pixels=self._limits.max_image_pixels,
            progress=lambda done, total, message="": self._at(done, message),
        )
        if found.skipped:
            raise _gone(found.skipped[0])
        place = np.full(self._analysis.n, -1, dtype=np.int64)
        place[rows] = np.arange(len(rows))
        self._done = len(rows)
        return found.pixels, place

    @property
    def _preprocessing(self) -> Preprocessing:
        return self._classifier.preprocessing

    def _check_logits(self, pixels: np.ndarray, place: np.ndarray) -> None:
        """Raise `BadRequest` unless these images give what the analysis has stored of them."""
        import torch

        rows = self._parts.stopping.rows[:CHECKED]
        batch = self._preprocessing.normalise(pixels[place[rows]])
        found = self._classifier(torch.from_numpy(batch).permute(0, 3, 1, 2))[1].numpy()
        stored = np.asarray(self._analysis.logits[rows])
        allowed = TOLERANCE[self._analysis.precision] * np.abs(stored).max(initial=0.0)
        if np.abs(found - stored).max(initial=0.0) > allowed:
            raise BadRequest(
                "The images do not give the logits that were stored of them: they were changed since the analysis.",
                next_step="Analyse the dataset again, then retrain.",
                title="The images are not the same any more",
            )

    def _learner(self) -> Learner:
        from torch import nn

        from core.classifiers.blocks import last_block
        from core.classifiers.learner import Learner
        from core.classifiers.tracing import layer_of

        network, head = self._classifier.backbone, self._classifier.head
        assert isinstance(network, nn.Module)
        network.set_submodule(self._classifier.head_name, layer_of(head, convolution=self._classifier.convolution))
        trained = last_block(network, self._classifier.head_name) if self._chosen["layers"] == LAST_BLOCK else None
        return Learner(
            network,
            self._preprocessing,
            learning_rate=self._chosen["learning_rate"],
            steps=self._chosen["epochs"] * self._steps,
            trained=trained,
            statistics=False,
        )

    @property
    def _batch(self) -> int:
        return min(int(self._chosen["batch"]), len(self._parts.trained))

    @property
    def _steps(self) -> int:
        """Steps of an epoch: as many images as there are, if not each of them once."""
        return max(1, round(len(self._parts.trained) / self._batch))

    def _set_head(self, learner: Learner, gathered: Gathered, curation: Curation) -> None:
        """Begin with the last layer repaired on the images to learn from that are held out."""
        from core.classifiers.tracing import fill

        which = np.isin(curation.rows, self._parts.trained.rows)
        head = fit_balanced(
            gathered.material.pool,
            curation.positions[which],
            curation.groups[which],
            rng=np.random.default_rng(self._seed),
        )
        fill(learner.network.get_submodule(self._classifier.head_name), head)

    def _train(
        self, learner: Learner, pixels: np.ndarray, place: np.ndarray, gathered: Gathered, curation: Curation
    ) -> Standing:
        """Go through the epochs, from the last note where there is one, until nothing improves."""
        from core.classifiers.learner import augment, own_randomness

        chosen, trained, steps = self._chosen, self._parts.trained, self._steps
        work = self._identity()
        found = read_state(self._folder, work)
        if found is None:
            self._set_head(learner, gathered, curation)
            standing = Standing(work, 0, 0.0, 0, 0, [], 0, 0, False)
            self._judge(learner, standing, pixels, place)
        else:
            standing, tensors = found
            learner.load(tensors, standing.done)
        if standing.ended:
            return standing
        order = balanced_order(trained.groups, steps * self._batch, self._seed)

        def prepare(step: int) -> tuple[np.ndarray, np.ndarray]:
            epoch, index = divmod(step, steps)
            members = np.sort(order(epoch)[index * self._batch : (index + 1) * self._batch])
            batch = pixels[place[trained.rows[members]]]
            if chosen["augment"]:
                batch = augment(batch, np.random.default_rng([self._seed, step]))
            return batch, trained.labels[members]

        noted = time.monotonic()
        # all that is random follows from the seed and the step: a training that goes on draws what it would have drawn
        with closing(in_threads(prepare, range(standing.done, learner.steps), ahead=2, threads=1)) as prepared:
            for step, (inputs, targets) in enumerate(prepared, start=standing.done):
                with own_randomness(int(digest(str(self._seed), str(step)), 16) % 2**63):
                    loss, right = learner.step(inputs, targets)
                standing.done = learner.done
                standing.loss_sum += loss * len(targets)
                standing.right += right
                standing.seen += len(targets)
                epoch, index = divmod(step, steps)
                self._at(epoch * len(trained) + round(len(trained) * (index + 1) / steps), _message(standing, epoch))
                if index == steps - 1:
                    self._judge(learner, standing, pixels, place)
                    if standing.ended:
                        break
                    noted = time.monotonic()
                elif time.monotonic() - noted > NOTE_EVERY:
                    write_state(self._folder, standing, learner.state())
                    noted = time.monotonic()
        return standing

    def _judge(self, learner: Learner, standing: Standing, pixels: np.ndarray, place: np.ndarray) -> None:
        """Measure an epoch on the images set aside, keep its weights if it is the best, and note all of it."""
        epoch = len(standing.history)
        aside = self._parts.stopping
        entry = {
            "epoch": epoch,
            "loss": standing.loss_sum / standing.seen if standing.seen else None,
            "train_accuracy": standing.right / standing.seen if standing.seen else None,
            **measured(learner.logits(pixels[place[aside.rows]]), aside),
        }
        best = standing.history[standing.best_epoch] if standing.history else None
        standing.history.append(entry)
        if best is None or _rank(entry) > _rank(best):
            standing.best_epoch, standing.stale = epoch, 0
            write_best(self._folder, epoch, dict(learner.network.state_dict()))
        else:
            standing.stale += 1
        standing.loss_sum, standing.right, standing.seen = 0.0, 0, 0
        standing.ended = learner.done >= learner.steps or standing.stale >= self._chosen["patience"]
        write_state(self._folder, standing, learner.state())

    def _identity(self) -> str:
        """Of all that the weights follow from."""
        import torch

        arrays = [
            array.astype("<i8").tobytes()
            for part in (self._parts.trained, self._parts.stopping)
            for array in (part.rows, part.labels, part.groups)
        ]
        return digest(
            self._analysis.id,
            self._classifier.digest,
            json.dumps(self._chosen, sort_keys=True),
            str(self._seed),
            torch.__version__,
            *arrays,
        )

    def _all_logits(self, learner: Learner, pixels: np.ndarray, place: np.ndarray) -> np.ndarray:
        """(n, k) float32; every image is decoded once, those that were trained on are there already."""
        n = self._analysis.n

        def read(row: int) -> np.ndarray | Problem:
            if place[row] >= 0:
                found: np.ndarray = pixels[place[row]]
                return found
            return read_pixels(
                self._analysis.pictures, self._names[row], self._preprocessing, self._limits.max_image_pixels
            )

        logits = np.empty((n, self._analysis.k), dtype=np.float32)
        with closing(in_threads(read, range(n), ahead=2 * BLOCK)) as images:
            for start, block in _blocks(images, n):
                logits[start : start + len(block)] = learner.logits(block)
                self._at(start + len(block), "Computing the logits of all images with the new network")
        return logits

    def _at(self, done: int, message: str) -> None:
        self._progress(self._done + done, self._total, message)


def balanced_order(groups: np.ndarray, length: int, seed: int) -> Callable[[int], np.ndarray]:
    """order(epoch): (length,) int64 positions in which every group comes equally often and, within it, every image.

    Groups take turns, so every batch is balanced too, to within two images; each goes through its images in an order of
    its own, shuffled anew when they are used up.
    """
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]

    # every step of an epoch asks for it
    @lru_cache(maxsize=2)
    def order(epoch: int) -> np.ndarray:
        rng = np.random.default_rng([seed, epoch, len(groups)])
        each = -(-length // len(members))
        columns = [
            np.concatenate([rng.permutation(own) for _ in range(-(-each // len(own)))])[:each] for own in members
        ]
        # which groups are one image ahead at the end of a batch changes from round to round
        return np.concatenate([rng.permutation(turn) for turn in np.stack(columns, axis=1)])[:length]

    return order


def measured(logits: np.ndarray, images: ChosenImages) -> dict[str, float]:
    """How well logits (m, k) do on the images: the worst of their groups, the mean over groups, and their mean loss.

    score: the worst group again, each group's accuracy drawn towards the mean over groups as if it had `FORGIVING`
    images more that do as well as that: of three images one wrong guess is no reason to throw an epoch away.
    """
    right = logits.argmax(axis=1) == images.labels
    loss = -np.log(np.maximum(softmax(logits)[np.arange(len(images)), images.labels], 1e-12))
    groups = [images.groups == group for group in np.unique(images.groups)]
    mean = float(np.mean([right[members].mean() for members in groups]))
    drawn = [(right[members].sum() + FORGIVING * mean) / (members.sum() + FORGIVING) for members in groups]
    return {
        "worst_group": min(float(right[members].mean()) for members in groups),
        "mean_group": mean,
        "loss_aside": float(np.mean([loss[members].mean() for members in groups])),
        "score": float(min(drawn)),
    }


def _rank(entry: Mapping[str, Any]) -> tuple[float, float]:
    """Of few images many epochs have the same worst group: the loss then decides."""
    return entry["score"], -entry["loss_aside"]


def _message(standing: Standing, epoch: int) -> str:
    last = standing.history[-1]
    return (
        f"Epoch {epoch + 1}: loss {standing.loss_sum / standing.seen:.3f}, worst group of the images set aside "
        f"{last['worst_group']:.1%} after epoch {last['epoch']}"
    )


def _blocks(images: Iterator[np.ndarray | Problem], n: int) -> Iterator[tuple[int, np.ndarray]]:
    """Where each block begins and its pixels (b, s, s, c). Raises `PathNotFound` at the first unreadable image."""
    for start in range(0, n, BLOCK):
        block = []
        for _ in range(min(BLOCK, n - start)):
            found = next(images)
            if isinstance(found, Problem):
                raise _gone(found)
            block.append(found)
        yield start, np.stack(block)


def _check_files(analysis: Analysis) -> None:
    """Raise `PathNotFound` before an hour of training where an image is not there any more."""
    missing = analysis.pictures.missing(analysis.images.tolist())
    if missing is not None:
        raise _gone(Problem(missing, "it is not there"))


def _gone(problem: Problem) -> PathNotFound:
    return PathNotFound(
        f"The image {problem.image} can no longer be read ({problem.reason}), and finetuning needs all of them.",
        next_step="Put it back, or analyse the dataset as it is now and retrain on that.",
    )
