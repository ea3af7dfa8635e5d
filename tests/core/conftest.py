"""An analysis made of arrays: planted truth without images or networks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.dtypes import StringDType

from core.database import DatasetRecord
from core.workspace import Workspace

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class ArrayHead:
    weight: np.ndarray
    bias: np.ndarray

    def logits(self, features: np.ndarray) -> np.ndarray:
        return (features @ self.weight.T + self.bias).astype(np.float32)


@dataclass(frozen=True)
class ArrayAttribute:
    name: str
    values: tuple[str, ...]
    codes: np.ndarray


@dataclass(frozen=True, eq=False)
class ArrayAnalysis:
    """The part of `core.activations.store.Analysis` that works on arrays alone."""

    folder: Path
    features: np.ndarray
    labels: np.ndarray
    splits: np.ndarray
    classes: tuple[str, ...]
    head: Any
    attributes: tuple[Any, ...] = ()
    id: str = "planted"
    dataset_id: str = "planted-data"
    images: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=StringDType()))

    @property
    def n(self) -> int:
        return len(self.features)

    @property
    def d(self) -> int:
        return self.features.shape[1]

    @property
    def k(self) -> int:
        return len(self.classes)

    @property
    def ids(self) -> np.ndarray:
        return np.arange(self.n)

    @property
    def logits(self) -> np.ndarray:
        return self.head.logits(self.features)

    @property
    def predicted(self) -> np.ndarray:
        return self.logits.argmax(axis=1)

    def split_rows(self, name: str) -> np.ndarray:
        return np.flatnonzero(self.splits == SPLITS.index(name))


AnalysisMaker = Callable[..., ArrayAnalysis]


@pytest.fixture
def make_analysis(tmp_path: Path, workspace: Workspace) -> AnalysisMaker:
    """make_analysis(features, labels, splits=..., head=..., attributes=...): known to the workspace's database."""

    def make(
        features: np.ndarray,
        labels: np.ndarray,
        *,
        splits: np.ndarray | None = None,
        classes: tuple[str, ...] | None = None,
        head: Any = None,
        place: np.ndarray | None = None,
    ) -> ArrayAnalysis:
        k = int(labels.max()) + 1
        if head is None:
            rng = np.random.default_rng(0)
            head = ArrayHead(rng.normal(size=(k, features.shape[1])).astype(np.float32), np.arange(k, dtype=np.float32))
        with workspace.writing() as session:
            session.merge(
                DatasetRecord(
                    id="planted-data", name="planted", root=str(tmp_path), source="class-folders", fingerprint="0"
                )
            )
        return ArrayAnalysis(
            folder=tmp_path / "analysis",
            features=features.astype(np.float32),
            labels=labels.astype(np.int64),
            splits=np.ones(len(labels), dtype=np.int8) if splits is None else splits.astype(np.int8),
            classes=classes or tuple(f"class {i}" for i in range(k)),
            head=head,
            attributes=() if place is None else (ArrayAttribute("place", ("land", "water"), place.astype(np.int16)),),
            images=np.array([f"images/{i:06d}.png" for i in range(len(labels))], dtype=StringDType()),
        )

    return make
