"""A classifier parted at its last linear layer: images -> features (the backbone) -> logits (the head).

The last layer is taken out and replaced by one that passes its input on, so that running the rest gives the features
directly: no hooks, nothing to remove afterwards, and it works inside compiled TorchScript too. That the two parts
together are the network is verified on a few random images when it is loaded (`core.classifiers.tracing`).

A network with one output z tells two classes apart: the sigmoid of z is the chance of the second one. Here it has two
logits, -z/2 and z/2, whose softmax is that very chance. Halves, not (0, z), so that either class has a range of its own
to look at. `replace_head` makes one output of two again: z is the second logit minus the first.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from core.classifiers import torchscript
from core.classifiers.architectures import channels_last, check, default_preprocessing
from core.classifiers.checkpoint import Checkpoint, ModelDescription, check_finite, kind_of_file, read_checkpoint
from core.classifiers.fitting import assumed, build_fitted, fitted, head_name, library_of, suggest
from core.classifiers.head import Head
from core.classifiers.origins import EXPORTED, ONNX, TORCHSCRIPT, is_program
from core.classifiers.peek import TIMM, TRANSFORMERS, is_hub_name
from core.classifiers.preprocessing import Preprocessing, imagenet
from core.classifiers.programs import LARGEST_SIDE
from core.classifiers.tracing import head_of, layer_of, logits_of, take_out, watching
from core.errors import ArchitectureMismatch, BadRequest, BadWeights, ClassMismatch, HeadNotFound
from core.files import digest, file_digest, replacing, resolved

# Largest difference between head(backbone(images)) and the network's own logits, relative to their size.
TOLERANCE = 1e-4
# where a network of modules can run, if the machine has it
ANYWHERE = ("cpu", "cuda", "mps")


@dataclass(frozen=True, eq=False)
class Classifier:
    """A frozen network in evaluation mode. Call it with a batch to get features and logits.

    classes: names in the order of the logits, None where the file does not say. digest: of weights and architecture,
    not of preprocessing. backbone: (b, c, h, w) float32 -> (b, d). single: the file has one output where this has two
    logits. origin: who wrote it: "torch", "timm", "transformers", "torchscript", "exported" or "onnx". file: what was
    loaded; a folder where the model came as one. runs_on: devices it can be moved to. convolution: the last layer was
    a 1x1 convolution. config: of the network, where its architecture's name does not say all (`ModelDescription`).
    notes: sentences on what was assumed.
    """

    name: str
    arch: str
    classes: tuple[str, ...] | None
    preprocessing: Preprocessing
    head: Head
    digest: str
    file: Path
    backbone: Callable[[torch.Tensor], torch.Tensor]
    head_name: str
    single: bool = False
    origin: str = "torch"
    runs_on: tuple[str, ...] = ANYWHERE
    convolution: bool = False
    config: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def k(self) -> int:
        return self.head.k

    @property
    def d(self) -> int:
        return self.head.d

    @property
    def whole_numbers(self) -> bool:
        """Whether it takes the pixels themselves, 0..255, so that means and deviations change nothing."""
        takes = getattr(self.backbone, "takes", None)
        return takes is not None and bool(takes.whole_numbers)

    def __call__(self, batch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """batch: (b, c, h, w) float32, normalised. Returns features (b, d) and logits (b, k), float32."""
        with torch.inference_mode():
            features = self.backbone(batch).float()
            logits = nn.functional.linear(
                features, torch.from_numpy(self.head.weight), torch.from_numpy(self.head.bias)
            )
        return features, logits

    def network(self) -> nn.Module | None:
        """The backbone as a module that can be moved to a device and cast; None where there is no such thing (ONNX)."""
        return self.backbone if isinstance(self.backbone, nn.Module) and len(self.runs_on) > 1 else None

    def check_classes(self, dataset_classes: tuple[str, ...]) -> None:
        """Raise `ClassMismatch` unless logit c is the dataset's class c, as far as the file says."""
        if self.k != len(dataset_classes):
            ours = f" ({_listed(self.classes)})" if self.classes else ""
            one = " with its one output" if self.single else ""
            raise ClassMismatch(
                f"{self.name} tells {self.k} {_plural('class', self.k)} apart{ours}{one}, the dataset has "
                f"{len(dataset_classes)} ({_listed(dataset_classes)}).",
                next_step="Choose the dataset that the model was trained on, or train a model on this one.",
            )
        if self.classes is None or self.classes == dataset_classes:
            return
        if sorted(self.classes) == sorted(dataset_classes):
            raise ClassMismatch(
                f"{self.name} has the same classes in another order: {_listed(self.classes)} instead of "
                f"{_listed(dataset_classes)}.",
                next_step="Name the class folders, or number y, so that they come in the model's order.",
            )
        raise ClassMismatch(
            f"{self.name} was trained on other classes: {_listed(self.classes)} instead of {_listed(dataset_classes)}.",
            next_step="Choose the dataset that the model was trained on, or train a model on this one.",
        )


def load_classifier(
    path: Path | str, *, arch: str | None = None, preprocessing: Preprocessing | None = None
) -> Classifier:
    """Load a model from a file, a folder of timm's or transformers', or the hub.

    Files: a state dict (.pt, .pth, .safetensors) of any known architecture, one of our own, TorchScript, torch.export,
    ONNX. path: `hf-hub:organisation/name` and `timm:name` are names on the hub; nothing else uses the network. arch:
    may be left out where the file or folder says it; `timm:name` for timm's networks (`timm:name?img_size=96` with
    arguments), `hf:place` for those of transformers, where place is a folder with a config.json or a name on the hub.
    preprocessing: what the model says, else what the architecture usually takes.

    Raises `PathNotFound`, `BadCheckpoint`, `UnsafeCheckpoint`, `ArchitectureMismatch`, `HeadNotFound`, `BadWeights`,
    `BadRequest`.
    """
    if is_hub_name(path):
        from core.classifiers.hub import fetched, short_name

        loaded = load_classifier(fetched(str(path)), preprocessing=preprocessing)
        return replace(loaded, name=short_name(str(path)))
    file = resolved(path, advice="Give the file or folder that holds the model.")
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


def with_preprocessing(classifier: Classifier, preprocessing: Preprocessing) -> Classifier:
    """The same network for images that are prepared otherwise; weights are shared.

    What takes whole numbers turns normalised images back into pixels, and has to know how they were normalised: with
    `replace` alone it would undo another preprocessing than theirs. Raises `BadRequest` where such images cannot go in.
    """
    backbone: Any = classifier.backbone
    if classifier.origin in (EXPORTED, ONNX):
        backbone = backbone.prepared(preprocessing)
    return replace(classifier, preprocessing=preprocessing, backbone=backbone)


def replace_head(classifier: Classifier, head: Head) -> nn.Module:
    """A copy of the whole network with this last layer: a `ScriptModule` where TorchScript came in.

    It has one output where the classifier came with one. Raises `BadRequest` when the head is of another size, and for
    a model that is no module (ONNX), which `write_with_head` writes all the same.
    """
    _check_size(classifier, head)
    if classifier.origin == EXPORTED:
        from core.classifiers import exported

        return exported.with_head(classifier, head)
    if classifier.single:
        head = one_output(head)
    if classifier.origin == TORCHSCRIPT:
        weight, bias = torch.from_numpy(head.weight.copy()), torch.from_numpy(head.bias.copy())
        return torchscript.with_head(classifier.file, classifier.head_name, weight, bias)
    if not isinstance(classifier.backbone, nn.Module):
        raise BadRequest(
            f"{classifier.name} is a graph, whose layers cannot be exchanged in memory.",
            next_step="Export it: it is written in the format it came in.",
        )
    network = copy.deepcopy(classifier.backbone)
    network.set_submodule(classifier.head_name, layer_of(head, convolution=classifier.convolution))
    return network.eval()


def write_with_head(classifier: Classifier, head: Head, path: Path) -> tuple[str, ...]:
    """Write the model with another last layer in the format it came in, for the library that reads that one.

    path: of a file, or of a folder where the classifier's `file` is one; neither may be there before. Returns sentences
    on what else is in it. Raises `BadRequest` when the head is of another size or the format has no place for it.
    """
    _check_size(classifier, head)
    if classifier.origin == EXPORTED:
        from core.classifiers import exported

        return exported.write_with_head(classifier, head, path)
    if classifier.origin == ONNX:
        from core.classifiers import onnx_model

        return onnx_model.write_with_head(classifier, head, path)
    return write_like(classifier, replace_head(classifier, head), path)


def write_like(classifier: Classifier, network: nn.Module, path: Path) -> tuple[str, ...]:
    """Write a whole network as the file or folder that the classifier came from, as `write_with_head` does.

    network: what `replace_head` gives, or the same network after more training.
    """
    if isinstance(network, torch.jit.ScriptModule):
        with replacing(path) as beside:
            network.save(str(beside))
        return ()
    state = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    if classifier.file.is_dir():
        from core.classifiers import model_folders

        return model_folders.write(classifier, state, path)
    if classifier.origin == "transformers":
        from core.classifiers import transformers_models

        return transformers_models.write_weights(classifier, state, path)
    from core.classifiers.layout import read_layout, write_layout

    return write_layout(read_layout(classifier.file, classifier.arch), state, path)


def two_logits(head: Head) -> Head:
    """(1, d) -> (2, d): the output z as the logits -z/2 and z/2 of two classes."""
    return Head(np.concatenate([-head.weight, head.weight]) / 2, np.concatenate([-head.bias, head.bias]) / 2)


def one_output(head: Head) -> Head:
    """(2, d) -> (1, d): the second logit minus the first. The inverse of `two_logits`, and for any other head the same
    probabilities."""
    return Head(head.weight[1:] - head.weight[:1], head.bias[1:] - head.bias[:1])


def description_of(classifier: Classifier) -> ModelDescription:
    """What `write_checkpoint` should say about this classifier."""
    return ModelDescription(
        arch=classifier.arch,
        classes=classifier.classes,
        preprocessing=classifier.preprocessing,
        config=classifier.config,
    )


def head_in(network: nn.Module, name: str) -> Head:
    """The numbers of the last layer of a whole network. name: `Classifier.head_name`."""
    return head_of(network.get_submodule(name))


def _check_size(classifier: Classifier, head: Head) -> None:
    if (head.k, head.d) != (classifier.k, classifier.d):
        raise BadRequest(
            f"A head of {head.k} x {head.d} does not fit {classifier.name}: it needs {classifier.k} x {classifier.d}.",
            next_step="Choose a run of this very model.",
        )


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
    head = Head(weight=weight, bias=bias)
    single = head.k == 1
    return Classifier(
        name=file.stem,
        arch=TORCHSCRIPT,
        classes=None,
        preprocessing=preprocessing,
        head=two_logits(head) if single else head,
        digest=digest(TORCHSCRIPT, file_digest(file, 64), length=24),
        file=file,
        backbone=backbone,
        head_name=name,
        single=single,
        origin=TORCHSCRIPT,
    )


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


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")


def _plural(word: str, count: int) -> str:
    return word if count == 1 else f"{word}es"
