from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.datasets import Dataset, open_dataset
from core.datasets.alignment import aligned, distinct, fits, listed
from core.datasets.dataset import UNLABELLED
from core.errors import ClassMismatch


@pytest.fixture
def animals(images: Callable[..., Path]) -> Dataset:
    """ant, bee, Cat food with 1, 2 and 3 images."""
    return open_dataset(
        images("ant/0.png", "bee/0.png", "bee/1.png", "Cat_food/0.png", "Cat_food/1.png", "Cat_food/2.png")
    )


def labels_of(dataset: Dataset) -> dict[str, str]:
    return {
        str(name): dataset.classes[label]
        for name, label in zip(dataset.images.tolist(), dataset.labels.tolist(), strict=True)
    }


def test_same_names_in_another_order(animals: Dataset) -> None:
    found = aligned(animals, ("bee", "Cat_food", "ant"))
    assert found.classes == ("bee", "Cat_food", "ant")
    assert labels_of(found) == labels_of(animals)
    assert np.bincount(found.labels).tolist() == [2, 3, 1]
    assert (found.id, found.fingerprint) == (animals.id, animals.fingerprint)
    assert found.notes == (*animals.notes, "The classes were put in the model's order.")
    np.testing.assert_array_equal(found.splits, animals.splits)


def test_names_that_are_written_differently(animals: Dataset) -> None:
    found = aligned(animals, ("cat food", "Bee", "ANT"))
    assert labels_of(found)["Cat_food/1.png"] == "cat food"
    assert labels_of(found)["ant/0.png"] == "ANT"
    assert np.bincount(found.labels).tolist() == [3, 2, 1]


def test_a_few_of_a_models_thousand_classes(animals: Dataset) -> None:
    many = [f"thing {i}" for i in range(1000)]
    many[207], many[31], many[999] = "bee, honey bee", "Ant, emmet, pismire", "cat-food"
    found = aligned(animals, many)
    assert len(found.classes) == 1000
    assert sorted(set(found.labels.tolist())) == [31, 207, 999]
    assert labels_of(found)["bee/0.png"] == "bee, honey bee"
    assert found.counts()["train"]["thing 0"] == 0
    assert found.notes[-1] == "The model knows 1,000 classes; the images are of 3 of them."


def test_opening_with_the_choices_brings_the_same_back(animals: Dataset) -> None:
    found = aligned(animals, ("cat food", "Bee", "ANT", "dog"))
    again = open_dataset(animals.root, choices=found.choices)
    assert again.classes == found.classes
    assert again.choices == found.choices
    np.testing.assert_array_equal(again.labels, found.labels)
    assert aligned(found, found.classes) is found
    assert aligned(animals, animals.classes).choices == replace(animals.choices, classes=animals.classes)


def test_a_class_that_the_model_does_not_know_is_named(animals: Dataset) -> None:
    with pytest.raises(ClassMismatch, match="do not include Cat_food") as caught:
        aligned(animals, ("ant", "bee", "wasp"))
    assert "order of the model's outputs" in caught.value.next_step
    assert not fits(animals, ("ant", "bee", "wasp"))
    assert fits(animals, ("ant", "bee", "cat food"))


def test_a_class_without_images_may_be_missing(animals: Dataset) -> None:
    ghost = replace(animals, classes=(*animals.classes, "ghost"))
    assert aligned(ghost, animals.classes).classes == animals.classes


def test_two_that_could_be_meant_are_not_guessed(animals: Dataset) -> None:
    with pytest.raises(ClassMismatch, match="could be any of these of the model: BEE, Bee"):
        aligned(animals, ("ant", "BEE", "Bee", "cat food"))
    # the exact name is no guess
    assert labels_of(aligned(animals, ("ant", "BEE", "bee", "cat food")))["bee/1.png"] == "bee"


def test_two_classes_that_would_become_one_are_refused(images: Callable[..., Path]) -> None:
    both = open_dataset(images("Bee/0.png", "bee_/0.png"))
    with pytest.raises(ClassMismatch, match="would all be the model's class bee"):
        aligned(both, ("bee", "ant"))


def test_names_that_a_model_has_twice_are_numbered_and_not_guessed(animals: Dataset) -> None:
    assert distinct(["crane", "tern", "crane", "crane (1)"]) == ("crane (2)", "tern", "crane (3)", "crane (1)")
    with pytest.raises(ClassMismatch, match="bee \\(1\\), bee \\(2\\)"):
        aligned(animals, ("bee", "ant", "bee", "cat food"))


def test_images_without_labels_only_keep_the_names(images: Callable[..., Path]) -> None:
    plain = open_dataset(images("0.png", "1.png"))
    assert not plain.labelled
    found = aligned(plain, ("a", "b"))
    assert found.choices.classes == ("a", "b")
    assert not found.labelled
    assert set(found.counts()["train"]) == {UNLABELLED}


def test_long_lists_are_shortened() -> None:
    assert listed(["a", "b"]) == "a, b"
    assert listed([str(i) for i in range(1006)]) == "0, 1, 2, 3, 4, 5 and 1,000 more"
