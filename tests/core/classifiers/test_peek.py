"""A page may ask what a model file says of itself without importing torch."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from core.classifiers.peek import names_its_network


def test_our_own_file_names_its_network(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file({"w": np.zeros(2, np.float32)}, path, metadata={"arch": "small"})
    assert names_its_network(path)


def test_plain_safetensors_do_not(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file({"w": np.zeros(2, np.float32)}, path)
    assert not names_its_network(path)


@pytest.mark.parametrize(("member", "known"), [("model/code/__torch__.py", True), ("model/data.pkl", False)])
def test_torchscript_is_told_from_a_checkpoint(tmp_path: Path, member: str, known: bool) -> None:
    path = tmp_path / "a.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(member, "")
    assert names_its_network(path) is known


@pytest.mark.parametrize(
    "content", [b"", b"\x80\x02", (5).to_bytes(8, "little") + b"{", (2).to_bytes(8, "little") + b"[]", b"\xff" * 64]
)
def test_anything_unclear_does_not(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.pt"
    path.write_bytes(content)
    assert not names_its_network(path)


def test_a_header_that_is_no_mapping_of_texts_does_not(tmp_path: Path) -> None:
    header = json.dumps({"__metadata__": ["arch"]}).encode()
    path = tmp_path / "a.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    assert not names_its_network(path)


def test_asking_does_not_import_torch() -> None:
    code = "import sys, core.classifiers.peek; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
