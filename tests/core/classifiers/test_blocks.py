from __future__ import annotations

import pytest
import torch

from core.classifiers.architectures import build
from core.classifiers.blocks import last_block
from core.classifiers.fitting import head_name


@pytest.mark.parametrize(
    ("arch", "units"),
    [
        ("small", {"features.4", "head"}),
        ("resnet18", {"layer4.1", "fc"}),
        ("resnet50", {"layer4.2", "fc"}),
        ("vit_b_16", {"encoder.layers.encoder_layer_11", "encoder.ln", "heads.head"}),
        ("vgg11", {"classifier.3", "classifier.6"}),
        ("densenet121", {"features.denseblock4", "features.norm5", "classifier"}),
    ],
)
def test_the_last_block_is_what_people_call_so(arch: str, units: set[str]) -> None:
    with torch.device("meta"):
        network = build(arch, 2)
    chosen = last_block(network, head_name(arch))
    wanted = {name for name, _ in network.named_parameters() if any(name.startswith(f"{unit}.") for unit in units)}
    assert chosen == wanted
