"""Training the whole network: real pictures, a network that goes by their frame, tags from the truth."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from core.activations.extraction import analyse
from core.activations.store import Analysis
from core.classifiers.architectures import build
from core.classifiers.checkpoint import ModelDescription, write_checkpoint
from core.classifiers.classifier import load_classifier
from core.classifiers.preprocessing import squeezed
from core.classifiers.training import train_erm
from core.concepts.concept import create_concept
from core.concepts.tags import tag
from core.datasets import open_dataset
from core.errors import BadRequest, Cancelled, EmptyGroup, LeakedImages, NotEnoughTags, PathNotFound
from core.retraining import finetune as module
from core.retraining.curation import Curation, curate
from core.retraining.finetune import FORGIVING, Finetuned, balanced_order, finetune, measured
from core.retraining.finetune_images import ChosenImages, part_images, without_twins
from core.retraining.finetune_knobs import KNOBS
from core.retraining.material import Gathered, chosen_concepts, gather
from core.retraining.methods import METHODS, checked_settings
from core.retraining.runs import retrain, run_logits
from core.workspace import Workspace, open_workspace

SIDE = 16
QUICK = {"epochs": 3, "batch": 32, "learning_rate": 3e-4}


@dataclass(frozen=True)
class Framed:
    """A workspace with one analysis: class by a bar that lies or stands, and mostly by the frame around it."""

    workspace: Workspace
    analysis: Analysis
    gathered: Gathered
    curation: Curation

    def finetune(self, folder: Path, **options: Any) -> Finetuned:
        settings = {**QUICK, **options.pop("settings", {})}
        curation = options.pop("curation", self.curation)
        return finetune(self.analysis, self.gathered, curation, settings=settings, folder=folder, **options)

    def worst_group(self, logits: np.ndarray) -> float:
        test = self.analysis.split_rows("test")
        right = logits[test].argmax(axis=1) == self.analysis.labels[test]
        groups = self.analysis.labels[test] * 2 + self.analysis.attributes[0].codes[test]
        return float(min(right[groups == group].mean() for group in np.unique(groups)))


def draw(root: Path, *, count: tuple[int, int, int] = (320, 240, 160), agreement: float = 0.9) -> Path:
    """Bars that lie (0) or stand (1), under noise, in dark or light frames that agree with them but on test."""
    rng = np.random.default_rng(0)
    root.mkdir()
    rows = ["img_filename,y,split,frame"]
    for split, images in enumerate(count):
        for index in range(images):
            y = index % 2
            frame = y if split < 2 and rng.random() < agreement else (index // 2) % 2
            pixels = rng.normal(110, 25, (SIDE, SIDE, 3))
            place = int(rng.integers(4, 10))
            bar = (slice(place, place + 2), slice(3, 13))
            pixels[bar if y == 0 else bar[::-1]] += 60
            pixels[[0, -1]] = pixels[:, [0, -1]] = 200 if frame else 30
            name = f"{split}-{index:03d}.png"
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(root / name)
            rows.append(f"{name},{y},{split},{frame}")
    (root / "metadata.csv").write_text("\n".join(rows) + "\n")
    return root


def tag_truth(workspace: Workspace, analysis: Analysis, rows: np.ndarray, name: str = "light frame") -> None:
    concept = create_concept(workspace, analysis.dataset_id, name)
    truth = analysis.attributes[0].codes[rows] == 1
    for present in (True, False):
        tag(workspace, analysis, concept, rows[truth == present], present)


@pytest.fixture(scope="module")
def framed(tmp_path_factory: pytest.TempPathFactory) -> Framed:
    folder = tmp_path_factory.mktemp("framed")
    dataset = open_dataset(draw(folder / "pictures"))
    trained = train_erm(dataset, out=folder / "model.safetensors", image_size=SIDE, epochs=4)
    workspace = open_workspace(folder / "workspace")
    analysis = analyse(workspace, dataset, load_classifier(trained.model))
    tag_truth(workspace, analysis, analysis.split_rows("val")[:120])
    gathered = gather(workspace, analysis, chosen_concepts(workspace, analysis, ()))
    material = gathered.material
    curation = curate(material.pool, material.concepts, rng=np.random.default_rng(0))
    return Framed(workspace, analysis, gathered, curation)


@pytest.fixture(scope="module")
def finished(framed: Framed, tmp_path_factory: pytest.TempPathFactory) -> Finetuned:
    return framed.finetune(tmp_path_factory.mktemp("finished"))


def test_the_worst_group_rises(framed: Framed, tmp_path: Path) -> None:
    tuned = framed.finetune(tmp_path, settings={"epochs": 10, "learning_rate": 1e-3, "patience": 10})
    assert framed.worst_group(framed.analysis.logits) < 0.6
    assert framed.worst_group(tuned.logits) > framed.worst_group(framed.analysis.logits) + 0.15
    assert tuned.best_epoch > 0
    assert len(tuned.history) == tuned.epochs + 1 == 11
    assert "learnt from" in tuned.notes[-1]
    assert f"epoch {tuned.best_epoch} of 10" in tuned.notes[-1]


def test_the_file_holds_the_network_that_gave_the_logits(framed: Framed, finished: Finetuned) -> None:
    again = load_classifier(finished.weights)
    assert again.classes == framed.analysis.classes
    assert again.preprocessing == squeezed(SIDE)
    rows = np.arange(0, framed.analysis.n, 7)
    images = [Image.open(framed.analysis.image_path(int(row))).convert("RGB") for row in rows]
    batch = np.stack([again.preprocessing.apply(image) for image in images])
    features, logits = again(torch.from_numpy(batch))
    assert np.allclose(logits.numpy(), finished.logits[rows], atol=1e-4)
    assert np.allclose(finished.head.logits(features.numpy()), finished.logits[rows], atol=1e-4)
    assert finished.logits.shape == (framed.analysis.n, 2)
    assert finished.logits.dtype == np.float32


def test_learning_stopping_and_measuring_use_different_images(framed: Framed, finished: Finetuned) -> None:
    val, test = framed.analysis.split_rows("val"), framed.analysis.split_rows("test")
    assert not np.intersect1d(finished.trained, finished.stopping).size
    assert np.isin(np.concatenate([finished.trained, finished.stopping]), val).all()
    assert not np.intersect1d(finished.trained, test).size
    group = dict(zip(framed.curation.rows.tolist(), framed.curation.groups.tolist(), strict=True))
    for code in np.unique(framed.curation.groups):
        aside = sum(group[row] == code for row in finished.stopping.tolist())
        assert aside == max(1, round(0.25 * (framed.curation.groups == code).sum()))


def test_the_same_seed_gives_the_same_weights_and_another_others(
    framed: Framed, finished: Finetuned, tmp_path: Path
) -> None:
    same = framed.finetune(tmp_path / "same")
    assert np.array_equal(same.logits, finished.logits)
    assert same.history == finished.history
    assert not np.array_equal(framed.finetune(tmp_path / "other", seed=1).logits, finished.logits)


@pytest.mark.parametrize("stop_at", [2, 9, 14])
def test_a_killed_training_goes_on_to_the_same_weights(
    framed: Framed, finished: Finetuned, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_at: int
) -> None:
    monkeypatch.setattr(module, "NOTE_EVERY", 0.0)
    steps: list[str] = []

    def cancel(done: int, total: int, message: str = "") -> None:
        steps.extend([message] if message.startswith("Epoch") else [])
        if len(steps) > stop_at:
            raise Cancelled

    with pytest.raises(Cancelled):
        framed.finetune(tmp_path, progress=cancel)
    assert not list(tmp_path.glob("pixels-*"))
    after: list[str] = []
    tuned = framed.finetune(tmp_path, progress=lambda *step: after.append(step[2]))
    assert np.array_equal(tuned.logits, finished.logits)
    assert tuned.history == finished.history
    whole = 3 * round(len(finished.trained) / QUICK["batch"])
    assert len([message for message in after if message.startswith("Epoch")]) == whole - stop_at


def test_a_finished_training_only_computes_what_is_missing(framed: Framed, tmp_path: Path) -> None:
    first = framed.finetune(tmp_path)
    said: list[str] = []
    again = framed.finetune(tmp_path, progress=lambda *step: said.append(step[2]))
    assert not [message for message in said if message.startswith("Epoch")]
    assert np.array_equal(first.logits, again.logits)


def test_notes_of_other_work_and_damaged_ones_are_not_gone_on_from(
    framed: Framed, finished: Finetuned, tmp_path: Path
) -> None:
    framed.finetune(tmp_path, settings={"learning_rate": 5e-3})
    assert np.array_equal(framed.finetune(tmp_path).logits, finished.logits)
    (tmp_path / "state.safetensors").write_bytes(b"half a file")
    assert np.array_equal(framed.finetune(tmp_path).logits, finished.logits)


def test_pixels_left_by_a_killed_process_go(framed: Framed, tmp_path: Path) -> None:
    (tmp_path / "pixels-left").mkdir()
    (tmp_path / "pixels-left" / "pixels.npy").write_bytes(b"much")
    framed.finetune(tmp_path, settings={"epochs": 1})
    assert {path.name.rsplit("-", 1)[0] for path in tmp_path.iterdir()} <= {
        "state.safetensors",
        "model.safetensors",
        "best",
    }
    assert len(list(tmp_path.glob("best-*"))) == 1


def test_training_that_does_not_help_is_said_and_ends_early(framed: Framed, tmp_path: Path) -> None:
    # steps as wild as these only harm
    tuned = framed.finetune(tmp_path, settings={"epochs": 40, "learning_rate": 0.1, "patience": 2})
    assert tuned.epochs == tuned.best_epoch + 2 < 40
    assert tuned.history[tuned.best_epoch]["score"] == max(entry["score"] for entry in tuned.history)
    if tuned.best_epoch == 0:
        assert "no epoch of training was better" in tuned.notes[-1]
        # the backbone is the one it was
        old, new = load_classifier(framed.analysis.model_file), load_classifier(tuned.weights)
        assert all(torch.equal(*pair) for pair in zip(weights(old.backbone), weights(new.backbone), strict=True))


def weights(backbone: Any) -> list[torch.Tensor]:
    assert isinstance(backbone, nn.Module)
    return list(backbone.state_dict().values())


def test_only_the_last_block_changes_where_that_was_asked_for(framed: Framed, tmp_path: Path) -> None:
    tuned = framed.finetune(tmp_path, settings={"layers": "last-block", "epochs": 1, "patience": 1})
    old, new = load_classifier(framed.analysis.model_file), load_classifier(tuned.weights)
    assert isinstance(old.backbone, nn.Module)
    assert isinstance(new.backbone, nn.Module)
    changed = {
        name
        for (name, one), (_, other) in zip(
            old.backbone.state_dict().items(), new.backbone.state_dict().items(), strict=True
        )
        if not torch.equal(one, other)
    }
    assert all(name.startswith("features.4.") for name in changed)


def test_images_of_train_join_when_asked_but_for_those_judged_wrong(framed: Framed, tmp_path: Path) -> None:
    train = framed.analysis.split_rows("train")
    tuned = framed.finetune(tmp_path / "all", settings={"train_images": True, "epochs": 1})
    joined = np.intersect1d(tuned.trained, train)
    assert len(joined) > 0.5 * len(train)
    assert not np.intersect1d(tuned.stopping, train).size
    said = framed.gathered.statements
    wrong = said.wrong.copy()
    wrong[joined[:5]] = True
    without = replace(framed, gathered=replace(framed.gathered, statements=replace(said, wrong=wrong)))
    again = without.finetune(tmp_path / "some", settings={"train_images": True, "epochs": 1})
    assert np.array_equal(np.intersect1d(again.trained, train), joined[5:])


def test_images_of_train_cannot_join_without_a_probe(framed: Framed, tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="without a probe"):
        framed.finetune(
            tmp_path, curation=replace(framed.curation, probe=None), settings={"train_images": True, "epochs": 1}
        )


def test_curated_images_of_test_are_refused(framed: Framed, tmp_path: Path) -> None:
    rows = framed.curation.rows.copy()
    rows[3] = framed.analysis.split_rows("test")[0]
    with pytest.raises(LeakedImages):
        framed.finetune(tmp_path, curation=replace(framed.curation, rows=rows))


def test_torchscript_is_refused_in_words(framed: Framed, tmp_path: Path) -> None:
    analysis = replace(framed.analysis, arch="torchscript")
    with pytest.raises(BadRequest, match="TorchScript") as refused:
        finetune(analysis, framed.gathered, framed.curation, folder=tmp_path)
    assert "mid" in refused.value.next_step


@pytest.fixture
def moved(framed: Framed, tmp_path: Path) -> Callable[[], Framed]:
    """moved(): the same on a copy of the pictures, which may be spoiled."""

    def copy() -> Framed:
        root = tmp_path / "copy"
        draw(root)
        analysis = replace(framed.analysis, dataset_root=root)
        return replace(framed, analysis=analysis)

    return copy


def test_an_image_that_is_gone_is_named_before_anything_is_trained(moved: Callable[[], Framed], tmp_path: Path) -> None:
    there = moved()
    (there.analysis.dataset_root / "2-007.png").unlink()
    said: list[str] = []
    with pytest.raises(PathNotFound, match=r"2-007\.png"):
        there.finetune(tmp_path / "work", progress=lambda *step: said.append(step[2]))
    assert not said


def test_an_image_that_broke_is_named(moved: Callable[[], Framed], tmp_path: Path) -> None:
    there = moved()
    for name in ("1-000.png", "1-001.png", "2-003.png"):
        (there.analysis.dataset_root / name).write_bytes(b"no image")
    with pytest.raises(PathNotFound, match=r"1-00\d\.png|2-003\.png"):
        there.finetune(tmp_path / "work")


def test_images_that_changed_since_the_analysis_are_noticed(moved: Callable[[], Framed], tmp_path: Path) -> None:
    there = moved()
    for row in there.analysis.split_rows("val"):
        Image.fromarray(np.full((SIDE, SIDE, 3), 255, np.uint8)).save(there.analysis.image_path(int(row)))
    with pytest.raises(BadRequest, match="changed since the analysis"):
        there.finetune(tmp_path / "work")


def test_progress_counts_upwards_to_its_total(framed: Framed, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    framed.finetune(tmp_path, progress=lambda done, total, message="": seen.append((done, total)))
    done = [step[0] for step in seen]
    assert done == sorted(done)
    assert len({step[1] for step in seen}) == 1
    assert done[-1] == seen[-1][1]


def test_a_group_of_one_image_is_learnt_from_and_decides_nothing(framed: Framed) -> None:
    groups = framed.curation.groups.copy()
    groups[5] = 99
    parts = part_images(framed.analysis, replace(framed.curation, groups=groups), seed=0)
    assert 99 in parts.trained.groups
    assert 99 not in parts.stopping.groups
    assert "1 group has one curated image only" in parts.notes[0]
    with pytest.raises(NotEnoughTags):
        part_images(framed.analysis, replace(framed.curation, groups=np.arange(len(groups))), seed=0)


def test_a_duplicate_of_an_image_set_aside_is_not_learnt_from(framed: Framed) -> None:
    parts = part_images(framed.analysis, framed.curation, seed=0)
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (framed.analysis.n, 4, 4, 3), dtype=np.uint8)
    place = np.arange(framed.analysis.n)
    assert without_twins(parts, pixels, place) is parts
    pixels[parts.trained.rows[2]] = pixels[parts.stopping.rows[0]]
    left = without_twins(parts, pixels, place)
    assert np.array_equal(left.trained.rows, np.delete(parts.trained.rows, 2))
    assert left.notes[-1] == "1 duplicate of images set aside was not trained on."
    of_class = parts.trained.rows[parts.trained.labels == 0]
    pixels[of_class] = pixels[parts.stopping.rows[0]]
    with pytest.raises(EmptyGroup):
        without_twins(parts, pixels, place)


def test_every_group_comes_equally_often_and_every_image_of_it() -> None:
    groups = np.repeat([0, 3, 4], [100, 7, 20])
    order = balanced_order(groups, 126, 0)
    first = order(0)
    assert np.bincount(groups[first])[[0, 3, 4]].tolist() == [42, 42, 42]
    assert np.bincount(first, minlength=127)[100:107].tolist() == [6] * 7
    assert np.bincount(first).max() <= 6
    assert len(np.unique(first[groups[first] == 0])) == 42
    # each batch too, to within two images
    for batch in first.reshape(-1, 14):
        assert np.ptp(np.bincount(groups[batch])[[0, 3, 4]]) <= 2
    assert np.array_equal(first, balanced_order(groups, 126, 0)(0))
    assert not np.array_equal(first, order(1))


def test_a_group_of_few_images_set_aside_says_little_about_the_worst() -> None:
    labels = np.array([0] * 40 + [1] * 41)
    groups = np.array([0] * 40 + [3] * 40 + [2])
    images = ChosenImages(np.arange(81), labels, groups)
    sure = np.where(np.arange(2) == labels[:, None], 5.0, 0.0).astype(np.float32)
    one_wrong, ten_wrong = sure.copy(), sure.copy()
    one_wrong[80] = (5, 0)
    ten_wrong[:10] = (0, 5)
    few, many = measured(one_wrong, images), measured(ten_wrong, images)
    assert (few["worst_group"], many["worst_group"]) == (0.0, 0.75)
    assert few["mean_group"] == pytest.approx(2 / 3)
    assert many["score"] == pytest.approx((30 + FORGIVING * many["mean_group"]) / (40 + FORGIVING))
    assert few["score"] == pytest.approx(FORGIVING * few["mean_group"] / (1 + FORGIVING))
    assert measured(sure, images)["score"] == 1.0


def test_knobs_are_checked_by_name_and_range() -> None:
    # what a run is told when nobody says anything: the values that were tuned, not others beside them
    assert METHODS["finetune"].knobs is KNOBS
    assert checked_settings("finetune") == {knob.name: knob.default for knob in KNOBS}
    assert checked_settings("finetune", {"epochs": "4", "augment": "false"})["augment"] is False
    for settings, said in (
        ({"epoch": 3}, "no knob"),
        ({"epochs": 0}, "epochs is a whole number"),
        ({"learning_rate": "nan"}, "learning_rate is a number"),
        ({"layers": "first"}, "one of all, last-block"),
    ):
        with pytest.raises(BadRequest, match=said):
            checked_settings("finetune", settings)


def test_several_concepts_and_more_classes_are_trained_on_alike(workspace: Workspace, tmp_path: Path) -> None:
    """Three classes, two concepts, one of which does not occur in the last class."""
    rng = np.random.default_rng(0)
    root = tmp_path / "three"
    root.mkdir()
    rows = ["img_filename,y,split,dot"]
    for index in range(360):
        y, dot, split = index % 3, int(rng.random() < 0.5), 1 if index < 300 else 2
        dot = 0 if y == 2 else dot
        pixels = rng.normal(60 + 60 * y, 25, (SIDE, SIDE, 3))
        pixels[:3, :3] = 255 if dot else 0
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(root / f"{index:03d}.png")
        rows.append(f"{index:03d}.png,{y},{split},{dot}")
    (root / "metadata.csv").write_text("\n".join(rows) + "\n")
    dataset = open_dataset(root)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build("small", 3)
    description = ModelDescription("small", dataset.classes, squeezed(SIDE))
    write_checkpoint(tmp_path / "m.safetensors", network.state_dict(), description)
    analysis = analyse(workspace, dataset, load_classifier(tmp_path / "m.safetensors"))
    tag_truth(workspace, analysis, analysis.split_rows("val")[:150], "dot")
    gathered = gather(workspace, analysis, chosen_concepts(workspace, analysis, ()))
    material = gathered.material
    curation = curate(material.pool, material.concepts, rng=np.random.default_rng(0))
    tuned = finetune(analysis, gathered, curation, settings=QUICK, folder=tmp_path / "work")
    assert tuned.logits.shape == (360, 3)
    assert len(np.unique(curation.groups)) == 5
    assert set(np.unique(curation.groups)) == set(np.unique(curation.groups[np.isin(curation.rows, tuned.stopping)]))


def test_a_run_of_this_method_is_measured_with_the_trained_network(framed: Framed) -> None:
    run = retrain(framed.workspace, framed.analysis, method="finetune", settings={"epochs": 1, "batch": 32})
    test = framed.analysis.split_rows("test")
    logits = run_logits(framed.workspace, framed.analysis, run.run, test)
    everything = np.zeros((framed.analysis.n, 2), np.float32)
    everything[test] = logits
    assert run.kind == "network"
    assert run.after.worst_group == pytest.approx(framed.worst_group(everything))
    assert run.chosen["epochs"] == 1
    assert load_classifier(framed.workspace.runs / run.run / "model.safetensors").classes == framed.analysis.classes
    assert not (framed.workspace.runs / run.run / "training").exists()


def test_a_network_of_one_output_is_trained_as_two_logits(workspace: Workspace, tmp_path: Path) -> None:
    dataset = open_dataset(draw(tmp_path / "pictures", count=(20, 80, 20), agreement=0.5))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build("small", 1)
    write_checkpoint(tmp_path / "m.safetensors", network.state_dict(), ModelDescription("small", None, squeezed(SIDE)))
    analysis = analyse(workspace, dataset, load_classifier(tmp_path / "m.safetensors"))
    tag_truth(workspace, analysis, analysis.split_rows("val"))
    gathered = gather(workspace, analysis, chosen_concepts(workspace, analysis, ()))
    material = gathered.material
    curation = curate(material.pool, material.concepts, rng=np.random.default_rng(0))
    tuned = finetune(analysis, gathered, curation, settings={**QUICK, "epochs": 1}, folder=tmp_path / "work")
    assert tuned.logits.shape == (120, 2)
    assert load_classifier(tuned.weights).k == 2


def test_naming_the_method_and_importing_it_needs_no_torch() -> None:
    script = "import sys, core.retraining.finetune, core.retraining.finetune_knobs; print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=Path(__file__).parents[3], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"
