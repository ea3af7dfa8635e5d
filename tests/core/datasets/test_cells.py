from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.datasets import Choices, columns_of, open_dataset
from core.datasets.cells import read_cells, splits_of
from core.datasets.table_text import read_head
from core.errors import BadMetadata


def parquet(path: Path, *columns: pa.Array, names: list[str]) -> Path:
    pq.write_table(pa.table(list(columns), names=names), path)
    return path


def not_utf8(*values: bytes) -> pa.Array:
    binary = pa.array(values, pa.binary())
    return pa.Array.from_buffers(pa.string(), len(binary), binary.buffers())


def test_text_that_is_not_utf8_is_told(tmp_path: Path) -> None:
    path = parquet(tmp_path / "x.parquet", not_utf8(b"a.png", b"\xff\xfe"), pa.array([0, 1]), names=["image", "label"])
    assert read_head(path) is None
    for attempt in (open_dataset, columns_of, read_cells):
        with pytest.raises(BadMetadata, match=r"x\.parquet") as raised:
            attempt(path)  # type: ignore[operator]
        assert raised.value.next_step


def test_two_columns_of_one_name_are_kept_apart(tmp_path: Path) -> None:
    names = ["image", "kind", "kind "]
    columns = pa.array(["a.png"]), pa.array(["x"]), pa.array(["y"])
    cells = read_cells(parquet(tmp_path / "x.parquet", *columns, names=names))
    assert cells.to_dict("list") == {"image": ["a.png"], "kind": ["x"], "kind.2": ["y"]}
    same = parquet(tmp_path / "y.parquet", *columns, names=["image", "kind", "kind"])
    assert read_cells(same).to_dict("list") == cells.to_dict("list")
    assert columns_of(same).roles["image"] == "image"


@pytest.mark.parametrize(
    "kind",
    [pa.duration("s"), pa.null(), pa.binary_view(), pa.binary(3), pa.decimal128(5, 2)],
)
def test_columns_of_every_kind(tmp_path: Path, kind: pa.DataType) -> None:
    path = parquet(tmp_path / "x.parquet", pa.array(["a.png", "b.png"]), pa.nulls(2, kind), names=["image", "more"])
    assert read_cells(path)["image"].tolist() == ["a.png", "b.png"]


def test_digits_that_are_no_numbers_are_no_splits(tmp_path: Path) -> None:
    with pytest.raises(BadMetadata, match="no names of splits"):
        splits_of(pd.Series(["²", "٣"], name="split"))
    splits = splits_of(pd.Series(["1", "²"], name="split"))
    assert splits is not None
    assert splits.tolist() == [1, -1]
    (tmp_path / "a.png").write_bytes(b"")
    (tmp_path / "t.csv").write_text("image,split\na.png,²\n", encoding="utf-8")
    assert len(open_dataset(tmp_path / "t.csv", choices=Choices(format="table"))) == 1
