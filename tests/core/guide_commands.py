"""What a guide says to type, and carrying it out: what the tests of docs/ share."""

from __future__ import annotations

import io
import json
import re
import shlex
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.__main__ import main

ROOT = Path(__file__).parents[2]
# a comment above a block says why tests leave it alone
_BLOCK = re.compile(r"(?P<comment><!--[^>]*-->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```", re.MULTILINE | re.DOTALL)
NOT_RUN = "<!-- not run in tests:"


@dataclass(frozen=True)
class Block:
    """A fenced block. language: "sh", "python" or "". why_not: why tests do not carry it out, or ""."""

    language: str
    text: str
    why_not: str = ""

    @property
    def lines(self) -> list[list[str]]:
        """Word by word, without comments and empty lines."""
        split = [shlex.split(line, comments=True) for line in self.text.replace("\\\n", " ").splitlines()]
        return [words for words in split if words]


def guides() -> list[Path]:
    """Everything under docs/, and what stands at the top."""
    return [*sorted(ROOT.glob("docs/*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]


def blocks(text: str) -> Iterator[Block]:
    for found in _BLOCK.finditer(text):
        comment = found["comment"] or ""
        why_not = comment.removeprefix(NOT_RUN).removesuffix("-->\n").strip() if comment.startswith(NOT_RUN) else ""
        yield Block(found["language"], found["text"], why_not)


def commands(text: str) -> list[list[str]]:
    """What is typed after `python -m core` in its `sh` blocks; anything else is an AssertionError."""
    typed = [words for block in blocks(text) if block.language == "sh" and not block.why_not for words in block.lines]
    assert all(words[:3] == ["python", "-m", "core"] for words in typed), typed
    return [words[3:] for words in typed]


def printed(words: list[str]) -> dict[str, Any]:
    """The command's one JSON object."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main([*words, "--json"])
    assert code == 0, (words, out.getvalue(), err.getvalue())
    return json.loads(out.getvalue().splitlines()[-1])
