from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from core.datasets.even_draw import even_rows


@given(
    sizes=st.lists(st.integers(0, 12), min_size=1, max_size=8).filter(lambda sizes: sum(sizes) > 0),
    count=st.integers(1, 60),
    seed=st.integers(0, 5),
)
def test_no_class_is_drawn_twice_more_than_another_that_has_images_left(
    sizes: list[int], count: int, seed: int
) -> None:
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    rows = even_rows(labels, count, seed=seed)
    assert len(rows) == len(set(rows.tolist())) == min(count, sum(sizes))
    # every beginning is even, not only the whole
    for end in (len(rows) // 2, len(rows)):
        drawn = np.bincount(labels[rows[:end]], minlength=len(sizes))
        unfinished = drawn[drawn < np.array(sizes)]
        if len(unfinished):
            assert drawn.max() <= unfinished.min() + 1


def test_the_draw_follows_the_seed() -> None:
    labels = np.zeros(100, dtype=np.int64)
    assert even_rows(labels, 10, seed=1).tolist() == even_rows(labels, 10, seed=1).tolist()
    assert even_rows(labels, 10, seed=1).tolist() != even_rows(labels, 10, seed=2).tolist()
