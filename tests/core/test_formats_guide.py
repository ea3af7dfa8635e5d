"""docs/formats.md names every format and every origin of models, and what it says to type works."""

from __future__ import annotations

import io
import json
import pickle
import re
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from torch import nn

from core.classifiers.architectures import build
from core.classifiers.checkpoint import ModelDescription, write_checkpoint
from core.classifiers.origins import PROGRAMS
from core.classifiers.preprocessing import squeezed
from core.datasets import FORMATS, open_dataset

from .guide_commands import commands, printed

GUIDE = (Path(__file__).parents[2] / "docs/formats.md").read_text(encoding="utf-8")
# what `Classifier.origin` can be
ORIGINS = ("torch", "timm", "transformers", *PROGRAMS)
# field of `Choices` -> the option that sets it
OPTIONS = {
    "columns": "--column",
    "attributes": "--attributes",
    "target": "--target",
    "group": "--group",
    "images": "--images",
}
SPRITES = "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz"


def section(name: str) -> str:
    """What stands under a heading of the third level."""
    found = re.search(rf"^### {re.escape(name)}\n(.*?)(?=^##)", GUIDE + "\n##", re.MULTILINE | re.DOTALL)
    assert found, f"docs/formats.md has no section {name}"
    return found[1]


def picture(path: str, shade: int = 90) -> None:
    place = Path(path)
    place.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 6), (shade, 140, 60)).save(place)


def photos() -> None:
    for split, count in (("train", 3), ("val", 2), ("test", 2)):
        for name in ("cat", "dog"):
            for index in range(count):
                picture(f"photos/{split}/{name}/{index}.jpg", 40 * index)


def snapshots() -> None:
    for name in ("1.jpg", "2.jpg", "2024/may/3.jpg"):
        picture(f"snapshots/{name}")


def skin() -> None:
    rows = [(f"ISIC_{i:07d}", ("naevus", "melanoma")[i % 2], ("female", "male")[i // 2 % 2], i % 3) for i in range(12)]
    for name, *_ in rows:
        picture(f"skin/images/{name}.jpg")
    lines = [f"{name},{label},{sex},site{site}" for name, label, sex, site in rows]
    Path("skin/labels.csv").write_text("\n".join(["isic_id,diagnosis,sex,site", *lines]) + "\n")


def tables() -> None:
    skin()
    lines = ["image,MEL,NV,BCC"]
    for index in range(9):
        picture(f"one-hot/{index}.jpg")
        lines.append(f"{index}.jpg," + ",".join(str(int(index % 3 == place)) for place in range(3)))
    Path("one-hot/labels.csv").write_text("\n".join(lines) + "\n")
    for split in ("train", "test"):
        rows = [{"file_name": f"{index}.jpg", "label": ("cat", "dog")[index % 2], "boxes": []} for index in range(6)]
        for row in rows:
            picture(f"imagefolder/{split}/{row['file_name']}")
        Path(f"imagefolder/{split}/metadata.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))


def birds() -> None:
    lines = ["img_filename,y,split,place"]
    for index in range(12):
        picture(f"birds/00{index % 2 + 1}.Bird/{index}.jpg")
        lines.append(f"00{index % 2 + 1}.Bird/{index}.jpg,{index % 2},{index % 3},{index // 2 % 2}")
    Path("birds/metadata.csv").write_text("\n".join(lines) + "\n")


def celeba() -> None:
    names = ("Bald", "Blond_Hair", "Male", "Young")
    rows, splits = [], []
    for index in range(1, 13):
        picture(f"celeba/img_align_celeba/{index:06d}.jpg")
        signs = [1 if index & bit else -1 for bit in (1, 2, 4, 8)]
        rows.append(f"{index:06d}.jpg {' '.join(f'{sign:2d}' for sign in signs)}")
        splits.append(f"{index:06d}.jpg {index % 3}")
    Path("celeba/list_attr_celeba.txt").write_text("\n".join(["12", " ".join(names), *rows]) + "\n")
    Path("celeba/list_eval_partition.txt").write_text("\n".join(splits) + "\n")


def camelyon() -> None:
    lines = [",patient,node,x_coord,y_coord,tumor,slide,center,split"]
    for index in range(16):
        patient, node, center = f"{index // 4:03d}", index // 2 % 2, index // 4
        of = f"patient_{patient}_node_{node}"
        picture(f"camelyon17_v1.0/patches/{of}/patch_{of}_x_{index}_y_7.png")
        lines.append(f"{index},{patient},{node},{index},7,{index % 2},0,{center},{index // 2 % 2}")
    Path("camelyon17_v1.0/metadata.csv").write_text("\n".join(lines) + "\n")
    Path("camelyon17_v1.0/RELEASE_v1.0.txt").write_text("")


def owned(count: int) -> pa.Table:
    """Pictures with labels and owners, described as Hugging Face does."""
    target = io.BytesIO()
    Image.new("RGB", (8, 6), "green").save(target, format="PNG")
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table(
        {
            "image": pa.array([{"bytes": target.getvalue(), "path": f"{i}.png"} for i in range(count)], kind),
            "label": pa.array([i % 2 for i in range(count)], pa.int64()),
            "owner": ["ada" if i // 2 % 2 else "bob" for i in range(count)],
        }
    )
    features = {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}, "image": {"_type": "Image"}}
    return table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})


def pets() -> None:
    Path("pets/data").mkdir(parents=True)
    for split, count in (("train", 12), ("test", 8)):
        pq.write_table(owned(count), f"pets/data/{split}-00000-of-00001.parquet")


def kept() -> None:
    name = "data-00000-of-00001.arrow"
    for split, count in (("train", 12), ("test", 8)):
        folder = Path("kept", split)
        folder.mkdir(parents=True)
        table = owned(count)
        with pa.OSFile(str(folder / name), "wb") as target, pa.ipc.new_stream(target, table.schema) as writer:
            writer.write_table(table)
        (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": name}]}))
    Path("kept/dataset_dict.json").write_text(json.dumps({"splits": ["train", "test"]}))


def digits() -> None:
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (24, 8, 8), dtype=np.uint8)
    rows = np.arange(24)
    np.savez("digits.npz", images=pictures, labels=rows % 3, ink=np.array(["red", "green"])[rows // 3 % 2])


def sprites() -> None:
    sizes = (1, 3, 2, 4, 3, 2)
    codes = np.stack(np.meshgrid(*map(np.arange, sizes), indexing="ij"), axis=-1).reshape(-1, 6)
    values = codes / np.array([1, 1, 2, 2 / np.pi, 2, 2]) + np.array([1, 1, 0.5, 0, 0, 0])
    pictures = np.zeros((len(codes), 64, 64), dtype=np.uint8)
    pictures[:, 20:40, 20:40] = 1
    np.savez_compressed(SPRITES, imgs=pictures, latents_classes=codes, latents_values=values)


def cifar() -> None:
    folder = Path("cifar-100-python")
    folder.mkdir()
    for name in ("train", "test"):
        fine = [i % 100 for i in range(200)]
        data = np.zeros((200, 3072), dtype=np.uint8)
        batch = {"data": data, "fine_labels": fine, "coarse_labels": [(i + i // 100) % 20 for i in range(200)]}
        (folder / name).write_bytes(pickle.dumps(batch, 4))
    names = {"fine_label_names": [f"f{i}" for i in range(100)], "coarse_label_names": [f"c{i}" for i in range(20)]}
    (folder / "meta").write_bytes(pickle.dumps(names, 4))


def idx(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    head = bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape)
    path.write_bytes(head + values.astype(np.uint8).tobytes())


def mnist() -> None:
    places = [("MNIST/raw/", "train", "t10k"), ("EMNIST/raw/emnist-letters-", "train", "test")]
    places.append(("EMNIST/raw/emnist-balanced-", "train", "test"))
    for before, *parts in places:
        for part in parts:
            idx(Path(f"{before}{part}-images-idx3-ubyte"), np.zeros((20, 28, 28)))
            idx(Path(f"{before}{part}-labels-idx1-ubyte"), np.arange(20) % 10)


def packed() -> None:
    photos()
    skin()
    shutil.make_archive("photos", "zip", ".", "photos")
    shutil.make_archive("skin", "zip", ".", "skin")


# format -> what makes the sets its section speaks of, besides photos
MADE: dict[str, Callable[[], None]] = {
    "class-folders": photos,
    "images": snapshots,
    "table": tables,
    "metadata-csv": birds,
    "celeba": celeba,
    "wilds": camelyon,
    "hf-parquet": pets,
    "hf-arrow": kept,
    "npz": digits,
    "dsprites": sprites,
    "cifar": cifar,
    "idx": mnist,
    "archive": packed,
}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MIDBAND_WORKSPACE", str(tmp_path / "workspace"))
    return tmp_path


def test_the_guide_and_this_test_know_every_format() -> None:
    names = {one.name for one in FORMATS}
    assert set(MADE) == names
    rows = re.findall(r"^\| \[[^|]+\]\(#([\w-]+)\) \| `([\w-]+)` \|", GUIDE, re.MULTILINE)
    assert all(link == name for link, name in rows)
    assert {name for _, name in rows} == names | set(ORIGINS)


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_a_small_set_of_each_format_is_read_as_the_guide_says(form: Any, here: Path) -> None:
    text = section(form.name)
    for field in form.choosing:
        assert OPTIONS[field] in text, f"the section on {form.name} does not say what {OPTIONS[field]} does"
    if form.name != "class-folders":
        photos()
    if form.name == "archive":
        shutil.rmtree("photos")
    MADE[form.name]()
    typed = commands(text)
    assert typed[0][:2] == ["look", "--data"]
    found = [printed(words) for words in typed]
    # what is in an archive is read as what it is
    formats = {"class-folders", "table"} if form.name == "archive" else {form.name}
    assert {one["format"] for one in found} == formats
    for one, words in zip(found, typed, strict=True):
        assert one["images"] > 0
        assert one["problems"] == [], words
        assert one["labelled"] == (form.name != "images")
        if "--target" in words and form.name not in ("idx", "cifar"):
            assert words[words.index("--target") + 1] not in [attribute["name"] for attribute in one["attributes"]]
        if "--group" in words:
            assert one["attributes"][0]["name"] == words[words.index("--group") + 1]
    if form.name != "archive":
        again = open_dataset(here / typed[0][2], store=here / "workspace/datasets")
        assert again.source == form.name


class Tiny(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
        self.head = nn.Linear(4, 2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(images).mean((2, 3)))


def midband_and_torchvision() -> None:
    state = build("small", 2).state_dict()
    write_checkpoint(
        Path("model.safetensors"),
        state,
        ModelDescription(arch="small", classes=("cat", "dog"), preprocessing=squeezed(32)),
    )
    torch.save({"epoch": 3, "state_dict": build("resnet18", 2).state_dict()}, "weights.pt")


def timm_folder() -> None:
    timm = pytest.importorskip("timm")
    network = timm.create_model("resnet18", num_classes=2)
    timm.models.save_for_hf(network, "timm-model", safe_serialization=True)
    torch.save(network.state_dict(), "timm-weights.pt")


def transformers_folder() -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic", num_labels=2
    )
    network = transformers.ResNetForImageClassification(config).eval()
    network.save_pretrained("transformers-model")
    torch.save(network.state_dict(), "transformers-weights.pt")


def script() -> None:
    torch.jit.script(Tiny().eval()).save("script.pt")


def exported() -> None:
    torch.export.save(torch.export.export(Tiny().eval(), (torch.zeros(1, 3, 32, 32),)), "model.pt2")


def onnx_graph() -> None:
    torch.onnx.export(Tiny().eval(), (torch.zeros(1, 3, 32, 32),), "model.onnx", dynamo=False)


MODELS: dict[str, Callable[[], None]] = {
    "torch": midband_and_torchvision,
    "timm": timm_folder,
    "transformers": transformers_folder,
    "torchscript": script,
    "exported": exported,
    "onnx": onnx_graph,
}


@pytest.mark.parametrize("origin", ORIGINS)
def test_a_small_model_of_each_origin_is_tried_as_the_guide_says(origin: str, here: Path) -> None:
    from core.classifiers.classifier import load_classifier

    photos()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        MODELS[origin]()
    typed = commands(section(origin))
    assert typed
    for words in typed:
        assert words[:3] == ["check", "--data", "photos"]
        assert printed(words)["images"] == 14
        arch = words[words.index("--arch") + 1] if "--arch" in words else None
        assert load_classifier(here / words[words.index("--model") + 1], arch=arch).origin == origin


def test_what_the_introductions_say_to_type_works(here: Path) -> None:
    photos()
    midband_and_torchvision()
    before = GUIDE.partition("### class-folders")[0]
    between = GUIDE.partition("## Models")[2].partition("### torch\n")[0]
    typed = [*commands(before), *commands(between)]
    assert [words[0] for words in typed] == ["look", "check", "analyse"]
    for words in typed:
        printed(words)
