"""A network in bfloat16 beside itself in float32."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from core.classifiers import network_precision
from core.classifiers.architectures import build
from core.classifiers.checkpoint import ModelDescription, write_checkpoint
from core.classifiers.classifier import Classifier, load_classifier
from core.classifiers.network_precision import BF16, FP32, Parity, check_precision, parity, runner, why_not_bf16
from core.classifiers.preprocessing import squeezed
from core.errors import BadRequest


def written(folder: Path, arch: str, crop: int = 32) -> Classifier:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build(arch, 3)
        # statistics that batch normalisation does something with
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.uniform_(-0.5, 0.5)
                module.running_var.uniform_(0.5, 2)
                module.weight.data.uniform_(0.5, 1.5)
    path = folder / f"{arch}.safetensors"
    write_checkpoint(path, network.state_dict(), ModelDescription(arch, ("a", "b", "c"), squeezed(crop)))
    return load_classifier(path)


@pytest.fixture
def small(tmp_path: Path) -> Classifier:
    return written(tmp_path, "small")


def pixels(count: int, crop: int = 32) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, size=(count, crop, crop, 3), dtype=np.uint8)


@pytest.mark.parametrize("arch", ["small", "resnet18", "mobilenet_v3_small", "densenet121"])
def test_bfloat16_is_close_to_float32_and_not_the_same(tmp_path: Path, arch: str) -> None:
    classifier = written(tmp_path, arch)
    exact, rounded = runner(classifier, FP32), runner(classifier, BF16)
    features, _ = exact(pixels(24))
    near, near_logits = rounded(pixels(24))
    assert near.dtype == near_logits.dtype == np.float32
    assert not np.array_equal(features, near)
    assert np.abs(features - near).max() < 0.1 * np.abs(features).max()
    # the last layer is applied in float32 to the features as they are stored
    np.testing.assert_allclose(classifier.head.logits(near), near_logits, rtol=1e-4, atol=1e-4)


def test_float32_on_the_processor_is_the_classifier_itself(small: Classifier) -> None:
    run = runner(small, FP32)
    if run.device.type == "cpu":
        assert run.classifier is small


def test_the_classifier_is_left_as_it_was(small: Classifier) -> None:
    backbone = small.backbone
    assert isinstance(backbone, nn.Module)
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    runner(small, BF16)(pixels(2))
    assert all(torch.equal(before[name], value) for name, value in backbone.state_dict().items())
    assert backbone.state_dict().keys() == before.keys()


def test_torchscript_runs_in_bfloat16(tmp_path: Path) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build("resnet18", 3).eval()
    torch.jit.script(network).save(str(tmp_path / "model.pt"))
    classifier = load_classifier(tmp_path / "model.pt", preprocessing=squeezed(32))
    features, _ = runner(classifier, BF16)(pixels(4))
    exact, _ = runner(classifier, FP32)(pixels(4))
    assert not np.array_equal(features, exact)
    np.testing.assert_allclose(features, exact, atol=0.05 * np.abs(exact).max())


def test_what_is_no_module_has_its_own_precision(small: Classifier) -> None:
    classifier = replace(small, backbone=lambda batch: batch.mean(dim=(2, 3)), arch="onnx")
    assert "onnx" in why_not_bf16(classifier, 10**6)
    with pytest.raises(BadRequest, match="its own precision"):
        runner(classifier, BF16)
    run = runner(classifier, FP32)
    assert (run.device.type, run.streams) == ("cpu", 1)


def test_a_network_that_bfloat16_breaks_is_told(small: Classifier) -> None:
    class Picky(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            if images.dtype != torch.float32:
                raise RuntimeError("expected scalar type Float but found BFloat16")
            return images.mean(dim=(2, 3))

    with pytest.raises(BadRequest, match=r"cannot be computed in bfloat16 .* found BFloat16"):
        runner(replace(small, backbone=Picky()), BF16)


def test_a_batch_too_large_for_the_memory_is_computed_in_halves(small: Classifier) -> None:
    backbone = small.backbone
    seen: list[int] = []

    def tight(batch: torch.Tensor) -> torch.Tensor:
        seen.append(len(batch))
        if len(batch) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return backbone(batch)

    features, logits = runner(replace(small, backbone=tight), FP32)(pixels(9))
    assert seen == [9, 5, 3, 2, 4, 2, 2]
    expected = runner(small, FP32)(pixels(9))
    np.testing.assert_allclose(features, expected[0], atol=1e-5)
    np.testing.assert_allclose(logits, expected[1], atol=1e-5)

    def hopeless(batch: torch.Tensor) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        runner(replace(small, backbone=hopeless), FP32)(pixels(2))


def test_parity_looks_at_what_differs_between_images() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(200, 4)) + np.array([100, 0, 0, 0])
    assert parity(logits, logits) == Parity(200, pytest.approx(1), 1)
    # noise as large as the differences: the classes' means alone would correlate to 0.9995
    noisy = parity(logits, logits + rng.normal(size=logits.shape))
    assert noisy.correlation < 0.8
    assert not noisy.holds
    slightly = parity(logits, logits * 1.01 + 3)
    assert slightly.holds


def test_parity_counts_other_predictions() -> None:
    logits = np.tile([[10.0, 0.0], [0.0, 10.0]], (100, 1))
    other = logits.copy()
    other[0] = other[0, ::-1]
    assert parity(logits, other).agreement == 0.995
    other[2] = other[2, ::-1]
    assert not parity(logits, other).holds


def test_parity_of_the_constant_and_of_the_infinite() -> None:
    flat = np.tile([1.0, 2.0], (20, 1))
    assert parity(flat, flat).holds
    assert not parity(flat, np.full((20, 2), np.nan)).holds
    assert not parity(flat, np.arange(40.0).reshape(20, 2)).holds


@pytest.mark.parametrize("images", [1, 15, 16])
def test_parity_of_a_few_images_tells_nothing(images: int) -> None:
    logits = np.random.default_rng(0).normal(size=(images, 4))
    assert parity(logits, logits).holds is (images >= 16)
    # of one image nothing is left once the mean is taken off: anything with the same winner would pass
    assert not parity(logits[:1], 5 * logits[:1]).holds


def test_float32_is_not_rounded_to_ten_bits_on_a_graphics_card(
    small: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    class Asked(nn.Module):
        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            seen.append(torch.backends.cudnn.allow_tf32)
            return batch.mean((2, 3))

    before = torch.backends.cudnn.allow_tf32
    monkeypatch.setattr(network_precision, "device_for", lambda classifier: torch.device("cpu"))
    run = network_precision._cast(small, Asked(), torch.device("cpu"), FP32)
    run(torch.zeros(1, 3, 32, 32))
    assert seen == [False, False]
    assert torch.backends.cudnn.allow_tf32 is before


def test_little_work_is_not_worth_it(tmp_path: Path, small: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network_precision, "has_native_bf16", lambda where: True)
    assert "too little" in why_not_bf16(small, 10**6)
    large = written(tmp_path, "resnet18", crop=224)
    assert why_not_bf16(large, 10_000) == ""
    assert "too little" in why_not_bf16(large, 100)
    monkeypatch.setattr(network_precision, "has_native_bf16", lambda where: False)
    assert "no instructions" in why_not_bf16(large, 10_000)


def test_precisions_have_names() -> None:
    assert [check_precision(name) for name in ("auto", "fp32", "bf16")] == ["auto", "fp32", "bf16"]
    with pytest.raises(BadRequest, match="'fp16'"):
        check_precision("fp16")
