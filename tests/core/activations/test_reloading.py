"""The classifier of an analysis, loaded again and kept."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from core.activations.extraction import analyse
from core.activations.reloading import analysed_classifier, borrowed_classifier
from core.activations.store import Analysis
from core.classifiers.architectures import build
from core.classifiers.checkpoint import ModelDescription, write_checkpoint
from core.classifiers.classifier import load_classifier
from core.classifiers.preprocessing import squeezed
from core.datasets import open_dataset
from core.errors import BadCheckpoint, PathNotFound
from core.workspace import Workspace


@pytest.fixture
def analysis(tmp_path: Path, workspace: Workspace) -> Analysis:
    for name, level in (("dark", 20), ("light", 220)):
        (tmp_path / "data" / name).mkdir(parents=True)
        for index in range(6):
            Image.new("RGB", (32, 32), (level + index, level, level)).save(tmp_path / "data" / name / f"{index}.png")
    write(tmp_path / "model.safetensors", seed=0)
    return analyse(workspace, open_dataset(tmp_path / "data"), load_classifier(tmp_path / "model.safetensors"))


def write(path: Path, *, seed: int) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        state = build("small", 2).state_dict()
    write_checkpoint(path, state, ModelDescription("small", ("dark", "light"), squeezed(32)))


def test_it_computes_what_is_stored(analysis: Analysis) -> None:
    from core.datasets.images import decode

    classifier = analysed_classifier(analysis)
    inputs = np.stack(
        [classifier.preprocessing.apply(decode(analysis.image_path(r), 10**6)) for r in range(analysis.n)]
    )
    features, logits = classifier(torch.from_numpy(inputs))
    np.testing.assert_allclose(features.numpy(), analysis.features, atol=1e-4)
    np.testing.assert_allclose(logits.numpy(), analysis.logits, atol=1e-4)


def test_it_is_loaded_once_and_again_when_its_file_changes(analysis: Analysis) -> None:
    with borrowed_classifier(analysis) as first:
        pass
    with borrowed_classifier(analysis) as second:
        assert second is first
    status = analysis.model_file.stat()
    os.utime(analysis.model_file, ns=(status.st_atime_ns, status.st_mtime_ns + 1_000_000))
    with borrowed_classifier(analysis) as third:
        assert third is not first
        assert third.digest == first.digest


def test_other_weights_under_its_name_are_refused_and_so_is_nothing(analysis: Analysis) -> None:
    with borrowed_classifier(analysis):
        pass
    write(analysis.model_file, seed=1)
    with pytest.raises(BadCheckpoint, match="changed since"), borrowed_classifier(analysis):
        pass
    analysis.model_file.unlink()
    with pytest.raises(PathNotFound, match="not there any more"), borrowed_classifier(analysis):
        pass


def test_a_change_inside_of_a_folder_is_noticed(tmp_path: Path, workspace: Workspace) -> None:
    from core.classifiers import torchvision_compat

    torchvision_compat.load()
    timm = pytest.importorskip("timm")

    def save(seed: int) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = timm.create_model("test_resnet", num_classes=2)
        timm.models.save_for_hf(network, tmp_path / "model", safe_serialization=True)

    for name in ("dark", "light"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for index in range(3):
            Image.new("RGB", (32, 32), (60 * index, 0, 0)).save(tmp_path / "data" / name / f"{index}.png")
    save(0)
    classifier = load_classifier(tmp_path / "model", preprocessing=squeezed(32))
    analysis = analyse(workspace, open_dataset(tmp_path / "data"), classifier)
    with borrowed_classifier(analysis) as first:
        pass
    with borrowed_classifier(analysis) as second:
        assert second is first
    weights = tmp_path / "model" / "model.safetensors"
    os.utime(weights, ns=(0, 1))
    with borrowed_classifier(analysis) as third:
        assert third is not first
    save(1)
    with pytest.raises(BadCheckpoint, match="changed since"), borrowed_classifier(analysis):
        pass


def test_one_caller_at_a_time(analysis: Analysis) -> None:
    inside, most = 0, 0

    def borrow() -> None:
        nonlocal inside, most
        with borrowed_classifier(analysis):
            inside += 1
            most = max(most, inside)
            threading.Event().wait(0.01)
            inside -= 1

    threads = [threading.Thread(target=borrow) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
