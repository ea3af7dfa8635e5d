"""From a decoded image to the numbers a network sees.

The geometry follows torchvision's `ImageClassification` preset to the pixel (resize the shorter side, crop the
centre), because that is what the networks people bring were trained with. Pixels stay 8-bit until `normalise`, so that
batches and caches are four times smaller than floats and normalising happens once per batch.
"""

from __future__ import annotations

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


@dataclass(frozen=True)
class Preprocessing:
    """How an image becomes a network's input.

    resize: pixels of the shorter side before cropping; None squeezes the whole image into the crop.
    crop: pixels of both sides of the input. mean, std: per colour channel, for values in 0..1.
    """

    resize: int | None
    crop: int
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    interpolation: str = "bilinear"

    def __post_init__(self) -> None:
        if self.crop < 1 or (self.resize is not None and self.resize < 1):
            raise BadRequest(
                f"An input of {self.crop} pixels (resized to {self.resize}) cannot be made.",
                next_step="Give sizes of at least one pixel.",
            )
        if len(self.mean) != 3 or len(self.std) != 3 or any(value <= 0 for value in self.std):
            raise BadRequest(
                "Normalisation needs three means and three positive deviations.",
                next_step="Give one value for each of red, green and blue.",
            )
        if self.interpolation not in INTERPOLATIONS:
            raise BadRequest(
                f"There is no interpolation called {self.interpolation!r}.",
                next_step=f"Choose one of {', '.join(INTERPOLATIONS)}.",
            )

    def pixels(self, image: Image.Image) -> np.ndarray:
        """Resize and crop. image: RGB. Returns (crop, crop, 3) uint8."""
        method = INTERPOLATIONS[self.interpolation]
        width, height = image.size
        if self.resize is None:
            return np.array(image.resize((self.crop, self.crop), method))
        short = min(width, height)
        # int(), not round(): torchvision truncates the longer side, and one pixel moves the crop
        size = (
            self.resize if width == short else int(self.resize * width / short),
            self.resize if height == short else int(self.resize * height / short),
        )
        resized = image if size == image.size else image.resize(size, method)
        return np.array(_centre_crop(resized, self.crop))

    def normalise(self, pixels: np.ndarray) -> np.ndarray:
        """pixels: (..., 3) uint8. Returns float32 of that shape, centred and scaled by `mean` and `std`."""
        scale, shift = self.affine()
        return pixels * scale - shift

    def affine(self) -> tuple[np.ndarray, np.ndarray]:
        """What pixels are multiplied by and what is then taken off, each (3,) float32: one multiplication and one
        subtraction per value instead of two divisions."""
        mean = np.asarray(self.mean, dtype=np.float32)
        std = np.asarray(self.std, dtype=np.float32)
        return 1 / (255 * std), mean / std

    def apply(self, image: Image.Image) -> np.ndarray:
        """image: RGB. Returns the network's input for it, (3, crop, crop) float32."""
        return np.ascontiguousarray(np.moveaxis(self.normalise(self.pixels(image)), -1, 0))

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "mean": list(self.mean), "std": list(self.std)}


def preprocessing_from_dict(values: Mapping[str, Any]) -> Preprocessing:
    """The inverse of `Preprocessing.to_dict`. Raises `BadRequest` for what cannot be one."""
    try:
        resize = values.get("resize")
        mean = tuple(float(value) for value in values.get("mean", IMAGENET_MEAN))
        std = tuple(float(value) for value in values.get("std", IMAGENET_STD))
        return Preprocessing(
            resize=None if resize is None else int(resize),
            crop=int(values["crop"]),
            mean=mean,  # type: ignore[arg-type]  # the length is checked by the class
            std=std,  # type: ignore[arg-type]
            interpolation=str(values.get("interpolation", "bilinear")),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise BadRequest(
            f"The preprocessing {dict(values)!r} cannot be read ({error}).",
            next_step='Give at least {"crop": pixels}; also resize, mean, std and interpolation.',
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
