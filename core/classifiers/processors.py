"""How transformers' image processors prepare an image, as a `Preprocessing`.

What a `preprocessor_config.json` leaves out is what the processor's class has by itself. A few processors do something
of their own with these numbers, by the name of their class: ConvNeXt and PoolFormer resize by a share of the crop,
LeViT by 256/224, EfficientNet divides by the deviations twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.classifiers import timm_inputs
from core.classifiers.preprocessing import Preprocessing, squeezed
from core.errors import BadRequest

# Pillow's numbers of its filters
_FILTERS = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "bilinear", 5: "bicubic"}
_READ = (
    *("do_resize", "size", "resample", "do_center_crop", "crop_size", "do_rescale", "rescale_factor", "do_normalize"),
    *("image_mean", "image_std", "crop_pct", "do_flip_channel_order", "rescale_offset", "include_top"),
)
# from this size on, ConvNeXt's processor squeezes the whole image in
_WARPED_FROM = 384


def preprocessing_of(
    config: Mapping[str, Any], processor: Mapping[str, Any] | None
) -> tuple[Preprocessing, tuple[str, ...]]:
    """What goes into a network, and sentences on what is different here or was not told.

    config: of the network. processor: the content of `preprocessor_config.json`, None where there is none. Raises
    `BadRequest` for inputs that are not square.
    """
    if config.get("model_type") == "timm_wrapper":
        return timm_inputs.preprocessing_of(config)
    name = _class_name(processor) if processor else None
    usual, known = _usual(str(config.get("model_type")), name)
    side = _side(config)
    notes: list[str] = []
    if not processor:
        if not known:
            return squeezed(side or 224), (
                "The model does not say how its images were prepared: ImageNet's colours and a squeezed square are a "
                "guess.",
            )
        notes.append(
            "The model came without a preprocessor_config.json: how images are prepared is what its kind usually takes."
        )
    found = _prepared(config, processor or {}, usual, name or known, None if processor else side, notes)
    return found, tuple(notes)


def stated(config: Mapping[str, Any], processor: Mapping[str, Any] | None) -> Preprocessing | None:
    """What the two files say by themselves, without the library, which a page has no time to import.

    None where the size or the colours are not said. Raises as `preprocessing_of`.
    """
    if config.get("model_type") == "timm_wrapper":
        return timm_inputs.preprocessing_of(config)[0] if timm_inputs.says_input(config) else None
    if not processor or not (processor.get("size") or processor.get("crop_size")):
        return None
    if processor.get("do_normalize", True) and not (processor.get("image_mean") and processor.get("image_std")):
        return None
    return _prepared(config, processor, {}, _class_name(processor), None, [])


def _prepared(
    config: Mapping[str, Any],
    processor: Mapping[str, Any],
    usual: Mapping[str, Any],
    name: str,
    side: int | None,
    notes: list[str],
) -> Preprocessing:
    """usual: what holds where the processor's file is silent. name: of its class. side: of the network's input, where
    the file does not exist. notes: what is different here is added."""
    # null stands for what is usual
    told = {**usual, **{key: value for key, value in processor.items() if key in _READ and value is not None}}
    resize, crop = _geometry(told, name, side, notes)
    mean, std = _colours(told)
    colour = "grey" if config.get("num_channels") == 1 else "rgb"
    if told.get("do_flip_channel_order"):
        colour, mean, std = "bgr", mean[::-1], std[::-1]
    return Preprocessing(
        resize=resize,
        crop=crop,
        mean=mean,
        std=std,
        interpolation=_FILTERS.get(_filter(told.get("resample")), "bilinear"),
        colour=colour,
    )


def _class_name(processor: Mapping[str, Any]) -> str:
    """`ViTImageProcessor`, also for its former name and for the variants that only differ in speed."""
    name = str(processor.get("image_processor_type") or processor.get("feature_extractor_type") or "")
    return name.replace("FeatureExtractor", "ImageProcessor").removesuffix("Fast").removesuffix("Pil")


def _usual(model_type: str, name: str | None) -> tuple[dict[str, Any], str]:
    """What the processor's class has by itself, and the name of the class; ({}, "") where nobody knows."""
    try:
        from transformers.models.auto.image_processing_auto import (
            IMAGE_PROCESSOR_MAPPING_NAMES,
            get_image_processor_class_from_name,
        )

        found = get_image_processor_class_from_name(name) if name else None
        if found is None:
            names = IMAGE_PROCESSOR_MAPPING_NAMES.get(model_type) or {}
            name = names.get("torchvision") or names.get("pil")
            found = get_image_processor_class_from_name(name) if name else None
    except Exception:
        # a table inside of another library: whatever it does, the file's own numbers are what matters
        return {}, ""
    if found is None:
        return {}, ""
    usual = {key: getattr(found, key, None) for key in _READ}
    # a step that a class does not mention is not taken
    usual = {key: False if value is None and key.startswith("do_") else value for key, value in usual.items()}
    return {key: value for key, value in usual.items() if value is not None}, str(name)


def _geometry(told: Mapping[str, Any], name: str, side: int | None, notes: list[str]) -> tuple[int | None, int]:
    """(shorter side before cropping or None for squeezing, crop)."""
    height, width, shortest = _sizes(told.get("size"))
    crop_height, crop_width, crop_shortest = _sizes(told.get("crop_size"))
    crop = crop_height or crop_shortest
    if {height, width} - {None, height} or {crop_height, crop_width} - {None, crop_height}:
        raise BadRequest(
            f"The model takes inputs of {crop_height or height} x {crop_width or width} pixels, which is no square.",
            next_step="Give the preprocessing yourself, if the network takes squares too.",
        )
    if side is not None:
        # nothing but the network's own size is known
        shortest, height = (side, None) if shortest else (None, side)
        crop = side if crop else None
    if not told.get("do_resize", True):
        notes.append("The model's own code does not resize images; here they are squeezed into a square.")
        return None, crop or height or shortest or 224
    if name.startswith("ConvNext") and shortest:
        if shortest >= _WARPED_FROM:
            return None, shortest
        return int(shortest / float(told.get("crop_pct") or 224 / 256)), shortest
    if name.startswith("Levit") and shortest:
        return int((256 / 224) * shortest), crop or shortest
    cropped = crop if told.get("do_center_crop") else None
    if name.startswith("PoolFormer"):
        inner = shortest or height or 224
        return int(inner / float(told.get("crop_pct") or 1.0)), cropped or inner
    if shortest:
        if not cropped:
            notes.append("The model's own code keeps the longer side of an image; here the middle is cut out.")
        return shortest, cropped or shortest
    if height and cropped and cropped != height:
        notes.append("The model's own code squeezes images before cropping; here their shorter side is resized.")
        return height, cropped
    return None, height or crop or 224


def _sizes(value: Any) -> tuple[int | None, int | None, int | None]:
    """(height, width, shortest edge) of a size in any of the ways they are written."""
    if isinstance(value, (int, float)):
        return int(value), int(value), None
    if isinstance(value, (list, tuple)) and len(value) == 2:
        return int(value[0]), int(value[1]), None
    if isinstance(value, Mapping):
        shortest = value.get("shortest_edge")
        height, width = value.get("height"), value.get("width")
        if height and width:
            return int(height), int(width), None
        if shortest:
            return None, None, int(shortest)
    elif value is not None:
        # the library's own class of sizes
        return _sizes({key: getattr(value, key, None) for key in ("height", "width", "shortest_edge")})
    return None, None, None


def _colours(told: Mapping[str, Any]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Means and deviations for values in 0..1 that give what rescaling, shifting and normalising give together."""
    factor = float(told.get("rescale_factor") or 1 / 255) if told.get("do_rescale", True) else 1.0
    shift = 1.0 if told.get("rescale_offset") else 0.0
    mean, std = [0.0] * 3, [1.0] * 3
    if told.get("do_normalize", True):
        mean, std = _three(told.get("image_mean"), 0.5), _three(told.get("image_std"), 0.5)
    if told.get("include_top"):
        std = [value * value for value in std]
    scale = 255 * factor
    return (
        tuple(round((shift + value) / scale, 9) for value in mean),
        tuple(round(value / scale, 9) for value in std),
    )


def _three(value: Any, usual: float) -> list[float]:
    if isinstance(value, (int, float)):
        return [float(value)] * 3
    if isinstance(value, (list, tuple)) and value:
        return [float(one) for one in value] if len(value) == 3 else [float(value[0])] * 3
    return [usual] * 3


def _filter(value: Any) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        return 2


def _side(config: Mapping[str, Any]) -> int | None:
    size = config.get("image_size")
    if isinstance(size, (list, tuple)) and size:
        size = size[0]
    return int(size) if isinstance(size, (int, float)) and size > 0 else None
