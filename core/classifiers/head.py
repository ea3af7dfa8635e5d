"""The last linear layer of a classifier: penultimate features in, logits out. No torch needed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from core.errors import BadCheckpoint, PathNotFound
from core.files import replacing


@dataclass(frozen=True, eq=False)
class Head:
    """weight: (k, d) float32. bias: (k,) float32. Row c gives the logit of class c."""

    weight: np.ndarray
    bias: np.ndarray

    def __post_init__(self) -> None:
        if self.weight.ndim != 2 or self.bias.shape != self.weight.shape[:1]:
            raise ValueError(f"a head needs (k, d) and (k,), got {self.weight.shape} and {self.bias.shape}")

    @property
    def k(self) -> int:
        return int(self.weight.shape[0])

    @property
    def d(self) -> int:
        return int(self.weight.shape[1])

    def logits(self, features: np.ndarray) -> np.ndarray:
        """features: (n, d). Returns (n, k) float32: features W^T + b."""
        return np.asarray(features, dtype=np.float32) @ self.weight.T + self.bias

    def save(self, path: Path) -> None:
        """Write `weight` and `bias` as safetensors, whole or not at all."""
        tensors = {
            "weight": np.ascontiguousarray(self.weight, dtype=np.float32),
            "bias": np.ascontiguousarray(self.bias, dtype=np.float32),
        }
        with replacing(path) as beside:
            save_file(tensors, beside)


def load_head(path: Path) -> Head:
    """Read what `Head.save` wrote. Raises `PathNotFound` or `BadCheckpoint`."""
    if not path.is_file():
        raise PathNotFound(f"There is no head at {path}.", next_step="Retrain, or analyse the model again.")
    try:
        tensors = load_file(path)
        return Head(weight=tensors["weight"], bias=tensors["bias"])
    except (SafetensorError, KeyError, ValueError) as error:
        raise BadCheckpoint(
            f"{path.name} does not hold a head ({error}).", next_step="Retrain, or analyse the model again."
        ) from error
