"""A file is written again as its owner knows it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from core.classifiers.fitting import fitted
from core.classifiers.layout import read_layout, write_layout
from core.errors import BadRequest

NetworkMaker = Callable[..., nn.Module]


def changed(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The same network with another last layer."""
    return {name: value + 1 if name.startswith("head.") else value for name, value in state.items()}


def test_wrappers_and_names_and_what_lies_beside_stay(tmp_path: Path, network: NetworkMaker) -> None:
    state = network("small", 2).state_dict()
    theirs = {f"module.{name}": value for name, value in state.items()}
    theirs["criterion.weight"] = torch.ones(2)
    wrapped = {"epoch": 7, "state_dict": theirs, "optimizer": {"lr": 0.1}}
    torch.save(wrapped, tmp_path / "theirs.pth")
    layout = read_layout(tmp_path / "theirs.pth", "small")
    assert not layout.plain
    notes = write_layout(layout, changed(state), tmp_path / "out.pth")
    found: dict[str, Any] = torch.load(tmp_path / "out.pth", weights_only=True)
    assert list(found) == list(wrapped)
    assert list(found["state_dict"]) == list(theirs)
    assert (found["epoch"], found["optimizer"]) == (7, {"lr": 0.1})
    assert torch.equal(found["state_dict"]["module.head.bias"], state["head.bias"] + 1)
    assert torch.equal(found["state_dict"]["criterion.weight"], torch.ones(2))
    assert "epoch, optimizer" in notes[0]
    # and the original is not what was written to
    assert torch.equal(
        torch.load(tmp_path / "theirs.pth", weights_only=True)["state_dict"]["module.head.bias"], state["head.bias"]
    )


def test_plain_state_dict_is_recognised(tmp_path: Path, network: NetworkMaker) -> None:
    state = network("small", 2).state_dict()
    torch.save(state, tmp_path / "plain.pt")
    assert read_layout(tmp_path / "plain.pt", "small").plain
    torch.save({name: value.half() for name, value in state.items()}, tmp_path / "half.pt")
    assert not read_layout(tmp_path / "half.pt", "small").plain


def test_number_types_and_metadata_stay(tmp_path: Path, network: NetworkMaker) -> None:
    state = network("small", 2).state_dict()
    halves = {f"net.{name}": v.half() if v.is_floating_point() else v for name, v in state.items()}
    save_file(halves, tmp_path / "theirs.safetensors", metadata={"who": "somebody"})
    layout = read_layout(tmp_path / "theirs.safetensors", "small")
    loaded = fitted("small", load_file(tmp_path / "theirs.safetensors"), file="")
    whole = {name: value.float() if value.is_floating_point() else value for name, value in loaded.items()}
    assert write_layout(layout, changed(whole), tmp_path / "out.safetensors") == ()
    found = load_file(tmp_path / "out.safetensors")
    assert found.keys() == halves.keys()
    assert all(found[name].dtype == halves[name].dtype for name in halves)
    # what did not change is the same to the last bit
    assert all(torch.equal(found[name], halves[name]) for name in halves if not name.startswith("net.head"))
    torch.testing.assert_close(found["net.head.bias"].float(), state["head.bias"] + 1, atol=1e-3, rtol=1e-3)
    with safe_open(tmp_path / "out.safetensors", framework="pt") as source:
        assert source.metadata() == {"who": "somebody"}


def test_bias_that_has_no_place_is_refused(tmp_path: Path, network: NetworkMaker) -> None:
    state = network("small", 2).state_dict()
    without = {name: value for name, value in state.items() if name != "head.bias"}
    torch.save(without, tmp_path / "theirs.pt")
    layout = read_layout(tmp_path / "theirs.pt", "small")
    with pytest.raises(BadRequest, match=r"head\.bias"):
        write_layout(layout, state, tmp_path / "out.pt")
    assert not (tmp_path / "out.pt").exists()
    # one of zeros needs no place
    write_layout(layout, {**state, "head.bias": torch.zeros(2)}, tmp_path / "out.pt")
    assert torch.load(tmp_path / "out.pt", weights_only=True).keys() == without.keys()
