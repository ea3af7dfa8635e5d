"""The pass over pictures that have no file of their own: it reads them, can be stopped, and knows what it has seen."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from core.activations import extraction
from core.activations.extraction import analyse
from core.activations.store import Analysis
from core.classifiers.classifier import Classifier
from core.datasets import open_dataset
from core.datasets.images import decode
from core.errors import Cancelled
from core.settings import Settings
from core.workspace import Workspace, open_workspace

SETTINGS = Settings(batch_size=8)
FILES = ("features.npy", "logits.npy", "ids.npy", "predicted.npy", "thumbnails.bin", "thumbnails.npy", "skipped.json")
PIXELS = np.random.default_rng(0).integers(0, 256, size=(44, 20, 24, 3), dtype=np.uint8)


def shard(path: Path, rows: range) -> None:
    cells = []
    for row in rows:
        target = io.BytesIO()
        Image.fromarray(PIXELS[row]).save(target, format="JPEG")
        cells.append({"bytes": b"no image" if row == 5 else target.getvalue(), "path": None})
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    path.parent.mkdir(exist_ok=True)
    table = pa.table({"image": pa.array(cells, kind), "label": pa.array([row % 2 for row in rows], pa.int64())})
    pq.write_table(table, path, row_group_size=7)


def parquet(folder: Path) -> Path:
    shard(folder / "hub" / "train-00000-of-00001.parquet", range(30))
    shard(folder / "hub" / "test-00000-of-00001.parquet", range(30, 44))
    return folder / "hub"


def arrays(folder: Path) -> Path:
    np.savez(folder / "pictures.npz", images=PIXELS, labels=np.arange(len(PIXELS)) % 2)
    return folder / "pictures.npz"


class StopAt:
    def __init__(self, images: int) -> None:
        self.images = images

    def __call__(self, done: int, total: int, message: str = "") -> None:
        if done >= self.images:
            raise Cancelled


def bytes_of(analysis: Analysis) -> dict[str, bytes]:
    return {name: (analysis.folder / name).read_bytes() for name in FILES}


@pytest.mark.parametrize("make", [parquet, arrays])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_stopped_and_continued_it_ends_in_the_same_bytes(
    tmp_path: Path,
    workspace: Workspace,
    classifier: Classifier,
    make: Callable[[Path], Path],
    precision: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(extraction, "NOTE_EVERY", 0)
    dataset = open_dataset(make(tmp_path), store=tmp_path / "store")
    other = open_workspace(tmp_path / "other")
    whole = analyse(other, dataset, classifier, settings=SETTINGS, precision=precision)
    assert whole.n + len(whole.skipped) == 44
    for stop in (8, 32):
        with pytest.raises(Cancelled):
            analyse(workspace, dataset, classifier, settings=SETTINGS, precision=precision, progress=StopAt(stop))
    resumed = analyse(workspace, dataset, classifier, settings=SETTINGS, precision=precision)
    assert bytes_of(resumed) == bytes_of(whole)
    # each row is the picture of its name
    for row in (0, 7, whole.n - 1):
        picture = decode(whole.picture(row), 10**6)
        batch = torch.from_numpy(classifier.preprocessing.apply(picture))[None]
        features, _ = classifier(batch)
        np.testing.assert_allclose(whole.features[row], features[0], atol=1e-5 if precision == "fp32" else 0.05)
        thumbnail = np.asarray(Image.open(io.BytesIO(whole.thumbnail(row))).convert("RGB"), dtype=int)
        assert thumbnail.shape == (20, 24, 3)


def test_a_shard_that_is_added_is_what_is_computed(
    tmp_path: Path, workspace: Workspace, classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = parquet(tmp_path)
    first = analyse(workspace, open_dataset(root), classifier, settings=SETTINGS)
    shard(root / "validation-00000-of-00001.parquet", range(6, 16))
    decoded: list[bytes] = []

    def noting(source: bytes, max_pixels: int) -> Image.Image:
        decoded.append(source)
        return decode(source, max_pixels)

    monkeypatch.setattr(extraction, "decode", noting)
    grown = analyse(workspace, open_dataset(root), classifier, settings=SETTINGS)
    # the new ones, and again the one that could not be read
    assert len(decoded) == 11
    assert (grown.n, grown.computed.copied) == (53, first.n)
