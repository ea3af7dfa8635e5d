from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from core.datasets import Choices, open_dataset, recognise
from core.errors import EmptyDataset, MidbandError, OneClass, PathNotFound

Images = Callable[..., Path]
PLAIN = [f"{name}/{i}.jpg" for name in ("cat", "ant") for i in range(10)]


def reasons(root: Path) -> dict[str, str]:
    return {problem.image: problem.reason for problem in open_dataset(root).problems}


def test_classes_come_in_sorted_order_of_folder_names_as_torchvision_has_them(images: Images) -> None:
    dataset = open_dataset(images("b/1.jpg", "a/1.jpg", "C/1.jpg"))
    assert dataset.classes == ("C", "a", "b")
    assert dataset.images.tolist() == ["C/1.jpg", "a/1.jpg", "b/1.jpg"]
    assert dataset.labels.tolist() == [0, 1, 2]


def test_images_are_sorted_by_name_and_keep_their_label(images: Images) -> None:
    dataset = open_dataset(images(*PLAIN))
    assert dataset.images.tolist() == sorted(PLAIN)
    assert all(dataset.classes[y] == name.split("/")[0] for y, name in zip(dataset.labels, dataset.images, strict=True))
    assert (dataset.labels.dtype, dataset.splits.dtype) == (np.int64, np.int8)


def test_split_folders_are_recognised_by_any_of_their_names(images: Images) -> None:
    names = [f"{s}/{c}/1.png" for s in ("Training", "validation", "test") for c in ("x", "y")]
    dataset = open_dataset(images(*names))
    assert dataset.counts() == {s: {"x": 1, "y": 1} for s in ("train", "val", "test")}
    assert dataset.notes == ()


def test_a_class_may_be_called_test_when_it_holds_images_itself(images: Images) -> None:
    assert open_dataset(images("test/1.jpg", "cat/1.jpg")).classes == ("cat", "test")


def test_without_splits_each_class_is_divided_and_a_note_says_so(images: Images) -> None:
    dataset = open_dataset(images(*PLAIN))
    assert dataset.counts() == {
        "train": {"ant": 6, "cat": 6},
        "val": {"ant": 2, "cat": 2},
        "test": {"ant": 2, "cat": 2},
    }
    assert "seed 0" in dataset.notes[0]


def test_a_folder_of_datasets_is_noticed(images: Images) -> None:
    dataset = open_dataset(images("set/train/a/1.jpg", "set/test/a/1.jpg", "more/1.jpg"))
    assert any("set was taken for a class" in note for note in dataset.notes)


def test_images_in_deeper_folders_belong_to_the_class_above(images: Images) -> None:
    dataset = open_dataset(images("cat/house/1.jpg", "cat/wild/2.jpg", "dog/1.jpg"))
    assert dataset.classes == ("cat", "dog")
    assert len(dataset) == 3


def test_what_is_no_image_is_listed_and_the_rest_is_used(images: Images) -> None:
    root = images(*PLAIN)
    (root / "cat" / "notes.txt").write_text("hello")
    (root / "README.md").write_text("hello")
    (root / "cat" / ".DS_Store").write_text("")
    images("loose.jpg")
    assert len(open_dataset(root)) == len(PLAIN)
    assert reasons(root) == {
        "cat/notes.txt": "not an image file",
        "README.md": "not an image file",
        "loose.jpg": "not inside a class folder",
    }


def test_images_beside_the_split_folders_are_left_out(images: Images) -> None:
    names = [f"{s}/{c}/1.jpg" for s in ("train", "val") for c in "ab"]
    root = images(*names, "test/1.jpg", "extra/2.jpg")
    assert set(open_dataset(root).classes) == {"a", "b"}
    assert reasons(root) == {
        "test": "1 image: it has no folders that name classes",
        "extra": "1 image: it is not one of train, val, test, where the other images are",
    }


def test_a_split_that_is_misspelt_is_one_line_with_the_cause_and_what_may_be_meant(images: Images) -> None:
    names = [f"{s}/{c}/{i}.jpg" for s in ("train", "vaild", "test") for c in ("ant", "cat") for i in range(9)]
    root = images(*names)
    (root / "docs").mkdir()
    (root / "docs" / "a.txt").write_text("")
    dataset = open_dataset(root)
    assert len(dataset) == 36
    assert reasons(root) == {
        "vaild": "18 images: its name is no split (did you mean val?)",
        "docs": "1 file: it is not one of train, val, test, where the other images are",
    }
    assert [note for note in dataset.notes if "folder" in note] == [
        "The folder vaild with 18 images was left out: its name is no split. Did you mean val?"
    ]


@pytest.mark.parametrize("odd", ["dgo", "Dog", "dogs"])
def test_a_class_that_is_misspelt_in_one_split_is_asked_about_once(images: Images, odd: str) -> None:
    dataset = open_dataset(
        images("train/dog/1.jpg", "train/dog/2.jpg", "train/cat/1.jpg", f"test/{odd}/1.jpg", "test/cat/2.jpg")
    )
    assert set(dataset.classes) == {"cat", "dog", odd}
    assert [note for note in dataset.notes if "dog" in note] == [
        f"{odd} is only in test and dog is not there: the same class?"
    ]


def test_classes_without_images_to_learn_from_or_to_be_judged_on_are_named(images: Images) -> None:
    names = ["train/ant/1.jpg", "train/bee/1.jpg", "val/ant/2.jpg", "test/ant/3.jpg", "test/cow/3.jpg"]
    assert open_dataset(images(*names)).notes == (
        "The train split has no images of cow.",
        "The test split has no images of bee.",
    )


def test_numbered_classes_of_two_splits_are_not_taken_for_slips(images: Images) -> None:
    names = [f"train/n{i:04d}/1.jpg" for i in range(12)] + [f"test/n{i:04d}/1.jpg" for i in range(5, 30)]
    notes = open_dataset(images(*names)).notes
    assert not any("same class" in note for note in notes)
    assert any("n0021 and 8 more" in note for note in notes)


def test_a_link_that_leaves_the_root_is_never_opened(images: Images, tmp_path: Path) -> None:
    root = images(*PLAIN)
    outside = tmp_path / "secret.jpg"
    outside.write_bytes(b"x")
    (root / "cat" / "link.jpg").symlink_to(outside)
    (root / "ant" / "same.jpg").symlink_to(root / "ant" / "0.jpg")
    (root / "cat" / "broken.jpg").symlink_to(root / "nowhere.jpg")
    (root / "cat" / "loop").symlink_to(root)
    dataset = open_dataset(root)
    assert "ant/same.jpg" in dataset.images.tolist()
    assert "leaves the dataset folder" in reasons(root)["cat/link.jpg"]
    assert reasons(root)["cat/broken.jpg"] == "a broken link"
    assert "not followed" in reasons(root)["cat/loop"]
    assert len(dataset) == len(PLAIN) + 1


def test_a_pipe_among_the_images_does_not_block(images: Images) -> None:
    root = images(*PLAIN)
    os.mkfifo(root / "cat" / "pipe.jpg")
    assert reasons(root) == {"cat/pipe.jpg": "not a regular file"}


def test_a_name_that_is_not_utf8_is_reported(images: Images) -> None:
    root = images(*PLAIN)
    with open(os.fsencode(root) + b"/cat/\xff.jpg", "wb"):
        pass
    assert "UTF-8" in next(iter(reasons(root).values()))


def test_the_fingerprint_follows_the_files_and_nothing_else(images: Images) -> None:
    root = images(*PLAIN)
    first = open_dataset(root)
    assert open_dataset(root, seed=7).fingerprint == first.fingerprint
    os.utime(root / "cat" / "3.jpg", ns=(1, 1))
    touched = open_dataset(root)
    assert touched.fingerprint != first.fingerprint
    images("cat/new.jpg")
    assert open_dataset(root).fingerprint != touched.fingerprint
    assert open_dataset(root).id == first.id


@pytest.mark.parametrize(
    ("names", "error", "says"),
    [
        ([], EmptyDataset, "is empty"),
        (["cat/1.jpg"], OneClass, "one class, cat"),
        (["train/cat/1.jpg", "test/cat/1.jpg"], OneClass, "one class, cat"),
        (["set/cat/1.jpg", "set/dog/1.jpg"], OneClass, "looks like the dataset itself"),
    ],
)
def test_a_folder_that_is_no_dataset_says_what_it_is(
    images: Images, names: list[str], error: type[MidbandError], says: str
) -> None:
    with pytest.raises(error, match=says) as raised:
        open_dataset(images(*names))
    assert raised.value.next_step


@pytest.mark.parametrize(
    ("names", "says"),
    [(["1.jpg", "2.jpg"], "2 images but no folders"), (["train/1.jpg", "test/2.jpg"], "no folders in them")],
)
def test_images_without_class_folders_have_no_classes(images: Images, names: list[str], says: str) -> None:
    with pytest.raises(EmptyDataset, match=says):
        open_dataset(images(*names), choices=Choices(format="class-folders"))


def test_opening_again_with_the_choices_made_gives_the_same(images: Images) -> None:
    root = images(*PLAIN)
    dataset = open_dataset(root)
    assert dataset.choices == Choices(format="class-folders")
    (root / "labels.csv").write_text("image,label\n" + "".join(f"{name},x\n" for name in PLAIN))
    assert open_dataset(root, choices=dataset.choices).source == "class-folders"


def test_a_stray_table_beside_class_folders_changes_nothing(images: Images) -> None:
    root = images(*PLAIN)
    (root / "predictions.csv").write_text("image,label\n" + "".join(f"{name},maybe\n" for name in PLAIN))
    assert open_dataset(root).classes == ("ant", "cat")
    assert [one.name for one in recognise(root)][:2] == ["class-folders", "table"]


def test_a_table_that_says_class_and_split_of_every_image_counts_more_than_folders(images: Images) -> None:
    root = images(*PLAIN)
    rows = "".join(f"{name},{i % 2},{('train', 'test')[i % 3 > 1]}\n" for i, name in enumerate(PLAIN))
    (root / "all.csv").write_text("image,label,split\n" + rows)
    assert [one.name for one in recognise(root)][:2] == ["table", "class-folders"]


def test_marks_follow_the_files(images: Images) -> None:
    root = images(*PLAIN)
    before = open_dataset(root)
    os.utime(root / "cat" / "3.jpg", ns=(1, 1))
    after = open_dataset(root)
    assert before.marks is not None
    assert before.marks.shape == (len(PLAIN),)
    assert before.images[before.marks != after.marks].tolist() == ["cat/3.jpg"]


def test_a_folder_of_texts_names_one_of_them(images: Images) -> None:
    root = images()
    (root / "a").mkdir()
    (root / "a" / "x.txt").write_text("")
    with pytest.raises(EmptyDataset, match=r"a/x\.txt: not an image file"):
        open_dataset(root)


def test_a_missing_path_names_the_part_that_exists(tmp_path: Path) -> None:
    with pytest.raises(PathNotFound) as raised:
        open_dataset(tmp_path / "no" / "such")
    assert str(tmp_path) in raised.value.next_step


def test_a_path_as_it_was_copied_is_the_same_dataset(images: Images) -> None:
    root = images(*PLAIN).rename(images().parent / "my photos")
    address = f"file://{root}".replace(" ", "%20")
    ids = {open_dataset(path).id for path in (root, f'"{root}"', f"'{root}' ", address, f"  {root}\n")}
    assert len(ids) == 1


@pytest.mark.parametrize("path", ["", "  ", "a\0b"])
def test_what_is_no_path_is_refused_with_a_sentence(path: str) -> None:
    with pytest.raises(PathNotFound):
        open_dataset(path)


def test_a_file_in_place_of_a_folder_points_to_its_folder(images: Images) -> None:
    root = images("cat/1.jpg")
    with pytest.raises(PathNotFound, match="is a file, one image") as raised:
        open_dataset(root / "cat" / "1.jpg")
    assert str(root / "cat") in raised.value.next_step
