from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from core.classifiers.head import Head, load_head
from core.errors import BadCheckpoint, PathNotFound


def test_logits_are_the_weighted_sum_plus_bias() -> None:
    head = Head(np.array([[1, 0, -1], [0, 2, 0]], np.float32), np.array([0.5, -1], np.float32))
    assert head.logits(np.array([[1, 2, 3]])).tolist() == [[1 - 3 + 0.5, 4 - 1]]
    assert head.logits(np.zeros((0, 3))).shape == (0, 2)
    assert (head.k, head.d) == (2, 3)


def test_saved_head_comes_back_bit_for_bit(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    head = Head(rng.normal(size=(3, 7)).astype(np.float32), rng.normal(size=3).astype(np.float32))
    head.save(tmp_path / "new" / "head.safetensors")
    loaded = load_head(tmp_path / "new" / "head.safetensors")
    assert np.array_equal(loaded.weight, head.weight)
    assert np.array_equal(loaded.bias, head.bias)


def test_transposed_weights_are_saved_as_they_look(tmp_path: Path) -> None:
    weight = np.arange(6, dtype=np.float32).reshape(3, 2).T
    Head(weight, np.zeros(2, np.float32)).save(tmp_path / "head.safetensors")
    assert np.array_equal(load_head(tmp_path / "head.safetensors").weight, weight)


@pytest.mark.parametrize(("weight", "bias"), [((2, 3), (3,)), ((6,), (6,)), ((2, 3), (2, 1))])
def test_shapes_that_do_not_match_are_refused(weight: tuple[int, ...], bias: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="a head needs"):
        Head(np.zeros(weight, np.float32), np.zeros(bias, np.float32))


def test_absent_and_damaged_heads_are_named(tmp_path: Path) -> None:
    with pytest.raises(PathNotFound):
        load_head(tmp_path / "head.safetensors")
    (tmp_path / "head.safetensors").write_bytes(b"not a head")
    with pytest.raises(BadCheckpoint, match=r"head\.safetensors"):
        load_head(tmp_path / "head.safetensors")
