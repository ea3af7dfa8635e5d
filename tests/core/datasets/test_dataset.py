from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.dtypes import StringDType

from core.datasets import describe_dataset, open_dataset
from core.datasets.choices import Choices
from core.datasets.dataset import MANY, MAX_PROBLEMS, Attribute, Dataset, Problem, gathered, limited, marks_of
from core.errors import BadRequest


def made(labels: np.ndarray, splits: np.ndarray, k: int = 3) -> Dataset:
    n = len(labels)
    rng = np.random.default_rng(n)
    return Dataset(
        id="d",
        name="made",
        root=Path("/data"),
        source="class-folders",
        images=np.array([f"{i:06d}.jpg" for i in range(n)], dtype=StringDType()),
        labels=labels.astype(np.int64),
        splits=splits.astype(np.int8),
        classes=("a", "b", "c")[:k],
        attributes=(Attribute("place", ("x", "y"), rng.integers(-1, 2, n).astype(np.int16)),),
        problems=(),
        notes=("A note.",),
        fingerprint="f",
        choices=Choices(format="class-folders"),
        marks=rng.integers(-(2**62), 2**62, n),
    )


CODES = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=80)


@settings(deadline=None)
@given(CODES, st.integers(1, 90), st.integers(0, 3))
def test_a_sample_is_a_part_of_the_whole_and_says_the_same_of_its_images(
    codes: list[tuple[int, int]], count: int, seed: int
) -> None:
    dataset = made(*np.array(codes).T)
    sample = dataset.sample(count, seed)
    if count >= len(dataset):
        assert sample is dataset
        return
    assert len(sample) == count
    rows = np.searchsorted(dataset.images, sample.images)
    assert dataset.images[rows].tolist() == sample.images.tolist() == sorted(sample.images.tolist())
    assert np.array_equal(sample.labels, dataset.labels[rows])
    assert np.array_equal(sample.splits, dataset.splits[rows])
    assert sample.marks is not None
    assert dataset.marks is not None
    assert np.array_equal(sample.marks, dataset.marks[rows])
    assert np.array_equal(sample.attributes[0].codes, dataset.attributes[0].codes[rows])
    assert (sample.id, sample.choices, sample.classes) == (dataset.id, dataset.choices, dataset.classes)
    assert sample.fingerprint != dataset.fingerprint
    assert str(count) in sample.notes[-1]
    # every split and class has its share, and one image at least where they are enough
    strata, sizes = np.unique(dataset.splits * 3 + dataset.labels, return_counts=True)
    drawn = np.array([np.sum(sample.splits * 3 + sample.labels == one) for one in strata])
    assert count < len(strata) or drawn.min() >= 1
    if count >= len(strata):
        assert (np.abs(drawn - sizes * count / len(dataset)) <= len(strata)).all()


@settings(deadline=None)
@given(CODES, st.integers(1, 79), st.integers(0, 9))
def test_a_larger_sample_holds_the_smaller_one(codes: list[tuple[int, int]], count: int, seed: int) -> None:
    dataset = made(*np.array(codes).T)
    small, large = dataset.sample(count, seed), dataset.sample(count + 7, seed)
    assert set(small.images.tolist()) <= set(large.images.tolist())


def test_samples_differ_by_seed_and_follow_the_files() -> None:
    rng = np.random.default_rng(0)
    dataset = made(rng.integers(0, 3, 500), rng.integers(0, 3, 500))
    first = dataset.sample(50)
    assert dataset.sample(50).fingerprint == first.fingerprint
    assert dataset.sample(50, seed=1).images.tolist() != first.images.tolist()
    assert dataset.marks is not None
    touched = replace(dataset, marks=dataset.marks + 1)
    assert touched.sample(50).images.tolist() == first.images.tolist()
    assert touched.sample(50).fingerprint != first.fingerprint


def test_rare_classes_are_in_a_sample_of_many() -> None:
    labels = np.repeat([0, 1, 2], [9_990, 8, 2])
    sample = made(labels, np.zeros(10_000)).sample(100)
    assert np.bincount(sample.labels).tolist()[1:] == [1, 1]


def test_images_without_labels_are_counted_as_such() -> None:
    dataset = made(np.zeros(5), np.array([0, 0, 1, 2, 2]), k=0)
    assert not dataset.labelled
    assert dataset.counts() == {"train": {"no label": 2}, "val": {"no label": 1}, "test": {"no label": 2}}
    assert len(dataset.sample(3)) == 3
    with pytest.raises(BadRequest, match="no labels") as raised:
        dataset.need_labels()
    assert raised.value.next_step


def test_a_description_is_plain_json_with_every_count() -> None:
    dataset = made(np.array([0, 1, 1, 2]), np.array([0, 0, 1, 2]))
    dataset = replace(
        dataset, attributes=(Attribute("place", ("land", "water"), np.array([0, 0, -1, 1], dtype=np.int16)),)
    )
    described = describe_dataset(dataset)
    assert described["attributes"] == [{"name": "place", "values": {"land": 2, "water": 1}, "unknown": 1}]
    assert described["counts"]["train"] == {"a": 1, "b": 1, "c": 0}
    assert described["choices"] == {"format": "class-folders"}
    assert (described["images"], described["labelled"], described["title"]) == (4, True, "A folder per class")


@given(st.integers(0, 2**40), st.integers(0, 2**62), st.integers(-5, 5), st.integers(-5, 5))
def test_a_mark_changes_when_size_or_time_does(size: int, time: int, more: int, later: int) -> None:
    sizes, times = np.array([size, max(size + more, 0)]), np.array([time, max(time + later, 0)])
    marks = marks_of(sizes, times)
    assert marks.dtype == np.int64
    assert (marks[0] == marks[1]) == (sizes[0] == sizes[1] and times[0] == times[1])


def test_problems_of_one_folder_and_reason_are_one_from_a_few_on() -> None:
    many = [Problem(f"a/{i}.txt", "no image") for i in range(1_200)]
    few = [Problem(f"b/{i}.txt", "no image") for i in range(MANY - 1)]
    rows = [Problem(f"{i}.png", "not there") for i in range(MANY)]
    other = Problem("a/x.png", "empty")
    assert gathered([*many, other, *few, *rows]) == [
        Problem("a/0.txt and 1,199 more in a", "no image", 1_200),
        other,
        *few,
        Problem(f"0.png and {MANY - 1} more", "not there", MANY),
    ]
    assert gathered([]) == []


def test_a_million_problems_are_one_sentence() -> None:
    problems = [Problem(str(i), "absent") for i in range(MAX_PROBLEMS)]
    assert limited(problems) == (tuple(problems), ())
    listed, notes = limited(problems, 1_000_000)
    assert len(listed) == MAX_PROBLEMS
    assert "1,000,000 files or rows were left out" in notes[0]


def test_a_problem_says_how_many_it_stands_for(images: Callable[..., Path]) -> None:
    root = images(*(f"{split}/{name}/0.png" for split in ("train", "test") for name in "ab"))
    images(*(f"vaild/a/{i}.png" for i in range(36)))
    (root / "train/a/notes.txt").write_text("x")
    described = describe_dataset(open_dataset(root))
    assert described["left_out"] == 37
    by_name = {one["image"]: one for one in described["problems"]}
    assert by_name["vaild"]["count"] == 36
    assert "count" not in by_name["train/a/notes.txt"]
    assert [Problem(**one).to_dict() for one in described["problems"]] == described["problems"]
