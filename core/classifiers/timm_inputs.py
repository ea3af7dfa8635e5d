"""How timm prepares an image, read out of a `config.json`. Works without torch and timm."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.classifiers.preprocessing import IMAGENET_MEAN, IMAGENET_STD, INTERPOLATIONS, Preprocessing
from core.errors import BadRequest

_CROP_PCT = 0.875


def preprocessing_of(config: Mapping[str, Any]) -> tuple[Preprocessing, tuple[str, ...]]:
    """What a `config.json` says of its input: timm's own transform for evaluation, and what of it differs here.

    Raises `BadRequest` for inputs that are not square or have other numbers of channels than 1 and 3.
    """
    told = _told(config)
    arguments = config.get("model_args")
    arguments = arguments if isinstance(arguments, Mapping) else {}
    channels, height, width = (int(value) for value in told.get("input_size") or (3, 224, 224))
    channels = int(arguments.get("in_chans") or channels)
    size = arguments.get("img_size")
    if size is not None:
        height, width = (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
    if height != width or channels not in (1, 3):
        raise BadRequest(
            f"The network takes inputs of {channels} x {height} x {width}; images here are square, with one or three "
            "channels.",
            next_step="Give the preprocessing yourself, if the network takes squares too.",
        )
    share = float(told.get("crop_pct") or _CROP_PCT)
    mode = str(told.get("crop_mode") or "center")
    interpolation = str(told.get("interpolation") or "bilinear")
    notes = []
    resize: int | None = int(height / share)
    if mode == "squash":
        if resize == height:
            resize = None
        else:
            notes.append("timm squeezes images into a square before cropping; here their shorter side is resized.")
    elif mode == "border":
        notes.append("timm pads images to a square; here the middle is cut out.")
    found = Preprocessing(
        resize=resize,
        crop=height,
        mean=_three(told.get("mean"), IMAGENET_MEAN, channels),
        std=_three(told.get("std"), IMAGENET_STD, channels),
        interpolation=interpolation if interpolation in INTERPOLATIONS else "bicubic",
        colour="grey" if channels == 1 else "rgb",
    )
    return found, tuple(notes)


def _three(values: Any, usual: tuple[float, ...], channels: int) -> tuple[float, ...]:
    given = tuple(float(value) for value in values) if isinstance(values, (list, tuple)) and values else usual
    return given if len(given) == 3 or channels == 1 else given[:1] * 3


def says_input(config: Mapping[str, Any]) -> bool:
    """Whether a `config.json` tells the size and the colours of an input, so that nothing of them is guessed."""
    told = _told(config)
    return all(told.get(name) for name in ("input_size", "mean", "std"))


def _told(config: Mapping[str, Any]) -> dict[str, Any]:
    nested = config.get("pretrained_cfg")
    # earlier versions wrote everything at the top
    return dict(nested) if isinstance(nested, Mapping) else dict(config)
