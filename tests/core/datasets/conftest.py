"""Small datasets on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image


def put_image(path: Path, color: tuple[int, int, int] = (90, 140, 60)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4), color).save(path)


@pytest.fixture
def images(tmp_path: Path) -> Callable[..., Path]:
    """Call with names relative to a fresh root; writes a tiny image for each and returns the root."""

    def write(*names: str) -> Path:
        root = tmp_path / "data"
        root.mkdir(exist_ok=True)
        for name in names:
            put_image(root / name)
        return root

    return write


@pytest.fixture
def table(images: Callable[..., Path]) -> Callable[..., Path]:
    """Call with the text of metadata.csv (and its encoding) and the images to write; returns the root."""

    def write(text: str, *names: str, encoding: str = "utf-8") -> Path:
        root = images(*names)
        (root / "metadata.csv").write_bytes(text.encode(encoding))
        return root

    return write
