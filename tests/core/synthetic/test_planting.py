from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.datasets import open_dataset
from core.errors import BadRequest, Cancelled
from core.synthetic.digits import assign_originals, make_digits
from core.synthetic.planting import plan_groups
from core.synthetic.shapes import CLASSES, make_shapes

MAKERS = (make_shapes, make_digits)
Maker = Callable[..., Path]


def digests(folder: Path) -> list[str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]


@given(st.integers(0, 4000), st.integers(2, 10), st.integers(2, 4), st.integers(0, 20))
def test_the_planted_shares_are_exact(more: int, classes: int, values: int, twentieths: int) -> None:
    n, agreement = 4 * classes * values + more, twentieths / 20
    plan = plan_groups(n, classes, values, agreement, np.random.default_rng(n))
    assert len(plan.labels) == n
    for split in (0, 1):
        for c in range(classes):
            shown = plan.values[(plan.splits == split) & (plan.labels == c)]
            counts = np.bincount(shown, minlength=values)
            assert abs(counts[c % values] - agreement * len(shown)) <= 0.5
            others = np.delete(counts, c % values)
            assert others.max() - others.min() <= 1
    test = plan.splits == 2
    groups = np.bincount((plan.labels * values + plan.values)[test].astype(int), minlength=classes * values)
    assert len(set(groups.tolist())) == 1
    assert groups[0] >= 1


def test_too_few_images_for_the_groups_are_refused() -> None:
    with pytest.raises(BadRequest, match="9 groups"):
        plan_groups(35, 3, 3, 0.95, np.random.default_rng(0))


def test_shapes_open_with_three_shapes_and_three_colours(tmp_path: Path) -> None:
    dataset = open_dataset(make_shapes(tmp_path / "shapes", n=360))
    assert dataset.classes == CLASSES
    assert [(a.name, a.values) for a in dataset.attributes] == [("color", ("red", "green", "blue"))]
    assert (dataset.problems, dataset.notes) == ((), ())


def test_digits_open_with_their_names_and_two_inks(tmp_path: Path) -> None:
    dataset = open_dataset(make_digits(tmp_path / "digits", n=320))
    assert dataset.classes == ("three", "five", "eight", "nine")
    assert [(a.name, a.values) for a in dataset.attributes] == [("ink", ("orange", "teal"))]


@pytest.mark.parametrize("make", MAKERS)
def test_the_same_seed_gives_the_same_bytes_and_another_does_not(tmp_path: Path, make: Maker) -> None:
    first, again, other = (digests(make(tmp_path / name, n=72, seed=s)) for name, s in (("a", 3), ("b", 3), ("c", 4)))
    assert first == again
    assert not set(first) & set(other)


def test_no_original_is_in_two_splits_and_each_is_of_its_class(tmp_path: Path) -> None:
    from sklearn.datasets import load_digits

    folder = make_digits(tmp_path / "digits", n=800, digits=(1, 7, 4))
    with open(folder / "metadata.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    splits: dict[str, set[str]] = {}
    for row in rows:
        splits.setdefault(row["original"], set()).add(row["split"])
    assert all(len(found) == 1 for found in splits.values())
    target = load_digits().target
    assert all(target[int(row["original"])] == {"one": 1, "seven": 7, "four": 4}[row["y_name"]] for row in rows)


def test_test_shows_the_same_originals_in_every_ink() -> None:
    plan = plan_groups(1600, 4, 2, 0.95, np.random.default_rng(0))
    originals = assign_originals(plan, [np.arange(180 * c, 180 * c + 180) for c in range(4)], seed=0)
    for c in range(4):
        of = [np.sort(originals[(plan.splits == 2) & (plan.labels == c) & (plan.values == value)]) for value in (0, 1)]
        assert np.array_equal(*of)


@pytest.mark.parametrize("make", MAKERS)
def test_a_cancelled_run_leaves_nothing_behind(tmp_path: Path, make: Maker) -> None:
    def stop(done: int, total: int, message: str = "") -> None:
        if done:
            raise Cancelled

    with pytest.raises(Cancelled):
        make(tmp_path / "out", n=200, progress=stop)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("wrong", [{"size": 4}, {"agreement": 1.5}, {"n": 8}])
@pytest.mark.parametrize("make", MAKERS)
def test_settings_out_of_range_are_refused(tmp_path: Path, make: Maker, wrong: dict[str, float]) -> None:
    with pytest.raises(BadRequest):
        make(tmp_path / "out", **wrong)


@pytest.mark.parametrize("digits", [(3,), (3, 3), (3, 11)])
def test_digits_have_to_be_different_digits(tmp_path: Path, digits: tuple[int, ...]) -> None:
    with pytest.raises(BadRequest):
        make_digits(tmp_path / "out", digits=digits)
