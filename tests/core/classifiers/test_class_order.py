from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from core.classifiers.class_order import imagenet_classes, matched
from core.classifiers.classifier import Classifier, load_classifier
from core.classifiers.preprocessing import squeezed
from core.classifiers.sanity import sanity_check
from core.datasets import Choices, Dataset, open_dataset
from core.errors import ClassCountMismatch, ClassMismatch

Named = Callable[[tuple[str, ...] | None, int], Classifier]


@pytest.fixture
def named(own_file: Path) -> Named:
    """named(classes, k): a classifier that says these are its classes."""

    def make(classes: tuple[str, ...] | None, k: int) -> Classifier:
        made = load_classifier(own_file)
        head = replace(
            made.head,
            weight=np.resize(made.head.weight, (k, made.d)).astype(np.float32),
            bias=np.zeros(k, dtype=np.float32),
        )
        return replace(made, head=head, classes=classes)

    return make


def test_the_models_names_decide_the_order(dark_and_light: Dataset, named: Named) -> None:
    dataset, classifier = matched(dark_and_light, named(("Light", "dark"), 2))
    assert dataset.classes == classifier.classes == ("Light", "dark")
    assert (dataset.labels == 1 - dark_and_light.labels).all()
    classifier.check_classes(dataset.classes)


def test_what_a_person_says_outweighs_the_file(dark_and_light: Dataset, named: Named) -> None:
    for classifier in (named(("dark", "light"), 2), named(("x", "y"), 2), named(None, 2)):
        dataset, agreed = matched(dark_and_light, classifier, ["light", "dark"])
        assert dataset.classes == agreed.classes == ("light", "dark")
        chosen = open_dataset(dark_and_light.root, choices=Choices(classes=("light", "dark")))
        dataset, agreed = matched(chosen, classifier)
        assert dataset.classes == agreed.classes == ("light", "dark")


def test_without_names_the_datasets_order_stands(dark_and_light: Dataset, named: Named) -> None:
    assert matched(dark_and_light, named(None, 2))[0] is dark_and_light
    # what transformers writes where nobody named the classes
    dataset, classifier = matched(dark_and_light, named(("LABEL_0", "LABEL_1"), 2))
    assert dataset is dark_and_light
    classifier.check_classes(dataset.classes)


def test_numbers_that_are_the_folders_names_are_names(tmp_path: Path, named: Named) -> None:
    for folder in range(12):
        (tmp_path / "digits" / str(folder)).mkdir(parents=True)
        for i in range(3):
            Image.new("RGB", (4, 4)).save(tmp_path / "digits" / str(folder) / f"{i}.png")
    digits = open_dataset(tmp_path / "digits")
    numbered = tuple(str(i) for i in range(12))
    assert matched(digits, named(numbered, 12))[0].classes == numbered


def test_other_classes_and_other_counts_are_refused(dark_and_light: Dataset, named: Named) -> None:
    with pytest.raises(ClassMismatch, match="was trained on other classes: cat, dog"):
        matched(dark_and_light, named(("cat", "dog"), 2))
    with pytest.raises(ClassCountMismatch, match="tells 3 classes apart"):
        matched(dark_and_light, named(None, 3))
    with pytest.raises(ClassCountMismatch, match="tells 3 classes apart"):
        matched(dark_and_light, named(("a", "b", "c"), 3), ["dark", "light"])
    with pytest.raises(ClassMismatch, match="do not include light"):
        matched(dark_and_light, named(None, 2), ["dark", "lite"])
    # names that another choice of them mends, whatever the count
    with pytest.raises(ClassMismatch, match="do not include light") as caught:
        matched(dark_and_light, named(None, 3), ["dark", "lite", "grey"])
    assert caught.type is ClassMismatch


def test_images_without_labels_take_the_models_names(tmp_path: Path, named: Named) -> None:
    Image.new("RGB", (20, 20)).save(tmp_path / "0.png")
    Image.new("RGB", (20, 20), (255, 0, 0)).save(tmp_path / "1.png")
    plain = open_dataset(tmp_path)
    assert matched(plain, named(None, 2))[0].choices.classes is None
    dataset, classifier = matched(plain, named(("cat", "dog"), 2))
    assert not dataset.labelled
    assert classifier.classes == dataset.choices.classes == ("cat", "dog")


@pytest.mark.parametrize("named_by_file", [True, False])
def test_a_thousand_imagenet_classes_against_ten_folders(tmp_path: Path, named_by_file: bool) -> None:
    """A network of 1,000 outputs that looks at the brightness; folders are called as ImageNet calls its classes."""
    classes = imagenet_classes()
    assert len(classes) == 1000
    logits = [0, 1, 207, 281, 404, 511, 620, 701, 850, 999]
    rng = np.random.default_rng(0)
    for place, logit in enumerate(logits):
        folder = tmp_path / "ten" / classes[logit].replace(" ", "_").upper()
        folder.mkdir(parents=True)
        for i in range(12):
            level = 12 + 25 * place
            Image.fromarray(np.clip(level + rng.normal(0, 4, (8, 8, 3)), 0, 255).astype(np.uint8)).save(
                folder / f"{i}.png"
            )
    network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2), nn.Linear(2, 1000))
    with torch.no_grad():
        network[2].weight.copy_(torch.tensor([[1 / 3] * 3, [0.0] * 3]))
        network[2].bias.copy_(torch.tensor([0.0, 1.0]))
        network[3].weight.zero_()
        network[3].bias.fill_(-1000)
        for place, logit in enumerate(logits):
            # the nearest level wins: -(x - level)^2 without its x^2
            level = (12 + 25 * place) / 255
            network[3].weight[logit] = 100 * torch.tensor([2 * level, -(level**2)])
            network[3].bias[logit] = 0
    file = tmp_path / "bright.pt"
    torch.jit.script(network.eval()).save(str(file))
    loaded = load_classifier(file, preprocessing=replace(squeezed(8), mean=(0.0,) * 3, std=(1.0,) * 3))
    given = replace(loaded, classes=classes if named_by_file else None)
    dataset, classifier = matched(open_dataset(tmp_path / "ten"), given)
    assert len(dataset.classes) == 1000
    assert len(set(dataset.classes)) == 1000
    assert sorted(set(dataset.labels.tolist())) == logits
    found = sanity_check(dataset, classifier)
    assert found.images == 120
    assert found.accuracy > 0.95
    assert found.offers == ()


def test_a_thousand_outputs_and_other_folders_are_refused(dark_and_light: Dataset, named: Named) -> None:
    with pytest.raises(ClassMismatch, match="tells 1000 classes apart"):
        matched(dark_and_light, named(None, 1000))


def test_folders_named_by_wordnet_need_timm_to_be_matched(
    tmp_path: Path, named: Named, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("n01440764", "n15075141"):
        (tmp_path / "ten" / name).mkdir(parents=True)
        for i in range(2):
            Image.new("RGB", (4, 4)).save(tmp_path / "ten" / name / f"{i}.png")
    two = open_dataset(tmp_path / "ten")
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ClassMismatch) as caught:
        matched(two, named(None, 1000))
    assert "requirements-timm.txt" in caught.value.next_step
    monkeypatch.undo()
    pytest.importorskip("timm")
    dataset, _ = matched(two, named(None, 1000))
    assert sorted(set(dataset.labels.tolist())) == [0, 999]
    assert (dataset.classes[0], dataset.classes[999]) == ("tench, n01440764", "toilet tissue, n15075141")
    again = open_dataset(two.root, choices=dataset.choices)
    assert again.classes == dataset.classes
