"""Image classifiers of transformers (https://github.com/huggingface/transformers), where that library is installed.

A network is built from its configuration, which came as `config.json` beside the weights or inside a file of ours.
Code that a model brings along is never run, kernels and other parts it would have fetched are left out.
"""

from __future__ import annotations

import copy
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from core.classifiers import timm_models, torchvision_compat
from core.classifiers.checkpoint import Checkpoint, ModelDescription, State
from core.classifiers.fitting import PREFIXES
from core.classifiers.head import Head
from core.classifiers.model_folders import check_classifies, readable
from core.classifiers.peek import CONFIG, HUB, PROCESSOR, TRANSFORMERS, architecture_of, class_names, read_config
from core.classifiers.processors import preprocessing_of
from core.classifiers.tracing import LogitsOnly, layer_of
from core.errors import ArchitectureMismatch, BadCheckpoint, BadRequest, PathNotFound, UnsafeCheckpoint
from core.files import digest, replacing

if TYPE_CHECKING:
    from core.classifiers.classifier import Classifier

REQUIREMENTS = "requirements-text.txt"
# how `LogitsOnly` calls what is inside it
INSIDE = "network."
# what would fetch something, run something, or only says how the network was stored
_LEFT_OUT = frozenset(
    {
        *("auto_map", "quantization_config", "use_kernels", "kernel_config", "use_pretrained_backbone", "adapter_path"),
        *("dtype", "torch_dtype", "_name_or_path", "transformers_version", "custom_pipelines"),
    }
)
_LISTED = 3


@dataclass(frozen=True, eq=False)
class Built:
    """network: (b, c, h, w) -> logits (b, k), with its weights. identity: of what its configuration adds to its
    weights. notes: sentences on what differs here."""

    network: nn.Module
    arch: str
    description: ModelDescription
    identity: str
    notes: tuple[str, ...]


def load_library() -> ModuleType:
    """The transformers module, imported when first asked for. Raises `BadRequest` where it is not installed."""
    # its processors import torchvision, which needs a hand beside some builds of torch
    torchvision_compat.load()
    try:
        import transformers
    except ImportError as error:
        raise BadRequest(
            "transformers is not installed here, and this model was made with it.",
            next_step=f"Install it with `pip install -r {REQUIREMENTS}`, then load the model again.",
            title="A library is missing",
        ) from error
    # what it has to say is said here, in sentences; its progress bars would end up in logs
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    found: ModuleType = transformers
    return found


def load(checkpoint: Checkpoint, arch: str | None, name: str) -> Built:
    """Build the network that a checkpoint's description, or `hf:place`, tells of, and give it the weights.

    arch: what the caller gave, never what the file says of itself. name: of the file or folder, for messages. Raises
    `ArchitectureMismatch`, `BadCheckpoint`, `UnsafeCheckpoint`, `BadRequest`, `PathNotFound`.
    """
    transformers = load_library()
    description = checkpoint.description
    if description.config is not None:
        described = _described(description.config, name)
    elif arch is not None:
        arch, described = _of_place(arch)
    else:
        # a place that only a file names is not gone to: that would tell whoever wrote it that it was opened
        raise BadCheckpoint(
            f"{name} names a network of transformers ({description.arch}) and does not describe it.",
            next_step=f"Put the weights into a folder with the model's {CONFIG} and give that folder.",
        )
    processor = described.pop(PROCESSOR, None)
    architecture = architecture_of(described)
    told = description.arch or (TRANSFORMERS + architecture if architecture else None)
    if description.config is not None and arch is not None and told is not None and arch != told:
        raise ArchitectureMismatch(
            f"{name} says that it holds {told}, not {arch}.",
            next_step="Leave the architecture out: it is named beside the weights.",
        )
    config, kind = _configuration(transformers, described, name)
    network = _filled(kind, config, checkpoint.state, name)
    if network.main_input_name != "pixel_values":
        raise BadRequest(
            f"{name} takes {network.main_input_name}, not pixels.",
            next_step="Choose a network that takes images.",
        )
    notes: tuple[str, ...] = ()
    preprocessing = description.preprocessing
    if preprocessing is None:
        with readable(name):
            preprocessing, notes = preprocessing_of(described, processor)
    whole = LogitsOnly(network.eval()).eval()
    chosen = arch if description.config is None and arch is not None else told or TRANSFORMERS + kind.__name__
    stored = {**described, PROCESSOR: processor} if processor else described
    return Built(
        network=whole,
        arch=chosen,
        description=ModelDescription(
            arch=chosen,
            classes=description.classes or class_names(described),
            preprocessing=preprocessing,
            config=json.dumps(stored),
        ),
        identity=_identity(config),
        notes=notes,
    )


def save(classifier: Classifier, state: Mapping[str, torch.Tensor], folder: Path) -> None:
    """Write a folder as `save_pretrained` does, with these weights. state: by the names in `classifier.backbone`."""
    assert isinstance(classifier.backbone, LogitsOnly)
    network: Any = copy.deepcopy(classifier.backbone.network)
    inner = classifier.head_name.removeprefix(INSIDE)
    own = {name.removeprefix(INSIDE): tensor.clone() for name, tensor in state.items()}
    weight, bias = (own[f"{inner}.{part}"].numpy() for part in ("weight", "bias"))
    head = Head(weight.reshape(len(weight), -1), bias)
    network.set_submodule(inner, layer_of(head, convolution=classifier.convolution))
    network.load_state_dict(own, assign=True)
    network.save_pretrained(folder)


def write_weights(classifier: Classifier, state: Mapping[str, torch.Tensor], path: Path) -> tuple[str, ...]:
    """Write the weights alone, as transformers names them: safetensors, or a PyTorch file where the path says so."""
    from safetensors.torch import load_file

    with tempfile.TemporaryDirectory() as temporary:
        save(classifier, state, Path(temporary))
        tensors: State = {}
        for part in sorted(Path(temporary).glob("*.safetensors")):
            tensors.update(load_file(part))
    with replacing(path) as beside:
        if path.suffix == ".safetensors":
            from safetensors.torch import save_file

            save_file(tensors, beside, metadata={"format": "pt"})
        else:
            torch.save(tensors, beside)
    return ()


def _described(text: str, name: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise BadCheckpoint(
            f"The configuration inside {name} cannot be read.", next_step="Export or train the model again."
        )
    return found


def _of_place(arch: str) -> tuple[str, dict[str, Any]]:
    """The configuration that `hf:place` stands for, and the place made absolute."""
    place = arch.removeprefix(TRANSFORMERS)
    folder = Path(place).expanduser()
    if folder.is_dir():
        folder = folder.resolve()
        arch = TRANSFORMERS + str(folder)
    elif place.count("/") == 1 and not place.startswith((".", "/", "~")):
        from core.classifiers.hub import fetched

        folder = fetched(HUB + place, weights=False)
    config = read_config(folder)
    if config is None:
        raise PathNotFound(
            f"There is no {CONFIG} in {place}, which would say how to build the network.",
            next_step=f"Put the weights into a folder with the model's {CONFIG} and give that folder.",
        )
    return arch, {**config, PROCESSOR: read_config(folder, PROCESSOR)}


def _configuration(transformers: ModuleType, described: Mapping[str, Any], name: str) -> tuple[Any, Any]:
    """(configuration, class of the network)."""
    check_classifies(described, name)
    model_type = str(described.get("model_type"))
    try:
        # its own table: whatever else the configuration names is not looked for
        config_class = transformers.CONFIG_MAPPING[model_type]
    except KeyError as error:
        if "auto_map" in described:
            raise UnsafeCheckpoint(
                f"{name} brings code of its own for its network ({model_type}), which is never run here.",
                next_step="Export the network as ONNX or TorchScript where its code is trusted, and load that.",
            ) from error
        raise BadCheckpoint(
            f"transformers {transformers.__version__} knows no networks of the kind {model_type!r}.",
            next_step="Install the version that the model was made with, or export it as ONNX.",
        ) from error
    try:
        config = config_class.from_dict(_offline(_cleaned(described), name))
        known = transformers.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING.get(type(config), None)
        candidates = known if isinstance(known, tuple) else (known,) if known is not None else ()
        wanted = architecture_of(dict(described))
        fitting = [one for one in candidates if wanted in (None, one.__name__)]
    except (UnsafeCheckpoint, BadRequest):
        raise
    except Exception as error:
        raise _cannot_build(transformers, name, error) from error
    if not fitting:
        raise BadRequest(
            f"{name} ({wanted or model_type}) does not classify images.",
            next_step="Choose a model whose architecture ends in ForImageClassification.",
            title="This model has no classes",
        )
    return config, fitting[0]


def _cleaned(described: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _cleaned(value) if isinstance(value, Mapping) and key != "id2label" else value
        for key, value in described.items()
        if key not in _LEFT_OUT and "attn_implementation" not in key and "experts_implementation" not in key
    }


def _offline(described: dict[str, Any], name: str) -> dict[str, Any]:
    """The configuration without arguments with which timm, wrapped, would open files or use the network.

    Raises `UnsafeCheckpoint` where the network inside is not one that timm has by its name: an address or a path.
    """
    wrapped = str(described.get("model_type")).startswith("timm_")
    inside = {key: described.get(key) for key in ("architecture", "backbone") if described.get(key) is not None}
    for network in inside.values():
        if wrapped and timm_models.load().is_model(network) is True:
            continue
        if wrapped or (isinstance(network, str) and "backbone" in inside):
            raise UnsafeCheckpoint(
                f"{name} takes a network from elsewhere ({_shortened(str(network))}), which is not fetched.",
                next_step="Export the network as ONNX or TorchScript where it was made, and load that.",
            )
    found = {}
    for key, value in described.items():
        if key in ("model_args", "backbone_kwargs"):
            kept = value if isinstance(value, Mapping) else {}
            found[key] = {one: kept[one] for one in kept if one not in timm_models.REFUSED}
        else:
            found[key] = _offline(dict(value), name) if isinstance(value, Mapping) and key != "id2label" else value
    return found


def _filled(kind: Any, config: Any, state: State, name: str) -> Any:
    """The network with its weights, in float32. Raises `ArchitectureMismatch` where one is missing."""
    transformers = load_library()
    tensors = {key: value.float() if value.is_floating_point() else value for key, value in state.items()}
    try:
        if tensors and all(key.startswith(INSIDE) for key in tensors):
            # a file of ours: the very names of the modules
            with torch.random.fork_rng(devices=[]):
                network = kind._from_config(config, dtype=torch.float32)
            own = {key.removeprefix(INSIDE): value for key, value in tensors.items()}
            _set_outputs(network, own)
            found = network.load_state_dict(own, strict=False)
            missing, unexpected = list(found.missing_keys), list(found.unexpected_keys)
        else:
            tensors = _without_prefixes(tensors)
            with torch.random.fork_rng(devices=[]):
                network, info = kind.from_pretrained(
                    None,
                    config=config,
                    state_dict=tensors,
                    dtype=torch.float32,
                    local_files_only=True,
                    output_loading_info=True,
                )
            missing, unexpected = sorted(info["missing_keys"]), sorted(info["unexpected_keys"])
    except Exception as error:
        if "size mismatch" in str(error) or "shape" in str(error):
            raise ArchitectureMismatch(
                f"{name} does not hold the weights that its configuration describes ({_first_line(error)}).",
                next_step="Copy the folder again: its config.json belongs to other weights.",
            ) from error
        raise _cannot_build(transformers, name, error) from error
    # counts of batches, which nothing reads while predicting
    missing = [key for key in missing if not key.endswith("num_batches_tracked")]
    if missing:
        listed = ", ".join(missing[:_LISTED]) + (
            f" and {len(missing) - _LISTED} more" if len(missing) > _LISTED else ""
        )
        others = f"; it has {', '.join(unexpected[:_LISTED])} instead" if unexpected else ""
        raise ArchitectureMismatch(
            f"{name} does not hold the weights of {kind.__name__}: it lacks {listed}{others}.",
            next_step="Copy the folder again, or save the whole classifier with save_pretrained: without its last "
            "layer there is nothing to look at.",
        )
    return network


def _without_prefixes(state: State) -> State:
    """What wrapping put before all of the names (`module.`) taken off."""
    while True:
        prefix = next((one for one in PREFIXES if state and all(name.startswith(one) for name in state)), None)
        if prefix is None:
            return state
        state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}


def _set_outputs(network: nn.Module, state: State) -> None:
    """Give linear layers as many outputs as their weights have: a trained network has two where one came in."""
    for name, module in list(network.named_modules()):
        weight = state.get(f"{name}.weight")
        if weight is None or not isinstance(module, (nn.Linear, nn.Conv2d)) or len(weight) == len(module.weight):
            continue
        head = Head(weight.flatten(1).numpy(), state[f"{name}.bias"].numpy())
        network.set_submodule(name, layer_of(head, convolution=isinstance(module, nn.Conv2d)))


def _identity(config: Any) -> str:
    """Of what the numbers of a network depend on besides its weights."""
    told = {
        key: value
        for key, value in config.to_dict().items()
        if key not in {*_LEFT_OUT, "id2label", "label2id", "architectures", "problem_type"}
    }
    return digest(json.dumps(told, sort_keys=True, default=str))


def _cannot_build(transformers: ModuleType, name: str, error: Exception) -> BadCheckpoint:
    return BadCheckpoint(
        f"transformers {transformers.__version__} cannot build the network of {name} ({_first_line(error)}).",
        next_step="Use the version of transformers that the model was made with, or export it as ONNX.",
    )


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return _shortened(lines[0] if lines else type(error).__name__)


def _shortened(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:199]}…"
