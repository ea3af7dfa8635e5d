from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.__main__ import main
from core.reproduction import sweep as module
from core.reproduction.sweep import Preset


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
