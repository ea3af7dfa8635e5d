"""What a model file says about itself, read without torch: a page asks before any job starts."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

# a safetensors header larger than this is no header (the format's own limit is 100 MB)
_LARGEST_HEADER = 100_000_000


def names_its_network(path: Path) -> bool:
    """Whether a model file needs no architecture beside it: one of ours, or TorchScript. False for anything unclear.

    Nothing is loaded and nothing is judged here; a damaged file is reported by `load_classifier`.
    """
    try:
        if zipfile.is_zipfile(path):
            return is_torchscript(path)
        with open(path, "rb") as source:
            length = int.from_bytes(source.read(8), "little")
            if not 2 <= length <= min(_LARGEST_HEADER, path.stat().st_size):
                return False
            header = json.loads(source.read(length))
    except (OSError, ValueError, zipfile.BadZipFile):
        return False
    metadata = header.get("__metadata__") if isinstance(header, dict) else None
    return isinstance(metadata, dict) and "arch" in metadata


def is_torchscript(archive: Path) -> bool:
    """Whether a zip archive holds code beside its weights. Raises `zipfile.BadZipFile`."""
    with zipfile.ZipFile(archive) as opened:
        return any(name.split("/")[1:2] == ["code"] for name in opened.namelist())
