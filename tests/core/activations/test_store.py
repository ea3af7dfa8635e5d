from __future__ import annotations

import shutil
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.dtypes import StringDType

from core.activations.store import (
    Analysis,
    ModelFacts,
    has_analysis,
    list_analyses,
    open_analysis,
    refresh,
    touch,
    write_analysis,
)
from core.classifiers.head import Head
from core.database import DatasetRecord
from core.datasets.dataset import Attribute, Dataset, Problem
from core.errors import NotFound, StorageProblem
from core.workspace import Workspace, open_workspace

MODEL = ModelFacts(
    name="planted", file=Path("/models/planted.pt"), arch="small", digest="d", preprocessing={"crop": 64}
)


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """Eight images of two classes, the last four in test; one attribute with an unknown value."""
    return Dataset(
        id="data",
        name="planted",
        root=tmp_path / "images",
        source="class-folders",
        images=np.array([f"é/{i} x.png" for i in range(8)], dtype=StringDType()),
        labels=np.array([0, 1, 0, 1, 0, 1, 0, 1]),
        splits=np.array([0, 0, 1, 1, 2, 2, 2, 2], dtype=np.int8),
        classes=("even", "odd"),
        attributes=(Attribute("place/../x", ("land", "water"), np.array([0, 1, -1, 0, 1, 0, 1, 0], np.int16)),),
        problems=(Problem("é/9.png", "absent"),),
        notes=("A note.",),
        fingerprint="f",
    )


HEAD = Head(np.array([[1, 0, 0], [0, 1, 0]], np.float32), np.array([0, 0.5], np.float32))


def features_for(dataset: Dataset) -> np.ndarray:
    """Right for all but image 7."""
    features = np.zeros((8, 3), np.float32)
    features[np.arange(8), dataset.labels] = 2
    features[7] = [9, 0, 0]
    features[:, 2] = np.arange(8)
    return features


@pytest.fixture
def analysis(workspace: Workspace, dataset: Dataset) -> Analysis:
    return write_analysis(workspace, dataset, features=features_for(dataset), head=HEAD, model=MODEL)


def test_what_is_written_comes_back(analysis: Analysis, workspace: Workspace, dataset: Dataset) -> None:
    read = open_analysis(workspace, analysis.id)
    assert (read.n, read.d, read.k) == (8, 3, 2)
    assert np.array_equal(read.features, features_for(dataset))
    assert np.array_equal(read.logits, HEAD.logits(features_for(dataset)))
    assert read.predicted.tolist() == [0, 1, 0, 1, 0, 1, 0, 0]
    assert read.labels.tolist() == dataset.labels.tolist()
    assert read.splits.tolist() == dataset.splits.tolist()
    assert read.images.tolist() == dataset.images.tolist()
    assert read.classes == dataset.classes
    assert read.attributes[0].name == "place/../x"
    assert read.attributes[0].values == ("land", "water")
    assert read.attributes[0].codes.tolist() == dataset.attributes[0].codes.tolist()
    assert np.array_equal(read.head.weight, HEAD.weight)
    assert read.skipped == (Problem("é/9.png", "absent"),)
    assert read.notes == ("A note.",)
    assert read.accuracy == 3 / 4
    assert (read.arch, read.model_name, read.model_file) == ("small", "planted", Path("/models/planted.pt"))
    assert read.preprocessing == {"crop": 64}
    assert read.thumbnail(7)[:4] == b"RIFF"
    assert read.image_path(2) == dataset.root / "é/2 x.png"
    assert read.to_dict()["skipped"] == [{"image": "é/9.png", "reason": "absent"}]


def test_arrays_are_maps_that_cannot_be_written(analysis: Analysis) -> None:
    for array in (analysis.features, analysis.logits, analysis.labels, analysis.ids, analysis.attributes[0].codes):
        assert not array.flags.writeable
        assert isinstance(array.base, np.memmap)


def test_nothing_leaves_the_folder_of_the_analysis(analysis: Analysis, workspace: Workspace) -> None:
    outside = [path for path in workspace.root.rglob("*.npy") if not path.is_relative_to(analysis.folder)]
    assert outside == []
    assert len(list((analysis.folder / "attributes").iterdir())) == 1


def test_ids_that_skip_images_keep_their_labels(workspace: Workspace, dataset: Dataset) -> None:
    kept = np.array([1, 4, 6])
    features = features_for(dataset)[kept]
    read = write_analysis(workspace, dataset, features=features, head=HEAD, ids=kept)
    assert read.ids.tolist() == [1, 4, 6]
    assert read.labels.tolist() == [1, 0, 0]
    assert read.attributes[0].codes.tolist() == [1, 1, 1]
    assert [str(name) for name in read.images] == ["é/1 x.png", "é/4 x.png", "é/6 x.png"]
    assert read.rows_of([6, 1]).tolist() == [2, 0]
    assert read.rows_of([]).tolist() == []
    for absent in (0, 5, 7, -1, 10**9):
        with pytest.raises(NotFound, match=str(absent)):
            read.rows_of([1, absent])


def test_rows_of_a_split(analysis: Analysis) -> None:
    assert analysis.split_rows("val").tolist() == [2, 3]
    assert analysis.split_rows("test").tolist() == [4, 5, 6, 7]
    with pytest.raises(ValueError, match="tuple"):
        analysis.split_rows("holdout")


def test_accuracy_is_of_all_images_where_there_is_no_test(workspace: Workspace, dataset: Dataset) -> None:
    untested = replace(dataset, splits=np.zeros(8, np.int8))
    assert write_analysis(workspace, untested, features=features_for(dataset), head=HEAD).accuracy == 7 / 8


def test_latest_is_the_one_used_last(workspace: Workspace, dataset: Dataset, analysis: Analysis) -> None:
    other = write_analysis(workspace, dataset, features=features_for(dataset) + 1, head=HEAD, model=MODEL)
    assert other.id != analysis.id
    assert open_analysis(workspace).id == other.id
    touch(workspace, analysis.id)
    assert open_analysis(workspace).id == analysis.id
    assert [record.id for record in list_analyses(workspace)] == [analysis.id, other.id]
    with pytest.raises(NotFound):
        touch(workspace, "nobody")


def test_empty_workspace_and_unknown_ids_are_answered(workspace: Workspace) -> None:
    with pytest.raises(NotFound, match="no analysis yet"):
        open_analysis(workspace)
    assert list_analyses(workspace) == []
    for name in ("absent", "../models", "..", "", "/etc"):
        with pytest.raises(NotFound):
            open_analysis(workspace, name)


def test_opening_again_gives_the_same_object_until_it_changes(
    workspace: Workspace, dataset: Dataset, analysis: Analysis
) -> None:
    assert open_analysis(workspace, analysis.id) is analysis
    refresh(workspace, analysis.id, dataset, MODEL)
    assert open_analysis(workspace, analysis.id) is analysis
    time.sleep(0.01)
    refresh(workspace, analysis.id, replace(dataset, notes=("Another.",)), MODEL)
    assert open_analysis(workspace, analysis.id).notes == ("Another.",)


def test_refresh_changes_what_is_said_and_not_what_was_computed(
    workspace: Workspace, dataset: Dataset, analysis: Analysis
) -> None:
    features_file = analysis.folder / "features.npy"
    computed = features_file.stat().st_mtime_ns
    corrected = replace(
        dataset,
        labels=np.array([0, 1, 0, 1, 0, 1, 0, 0]),
        splits=np.array([2] * 8, np.int8),
        attributes=(Attribute("weather", ("sun", "rain"), np.ones(8, np.int16)),),
        problems=(),
    )
    read = refresh(workspace, analysis.id, corrected, replace(MODEL, name="renamed"))
    assert read.labels.tolist() == [0, 1, 0, 1, 0, 1, 0, 0]
    assert read.accuracy == 1.0
    assert [attribute.name for attribute in read.attributes] == ["weather"]
    assert read.skipped == ()
    assert read.model_name == "renamed"
    assert features_file.stat().st_mtime_ns == computed
    assert list_analyses(workspace)[0].accuracy == 1.0
    # whoever holds the old one still reads what it was opened with
    assert analysis.labels.tolist() == dataset.labels.tolist()


def test_dataset_of_an_analysis_is_known_to_the_database(workspace: Workspace, analysis: Analysis) -> None:
    with workspace.reading() as session:
        record = session.get(DatasetRecord, "data")
    assert record is not None
    assert record.fingerprint == "f"
    assert list_analyses(workspace)[0].images == 8


def test_moved_workspace_opens_with_what_lies_inside_it(tmp_path: Path, workspace: Workspace, dataset: Dataset) -> None:
    inside = replace(dataset, root=workspace.datasets / "planted")
    model = replace(MODEL, file=workspace.models / "m.safetensors")
    written = write_analysis(workspace, inside, features=features_for(dataset), head=HEAD, model=model)
    shutil.copytree(workspace.root, tmp_path / "moved")
    moved = open_workspace(tmp_path / "moved")
    read = open_analysis(moved, written.id)
    assert read.dataset_root == moved.datasets / "planted"
    assert read.model_file == moved.models / "m.safetensors"


@pytest.mark.parametrize("name", ["features.npy", "skipped.json", "head.safetensors", "labels.npy"])
def test_damaged_analysis_says_what_to_do(workspace: Workspace, analysis: Analysis, name: str, tmp_path: Path) -> None:
    damaged = workspace.analyses / "damaged"
    shutil.copytree(analysis.folder, damaged)
    (damaged / name).unlink()
    with pytest.raises(StorageProblem, match="damaged"):
        open_analysis(workspace, "damaged")


def test_object_arrays_are_never_unpickled(workspace: Workspace, analysis: Analysis) -> None:
    np.save(analysis.folder / "labels.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    shutil.copytree(analysis.folder, workspace.analyses / "hostile")
    with pytest.raises(StorageProblem):
        open_analysis(workspace, "hostile")


def test_existence_is_told(workspace: Workspace, analysis: Analysis) -> None:
    assert has_analysis(workspace, analysis.id)
    assert not has_analysis(workspace, "other")


def test_opening_does_not_read_the_arrays(workspace: Workspace, dataset: Dataset) -> None:
    """A million rows open in the time of eight: nothing that grows with n is read."""
    n = 200_000
    large = replace(
        dataset,
        images=np.array([f"{i:06d}.png" for i in range(n)], dtype=StringDType()),
        labels=np.zeros(n, np.int64),
        splits=np.zeros(n, np.int8),
        attributes=(),
    )
    write_analysis(
        workspace, large, features=np.zeros((n, 3), np.float32), head=HEAD, thumbnail_files=[b"x"] * n, analysis_id="a"
    )
    shutil.copytree(workspace.analyses / "a", workspace.analyses / "b")
    started = time.perf_counter()
    assert open_analysis(workspace, "b").n == n
    assert time.perf_counter() - started < 0.25
