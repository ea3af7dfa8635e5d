"""What is exported is what was measured, and can be opened by others."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from core.classifiers.architectures import build
from core.classifiers.checkpoint import ModelDescription, write_checkpoint
from core.classifiers.classifier import load_classifier
from core.classifiers.preprocessing import preprocessing_from_dict
from core.datasets.images import decode
from core.errors import BadCheckpoint, BadRequest, NotFound, PathNotFound
from core.export import export_run
from core.export.page import render
from core.retraining.runs import run_head
from core.workspace import Workspace

Finish = Callable[..., Any]


def stored_logits(workspace: Workspace, done: Any) -> np.ndarray:
    return run_head(workspace, done.run).logits(np.asarray(done.analysis.features))


def inputs(done: Any) -> torch.Tensor:
    chosen = preprocessing_from_dict(done.analysis.preprocessing)
    images = [chosen.apply(decode(done.analysis.image_path(row), 10**8)) for row in range(done.analysis.n)]
    return torch.from_numpy(np.stack(images))


def test_exported_weights_give_the_logits_of_the_run(
    workspace: Workspace, finish: Finish, own_model: Path, tmp_path: Path
) -> None:
    done = finish(own_model)
    files = {path.name: path for path in export_run(workspace, done.run, tmp_path / "out")}
    assert set(files) == {"model.safetensors", "model.pt", "tags.csv", "report.json", "report.html"}
    classifier = load_classifier(files["model.safetensors"])
    assert classifier.classes == done.analysis.classes
    assert classifier.preprocessing.to_dict() == done.analysis.preprocessing
    wanted = stored_logits(workspace, done)
    np.testing.assert_allclose(classifier(inputs(done))[1].numpy(), wanted, atol=1e-4)
    # and without Midband: the state dict in the bare architecture
    network = build("small", 2)
    network.load_state_dict(torch.load(files["model.pt"], weights_only=True))
    with torch.inference_mode():
        found = network.eval()(inputs(done)).numpy()
    np.testing.assert_allclose(found, wanted, atol=1e-4)
    # the new head differs from the old one, else all this says nothing
    assert np.abs(wanted - done.analysis.logits).max() > 1e-2


def test_torchscript_comes_back_as_torchscript(workspace: Workspace, finish: Finish, tmp_path: Path) -> None:
    scripted = tmp_path / "scripted.pt"
    torch.manual_seed(1)
    torch.jit.script(build("small", 2).eval()).save(str(scripted))
    done = finish(scripted)
    files = {path.name: path for path in export_run(workspace, done.run, tmp_path / "out")}
    module = torch.jit.load(str(files["model-torchscript.pt"])).eval()
    with torch.inference_mode():
        found = module(inputs(done)).numpy()
    np.testing.assert_allclose(found, stored_logits(workspace, done), atol=1e-4)
    assert "torch.jit.load" in files["report.html"].read_text()


def test_export_without_the_images_still_checks_the_model(
    workspace: Workspace, finish: Finish, own_model: Path, tmp_path: Path
) -> None:
    done = finish(own_model)
    shutil.rmtree(done.analysis.dataset_root)
    assert len(export_run(workspace, done.run, tmp_path / "out")) == 5


def test_model_that_changed_since_is_refused_and_nothing_is_left(
    workspace: Workspace, finish: Finish, own_model: Path, tmp_path: Path
) -> None:
    done = finish(own_model)
    torch.manual_seed(5)
    write_checkpoint(own_model, build("small", 2).state_dict(), ModelDescription(arch="small"))
    with pytest.raises(BadCheckpoint, match="changed since"):
        export_run(workspace, done.run, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_model_that_does_not_reproduce_the_run_is_never_offered(
    workspace: Workspace, finish: Finish, own_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import core.export.model as model

    done = finish(own_model)
    real = model.replace_head

    def broken(classifier: Any, head: Any) -> Any:
        network = real(classifier, head)
        with torch.no_grad():
            next(network.parameters()).mul_(1.05)
        return network

    monkeypatch.setattr(model, "replace_head", broken)
    with pytest.raises(BadCheckpoint, match="does not reproduce"):
        export_run(workspace, done.run, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_missing_model_and_unknown_run_are_named(
    workspace: Workspace, finish: Finish, own_model: Path, tmp_path: Path
) -> None:
    done = finish(own_model)
    with pytest.raises(NotFound):
        export_run(workspace, "unknown", tmp_path / "out")
    (tmp_path / "file").write_text("x")
    with pytest.raises(BadRequest, match="is a file"):
        export_run(workspace, done.run, tmp_path / "file")
    own_model.unlink()
    with pytest.raises(PathNotFound):
        export_run(workspace, done.run, tmp_path / "out")


def test_export_replaces_its_own_files_and_leaves_others(
    workspace: Workspace, finish: Finish, own_model: Path, tmp_path: Path
) -> None:
    done = finish(own_model)
    out = tmp_path / "out"
    export_run(workspace, done.run, out)
    (out / "notes.txt").write_text("mine")
    (out / "report.json").write_text("old")
    export_run(workspace, done.run, out)
    assert (out / "notes.txt").read_text() == "mine"
    assert json.loads((out / "report.json").read_text())["run"] == done.run
    assert not [path for path in out.iterdir() if path.name.startswith(".")]


class Page(HTMLParser):
    """Collects the elements and every address a browser would fetch."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.addresses: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data", "action")]


def test_report_page_is_self_contained_and_shows_names_as_text(
    workspace: Workspace, finish: Finish, own_model: Path, tmp_path: Path
) -> None:
    done = finish(own_model)
    export_run(workspace, done.run, tmp_path / "out")
    text = (tmp_path / "out" / "report.html").read_text()
    page = Page(text)
    assert "script" not in page.elements
    assert "b" in page.elements
    assert "&lt;script&gt;alert(1)&lt;" in text
    assert all(address.startswith("data:image/webp;base64,") for address in page.addresses)
    assert page.addresses, "no example image"
    assert "default-src 'none'" in text.replace("&#x27;", "'")


def test_report_says_what_the_run_said(workspace: Workspace, finish: Finish, own_model: Path, tmp_path: Path) -> None:
    from core.files import file_digest
    from core.retraining.runs import open_run

    done = finish(own_model)
    files = {path.name: path for path in export_run(workspace, done.run, tmp_path / "out")}
    report = json.loads(files["report.json"].read_text())
    run = open_run(workspace, done.run).to_dict()
    assert report["before"] == run["before"]
    assert report["after"] == run["after"]
    assert report["limits"]
    listed = {file["file"]: file for file in report["files"]}
    assert listed["model.pt"]["sha256"] == file_digest(files["model.pt"], 64)
    assert listed["model.pt"]["bytes"] == files["model.pt"].stat().st_size
    text = files["report.html"].read_text()
    assert f"{100 * run['after']['worst_group']:.1f}%" in text


def test_page_of_a_report_without_curation_or_examples_renders(
    workspace: Workspace, finish: Finish, own_model: Path, tmp_path: Path
) -> None:
    done = finish(own_model)
    export_run(workspace, done.run, tmp_path / "out")
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    bare = {**report, "curation": None, "baselines": [], "concepts": [], "examples": {"fixed": [], "broken": []}}
    assert "How it compares" not in render(bare, {})
