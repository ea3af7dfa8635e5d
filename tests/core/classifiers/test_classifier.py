from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from core.classifiers.architectures import last_linear
from core.classifiers.checkpoint import write_checkpoint
from core.classifiers.classifier import description_of, load_classifier, one_output, replace_head, two_logits
from core.classifiers.head import Head
from core.classifiers.preprocessing import Preprocessing, squeezed
from core.errors import (
    ArchitectureMismatch,
    BadRequest,
    BadWeights,
    ClassMismatch,
    HeadNotFound,
    UnsafeCheckpoint,
)

NetworkMaker = Callable[..., nn.Module]
# quick to build, and each with a head somewhere else
ARCHITECTURES = ["small", "resnet18", "mobilenet_v3_small", "efficientnet_b0", "densenet121", "convnext_tiny", "swin_t"]
CLASSES = ("one", "two", "three", "four", "five")


def plain_pass(network: nn.Module, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """What goes into the last linear layer, and the logits, by the textbook: a hook."""
    seen: list[torch.Tensor] = []
    hook = network.get_submodule(last_linear(network)).register_forward_hook(
        lambda _module, inputs, _output: seen.append(inputs[0])
    )
    with torch.inference_mode():
        logits = network(images)
    hook.remove()
    return seen[0], logits


def images_for(count: int, side: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(1).normal(size=(count, 3, side, side)).astype(np.float32))


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_features_and_logits_are_those_of_a_plain_forward_pass(
    tmp_path: Path, network: NetworkMaker, arch: str
) -> None:
    original = network(arch, 5)
    torch.save({"state_dict": {f"module.{n}": t for n, t in original.state_dict().items()}}, tmp_path / "m.pth")
    classifier = load_classifier(tmp_path / "m.pth", arch=arch, preprocessing=squeezed(64))
    images = images_for(4, 64)
    wanted_features, wanted_logits = plain_pass(original, images)
    features, logits = classifier(images)
    assert (classifier.k, classifier.d) == (5, features.shape[1])
    torch.testing.assert_close(features, wanted_features, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(logits, wanted_logits, atol=1e-5, rtol=1e-4)
    # the head kept apart, without torch, gives the same logits from the features
    scale = float(wanted_logits.abs().max())
    np.testing.assert_allclose(classifier.head.logits(features.numpy()), wanted_logits, atol=1e-5 * scale)


def test_images_pass_in_any_batch_alike(own_file: Path) -> None:
    classifier = load_classifier(own_file)
    images = images_for(5, 32)
    together = classifier(images)[1]
    alone = torch.cat([classifier(images[i : i + 1])[1] for i in range(5)])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)
    assert not together.requires_grad


def test_no_hook_is_left_in_a_loaded_network(own_file: Path) -> None:
    backbone = load_classifier(own_file).backbone
    assert isinstance(backbone, nn.Module)
    for module in backbone.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
        assert not module.training


def test_own_file_needs_no_architecture(own_file: Path) -> None:
    classifier = load_classifier(own_file)
    assert classifier.arch == "small"
    assert classifier.classes == ("dark", "light")
    assert classifier.preprocessing == squeezed(32)
    assert classifier.name == "own"
    assert description_of(classifier).classes == ("dark", "light")


def test_given_preprocessing_wins_over_the_file(own_file: Path) -> None:
    assert load_classifier(own_file, preprocessing=squeezed(40)).preprocessing == squeezed(40)


def test_another_architecture_than_the_file_says_is_refused(own_file: Path) -> None:
    with pytest.raises(ArchitectureMismatch, match="it holds small, not resnet18"):
        load_classifier(own_file, arch="resnet18")


def test_bare_weights_ask_for_their_architecture_and_suggest_it(tmp_path: Path, network: NetworkMaker) -> None:
    torch.save(network("resnet18", 2).state_dict(), tmp_path / "m.pt")
    with pytest.raises(BadRequest) as caught:
        load_classifier(tmp_path / "m.pt")
    assert "resnet18" in caught.value.next_step
    with pytest.raises(ArchitectureMismatch) as mismatch:
        load_classifier(tmp_path / "m.pt", arch="resnet50")
    assert "resnet18" in mismatch.value.next_step


def test_untaken_image_size_is_an_answer_not_a_traceback(tmp_path: Path, network: NetworkMaker) -> None:
    torch.save(network("densenet121", 2).state_dict(), tmp_path / "m.pt")
    with pytest.raises(BadRequest, match="8 x 8"):
        load_classifier(tmp_path / "m.pt", arch="densenet121", preprocessing=squeezed(8))


def test_digest_follows_weights_and_architecture_only(tmp_path: Path, network: NetworkMaker) -> None:
    state = network("small", 2).state_dict()
    torch.save(state, tmp_path / "a.pt")
    save_file({f"module.{name}": tensor for name, tensor in state.items()}, tmp_path / "b.safetensors")
    first = load_classifier(tmp_path / "a.pt", arch="small")
    assert load_classifier(tmp_path / "b.safetensors", arch="small", preprocessing=squeezed(20)).digest == first.digest
    state["head.bias"][0] += 1e-6
    torch.save(state, tmp_path / "a.pt")
    assert load_classifier(tmp_path / "a.pt", arch="small").digest != first.digest


def test_loading_leaves_the_random_state_alone(own_file: Path) -> None:
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    load_classifier(own_file)
    assert torch.equal(torch.rand(3), wanted)


def test_classes_are_compared_by_count_name_and_order(own_file: Path) -> None:
    classifier = load_classifier(own_file)
    classifier.check_classes(("dark", "light"))
    with pytest.raises(ClassMismatch, match=r"2 classes apart \(dark, light\), the dataset has 3"):
        classifier.check_classes(("a", "b", "c"))
    with pytest.raises(ClassMismatch, match="another order"):
        classifier.check_classes(("light", "dark"))
    with pytest.raises(ClassMismatch, match="other classes"):
        classifier.check_classes(("dark", "grey"))


@pytest.mark.parametrize("kind", ["weights", "script", "squeezed"])
def test_one_output_is_two_logits_of_the_same_chances(tmp_path: Path, network: NetworkMaker, kind: str) -> None:
    original = network("small", 1)
    if kind == "weights":
        torch.save(original.state_dict(), tmp_path / "m.pt")
    else:
        torch.jit.script(Squeezed(original).eval() if kind == "squeezed" else original).save(tmp_path / "m.pt")
    arch = "small" if kind == "weights" else None
    classifier = load_classifier(tmp_path / "m.pt", arch=arch, preprocessing=squeezed(32))
    classifier.check_classes(("dark", "light"))
    assert (classifier.k, classifier.single) == (2, True)
    images = images_for(4, 32)
    logits = classifier(images)[1]
    with torch.inference_mode():
        z = original(images)
    torch.testing.assert_close(torch.softmax(logits, dim=1)[:, 1:], torch.sigmoid(z))
    # either class has a range to look at
    assert (logits.std(dim=0) > 0).all()
    with pytest.raises(ClassMismatch, match="one output"):
        classifier.check_classes(("a", "b", "c"))


@pytest.mark.parametrize("script", [False, True])
def test_one_output_comes_back_as_one(tmp_path: Path, network: NetworkMaker, script: bool) -> None:
    original = network("small", 1)
    path = tmp_path / "m.pt"
    if script:
        torch.jit.script(original).save(path)
    else:
        torch.save(original.state_dict(), path)
    classifier = load_classifier(path, arch=None if script else "small", preprocessing=squeezed(32))
    images = images_for(4, 32)
    with torch.inference_mode():
        wanted = original(images)
        torch.testing.assert_close(replace_head(classifier, classifier.head)(images), wanted)
        # a head with nothing symmetric about it, as solvers make them
        rng = np.random.default_rng(0)
        head = Head(rng.normal(size=(2, 128)).astype(np.float32), rng.normal(size=2).astype(np.float32))
        found = replace_head(classifier, head)(images)
    logits = head.logits(classifier(images)[0].numpy())
    assert found.shape == (4, 1)
    np.testing.assert_allclose(found[:, 0], logits[:, 1] - logits[:, 0], rtol=1e-4, atol=1e-4)


class Squeezed(nn.Module):
    """Gives one number per image, as some training scripts have it."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.body(images).squeeze(1)


def test_halves_of_one_output_are_undone() -> None:
    rng = np.random.default_rng(0)
    head = Head(rng.normal(size=(1, 9)).astype(np.float32), rng.normal(size=1).astype(np.float32))
    back = one_output(two_logits(head))
    assert np.array_equal(back.weight, head.weight)
    assert np.array_equal(back.bias, head.bias)


def test_any_classes_pass_where_the_file_names_none(tmp_path: Path, network: NetworkMaker) -> None:
    torch.save(network("small", 5).state_dict(), tmp_path / "m.pt")
    load_classifier(tmp_path / "m.pt", arch="small").check_classes(CLASSES)


def test_replaced_head_changes_the_logits_and_nothing_else(own_file: Path) -> None:
    classifier = load_classifier(own_file)
    rng = np.random.default_rng(0)
    head = Head(rng.normal(size=(2, 128)).astype(np.float32), rng.normal(size=2).astype(np.float32))
    images = images_for(3, 32)
    features, before = classifier(images)
    repaired = replace_head(classifier, head)
    np.testing.assert_allclose(repaired(images).detach(), head.logits(features.numpy()), atol=1e-5)
    assert torch.equal(classifier(images)[1], before)


def test_replaced_network_loads_again_from_its_state_dict(tmp_path: Path, own_file: Path) -> None:
    classifier = load_classifier(own_file)
    head = Head(np.ones((2, 128), np.float32), np.array([1, -1], np.float32))
    repaired = replace_head(classifier, head)
    torch.save(repaired.state_dict(), tmp_path / "repaired.pt")
    write_checkpoint(tmp_path / "repaired.safetensors", repaired.state_dict(), description_of(classifier))
    images = images_for(3, 32)
    again = load_classifier(tmp_path / "repaired.safetensors")
    plain = load_classifier(tmp_path / "repaired.pt", arch="small", preprocessing=squeezed(32))
    assert again.classes == ("dark", "light")
    assert torch.equal(again(images)[1], plain(images)[1])
    assert again.head.bias.tolist() == [1, -1]


def test_head_of_another_size_is_refused(own_file: Path) -> None:
    classifier = load_classifier(own_file)
    with pytest.raises(BadRequest, match="2 x 64"):
        replace_head(classifier, Head(np.ones((2, 64), np.float32), np.zeros(2, np.float32)))


class ReshapedHead(nn.Module):
    """Ends in a linear layer whose result is changed afterwards."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.softmax(self.body(images), dim=1)


@pytest.mark.parametrize("how", ["script", "trace"])
def test_torchscript_gives_the_features_of_a_plain_forward_pass(
    tmp_path: Path, network: NetworkMaker, how: str
) -> None:
    original = network("small", 3)
    module = torch.jit.script(original) if how == "script" else torch.jit.trace(original, images_for(1, 64))
    module.save(tmp_path / "m.pt")
    classifier = load_classifier(tmp_path / "m.pt", preprocessing=squeezed(48))
    images = images_for(4, 48)
    wanted_features, wanted_logits = plain_pass(original, images)
    features, logits = classifier(images)
    torch.testing.assert_close(features, wanted_features, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(logits, wanted_logits, atol=1e-5, rtol=1e-4)
    assert classifier.arch == "torchscript"


def test_torchscript_takes_a_new_head_and_saves_it(tmp_path: Path, network: NetworkMaker) -> None:
    torch.jit.script(network("small", 2)).save(tmp_path / "m.pt")
    classifier = load_classifier(tmp_path / "m.pt", preprocessing=squeezed(32))
    head = Head(np.full((2, 128), 0.5, np.float32), np.array([3, 4], np.float32))
    repaired = replace_head(classifier, head)
    images = images_for(2, 32)
    wanted = head.logits(classifier(images)[0].numpy())
    np.testing.assert_allclose(repaired(images).detach(), wanted, atol=1e-5)
    assert isinstance(repaired, torch.jit.ScriptModule)
    repaired.save(tmp_path / "repaired.pt")
    again = load_classifier(tmp_path / "repaired.pt", preprocessing=squeezed(32))
    np.testing.assert_allclose(again(images)[1], wanted, atol=1e-5)
    assert again.digest != classifier.digest


def test_torchscript_without_a_bias_is_parted(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Conv2d(3, 6, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 2, bias=False))
    torch.jit.script(network).save(tmp_path / "m.pt")
    classifier = load_classifier(tmp_path / "m.pt", preprocessing=squeezed(16))
    assert classifier.head.bias.tolist() == [0, 0]
    with pytest.raises(BadRequest, match="no bias"):
        replace_head(classifier, Head(np.ones((2, 6), np.float32), np.ones(2, np.float32)))


@pytest.mark.parametrize("frozen", [True, False])
def test_torchscript_that_hides_its_last_layer_is_refused(tmp_path: Path, network: NetworkMaker, frozen: bool) -> None:
    module = torch.jit.script(network("small", 2) if frozen else ReshapedHead(network("small", 2)).eval())
    (torch.jit.freeze(module) if frozen else module).save(tmp_path / "m.pt")
    with pytest.raises(HeadNotFound):
        load_classifier(tmp_path / "m.pt", preprocessing=squeezed(32))


def test_torchscript_with_broken_weights_is_refused(tmp_path: Path, network: NetworkMaker) -> None:
    broken = network("small", 2)
    with torch.no_grad():
        broken.get_parameter("head.bias")[1] = float("nan")
    torch.jit.script(broken).save(tmp_path / "m.pt")
    with pytest.raises(BadWeights, match=r"head\.bias"):
        load_classifier(tmp_path / "m.pt")


def test_finite_weights_whose_logits_are_not_are_refused(tmp_path: Path, network: NetworkMaker) -> None:
    state = network("small", 2).state_dict()
    state["head.weight"] = torch.full_like(state["head.weight"], 3e38)
    torch.save(state, tmp_path / "m.pt")
    with pytest.raises(BadWeights, match="so large"):
        load_classifier(tmp_path / "m.pt", arch="small")


def test_torchscript_usually_takes_imagenet_sizes(tmp_path: Path, network: NetworkMaker) -> None:
    torch.jit.script(network("small", 2)).save(tmp_path / "m.pt")
    assert load_classifier(tmp_path / "m.pt").preprocessing == Preprocessing(256, 224)


class WritesWhenRun(nn.Module):
    """TorchScript that writes a file in its forward pass."""

    def __init__(self, sign: str) -> None:
        super().__init__()
        self.sign = sign
        self.head = nn.Linear(3, 2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        torch.save(images, self.sign)
        return self.head(images.mean((2, 3)))


class WritesWhenLoaded(nn.Module):
    """TorchScript that writes a file while it is being loaded."""

    def __init__(self, sign: str) -> None:
        super().__init__()
        self.sign = sign
        self.head = nn.Linear(3, 2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(images.mean((2, 3)))

    @torch.jit.export
    def __getstate__(self) -> tuple[str, torch.Tensor, torch.Tensor, bool]:
        return self.sign, self.head.weight, self.head.bias, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[str, torch.Tensor, torch.Tensor, bool]) -> None:
        torch.save(state[1], state[0])


@pytest.mark.parametrize("hostile", [WritesWhenRun, WritesWhenLoaded])
def test_torchscript_that_writes_files_is_refused_before_it_is_loaded(
    tmp_path: Path, hostile: Callable[[str], nn.Module]
) -> None:
    torch.jit.script(hostile(str(tmp_path / "sign")).eval()).save(tmp_path / "m.pt")
    with pytest.raises(UnsafeCheckpoint, match="save"):
        load_classifier(tmp_path / "m.pt", preprocessing=squeezed(16))
    assert not (tmp_path / "sign").exists()


@pytest.mark.parametrize("arch", ["resnet18", "mobilenet_v3_small"])
def test_torchvisions_networks_pass_as_torchscript(tmp_path: Path, network: NetworkMaker, arch: str) -> None:
    original = network(arch, 3)
    torch.jit.script(original).save(tmp_path / "m.pt")
    classifier = load_classifier(tmp_path / "m.pt", preprocessing=squeezed(64))
    images = images_for(2, 64)
    torch.testing.assert_close(classifier(images)[1], plain_pass(original, images)[1], atol=1e-5, rtol=1e-4)
