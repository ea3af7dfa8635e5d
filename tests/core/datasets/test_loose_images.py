from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from core.datasets import Choices, open_dataset, recognise
from core.errors import EmptyDataset

Images = Callable[..., Path]


def test_images_alone_are_a_dataset_without_labels(images: Images) -> None:
    root = images(*(f"{i}.jpg" for i in range(10)), "2024/may/x.png")
    (root / "notes.txt").write_text("")
    dataset = open_dataset(root, choices=Choices(format="images"))
    assert (len(dataset), dataset.classes, dataset.labelled, dataset.source) == (11, (), False, "images")
    assert not dataset.labels.any()
    assert dataset.images.tolist() == sorted(dataset.images.tolist())
    assert [(p.image, p.reason) for p in dataset.problems] == [("notes.txt", "not an image file")]
    assert "no labels" in dataset.notes[0]
    assert "the images were divided" in dataset.notes[1]
    assert dataset.pictures().read("2024/may/x.png") == root / "2024/may/x.png"


def test_images_directly_in_a_folder_need_no_choice(images: Images) -> None:
    dataset = open_dataset(images("1.jpg", "2.jpg"))
    assert (dataset.source, dataset.choices) == ("images", Choices(format="images"))


def test_a_single_folder_called_images_is_no_class(images: Images) -> None:
    root = images("images/1.jpg", "images/2.jpg")
    assert [one.name for one in recognise(root)] == ["images", "class-folders"]
    assert not open_dataset(root).labelled


def test_folders_called_like_splits_say_the_split(images: Images) -> None:
    dataset = open_dataset(images("train/1.jpg", "train/2.jpg", "test/3.jpg", "validation/4.jpg"))
    assert dataset.images.tolist() == ["test/3.jpg", "train/1.jpg", "train/2.jpg", "validation/4.jpg"]
    assert dataset.splits.tolist() == [2, 0, 0, 1]


def test_class_folders_may_be_opened_without_their_labels(images: Images) -> None:
    root = images("cat/1.jpg", "dog/1.jpg")
    as_classes = open_dataset(root)
    without = open_dataset(root, choices=Choices(format="images"))
    assert without.classes == ()
    # the same images: what was computed of them stays valid
    assert (without.id, without.fingerprint) == (as_classes.id, as_classes.fingerprint)
    assert np.array_equal(without.marks, as_classes.marks)


def test_a_folder_of_other_things_has_no_images(images: Images) -> None:
    root = images()
    (root / "a.txt").write_text("")
    with pytest.raises(EmptyDataset, match=r"no image files .*a\.txt"):
        open_dataset(root, choices=Choices(format="images"))
