from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.datasets import Choices, Dataset, columns_of, open_dataset, recognise
from core.datasets.cells import in_ranges
from core.errors import BadMetadata, BadRequest, EmptyDataset, OneClass

Images = Callable[..., Path]
KINDS = ("cat", "dog", "cat", "dog", "dog", "cat", "cat", "dog")
SPLITS = ("train", "train", "val", "val", "test", "test", "train", "test")
SEXES = ("m", "f", "f", "f", "m", "m", "f", "m")
NAMES = tuple(f"{i}.jpg" for i in range(8))


def frame(names: tuple[str, ...] = NAMES, image: str = "image", **more: tuple[object, ...]) -> pd.DataFrame:
    return pd.DataFrame({image: names, "label": KINDS, "split": SPLITS, "sex": SEXES, **more})


def said(dataset: Dataset) -> dict[str, tuple[str, int, str]]:
    """By the stem of each image: class, split, sex."""
    sex = next(one for one in dataset.attributes if one.name == "sex")
    columns = zip(dataset.images.tolist(), dataset.labels, dataset.splits, sex.codes, strict=True)
    return {Path(n).stem: (dataset.classes[y], int(s), sex.values[code]) for n, y, s, code in columns}


TRUTH = {
    str(i): (kind, ("train", "val", "test").index(split), sex)
    for i, (kind, split, sex) in enumerate(zip(KINDS, SPLITS, SEXES, strict=True))
}


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("by_file", [True, False])
def test_a_table_in_any_dialect(images: Images, separator: str, encoding: str, by_file: bool) -> None:
    root = images(*(f"pictures/{name}" for name in NAMES))
    file = root / ("labels.tsv" if separator == "\t" else "labels.csv")
    frame().to_csv(file, sep=separator, index=False, encoding=encoding, lineterminator="\r\n")
    dataset = open_dataset(file if by_file else root)
    assert said(dataset) == TRUTH
    assert (dataset.source, dataset.problems) == ("table", ())
    assert dataset.choices.columns == {"image": "image", "label": "label", "split": "split"}
    assert dataset.choices.images == "pictures"
    assert dataset.images.tolist() == sorted(dataset.images.tolist())
    assert dataset.pictures().read(str(dataset.images[0])) == root / "pictures" / "0.jpg"


@pytest.mark.parametrize("end", ["\r", "\r\n", "\n"])
def test_line_ends_of_any_system_and_empty_lines_in_front(images: Images, end: str) -> None:
    root = images(*NAMES)
    text = frame().to_csv(index=False, lineterminator="\n").replace("\n", end)
    (root / "t.csv").write_bytes((end + text).encode())
    assert [one.name for one in recognise(root)] == ["table", "images"]
    assert said(open_dataset(root / "t.csv")) == TRUTH


def test_a_line_without_end_is_no_table(images: Images) -> None:
    root = images(*NAMES)
    (root / "t.csv").write_text("x" * 3_000_000)
    assert [one.name for one in recognise(root)] == ["images"]
    with pytest.raises(BadMetadata) as raised:
        open_dataset(root / "t.csv")
    assert len(str(raised.value)) < 1_000


def test_parquet_says_the_same(images: Images) -> None:
    root = images(*NAMES)
    cells = frame(score=tuple(np.linspace(0, 1, 8)), box=tuple([1, 2] for _ in range(8)))
    table = pa.Table.from_pandas(cells, preserve_index=False)
    table = table.set_column(1, "label", table.column("label").dictionary_encode())
    pq.write_table(table, root / "labels.parquet")
    assert said(open_dataset(root / "labels.parquet")) == TRUTH


def test_booleans_and_nulls_of_parquet(images: Images) -> None:
    root = images(*NAMES)
    sick = pa.array([True, False, True, False, None, True, False, False])
    pq.write_table(pa.table({"file": list(NAMES), "label": sick}), root / "t.parquet")
    dataset = open_dataset(root / "t.parquet")
    assert dataset.classes == ("false", "true")
    assert [p.image for p in dataset.problems] == ["4.jpg"]


def test_a_damaged_parquet_says_so(images: Images) -> None:
    root = images(*NAMES)
    (root / "t.parquet").write_bytes(b"PAR1" + b"\0" * 50)
    with pytest.raises(BadMetadata, match="Parquet") as raised:
        open_dataset(root / "t.parquet", choices=Choices(format="table"))
    assert raised.value.next_step


def test_a_table_per_split(images: Images) -> None:
    root = images(*NAMES)
    for split, rows in frame().groupby("split"):
        rows.drop(columns="split").to_csv(root / f"{split}.csv", index=False)
    dataset = open_dataset(root)
    assert said(dataset) == TRUTH
    assert open_dataset(root, choices=dataset.choices).splits.tolist() == dataset.splits.tolist()


def test_folders_of_the_paths_say_the_split_where_no_column_does(images: Images) -> None:
    names = tuple(f"{split}/{i}.jpg" for i, split in enumerate(SPLITS))
    root = images(*names)
    frame(names).drop(columns="split").to_csv(root / "labels.csv", index=False)
    assert said(open_dataset(root / "labels.csv")) == TRUTH


# Where the images are


def test_ids_without_an_ending_stand_for_files(images: Images) -> None:
    root = images(*(f"images/ISIC_{i}.jpg" for i in range(8)))
    frame(tuple(f"ISIC_{i}" for i in range(8)), image="image_id").to_csv(root / "meta.csv", index=False)
    dataset = open_dataset(root)
    assert {f"{name.removeprefix('ISIC_')}": value for name, value in said(dataset).items()} == TRUTH
    assert not any("differ" in note for note in dataset.notes)


def test_ids_are_found_in_several_folders(images: Images) -> None:
    root = images(*(f"part_{i % 2 + 1}/{i}.jpg" for i in range(8)))
    frame(tuple(str(i) for i in range(8)), image="id").to_csv(root / "meta.csv", index=False)
    dataset = open_dataset(root)
    assert dataset.source == "table"
    assert said(dataset) == TRUTH
    assert dataset.images.tolist()[0] == "part_1/0.jpg"


def test_images_are_preferred_to_masks_of_the_same_name(images: Images) -> None:
    root = images(*(f"{folder}/{i}.png" for i in range(8) for folder in ("annotations", "images")))
    frame(tuple(f"{i}.png" for i in range(8))).to_csv(root / "meta.csv", index=False)
    assert open_dataset(root / "meta.csv").choices.images == "images"


@pytest.mark.parametrize("elsewhere", [False, True])
def test_absolute_paths_are_relative_to_what_they_have_in_common(
    images: Images, tmp_path: Path, elsewhere: bool
) -> None:
    root = images(*(f"a/{name}" if int(name[0]) % 2 else f"b/{name}" for name in NAMES))
    names = tuple(f"{root}/a/{name}" if int(name[0]) % 2 else f"{root}/b/{name}" for name in NAMES)
    file = (tmp_path / "tables" if elsewhere else root) / "labels.csv"
    file.parent.mkdir(exist_ok=True)
    frame(names).to_csv(file, index=False)
    dataset = open_dataset(file)
    assert said(dataset) == TRUTH
    assert dataset.images.tolist()[0] == "a/1.jpg"
    assert dataset.choices.images == (str(root) if elsewhere else ".")
    again = open_dataset(file, choices=dataset.choices)
    assert (again.images.tolist(), again.choices) == (dataset.images.tolist(), dataset.choices)


def test_absolute_paths_outside_of_the_chosen_folder_are_left_out(images: Images) -> None:
    root = images(*(f"in/{name}" for name in NAMES), "out/x.jpg")
    cells = frame(tuple(f"{root}/in/{name}" for name in NAMES))
    cells.loc[8] = [f"{root}/out/x.jpg", "cat", "train", "m"]
    cells.to_csv(root / "labels.csv", index=False)
    dataset = open_dataset(root / "labels.csv", choices=Choices(images="in"))
    assert said(dataset) == TRUTH
    assert [p.reason for p in dataset.problems] == ["its path leaves the dataset folder (row 10 of labels.csv)"]


@pytest.mark.parametrize("beginning", ["/home/somebody/skin/", "C:\\data\\skin\\", "skin/", "../skin/", "./"])
def test_paths_of_another_machine_lose_their_beginning(images: Images, beginning: str) -> None:
    root = images(*(f"photos/{name}" for name in NAMES))
    frame(tuple(f"{beginning}photos/{name}" for name in NAMES)).to_csv(root / "labels.csv", index=False)
    assert said(open_dataset(root / "labels.csv")) == TRUTH


def test_images_beside_the_folder_of_the_table_are_found(images: Images) -> None:
    root = images(*(f"images/{name}" for name in NAMES))
    (root / "tables").mkdir()
    frame().to_csv(root / "tables" / "labels.csv", index=False)
    dataset = open_dataset(root / "tables" / "labels.csv")
    assert said(dataset) == TRUTH
    assert dataset.choices.images == str(root / "images")


def test_other_endings_cases_and_accents_are_matched_and_said(images: Images) -> None:
    accented = unicodedata.normalize("NFD", "é.jpg")
    root = images("0.png", "1.JPG", accented, *NAMES[3:])
    frame(("0.jpg", "1.jpg", unicodedata.normalize("NFC", "É.jpg"), *NAMES[3:])).to_csv(root / "t.csv", index=False)
    dataset = open_dataset(root / "t.csv")
    assert set(dataset.images.tolist()) == {"0.png", "1.JPG", accented, *NAMES[3:]}
    assert any(note.startswith("3 names") for note in dataset.notes)


def test_a_name_that_two_files_could_have_is_left_out(images: Images) -> None:
    root = images("0.png", "0.gif", *NAMES[1:])
    frame().to_csv(root / "t.csv", index=False)
    assert [p.image for p in open_dataset(root / "t.csv").problems] == ["0.jpg"]


def test_nothing_outside_is_opened(images: Images, tmp_path: Path) -> None:
    root = images(*NAMES[:6])
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "x.jpg").write_bytes(b"x")
    (root / "link.jpg").symlink_to(tmp_path / "secret" / "x.jpg")
    (root / "linked").symlink_to(tmp_path / "secret")
    names = (*NAMES[:5], "link.jpg", "linked/x.jpg", "../secret/x.jpg")
    frame(names).to_csv(root / "t.csv", index=False)
    dataset = open_dataset(root / "t.csv")
    assert dataset.images.tolist() == list(NAMES[:5])
    assert [p.reason.partition(" (")[0] for p in dataset.problems] == [
        "a link that leaves the dataset folder",
        "a link that leaves the dataset folder",
        "its path leaves the dataset folder",
    ]


def test_strange_names_are_problems_and_no_crash(images: Images) -> None:
    root = images(*NAMES[:5])
    (root / "5.jpg").mkdir()
    os.mkfifo(root / "pipe.jpg")
    frame((*NAMES[:5], "5.jpg", "pipe.jpg", "x" * 300 + ".jpg")).to_csv(root / "t.csv", index=False)
    reasons = [p.reason.partition(" (")[0] for p in open_dataset(root / "t.csv").problems]
    assert reasons[:2] == ["not a regular file", "not a regular file"]
    assert "too long" in reasons[2]


def test_a_chosen_folder_that_is_not_there(images: Images) -> None:
    root = images(*NAMES)
    frame().to_csv(root / "t.csv", index=False)
    with pytest.raises(BadRequest, match="no folder"):
        open_dataset(root / "t.csv", choices=Choices(images="nowhere"))


# What the columns are


def test_columns_can_be_chosen(images: Images) -> None:
    root = images(*NAMES)
    cells = frame().rename(columns={"label": "what", "split": "where", "image": "which"})
    cells.insert(0, "thumb", [f"t{i}.jpg" for i in range(8)])
    cells.to_csv(root / "t.csv", index=False)
    chosen = Choices(columns={"image": "which", "label": "what", "split": "where"})
    assert said(open_dataset(root / "t.csv", choices=chosen)) == TRUTH
    target = open_dataset(root / "t.csv", choices=Choices(columns={"image": "which"}, target="sex"))
    assert target.classes == ("f", "m")
    assert target.choices.target is None


def test_columns_are_shown_with_what_they_would_be_taken_for(images: Images) -> None:
    root = images(*(f"images/{name}" for name in NAMES))
    frame(age=tuple(range(8))).to_csv(root / "t.csv", index=False)
    for path in (root, root / "t.csv"):
        columns = columns_of(path)
        assert columns.names == ("image", "label", "split", "sex", "age")
        assert columns.roles == {"image": "image", "label": "label", "split": "split"}
        assert columns.labels[0] == "label"
        assert set(columns.attributes) == {"sex", "age"}
        assert columns.first[0] == NAMES[:5]
    assert columns_of(root, Choices(columns={"label": "sex"})).roles["label"] == "sex"
    assert "label" not in columns_of(root, Choices(columns={"label": ""})).roles


@pytest.mark.parametrize(
    ("columns", "says"),
    [({"label": "nose"}, "no column nose"), ({"label": "sex", "split": "sex"}, "two roles")],
)
def test_columns_that_cannot_be_chosen(images: Images, columns: dict[str, str], says: str) -> None:
    root = images(*NAMES)
    frame().to_csv(root / "t.csv", index=False)
    with pytest.raises(BadRequest, match=says):
        open_dataset(root / "t.csv", choices=Choices(columns=columns))


def test_no_column_of_labels_is_no_obstacle(images: Images) -> None:
    root = images(*NAMES)
    frame().drop(columns="label").to_csv(root / "t.csv", index=False)
    dataset = open_dataset(root / "t.csv")
    assert (dataset.classes, dataset.labelled, len(dataset)) == ((), False, 8)
    assert [one.name for one in dataset.attributes] == ["sex"]
    assert "sex" in dataset.notes[0]
    frame().to_csv(root / "t.csv", index=False)
    assert not open_dataset(root / "t.csv", choices=Choices(columns={"label": ""})).labelled


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (tuple(f"a picture of {i}" for i in range(8)), "8 different values"),
        (tuple(i + 0.5 for i in range(8)), "measurements such as 0.5"),
        (("cat",) * 8, "cat for every image"),
        (("",) * 8, "is blank"),
    ],
)
def test_a_column_called_label_that_holds_none_is_not_taken(
    images: Images, values: tuple[object, ...], says: str
) -> None:
    root = images(*NAMES)
    frame(label=values).to_csv(root / "t.csv", index=False)
    dataset = open_dataset(root / "t.csv")
    assert not dataset.labelled
    assert says in dataset.notes[0]


def test_a_chosen_label_that_cannot_be_one_is_an_error(images: Images) -> None:
    root = images(*NAMES)
    frame(age=tuple(i + 0.5 for i in range(8)), one=("x",) * 8).to_csv(root / "t.csv", index=False)
    with pytest.raises(BadMetadata, match="age holds measurements"):
        open_dataset(root / "t.csv", choices=Choices(columns={"label": "age"}))
    with pytest.raises(OneClass, match="same one, x"):
        open_dataset(root / "t.csv", choices=Choices(columns={"label": "one"}))


@pytest.mark.parametrize("numbers", [("0", "1"), ("0.0", "1.0"), (" 0", "1 "), ("3", "12")])
def test_labels_as_floats_or_padded_are_numbers_named_by_words(images: Images, numbers: tuple[str, str]) -> None:
    root = images(*NAMES)
    codes = tuple(numbers[kind == "cat"] for kind in KINDS)
    frame(y=codes).to_csv(root / "t.csv", index=False)
    dataset = open_dataset(root / "t.csv")
    # in the order of the numbers, which is a model's, under the names that go with them
    assert dataset.classes == ("dog", "cat")


def test_attributes_can_be_chosen_and_measurements_become_ranges(images: Images) -> None:
    names = tuple(f"{i:02d}.jpg" for i in range(40))
    root = images(*names)
    age = np.random.default_rng(0).permutation(40) + 0.5
    cells = pd.DataFrame(
        {"image": names, "label": ["a", "b"] * 20, "age": age, "site": [f"s{i % 3}" for i in range(40)]}
    )
    cells.to_csv(root / "t.csv", index=False)
    assert [one.name for one in open_dataset(root / "t.csv").attributes] == ["site"]
    dataset = open_dataset(root / "t.csv", choices=Choices(attributes=("age", "site")))
    assert [one.name for one in dataset.attributes] == ["age", "site"]
    assert np.bincount(dataset.attributes[0].codes).tolist() == [8] * 5
    assert (np.searchsorted([8.1, 15.9, 23.7, 31.5], age) == dataset.attributes[0].codes).all()
    grouped = open_dataset(root / "t.csv", choices=Choices(group="age"))
    assert [one.name for one in grouped.attributes] == ["age", "site"]
    assert open_dataset(root / "t.csv", choices=Choices(attributes=())).attributes == ()


@given(st.lists(st.floats(-1e6, 1e6) | st.just(float("nan")), min_size=1, max_size=60))
def test_ranges_hold_every_number_once(numbers: list[float]) -> None:
    values = np.array(numbers)
    if not np.isfinite(values).any():
        return
    found = in_ranges("age", values)
    assert ((found.codes >= 0) == np.isfinite(values)).all()
    assert found.codes.max() < len(found.values)
    order = np.argsort(values[np.isfinite(values)], kind="stable")
    assert (np.diff(found.codes[np.isfinite(values)][order]) >= 0).all()


def test_too_many_values_for_an_attribute(images: Images) -> None:
    names = tuple(f"{i:04d}.jpg" for i in range(1_200))
    root = images("0000.jpg")
    for name in names:
        (root / name).touch()
    cells = pd.DataFrame({"image": names, "label": ["a", "b"] * 600, "note": [f"n{i}" for i in range(1_200)]})
    cells.to_csv(root / "t.csv", index=False)
    with pytest.raises(BadRequest, match="1,200 values"):
        open_dataset(root / "t.csv", choices=Choices(attributes=("note",)))


# Recognition


def test_tables_that_name_no_images_are_not_recognised(images: Images) -> None:
    root = images(*NAMES)
    (root / "prices.csv").write_text("id,price\n901,2\n902,3\n")
    assert [one.name for one in recognise(root)] == ["images", "table"]
    dataset = open_dataset(root)
    assert dataset.source == "images"
    how = "(“Not that?” on the Load page, or --format table)"
    assert f"prices.csv lies beside the images: to take labels from there, read it as a table {how}." in dataset.notes


def test_ids_in_a_column_of_any_name_stand_for_files(images: Images) -> None:
    root = images(*(f"Bilder/IMG_{i}.jpg" for i in range(8)))
    rows = "".join(f"IMG_{i};{28 + i},5;{kind};{sex}\n" for i, (kind, sex) in enumerate(zip(KINDS, SEXES, strict=True)))
    (root / "Daten 2024.csv").write_text("\ufeffBild_ID;Alter;Diagnose;sex\n" + rows, encoding="utf-8")
    assert recognise(root)[0].name == "table"
    for path in (root, root / "Daten 2024.csv"):
        assert columns_of(path).roles == {"image": "Bild_ID", "label": "Diagnose"}
        dataset = open_dataset(path)
        assert {name: kind for name, (kind, _, _) in said(dataset).items()} == {
            f"IMG_{i}": kind for i, kind in enumerate(KINDS)
        }


def test_a_table_beside_images_can_be_chosen_and_its_column_said(images: Images) -> None:
    root = images(*(f"photos/{name}" for name in NAMES))
    (root / "t.csv").write_text("number,kind\n" + "".join(f"{i},{kind}\n" for i, kind in enumerate(KINDS)))
    assert open_dataset(root).source == "images"
    chosen = Choices(format="table")
    assert columns_of(root, chosen).names == ("number", "kind")
    read = open_dataset(root, choices=replace(chosen, columns={"image": "number", "label": "kind"}))
    assert (len(read), read.classes) == (8, ("cat", "dog"))


def test_several_tables_of_images_are_named(images: Images) -> None:
    root = images(*NAMES)
    frame().to_csv(root / "a.csv", index=False)
    frame().to_csv(root / "b.csv", index=False)
    with pytest.raises(BadMetadata, match=r"a\.csv, b\.csv"):
        open_dataset(root)
    assert said(open_dataset(root / "b.csv")) == TRUTH


def test_no_column_of_images(images: Images) -> None:
    root = images(*NAMES)
    (root / "t.csv").write_text("colour,price\nred,2\n")
    with pytest.raises(BadMetadata, match="colour, price") as raised:
        open_dataset(root / "t.csv", choices=Choices(format="table"))
    assert raised.value.next_step
    with pytest.raises(BadMetadata, match="colour, price"):
        open_dataset(root, choices=Choices(format="table"))
    (root / "t.csv").rename(root / "u.csv")
    (root / "t.csv").write_text("colour,price\nred,2\n")
    with pytest.raises(BadMetadata, match=r"several tables: t\.csv, u\.csv"):
        open_dataset(root, choices=Choices(format="table"))
    with pytest.raises(BadMetadata, match="no table"):
        open_dataset(images("inner/1.jpg") / "inner", choices=Choices(format="table"))


def test_a_table_of_absent_images(images: Images) -> None:
    root = images()
    frame().to_csv(root / "t.csv", index=False)
    with pytest.raises(EmptyDataset, match="None of the 8 rows"):
        open_dataset(root / "t.csv")


# Invariants


CELLS = st.sampled_from(["", "a", "b", "c", "1", "2", "3.0", "0.5", "x y", "é", "nan", "train", "val", "test", "7;8"])
COLUMN_NAMES = st.sampled_from(["label", "y", "split", "sex", "place", "class_name", "set", "note", "id", "a;b", "é "])


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pictures")
    (root / "images").mkdir()
    for name in NAMES:
        (root / "images" / name).touch()
    return root


@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_opening_again_with_the_choices_gives_the_same_dataset(pictures: Path, data: st.DataObject) -> None:
    names = data.draw(st.lists(COLUMN_NAMES, unique=True, max_size=5))
    rows = data.draw(st.lists(st.sampled_from([*NAMES, "absent.jpg", ""]), min_size=1, max_size=12))
    columns = {name: data.draw(st.lists(CELLS, min_size=len(rows), max_size=len(rows))) for name in names}
    file = pictures / "t.csv"
    pd.DataFrame({"image": rows, **columns}).to_csv(file, index=False, sep=data.draw(st.sampled_from(",;\t")))
    try:
        first = open_dataset(file)
    except (BadMetadata, EmptyDataset, OneClass):
        return
    assert len(first) + len(first.problems) == len(rows)
    for choices in (first.choices, replace(first.choices, attributes=None)):
        again = open_dataset(file, choices=choices)
        assert again.images.tolist() == first.images.tolist()
        assert np.array_equal(again.labels, first.labels)
        assert np.array_equal(again.splits, first.splits)
        assert (again.classes, again.fingerprint, again.choices) == (first.classes, first.fingerprint, first.choices)
        assert [(a.name, a.values, a.codes.tolist()) for a in again.attributes] == [
            (a.name, a.values, a.codes.tolist()) for a in first.attributes
        ]
