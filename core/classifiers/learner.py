"""How networks are trained here, whoever trains them: 8-bit pixels in, steps of AdamW, logits out.

On a GPU where there is one, in mixed precision there (bfloat16, or float16 with scaled losses on older ones), in
float32 on a CPU. Logits to keep are computed in float32 everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from torch import nn

from core.classifiers.architectures import channels_last
from core.classifiers.preprocessing import Preprocessing
from core.errors import BadRequest

WEIGHT_DECAY = 1e-2
# Share of the steps in which the learning rate rises, before it falls along a cosine to zero.
WARMUP = 0.15
# Augmentation: mirrored half of the time, shifted by up to this share of the side.
SHIFT = 1 / 16
# Gradients longer than this are shortened to it: one odd batch must not undo an epoch.
LONGEST_GRADIENT = 5.0
# pixels the network sees at once where nothing is learnt: 64 images of 128 x 128
PIXELS_AT_ONCE = 64 * 128 * 128

_NETWORK, _OPTIMIZER, _SCALER = "network.", "optimizer.", "scaler."


class Learner:
    """A network while it learns: one `step` after the other, or from where `load` puts it.

    steps: how many there will be, which the learning rate follows. trained: names of the parameters that change, all
    of them when None; the modules of the others stay as they are, statistics of their normalisation included.
    statistics: whether normalisation follows the batches; otherwise it keeps what it measured before, which small
    batches of balanced groups would bend. The network is moved to the device and changed in place.
    """

    def __init__(
        self,
        network: nn.Module,
        preprocessing: Preprocessing,
        *,
        learning_rate: float,
        steps: int,
        weight_decay: float = WEIGHT_DECAY,
        trained: Collection[str] | None = None,
        statistics: bool = True,
        device: torch.device | None = None,
        precision: torch.dtype | None = None,
    ) -> None:
        self.device = device or best_device()
        self.precision = precision or mixed_precision(self.device)
        self.network = channels_last(network.to(self.device))
        self.steps, self.done = steps, 0
        self._learning_rate, self._statistics = learning_rate, statistics
        for name, parameter in self.network.named_parameters():
            parameter.requires_grad_(trained is None or name in trained)
        self._parameters = {name: p for name, p in self.network.named_parameters() if p.requires_grad}
        self._optimizer = torch.optim.AdamW(
            _parameter_groups(self._parameters.values(), weight_decay), lr=learning_rate, fused=True
        )
        self._scaler = torch.amp.GradScaler(self.device.type, enabled=self.precision is torch.float16)
        scale, shift = preprocessing.affine()
        self._scale, self._shift = (torch.from_numpy(part).to(self.device) for part in (scale, shift))
        self._learning: bool | None = None

    def step(self, pixels: np.ndarray, labels: np.ndarray) -> tuple[float, int]:
        """Learn from one batch: (b, s, s, 3) uint8, (b,) int64. Returns its mean loss and how many were right before.

        Raises `BadRequest` when the loss is not a number any more.
        """
        self._mode(learning=True)
        for group in self._optimizer.param_groups:
            group["lr"] = self._learning_rate * warm_cosine(self.done, self.steps)
        inputs, targets = self._inputs(pixels), torch.from_numpy(labels).to(self.device)
        with torch.autocast(self.device.type, dtype=self.precision, enabled=self.precision is not None):
            logits = self.network(inputs)
        loss = nn.functional.cross_entropy(logits.float(), targets)
        self._optimizer.zero_grad(set_to_none=True)
        self._scaler.scale(loss).backward()
        self._scaler.unscale_(self._optimizer)
        nn.utils.clip_grad_norm_(self._parameters.values(), LONGEST_GRADIENT)
        self._scaler.step(self._optimizer)
        self._scaler.update()
        self.done += 1
        found = float(loss.detach())
        _check_finite(found)
        return found, int((logits.detach().argmax(1) == targets).sum())

    def logits(self, pixels: np.ndarray) -> np.ndarray:
        """(b, s, s, 3) uint8 -> (b, k) float32, in float32 whatever the training uses."""
        self._mode(learning=False)
        size = max(1, PIXELS_AT_ONCE // (pixels.shape[1] * pixels.shape[2]))
        # the tensor cores of a GPU would round to ten bits otherwise
        with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            found = [
                self.network(self._inputs(pixels[start : start + size])).float().cpu()
                for start in range(0, len(pixels), size)
            ]
        return torch.cat(found).numpy()

    def state(self) -> dict[str, torch.Tensor]:
        """Everything that the steps to come depend on but for `done`, as tensors by name."""
        tensors = {_NETWORK + name: tensor for name, tensor in self.network.state_dict().items()}
        for name, parameter in self._parameters.items():
            for key, value in self._optimizer.state.get(parameter, {}).items():
                tensors[f"{_OPTIMIZER}{key}.{name}"] = torch.as_tensor(value)
        scaling = self._scaler.state_dict()
        if scaling:
            tensors[_SCALER + "scale"] = torch.tensor(scaling["scale"])
            tensors[_SCALER + "tracker"] = torch.tensor(scaling["_growth_tracker"])
        return tensors

    def load(self, state: Mapping[str, torch.Tensor], done: int) -> None:
        """Go on where `state` was taken after `done` steps. Raises `KeyError`, `ValueError` or `RuntimeError` for the
        state of another network."""
        self.network.load_state_dict(
            {name.removeprefix(_NETWORK): value for name, value in state.items() if name.startswith(_NETWORK)}
        )
        self._optimizer.state.clear()
        for full, value in state.items():
            if full.startswith(_OPTIMIZER):
                key, name = full.removeprefix(_OPTIMIZER).split(".", 1)
                parameter = self._parameters[name]
                # moments lie in memory as their parameter does, or the fused optimiser takes one for another
                like = torch.empty_like(parameter, requires_grad=False) if value.ndim else torch.empty_like(value)
                if like.shape != value.shape:
                    raise ValueError(f"{name} is of another shape")
                self._optimizer.state[parameter][key] = like.to(self.device).copy_(value)
        if _SCALER + "scale" in state and self._scaler.is_enabled():
            scaling = self._scaler.state_dict()
            scaling["scale"] = float(state[_SCALER + "scale"])
            scaling["_growth_tracker"] = int(state[_SCALER + "tracker"])
            self._scaler.load_state_dict(scaling)
        self.done = done

    def _inputs(self, pixels: np.ndarray) -> torch.Tensor:
        """A (b, 3, h, w) view of channels-last memory, normalised: what convolutions like best."""
        batch = torch.from_numpy(np.ascontiguousarray(pixels)).to(self.device)
        return batch.float().mul_(self._scale).sub_(self._shift).permute(0, 3, 1, 2)

    def _mode(self, *, learning: bool) -> None:
        if learning == self._learning:
            return
        self._learning = learning
        self.network.train(learning)
        if not learning:
            return
        for module in self.network.modules():
            own = list(module.parameters(recurse=False))
            still = bool(own) and not any(parameter.requires_grad for parameter in own)
            if still or (not self._statistics and isinstance(module, nn.modules.batchnorm._BatchNorm)):
                module.eval()


def best_device() -> torch.device:
    """A GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def mixed_precision(device: torch.device) -> torch.dtype | None:
    """What a GPU computes with while learning, None for float32: on a CPU nothing else is both faster and safe."""
    if device.type != "cuda":
        return None
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16


@contextmanager
def own_randomness(seed: int) -> Iterator[None]:
    """Initial weights and dropout follow the seed; the caller's random state is left as it was."""
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


def augment(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Mirror half of the images and shift each a little, repeating its border. (b, s, s, 3) uint8, in and out."""
    side = pixels.shape[1]
    margin = max(1, round(side * SHIFT))
    padded = np.pad(pixels, ((0, 0), (margin, margin), (margin, margin), (0, 0)), mode="edge")
    windows = sliding_window_view(padded, (side, side), axis=(1, 2))  # (b, 2m+1, 2m+1, 3, s, s)
    down, right = rng.integers(0, 2 * margin + 1, size=(2, len(pixels)))
    shifted = windows[np.arange(len(pixels)), down, right].transpose(0, 2, 3, 1)
    mirrored = rng.random(len(pixels)) < 0.5
    shifted[mirrored] = shifted[mirrored][:, :, ::-1]
    return shifted


def warm_cosine(step: int, steps: int) -> float:
    """Factor of the learning rate at this step: up in a line, down along a cosine."""
    warm = max(1, round(steps * WARMUP))
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def _parameter_groups(parameters: Collection[nn.Parameter], weight_decay: float) -> list[dict[str, Any]]:
    """Decay pulls weight matrices and filters towards zero; biases and normalisation are left alone."""
    decayed = [parameter for parameter in parameters if parameter.ndim > 1]
    others = [parameter for parameter in parameters if parameter.ndim <= 1]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]


def _check_finite(loss: float) -> None:
    if not math.isfinite(loss):
        raise BadRequest(
            "The training diverged: its loss is not a number any more.",
            next_step="Try a lower learning rate, another seed, or the small network.",
        )
