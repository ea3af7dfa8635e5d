from __future__ import annotations

import contextlib
import json
import logging
import os
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from core.classifiers import torchvision_compat
from core.classifiers.architectures import build, last_linear
from core.classifiers.checkpoint import kind_of_file
from core.classifiers.classifier import Classifier, load_classifier, replace_head, with_preprocessing, write_with_head
from core.classifiers.exported_archive import read_archive
from core.classifiers.exported_program import Program
from core.classifiers.head import Head
from core.classifiers.network_precision import _cast
from core.classifiers.preprocessing import Preprocessing, squeezed
from core.errors import BadCheckpoint, BadRequest, BadWeights, HeadNotFound, UnsafeCheckpoint

NetworkMaker = Callable[..., nn.Module]
SIDE = 16


class Tiny(nn.Module):
    """Two convolutions, a mean over places, and whatever a test puts around them."""

    def __init__(self, ending: str = "linear", k: int = 3, channels: int = 3) -> None:
        super().__init__()
        self.ending = ending
        self.body = nn.Sequential(
            nn.Conv2d(channels, 4, 3, stride=2), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Conv2d(4, 5, 3), nn.ReLU()
        )
        nn.init.uniform_(self.body[1].running_mean, -0.1, 0.1)
        nn.init.uniform_(self.body[1].running_var, 0.5, 1.5)
        self.head = nn.Conv2d(5, k, 1) if "convolution" in ending else nn.Linear(5, k, bias=ending != "no bias")
        self.other = nn.Linear(5, k)

    def features(self, images: torch.Tensor) -> torch.Tensor:
        return self.body(images).mean((2, 3))

    def logits(self, images: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(self.features(images), self.head.weight.flatten(1), self.head.bias)

    def forward(self, images: torch.Tensor) -> Any:
        if self.ending == "convolution, then pooling":
            return self.head(self.body(images)).mean((2, 3))
        features = self.features(images)
        if self.ending == "written batch":
            features = features.view(1, 5)
        if self.ending == "kept batch":
            features = torch.cat([features, torch.ones(1, 2)], dim=1)[:, :5]
        if self.ending == "frozen":
            with torch.no_grad():
                features = features * 1
        if self.ending == "pooling, then convolution":
            return self.head(features[:, :, None, None]).flatten(1)
        logits = self.head(nn.functional.dropout(features, 0.5, self.training))
        if self.ending == "matmul":
            return features @ self.head.weight.T + self.head.bias
        if self.ending == "tuple":
            return images.mean(), logits
        if self.ending == "dict":
            return {"features": features, "logits": logits}
        if self.ending == "squeezed":
            return logits.squeeze(1)
        if self.ending == "relu":
            return logits.relu()
        if self.ending == "two heads":
            return logits + self.other(features)
        after = {
            "softmax": lambda z: z.softmax(1),
            "log-softmax": lambda z: z.log_softmax(-1),
            "sigmoid": torch.sigmoid,
        }
        return after[self.ending](logits) if self.ending in after else logits


class ChannelsLast(nn.Module):
    """Takes the pixels themselves, (b, h, w, c) uint8, and normalises on its own."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.inner((pixels.permute(0, 3, 1, 2).float() / 255 - 0.4) / 0.2)


def tiny(ending: str = "linear", *, seed: int = 0, **options: Any) -> Tiny:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Tiny(ending, **options).eval()


def save(
    network: nn.Module,
    path: Path,
    *,
    images: torch.Tensor | None = None,
    any_batch: bool = False,
    decomposed: bool = False,
) -> Path:
    """As people do it: one example, whose size is written down unless they say otherwise."""
    example = images_for(2 if any_batch else 1) if images is None else images
    shapes = ({0: torch.export.Dim("batch", min=1)},) if any_batch else None
    program = torch.export.export(network, (example,), dynamic_shapes=shapes)
    torch.export.save(program.run_decompositions() if decomposed else program, path)
    return path


def images_for(count: int, side: int = SIDE, channels: int = 3) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(1).normal(size=(count, channels, side, side)).astype(np.float32))


def new_head(k: int = 3, d: int = 5) -> Head:
    rng = np.random.default_rng(3)
    return Head(rng.normal(size=(k, d)).astype(np.float32), rng.normal(size=k).astype(np.float32))


def edited(path: Path, change: Callable[[str, bytes], bytes | None], *, compression: int = zipfile.ZIP_STORED) -> Path:
    """Rewrite the archive record by record; None leaves one out."""
    with zipfile.ZipFile(path) as archive:
        records = [(name, archive.read(name)) for name in archive.namelist()]
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in records:
            if (changed := change(name, content)) is not None:
                archive.writestr(name, changed)
    return path


def with_graph(path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    def edit(name: str, content: bytes) -> bytes:
        if "/models/" not in name:
            return content
        program = json.loads(content)
        change(program)
        return json.dumps(program).encode()

    return edited(path, edit)


@pytest.mark.parametrize("arch", ["small", "resnet18", "mobilenet_v3_small", "swin_t"])
def test_features_and_logits_are_those_of_a_plain_forward_pass(
    tmp_path: Path, network: NetworkMaker, arch: str
) -> None:
    original = network(arch, 3)
    path = save(original, tmp_path / "m.pt2", images=images_for(1, 64))
    assert kind_of_file(path) == "exported"
    classifier = load_classifier(path, preprocessing=squeezed(64))
    seen: list[torch.Tensor] = []
    hook = original.get_submodule(str(last_linear(original))).register_forward_hook(
        lambda _module, inputs, _output: seen.append(inputs[0])
    )
    images = images_for(4, 64)
    with torch.inference_mode():
        wanted = original(images)
    hook.remove()
    features, logits = classifier(images)
    torch.testing.assert_close(features, seen[0], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(logits, wanted, atol=1e-5, rtol=1e-4)
    assert (classifier.arch, classifier.origin, classifier.notes) == ("exported", "exported", ())
    np.testing.assert_allclose(
        classifier.head.weight, original.get_submodule(str(last_linear(original))).weight.detach().numpy()
    )


@pytest.mark.parametrize("decomposed", [False, True])
@pytest.mark.parametrize("any_batch", [False, True])
@pytest.mark.parametrize(
    "ending",
    [
        *("linear", "no bias", "matmul", "convolution, then pooling", "pooling, then convolution", "frozen"),
        *("softmax", "log-softmax", "sigmoid", "tuple", "dict"),
    ],
)
def test_every_ending_gives_the_logits(tmp_path: Path, ending: str, any_batch: bool, decomposed: bool) -> None:
    original = tiny(ending)
    path = save(original, tmp_path / "m.pt2", any_batch=any_batch, decomposed=decomposed)
    classifier = load_classifier(path, preprocessing=squeezed(SIDE))
    # batches of other sizes than it was exported for
    for count in (1, 5):
        images = images_for(count)
        with torch.inference_mode():
            features, logits = classifier(images)
            torch.testing.assert_close(features, original.features(images), atol=1e-5, rtol=1e-4)
            torch.testing.assert_close(logits, original.logits(images), atol=1e-5, rtol=1e-4)
    said = " ".join(classifier.notes)
    assert (ending in said) == (ending in ("softmax", "log-softmax", "sigmoid"))


@pytest.mark.parametrize(("ending", "batch"), [("written batch", None), ("kept batch", 1)])
def test_a_batch_that_is_written_into_the_graph_is_opened_or_kept_to(
    tmp_path: Path, ending: str, batch: int | None
) -> None:
    original = tiny(ending)
    classifier = load_classifier(save(original, tmp_path / "m.pt2"), preprocessing=squeezed(SIDE))
    assert isinstance(classifier.backbone, Program)
    assert classifier.backbone.takes.batch == batch
    images = images_for(5)
    torch.testing.assert_close(classifier(images)[1], original.logits(images), atol=1e-5, rtol=1e-4)
    repaired = replace_head(classifier, new_head())
    with torch.inference_mode():
        np.testing.assert_allclose(repaired(images), new_head().logits(classifier(images)[0].numpy()), atol=1e-5)


def test_tokens_and_attention_take_any_batch(tmp_path: Path) -> None:
    """A transformer as torchvision has it, whose graph names the batch of its example in many places."""
    torch.manual_seed(0)
    network = torchvision_compat.load().models.VisionTransformer(SIDE, 8, 2, 2, 8, 16, num_classes=3).eval()
    nn.init.normal_(network.heads.head.weight)
    images = images_for(5)
    with torch.inference_mode():
        wanted = network(images)
    for decomposed in (False, True):
        classifier = load_classifier(save(network, tmp_path / "m.pt2", decomposed=decomposed))
        torch.testing.assert_close(classifier(images)[1], wanted, atol=1e-5, rtol=1e-4)
        assert isinstance(classifier.backbone, Program)
        assert classifier.backbone.takes.batch is None


@pytest.mark.parametrize("ending", ["linear", "sigmoid", "squeezed"])
def test_one_output_is_two_logits(tmp_path: Path, ending: str) -> None:
    original = tiny(ending, k=1)
    classifier = load_classifier(save(original, tmp_path / "m.pt2", any_batch=True), preprocessing=squeezed(SIDE))
    assert (classifier.k, classifier.single) == (2, True)
    images = images_for(4)
    chance = torch.softmax(classifier(images)[1], dim=1)[:, 1:]
    torch.testing.assert_close(chance, torch.sigmoid(original.logits(images)), atol=1e-5, rtol=1e-4)


def test_preprocessing_is_proposed_from_the_size(tmp_path: Path) -> None:
    def proposed(side: int) -> Preprocessing:
        return load_classifier(save(tiny(), tmp_path / "m.pt2", images=images_for(1, side))).preprocessing

    assert proposed(64) == squeezed(64)
    assert proposed(224) == Preprocessing(256, 224)
    assert (proposed(160).resize, proposed(160).crop) == (183, 160)
    with pytest.raises(BadRequest, match="64 x 64 pixels only, not of 32 x 32"):
        load_classifier(save(tiny(), tmp_path / "m.pt2", images=images_for(1, 64)), preprocessing=squeezed(32))


def test_pixels_with_channels_last_are_given_as_they_are(tmp_path: Path) -> None:
    original = ChannelsLast(tiny()).eval()
    pixels = torch.randint(0, 256, (3, SIDE, SIDE, 3), dtype=torch.uint8)
    path = save(original, tmp_path / "m.pt2", images=pixels[:1])
    # whatever the preprocessing normalises by is undone again
    for chosen in (load_classifier(path).preprocessing, squeezed(SIDE)):
        classifier = load_classifier(path, preprocessing=chosen)
        batch = torch.from_numpy(chosen.normalise(pixels.numpy())).permute(0, 3, 1, 2)
        with torch.inference_mode():
            torch.testing.assert_close(classifier(batch)[1], original(pixels), atol=1e-5, rtol=1e-4)


def test_grey_images(tmp_path: Path) -> None:
    original = tiny(channels=1)
    path = save(original, tmp_path / "m.pt2", images=images_for(1, channels=1))
    classifier = load_classifier(path)
    assert classifier.preprocessing.colour == "grey"
    images = images_for(3, channels=1)
    torch.testing.assert_close(classifier(images)[1], original.logits(images), atol=1e-5, rtol=1e-4)
    with pytest.raises(BadRequest, match="takes images grey, not in colour"):
        load_classifier(path, preprocessing=squeezed(SIDE))


@pytest.mark.parametrize(
    ("shape", "said"),
    [((1, 4, SIDE, SIDE), "4 channels"), ((1, 3, 8, 16), "16 x 8"), ((1, 3 * SIDE), "2 dimensions")],
)
def test_what_is_no_image_is_said(tmp_path: Path, shape: tuple[int, ...], said: str) -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(int(np.prod(shape)), 2)).eval()
    with pytest.raises(BadRequest, match=said):
        load_classifier(save(network, tmp_path / "m.pt2", images=torch.ones(shape)))


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_read_as_float32(tmp_path: Path, kind: torch.dtype) -> None:
    original = tiny().to(kind)
    path = save(original, tmp_path / "m.pt2", images=images_for(1).to(kind))
    classifier = load_classifier(path)
    images = images_for(3)
    wanted = original.float().logits(images)
    torch.testing.assert_close(classifier(images)[1], wanted, atol=1e-5, rtol=1e-4)
    write_with_head(classifier, new_head(), tmp_path / "new.pt2")
    again = load_classifier(tmp_path / "new.pt2")
    np.testing.assert_allclose(again.head.weight, new_head().weight, rtol=1e-2, atol=1e-2)
    # as it came: in its own precision
    assert torch.export.load(tmp_path / "new.pt2").state_dict["head.weight"].dtype == kind


@pytest.mark.parametrize(("ending", "said"), [("relu", "ends in relu"), ("two heads", "ends in add")])
def test_what_is_no_linear_layer_is_said(tmp_path: Path, ending: str, said: str) -> None:
    with pytest.raises(HeadNotFound, match=said):
        load_classifier(save(tiny(ending), tmp_path / "m.pt2"))


def test_network_that_was_exported_while_training_is_refused(tmp_path: Path) -> None:
    for decomposed in (False, True):
        save(tiny().train(), tmp_path / "m.pt2", images=images_for(4), decomposed=decomposed)
        with pytest.raises(BadRequest, match="while training"):
            load_classifier(tmp_path / "m.pt2")


def test_weights_that_are_not_finite_are_named(tmp_path: Path) -> None:
    original = tiny()
    original.head.weight.data[0, 0] = torch.nan
    with pytest.raises(BadWeights, match=r"head\.weight"):
        load_classifier(save(original, tmp_path / "m.pt2"))


def test_network_in_memory_takes_a_new_head_under_its_own_names(tmp_path: Path) -> None:
    original = tiny()
    classifier = load_classifier(save(original, tmp_path / "m.pt2"))
    repaired = replace_head(classifier, new_head())
    images = images_for(4)
    wanted = new_head().logits(classifier(images)[0].numpy())
    with torch.inference_mode():
        np.testing.assert_allclose(repaired(images), wanted, atol=1e-5)
    # what the code that built the network takes
    state = repaired.state_dict()
    missing, unknown = original.load_state_dict(state, strict=False)
    assert unknown == []
    assert set(missing) == {"other.weight", "other.bias"}
    with torch.inference_mode():
        np.testing.assert_allclose(original(images), wanted, atol=1e-5)


@pytest.mark.parametrize("ending", ["linear", "softmax", "convolution, then pooling", "squeezed"])
def test_repaired_program_keeps_its_archive_inputs_and_outputs(tmp_path: Path, ending: str) -> None:
    k = 1 if ending == "squeezed" else 3
    original = tiny(ending, k=k)
    path = save(original, tmp_path / "m.pt2", any_batch=True)
    classifier = load_classifier(path)
    head = new_head(classifier.k)
    notes = write_with_head(classifier, head, tmp_path / "new.pt2")
    images = images_for(4)
    wanted = torch.from_numpy(head.logits(classifier(images)[0].numpy()))
    # of one output there is the difference of the two
    again = load_classifier(tmp_path / "new.pt2")(images)[1]
    torch.testing.assert_close(again.softmax(1), wanted.softmax(1), atol=1e-5, rtol=1e-4)
    # and by torch's own reader, with what follows the logits
    with torch.inference_mode():
        found = torch.export.load(tmp_path / "new.pt2").module()(images)
    if ending == "softmax":
        wanted = wanted.softmax(1)
    if ending == "squeezed":
        wanted = wanted[:, 1] - wanted[:, 0]
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-4)
    assert bool(notes) == (ending == "softmax")


def test_head_without_a_place_for_its_bias_is_written_anew(tmp_path: Path) -> None:
    classifier = load_classifier(save(tiny("no bias"), tmp_path / "m.pt2"))
    (note,) = write_with_head(classifier, new_head(), tmp_path / "new.pt2")
    assert "written anew" in note
    images = images_for(4)
    wanted = torch.from_numpy(new_head().logits(classifier(images)[0].numpy()))
    with torch.inference_mode():
        torch.testing.assert_close(torch.export.load(tmp_path / "new.pt2").module()(images), wanted)
    torch.testing.assert_close(load_classifier(tmp_path / "new.pt2")(images)[1], wanted)


def test_program_can_be_moved_cast_and_shared(tmp_path: Path) -> None:
    classifier = load_classifier(save(tiny(), tmp_path / "m.pt2"))
    module = classifier.network()
    assert module is not None
    images = images_for(4)
    exact = classifier(images)[0]
    rounded = module.to(torch.bfloat16)(images.to(torch.bfloat16)).float()
    assert 0 < float((rounded - exact).abs().max()) < 0.05 * float(exact.abs().max())


class Hostile:
    """Unpickling this makes a folder: the sign that code has run."""

    def __init__(self, sign: Path) -> None:
        self.sign = sign

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.sign),)


def test_hostile_sample_inputs_are_never_read_and_never_handed_on(tmp_path: Path) -> None:
    sign = tmp_path / "sign"
    path = save(tiny(), tmp_path / "m.pt2")
    torch.save(Hostile(sign), tmp_path / "trap.pt")
    trap = (tmp_path / "trap.pt").read_bytes()
    edited(path, lambda name, content: trap if "/sample_inputs/" in name else content)
    classifier = load_classifier(path)
    write_with_head(classifier, new_head(), tmp_path / "new.pt2")
    assert not sign.exists()
    torch.export.load(tmp_path / "new.pt2")
    assert not sign.exists()
    # the trap works: torch's own reader falls back to unpickling, and then stumbles over its own warning of that
    logging.disable(logging.CRITICAL)
    with contextlib.suppress(AssertionError):
        torch.export.load(path)
    logging.disable(logging.NOTSET)
    assert sign.exists()


def test_part_that_is_there_twice_is_neither_read_nor_handed_on(tmp_path: Path) -> None:
    path = save(tiny(), tmp_path / "m.pt2")
    torch.save(Hostile(tmp_path / "sign"), tmp_path / "trap.pt")
    with zipfile.ZipFile(path) as archive:
        records = [(name, archive.read(name)) for name in archive.namelist()]
    for spelling in (str, str.upper):
        with zipfile.ZipFile(tmp_path / "twice.pt2", "w") as archive, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for name, content in records:
                if "/sample_inputs/" in name:
                    archive.writestr(spelling(name), (tmp_path / "trap.pt").read_bytes())
                archive.writestr(name, content)
        for read in (load_classifier, read_archive):
            with pytest.raises(UnsafeCheckpoint, match="twice"):
                read(tmp_path / "twice.pt2")


def test_copy_holds_the_program_and_nothing_else_of_the_file(tmp_path: Path) -> None:
    path = save(tiny(), tmp_path / "m.pt2")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("m/data/constants/deeper/trap", b"no")
        archive.writestr("m/data/weights.txt", b"no")
    write_with_head(load_classifier(path), new_head(), tmp_path / "new.pt2")
    with zipfile.ZipFile(tmp_path / "new.pt2") as archive:
        assert not [name for name in archive.namelist() if "trap" in name or "weights.txt" in name]
    with torch.inference_mode():
        assert torch.export.load(tmp_path / "new.pt2").module()(images_for(1)).shape == (1, 3)


def test_numbers_under_the_name_of_an_object_are_refused(tmp_path: Path) -> None:
    def renamed(name: str, content: bytes) -> bytes:
        return content.replace(b'"weight_0"', b'"custom_obj_0"') if name.endswith("_weights_config.json") else content

    with pytest.raises(UnsafeCheckpoint, match="Python object"):
        load_classifier(edited(save(tiny(), tmp_path / "m.pt2"), renamed))


def node(target: str, results: list[str], **given: Any) -> dict[str, Any]:
    inputs = [
        {"name": name, "arg": {"as_tensor": {"name": one}} if isinstance(one, str) else one, "kind": 1}
        for name, one in given.items()
    ]
    outputs = [{"as_tensor": {"name": name}} for name in results]
    return {"target": target, "inputs": inputs, "outputs": outputs, "metadata": {}, "is_hop_single_tensor_return": None}


ATEN = "torch.ops.aten."
SUMMED = node(ATEN + "sum.default", ["summed"], self="result")
NONE = {"as_none": True}


def ones(name: str, *sizes: int) -> dict[str, Any]:
    return node(ATEN + "ones.default", [name], size={"as_ints": list(sizes)})


def with_nodes(path: Path, *nodes: dict[str, Any]) -> Path:
    """Another program: nodes come ahead of the last layer, and `summed` is added to its features."""

    def change(program: dict[str, Any]) -> None:
        graph = program["graph_module"]["graph"]
        (place,) = (at for at, one in enumerate(graph["nodes"]) if one["target"] == ATEN + "linear.default")
        features = graph["nodes"][place]["inputs"][0]["arg"]
        added = node(ATEN + "add.Tensor", ["other_features"], self=features, other="summed")
        graph["nodes"][place]["inputs"][0]["arg"] = {"as_tensor": {"name": "other_features"}}
        graph["nodes"][place:place] = [*nodes, added]

    return with_graph(path, change)


UNCHECKED = {
    "batch normalisation": [
        ones("x", 1, 64, 1, 1),
        ones("few", 1),
        node(
            ATEN + "_native_batch_norm_legit_no_training.default",
            ["result", "a", "b"],
            **{"input": "x", "weight": NONE, "bias": NONE, "running_mean": "few", "running_var": "few"},
            **{"momentum": {"as_float": 0.1}, "eps": {"as_float": 1e-5}},
        ),
    ],
    "attention": [
        ones("x", 1, 1, 4, 8),
        ones("few", 1, 1, 1, 8),
        node(
            ATEN + "_scaled_dot_product_flash_attention_for_cpu.default",
            ["result", "a"],
            **{"query": "x", "key": "x", "value": "few"},
        ),
    ],
    "numbers": [
        ones("x", 4),
        node(
            ATEN + "_reshape_alias.default",
            ["result"],
            **{"self": "x", "size": {"as_ints": [4096]}, "stride": {"as_ints": [1]}},
        ),
    ],
    "times as large": [
        ones("x", 1, 1, 4, 4),
        node(
            ATEN + "upsample_nearest2d.default",
            ["result"],
            **{"self": "x", "output_size": {"as_ints": [8, 8]}},
            **{"scales_h": {"as_float": 1e-30}, "scales_w": {"as_float": 1e-30}},
        ),
    ],
}


@pytest.mark.parametrize("said", UNCHECKED)
def test_operators_do_not_read_beyond_their_tensors(tmp_path: Path, said: str) -> None:
    path = with_nodes(save(tiny(), tmp_path / "m.pt2"), *UNCHECKED[said], SUMMED)
    with pytest.raises(BadRequest, match="cannot take" if said == "numbers" else said):
        load_classifier(path)


def test_unset_memory_is_never_shown(tmp_path: Path) -> None:
    empty = node(ATEN + "empty.memory_format", ["result"], size={"as_ints": [1000]})
    plain = load_classifier(save(tiny(), tmp_path / "m.pt2"))
    changed = load_classifier(with_nodes(save(tiny(), tmp_path / "n.pt2"), empty, SUMMED))
    torch.testing.assert_close(changed(images_for(2)), plain(images_for(2)))


OUTER = node(ATEN + "mul.Tensor", ["result"], self="high", other="wide")
LARGE = {
    "ones": [ones("result", 2**29)],
    "an outer product": [ones("high", 2**15, 1), ones("wide", 1, 2**15), OUTER],
    "repeated": [ones("x", 2), node(ATEN + "repeat.default", ["result"], self="x", repeats={"as_ints": [2**28]})],
}


@pytest.mark.parametrize("what", LARGE)
def test_values_that_would_take_all_memory_are_refused(tmp_path: Path, what: str) -> None:
    path = with_nodes(save(tiny(), tmp_path / "m.pt2"), *LARGE[what], SUMMED)
    with pytest.raises(BadRequest, match="a value on the way would have"):
        load_classifier(path)


def test_division_by_nothing_is_said(tmp_path: Path) -> None:
    division = node("_operator.floordiv", [], a={"as_int": 1}, b={"as_int": 0})
    division["outputs"] = [{"as_sym_int": {"as_name": "nothing"}}]
    size = {"as_sym_ints": [{"as_name": "nothing"}]}
    made = node(ATEN + "ones.default", ["result"], size=size)
    with pytest.raises(BadRequest, match="division"):
        load_classifier(with_nodes(save(tiny(), tmp_path / "m.pt2"), division, made, SUMMED))


class Named(nn.Module):
    """A network whose layers are called as people like."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.stem = name
        self._modules[name] = nn.Conv2d(3, 4, 3)
        self.head = nn.Linear(4, 2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self._modules[self.stem](images).relu().mean((2, 3)))


@pytest.mark.parametrize("name", ["raw", "finished", "watching", "takes", "_steps", "_head", "half_precision"])
def test_layers_may_be_called_as_anything_here(tmp_path: Path, name: str) -> None:
    network = Named(name).eval()
    classifier = load_classifier(save(network, tmp_path / "m.pt2"))
    with torch.inference_mode():
        torch.testing.assert_close(classifier(images_for(2))[1], network(images_for(2)))


class TwoBiases(Tiny):
    """A last layer with a bias, and another added to what it gives."""

    def __init__(self) -> None:
        super().__init__()
        self.more = nn.Parameter(torch.tensor([1.0, -2.0, 3.0]))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(images)) + self.more


def test_two_biases_are_one(tmp_path: Path) -> None:
    network = TwoBiases().eval()
    classifier = load_classifier(save(network, tmp_path / "m.pt2"))
    with torch.inference_mode():
        torch.testing.assert_close(classifier(images_for(2))[1], network(images_for(2)))
    torch.testing.assert_close(torch.from_numpy(classifier.head.bias), (network.head.bias + network.more).detach())
    write_with_head(classifier, new_head(), tmp_path / "new.pt2")
    np.testing.assert_array_equal(load_classifier(tmp_path / "new.pt2").head.bias, new_head().bias)


@pytest.mark.parametrize("part", ["weights", "constants"])
def test_pickled_tensors_are_refused_without_running(tmp_path: Path, part: str) -> None:
    path = save(tiny(), tmp_path / "m.pt2")

    def pickled(name: str, content: bytes) -> bytes:
        if not name.endswith(f"_{part}_config.json"):
            return content
        config = json.loads(content)
        config["config"]["trap"] = {
            "path_name": "opaque_obj_0",
            "is_param": False,
            "use_pickle": True,
            "tensor_meta": None,
        }
        return json.dumps(config).encode()

    with pytest.raises(UnsafeCheckpoint, match="Python object") as caught:
        load_classifier(edited(path, pickled))
    assert "torch.save(program.state_dict, 'weights.pt')" in caught.value.next_step


def test_function_that_is_no_operator_is_not_called(tmp_path: Path) -> None:
    sign = tmp_path / "sign"

    def call(program: dict[str, Any]) -> None:
        node = program["graph_module"]["graph"]["nodes"][0]
        node["target"] = "torch.os.mkdir"
        node["inputs"] = [{"name": "", "arg": {"as_string": str(sign)}, "kind": 1}]

    with pytest.raises(BadCheckpoint, match=r"torch\.os\.mkdir"):
        load_classifier(with_graph(save(tiny(), tmp_path / "m.pt2"), call))
    assert not sign.exists()


@pytest.mark.parametrize("target", ["torch.ops.aten.from_file.default", "torch.ops.aten.save.default", "torch.load"])
def test_operators_that_reach_files_are_not_run(tmp_path: Path, target: str) -> None:
    def call(program: dict[str, Any]) -> None:
        program["graph_module"]["graph"]["nodes"][0]["target"] = target

    with pytest.raises(BadCheckpoint, match="operator"):
        load_classifier(with_graph(save(tiny(), tmp_path / "m.pt2"), call))


def test_size_that_is_code_is_refused_without_running(tmp_path: Path) -> None:
    sign = tmp_path / "sign"
    path = save(tiny(), tmp_path / "m.pt2", any_batch=True)

    def code(program: dict[str, Any]) -> None:
        values = program["graph_module"]["graph"]["tensor_values"]
        for meta in values.values():
            for size in meta["sizes"]:
                if "as_expr" in size:
                    size["as_expr"]["expr_str"] = f"__import__('os').mkdir({str(sign)!r})"

    with pytest.raises(UnsafeCheckpoint, match="run it as code"):
        load_classifier(with_graph(path, code))
    assert not sign.exists()
    # letters alone can be code as well
    for text in ("exec(chr(49))", "s0.__class__", "breakpoint()"):
        with pytest.raises(UnsafeCheckpoint):
            load_classifier(with_graph(path, lambda program, text=text: program.update(extra={"expr_str": text})))


def test_name_that_is_code_is_refused(tmp_path: Path) -> None:
    def code(program: dict[str, Any]) -> None:
        text = json.dumps(program["graph_module"]).replace('"conv2d"', '"conv2d); import os; (x"')
        program["graph_module"] = json.loads(text)

    path = save(tiny(), tmp_path / "m.pt2")
    with pytest.raises(BadCheckpoint, match="no name of a value"):
        load_classifier(with_graph(path, code))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_file_cut_short_is_damaged_not_a_traceback(tmp_path: Path, share: float) -> None:
    path = save(tiny(), tmp_path / "m.pt2")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(BadCheckpoint):
        load_classifier(path)


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("graph", "cannot be read as a program"),
        ("version", "version 99"),
        ("weights absent", "cannot be read"),
        ("weights short", "cannot be read"),
        ("size", "cannot be read"),
        ("undefined", "used before it is computed"),
        ("compressed", "compressed"),
        ("compiled", "compiled for one machine"),
    ],
)
def test_damage_is_named(tmp_path: Path, what: str, said: str) -> None:
    path = save(tiny(), tmp_path / "m.pt2")

    def damage(name: str, content: bytes) -> bytes | None:
        if "/models/" in name:
            if what == "compiled":
                return None
            if what == "graph":
                return content[:1000]
            program = json.loads(content)
            if what == "version":
                program["schema_version"]["major"] = 99
            if what == "undefined":
                nodes = program["graph_module"]["graph"]["nodes"]
                nodes[0], nodes[1] = nodes[1], nodes[0]
            return json.dumps(program).encode()
        if name.endswith("/weight_0"):
            if what == "weights absent":
                return None
            if what == "weights short":
                return content[:-4]
        if what == "size" and name.endswith("weights_config.json"):
            return content.replace(b'"sizes": [{"as_int": 3}', b'"sizes": [{"as_int": 300000000000}')
        return content

    compression = zipfile.ZIP_DEFLATED if what == "compressed" else zipfile.ZIP_STORED
    with pytest.raises(BadCheckpoint, match=said):
        load_classifier(edited(path, damage, compression=compression))


def test_files_of_former_versions_are_read(tmp_path: Path) -> None:
    """Laid out as torch 2.5 to 2.7 wrote them, out of what is written today."""
    original = tiny()
    path = save(original, tmp_path / "m.pt2")
    with zipfile.ZipFile(path) as archive:
        (name,) = [one for one in archive.namelist() if "/models/" in one]
        graph = archive.read(name)
    torch.save(original.state_dict(), tmp_path / "state.pt")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("version", "8.2")
        archive.writestr("serialized_exported_program.json", graph)
        archive.writestr("serialized_state_dict.pt", (tmp_path / "state.pt").read_bytes())
        archive.writestr("serialized_constants.pt", b"")
        archive.writestr("serialized_example_inputs.pt", b"not read")
    assert kind_of_file(path) == "exported"
    classifier = load_classifier(path)
    images = images_for(3)
    torch.testing.assert_close(classifier(images)[1], original.logits(images), atol=1e-5, rtol=1e-4)
    # written back in the present layout
    write_with_head(classifier, new_head(), tmp_path / "new.pt2")
    wanted = torch.from_numpy(new_head().logits(classifier(images)[0].numpy()))
    with torch.inference_mode():
        torch.testing.assert_close(torch.export.load(tmp_path / "new.pt2").module()(images), wanted)
    # and a pickle among them is refused
    torch.save({"head.weight": Hostile(tmp_path / "sign")}, tmp_path / "state.pt")
    trap = (tmp_path / "state.pt").read_bytes()
    edited(path, lambda name, content: trap if "state_dict" in name else content)
    with pytest.raises(UnsafeCheckpoint):
        load_classifier(path)
    assert not (tmp_path / "sign").exists()


def test_digest_follows_the_file(tmp_path: Path) -> None:
    first = load_classifier(save(tiny(), tmp_path / "a.pt2")).digest
    (tmp_path / "b.pt2").write_bytes((tmp_path / "a.pt2").read_bytes())
    assert load_classifier(tmp_path / "b.pt2").digest == first
    assert load_classifier(save(tiny(seed=1), tmp_path / "a.pt2")).digest != first


def test_own_small_network_comes_back(tmp_path: Path) -> None:
    network = build("small", 2).eval()
    path = save(network, tmp_path / "m.pt2", images=images_for(1, 32), any_batch=False)
    assert load_classifier(path).preprocessing == squeezed(32)


class OfPixels(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 8, 3), nn.Linear(8, 2)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.last(self.first(pixels.float() / 255).relu().mean((2, 3)))


@pytest.mark.parametrize("kind", ["exported", "moved", "onnx"])
def test_what_takes_pixels_knows_of_another_preprocessing(tmp_path: Path, kind: str) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = OfPixels().eval()
    sample = (torch.zeros(2, 3, 32, 32, dtype=torch.uint8),)
    if kind == "onnx":
        file = tmp_path / "m.onnx"
        torch.onnx.export(network, sample, str(file), dynamo=False)
    else:
        file = tmp_path / "m.pt2"
        torch.export.save(torch.export.export(network, sample), file)
    loaded = load_classifier(file)
    if kind == "moved":
        # as on a graphics card
        program = loaded.network()
        assert program is not None
        loaded = replace(loaded, backbone=_cast(loaded, program, torch.device("cpu"), "fp32"))
    other = replace(loaded.preprocessing, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    given = np.random.default_rng(0).integers(0, 256, size=(4, 32, 32, 3), dtype=np.uint8)

    def said(classifier: Classifier) -> np.ndarray:
        pixels = np.moveaxis(classifier.preprocessing.normalise(given), -1, 1)
        return classifier(torch.from_numpy(np.ascontiguousarray(pixels)))[1].numpy()

    changed = with_preprocessing(loaded, other)
    np.testing.assert_allclose(said(changed), said(load_classifier(file, preprocessing=other)), atol=1e-6)
    # it undoes what its images went through, whatever that was
    np.testing.assert_allclose(said(changed), said(loaded), atol=1e-6)
    with pytest.raises(BadRequest, match="only"):
        with_preprocessing(loaded, replace(other, crop=24))
