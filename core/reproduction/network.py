"""The network of the experiment: three convolutions, everything they see, 64 features, three logits.

It does not average over the picture, so that where a shape is can be learnt as easily as which one it is. The small
network of the demo averages: for it a place is hard to see, and the sweep would show nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from core.classifiers.learner import Learner, own_randomness
from core.classifiers.preprocessing import Preprocessing
from core.files import replacing

INPUT = Preprocessing(resize=None, crop=64, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
FEATURES = 64
BATCH = 128
LEARNING_RATE = 1e-3
_AT_ONCE = 500


class SpriteNetwork(nn.Module):
    """Input (b, 3, 64, 64) float32. Returns logits (b, 3); `features` gives what the last layer sees, (b, 64)."""

    def __init__(self) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            *_halving(3, 32, 5),
            *_halving(32, 64, 3),
            *_halving(64, 64, 3),
        )
        self.hidden = nn.Sequential(nn.Flatten(), nn.Linear(64 * 8 * 8, FEATURES), nn.ReLU())
        self.head = nn.Linear(FEATURES, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(images))

    def features(self, images: torch.Tensor) -> torch.Tensor:
        return self.hidden(self.convolutions(images))


def _halving(inputs: int, outputs: int, size: int) -> tuple[nn.Module, ...]:
    convolution = nn.Conv2d(inputs, outputs, size, stride=2, padding=size // 2, bias=False)
    return convolution, nn.BatchNorm2d(outputs), nn.ReLU()


def trained(
    pictures: np.ndarray, labels: np.ndarray, *, epochs: int, seed: int, progress: Callable[[int], None]
) -> SpriteNetwork:
    """pictures: (n, 64, 64) uint8. labels: (n,) int64. progress: is told how many images were seen so far.

    Nothing is mirrored or shifted, which would move a shape to another place. The same seed gives the same network on
    one machine.
    """
    batches = max(1, len(pictures) // BATCH)
    size = min(BATCH, len(pictures))
    with own_randomness(seed):
        network = SpriteNetwork()
        learner = Learner(network, INPUT, learning_rate=LEARNING_RATE, steps=epochs * batches)
        rng = np.random.default_rng([seed, 2])
        for epoch in range(epochs):
            order = rng.permutation(len(pictures))
            for batch in range(batches):
                chosen = order[batch * size : (batch + 1) * size]
                learner.step(coloured(pictures[chosen]), labels[chosen])
                progress((epoch * batches + batch + 1) * size)
    return network.cpu().eval()


def asked(network: SpriteNetwork, pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """pictures: (n, 64, 64) uint8. Returns features (n, 64) and logits (n, 3), float32."""
    features, logits = [], []
    with torch.inference_mode():
        for start in range(0, len(pictures), _AT_ONCE):
            batch = INPUT.normalise(coloured(pictures[start : start + _AT_ONCE]))
            features.append(network.features(torch.from_numpy(batch).permute(0, 3, 1, 2)))
            logits.append(network.head(features[-1]))
    return torch.cat(features).numpy(), torch.cat(logits).numpy()


def write(network: SpriteNetwork, path: Path) -> None:
    """As TorchScript, which `analyse` opens without being told the architecture."""
    script = torch.jit.trace(network, torch.zeros(2, 3, INPUT.crop, INPUT.crop))
    with replacing(path) as beside:
        script.save(str(beside))


def coloured(pictures: np.ndarray) -> np.ndarray:
    """(n, h, w) -> (n, h, w, 3), a view: networks that people bring see three colours."""
    return np.broadcast_to(pictures[..., None], (*pictures.shape, 3))
