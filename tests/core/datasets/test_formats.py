from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from core.datasets import FORMATS, Choices, open_dataset, recognise
from core.datasets.formats import format_named, opened
from core.errors import BadRequest, EmptyDataset, MidbandError, PathNotFound

Images = Callable[..., Path]
SUFFIXES = (".csv", ".tsv", ".parquet", ".npz", ".npy", ".zip", ".tar", ".tar.gz", ".jpg", ".txt", ".gz", "")
BEGINNINGS = (
    b"",
    b"PAR1",
    b"PK\x03\x04",
    b"\x93NUMPY\x01\x00",
    b"\xff\xfe",
    b"image,label\n",
    b"\0\0\x08\x03",
    b"\x1f\x8b",
)


def test_formats_are_told_apart_and_say_what_they_understand() -> None:
    names = [one.name for one in FORMATS]
    assert len(set(names)) == len(names)
    known = {one.name for one in fields(Choices)}
    for one in FORMATS:
        assert one.title
        assert one.layout
        assert set(one.choosing) <= known - {"format", "classes"}
        assert format_named(one.name) is one


def test_no_format_costs_an_import_before_it_is_read() -> None:
    heavy = "pandas", "pyarrow", "torch", "scipy"
    code = f"import sys, core.datasets; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_unknown_format_names_the_known_ones(images: Images) -> None:
    with pytest.raises(BadRequest, match="no format 'png'") as raised:
        open_dataset(images("1.jpg"), choices=Choices(format="png"))
    assert "class-folders" in raised.value.next_step


def test_nothing_known_says_what_was_looked_for(images: Images) -> None:
    root = images()
    with pytest.raises(EmptyDataset, match="is empty"):
        recognise(root)
    (root / "deep").mkdir()
    (root / "deep" / "notes.docx").write_bytes(b"x")
    with pytest.raises(EmptyDataset, match=r"deep/notes\.docx") as raised:
        recognise(root)
    assert "A folder per class" in raised.value.next_step
    with pytest.raises(PathNotFound, match="neither images nor a table"):
        recognise(root / "deep" / "notes.docx")


def test_a_table_that_its_folder_expects_stands_for_the_folder(images: Images) -> None:
    root = images("a.jpg", "b.jpg")
    (root / "metadata.csv").write_text("img_filename,y\na.jpg,0\nb.jpg,1\n")
    assert opened(root / "metadata.csv") == root
    assert opened(root / "a.jpg") == root / "a.jpg"
    assert recognise(root / "metadata.csv") == recognise(root)
    assert open_dataset(root / "metadata.csv").id == open_dataset(root).id
    assert open_dataset(root / "metadata.csv", choices=Choices(format="table")).root == root / "metadata.csv"
    (root / "metadata.csv").write_text("file,kind\na.jpg,x\nb.jpg,y\n")
    assert opened(root / "metadata.csv") == root / "metadata.csv"


@pytest.mark.parametrize(
    ("name", "labels", "wins"),
    [
        ("all.csv", ["cat", "cat", "dog", "dog"], "table"),
        ("all.csv", ["Cat", "Cat", "Dog", "Dog"], "table"),
        ("all.csv", ["ill", "well", "ill", "well"], "table"),
        ("all.csv", ["cat", "dog", "dog", "dog"], "class-folders"),
        ("predictions.csv", ["cat", "cat", "dog", "dog"], "class-folders"),
        ("model_output.csv", ["0", "1", "1", "1"], "class-folders"),
    ],
)
def test_a_table_beside_class_folders_counts_more_unless_it_contradicts_them(
    images: Images, name: str, labels: list[str], wins: str
) -> None:
    names = ["cat/1.jpg", "cat/2.jpg", "dog/3.jpg", "dog/4.jpg"]
    root = images(*names)
    rows = [
        f"{image},{label},{split}\n" for image, label, split in zip(names, labels, ["train", "test"] * 2, strict=True)
    ]
    (root / name).write_text("filename,label,split\n" + "".join(rows))
    assert recognise(root)[0].name == open_dataset(root).source == wins
    assert {one.name for one in recognise(root)} >= {"table", "class-folders"}
    assert open_dataset(root, choices=Choices(format="table")).source == "table"
    other = {"table": "class-folders", "class-folders": "table"}[wins]
    (said,) = [note for note in open_dataset(root).notes if "--format" in note]
    assert f"(“Not that?” on the Load page, or --format {other})" in said
    assert (name in said) == (wins == "class-folders")
    # and nothing of it once a person has chosen
    for chosen in (wins, other):
        assert not [note for note in open_dataset(root, choices=Choices(format=chosen)).notes if "--format" in note]


def test_where_labels_come_from_is_said_of_an_archive_too(images: Images, tmp_path: Path) -> None:
    root = images("cat/1.jpg", "cat/2.jpg", "dog/3.jpg")
    (root / "predictions.csv").write_text("filename,label\ncat/1.jpg,dog\ndog/3.jpg,cat\n")
    packed = shutil.make_archive(str(tmp_path / "packed"), "zip", root)
    for path in (root, packed):
        dataset = open_dataset(path, store=tmp_path / "store")
        assert dataset.source == "class-folders"
        assert dataset.notes[0].startswith("predictions.csv lies beside the class folders")


def test_nothing_is_said_where_labels_have_one_place(images: Images) -> None:
    root = images("photos/1.jpg", "photos/2.jpg", "more/3.jpg")
    (root / "labels.csv").write_text("filename,label\nphotos/1.jpg,a\nphotos/2.jpg,b\nmore/3.jpg,b\n")
    assert open_dataset(root).source == "table"
    assert not [note for note in open_dataset(root).notes if "--format" in note]
    (root / "labels.csv").unlink()
    assert not [note for note in open_dataset(root).notes if "--format" in note]


def test_a_table_of_bare_names_does_not_say_that_it_agrees(images: Images) -> None:
    root = images("cat/1.jpg", "dog/2.jpg")
    (root / "all.csv").write_text("filename,label,split\n1.jpg,dog,train\n2.jpg,cat,test\n")
    assert open_dataset(root).source == "class-folders"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("odd")


@settings(deadline=None, max_examples=200)
@given(st.sampled_from(SUFFIXES), st.sampled_from(BEGINNINGS), st.binary(max_size=300))
@example(".tar.gz", b"\x1f\x8b\x08", b"")
@example(".tar", b"\x1f\x8b\x08", b"\x00")
def test_whatever_is_in_a_file_it_is_recognised_or_told_about(
    place: Path, suffix: str, beginning: bytes, rest: bytes
) -> None:
    file = place / f"file{suffix}"
    file.write_bytes(beginning + rest)
    try:
        for path in (file, place):
            for one in FORMATS:
                assert one.recognises(path) in (True, False)
        with pytest.raises(MidbandError) as raised:
            open_dataset(file, store=place / "store")
        assert raised.value.next_step
    finally:
        file.unlink()
