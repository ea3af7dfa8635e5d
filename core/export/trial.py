"""What every written model is asked about: a few images, of which it is known what the run says."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from core.activations.store import Analysis
from core.classifiers.classifier import Classifier
from core.classifiers.network_precision import FP32
from core.datasets.images import UnreadableImage, decode
from core.errors import BadCheckpoint
from core.export.formats import Reloaded
from core.retraining.finetune import TOLERANCE as STORED_TOLERANCE
from core.retraining.runs import run_head, run_logits
from core.settings import DEFAULTS
from core.workspace import Workspace

# Largest difference between the logits of the written model and the stored ones, relative to the largest logit: float32
# sums differ in the last digits with the size of the batch.
TOLERANCE = 1e-4
# the same for weights kept in half precision, whose numbers have three digits
HALF_TOLERANCE = 2e-2
# images on which a written model is tried
TRIED = 16


@dataclass(frozen=True, eq=False)
class Trial:
    """batch: (b, c, h, w). wanted: (b, outputs), what the run says of it in float32. stored: what it stored, which is
    the same unless the analysis was computed in another precision. images: how many of the batch are real."""

    batch: torch.Tensor
    wanted: np.ndarray
    stored: np.ndarray
    images: int

    @property
    def sample(self) -> torch.Tensor:
        """Two inputs to follow through the network: of one, exporters conclude that there is always one."""
        return self.batch[[0, -1]].contiguous()

    def furthest(self, file: str, found: torch.Tensor, tolerance: float = TOLERANCE) -> float:
        """Largest difference from the stored logits. Raises `BadCheckpoint` when the one from those in float32 is
        beyond rounding."""
        logits = found.detach().numpy()
        if logits.shape == self.wanted.shape[:1]:
            # one output, its last axis squeezed away
            logits = logits[:, None]
        if logits.shape != self.wanted.shape:
            raise does_not_fit(file, f"it gives numbers of shape {logits.shape} instead of {self.wanted.shape}")
        furthest = float(np.abs(logits - self.wanted).max())
        if not furthest <= tolerance * max(1.0, float(np.abs(self.wanted).max())):
            raise does_not_fit(file, f"its logits differ from the stored ones by up to {furthest:.3g}")
        return float(np.abs(logits - self.stored).max())

    def ask(self, file: str, model: Reloaded, tolerance: float = TOLERANCE) -> float:
        """The same for a model read back: all at once, and the first alone, since graphs may have a fixed batch."""
        with torch.inference_mode():
            all_at_once, alone = model(self.batch), model(self.batch[:1])
        found = self.furthest(file, all_at_once, tolerance)
        alone_too = replace(self, wanted=self.wanted[:1], stored=self.stored[:1])
        return max(found, alone_too.furthest(file, alone, tolerance))


def trial_of(workspace: Workspace, analysis: Analysis, run_id: str, before: Classifier, *, is_head: bool) -> Trial:
    """is_head: the run changed the last layer only."""
    batch, rows = _batch(analysis, before)
    stored = run_logits(workspace, analysis, run_id, rows) if len(rows) else None
    if stored is not None and (not is_head or analysis.precision == FP32):
        wanted = stored
    else:
        # features were rounded when they were computed, or no image can be read any more and noise takes their place:
        # what the run says in float32 is computed now
        features, logits = before(batch)
        wanted = run_head(workspace, run_id).logits(features.numpy()) if is_head else logits.numpy()
    if stored is None:
        stored = wanted
    if before.single:
        wanted, stored = (two[:, 1:] - two[:, :1] for two in (wanted, stored))
    wanted, stored = np.asarray(wanted, dtype=np.float32), np.asarray(stored, dtype=np.float32)
    apart = float(np.abs(wanted - stored).max())
    if not apart <= STORED_TOLERANCE[analysis.precision] * max(1.0, float(np.abs(stored).max())):
        raise does_not_fit("The network", f"its logits differ from the stored ones by up to {apart:.3g}")
    return Trial(batch, wanted, stored, len(rows))


def outputs_of(classifier: Classifier) -> Reloaded:
    """The network's own outputs: one where it has one."""

    def run(batch: torch.Tensor) -> torch.Tensor:
        logits = classifier(batch)[1]
        return logits[:, 1:] - logits[:, :1] if classifier.single else logits

    return run


def _batch(analysis: Analysis, classifier: Classifier) -> tuple[torch.Tensor, np.ndarray]:
    """Network inputs (b, c, h, w) and the rows they belong to; noise and no rows when no image can be read."""
    inputs, rows = [], []
    for row in np.unique(np.linspace(0, analysis.n - 1, TRIED).astype(np.int64)):
        try:
            image = decode(analysis.picture(int(row)), DEFAULTS.max_image_pixels)
        except UnreadableImage:
            continue
        inputs.append(classifier.preprocessing.apply(image))
        rows.append(int(row))
    if not inputs:
        chosen = classifier.preprocessing
        size = (TRIED, chosen.crop, chosen.crop, chosen.channels)
        noise = np.random.default_rng(0).integers(0, 256, size=size, dtype=np.uint8)
        inputs = list(np.moveaxis(chosen.normalise(noise), -1, 1))
    return torch.from_numpy(np.stack(inputs)), np.array(rows, dtype=np.int64)


def does_not_fit(file: str, difference: str) -> BadCheckpoint:
    return BadCheckpoint(
        f"{file} was written but does not reproduce the run: {difference}. It was removed.",
        next_step="Analyse the model again, retrain and export; if it happens again, report it.",
        title="The exported model does not fit the run",
    )
