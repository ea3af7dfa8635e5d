"""Which network weights are of, read off the file without torch's reader."""

from __future__ import annotations

import argparse
import pickletools
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from core.classifiers.architectures import build, names
from core.classifiers.peek import peek
from core.classifiers.weight_names import TORCHVISION, architecture_in, contents_of

SHOWN = (
    *("resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnext50_32x4d", "resnext101_32x8d"),
    *("resnext101_64x4d", "wide_resnet50_2", "wide_resnet101_2"),
    *("vit_b_16", "vit_b_32", "vit_l_16", "vit_l_32", "vit_h_14"),
)


def outlined(arch: str) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        return {name: tuple(tensor.shape) for name, tensor in build(arch, 3).state_dict().items()}


def test_every_architecture_is_known_by_name() -> None:
    assert [name for name in names() if not TORCHVISION.fullmatch(name)] == []


@pytest.mark.parametrize("arch", SHOWN)
def test_names_and_shapes_tell_resnets_and_transformers_apart(arch: str) -> None:
    shapes = outlined(arch)
    assert architecture_in(shapes, []) == arch
    assert architecture_in({f"module.model.{name}": shape for name, shape in shapes.items()}, []) == arch


@pytest.mark.parametrize("arch", ["small", "densenet121", "vgg11", "swin_t", "mobilenet_v2"])
def test_others_are_not_guessed(arch: str) -> None:
    assert architecture_in(outlined(arch), []) is None


def test_a_resnet_of_other_widths_or_depths_is_none() -> None:
    shapes = outlined("resnet18")
    assert architecture_in({**shapes, "layer1.0.conv2.weight": (32, 32, 3, 3)}, []) is None
    assert architecture_in({name: one for name, one in shapes.items() if "layer4" not in name}, []) is None


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("wrapped", [False, True])
def test_weights_that_torch_saved_show_their_network(tmp_path: Path, protocol: int, wrapped: bool) -> None:
    state: Any = build("resnet18", 3).state_dict()
    path = tmp_path / "a.pth"
    torch.save({"epoch": 3, "state_dict": state} if wrapped else state, path, pickle_protocol=protocol)
    with zipfile.ZipFile(path) as archive:
        data = archive.read("a/data.pkl")
    assert pickletools.genops(data)
    shapes = contents_of(data).shapes
    assert shapes == {name: tuple(tensor.shape) for name, tensor in state.items() if name.endswith(".weight")}
    found = peek(path)
    assert (found.kind, found.arch, found.needs_architecture) == ("weights", "resnet18", True)


def test_what_is_written_beside_weights_comes_first(tmp_path: Path) -> None:
    path = tmp_path / "a.pth.tar"
    weights = {"fc.weight": torch.zeros(2, 3)}
    for beside, arch in (
        ({"arch": "densenet121"}, "densenet121"),
        ({"model_name": "ResNet50"}, "resnet50"),
        # the same text twice: the second is a reference to the first
        ({"name": "vgg11", "hyper": {"architecture": "vgg11"}}, "vgg11"),
        ({"arch": "ours", "model_name": "resnet34"}, "resnet34"),
        ({"arch": 18}, None),
        ({"arch": None, "note": "resnet18"}, None),
        ({"note": "arch"}, None),
        ({"arch": "resnet18; import os"}, None),
    ):
        torch.save({**beside, "state_dict": weights}, path)
        assert peek(path).arch == arch, beside


def test_an_object_beside_the_weights_is_still_refused(tmp_path: Path) -> None:
    torch.save({"arch": "resnet18", "args": argparse.Namespace(lr=1)}, tmp_path / "a.pth")
    found = peek(tmp_path / "a.pth")
    assert found.kind == "pickled"
    assert "argparse.Namespace" in found.problem


def test_safetensors_show_their_network(tmp_path: Path) -> None:
    save_file(build("resnet34", 3).state_dict(), tmp_path / "a.safetensors")
    found = peek(tmp_path / "a.safetensors")
    assert (found.kind, found.arch, found.needs_architecture) == ("weights", "resnet34", True)


@pytest.mark.parametrize("data", [b"", b"\x80\x02", b"\x80\x02Q.", b"\x80\x02h\x05.", b"\x80\x04\x93."])
def test_damaged_pickles_break_nothing(tmp_path: Path, data: bytes) -> None:
    with zipfile.ZipFile(tmp_path / "a.pth", "w") as archive:
        archive.writestr("a/data.pkl", data)
    assert peek(tmp_path / "a.pth").arch is None
