from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from core.datasets import Choices, Dataset, open_dataset, recognise
from core.errors import BadMetadata, BadRequest

Images = Callable[..., Path]


def said(dataset: Dataset, attribute: str) -> dict[str, tuple[str, int, str]]:
    """By image: class, split, value of an attribute."""
    found = next(one for one in dataset.attributes if one.name == attribute)
    columns = zip(dataset.images.tolist(), dataset.labels, dataset.splits, found.codes, strict=True)
    return {n: (dataset.classes[y], int(s), found.values[code] if code >= 0 else "") for n, y, s, code in columns}


# patient, node, x, y, tumor, slide, center, split (0 train, 1 id_val), as the table has them
CAMELYON = [
    ("004", 4, 3328, 21792, 1, 0, 0, 0),
    ("004", 4, 3200, 22272, 0, 0, 0, 1),
    ("017", 1, 100, 200, 1, 1, 1, 0),
    ("017", 1, 101, 200, 0, 1, 1, 0),
    ("042", 3, 102, 200, 1, 2, 2, 0),
    ("042", 3, 103, 200, 0, 2, 2, 1),
    ("061", 2, 104, 200, 1, 3, 3, 0),
    ("099", 2, 105, 200, 0, 4, 4, 0),
]


def patch(patient: str, node: int, x: int, y: int) -> str:
    of = f"patient_{patient}_node_{node}"
    return f"patches/{of}/patch_{of}_x_{x}_y_{y}.png"


def camelyon(images: Images) -> Path:
    root = images(*(patch(*row[:4]) for row in CAMELYON))
    header = ",patient,node,x_coord,y_coord,tumor,slide,center,split"
    rows = [",".join(map(str, (i, *row))) for i, row in enumerate(CAMELYON)]
    (root / "metadata.csv").write_text("\n".join([header, *rows]) + "\n")
    (root / "RELEASE_v1.0.txt").write_text("")
    return root


def test_camelyon_follows_its_paths_and_the_benchmark_s_hospitals(images: Images) -> None:
    root = camelyon(images)
    assert recognise(root)[0].name == "wilds"
    dataset = open_dataset(root)
    splits = {0: (0, 1), 1: (1, 1), 2: (2, 2), 3: (0, 0), 4: (0, 0)}
    assert said(dataset, "hospital") == {
        patch(*row[:4]): (("normal", "tumor")[row[4]], splits[row[6]][row[7]], str(row[6])) for row in CAMELYON
    }
    assert dataset.attributes[0].name == "hospital"
    official = {name: value for name, (_, _, value) in said(dataset, "official split").items()}
    assert official[patch(*CAMELYON[1][:4])] == "id_val"
    assert official[patch(*CAMELYON[2][:4])] == "val"
    assert dataset.problems == ()
    assert any("id_val" in note for note in dataset.notes)


def test_leading_noughts_of_patients_may_be_lost(images: Images) -> None:
    root = camelyon(images)
    text = (root / "metadata.csv").read_text()
    (root / "metadata.csv").write_text(text.replace(",004,", ",4,").replace(",017,", ",17.0,".replace(".0", "")))
    assert len(open_dataset(root)) == len(CAMELYON)


def iwildcam(images: Images) -> Path:
    rows = [
        ("train", 3, "2013-06-05 05:44:19.000", "a.jpg", 0),
        ("val", 4, "2013-06-05 12:44:19.000", "b.jpg", 24),
        ("test", 5, "2013-06-05 18:00:00.000", "c.jpg", 24),
        ("id_val", 3, "2013-06-05 06:00:00.000", "d.jpg", 0),
        ("id_test", 3, "", "e.jpg", 24),
    ]
    root = images(*(f"train/{row[3]}" for row in rows))
    header = "split,location_remapped,datetime,filename,y"
    (root / "metadata.csv").write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n")
    (root / "categories.csv").write_text("y,category_id,name\n0,0,empty\n24,96,impala\n25,97,lion\n")
    return root


def test_iwildcam_names_its_animals_and_tells_day_from_night(images: Images) -> None:
    dataset = open_dataset(iwildcam(images))
    assert said(dataset, "daylight") == {
        "train/a.jpg": ("empty", 0, "night"),
        "train/b.jpg": ("impala", 1, "day"),
        "train/c.jpg": ("impala", 2, "night"),
        "train/d.jpg": ("empty", 1, "day"),
        "train/e.jpg": ("impala", 2, ""),
    }
    assert dataset.attributes[0].name == "daylight"


def test_iwildcam_without_names_has_numbers_in_order(images: Images) -> None:
    root = iwildcam(images)
    (root / "categories.csv").unlink()
    assert open_dataset(root).classes == ("0", "24")


def fmow(images: Images) -> Path:
    rows = [
        ("train", "airport", "2010-01-01T00:00:00Z", "USA"),
        ("seq", "zoo", "2010-01-01T00:00:00Z", "USA"),
        ("val", "zoo", "2012-12-31T23:00:00Z", "FRA"),
        ("val", "airport", "2013-01-01T00:00:00Z", "FRA"),
        ("test", "zoo", "2016-01-01T00:00:00Z", "KEN"),
        ("test", "zoo", "2011-01-01T00:00:00Z", "KEN"),
        ("test", "zoo", "2014-01-01T00:00:00Z", "KEN"),
        ("train", "zoo", "2016-01-01T00:00:00Z", "???"),
        ("val", "zoo", "2017-01-01T00:00:00Z", "???"),
        ("train", "zoo", "2002-01-01T00:00:00Z", "???"),
    ]
    root = images(*(f"images/rgb_img_{i}.png" for i in range(len(rows))))
    header = "split,category,timestamp,country_code"
    (root / "rgb_metadata.csv").write_text("\n".join([header, *(",".join(row) for row in rows)]) + "\n")
    codes = "name,alpha-2,alpha-3,region\nx,US,USA,Americas\nx,FR,FRA,Europe\nx,KE,KEN,Africa\n"
    (root / "country_code_mapping.csv").write_text(codes)
    return root


def test_fmow_is_divided_by_time_and_numbered_by_rows(images: Images) -> None:
    dataset = open_dataset(fmow(images))
    assert said(dataset, "region") == {
        "images/rgb_img_0.png": ("airport", 0, "Americas"),
        "images/rgb_img_2.png": ("zoo", 1, "Europe"),
        "images/rgb_img_3.png": ("airport", 1, "Europe"),
        "images/rgb_img_4.png": ("zoo", 2, "Africa"),
        "images/rgb_img_5.png": ("zoo", 2, "Africa"),
        "images/rgb_img_9.png": ("zoo", 0, "Other"),
    }
    official = {name: value for name, (_, _, value) in said(dataset, "official split").items()}
    assert [official[f"images/rgb_img_{i}.png"] for i in (0, 2, 3, 4, 5)] == [
        "train",
        "id_val",
        "val",
        "test",
        "id_test",
    ]


def test_rxrx1_is_grouped_by_the_kind_of_cell(images: Images) -> None:
    rows = [
        ("HEPG2-01", 1, "B02", 1, "HEPG2", 5, "train"),
        ("HEPG2-01", 2, "B02", 2, "HEPG2", 1138, "train"),
        ("U2OS-03", 1, "C03", 1, "U2OS", 5, "test"),
        ("RPE-03", 1, "C03", 1, "RPE", 1138, "val"),
    ]
    root = images(*(f"images/{e}/Plate{p}/{w}_s{s}.png" for e, p, w, s, *_ in rows))
    header = "experiment,plate,well,site,cell_type,sirna_id,dataset"
    (root / "metadata.csv").write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n")
    dataset = open_dataset(root)
    assert said(dataset, "cell_type")["images/HEPG2-01/Plate2/B02_s2.png"] == ("1138", 0, "HEPG2")
    assert dataset.splits.tolist() == [0, 0, 1, 2]
    assert dataset.classes == ("5", "1138")


@pytest.mark.parametrize("make", [camelyon, iwildcam, fmow])
def test_opening_again_with_the_choices_gives_the_same(images: Images, make: Callable[[Images], Path]) -> None:
    dataset = open_dataset(make(images))
    again = open_dataset(dataset.root, choices=dataset.choices)
    assert (again.choices, again.fingerprint, again.classes) == (dataset.choices, dataset.fingerprint, dataset.classes)
    assert [(a.name, a.codes.tolist()) for a in again.attributes] == [
        (a.name, a.codes.tolist()) for a in dataset.attributes
    ]


def test_another_class_and_group_can_be_chosen(images: Images) -> None:
    dataset = open_dataset(camelyon(images), choices=Choices(target="hospital", group="tumor"))
    assert dataset.classes == ("0", "1", "2", "3", "4")
    assert dataset.attributes[0].name == "tumor"
    with pytest.raises(BadRequest, match="no column nose"):
        open_dataset(camelyon(images), choices=Choices(target="nose"))


def test_a_folder_that_is_none_of_them(images: Images) -> None:
    with pytest.raises(BadMetadata, match="none of the folders"):
        open_dataset(images("1.jpg"), choices=Choices(format="wilds"))


def test_another_release_is_read_as_a_table(images: Images) -> None:
    root = images(*(f"imgs/{i}.png" for i in range(6)))
    (root / "RELEASE_v1.0.txt").write_text("")
    splits = ("train", "val", "test", "id_val", "id_test", "train")
    rows = "".join(f"imgs/{i}.png,{i % 2},{split}\n" for i, split in enumerate(splits))
    (root / "metadata.csv").write_text("filename,y,split\n" + rows)
    dataset = open_dataset(root)
    assert dataset.source == "table"
    assert dataset.splits.tolist() == [0, 1, 2, 1, 2, 0]


def test_waterbirds_of_wilds_is_its_own_format(images: Images) -> None:
    root = images("001/a.jpg", "001/b.jpg")
    (root / "RELEASE_v1.0.txt").write_text("")
    (root / "metadata.csv").write_text("img_id,img_filename,y,split,place\n1,001/a.jpg,0,0,1\n2,001/b.jpg,1,2,0\n")
    assert open_dataset(root).source == "metadata-csv"
    # the table stands for its folder
    assert open_dataset(root / "metadata.csv").root == root
