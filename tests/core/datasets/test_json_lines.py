"""`metadata.jsonl` as the image folders of Hugging Face have it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from core.datasets import Choices, columns_of, open_dataset
from core.datasets.table_text import read_head
from core.errors import BadMetadata

Images = Callable[..., Path]


def lines(path: Path, *rows: object) -> Path:
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n", encoding="utf-8")
    return path


def test_a_line_per_image(images: Images) -> None:
    names = [f"{i}.png" for i in range(8)]
    root = images(*(f"photos/{name}" for name in names))
    rows = [
        {
            "file_name": f"photos/{name}",
            "label": "cat" if i % 2 else "dog",
            "indoor": i // 2 % 2 == 0,
            "boxes": [[1, 2]],
        }
        for i, name in enumerate(names)
    ]
    rows[3] = {**rows[3], "indoor": None, "late": "x"}
    table = lines(root / "metadata.jsonl", *rows)
    dataset = open_dataset(root)
    assert (dataset.source, dataset.classes) == ("table", ("cat", "dog"))
    assert dataset.labels.tolist() == [1, 0] * 4
    assert [(one.name, one.values, one.codes.tolist()) for one in dataset.attributes] == [
        ("indoor", ("False", "True"), [1, 1, 0, -1, 1, 1, 0, 0])
    ]
    assert columns_of(root).names == ("file_name", "label", "indoor", "late")
    assert open_dataset(table).fingerprint == dataset.fingerprint


def test_a_file_in_each_folder_of_a_split(images: Images) -> None:
    places = {"train": range(4), "validation": range(2), "test": range(2)}
    root = images(*(f"{split}/deep/{i}.png" for split, rows in places.items() for i in rows))
    for split, rows in places.items():
        lines(root / split / "metadata.jsonl", *({"file_name": f"deep/{i}.png", "label": i % 2} for i in rows))
    dataset = open_dataset(root)
    assert dataset.source == "table"
    assert dataset.problems == ()
    assert {name: sum(of.values()) for name, of in dataset.counts().items()} == {"train": 4, "val": 2, "test": 2}
    assert dataset.images.tolist()[0] == "test/deep/0.png"
    again = open_dataset(root, choices=dataset.choices)
    assert (again.fingerprint, again.labels.tolist()) == (dataset.fingerprint, dataset.labels.tolist())


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b'{"file_name": "0.png", "label": 1}\n{"file_name": "1.png"', "Line 2"),
        (b'{"file_name": "0.png", "label": 1}\n["1.png", 2]\n', "Line 2"),
        (b'{"file_name": "0.png", "label": 1}\nimage,label\n', "Line 2"),
        (b"[" * 100_000, "Line 1"),
        (b'{"file_name": "0.png", "label": "\xff"}\n', "not UTF-8"),
        (b"", "empty"),
    ],
)
def test_lines_that_are_damaged_are_told(images: Images, content: bytes, says: str) -> None:
    root = images("0.png", "1.png")
    (root / "metadata.jsonl").write_bytes(content)
    with pytest.raises(BadMetadata, match=says) as raised:
        open_dataset(root / "metadata.jsonl", choices=Choices(format="table"))
    assert raised.value.next_step


def test_strange_values_are_text_or_nothing(images: Images) -> None:
    root = images("0.png", "1.png", "2.png")
    content = (
        '{"file_name": "0.png", "label": "\\ud800", "n": 1e999}\n'
        '\n{"file_name": "1.png", "label": "b", "n": NaN}\n{"file_name": 2, "label": {}}\n'
        '{"file_name": "../../etc/passwd", "label": "b"}\n'
    )
    (root / "metadata.jsonl").write_text(content)
    dataset = open_dataset(root)
    assert dataset.classes == ("?", "b")
    assert {problem.image for problem in dataset.problems} == {"2", "../../etc/passwd"}
    assert read_head(root / "metadata.jsonl") is not None
