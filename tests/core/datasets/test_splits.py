from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.datasets.splits import TEST, TRAIN, VAL, complete, split_code, stratified

NAMES = [f"{i:03}.jpg" for i in range(100)]
LABELS = np.arange(100) % 2


@pytest.mark.parametrize(
    ("word", "code"), [("train", 0), (" Validation", 1), ("VAL", 1), ("testing", 2), ("tests", None), ("", None)]
)
def test_split_words(word: str, code: int | None) -> None:
    assert split_code(word) == code


@given(st.lists(st.integers(0, 3), min_size=1, max_size=200), st.integers(0, 5))
def test_every_class_is_divided_by_the_shares_to_within_one_image(classes: list[int], seed: int) -> None:
    labels = np.array(classes)
    parts = stratified([str(i) for i in range(len(labels))], labels, (0.6, 0.2, 0.2), seed)
    for label in np.unique(labels):
        found = np.bincount(parts[labels == label], minlength=3)
        assert np.all(np.abs(found - found.sum() * np.array([0.6, 0.2, 0.2])) <= 1)


def test_the_seed_decides_and_repeats() -> None:
    first = stratified(NAMES, LABELS, (0.5, 0.5), 0)
    assert np.array_equal(first, stratified(NAMES, LABELS, (0.5, 0.5), 0))
    assert not np.array_equal(first, stratified(NAMES, LABELS, (0.5, 0.5), 1))


def test_images_added_later_hardly_move_the_others() -> None:
    before = stratified(NAMES, LABELS, (0.6, 0.2, 0.2), 0)
    more = stratified([*NAMES, "x", "y"], np.append(LABELS, [0, 1]), (0.6, 0.2, 0.2), 0)
    assert (before != more[:100]).sum() <= 4


def test_half_of_val_becomes_test_where_there_is_none() -> None:
    given_splits = np.where(np.arange(100) < 60, TRAIN, VAL).astype(np.int8)
    splits, notes = complete(NAMES, LABELS, given_splits, 0)
    assert np.bincount(splits).tolist() == [60, 20, 20]
    assert np.all(splits[:60] == TRAIN)
    assert "half of val" in notes[0]


@pytest.mark.parametrize("found", [(TRAIN, TEST), (VAL, TEST), (TRAIN, VAL, TEST)])
def test_splits_that_are_enough_stay(found: tuple[int, ...]) -> None:
    given_splits = np.array(found, dtype=np.int8)[np.arange(100) % len(found)]
    splits, notes = complete(NAMES, LABELS, given_splits, 0)
    assert np.array_equal(splits, given_splits)
    assert len(notes) == (len(found) < 3)


@pytest.mark.parametrize("only", [TRAIN, VAL, TEST])
def test_a_single_split_is_divided_anew(only: int) -> None:
    splits, notes = complete(NAMES, LABELS, np.full(100, only, dtype=np.int8), 0)
    assert np.bincount(splits).tolist() == [60, 20, 20]
    assert "60% train, 20% val, 20% test" in notes[0]
