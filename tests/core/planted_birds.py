"""Land and water birds made of arrays, in a workspace's own files, and commands called on them."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core.__main__ import main
from core.activations.store import Analysis, write_analysis
from core.classifiers.head import Head
from core.datasets.dataset import Attribute, Dataset
from core.workspace import Workspace


def plant_birds(
    workspace: Workspace,
    root: Path,
    splits: np.ndarray,
    agrees: float | np.ndarray,
    *,
    dimensions: int = 6,
    shifts: tuple[float, float] = (2.0, 2.5),
    leans: tuple[float, float] = (0.7, 0.9),
    unknown: float = 0.0,
    more: tuple[Attribute, ...] = (),
    rng: np.random.Generator | None = None,
) -> Analysis:
    """Feature 0 sees the class, feature 1 the place, which goes with the class; the head leans on both.

    splits: (n,) codes of SPLITS. agrees: how often the place goes with the class, of all or of each image (n,).
    shifts: of the two features, in standard deviations from the middle. leans: the head's weights of the two. unknown:
    share of images whose place is not known. more: attributes besides the place. root: the dataset's folder, without
    images.
    """
    rng = np.random.default_rng(3) if rng is None else rng
    n = len(splits)
    labels = rng.integers(0, 2, n)
    place = np.where(rng.random(n) < agrees, labels, 1 - labels)
    features = rng.normal(size=(n, dimensions)).astype(np.float32)
    features[:, 0] += shifts[0] * (2 * labels - 1)
    features[:, 1] += shifts[1] * (2 * place - 1)
    place = np.where(rng.random(n) < unknown, -1, place)
    weight = np.zeros((2, dimensions), dtype=np.float32)
    weight[1, :2] = leans
    weight[0] = -weight[1]
    dataset = Dataset(
        id="planted-birds",
        name="birds",
        root=root,
        source="metadata-csv",
        images=np.array([f"{i:05d}.png" for i in range(n)], dtype=np.dtypes.StringDType()),
        labels=labels.astype(np.int64),
        splits=splits.astype(np.int8),
        classes=("landbird", "waterbird"),
        attributes=(Attribute("place", ("land", "water"), place.astype(np.int16)), *more),
        problems=(),
        notes=(),
        fingerprint="0",
    )
    return write_analysis(workspace, dataset, features=features, head=Head(weight, np.zeros(2, dtype=np.float32)))


@dataclass(frozen=True)
class Printed:
    """What a command printed and ended with."""

    code: int
    out: str
    err: str

    @property
    def object(self) -> dict[str, Any]:
        """What `--json` printed; nothing else may stand beside it."""
        lines = self.out.splitlines()
        assert len(lines) == 1, self.out[:500] + self.err[:500]
        return json.loads(lines[0])


def called(*arguments: object) -> Printed:
    """A command as the shell would call it, in this process."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main([*map(str, arguments)])
    return Printed(code, out.getvalue(), err.getvalue())
