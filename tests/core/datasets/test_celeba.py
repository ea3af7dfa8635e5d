from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from core.datasets import Choices, Dataset, open_dataset, recognise
from core.errors import BadMetadata, BadRequest, EmptyDataset

Images = Callable[..., Path]
NAMES = ("Bald", "Blond_Hair", "Male", "Young")
# per face: the attributes as CelebA writes them, and the split
FACES = {
    "000001.jpg": ((-1, 1, -1, 1), 0),
    "000002.jpg": ((-1, -1, 1, 1), 0),
    "000003.jpg": ((1, -1, 1, -1), 1),
    "000004.jpg": ((-1, 1, 1, -1), 1),
    "000005.jpg": ((-1, 1, -1, -1), 2),
    "000006.jpg": ((-1, -1, -1, 1), 2),
}


def attributes_txt() -> str:
    rows = [f"{name} {' '.join(f'{value:2d}' for value in values)}" for name, (values, _) in FACES.items()]
    return "\n".join([str(len(FACES)), " ".join(NAMES) + " ", *rows]) + "\n"


def attributes_csv() -> str:
    rows = [",".join(map(str, (name, *values))) for name, (values, _) in FACES.items()]
    return "\n".join([f"image_id,{','.join(NAMES)}", *rows]) + "\n"


def as_torchvision(images: Images) -> Path:
    root = images(*(f"celeba/img_align_celeba/{name}" for name in FACES))
    (root / "celeba" / "list_attr_celeba.txt").write_text(attributes_txt())
    splits = "".join(f"{name} {split}\n" for name, (_, split) in FACES.items())
    (root / "celeba" / "list_eval_partition.txt").write_text(splits)
    return root


def as_the_authors(images: Images) -> Path:
    root = images(*(f"Img/img_align_celeba/{name}" for name in FACES))
    for folder, name in (("Anno", "list_attr_celeba.txt"), ("Eval", "list_eval_partition.txt")):
        (root / folder).mkdir()
        text = attributes_txt() if folder == "Anno" else "".join(f"{n} {s}\n" for n, (_, s) in FACES.items())
        (root / folder / name).write_text(text.replace("\n", "\r\n"))
    return root


def as_kaggle(images: Images) -> Path:
    root = images(*(f"img_align_celeba/img_align_celeba/{name}" for name in FACES))
    (root / "list_attr_celeba.csv").write_text(attributes_csv())
    splits = "".join(f"{name},{split}\n" for name, (_, split) in FACES.items())
    (root / "list_eval_partition.csv").write_text("image_id,partition\n" + splits)
    return root


def as_png(images: Images) -> Path:
    root = as_kaggle(images)
    (root / "img_align_celeba").rename(root / "jpegs")
    return images(*(f"img_align_celeba_png/{name.replace('.jpg', '.png')}" for name in FACES))


def truth(dataset: Dataset) -> dict[str, tuple[int, int, int]]:
    """By number of the face: blond, male, split."""
    male = next(one for one in dataset.attributes if one.name == "Male")
    columns = (dataset.images.tolist(), dataset.labels.tolist(), male.codes.tolist(), dataset.splits.tolist())
    return {Path(name).stem: values for name, *values in zip(*columns, strict=True)}  # type: ignore[misc]


@pytest.mark.parametrize("layout", [as_torchvision, as_the_authors, as_kaggle, as_png])
def test_every_way_it_is_distributed_gives_the_same(images: Images, layout: Callable[[Images], Path]) -> None:
    root = layout(images)
    assert recognise(root)[0].name == "celeba"
    dataset = open_dataset(root)
    assert dataset.classes == ("not Blond_Hair", "Blond_Hair")
    assert [one.name for one in dataset.attributes] == ["Male", "Bald", "Young"]
    assert dataset.attributes[0].values == ("not Male", "Male")
    assert truth(dataset) == {
        Path(name).stem: [(values[1] + 1) // 2, (values[2] + 1) // 2, split] for name, (values, split) in FACES.items()
    }
    assert dataset.problems == ()
    for name in dataset.images.tolist():
        assert dataset.pictures().read(name).is_file()  # type: ignore[union-attr]


def test_target_and_group_can_be_chosen(images: Images) -> None:
    root = as_kaggle(images)
    dataset = open_dataset(root, choices=Choices(target="Young", group="Blond_Hair"))
    assert dataset.classes == ("not Young", "Young")
    assert dataset.labels.tolist() == [1, 1, 0, 0, 0, 1]
    assert [one.name for one in dataset.attributes] == ["Blond_Hair", "Bald", "Male"]
    again = open_dataset(root, choices=dataset.choices)
    assert again.choices == dataset.choices
    assert [one.name for one in again.attributes] == ["Blond_Hair", "Bald", "Male"]
    # the labels differ, the images do not: an analysis of them is not computed twice
    assert (dataset.id, dataset.fingerprint) == (open_dataset(root).id, open_dataset(root).fingerprint)


def test_some_attributes_only(images: Images) -> None:
    dataset = open_dataset(as_kaggle(images), choices=Choices(attributes=("Young",)))
    assert [one.name for one in dataset.attributes] == ["Young"]


@pytest.mark.parametrize(
    "choices",
    [Choices(target="Nose"), Choices(group="Nose"), Choices(attributes=("Nose",)), Choices(group="Blond_Hair")],
)
def test_attributes_that_cannot_be_chosen_are_named(images: Images, choices: Choices) -> None:
    with pytest.raises(BadRequest, match=r"no attribute Nose|Blond_Hair is the class") as raised:
        open_dataset(as_kaggle(images), choices=choices)
    assert "Male" in raised.value.next_step


def test_faces_and_cells_that_are_absent_are_left_out(images: Images) -> None:
    root = as_kaggle(images)
    (root / "img_align_celeba" / "img_align_celeba" / "000006.jpg").unlink()
    text = attributes_csv().replace("000001.jpg,-1,1,", "000001.jpg,-1,,").replace("-1,-1,1,1", "-1,-1,,1")
    (root / "list_attr_celeba.csv").write_text(text)
    dataset = open_dataset(root)
    assert {p.image: p.reason.partition(" (")[0] for p in dataset.problems} == {
        "000006.jpg": "the file is not there",
        "000001.jpg": "no label in the column Blond_Hair",
    }
    assert dataset.attributes[0].codes.tolist() == [-1, 1, 1, 0]


def test_without_a_table_of_splits_they_are_made(images: Images) -> None:
    root = as_kaggle(images)
    (root / "list_eval_partition.csv").unlink()
    assert any("no splits" in note for note in open_dataset(root).notes)


def test_tables_without_images_say_where_to_put_them(images: Images) -> None:
    root = images()
    (root / "list_attr_celeba.txt").write_text(attributes_txt())
    with pytest.raises(EmptyDataset, match="no folder") as raised:
        open_dataset(root)
    assert "beside" in raised.value.next_step
    (root / "img_align_celeba.zip").write_bytes(b"")
    with pytest.raises(EmptyDataset) as raised:
        open_dataset(root)
    assert "Unpack" in raised.value.next_step


@pytest.mark.parametrize("text", ["", "\0\0", "<html>not found</html>\n", "3\nBald Male\n"])
def test_a_damaged_table_says_so(images: Images, text: str) -> None:
    root = as_torchvision(images)
    (root / "celeba" / "list_attr_celeba.txt").write_text(text)
    with pytest.raises((BadMetadata, BadRequest)) as raised:
        open_dataset(root)
    assert raised.value.next_step


def test_a_hundred_faces_in_the_order_of_their_names(images: Images) -> None:
    rng = np.random.default_rng(0)
    values = rng.choice([-1, 1], (100, 4))
    names = [f"{i + 1:06d}.jpg" for i in rng.permutation(100)]
    root = images(*(f"img_align_celeba/{name}" for name in names))
    rows = [",".join(map(str, (name, *row))) for name, row in zip(names, values.tolist(), strict=True)]
    (root / "list_attr_celeba.csv").write_text("\n".join([f"image_id,{','.join(NAMES)}", *rows]))
    dataset = open_dataset(root)
    of = dict(zip(names, ((values + 1) // 2).tolist(), strict=True))
    assert dataset.labels.tolist() == [of[name][1] for name in dataset.images.tolist()]
    assert dataset.attributes[0].codes.tolist() == [of[name][2] for name in dataset.images.tolist()]


def test_a_partition_of_one_column(images: Images) -> None:
    root = as_torchvision(images)
    (root / "celeba" / "list_eval_partition.txt").write_text("".join(f"{name}\n" for name in FACES))
    with pytest.raises(BadMetadata, match="one column only"):
        open_dataset(root)
