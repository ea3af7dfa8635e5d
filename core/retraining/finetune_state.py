"""How far a training is, on disk: a killed one goes on where its last note was taken, to the same weights.

<folder>/state.safetensors     weights and optimiser, what comes with them as JSON in its header
<folder>/best-<epoch>.safetensors   the weights of the best epoch so far
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open

from core.files import replacing

if TYPE_CHECKING:
    import torch

STATE = "state.safetensors"
_HEADER = "midband"


@dataclass
class Standing:
    """What is known after `done` steps.

    work: digest of what is being trained on what; another one's notes are worthless here. loss_sum, right, seen: of
    the epoch begun. history: one entry per epoch that ended, the first (epoch 0) before any step. best_epoch: of the
    best weights. stale: epochs since. ended: no step is to follow.
    """

    work: str
    done: int
    loss_sum: float
    right: int
    seen: int
    history: list[dict[str, Any]]
    best_epoch: int
    stale: int
    ended: bool


def write_state(folder: Path, standing: Standing, tensors: dict[str, torch.Tensor]) -> None:
    """Replace the last note by this one; then the weights of epochs that are not the best any more go."""
    _write(folder / STATE, tensors, json.dumps(asdict(standing)))
    for old in folder.glob("best-*.safetensors"):
        if old != _best(folder, standing.best_epoch):
            old.unlink(missing_ok=True)


def write_best(folder: Path, epoch: int, tensors: dict[str, torch.Tensor]) -> None:
    """To be followed by a `write_state` that names this epoch."""
    _write(_best(folder, epoch), tensors, "")


def read_state(folder: Path, work: str) -> tuple[Standing, dict[str, torch.Tensor]] | None:
    """The last note of this very work; None where there is none that can be read."""
    with suppress(OSError, SafetensorError, ValueError, KeyError, TypeError):
        tensors, header = _read(folder / STATE)
        standing = Standing(**json.loads(header))
        if standing.work == work and _best(folder, standing.best_epoch).is_file():
            return standing, tensors
    return None


def read_best(folder: Path, epoch: int) -> dict[str, torch.Tensor]:
    return _read(_best(folder, epoch))[0]


def _best(folder: Path, epoch: int) -> Path:
    return folder / f"best-{epoch}.safetensors"


def _write(path: Path, tensors: dict[str, torch.Tensor], header: str) -> None:
    import torch
    from safetensors.torch import save_file

    # copies: safetensors keeps only C-ordered tensors that share no memory
    whole = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()
    }
    with replacing(path) as beside:
        save_file(whole, beside, metadata={_HEADER: header})


def _read(path: Path) -> tuple[dict[str, torch.Tensor], str]:
    with safe_open(path, framework="pt") as source:
        return {name: source.get_tensor(name) for name in source.keys()}, (source.metadata() or {})[_HEADER]  # noqa: SIM118
