from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from core.classifiers import image_cache
from core.classifiers.classifier import load_classifier
from core.classifiers.preprocessing import squeezed
from core.classifiers.training import TrainedModel, default_epochs, train_erm
from core.datasets import open_dataset
from core.datasets.dataset import Attribute, Dataset
from core.errors import BadRequest, Cancelled, EmptyDataset, OneClass


def quick(dataset: Dataset, out: Path, **options: Any) -> TrainedModel:
    return train_erm(dataset, out=out, **{"image_size": 16, "epochs": 2, **options})


def test_training_learns_what_is_there_to_learn(tmp_path: Path, dark_and_light: Dataset) -> None:
    trained = train_erm(dark_and_light, out=tmp_path / "m.safetensors", image_size=16, epochs=8)
    assert trained.accuracy == 1.0
    assert trained.split == "test"
    assert [(g.class_name, g.concept, g.count, g.accuracy) for g in trained.groups] == [
        ("dark", None, 12, 1.0),
        ("light", None, 12, 1.0),
    ]
    assert trained.to_dict()["groups"][0] == {"class": "dark", "concept": None, "count": 12, "accuracy": 1.0}
    classifier = load_classifier(trained.model)
    assert classifier.classes == ("dark", "light")
    assert classifier.preprocessing == squeezed(16)


def test_same_seed_gives_the_same_weights_and_another_seed_others(tmp_path: Path, dark_and_light: Dataset) -> None:
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        torch.manual_seed(hash(name) % 1000)  # whatever the caller's random state is
        quick(dark_and_light, tmp_path / f"{name}.safetensors", seed=seed)
    a, b, c = (load_file(tmp_path / f"{name}.safetensors") for name in "abc")
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not torch.equal(a["head.weight"], c["head.weight"])


def test_training_leaves_the_callers_random_state_alone(tmp_path: Path, dark_and_light: Dataset) -> None:
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    quick(dark_and_light, tmp_path / "m.safetensors", epochs=1)
    assert torch.equal(torch.rand(3), wanted)


def test_a_torchvision_architecture_trains_too(tmp_path: Path, dark_and_light: Dataset) -> None:
    trained = train_erm(
        dark_and_light, arch="mobilenet_v3_small", out=tmp_path / "m.safetensors", image_size=32, epochs=1
    )
    assert load_classifier(trained.model).arch == "mobilenet_v3_small"


def test_groups_are_class_by_first_attribute_on_test(tmp_path: Path, dark_and_light: Dataset) -> None:
    # pictures of even number lie on the left, of odd number on the right
    codes = np.array([int(str(name)[-5]) % 2 for name in dark_and_light.images], dtype=np.int16)
    dataset = replace(dark_and_light, attributes=(Attribute("side", ("left", "right"), codes),))
    groups = quick(dataset, tmp_path / "m.safetensors").groups
    assert [(g.class_name, g.concept, g.count) for g in groups] == [
        ("dark", "left", 6),
        ("dark", "right", 6),
        ("light", "left", 6),
        ("light", "right", 6),
    ]


def test_progress_counts_images_upwards_to_its_total(tmp_path: Path, dark_and_light: Dataset) -> None:
    seen: list[tuple[int, int, str]] = []
    quick(dark_and_light, tmp_path / "m.safetensors", progress=lambda *step: seen.append(step))
    done = [step[0] for step in seen]
    assert done == sorted(done)
    assert {step[1] for step in seen} == {72 + 2 * 48 + 24}
    assert done[-1] == seen[-1][1]
    assert any("Epoch 2 of 2: loss" in step[2] for step in seen)


def test_cancelled_training_leaves_nothing(tmp_path: Path, dark_and_light: Dataset) -> None:
    def cancel(done: int, total: int, message: str = "") -> None:
        if "Epoch" in message:
            raise Cancelled

    with pytest.raises(Cancelled):
        quick(dark_and_light, tmp_path / "out" / "m.safetensors", progress=cancel)
    assert not (tmp_path / "out").exists()


def test_unreadable_images_are_left_out_and_listed(tmp_path: Path, dark_and_light: Dataset) -> None:
    broken = dark_and_light.root / "train" / "dark" / "003.png"
    broken.write_bytes(broken.read_bytes()[:60])
    trained = quick(dark_and_light, tmp_path / "m.safetensors")
    assert [problem.image for problem in trained.skipped] == ["train/dark/003.png"]


def test_nothing_readable_is_said(tmp_path: Path, dark_and_light: Dataset) -> None:
    for file in dark_and_light.root.rglob("*.png"):
        file.write_bytes(b"no image")
    with pytest.raises(EmptyDataset, match="None of the 72"):
        quick(dark_and_light, tmp_path / "m.safetensors")


def test_class_lost_to_unreadable_images_is_said(tmp_path: Path, dark_and_light: Dataset) -> None:
    for file in (dark_and_light.root / "train" / "dark").glob("*.png"):
        file.write_bytes(b"no image")
    with pytest.raises(OneClass, match="light"):
        quick(dark_and_light, tmp_path / "m.safetensors")


@pytest.mark.parametrize(
    "options",
    [{"epochs": 0}, {"image_size": 4}, {"arch": "smal"}, {"arch": "densenet121", "image_size": 16}, {"out": "m.pt"}],
)
def test_impossible_settings_are_refused_before_decoding(
    tmp_path: Path, dark_and_light: Dataset, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_cache, "decode", pytest.fail)
    out = tmp_path / str(options.pop("out", "m.safetensors"))
    with pytest.raises(BadRequest):
        train_erm(dark_and_light, out=out, **options)
    assert not out.exists()


def test_pixels_on_disk_are_the_pixels_in_memory(
    tmp_path: Path, dark_and_light: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = np.arange(5, 30)
    options = {"folder": tmp_path, "max_pixels": 10**6}
    in_memory = image_cache.decode_images(dark_and_light, ids, squeezed(16), **options)
    monkeypatch.setattr(image_cache, "IN_MEMORY", 0)
    on_disk = image_cache.decode_images(dark_and_light, ids, squeezed(16), **options)
    assert (tmp_path / "pixels.npy").is_file()
    assert np.array_equal(in_memory.pixels, on_disk.pixels)
    assert in_memory.ids.tolist() == ids.tolist()
    first = Image.open(dark_and_light.root / str(dark_and_light.images[5])).convert("RGB")
    assert np.array_equal(in_memory.pixels[0], squeezed(16).pixels(first))


def test_more_images_need_fewer_epochs() -> None:
    assert default_epochs("small", 100) == 40
    assert default_epochs("small", 3000) == 20
    assert default_epochs("small", 10**7) == 4
    assert default_epochs("resnet18", 3000) < default_epochs("small", 3000)


def test_training_without_test_images_says_so(tmp_path: Path, dark_and_light: Dataset) -> None:
    dataset = replace(dark_and_light, splits=np.zeros(len(dark_and_light), dtype=np.int8))
    trained = quick(dataset, tmp_path / "m.safetensors")
    assert trained.split == "train"
    assert sum(group.count for group in trained.groups) == 72


def test_dataset_without_train_images_is_refused(tmp_path: Path, dark_and_light: Dataset) -> None:
    dataset = replace(dark_and_light, splits=np.full(len(dark_and_light), 2, dtype=np.int8))
    with pytest.raises(EmptyDataset, match="train split"):
        quick(dataset, tmp_path / "m.safetensors")


def test_a_confounder_that_agrees_is_learnt(tmp_path: Path) -> None:
    """The point of ERM here: with a frame that agrees with the class, the worst group is where it disagrees."""
    rng = np.random.default_rng(0)
    root = tmp_path / "framed"
    rows = ["img_filename,y,split,frame"]
    root.mkdir()
    for index in range(240):
        split = 0 if index < 160 else 2
        y = index % 2
        frame = y if split == 0 else (index // 2) % 2
        pixels = np.clip(rng.normal(110 + 8 * y, 40, size=(20, 20, 3)), 0, 255).astype(np.uint8)
        pixels[:3] = 230 if frame else 20
        Image.fromarray(pixels).save(root / f"{index:03d}.png")
        rows.append(f"{index:03d}.png,{y},{split},{frame}")
    (root / "metadata.csv").write_text("\n".join(rows) + "\n")
    trained = train_erm(open_dataset(root), out=tmp_path / "m.safetensors", image_size=20, epochs=10)
    groups = {(g.class_name, g.concept): g.accuracy for g in trained.groups}
    assert min(groups["0", "0"], groups["1", "1"]) > 0.9
    assert max(groups["0", "1"], groups["1", "0"]) < 0.6
