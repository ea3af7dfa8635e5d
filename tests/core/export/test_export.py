"""What is exported is what was measured, and can be opened by others."""

from __future__ import annotations

import csv
import errno
import io
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from core.activations.extraction import analyse
from core.classifiers.architectures import build
from core.classifiers.checkpoint import ModelDescription, write_checkpoint
from core.classifiers.classifier import load_classifier
from core.classifiers.head import load_head
from core.classifiers.preprocessing import preprocessing_from_dict, squeezed
from core.datasets import open_dataset
from core.datasets.images import decode
from core.errors import BadCheckpoint, BadRequest, Cancelled, DiskFull, NotFound, PathNotFound
from core.export import export_run, trial, write_export
from core.export.card import plain
from core.export.model import write_model
from core.export.page import render
from core.files import file_digest, read_json
from core.locks import alone_in
from core.retraining.runs import retrain, run_folder, run_head, run_logits
from core.workspace import Workspace
from tests.core.export.conftest import SIDE, draw, small_network

Finish = Callable[..., Any]
WEIGHTS = {"model.safetensors", "model.pt"}
WITH_THEM = {"tags.csv", "replay.json", "model-card.md", "report.json", "report.html", "report.pdf"}


def stored_logits(workspace: Workspace, done: Any) -> np.ndarray:
    return run_head(workspace, done.run).logits(np.asarray(done.analysis.features))


def inputs(done: Any) -> torch.Tensor:
    chosen = preprocessing_from_dict(done.analysis.preprocessing)
    images = [chosen.apply(decode(done.analysis.image_path(row), 10**8)) for row in range(done.analysis.n)]
    return torch.from_numpy(np.stack(images))


def answers(path: Path, images: torch.Tensor) -> np.ndarray:
    """What a model says by the plain means that its format has, without this program."""
    if path.suffix == ".onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        return session.run(["logits"], {"images": images.numpy()})[0]
    model = torch.export.load(path).module() if path.suffix == ".pt2" else torch.jit.load(str(path)).eval()
    with torch.inference_mode():
        return model(images).numpy()


def test_every_format_gives_the_logits_of_the_run(
    workspace: Workspace, finish: Finish, own_model: Path, tmp_path: Path
) -> None:
    import onnx

    done = finish(own_model)
    exported = write_export(workspace, done.run, tmp_path / "out")
    assert exported.refused == ()
    files = {path.name: path for path in exported.files}
    assert set(files) == WEIGHTS | WITH_THEM | {"model-torchscript.pt", "model.pt2", "model.onnx"}
    classifier = load_classifier(files["model.safetensors"])
    assert classifier.classes == done.analysis.classes
    assert classifier.preprocessing.to_dict() == done.analysis.preprocessing
    images, wanted = inputs(done), stored_logits(workspace, done)
    np.testing.assert_allclose(classifier(images)[1].numpy(), wanted, atol=1e-4)
    # and without Midband: the state dict in the bare architecture
    network = build("small", 2)
    network.load_state_dict(torch.load(files["model.pt"], weights_only=True))
    with torch.inference_mode():
        found = network.eval()(images).numpy()
    np.testing.assert_allclose(found, wanted, atol=1e-4)
    for name in ("model-torchscript.pt", "model.pt2", "model.onnx"):
        # batches of other sizes than the exporters saw
        np.testing.assert_allclose(answers(files[name], images), wanted, atol=1e-4, err_msg=name)
        np.testing.assert_allclose(answers(files[name], images[:1]), wanted[:1], atol=1e-4, err_msg=name)
    # the new head differs from the old one, else all this says nothing
    assert np.abs(wanted - done.analysis.logits).max() > 1e-2
    facts = {one.key: json.loads(one.value) for one in onnx.load(str(files["model.onnx"])).metadata_props}
    assert facts == {"classes": list(done.analysis.classes), "preprocessing": done.analysis.preprocessing}
    # nothing in them tells where this machine keeps its code
    for name in ("model.onnx", "model.pt2"):
        assert str(Path(torch.__file__).parent).encode() not in files[name].read_bytes()
    assert load_classifier(files["model-torchscript.pt"], preprocessing=classifier.preprocessing).k == 2


def test_torchscript_comes_back_as_torchscript(workspace: Workspace, finish: Finish, tmp_path: Path) -> None:
    scripted = tmp_path / "scripted.pt"
    torch.manual_seed(1)
    torch.jit.script(build("small", 2).eval()).save(str(scripted))
    done = finish(scripted)
    exported = write_export(workspace, done.run, tmp_path / "out")
    files = {path.name: path for path in exported.files}
    images, wanted = inputs(done), stored_logits(workspace, done)
    for name in ("model-torchscript.pt", "model.onnx"):
        np.testing.assert_allclose(answers(files[name], images), wanted, atol=1e-4)
    # what cannot be is said, and is not there
    assert "model.pt2" not in files
    assert not (tmp_path / "out" / "model.pt2").exists()
    assert [(name, "TorchScript" in reason) for name, reason in exported.refused] == [("torch.export", True)]
    text = files["report.html"].read_text()
    assert "torch.jit.load" in text
    assert "Not offered as torch.export" in text


@pytest.mark.parametrize("script", [False, True])
def test_one_output_goes_back_to_one_in_every_format(
    workspace: Workspace, finish: Finish, tmp_path: Path, script: bool
) -> None:
    torch.manual_seed(2)
    network, came = build("small", 1).eval(), tmp_path / "came.pt"
    if script:
        torch.jit.script(network).save(str(came))
    else:
        torch.save({"epoch": 3, "net": {f"module.{n}": t for n, t in network.state_dict().items()}}, came)
    done = finish(came, arch=None if script else "small")
    assert done.analysis.k == 2
    files = {path.name: path for path in export_run(workspace, done.run, tmp_path / "out")}
    images, logits = inputs(done), stored_logits(workspace, done)
    wanted = logits[:, 1:] - logits[:, :1]
    for name in {"model-torchscript.pt", "model.pt2", "model.onnx"} & set(files):
        np.testing.assert_allclose(answers(files[name], images), wanted, atol=1e-4, err_msg=name)
    if not script:
        again = torch.load(files["model-as-it-came.pt"], weights_only=True)
        assert (list(again), again["epoch"]) == (["epoch", "net"], 3)
        for name in ("report.html", "model-card.md"):
            assert "What else the file holds" in files[name].read_text(), name
        network.load_state_dict({name.removeprefix("module."): value for name, value in again["net"].items()})
        with torch.inference_mode():
            np.testing.assert_allclose(network(images).numpy(), wanted, atol=1e-4)
    # what Midband reads back tells the same two classes apart
    name = "model-torchscript.pt" if script else "model.safetensors"
    classifier = load_classifier(files[name], preprocessing=preprocessing_from_dict(done.analysis.preprocessing))
    chances = torch.softmax(torch.from_numpy(logits), dim=1)
    torch.testing.assert_close(torch.softmax(classifier(images)[1], dim=1), chances, atol=1e-4, rtol=1e-3)
    assert "sigmoid" in (tmp_path / "out" / "model-card.md").read_text()


@pytest.mark.parametrize("single", [False, True])
def test_whole_network_of_a_run_is_what_is_exported(
    workspace: Workspace, finish: Finish, own_model: Path, tmp_path: Path, single: bool
) -> None:
    if single:
        torch.save(build("small", 1).state_dict(), tmp_path / "single.pt")
    done = finish(tmp_path / "single.pt", arch="small") if single else finish(own_model)
    torch.manual_seed(9)
    trained = build("small", 2).eval()
    description = ModelDescription("small", done.analysis.classes, preprocessing_from_dict(done.analysis.preprocessing))
    folder = run_folder(workspace, done.run)
    write_checkpoint(folder / "model.safetensors", trained.state_dict(), description)
    images = inputs(done)
    with torch.inference_mode():
        wanted = trained(images).numpy()
    np.save(folder / "logits.npy", wanted)
    files = {path.name: path for path in export_run(workspace, done.run, tmp_path / "out", formats=("torchscript",))}
    # trained with two logits, it goes back to one output where it came with one
    outputs = wanted[:, 1:] - wanted[:, :1] if single else wanted
    np.testing.assert_allclose(answers(files["model-torchscript.pt"], images), outputs, atol=1e-4)
    # stored logits that are not the network's mean that something is wrong: nothing is offered
    np.save(folder / "logits.npy", wanted * 1.5 + 0.5)
    with pytest.raises(BadCheckpoint, match="does not reproduce"):
        export_run(workspace, done.run, tmp_path / "other", formats=())
    assert list((tmp_path / "other").iterdir()) == []


def test_format_that_fails_is_said_and_the_others_stay(
    workspace: Workspace, finish: Finish, own_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import core.export.model as model

    def unable(*_: Any) -> None:
        raise NotImplementedError("fancy::operator has no translation\nand a very long list of reasons")

    def wrong(*_: Any) -> Callable[[torch.Tensor], torch.Tensor]:
        return lambda batch: torch.zeros(len(batch), 2)

    done = finish(own_model)
    monkeypatch.setattr(model, "write_program", unable)
    monkeypatch.setattr(model, "write_torchscript", wrong)
    exported = write_export(workspace, done.run, tmp_path / "out", formats=("torchscript", "torch.export"))
    assert {path.name for path in exported.files} == WEIGHTS | WITH_THEM
    reasons = dict(exported.refused)
    assert "fancy::operator has no translation" in reasons["torch.export"]
    assert "list of reasons" not in reasons["torch.export"]
    assert "differ from the stored ones" in reasons["TorchScript"]


def test_exporter_that_fails_gives_way_to_the_other(
    workspace: Workspace, finish: Finish, own_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import core.export.formats as formats

    def unable(*_: Any) -> None:
        raise RuntimeError("removed")

    done = finish(own_model)
    monkeypatch.setattr(formats, "_onnx_of_module", unable)
    exported = write_export(workspace, done.run, tmp_path / "out", formats=("onnx",))
    assert exported.refused == ()
    found = answers(tmp_path / "out" / "model.onnx", inputs(done))
    np.testing.assert_allclose(found, stored_logits(workspace, done), atol=1e-4)
    assert str(Path(torch.__file__).parent).encode() not in (tmp_path / "out" / "model.onnx").read_bytes()


def test_library_that_is_missing_is_named(
    workspace: Workspace, finish: Finish, own_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = finish(own_model)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    ((name, reason),) = write_export(workspace, done.run, tmp_path / "out", formats=("onnx",)).refused
    assert (name, "onnxruntime is not installed" in reason) == ("ONNX", True)


def test_what_only_exports_need_is_not_imported_before() -> None:
    heavy = ("torch", "fpdf", "fontTools", "onnx", "onnxruntime", "onnxscript")
    script = f"import sys, core.export, core.export.sheet; print([m for m in {heavy} if m in sys.modules])"
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_cancelling_leaves_nothing(workspace: Workspace, finish: Finish, own_model: Path, tmp_path: Path) -> None:
    done = finish(own_model)

    def stop(_done: int, _total: int, message: str = "") -> None:
        if "TorchScript" in message:
            raise Cancelled()

    with pytest.raises(Cancelled):
        write_export(workspace, done.run, tmp_path / "out", progress=stop)
    assert list((tmp_path / "out").iterdir()) == []


def test_export_without_the_images_still_checks_the_model(
    workspace: Workspace, finish: Finish, own_model: Path, tmp_path: Path
) -> None:
    done = finish(own_model)
    shutil.rmtree(done.analysis.dataset_root)
    assert {path.name for path in export_run(workspace, done.run, tmp_path / "out", formats=())} == WEIGHTS | WITH_THEM
    assert "noise" in (tmp_path / "out" / "report.html").read_text()


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


def test_missing_model_unknown_run_and_unknown_format_are_named(
    workspace: Workspace, finish: Finish, own_model: Path, tmp_path: Path
) -> None:
    done = finish(own_model)
    with pytest.raises(NotFound):
        export_run(workspace, "unknown", tmp_path / "out")
    with pytest.raises(BadRequest, match="coreml"):
        export_run(workspace, done.run, tmp_path / "out", formats=("onnx", "coreml"))
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
    export_run(workspace, done.run, out, formats=())
    (out / "notes.txt").write_text("mine")
    (out / "report.json").write_text("old")
    export_run(workspace, done.run, out, formats=())
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
    export_run(workspace, done.run, tmp_path / "out", formats=())
    text = (tmp_path / "out" / "report.html").read_text()
    page = Page(text)
    assert "script" not in page.elements
    assert {"b", "svg", "table"} <= set(page.elements)
    assert "&lt;script&gt;alert(1)&lt;" in text
    assert all(address.startswith("data:image/webp;base64,") for address in page.addresses)
    assert page.addresses, "no example image"
    assert "default-src 'none'" in text.replace("&#x27;", "'")
    # a sheet of each class, with its top, its middle and its lowest
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    sheets = report["findings"]["sheets"]
    assert [sheet["class"] for sheet in sheets] == list(done.analysis.classes)
    assert [band["band"] for band in sheets[0]["bands"]] == ["top", "mid-gap", "own-low"]
    lowest = sheets[1]["bands"][2]
    assert lowest["images"]
    assert all(image["label"] == sheets[1]["class"] for image in lowest["images"])
    assert len(page.addresses) == sum(len(band["images"]) for sheet in sheets for band in sheet["bands"]) + sum(
        len(images) for images in report["examples"].values()
    )


def test_report_says_what_the_run_said(workspace: Workspace, finish: Finish, own_model: Path, tmp_path: Path) -> None:
    from core.files import file_digest
    from core.retraining.runs import open_run

    done = finish(own_model)
    files = {path.name: path for path in export_run(workspace, done.run, tmp_path / "out", formats=())}
    report = json.loads(files["report.json"].read_text())
    run = open_run(workspace, done.run).to_dict()
    assert report["before"] == run["before"]
    assert report["after"] == run["after"]
    assert report["limits"]
    listed = {file["file"]: file for file in report["files"]}
    assert listed["model.pt"]["sha256"] == file_digest(files["model.pt"], 64)
    assert listed["model.pt"]["bytes"] == files["model.pt"].stat().st_size
    right = sum(counts[c] for c, counts in enumerate(report["confusion"]["after"]))
    assert right / run["after"]["count"] == pytest.approx(run["after"]["average"])
    worst = f"{100 * run['after']['worst_group']:.1f}%"
    assert worst in files["report.html"].read_text()
    assert worst in files["model-card.md"].read_text()


def test_card_shows_names_as_text(workspace: Workspace, finish: Finish, own_model: Path, tmp_path: Path) -> None:
    done = finish(own_model)
    export_run(workspace, done.run, tmp_path / "out", formats=())
    text = (tmp_path / "out" / "model-card.md").read_text()
    outside = "".join(text.split("```")[::2])
    assert "<script" not in outside.replace("\\<", "")
    assert r"\<script\>alert\(1\)\<" in text
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    assert headings[:4] == ["## Model details", "## Intended use", "## Factors", "## Metrics"]


def test_curated_images_are_listed_with_the_names_of_their_groups(
    workspace: Workspace, finish: Finish, own_model: Path, tmp_path: Path
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from core.export.curated import curated_csv

    table = {
        "image": ["a.png", "=cmd.png", "c.png"],
        "row": [0, 1, 2],
        "class": ["x", "x", "y"],
        "group": [1, 4, 4],
        "weight": [0.5, 0.25, 0.25],
        "reason": ["tagged", "probe", "assumed"],
    }
    pq.write_table(pa.table(table), tmp_path / "curation.parquet")
    groups = [{"class": "x", "concept": "no water", "count": 1}, {"class": "y", "concept": "water", "count": 2}]
    content = curated_csv(tmp_path / "curation.parquet", {"curation": {"groups": groups}}).decode()
    rows = list(csv.DictReader(io.StringIO(content)))
    assert [row["group"] for row in rows] == ["x · no water", "y · water", "y · water"]
    assert [row["image"] for row in rows] == ["a.png", "'=cmd.png", "c.png"]
    assert sum(float(row["weight"]) for row in rows) == 1
    assert [row["reason"] for row in rows] == table["reason"]


def test_page_of_a_report_of_an_earlier_version_renders(
    workspace: Workspace, finish: Finish, own_model: Path, tmp_path: Path
) -> None:
    from core.export.card import model_card
    from core.export.printed import pdf

    done = finish(own_model)
    export_run(workspace, done.run, tmp_path / "out", formats=())
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    for evaluation in (report["before"], report["after"]):
        for key in ("macro_average", "confusion", "worst_interval", "calibration"):
            evaluation.pop(key, None)
    bare = {
        **report,
        **{"curation": None, "baselines": [], "concepts": [], "shifts": [], "confusion": None, "feasibility": None},
        **{"examples": {"fixed": [], "broken": []}, "findings": {"images": 0, "split": "val", "sheets": []}},
        **{"replay": "", "settings": {}, "chosen": {}},
    }
    text = render(bare, {})
    assert "How it compares" not in text
    assert "Has the middle emptied?" not in text
    assert pdf(bare, {}).startswith(b"%PDF-")
    assert "## Metrics" in model_card(bare)


def test_no_file_of_another_run_is_left_beside_an_export(
    workspace: Workspace, finish: Finish, own_model: Path, tmp_path: Path
) -> None:
    done, out = finish(own_model), tmp_path / "out"
    export_run(workspace, done.run, out)
    mine = {name: (out / name) for name in ("model-mine.pt", "notes.txt", "model-torchscript.bak.pt")}
    for path in mine.values():
        path.write_text("mine", encoding="utf-8")
    listed = json.loads((out / "report.json").read_text())
    # a report that somebody changed reaches nothing else
    outside = tmp_path / "outside.pt"
    outside.write_text("mine", encoding="utf-8")
    listed["files"] += [{"file": name} for name in ("notes.txt", "../outside.pt", "model-mine.pt", str(outside), "..")]
    (out / "report.json").write_text(json.dumps(listed), encoding="utf-8")
    retrain(workspace, done.analysis, method="class-balanced", run_id="run2", settings={"pull": 0.5})
    files = {path.name for path in export_run(workspace, "run2", out, formats=())}
    assert {path.name for path in out.iterdir()} == files | set(mine)
    assert not (out / "model.onnx").exists()
    assert all(path.read_text(encoding="utf-8") == "mine" for path in (*mine.values(), outside))
    assert json.loads((out / "report.json").read_text())["run"] == "run2"


@pytest.mark.parametrize("damaged", ["", "[]", '{"files": 3}', '{"files": [{}]}', "\x00" * 9])
def test_a_damaged_report_takes_nothing_along(
    workspace: Workspace, finish: Finish, own_model: Path, tmp_path: Path, damaged: str
) -> None:
    done, out = finish(own_model), tmp_path / "out"
    out.mkdir()
    (out / "report.json").write_text(damaged, encoding="utf-8")
    (out / "model.onnx").write_text("mine", encoding="utf-8")
    export_run(workspace, done.run, out, formats=())
    assert (out / "model.onnx").read_text(encoding="utf-8") == "mine"


def test_the_analysed_classifier_is_never_written_over(workspace: Workspace, finish: Finish, own_model: Path) -> None:
    done = finish(own_model)
    before = own_model.read_bytes()
    with pytest.raises(BadRequest, match="is the classifier that was analysed"):
        export_run(workspace, done.run, own_model.parent, formats=())
    assert own_model.read_bytes() == before
    assert not (own_model.parent / "report.json").exists()


def test_a_folder_in_the_way_is_said_before_any_file_is_replaced(
    workspace: Workspace, finish: Finish, own_model: Path, tmp_path: Path
) -> None:
    done, out = finish(own_model), tmp_path / "out"
    (out / "replay.json").mkdir(parents=True)
    with pytest.raises(BadRequest, match=r"replay\.json is a folder"):
        export_run(workspace, done.run, out, formats=())
    assert [path.name for path in out.iterdir()] == ["replay.json"]


def test_of_two_exports_at_once_one_stays_whole(
    workspace: Workspace, finish: Finish, own_model: Path, tmp_path: Path
) -> None:
    done, out = finish(own_model), tmp_path / "out"
    retrain(workspace, done.analysis, method="class-balanced", run_id="run2", settings={"pull": 0.5})
    with ThreadPoolExecutor(2) as threads:
        for one in [threads.submit(export_run, workspace, name, out, formats=()) for name in (done.run, "run2")]:
            one.result()
    report = json.loads((out / "report.json").read_text())
    assert {file["file"]: file["sha256"] for file in report["files"]} == {
        file["file"]: file_digest(out / file["file"], 64) for file in report["files"]
    }
    assert json.loads((out / "replay.json").read_text())["run"] == report["run"]


def test_an_export_waits_for_one_that_puts_its_files(tmp_path: Path) -> None:
    order = []
    with ThreadPoolExecutor(1) as thread:
        with alone_in(tmp_path):

            def second() -> None:
                with alone_in(tmp_path):
                    order.append("second")

            waiting = thread.submit(second)
            time.sleep(0.2)
            order.append("first")
        waiting.result(timeout=10)
    assert order == ["first", "second"]


@pytest.mark.parametrize("where", ["weights", "format"])
def test_a_full_disk_is_said_and_no_fault_of_a_format(
    workspace: Workspace,
    finish: Finish,
    own_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    where: str,
) -> None:
    from core.export import model

    done, out = finish(own_model), tmp_path / "out"

    def full(*_: object) -> None:
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        except OSError as error:
            raise RuntimeError("PytorchStreamWriter failed writing file data/0") from error

    monkeypatch.setattr(model, "write_checkpoint" if where == "weights" else "write_program", full)
    with pytest.raises(DiskFull):
        export_run(workspace, done.run, out)
    assert list(out.iterdir()) == []


def test_a_full_disk_that_nobody_names_is_found(
    workspace: Workspace, finish: Finish, own_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from core.export import model

    done = finish(own_model)

    def broken(*_: object) -> None:
        raise RuntimeError("unexpected pos 64 vs 0")

    monkeypatch.setattr(model, "write_program", broken)
    refused = dict(write_export(workspace, done.run, tmp_path / "fine").refused)
    assert "unexpected pos" in refused["torch.export"]
    monkeypatch.setattr(model.shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(DiskFull):
        export_run(workspace, done.run, tmp_path / "out")


def test_a_report_that_cannot_be_printed_costs_nothing_else(
    workspace: Workspace, finish: Finish, own_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from core.export import printed

    def broken(*_: object) -> bytes:
        raise ValueError("The row with index 0 is too high")

    monkeypatch.setattr(printed, "pdf", broken)
    done = finish(own_model)
    exported = write_export(workspace, done.run, tmp_path / "out", formats=())
    assert {path.name for path in exported.files} == WEIGHTS | WITH_THEM - {"report.pdf"}
    assert exported.refused == (("PDF", "It cannot be printed here (ValueError); print report.html."),)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("- a", r"\- a"),
        ("---", r"\---"),
        ("== b", r"\== b"),
        ("12. c", r"12\. c"),
        ("3) d", r"3\) d"),
        ("see www.evil.example", r"see www\.evil.example"),
        ("a-b, 1.5 and 2", "a-b, 1.5 and 2"),
        ("https://x.y", r"https\://x.y"),
        ("\u202eevil\n\n# b", r"evil \# b"),
    ],
)
def test_markdown_of_a_card_takes_text_as_text(text: str, shown: str) -> None:
    assert plain(text) == shown


def test_run_on_an_analysis_in_bfloat16_is_exported(workspace: Workspace, own_model: Path, tmp_path: Path) -> None:
    analysis = analyse(
        workspace, open_dataset(draw(tmp_path / "pictures")), load_classifier(own_model), precision="bf16"
    )
    run = retrain(workspace, analysis, method="class-balanced", run_id="run1")
    folder = tmp_path / "out"
    folder.mkdir()
    models = write_model(workspace, analysis, run.run, folder, formats=("torchscript",))
    assert [one.file for one in models.written] == ["model.safetensors", "model.pt", "model-torchscript.pt"]
    # how far it is from what was stored is said, which in bfloat16 is more than the order of sums makes
    stored = run_head(workspace, run.run).logits(np.asarray(analysis.features))
    assert 1e-4 < models.written[0].furthest < 0.1 * np.abs(stored).max()
    done = SimpleNamespace(analysis=analysis)
    np.testing.assert_allclose(answers(folder / "model-torchscript.pt", inputs(done)), stored, atol=0.1)


def test_stored_logits_far_from_the_network_are_refused_in_bfloat16_too(
    workspace: Workspace, own_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    analysis = analyse(
        workspace, open_dataset(draw(tmp_path / "pictures")), load_classifier(own_model), precision="bf16"
    )
    run = retrain(workspace, analysis, method="class-balanced", run_id="run1")
    (tmp_path / "out").mkdir()
    monkeypatch.setattr(trial, "run_logits", lambda *given: 2 * run_logits(*given) + 1)
    with pytest.raises(BadCheckpoint, match="differ from the stored ones"):
        write_model(workspace, analysis, run.run, tmp_path / "out", formats=())


def test_classes_put_into_another_order_keep_their_outputs_and_their_figures(
    workspace: Workspace, finish: Finish, tmp_path: Path
) -> None:
    # a file that does not name its classes
    plain_file = tmp_path / "plain.pt"
    torch.save(small_network().state_dict(), plain_file)
    done = finish(plain_file, arch="small")
    before = read_json(run_folder(workspace, done.run) / "result.json")
    turned = tuple(reversed(done.analysis.classes))
    chosen = replace(done.analysis.choices, classes=turned)
    dataset = open_dataset(done.analysis.dataset_root, choices=chosen)
    analysis = analyse(workspace, dataset, load_classifier(plain_file, arch="small", preprocessing=squeezed(SIDE)))
    assert (analysis.id, analysis.classes) == (done.analysis.id, turned)
    write_export(workspace, done.run, tmp_path / "out", formats=())
    report = read_json(tmp_path / "out" / "report.json")
    assert report["confusion"]["after"] == np.flip(before["after"]["confusion"]).tolist()
    assert sum("order of the classes has changed" in note for note in report["notes"]) == 1
    exported = load_classifier(tmp_path / "out" / "model.safetensors")
    assert exported.classes == turned
    # the head itself lies as it was fitted: first class first
    fitted = load_head(run_folder(workspace, done.run) / "head.safetensors")
    np.testing.assert_allclose(exported.head.weight, fitted.weight[::-1], atol=1e-6)
    # a whole network has its outputs where they are
    file = run_folder(workspace, done.run) / "result.json"
    file.write_text(json.dumps({**before, "kind": "network"}), encoding="utf-8")
    with pytest.raises(BadRequest, match="another order"):
        write_export(workspace, done.run, tmp_path / "again")
