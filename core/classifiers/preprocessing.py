"""From a decoded image to the numbers a network sees.

The geometry follows torchvision's `ImageClassification` preset to the pixel (resize the shorter side, crop the
centre), because that is what the networks people bring were trained with. Pixels stay 8-bit until `normalise`, so that
batches and caches are four times smaller than floats and normalising happens once per batch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from PIL import Image

from core.errors import BadRequest

INTERPOLATIONS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}

# Means and deviations of ImageNet's colour channels, 0..1: what torchvision's models are trained with.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

# The channels a network takes, in its order: "bgr" is what OpenCV reads and Caffe's models want, "grey" is one channel.
COLOURS = ("rgb", "bgr", "grey")


# Pixels up to which an image is resized whole, at three bytes each: of a picture like a line, whose longer side would
# become millions of pixels, only the middle is, and no more of it is seen.
MOST_RESIZED = 50_000_000


@dataclass(frozen=True)
class Preprocessing:
    """How an image becomes a network's input.

    resize: pixels of the shorter side before cropping; None squeezes the whole image into the crop.
    crop: pixels of both sides of the input. colour: one of `COLOURS`. mean, std: of each channel in the network's
    order, for values in 0..1; for a grey network the averages of three are taken.
    """

    resize: int | None
    crop: int
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    interpolation: str = "bilinear"
    colour: str = "rgb"

    def __post_init__(self) -> None:
        if self.colour not in COLOURS:
            raise BadRequest(
                f"There are no colours called {self.colour!r}.", next_step=f"Choose one of {', '.join(COLOURS)}."
            )
        if self.colour == "grey":
            for name in ("mean", "std"):
                values = getattr(self, name)
                if len(values) == 3:
                    object.__setattr__(self, name, (round(sum(values) / 3, 6),))
        if self.crop < 1 or (self.resize is not None and self.resize < 1):
            raise BadRequest(
                f"An input of {self.crop} pixels (resized to {self.resize}) cannot be made.",
                next_step="Give sizes of at least one pixel.",
            )
        given = {len(self.mean), len(self.std)}
        if given != {self.channels} or not all(0 < value < math.inf for value in self.std):
            if self.channels == 1:
                raise BadRequest(
                    "Normalisation of a grey input needs one mean and one positive deviation.",
                    next_step="Give one value each.",
                )
            raise BadRequest(
                "Normalisation needs three means and three positive deviations.",
                next_step="Give one value for each of red, green and blue.",
            )
        if not all(map(math.isfinite, self.mean)):
            raise BadRequest("A mean to take off has to be a number.", next_step="Give values such as 0.485.")
        if self.interpolation not in INTERPOLATIONS:
            raise BadRequest(
                f"There is no interpolation called {self.interpolation!r}.",
                next_step=f"Choose one of {', '.join(INTERPOLATIONS)}.",
            )

    @property
    def channels(self) -> int:
        """How many the network takes: 3, or 1 where it is grey."""
        return 1 if self.colour == "grey" else 3

    def pixels(self, image: Image.Image) -> np.ndarray:
        """Resize and crop. image: RGB. Returns (crop, crop, channels) uint8, the channels in the network's order."""
        return self._channels(self._cropped(image))

    def shown(self, image: Image.Image) -> np.ndarray:
        """What of an image reaches the network, for people: (crop, crop, 3) uint8, RGB whatever the network's order."""
        pixels = np.asarray(self._cropped(image))
        return np.repeat(_grey(pixels), 3, axis=2) if self.colour == "grey" else pixels

    def _channels(self, cropped: Image.Image) -> np.ndarray:
        pixels = np.array(cropped)
        if self.colour == "grey":
            return _grey(pixels)
        # a copy, since torch takes no arrays that run backwards
        return np.ascontiguousarray(pixels[..., ::-1]) if self.colour == "bgr" else pixels

    def _cropped(self, image: Image.Image) -> Image.Image:
        method = INTERPOLATIONS[self.interpolation]
        width, height = image.size
        if self.resize is None:
            return image.resize((self.crop, self.crop), method)
        short = min(width, height)
        if self.resize * self.resize * max(width, height) > MOST_RESIZED * short:
            keep = math.ceil(short * (self.crop / self.resize + 2))
            image = _middle(image, min(width, keep), min(height, keep))
            width, height = image.size
        # int(), not round(): torchvision truncates the longer side, and one pixel moves the crop
        size = (
            self.resize if width == short else int(self.resize * width / short),
            self.resize if height == short else int(self.resize * height / short),
        )
        resized = image if size == image.size else image.resize(size, method)
        return _centre_crop(resized, self.crop)

    def normalise(self, pixels: np.ndarray) -> np.ndarray:
        """pixels: (..., channels) uint8, as `pixels` gives them. Returns float32 of that shape, centred by `mean` and
        scaled by `std`."""
        # a line of pixels at a time: on a last axis of three, numpy takes ten times as long for the same numbers
        width = pixels.shape[-2] if pixels.ndim > 1 else 1
        scale, shift = (np.tile(values, width) for values in self.affine())
        lines = pixels.reshape(-1, width * self.channels) * scale
        lines -= shift
        return lines.reshape(pixels.shape)

    def affine(self) -> tuple[np.ndarray, np.ndarray]:
        """What pixels are multiplied by and what is then taken off, each (channels,) float32: one multiplication and
        one subtraction per value instead of two divisions."""
        mean = np.asarray(self.mean, dtype=np.float32)
        std = np.asarray(self.std, dtype=np.float32)
        return 1 / (255 * std), mean / std

    def apply(self, image: Image.Image) -> np.ndarray:
        """image: RGB. Returns the network's input for it, (channels, crop, crop) float32."""
        return np.ascontiguousarray(np.moveaxis(self.normalise(self.pixels(image)), -1, 0))

    def to_dict(self) -> dict[str, Any]:
        values = {**asdict(self), "mean": list(self.mean), "std": list(self.std)}
        if self.colour == "rgb":
            # left out, so that analyses made before there were others keep their ids
            del values["colour"]
        return values


def preprocessing_from_dict(values: Mapping[str, Any]) -> Preprocessing:
    """The inverse of `Preprocessing.to_dict`. Raises `BadRequest` for what cannot be one."""
    try:
        resize = values.get("resize")
        mean = tuple(float(value) for value in values.get("mean", IMAGENET_MEAN))
        std = tuple(float(value) for value in values.get("std", IMAGENET_STD))
        return Preprocessing(
            resize=None if resize is None else int(resize),
            crop=int(values["crop"]),
            mean=mean,
            std=std,
            interpolation=str(values.get("interpolation", "bilinear")),
            colour=str(values.get("colour", "rgb")),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise BadRequest(
            f"The preprocessing {dict(values)!r} cannot be read ({error}).",
            next_step='Give at least {"crop": pixels}; also resize, mean, std, interpolation and colour.',
        ) from error


def squeezed(size: int) -> Preprocessing:
    """The whole image squeezed into `size` x `size` pixels: what the small network uses, so that borders count too."""
    return Preprocessing(resize=None, crop=size)


def imagenet(arch: str) -> Preprocessing:
    """The preprocessing that torchvision's own weights for this architecture were trained with.

    Its first published weights decide (`IMAGENET1K_V1` for nearly all), since that is what fine-tuned networks in the
    wild start from. Imports torchvision.
    """
    from core.classifiers import torchvision_compat

    weights = torchvision_compat.load().models.get_model_weights(arch)
    first = getattr(weights, "IMAGENET1K_V1", None) or next(iter(weights))
    preset = first.transforms()
    return Preprocessing(
        resize=int(preset.resize_size[0]),
        crop=int(preset.crop_size[0]),
        mean=tuple(preset.mean),
        std=tuple(preset.std),
        interpolation=preset.interpolation.value,
    )


def _grey(pixels: np.ndarray) -> np.ndarray:
    """(h, w, 3) uint8 RGB -> (h, w, 1): Pillow's own weights (ITU-R 601), which torchvision's `Grayscale` uses too."""
    return np.array(Image.fromarray(pixels).convert("L"))[..., None]


def _middle(image: Image.Image, width: int, height: int) -> Image.Image:
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))


def _centre_crop(image: Image.Image, crop: int) -> Image.Image:
    """The middle of the image, black where it is too small: torchvision's `center_crop`, rounding included."""
    width, height = image.size
    if width < crop or height < crop:
        left, top = max(0, (crop - width) // 2), max(0, (crop - height) // 2)
        padded = Image.new("RGB", (max(width, crop), max(height, crop)))
        padded.paste(image, (left, top))
        image, (width, height) = padded, padded.size
    left, top = round((width - crop) / 2.0), round((height - crop) / 2.0)
    return image.crop((left, top, left + crop, top + crop))
