"""TorchScript modules: code and weights in one file, which hooks cannot look into.

The features are had by changing the last layer's numbers instead: with an identity matrix for a weight and zeros for a
bias, the module returns what goes into that layer.

TorchScript is a program, if a confined one: its code can write files (`torch.save`, `torch.from_file`) and, while it
is loaded, run (`__setstate__`). So its text is looked through before it is loaded, and what no classifier needs is
refused. That is a fence against known doors, not a proof that a file is harmless.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch

from core.errors import BadCheckpoint, BadRequest, HeadNotFound, UnsafeCheckpoint

# Operators that reach files or other machines, as whole words anywhere in the code (2,276 operators looked through).
DOORS = re.compile(r"\b(save|from_file|load_tensor|rpc_async|rpc_sync|rpc_remote)\b")
# Operators and classes outside of torch's own arithmetic, by where they come from.
NAMESPACES = re.compile(r"(?:(?<![.\w])ops|\btorch\s*\.\s*classes)\s*\.\s*(\w+)")
ALLOWED_NAMESPACES = frozenset({"aten", "prim", "prims", "quantized", "_quantized", "torchvision"})


def load(file: Path) -> torch.jit.ScriptModule:
    """Load onto the CPU, in evaluation mode, in float32. Raises `UnsafeCheckpoint`, `BadCheckpoint`."""
    _check_harmless(file)
    try:
        module = torch.jit.load(str(file), map_location="cpu")
    except (RuntimeError, ValueError, OSError) as error:
        raise BadCheckpoint(
            f"{file.name} cannot be read as TorchScript; it is damaged or of another version.",
            next_step="Save it again with torch.jit.script(model).save('model.pt').",
        ) from error
    module.eval().float()
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    return module


def _check_harmless(file: Path) -> None:
    try:
        # torch's own reader, which loads it: others may take other parts of an archive for the same
        archive = torch._C.PyTorchFileReader(str(file))
        names = [name for name in archive.get_all_records() if _holds_code(name)]
        sources = [archive.get_record(name).decode("utf-8", "replace") for name in names]
    except (RuntimeError, ValueError, OSError) as error:
        said = str(error).splitlines() or [""]
        raise BadCheckpoint(f"{file.name} is damaged ({said[0][:160]}).", next_step="Copy or save it again.") from error
    for text in sources:
        found = [*DOORS.findall(text), *(set(NAMESPACES.findall(text)) - ALLOWED_NAMESPACES)]
        if found:
            raise UnsafeCheckpoint(
                f"The code inside {file.name} uses {found[0]!r}, which can reach beyond the network itself, so it was "
                "not loaded.",
                next_step="Save its weights only, with torch.save(model.state_dict(), ...), and name the architecture.",
            )


def _holds_code(name: str) -> bool:
    """Whether code may be read from this part of the archive. Names are looked up without minding capitals."""
    lowered = name.casefold()
    # where each line came from, for messages: is not run, and holds whole functions as people wrote them
    return lowered.endswith(".py") or (lowered.startswith("code/") and not lowered.endswith(".debug_pkl"))


def only_logits(module: torch.jit.ScriptModule, file: Path) -> Callable[[torch.Tensor], torch.Tensor]:
    """The module, which has to return one tensor: of what it returns besides, compiled code cannot be rid. Raises
    `HeadNotFound` when it is called otherwise."""

    def run(images: torch.Tensor) -> torch.Tensor:
        found = module(images)
        if isinstance(found, torch.Tensor):
            return found
        parts = ", ".join(found) if isinstance(found, dict) else ""
        kind = f"a dict ({parts[:120]})" if isinstance(found, dict) else f"a {type(found).__name__}"
        if isinstance(found, (tuple, list)):
            kind = f"a {'tuple' if isinstance(found, tuple) else 'list'} of {len(found)}"
        raise HeadNotFound(
            f"{file.name} returns {kind}, and TorchScript can only be parted where it returns its logits alone.",
            next_step="Put the network into a module whose forward returns the logits and nothing else, and save that "
            "with torch.jit.script or torch.jit.trace; torch.export and ONNX may return several things.",
        )

    return run


def part(
    file: Path, probe: torch.Tensor, logits: torch.Tensor, tolerance: float
) -> tuple[str, np.ndarray, np.ndarray, torch.jit.ScriptModule]:
    """Find the last linear layer by trying: (name of its weight, weight (k, d), bias (k,), module giving features).

    probe: (b, 3, h, w). logits: (b, k), the module's own for the probe. Raises `HeadNotFound`.
    """
    k = int(logits.shape[1])
    module = load(file)
    candidates = [name for name, value in module.named_parameters() if value.ndim == 2 and value.shape[0] == k]
    # the last layer usually comes last
    for name in reversed(candidates):
        module = load(file)
        values = dict(module.named_parameters())
        weight = values[name].detach().clone()
        bias_name = _bias_of(name, values, k)
        bias = values[bias_name].detach().clone() if bias_name else torch.zeros(k)
        values[name].data = torch.eye(weight.shape[1])
        if bias_name:
            values[bias_name].data = torch.zeros(weight.shape[1])
        try:
            with torch.inference_mode():
                features = module(probe)
        except RuntimeError:
            # its result is used in a way that needs k columns: not the last layer
            continue
        if features.shape == (len(probe), weight.shape[1]) and close(
            torch.nn.functional.linear(features, weight, bias), logits, tolerance
        ):
            return name, weight.numpy(), bias.numpy(), module
    raise HeadNotFound(
        f"No layer of {file.name} gives its {k} logits as a linear function of features"
        + ("." if candidates else f" (no weight in it has {k} rows; freezing removes them)."),
        next_step="Save the network without freezing it, and without softmax, sigmoid or anything else after its last "
        "layer.",
    )


def with_head(file: Path, name: str, weight: torch.Tensor, bias: torch.Tensor) -> torch.jit.ScriptModule:
    """The module with another last layer. name: of its weight. Raises `BadRequest` when it has no place for a bias."""
    module = load(file)
    values = dict(module.named_parameters())
    bias_name = _bias_of(name, values, len(bias))
    values[name].data = weight
    if bias_name:
        values[bias_name].data = bias
    elif bool(bias.any()):
        raise BadRequest(
            f"The last layer of {file.name} has no bias, and TorchScript cannot be given one.",
            next_step="Load the model as a state dict with its architecture instead.",
        )
    return module


def close(first: torch.Tensor, second: torch.Tensor, tolerance: float) -> bool:
    """Equal up to `tolerance` times the largest value (untrained networks may have logits of 1e-10)."""
    return first.shape == second.shape and bool((first - second).abs().max() <= tolerance * second.abs().max())


def _bias_of(name: str, values: Mapping[str, torch.Tensor], k: int) -> str | None:
    """Name of the bias that belongs to this weight: beside it, with k numbers."""
    beside = name.removesuffix("weight") + "bias"
    return beside if name.endswith("weight") and beside in values and values[beside].shape == (k,) else None
