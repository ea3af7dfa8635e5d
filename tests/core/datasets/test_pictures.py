from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from core.datasets import AUTOMATIC, Choices, open_dataset
from core.datasets.images import UnreadableImage, decode
from core.datasets.pictures import FilePictures, open_pictures

Images = Callable[..., Path]


def test_files_of_a_folder(images: Images) -> None:
    root = images("a/1.png", "b/ü 2.png")
    dataset = open_dataset(root)
    pictures = dataset.pictures()
    assert isinstance(pictures, FilePictures)
    assert pictures.read("b/ü 2.png") == pictures.file("b/ü 2.png") == root / "b/ü 2.png"
    assert pictures.missing(dataset.images.tolist()) is None
    (root / "b/ü 2.png").unlink()
    assert pictures.missing(dataset.images.tolist()) == "b/ü 2.png"
    with pytest.raises(UnreadableImage, match="not there any more"):
        decode(pictures.read("b/ü 2.png"), 100)


def test_names_of_a_table_are_relative_to_the_folder_that_was_chosen(images: Images) -> None:
    root = images("photos/1.png")
    table = root / "table.csv"
    table.write_text("x")
    for given, choices in (
        (root / "photos", AUTOMATIC),
        (root, Choices(images="photos")),
        (table, Choices(images="photos")),
        (table, Choices(images=str(root / "photos"))),
    ):
        assert open_pictures(given, "table", choices).file("1.png") == root / "photos" / "1.png"


def test_a_format_that_nobody_knows_any_more_keeps_files(tmp_path: Path) -> None:
    assert isinstance(open_pictures(tmp_path, "from an older version"), FilePictures)


@pytest.mark.parametrize("source", ["hf-parquet", "npz", "dsprites", "cifar", "idx"])
def test_a_dataset_that_is_gone_opens_and_each_picture_says_so(tmp_path: Path, source: str) -> None:
    pictures = open_pictures(tmp_path / "gone", source)
    with pytest.raises(UnreadableImage, match="not there"):
        pictures.read("images#000000")
    assert pictures.missing(["images#000000"]) == "images#000000"
