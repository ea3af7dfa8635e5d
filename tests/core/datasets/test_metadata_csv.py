from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from core.datasets import Choices, Dataset, open_dataset
from core.datasets.cells import column, one_to_one
from core.errors import BadMetadata, BadRequest, EmptyDataset, OneClass
from core.files import digest

Table = Callable[..., Path]

ROWS = [
    ("d.jpg", 1, 2, 0),
    ("a.jpg", 0, 0, 0),
    ("c.jpg", 1, 1, 1),
    ("b.jpg", 0, 0, 1),
    ("e.jpg", 1, 0, 1),
    ("f.jpg", 0, 1, 0),
]
FILES = [row[0] for row in ROWS]


def csv(rows: list[tuple[object, ...]], header: str = "img_filename,y,split,place", separator: str = ",") -> str:
    lines = [header.replace(",", separator), *(separator.join(map(str, row)) for row in rows)]
    return "\n".join(lines) + "\n"


def planted(dataset: Dataset) -> dict[str, tuple[int, int, int]]:
    place = dataset.attributes[0]
    return {
        str(name): (int(y), int(split), int(place.values[code]))
        for name, y, split, code in zip(dataset.images, dataset.labels, dataset.splits, place.codes, strict=True)
    }


def reasons(dataset: Dataset) -> dict[str, str]:
    return {problem.image: problem.reason for problem in dataset.problems}


def test_unsorted_rows_keep_their_values(table: Table) -> None:
    dataset = open_dataset(table(csv(ROWS), *FILES))
    assert dataset.images.tolist() == sorted(FILES)
    assert planted(dataset) == {row[0]: row[1:] for row in ROWS}
    assert (dataset.source, dataset.classes, dataset.problems) == ("metadata-csv", ("0", "1"), ())


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_spreadsheet_dialects_read_alike(table: Table, separator: str, encoding: str) -> None:
    text = csv(ROWS, separator=separator).replace("\n", "\r\n")
    assert planted(open_dataset(table(text, *FILES, encoding=encoding))) == {row[0]: row[1:] for row in ROWS}


def test_numbers_may_be_floats_and_columns_may_be_shouted_or_padded(table: Table) -> None:
    rows = [(name, f"{y}.0", f" {split}.0", place) for name, y, split, place in ROWS]
    dataset = open_dataset(table(csv(rows, "IMG_FILENAME, Y ,Split,place"), *FILES))
    assert planted(dataset) == {row[0]: row[1:] for row in ROWS}


def test_splits_may_be_words(table: Table) -> None:
    rows = [(name, y, ("train", "Valid", "TEST")[split], place) for name, y, split, place in ROWS]
    assert planted(open_dataset(table(csv(rows), *FILES))) == {row[0]: row[1:] for row in ROWS}


def test_word_columns_name_the_numbers_they_go_with(table: Table) -> None:
    birds, places = ("waterbird", "landbird"), ("water", "land")
    rows = [(*row, birds[row[1]], places[row[3]]) for row in ROWS]
    dataset = open_dataset(table(csv(rows, "img_filename,y,split,place,y_name,place_name"), *FILES))
    assert dataset.classes == birds
    assert [(a.name, a.values) for a in dataset.attributes] == [("place", places)]


def test_a_background_that_always_agrees_does_not_name_the_class(table: Table) -> None:
    rows = [(name, y, split, y, ("land", "water")[y]) for name, y, split, _ in ROWS]
    dataset = open_dataset(table(csv(rows, "img_filename,y,split,place,place_name"), *FILES))
    assert dataset.classes == ("0", "1")
    assert dataset.attributes == ()


def test_labels_may_be_words_in_alphabetical_order(table: Table) -> None:
    rows = [(name, ("zebra", "ant")[y], split, place) for name, y, split, place in ROWS]
    dataset = open_dataset(table(csv(rows), *FILES))
    assert dataset.classes == ("ant", "zebra")
    assert dataset.labels.tolist() == [1, 1, 0, 0, 0, 1]


def test_number_labels_are_ordered_by_size_not_by_alphabet(table: Table) -> None:
    rows = [(name, (10, 9)[y], split, place) for name, y, split, place in ROWS]
    assert open_dataset(table(csv(rows), *FILES)).classes == ("9", "10")


def test_attributes_are_columns_with_few_values_place_first(table: Table) -> None:
    header = "img_id,img_filename,y,split,split_name,sex,place,photographer,weight"
    rows = [
        (i, name, y, split, "abc"[split], "mffmmf"[i], place, f"person {i}", 0.5 + i % 2)
        for i, (name, y, split, place) in enumerate(ROWS)
    ]
    assert [a.name for a in open_dataset(table(csv(rows, header), *FILES)).attributes] == ["place", "sex"]


def test_blank_attribute_cells_are_unknown(table: Table) -> None:
    rows = [(name, y, split, "" if name == "b.jpg" else place) for name, y, split, place in ROWS]
    place = open_dataset(table(csv(rows), *FILES)).attributes[0]
    assert place.values == ("0", "1")
    assert place.codes.tolist() == [0, -1, 1, 0, 1, 0]
    assert place.codes.dtype == np.int16


def test_rows_that_cannot_be_used_are_listed_and_the_rest_is_used(table: Table, tmp_path: Path) -> None:
    (tmp_path / "outside.jpg").write_bytes(b"x")
    bad = [
        ("gone.jpg", 0, 0, 0),
        ("../outside.jpg", 0, 0, 0),
        (tmp_path / "outside.jpg", 0, 0, 0),
        ("link.jpg", 0, 0, 0),
        ("notes.txt", 0, 0, 0),
        ("g.jpg", "", 0, 0),
        ("h.jpg", 1, 7, 0),
        ("a.jpg", 1, 0, 0),
        ("", 1, 0, 0),
    ]
    root = table(csv(ROWS + bad), *FILES, "g.jpg", "h.jpg")
    (root / "link.jpg").symlink_to(tmp_path / "outside.jpg")
    (root / "notes.txt").write_text("")
    dataset = open_dataset(root)
    assert planted(dataset) == {row[0]: row[1:] for row in ROWS}
    assert reasons(dataset) == {
        "gone.jpg": "the file is not there (row 8 of metadata.csv)",
        "../outside.jpg": "its path leaves the dataset folder (row 9 of metadata.csv)",
        str(tmp_path / "outside.jpg"): "its path leaves the dataset folder (row 10 of metadata.csv)",
        "link.jpg": "a link that leaves the dataset folder (row 11 of metadata.csv)",
        "notes.txt": "not an image file (row 12 of metadata.csv)",
        "g.jpg": "no label in the column y (row 13 of metadata.csv)",
        "h.jpg": "its split is none of train, val, test, 0, 1, 2 (row 14 of metadata.csv)",
        "a.jpg": "listed more than once: the first row counts (row 15 of metadata.csv)",
        "(blank)": "no file name (row 16 of metadata.csv)",
    }


def test_names_written_on_other_systems_are_found(table: Table) -> None:
    rows = [("x\\a.jpg", 0, 0, 0), ("./x/b.jpg", 1, 0, 1), ("x/../x//c.jpg", 1, 1, 0), ("x/d.jpg", 0, 2, 1)]
    dataset = open_dataset(table(csv(rows), "x/a.jpg", "x/b.jpg", "x/c.jpg", "x/d.jpg"))
    assert dataset.images.tolist() == ["x/a.jpg", "x/b.jpg", "x/c.jpg", "x/d.jpg"]


def test_a_table_without_splits_is_divided_and_says_so(table: Table) -> None:
    rows = [(f"{i}.jpg", i % 2) for i in range(20)]
    dataset = open_dataset(table(csv(rows, "img_filename,y"), *(str(row[0]) for row in rows)))
    assert np.bincount(dataset.splits).tolist() == [12, 4, 4]
    assert "no splits" in dataset.notes[0]


def test_editing_the_table_keeps_the_fingerprint(table: Table) -> None:
    before = open_dataset(table(csv(ROWS), *FILES))
    root = before.root
    (root / "metadata.csv").write_text(csv([(name, 1 - y, split, place) for name, y, split, place in ROWS]))
    after = open_dataset(root)
    assert after.labels.tolist() == (1 - before.labels).tolist()
    assert after.fingerprint == before.fingerprint


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty"),
        ("img_filename,place\na.jpg,0\n", "no column y"),
        ("file,label\na.jpg,0\n", "no column img_filename and no column y; its columns are: file, label"),
        ("img_filename,y,y\na.jpg,0,1\n", "more than one column y"),
        ("img_filename,y\na.jpg,0,1,2\nb.jpg,0,1,2\n", "more cells in its rows"),
        ("img_filename,y\na.jpg,0\nb.jpg,0,1\n", "line 3 has 3 cells, the header 2"),
        ("img_filename,y\na.jpg,0.25\nb.jpg,0.5\n", "measurements"),
        ("img_filename,y,split\na.jpg,0,left\nb.jpg,1,right\n", "no names of splits"),
        ("img_filename,y,split\na.jpg,0,\nb.jpg,1,\n", "blank cells only"),
        ("img_filename,y\na.jpg,\0\n", "binary"),
    ],
)
def test_a_broken_table_says_what_is_wrong(table: Table, text: str, says: str) -> None:
    root = table(text, "a.jpg", "b.jpg")
    with pytest.raises(BadMetadata, match=says) as raised:
        open_dataset(root, choices=Choices(format="metadata-csv"))
    assert raised.value.next_step


def test_other_columns_than_these_are_read_as_any_table(table: Table) -> None:
    dataset = open_dataset(table("file,label\na.jpg,0\nb.jpg,1\n", "a.jpg", "b.jpg"))
    assert (dataset.source, dataset.classes) == ("table", ("0", "1"))


def test_without_labels_the_images_can_be_opened_all_the_same(table: Table) -> None:
    dataset = open_dataset(table("img_filename,place\na.jpg,0\nb.jpg,1\nc.jpg,1\n", "a.jpg", "b.jpg", "c.jpg"))
    assert (len(dataset), dataset.labelled) == (3, False)
    assert "place" in dataset.notes[0]


@pytest.mark.parametrize("text", ["", "img_filename,y,y\na.jpg,0,1\n", "img_filename,y\na.jpg,0\nb.jpg,0,1\n", "a\0b"])
def test_a_broken_table_is_told_about_and_not_passed_over(table: Table, text: str) -> None:
    with pytest.raises(BadMetadata):
        open_dataset(table(text, "a.jpg", "b.jpg"))


def test_the_attribute_to_group_by_can_be_chosen(table: Table) -> None:
    rows = [(*row, i // 3, i % 3) for i, row in enumerate(ROWS)]
    root = table(csv(rows, "img_filename,y,split,place,sex,age"), *FILES)
    assert [a.name for a in open_dataset(root).attributes] == ["place", "sex", "age"]
    chosen = open_dataset(root, choices=Choices(group="age"))
    assert [a.name for a in chosen.attributes] == ["age", "place", "sex"]
    again = open_dataset(root, choices=chosen.choices)
    assert [(a.name, a.values) for a in again.attributes] == [(a.name, a.values) for a in chosen.attributes]
    with pytest.raises(BadRequest, match="no column nose"):
        open_dataset(root, choices=Choices(group="nose"))


def test_id_and_fingerprint_are_those_that_analyses_were_stored_under(table: Table) -> None:
    # as the first version computed them: analyses are found again by both
    root = table(csv(ROWS), *FILES)
    for i, name in enumerate(sorted(FILES)):
        os.utime(root / name, ns=(10**18 + i, 10**18 + i))
    dataset = open_dataset(root)
    sizes = np.array([(root / name).stat().st_size for name in sorted(FILES)], dtype="<i8")
    times = np.array([10**18 + i for i in range(len(FILES))], dtype="<i8")
    assert dataset.id == digest(str(root))
    expected = digest("\0".join(sorted(FILES)), sizes.tobytes(), times.tobytes(), length=24)
    assert dataset.fingerprint == expected


def test_a_table_in_another_encoding_says_so(table: Table) -> None:
    with pytest.raises(BadMetadata, match="not UTF-8"):
        open_dataset(table("img_filename,y\né.jpg,0\n", encoding="latin-1"))


def test_one_class_only(table: Table) -> None:
    with pytest.raises(OneClass, match="same y, 1"):
        open_dataset(table("img_filename,y\na.jpg,1\nb.jpg,1\n", "a.jpg", "b.jpg"))


@pytest.mark.parametrize(
    ("text", "says"),
    [("img_filename,y\n", "no rows"), ("img_filename,y,split\n", "no rows"), (csv(ROWS), r"None of the 6 rows")],
)
def test_a_table_without_usable_rows(table: Table, text: str, says: str) -> None:
    with pytest.raises(EmptyDataset, match=says):
        open_dataset(table(text))


def test_column_reads_one_value_from_its_spellings() -> None:
    read = column(pd.Series(["2", "1.0", " 1", "", "2.00"], name="c"))
    assert (read.values, read.codes.tolist(), read.whole) == (("1", "2"), [1, 0, 0, -1, 1], True)


def test_one_to_one() -> None:
    a = np.array([0, 1, 2, 0])
    assert one_to_one(a, np.array([5, 3, 4, 5]))
    assert not one_to_one(a, np.array([5, 3, 3, 5]))
    assert not one_to_one(a, np.array([5, 3, 4, 1]))
    assert not one_to_one(a, np.array([5, 3, 4, -1]))


def test_a_table_with_all_columns_of_waterbirds_gives_place_and_the_groups_that_were_planted(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    n = 300
    species = rng.integers(1, 201, n)
    splits, places = rng.integers(0, 3, n), rng.integers(0, 2, n)
    known = pd.DataFrame(
        {
            "img_id": rng.permutation(n) + 1,
            "img_filename": [f"{kind:03d}.Bird/Bird_{i:04d}.jpg" for i, kind in enumerate(species)],
            "class_id": species,
            "class_name": [f"{kind:03d}.Bird" for kind in species],
            "y": (species > 100).astype(int),
            "split": splits,
            "split_name": np.array(["train", "val", "test"])[splits],
            "unique_img_filename": [f"image_{i}.jpg" for i in range(n)],
            "place": places,
            "place_filename": [f"/elsewhere/{'lake' if place else 'forest'}/{i}.jpg" for i, place in enumerate(places)],
        }
    ).sample(frac=1, random_state=0)
    for name in known["img_filename"]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    known.to_csv(tmp_path / "metadata.csv", index=False)
    dataset = open_dataset(tmp_path)
    assert [a.name for a in dataset.attributes] == ["place"]
    rows = known.set_index("img_filename").loc[dataset.images.tolist()]
    assert np.array_equal(dataset.labels, rows["y"])
    assert np.array_equal(dataset.splits, rows["split"])
    assert np.array_equal(dataset.attributes[0].codes, rows["place"])
    assert len(dataset) == n
