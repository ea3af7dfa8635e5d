"""A finished run on real files: a network with random weights, pictures whose names want escaping."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from core.activations.extraction import analyse
from core.activations.store import Analysis
from core.classifiers.architectures import build
from core.classifiers.checkpoint import ModelDescription, write_checkpoint
from core.classifiers.classifier import load_classifier
from core.classifiers.preprocessing import squeezed
from core.concepts.concept import create_concept
from core.concepts.tags import tag
from core.datasets import open_dataset
from core.retraining.runs import retrain
from core.workspace import Workspace

SIDE = 16
# what a hostile or careless name may hold
CLASSES = ("<script>alert(1)<", 'light & "bright"')


@dataclass(frozen=True)
class Finished:
    analysis: Analysis
    run: str
    model: Path


def draw(root: Path, classes: tuple[str, ...] = CLASSES) -> Path:
    rng = np.random.default_rng(0)
    for split, count in (("train", 12), ("val", 12), ("test", 10)):
        for level, name in zip((60, 170), classes, strict=True):
            folder = root / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                pixels = rng.normal(level, 50, (SIDE, SIDE, 3)).clip(0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / f"{i:02d}.png")
    return root


def small_network() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build("small", 2).eval()


@pytest.fixture
def finish(workspace: Workspace, tmp_path: Path) -> Callable[..., Finished]:
    """finish(model, arch=): analyse the pictures with this model file and retrain, class-balanced."""

    def make(model: Path, *, arch: str | None = None) -> Finished:
        data = tmp_path / "pictures"
        if not data.exists():
            draw(data)
        classifier = load_classifier(model, arch=arch, preprocessing=squeezed(SIDE))
        analysis = analyse(workspace, open_dataset(data), classifier)
        concept = create_concept(workspace, analysis.dataset_id, '<b>"bold"</b>')
        tag(workspace, analysis, concept, analysis.split_rows("val")[:3], True)
        run = retrain(workspace, analysis, method="class-balanced", run_id="run1")
        return Finished(analysis, run.run, model)

    return make


@pytest.fixture
def own_model(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    description = ModelDescription(arch="small", classes=CLASSES, preprocessing=squeezed(SIDE))
    write_checkpoint(path, small_network().state_dict(), description)
    return path
