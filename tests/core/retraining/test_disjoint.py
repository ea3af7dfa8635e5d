"""Roles that cannot overlap, and pictures that are in two splits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import LeakedImages
from core.retraining.disjoint import Roles, duplicates

ROWS = st.lists(st.integers(0, 30), max_size=10)


@given(ROWS, ROWS, ROWS)
def test_roles_are_apart_or_cannot_be_made(curation: list[int], tuning: list[int], reporting: list[int]) -> None:
    sets = [set(curation), set(tuning), set(reporting)]
    apart = not (sets[0] & sets[1] or sets[0] & sets[2] or sets[1] & sets[2])
    arrays = [np.array(rows, dtype=np.int64) for rows in (curation, tuning, reporting)]
    if apart:
        roles = Roles(curation=arrays[0], tuning=arrays[1], reporting=arrays[2])
        assert roles.to_dict() == {"curation": len(sets[0]), "tuning": len(sets[1]), "reporting": len(sets[2])}
    else:
        with pytest.raises(LeakedImages):
            Roles(curation=arrays[0], tuning=arrays[1], reporting=arrays[2])


def test_the_error_says_how_many_and_what_to_do() -> None:
    with pytest.raises(LeakedImages) as caught:
        Roles(curation=np.arange(10), reporting=np.arange(5, 20))
    assert "5 images would be both fitted on and reported on (row 5, 6, 7 and 2 more)" in caught.value.detail
    assert caught.value.next_step


@pytest.fixture
def doubled(make_analysis: Any, tmp_path: Path) -> Any:
    """doubled(pairs, noise): 20 images of train, 20 of val, 20 of test, with files; the given ones are copies."""

    def make(pairs: dict[int, int], noise: float = 0.0, files: bool = True, constant: bool = False) -> Any:
        rng = np.random.default_rng(0)
        features = np.maximum(rng.normal(size=(60, 12)), 0).astype(np.float32)
        if constant:
            features[:] = 0
        contents = [rng.bytes(50) for _ in range(60)]
        for copy, of in pairs.items():
            features[copy] = features[of] * (1 + noise)
            contents[copy] = contents[of]
        analysis = make_analysis(features, np.arange(60) % 2, splits=np.repeat([0, 1, 2], 20))
        if files:
            (tmp_path / "images").mkdir(exist_ok=True)
            for row in range(60):
                analysis.image_path(row).write_bytes(contents[row])
        return analysis

    return make


def test_copies_of_test_images_in_other_splits_are_reported(doubled: Any) -> None:
    found = duplicates(doubled({41: 3, 50: 25}))
    assert found.pairs.tolist() == [[41, 3], [50, 25]]
    assert found.identical == 2
    assert "2 images of test are also in train, val, byte for byte" in found.sentence
    assert "images/000041.png" in found.sentence


def test_an_image_whose_place_in_a_batch_changed_the_last_bits_is_still_the_same(doubled: Any) -> None:
    assert duplicates(doubled({41: 3}, noise=1e-6)).pairs.tolist() == [[41, 3]]


def test_without_files_the_features_decide(doubled: Any) -> None:
    found = duplicates(doubled({59: 0}, files=False))
    assert found.pairs.tolist() == [[59, 0]]
    assert found.identical == 0
    assert "as the network sees them" in found.sentence


def test_copies_within_a_split_are_nobodys_business(doubled: Any) -> None:
    found = duplicates(doubled({41: 42, 3: 25}))
    assert len(found.pairs) == 0
    assert found.sentence == ""


def test_a_network_that_sees_nothing_accuses_nobody(doubled: Any) -> None:
    assert len(duplicates(doubled({}, constant=True)).pairs) == 0


def test_images_alike_but_not_the_same_are_not_accused(doubled: Any) -> None:
    assert len(duplicates(doubled({41: 3}, noise=0.01)).pairs) == 0


def test_an_analysis_without_test_has_no_copies(make_analysis: Any) -> None:
    assert len(duplicates(make_analysis(np.ones((6, 3)), np.arange(6) % 2)).pairs) == 0
