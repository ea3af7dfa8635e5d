from __future__ import annotations

import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NoReturn
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.dtypes import StringDType

from core.activations.directions import parse_direction, scores
from core.activations.index import cache_folder, open_index
from core.activations.store import (
    Analysis,
    ModelFacts,
    has_analysis,
    last_layers,
    open_analysis,
    refresh,
    touch,
    with_head,
    write_analysis,
)
from core.activations.store import analysis as analysis_module
from core.classifiers.head import Head
from core.database import DatasetRecord
from core.datasets.dataset import Attribute, Dataset, Problem
from core.errors import ClassMismatch, NotFound, StorageProblem
from core.files import mark_used
from core.workspace import Workspace, open_workspace
from tests.core.conftest import listed

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
    assert [record.id for record in listed(workspace)] == [analysis.id, other.id]
    with pytest.raises(NotFound):
        touch(workspace, "nobody")


def test_empty_workspace_and_unknown_ids_are_answered(workspace: Workspace) -> None:
    with pytest.raises(NotFound, match="no analysis yet"):
        open_analysis(workspace)
    assert listed(workspace) == []
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
    assert listed(workspace)[0].accuracy == 1.0
    # whoever holds the old one still reads what it was opened with
    assert analysis.labels.tolist() == dataset.labels.tolist()


def test_dataset_of_an_analysis_is_known_to_the_database(workspace: Workspace, analysis: Analysis) -> None:
    with workspace.reading() as session:
        record = session.get(DatasetRecord, "data")
    assert record is not None
    assert record.fingerprint == "f"
    assert listed(workspace)[0].images == 8


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


@pytest.mark.parametrize("name", ["features", "logits", "ids", "labels", "splits", "predicted", "attributes/*"])
@pytest.mark.parametrize("damage", ["empty", "cut off", "other images"])
def test_damaged_arrays_say_what_to_do(workspace: Workspace, analysis: Analysis, name: str, damage: str) -> None:
    damaged = workspace.analyses / "damaged"
    shutil.copytree(analysis.folder, damaged)
    (file,) = damaged.glob(f"{name}.npy")
    if damage == "other images":
        np.save(file, np.load(file)[:-1])
    else:
        file.write_bytes(file.read_bytes()[: 0 if damage == "empty" else 100])
    with pytest.raises(StorageProblem, match="damaged") as caught:
        open_analysis(workspace, "damaged")
    assert caught.value.next_step


@pytest.mark.parametrize("name", ["names.npy", "name_offsets.npy"])
@pytest.mark.parametrize("damage", ["empty", "cut off", "another length", "another type"])
def test_damaged_names_are_made_again(analysis: Analysis, name: str, damage: str) -> None:
    file = analysis.folder / name
    whole = np.load(file)
    if damage in ("empty", "cut off"):
        file.write_bytes(file.read_bytes()[: 0 if damage == "empty" else 130])
    else:
        np.save(file, whole[:-1] if damage == "another length" else whole.astype(np.float32))
    assert replace(analysis).image_names([7, 0]) == ["é/7 x.png", "é/0 x.png"]
    assert np.array_equal(np.load(file), whole)


def test_an_id_made_of_the_content_follows_the_logits_too(workspace: Workspace, dataset: Dataset) -> None:
    """Without logits they come from the head: another head is another analysis, and saying them changes nothing."""
    features = features_for(dataset)
    first = write_analysis(workspace, dataset, features=features, head=HEAD)
    other = write_analysis(workspace, dataset, features=features, head=Head(HEAD.weight, HEAD.bias + 1))
    said = write_analysis(workspace, dataset, features=features, head=HEAD, logits=HEAD.logits(features))
    assert first.id != other.id
    assert said.id == first.id
    assert np.array_equal(open_analysis(workspace, first.id).logits, HEAD.logits(features))


def test_object_arrays_are_never_unpickled(workspace: Workspace, analysis: Analysis) -> None:
    np.save(analysis.folder / "labels.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    shutil.copytree(analysis.folder, workspace.analyses / "hostile")
    with pytest.raises(StorageProblem):
        open_analysis(workspace, "hostile")


def test_names_of_a_few_images_are_read_without_the_others(analysis: Analysis, dataset: Dataset) -> None:
    assert analysis.image_names([7, 0, 7]) == ["é/7 x.png", "é/0 x.png", "é/7 x.png"]
    assert analysis.image_names(np.empty(0, np.int64)) == []
    assert analysis.image_path(3) == dataset.root / "é/3 x.png"
    assert "images" not in analysis.__dict__
    for outside in ([8], [-1], [0, 10**9]):
        with pytest.raises(IndexError):
            analysis.image_names(outside)
    # read all of them once, and the few come from there
    assert analysis.images.tolist() == analysis.image_names(range(8))


NAMES = st.lists(st.text(st.characters(exclude_categories=("Cs",)), max_size=12), min_size=1, max_size=40, unique=True)


@settings(max_examples=40, deadline=None)
@given(NAMES, st.data())
def test_names_come_back_whatever_they_hold(names: list[str], data: st.DataObject) -> None:
    known = sorted(names)
    with TemporaryDirectory() as folder:
        workspace = open_workspace(folder)
        dataset = Dataset(
            id="data",
            name="names",
            root=Path(folder) / "images",
            source="class-folders",
            images=np.array(known, dtype=StringDType()),
            labels=np.zeros(len(known), np.int64),
            splits=np.zeros(len(known), np.int8),
            classes=("a", "b"),
            attributes=(),
            problems=(),
            notes=(),
            fingerprint="f",
        )
        head = Head(np.ones((2, 1), np.float32), np.zeros(2, np.float32))
        analysis = write_analysis(workspace, dataset, features=np.zeros((len(known), 1), np.float32), head=head)
        rows = np.array(data.draw(st.lists(st.integers(0, len(known) - 1))), dtype=np.int64)
        assert analysis.image_names(rows) == [known[row] for row in rows]
        asked = data.draw(st.lists(st.sampled_from(known) | st.text(max_size=3)))
        expected = [known.index(name) if name in known else -1 for name in asked]
        with patch("core.activations.store.analysis._FEW", 0):
            assert analysis.rows_named(asked).tolist() == expected
            assert "images" not in analysis.__dict__
        with patch("core.activations.store.analysis._FEW", 10**6):
            assert analysis.rows_named(asked).tolist() == expected


def test_analyses_of_earlier_versions_get_their_names_once(analysis: Analysis, workspace: Workspace) -> None:
    for name in ("names.npy", "name_offsets.npy"):
        (analysis.folder / name).unlink()
    older = replace(analysis)
    assert older.image_names([2, 5]) == ["é/2 x.png", "é/5 x.png"]
    assert "images" not in older.__dict__
    made = (analysis.folder / "names.npy").stat().st_mtime_ns
    assert replace(analysis).image_names([1]) == ["é/1 x.png"]
    assert (analysis.folder / "names.npy").stat().st_mtime_ns == made


def test_rows_are_found_by_name_when_all_names_are_read(analysis: Analysis) -> None:
    assert analysis.images[0] == "é/0 x.png"
    assert analysis.rows_named(["é/7 x.png", "é/9.png", "é/0 x.png"]).tolist() == [7, -1, 0]
    assert analysis.rows_named([]).tolist() == []


OTHER = Head(np.array([[0, 1, 0], [1, 0, 0.125]], np.float32), np.array([0.25, 0], np.float32))


@pytest.fixture
def larger(workspace: Workspace, dataset: Dataset) -> Analysis:
    """40,000 rows, so that a last layer is applied in several blocks."""
    n = 40_000
    data = replace(
        dataset,
        images=np.array([f"{i:06d}.png" for i in range(n)], dtype=StringDType()),
        labels=np.arange(n) % 2,
        splits=np.where(np.arange(n) < 30_000, 1, 2).astype(np.int8),
        attributes=(),
    )
    features = np.random.default_rng(0).normal(size=(n, 3)).astype(np.float32)
    return write_analysis(workspace, data, features=features, head=HEAD, model=MODEL)


def test_another_last_layer_gives_its_own_logits_over_the_same_features(larger: Analysis) -> None:
    other = with_head(larger, OTHER, "planted after run 1")
    expected = OTHER.logits(larger.features)
    np.testing.assert_allclose(other.logits, expected, rtol=1e-6, atol=1e-6)
    assert np.array_equal(other.predicted, other.logits.argmax(axis=1))
    assert other.features is larger.features
    assert other.image_names([5]) == larger.image_names([5])
    assert (other.id, other.model_name) == (larger.id, "planted after run 1")
    tested = larger.splits == 2
    assert other.accuracy == (other.predicted == larger.labels)[tested].mean() != larger.accuracy
    assert np.array_equal(larger.logits, HEAD.logits(larger.features)), "the analysis itself stays"
    assert isinstance(other.logits.base, np.memmap)


def test_another_last_layer_is_applied_once(larger: Analysis) -> None:
    with patch.object(Head, "logits", autospec=True, side_effect=Head.logits) as applied:
        for name in ("first", "again"):
            with_head(larger, OTHER, name)
        assert applied.call_count == 3, "one call per block"


def test_logits_are_sorted_per_last_layer_and_features_once(larger: Analysis) -> None:
    other = with_head(larger, OTHER, "after")
    margin, neuron = (parse_direction(spec, larger) for spec in ("margin:odd", "neuron:2"))
    first, second = open_index(larger, margin), open_index(other, margin)
    assert not np.array_equal(first.values, second.values)
    assert np.array_equal(second.values, scores(other, margin)[second.order])
    assert np.array_equal(open_index(larger, margin).values, first.values)
    assert cache_folder(larger, neuron) == cache_folder(other, neuron)
    assert cache_folder(larger, margin) != cache_folder(other, margin)


@pytest.mark.parametrize("damage", ["logits.npy", "predicted.npy"])
@pytest.mark.parametrize("content", [b"nothing", b""])
def test_damaged_logits_of_a_last_layer_are_made_again(analysis: Analysis, damage: str, content: bytes) -> None:
    other = with_head(analysis, OTHER, "after")
    assert other.other_head is not None
    (other.other_head / damage).unlink()
    (other.other_head / damage).write_bytes(content)
    assert np.array_equal(with_head(analysis, OTHER, "after").logits, OTHER.logits(analysis.features))


def test_a_last_layer_that_another_process_removes_meanwhile_is_made_again(analysis: Analysis) -> None:
    """The folder goes right after its logits were opened, when its use is to be noted."""
    taken = []

    def removed_once(folder: Path) -> None:
        if not taken:
            taken.append(folder)
            shutil.rmtree(folder)
        mark_used(folder)

    with patch.object(last_layers, "mark_used", side_effect=removed_once):
        other = with_head(analysis, OTHER, "after")
    assert taken == [other.other_head]
    assert taken[0].is_dir()
    assert np.array_equal(other.logits, OTHER.logits(analysis.features))


def test_a_last_layer_that_cannot_be_kept_is_told(analysis: Analysis) -> None:
    with (
        patch.object(last_layers, "mark_used", side_effect=FileNotFoundError),
        pytest.raises(StorageProblem, match="cannot be kept") as caught,
    ):
        with_head(analysis, OTHER, "after")
    assert caught.value.next_step


def test_the_last_layers_used_longest_ago_are_removed(analysis: Analysis) -> None:
    heads = [Head(OTHER.weight + i, OTHER.bias) for i in range(4)]
    with patch.object(last_layers, "HEADS", 2):
        opened = [with_head(analysis, head, str(i)) for i, head in enumerate(heads[:2])]
        with_head(analysis, heads[0], "again")
        opened.append(with_head(analysis, heads[2], "2"))
    folders = [one.other_head for one in opened]
    assert [folder.is_dir() for folder in folders if folder] == [True, False, True]
    assert np.array_equal(opened[1].logits, heads[1].logits(analysis.features)), "what is open stays readable"


def test_a_last_layer_of_another_size_is_refused(analysis: Analysis) -> None:
    for head in (Head(np.ones((2, 4), np.float32), np.ones(2, np.float32)), Head(np.ones((3, 3)), np.ones(3))):
        with pytest.raises(ClassMismatch):
            with_head(analysis, head, "after")


def test_existence_is_told(workspace: Workspace, analysis: Analysis) -> None:
    assert has_analysis(workspace, analysis.id)
    assert not has_analysis(workspace, "other")


def test_opening_needs_no_library_that_takes_long_to_import(workspace: Workspace, analysis: Analysis) -> None:
    code = (
        "import sys; from core.activations.store import open_analysis; from core.activations.index import open_index; "
        "from core.activations.directions import parse_direction; from core.workspace import open_workspace; "
        "found = open_analysis(open_workspace(sys.argv[1])); found.image_names([0]); "
        "open_index(found, parse_direction('logit:odd', found)); "
        "print(sorted({'torch', 'pandas', 'scipy', 'streamlit'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code, workspace.root], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_opening_does_not_read_the_names(
    workspace: Workspace, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
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

    def read(*_: object) -> NoReturn:
        raise AssertionError("the names are read, one by one")

    monkeypatch.setattr(analysis_module, "read_names", read)
    monkeypatch.setattr(analysis_module, "open_names", read)
    found = open_analysis(workspace, "b")
    assert found.n == n
    with pytest.raises(AssertionError, match="one by one"):
        _ = found.images


@pytest.mark.parametrize("spec", ["logit:b", "margin:b", "probability:b", "difference:b-c"])
def test_classes_in_another_order_are_sorted_anew(workspace: Workspace, tmp_path: Path, spec: str) -> None:
    rng = np.random.default_rng(0)
    model = ModelFacts(name="m", file=tmp_path / "m.pt", arch="small", digest="d", preprocessing={})
    first = Dataset(
        id="data",
        name="letters",
        root=tmp_path,
        source="metadata-csv",
        images=np.array([f"{i:03d}.jpg" for i in range(90)], dtype=np.dtypes.StringDType()),
        labels=np.arange(90, dtype=np.int64) % 3,
        splits=np.ones(90, dtype=np.int8),
        classes=("a", "b", "c"),
        attributes=(),
        problems=(),
        notes=(),
        fingerprint="f",
    )
    head = Head(rng.normal(size=(3, 4)).astype(np.float32), np.zeros(3, np.float32))
    analysis = write_analysis(
        workspace, first, features=rng.normal(size=(90, 4)).astype(np.float32), head=head, model=model
    )
    other = with_head(analysis, Head(-head.weight, head.bias), "other")
    open_index(analysis, parse_direction(spec, analysis))
    open_index(other, parse_direction(spec, other))
    turned = refresh(workspace, analysis.id, replace(first, classes=("b", "c", "a")), model)
    for now in (turned, with_head(turned, Head(-head.weight, head.bias), "other")):
        direction = parse_direction(spec, now)
        index = open_index(now, direction)
        wanted = scores(now, direction)
        np.testing.assert_array_equal(index.values, np.sort(wanted))
        np.testing.assert_array_equal(index.values, wanted[index.order])
