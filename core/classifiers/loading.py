"""Models as people have them, made classifiers: files, folders and names on the hub."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from core.access.roots import allowed_path
from core.classifiers import torchscript
from core.classifiers.architectures import channels_last, check, default_preprocessing
from core.classifiers.checkpoint import Checkpoint, ModelDescription, check_finite, kind_of_file, read_checkpoint
from core.classifiers.classifier import TOLERANCE, Classifier, of_program, two_logits
from core.classifiers.fitting import assumed, build_fitted, fitted, head_name, library_of, suggest
from core.classifiers.head import Head
from core.classifiers.origins import EXPORTED, ONNX, TORCHSCRIPT, is_program
from core.classifiers.peek import TIMM, TRANSFORMERS, is_hub_name
from core.classifiers.preprocessing import Preprocessing, imagenet
from core.classifiers.programs import LARGEST_SIDE
from core.classifiers.tracing import logits_of, take_out, watching
from core.errors import ArchitectureMismatch, BadRequest, BadWeights, HeadNotFound
from core.files import resolved


def load(path: Path | str, arch: str | None, preprocessing: Preprocessing | None) -> Classifier:
    """See `core.classifiers.classifier.load_classifier`."""
    if is_hub_name(path):
        from core.classifiers.hub import fetched, short_name

        loaded = load(fetched(str(path)), None, preprocessing)
        return replace(loaded, name=short_name(str(path)))
    file = allowed_path(resolved(path, advice="Give the file or folder that holds the model."))
    if file.is_dir():
        return _load_folder(file, arch, preprocessing)
    kind = kind_of_file(file)
    if is_program(kind):
        return _load_program(kind, file, preprocessing)
    checkpoint = read_checkpoint(file)
    chosen = arch or checkpoint.description.arch
    if chosen is None:
        raise _architecture_needed(file, checkpoint.state)
    if is_program(chosen):
        raise ArchitectureMismatch(
            f"{file.name} holds weights only, not {chosen}.", next_step="Name the architecture of the weights."
        )
    if chosen.startswith(TRANSFORMERS):
        return _load_transformers(file, checkpoint, arch, preprocessing)
    return _load_weights(file, checkpoint, arch, preprocessing)


def _load_folder(folder: Path, arch: str | None, preprocessing: Preprocessing | None) -> Classifier:
    """A folder as timm or transformers write it."""
    from core.classifiers import model_folders

    brought = model_folders.read(folder)
    checkpoint = Checkpoint(brought.state, brought.description)
    if brought.library == "transformers":
        return _load_transformers(folder, checkpoint, arch, preprocessing, brought.notes)
    return _load_weights(folder, checkpoint, arch, preprocessing, brought.notes)


def _load_program(kind: str, file: Path, preprocessing: Preprocessing | None) -> Classifier:
    if kind == EXPORTED:
        from core.classifiers import exported

        return exported.load(file, preprocessing)
    if kind == ONNX:
        from core.classifiers import onnx_model

        return onnx_model.load(file, preprocessing)
    return _load_torchscript(file, preprocessing)


def _load_weights(
    file: Path,
    checkpoint: Checkpoint,
    arch: str | None,
    preprocessing: Preprocessing | None,
    notes: tuple[str, ...] = (),
) -> Classifier:
    """Weights for an architecture that can be built by its name. file: or folder."""
    description = checkpoint.description
    chosen = arch or description.arch
    assert chosen is not None
    check(chosen)
    if description.arch is not None and description.arch.partition("?")[0] == chosen:
        # the arguments it was built with are beside the weights
        chosen = description.arch
    if description.arch not in (None, chosen):
        raise ArchitectureMismatch(
            f"{file.name} says that it holds {description.arch}, not {chosen}.",
            next_step="Leave the architecture out: the file names it.",
        )
    try:
        state = fitted(chosen, checkpoint.state, file=file.name)
    except ArchitectureMismatch as error:
        fitting = suggest(checkpoint.state)
        if fitting:
            error.next_step = f"They fit {' or '.join(fitting)}: name that architecture."
        raise
    usual = default_preprocessing(chosen) if description.preprocessing is None and preprocessing is None else None
    return _parted(
        channels_last(build_fitted(chosen, state)),
        file=file,
        arch=chosen,
        description=description,
        preprocessing=preprocessing or description.preprocessing or usual,
        origin="timm" if chosen.startswith(TIMM) else "torch",
        hint=head_name(chosen),
        notes=(*notes, *assumed(chosen, state)),
    )


def _load_transformers(
    file: Path,
    checkpoint: Checkpoint,
    arch: str | None,
    preprocessing: Preprocessing | None,
    notes: tuple[str, ...] = (),
) -> Classifier:
    """Weights for a network that transformers builds from a configuration. file: or folder."""
    from core.classifiers import transformers_models

    brought = transformers_models.load(checkpoint, arch, file.name)
    return _parted(
        channels_last(brought.network),
        file=file,
        arch=brought.arch,
        description=brought.description,
        preprocessing=preprocessing or brought.description.preprocessing,
        origin="transformers",
        hint=None,
        identity=brought.identity,
        notes=(*notes, *(() if preprocessing else brought.notes)),
    )


def _parted(
    network: nn.Module,
    *,
    file: Path,
    arch: str,
    description: ModelDescription,
    preprocessing: Preprocessing | None,
    origin: str,
    hint: str | None,
    identity: str = "",
    notes: tuple[str, ...] = (),
) -> Classifier:
    """Part a whole network at its last linear layer. identity: what its numbers depend on besides its weights and its
    architecture's name. hint: where the last layer should be."""
    assert preprocessing is not None
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    weights = _weights_digest(arch + identity, network.state_dict())
    probe = _probe(preprocessing)
    with watching(network) as called:
        logits = _run(network, probe, arch, preprocessing)
    found = take_out(network, called, probe, logits, name=file.name, tolerance=TOLERANCE, hint=hint)
    single = found.head.k == 1
    classes = description.classes
    if classes is not None and len(classes) == 1 and single:
        # the one name of one output says nothing of the other class
        classes = None
    head = two_logits(found.head) if single else found.head
    classifier = Classifier(
        name=file.name if file.is_dir() else file.stem,
        arch=arch,
        classes=classes,
        preprocessing=preprocessing,
        head=head,
        digest=weights,
        file=file,
        backbone=network,
        head_name=found.name,
        single=single,
        origin=origin,
        convolution=found.convolution,
        config=description.config,
        notes=notes,
    )
    if classes is not None and len(classes) != head.k:
        raise ArchitectureMismatch(
            f"{file.name} names {len(classes)} classes and has {head.k} logits.",
            next_step="Export or train the model again.",
        )
    return classifier


def _load_torchscript(file: Path, preprocessing: Preprocessing | None) -> Classifier:
    preprocessing = preprocessing or imagenet("resnet18")
    module = torchscript.load(file)
    check_finite(dict(module.named_parameters()), file)
    probe = _probe(preprocessing)
    logits = _run(torchscript.only_logits(module, file), probe, file.name, preprocessing)
    name, weight, bias, backbone = torchscript.part(file, probe, logits, TOLERANCE)
    return of_program(file, TORCHSCRIPT, Head(weight, bias), backbone, preprocessing, head_name=name)


def _run(
    network: Callable[[torch.Tensor], object], probe: torch.Tensor, name: str, chosen: Preprocessing
) -> torch.Tensor:
    """The network's own logits of the probe: finite, one row per image.

    Raises `BadRequest` when it cannot take images of that size, `HeadNotFound`, `BadWeights`.
    """
    try:
        with torch.inference_mode():
            found = network(probe)
    except (RuntimeError, AssertionError, ValueError) as error:
        # TorchScript puts its cause last, after the code it came from
        cause = [line for line in str(error).splitlines() if line.strip()][-1:]
        raise BadRequest(
            f"{name} cannot take images of {chosen.crop} x {chosen.crop} pixels ({''.join(cause).strip()}).",
            next_step="Give the preprocessing that the model was trained with.",
        ) from error
    logits = logits_of(found)
    if logits is not None and logits.shape == (len(probe),):
        # one output, its last axis squeezed away
        logits = logits[:, None]
    if logits is None or logits.ndim != 2 or len(logits) != len(probe):
        shape = type(found).__name__ if logits is None else tuple(logits.shape)
        raise HeadNotFound(
            f"{name} does not give one row of logits per image (it gives {shape}).",
            next_step="Use a network that ends in one linear layer and returns its output.",
        )
    if not bool(torch.isfinite(logits).all()):
        raise BadWeights(
            f"The weights of {name} are finite, but so large that its logits are not.",
            next_step="The training that wrote this file diverged: use an earlier checkpoint.",
        )
    return logits.float()


def _probe(preprocessing: Preprocessing) -> torch.Tensor:
    """Three images of noise, (3, c, crop, crop): enough to tell one function from another. Raises `BadRequest`."""
    side = preprocessing.crop
    if side > LARGEST_SIDE:
        raise BadRequest(
            f"An input of {side:,} x {side:,} pixels is more than any classifier takes.",
            next_step=f"Give a preprocessing of at most {LARGEST_SIDE:,} pixels.",
        )
    noise = np.random.default_rng(0).normal(size=(3, preprocessing.channels, side, side)).astype(np.float32)
    return torch.from_numpy(noise)


def _weights_digest(arch: str, state: Mapping[str, torch.Tensor]) -> str:
    """Of the architecture and every tensor's name, shape and bytes."""
    found = hashlib.sha256(arch.encode())
    for name in sorted(state):
        tensor = state[name].detach().contiguous()
        found.update(f"\0{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        found.update(tensor.numpy().tobytes())
    return found.hexdigest()[:24]


def _architecture_needed(file: Path, state: Mapping[str, torch.Tensor]) -> BadRequest:
    fitting, library = suggest(state), library_of(state)
    if fitting:
        step = f"These weights fit {' or '.join(fitting)}: name that architecture."
    elif library == "timm":
        step = "Their names are like timm's: name its architecture as timm:vit_base_patch16_224, for example."
    elif library == "transformers":
        step = (
            "Their names are like those of transformers: give the folder that holds them and a config.json, or name "
            "such a folder as hf:folder."
        )
    else:
        step = "Name it, for example resnet18 or timm:resnet18; or save the model as TorchScript, which brings its own."
    return BadRequest(
        f"{file.name} holds weights only and does not say of which architecture.",
        next_step=step,
        title="Which architecture is this?",
    )
