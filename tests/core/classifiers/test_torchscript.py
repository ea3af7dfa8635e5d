from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
import torch
from torch import nn

from core.classifiers.classifier import load_classifier
from core.classifiers.preprocessing import squeezed
from core.errors import UnsafeCheckpoint


class Writes(nn.Module):
    def __init__(self, sign: str) -> None:
        super().__init__()
        self.sign = sign
        self.head = nn.Linear(3, 2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        torch.save(images, self.sign)
        return self.head(images.mean((2, 3)))


@pytest.mark.parametrize("ending", [".py", ".PY", ".Py"])
def test_code_is_looked_through_however_its_file_is_spelt(tmp_path: Path, ending: str) -> None:
    sign = tmp_path / "sign"
    torch.jit.script(Writes(str(sign)).eval()).save(tmp_path / "m.pt")
    with zipfile.ZipFile(tmp_path / "m.pt") as archive:
        records = [(name, archive.read(name)) for name in archive.namelist()]
    with zipfile.ZipFile(tmp_path / "n.pt", "w") as archive:
        for name, content in records:
            archive.writestr(name.removesuffix(".py") + ending if name.endswith(".py") else name, content)
    with pytest.raises(UnsafeCheckpoint, match="save"):
        load_classifier(tmp_path / "n.pt", preprocessing=squeezed(16))
    assert not sign.exists()
    # torch finds it by either name
    torch.jit.load(tmp_path / "n.pt")(torch.zeros(1, 3, 16, 16))
    assert sign.exists()
