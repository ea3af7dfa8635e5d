from __future__ import annotations

import json
import shlex
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from core.__main__ import main
from core.activations.store import open_analysis
from core.datasets import open_dataset
from core.reproduction import sweep as module
from core.reproduction.sweep import Preset
from core.workspace import open_workspace


def test_it_trains_what_is_asked_for_and_says_where_the_report_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(module.PRESETS, "quick", Preset("quick", images=128, held_out=90, epochs=1, seeds=1))
    out = tmp_path / "again"
    arguments = ["reproduce", "shapes", "--out", str(out), "--levels", "0,1"]
    assert main([*arguments, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert [cell["level"] for cell in answer["cells"]] == [0.0, 1.0]
    assert Path(answer["report"]).is_file()
    assert main(arguments) == 0
    said = capsys.readouterr().out
    assert "82.7%" in said
    assert str(out / "report.html") in said
    assert main([*arguments, "--preset", "slow"]) == 2
    assert "quick, full" in capsys.readouterr().err


def test_stopped_it_says_that_trained_networks_are_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(module.PRESETS, "quick", Preset("quick", images=128, held_out=90, epochs=1, seeds=1))

    def stopped_in_the_second(out: Path, preset: Preset, level: float, seed: int, seen: Callable[[int], None]) -> None:
        if level == 1:
            signal.raise_signal(signal.SIGINT)
            seen(1)
        trained(out, preset, level, seed, seen)

    trained = module._cell
    monkeypatch.setattr(module, "_cell", stopped_in_the_second)
    out = tmp_path / "again"
    assert main(["reproduce", "shapes", "--out", str(out), "--levels", "0,1"]) == 130
    said = capsys.readouterr().err
    assert "networks that are trained are kept" in said
    assert "analysis" not in said
    assert [path.name for path in (out / module.CELLS).glob("*.json")] == ["0.00-0.json"]


def test_a_level_is_opened_in_the_app(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(module.PRESETS, "quick", Preset("quick", images=128, held_out=90, epochs=1, seeds=1))
    workspace = tmp_path / "w"
    arguments = ["reproduce", "shapes", "--out", str(tmp_path / "again"), "--workspace", str(workspace), "--json"]
    assert main([*arguments, "--levels", "0.9", "--look", "0.9"]) == 0
    answer = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    analysis = open_analysis(open_workspace(workspace))
    assert analysis.id == answer["analysis"]
    assert (analysis.n, analysis.classes) == (128 + 2 * 90, ("square", "ellipse", "heart"))
    assert {"zone", "scale"} <= {attribute.name for attribute in analysis.attributes}
    assert analysis.accuracy == pytest.approx(answer["cells"][0]["test"])
    # told before an hour of training
    assert main([*arguments, "--levels", "0.9", "--look", "0.8"]) == 2
    assert "Look at one of 0.9" in capsys.readouterr().err


def test_the_pictures_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(module.PRESETS, "quick", Preset("quick", images=120, held_out=60, epochs=1, seeds=1))
    out = tmp_path / "again"
    assert main(["reproduce", "shapes", "--out", str(out), "--levels", "0,1", "--dataset-only", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert [Path(file).name for file in answer["data"]] == ["0.00.npz", "1.00.npz"]
    assert not (out / "models").exists()
    dataset = open_dataset(answer["data"][1], store=tmp_path / "store")
    assert {split: sum(counts.values()) for split, counts in dataset.counts().items()} == {
        "train": 120,
        "val": 60,
        "test": 60,
    }
    zone = next(attribute for attribute in dataset.attributes if attribute.name == "zone")
    own = [("left", "middle", "right").index(zone.values[code]) for code in zone.codes]
    train = dataset.splits == 0
    assert (dataset.labels[train] == [zone for zone, is_train in zip(own, train, strict=True) if is_train]).all()


def test_what_the_guide_says_to_type_works(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("quick", "full"):
        monkeypatch.setitem(module.PRESETS, name, Preset(name, 128, 90, epochs=1, seeds=1, levels=(0.0, 0.9)))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MIDBAND_WORKSPACE", str(tmp_path / "workspace"))
    guide = (Path(__file__).parents[3] / "docs" / "reproduce.md").read_text(encoding="utf-8")
    commands = [line for line in guide.splitlines() if line.startswith("python -m core ")]
    assert len(commands) >= 4
    for command in commands:
        assert main(shlex.split(command)[3:]) == 0, command
    for name in ("quick", "full"):
        assert (tmp_path / "reproduction" / name / "report.html").is_file()
    # every one that is there, not only what the last command asked for
    assert len(json.loads((tmp_path / "reproduction" / "quick" / "sweep.json").read_text())["cells"]) == 2
