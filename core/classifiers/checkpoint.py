"""Model files: reading the weights out of whatever people saved, writing ours as safetensors.

Nothing is ever unpickled: `torch.load` runs with `weights_only=True`, which reads tensors and plain containers and
refuses everything else. What a file is decides its content, not its suffix.
"""

from __future__ import annotations

import json
import os
import re
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from core.access.roots import allowed_path
from core.classifiers.origins import is_onnx, repeated_name
from core.classifiers.peek import kind_of_archive, recipe
from core.classifiers.preprocessing import Preprocessing, preprocessing_from_dict
from core.errors import BadCheckpoint, BadRequest, BadWeights, PathNotFound, UnsafeCheckpoint
from core.files import replacing, resolved

FORMAT = "midband-classifier-1"

# Keys under which training scripts put the weights beside the epoch, the optimiser and so on.
# "algorithm" is WILDS, "model_dict" DomainBed and SubpopBench.
WRAPPERS = (
    *("state_dict", "model_state_dict", "model", "net", "network", "weights", "model_state", "params", "ema"),
    *("algorithm", "model_dict"),
)

# bytes that the packed entries of a zip archive may unpack to; the code of the largest networks takes a few million
MOST_PACKED = 2**28

# {first}, {second}: the two lines of `recipe`
CONVERSION = (
    "If you trust whoever made it: load it where its code is installed, {first}, then save only the weights, {second}. "
    "Load weights.pt here and name the architecture."
)

State = dict[str, torch.Tensor]


@dataclass(frozen=True)
class ModelDescription:
    """What our own model files say about themselves; None for what a file does not say.

    config: the library's own description of the network, as JSON, where its name alone does not tell how to build it.
    """

    arch: str | None = None
    classes: tuple[str, ...] | None = None
    preprocessing: Preprocessing | None = None
    config: str | None = None


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Weights by name, and what the file says about the network they belong to."""

    state: State
    description: ModelDescription


def kind_of_file(path: Path) -> str:
    """Either "safetensors", "torchscript", "exported", "onnx" or "torch", by content.

    Raises `PathNotFound`, `BadCheckpoint`, or `UnsafeCheckpoint` for an archive that readers would read differently.
    """
    if not path.exists():
        raise PathNotFound(f"There is no model file at {path}.", next_step="Check the path of the model.")
    if path.is_dir():
        raise PathNotFound(f"{path} is a folder, not a model file.", next_step="Name the file that holds the weights.")
    if not path.is_file():
        # a pipe would keep whoever opens it waiting
        raise BadCheckpoint(f"{path} is not a file.", next_step="Name the file that holds the weights.")
    try:
        size = path.stat().st_size
        with open(path, "rb") as source:
            start = source.read(16)
    except OSError as error:
        raise BadCheckpoint(
            f"{path} cannot be opened ({error.strerror}).", next_step="Check that you may read the file."
        ) from error
    if size == 0:
        raise BadCheckpoint(f"{path.name} is empty.", next_step="Save or copy the model again.")
    if zipfile.is_zipfile(path) and start[:2] == b"PK":
        try:
            _check_growth(path)
            _check_names(path)
            kind = kind_of_archive(path)
        except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
            raise BadCheckpoint(
                f"{path.name} is a damaged archive ({error}).", next_step="Save or copy the model again."
            ) from error
        return "torch" if kind == "weights" else kind
    # a safetensors file: the length of a JSON object in 8 bytes (far below 4 GB), then that object
    if start[4:9] == b"\0\0\0\0{":
        return "safetensors"
    if start[:1] == b"\x80":
        return "torch"
    if is_onnx(path, start):
        return "onnx"
    raise BadCheckpoint(
        f"{path.name} is neither safetensors, nor a PyTorch checkpoint, TorchScript, torch.export or ONNX (or it is "
        "damaged).",
        next_step="Save the weights with torch.save(model.state_dict(), 'weights.pt') or as safetensors.",
    )


def _check_growth(archive: Path) -> None:
    """Raise `BadCheckpoint` where a zip archive would fill the memory. torch packs nothing but code, and little."""
    try:
        with zipfile.ZipFile(archive) as opened:
            packed = [entry for entry in opened.infolist() if entry.compress_type != zipfile.ZIP_STORED]
    except (zipfile.BadZipFile, NotImplementedError, OSError, ValueError):
        # damage is told by whoever reads it
        return
    grown = sum(entry.file_size for entry in packed)
    if grown > MOST_PACKED:
        raise BadCheckpoint(
            f"Parts of {archive.name} would unpack to {grown:,} bytes, more than those of any model.",
            next_step="Save the model again with torch.save or torch.jit.save: neither packs its numbers.",
        )


def _check_names(archive: Path) -> None:
    with zipfile.ZipFile(archive) as opened:
        twice = repeated_name(opened.namelist())
    if twice is not None:
        raise UnsafeCheckpoint(
            f"{archive.name} holds {twice[:120]!r} twice, and which one counts depends on who reads it, so it was not "
            "read.",
            next_step="Save the model again with the library that it comes from.",
        )


def read_checkpoint(path: Path) -> Checkpoint:
    """Weights of a safetensors file or a PyTorch checkpoint, wrappers removed.

    Raises `UnsafeCheckpoint` when only unpickling could read it, `BadCheckpoint` when nothing can, `BadWeights` when a
    weight is not finite.
    """
    if kind_of_file(path) == "safetensors":
        checkpoint = _read_safetensors(path)
    else:
        weights = weights_in(read_torch(path), path)
        state = {str(name): item for name, item in weights.items() if isinstance(item, torch.Tensor)}
        checkpoint = Checkpoint(state=state, description=ModelDescription())
    check_finite(checkpoint.state, path)
    return checkpoint


def check_finite(state: Mapping[str, torch.Tensor], path: Path) -> None:
    """Raise `BadWeights` naming the first tensor that holds a number that is not finite."""
    for name, tensor in state.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            broken = int((~torch.isfinite(tensor)).sum())
            raise BadWeights(
                f"{broken:,} of the {tensor.numel():,} numbers of {name} in {path.name} are NaN or infinite.",
                next_step="The training that wrote this file diverged: use an earlier checkpoint.",
            )


def write_checkpoint(path: Path, state: Mapping[str, torch.Tensor], description: ModelDescription) -> None:
    """Write weights and description as one safetensors file, whole or not at all."""
    metadata = {"format": FORMAT}
    if description.arch is not None:
        metadata["arch"] = description.arch
    if description.classes is not None:
        metadata["classes"] = json.dumps(list(description.classes), ensure_ascii=False)
    if description.preprocessing is not None:
        metadata["preprocessing"] = json.dumps(description.preprocessing.to_dict())
    if description.config is not None:
        metadata["config"] = description.config
    # copies: safetensors refuses tensors that share memory, and keeps only C-ordered ones
    tensors = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in state.items()
    }
    with replacing(path) as beside:
        save_file(tensors, beside, metadata=metadata)


def check_output(path: Path) -> Path:
    """The path itself if a model can be written there later. Raises `BadRequest` or `PathNotFound` before hours of work
    are lost."""
    allowed_path(resolved(path, advice="Choose another name for the model."))
    if path.suffix != ".safetensors":
        raise BadRequest(
            f"{path.name} does not end in .safetensors, the format models are written in.",
            next_step=f"Call it {path.with_suffix('.safetensors').name}.",
        )
    if path.is_dir():
        raise BadRequest(f"{path} is a folder.", next_step="Name a file for the model.")
    nearest = next(parent for parent in path.absolute().parents if parent.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        raise BadRequest(f"Nothing can be written in {nearest}.", next_step="Choose another place for the model.")
    return path


def _read_safetensors(path: Path) -> Checkpoint:
    try:
        with safe_open(path, framework="pt") as source:
            metadata = source.metadata() or {}
            names = source.keys()
            state = {name: source.get_tensor(name) for name in names}
    except (SafetensorError, OSError, ValueError) as error:
        raise BadCheckpoint(
            f"{path.name} is not a whole safetensors file ({error}).", next_step="Copy or save the model again."
        ) from error
    if metadata.get("format") != FORMAT:
        return Checkpoint(state=state, description=ModelDescription())
    try:
        classes = json.loads(metadata["classes"]) if "classes" in metadata else None
        stored = json.loads(metadata["preprocessing"]) if "preprocessing" in metadata else None
        description = ModelDescription(
            arch=metadata.get("arch"),
            classes=None if classes is None else tuple(str(name) for name in classes),
            preprocessing=None if stored is None else preprocessing_from_dict(stored),
            config=metadata.get("config"),
        )
    except (ValueError, TypeError, AttributeError, ArithmeticError, RecursionError, BadRequest) as error:
        raise BadCheckpoint(
            f"The description inside {path.name} cannot be read ({error}).",
            next_step="Export or train the model again.",
        ) from error
    return Checkpoint(state=state, description=description)


def read_torch(path: Path) -> Any:
    """What a PyTorch checkpoint holds, wrappers and all. Raises `UnsafeCheckpoint`, `BadCheckpoint`."""
    try:
        # opened here: given a path, torch chooses a reader by its suffix
        with open(path, "rb") as source, warnings.catch_warnings():
            # an unusual pickle protocol ends in an error below; torch's request to file an issue helps nobody here
            warnings.filterwarnings("ignore", message="Detected pickle protocol")
            return torch.load(source, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:
        # torch raises RuntimeError, EOFError, UnpicklingError, KeyError, UnicodeDecodeError ... on damaged files: each
        # says the same to a person. Only "this would need unpickling" is another matter.
        if "Weights only load failed" in str(error):
            raise UnsafeCheckpoint(
                f"{path.name} holds Python objects{_named(str(error))}, not only weights. Reading them would run code "
                "from the file, so it was not read.",
                next_step=_conversion(path),
            ) from error
        raise BadCheckpoint(
            f"{path.name} cannot be read as a PyTorch checkpoint: it is damaged or of another format.",
            next_step="Copy it again, or save the weights once more with torch.save(model.state_dict(), 'weights.pt').",
        ) from error


def _conversion(path: Path) -> str:
    first, second = recipe(path.name).splitlines()
    return CONVERSION.format(first=first, second=second)


def _named(reason: str) -> str:
    """The class or function that torch refused, out of its message."""
    found = re.search(r"GLOBAL ([\w.]+)", reason)
    return f" ({found.group(1)})" if found else ""


def weights_in(value: Any, path: Path) -> Mapping[Any, Any]:
    """The mapping that holds the weights: what was saved itself, or under one of the usual keys, however deep.

    path: for the message. Raises `BadCheckpoint` where there is none.
    """
    for _ in range(4):
        if not isinstance(value, Mapping):
            break
        inner = next((value[key] for key in WRAPPERS if isinstance(value.get(key), Mapping)), None)
        if inner is None:
            if any(isinstance(item, torch.Tensor) for item in value.values()):
                return value
            break
        value = inner
    raise BadCheckpoint(
        f"{path.name} holds no weights by name (found: {_contents(value)}).",
        next_step="Save the weights with torch.save(model.state_dict(), 'weights.pt').",
    )


def _contents(value: Any) -> str:
    if isinstance(value, Mapping):
        return "the keys " + ", ".join(str(key) for key in list(value)[:8]) if value else "nothing"
    return f"a {type(value).__name__}"
