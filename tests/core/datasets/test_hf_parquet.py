from __future__ import annotations

import io
import json
import shutil
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from core.datasets import Choices, Dataset, bundles, hf_parquet, hf_pictures, open_dataset
from core.datasets.hf_parquet import ParquetPictures
from core.datasets.images import UnreadableImage, decode
from core.errors import BadArchive, BadMetadata, BadRequest, EmptyDataset, OneClass

STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
NAMES = ["cat", "dog"]


def png(shade: int, side: int = 4) -> bytes:
    target = io.BytesIO()
    Image.new("RGB", (side, side), (shade, 0, 255 - shade)).save(target, format="PNG")
    return target.getvalue()


def features(names: Sequence[str] | None = NAMES, label: str = "label") -> dict[bytes, bytes]:
    known: dict[str, Any] = {"image": {"_type": "Image"}}
    if names is not None:
        known[label] = {"_type": "ClassLabel", "names": list(names)}
    return {b"huggingface": json.dumps({"info": {"features": known}}).encode()}


def write(
    path: Path,
    shades: Sequence[int],
    labels: Sequence[Any] | None = None,
    *,
    names: Sequence[str] | None = NAMES,
    group: int = 3,
    pictures: Sequence[dict[str, Any] | None] | None = None,
    **columns: Sequence[Any],
) -> Path:
    """A shard: labels alternate unless given; a row group every `group` rows."""
    found = pictures or [{"bytes": png(shade), "path": f"{shade}.png"} for shade in shades]
    content: dict[str, Any] = {"image": pa.array(found, STRUCT)}
    content["label"] = pa.array([i % 2 for i in range(len(found))] if labels is None else list(labels))
    content |= {name: pa.array(list(values)) for name, values in columns.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(content).replace_schema_metadata(features(names)), path, row_group_size=group)
    return path


def shade(dataset: Dataset, row: int) -> int:
    picture = decode(dataset.pictures().read(str(dataset.images[row])), 10_000)
    return int(np.asarray(picture)[0, 0, 0])


@pytest.fixture
def hub(tmp_path: Path) -> Path:
    """Two shards of train and one of test, as the hub has them."""
    root = tmp_path / "pets"
    write(root / "data" / "train-00000-of-00002.parquet", range(7))
    write(root / "data" / "train-00001-of-00002.parquet", range(7, 12))
    write(root / "data" / "test-00000-of-00001.parquet", range(100, 104))
    (root / "README.md").write_text("a card")
    return root


def test_shards_are_one_dataset_divided_by_their_names(hub: Path) -> None:
    dataset = open_dataset(hub)
    assert (dataset.source, dataset.name, dataset.classes) == ("hf-parquet", "pets", ("cat", "dog"))
    assert dataset.images.tolist()[:2] == [f"data/test-00000-of-00001.parquet#00000{i}" for i in range(2)]
    assert dataset.images.tolist() == sorted(dataset.images.tolist())
    assert {name: sum(of.values()) for name, of in dataset.counts().items()} == {"train": 12, "val": 0, "test": 4}
    assert [shade(dataset, row) for row in range(len(dataset))] == [*range(100, 104), *range(12)]
    assert dataset.labels.tolist() == [0, 1, 0, 1] + [i % 2 for i in range(7)] + [i % 2 for i in range(5)]


def test_opening_again_with_what_came_out_gives_the_same(hub: Path) -> None:
    first = open_dataset(hub)
    again = open_dataset(first.root, choices=first.choices)
    assert again.fingerprint == first.fingerprint
    assert again.images.tolist() == first.images.tolist()
    assert np.array_equal(again.marks, first.marks)


def test_a_shard_that_is_added_leaves_the_marks_of_the_others(hub: Path) -> None:
    before = open_dataset(hub)
    write(hub / "data" / "train-00002-of-00003.parquet", range(20, 26))
    after = open_dataset(hub)
    known = dict(zip(after.images.tolist(), after.marks.tolist(), strict=True))
    assert [known[name] for name in before.images.tolist()] == before.marks.tolist()
    assert before.fingerprint != after.fingerprint


def test_one_file(tmp_path: Path) -> None:
    path = write(tmp_path / "pets.parquet", range(10), group=4)
    dataset = open_dataset(path)
    assert (dataset.name, dataset.root, len(dataset)) == ("pets", path, 10)
    assert "no splits" in dataset.notes[0]
    assert [shade(dataset, row) for row in (9, 0, 5)] == [9, 0, 5]
    assert dataset.pictures().file(str(dataset.images[3])) == path


def test_plain_binary_and_text_labels_without_metadata(tmp_path: Path) -> None:
    table = pa.table({"jpg": [png(i) for i in range(6)], "class": ["b", "a", "b", "a", "a", " b"]})
    pq.write_table(table, tmp_path / "x.parquet")
    dataset = open_dataset(tmp_path / "x.parquet")
    assert dataset.classes == ("a", "b")
    assert dataset.labels.tolist() == [1, 0, 1, 0, 0, 1]
    assert shade(dataset, 4) == 4


def test_rows_without_a_label_are_left_out_and_without_a_picture_unreadable(tmp_path: Path) -> None:
    pictures = [{"bytes": png(i), "path": None} for i in range(4)] + [None, {"bytes": None, "path": None}]
    path = write(tmp_path / "x.parquet", [], [0, 1, -1, None, 0, 1], pictures=pictures)
    dataset = open_dataset(path)
    assert [problem.image[-7:] for problem in dataset.problems] == ["#000002", "#000003"]
    assert len(dataset) == 4
    for name in dataset.images.tolist()[2:]:
        with pytest.raises(UnreadableImage, match="no picture"):
            dataset.pictures().read(name)


def test_a_test_set_whose_labels_are_kept_secret(hub: Path) -> None:
    write(hub / "data" / "test-00000-of-00001.parquet", range(100, 104), [-1] * 4)
    dataset = open_dataset(hub)
    assert len(dataset) == 12
    assert [problem.reason for problem in dataset.problems] == ["all of its 4 images: no label"]


def test_a_number_beyond_the_names_is_no_label(tmp_path: Path) -> None:
    dataset = open_dataset(write(tmp_path / "x.parquet", range(4), [0, 1, 7, 1]))
    assert [problem.image[-1] for problem in dataset.problems] == ["2"]


def test_classes_keep_the_numbers_of_the_metadata_even_where_one_has_no_picture(tmp_path: Path) -> None:
    dataset = open_dataset(write(tmp_path / "x.parquet", range(6), [2, 0] * 3, names=["a", "b", "c"]))
    assert dataset.classes == ("a", "b", "c")
    assert dataset.labels.tolist() == [2, 0] * 3


def test_no_label_column_and_none_wanted(tmp_path: Path) -> None:
    pq.write_table(pa.table({"image": [png(i) for i in range(4)]}), tmp_path / "x.parquet")
    bare = open_dataset(tmp_path / "x.parquet")
    assert not bare.labelled
    assert "no labels" in bare.notes[0]
    assert bare.labels.tolist() == [0] * 4
    labelled = write(tmp_path / "y.parquet", range(4))
    assert not open_dataset(labelled, choices=Choices(columns={"label": ""})).labelled


def test_few_words_become_attributes_and_many_do_not(tmp_path: Path) -> None:
    n = 40
    path = write(
        tmp_path / "x.parquet",
        range(n),
        place=["land" if i % 3 else "water" for i in range(n)],
        caption=[f"picture {i}" for i in range(n)],
        doubled=[i % 2 for i in range(n)],
        flag=[i % 4 == 0 for i in range(n)],
    )
    dataset = open_dataset(path)
    assert [(one.name, one.values) for one in dataset.attributes] == [
        ("place", ("land", "water")),
        ("flag", ("False", "True")),
    ]
    assert dataset.attributes[0].codes.tolist() == [1 if i % 3 == 0 else 0 for i in range(n)]
    by_place = open_dataset(path, choices=Choices(target="place", group="label"))
    assert by_place.classes == ("land", "water")
    assert by_place.attributes[0].name == "label"
    again = open_dataset(by_place.root, choices=by_place.choices)
    assert (again.classes, again.labels.tolist()) == (by_place.classes, by_place.labels.tolist())


def test_a_column_of_splits_goes_before_the_name_of_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "train.parquet", range(9), split=["train", "test", "val"] * 3)
    assert [sum(of.values()) for of in open_dataset(path).counts().values()] == [3, 3, 3]


def test_files_without_a_split_beside_some_with_one_are_left_out(hub: Path) -> None:
    write(hub / "data" / "extra-00000-of-00001.parquet", range(3))
    dataset = open_dataset(hub)
    assert len(dataset) == 16
    assert [problem.to_dict() for problem in dataset.problems] == [
        {
            "image": "data/extra-00000-of-00001.parquet",
            "reason": "all of its 3 images: its split is none of train, val, test",
            "count": 3,
        }
    ]


def test_columns_can_be_chosen_and_absent_ones_are_told(tmp_path: Path) -> None:
    path = write(tmp_path / "x.parquet", range(6), kind=list("ababab"))
    assert open_dataset(path, choices=Choices(columns={"label": "kind"})).classes == ("a", "b")
    for columns in ({"label": "sort"}, {"image": "photo"}, {"split": "fold"}):
        with pytest.raises(BadRequest, match="no column"):
            open_dataset(path, choices=Choices(columns=columns))
    with pytest.raises(BadRequest, match="no pictures"):
        open_dataset(path, choices=Choices(columns={"image": "kind"}))
    with pytest.raises(BadRequest, match="no 'nothing'"):
        open_dataset(path, choices=Choices(target="nothing"))


def test_two_datasets_in_one_folder_are_not_mixed(hub: Path) -> None:
    write(hub / "other" / "train.parquet", range(4), names=["x", "y"])
    with pytest.raises(BadMetadata, match="not of one dataset"):
        open_dataset(hub)


def test_measurements_are_no_classes(tmp_path: Path) -> None:
    with pytest.raises(BadMetadata, match="measurements"):
        open_dataset(write(tmp_path / "x.parquet", range(3), [0.5, 1.5, 2.0], names=None))
    assert open_dataset(write(tmp_path / "y.parquet", range(3), [1.0, 2.0, 1.0], names=None)).classes == ("1", "2")


def test_one_class_and_no_rows(tmp_path: Path) -> None:
    with pytest.raises(OneClass):
        open_dataset(write(tmp_path / "x.parquet", range(3), [1, 1, 1]))
    with pytest.raises((EmptyDataset, BadMetadata)):
        open_dataset(write(tmp_path / "y.parquet", []))


def test_pictures_that_are_only_named_are_read_beside_the_table_and_nowhere_else(tmp_path: Path) -> None:
    root = tmp_path / "data"
    pictures = [{"bytes": None, "path": name} for name in ("a.png", "b.png", "../secret.png", "/etc/passwd")]
    write(root / "x.parquet", [], pictures=pictures)
    (root / "a.png").write_bytes(png(1))
    (tmp_path / "secret.png").write_bytes(png(2))
    dataset = open_dataset(root)
    assert shade(dataset, 0) == 1
    for name in dataset.images.tolist()[1:]:
        with pytest.raises(UnreadableImage, match="only its name"):
            dataset.pictures().read(name)


def test_links_into_the_cache_of_the_hub_are_followed_and_others_are_not(hub: Path, tmp_path: Path) -> None:
    cache = tmp_path / "datasets--me--pets"
    snapshot = cache / "snapshots" / "0123abcd"
    (cache / "blobs").mkdir(parents=True)
    (snapshot / "data").mkdir(parents=True)
    for i, path in enumerate(sorted((hub / "data").iterdir())):
        shutil.copy(path, cache / "blobs" / f"{i:040x}")
        (snapshot / "data" / path.name).symlink_to(f"../../../blobs/{i:040x}")
    (snapshot / "data" / "train-00009-of-00009.parquet").symlink_to(hub / "data" / "train-00000-of-00002.parquet")
    dataset = open_dataset(snapshot)
    assert len(dataset) == 16
    assert shade(dataset, 0) == 100
    assert [problem.reason for problem in dataset.problems] == ["a link that leaves the dataset folder"]


@pytest.mark.parametrize("kept", [0.5, 0.0])
def test_a_damaged_shard_is_listed_and_the_others_are_used(hub: Path, kept: float) -> None:
    path = hub / "data" / "train-00000-of-00002.parquet"
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    dataset = open_dataset(hub)
    assert len(dataset) == 9
    assert [problem.image for problem in dataset.problems] == ["data/train-00000-of-00002.parquet"]


def test_a_damaged_file_says_so(tmp_path: Path) -> None:
    path = write(tmp_path / "x.parquet", range(6))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(BadMetadata, match="cannot be read") as raised:
        open_dataset(path, choices=Choices(format="hf-parquet"))
    assert "Parquet" in raised.value.title


def test_damaged_pages_and_files_that_are_gone_make_single_pictures_unreadable(hub: Path) -> None:
    dataset = open_dataset(hub)
    pictures = dataset.pictures()
    path = hub / "data" / "train-00001-of-00002.parquet"
    content = bytearray(path.read_bytes())
    content[4:400] = bytes(396)
    path.write_bytes(content)
    (hub / "data" / "test-00000-of-00001.parquet").unlink()
    read, failed = 0, []
    for name in dataset.images.tolist():
        try:
            decode(pictures.read(name), 10_000)
            read += 1
        except UnreadableImage as error:
            failed.append(error.reason)
    assert read >= 7
    assert any("not there any more" in reason for reason in failed)
    assert len(failed) == len(dataset) - read
    assert pictures.missing(dataset.images.tolist()) == dataset.images[0]
    assert pictures.missing(dataset.images.tolist()[4:]) is None


def test_names_that_say_no_place_are_unreadable(hub: Path) -> None:
    pictures = open_dataset(hub).pictures()
    for name in ("x", "#1", "data/train-00000-of-00002.parquet#", "data/train-00000-of-00002.parquet#-1"):
        with pytest.raises(UnreadableImage):
            pictures.read(name)
    with pytest.raises(UnreadableImage, match="fewer rows"):
        pictures.read("data/train-00000-of-00002.parquet#000099")


def test_hostile_metadata_is_not_believed(tmp_path: Path) -> None:
    for value in (b"{", b"[]", b'{"info": 3}', b'{"info": {"features": []}}', b"[" * 100_000):
        table = pa.table({"image": [png(1), png(2)], "label": [0, 1]}).replace_schema_metadata({b"huggingface": value})
        pq.write_table(table, tmp_path / "x.parquet")
        assert open_dataset(tmp_path / "x.parquet").classes == ("0", "1")
    table = table.replace_schema_metadata(features(["same", "same"]))
    pq.write_table(table, tmp_path / "x.parquet")
    assert open_dataset(tmp_path / "x.parquet").classes == ("0", "1")


def test_a_large_row_group_is_walked_through_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    n = 200
    path = write(tmp_path / "x.parquet", range(n), group=n)
    monkeypatch.setattr(hf_parquet, "WHOLE_BYTES", 1000)
    monkeypatch.setattr(hf_pictures, "KEPT_BYTES", 3000)
    dataset = open_dataset(path)
    pictures = dataset.pictures()
    assert isinstance(pictures, ParquetPictures)
    order = [*range(n), *reversed(range(n)), *np.random.default_rng(0).permutation(n).tolist()]
    assert [shade(dataset, row) for row in order] == [row % 256 for row in order]
    held = sum(part.bytes for part in pictures._parts.values())
    assert held < 6000
    assert len(pictures._parts) <= 30


def test_pictures_that_repeat_are_written_once_and_do_not_fill_the_memory(tmp_path: Path) -> None:
    big = np.random.default_rng(0).bytes(100_000)
    table = pa.table({"image": pa.array([big, png(7)] * 1500), "label": [0, 1] * 1500})
    pq.write_table(table, tmp_path / "x.parquet")
    assert (tmp_path / "x.parquet").stat().st_size < 1_000_000
    dataset = open_dataset(tmp_path / "x.parquet")
    pictures = dataset.pictures()
    assert isinstance(pictures, ParquetPictures)
    for row in (2999, 1, 1501):
        assert shade(dataset, row) == 7
    assert sum(part.bytes for part in pictures._parts.values()) < 30_000_000


def test_a_long_word_in_every_row(tmp_path: Path) -> None:
    table = pa.table({"image": [png(i % 250) for i in range(400)], "label": ["a" * 300_000, "b"] * 200})
    pq.write_table(table, tmp_path / "x.parquet")
    before = pa.default_memory_pool().max_memory()
    dataset = open_dataset(tmp_path / "x.parquet")
    assert [len(name) for name in dataset.classes] == [300_000, 1]
    assert pa.default_memory_pool().max_memory() - before < 2 * 10**7


def test_categories_that_no_row_has_are_no_classes(tmp_path: Path) -> None:
    labels = pa.DictionaryArray.from_arrays(pa.array([2, 0, 2, None]), pa.array(["c", "unused", "a"]))
    pq.write_table(pa.table({"image": [png(i) for i in range(4)], "label": labels}), tmp_path / "x.parquet")
    dataset = open_dataset(tmp_path / "x.parquet")
    assert (dataset.classes, dataset.labels.tolist(), len(dataset.problems)) == (("a", "c"), [0, 1, 0], 1)


def test_many_threads_read_what_one_reads(hub: Path) -> None:
    write(hub / "data" / "train-00002-of-00003.parquet", range(30, 90), group=7)
    dataset = open_dataset(hub)
    alone = [shade(dataset, row) for row in range(len(dataset))]
    pictures = ParquetPictures(dataset.root, dataset.choices)
    wrong: list[str] = []

    def read(seed: int) -> None:
        for row in np.random.default_rng(seed).permutation(len(dataset)).tolist():
            name = str(dataset.images[row])
            found = int(np.asarray(decode(pictures.read(name), 10_000))[0, 0, 0])
            if found != alone[row]:
                wrong.append(name)

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_table_of_paths_is_not_taken_for_pictures(tmp_path: Path) -> None:
    pq.write_table(pa.table({"path": ["a.png"], "label": [0]}), tmp_path / "x.parquet")
    assert not hf_parquet.FORMAT.recognises(tmp_path / "x.parquet")
    assert not hf_parquet.FORMAT.recognises(tmp_path)
    (tmp_path / "x.parquet").write_bytes(b"no parquet")
    assert not hf_parquet.FORMAT.recognises(tmp_path / "x.parquet")


def test_another_column_of_pictures_is_another_set_of_pictures(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    columns = {
        "image": pa.array([{"bytes": png(i), "path": None} for i in range(6)], STRUCT),
        "mask": pa.array([{"bytes": png(200 + i), "path": None} for i in range(6)], STRUCT),
        "label": [0, 1] * 3,
    }
    pq.write_table(pa.table(columns), path)
    guessed = open_dataset(path)
    named, other = (open_dataset(path, choices=Choices(columns={"image": name})) for name in ("image", "mask"))
    assert (shade(guessed, 2), shade(named, 2), shade(other, 2)) == (2, 2, 202)
    assert guessed.fingerprint == named.fingerprint
    assert np.array_equal(guessed.marks, named.marks)
    assert guessed.fingerprint != other.fingerprint
    assert not (guessed.marks == other.marks).any()
    assert guessed.sample(3).fingerprint != other.sample(3).fingerprint


def test_names_that_no_file_can_have_are_unreadable_one_by_one(tmp_path: Path) -> None:
    names = ("a\0b.png", "x" * 5000, "y" * 300 + ".png", "a.png/b.png", "ok.png")
    write(tmp_path / "data" / "x.parquet", [], pictures=[{"bytes": None, "path": name} for name in names])
    (tmp_path / "data" / "a.png").write_bytes(png(9))
    (tmp_path / "data" / "ok.png").write_bytes(png(3))
    dataset = open_dataset(tmp_path / "data")
    for name in dataset.images.tolist()[:4]:
        with pytest.raises(UnreadableImage, match="only its name") as raised:
            dataset.pictures().read(name)
        assert len(raised.value.reason) < 200
    assert shade(dataset, 4) == 3


def test_two_columns_of_one_name_are_told(tmp_path: Path) -> None:
    pictures = pa.array([png(i) for i in range(4)])
    twice = pa.table([pictures, pa.array([0, 1, 0, 1]), pa.array([1, 0, 1, 0])], names=["image", "label", "label"])
    pq.write_table(twice, tmp_path / "x.parquet")
    for choices in (Choices(), Choices(format="hf-parquet")):
        with pytest.raises(BadMetadata, match="more than one column label"):
            open_dataset(tmp_path / "x.parquet", choices=choices)


def test_labels_that_say_they_are_text_and_are_not_utf8(tmp_path: Path) -> None:
    table = pa.table({"image": [png(i) for i in range(4)], "label": not_utf8([b"a", b"\xff\xfe", b"a", b"b"])})
    pq.write_table(table, tmp_path / "x.parquet")
    dataset = open_dataset(tmp_path / "x.parquet", choices=Choices(columns={"label": ""}))
    assert len(dataset) == 4
    with pytest.raises(EmptyDataset, match="damaged"):
        open_dataset(tmp_path / "x.parquet")


def not_utf8(values: Sequence[bytes]) -> pa.Array:
    binary = pa.array(values, pa.binary())
    return pa.Array.from_buffers(pa.string(), len(binary), binary.buffers())


def test_a_column_without_any_picture_makes_no_images(tmp_path: Path) -> None:
    rows = 100_000
    for kind in (STRUCT, pa.binary()):
        root = tmp_path / str(kind)[:6]
        root.mkdir()
        pq.write_table(pa.table({"image": pa.nulls(rows, kind), "label": [0, 1] * (rows // 2)}), root / "a.parquet")
        with pytest.raises(BadMetadata, match="100,000 rows has a picture"):
            open_dataset(root / "a.parquet")
        one = pa.array([png(1) if kind == pa.binary() else {"bytes": png(1), "path": None}, None], kind)
        pq.write_table(pa.table({"image": one, "label": [0, 1]}), root / "b.parquet")
        dataset = open_dataset(root)
        assert (len(dataset), [problem.image for problem in dataset.problems]) == (2, ["a.parquet"])


def test_more_rows_than_any_dataset_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundles, "MOST_IMAGES", 5)
    with pytest.raises(BadArchive, match="6 images"):
        open_dataset(write(tmp_path / "x.parquet", range(6)))
