"""A page may ask what a model file or folder is and says of itself without importing torch."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from core.classifiers.peek import peek, recipe, weights_file


def names_its_network(path: Path) -> bool:
    found = peek(path)
    return not found.needs_architecture and found.kind not in ("absent", "unknown", "other", "pickled")


def test_our_own_file_names_its_network(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file({"w": np.zeros(2, np.float32)}, path, metadata={"arch": "small", "classes": '["dark", "light"]'})
    assert names_its_network(path)
    found = peek(path)
    assert (found.kind, found.arch, found.classes) == ("midband", "small", ("dark", "light"))
    assert json.loads(json.dumps(found.to_dict()))["classes"] == ["dark", "light"]


def test_plain_safetensors_do_not(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file({"w": np.zeros(2, np.float32)}, path)
    assert not names_its_network(path)
    assert (peek(path).kind, peek(path).needs_architecture) == ("weights", True)


@pytest.mark.parametrize(
    ("member", "kind", "known"),
    [
        ("model/code/__torch__.py", "torchscript", True),
        ("model/archive_format", "exported", True),
        ("serialized_exported_program.json", "exported", True),
        ("model/data.pkl", "weights", False),
        ("images/dog.jpg", "unknown", False),
    ],
)
def test_zip_archives_are_told_apart(tmp_path: Path, member: str, kind: str, known: bool) -> None:
    path = tmp_path / "a.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(member, b"\x80\x02}.")
    assert names_its_network(path) is known
    assert peek(path).kind == kind


@pytest.mark.parametrize(
    "content", [b"", b"\x80\x02", (5).to_bytes(8, "little") + b"{", (2).to_bytes(8, "little") + b"[]", b"\xff" * 64]
)
def test_anything_unclear_does_not(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.pt"
    path.write_bytes(content)
    assert not names_its_network(path)


def test_a_header_that_is_no_mapping_of_texts_does_not(tmp_path: Path) -> None:
    header = json.dumps({"__metadata__": ["arch"]}).encode()
    path = tmp_path / "a.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    assert not names_its_network(path)


@pytest.mark.parametrize(
    ("pickle", "kind"),
    [
        # collections.OrderedDict and torch._utils._rebuild_tensor_v2, as torch writes them
        (b"\x80\x02ccollections\nOrderedDict\nctorch._utils\n_rebuild_tensor_v2\n.", "weights"),
        (b"\x80\x02ctorchvision.models.resnet\nResNet\n.", "pickled"),
        (b"\x80\x02cos\nsystem\n.", "pickled"),
        # protocol 4 keeps both names on the stack
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93.", "pickled"),
    ],
)
def test_a_pickled_object_is_recognised_and_never_opened(tmp_path: Path, pickle: bytes, kind: str) -> None:
    path = tmp_path / "a.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle)
    found = peek(path)
    assert found.kind == kind
    assert ("run code" in found.problem) == (kind == "pickled")


def write(folder: Path, config: dict[str, Any] | None, *files: str) -> Path:
    folder.mkdir()
    if config is not None:
        (folder / "config.json").write_text(json.dumps(config))
    for name in files:
        (folder / name).write_bytes(b"")
    return folder


def test_folders_of_both_libraries_say_what_they_are(tmp_path: Path) -> None:
    timm = write(
        tmp_path / "a",
        {"architecture": "resnet18", "num_classes": 2, "label_names": ["dark", "light"], "pretrained_cfg": {}},
        "model.safetensors",
    )
    found = peek(timm)
    assert (found.kind, found.arch, found.classes, found.problem) == ("timm", "timm:resnet18", ("dark", "light"), "")
    config = {"model_type": "vit", "architectures": ["ViTForImageClassification"], "id2label": {"1": "b", "0": "a"}}
    found = peek(write(tmp_path / "b", config, "pytorch_model.bin"))
    assert (found.kind, found.title) == ("transformers", "transformers: ViTForImageClassification")
    assert (found.classes, found.needs_architecture) == (("a", "b"), False)
    assert names_its_network(tmp_path / "b")


def test_names_nobody_gave_are_no_names(tmp_path: Path) -> None:
    config = {"model_type": "vit", "id2label": {"0": "LABEL_0", "1": "LABEL_1"}}
    assert peek(write(tmp_path / "a", config, "model.safetensors")).classes is None
    # nor are those that leave one out
    assert peek(write(tmp_path / "b", {"model_type": "vit", "id2label": {"0": "a", "2": "c"}})).classes is None


@pytest.mark.parametrize(
    ("config", "files", "says"),
    [
        (None, (), "holds no model"),
        (None, ("weights.pth",), "name that file"),
        (None, ("a.pth", "b.pth"), "2 files"),
        ({"architecture": "resnet18"}, (), "no weights beside it"),
        ({"model_type": "clip", "architectures": ["CLIPModel"]}, ("model.safetensors",), "does not classify"),
        ({"name": "something else"}, (), "holds no model"),
    ],
)
def test_a_folder_that_cannot_be_loaded_says_why(
    tmp_path: Path, config: dict[str, Any] | None, files: tuple[str, ...], says: str
) -> None:
    found = peek(write(tmp_path / "model", config, *files))
    assert says in found.problem
    assert not found.needs_architecture


def test_broken_descriptions_are_no_models(tmp_path: Path) -> None:
    folder = write(tmp_path / "model", None, "model.safetensors")
    for text in ("{", "[]", "[" * 100_000, '"text"', "\udcff".encode("utf-8", "surrogateescape").decode("latin-1")):
        (folder / "config.json").write_text(text, encoding="utf-8")
        assert peek(folder).kind == "other"


def test_safetensors_come_before_pickles(tmp_path: Path) -> None:
    folder = write(tmp_path / "a", {}, "pytorch_model.bin", "model.safetensors", "training_args.bin")
    assert weights_file(folder) == folder / "model.safetensors"
    (folder / "model.safetensors").unlink()
    assert weights_file(folder) == folder / "pytorch_model.bin"
    (folder / "pytorch_model.bin").unlink()
    assert weights_file(folder) is None


@pytest.mark.parametrize("name", ["hf-hub:google/vit-base-patch16-224", "timm:resnet18.a1_in1k"])
def test_names_on_the_hub_are_known_by_their_beginning(name: str) -> None:
    assert (peek(name).kind, peek(name).needs_architecture) == ("hub", False)


def test_nothing_there_is_said(tmp_path: Path) -> None:
    assert peek(tmp_path / "no").kind == "absent"
    assert not names_its_network(tmp_path / "no")


def test_asking_does_not_import_torch() -> None:
    code = "import sys, core.classifiers.peek; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


PROCESSOR = {
    "image_processor_type": "ViTImageProcessor",
    "size": {"height": 64, "width": 64},
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
    "resample": 3,
}
SQUEEZED = {"resize": None, "crop": 64, "mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic"}


@pytest.mark.parametrize(
    ("processor", "said"),
    [
        (PROCESSOR, SQUEEZED),
        ({**PROCESSOR, "do_normalize": False}, {**SQUEEZED, "mean": [0.0] * 3, "std": [1.0] * 3}),
        (
            {**PROCESSOR, "do_center_crop": True, "size": {"shortest_edge": 72}, "crop_size": 64},
            {**SQUEEZED, "resize": 72},
        ),
        ({**PROCESSOR, "size": None}, None),
        ({**PROCESSOR, "image_mean": None}, None),
        ({**PROCESSOR, "size": {"height": 64, "width": 32}}, None),
        ({**PROCESSOR, "image_std": ["a", "b", "c"]}, None),
        ({**PROCESSOR, "rescale_factor": float("inf")}, None),
        (None, None),
    ],
)
def test_a_folder_of_transformers_says_how_images_are_prepared(
    tmp_path: Path, processor: dict[str, Any] | None, said: dict[str, Any] | None
) -> None:
    folder = write(tmp_path / "a", {"model_type": "vit", "image_size": 64}, "model.safetensors")
    if processor is not None:
        (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    found = peek(folder)
    assert found.kind == "transformers"
    assert found.preprocessing == found.to_dict()["preprocessing"] == said


def test_a_folder_of_timm_says_how_images_are_prepared(tmp_path: Path) -> None:
    told = {
        "input_size": [3, 96, 96],
        "crop_pct": 0.75,
        "mean": [0.1] * 3,
        "std": [0.2] * 3,
        "interpolation": "bicubic",
    }
    found = peek(write(tmp_path / "a", {"architecture": "resnet18", "pretrained_cfg": told}, "model.safetensors"))
    assert found.preprocessing == {
        "resize": 128,
        "crop": 96,
        "mean": [0.1] * 3,
        "std": [0.2] * 3,
        "interpolation": "bicubic",
    }
    wrapped = {"model_type": "timm_wrapper", "architecture": "resnet18", "pretrained_cfg": told}
    assert peek(write(tmp_path / "b", wrapped, "model.safetensors")).preprocessing == found.preprocessing
    for place, cfg in (("c", {}), ("d", {**told, "input_size": [3, 96, 64]}), ("e", {**told, "mean": None})):
        config = {"architecture": "resnet18", "pretrained_cfg": cfg}
        assert peek(write(tmp_path / place, config, "model.safetensors")).preprocessing is None


def test_our_own_file_says_how_images_are_prepared(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    for text, said in ((json.dumps(SQUEEZED), SQUEEZED), ('{"crop": 0}', None), ("[", None), ("[]", None)):
        save_file({"w": np.zeros(2, np.float32)}, path, metadata={"arch": "small", "preprocessing": text})
        assert peek(path).preprocessing == said


def test_it_says_so_without_torch(tmp_path: Path) -> None:
    folder = write(tmp_path / "a", {"model_type": "vit"}, "model.safetensors")
    (folder / "preprocessor_config.json").write_text(json.dumps(PROCESSOR))
    program = (
        "import sys; from core.classifiers.peek import peek; from pathlib import Path; "
        f"assert peek(Path({str(folder)!r})).preprocessing; "
        "assert not {'torch', 'transformers', 'timm'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).parents[3])


def test_a_recipe_is_python_whatever_the_file_is_called() -> None:
    for name in ("whole.pth", 'it\'s "here".pth', "{first}.pt", "a\nb.pt"):
        code = recipe(name)
        assert len(code.splitlines()) == 2
        compile(code, "recipe", "exec")
        assert repr(name) in code


def _deep_header(path: Path) -> None:
    header = b"{" + b'"a":[' * 200_000
    path.write_bytes(len(header).to_bytes(8, "little") + header)


def _damaged_deflate(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("m/data.pkl", b"\x80\x02}q\x00." * 500)
    data = bytearray(path.read_bytes())
    start = data.index(b"data.pkl") + len(b"data.pkl")
    data[start : start + 12] = b"\xff" * 12
    path.write_bytes(data)


def _marked(flag: int, method: int) -> Callable[[Path], None]:
    """Of an archive, the flags and the method of compression of its one entry changed in both headers."""

    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("m/data.pkl", b"\x80\x02}q\x00.")
        data = bytearray(path.read_bytes())
        for signature, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
            start = data.index(signature) + place
            data[start : start + 2] = flag.to_bytes(2, "little")
            if method:
                data[start + 2 : start + 4] = method.to_bytes(2, "little")
        path.write_bytes(data)

    return write


@pytest.mark.parametrize(
    "write",
    [_deep_header, _damaged_deflate, _marked(1, 0), _marked(0, 99)],
    ids=["deep", "deflate", "locked", "method"],
)
def test_what_makes_readers_of_files_stumble_is_said(tmp_path: Path, write: Callable[[Path], None]) -> None:
    write(tmp_path / "model.pt")
    found = peek(tmp_path / "model.pt")
    assert found.kind == "unknown"
    assert found.problem.startswith("It cannot be read")


def test_nobodys_home_is_no_place() -> None:
    assert peek("~nobody-of-this-name/model.pt").kind in ("absent", "unknown")
