from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from core.classifiers import fitting
from core.classifiers.architectures import names
from core.classifiers.fitting import build_fitted, fitted, head_name, outline, suggest
from core.classifiers.telltales import TELLTALES
from core.errors import ArchitectureMismatch

NetworkMaker = Callable[..., nn.Module]
State = dict[str, torch.Tensor]


def prefixed(state: State, prefix: str) -> State:
    return {prefix + name: tensor for name, tensor in state.items()}


@pytest.mark.parametrize("prefix", ["", "module.", "model.", "_orig_mod.", "module._orig_mod.", "model.net.module."])
def test_prefixes_of_wrappers_are_removed(network: NetworkMaker, prefix: str) -> None:
    state = network("small", 3).state_dict()
    found = fitted("small", prefixed(state, prefix), file="model.pt")
    assert found.keys() == state.keys()
    assert all(torch.equal(found[name], state[name]) for name in state)


def test_a_loss_beside_the_network_is_left_out(network: NetworkMaker) -> None:
    state = network("small", 3).state_dict()
    beside = {**prefixed(state, "model."), "criterion.weight": torch.ones(3)}
    assert fitted("small", beside, file="model.pt").keys() == state.keys()


def test_a_network_kept_under_a_name_like_its_own_parts_is_found(network: NetworkMaker) -> None:
    # `classifier.` begins names inside vgg and of wrappers alike
    state = network("mobilenet_v3_small", 3).state_dict()
    assert fitted("mobilenet_v3_small", state, file="m").keys() == state.keys()
    assert fitted("mobilenet_v3_small", prefixed(state, "classifier."), file="m").keys() == state.keys()


def test_head_inside_a_sequence_is_made_plain(network: NetworkMaker) -> None:
    wanted = network("resnet18", 4).state_dict()
    state = {name.replace("fc.", "fc.1."): tensor for name, tensor in wanted.items()}
    found = fitted("resnet18", state, file="model.pt")
    assert torch.equal(found["fc.weight"], wanted["fc.weight"])
    assert torch.equal(found["fc.bias"], wanted["fc.bias"])


def test_head_of_two_layers_does_not_pass_for_one(network: NetworkMaker) -> None:
    state = network("resnet18", 4).state_dict()
    state["fc.0.weight"], state["fc.2.weight"] = torch.ones(512, 512), state.pop("fc.weight")
    with pytest.raises(ArchitectureMismatch, match=r"fc\.weight"):
        fitted("resnet18", state, file="model.pt")


def test_head_without_bias_gets_zeros(network: NetworkMaker) -> None:
    state = network("small", 3).state_dict()
    del state["head.bias"]
    found = fitted("small", state, file="model.pt")
    assert found["head.bias"].tolist() == [0, 0, 0]
    assert build_fitted("small", found)(torch.zeros(1, 3, 32, 32)).shape == (1, 3)


def test_architecture_whose_own_head_has_no_bias_can_be_given_one(network: NetworkMaker) -> None:
    # maxvit_t's last layer has none; a retrained head does
    state = network("maxvit_t", 2).state_dict()
    assert "classifier.5.bias" not in state
    state["classifier.5.bias"] = torch.tensor([5.0, 6.0])
    rebuilt = build_fitted("maxvit_t", fitted("maxvit_t", state, file="model.pt"))
    assert rebuilt.get_submodule("classifier.5").bias.tolist() == [5, 6]


def test_counts_of_batches_may_be_absent_and_weights_half_precision(network: NetworkMaker) -> None:
    original = network("small", 2)
    state = {
        name: tensor.half() if tensor.is_floating_point() else tensor
        for name, tensor in original.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    rebuilt = build_fitted("small", fitted("small", state, file="model.pt"))
    assert {parameter.dtype for parameter in rebuilt.parameters()} == {torch.float32}
    images = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(rebuilt(images), original(images), atol=1e-2, rtol=1e-2)


def test_auxiliary_classifiers_of_training_are_ignored(network: NetworkMaker) -> None:
    state = network("googlenet", 3).state_dict()
    beside = {**state, "aux1.fc2.weight": torch.ones(1000, 1024), "aux1.fc2.bias": torch.ones(1000)}
    assert fitted("googlenet", beside, file="model.pt").keys() == state.keys()


def test_mnasnet_survives_the_loss_of_its_version(network: NetworkMaker) -> None:
    original = network("mnasnet0_5", 2)
    state = prefixed(dict(original.state_dict()), "module.")
    rebuilt = build_fitted("mnasnet0_5", fitted("mnasnet0_5", state, file="model.pt"))
    images = torch.rand(2, 3, 64, 64)
    torch.testing.assert_close(rebuilt(images), original(images))


def test_mismatch_names_the_first_keys_and_shapes_and_counts_the_rest(network: NetworkMaker) -> None:
    state = network("resnet18", 2).state_dict()
    with pytest.raises(ArchitectureMismatch) as caught:
        fitted("resnet50", state, file="birds.pt")
    assert "birds.pt does not hold the weights of resnet50" in caught.value.detail
    assert "layer1.0.conv1.weight is 64x64x3x3 instead of 64x64x1x1" in caught.value.detail
    assert "more" in caught.value.detail
    with pytest.raises(ArchitectureMismatch, match=r"it lacks .* it has conv1\.weight"):
        fitted("small", state, file="birds.pt")


def test_head_of_another_width_is_a_mismatch(network: NetworkMaker) -> None:
    state = network("small", 2).state_dict()
    state["head.weight"] = torch.ones(2, 64)
    with pytest.raises(ArchitectureMismatch, match=r"head\.weight is 2x64 instead of 2x128"):
        fitted("small", state, file="model.pt")


def test_an_architecture_may_end_in_a_convolution() -> None:
    assert head_name("squeezenet1_0") == "classifier.1"


def test_outline_knows_regnet_too() -> None:
    assert outline("regnet_x_400mf").head == "fc"


@pytest.mark.parametrize("arch", ["small", "resnet18", "mobilenet_v3_small", "shufflenet_v2_x0_5", "swin_t"])
def test_weights_suggest_their_architecture(network: NetworkMaker, arch: str) -> None:
    assert suggest(prefixed(network(arch, 7).state_dict(), "module.")) == (arch,)


@pytest.mark.parametrize(
    "arch",
    [
        *("alexnet", "vgg11_bn", "resnet34", "resnext50_32x4d", "wide_resnet50_2", "densenet121", "googlenet"),
        *("inception_v3", "mnasnet0_5", "mobilenet_v2", "shufflenet_v2_x1_0", "squeezenet1_1", "efficientnet_b0"),
        *("convnext_tiny", "regnet_y_400mf", "swin_t", "vit_b_32", "small"),
    ],
)
def test_telltales_are_those_of_the_library(arch: str) -> None:
    """The last tensor in front of the head, and of the sequence that the head is in."""
    outlined = outline(arch)
    assert outlined.head is not None
    place = outlined.head.rpartition(".")[0] or outlined.head
    body = [(n, s) for n, s in outlined.shapes.items() if len(s) >= 2 and not n.startswith(f"{place}.")]
    assert TELLTALES[arch] == body[-1]


def test_every_architecture_has_a_telltale() -> None:
    """One without is outlined for every suggestion: slow, and right all the same."""
    assert set(names()) == set(TELLTALES)


def test_only_what_may_fit_is_outlined(network: NetworkMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    state = prefixed(network("mobilenet_v3_small", 7).state_dict(), "module.")
    outlined: list[str] = []

    def noted(arch: str) -> fitting.Outline:
        outlined.append(arch)
        return outline(arch)

    monkeypatch.setattr(fitting, "outline", noted)
    assert suggest(state) == ("mobilenet_v3_small",)
    assert set(outlined) == {"mobilenet_v3_small"}
    outlined.clear()
    assert suggest({"w": torch.ones(3)}) == ()
    assert outlined == []


def test_an_architecture_that_is_new_is_outlined(network: NetworkMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    state = network("mobilenet_v3_small", 7).state_dict()
    monkeypatch.setattr(fitting, "names", lambda: ("mobilenet_v3_small",))
    monkeypatch.setattr(fitting, "TELLTALES", {})
    assert suggest(state) == ("mobilenet_v3_small",)


def test_strange_weights_suggest_nothing() -> None:
    assert suggest({"w": torch.ones(3)}) == ()
