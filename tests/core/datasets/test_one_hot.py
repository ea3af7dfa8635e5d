from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from core.datasets import Choices, columns_of, open_dataset
from core.datasets.one_hot import merged

Images = Callable[..., Path]
NAMES = [f"{i}.png" for i in range(12)]


@pytest.fixture
def isic(images: Images) -> Path:
    """A column per diagnosis, as ISIC has it; images take turns."""
    root = images(*NAMES)
    rows = [
        f"{i}," + ",".join("1.0" if i % 3 == place else "0.0" for place in range(4)) + f",{i % 2}" for i in range(12)
    ]
    (root / "labels.csv").write_text("\n".join(["image,MEL,NV,BCC,UNK,female", *rows]) + "\n")
    return root


def test_a_column_per_class_is_one_label(isic: Path) -> None:
    dataset = open_dataset(isic)
    assert dataset.classes == ("BCC", "MEL", "NV")
    order = [int(name.removesuffix(".png")) for name in dataset.images.tolist()]
    assert [dataset.classes[label] for label in dataset.labels] == [("MEL", "NV", "BCC")[i % 3] for i in order]
    assert [one.name for one in dataset.attributes] == ["female"]
    assert any("a 1 in one" in note and "MEL / NV / BCC / … (4)" in note for note in dataset.notes)
    again = open_dataset(dataset.root, choices=dataset.choices)
    assert (again.classes, again.fingerprint, again.choices) == (dataset.classes, dataset.fingerprint, dataset.choices)


def test_it_is_offered_and_can_be_refused(isic: Path) -> None:
    columns = columns_of(isic)
    assert columns.names == ("image", "MEL / NV / BCC / … (4)", "female")
    assert columns.labels[0] == "MEL / NV / BCC / … (4)"
    assert not open_dataset(isic, choices=Choices(columns={"label": ""})).labelled
    single = open_dataset(isic, choices=Choices(columns={"label": "MEL"}))
    assert single.classes == ("0", "1")
    assert {"NV", "BCC"} <= {one.name for one in single.attributes}


def test_a_label_that_is_called_so_stays_the_label(images: Images) -> None:
    root = images(*NAMES)
    rows = [f"{i},{i % 2},{i % 3 == 0},{i % 3 == 1},{i % 3 == 2}" for i in range(12)]
    (root / "labels.csv").write_text("\n".join(["image,label,site_arm,site_leg,site_back", *rows]) + "\n")
    dataset = open_dataset(root)
    assert dataset.classes == ("0", "1")
    assert [(one.name, one.values) for one in dataset.attributes] == [("site", ("arm", "back", "leg"))]


@pytest.mark.parametrize(
    ("header", "classes", "attributes"),
    [
        # each image of one class has the one value: nothing new in it, but the class stays what it is
        ("image,label,male", ("0", "1"), []),
        ("image,y,place", ("0", "1"), []),
        ("image,background,target", ("0", "1"), []),
        ("image,male,label", ("0", "1"), []),
    ],
)
def test_an_attribute_that_goes_with_the_label_in_every_image(
    images: Images, header: str, classes: tuple[str, ...], attributes: list[str]
) -> None:
    root = images(*NAMES)
    (root / "t.csv").write_text("\n".join([header, *(f"{i}.png,{i % 2},{1 - i % 2}" for i in range(12))]) + "\n")
    dataset = open_dataset(root)
    assert dataset.classes == classes
    assert [one.name for one in dataset.attributes] == attributes


def test_two_attributes_that_exclude_each_other_are_no_classes_beside_a_label(images: Images) -> None:
    root = images(*NAMES)
    rows = [f"{i}.png,{i % 2},{int(i % 3 == 0)},{int(i % 3 != 0)}" for i in range(12)]
    (root / "t.csv").write_text("\n".join(["image,label,male,blond", *rows]) + "\n")
    assert [one.name for one in open_dataset(root).attributes] == ["male"]
    # where nothing else is the label they are
    rows = [f"{i}.png,{'uv'[i % 2]},{int(i % 3 == 0)},{int(i % 3 != 0)}" for i in range(12)]
    (root / "t.csv").write_text("\n".join(["image,x,benign,malignant", *rows]) + "\n")
    assert open_dataset(root).classes == ("benign", "malignant")


def test_two_such_runs_are_not_guessed_between(images: Images) -> None:
    root = images(*NAMES)
    rows = [f"{i},{i % 2},{1 - i % 2},x,{int(i % 3 == 0)},{int(i % 3 != 0)}" for i in range(12)]
    (root / "labels.csv").write_text("\n".join(["image,a,b,note,c,d", *rows]) + "\n")
    dataset = open_dataset(root)
    assert not dataset.labelled
    assert any("a / b" in note and "c / d" in note for note in dataset.notes)
    assert open_dataset(root, choices=Choices(columns={"label": "c / d"})).classes == ("c", "d")


@pytest.mark.parametrize(
    "columns",
    [
        {"a": "1 0 1", "b": "0 1 1"},
        {"a": "1 0 0", "b": "0 1 0"},
        {"a": "1 0 2", "b": "0 1 0"},
        {"a": "1 0 1", "gap": "x y z", "b": "0 1 0"},
        {"a": "1 0 ?", "b": "0 1 0"},
        {"is_train": "1 0 1", "is_test": "0 1 0"},
    ],
)
def test_columns_that_are_none(columns: dict[str, str]) -> None:
    cells = pd.DataFrame({name: said.split() for name, said in columns.items()})
    cells["a"] = cells.get("a", pd.Series(["", "", ""])).str.replace("?", "")
    same, made = merged(cells)
    assert made == ()
    assert list(same) == list(cells)


def test_planted_runs_are_found_and_named() -> None:
    rng = np.random.default_rng(0)
    for turn in range(20):
        k, n = int(rng.integers(2, 9)), 200
        truth = rng.integers(0, k, n)
        cells = {f"kind={c}": [str(int(one)) for one in truth == c] for c in range(k)}
        found, made = merged(pd.DataFrame({"path": [f"{i}.png" for i in range(n)], **cells, "other": ["x", "y"] * 100}))
        assert made == ("kind",), turn
        assert found["kind"].tolist() == [str(c) for c in truth]
        assert list(found) == ["path", "kind", "other"]
