"""The components' plain JavaScript functions, tested by Node where there is one."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

TESTS = sorted((Path(__file__).parent / "js").glob("*.test.mjs"))


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
@pytest.mark.parametrize("file", TESTS, ids=lambda file: file.name)
def test_javascript_claims_hold(file: Path) -> None:
    ran = subprocess.run(["node", "--test", str(file)], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "# pass 0" not in ran.stdout


def test_each_component_has_its_tests() -> None:
    assert [file.name for file in TESTS] == ["band_strip.test.mjs", "image_grid.test.mjs"]
