"""The numbers a network computes with: float32, or bfloat16 where the machine multiplies those natively.

bfloat16 keeps float32's range and 8 of its 24 bits of precision. Processors with instructions for it (AVX512-BF16, AMX)
and graphics cards run networks two to four times faster so. Whether a network tolerates it is measured, not assumed:
see `Parity`. Features and logits are float32 again when they leave the network, and the last layer is always applied in
float32.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from core.classifiers.classifier import Classifier
from core.classifiers.preprocessing import Preprocessing
from core.errors import BadRequest

FP32, BF16, AUTO = "fp32", "bf16", "auto"
PRECISIONS = (AUTO, FP32, BF16)
NAMES = {FP32: "float32", BF16: "bfloat16"}

# what a network in bfloat16 has to reach against itself in float32
CORRELATION, AGREEMENT = 0.999, 0.995
# images from which that says something: of one, all that differs between images is nothing
LEAST_COMPARED = 16
# batches computed at the same time, at most: each needs memory of its own
MOST_STREAMS = 8
# floating-point operations, per image and in all, from which bfloat16 is tried by itself. Below, decoding takes most of
# the time, or the pass seconds.
WORTH_AN_IMAGE, WORTH_A_PASS = 1e8, 2e12


@dataclass(frozen=True)
class Parity:
    """How a network in bfloat16 compares with itself in float32.

    images: how many were compared. correlation: of the logits, after each class's mean over these images is taken off:
    what all images share would make any two networks look alike. agreement: share of images whose largest logit is
    the same. Fewer than `LEAST_COMPARED` images tell nothing, so for them it does not hold.
    """

    images: int
    correlation: float
    agreement: float

    @property
    def holds(self) -> bool:
        enough = self.images >= LEAST_COMPARED
        return enough and self.correlation >= CORRELATION and self.agreement >= AGREEMENT

    def __str__(self) -> str:
        return (
            f"on {self.images} images its logits correlate to {self.correlation:.5f} with those of float32, and "
            f"{self.agreement:.1%} of the predictions are the same"
        )


def parity(exact: np.ndarray, rounded: np.ndarray) -> Parity:
    """exact, rounded: logits (m, k) in float32 and in bfloat16."""
    a, b = (np.asarray(logits, dtype=np.float64) for logits in (exact, rounded))
    same = float((a.argmax(axis=1) == b.argmax(axis=1)).mean())
    if not np.isfinite(b).all():
        return Parity(len(a), 0.0, same)
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    size = math.sqrt(float((a * a).sum()) * float((b * b).sum()))
    # logits that are the same for all images have no correlation; they agree if both say so
    correlation = float((a * b).sum()) / size if size else float(np.array_equal(a, b))
    return Parity(len(a), correlation, same)


@dataclass(frozen=True, eq=False)
class Runner:
    """A classifier ready to run on this machine. Threads may share it.

    classifier: computes in `precision` on `device`. streams: batches that are worth computing at the same time, each in
    a thread of its own that is `threads` wide.
    """

    classifier: Classifier
    precision: str
    device: torch.device
    streams: int
    threads: int

    def __call__(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """pixels: (b, h, w, c) uint8, as `Preprocessing.pixels` gives them. Returns features (b, d) and logits (b, k),
        float32. A batch that memory is too small for is computed in halves."""
        # channels-last memory as it is: convolutions like it best
        batch = torch.from_numpy(self.classifier.preprocessing.normalise(pixels)).permute(0, 3, 1, 2)
        try:
            features, logits = self.classifier(batch)
        except RuntimeError as error:
            if len(pixels) == 1 or not _out_of_memory(error):
                raise
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
            halves = [self(part) for part in np.array_split(pixels, 2)]
            return np.concatenate([f for f, _ in halves]), np.concatenate([z for _, z in halves])
        return features.numpy(), logits.numpy()

    def limit_threads(self) -> None:
        """To be called first in each thread that runs a stream: threads that share a batch wait for each other after
        each layer, which on a few cores that decode images as well costs more than a batch per thread."""
        if self.device.type == "cpu":
            torch.set_num_threads(self.threads)


def device_for(classifier: Classifier) -> torch.device:
    """Where it runs: a graphics card that works, else the processor."""
    for kind, there in (("cuda", torch.cuda.is_available), ("mps", torch.backends.mps.is_available)):
        if kind in classifier.runs_on and there():
            try:
                found = torch.device(kind)
                torch.ones(1, device=found).add_(1).cpu()
            except RuntimeError:
                # a driver of another version, a card that is taken: not worth failing for
                continue
            return found
    return torch.device("cpu")


def has_native_bf16(where: torch.device) -> bool:
    """Whether bfloat16 makes networks faster there."""
    if where.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if where.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    able = torch.cpu.get_capabilities()
    return bool(able.get("avx512_bf16") or able.get("amx_bf16"))


def why_not_bf16(classifier: Classifier, images: int) -> str:
    """Why bfloat16 is not worth trying for so many images, a sentence; empty where it is."""
    if classifier.network() is None:
        return f"{classifier.name} runs as it came ({classifier.arch}), in its own precision."
    if not has_native_bf16(device_for(classifier)):
        return "This machine has no instructions for bfloat16."
    work = _operations(classifier)
    if work < WORTH_AN_IMAGE or work * images < WORTH_A_PASS:
        return "There is too little to compute for bfloat16 to be worth it."
    return ""


def check_precision(name: str) -> str:
    """The name itself if it is one. Raises `BadRequest`."""
    if name not in PRECISIONS:
        raise BadRequest(f"There is no precision called {name!r}.", next_step=f"Choose one of {', '.join(PRECISIONS)}.")
    return name


def runner(classifier: Classifier, precision: str) -> Runner:
    """precision: `FP32` or `BF16`. Raises `BadRequest` for a network that cannot be computed so."""
    where = device_for(classifier)
    network = classifier.network()
    if network is None or (where.type == "cpu" and precision == FP32):
        if precision != FP32:
            raise BadRequest(
                f"{classifier.name} runs as it came ({classifier.arch}), in its own precision.",
                next_step="Leave the precision out, or choose fp32.",
            )
        where = torch.device("cpu")
        inner = classifier
    else:
        inner = replace(classifier, backbone=_cast(classifier, network, where, precision))
    wide = torch.get_num_threads()
    streams = 2 if where.type != "cpu" else min(wide, MOST_STREAMS) if network is not None else 1
    return Runner(inner, precision, where, streams=streams, threads=max(1, wide // streams))


class _Cast:
    """A network on another device or in another precision: float32 on the processor in and out."""

    def __init__(self, module: Any, where: torch.device, kind: torch.dtype) -> None:
        self._module, self._where, self._kind = module, where, kind

    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        # the tensor cores of a graphics card would round float32 to ten bits otherwise
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            found: torch.Tensor = self._module(batch.to(self._where, self._kind))
        return found.float().cpu()

    def prepared(self, chosen: Preprocessing) -> _Cast:
        """For a program, which knows how its images were prepared; see `with_preprocessing`."""
        return _Cast(self._module.prepared(chosen), self._where, self._kind)


def _cast(classifier: Classifier, network: nn.Module, where: torch.device, precision: str) -> _Cast:
    """The backbone on another device or in another precision."""
    kind = torch.bfloat16 if precision == BF16 else torch.float32
    try:
        module = copy.deepcopy(network).eval().to(where, kind, memory_format=torch.channels_last)  # type: ignore[call-overload]
        side = classifier.preprocessing.crop
        run = _Cast(module, where, kind)
        with torch.inference_mode():
            run(torch.zeros(1, classifier.preprocessing.channels, side, side))
    except (RuntimeError, TypeError, NotImplementedError) as error:
        cause = [line for line in str(error).splitlines() if line.strip()][-1:]
        raise BadRequest(
            f"{classifier.name} cannot be computed in {NAMES[precision]} on this machine ({''.join(cause).strip()}).",
            next_step="Choose fp32."
            if precision == BF16
            else "Hide the graphics card (CUDA_VISIBLE_DEVICES=''), then try again.",
        ) from error
    return run


def _out_of_memory(error: RuntimeError) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def _operations(classifier: Classifier) -> float:
    """Floating-point operations for one image, those of convolutions and matrices; infinite where nobody can say."""
    from torch.utils.flop_counter import FlopCounterMode

    side = classifier.preprocessing.crop
    try:
        with torch.inference_mode(), FlopCounterMode(display=False) as counter:
            classifier(torch.zeros(1, classifier.preprocessing.channels, side, side))
    except RuntimeError:
        return math.inf
    return float(counter.get_total_flops()) or math.inf
