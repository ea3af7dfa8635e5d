"""Exports of what came as a program of its own: torch.export, ONNX."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from core.activations.reloading import analysed_classifier
from core.classifiers.architectures import build
from core.classifiers.classifier import load_classifier
from core.classifiers.preprocessing import preprocessing_from_dict
from core.datasets.images import decode
from core.errors import BadCheckpoint, BadRequest
from core.export import write_export
from core.retraining.finetune import check_trainable
from core.retraining.runs import run_head
from core.workspace import Workspace

Finish = Callable[..., Any]
SIDE = 16
WITH_THEM = {"tags.csv", "replay.json", "model-card.md", "report.json", "report.html", "report.pdf"}


class Ending(nn.Module):
    """The small network with something after its logits, or with its batch written into it."""

    def __init__(self, ending: str, outputs: int = 2) -> None:
        super().__init__()
        self.ending = ending
        self.network = build("small", outputs)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if self.ending == "written batch":
            features = self.network.pool(self.network.features(images)).flatten(1)
            return self.network.head(torch.cat([features, torch.ones(1, 2)], dim=1)[:, :128])
        logits = self.network(images)
        return {"softmax": logits.softmax(1), "sigmoid": logits.sigmoid()}.get(self.ending, logits)


def network(ending: str, outputs: int = 2) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Ending(ending, outputs).eval()


def as_program(module: nn.Module, path: Path) -> Path:
    torch.export.save(torch.export.export(module, (torch.zeros(1, 3, SIDE, SIDE),)), path)
    return path


def as_graph(module: nn.Module, path: Path) -> Path:
    torch.onnx.export(module, (torch.zeros(1, 3, SIDE, SIDE),), str(path), dynamo=False)
    return path


def inputs(done: Any) -> torch.Tensor:
    chosen = preprocessing_from_dict(done.analysis.preprocessing)
    images = [chosen.apply(decode(done.analysis.image_path(row), 10**8)) for row in range(done.analysis.n)]
    return torch.from_numpy(np.stack(images))


def wanted_of(workspace: Workspace, done: Any) -> np.ndarray:
    return run_head(workspace, done.run).logits(np.asarray(done.analysis.features))


@pytest.mark.parametrize("ending", ["logits", "softmax"])
def test_program_comes_back_as_it_came_and_in_every_other_format(
    workspace: Workspace, finish: Finish, tmp_path: Path, ending: str
) -> None:
    done = finish(as_program(network(ending), tmp_path / "came.pt2"))
    exported = write_export(workspace, done.run, tmp_path / "out")
    assert exported.refused == ()
    files = {path.name: path for path in exported.files}
    names = {"model.pt2", "model.safetensors", "model.pt", "model-torchscript.pt", "model.onnx"}
    assert set(files) == names | WITH_THEM
    images, wanted = inputs(done), wanted_of(workspace, done)
    assert np.abs(wanted - done.analysis.logits).max() > 1e-2
    chances = torch.from_numpy(wanted).softmax(1).numpy()
    with torch.inference_mode():
        # outputs as they were: what ended in a softmax still does
        program = torch.export.load(files["model.pt2"]).module()
        found = np.concatenate([program(image[None]).numpy() for image in images])
        np.testing.assert_allclose(found, chances if ending == "softmax" else wanted, atol=1e-4)
        # the other formats give logits, for batches of any size
        script = torch.jit.load(str(files["model-torchscript.pt"])).eval()
        np.testing.assert_allclose(script(images).numpy(), wanted, atol=1e-4)
    session = onnxruntime.InferenceSession(str(files["model.onnx"]), providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(session.run(["logits"], {"images": images.numpy()})[0], wanted, atol=1e-4)
    # the weights go into the code that built the network
    module = network(ending)
    module.load_state_dict(torch.load(files["model.pt"], weights_only=True))
    with torch.inference_mode():
        np.testing.assert_allclose(module.network(images).numpy(), wanted, atol=1e-4)
    card = files["model-card.md"].read_text()
    assert 'torch.export.load("model.pt2")' in card
    assert ("ends in a softmax" in card) == (ending == "softmax")
    assert load_classifier(files["model.pt2"]).k == 2


def test_program_of_fixed_batches_comes_back_as_such_only(workspace: Workspace, finish: Finish, tmp_path: Path) -> None:
    done = finish(as_program(network("written batch"), tmp_path / "came.pt2"))
    exported = write_export(workspace, done.run, tmp_path / "out")
    assert {path.name for path in exported.files} == {"model.pt2", "model.safetensors", "model.pt"} | WITH_THEM
    assert [(name, "1 images at a time" in reason) for name, reason in exported.refused] == [
        ("TorchScript", True),
        ("ONNX", True),
    ]


@pytest.mark.parametrize(("ending", "outputs"), [("logits", 2), ("softmax", 2), ("logits", 1), ("sigmoid", 1)])
def test_graph_comes_back_as_a_graph(
    workspace: Workspace, finish: Finish, tmp_path: Path, ending: str, outputs: int
) -> None:
    done = finish(as_graph(network(ending, outputs), tmp_path / "came.onnx"))
    exported = write_export(workspace, done.run, tmp_path / "out")
    files = {path.name: path for path in exported.files}
    assert set(files) == {"model.onnx"} | WITH_THEM
    assert [(name, "came as an ONNX graph" in reason) for name, reason in exported.refused] == [
        ("TorchScript", True),
        ("torch.export", True),
    ]
    images, wanted = inputs(done), wanted_of(workspace, done)
    if outputs == 1:
        wanted = wanted[:, 1:] - wanted[:, :1]
    after = {"softmax": lambda z: z.softmax(1), "sigmoid": torch.sigmoid}.get(ending, lambda z: z)
    session = onnxruntime.InferenceSession(str(files["model.onnx"]), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    found = np.concatenate([session.run(None, {name: image[None].numpy()})[0] for image in images])
    np.testing.assert_allclose(found, after(torch.from_numpy(wanted)), atol=1e-4)
    # Midband knows its classes and preprocessing now
    again = load_classifier(files["model.onnx"])
    assert again.classes == done.analysis.classes
    assert again.preprocessing.to_dict() == done.analysis.preprocessing
    text = files["report.html"].read_text()
    assert "onnxruntime.InferenceSession" in text
    assert "Not offered as TorchScript" in text


@pytest.mark.parametrize("kind", [as_program, as_graph])
def test_whole_network_cannot_be_trained_and_a_change_is_noticed(
    workspace: Workspace, finish: Finish, tmp_path: Path, kind: Callable[[nn.Module, Path], Path]
) -> None:
    came = kind(network("logits"), tmp_path / ("came.pt2" if kind is as_program else "came.onnx"))
    done = finish(came)
    with pytest.raises(BadRequest, match="cannot be trained"):
        check_trainable(done.analysis)
    assert analysed_classifier(done.analysis).origin == done.analysis.arch
    module = network("logits")
    with torch.no_grad():
        next(module.parameters()).mul_(1.1)
    kind(module, came)
    with pytest.raises(BadCheckpoint, match="changed since"):
        write_export(workspace, done.run, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_graph_that_does_not_reproduce_the_run_is_never_offered(
    workspace: Workspace, finish: Finish, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import core.export.model as model

    done = finish(as_graph(network("logits"), tmp_path / "came.onnx"))
    real = model.write_with_head

    def broken(classifier: Any, head: Any, path: Path) -> Any:
        return real(classifier, type(head)(head.weight * 1.05, head.bias), path)

    monkeypatch.setattr(model, "write_with_head", broken)
    with pytest.raises(BadCheckpoint, match="does not reproduce"):
        write_export(workspace, done.run, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
