"""Model files that are damaged or made to do harm, through `load_classifier` and `check`: refused with a sentence, or
loaded without anything in them having run."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from safetensors.torch import load_file, save_file
from torch import nn

from core.classifiers.architectures import build
from core.classifiers.classifier import load_classifier
from core.classifiers.peek import peek
from core.errors import (
    ArchitectureMismatch,
    BadCheckpoint,
    BadRequest,
    BadWeights,
    HeadNotFound,
    MidbandError,
    PathNotFound,
    UnsafeCheckpoint,
)

Place = Any
Command = Callable[..., tuple[int, dict[str, Any], str]]
Make = Callable[[Place], Path]
SIDE = 16


@dataclass(frozen=True)
class Refused:
    """says: in the detail. advises: in the next step. arch: named beside the file."""

    make: Make
    kind: type[MidbandError]
    says: str
    advises: str
    arch: str | None


@dataclass(frozen=True)
class Loaded:
    make: Make
    arch: str | None


CASES: dict[str, Refused | Loaded] = {}


def refused(
    name: str, kind: type[MidbandError], says: str, advises: str, arch: str | None = None
) -> Callable[[Make], Make]:
    def add(make: Make) -> Make:
        CASES[name] = Refused(make, kind, says, advises, arch)
        return make

    return add


def loaded(name: str, arch: str | None = None) -> Callable[[Make], Make]:
    def add(make: Make) -> Make:
        CASES[name] = Loaded(make, arch)
        return make

    return add


def state(arch: str = "small") -> dict[str, torch.Tensor]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return dict(build(arch, 2).state_dict())


class Tiny(nn.Module):
    """Means of the colours, and a last layer."""

    def __init__(self, returned: str = "logits") -> None:
        super().__init__()
        self.returned = returned
        self.head = nn.Linear(3, 2)

    def forward(self, images: torch.Tensor) -> Any:
        features = images.mean((2, 3))
        logits = self.head(features)
        if self.returned == "a tuple":
            return features, logits
        if self.returned == "a dict":
            return {"features": features, "logits": logits}
        return logits


def tiny(returned: str = "logits") -> Tiny:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Tiny(returned).eval()


# pickles


def with_trap(place: Place, name: str, **options: Any) -> Path:
    path: Path = place.given / name
    torch.save({"state_dict": state(), "extra": place.trap}, path, **options)
    place.works(pickle.dumps(place.trap))
    return path


@refused("a harmful pickle beside the weights", UnsafeCheckpoint, "mkdir", "save only the weights", "small")
def _(place: Place) -> Path:
    return with_trap(place, "model.pt")


@refused("the same as torch wrote it before 1.6", UnsafeCheckpoint, "was not read", "save only the weights", "small")
def _(place: Place) -> Path:
    return with_trap(place, "model.pth", _use_new_zipfile_serialization=False)


@refused("a bare pickle", UnsafeCheckpoint, "was not read", "torch.save(model.state_dict(), 'weights.pt')", "small")
def _(place: Place) -> Path:
    path: Path = place.given / "model.pkl"
    path.write_bytes(pickle.dumps({"weights": place.trap}))
    place.works(path.read_bytes())
    return path


@refused("a harmful pickle called safetensors", UnsafeCheckpoint, "mkdir", "save only the weights", "small")
def _(place: Place) -> Path:
    return with_trap(place, "model.safetensors")


@refused("a whole network in a pickle", UnsafeCheckpoint, "was not read", "save only the weights", "small")
def _(place: Place) -> Path:
    torch.save(build("small", 2), place.given / "model.pt")
    return place.given / "model.pt"


# damaged and foreign weights


@refused("no such file", PathNotFound, "no model file", "Check the path")
def _(place: Place) -> Path:
    return place.given / "model.pt"


@refused("a file of nothing", BadCheckpoint, "is empty", "again")
def _(place: Place) -> Path:
    (place.given / "model.pt").write_bytes(b"")
    return place.given / "model.pt"


@refused("a pipe", BadCheckpoint, "is not a file", "Name the file")
def _(place: Place) -> Path:
    os.mkfifo(place.given / "model.pt")
    return place.given / "model.pt"


@refused("a device that gives zeros for ever", BadCheckpoint, "is not a file", "Name the file")
def _(place: Place) -> Path:
    return Path("/dev/zero")


@refused("a page of a browser", BadCheckpoint, "is neither", "weights.pt")
def _(place: Place) -> Path:
    (place.given / "model.safetensors").write_text("<!DOCTYPE html><title>404 Not Found</title>")
    return place.given / "model.safetensors"


@refused("a pointer of Git LFS", BadCheckpoint, "is neither", "weights.pt")
def _(place: Place) -> Path:
    text = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
    (place.given / "model.safetensors").write_text(text)
    return place.given / "model.safetensors"


@refused("a checkpoint cut off", BadCheckpoint, "(or it is damaged)", "Save the weights", "small")
def _(place: Place) -> Path:
    path: Path = place.given / "model.pt"
    torch.save(state(), path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


@refused("safetensors cut off", BadCheckpoint, "not a whole safetensors file", "again", "small")
def _(place: Place) -> Path:
    path: Path = place.given / "model.safetensors"
    save_file(state(), path)
    path.write_bytes(path.read_bytes()[:-1000])
    return path


@refused("safetensors with a header of 2^60 bytes", BadCheckpoint, "is neither safetensors", "as safetensors", "small")
def _(place: Place) -> Path:
    path: Path = place.given / "model.safetensors"
    path.write_bytes(struct.pack("<Q", 2**60) + b"{}")
    return path


@refused("safetensors with a header longer than the file", BadCheckpoint, "not a whole safetensors", "again", "small")
def _(place: Place) -> Path:
    path: Path = place.given / "model.safetensors"
    path.write_bytes(struct.pack("<Q", 2**31) + b'{"a":1}')
    return path


@refused("safetensors whose tensors lie outside of it", BadCheckpoint, "not a whole safetensors", "again", "small")
def _(place: Place) -> Path:
    path: Path = place.given / "model.safetensors"
    header = json.dumps({"fc.weight": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    return path


@refused("weights that are not numbers", BadWeights, "NaN or infinite", "earlier checkpoint", "small")
def _(place: Place) -> Path:
    broken = state()
    next(iter(broken.values()))[0] = float("nan")
    torch.save(broken, place.given / "model.pt")
    return place.given / "model.pt"


@refused("weights of another architecture", ArchitectureMismatch, "conv1.weight", "They fit small", "resnet18")
def _(place: Place) -> Path:
    # torchvision takes seconds to import, which is not what is measured
    build("resnet18", 2)
    torch.save(state(), place.given / "model.pt")
    return place.given / "model.pt"


@refused("weights whose architecture nobody names", BadRequest, "does not say of which", "fit small")
def _(place: Place) -> Path:
    torch.save(state(), place.given / "model.pt")
    return place.given / "model.pt"


@refused("no weights in it", BadCheckpoint, "no weights by name", "state_dict", "small")
def _(place: Place) -> Path:
    torch.save({"epoch": 3, "loss": [0.1]}, place.given / "model.pt")
    return place.given / "model.pt"


# programs


class Writes(nn.Module):
    """TorchScript that writes a file when it is run."""

    def __init__(self, sign: str) -> None:
        super().__init__()
        self.sign = sign
        self.head = nn.Linear(3, 2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        torch.save(images, self.sign)
        return self.head(images.mean((2, 3)))


@refused("TorchScript that writes files", UnsafeCheckpoint, "'save'", "name the architecture")
def _(place: Place) -> Path:
    torch.jit.script(Writes(str(place.sign)).eval()).save(place.given / "model.pt")
    return place.given / "model.pt"


@refused("TorchScript whose code unpacks to gigabytes", BadCheckpoint, "would unpack to 3", "again")
def _(place: Place) -> Path:
    torch.jit.script(tiny()).save(place.given / "sound.pt")
    path: Path = place.given / "model.pt"
    with zipfile.ZipFile(place.given / "sound.pt") as sound, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bomb:
        for name in sound.namelist():
            bomb.writestr(name, sound.read(name))
        folder = sound.namelist()[0].split("/")[0]
        with bomb.open(f"{folder}/code/__torch__/more.py", "w", force_zip64=True) as more:
            for _ in range(300):
                more.write(b" " * 2**20)
    (place.given / "sound.pt").unlink()
    return path


@refused("TorchScript that returns a tuple", HeadNotFound, "returns a tuple of 2", "nothing else")
def _(place: Place) -> Path:
    return traced(place, tiny("a tuple"))


@refused("TorchScript that returns a dict", HeadNotFound, "returns a dict (features, logits)", "nothing else")
def _(place: Place) -> Path:
    return traced(place, tiny("a dict"))


@refused("TorchScript that returns its logits first", HeadNotFound, "returns a tuple of 2", "nothing else")
def _(place: Place) -> Path:
    return traced(place, LogitsFirst(tiny()))


class LogitsFirst(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.network(images), images.mean((2, 3))


def traced(place: Place, network: nn.Module) -> Path:
    path: Path = place.given / "model.pt"
    torch.jit.trace(network.eval(), torch.zeros(1, 3, SIDE, SIDE), strict=False).save(path)
    return path


@loaded("torch.export of a network that returns a tuple")
def _(place: Place) -> Path:
    return exported(place, "a tuple")


@loaded("torch.export of a network that returns a dict")
def _(place: Place) -> Path:
    return exported(place, "a dict")


def exported(place: Place, returned: str = "logits") -> Path:
    path: Path = place.given / "model.pt2"
    torch.export.save(torch.export.export(tiny(returned), (torch.zeros(1, 3, SIDE, SIDE),)), path)
    return path


def edited(path: Path, change: Callable[[str, bytes], bytes]) -> Path:
    with zipfile.ZipFile(path) as archive:
        records = [(name, archive.read(name)) for name in archive.namelist()]
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in records:
            archive.writestr(name, change(name, content))
    return path


@loaded("torch.export with a harmful pickle for its sample inputs")
def _(place: Place) -> Path:
    target = io.BytesIO()
    torch.save(place.trap, target)
    return edited(exported(place), lambda name, content: target.getvalue() if "/sample_inputs/" in name else content)


@refused("torch.export that calls a function of the system", BadCheckpoint, "torch.os.mkdir", "without it")
def _(place: Place) -> Path:
    def change(name: str, content: bytes) -> bytes:
        if "/models/" not in name:
            return content
        program = json.loads(content)
        node = program["graph_module"]["graph"]["nodes"][0]
        node["target"], node["inputs"] = (
            "torch.os.mkdir",
            [{"name": "", "arg": {"as_string": str(place.sign)}, "kind": 1}],
        )
        return json.dumps(program).encode()

    return edited(exported(place), change)


@refused("a zip of photos called .pt2", BadCheckpoint, "of another format", "save the weights")
def _(place: Place) -> Path:
    path: Path = place.given / "model.pt2"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("photos/cat/1.png", b"no")
    return path


def graph(place: Place, change: Callable[[onnx.ModelProto], None] = lambda model: None) -> Path:
    """Means of the colours and a last layer."""
    rng = np.random.default_rng(0)
    weights = {"w": rng.normal(size=(2, 3)).astype(np.float32), "b": np.zeros(2, dtype=np.float32)}
    model = helper.make_model(
        helper.make_graph(
            [
                helper.make_node("GlobalAveragePool", ["images"], ["pooled"]),
                helper.make_node("Flatten", ["pooled"], ["flat"]),
                helper.make_node("Gemm", ["flat", "w", "b"], ["logits"], transB=1),
            ],
            "graph",
            [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, SIDE, SIDE])],
            [helper.make_tensor_value_info("logits", TensorProto.FLOAT, None)],
            [numpy_helper.from_array(value, name) for name, value in weights.items()],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    change(model)
    path: Path = place.given / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def elsewhere(location: str) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        weight = model.graph.initializer[0]
        weight.ClearField("raw_data")
        weight.data_location = TensorProto.EXTERNAL
        weight.external_data.add(key="location", value=location)

    return change


@refused("ONNX with weights outside of its folder", UnsafeCheckpoint, "outside of its folder", "beside the model")
def _(place: Place) -> Path:
    return graph(place, elsewhere("../secret/secret.png"))


@refused("ONNX with weights behind a link", UnsafeCheckpoint, "outside of its folder", "beside the model")
def _(place: Place) -> Path:
    (place.given / "weights").symlink_to(place.secret / "secret.png")
    return graph(place, elsewhere("weights"))


@refused("ONNX with code of another library", UnsafeCheckpoint, "another library", "ONNX itself")
def _(place: Place) -> Path:
    def change(model: onnx.ModelProto) -> None:
        model.graph.node[0].domain = "evil"
        model.opset_import.append(helper.make_opsetid("evil", 1))

    return graph(place, change)


@refused("ONNX that asks for all memory", BadCheckpoint, "more than any classifier needs", "Export it again")
def _(place: Place) -> Path:
    def change(model: onnx.ModelProto) -> None:
        model.graph.initializer.append(numpy_helper.from_array(np.array([200_000, 200_000]), "shape"))
        model.graph.node.insert(0, helper.make_node("ConstantOfShape", ["shape"], ["large"]))
        model.graph.node.insert(1, helper.make_node("ReduceSum", ["large"], ["sum"], keepdims=0))
        model.graph.node.append(helper.make_node("Add", ["logits", "sum"], ["more"]))
        model.graph.output[0].name = "more"

    return graph(place, change)


@refused("ONNX cut off", BadCheckpoint, "not a whole ONNX file", "Export it again")
def _(place: Place) -> Path:
    path = graph(place)
    path.write_bytes(path.read_bytes()[:-40])
    return path


# folders


@refused("a folder without a model", PathNotFound, "does not say which model", "config.json")
def _(place: Place) -> Path:
    return place.classes()


def transformers_folder(place: Place, **config: Any) -> Path:
    """A tiny network of transformers as the library saves it, its configuration changed."""
    transformers = pytest.importorskip("transformers")
    folder: Path = place.given / "model"
    settings = {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic", "num_labels": 2}
    transformers.ResNetForImageClassification(transformers.ResNetConfig(**settings)).eval().save_pretrained(folder)
    written = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**written, **config}))
    (folder / "modeling.py").write_text(f"import os\nos.mkdir({str(place.sign)!r})\n")
    return folder


CODE = {"AutoConfig": "modeling.C", "AutoModelForImageClassification": "modeling.M"}


@loaded("transformers with code beside a network that is known")
def _(place: Place) -> Path:
    return transformers_folder(place, auto_map=CODE, trust_remote_code=True)


@refused("transformers with a network that is code", UnsafeCheckpoint, "code of its own", "ONNX or TorchScript")
def _(place: Place) -> Path:
    return transformers_folder(place, auto_map=CODE, model_type="evil", trust_remote_code=True)


@refused("transformers with a harmful pickle for weights", UnsafeCheckpoint, "mkdir", "save only the weights")
def _(place: Place) -> Path:
    folder = transformers_folder(place)
    torch.save({**load_file(folder / "model.safetensors"), "x": place.trap}, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    return folder


@refused("transformers whose configuration is nested without end", PathNotFound, "has no config.json", "config.json")
def _(place: Place) -> Path:
    folder = transformers_folder(place)
    (folder / "config.json").write_text("[" * 100_000)
    return folder


@refused("transformers with sizes that no memory holds", BadCheckpoint, "cannot build the network", "the version of")
def _(place: Place) -> Path:
    return transformers_folder(place, hidden_sizes=[2**20, 2**20])


@refused("transformers with parts of weights elsewhere", BadCheckpoint, "outside of its folder", "again")
def _(place: Place) -> Path:
    folder = transformers_folder(place)
    save_file(load_file(folder / "model.safetensors"), place.given / "elsewhere.safetensors")
    names = list(load_file(folder / "model.safetensors"))
    (folder / "model.safetensors").unlink()
    index = {"metadata": {}, "weight_map": dict.fromkeys(names, "../elsewhere.safetensors")}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


@loaded("timm with arguments that reach for files, which are left out")
def _(place: Place) -> Path:
    timm = pytest.importorskip("timm")
    folder: Path = place.given / "model"
    network = timm.create_model("resnet18", num_classes=2)
    timm.models.save_for_hf(network, folder, model_args={"checkpoint_path": str(place.secret)}, safe_serialization=True)
    return folder


@pytest.mark.parametrize("name", CASES)
def test_a_model_is_refused_with_a_sentence_or_loaded_without_running_what_is_in_it(
    name: str,
    place: Place,
    command: Command,
    bounds: Callable[[], AbstractContextManager[None]],
    request: pytest.FixtureRequest,
    data: Path,
) -> None:
    case = CASES[name]
    path = case.make(place)
    told = ("--arch", case.arch) if case.arch else ()
    before = listed(place.given)
    with bounds():
        # what the page asks first, of anything
        peek(path)
    if isinstance(case, Refused):
        problem = request.getfixturevalue("refused")(case.kind, lambda: load_classifier(path, arch=case.arch))
        assert any(says in problem.detail for says in case.says.split("|")), problem
        assert case.advises in problem.next_step, problem
        code, said, _ = command("check", "--data", data, "--model", path, *told, "--workspace", place.workspace)
        assert (code, said) == (2, problem.to_dict())
    else:
        with bounds():
            classifier = load_classifier(path, arch=case.arch)
            features, logits = classifier(torch.zeros(2, 3, SIDE, SIDE))
        assert (classifier.k, len(features)) == (2, 2)
        np.testing.assert_allclose(classifier.head.logits(features.numpy()), logits.numpy(), atol=1e-5)
        code, said, _ = command("check", "--data", data, "--model", path, *told, "--workspace", place.workspace)
        assert code == 0
        assert said["images"] == 6
    assert listed(place.given) == before


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six pictures of two classes, called as networks call classes that nobody named."""
    from PIL import Image

    root = tmp_path_factory.mktemp("pictures")
    for name in ("cat", "dog"):
        (root / name).mkdir()
        for index in range(3):
            Image.new("RGB", (8, 6), (60 * index, 140, 60)).save(root / name / f"{index}.png")
    return root


def listed(folder: Path) -> dict[str, int]:
    return {str(path): path.lstat().st_size for path in sorted(folder.rglob("*"))}
