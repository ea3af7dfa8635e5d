from __future__ import annotations

import io
import json
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from core.datasets import Choices, Dataset, hf_arrow, hf_arrow_messages, open_dataset
from core.datasets.images import UnreadableImage, decode
from core.errors import BadMetadata, EmptyDataset, MidbandError

FEATURES = {"image": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": ["cat", "dog"]}}
STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def png(shade: int) -> bytes:
    target = io.BytesIO()
    Image.new("RGB", (4, 4), (shade, 0, 255 - shade)).save(target, format="PNG")
    return target.getvalue()


def arrow(path: Path, shades: Sequence[int], *, batch: int = 3, kind: str = "stream", **options: str) -> Path:
    """A shard as the library writes it; labels alternate."""
    pictures = [{"bytes": png(shade), "path": None} for shade in shades]
    table = pa.table({"image": pa.array(pictures, STRUCT), "label": [i % 2 for i in range(len(shades))]})
    described = {b"huggingface": json.dumps({"info": {"features": FEATURES}}).encode()}
    table = table.replace_schema_metadata(described)
    path.parent.mkdir(parents=True, exist_ok=True)
    new = pa.ipc.new_stream if kind == "stream" else pa.ipc.new_file
    with pa.OSFile(str(path), "wb") as target:
        written = pa.ipc.IpcWriteOptions(**options) if options else None
        with new(target, table.schema, options=written) as writer:
            writer.write_table(table, max_chunksize=batch)
    return path


def saved(root: Path, shades: Sequence[int], shards: int = 1) -> Path:
    """What `Dataset.save_to_disk` leaves."""
    parts = np.array_split(np.array(shades), shards)
    names = [f"data-{place:05d}-of-{shards:05d}.arrow" for place in range(shards)]
    for name, part in zip(names, parts, strict=True):
        arrow(root / name, part.tolist())
    state = {"_data_files": [{"filename": name} for name in names], "_fingerprint": "0", "_split": "train"}
    (root / "state.json").write_text(json.dumps(state))
    (root / "dataset_info.json").write_text(json.dumps({"features": FEATURES}))
    return root


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """What `DatasetDict.save_to_disk` leaves."""
    root = tmp_path / "pets"
    saved(root / "train", range(12), shards=2)
    saved(root / "test", range(100, 104))
    (root / "dataset_dict.json").write_text(json.dumps({"splits": ["train", "test"]}))
    return root


def shade(dataset: Dataset, row: int) -> int:
    return int(np.asarray(decode(dataset.pictures().read(str(dataset.images[row])), 10_000))[0, 0, 0])


def test_a_folder_per_split_with_names_of_classes(pets: Path) -> None:
    dataset = open_dataset(pets)
    assert (dataset.source, dataset.name, dataset.classes) == ("hf-arrow", "pets", ("cat", "dog"))
    assert {name: sum(of.values()) for name, of in dataset.counts().items()} == {"train": 12, "val": 0, "test": 4}
    assert [shade(dataset, row) for row in range(16)] == [*range(100, 104), *range(12)]
    assert dataset.labels.tolist() == [0, 1, 0, 1, *[i % 2 for i in range(6)], *[i % 2 for i in range(6)]]
    assert dataset.problems == ()
    again = open_dataset(dataset.root, choices=dataset.choices)
    assert (again.id, again.fingerprint) == (dataset.id, dataset.fingerprint)


def test_one_dataset_and_one_file(pets: Path) -> None:
    one = open_dataset(pets / "train")
    assert (one.source, len(one)) == ("hf-arrow", 12)
    assert "no splits" in one.notes[0]
    file = open_dataset(pets / "test" / "data-00000-of-00001.arrow")
    assert [shade(file, row) for row in range(4)] == [100, 101, 102, 103]


@pytest.mark.parametrize("kind", ["stream", "file"])
@pytest.mark.parametrize("options", [{}, {"compression": "zstd"}], ids=["plain", "packed"])
@pytest.mark.parametrize("batch", [1, 7, 1000])
def test_pictures_in_any_order(
    tmp_path: Path, kind: str, options: dict[str, str], batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hf_arrow, "PART_ROWS", 5)
    dataset = open_dataset(arrow(tmp_path / "x.arrow", range(40), batch=batch, kind=kind, **options))
    order = np.random.default_rng(0).permutation(40).tolist()
    assert [shade(dataset, row) for row in [*range(40), *order]] == [*range(40), *order]


@pytest.mark.parametrize("kind", ["stream", "file"])
@pytest.mark.parametrize("packing", ["zstd", "lz4"])
def test_what_a_packed_file_grows_to_is_told_before_it_is_unpacked(
    tmp_path: Path, kind: str, packing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = arrow(tmp_path / "x.arrow", range(40), batch=20, kind=kind, compression=packing)
    shard = hf_arrow.ArrowShard(path)
    columns = [batch.columns for batch in shard.batches(["image", "label"])]
    sizes = [sum(one.size for column in batch for one in column.buffers() if one) for batch in columns]
    del columns
    assert shard.rows == 40
    monkeypatch.setattr(hf_arrow_messages, "MOST_GROWTH", 0)
    # buffers are padded to 64 bytes where they are written, not where they are unpacked
    monkeypatch.setattr(hf_arrow_messages, "ALWAYS_ALLOWED", max(sizes))
    assert len(open_dataset(path)) == 40
    monkeypatch.setattr(hf_arrow_messages, "ALWAYS_ALLOWED", min(sizes) - 500)
    before = pa.total_allocated_bytes()
    with pytest.raises(BadMetadata, match="would be unpacked to"):
        open_dataset(path, choices=Choices(format="hf-arrow"))
    assert pa.total_allocated_bytes() == before


def test_labels_of_a_packed_file_are_read_without_its_pictures(tmp_path: Path) -> None:
    behind = bytes(100_000)
    kept = pa.table(
        {"image": pa.array([{"bytes": png(i) + behind, "path": None} for i in range(20)], STRUCT), "label": [0, 1] * 10}
    )
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    path = str(tmp_path / "x.arrow")
    with pa.OSFile(path, "wb") as target, pa.ipc.new_stream(target, kept.schema, options=options) as writer:
        writer.write_table(kept)
    before = pa.total_allocated_bytes()
    shard = hf_arrow.ArrowShard(tmp_path / "x.arrow")
    (batch,) = shard.batches(["label"])
    assert batch.column("label").to_pylist() == [0, 1] * 10
    assert pa.total_allocated_bytes() - before < 100_000


def test_words_that_are_numbered_in_the_file(tmp_path: Path) -> None:
    """Dictionaries are messages of their own."""
    pictures = pa.array([{"bytes": png(i), "path": None} for i in range(8)], STRUCT)
    words = pa.array(["no", "yes"] * 4).dictionary_encode()
    table = pa.table({"other": pa.array(["x", "y"] * 4).dictionary_encode(), "image": pictures, "label": words})
    for compression in (None, "zstd"):
        path = tmp_path / f"{compression}.arrow"
        options = pa.ipc.IpcWriteOptions(compression=compression)
        with pa.OSFile(str(path), "wb") as target, pa.ipc.new_stream(target, table.schema, options=options) as writer:
            writer.write_table(table, max_chunksize=3)
        dataset = open_dataset(path)
        assert (dataset.classes, dataset.labels.tolist()) == (("no", "yes"), [0, 1] * 4)
        assert shade(dataset, 7) == 7


def test_threads_share_it(pets: Path) -> None:
    dataset = open_dataset(pets)
    found: dict[int, int] = {}

    def work(rows: range) -> None:
        found.update({row: shade(dataset, row) for row in rows})

    threads = [threading.Thread(target=work, args=(range(start, 16, 4),)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[row] for row in range(16)] == [*range(100, 104), *range(12)]


def test_what_the_library_leaves_in_passing_is_not_read(pets: Path) -> None:
    arrow(pets / "train" / "cache-0123.arrow", range(50, 56))
    arrow(pets / "train" / "data-00007-of-00009.arrow", range(50, 56))
    assert len(open_dataset(pets)) == 16
    (pets / "train" / "state.json").unlink()
    assert len(open_dataset(pets)) == 22


def test_what_is_named_and_absent_is_told(pets: Path) -> None:
    (pets / "train" / "data-00001-of-00002.arrow").unlink()
    (pets / "dataset_dict.json").write_text(json.dumps({"splits": ["train", "validation", "test"]}))
    problems = {problem.image: problem.reason for problem in open_dataset(pets).problems}
    assert problems == {
        "validation": "dataset_dict.json names it, but it holds no Arrow file",
        "train/data-00001-of-00002.arrow": "state.json names it, but the file is not there",
    }


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"_data_files": 1}', '{"_data_files": [{"filename": 1}]}'])
def test_a_description_that_is_damaged(pets: Path, content: str) -> None:
    (pets / "test" / "state.json").write_text(content)
    (pets / "dataset_dict.json").write_text(content)
    dataset = open_dataset(pets)
    assert len(dataset) == 16
    assert {problem.image for problem in dataset.problems} == {"test/state.json", "pets/dataset_dict.json"}


@pytest.mark.parametrize("content", ["{}", "[]", '{"_data_files": "x"}', "{"])
@pytest.mark.parametrize("name", ["state.json", "dataset_dict.json"])
def test_a_file_of_that_name_makes_no_dataset_of_hugging_face(tmp_path: Path, name: str, content: str) -> None:
    for index in range(6):
        (tmp_path / f"{index}.png").write_bytes(png(index))
    (tmp_path / name).write_text(content)
    assert open_dataset(tmp_path).source == "images"
    (tmp_path / "labels.csv").write_text("image,label\n" + "".join(f"{i}.png,{i % 2}\n" for i in range(6)))
    assert open_dataset(tmp_path).source == "table"


def test_files_that_are_cut_off_or_empty(pets: Path) -> None:
    path = pets / "train" / "data-00000-of-00002.arrow"
    whole = path.read_bytes()
    for kept in (0, 5, 100, len(whole) // 2):
        path.write_bytes(whole[:kept])
        dataset = open_dataset(pets)
        assert len(dataset) == 10, kept
        assert [problem.image for problem in dataset.problems] == ["train/data-00000-of-00002.arrow"]
        assert "damaged" in dataset.problems[0].reason
    for file in pets.rglob("*.arrow"):
        file.write_bytes(b"")
    with pytest.raises(BadMetadata, match="cannot be read") as raised:
        open_dataset(pets)
    assert "Arrow files have to be whole" in raised.value.next_step


def test_a_folder_without_its_files(pets: Path) -> None:
    for file in pets.rglob("*.arrow"):
        file.unlink()
    with pytest.raises(EmptyDataset, match="no Arrow file"):
        open_dataset(pets)


@pytest.mark.parametrize("options", [{}, {"compression": "zstd"}], ids=["plain", "packed"])
def test_noise_is_told_and_never_ends_the_program(pets: Path, options: dict[str, str]) -> None:
    path = arrow(pets / "train" / "data-00000-of-00002.arrow", range(6), **options)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(60):
        content = bytearray(whole)
        for at in rng.integers(0, len(content), size=6):
            content[at] = int(rng.integers(256))
        path.write_bytes(content)
        with suppress(MidbandError):
            dataset = open_dataset(pets, choices=Choices(format="hf-arrow"))
            for name in dataset.images.tolist():
                with suppress(UnreadableImage):
                    decode(dataset.pictures().read(name), 10_000)


def test_a_picture_that_claims_to_be_longer_than_the_file(tmp_path: Path) -> None:
    path = arrow(tmp_path / "x.arrow", range(4), batch=2)
    content, length = bytearray(path.read_bytes()), len(png(0))
    at = content.rindex(np.array([0, length, 2 * length], dtype="<i4").tobytes())
    content[at + 4 : at + 8] = (2**30).to_bytes(4, "little")
    path.write_bytes(content)
    pictures = open_dataset(path).pictures()
    # asked again, it is refused again
    for row in (2, 3, 2):
        with pytest.raises(UnreadableImage, match="damaged"):
            pictures.read(f"x.arrow#{row:06d}")
    assert pictures.read("x.arrow#000001") == png(1)


def test_a_table_without_pictures_is_not_taken_for_one(tmp_path: Path) -> None:
    with pa.OSFile(str(tmp_path / "x.arrow"), "wb") as target:
        table = pa.table({"text": ["a", "b"], "label": [0, 1]})
        with pa.ipc.new_stream(target, table.schema) as writer:
            writer.write_table(table)
    assert not hf_arrow.FORMAT.recognises(tmp_path)
    with pytest.raises(BadMetadata, match="None of the columns holds pictures"):
        open_dataset(tmp_path, choices=Choices(format="hf-arrow"))


def test_memory_does_not_grow_with_what_is_read(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    target = io.BytesIO()
    Image.fromarray(pixels).save(target, format="PNG")
    batch = pa.table(
        {"image": pa.array([{"bytes": target.getvalue(), "path": None}] * 50, STRUCT), "label": [0, 1] * 25}
    )
    with pa.OSFile(str(tmp_path / "x.arrow"), "wb") as sink, pa.ipc.new_stream(sink, batch.schema) as writer:
        for _ in range(30):
            writer.write_table(batch)
    dataset = open_dataset(tmp_path / "x.arrow")
    assert (tmp_path / "x.arrow").stat().st_size > 150e6

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    before = resident()
    for name in dataset.images.tolist():
        assert len(dataset.pictures().read(name)) == len(target.getvalue())
    assert resident() - before < 60e6
