"""`look`, `check`, and what `analyse` and `train` take besides: from the command line, on images with planted truth."""

from __future__ import annotations

import io
import json
import re
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from core.__main__ import main
from core.activations.store import open_analysis
from core.classifiers.preprocessing import squeezed
from core.classifiers.sanity import Offer
from core.commands.data import _as_options
from core.datasets import open_dataset
from core.workspace import open_workspace

CLASSES = {"coal": (40, 40, 40), "leaf": (40, 190, 60), "rust": (190, 90, 50)}


def run(*arguments: object) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main([str(argument) for argument in arguments])
    return code, out.getvalue(), err.getvalue()


def printed(*arguments: object) -> dict[str, Any]:
    code, out, err = run(*arguments, "--json")
    assert code == 0, err
    return json.loads(out)


def refused(*arguments: object) -> dict[str, Any]:
    code, out, _ = run(*arguments, "--json")
    assert code == 2
    return json.loads(out)


@pytest.fixture(scope="module")
def stuff(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    root = tmp_path_factory.mktemp("data") / "stuff"
    for name, colour in CLASSES.items():
        for split, count in (("train", 30), ("test", 10)):
            folder = root / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                pixels = np.asarray(colour) + rng.normal(0, 20, (12, 16, 3))
                Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{i:02d}.png")
    return root


@pytest.fixture(scope="module")
def model(stuff: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """TorchScript without names, its logits: rust, coal, leaf. Wants blue first, and values from 0 to 1."""
    dataset = open_dataset(stuff)
    chosen = replace(squeezed(12), colour="bgr", mean=(0.0,) * 3, std=(1.0,) * 3)
    pixels = [chosen.apply(Image.open(stuff / name).convert("RGB")) for name in dataset.images.tolist()]
    targets = torch.tensor([1, 2, 0])[torch.from_numpy(dataset.labels)]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 16), nn.ReLU(), nn.Linear(16, 3))
        optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
        for _ in range(150):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(torch.from_numpy(np.stack(pixels))), targets).backward()
            optimizer.step()
    file = tmp_path_factory.mktemp("models") / "colours.pt"
    torch.jit.script(network.eval()).save(str(file))
    return file


RIGHT = ("--image-size", 12, "--colour", "bgr", "--mean", 0, "--std", 1)


def test_look_says_what_there_is_and_makes_no_workspace(stuff: Path, tmp_path: Path) -> None:
    found = printed("look", "--data", stuff, "--workspace", tmp_path / "none")
    assert found["images"] == 120
    assert found["format"] == "class-folders"
    assert found["counts"]["test"] == {"coal": 10, "leaf": 10, "rust": 10}
    assert found["problems"] == []
    assert not (tmp_path / "none").exists()
    code, text, _ = run("look", "--data", stuff)
    assert code == 0
    lines = text.splitlines()
    assert lines[0] == "stuff: 120 images of 3 classes (90 train, 30 test)."
    assert "  class  train  test  in all" in lines
    assert "  coal      30    10      40" in lines


def test_look_lists_attributes_and_what_was_left_out(tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "c.png", "d.png"):
        Image.new("RGB", (4, 4)).save(tmp_path / name)
    (tmp_path / "metadata.csv").write_text(
        "img_filename,y,y_name,split,place\na.png,0,ant,0,1\nb.png,1,bee,0,0\nc.png,1,bee,2,0\nd.png,0,ant,2,0\n"
        "absent.png,1,bee,2,0\n"
    )
    code, text, _ = run("look", "--data", tmp_path)
    assert code == 0
    assert "Attribute place: 0 (3), 1 (1)." in text
    assert "Left out: 1\n  absent.png: " in text


def test_what_was_left_out_for_one_reason_is_one_line_of_a_folder(tmp_path: Path) -> None:
    for name in ("ant", "bee"):
        (tmp_path / name).mkdir()
        for i in range(3):
            Image.new("RGB", (2, 2)).save(tmp_path / name / f"{i}.png")
    for i in range(30):
        (tmp_path / "ant" / f"{i:02d}.txt").write_text("")
    (tmp_path / "bee" / "notes.txt").write_text("")
    _, text, _ = run("look", "--data", tmp_path)
    told = text[text.index("Left out") :].splitlines()
    assert told[0] == "Left out: 31"
    first, second = sorted(told[1:3])
    assert re.fullmatch(r"  ant/\d\d\.txt and 29 more in ant: not an image file", first)
    assert second == "  bee/notes.txt: not an image file"
    assert told[3:] == ["  (--json lists them all)"]
    problems = printed("look", "--data", tmp_path)["problems"]
    assert len(problems) == 31
    assert set(problems[0]) == {"image", "reason"}


def test_many_classes_are_cut_short_for_people_only(tmp_path: Path) -> None:
    for i in range(45):
        (tmp_path / f"c{i:02d}").mkdir()
        Image.new("RGB", (2, 2)).save(tmp_path / f"c{i:02d}" / "0.png")
    _, text, _ = run("look", "--data", tmp_path)
    assert "… and 5 more classes (--json lists them all)" in text
    assert len(printed("look", "--data", tmp_path)["classes"]) == 45


def test_choices_reach_the_dataset(stuff: Path, tmp_path: Path) -> None:
    assert printed("look", "--data", stuff, "--classes", "rust,coal,leaf")["classes"] == ["rust", "coal", "leaf"]
    listed = tmp_path / "classes.txt"
    listed.write_text("rust, the orange one\ncoal\n\nleaf\n")
    assert printed("look", "--data", stuff, "--classes", listed)["classes"][0] == "rust, the orange one"
    assert printed("look", "--data", stuff, "--sample", 9)["images"] == 9
    assert refused("look", "--data", stuff, "--format", "magic")["error"] == "BadRequest"
    assert "label=species" in refused("look", "--data", stuff, "--column", "label")["detail"]
    assert "A column cannot be colour" in refused("look", "--data", stuff, "--column", "colour=x")["detail"]
    assert refused("look", "--data", stuff, "--classes", "a,b,c")["error"] == "ClassMismatch"


def test_check_finds_both_faults_one_after_the_other_and_types_the_remedy(stuff: Path, model: Path) -> None:
    call = ("check", "--data", stuff, "--model", model)
    permuted = printed(*call, *RIGHT)
    assert permuted["accuracy"] < 0.1
    assert permuted["offers"][0]["classes"] == ["rust", "coal", "leaf"]
    _, text, _ = run(*call, *RIGHT)
    assert "--classes rust,coal,leaf" in text
    order = ("--classes", "rust,coal,leaf")
    turned = printed(*call, *order, "--image-size", 12, "--mean", 0, "--std", 1)
    assert turned["accuracy"] < 0.8
    assert turned["offers"][0]["preprocessing"]["colour"] == "bgr"
    _, text, _ = run(*call, *order, "--image-size", 12, "--mean", 0, "--std", 1)
    typed = next(line for line in text.splitlines() if "--colour" in line).split("): ")[1].split()
    fine = printed(*call, *order, *typed)
    assert fine["accuracy"] > 0.95
    assert fine["offers"] == []
    assert fine["classes"] == ["rust", "coal", "leaf"]
    assert printed(*call, *order, *RIGHT, "--count", 30)["images"] == 30


def test_an_offer_of_both_is_typed_as_both() -> None:
    both = Offer("preprocessing", "", 0.9, classes=("rust", "old coal"), preprocessing=squeezed(12))
    typed = _as_options(both)
    assert "--image-size 12" in typed
    assert typed.endswith("--classes 'rust,old coal'")
    assert _as_options(replace(both, preprocessing=None)) == "--classes 'rust,old coal'"
    assert "--classes" not in _as_options(replace(both, classes=None))


def test_analyse_takes_order_colours_sample_and_precision(stuff: Path, model: Path, tmp_path: Path) -> None:
    call = ("analyse", "--data", stuff, "--model", model, "--workspace", tmp_path / "workspace", *RIGHT)
    found = printed(*call, "--classes", "rust,coal,leaf", "--sample", 60, "--precision", "fp32")
    assert found["images"] == 60
    assert found["classes"] == ["rust", "coal", "leaf"]
    assert found["accuracy"] > 0.9
    analysis = open_analysis(open_workspace(tmp_path / "workspace"), found["analysis"])
    assert analysis.preprocessing["colour"] == "bgr"
    assert analysis.preprocessing["mean"] == [0, 0, 0]
    assert "not one of" in refused(*call, "--precision", "int8")["detail"] or "invalid choice" in str(
        refused(*call, "--precision", "int8")
    )


def test_means_that_nobody_typed_follow_the_channels(stuff: Path, model: Path) -> None:
    call = ("check", "--data", stuff, "--model", model, "--classes", "rust,coal,leaf")
    given = printed(*call, "--image-size", 12, "--colour", "bgr")["preprocessing"]
    assert given["mean"] == [0.406, 0.456, 0.485]
    assert given["std"] == [0.225, 0.224, 0.229]
    typed = printed(*call, "--image-size", 12, "--colour", "bgr", "--mean", "0.1,0.2,0.3")["preprocessing"]
    assert typed["mean"] == [0.1, 0.2, 0.3]


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (("--mean", "1,2"), "neither one number nor three"),
        (("--mean", "a"), "not a list of numbers"),
        (("--std", "0"), "positive deviations"),
        (("--colour", "grey"), "needs its size"),
        (("--colour", "pink"), "pink"),
        (("--classes", ","), "names no class"),
    ],
)
def test_options_that_cannot_be_are_refused(stuff: Path, model: Path, options: tuple[str, ...], word: str) -> None:
    assert word in refused("check", "--data", stuff, "--model", model, *options)["detail"]


def test_train_takes_choices_and_a_sample(stuff: Path, tmp_path: Path) -> None:
    out = tmp_path / "model.safetensors"
    found = printed(
        *("train", "--data", stuff, "--out", out, "--epochs", 2, "--image-size", 16),
        *("--classes", "rust,coal,leaf", "--sample", 80),
    )
    assert sum(group["count"] for group in found["groups"]) == pytest.approx(20, abs=2)
    # its file has the order that was asked for, and analyse follows it
    analysed = printed("analyse", "--data", stuff, "--model", out, "--workspace", tmp_path / "workspace")
    assert analysed["classes"] == ["rust", "coal", "leaf"]
