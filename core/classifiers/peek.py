"""What a model file or folder is and says about itself, found without torch: a page asks before any job starts.

Nothing is loaded and nothing is judged here; what is damaged is reported by `load_classifier`.
"""

from __future__ import annotations

import json
import re
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.access.roots import allowed_path
from core.classifiers import processors, timm_inputs
from core.classifiers.origins import EXPORTED, ONNX, TORCHSCRIPT, is_exported, is_onnx
from core.classifiers.preprocessing import preprocessing_from_dict
from core.classifiers.weight_names import architecture_in, contents_of
from core.errors import BadRequest, NotAllowed

# how the architectures of the two libraries are named, before the name they have there
TIMM, TRANSFORMERS = "timm:", "hf:"
# a model on the hub: `hf-hub:organisation/name`
HUB = "hf-hub:"

CONFIG, PROCESSOR = "config.json", "preprocessor_config.json"
# files that weights lie in, in the order they are preferred; an index names the parts of a large model
WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
SUFFIXES = (".safetensors", ".bin", ".pth", ".pt")
IMAGE_CLASSIFIER = "ForImageClassification"

# a safetensors header larger than this is no header (the format's own limit is 100 MB)
_LARGEST_HEADER = 100_000_000
# what describes a model in JSON is a few kilobytes; ImageNet's 21,843 names with descriptions are a few megabytes
_LARGEST_CONFIG = 50_000_000
# of a checkpoint's pickle, which holds names and shapes and no numbers
_LARGEST_PICKLE = 2_000_000
# what damaged and hostile files make the readers of zip and JSON raise, and a `~` that is nobody's home
UNREADABLE = (OSError, ValueError, RuntimeError, EOFError, MemoryError, zlib.error, zipfile.BadZipFile)
# modules that plain weights name: tensors, containers, numbers
_HARMLESS = re.compile(r"^(torch(\._utils|\._tensor|\.storage|\.serialization|\.nn\.parameter)?|collections|_codecs)$")
# transformers' names for classes that nobody named
_UNNAMED = re.compile(r"^LABEL_\d+$")


@dataclass(frozen=True)
class Peeked:
    """What a path holds.

    kind: "midband" (our own file), "weights", "pickled" (weights inside Python objects, which are never opened),
    "torchscript", "exported" (.pt2), "onnx", "timm", "transformers" (folders of these libraries), "hub" (a name on the
    hub), "other" (a model that does not classify images, or a folder without one), "absent" or "unknown".
    needs_architecture: whether the network has to be named beside it. title: a few words for a person. classes: their
    names, where it says them. arch: what it says of its network; of plain weights, what is written beside them or shows
    in their names and shapes. problem: why it cannot be loaded, as far as that shows from here, or "". preprocessing:
    what `Preprocessing.to_dict` gives, where size and colours are said.
    """

    kind: str
    needs_architecture: bool
    title: str
    classes: tuple[str, ...] | None = None
    arch: str | None = None
    problem: str = ""
    preprocessing: dict[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "needs_architecture": self.needs_architecture,
            "title": self.title,
            "classes": None if self.classes is None else list(self.classes),
            "arch": self.arch,
            "problem": self.problem,
            "preprocessing": self.preprocessing,
        }


def peek(path: Path | str) -> Peeked:
    """What is there, by content, not by suffix. Takes milliseconds and never raises."""
    if is_hub_name(path):
        name = str(path).strip()
        return Peeked("hub", False, f"{name.partition(':')[2]}, from the Hugging Face hub", arch=None)
    try:
        place = allowed_path(path)
        if place.is_dir():
            return _peek_folder(place)
        if not place.is_file():
            return Peeked("absent", False, "Nothing is there", problem=f"There is no file or folder {place}.")
        return _peek_file(place)
    except NotAllowed as error:
        return Peeked("absent", False, error.title, problem=f"{error.detail} {error.next_step}")
    except UNREADABLE as error:
        return Peeked("unknown", False, "Not a model that is known here", problem=f"It cannot be read ({error}).")


def is_hub_name(path: Path | str) -> bool:
    """Whether this is a name on the hub and no path: `hf-hub:organisation/name` or `timm:resnet50.a1_in1k`."""
    return str(path).strip().startswith((HUB, TIMM))


def recipe(file_name: str) -> str:
    """Python that makes weights of a pickled model, for a block to copy: two lines."""
    return f"model = torch.load({file_name!r}, weights_only=False)\ntorch.save(model.state_dict(), 'weights.pt')"


def kind_of_archive(archive: Path) -> str:
    """What a zip archive holds: "torchscript", "exported" or "weights". Raises `zipfile.BadZipFile`."""
    with zipfile.ZipFile(archive) as opened:
        names = opened.namelist()
    if any(name.split("/")[1:2] == ["code"] for name in names):
        return TORCHSCRIPT
    return EXPORTED if is_exported(names) else "weights"


def read_config(folder: Path, name: str = CONFIG) -> dict[str, Any] | None:
    """The JSON object in a file of this folder; None where there is none that can be read."""
    file = folder / name
    try:
        if file.stat().st_size > _LARGEST_CONFIG:
            return None
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def library_of(config: dict[str, Any]) -> str | None:
    """Whose `config.json` this is: "timm", "transformers", or None."""
    # transformers can wrap networks of timm: then it names both
    if "model_type" in config or isinstance(config.get("architectures"), list):
        return "transformers"
    return "timm" if isinstance(config.get("architecture"), str) else None


def weights_file(folder: Path) -> Path | None:
    """The file in a library's folder that holds the weights or lists their parts, safetensors before others."""
    for name in WEIGHTS:
        if (folder / name).is_file():
            return folder / name
    for suffix in SUFFIXES:
        for file in sorted(folder.glob(f"*{suffix}")):
            # what the trainer keeps of its arguments is no model
            if file.is_file() and file.name != "training_args.bin" and not file.name.startswith("optimizer"):
                return file
    return None


def class_names(config: dict[str, Any]) -> tuple[str, ...] | None:
    """Names of the classes in the order of the logits, out of a library's `config.json`; None where they have none."""
    names = _transformers_names(config) or _timm_names(config)
    if not names or all(_UNNAMED.match(name) for name in names):
        return None
    return names


def architecture_of(config: dict[str, Any]) -> str | None:
    """What a transformers `config.json` calls the network's class, for example ViTForImageClassification."""
    found = config.get("architectures")
    return found[0] if isinstance(found, list) and found and isinstance(found[0], str) else None


def _peek_folder(folder: Path) -> Peeked:
    config = read_config(folder)
    library = library_of(config) if config is not None else None
    if config is None or library is None:
        inside = [file for file in sorted(folder.iterdir()) if file.suffix in (*SUFFIXES, ".pt2", ".onnx")]
        if len(inside) == 1:
            reason = f"It has no {CONFIG} to say what {inside[0].name} is: name that file instead of the folder."
        elif inside:
            reason = f"It holds {len(inside)} files of models: name one of them instead of the folder."
        else:
            reason = f"It holds no model: neither a {CONFIG} nor a file of weights."
        return Peeked("other", False, "A folder", problem=reason)
    missing = "" if weights_file(folder) else f"It has a {CONFIG} and no weights beside it (model.safetensors)."
    classes = class_names(config)
    if library == "timm":
        name = str(config["architecture"])
        said = _stated(config, None)
        return Peeked("timm", False, f"timm: {name}", classes, TIMM + name, missing, said)
    name = architecture_of(config) or str(config.get("model_type"))
    if not name.endswith(IMAGE_CLASSIFIER) and architecture_of(config) is not None:
        return Peeked(
            "other", False, f"transformers: {name}", problem=f"{name} does not classify images: it has no such head."
        )
    said = _stated(config, read_config(folder, PROCESSOR))
    return Peeked("transformers", False, f"transformers: {name}", classes, TRANSFORMERS + name, missing, said)


def _stated(config: dict[str, Any], processor: dict[str, Any] | None) -> dict[str, Any] | None:
    """How images are prepared, as far as these files say it themselves; None where they say nonsense, too."""
    try:
        if library_of(config) == "timm":
            found = timm_inputs.preprocessing_of(config)[0] if timm_inputs.says_input(config) else None
        else:
            found = processors.stated(config, processor)
    except (BadRequest, ValueError, TypeError, KeyError, IndexError, AttributeError, ArithmeticError):
        # reading the model will say what is wrong
        return None
    return None if found is None else found.to_dict()


def _peek_file(path: Path) -> Peeked:
    if zipfile.is_zipfile(path):
        kind = kind_of_archive(path)
        if kind == TORCHSCRIPT:
            return Peeked(kind, False, "TorchScript", arch=kind)
        if kind == EXPORTED:
            return Peeked(kind, False, "A graph of torch.export", arch=kind)
        return _peek_pickle(path)
    with open(path, "rb") as source:
        start = source.read(16)
        if start[4:9] == b"\0\0\0\0{":
            return _peek_safetensors(path)
    if is_onnx(path, start):
        return Peeked(ONNX, False, "ONNX", arch=ONNX)
    if start[:1] == b"\x80":
        # as torch wrote them before 1.6
        return Peeked("weights", True, "Weights")
    empty = "The file is empty." if not start else "It is none of the formats that are known here."
    return Peeked("unknown", False, "Not a model that is known here", problem=empty)


def _peek_safetensors(path: Path) -> Peeked:
    with open(path, "rb") as source:
        length = int.from_bytes(source.read(8), "little")
        if not 2 <= length <= min(_LARGEST_HEADER, path.stat().st_size):
            raise ValueError("its header is damaged")
        header = json.loads(source.read(length))
    header = header if isinstance(header, dict) else {}
    metadata = header.get("__metadata__")
    if not isinstance(metadata, dict) or "arch" not in metadata:
        return Peeked("weights", True, "Weights", arch=architecture_in(_shapes(header), []))
    classes = json.loads(metadata["classes"]) if "classes" in metadata else None
    names = tuple(map(str, classes)) if isinstance(classes, list) else None
    arch = str(metadata["arch"])
    return Peeked("midband", False, f"Midband: {arch}", names, arch, preprocessing=_own_preprocessing(metadata))


def _shapes(header: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Of the tensors in a safetensors header, by name."""
    found = {name: entry.get("shape") for name, entry in header.items() if isinstance(entry, dict)}
    return {name: tuple(shape) for name, shape in found.items() if isinstance(shape, list)}


def _own_preprocessing(metadata: dict[str, Any]) -> dict[str, Any] | None:
    try:
        return preprocessing_from_dict(json.loads(metadata["preprocessing"])).to_dict()
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError, BadRequest):
        return None


def _peek_pickle(path: Path) -> Peeked:
    """Whether a PyTorch checkpoint is plain weights: its opcodes are read, none is carried out."""
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.endswith("/data.pkl") or name == "data.pkl"]
        if not names:
            return Peeked("unknown", False, "A zip archive", problem="It is an archive without a model in it.")
        if archive.getinfo(names[0]).file_size > _LARGEST_PICKLE:
            return Peeked("weights", True, "Weights")
        data = archive.read(names[0])
    found = contents_of(data)
    for module, name in found.globals:
        if not _HARMLESS.match(module):
            return Peeked(
                "pickled",
                True,
                "A pickled Python object",
                problem=f"It holds {module}.{name}, not only weights: opening it would run code from the file.",
            )
    return Peeked("weights", True, "Weights", arch=architecture_in(found.shapes, found.written))


def _transformers_names(config: dict[str, Any]) -> tuple[str, ...] | None:
    names = config.get("id2label")
    if not isinstance(names, dict):
        return None
    try:
        numbered = {int(index): str(name) for index, name in names.items()}
    except ValueError:
        return None
    complete = sorted(numbered) == list(range(len(numbered)))
    return tuple(numbered[index] for index in range(len(numbered))) if complete else None


def _timm_names(config: dict[str, Any]) -> tuple[str, ...] | None:
    nested = config.get("pretrained_cfg")
    for place in (config, nested if isinstance(nested, dict) else {}):
        names = place.get("label_names") or place.get("labels")
        if isinstance(names, list) and names:
            return tuple(map(str, names))
        if isinstance(names, dict) and names:
            return _transformers_names({"id2label": names})
    return None
