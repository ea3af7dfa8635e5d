"""Models that come as a folder: a `config.json` that says what they are, and their weights beside it.

timm's `save_for_hf` and transformers' `save_pretrained` write such folders, the hub holds nothing else. Weights are
read here, by the same reader as any other file (safetensors first, never a pickle), and not by the libraries.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from core.classifiers import timm_inputs
from core.classifiers.checkpoint import ModelDescription, State, read_checkpoint
from core.classifiers.peek import (
    CONFIG,
    IMAGE_CLASSIFIER,
    PROCESSOR,
    WEIGHTS,
    architecture_of,
    class_names,
    library_of,
    peek,
    read_config,
    weights_file,
)
from core.errors import BadCheckpoint, BadRequest, PathNotFound
from core.files import storage_problems, write_json

if TYPE_CHECKING:
    from core.classifiers.classifier import Classifier

# how files end that list the parts of a large model
_INDEX = ".index.json"


@dataclass(frozen=True, eq=False)
class Brought:
    """What a folder holds. library: "timm" or "transformers". notes: sentences on what differs here."""

    library: str
    state: State
    description: ModelDescription
    notes: tuple[str, ...] = ()


def read(folder: Path) -> Brought:
    """Read a folder of either library. Raises `PathNotFound`, `BadCheckpoint`, `UnsafeCheckpoint`, `BadWeights`."""
    config = read_config(folder)
    library = library_of(config) if config is not None else None
    if config is None or library is None:
        raise PathNotFound(
            f"{folder} is a folder that does not say which model it holds. {peek(folder).problem}",
            next_step=f"Give a folder with a {CONFIG}, as timm and transformers write it, or a model file.",
        )
    weights = weights_file(folder)
    if weights is None:
        raise PathNotFound(
            f"{folder} has a {CONFIG} and no weights beside it.",
            next_step=f"Put {WEIGHTS[0]} there, or copy the folder again.",
        )
    state = read_weights(weights)
    classes = class_names(config)
    if library == "timm":
        from core.classifiers import timm_models

        with readable(folder.name):
            preprocessing, notes = timm_inputs.preprocessing_of(config)
            description = ModelDescription(timm_models.arch_of(config), classes, preprocessing)
        return Brought(library, state, description, notes)
    check_classifies(config, folder.name)
    described = {**config, PROCESSOR: read_config(folder, PROCESSOR)}
    return Brought(library, state, ModelDescription(None, classes, None, json.dumps(described)))


@contextmanager
def readable(name: str) -> Iterator[None]:
    """Inside, what a description says of its images is read; nonsense in it raises `BadCheckpoint`."""
    try:
        yield
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, ArithmeticError) as error:
        raise BadCheckpoint(
            f"What {name} says of its images cannot be read ({type(error).__name__}: {error}).",
            next_step=f"Correct its {CONFIG} or {PROCESSOR}, or copy the folder again.",
        ) from error


def check_classifies(config: Mapping[str, Any], name: str) -> None:
    """Raise `BadRequest` for a model of transformers without a head that tells classes apart."""
    architecture = architecture_of(dict(config))
    if architecture is not None and IMAGE_CLASSIFIER not in architecture:
        raise BadRequest(
            f"{name} is a {architecture}, which does not classify images.",
            next_step="Choose a model whose architecture ends in ForImageClassification, or train a last layer for it.",
            title="This model has no classes",
        )


def read_weights(file: Path) -> State:
    """The tensors of a file, or of all parts that an index lists."""
    if not file.name.endswith(_INDEX):
        return read_checkpoint(file).state
    index = read_config(file.parent, file.name) or {}
    parts = index.get("weight_map")
    if not isinstance(parts, dict) or not parts:
        raise BadCheckpoint(f"{file.name} lists no parts.", next_step="Copy or save the model again.")
    state: State = {}
    for name in sorted(set(map(str, parts.values()))):
        if Path(name).name != name:
            raise BadCheckpoint(
                f"{file.name} names a part outside of its folder ({name}).", next_step="Copy or save the model again."
            )
        part = file.parent / name
        if not part.is_file():
            raise PathNotFound(f"{file.name} lists {name}, which is not there.", next_step="Copy the model again.")
        state.update(read_checkpoint(part).state)
    return state


def write(classifier: Classifier, state: Mapping[str, torch.Tensor], folder: Path) -> tuple[str, ...]:
    """Write a folder like the classifier's own with other weights, whole or not at all.

    state: by the names in `classifier.backbone`. What else lies in the original folder (its configuration, how images
    are prepared, its card) is copied; other formats of the old weights are not.
    """
    if folder.exists():
        raise BadRequest(f"{folder} is there already.", next_step="Choose another name.")
    with storage_problems(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
        try:
            if classifier.origin == "transformers":
                from core.classifiers import transformers_models

                transformers_models.save(classifier, state, beside)
                kept = [PROCESSOR, "README.md"]
            else:
                _save_timm(classifier, state, beside)
                kept = ["README.md"]
            for name in kept:
                if (classifier.file / name).is_file():
                    shutil.copyfile(classifier.file / name, beside / name)
            beside.chmod(0o755)
            beside.rename(folder)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    return ()


def _save_timm(classifier: Classifier, state: Mapping[str, torch.Tensor], folder: Path) -> None:
    from safetensors.torch import save_file

    config = read_config(classifier.file) or {}
    outputs = 1 if classifier.single else classifier.k
    nested = config.get("pretrained_cfg")
    for place in (config, nested if isinstance(nested, dict) else {}):
        if "num_classes" in place:
            place["num_classes"] = outputs
    write_json(folder / CONFIG, config)
    save_file({name: tensor.clone() for name, tensor in state.items()}, folder / WEIGHTS[0], metadata={"format": "pt"})
