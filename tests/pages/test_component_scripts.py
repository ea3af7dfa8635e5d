"""The components' plain JavaScript functions, tested by Node where there is one."""

from __future__ import annotations

import re
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
    """A test file of its own name, or one that loads its scripts."""
    assets = Path(__file__).parents[2] / "assets"
    components = {file.parent.name for file in assets.glob("*/*.js")}
    loaded = {
        name for file in TESTS for name in re.findall(r"\b(\w+)/\$?[\w{}]+\.js\b", file.read_text(encoding="utf-8"))
    }
    assert len(components) > 8
    assert loaded >= components
    assert {file.name.removesuffix(".test.mjs") for file in TESTS} <= components
