"""Repaired networks of timm and transformers: written for their libraries, and loaded by the lines in the report."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from core.classifiers import torchvision_compat
from core.classifiers.preprocessing import squeezed
from core.export.model import write_model
from core.export.report import how_to_load
from core.retraining.runs import run_logits
from core.workspace import Workspace

torchvision_compat.load()
transformers = pytest.importorskip("transformers")
timm = pytest.importorskip("timm")

SIDE = 16


def vit(folder: Path, classes: int = 2) -> Path:
    config = transformers.ViTConfig(
        image_size=SIDE,
        patch_size=8,
        hidden_size=24,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        num_labels=classes,
    )
    transformers.ViTForImageClassification(config).save_pretrained(folder / "vit")
    return folder / "vit"


def one_output(folder: Path) -> Path:
    return vit(folder, classes=1)


def timm_folder(folder: Path) -> Path:
    network = timm.create_model("test_vit", num_classes=2, img_size=SIDE)
    arguments = {"model_args": {"img_size": SIDE}}
    timm.models.save_for_hf(network, folder / "timm", safe_serialization=True, **arguments)
    return folder / "timm"


def timm_weights(folder: Path) -> Path:
    torch.save({"state_dict": timm.create_model("test_resnet", num_classes=2).state_dict()}, folder / "m.pth.tar")
    return folder / "m.pth.tar"


@pytest.mark.parametrize(
    ("made", "arch", "came"),
    [
        (vit, None, "model-as-it-came.zip"),
        (one_output, None, "model-as-it-came.zip"),
        (timm_folder, None, "model-as-it-came.zip"),
        (timm_weights, "timm:test_resnet", "model-as-it-came.tar"),
    ],
)
def test_the_lines_in_the_report_load_what_was_written(
    made: Callable[[Path], Path],
    arch: str | None,
    came: str,
    finish: Callable[..., Any],
    workspace: Workspace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = made(tmp_path)
    done = finish(model, arch=arch)
    out = tmp_path / "out"
    out.mkdir()
    models = write_model(workspace, done.analysis, done.run, out)
    files = [written.file for written in models.written]
    assert files[:3] == ["model.safetensors", "model.pt", came]
    assert "model.onnx" in files, models.refused
    if came.endswith(".zip"):
        with zipfile.ZipFile(out / came) as archive:
            archive.extractall(out)
        os.rename(out / model.name, out / "folder")
    rows = np.arange(0, done.analysis.n, 9)
    images = [Image.open(done.analysis.image_path(int(row))).convert("RGB") for row in rows]
    inputs = np.stack([squeezed(SIDE).apply(image) for image in images])
    names: dict[str, Any] = {"images": torch.from_numpy(inputs), "images_as_numpy": inputs}
    monkeypatch.chdir(out)
    with torch.inference_mode():
        exec(how_to_load(done.analysis, models), names)  # noqa: S102  # the very lines that are under test
    wanted = run_logits(workspace, done.analysis, done.run, rows)
    chances = np.exp(wanted) / np.exp(wanted).sum(axis=1, keepdims=True)
    if models.single:
        np.testing.assert_allclose(names["chance"][:, 0], chances[:, 1], atol=1e-4)
    else:
        np.testing.assert_allclose(names["chances"], chances, atol=1e-4)
    # and those for onnxruntime
    found = names["logits"]
    expected = wanted[:, 1:] - wanted[:, :1] if models.single else wanted
    np.testing.assert_allclose(found, expected, atol=1e-3)
