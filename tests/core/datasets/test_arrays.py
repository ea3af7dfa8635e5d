from __future__ import annotations

import threading
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.datasets import Choices, Dataset, array_members, arrays, bundles, dsprites, open_dataset, unpacking
from core.datasets.arrays import ArrayPictures
from core.datasets.images import UnreadableImage, decode
from core.errors import BadArchive, BadMetadata, BadRequest, Cancelled, DiskFull, EmptyDataset

RNG = np.random.default_rng(0)


def grey(n: int, side: int = 4, start: int = 0) -> np.ndarray:
    """(n, side, side) uint8: picture i is all start + i, but for its last pixel, which is white."""
    made = np.repeat((start + np.arange(n)).astype(np.uint8), side * side).reshape(n, side, side)
    made[:, -1, -1] = 255
    return made


def shades(dataset: Dataset) -> list[list[int]]:
    """The first pixel of each picture."""
    pictures = dataset.pictures()
    names = dataset.images.tolist()
    return [np.asarray(decode(pictures.read(name), 10_000))[0, 0].tolist() for name in names]


def npz(path: Path, *, packed: bool = False, **arrays: Any) -> Path:
    (np.savez_compressed if packed else np.savez)(path, **arrays)
    return path


@pytest.mark.parametrize("packed", [False, True])
def test_pictures_and_labels(tmp_path: Path, packed: bool) -> None:
    path = npz(tmp_path / "digits.npz", packed=packed, images=grey(30), labels=np.arange(30) % 3)
    dataset = open_dataset(path, store=tmp_path / "store")
    assert (dataset.source, dataset.name, dataset.classes) == ("npz", "digits", ("0", "1", "2"))
    assert dataset.images.tolist()[:2] == ["images#000000", "images#000001"]
    assert dataset.labels.tolist() == [i % 3 for i in range(30)]
    assert shades(dataset) == [[i] * 3 for i in range(30)]
    assert (dataset.root == path) is not packed
    again = open_dataset(dataset.root, choices=dataset.choices)
    assert (again.id, again.name, again.fingerprint) == (dataset.id, dataset.name, dataset.fingerprint)


def test_compressed_arrays_are_unpacked_once(tmp_path: Path) -> None:
    store = tmp_path / "store"
    path = npz(tmp_path / "digits.npz", packed=True, images=grey(30), labels=np.arange(30) % 3)
    said: list[str] = []
    first = open_dataset(path, store=store, progress=lambda done, total, message="": said.append(message))
    assert "Unpacking images" in said
    said.clear()
    second = open_dataset(path, store=store, progress=lambda done, total, message="": said.append(message))
    assert said == []
    assert second.fingerprint == first.fingerprint
    other = npz(tmp_path / "digits2.npz", packed=True, images=grey(30, start=1), labels=np.arange(30) % 3)
    assert open_dataset(other, store=store).root != first.root


def test_without_a_place_to_unpack_to(tmp_path: Path) -> None:
    path = npz(tmp_path / "x.npz", packed=True, images=grey(9), labels=np.arange(9) % 3)
    with pytest.raises(BadRequest, match="unpacked"):
        open_dataset(path)


def test_a_full_disk_is_noticed_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = npz(tmp_path / "x.npz", packed=True, images=grey(9), labels=np.arange(9) % 3)
    monkeypatch.setattr(unpacking, "SPARE_BYTES", 10**18)
    with pytest.raises(DiskFull, match="free"):
        open_dataset(path, store=tmp_path / "store")
    assert list((tmp_path / "store").glob("[!.]*")) == []
    assert list((tmp_path / "store").glob(".*.partial")) == []


def test_unpacking_that_is_cancelled_leaves_nothing_and_works_again(tmp_path: Path) -> None:
    path = npz(tmp_path / "x.npz", packed=True, images=grey(9), labels=np.arange(9) % 3)

    def stop(done: int, total: int, message: str = "") -> None:
        if "labels" in message:
            raise Cancelled

    with pytest.raises(Cancelled):
        open_dataset(path, store=tmp_path / "store", progress=stop)
    assert [one.name for one in (tmp_path / "store").iterdir()] == [".locks"]
    assert len(open_dataset(path, store=tmp_path / "store")) == 9


def test_what_a_killed_process_left_behind_is_thrown_away(tmp_path: Path) -> None:
    path = npz(tmp_path / "x.npz", packed=True, images=grey(9), labels=np.arange(9) % 3)
    key = open_dataset(path, store=tmp_path / "other").root.parent.name
    left = tmp_path / "store" / f".{key}.partial" / "x"
    left.mkdir(parents=True)
    (left / "images.npy").write_bytes(b"half")
    assert shades(open_dataset(path, store=tmp_path / "store"))[8] == [8, 8, 8]
    assert not left.exists()


@pytest.mark.parametrize(
    "names",
    [
        ("x_train", "y_train", "x_test", "y_test"),
        ("train_images", "train_labels", "test_images", "test_labels"),
        ("X.train", "Y.train", "X.test", "Y.test"),
    ],
)
def test_arrays_for_each_split(tmp_path: Path, names: tuple[str, ...]) -> None:
    values = (grey(6), np.array([[0], [1]] * 3), grey(4, start=50), np.array([[1], [0]] * 2))
    dataset = open_dataset(npz(tmp_path / "x.npz", **dict(zip(names, values, strict=True))))
    assert {name: sum(of.values()) for name, of in dataset.counts().items()} == {"train": 6, "val": 0, "test": 4}
    assert sorted(shade[0] for shade in shades(dataset)) == [*range(6), 50, 51, 52, 53]
    by_name = dict(zip(dataset.images.tolist(), dataset.labels.tolist(), strict=True))
    assert by_name[f"{names[0]}#000001"] == 1
    assert by_name[f"{names[2]}#000000"] == 1


def test_a_folder_of_npy_files(tmp_path: Path) -> None:
    root = tmp_path / "arrays"
    root.mkdir()
    np.save(root / "images.npy", grey(10))
    np.save(root / "labels.npy", np.array(list("ab") * 5))
    dataset = open_dataset(root)
    assert (dataset.source, dataset.classes, len(dataset)) == ("npz", ("a", "b"), 10)
    assert dataset.pictures().file("images#000000") == root / "images.npy"
    assert shades(dataset)[3] == [3, 3, 3]


def test_a_folder_with_one_npz(tmp_path: Path) -> None:
    npz(tmp_path / "x.npz", images=grey(6), labels=np.arange(6) % 2)
    assert len(open_dataset(tmp_path)) == 6


@pytest.mark.parametrize(
    ("made", "first"),
    [
        (np.full((4, 5, 6), 7, dtype=np.uint8), [7, 7, 7]),
        (np.full((4, 5, 6, 1), 7, dtype=np.uint8), [7, 7, 7]),
        (np.tile(np.array([10, 20, 30], dtype=np.uint8), (4, 5, 6, 1)), [10, 20, 30]),
        (np.tile(np.array([10, 20, 30, 0], dtype=np.uint8), (4, 5, 6, 1)), [10, 20, 30]),
        (np.tile(np.array([10, 20, 30], dtype=np.uint8)[:, None, None], (4, 1, 5, 6)), [10, 20, 30]),
        (np.tile(np.array([0.5, 1.0, 0.0]), (4, 5, 6, 1)), [128, 255, 0]),
        (np.tile(np.array([-1.0, 1.0, 0.0], dtype=np.float32), (4, 5, 6, 1)), [0, 255, 128]),
        (np.tile(np.array([100.0, np.nan, 255.0], dtype=np.float16), (4, 5, 6, 1)), [100, 0, 255]),
        (np.tile(np.array([0, 65535, 257]), (4, 5, 6, 1)).astype(np.uint16), [0, 255, 1]),
        (np.tile(np.array([0, 4095, 2048]), (4, 5, 6, 1)).astype(np.int32), [0, 255, 128]),
        (np.tile(np.array([-2.0, 2.0, 0.0]), (4, 5, 6, 1)), [0, 255, 128]),
        (np.ones((4, 5, 6), dtype=bool), [255, 255, 255]),
        (np.ones((4, 5, 6), dtype=np.uint8), [255, 255, 255]),
        (np.tile(np.array([10, 20, 30], dtype=np.uint8), (4, 5, 6, 1)).copy(order="F"), [10, 20, 30]),
        (np.tile(np.array([10, 20, 30], dtype=">u2"), (4, 5, 6, 1)), [10, 20, 30]),
    ],
)
def test_every_shape_and_kind_of_number(tmp_path: Path, made: np.ndarray, first: list[int]) -> None:
    dataset = open_dataset(npz(tmp_path / "x.npz", images=made, labels=np.arange(4) % 2))
    assert shades(dataset) == [first] * 4
    picture = decode(dataset.pictures().read("images#000000"), 1000)
    assert picture.size == (6, 5)


def test_what_the_numbers_were_taken_for_is_said(tmp_path: Path) -> None:
    dataset = open_dataset(npz(tmp_path / "x.npz", images=RNG.random((4, 5, 6)), labels=np.arange(4) % 2))
    assert any("from 0 (black) to 1 (white)" in note for note in dataset.notes)


def test_labels_of_every_kind(tmp_path: Path) -> None:
    def classes(**beside: Any) -> tuple[tuple[str, ...], list[int]]:
        dataset = open_dataset(npz(tmp_path / "x.npz", images=grey(4), **beside))
        return dataset.classes, dataset.labels.tolist()

    assert classes(labels=np.array([2.0, 5.0, 2.0, 5.0])) == (("2", "5"), [0, 1, 0, 1])
    assert classes(labels=np.array([True, False, True, False])) == (("False", "True"), [1, 0, 1, 0])
    assert classes(y=np.array([b"b", b"a", b"b", b"a"])) == (("a", "b"), [1, 0, 1, 0])
    assert classes(target=np.eye(4)[[3, 0, 3, 1]]) == (("0", "1", "2", "3"), [3, 0, 3, 1])
    assert classes(labels=np.array([1, 0, 1, 0]), class_names=np.array(["no", "yes"])) == (("no", "yes"), [1, 0, 1, 0])
    assert classes() == ((), [0] * 4)
    assert classes(labels=RNG.random((4, 7))) == ((), [0] * 4)
    with pytest.raises(BadMetadata, match="measurements"):
        classes(labels=np.array([0.5, 1.0, 2.0, 3.0]))


def test_labels_without_a_value_are_left_out(tmp_path: Path) -> None:
    path = npz(tmp_path / "x.npz", images=grey(5), labels=np.array([0, 1, np.nan, 1, 0]))
    assert [problem.image for problem in open_dataset(path).problems] == ["images#000002"]


def test_arrays_beside_become_attributes_and_splits(tmp_path: Path) -> None:
    n = 12
    path = npz(
        tmp_path / "x.npz",
        images=grey(n),
        labels=np.arange(n) % 2,
        place=np.array(["land", "water", "water"] * 4),
        weight=RNG.random(n),
        row=np.arange(n),
        split=np.repeat([0, 1, 2], 4),
    )
    dataset = open_dataset(path)
    assert [(one.name, one.values) for one in dataset.attributes] == [("place", ("land", "water"))]
    assert [sum(of.values()) for of in dataset.counts().values()] == [4, 4, 4]
    assert open_dataset(path, choices=Choices(target="place")).classes == ("land", "water")
    chosen = Choices(columns={"image": "images", "label": "place", "split": ""})
    assert open_dataset(path, choices=chosen).classes == ("land", "water")
    for columns in ({"image": "photos"}, {"label": "sort"}, {"split": "fold"}):
        with pytest.raises(BadRequest, match="no array"):
            open_dataset(path, choices=Choices(columns=columns))


def test_objects_are_never_unpickled(tmp_path: Path) -> None:
    path = npz(
        tmp_path / "x.npz", images=grey(4), labels=np.array([0, 1, 0, 1]), metadata=np.array({"a": 1}, dtype=object)
    )
    dataset = open_dataset(path)
    assert [(problem.image, "unpickling" in problem.reason) for problem in dataset.problems] == [("metadata", True)]
    only = npz(tmp_path / "y.npz", images=np.array([object()] * 3), labels=np.arange(3))
    with pytest.raises(EmptyDataset, match="labels"):
        open_dataset(only)


def test_no_pictures_and_flat_rows_are_said(tmp_path: Path) -> None:
    with pytest.raises(EmptyDataset, match=r"data \(10, 784\)"):
        open_dataset(npz(tmp_path / "x.npz", data=np.zeros((10, 784)), target=np.arange(10)))


def damage(path: Path, at: float) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * at)])
    return path


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("at", [0.0, 0.4, 0.9])
def test_a_damaged_archive_says_so(tmp_path: Path, packed: bool, at: float) -> None:
    path = npz(tmp_path / "x.npz", packed=packed, images=RNG.random((9, 30, 30)), labels=np.arange(9) % 3)
    with pytest.raises(BadArchive, match="damaged"):
        open_dataset(damage(path, at), store=tmp_path / "store")


def test_damage_inside_a_packed_array_is_noticed_and_nothing_is_left(tmp_path: Path) -> None:
    path = npz(tmp_path / "x.npz", packed=True, images=RNG.random((9, 30, 30)), labels=np.arange(9) % 3)
    content = bytearray(path.read_bytes())
    content[20_000:20_400] = bytes(400)
    path.write_bytes(content)
    with pytest.raises(BadArchive, match="damaged"):
        open_dataset(path, store=tmp_path / "store")
    assert [one.name for one in (tmp_path / "store").iterdir()] == [".locks"]


def test_headers_that_lie_are_not_believed(tmp_path: Path) -> None:
    good = npz(tmp_path / "good.npz", images=grey(4), labels=np.arange(4) % 2)
    with zipfile.ZipFile(good) as archive:
        header, rest = archive.read("images.npy")[:128], archive.read("images.npy")[128:]
    for shape in (b"(4, 4, 9999999999)", b"(-4, 4, 4)", b"(4, 'x', 4)", b"__import__('os')"):
        forged = header.replace(b"(4, 4, 4)", shape)
        size = len(forged) - 10
        forged = forged[:8] + size.to_bytes(2, "little") + forged[10:]
        path = tmp_path / "x.npz"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("images.npy", forged + rest)
            archive.writestr("../../evil.npy", b"")
        with pytest.raises(EmptyDataset):
            open_dataset(path, store=tmp_path / "store")
    assert not (tmp_path / "evil.npy").exists()


def test_pictures_of_files_that_changed_or_are_gone(tmp_path: Path) -> None:
    path = npz(tmp_path / "x.npz", images=grey(9), labels=np.arange(9) % 3)
    dataset = open_dataset(path)
    pictures = dataset.pictures()
    pictures.read("images#000000")
    with pytest.raises(UnreadableImage, match="fewer"):
        pictures.read("images#000100")
    with pytest.raises(UnreadableImage, match="no array"):
        pictures.read("pixels#000000")
    with pytest.raises(UnreadableImage):
        pictures.read("images")
    path.unlink()
    assert pictures.missing(dataset.images.tolist()) == "images#000000"
    with pytest.raises(UnreadableImage, match="not there"):
        ArrayPictures(path, dataset.choices).read("images#000000")


def test_many_threads_read_what_one_reads(tmp_path: Path) -> None:
    made = RNG.integers(0, 256, (200, 8, 8, 3), dtype=np.uint8)
    dataset = open_dataset(npz(tmp_path / "x.npz", images=made, labels=np.arange(200) % 3))
    pictures = ArrayPictures(dataset.root, dataset.choices)
    wrong: list[int] = []

    def read(seed: int) -> None:
        rows = np.random.default_rng(seed).permutation(200).tolist()
        wrong.extend(row for row in rows if not np.array_equal(pictures.read(f"images#{row:06d}"), made[row]))

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def sprites(path: Path, **more: Any) -> Path:
    """dSprites with fewer of each: 1 color, 3 shapes, 2 scales, 4 turns, 3 x, 2 y; pictures of zeros and ones."""
    sizes = (1, 3, 2, 4, 3, 2)
    classes = np.stack(np.meshgrid(*map(np.arange, sizes), indexing="ij"), axis=-1).reshape(-1, 6)
    values = np.stack(
        [
            np.ones(len(classes)),
            classes[:, 1] + 1,
            0.5 + classes[:, 2] / 2,
            classes[:, 3] * np.pi / 2,
            classes[:, 4] / 2,
            classes[:, 5],
        ],
        axis=1,
    )
    pictures = np.zeros((len(classes), 64, 64), dtype=np.uint8)
    pictures[:, 0, 0] = 1
    return npz(
        path,
        packed=True,
        imgs=pictures,
        latents_classes=classes,
        latents_values=values,
        metadata=np.array({"title": "dSprites"}, dtype=object),
        **more,
    )


def test_dsprites_and_its_latents(tmp_path: Path) -> None:
    path = sprites(tmp_path / "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz")
    dataset = open_dataset(path, store=tmp_path / "store")
    assert (dataset.source, len(dataset)) == ("dsprites", 144)
    assert dataset.classes == ("square", "ellipse", "heart")
    assert [one.name for one in dataset.attributes] == ["scale", "orientation", "x", "y"]
    by_name = {one.name: one for one in dataset.attributes}
    assert by_name["scale"].values == ("0.5", "1")
    assert by_name["x"].values == ("left", "middle", "right")
    assert np.bincount(by_name["orientation"].codes).tolist() == [36] * 4
    assert np.bincount(by_name["x"].codes).tolist() == [48] * 3
    picture = np.asarray(decode(dataset.pictures().read("imgs#000143"), 10_000))
    assert (picture[0, 0].tolist(), picture[0, 1].tolist()) == ([255] * 3, [0] * 3)
    assert [problem.image for problem in dataset.problems] == ["metadata"]
    again = open_dataset(dataset.root, choices=dataset.choices)
    assert (again.source, again.fingerprint) == ("dsprites", dataset.fingerprint)


def test_another_latent_can_be_the_class(tmp_path: Path) -> None:
    path = sprites(tmp_path / "dsprites.npz")
    chosen = Choices(target="y", group="shape")
    dataset = open_dataset(path, store=tmp_path / "store", choices=chosen)
    assert dataset.classes == ("top", "middle", "bottom")
    assert dataset.attributes[0].name == "shape"
    assert np.bincount(dataset.labels).tolist() == [72, 0, 72]
    with pytest.raises(BadRequest, match="no 'colour'"):
        open_dataset(path, store=tmp_path / "store", choices=Choices(target="colour"))


def test_arrays_that_are_not_dsprites(tmp_path: Path) -> None:
    path = npz(tmp_path / "x.npz", imgs=grey(6), latents_classes=np.zeros((5, 6)), latents_values=np.zeros((6, 6)))
    assert not dsprites.FORMAT.recognises(path)
    assert arrays.FORMAT.recognises(path)
    with pytest.raises(EmptyDataset, match="not dSprites"):
        open_dataset(path, choices=Choices(format="dsprites"))


def test_the_same_packed_arrays_under_another_name(tmp_path: Path) -> None:
    path = npz(tmp_path / "a.npz", packed=True, images=grey(9), labels=np.arange(9) % 3)
    first = open_dataset(path, store=tmp_path / "store")
    second = open_dataset(path.rename(tmp_path / "b.npz"), store=tmp_path / "store")
    assert (second.id, second.fingerprint) == (first.id, first.fingerprint)
    assert shades(second) == shades(first)


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_damage_in_every_compression(tmp_path: Path, compression: int) -> None:
    # more than a block of bzip2, so that the header can be read
    np.save(tmp_path / "images.npy", RNG.integers(0, 256, (2000, 32, 32), dtype=np.uint8))
    np.save(tmp_path / "labels.npy", np.arange(2000) % 2)
    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name in ("images.npy", "labels.npy"):
            archive.write(tmp_path / name, name)
    content = bytearray(path.read_bytes())
    for at in range(1_500_000, 1_600_000):
        content[at] ^= 0x5A
    path.write_bytes(content)
    with pytest.raises(BadArchive, match="damaged"):
        open_dataset(path, store=tmp_path / "store")
    assert not list((tmp_path / "store").glob("[!.]*"))


def test_a_split_is_chosen_by_the_name_that_the_array_has(tmp_path: Path) -> None:
    path = npz(tmp_path / "x.npz", images=grey(6), labels=np.arange(6) % 2, Fold=np.repeat([0, 1, 2], 2))
    for name in ("Fold", "fold"):
        dataset = open_dataset(path, choices=Choices(columns={"split": name}))
        assert [sum(of.values()) for of in dataset.counts().values()] == [2, 2, 2]
    with pytest.raises(BadRequest, match="'Half'"):
        open_dataset(path, choices=Choices(columns={"split": "Half"}))


def test_digits_that_are_no_numbers(tmp_path: Path) -> None:
    labels = np.array(["²", "x", "²", "x"])
    path = npz(tmp_path / "x.npz", images=grey(4), labels=labels, class_names=np.array(["a", "b", "c"]))
    assert open_dataset(path).classes == ("x", "²")
    path = npz(tmp_path / "y.npz", images=grey(4), labels=labels, split=np.array(["²", "train", "test", "٣"]))
    assert [problem.image[-1] for problem in open_dataset(path).problems] == ["0", "3"]


def test_arrays_that_claim_more_pictures_than_any_dataset_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundles, "MOST_IMAGES", 1000)
    path = npz(tmp_path / "x.npz", packed=True, images=np.zeros((1001, 1, 1), dtype=np.uint8))
    with pytest.raises(BadArchive, match="1,001 images"):
        open_dataset(path, store=tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_arrays_that_grow_too_much_are_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = npz(tmp_path / "x.npz", packed=True, images=np.zeros((1000, 50, 50), dtype=np.uint8))
    assert len(open_dataset(path, store=tmp_path / "store")) == 1000
    monkeypatch.setattr(array_members, "ALWAYS_ALLOWED", 2**20)
    with pytest.raises(BadArchive, match="300 times") as raised:
        open_dataset(path, store=tmp_path / "other")
    assert "harmful" in raised.value.title
    assert not list((tmp_path / "other").glob("[!.]*"))
