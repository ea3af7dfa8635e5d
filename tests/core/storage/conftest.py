"""A workspace on disk that can be damaged: nobody has it open."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from numpy.dtypes import StringDType

from core.activations.store import Analysis, opening, write_analysis
from core.classifiers.head import Head
from core.concepts.concept import create_concept
from core.concepts.tags import tag, undo
from core.datasets.dataset import Dataset
from core.workspace import DATABASE, Workspace, _engine, open_workspace

N = 40


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A workspace with one analysis and tags, of which some were undone; not open any more."""
    workspace = open_workspace(tmp_path / "space")
    analysis = analysed(workspace)
    water = create_concept(workspace, analysis.dataset_id, "water")
    for row in range(N):
        tag(workspace, analysis, water, [row], row % 3 != 0)
    tag(workspace, analysis, water, [0, 1], None)
    undo(workspace, analysis.dataset_id, "local")
    _engine(workspace.root).dispose()
    _engine.cache_clear()
    # opened anew by whoever opens it next, as a process does that begins
    opening._open.cache_clear()
    return workspace.root


def analysed(workspace: Workspace) -> Analysis:
    dataset = Dataset(
        id="data",
        name="planted",
        fingerprint="f",
        root=workspace.root / "images",
        source="class-folders",
        images=np.array([f"{i}.png" for i in range(N)], dtype=StringDType()),
        labels=np.arange(N) % 2,
        splits=np.ones(N, dtype=np.int8),
        classes=("even", "odd"),
        attributes=(),
        problems=(),
        notes=(),
    )
    head = Head(np.eye(2, 3, dtype=np.float32), np.zeros(2, np.float32))
    features = np.random.default_rng(0).normal(size=(N, 3)).astype(np.float32)
    return write_analysis(workspace, dataset, features=features, head=head, analysis_id="planted")


def rows(root: Path, query: str) -> list[tuple]:
    with closing(sqlite3.connect(root / DATABASE)) as connection:
        return connection.execute(query).fetchall()
