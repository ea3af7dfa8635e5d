"""State dicts as people's own scripts write them: heads of their own, wrappers of public code, one output."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from core.classifiers.classifier import load_classifier, replace_head, write_with_head
from core.classifiers.head import Head
from core.classifiers.peek import peek
from core.classifiers.preprocessing import squeezed
from core.errors import ArchitectureMismatch, BadCheckpoint, BadRequest, HeadNotFound, UnsafeCheckpoint

NetworkMaker = Callable[..., nn.Module]
SIDE = 64


def images_for(count: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(1).normal(size=(count, 3, SIDE, SIDE)).astype(np.float32))


def random_head(k: int, d: int) -> Head:
    rng = np.random.default_rng(2)
    return Head(rng.normal(size=(k, d)).astype(np.float32), rng.normal(size=k).astype(np.float32))


def with_head(network: nn.Module, place: str, head: nn.Module) -> nn.Module:
    for module in head.modules():
        if isinstance(module, nn.BatchNorm1d):
            nn.init.uniform_(module.running_mean, -0.1, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    network.set_submodule(place, head)
    return network.eval()


HEADS: dict[str, tuple[str, str, Callable[[], nn.Module], bool]] = {
    # architecture, place, head, whether something was taken for granted
    "dropout": ("resnet18", "fc", lambda: nn.Sequential(nn.Dropout(0.5), nn.Linear(512, 3)), False),
    "two layers": ("resnet18", "fc", lambda: nn.Sequential(nn.Linear(512, 20), nn.ReLU(), nn.Linear(20, 3)), True),
    "dropout between": (
        "resnet18",
        "fc",
        lambda: nn.Sequential(nn.Linear(512, 20), nn.ReLU(), nn.Dropout(), nn.Linear(20, 3)),
        True,
    ),
    "normalised": (
        "resnet18",
        "fc",
        lambda: nn.Sequential(nn.Linear(512, 20), nn.BatchNorm1d(20), nn.ReLU(), nn.Dropout(), nn.Linear(20, 3)),
        True,
    ),
    "normalised late": (
        "resnet18",
        "fc",
        lambda: nn.Sequential(nn.Linear(512, 20), nn.ReLU(), nn.BatchNorm1d(20), nn.Dropout(), nn.Linear(20, 3)),
        True,
    ),
    "three layers": (
        "resnet18",
        "fc",
        lambda: nn.Sequential(
            *(nn.Dropout(), nn.Linear(512, 20), nn.ReLU(), nn.LayerNorm(20)),
            *(nn.Linear(20, 10, bias=False), nn.ReLU(), nn.Linear(10, 3, bias=False)),
        ),
        True,
    ),
    "nothing between": ("resnet18", "fc", lambda: nn.Sequential(nn.Linear(512, 20), nn.Linear(20, 3)), False),
    "named": (
        "resnet18",
        "fc",
        lambda: nn.Sequential(
            OrderedDict(first=nn.Linear(512, 20), relu=nn.ReLU(), dropout=nn.Dropout(), last=nn.Linear(20, 3))
        ),
        True,
    ),
    "whole classifier": ("mobilenet_v2", "classifier", lambda: nn.Linear(1280, 3), False),
    "whole classifier, two layers": (
        "efficientnet_b0",
        "classifier",
        lambda: nn.Sequential(nn.Linear(1280, 20), nn.ReLU(), nn.Linear(20, 3)),
        True,
    ),
    "inside a classifier": (
        "mobilenet_v3_small",
        "classifier.3",
        lambda: nn.Sequential(nn.Linear(1024, 20), nn.ReLU(), nn.Linear(20, 3)),
        True,
    ),
    "other width, its own activations": (
        "mobilenet_v3_small",
        "classifier",
        lambda: nn.Sequential(nn.Linear(576, 20), nn.Hardswish(), nn.Dropout(), nn.Linear(20, 3)),
        True,
    ),
    "one output": ("resnet18", "fc", lambda: nn.Sequential(nn.Linear(512, 20), nn.ReLU(), nn.Linear(20, 1)), True),
}


@pytest.mark.parametrize("case", HEADS)
def test_a_head_of_ones_own_is_read_off_its_weights(case: str, network: NetworkMaker, tmp_path: Path) -> None:
    arch, place, head, assumed = HEADS[case]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        original = with_head(network(arch, 2), place, head())
    torch.save({"state_dict": {f"module.{n}": t for n, t in original.state_dict().items()}}, tmp_path / "m.pth")
    classifier = load_classifier(tmp_path / "m.pth", arch=arch, preprocessing=squeezed(SIDE))
    images = images_for(4)
    features, logits = classifier(images)
    with torch.inference_mode():
        wanted = original(images)
    if case == "one output":
        wanted = torch.cat([-wanted, wanted], 1) / 2
    torch.testing.assert_close(logits, wanted, atol=1e-4, rtol=1e-4)
    assert features.shape == (4, classifier.d)
    assert (classifier.d < 100) == (case not in ("dropout", "whole classifier")), (
        "the features are the last hidden layer"
    )
    assert any("ReLU" in note for note in classifier.notes) == assumed
    # and back into the file it came from
    repaired = random_head(classifier.k, classifier.d)
    if case == "three layers":
        # its last layer has no bias, so the file has no place for one
        with pytest.raises(BadRequest, match=r"no fc\.6\.bias"):
            write_with_head(classifier, repaired, tmp_path / "repaired.pth")
        repaired = Head(repaired.weight, np.zeros(3, np.float32))
    write_with_head(classifier, repaired, tmp_path / "repaired.pth")
    again = load_classifier(tmp_path / "repaired.pth", arch=arch, preprocessing=squeezed(SIDE))
    expected = repaired.logits(features.numpy())
    if case == "one output":
        half = (expected[:, 1:] - expected[:, :1]) / 2
        expected = np.concatenate([-half, half], axis=1)
    np.testing.assert_allclose(again(images)[1], expected, atol=1e-3)
    original.load_state_dict(
        {
            name.removeprefix("module."): tensor
            for name, tensor in torch.load(tmp_path / "repaired.pth", weights_only=True)["state_dict"].items()
        },
        strict=True,
    )
    with torch.inference_mode():
        torch.testing.assert_close(original(images), replace_head(classifier, repaired)(images), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize(
    "broken",
    [
        nn.Sequential(nn.Linear(512, 20), nn.ReLU(), nn.Linear(21, 3)),
        nn.Sequential(nn.Linear(256, 20), nn.ReLU(), nn.Linear(20, 3)),
        nn.Sequential(nn.Sequential(nn.Linear(512, 20)), nn.Linear(20, 3)),
        nn.Sequential(nn.Linear(512, 20), nn.PReLU(3), nn.Linear(20, 3)),
    ],
)
def test_heads_that_are_no_chain_are_a_mismatch(broken: nn.Module, network: NetworkMaker, tmp_path: Path) -> None:
    torch.save(with_head(network("resnet18", 2), "fc", broken).state_dict(), tmp_path / "m.pt")
    with pytest.raises(ArchitectureMismatch, match=r"fc\.weight"):
        load_classifier(tmp_path / "m.pt", arch="resnet18", preprocessing=squeezed(SIDE))


def test_a_head_kept_as_a_convolution_is_the_same_head(network: NetworkMaker, tmp_path: Path) -> None:
    original = network("resnet18", 3)
    state = original.state_dict()
    state["fc.weight"] = state["fc.weight"][:, :, None, None]
    torch.save(state, tmp_path / "m.pt")
    classifier = load_classifier(tmp_path / "m.pt", arch="resnet18", preprocessing=squeezed(SIDE))
    images = images_for(2)
    with torch.inference_mode():
        torch.testing.assert_close(classifier(images)[1], original(images), atol=1e-4, rtol=1e-4)
    head = random_head(3, 512)
    write_with_head(classifier, head, tmp_path / "new.pt")
    written = torch.load(tmp_path / "new.pt", weights_only=True)["fc.weight"]
    assert written.shape == (3, 512, 1, 1)
    np.testing.assert_array_equal(written.flatten(1), head.weight)


def test_squeezenet_says_what_keeps_it_from_being_linear(network: NetworkMaker, tmp_path: Path) -> None:
    torch.save(network("squeezenet1_1", 3).state_dict(), tmp_path / "m.pt")
    with pytest.raises(HeadNotFound, match=r"classifier\.1: they differ by"):
        load_classifier(tmp_path / "m.pt", arch="squeezenet1_1", preprocessing=squeezed(SIDE))


def wilds(state: dict[str, torch.Tensor]) -> dict[str, Any]:
    """https://github.com/p-lambda/wilds, examples/utils.py: `save_model`."""
    return {
        "algorithm": {f"model.{name}": tensor for name, tensor in state.items()},
        "epoch": 9,
        "best_val_metric": 0.9,
    }


def wilds_in_parts(state: dict[str, torch.Tensor]) -> dict[str, Any]:
    """The same of an algorithm that has features and classifier apart: each tensor twice, in one memory."""
    inside: dict[str, torch.Tensor] = {}
    for name, tensor in state.items():
        head = name.startswith("fc.")
        inside["classifier." + name.removeprefix("fc.") if head else f"featurizer.{name}"] = tensor
        inside["model.1." + name.removeprefix("fc.") if head else f"model.0.{name}"] = tensor
    return {"algorithm": inside, "epoch": 9}


def domainbed(state: dict[str, torch.Tensor]) -> dict[str, Any]:
    """https://github.com/facebookresearch/DomainBed (and SubpopBench): `model_dict`, features inside a module."""
    inside: dict[str, torch.Tensor] = {}
    for name, tensor in state.items():
        head = name.startswith("fc.")
        inside["network.1." + name.removeprefix("fc.") if head else f"network.0.network.{name}"] = tensor
    return {"args": {"steps": 100}, "model_num_classes": 2, "model_dict": inside}


def dfr(state: dict[str, torch.Tensor]) -> dict[str, Any]:
    """https://github.com/PolinaKirichenko/deep_feature_reweighting: the state dict itself, `final_checkpoint.pt`."""
    return dict(state)


@pytest.mark.parametrize("wrapped", [wilds, wilds_in_parts, domainbed, dfr], ids=lambda wrap: wrap.__name__)
def test_checkpoints_of_public_code_are_read_and_written_back(
    wrapped: Callable[[dict[str, torch.Tensor]], dict[str, Any]], network: NetworkMaker, tmp_path: Path
) -> None:
    original = network("resnet18", 2)
    path = tmp_path / "best_model.pth"
    torch.save(wrapped(original.state_dict()), path)
    classifier = load_classifier(path, arch="resnet18", preprocessing=squeezed(SIDE))
    images = images_for(3)
    with torch.inference_mode():
        torch.testing.assert_close(classifier(images)[1], original(images), atol=1e-4, rtol=1e-4)
    head = random_head(2, 512)
    write_with_head(classifier, head, tmp_path / "repaired.pth")
    before, after = (torch.load(file, weights_only=True) for file in (path, tmp_path / "repaired.pth"))
    wanted = wrapped(
        {**original.state_dict(), "fc.weight": torch.from_numpy(head.weight), "fc.bias": torch.from_numpy(head.bias)}
    )
    assert list(after) == list(before)
    for key in ("algorithm", "model_dict"):
        if key in wanted:
            assert after[key].keys() == wanted[key].keys()
            assert all(torch.equal(after[key][name], wanted[key][name]) for name in wanted[key])


def test_whole_modules_of_group_dro_are_refused_with_a_recipe(network: NetworkMaker, tmp_path: Path) -> None:
    """https://github.com/kohpangwei/group_DRO saves the network itself: `torch.save(model, "best_model.pth")`."""
    torch.save(network("resnet18", 2), tmp_path / "best_model.pth")
    found = peek(tmp_path / "best_model.pth")
    assert (found.kind, "torchvision.models.resnet.ResNet" in found.problem) == ("pickled", True)
    with pytest.raises(UnsafeCheckpoint, match="ResNet") as caught:
        load_classifier(tmp_path / "best_model.pth", arch="resnet18")
    assert "state_dict()" in caught.value.next_step


def test_nothing_by_name_is_said_with_what_there_is(tmp_path: Path) -> None:
    torch.save({"algorithm": 3, "epoch": 1}, tmp_path / "m.pth")
    with pytest.raises(BadCheckpoint, match="algorithm, epoch"):
        load_classifier(tmp_path / "m.pth", arch="resnet18")
