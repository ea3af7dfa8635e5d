"""Other preprocessing that a network may have been trained with: what people's training code does most often."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from core.classifiers.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing

# Means that the models published with Caffe take off, blue, green, red, for values from 0 to 255.
_CAFFE_MEANS = (103.939, 116.779, 123.68)
# The mean and deviation of MNIST's training images that every tutorial has.
_MNIST = (0.1307, 0.3081)
# Sides of the inputs that people train on small images with.
_SMALL_INPUTS = (32, 64, 96, 128)
# No network takes less.
_LEAST_INPUT = 16
# An ImageNet network sees this share of the resized image.
_USUAL_CROP = 224 / 256


@dataclass(frozen=True)
class Alternative:
    """title: what is different, a few words that can follow "with"."""

    title: str
    preprocessing: Preprocessing


def alternatives(chosen: Preprocessing, *, whole_numbers: bool = False) -> tuple[Alternative, ...]:
    """What else might be right, likeliest first; the size of the input stays, since networks depend on it.

    whole_numbers: the network takes pixels from 0 to 255 and normalises them on its own, so that means and deviations
    change nothing.
    """
    found: list[Alternative] = []
    values_of = _order if whole_numbers else _values
    for title, values in [*values_of(chosen), *_geometry(chosen)]:
        if not any(_same(values, other) for other in (chosen, *(one.preprocessing for one in found))):
            found.append(Alternative(title, values))
    return tuple(found)


def far_below(chosen: Preprocessing, size: tuple[int, int]) -> bool:
    """Whether images of this (width, height) are enlarged to more than twice their sides."""
    return 2 * min(size) < chosen.crop


def smaller_inputs(chosen: Preprocessing, size: tuple[int, int]) -> tuple[Alternative, ...]:
    """Inputs closer to images of this (width, height), which are far below what was chosen: their own size first."""
    if not far_below(chosen, size):
        return ()
    sides = dict.fromkeys((min(size), *_SMALL_INPUTS))
    return tuple(
        Alternative(
            f"inputs of {side} x {side} pixels",
            replace(chosen, resize=None if chosen.resize is None else side, crop=side),
        )
        for side in sides
        if _LEAST_INPUT <= side < chosen.crop
    )


def _values(chosen: Preprocessing) -> list[tuple[str, Preprocessing]]:
    if chosen.channels == 1:
        scales = {
            "values from 0 to 1": (0.0, 1.0),
            "values from -1 to 1": (0.5, 0.5),
            "values from 0 to 255": (0.0, 1 / 255),
            "the mean and deviation of MNIST": _MNIST,
        }
        return [(title, replace(chosen, mean=(mean,), std=(std,))) for title, (mean, std) in scales.items()]
    ((flipped_title, flipped),) = _order(chosen)
    plain = {
        "ImageNet's means and deviations": (IMAGENET_MEAN, IMAGENET_STD),
        "values from 0 to 1": ((0.0,) * 3, (1.0,) * 3),
        "values from -1 to 1": ((0.5,) * 3, (0.5,) * 3),
        "values from 0 to 255": ((0.0,) * 3, (1 / 255,) * 3),
    }
    same = [(title, _coloured(chosen, chosen.colour, *scale)) for title, scale in plain.items()]
    other = [
        (f"{flipped_title} and {title}", _coloured(chosen, flipped.colour, *scale)) for title, scale in plain.items()
    ]
    caffe = replace(chosen, colour="bgr", mean=tuple(value / 255 for value in _CAFFE_MEANS), std=(1 / 255,) * 3)
    return [(flipped_title, flipped), *same, ("Caffe's channels and means", caffe), *other]


def _order(chosen: Preprocessing) -> list[tuple[str, Preprocessing]]:
    """The channels the other way round, of images that have some."""
    if chosen.channels == 1:
        return []
    turned = "rgb" if chosen.colour == "bgr" else "bgr"
    order = {"rgb": "red, green, blue", "bgr": "blue, green, red"}[turned]
    flipped = replace(chosen, colour=turned, mean=chosen.mean[::-1], std=chosen.std[::-1])
    return [(f"the channels as {order}", flipped)]


def _coloured(chosen: Preprocessing, colour: str, mean: tuple[float, ...], std: tuple[float, ...]) -> Preprocessing:
    """mean, std: red, green, blue."""
    step = -1 if colour == "bgr" else 1
    return replace(chosen, colour=colour, mean=mean[::step], std=std[::step])


def _geometry(chosen: Preprocessing) -> list[tuple[str, Preprocessing]]:
    return [
        ("the whole image squeezed", replace(chosen, resize=None)),
        ("the middle of the image", replace(chosen, resize=chosen.crop)),
        ("a crop of the middle", replace(chosen, resize=round(chosen.crop / _USUAL_CROP))),
    ]


def _same(one: Preprocessing, other: Preprocessing) -> bool:
    alike = replace(one, mean=other.mean, std=other.std) == other if one.channels == other.channels else False
    pairs = zip((*one.mean, *one.std), (*other.mean, *other.std), strict=False)
    return alike and all(math.isclose(a, b, abs_tol=1e-6) for a, b in pairs)
