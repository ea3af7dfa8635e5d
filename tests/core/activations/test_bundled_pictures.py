"""Whatever opens a full-size image works where images lie many to a file."""

from __future__ import annotations

import io
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from core.activations.extraction import analyse
from core.activations.store import Analysis, open_analysis
from core.classifiers.classifier import Classifier
from core.classifiers.image_cache import decode_images, decode_named
from core.classifiers.preprocessing import squeezed
from core.datasets import Dataset, open_dataset
from core.datasets.images import UnreadableImage, decode
from core.retraining.disjoint import duplicates
from core.workspace import Workspace, open_workspace

SIDE, N = 24, 60
# the same picture in train and in test
FIRST, SECOND = 3, 50


@pytest.fixture
def pixels() -> np.ndarray:
    """(N, SIDE, SIDE, 3) uint8; classes take turns, the last third is test."""
    made = np.random.default_rng(0).integers(0, 256, (N, SIDE, SIDE, 3), dtype=np.uint8)
    made[SECOND] = made[FIRST]
    return made


def png(pixels: np.ndarray) -> bytes:
    target = io.BytesIO()
    Image.fromarray(pixels).save(target, format="PNG")
    return target.getvalue()


def write(folder: Path, kind: str, pixels: np.ndarray) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    labels, splits = np.arange(N) % 2, np.repeat([0, 1, 2], N // 3)
    if kind == "npz":
        np.savez(folder / "x.npz", images=pixels, labels=labels, split=splits)
        return folder / "x.npz"
    if kind == "packed npz":
        np.savez_compressed(folder / "x.npz", images=pixels, labels=labels, split=splits)
        return folder / "x.npz"
    contents = [png(one) for one in pixels]
    if kind == "parquet":
        table = pa.table({"image": contents, "label": labels, "split": splits})
        pq.write_table(table, folder / "x.parquet", row_group_size=7)
        return folder / "x.parquet"
    rows = "".join(f"{i:06d}.png,{i % 2},{split}\n" for i, split in enumerate(splits))
    files = {f"{i:06d}.png": content for i, content in enumerate(contents)}
    if kind == "zip":
        with zipfile.ZipFile(folder / "x.zip", "w") as archive:
            for name, content in {**files, "metadata.csv": ("img_filename,y,split\n" + rows).encode()}.items():
                archive.writestr(name, content)
        return folder / "x.zip"
    for name, content in files.items():
        (folder / name).write_bytes(content)
    (folder / "metadata.csv").write_text("img_filename,y,split\n" + rows)
    return folder


KINDS = ["parquet", "npz", "packed npz", "zip"]
Make = Callable[[str], tuple[Dataset, Analysis]]


@pytest.fixture
def analysed(workspace: Workspace, classifier: Classifier, pixels: np.ndarray, tmp_path: Path) -> Make:
    def make(kind: str) -> tuple[Dataset, Analysis]:
        dataset = open_dataset(write(tmp_path / kind, kind, pixels), store=workspace.datasets)
        return dataset, analyse(workspace, dataset, classifier)

    return make


@pytest.mark.parametrize("kind", KINDS)
def test_the_network_sees_what_it_sees_in_files(analysed: Make, kind: str) -> None:
    files, (dataset, inside) = analysed("files")[1], analysed(kind)
    assert np.array_equal(inside.features, files.features)
    assert np.array_equal(inside.logits, files.logits)
    assert np.array_equal(inside.labels, files.labels)
    assert np.array_equal(inside.splits, files.splits)
    assert inside.thumbnail(7) == files.thumbnail(7)
    assert inside.images.tolist() == dataset.images.tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_an_analysis_opens_its_pictures_without_the_dataset(analysed: Make, pixels: np.ndarray, kind: str) -> None:
    _, analysis = analysed(kind)
    for row in (0, 59, 31):
        assert np.array_equal(np.asarray(decode(analysis.picture(row), 10_000)), pixels[row])
        assert analysis.image_path(row).is_file()


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_picture_in_two_splits_is_found_byte_for_byte(analysed: Make, kind: str) -> None:
    found = duplicates(analysed(kind)[1])
    assert found.pairs.tolist() == [[SECOND, FIRST]]
    assert found.identical == 1


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_are_decoded_for_training(analysed: Make, pixels: np.ndarray, tmp_path: Path, kind: str) -> None:
    dataset, analysis = analysed(kind)
    ids = np.array([5, 2, 40])
    found = decode_images(dataset, ids, squeezed(SIDE), folder=tmp_path, max_pixels=10_000)
    assert np.array_equal(found.pixels, pixels[ids])
    names = [str(analysis.images[1]), "x#999999", str(analysis.images[2])]
    some = decode_named(analysis.pictures, names, squeezed(SIDE), folder=tmp_path, max_pixels=10_000)
    assert some.ids.tolist() == [0, 2]
    assert [problem.image for problem in some.skipped] == ["x#999999"]


@pytest.mark.parametrize("kind", ["packed npz", "zip"])
def test_what_was_unpacked_moves_with_the_workspace(
    analysed: Make, workspace: Workspace, pixels: np.ndarray, tmp_path: Path, kind: str
) -> None:
    _, analysis = analysed(kind)
    shutil.move(workspace.root, tmp_path / "moved")
    again = open_analysis(open_workspace(tmp_path / "moved"), analysis.id)
    assert np.array_equal(np.asarray(decode(again.picture(9), 10_000)), pixels[9])


def test_a_file_that_is_gone_is_told_for_each_picture(analysed: Make) -> None:
    dataset, analysis = analysed("parquet")
    dataset.root.unlink()
    fresh = Analysis(**{name: getattr(analysis, name) for name in analysis.__dataclass_fields__})
    with pytest.raises(UnreadableImage, match="not there any more"):
        fresh.picture(0)
    assert fresh.pictures.missing(fresh.images.tolist()) == fresh.images[0]
