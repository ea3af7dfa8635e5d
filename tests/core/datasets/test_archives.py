from __future__ import annotations

import errno
import io
import os
import shutil
import signal
import struct
import subprocess
import sys
import tarfile
import textwrap
import threading
import time
import zipfile
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.datasets import Choices, Dataset, archives, open_dataset, unpacking
from core.errors import BadArchive, BadRequest, Cancelled, DiskFull, EmptyDataset, OneClass

ROOT = Path(__file__).parents[3]


def png(shade: int = 0) -> bytes:
    target = io.BytesIO()
    Image.new("RGB", (4, 4), (shade, 90, 90)).save(target, format="PNG")
    return target.getvalue()


PHOTOS = {f"photos/{name}/{i}.png": png(i) for name in ("cat", "dog") for i in range(5)}


def zipped(path: Path, entries: dict[str, bytes], **options: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", **options) as archive:  # type: ignore[arg-type]
        for name, content in entries.items():
            archive.writestr(name, content)
    return path


def tarred(path: Path, entries: dict[str, bytes], *others: tarfile.TarInfo, mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in entries.items():
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(content), 1_600_000_000
            archive.addfile(info, io.BytesIO(content))
        for info in others:
            archive.addfile(info)
    return path


def read(path: Path, choices: Choices | None = None) -> Dataset:
    return open_dataset(path, store=path.parent / "store", choices=choices or Choices())


def left_out(dataset: Dataset) -> dict[str, str]:
    return {problem.image: problem.reason for problem in dataset.problems}


def outside(folder: Path) -> list[str]:
    """Whatever lies in a folder beside its archives and the store."""
    return [one.name for one in folder.iterdir() if one.name != "store" and archives.archive_kind(one) is None]


def nothing_is_left(folder: Path) -> bool:
    return [one.name for one in (folder / "store").iterdir()] in ([], [".locks"])


@pytest.mark.parametrize("name", ["pets.zip", "Pets.ZIP", "pets.tar", "pets.tar.gz", "pets.tgz", "pets.tar.xz"])
def test_class_folders_in_every_kind_of_archive(tmp_path: Path, name: str) -> None:
    if name.lower().endswith("zip"):
        path = zipped(tmp_path / name, PHOTOS)
    else:
        mode = {"gz": "w:gz", "tgz": "w:gz", "xz": "w:xz", "tar": "w"}[name.split(".")[-1]]
        path = tarred(tmp_path / name, PHOTOS, mode=mode)
    dataset = read(path)
    assert (dataset.source, dataset.name, dataset.classes) == ("class-folders", name.split(".")[0], ("cat", "dog"))
    assert dataset.images.tolist() == sorted(one.removeprefix("photos/") for one in PHOTOS)
    assert dataset.root.name == "photos"
    again = open_dataset(dataset.root, choices=dataset.choices)
    assert (again.id, again.fingerprint) == (dataset.id, dataset.fingerprint)


def test_the_same_content_is_unpacked_once_and_other_content_apart(tmp_path: Path) -> None:
    first = read(zipped(tmp_path / "a.zip", PHOTOS))
    copied = tmp_path / "b" / "a.zip"
    copied.parent.mkdir()
    shutil.copy(tmp_path / "a.zip", copied)
    said: list[str] = []
    second = open_dataset(copied, store=tmp_path / "store", progress=lambda *step: said.append(step[-1]))
    assert second.root == first.root
    assert not said
    more = read(zipped(tmp_path / "c.zip", {**PHOTOS, "photos/cat/9.png": png(9)}))
    assert more.root != first.root
    assert len(more) == len(first) + 1


@pytest.mark.parametrize("is_old", [True, False])
def test_a_change_in_the_middle_of_a_tar_that_is_not_compressed(tmp_path: Path, is_old: bool) -> None:
    """Headers of old ones have no mark. The pictures lie between the places that are looked at."""
    prints = []
    for shade in (0, 1):
        pictures = {name: png(60 + shade + place) for place, name in enumerate(PHOTOS)}
        assert len({len(content) for content in pictures.values()}) == 1
        entries = {"photos/a.txt": bytes(1_200_000), **pictures, "photos/b.txt": bytes(6_800_000)}
        content = bytearray(tarred(tmp_path / "x.tar", entries).read_bytes())
        while is_old and (at := content.find(b"ustar")) >= 0:
            start = at - 257
            content[at : at + 8] = bytes(8)
            content[start + 148 : start + 156] = b" " * 8
            content[start + 148 : start + 156] = f"{sum(content[start : start + 512]):06o}\0 ".encode()
        (tmp_path / "x.tar").write_bytes(content)
        os.utime(tmp_path / "x.tar", (1000 + shade, 1000 + shade))
        prints.append(read(tmp_path / "x.tar").fingerprint)
    assert prints[0] != prints[1]


def test_unpacked_again_it_is_the_same_dataset(tmp_path: Path) -> None:
    for path in (zipped(tmp_path / "a.zip", PHOTOS), tarred(tmp_path / "b.tar", PHOTOS)):
        first = read(path)
        shutil.rmtree(tmp_path / "store")
        assert read(path).fingerprint == first.fingerprint


def test_other_formats_inside_are_recognised_or_named(tmp_path: Path) -> None:
    table = "img_filename,y,split,place\n" + "".join(
        f"{c}/{i}.png,{c},{i % 3},{i % 2}\n" for c in "ab" for i in range(6)
    )
    entries = {f"{c}/{i}.png": png(i) for c in "ab" for i in range(6)}
    path = zipped(tmp_path / "birds.zip", {**entries, "metadata.csv": table.encode()})
    dataset = read(path)
    assert dataset.source == "metadata-csv"
    assert dataset.attributes[0].name == "place"
    assert read(path, Choices(format="class-folders")).source == "class-folders"
    assert read(path, Choices(format="archive")).source == "metadata-csv"


def test_an_npz_in_a_zip(tmp_path: Path) -> None:
    target = io.BytesIO()
    np.savez_compressed(target, images=np.arange(8 * 16, dtype=np.uint8).reshape(8, 4, 4), labels=np.arange(8) % 2)
    dataset = read(zipped(tmp_path / "outer.zip", {"outer/inner.npz": target.getvalue()}))
    assert (dataset.source, dataset.name, len(dataset)) == ("npz", "inner", 8)


def test_archives_in_an_archive_are_unpacked_into_folders(tmp_path: Path) -> None:
    inner = {
        part: zipped(tmp_path / "made" / f"{part}.zip", {f"{c}/{i}.png": png(i) for c in ("a", "b") for i in range(4)})
        for part in ("train", "test")
    }
    entries = {f"kaggle/{part}.zip": path.read_bytes() for part, path in inner.items()}
    dataset = read(zipped(tmp_path / "outer.zip", {**entries, "kaggle/readme.txt": b"hello"}))
    assert sum(dataset.counts()["test"].values()) == 8
    assert sum(dataset.counts()["train"].values()) == 8


def test_archives_in_archives_end_somewhere(tmp_path: Path) -> None:
    content = zipped(tmp_path / "made" / "0.zip", {"a/1.png": png(), "b/1.png": png()}).read_bytes()
    for depth in range(1, 8):
        content = zipped(tmp_path / "made" / f"{depth}.zip", {f"{depth}.zip": content}).read_bytes()
    (tmp_path / "deep.zip").write_bytes(content)
    with pytest.raises(EmptyDataset):
        read(tmp_path / "deep.zip")


def test_what_systems_leave_behind_is_not_mentioned(tmp_path: Path) -> None:
    clutter = {"__MACOSX/photos/cat/._0.png": b"x", "photos/.DS_Store": b"x", "photos/cat/Thumbs.db": b"x"}
    dataset = read(zipped(tmp_path / "a.zip", {**PHOTOS, **clutter}))
    assert dataset.problems == ()
    unpacked = {one.name for one in (tmp_path / "store").rglob("*")}
    assert {"photos", "cat", "0.png"} <= unpacked
    assert not unpacked & {"__MACOSX", "._0.png", ".DS_Store", "Thumbs.db"}


HOSTILE = {
    "../evil.png": png(),
    "../../../evil.png": png(),
    "photos/../../evil.png": png(),
    "/evil.png": png(),
    "//evil.png": png(),
    "C:/evil.png": png(),
    "C:evil.png": png(),
    "..\\evil.png": png(),
    "\\evil.png": png(),
}


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_paths_that_leave_the_archive(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    entries = {**PHOTOS, **HOSTILE}
    path = zipped(folder / "a.zip", entries) if kind == "zip" else tarred(folder / "a.tar", entries)
    dataset = read(path)
    assert len(dataset) == len(PHOTOS)
    assert set(left_out(dataset).values()) == {"its path leaves the archive"}
    assert len(dataset.problems) == len(HOSTILE)
    assert outside(folder) == []
    assert [one.name for one in tmp_path.iterdir()] == ["in"]
    assert not Path("/evil.png").exists()
    assert not list(tmp_path.rglob("*evil*"))


def test_links_and_devices_in_a_tar(tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    infos = []
    for name, kind, target in (
        ("photos/cat/link.png", tarfile.SYMTYPE, "/etc/passwd"),
        ("photos/bird", tarfile.SYMTYPE, str(tmp_path / "secret")),
        ("photos/cat/hard.png", tarfile.LNKTYPE, "../../../../etc/passwd"),
        ("photos/cat/device.png", tarfile.CHRTYPE, ""),
        ("photos/cat/pipe.png", tarfile.FIFOTYPE, ""),
    ):
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, target
        infos.append(info)
    through = tarfile.TarInfo("photos/bird/1.png")
    through.size = 0
    dataset = read(tarred(tmp_path / "a.tar", PHOTOS, *infos, through))
    reasons = left_out(dataset)
    assert [reasons[info.name] for info in infos] == ["a link"] * 3 + ["not a regular file"] * 2
    assert not any(path.is_symlink() for path in (tmp_path / "store").rglob("*"))
    assert list((tmp_path / "secret").iterdir()) == []


@pytest.mark.parametrize("mtime", [-5, 1e30, float("nan"), float("inf")])
def test_times_that_no_file_has(tmp_path: Path, mtime: float) -> None:
    info = tarfile.TarInfo("photos/cat/9.png")
    info.pax_headers = {"mtime": str(mtime)}
    dataset = read(tarred(tmp_path / "a.tar", PHOTOS, info))
    (written,) = (tmp_path / "store").rglob("9.png")
    assert written.stat().st_mtime == 0
    assert len(dataset) == len(PHOTOS) + 1


def test_names_that_are_no_text(tmp_path: Path) -> None:
    content = tarred(tmp_path / "a.tar", {**PHOTOS, "photos/cat/XX.png": png()}, mode="w").read_bytes()
    (tmp_path / "a.tar").write_bytes(forged(content, b"photos/cat/XX.png", b"photos/cat/\xff\xfe.png"))
    dataset = read(tmp_path / "a.tar")
    assert len(dataset) == len(PHOTOS)
    assert [problem.reason for problem in dataset.problems] == ["its name is not valid UTF-8: rename it"]


def forged(content: bytes, name: bytes, other: bytes) -> bytes:
    """A tar with another name in one header, and the sum over the header that belongs to it."""
    at = content.index(name)
    header = bytearray(content[at : at + 512].replace(name, other))
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return content[:at] + bytes(header) + content[at + 512 :]


def test_links_in_a_zip(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", PHOTOS)
    with zipfile.ZipFile(path, "a") as archive:
        link = zipfile.ZipInfo("photos/cat/link.png")
        link.create_system, link.external_attr = 3, 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    dataset = read(path)
    assert left_out(dataset) == {"photos/cat/link.png": "a link"}


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "ALWAYS_ALLOWED", 2**25)
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("a/1.png", "w") as entry:
        for _ in range(40):
            entry.write(bytes(2**20))
    monkeypatch.setattr(zipfile.ZipFile, "open", lambda *_, **__: pytest.fail("it was unpacked"))
    with pytest.raises(BadArchive, match="100 times") as raised:
        read(path)
    assert "harmful" in raised.value.title
    assert nothing_is_left(tmp_path)


def test_a_bomb_that_lies_about_its_size_writes_no_more_than_it_says(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {**PHOTOS, "photos/cat/big.png": bytes(5_000_000)}, compression=8)
    content = path.read_bytes()
    assert content.count(struct.pack("<I", 5_000_000)) == 2
    path.write_bytes(content.replace(struct.pack("<I", 5_000_000), struct.pack("<I", 1000)))
    dataset = read(path)
    assert "damaged" in left_out(dataset)["photos/cat/big.png"]
    assert sum(one.stat().st_size for one in (tmp_path / "store").rglob("*") if one.is_file()) < 100_000


def test_a_tar_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "ALWAYS_ALLOWED", 2**20)
    path = tarred(tmp_path / "bomb.tar.gz", {"a/1.png": bytes(8 * 2**20)}, mode="w:gz")
    with pytest.raises(BadArchive, match="100 times"):
        read(path)
    assert nothing_is_left(tmp_path)


def test_a_tar_header_that_would_fill_the_memory(tmp_path: Path) -> None:
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 2**33
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    content = packer.compress(info.tobuf(tarfile.GNU_FORMAT)) + packer.compress(bytes(50 * 2**20)) + packer.flush()
    (tmp_path / "a.tar.gz").write_bytes(content)
    with pytest.raises(BadArchive, match="header"):
        read(tmp_path / "a.tar.gz")


def test_too_many_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MOST_FILES", 5)
    for path in (zipped(tmp_path / "a.zip", PHOTOS), tarred(tmp_path / "a.tar", PHOTOS)):
        with pytest.raises(BadArchive, match="more than 5 files"):
            read(path)


def test_the_disk_has_to_hold_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "SPARE_BYTES", 10**18)
    for path in (zipped(tmp_path / "a.zip", PHOTOS), tarred(tmp_path / "a.tar", PHOTOS)):
        with pytest.raises(DiskFull, match="free where the workspace lies"):
            read(path)
        assert nothing_is_left(tmp_path)


def test_a_disk_that_fills_up_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    path = zipped(tmp_path / "a.zip", PHOTOS)
    monkeypatch.setattr(os, "utime", full)
    with pytest.raises(DiskFull):
        read(path)
    assert nothing_is_left(tmp_path)


def test_names_of_every_kind(tmp_path: Path) -> None:
    names = {
        "photos/cat/ünï 🐈 عربى.png": png(),
        "photos/cat/" + "x" * 300 + ".png": png(),
        "photos/cat/" + "d/" * 200 + "1.png": png(),
        "photos/cat/0.png/inside.png": png(),
        "photos\\dog\\windows.png": png(),
    }
    path = zipped(tmp_path / "a.zip", {**PHOTOS, **names})
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("photos/cat/1.png", png(99))
    dataset = read(path)
    there = set(dataset.images.tolist())
    assert {"cat/ünï 🐈 عربى.png", "dog/windows.png"} <= there
    reasons = list(left_out(dataset).values())
    assert "its name is longer than 255 bytes" in reasons
    assert "more than 64 folders deep" in reasons
    assert "another entry of the archive has the same name" in reasons
    assert len(dataset.problems) == 4


def test_damaged_entries_are_listed_and_the_rest_is_used(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {**PHOTOS, "photos/cat/bad.png": b"A" * 1000})
    content = path.read_bytes()
    path.write_bytes(content.replace(b"A" * 1000, b"A" * 999 + b"B"))
    dataset = read(path)
    assert len(dataset) == len(PHOTOS)
    assert "CRC" in left_out(dataset)["photos/cat/bad.png"]
    assert not list((tmp_path / "store").rglob("bad.png"))


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz", "a.tar.xz"])
@pytest.mark.parametrize("kept", [0.0, 0.3, 0.8])
def test_archives_that_are_cut_off(tmp_path: Path, name: str, kept: float) -> None:
    rng = np.random.default_rng(0)
    entries = {f"{c}/{i}.png": rng.bytes(3000) for c in "ab" for i in range(20)}
    if name.endswith("zip"):
        path = zipped(tmp_path / name, entries)
    else:
        path = tarred(tmp_path / name, entries, mode="w:" + name.removeprefix("a.tar").removeprefix("."))
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(BadArchive, match="damaged or cut off"):
        read(path)
    assert not (tmp_path / "store").exists() or nothing_is_left(tmp_path)


def test_noise_in_an_archive_raises_nothing_else(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    good = zipped(tmp_path / "good.zip", PHOTOS, compression=8).read_bytes()
    packed = tarred(tmp_path / "good.tar.gz", PHOTOS, mode="w:gz").read_bytes()
    for turn in range(25):
        for name, whole in (("a.zip", good), ("a.tar.gz", packed)):
            content = bytearray(whole)
            for at in rng.integers(0, len(content), size=4):
                content[at] = int(rng.integers(256))
            (tmp_path / name).write_bytes(content)
            with suppress(BadArchive, EmptyDataset, OneClass):
                assert len(read(tmp_path / name)) <= len(PHOTOS), turn
            shutil.rmtree(tmp_path / "store", ignore_errors=True)
    assert outside(tmp_path) == []


def test_a_password(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", PHOTOS)
    content = bytearray(path.read_bytes())
    at = content.index(b"PK\x01\x02")
    content[at + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(BadArchive, match="password"):
        read(path)


def test_an_unknown_compression(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", PHOTOS)
    content = bytearray(path.read_bytes())
    at = content.index(b"PK\x01\x02")
    content[at + 10] = 97
    path.write_bytes(content)
    assert len(left_out(read(path))) == 1


def test_without_a_place_to_unpack_to(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="unpacked"):
        open_dataset(zipped(tmp_path / "a.zip", PHOTOS))


def test_an_archive_without_images(tmp_path: Path) -> None:
    with pytest.raises(EmptyDataset):
        read(zipped(tmp_path / "a.zip", {"readme.txt": b"hello"}))
    with pytest.raises(EmptyDataset):
        read(zipped(tmp_path / "b.zip", {}))


def test_cancelling_leaves_nothing(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", PHOTOS)

    def stop(done: int, total: int, message: str = "") -> None:
        if done == 5:
            raise Cancelled

    with pytest.raises(Cancelled):
        open_dataset(path, store=tmp_path / "store", progress=stop)
    assert nothing_is_left(tmp_path)
    assert len(read(path)) == len(PHOTOS)


def test_a_killed_process_leaves_nothing_that_is_taken_for_whole(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", PHOTOS)
    script = """
        import os, signal, sys
        from core.datasets import open_dataset
        def die(done, total, message=""):
            if done == 5:
                os.kill(os.getpid(), signal.SIGKILL)
        open_dataset(sys.argv[1], store=sys.argv[2] and __import__("pathlib").Path(sys.argv[2]), progress=die)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(path), str(tmp_path / "store")], cwd=ROOT, check=False
    )
    assert done.returncode == -signal.SIGKILL
    assert list((tmp_path / "store").glob(".*.partial"))
    assert len(read(path)) == len(PHOTOS)
    assert not list((tmp_path / "store").glob(".*.partial"))


def test_what_nobody_has_touched_for_a_week_is_removed(tmp_path: Path) -> None:
    store = tmp_path / "store"
    for name, age in ((".old.partial", 8), (".new.partial", 6)):
        (store / name).mkdir(parents=True)
        os.utime(store / name, (time.time() - age * 86_400,) * 2)
    read(zipped(tmp_path / "a.zip", PHOTOS))
    assert [one.name for one in store.glob(".*.partial")] == [".new.partial"]


def test_two_at_once_unpack_once(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", PHOTOS)
    found: list[Dataset] = []
    written: list[str] = []

    def work() -> None:
        found.append(open_dataset(path, store=tmp_path / "store", progress=lambda *step: written.append(step[-1])))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {dataset.fingerprint for dataset in found} == {found[0].fingerprint}
    assert len(found) == 4
    assert sum("Unpacking" in message for message in written) == len(PHOTOS)


def test_the_mode_of_files_is_not_taken_over(tmp_path: Path) -> None:
    info = tarfile.TarInfo("photos/cat/run.png")
    info.mode, info.size = 0o4777, 0
    read(tarred(tmp_path / "a.tar", PHOTOS, info))
    (written,) = (tmp_path / "store").rglob("run.png")
    assert written.stat().st_mode & 0o7111 == 0


def test_the_same_content_under_another_name(tmp_path: Path) -> None:
    entries = {one.removeprefix("photos/"): content for one, content in PHOTOS.items()}
    for first, second in (("a.zip", "b.zip"), ("a.tar.gz", "b.tar.gz")):
        path = tmp_path / first
        if first.endswith("zip"):
            zipped(path, entries)
        else:
            tarred(path, entries, mode="w:gz")
        known = read(path)
        shutil.copy(path, tmp_path / second)
        again = read(tmp_path / second)
        assert (known.name, again.name) == ("a", "b")
        assert (again.id, again.fingerprint) == (known.id, known.fingerprint)
        shutil.rmtree(known.root)
        assert len(read(tmp_path / second)) == len(PHOTOS)


COMPRESSIONS = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_damage_in_every_compression(tmp_path: Path, compression: int) -> None:
    path = tmp_path / "a.zip"
    noise = np.random.default_rng(0).bytes(5000)
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in {**PHOTOS, "photos/cat/bad.png": noise}.items():
            archive.writestr(name, content)
    whole = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        entry = archive.getinfo("photos/cat/bad.png")
    start = entry.header_offset + 30 + len(entry.filename)
    # the first bytes of the packed content, then some in the middle
    for turn, places in enumerate((range(start, start + 12), range(start + 60, start + 1500))):
        content = bytearray(whole)
        for at in places:
            content[at] ^= 0x5A
        path = tmp_path / f"{turn}.zip"
        path.write_bytes(content)
        dataset = read(path)
        assert len(dataset) == len(PHOTOS)
        assert "damaged" in left_out(dataset)["photos/cat/bad.png"]


def test_a_folder_is_no_archive(tmp_path: Path) -> None:
    (tmp_path / "photos" / "cat").mkdir(parents=True)
    for path in (tmp_path / "photos", zipped(tmp_path / "a.zip", PHOTOS).rename(tmp_path / "a.jpg")):
        with pytest.raises(BadRequest, match="no archive") as raised:
            open_dataset(path, store=tmp_path / "store", choices=Choices(format="archive"))
        assert ".zip" in raised.value.next_step


def test_the_beginning_of_a_compressed_header(tmp_path: Path) -> None:
    for flags in (0, 4, 8, 16):
        for length in range(1, 16):
            (tmp_path / "a.tar.gz").write_bytes((b"\x1f\x8b\x08" + bytes([flags]) + bytes(12))[:length])
            with pytest.raises((BadArchive, EmptyDataset)):
                read(tmp_path / "a.tar.gz")
            shutil.rmtree(tmp_path / "store", ignore_errors=True)
