"""How long finetuning takes is measured on the network itself, and counted by what it does."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from core.activations.extraction import analyse
from core.activations.store import Analysis
from core.classifiers.classifier import load_classifier
from core.classifiers.learner import Learner
from core.classifiers.training import train_erm
from core.datasets import open_dataset
from core.errors import BadRequest
from core.retraining import finetune_time
from core.retraining.finetune_time import TIMED, TrainingPace, training_pace
from core.workspace import open_workspace

STEP = 0.02


@pytest.fixture(scope="module")
def analysis(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    folder: Path = tmp_path_factory.mktemp("paced")
    for name in ("dark", "light"):
        (folder / "pictures" / name).mkdir(parents=True)
        for i in range(30):
            square = np.full((16, 16, 3), 60 + 120 * (name == "light") + i, dtype=np.uint8)
            Image.fromarray(square).save(folder / "pictures" / name / f"{i}.png")
    dataset = open_dataset(folder / "pictures")
    trained = train_erm(dataset, out=folder / "model.safetensors", image_size=16, epochs=1)
    return analyse(open_workspace(folder / "workspace"), dataset, load_classifier(trained.model))


def test_the_pace_is_that_of_steps_but_for_the_first(analysis: Analysis, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    real = Learner.step

    def slow(learner: Learner, pixels: np.ndarray, labels: np.ndarray) -> tuple[float, int]:
        found = real(learner, pixels, labels)
        # the first one sets everything up
        time.sleep(STEP if sizes else 20 * STEP)
        sizes.append(len(pixels))
        return found

    monkeypatch.setattr(Learner, "step", slow)
    monkeypatch.setattr(finetune_time, "TIMED_ON_GPU", TIMED)
    # of several steps the long one would hide in the mean
    monkeypatch.setattr(finetune_time, "MOST_STEPS", 1)
    pace = training_pace(analysis, layers="all", batch=64)
    assert set(sizes) == {TIMED}
    assert len(sizes) == 2
    assert pace.rate < TIMED / STEP
    # the long first step would have made it less than this
    assert pace.rate > TIMED / STEP / 20


def test_a_small_batch_is_timed_as_it_is(analysis: Analysis, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[Any] = []
    monkeypatch.setattr(Learner, "step", lambda learner, pixels, labels: sizes.append(pixels.shape))
    training_pace(analysis, layers="last-block", batch=3)
    assert set(sizes) == {(3, 16, 16, 3)}


def test_the_network_at_hand_is_left_as_it_was(analysis: Analysis) -> None:
    before = analysis.model_file.read_bytes()
    assert training_pace(analysis, layers="last-block", batch=8).rate > 0
    assert analysis.model_file.read_bytes() == before


def test_the_time_follows_images_epochs_and_what_is_only_looked_at() -> None:
    pace = TrainingPace(rate=10.0, gpu=False)
    # 300 learnt from in each of 2 epochs; 100 set aside looked at 3 times and 700 at the end, at three times the pace
    assert pace.seconds(images=400, epochs=2, total=700) == pytest.approx((600 + (300 + 700) / 3) / 10)


def test_a_network_that_cannot_be_trained_is_not_timed() -> None:
    scripted: Any = SimpleNamespace(arch="torchscript", model_name="scripted", need_labels=lambda: None)
    with pytest.raises(BadRequest, match="TorchScript"):
        training_pace(scripted, layers="all", batch=8)
