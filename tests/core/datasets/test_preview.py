from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from core.datasets import Choices, open_dataset, preview
from core.datasets.preview import LISTED, PREVIEW, write_preview
from core.errors import StorageProblem


def test_preview_holds_counts_and_a_few_images_of_every_class(tmp_path: Path, images: Callable[..., Path]) -> None:
    root = images(*(f"a/{i}.png" for i in range(30)), "b/0.png", "b/1.png", "c/0.png")
    Image.new("RGB", (900, 300), (10, 200, 30)).save(root / "c/0.png")
    (root / "b/1.png").write_bytes(b"")
    told: list[tuple[int, int]] = []
    found = write_preview(
        open_dataset(root), tmp_path / "store", progress=lambda done, total, message="": told.append((done, total))
    )
    assert json.loads((Path(found["folder"]) / PREVIEW).read_text()) == found
    assert Path(found["folder"]).parent == tmp_path / "store"
    assert found["images"] == 33
    assert [sample["class"] for sample in found["samples"]] == ["a"] * 9 + ["b", "c"]
    assert {sample["image"] for sample in found["samples"]} > {"b/0.png", "c/0.png"}
    assert found["unreadable"] == [{"image": "b/1.png", "reason": "the file is empty"}]
    for sample in found["samples"]:
        with Image.open(sample["file"]) as opened:
            assert opened.format == "WEBP"
            assert opened.size == ((160, 53) if sample["class"] == "c" else (4, 4))
    assert told[-1][1] == 12


def test_other_choices_have_a_preview_of_their_own(tmp_path: Path, table: Callable[..., Path]) -> None:
    root = table("img_filename,y\na.png,0\nb.png,1\n", "a.png", "b.png")
    first = write_preview(open_dataset(root), tmp_path)
    other = write_preview(open_dataset(root, choices=Choices(classes=("1", "0"))), tmp_path)
    again = write_preview(open_dataset(root), tmp_path)
    assert first["folder"] == again["folder"] != other["folder"]


def test_the_oldest_previews_go(tmp_path: Path, images: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preview, "MOST_PREVIEWS", 3)
    root, store = images("a/0.png", "b/0.png"), tmp_path / "store"
    (store / "000000000000-mine").mkdir(parents=True)
    found = []
    for index in range(5):
        Image.new("RGB", (4, 4 + index)).save(root / f"a/{index}.png")
        found.append(Path(write_preview(open_dataset(root), store)["folder"]))
        os.utime(found[-1] / PREVIEW, (1000 + index, 1000 + index))
    assert sorted(store.iterdir()) == sorted([store / "000000000000-mine", *found[2:]])


def test_problems_are_counted_and_the_first_are_listed(tmp_path: Path, table: Callable[..., Path]) -> None:
    rows = "".join(f"absent{i}.png,0\n" for i in range(LISTED + 20))
    root = table(f"img_filename,y\na.png,0\nb.png,1\n{rows}", "a.png", "b.png")
    found = write_preview(open_dataset(root), tmp_path / "store")
    assert found["problem_count"] == LISTED + 20
    assert len(found["problems"]) == LISTED


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path, images: Callable[..., Path]) -> None:
    (tmp_path / "store").write_text("a file")
    with pytest.raises(StorageProblem):
        write_preview(open_dataset(images("a/0.png", "b/0.png")), tmp_path / "store")
