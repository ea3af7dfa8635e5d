"""The demo: made once, complete, and there at once the second time."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import core.demo as demo
import core.demo.making
from core.errors import PathNotFound
from core.workspace import Workspace, open_workspace

ROOT = Path(__file__).parents[2]


@pytest.fixture
def few_birds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A demo of 64 small birds and a classifier with random weights."""
    import torch

    import core.synthetic.birds as birds
    from core.classifiers.architectures import build
    from core.classifiers.checkpoint import ModelDescription, write_checkpoint
    from core.classifiers.preprocessing import squeezed

    real = birds.make_birds
    monkeypatch.setattr(birds, "make_birds", lambda out, **more: real(out, **{**more, "n": 64, "size": 32}))
    torch.manual_seed(0)
    model = tmp_path / "shipped.safetensors"
    description = ModelDescription("small", ("landbird", "waterbird"), squeezed(32))
    write_checkpoint(model, build("small", 2).state_dict(), description)
    monkeypatch.setattr("core.demo.making.MODEL", model)
    return model


def test_demo_is_ready_to_explore(workspace: Workspace, few_birds: Path) -> None:
    assert demo.find_demo(workspace) is None
    analysis = demo.make_demo(workspace)
    assert demo.find_demo(workspace) == analysis.id
    assert analysis.n == 64
    assert analysis.classes == ("landbird", "waterbird")
    assert analysis.attributes[0].name == "place"
    assert {split: len(analysis.split_rows(split)) for split in ("train", "val", "test")} == {
        "train": 32,
        "val": 16,
        "test": 16,
    }
    # everything lies inside, so the workspace can be moved
    assert analysis.model_file.is_relative_to(workspace.root)
    assert analysis.dataset_root.is_relative_to(workspace.root)


def test_second_call_changes_nothing_and_needs_no_torch(workspace: Workspace, few_birds: Path) -> None:
    first = demo.make_demo(workspace)
    stamp = (first.folder / "features.npy").stat().st_mtime_ns
    script = f"""
import sys
from pathlib import Path
import core.demo as demo
import core.demo.making
from core.workspace import open_workspace
core.demo.making.MODEL = Path({str(few_birds)!r})
print(demo.make_demo(open_workspace({str(workspace.root)!r})).id, "torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [first.id, "False"]
    assert (first.folder / "features.npy").stat().st_mtime_ns == stamp


def test_new_shipped_classifier_is_analysed_anew_and_the_old_one_comes_back(
    workspace: Workspace, few_birds: Path
) -> None:
    import torch

    from core.activations.store import open_analysis
    from core.classifiers.architectures import build
    from core.classifiers.checkpoint import ModelDescription, write_checkpoint
    from core.classifiers.preprocessing import squeezed

    shipped = few_birds.read_bytes()
    first = demo.make_demo(workspace)
    torch.manual_seed(9)
    description = ModelDescription("small", ("landbird", "waterbird"), squeezed(32))
    write_checkpoint(few_birds, build("small", 2).state_dict(), description)
    second = demo.make_demo(workspace)
    assert second.id != first.id
    assert demo.find_demo(workspace) == second.id
    few_birds.write_bytes(shipped)
    assert demo.make_demo(workspace).id == first.id
    assert open_analysis(workspace).id == first.id


@pytest.mark.parametrize("earlier", [False, True])
def test_a_copied_workspace_has_its_demo(
    workspace: Workspace, few_birds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, earlier: bool
) -> None:
    first = demo.make_demo(workspace)
    if earlier:
        # what an earlier version remembered is added to when the demo is asked for
        known = core.demo.making._recorded(workspace, "birds")
        assert known is not None
        core.demo.making._remember(workspace, "birds", {key: known[key] for key in ("version", "analysis")})
        demo.make_demo(workspace)
    # other times and another place, as `cp -r` gives
    shutil.copytree(workspace.root, tmp_path / "copy", copy_function=shutil.copyfile)
    copy = open_workspace(tmp_path / "copy")

    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("analysed again")

    monkeypatch.setattr("core.activations.extraction.analyse", never)
    again = demo.make_demo(copy)
    assert again.id == first.id
    assert again.dataset_root == tmp_path / "copy" / "datasets" / "birds"
    # other pictures are another matter
    table = again.dataset_root / "metadata.csv"
    table.write_text(table.read_text().replace(",landbird,", ",waterbird,", 1))
    with pytest.raises(AssertionError, match="analysed again"):
        demo.make_demo(copy)


def test_missing_classifier_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.demo.making.MODEL", tmp_path / "nothing.safetensors")
    with pytest.raises(PathNotFound, match="nothing") as caught:
        demo.make_demo(open_workspace(tmp_path / "w"))
    assert "make demo-model" in caught.value.next_step
