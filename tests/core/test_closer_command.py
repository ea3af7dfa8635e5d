"""`closer` from the command line, on an analysis of a few pictures by a small network."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from core.__main__ import main
from core.activations.extraction import analyse
from core.activations.store import Analysis
from core.classifiers.architectures import build
from core.classifiers.checkpoint import ModelDescription, write_checkpoint
from core.classifiers.classifier import load_classifier
from core.classifiers.preprocessing import squeezed
from core.concepts.concept import create_concept
from core.concepts.tags import tag
from core.datasets import open_dataset
from core.workspace import Workspace


@pytest.fixture
def analysis(tmp_path: Path, workspace: Workspace) -> Analysis:
    rng = np.random.default_rng(0)
    root = tmp_path / "pictures"
    for split, count in (("train", 20), ("test", 10)):
        for name, level in (("dark", 60), ("light", 190)):
            (root / split / name).mkdir(parents=True)
            for index in range(count):
                pixels = np.clip(level + rng.normal(0, 20, size=(40, 60, 3)), 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(root / split / name / f"{index:03d}.png")
    model = tmp_path / "model.safetensors"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        state = build("small", 2).state_dict()
    write_checkpoint(model, state, ModelDescription("small", ("dark", "light"), squeezed(48)))
    return analyse(workspace, open_dataset(root), load_classifier(model))


def closer(workspace: Workspace, *arguments: object) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    words = ["closer", "--workspace", workspace.root, *arguments]
    with redirect_stdout(out), redirect_stderr(err):
        code = main([str(word) for word in words])
    return code, out.getvalue(), err.getvalue()


def told(workspace: Workspace, *arguments: object) -> dict[str, Any]:
    code, out, err = closer(workspace, "--json", *arguments)
    assert code == 0, err
    return json.loads(out)


def test_an_image_by_name_and_by_id_is_the_same(analysis: Analysis, workspace: Workspace) -> None:
    name = str(analysis.images[7])
    found = told(workspace, "--image", name, "--neighbours", 5)
    assert found == told(workspace, "--image", int(analysis.ids[7]), "--neighbours", 5)
    assert found["image"] == name
    assert found["label"] == analysis.classes[analysis.labels[7]]
    assert found["predicted"] == analysis.classes[analysis.predicted[7]]
    assert found["correct"] == bool(analysis.labels[7] == analysis.predicted[7])
    logits = {item["class"]: item["logit"] for item in found["logits"]}
    assert logits == pytest.approx(dict(zip(analysis.classes, analysis.logits[7].tolist(), strict=True)))
    assert found["logits"][0]["logit"] == max(logits.values())
    assert sum(item["probability"] for item in found["logits"]) == pytest.approx(1)
    assert found["heatmap"] is None


def test_neighbours_and_standing(analysis: Analysis, workspace: Workspace) -> None:
    found = told(workspace, "--image", 7, "--neighbours", 5, "--metric", "standardised", "--direction", "neuron:3")
    distances = [item["distance"] for item in found["neighbours"]]
    assert len(distances) == 5
    assert distances == sorted(distances)
    assert found["image"] not in [item["image"] for item in found["neighbours"]]
    same = [item["label"] == found["label"] for item in found["neighbours"]]
    assert found["same_class"] == pytest.approx(sum(same) / 5)
    specs = [item["direction"] for item in found["standing"]]
    assert specs == ["neuron:3", "logit:dark", "logit:light", "pc:0", "pc:1", "pc:2"]
    value = float(analysis.features[7, 3])
    assert found["standing"][0]["value"] == pytest.approx(value)
    below, level = (analysis.features[:, 3] < value).mean(), (analysis.features[:, 3] == value).mean()
    assert found["standing"][0]["percentile"] == pytest.approx(below + level / 2)


def test_tagged_concepts_are_told_and_have_a_direction_once_both_values_are_tagged(
    analysis: Analysis, workspace: Workspace
) -> None:
    concept = create_concept(workspace, analysis.dataset_id, "shade")
    train = analysis.split_rows("train")
    tag(workspace, analysis, concept, train[:1], True)
    found = told(workspace, "--image", int(analysis.ids[train[0]]))
    assert found["tags"] == [{"concept": "shade", "present": True}]
    assert "concept:shade" not in [item["direction"] for item in found["standing"]]
    tag(workspace, analysis, concept, train[:20], True)
    tag(workspace, analysis, concept, train[20:], False)
    found = told(workspace, "--image", int(analysis.ids[train[0]]))
    assert "concept:shade" in [item["direction"] for item in found["standing"]]


def test_the_heat_map_is_written_and_its_mean_is_the_logit(
    analysis: Analysis, workspace: Workspace, tmp_path: Path
) -> None:
    file = tmp_path / "maps" / "heat.png"
    found = told(workspace, "--image", 7, "--class", "light", "--heatmap", file)
    heat = found["heatmap"]
    with Image.open(file) as picture:
        assert picture.size == (60, 40)
    assert (heat["class"], heat["method"], heat["file"]) == ("light", "cam", str(file))
    assert heat["mean"] + heat["bias"] == pytest.approx(float(analysis.logits[7, 1]), abs=1e-3)
    code, out, _ = closer(workspace, "--image", 7, "--heatmap", file)
    assert code == 0
    assert f"Heat map of {analysis.classes[analysis.predicted[7]]} (cam): {file}" in out
    assert "Nearest in feature space (cosine)" in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--image", "nothing.png"), "There is no image “nothing.png”"),
        (("--image", "99999999999999999999"), "not part of this analysis"),
        (("--image", 7, "--class", "light"), "--heatmap"),
        (("--image", 7, "--heatmap", "map.jpg"), "map.jpg is not a picture that can be written"),
        (("--image", 7, "--heatmap", " "), "No path was given"),
        (("--image", 7, "--heatmap", "~nobody-of-this-name/map.png"), "is not a path"),
        (("--image", 7, "--heatmap", "map.png", "--class", "lihgt"), "Did you mean “light”"),
        (("--image", 7, "--neighbours", "-1"), "-1 is less than 0"),
    ],
)
def test_what_cannot_be_done_is_said(
    analysis: Analysis, workspace: Workspace, arguments: tuple[object, ...], said: str
) -> None:
    code, out, err = closer(workspace, *arguments)
    assert code == 2
    assert said in err
    assert out == ""


@pytest.mark.parametrize("wrong", [("map.jpg",), ("folder.png",), ("map.png", "--class", "lihgt")])
def test_what_is_wrong_with_a_heat_map_is_said_before_the_long_work(
    analysis: Analysis, workspace: Workspace, tmp_path: Path, wrong: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "folder.png").mkdir()

    def searched(*_arguments: object, **_options: object) -> None:
        raise AssertionError("neighbours were searched")

    monkeypatch.setattr("core.commands.closer.neighbours", searched)
    name, *others = wrong
    code, _, err = closer(workspace, "--image", 7, "--heatmap", tmp_path / name, *others)
    assert code == 2, err


def test_a_heat_map_is_written_where_people_mean(
    analysis: Analysis, workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    found = told(workspace, "--image", 7, "--heatmap", "~/heat.PNG")
    assert found["heatmap"]["file"] == str(tmp_path / "heat.PNG")
    assert (tmp_path / "heat.PNG").read_bytes().startswith(b"\x89PNG")


def test_a_model_or_an_image_that_is_gone_is_said(analysis: Analysis, workspace: Workspace, tmp_path: Path) -> None:
    analysis.image_path(7).unlink()
    code, _, err = closer(workspace, "--image", 7, "--heatmap", tmp_path / "map.png")
    assert code == 2
    assert "the file is not there any more" in err
    assert told(workspace, "--image", 7)["id"] == 7, "the rest needs neither"
    content = analysis.model_file.read_bytes()
    analysis.model_file.unlink()
    assert "not there any more" in closer(workspace, "--image", 8, "--heatmap", tmp_path / "map.png")[2]
    other = load_classifier_of(content, tmp_path)
    write_checkpoint(analysis.model_file, other, ModelDescription("small", ("dark", "light"), squeezed(48)))
    assert "changed since it was analysed" in closer(workspace, "--image", 8, "--heatmap", tmp_path / "map.png")[2]
    analysis.model_file.write_bytes(content)
    assert told(workspace, "--image", 8, "--heatmap", tmp_path / "map.png")["heatmap"]["method"] == "cam"


def load_classifier_of(content: bytes, folder: Path) -> dict[str, torch.Tensor]:
    """The weights in a file, one of them changed."""
    from core.classifiers.checkpoint import read_checkpoint

    file = folder / "copy.safetensors"
    file.write_bytes(content)
    state = {name: value.clone() for name, value in read_checkpoint(file).state.items()}
    state["head.weight"] += 1
    return state
