"""Model files that bring their own network: told apart by content, without torch.

Weights need code that somebody names; these hold the computation itself. Nothing is loaded here and nothing judged: a
damaged file is reported by whoever loads it.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

TORCHSCRIPT, EXPORTED, ONNX = "torchscript", "exported", "onnx"
# origin: what it is called in a sentence
PROGRAMS = {TORCHSCRIPT: "TorchScript", EXPORTED: "a program of torch.export", ONNX: "an ONNX graph"}

# torch.export before 2.8: the graph under this name, with no folder around it
FORMER_PROGRAM = "serialized_exported_program.json"
# protobuf: field 1 (the version of the format) as a small number, then any of the fields a model has
_ONNX_START, _ONNX_FIELDS = 0x08, frozenset({0x12, 0x1A, 0x22, 0x28, 0x32, 0x3A, 0x42, 0x72, 0xA2, 0xCA})


def is_program(origin: str) -> bool:
    """Whether a model of this origin (or `Analysis.arch`) brings its own network, so that no architecture is named."""
    return origin in PROGRAMS


def is_exported(names: Collection[str]) -> bool:
    """Whether a zip archive with files of these names is one of torch.export."""
    return FORMER_PROGRAM in names or any(name.split("/")[1:] == ["archive_format"] for name in names)


def repeated_name(names: Collection[str]) -> str | None:
    """A name that a zip archive has twice, in capitals or not; None where there is none.

    Readers take different ones of such files (torch's own minds no capitals), so that one would see what another does
    not.
    """
    seen: set[str] = set()
    for name in names:
        if name.casefold() in seen:
            return name
        seen.add(name.casefold())
    return None


def is_onnx(path: Path, start: bytes) -> bool:
    """Whether a file holds an ONNX model. start: its first 16 bytes."""
    if len(start) > 2 and start[0] == _ONNX_START and 0 < start[1] < 0x40 and start[2] in _ONNX_FIELDS:
        return True
    # fields in another order are allowed, if nobody writes them so; a name decides then, unless it holds another format
    return path.suffix.lower() == ".onnx" and start[:2] != b"PK" and start[:1] != b"\x80"
