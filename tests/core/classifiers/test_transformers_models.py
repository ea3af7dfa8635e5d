"""Image classifiers of transformers: tiny networks with random weights, saved by the library and loaded here."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn

from core.classifiers import torchvision_compat
from core.classifiers.checkpoint import ModelDescription, write_checkpoint
from core.classifiers.classifier import (
    Classifier,
    description_of,
    load_classifier,
    replace_head,
    write_like,
    write_with_head,
)
from core.classifiers.head import Head
from core.classifiers.heatmap import CAM, heat_map
from core.classifiers.peek import peek
from core.classifiers.preprocessing import Preprocessing, squeezed
from core.errors import (
    ArchitectureMismatch,
    BadCheckpoint,
    BadRequest,
    BadWeights,
    HeadNotFound,
    PathNotFound,
    UnsafeCheckpoint,
)

torchvision_compat.load()
transformers = pytest.importorskip("transformers")

SIDE = 64
TINY: dict[str, dict[str, Any]] = {
    "ViT": {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32},
    "Dinov2": {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "patch_size": 16},
    "ResNet": {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic"},
    "ConvNext": {"hidden_sizes": [8, 16], "depths": [1, 1], "num_stages": 2},
    "Swin": {"embed_dim": 12, "depths": [1, 1], "num_heads": [2, 2], "window_size": 4},
    "MobileNetV2": {"depth_multiplier": 0.25},
    "RegNet": {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "groups_width": 4},
    "Segformer": {"hidden_sizes": [8, 16, 16, 16], "depths": [1] * 4, "num_attention_heads": [1] * 4},
}
PROCESSOR = {
    "image_processor_type": "ViTImageProcessor",
    "size": {"height": SIDE, "width": SIDE},
    "image_mean": [0.5, 0.4, 0.3],
    "image_std": [0.2, 0.25, 0.3],
    "resample": 3,
}


def made(kind: str = "ViT", classes: int = 3, seed: int = 0, **settings: Any) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = getattr(transformers, f"{kind}Config")(
            **{"image_size": SIDE, **TINY[kind], "num_labels": classes, **settings}
        )
        network = getattr(transformers, f"{kind}ForImageClassification")(config)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.running_mean, -0.1, 0.1)
                nn.init.uniform_(module.running_var, 0.5, 1.5)
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
            if isinstance(module, nn.Linear) and module.out_features == classes:
                # they start near 0, where logits would agree with anything
                nn.init.normal_(module.weight, std=0.5)
                if module.bias is not None:
                    nn.init.normal_(module.bias)
    return network.eval()


@pytest.fixture
def saved(tmp_path: Path) -> Callable[..., Path]:
    """saved(network, processor) -> a folder as save_pretrained writes it."""

    def save(network: Any, processor: dict[str, Any] | None = PROCESSOR, name: str = "model") -> Path:
        folder = tmp_path / name
        network.save_pretrained(folder)
        if processor is not None:
            (folder / "preprocessor_config.json").write_text(json.dumps(processor))
        return folder

    return save


def images_for(count: int, side: int = SIDE) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(1).normal(size=(count, 3, side, side)).astype(np.float32))


def told(network: Any, images: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return network(pixel_values=images).logits


@pytest.mark.parametrize("kind", TINY)
def test_features_and_logits_are_the_librarys(kind: str, saved: Callable[..., Path]) -> None:
    network = made(kind)
    classifier = load_classifier(saved(network))
    images = images_for(4)
    features, logits = classifier(images)
    wanted = told(network, images)
    assert (classifier.origin, classifier.arch) == ("transformers", f"hf:{kind}ForImageClassification")
    assert features.shape == (4, classifier.d)
    scale = 1e-4 * max(1.0, float(wanted.abs().max()))
    torch.testing.assert_close(logits, wanted, atol=scale, rtol=0)
    np.testing.assert_allclose(classifier.head.logits(features.numpy()), wanted, atol=scale)
    assert wanted.std(dim=0).min() > 1e-6, "images differ, or anything would pass"


@pytest.mark.parametrize("kind", ["ViT", "ResNet", "Segformer"])
@pytest.mark.parametrize("classes", [1, 3])
def test_a_new_head_is_written_as_a_folder_that_the_library_loads(
    kind: str, classes: int, saved: Callable[..., Path], tmp_path: Path
) -> None:
    classifier = load_classifier(saved(made(kind, classes, id2label={i: f"class {i}" for i in range(classes)})))
    rng = np.random.default_rng(0)
    head = Head(
        rng.normal(size=(classifier.k, classifier.d)).astype(np.float32), rng.normal(size=classifier.k).astype("f4")
    )
    write_with_head(classifier, head, tmp_path / "repaired")
    images = images_for(4)
    found = told(transformers.AutoModelForImageClassification.from_pretrained(tmp_path / "repaired"), images)
    wanted = head.logits(classifier(images)[0].numpy())
    if classes == 1:
        wanted = wanted[:, 1:] - wanted[:, :1]
    np.testing.assert_allclose(found, wanted, atol=1e-4 * np.abs(wanted).max())
    again = load_classifier(tmp_path / "repaired")
    assert again.preprocessing == classifier.preprocessing
    assert again.classes == classifier.classes
    assert again.digest != classifier.digest
    torch.testing.assert_close(replace_head(classifier, head)(images), found, atol=1e-4, rtol=1e-3)


NONSENSE: tuple[dict[str, Any], ...] = (
    *({"image_mean": ["a", "b", "c"]}, {"image_std": [0, 0, 0]}, {"rescale_factor": "half"}, {"size": -3}),
    *({"size": {"height": "x", "width": "y"}}, {"size": 10**9, "do_center_crop": False}),
)


@pytest.mark.parametrize("processor", NONSENSE)
def test_nonsense_about_images_is_an_answer_not_a_traceback(
    processor: dict[str, Any], saved: Callable[..., Path]
) -> None:
    folder = saved(made(), {**PROCESSOR, **processor})
    with pytest.raises((BadCheckpoint, BadRequest)):
        load_classifier(folder)


def test_what_is_there_is_not_written_over(saved: Callable[..., Path], tmp_path: Path) -> None:
    classifier = load_classifier(saved(made()))
    with pytest.raises(BadRequest, match="there already"):
        write_with_head(classifier, classifier.head, tmp_path / "model")
    with pytest.raises(BadRequest, match="3 x 5"):
        write_with_head(classifier, Head(np.ones((3, 5), np.float32), np.zeros(3, np.float32)), tmp_path / "new")
    assert not list(tmp_path.glob(".*")), "nothing half written is left"


def test_classes_and_preprocessing_come_from_the_folder(saved: Callable[..., Path]) -> None:
    folder = saved(made(id2label={0: "cat", 1: "dog", 2: "bird"}))
    classifier = load_classifier(folder)
    assert classifier.classes == ("cat", "dog", "bird") == peek(folder).classes
    assert classifier.preprocessing == Preprocessing(None, SIDE, (0.5, 0.4, 0.3), (0.2, 0.25, 0.3), "bicubic")
    assert classifier.name == "model"
    assert classifier.file == folder
    assert load_classifier(folder, preprocessing=squeezed(SIDE)).preprocessing == squeezed(SIDE)
    assert load_classifier(saved(made(), name="other")).classes is None


def test_images_are_prepared_as_the_librarys_processor_prepares_them(saved: Callable[..., Path]) -> None:
    folder = saved(made())
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (90, 120, 3), dtype=np.uint8))
    processor = transformers.AutoImageProcessor.from_pretrained(folder, backend="pil")
    wanted = np.asarray(processor(image, return_tensors="np")["pixel_values"])[0]
    np.testing.assert_allclose(load_classifier(folder).preprocessing.apply(image), wanted, atol=1e-5)


def test_one_output_is_two_logits(saved: Callable[..., Path]) -> None:
    network = made(classes=1)
    classifier = load_classifier(saved(network))
    assert (classifier.single, classifier.k, classifier.classes) == (True, 2, None)
    images = images_for(4)
    logits = classifier(images)[1]
    torch.testing.assert_close(torch.softmax(logits, 1)[:, 1:], torch.sigmoid(told(network, images)))


def test_parts_and_pickles_of_weights_are_read(saved: Callable[..., Path]) -> None:
    network = made()
    whole = load_classifier(saved(network))
    folder = saved(network, name="parts")
    (folder / "model.safetensors").unlink()
    state = load_file(whole.file / "model.safetensors")
    names = sorted(state)
    parts = {"model-1.safetensors": names[::2], "model-2.safetensors": names[1::2]}
    for part, inside in parts.items():
        save_file({name: state[name] for name in inside}, folder / part)
    listed = {name: part for part, inside in parts.items() for name in inside}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": listed}))
    assert load_classifier(folder).digest == whole.digest
    (folder / "model-2.safetensors").unlink()
    with pytest.raises(PathNotFound, match=r"model-2\.safetensors"):
        load_classifier(folder)
    listed[names[0]] = "../model/model.safetensors"
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": listed}))
    with pytest.raises(BadCheckpoint, match="outside"):
        load_classifier(folder)
    (folder / "model.safetensors.index.json").unlink()
    torch.save(state, folder / "pytorch_model.bin")
    assert load_classifier(folder).digest == whole.digest


class Hostile:
    def __init__(self, sign: Path) -> None:
        self.sign = sign

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.mkdir, (str(self.sign),)


def test_a_pickle_in_a_folder_is_refused_unopened(saved: Callable[..., Path], tmp_path: Path) -> None:
    folder = saved(made())
    (folder / "model.safetensors").unlink()
    torch.save({"classifier.weight": Hostile(tmp_path / "sign")}, folder / "pytorch_model.bin")
    with pytest.raises(UnsafeCheckpoint, match="Python objects"):
        load_classifier(folder)
    assert not (tmp_path / "sign").exists()


def test_code_that_a_model_brings_is_never_run(saved: Callable[..., Path], tmp_path: Path) -> None:
    folder = saved(made())
    (folder / "modeling.py").write_text(f"import os; os.mkdir({str(tmp_path / 'sign')!r})")
    config = json.loads((folder / "config.json").read_text())
    auto = {"AutoConfig": "modeling.C", "AutoModelForImageClassification": "modeling.M"}
    # a kind that transformers knows is built with its own code
    (folder / "config.json").write_text(json.dumps({**config, "auto_map": auto}))
    assert load_classifier(folder).k == 3
    (folder / "config.json").write_text(json.dumps({**config, "auto_map": auto, "model_type": "of-its-own"}))
    with pytest.raises(UnsafeCheckpoint, match="code of its own"):
        load_classifier(folder)
    assert not (tmp_path / "sign").exists()
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "of-its-own"}))
    with pytest.raises(BadCheckpoint, match="of-its-own"):
        load_classifier(folder)


def test_settings_that_would_fetch_something_are_left_out(saved: Callable[..., Path]) -> None:
    network = made()
    folder = saved(network)
    config = json.loads((folder / "config.json").read_text())
    hostile = {
        "_attn_implementation": "somebody/kernel",
        "quantization_config": {"quant_method": "bitsandbytes", "load_in_8bit": True},
        "dtype": "bfloat16",
    }
    (folder / "config.json").write_text(json.dumps({**config, **hostile}))
    images = images_for(2)
    torch.testing.assert_close(load_classifier(folder)(images)[1], told(network, images), atol=1e-4, rtol=1e-4)


def test_weights_without_their_head_are_no_classifier(saved: Callable[..., Path]) -> None:
    folder = saved(made())
    state = load_file(folder / "model.safetensors")
    save_file(
        {name: tensor for name, tensor in state.items() if "classifier" not in name}, folder / "model.safetensors"
    )
    with pytest.raises(ArchitectureMismatch, match=r"classifier\.bias, classifier\.weight"):
        load_classifier(folder)


def test_other_weights_than_the_configurations_are_refused(saved: Callable[..., Path]) -> None:
    folder = saved(made())
    state = load_file(folder / "model.safetensors")
    state["classifier.weight"] = torch.ones(3, 7)
    save_file(state, folder / "model.safetensors")
    with pytest.raises((ArchitectureMismatch, BadCheckpoint)):
        load_classifier(folder)
    state["classifier.weight"] = torch.full((3, 24), float("nan"))
    save_file(state, folder / "model.safetensors")
    with pytest.raises(BadWeights, match="NaN"):
        load_classifier(folder)


def test_models_that_do_not_classify_are_refused(tmp_path: Path) -> None:
    config = transformers.ViTConfig(image_size=SIDE, **TINY["ViT"])
    transformers.ViTModel(config).save_pretrained(tmp_path / "model")
    with pytest.raises(BadRequest, match="does not classify"):
        load_classifier(tmp_path / "model")
    assert "does not classify" in peek(tmp_path / "model").problem


def test_a_network_of_timm_inside_transformers(tmp_path: Path) -> None:
    pytest.importorskip("timm")
    pretrained = {"input_size": [3, 96, 96], "mean": [0.5] * 3, "std": [0.25] * 3, "crop_pct": 1.0}
    config = transformers.TimmWrapperConfig(architecture="test_resnet", pretrained_cfg=pretrained, num_labels=3)
    network = transformers.TimmWrapperForImageClassification(config).eval()
    network.save_pretrained(tmp_path / "model")
    classifier = load_classifier(tmp_path / "model")
    assert (classifier.origin, peek(tmp_path / "model").kind) == ("transformers", "transformers")
    assert classifier.preprocessing == Preprocessing(96, 96, (0.5,) * 3, (0.25,) * 3)
    images = images_for(2, 96)
    torch.testing.assert_close(classifier(images)[1], told(network, images), atol=1e-4, rtol=1e-4)
    head = Head(classifier.head.weight * 2, classifier.head.bias + 1)
    write_with_head(classifier, head, tmp_path / "again")
    again = transformers.AutoModelForImageClassification.from_pretrained(tmp_path / "again")
    torch.testing.assert_close(
        told(again, images), torch.from_numpy(head.logits(classifier(images)[0].numpy())), atol=1e-4, rtol=1e-4
    )


def test_the_mean_of_two_heads_is_not_taken_for_one(tmp_path: Path) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = transformers.DeiTConfig(image_size=SIDE, num_labels=3, **TINY["ViT"])
        network = transformers.DeiTForImageClassificationWithTeacher(config)
        for module in network.modules():
            if isinstance(module, nn.Linear) and module.out_features == 3:
                nn.init.normal_(module.weight, std=0.5)
    network.save_pretrained(tmp_path / "model")
    with pytest.raises(HeadNotFound, match=r"distillation_classifier, network\.cls_classifier"):
        load_classifier(tmp_path / "model")


def test_a_file_of_weights_is_built_from_a_configuration_elsewhere(saved: Callable[..., Path], tmp_path: Path) -> None:
    network = made(id2label={0: "a", 1: "b", 2: "c"})
    folder = saved(network)
    (tmp_path / "apart").mkdir()
    weights = tmp_path / "apart" / "best.pt"
    torch.save({"model": {f"module.{n}": t for n, t in network.state_dict().items()}}, weights)
    classifier = load_classifier(weights, arch=f"hf:{folder}")
    images = images_for(3)
    torch.testing.assert_close(classifier(images)[1], told(network, images), atol=1e-4, rtol=1e-4)
    assert classifier.classes == ("a", "b", "c")
    # what an analysis stores finds it again
    assert load_classifier(weights, arch=classifier.arch).digest == classifier.digest
    with pytest.raises(PathNotFound, match=r"config\.json"):
        load_classifier(weights, arch=f"hf:{tmp_path}")
    with pytest.raises(BadRequest, match="of which architecture") as caught:
        load_classifier(weights)
    assert "hf:folder" in caught.value.next_step
    with pytest.raises(ArchitectureMismatch, match="says that it holds"):
        load_classifier(folder, arch="hf:ResNetForImageClassification")


def trained(classifier: Classifier, outputs: int) -> nn.Module:
    """The whole network as after training: other numbers everywhere, and a head with this many outputs."""
    from core.classifiers.tracing import layer_of

    network: Any = classifier.backbone
    rng = np.random.default_rng(3)
    head = Head(rng.normal(size=(outputs, classifier.d)).astype("f4"), rng.normal(size=outputs).astype("f4"))
    network.set_submodule(classifier.head_name, layer_of(head))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.01)
    return network.eval()


@pytest.mark.parametrize("classes", [1, 3])
def test_a_trained_network_becomes_a_file_of_ours(classes: int, saved: Callable[..., Path], tmp_path: Path) -> None:
    folder = saved(made(classes=classes))
    classifier = load_classifier(folder)
    description = description_of(classifier)
    network = trained(load_classifier(folder), classifier.k)
    write_checkpoint(tmp_path / "own.safetensors", network.state_dict(), description)
    again = load_classifier(tmp_path / "own.safetensors")
    images = images_for(3)
    with torch.inference_mode():
        torch.testing.assert_close(again(images)[1], network(images), atol=1e-4, rtol=1e-4)
    assert (again.arch, again.preprocessing) == (classifier.arch, classifier.preprocessing)
    assert (again.single, again.k) == (False, classifier.k)
    assert load_classifier(tmp_path / "own.safetensors", arch=again.arch).digest == again.digest
    if classes == 3:
        # and a folder again
        write_like(classifier, network, tmp_path / "trained")
        found = told(transformers.AutoModelForImageClassification.from_pretrained(tmp_path / "trained"), images)
        torch.testing.assert_close(found, again(images)[1], atol=1e-4, rtol=1e-4)


def test_a_file_of_weights_is_written_as_one(saved: Callable[..., Path], tmp_path: Path) -> None:
    folder = saved(made())
    for name in ("a.safetensors", "a.pt"):
        (tmp_path / "in").mkdir(exist_ok=True)
        state = load_file(folder / "model.safetensors")
        file = tmp_path / "in" / name
        save_file(state, file) if name.endswith("rs") else torch.save(state, file)
        classifier = load_classifier(file, arch=f"hf:{folder}")
        head = Head(classifier.head.weight * 2, classifier.head.bias + 1)
        write_with_head(classifier, head, tmp_path / name)
        again = load_classifier(tmp_path / name, arch=f"hf:{folder}")
        np.testing.assert_allclose(again.head.weight, head.weight)
        assert set(
            load_file(tmp_path / name) if name.endswith("rs") else torch.load(tmp_path / name, weights_only=True)
        ) == set(state)


def test_settings_of_the_network_count_as_much_as_its_weights(saved: Callable[..., Path]) -> None:
    first = load_classifier(saved(made()))
    folder = saved(made(), name="other")
    assert load_classifier(folder).digest == first.digest
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "layer_norm_eps": 1e-2}))
    assert load_classifier(folder).digest != first.digest


def test_where_it_looks_is_shown_or_refused(saved: Callable[..., Path]) -> None:
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 255, (80, 80, 3), dtype=np.uint8))
    classifier = load_classifier(saved(made("ResNet")))
    heat = heat_map(classifier, photo, 0)
    assert heat.method == CAM
    assert heat.values.mean() + heat.bias == pytest.approx(heat.score, abs=1e-4)
    from core.errors import NotFound

    with pytest.raises(NotFound, match="transformer"):
        heat_map(load_classifier(saved(made("ViT"), name="vit")), photo, 0)


def test_without_the_library_a_sentence_says_what_to_install(saved: Callable[..., Path]) -> None:
    folder = saved(made())
    code = (
        "import sys; sys.modules['transformers'] = None\n"
        "from core.classifiers.classifier import load_classifier\n"
        "from core.errors import BadRequest\n"
        "try:\n    load_classifier(sys.argv[1])\n"
        "except BadRequest as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True)
    assert "requirements-text.txt" in done.stdout


def test_memory_for_random_numbers_is_the_callers(saved: Callable[..., Path]) -> None:
    folder = saved(made())
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    load_classifier(folder)
    assert torch.equal(torch.rand(3), wanted)


@pytest.fixture
def asked_for(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Addresses that somebody looked up, each of which fails."""
    found: list[Any] = []

    def nobody(host: Any, *rest: Any, **options: Any) -> Any:
        found.append(host)
        raise socket.gaierror("there is no network here")

    monkeypatch.setattr(socket, "getaddrinfo", nobody)
    return found


@pytest.mark.parametrize("place", ["evil/beacon", "folder"])
def test_a_place_that_only_a_file_names_is_not_gone_to(
    place: str, saved: Callable[..., Path], tmp_path: Path, asked_for: list[Any]
) -> None:
    folder = saved(made())
    state = load_file(folder / "model.safetensors")
    named = str(folder) if place == "folder" else place
    file = tmp_path / "ours.safetensors"
    write_checkpoint(file, state, ModelDescription(arch=f"hf:{named}", classes=("a", "b", "c")))
    with pytest.raises(BadCheckpoint, match="does not describe it"):
        load_classifier(file)
    assert asked_for == []


def wrapped(folder: Path, **config: Any) -> Path:
    folder.mkdir()
    told = {
        "model_type": "timm_wrapper",
        "architectures": ["TimmWrapperForImageClassification"],
        "num_classes": 2,
        "label_names": ["a", "b"],
        "pretrained_cfg": {},
        **config,
    }
    (folder / "config.json").write_text(json.dumps(told))
    save_file({"a.weight": torch.ones(2, 2)}, str(folder / "model.safetensors"))
    return folder


@pytest.mark.parametrize("address", ["hf-hub:evil/beacon", "local-dir:/tmp", "hf_hub:evil/beacon"])
def test_a_wrapped_network_from_elsewhere_is_refused(address: str, tmp_path: Path, asked_for: list[Any]) -> None:
    pytest.importorskip("timm")
    with pytest.raises(UnsafeCheckpoint, match="from elsewhere"):
        load_classifier(wrapped(tmp_path / "model", architecture=address))
    assert asked_for == []


@pytest.mark.parametrize("key", ["checkpoint_path", "pretrained_cfg", "pretrained", "cache_dir"])
def test_arguments_with_which_timm_opens_files_or_fetches_are_left_out(
    key: str, tmp_path: Path, asked_for: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    timm = pytest.importorskip("timm")
    given = []
    create = timm.create_model

    def watched(name: str, **options: Any) -> Any:
        given.append(options)
        return create(name, **{**options, "pretrained": False} if key == "pretrained" else options)

    monkeypatch.setattr(timm, "create_model", watched)
    secret = tmp_path / "secret.pth"
    torch.save({"x": torch.ones(1)}, secret)
    values = {"checkpoint_path": str(secret), "pretrained_cfg": {"url": "http://evil.example/x"}, "pretrained": True}
    arguments = {key: values.get(key, str(tmp_path)), "drop_rate": 0.1}
    with pytest.raises(ArchitectureMismatch):
        load_classifier(wrapped(tmp_path / "model", architecture="resnet18", model_args=arguments))
    assert [options["drop_rate"] for options in given] == [0.1]
    assert all(options.get(key) in (None, False) for options in given)
    assert asked_for == []


def test_a_configuration_nested_without_end_is_damage(saved: Callable[..., Path], tmp_path: Path) -> None:
    file = tmp_path / "deep.safetensors"
    description = ModelDescription(arch="hf:ViTForImageClassification", config="[" * 100_000 + "]" * 100_000)
    write_checkpoint(file, {"a.weight": torch.ones(2, 2)}, description)
    with pytest.raises(BadCheckpoint, match="cannot be read"):
        load_classifier(file)
