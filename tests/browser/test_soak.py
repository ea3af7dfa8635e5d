"""The soak with two people for some seconds: everything it presses is answered, and is in the database."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from scripts.local_app import ROOT


def test_two_people_for_twenty_seconds_lose_nothing(tmp_path: Path) -> None:
    out = tmp_path / "told.json"
    # 20 s are over before memory says anything: no second phase
    command = [sys.executable, "-m", "scripts.soak", "--sessions", "2", "--minutes", "0.34", "--more", "0"]
    ended = subprocess.run([*command, "--rest", "0", "--out", str(out)], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    told = json.loads(out.read_text())
    assert told["acknowledged"] > 0
    assert told["unanswered"] == 0
    assert told["lost"] == told["unexpected"] == told["errors"] == []
    assert told["seconds_to_settled"]["tag"]["count"] == told["acknowledged"]
    assert told["moments"]["last"]["rss"] > 0
