"""timm's networks: by name, and in folders as timm writes them; random weights, nothing is fetched."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import nn

from core.classifiers import torchvision_compat
from core.classifiers.architectures import check
from core.classifiers.checkpoint import write_checkpoint
from core.classifiers.classifier import description_of, load_classifier, replace_head, write_with_head
from core.classifiers.head import Head
from core.classifiers.heatmap import CAM, GRAD_CAM, heat_map
from core.classifiers.peek import peek
from core.classifiers.preprocessing import Preprocessing, squeezed
from core.classifiers.timm_models import build, named, parsed, preprocessing_of
from core.errors import ArchitectureMismatch, BadCheckpoint, BadRequest, HeadNotFound, NotFound, UnsafeCheckpoint

torchvision_compat.load()
timm = pytest.importorskip("timm")

SIDE = 64
# each ends in another way: fc, head.fc behind a norm, a convolution, tokens, channels last, an average of tokens
NETWORKS: dict[str, dict[str, Any]] = {
    "resnet18": {},
    "convnext_atto": {},
    "mobilenetv3_small_050": {},
    "resnetv2_50x1_bit": {},
    "dla46_c": {},
    "vit_tiny_patch16_224": {"img_size": SIDE, "depth": 2},
    "swin_tiny_patch4_window7_224": {"img_size": SIDE, "depths": [1, 1, 1, 1], "window_size": 2},
    "mixer_s32_224": {"img_size": SIDE},
}


def made(name: str, classes: int = 3, **settings: Any) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = timm.create_model(name, num_classes=classes, **settings)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.running_mean, -0.1, 0.1)
                nn.init.uniform_(module.running_var, 0.5, 1.5)
        last = network.get_classifier()
        nn.init.normal_(last.weight, std=0.5)
        nn.init.normal_(last.bias)
    return network.eval()


@pytest.fixture
def saved(tmp_path: Path) -> Callable[..., Path]:
    """saved(network, arguments, name, **config) -> a folder as timm writes it for the hub."""

    def save(network: nn.Module, settings: dict[str, Any] | None = None, name: str = "model", **config: Any) -> Path:
        folder = tmp_path / name
        timm.models.save_for_hf(
            network, folder, model_args=settings or None, model_config=config, safe_serialization=True
        )
        return folder

    return save


def images_for(count: int, side: int = SIDE) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(1).normal(size=(count, 3, side, side)).astype(np.float32))


def random_head(k: int, d: int) -> Head:
    rng = np.random.default_rng(2)
    return Head(rng.normal(size=(k, d)).astype(np.float32), rng.normal(size=k).astype(np.float32))


@pytest.mark.parametrize("name", NETWORKS)
def test_a_folder_gives_the_librarys_features_and_logits_and_takes_a_new_head(
    name: str, saved: Callable[..., Path], tmp_path: Path
) -> None:
    network = made(name, **NETWORKS[name])
    folder = saved(network, NETWORKS[name])
    classifier = load_classifier(folder, preprocessing=squeezed(SIDE))
    images = images_for(3)
    features, logits = classifier(images)
    with torch.inference_mode():
        wanted = network(images)
        pooled = network.forward_head(network.forward_features(images), pre_logits=True)  # type: ignore[operator]
    assert (classifier.origin, classifier.arch.startswith(f"timm:{name}")) == ("timm", True)
    torch.testing.assert_close(logits, wanted, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(features, pooled.flatten(1), atol=1e-4, rtol=1e-4)
    assert wanted.std(dim=0).min() > 1e-6
    head = random_head(3, classifier.d)
    write_with_head(classifier, head, tmp_path / "repaired")
    again = timm.create_model(f"local-dir:{tmp_path / 'repaired'}", pretrained=True).eval()
    with torch.inference_mode():
        found = again(images)
    expected = head.logits(features.numpy())
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())
    torch.testing.assert_close(replace_head(classifier, head)(images), found, atol=1e-4, rtol=1e-3)
    assert load_classifier(tmp_path / "repaired", preprocessing=squeezed(SIDE)).arch == classifier.arch


@pytest.mark.parametrize("name", ["resnet18", "convnext_atto", "resnetv2_50x1_bit"])
def test_a_state_dict_is_loaded_by_the_name_of_its_architecture(name: str, tmp_path: Path) -> None:
    network = made(name)
    state = {f"module.{key}": value for key, value in network.state_dict().items()}
    torch.save({"epoch": 3, "state_dict": state}, tmp_path / "m.pth.tar")
    classifier = load_classifier(tmp_path / "m.pth.tar", arch=f"timm:{name}", preprocessing=squeezed(SIDE))
    images = images_for(2)
    with torch.inference_mode():
        torch.testing.assert_close(classifier(images)[1], network(images), atol=1e-4, rtol=1e-4)
    head = random_head(3, classifier.d)
    write_with_head(classifier, head, tmp_path / "repaired.pth.tar")
    written = torch.load(tmp_path / "repaired.pth.tar", weights_only=True)
    assert written["epoch"] == 3
    network.load_state_dict({key.removeprefix("module."): value for key, value in written["state_dict"].items()})
    with torch.inference_mode():
        wanted = head.logits(classifier(images)[0].numpy())
        np.testing.assert_allclose(network(images), wanted, atol=1e-4 * np.abs(wanted).max())


def test_what_a_folder_says_is_taken(saved: Callable[..., Path]) -> None:
    folder = saved(made("resnet18"), label_names=["cat", "dog", "bird"])
    config = json.loads((folder / "config.json").read_text())
    config["pretrained_cfg"] |= {"mean": [0.5] * 3, "std": [0.25] * 3, "crop_pct": 0.95, "interpolation": "bicubic"}
    (folder / "config.json").write_text(json.dumps(config))
    classifier = load_classifier(folder)
    assert classifier.classes == ("cat", "dog", "bird") == peek(folder).classes
    assert classifier.preprocessing == Preprocessing(235, 224, (0.5,) * 3, (0.25,) * 3, "bicubic")
    assert load_classifier(folder, arch="timm:resnet18").digest == classifier.digest
    with pytest.raises(ArchitectureMismatch, match="says that it holds"):
        load_classifier(folder, arch="timm:resnet34")


@pytest.mark.parametrize(
    "config", [{}, {"crop_pct": 0.9}, {"crop_pct": 1.0, "crop_mode": "squash"}, {"input_size": [3, 96, 96]}]
)
def test_images_are_prepared_as_timm_prepares_them(config: dict[str, Any]) -> None:
    told = {**timm.models.get_pretrained_cfg("resnet18").to_dict(), **config}
    found, notes = preprocessing_of({"pretrained_cfg": told})
    transform = timm.data.create_transform(**timm.data.resolve_data_config({}, pretrained_cfg=told))
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (300, 400, 3), dtype=np.uint8))
    assert not notes
    np.testing.assert_allclose(found.apply(image), transform(image), atol=1e-5)


def test_what_is_different_here_is_said_or_refused() -> None:
    squash = {"input_size": [3, 224, 224], "crop_pct": 0.9, "crop_mode": "squash"}
    assert "squeezes" in preprocessing_of({"pretrained_cfg": squash})[1][0]
    assert "pads" in preprocessing_of({"pretrained_cfg": {"crop_mode": "border"}})[1][0]
    assert preprocessing_of({"model_args": {"in_chans": 1}})[0].colour == "grey"
    with pytest.raises(BadRequest, match="3 x 224 x 160"):
        preprocessing_of({"pretrained_cfg": {"input_size": [3, 224, 160]}})
    with pytest.raises(BadRequest, match="4 x 224"):
        preprocessing_of({"model_args": {"in_chans": 4}})


def test_names_with_arguments_are_spelt_in_one_way() -> None:
    arch = named("vit_tiny_patch16_224", {"img_size": 96, "act_layer": "gelu", "in_chans": None, "num_classes": 9})
    assert arch == "timm:vit_tiny_patch16_224?act_layer=gelu&img_size=96"
    assert parsed(arch) == ("vit_tiny_patch16_224", {"img_size": 96, "act_layer": "gelu"})
    for arguments in ({"window_size": [2, 2]}, {"name": "96"}, {"deep": True}, {"text": "a&b=c?d"}):
        assert parsed(named("x", arguments)) == ("x", arguments)


def test_unknown_names_are_answered_with_close_ones() -> None:
    assert check("timm:resnet18") == "timm:resnet18"
    with pytest.raises(BadRequest) as caught:
        check("timm:resnet-18x")
    assert "timm:resnet18" in caught.value.next_step


def test_arguments_that_reach_for_files_are_refused(saved: Callable[..., Path], tmp_path: Path) -> None:
    torch.save(made("resnet18").state_dict(), tmp_path / "m.pt")
    for argument in ("checkpoint_path=/etc/passwd", "pretrained=true"):
        with pytest.raises(BadRequest, match="cannot be given"):
            load_classifier(tmp_path / "m.pt", arch=f"timm:resnet18?{argument}")
    with pytest.raises(ArchitectureMismatch, match="cannot build"):
        load_classifier(tmp_path / "m.pt", arch="timm:resnet18?no_such_thing=1")
    # in a folder they are left out
    folder = saved(made("resnet18"))
    config = json.loads((folder / "config.json").read_text())
    config["model_args"] = {"checkpoint_path": "/etc/passwd", "pretrained": True}
    (folder / "config.json").write_text(json.dumps(config))
    assert load_classifier(folder).arch == "timm:resnet18"


NONSENSE: tuple[dict[str, Any], ...] = (
    *({"input_size": "large"}, {"input_size": [3]}, {"input_size": [3, 10**12, 10**12]}),
    *({"mean": ["a"] * 3}, {"std": [0, 0, 0]}, {"crop_pct": -1}, {"crop_pct": "all"}),
)


@pytest.mark.parametrize("told", NONSENSE)
def test_nonsense_about_images_is_an_answer_not_a_traceback(told: dict[str, Any], saved: Callable[..., Path]) -> None:
    folder = saved(timm.create_model("test_resnet", num_classes=2))
    config = json.loads((folder / "config.json").read_text())
    config["pretrained_cfg"] |= told
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises((BadCheckpoint, BadRequest)):
        load_classifier(folder)


def test_names_that_look_like_timms_say_so(tmp_path: Path) -> None:
    torch.save(timm.create_model("test_vit", num_classes=2).state_dict(), tmp_path / "m.pt")
    with pytest.raises(BadRequest) as caught:
        load_classifier(tmp_path / "m.pt")
    assert "timm:" in caught.value.next_step


def test_a_pickle_in_a_folder_is_refused(saved: Callable[..., Path]) -> None:
    folder = saved(made("resnet18"))
    (folder / "model.safetensors").unlink()
    torch.save(made("resnet18"), folder / "pytorch_model.bin")
    with pytest.raises(UnsafeCheckpoint):
        load_classifier(folder)


def test_one_output_comes_back_as_one(saved: Callable[..., Path], tmp_path: Path) -> None:
    network = made("resnet18", 1)
    classifier = load_classifier(saved(network), preprocessing=squeezed(SIDE))
    assert (classifier.single, classifier.k) == (True, 2)
    write_with_head(classifier, classifier.head, tmp_path / "again")
    images = images_for(2)
    again = timm.create_model(f"local-dir:{tmp_path / 'again'}", pretrained=True).eval()
    with torch.inference_mode():
        torch.testing.assert_close(again(images), network(images), atol=1e-4, rtol=1e-4)


def test_two_heads_are_refused_by_name(tmp_path: Path) -> None:
    network = timm.create_model("deit_tiny_distilled_patch16_224", num_classes=2, depth=1)
    torch.save(network.state_dict(), tmp_path / "m.pt")
    with pytest.raises(HeadNotFound, match="head, head_dist"):
        load_classifier(tmp_path / "m.pt", arch="timm:deit_tiny_distilled_patch16_224?depth=1")


def test_a_trained_network_becomes_a_file_of_ours(saved: Callable[..., Path], tmp_path: Path) -> None:
    folder = saved(made("vit_tiny_patch16_224", **NETWORKS["vit_tiny_patch16_224"]), NETWORKS["vit_tiny_patch16_224"])
    classifier = load_classifier(folder)
    whole = replace_head(classifier, random_head(3, classifier.d))
    write_checkpoint(tmp_path / "own.safetensors", whole.state_dict(), description_of(classifier))
    again = load_classifier(tmp_path / "own.safetensors")
    images = images_for(2)
    with torch.inference_mode():
        torch.testing.assert_close(again(images)[1], whole(images), atol=1e-4, rtol=1e-4)
    assert (again.arch, again.preprocessing) == (classifier.arch, classifier.preprocessing)


@pytest.mark.parametrize(
    ("name", "method"), [("resnet18", CAM), ("swin_tiny_patch4_window7_224", CAM), ("convnext_atto", GRAD_CAM)]
)
def test_where_it_looks(name: str, method: str, saved: Callable[..., Path]) -> None:
    classifier = load_classifier(saved(made(name, **NETWORKS[name]), NETWORKS[name]), preprocessing=squeezed(SIDE))
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 255, (80, 80, 3), dtype=np.uint8))
    heat = heat_map(classifier, photo, 1)
    assert (heat.method, heat.values.shape) == (method, (2, 2))
    if method == CAM:
        assert heat.values.mean() + heat.bias == pytest.approx(heat.score, abs=1e-3)


def test_tokens_have_no_place(saved: Callable[..., Path]) -> None:
    name = "vit_tiny_patch16_224"
    classifier = load_classifier(saved(made(name, **NETWORKS[name]), NETWORKS[name]))
    with pytest.raises(NotFound, match="transformer"):
        heat_map(classifier, Image.new("RGB", (SIDE, SIDE)), 0)


def test_without_the_library_a_sentence_says_what_to_install(saved: Callable[..., Path]) -> None:
    code = (
        "import sys; sys.modules['timm'] = None\n"
        "from core.classifiers.classifier import load_classifier\n"
        "from core.errors import BadRequest\n"
        "try:\n    load_classifier(sys.argv[1])\n"
        "except BadRequest as error:\n    print(error)\n"
    )
    folder = saved(made("resnet18"))
    assert load_file(folder / "model.safetensors")
    done = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True)
    assert "requirements-timm.txt" in done.stdout


@pytest.mark.parametrize(
    "query", ["patch_size=0", "depth=-1", "embed_dim=aaa", "img_size=[]", "embed_dim=" + "[" * 100_000]
)
def test_arguments_that_make_no_network_are_an_answer(query: str) -> None:
    with pytest.raises(ArchitectureMismatch, match="cannot build"):
        build(f"timm:vit_tiny_patch16_224?{query}", 2)
