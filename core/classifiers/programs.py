"""What models that bring their own network have in common: what they take, and how they are tried.

Their graphs are made for certain inputs: another layout, another number type, batches of one size only. `Takes` says
which, and makes such inputs of the batches that every other network gets.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch

from core.classifiers import torchscript
from core.classifiers.preprocessing import Preprocessing, imagenet, squeezed
from core.errors import BadRequest, BadWeights, HeadNotFound

# Largest difference between features @ W.T + b and the model's own logits, relative to their size.
TOLERANCE = 1e-4
# the same for a model whose numbers have three digits
HALF_TOLERANCE = 2e-2
# pixels of an input's side that no classifier of photographs has
LARGEST_SIDE = 4096
# below this, a model sees the whole image squeezed; from here on, the middle of it, as is usual with photographs
CROPPED_FROM = 128

Run = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Takes:
    """The input of a model. channels: 3, or 1 for grey images. last: channels come last. dtype: of its numbers.
    batch: images at once, None for any number. side: pixels of both sides, None for any size."""

    channels: int = 3
    last: bool = False
    dtype: torch.dtype = torch.float32
    batch: int | None = None
    side: int | None = None

    @property
    def whole_numbers(self) -> bool:
        """Whether it takes the pixels themselves, 0..255, and normalises on its own."""
        return not self.dtype.is_floating_point

    def preprocessing(self) -> Preprocessing:
        """What images like these usually go through, for a model that does not say: a proposal."""
        side = self.side or 224
        chosen = imagenet("resnet18") if side == 224 else squeezed(side)
        if side != 224 and side >= CROPPED_FROM:
            chosen = Preprocessing(resize=round(side * 256 / 224), crop=side)
        values = {field.name: getattr(chosen, field.name) for field in fields(chosen)}
        if self.whole_numbers:
            values |= {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
        if self.channels == 1:
            values["colour"] = "grey"
        return Preprocessing(**values)

    def check(self, name: str, chosen: Preprocessing) -> None:
        """Raise `BadRequest` where these images cannot go in."""
        if self.side is not None and chosen.crop != self.side:
            raise BadRequest(
                f"{name} takes images of {self.side} x {self.side} pixels only, not of {chosen.crop} x {chosen.crop}.",
                next_step=f"Make the input {self.side} pixels wide and high.",
            )
        if (self.channels == 1) != (chosen.colour == "grey"):
            wanted, given = ("grey", "in colour") if self.channels == 1 else ("in colour", "grey")
            raise BadRequest(
                f"{name} takes images {wanted}, not {given}.",
                next_step=f"Set the colour of the input to {'grey' if self.channels == 1 else 'rgb or bgr'}.",
            )

    def words(self) -> str:
        """What goes in, for whoever runs the model elsewhere."""
        side = "side" if self.side is None else str(self.side)
        places = [side, side]
        shape = [*places, str(self.channels)] if self.last else [str(self.channels), *places]
        numbers = "whole numbers from 0 to 255" if self.whole_numbers else "normalised"
        batch = "b" if self.batch is None else str(self.batch)
        return f"({', '.join([batch, *shape])}) {str(self.dtype).removeprefix('torch.')}, {numbers}"

    def open_ended(self) -> Takes:
        """The same for batches of any size: what is not written into the graph, though it was exported for a few."""
        return replace(self, batch=None)

    def inputs(self, batch: torch.Tensor, chosen: Preprocessing) -> torch.Tensor:
        """batch: (b, c, h, w) float, normalised as `chosen` says. Returns what the model takes, floats as they came."""
        if self.whole_numbers:
            scale, shift = (
                torch.from_numpy(np.asarray(values, dtype=np.float32)).to(batch.device)[:, None, None]
                for values in chosen.affine()
            )
            batch = ((batch + shift) / scale).round().clamp(0, 255)
        if self.last:
            batch = batch.permute(0, 2, 3, 1)
        return batch.to(self.dtype) if self.whole_numbers else batch


def takes_of(sizes: list[int | None], dtype: torch.dtype, file: Path) -> Takes:
    """What an input of these sizes takes; None stands for any size. Raises `BadRequest` for what is no image here."""
    first, last = sizes[1], sizes[3]
    is_last = first not in (1, 3) and last in (1, 3)
    channels, high, wide = (last, sizes[1], sizes[2]) if is_last else (first, sizes[2], sizes[3])
    if channels not in (1, 3, None):
        raise BadRequest(
            f"{file.name} takes images of {channels} channels; there are 3 in photographs, or 1 in grey ones.",
            next_step="Load a model of images in colour or grey.",
        )
    known = [side for side in (high, wide) if side is not None]
    if len(set(known)) > 1:
        raise BadRequest(
            f"{file.name} takes images of {wide} x {high} pixels; here they are square.",
            next_step="Export the network for square images.",
        )
    if known and not 0 < known[0] <= LARGEST_SIDE:
        raise BadRequest(
            f"{file.name} takes images of {known[0]} pixels in width.",
            next_step="Load a model of images of usual size.",
        )
    return Takes(channels=channels or 3, last=is_last, dtype=dtype, batch=sizes[0], side=known[0] if known else None)


def in_batches(run: Run, size: int | None) -> Run:
    """`run` for any number of images, where it takes `size` at a time: the last batch is filled up with its last
    image."""
    if size is None:
        return run

    def whole(batch: torch.Tensor) -> torch.Tensor:
        count = len(batch)
        parts = []
        for start in range(0, count, size):
            part = batch[start : start + size]
            if len(part) < size:
                part = torch.cat([part, part[-1:].expand(size - len(part), *part.shape[1:])])
            parts.append(run(part.contiguous()))
        return torch.cat(parts)[:count]

    return whole


def probe(chosen: Preprocessing, channels: int) -> torch.Tensor:
    """Three images of noise as pixels are, normalised, (3, channels, crop, crop): enough to tell one function from
    another."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, size=(3, chosen.crop, chosen.crop, channels), dtype=np.uint8)
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(chosen.normalise(pixels), -1, 1)))


def check_parts(
    name: str, features: torch.Tensor, logits: torch.Tensor, weight: np.ndarray, bias: np.ndarray, *, half: bool
) -> None:
    """Raise unless features @ W.T + b are the logits. features: (b, d). logits: (b, k), the model's own before any
    softmax. Raises `HeadNotFound`, `BadWeights`."""
    if not bool(torch.isfinite(logits).all()):
        raise BadWeights(
            f"The weights of {name} are finite, but so large that its logits are not.",
            next_step="The training that wrote this file diverged: use an earlier checkpoint.",
        )
    parted = torch.nn.functional.linear(features, torch.from_numpy(weight), torch.from_numpy(bias))
    if not torchscript.close(parted, logits, HALF_TOLERANCE if half else TOLERANCE):
        apart = float((parted - logits).abs().max()) if parted.shape == logits.shape else float("nan")
        raise HeadNotFound(
            f"The logits of {name} are not those of its last linear layer (they differ by {apart:.3g}, and are at most "
            f"{float(logits.abs().max()):.3g}).",
            next_step="Use a network whose output is its last linear layer's.",
        )


def check_alone(name: str, together: torch.Tensor, alone: torch.Tensor, *, half: bool) -> None:
    """Raise `BadRequest` unless an image gives the same alone as among others. together, alone: (b, d)."""
    if not torchscript.close(alone, together[: len(alone)], HALF_TOLERANCE if half else 10 * TOLERANCE):
        raise BadRequest(
            f"{name} gives other numbers for an image when other images are beside it, or at random: it was exported "
            "while training.",
            next_step="Put the network in evaluation mode (model.eval()), export it again and load that.",
            title="This model is still training",
        )


def stripped(names: list[str], file: Path) -> tuple[str, ...]:
    """A note that what followed the last layer was left out. names: of the operators, in the order of the graph."""
    if not names:
        return ()
    return (
        f"{file.name} ends in a {' and a '.join(names)}; it was left out, so that logits are compared, which have no "
        "bounds. The class that wins is the same.",
    )


def stripped_still(names: list[str]) -> tuple[str, ...]:
    """A note for a file that is written as it came: what was left out here is in there. names: as for `stripped`."""
    if not names:
        return ()
    return (f"As the file it came from, it ends in a {' and a '.join(names)}: what it gives are no logits.",)
