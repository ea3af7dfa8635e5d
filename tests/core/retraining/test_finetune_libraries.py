"""Networks of other libraries and heads of one's own are trained as any other, and written so that they load again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from core.activations.extraction import analyse
from core.activations.store import Analysis
from core.classifiers import torchvision_compat
from core.classifiers.architectures import build
from core.classifiers.classifier import Classifier, load_classifier, replace_head, write_like
from core.classifiers.preprocessing import Preprocessing, squeezed
from core.concepts.concept import create_concept
from core.concepts.tags import tag
from core.datasets import open_dataset
from core.errors import BadRequest
from core.retraining.curation import curate
from core.retraining.finetune import Finetuned, check_trainable, finetune
from core.retraining.finetune_time import training_pace
from core.retraining.material import chosen_concepts, gather
from core.workspace import Workspace, open_workspace

torchvision_compat.load()
transformers = pytest.importorskip("transformers")
timm = pytest.importorskip("timm")

SIDE = 32
USUAL = squeezed(SIDE)


def vit(folder: Path, classes: int = 2) -> dict[str, Any]:
    config = transformers.ViTConfig(
        image_size=SIDE,
        patch_size=8,
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        num_labels=classes,
    )
    transformers.ViTForImageClassification(config).save_pretrained(folder)
    return {"path": folder}


def one_output(folder: Path) -> dict[str, Any]:
    return vit(folder, classes=1)


def convolution(folder: Path) -> dict[str, Any]:
    timm.models.save_for_hf(timm.create_model("dla46_c", num_classes=2), folder, safe_serialization=True)
    return {"path": folder}


def two_layers(folder: Path) -> dict[str, Any]:
    network = build("small", 2)
    network.set_submodule("head", nn.Sequential(nn.Linear(128, 12), nn.ReLU(), nn.Linear(12, 2)))
    folder.mkdir()
    torch.save(network.state_dict(), folder / "model.pt")
    return {"path": folder / "model.pt", "arch": "small"}


KINDS = {made.__name__: made for made in (vit, one_output, convolution, two_layers)}


def draw(root: Path) -> Path:
    rng = np.random.default_rng(0)
    root.mkdir()
    rows = ["img_filename,y,split,frame"]
    for split, images in enumerate((8, 64, 24)):
        for index in range(images):
            y, frame = index % 2, (index // 2) % 2
            pixels = rng.normal(80 + 90 * y, 25, (SIDE, SIDE, 3))
            pixels[[0, -1]] = pixels[:, [0, -1]] = 220 if frame else 20
            name = f"{split}-{index:03d}.png"
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(root / name)
            rows.append(f"{name},{y},{split},{frame}")
    (root / "metadata.csv").write_text("\n".join(rows) + "\n")
    return root


def analysed(
    folder: Path, made: Callable[[Path], dict[str, Any]], preprocessing: Preprocessing = USUAL
) -> tuple[Workspace, Analysis, Classifier]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = made(folder / "model")
    classifier = load_classifier(**model, preprocessing=preprocessing)
    workspace = open_workspace(folder / "workspace")
    return workspace, analyse(workspace, open_dataset(draw(folder / "pictures")), classifier), classifier


def trained(workspace: Workspace, analysis: Analysis, folder: Path) -> Finetuned:
    concept = create_concept(workspace, analysis.dataset_id, "light frame")
    rows = analysis.split_rows("val")[:48]
    truth = analysis.attributes[0].codes[rows] == 1
    for present in (True, False):
        tag(workspace, analysis, concept, rows[truth == present], present)
    gathered = gather(workspace, analysis, chosen_concepts(workspace, analysis, ()))
    curation = curate(gathered.material.pool, gathered.material.concepts, rng=np.random.default_rng(0))
    settings = {"epochs": 2, "batch": 16, "learning_rate": 1e-3, "patience": 2}
    return finetune(analysis, gathered, curation, settings=settings, folder=folder)


@pytest.mark.parametrize("kind", KINDS)
def test_the_trained_network_gives_its_logits_and_goes_back_where_it_came_from(kind: str, tmp_path: Path) -> None:
    workspace, analysis, classifier = analysed(tmp_path, KINDS[kind])
    tuned = trained(workspace, analysis, tmp_path / "work")
    again = load_classifier(tuned.weights)
    assert (again.arch, again.preprocessing, again.k) == (classifier.arch, classifier.preprocessing, 2)
    rows = np.arange(0, analysis.n, 5)
    images = [Image.open(analysis.image_path(int(row))).convert("RGB") for row in rows]
    batch = torch.from_numpy(np.stack([again.preprocessing.apply(image) for image in images]))
    features, logits = again(batch)
    scale = 1e-4 * max(1.0, float(np.abs(tuned.logits).max()))
    np.testing.assert_allclose(logits, tuned.logits[rows], atol=scale)
    np.testing.assert_allclose(tuned.head.logits(features.numpy()), tuned.logits[rows], atol=scale)
    # a network that learnt differs from the one that came
    assert tuned.best_epoch == 0 or not np.allclose(features, classifier(batch)[0], atol=1e-3)
    # written as it came, with one output where one came in
    whole = replace_head(replace(again, single=classifier.single), again.head)
    file = tmp_path / ("back" if classifier.file.is_dir() else "back.pt")
    write_like(classifier, whole, file)
    arch = None if classifier.file.is_dir() else classifier.arch
    back = load_classifier(file, arch=arch, preprocessing=classifier.preprocessing)
    assert back.single == classifier.single
    found = back(batch)[1].numpy()
    np.testing.assert_allclose(found[:, 1] - found[:, 0], logits[:, 1] - logits[:, 0], atol=scale)


def test_grey_images_are_trained_on(tmp_path: Path) -> None:
    def grey(folder: Path) -> dict[str, Any]:
        network = timm.create_model("test_resnet", num_classes=2, in_chans=1)
        timm.models.save_for_hf(network, folder, safe_serialization=True, model_args={"in_chans": 1})
        return {"path": folder}

    workspace, analysis, _ = analysed(tmp_path, grey, replace(squeezed(SIDE), colour="grey"))
    tuned = trained(workspace, analysis, tmp_path / "work")
    assert tuned.logits.shape == (analysis.n, 2)
    again = load_classifier(tuned.weights)
    image = Image.open(analysis.image_path(0)).convert("RGB")
    found = again(torch.from_numpy(again.preprocessing.apply(image)[None]))[1].numpy()
    np.testing.assert_allclose(found[0], tuned.logits[0], atol=1e-4 * max(1.0, float(np.abs(tuned.logits).max())))
    assert training_pace(analysis, layers="all", batch=8).rate > 0


@pytest.mark.parametrize("layers", ["all", "last-block"])
def test_its_time_is_measured(layers: str, tmp_path: Path) -> None:
    _, analysis, _ = analysed(tmp_path, vit)
    assert training_pace(analysis, layers=layers, batch=8).rate > 0


def test_programs_are_not_trained_and_say_so(tmp_path: Path) -> None:
    def script(folder: Path) -> dict[str, Any]:
        folder.mkdir()
        torch.jit.script(build("small", 2).eval()).save(folder / "m.pt")
        return {"path": folder / "m.pt"}

    _, analysis, _ = analysed(tmp_path, script)
    with pytest.raises(BadRequest, match="TorchScript"):
        check_trainable(analysis)
