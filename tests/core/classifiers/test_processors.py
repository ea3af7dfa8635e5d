"""Image processors of transformers, each against the library's own on the same picture."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

from core.classifiers import torchvision_compat
from core.classifiers.preprocessing import Preprocessing, squeezed
from core.classifiers.processors import preprocessing_of
from core.errors import BadRequest

torchvision_compat.load()
transformers = pytest.importorskip("transformers")

# all that decide geometry or colours differently
PROCESSORS: dict[str, dict[str, Any]] = {
    "ViT": {},
    "ViT-other": {"size": {"height": 40, "width": 40}, "resample": 3, "image_mean": [0.1, 0.2, 0.3]},
    "ConvNext": {"size": {"shortest_edge": 48}},
    "ConvNext-large": {"size": {"shortest_edge": 384}},
    "Levit": {},
    "PoolFormer": {},
    "MobileNetV2": {},
    "Bit": {},
    "EfficientNet": {},
    "EfficientNet-offset": {"rescale_offset": True, "include_top": False, "rescale_factor": 1 / 127.5},
    "MobileViT": {},
    "Siglip": {},
    "Segformer": {},
}


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    # smooth, so that filters agree to a level or so
    small = np.random.default_rng(0).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((400, 300), Image.Resampling.BICUBIC)


@pytest.mark.parametrize("name", PROCESSORS)
def test_pictures_are_prepared_as_the_library_does(name: str, photo: Image.Image) -> None:
    kind = getattr(transformers, f"{name.partition('-')[0]}ImageProcessorPil")
    processor = kind(**PROCESSORS[name])
    told = {"image_processor_type": f"{name.partition('-')[0]}ImageProcessorFast", **PROCESSORS[name]}
    found, notes = preprocessing_of({}, told)
    wanted = np.asarray(processor(photo, return_tensors="np")["pixel_values"])[0]
    assert found.apply(photo).shape == wanted.shape
    assert not notes
    level = 1 / (255 * min(found.std))
    assert np.abs(found.apply(photo) - wanted).mean() < level


def test_the_whole_of_what_is_written_is_read(photo: Image.Image) -> None:
    """Files of today name every number, those of years ago a few."""
    processor = transformers.ConvNextImageProcessorPil(size={"shortest_edge": 64})
    assert (
        preprocessing_of({}, processor.to_dict())[0]
        == preprocessing_of({}, {"feature_extractor_type": "ConvNextFeatureExtractor", "size": {"shortest_edge": 64}})[
            0
        ]
    )


def test_old_files_have_sizes_as_numbers() -> None:
    old = {"feature_extractor_type": "ViTFeatureExtractor", "size": 96, "do_normalize": True, "resample": 2}
    assert preprocessing_of({}, old)[0] == Preprocessing(None, 96, (0.5,) * 3, (0.5,) * 3)


def test_without_a_file_the_kind_of_network_decides_and_it_is_said() -> None:
    found, notes = preprocessing_of({"model_type": "vit", "image_size": 64}, None)
    assert found == Preprocessing(None, 64, (0.5,) * 3, (0.5,) * 3)
    assert "preprocessor_config.json" in notes[0]
    found, notes = preprocessing_of({"model_type": "nobody-knows", "image_size": 64}, None)
    assert found == squeezed(64)
    assert "guess" in notes[0]


def test_colours_in_another_order_and_grey() -> None:
    found, _ = preprocessing_of({}, {"image_processor_type": "MobileViTImageProcessor", "do_flip_channel_order": True})
    assert found.colour == "bgr"
    grey, _ = preprocessing_of({"num_channels": 1}, {"size": 32, "image_mean": [0.5], "image_std": [0.25]})
    assert (grey.colour, grey.mean, grey.std) == ("grey", (0.5,), (0.25,))


def test_what_is_different_here_is_said() -> None:
    squeezed_first = {"size": {"height": 256, "width": 256}, "do_center_crop": True, "crop_size": 224}
    found, notes = preprocessing_of({}, {"image_processor_type": "DeiTImageProcessor", **squeezed_first})
    assert (found.resize, found.crop) == (256, 224)
    assert "shorter side" in notes[0]


@pytest.mark.parametrize("size", [{"height": 224, "width": 160}, [64, 32]])
def test_inputs_that_are_not_square_are_refused(size: Any) -> None:
    with pytest.raises(BadRequest, match="no square"):
        preprocessing_of({}, {"image_processor_type": "ViTImageProcessor", "size": size})
