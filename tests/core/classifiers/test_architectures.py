from __future__ import annotations

import pytest
import torch

from core.classifiers.architectures import SMALL, build, default_preprocessing, last_linear, names
from core.errors import BadRequest


def test_small_network_fits_into_two_megabytes_and_has_128_features() -> None:
    network = build(SMALL, 2)
    count = sum(tensor.numel() * tensor.element_size() for tensor in network.state_dict().values())
    assert count <= 2_000_000
    assert sum(parameter.numel() for parameter in network.parameters()) <= 450_000
    assert network.get_submodule(last_linear(network)).weight.shape == (2, 128)
    side = default_preprocessing(SMALL).crop
    assert network.eval()(torch.zeros(3, 3, side, side)).shape == (3, 2)


def test_small_network_takes_any_size_from_16_pixels() -> None:
    network = build(SMALL, 5).eval()
    for side in (16, 33, 96):
        assert network(torch.zeros(1, 3, side, side + 3)).shape == (1, 5)


def test_small_comes_first_and_torchvisions_classifiers_are_all_there() -> None:
    assert names()[0] == SMALL
    assert {"resnet18", "vit_b_16", "convnext_tiny", "efficientnet_b0", "squeezenet1_0"} <= set(names())
    assert not {"fasterrcnn_resnet50_fpn", "fcn_resnet50", "raft_small", "r3d_18"} & set(names())


@pytest.mark.parametrize(("typed", "meant"), [("resnet-18", "resnet18"), ("ResNet18", "resnet18"), ("smal", "small")])
def test_misspelt_architecture_is_answered_with_the_one_meant(typed: str, meant: str) -> None:
    with pytest.raises(BadRequest) as caught:
        build(typed, 2)
    assert typed in caught.value.detail
    assert meant in caught.value.next_step


def test_name_like_nothing_is_answered_with_examples() -> None:
    with pytest.raises(BadRequest, match="resnet18"):
        default_preprocessing("0000")
