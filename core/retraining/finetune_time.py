"""How long finetuning will take here, measured before it is started: a few steps of the network itself."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from core.retraining.finetune import check_trainable
from core.retraining.finetune_images import SET_ASIDE
from core.retraining.finetune_knobs import LAST_BLOCK

if TYPE_CHECKING:
    from core.activations.store import Analysis

# steps are timed for this long, after one that sets everything up; and no more of them than that
SECONDS, MOST_STEPS = 1.5, 20
# images per step while timing: on a CPU a step takes as long per image as one of full batches, and ends sooner
TIMED = 8
TIMED_ON_GPU = 64
# a forward pass takes about a third of a step, which goes forward, backward and through the optimiser
FORWARD = 1 / 3


@dataclass(frozen=True)
class TrainingPace:
    """rate: images per second that are learnt from. gpu: whether one is used."""

    rate: float
    gpu: bool

    def seconds(self, *, images: int, epochs: int, total: int) -> float:
        """Of a whole finetuning at most, since it may stop early. images: curated ones, some of which are set aside and
        only looked at. total: images of the analysis, whose logits are computed at the end."""
        aside = SET_ASIDE * images
        learnt = epochs * (images - aside)
        looked_at = (epochs + 1) * aside + total
        return (learnt + FORWARD * looked_at) / self.rate


def training_pace(analysis: Analysis, *, layers: str, batch: int) -> TrainingPace:
    """Train a copy of the network on noise for a moment. layers, batch: knobs of `finetune`.

    Raises what `analysed_classifier` raises, and `BadRequest` for a network that cannot be trained.
    """
    check_trainable(analysis)
    from core.activations.reloading import analysed_classifier
    from core.classifiers.blocks import last_block
    from core.classifiers.learner import Learner, best_device
    from core.classifiers.tracing import layer_of

    classifier = analysed_classifier(analysis)
    network: Any = classifier.backbone
    network.set_submodule(classifier.head_name, layer_of(classifier.head, convolution=classifier.convolution))
    gpu = best_device().type != "cpu"
    learner = Learner(
        network,
        classifier.preprocessing,
        learning_rate=1e-6,
        steps=MOST_STEPS + 1,
        trained=last_block(network, classifier.head_name) if layers == LAST_BLOCK else None,
        statistics=False,
    )
    rng = np.random.default_rng(0)
    size, chosen = min(batch, TIMED_ON_GPU if gpu else TIMED), classifier.preprocessing
    pixels = rng.integers(0, 256, size=(size, chosen.crop, chosen.crop, chosen.channels), dtype=np.uint8)
    labels = rng.integers(0, classifier.head.k, size=size)
    learner.step(pixels, labels)
    started, steps = time.perf_counter(), 0
    while steps < MOST_STEPS and (steps == 0 or time.perf_counter() - started < SECONDS):
        learner.step(pixels, labels)
        steps += 1
    return TrainingPace(steps * size / (time.perf_counter() - started), gpu)
