"""Networks and pictures small enough to be made in every test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from core.classifiers.architectures import build
from core.classifiers.checkpoint import ModelDescription, write_checkpoint
from core.classifiers.preprocessing import squeezed
from core.datasets import open_dataset
from core.datasets.dataset import Dataset

NetworkMaker = Callable[..., nn.Module]


@pytest.fixture
def network() -> NetworkMaker:
    """network(arch, classes, seed): random weights, in evaluation mode, with normalisation that does something."""

    def make(arch: str = "small", classes: int = 2, seed: int = 0) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            made = build(arch, classes)
            for module in made.modules():
                if isinstance(module, nn.BatchNorm2d):
                    nn.init.uniform_(module.running_mean, -0.1, 0.1)
                    nn.init.uniform_(module.running_var, 0.5, 1.5)
                if isinstance(module, nn.Linear) and module.out_features == classes:
                    # vit starts with a head of zeros, whose logits would agree with anything
                    nn.init.normal_(module.weight, std=0.5)
        return made.eval()

    return make


@pytest.fixture
def own_file(tmp_path: Path, network: NetworkMaker) -> Path:
    """A small network for the classes dark and light, 32 pixels, as Midband writes it."""
    path = tmp_path / "own.safetensors"
    write_checkpoint(
        path,
        network("small", 2).state_dict(),
        ModelDescription(arch="small", classes=("dark", "light"), preprocessing=squeezed(32)),
    )
    return path


@pytest.fixture
def dark_and_light(tmp_path: Path) -> Dataset:
    """Folders train and test of 24 and 12 dark and light pictures of 20 x 16 pixels: nothing is easier to learn."""
    rng = np.random.default_rng(0)
    root = tmp_path / "dark-and-light"
    for split, count in (("train", 24), ("test", 12)):
        for name, level in (("dark", 60), ("light", 190)):
            folder = root / split / name
            folder.mkdir(parents=True)
            for index in range(count):
                pixels = np.clip(level + rng.normal(0, 20, size=(16, 20, 3)), 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / f"{index:03d}.png")
    return open_dataset(root)
