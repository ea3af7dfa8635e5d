from __future__ import annotations

import argparse
import os
import pickle
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from core.classifiers.checkpoint import (
    FORMAT,
    WRAPPERS,
    ModelDescription,
    check_output,
    kind_of_file,
    read_checkpoint,
    write_checkpoint,
)
from core.classifiers.peek import recipe
from core.classifiers.preprocessing import squeezed
from core.errors import BadCheckpoint, BadRequest, BadWeights, PathNotFound, UnsafeCheckpoint

NetworkMaker = Callable[..., nn.Module]
WEIGHTS = {"fc.weight": torch.arange(6.0).reshape(2, 3), "fc.bias": torch.ones(2)}


class Hostile:
    """Unpickling this makes a file: the sign that code has run."""

    def __init__(self, sign: Path) -> None:
        self.sign = sign

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.sign),)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_hostile_plain_pickle_is_refused_without_running(tmp_path: Path, protocol: int) -> None:
    (tmp_path / "model.pt").write_bytes(pickle.dumps({"w": Hostile(tmp_path / "sign")}, protocol=protocol))
    with pytest.raises((UnsafeCheckpoint, BadCheckpoint)):
        read_checkpoint(tmp_path / "model.pt")
    assert not (tmp_path / "sign").exists()


@pytest.mark.parametrize("zipped", [True, False])
def test_hostile_checkpoint_is_refused_without_running(tmp_path: Path, zipped: bool) -> None:
    value = {"state_dict": WEIGHTS, "extra": Hostile(tmp_path / "sign")}
    torch.save(value, tmp_path / "model.pt", _use_new_zipfile_serialization=zipped)
    with pytest.raises(UnsafeCheckpoint):
        read_checkpoint(tmp_path / "model.pt")
    assert not (tmp_path / "sign").exists()
    # the trap works: whoever unpickles it runs it
    torch.load(tmp_path / "model.pt", weights_only=False)
    assert (tmp_path / "sign").exists()


@pytest.mark.parametrize("zipped", [True, False])
def test_pickled_whole_model_is_refused_with_the_way_to_convert_it(
    tmp_path: Path, network: NetworkMaker, zipped: bool
) -> None:
    torch.save(network("small", 2), tmp_path / "model.pt", _use_new_zipfile_serialization=zipped)
    with pytest.raises(UnsafeCheckpoint) as caught:
        read_checkpoint(tmp_path / "model.pt")
    assert "SmallNetwork" in caught.value.detail
    first, second = recipe("model.pt").splitlines()
    assert first == "model = torch.load('model.pt', weights_only=False)"
    assert second == "torch.save(model.state_dict(), 'weights.pt')"
    assert f"{first}, then save only the weights, {second}." in caught.value.next_step


def test_settings_object_beside_the_weights_is_named(tmp_path: Path) -> None:
    torch.save({"state_dict": WEIGHTS, "args": argparse.Namespace(lr=1)}, tmp_path / "model.pt")
    with pytest.raises(UnsafeCheckpoint, match=r"argparse\.Namespace"):
        read_checkpoint(tmp_path / "model.pt")


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_weights_are_found_inside_the_usual_wrappers(tmp_path: Path, wrapper: str) -> None:
    torch.save({"epoch": 7, wrapper: WEIGHTS, "optimizer": {"state": {}}}, tmp_path / "model.pth")
    assert read_checkpoint(tmp_path / "model.pth").state.keys() == WEIGHTS.keys()


def test_nested_wrappers_are_opened(tmp_path: Path) -> None:
    torch.save({"model": {"state_dict": WEIGHTS}, "epoch": 7}, tmp_path / "model.pth")
    found = read_checkpoint(tmp_path / "model.pth").state
    assert torch.equal(found["fc.weight"], WEIGHTS["fc.weight"])


def test_suffix_does_not_decide_what_a_file_is(tmp_path: Path) -> None:
    save_file(WEIGHTS, tmp_path / "model.pt")
    torch.save(WEIGHTS, tmp_path / "model.safetensors")
    assert kind_of_file(tmp_path / "model.pt") == "safetensors"
    assert kind_of_file(tmp_path / "model.safetensors") == "torch"
    for name in ("model.pt", "model.safetensors"):
        assert torch.equal(read_checkpoint(tmp_path / name).state["fc.bias"], WEIGHTS["fc.bias"])


@pytest.mark.parametrize("second", ["model/code/a.py", "model/code/A.PY"])
def test_archive_that_readers_would_read_differently_is_refused(tmp_path: Path, second: str) -> None:
    with zipfile.ZipFile(tmp_path / "model.pt", "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in ("model/code/a.py", second):
            archive.writestr(name, b"")
    with pytest.raises(UnsafeCheckpoint, match="twice"):
        kind_of_file(tmp_path / "model.pt")


@pytest.mark.parametrize("value", [torch.ones(3), [1, 2], {"epoch": 3}, {}])
def test_file_without_named_weights_says_what_it_holds(tmp_path: Path, value: object) -> None:
    torch.save(value, tmp_path / "model.pt")
    with pytest.raises(BadCheckpoint, match="no weights by name"):
        read_checkpoint(tmp_path / "model.pt")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_file_cut_short_is_damaged_not_a_traceback(tmp_path: Path, share: float, suffix: str) -> None:
    path = tmp_path / f"model{suffix}"
    if suffix == ".pt":
        torch.save(WEIGHTS, path)
    else:
        save_file(WEIGHTS, path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(BadCheckpoint):
        read_checkpoint(path)


def test_text_and_images_are_not_models(tmp_path: Path) -> None:
    for content in (b"hello", b"\x89PNG\r\n\x1a\n" + b"0" * 64, b"\x80\x02junk junk junk junk"):
        (tmp_path / "model.pt").write_bytes(content)
        with pytest.raises(BadCheckpoint):
            read_checkpoint(tmp_path / "model.pt")


def test_missing_file_and_folder_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(PathNotFound, match="no model file"):
        read_checkpoint(tmp_path / "model.pt")
    with pytest.raises(PathNotFound, match="a folder"):
        read_checkpoint(tmp_path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_named_and_counted(tmp_path: Path, value: float) -> None:
    broken = {**WEIGHTS, "fc.weight": torch.tensor([[1.0, value, value]])}
    torch.save(broken, tmp_path / "model.pt")
    with pytest.raises(BadWeights, match=r"2 of the 3 numbers of fc\.weight"):
        read_checkpoint(tmp_path / "model.pt")


def test_own_file_describes_itself(tmp_path: Path) -> None:
    path = tmp_path / "own.safetensors"
    said = ModelDescription(arch="small", classes=("naïve", 'a "b"'), preprocessing=squeezed(48))
    # a view and a shared tensor, which safetensors itself would refuse
    write_checkpoint(path, {"a": WEIGHTS["fc.weight"].T, "b": WEIGHTS["fc.bias"], "c": WEIGHTS["fc.bias"]}, said)
    found = read_checkpoint(path)
    assert found.description == said
    assert torch.equal(found.state["a"], WEIGHTS["fc.weight"].T)


def test_foreign_metadata_is_not_taken_for_ours(tmp_path: Path) -> None:
    save_file(WEIGHTS, tmp_path / "model.safetensors", metadata={"format": "pt", "classes": "nonsense"})
    assert read_checkpoint(tmp_path / "model.safetensors").description == ModelDescription()


def test_nonsense_in_our_own_metadata_is_an_error(tmp_path: Path) -> None:
    metadata = {"format": "midband-classifier-1", "classes": "{nonsense"}
    save_file(WEIGHTS, tmp_path / "model.safetensors", metadata=metadata)
    with pytest.raises(BadCheckpoint, match="description"):
        read_checkpoint(tmp_path / "model.safetensors")


def test_places_where_no_model_can_be_written_are_refused_before_the_work(tmp_path: Path) -> None:
    assert check_output(tmp_path / "new" / "model.safetensors") == tmp_path / "new" / "model.safetensors"
    with pytest.raises(BadRequest, match=r"model\.safetensors"):
        check_output(tmp_path / "model.pt")
    (tmp_path / "folder.safetensors").mkdir()
    with pytest.raises(BadRequest, match="a folder"):
        check_output(tmp_path / "folder.safetensors")
    (tmp_path / "file").write_text("")
    with pytest.raises(BadRequest, match="Nothing can be written"):
        check_output(tmp_path / "file" / "model.safetensors")


@pytest.mark.parametrize("key", ["classes", "preprocessing"])
def test_metadata_nested_without_end_is_damage(tmp_path: Path, key: str) -> None:
    file = tmp_path / "deep.safetensors"
    metadata = {"format": FORMAT, "arch": "small", key: "[" * 100_000 + "]" * 100_000}
    save_file({"a": torch.ones(2)}, str(file), metadata=metadata)
    with pytest.raises(BadCheckpoint, match="cannot be read"):
        read_checkpoint(file)
