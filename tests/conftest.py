"""Fixtures every folder of tests shares."""

from __future__ import annotations

import os

# Small arrays on few cores: BLAS threads of several test processes would only fight each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from pathlib import Path

import pytest

from core.workspace import Workspace, open_workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """An empty workspace in a folder of its own."""
    return open_workspace(tmp_path / "workspace")
