"""The whole network with its new last layer, in formats that others read, and read back before it is offered."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from core.activations.reloading import analysed_classifier
from core.activations.store import Analysis
from core.classifiers.checkpoint import read_checkpoint, write_checkpoint
from core.classifiers.classifier import TORCHSCRIPT, Classifier, description_of, load_classifier, replace_head
from core.classifiers.head import Head
from core.datasets.images import UnreadableImage, decode
from core.errors import BadCheckpoint
from core.files import replacing
from core.settings import DEFAULTS

WEIGHTS, STATE_DICT, SCRIPT = "model.safetensors", "model.pt", "model-torchscript.pt"
# Largest difference between the logits of the written model and the stored ones, relative to the largest logit: float32
# sums differ in the last digits with the size of the batch.
TOLERANCE = 1e-4
# images on which a written model is tried
TRIED = 16


def write_model(analysis: Analysis, head: Head, folder: Path) -> tuple[Path, ...]:
    """Write the network with this head into an existing folder, and try each file.

    `model.safetensors` (names its architecture, classes and preprocessing: Midband loads it again), `model.pt` (a state
    dict of tensors, for `torch.load(..., weights_only=True)`), and where TorchScript came in, `model-torchscript.pt`.
    Raises `BadCheckpoint` when a file does not give the logits it should.
    """
    classifier = analysed_classifier(analysis)
    network = replace_head(classifier, head)
    # copies: a state dict may share memory between entries, which safetensors refuses
    state = {name: value.detach().clone().contiguous() for name, value in network.state_dict().items()}
    written = [folder / WEIGHTS, folder / STATE_DICT]
    write_checkpoint(written[0], state, replace(description_of(classifier), classes=analysis.classes))
    with replacing(written[1]) as beside:
        torch.save(state, beside)
    if isinstance(network, torch.jit.ScriptModule):
        written.append(folder / SCRIPT)
        with replacing(written[-1]) as beside:
            network.save(str(beside))
    for path in written[:2]:
        _check_weights(path, state)
    # weights alone are no TorchScript: there the module itself is tried
    _check_logits(written[-1] if classifier.arch == TORCHSCRIPT else written[0], classifier, analysis, head)
    return tuple(written)


def _check_weights(path: Path, state: dict[str, torch.Tensor]) -> None:
    read = read_checkpoint(path).state
    if read.keys() != state.keys() or not all(torch.equal(read[name], value) for name, value in state.items()):
        raise _does_not_fit(path, "its weights differ from those that were written")


def _check_logits(path: Path, before: Classifier, analysis: Analysis, head: Head) -> None:
    """Compare what the written model says of some images with what the new head says of their stored features."""
    again = load_classifier(path, preprocessing=before.preprocessing)
    batch, rows = _batch(analysis, before)
    _, found = again(batch)
    # noise where no image can be read any more: then the features are computed now
    features = analysis.features[rows] if len(rows) else before(batch)[0].numpy()
    wanted = head.logits(np.asarray(features))
    furthest = float(np.abs(found.numpy() - wanted).max())
    if not furthest <= TOLERANCE * max(1.0, float(np.abs(wanted).max())):
        raise _does_not_fit(path, f"its logits differ from the stored ones by up to {furthest:.3g}")


def _batch(analysis: Analysis, classifier: Classifier) -> tuple[torch.Tensor, np.ndarray]:
    """Network inputs (b, 3, h, w) and the rows they belong to; noise and no rows when no image can be read."""
    inputs, rows = [], []
    for row in np.unique(np.linspace(0, analysis.n - 1, TRIED).astype(np.int64)):
        try:
            image = decode(analysis.image_path(int(row)), DEFAULTS.max_image_pixels)
        except UnreadableImage:
            continue
        inputs.append(classifier.preprocessing.apply(image))
        rows.append(int(row))
    if not inputs:
        side = classifier.preprocessing.crop
        noise = np.random.default_rng(0).normal(size=(TRIED, 3, side, side))
        inputs = list(noise.astype(np.float32))
    return torch.from_numpy(np.stack(inputs)), np.array(rows, dtype=np.int64)


def _does_not_fit(path: Path, difference: str) -> BadCheckpoint:
    return BadCheckpoint(
        f"{path.name} was written but does not reproduce the run: {difference}. It was removed.",
        next_step="Analyse the model again, retrain and export; if it happens again, report it.",
        title="The exported model does not fit the run",
    )
