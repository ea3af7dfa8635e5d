"""An analysis made of arrays: planted truth without images or networks; and a small network with random weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from sqlalchemy import select

from core.activations.store import Analysis
from core.classifiers.head import Head
from core.database import AnalysisRecord, DatasetRecord
from core.datasets.dataset import Attribute
from core.workspace import Workspace

if TYPE_CHECKING:
    from core.classifiers.classifier import Classifier

AnalysisMaker = Callable[..., Analysis]


@pytest.fixture
def classifier(tmp_path: Path) -> Classifier:
    """Two classes without names, images of 24 x 24."""
    # takes seconds, and most tests need no network
    import torch

    from core.classifiers.architectures import build
    from core.classifiers.checkpoint import ModelDescription, write_checkpoint
    from core.classifiers.classifier import load_classifier
    from core.classifiers.preprocessing import squeezed

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        state = build("small", 2).state_dict()
    path = tmp_path / "model.safetensors"
    write_checkpoint(path, state, ModelDescription(arch="small", preprocessing=squeezed(24)))
    return load_classifier(path)


def listed(workspace: Workspace) -> list[AnalysisRecord]:
    """All analyses that a workspace knows, the one used last first."""
    with workspace.reading() as session:
        return list(session.scalars(select(AnalysisRecord).order_by(AnalysisRecord.used.desc())))


@pytest.fixture
def make_analysis(tmp_path: Path, workspace: Workspace) -> AnalysisMaker:
    """make_analysis(features, labels, splits=, classes=, head=, place=), known to the workspace's database.

    splits: codes of SPLITS, all val when not given. place: codes of an attribute `place` with values land and water.
    """

    def make(
        features: np.ndarray,
        labels: np.ndarray,
        *,
        splits: np.ndarray | None = None,
        classes: tuple[str, ...] | None = None,
        head: Head | None = None,
        place: np.ndarray | None = None,
    ) -> Analysis:
        n, d = features.shape
        k = len(classes) if classes else int(labels.max()) + 1
        if head is None:
            rng = np.random.default_rng(0)
            head = Head(rng.normal(size=(k, d)).astype(np.float32), np.arange(k, dtype=np.float32))
        folder = workspace.analyses / "planted"
        with workspace.writing() as session:
            session.merge(
                DatasetRecord(
                    id="planted-data", name="planted", root=str(tmp_path), source="class-folders", fingerprint="0"
                )
            )
            session.flush()
            session.merge(
                AnalysisRecord(
                    id="planted",
                    dataset_id="planted-data",
                    model_name="planted",
                    model_file="planted.safetensors",
                    arch="small",
                    images=n,
                    accuracy=None,
                )
            )
        features = features.astype(np.float32)
        logits = head.logits(features)
        predicted = logits.argmax(axis=1).astype(np.int64)
        attributes = () if place is None else (Attribute("place", ("land", "water"), place.astype(np.int16)),)
        analysis = Analysis(
            id="planted",
            folder=folder,
            dataset_id="planted-data",
            dataset_name="planted",
            dataset_root=tmp_path,
            model_name="planted",
            model_file=tmp_path / "planted.safetensors",
            arch="small",
            classes=classes or tuple(f"class {i}" for i in range(k)),
            preprocessing={},
            features=features,
            logits=logits,
            ids=np.arange(n, dtype=np.int64),
            labels=labels.astype(np.int64),
            splits=np.ones(n, dtype=np.int8) if splits is None else splits.astype(np.int8),
            predicted=predicted,
            attributes=attributes,
            head=head,
            skipped=(),
            notes=(),
            accuracy=float((predicted == labels).mean()),
        )
        # what the store would read from images.parquet
        names = [f"images/{i:06d}.png" for i in range(n)]
        analysis.__dict__["images"] = np.array(names, dtype=np.dtypes.StringDType())
        return analysis

    return make
