from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from core.classifiers import torchvision_compat

ROOT = Path(__file__).parents[3]


def test_torchvision_imports_in_a_fresh_process_and_has_its_models() -> None:
    script = (
        "from core.classifiers.torchvision_compat import load; t = load();"
        "print('resnet18' in t.models.list_models(), t.models.ResNet18_Weights.DEFAULT.transforms().crop_size)"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "[224]"]


def test_declaring_twice_declares_nothing() -> None:
    # whichever test of this process needed them first
    torchvision_compat.load()
    assert torchvision_compat.declare_missing_operators() == ()


def test_nothing_is_declared_where_the_library_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torchvision_compat, "_library_loads", lambda: True)
    monkeypatch.setattr(torchvision_compat, "OPERATORS", {"never_there": "() -> ()"})
    assert torchvision_compat.declare_missing_operators() == ()
    assert not hasattr(torch.ops.torchvision, "never_there")


def test_nothing_is_declared_for_a_cuda_build(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torchvision_compat, "_library_loads", lambda: False)
    monkeypatch.setattr(torchvision_compat, "OPERATORS", {"never_there": "() -> ()"})
    assert torchvision_compat.declare_missing_operators() == ()


def test_every_import_of_torchvision_goes_through_the_module() -> None:
    for file in (ROOT / "core").rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        if file.name != "torchvision_compat.py":
            assert not re.search(r"^\s*(import|from) torchvision\b(?!_compat)", text, re.MULTILINE), file


def test_the_small_network_is_loaded_without_torchvision(own_file: Path) -> None:
    script = (
        "import sys; from core.classifiers.classifier import load_classifier;"
        "import core.activations.extraction, core.classifiers.training;"
        f"load_classifier({str(own_file)!r}); print('torchvision' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
