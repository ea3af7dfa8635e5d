"""Networks with a planted fault, found and mended; networks without one, left alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from core.classifiers import network_precision, sanity
from core.classifiers.alternatives import alternatives, smaller_inputs
from core.classifiers.classifier import Classifier, load_classifier
from core.classifiers.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing, squeezed
from core.classifiers.sanity import NO_LABELS, Sanity, sanity_check
from core.datasets import Choices, Dataset, open_dataset
from core.errors import Cancelled, ClassMismatch, EmptyDataset

SIDE = 16
# what each class looks like: no two are each other's with red and blue exchanged
COLOURS = {
    "apple": (200, 70, 60),
    "ash": (120, 120, 120),
    "coal": (50, 50, 50),
    "lemon": (210, 200, 70),
    "plum": (120, 50, 150),
}
CLASSES = tuple(COLOURS)
USUAL = squeezed(SIDE)


def draw(root: Path, per_class: int = 60, shape: tuple[int, int] = (20, 24)) -> Dataset:
    rng = np.random.default_rng(0)
    for name, colour in COLOURS.items():
        for split, count in (("train", per_class // 2), ("test", per_class // 2)):
            folder = root / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                pixels = np.asarray(colour) * rng.uniform(0.75, 1.15) + rng.normal(0, 25, (*shape, 3))
                Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{i:03d}.png")
    return open_dataset(root)


@pytest.fixture(scope="module")
def fruit(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return draw(tmp_path_factory.mktemp("data") / "fruit")


def inputs(dataset: Dataset, chosen: Preprocessing) -> torch.Tensor:
    found = [chosen.apply(Image.open(dataset.root / name).convert("RGB")) for name in dataset.images.tolist()]
    return torch.from_numpy(np.stack(found))


Trained = Callable[..., Classifier]


@pytest.fixture(scope="module")
def trained(fruit: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """trained(with_, labels=): a network that learned the labels from images prepared so, opened as if in the usual
    way."""
    folder = tmp_path_factory.mktemp("models")

    def train(with_: Preprocessing, labels: np.ndarray | None = None, k: int = len(CLASSES)) -> Classifier:
        batch = inputs(fruit, with_)
        targets = torch.from_numpy(fruit.labels if labels is None else labels)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network = nn.Sequential(
                nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * with_.channels, 24), nn.ReLU(), nn.Linear(24, k)
            )
            # the first layer learns at the scale of its inputs, as it would in a longer training
            with torch.no_grad():
                scale = float(batch.std())
                network[2].weight /= scale
                network[2].bias -= float(batch.mean()) / scale * network[2].weight.sum(dim=1) * scale
            optimizer = torch.optim.Adam(
                [
                    {"params": [network[2].weight], "lr": 0.02 / scale},
                    {"params": [network[2].bias, *network[4].parameters()], "lr": 0.02},
                ]
            )
            for _ in range(200):
                optimizer.zero_grad()
                nn.functional.cross_entropy(network(batch), targets).backward()
                optimizer.step()
        file = folder / f"{len(list(folder.iterdir()))}.pt"
        torch.jit.script(network.eval()).save(str(file))
        loaded = load_classifier(file, preprocessing=with_)
        return replace(loaded, preprocessing=USUAL) if with_.channels == 3 else loaded

    return train


def checked(dataset: Dataset, classifier: Classifier, **options: int) -> Sanity:
    found = sanity_check(dataset, classifier, **options)
    assert found.to_dict()["sentence"] == found.sentence
    return found


def test_network_that_is_fine_gets_no_offer(fruit: Dataset, trained: Trained) -> None:
    found = checked(fruit, trained(USUAL))
    assert found.accuracy > 0.9
    assert found.chance == pytest.approx(0.2)
    assert found.images == 300
    assert found.verdict == found.to_dict()["verdict"] == "good"
    assert found.offers == ()
    assert found.sentence == (
        f"Accuracy is {found.accuracy:.0%} on 300 images: the order of the classes and the preprocessing look right."
    )


def test_permuted_classes_are_found_and_the_offer_mends_them(fruit: Dataset, trained: Trained) -> None:
    order = np.array([3, 0, 4, 1, 2])
    classifier = trained(USUAL, order[fruit.labels])
    found = checked(fruit, classifier)
    assert found.accuracy < 0.1
    assert [offer.kind for offer in found.offers] == ["classes"]
    offer = found.offers[0]
    # class c was taught as logit order[c]
    assert offer.classes == ("ash", "lemon", "plum", "apple", "coal")
    assert offer.accuracy > 0.9
    assert offer.title == "Use the order ash, lemon, plum, apple, coal"
    assert "the classes may be in another order" in found.sentence
    assert f"With ash, lemon, plum, apple, coal it is {offer.accuracy:.0%}." in found.sentence
    mended = open_dataset(fruit.root, choices=Choices(classes=offer.classes))
    again = checked(mended, classifier)
    assert again.offers == ()
    assert again.accuracy > 0.9


def test_two_exchanged_classes_are_called_so(fruit: Dataset, trained: Trained) -> None:
    found = checked(fruit, trained(USUAL, np.array([0, 2, 1, 3, 4])[fruit.labels]))
    assert [offer.title for offer in found.offers] == ["Exchange ash and coal"]
    # three of five classes are right, and still nobody should take it as it is
    assert found.verdict == "weak"


@pytest.mark.parametrize(
    ("planted", "title"),
    [
        (replace(USUAL, colour="bgr", mean=IMAGENET_MEAN[::-1], std=IMAGENET_STD[::-1]), "blue, green, red"),
        (replace(USUAL, mean=(0.0,) * 3, std=(1 / 255,) * 3), "values from 0 to 255"),
        (replace(USUAL, mean=(0.0,) * 3, std=(1.0,) * 3), "values from 0 to 1"),
        (replace(USUAL, colour="bgr", mean=(0.0,) * 3, std=(1 / 255,) * 3), "values from 0 to 255"),
    ],
    ids=["bgr", "bytes", "no-normalisation", "bgr-bytes"],
)
def test_other_preprocessing_is_found_and_the_offer_mends_it(
    fruit: Dataset, trained: Trained, planted: Preprocessing, title: str
) -> None:
    classifier = trained(planted)
    found = checked(fruit, classifier)
    assert found.accuracy < 0.8
    offer = found.offers[0]
    assert offer.kind == "preprocessing"
    assert title in offer.title
    assert offer.preprocessing is not None
    assert offer.preprocessing.colour == planted.colour
    assert offer.accuracy > 0.9
    assert "the preprocessing may be another one" in found.sentence
    mended = checked(fruit, replace(classifier, preprocessing=offer.preprocessing))
    assert mended.offers == ()
    assert mended.accuracy > 0.9


def test_networks_that_are_simply_bad_get_no_offer(fruit: Dataset, trained: Trained) -> None:
    """They learned labels that have nothing to do with the images."""
    for seed in range(6):
        labels = np.random.default_rng(seed).permutation(fruit.labels)
        found = checked(fruit, trained(USUAL, labels), seed=seed)
        assert found.accuracy < 0.6
        assert found.verdict != "good"
        assert found.offers == ()
        assert "No other order of the classes and no usual preprocessing is clearly better" in found.sentence


def test_network_that_always_gives_one_answer(fruit: Dataset, trained: Trained) -> None:
    found = checked(fruit, trained(USUAL, np.full(len(fruit), 2)))
    assert found.offers == ()
    assert found.accuracy == pytest.approx(0.2)
    assert found.verdict == "none"
    assert "no better than always answering" in found.sentence


def test_grey_network_with_other_values(fruit: Dataset, trained: Trained) -> None:
    """Only the brightness tells them apart: one channel, two classes."""
    kept = np.isin(fruit.labels, [1, 2, 3])
    dark = np.where(fruit.labels == 2, 1, 0)
    two = replace(
        fruit, classes=("light", "dark"), images=fruit.images[kept], labels=dark[kept], splits=fruit.splits[kept]
    )
    grey = replace(USUAL, colour="grey", mean=(0.0,), std=(1 / 255,))
    classifier = trained(grey, dark, k=2)
    assert checked(two, classifier).offers == ()
    found = checked(two, replace(classifier, preprocessing=replace(grey, std=(1.0,))))
    assert [offer.preprocessing for offer in found.offers] == [grey]


def test_accuracy_is_that_of_the_whole_dataset_though_classes_are_drawn_evenly(
    fruit: Dataset, trained: Trained, tmp_path: Path
) -> None:
    """A class that is never recognised and rare costs little, though a fifth of the images drawn are of it."""
    rare = np.isin(fruit.labels, [0]) & (np.arange(len(fruit)) % 10 > 0)
    kept = ~rare
    few = replace(fruit, images=fruit.images[kept], labels=fruit.labels[kept], splits=fruit.splits[kept])
    taught = np.where(fruit.labels == 0, 1, fruit.labels)
    found = checked(few, trained(USUAL, taught), images=30)
    assert found.images == 30
    share = float((few.labels == 0).mean())
    assert found.accuracy == pytest.approx(1 - share, abs=0.06)
    assert found.chance == pytest.approx(60 / len(few))


def test_images_without_labels_cannot_be_checked(trained: Trained, tmp_path: Path) -> None:
    Image.new("RGB", (20, 20)).save(tmp_path / "0.png")
    Image.new("RGB", (20, 20), (255, 0, 0)).save(tmp_path / "1.png")
    found = checked(open_dataset(tmp_path), trained(USUAL))
    assert found.sentence == NO_LABELS
    assert found.to_dict()["accuracy"] is None
    assert found.to_dict()["verdict"] is None
    assert found.images == 0


def test_broken_images_are_passed_over(tmp_path: Path, trained: Trained) -> None:
    dataset = draw(tmp_path / "fruit", per_class=8)
    for file in sorted(dataset.root.rglob("*.png"))[:7]:
        file.write_bytes(b"not an image")
    assert checked(dataset, trained(USUAL)).images == 33
    for file in dataset.root.rglob("*.png"):
        file.write_bytes(b"")
    with pytest.raises(EmptyDataset, match="None of 40 images of fruit could be read"):
        sanity_check(dataset, trained(USUAL))


def test_another_number_of_classes_is_refused(fruit: Dataset, trained: Trained) -> None:
    with pytest.raises(ClassMismatch):
        sanity_check(fruit, trained(USUAL, k=9))


def test_it_can_be_stopped(fruit: Dataset, trained: Trained) -> None:
    def stop(done: int, total: int, message: str = "") -> None:
        assert 0 <= done <= total
        if message.startswith("Trying") and done:
            raise Cancelled

    with pytest.raises(Cancelled):
        sanity_check(fruit, trained(USUAL), progress=stop)


class OfOneSize(nn.Module):
    """Knows classes by how far apart the stripes of an input of 32 pixels are; anything enlarged looks alike to it."""

    def __init__(self, turned: bool = False) -> None:
        super().__init__()
        self.head = nn.Linear(2, 2)
        with torch.no_grad():
            self.head.weight.copy_(torch.eye(2).flip(0) if turned else torch.eye(2))
            self.head.bias.zero_()

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        grey = batch.mean(dim=1)
        near = (grey[:, :, 1:] - grey[:, :, :-1]).abs().mean(dim=(1, 2))
        return self.head(torch.stack([near, torch.full_like(near, 0.4)], dim=1))


@pytest.fixture(scope="module")
def stripes(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Images of 32 x 32: thin stripes and thick ones, in a little noise."""
    rng, root = np.random.default_rng(0), tmp_path_factory.mktemp("data") / "stripes"
    for name, width in (("a thin", 2), ("b thick", 8)):
        for split in ("train", "test"):
            (root / split / name).mkdir(parents=True)
            for i in range(30):
                line = 60 + 120 * ((np.arange(32) + rng.integers(8)) // width % 2)
                pixels = line[None, :, None] + rng.normal(0, 4, (32, 32, 3))
                Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(root / split / name / f"{i:02d}.png")
    return open_dataset(root)


def of_one_size(tmp_path: Path, chosen: Preprocessing, turned: bool = False) -> Classifier:
    torch.jit.script(OfOneSize(turned).eval()).save(str(tmp_path / "model.pt"))
    return load_classifier(tmp_path / "model.pt", preprocessing=chosen)


@pytest.mark.parametrize("turned", [False, True])
def test_smaller_input_is_found_for_small_images_and_the_offer_mends_it(
    stripes: Dataset, tmp_path: Path, turned: bool
) -> None:
    classifier = of_one_size(tmp_path, Preprocessing(256, 224), turned=turned)
    found = checked(stripes, classifier)
    assert found.verdict == "none"
    assert [offer.kind for offer in found.offers] == ["preprocessing"]
    offer = found.offers[0]
    assert offer.preprocessing is not None
    assert offer.preprocessing.crop == 32
    assert offer.classes == (("b thick", "a thin") if turned else None)
    assert offer.title == "Use inputs of 32 x 32 pixels" + (" and the order b thick, a thin" if turned else "")
    assert offer.title.removeprefix("Use ") in found.sentence
    data = open_dataset(stripes.root, choices=Choices(classes=offer.classes)) if turned else stripes
    again = checked(data, replace(classifier, preprocessing=offer.preprocessing))
    assert again.offers == ()
    assert again.verdict == "good"
    assert again.accuracy == pytest.approx(offer.accuracy, abs=0.05)


def test_small_images_are_told_where_no_other_size_can_be_tried(
    stripes: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    classifier = of_one_size(tmp_path, Preprocessing(256, 224))
    real = network_precision.Runner.__call__

    def fixed(self: network_precision.Runner, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if pixels.shape[1] != 224:
            raise ValueError("another size")
        return real(self, pixels)

    monkeypatch.setattr(network_precision.Runner, "__call__", fixed)
    found = checked(stripes, classifier)
    assert found.offers == ()
    assert found.sentence.endswith(
        "The images are 32 x 32, the network gets 224 x 224: was it trained on smaller inputs?"
    )


def test_smaller_inputs_are_for_images_far_below() -> None:
    assert smaller_inputs(Preprocessing(256, 224), (112, 200)) == ()
    found = smaller_inputs(Preprocessing(256, 224), (48, 60))
    assert [one.preprocessing.crop for one in found] == [48, 32, 64, 96, 128]
    assert [one.preprocessing.resize for one in found] == [48, 32, 64, 96, 128]
    assert [one.preprocessing for one in smaller_inputs(squeezed(64), (8, 8))] == [squeezed(32)]


def test_alternatives_differ_from_what_there_is_and_from_each_other() -> None:
    for chosen in (
        USUAL,
        Preprocessing(256, 224),
        Preprocessing(40, 32, (0.0,) * 3, (1.0,) * 3, colour="bgr"),
        Preprocessing(None, 28, (0.5,), (0.5,), colour="grey"),
    ):
        found = [one.preprocessing for one in alternatives(chosen)]
        assert len(set(found)) == len(found)
        assert chosen not in found
        assert all(one.crop == chosen.crop and one.channels == chosen.channels for one in found)
        assert len({one.title for one in alternatives(chosen)}) == len(found)


def test_whole_numbers_have_no_means_to_try() -> None:
    for chosen, titles in (
        (USUAL, ["the channels as blue, green, red"]),
        (Preprocessing(None, 28, (0.5,), (0.5,), colour="grey"), []),
    ):
        found = alternatives(chosen, whole_numbers=True)
        assert all(one.preprocessing in [other.preprocessing for other in alternatives(chosen)] for one in found)
        assert [one.title for one in found if one.preprocessing.resize == chosen.resize] == titles
        for one in (other.preprocessing for other in found):
            assert (sorted(one.mean), sorted(one.std)) == (sorted(chosen.mean), sorted(chosen.std))


def test_a_network_of_whole_numbers_is_not_tried_with_other_means(
    fruit: Dataset, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    classifier = trained(USUAL, np.random.default_rng(0).permutation(fruit.labels))
    said: list[str] = []

    def note(done: int, total: int, message: str = "") -> None:
        said.append(message)

    sanity_check(fruit, classifier, progress=note)
    assert any("values from -1 to 1" in message for message in said)
    said.clear()
    monkeypatch.setattr(Classifier, "whole_numbers", True)
    sanity_check(fruit, classifier, progress=note)
    assert any("blue, green, red" in message for message in said)
    assert not any("values from" in message for message in said)


def test_accuracy_is_told_before_anything_else_is_tried(fruit: Dataset, trained: Trained) -> None:
    said: list[str] = []
    dark = replace(USUAL, mean=(0.0,) * 3, std=(1 / 255,) * 3)
    found = sanity_check(fruit, trained(dark), progress=lambda done, total, message="": said.append(message))
    now = f"{found.accuracy:.0%} right so far"
    orders = said.index(f"{now}, trying other orders of the classes")
    during = [message for message in said[:orders] if "right so far" in message]
    assert during
    assert all(message.startswith("Trying ") for message in during)
    after = [message for message in said[orders + 1 :] if message]
    assert after
    assert all(message.startswith(f"{now}, trying ") for message in after)


@pytest.mark.parametrize(("crop", "expected"), [(64, 40), (384, 32), (512, 24)])
def test_precisions_are_compared_on_enough_images_of_any_size(
    crop: int, expected: int, fruit: Dataset, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Large inputs go in a few at a time; of so few, nothing could be said."""
    compared: list[int] = []
    real = network_precision.parity

    def parity(exact: np.ndarray, rounded: np.ndarray) -> network_precision.Parity:
        compared.append(len(exact))
        return real(exact, rounded)

    monkeypatch.setattr(network_precision, "why_not_bf16", lambda classifier, images: "")
    monkeypatch.setattr(network_precision, "parity", parity)
    classifier = trained(USUAL)
    sanity_check(fruit, replace(classifier, preprocessing=squeezed(crop)), images=40)
    assert compared == [expected]


@pytest.mark.parametrize("same", [True, False])
def test_bfloat16_is_used_where_it_says_the_same(
    fruit: Dataset, trained: Trained, monkeypatch: pytest.MonkeyPatch, same: bool
) -> None:
    """As on a processor that has instructions for it; a network that it changes runs in float32."""
    made: list[str] = []
    ran: list[str] = []
    real = network_precision.runner

    def runner(classifier: Classifier, precision: str) -> network_precision.Runner:
        made.append(precision)
        found = real(classifier, "fp32")

        class Counted(type(found)):  # type: ignore[misc]
            def __call__(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
                ran.append(precision)
                features, logits = super().__call__(pixels)
                return features, logits if same or precision == "fp32" else -logits

        return Counted(**found.__dict__)

    monkeypatch.setattr(network_precision, "why_not_bf16", lambda classifier, images: "")
    monkeypatch.setattr(network_precision, "runner", runner)
    # a few images at a time, so that some come after the comparison
    monkeypatch.setattr(sanity, "PIXELS_AT_ONCE", 40 * SIDE**2)
    assert checked(fruit, trained(USUAL)).accuracy > 0.9
    assert made == ["fp32", "bf16"]
    assert ran[-1] == ("bf16" if same else "fp32")
