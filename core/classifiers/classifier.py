"""A classifier parted at its last linear layer: images -> features (the backbone) -> logits (the head).

The last layer is taken out and replaced by one that passes its input on, so that running the rest gives the features
directly: no hooks, nothing to remove afterwards, and it works inside compiled TorchScript too. That the two parts
together are the network is verified on a few random images when it is loaded.

A network with one output z tells two classes apart: the sigmoid of z is the chance of the second one. Here it has two
logits, -z/2 and z/2, whose softmax is that very chance. Halves, not (0, z), so that either class has a range of its own
to look at. `replace_head` makes one output of two again: z is the second logit minus the first.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from core.classifiers import torchscript
from core.classifiers.architectures import channels_last, check, default_preprocessing
from core.classifiers.checkpoint import ModelDescription, check_finite, kind_of_file, read_checkpoint
from core.classifiers.fitting import build_fitted, fitted, head_name, suggest
from core.classifiers.head import Head
from core.classifiers.preprocessing import Preprocessing, imagenet
from core.errors import ArchitectureMismatch, BadRequest, BadWeights, ClassMismatch, HeadNotFound
from core.files import digest, file_digest, resolved

TORCHSCRIPT = "torchscript"

# Largest difference between head(backbone(images)) and the network's own logits, relative to their size.
TOLERANCE = 1e-4


@dataclass(frozen=True, eq=False)
class Classifier:
    """A frozen network in evaluation mode. Call it with a batch to get features and logits.

    classes: names in the order of the logits, None where the file does not say. digest: of weights and architecture,
    not of preprocessing. backbone: (b, 3, h, w) float32 -> (b, d). single: the file has one output where this has two
    logits.
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

    @property
    def k(self) -> int:
        return self.head.k

    @property
    def d(self) -> int:
        return self.head.d

    def __call__(self, batch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """batch: (b, 3, h, w) float32, normalised. Returns features (b, d) and logits (b, k), float32."""
        with torch.inference_mode():
            features = self.backbone(batch).float()
            logits = nn.functional.linear(
                features, torch.from_numpy(self.head.weight), torch.from_numpy(self.head.bias)
            )
        return features, logits

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
    """Load a state dict (.pt, .pth, .safetensors) of any known architecture, one of our own files, or TorchScript.

    arch: may be left out for our own files and for TorchScript. preprocessing: what the file says, else what the
    architecture usually takes. Raises `PathNotFound`, `BadCheckpoint`, `UnsafeCheckpoint`, `ArchitectureMismatch`,
    `HeadNotFound`, `BadWeights`, `BadRequest`.
    """
    file = resolved(path, advice="Give the file that holds the model.")
    if kind_of_file(file) == "torchscript":
        return _load_torchscript(file, preprocessing)
    checkpoint = read_checkpoint(file)
    description = checkpoint.description
    chosen = arch or description.arch
    if chosen is None:
        raise _architecture_needed(file, checkpoint.state)
    if chosen == TORCHSCRIPT:
        raise ArchitectureMismatch(
            f"{file.name} holds weights only, not TorchScript.", next_step="Name the architecture of the weights."
        )
    check(chosen)
    if arch is not None and description.arch not in (None, arch):
        raise ArchitectureMismatch(
            f"{file.name} says that it holds {description.arch}, not {arch}.",
            next_step="Leave the architecture out: the file names it.",
        )
    try:
        state = fitted(chosen, checkpoint.state, file=file.name)
    except ArchitectureMismatch as error:
        fitting = suggest(checkpoint.state)
        if fitting:
            error.next_step = f"They fit {' or '.join(fitting)}: name that architecture."
        raise
    network = build_fitted(chosen, state)
    return _parted(
        channels_last(network),
        file=file,
        arch=chosen,
        description=description,
        preprocessing=preprocessing or description.preprocessing or default_preprocessing(chosen),
    )


def replace_head(classifier: Classifier, head: Head) -> nn.Module:
    """A copy of the whole network with this last layer: a `ScriptModule` where TorchScript came in.

    It has one output where the classifier came with one. Raises `BadRequest` when the head is of another size.
    """
    if (head.k, head.d) != (classifier.k, classifier.d):
        raise BadRequest(
            f"A head of {head.k} x {head.d} does not fit {classifier.name}: it needs {classifier.k} x {classifier.d}.",
            next_step="Choose a run of this very model.",
        )
    if classifier.single:
        head = one_output(head)
    weight, bias = torch.from_numpy(head.weight.copy()), torch.from_numpy(head.bias.copy())
    if classifier.arch == TORCHSCRIPT:
        return torchscript.with_head(classifier.file, classifier.head_name, weight, bias)
    network = copy.deepcopy(classifier.backbone)
    assert isinstance(network, nn.Module)
    last = nn.Linear(head.d, head.k)
    last.load_state_dict({"weight": weight, "bias": bias})
    network.set_submodule(classifier.head_name, last)
    return network.eval()


def two_logits(head: Head) -> Head:
    """(1, d) -> (2, d): the output z as the logits -z/2 and z/2 of two classes."""
    return Head(np.concatenate([-head.weight, head.weight]) / 2, np.concatenate([-head.bias, head.bias]) / 2)


def one_output(head: Head) -> Head:
    """(2, d) -> (1, d): the second logit minus the first. The inverse of `two_logits`, and for any other head the same
    probabilities."""
    return Head(head.weight[1:] - head.weight[:1], head.bias[1:] - head.bias[:1])


def description_of(classifier: Classifier) -> ModelDescription:
    """What `write_checkpoint` should say about this classifier."""
    return ModelDescription(arch=classifier.arch, classes=classifier.classes, preprocessing=classifier.preprocessing)


def _parted(
    network: nn.Module, *, file: Path, arch: str, description: ModelDescription, preprocessing: Preprocessing
) -> Classifier:
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    identity = _weights_digest(arch, network.state_dict())
    probe = _probe(preprocessing)
    logits = _run(network, probe, arch, preprocessing)
    name = head_name(arch)
    last = network.get_submodule(name)
    assert isinstance(last, nn.Linear)
    network.set_submodule(name, nn.Identity().eval())
    head = Head(weight=last.weight.detach().numpy().copy(), bias=last.bias.detach().numpy().copy())
    single = head.k == 1
    if single:
        head, logits = two_logits(head), torch.cat([-logits, logits], dim=1) / 2
    classifier = Classifier(
        name=file.stem,
        arch=arch,
        classes=description.classes,
        preprocessing=preprocessing,
        head=head,
        digest=identity,
        file=file,
        backbone=network,
        head_name=name,
        single=single,
    )
    if description.classes is not None and len(description.classes) != head.k:
        raise ArchitectureMismatch(
            f"{file.name} names {len(description.classes)} classes and has {head.k} logits.",
            next_step="Export or train the model again.",
        )
    _verify(classifier, probe, logits)
    return classifier


def _load_torchscript(file: Path, preprocessing: Preprocessing | None) -> Classifier:
    preprocessing = preprocessing or imagenet("resnet18")
    module = torchscript.load(file)
    check_finite(dict(module.named_parameters()), file)
    probe = _probe(preprocessing)
    logits = _run(module, probe, file.name, preprocessing)
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
    )


def _run(
    network: Callable[[torch.Tensor], object], probe: torch.Tensor, name: str, chosen: Preprocessing
) -> torch.Tensor:
    """The network's own logits of the probe: finite, one row per image.

    Raises `BadRequest` when it cannot take images of that size, `HeadNotFound`, `BadWeights`.
    """
    try:
        with torch.inference_mode():
            logits = network(probe)
    except (RuntimeError, AssertionError, ValueError) as error:
        # TorchScript puts its cause last, after the code it came from
        cause = [line for line in str(error).splitlines() if line.strip()][-1:]
        raise BadRequest(
            f"{name} cannot take images of {chosen.crop} x {chosen.crop} pixels ({''.join(cause).strip()}).",
            next_step="Give the preprocessing that the model was trained with.",
        ) from error
    if isinstance(logits, torch.Tensor) and logits.shape == (len(probe),):
        # one output, its last axis squeezed away
        logits = logits[:, None]
    if not isinstance(logits, torch.Tensor) or logits.ndim != 2 or len(logits) != len(probe):
        shape = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
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


def _verify(classifier: Classifier, probe: torch.Tensor, logits: torch.Tensor) -> None:
    """Raise `HeadNotFound` unless head(backbone(probe)) are the network's logits."""
    features, parted = classifier(probe)
    fits = features.shape == (len(probe), classifier.d) and torchscript.close(parted, logits, TOLERANCE)
    if not fits:
        raise HeadNotFound(
            f"The logits of {classifier.name} are not those of its last linear layer.",
            next_step="Use a network whose output is its last linear layer's, without a softmax or sigmoid after it.",
        )


def _probe(preprocessing: Preprocessing) -> torch.Tensor:
    """Three images of noise, (3, 3, crop, crop): enough to tell one function from another."""
    side = preprocessing.crop
    noise = np.random.default_rng(0).normal(size=(3, 3, side, side)).astype(np.float32)
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
    fitting = suggest(state)
    step = (
        f"These weights fit {' or '.join(fitting)}: name that architecture."
        if fitting
        else ("Name it, for example resnet18; or save the model as TorchScript, which brings its own.")
    )
    return BadRequest(
        f"{file.name} holds weights only and does not say of which architecture.",
        next_step=step,
        title="Which architecture is this?",
    )


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")


def _plural(word: str, count: int) -> str:
    return word if count == 1 else f"{word}es"
