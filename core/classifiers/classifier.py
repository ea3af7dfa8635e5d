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
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from core.classifiers import torchscript
from core.classifiers.checkpoint import ModelDescription
from core.classifiers.head import Head
from core.classifiers.origins import EXPORTED, ONNX, TORCHSCRIPT
from core.classifiers.preprocessing import Preprocessing
from core.classifiers.tracing import head_of, layer_of
from core.errors import BadRequest, ClassCountMismatch, ClassMismatch
from core.files import digest, file_digest, replacing

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
        """Raise `ClassMismatch` unless logit c is the dataset's class c, as far as the file says: `ClassCountMismatch`
        where there are more or fewer logits."""
        if self.k != len(dataset_classes):
            ours = f" ({_listed(self.classes)})" if self.classes else ""
            one = " with its one output" if self.single else ""
            raise ClassCountMismatch(
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
    from core.classifiers import loading

    return loading.load(path, arch, preprocessing)


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


def of_program(
    file: Path,
    origin: str,
    head: Head,
    backbone: Callable[[torch.Tensor], torch.Tensor],
    preprocessing: Preprocessing,
    *,
    head_name: str,
    classes: tuple[str, ...] | None = None,
    beside: Iterable[str | bytes] = (),
    runs_on: tuple[str, ...] = ANYWHERE,
    notes: tuple[str, ...] = (),
) -> Classifier:
    """The classifier of a file that brings its own network. head: as it is there, with one output or more. classes: as
    the file names them, left out where they are not as many as the logits. beside: what its numbers depend on that is
    not in the file itself. The others as in `Classifier`."""
    single = head.k == 1
    found = two_logits(head) if single else head
    return Classifier(
        name=file.stem,
        arch=origin,
        classes=classes if classes is not None and len(classes) == found.k else None,
        preprocessing=preprocessing,
        head=found,
        digest=digest(origin, file_digest(file, 64), *beside, length=24),
        file=file,
        backbone=backbone,
        head_name=head_name,
        single=single,
        origin=origin,
        runs_on=runs_on,
        notes=notes,
    )


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


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")


def _plural(word: str, count: int) -> str:
    return word if count == 1 else f"{word}es"
