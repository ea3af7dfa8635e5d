"""What every hostile input is held to: a sentence within seconds, little memory, and nothing done that was not asked.

Inputs are made in `given`; whatever would run when they are read makes the folder `sign`, and what they reach for
lies in `secret`.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from core.__main__ import main
from core.classifiers.architectures import build
from core.classifiers.checkpoint import ModelDescription, write_checkpoint
from core.classifiers.preprocessing import squeezed
from core.errors import MidbandError

# seconds after which something hangs; nearly all of these take less than one when nothing else runs
PATIENCE = 60
# bytes by which the process may grow; a bomb takes gigabytes
MEMORY = 300 * 2**20

Bounds = Callable[[], AbstractContextManager[None]]


class Runs:
    """Unpickling this makes a folder: the sign that code has run."""

    def __init__(self, sign: Path) -> None:
        self.sign = sign

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.sign),)


@dataclass(frozen=True)
class Place:
    """Where a test makes what it gives (`given`), and what must not be touched."""

    root: Path

    @property
    def given(self) -> Path:
        return self.root / "given"

    @property
    def secret(self) -> Path:
        return self.root / "secret"

    @property
    def sign(self) -> Path:
        return self.root / "sign"

    @property
    def workspace(self) -> Path:
        return self.root / "workspace"

    @property
    def trap(self) -> Runs:
        return Runs(self.sign)

    def picture(self, name: str, shade: int = 90) -> Path:
        path = self.given / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 6), (shade, 140, 60)).save(path)
        return path

    def classes(self, count: int = 3) -> Path:
        """The folder, with `count` sound pictures each of cat and dog."""
        for name in ("cat", "dog"):
            for index in range(count):
                self.picture(f"{name}/{index}.png", 10 * index)
        return self.given

    def works(self, content: bytes) -> None:
        """Assert that the trap would have gone off: whoever unpickles this runs it."""
        assert not self.sign.exists()
        pickle.loads(content)  # noqa: S301
        assert self.sign.exists()
        self.sign.rmdir()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    for folder in (made.given, made.secret):
        folder.mkdir()
    Image.new("RGB", (8, 6)).save(made.secret / "secret.png")
    yield made
    assert not made.sign.exists(), "code out of the input has run"
    assert [one.name for one in made.secret.iterdir()] == ["secret.png"]
    assert {one.name for one in tmp_path.iterdir()} <= {"given", "secret", "workspace"}, "something was written outside"


@contextmanager
def _bounds() -> Iterator[None]:
    def too_long(*_: object) -> None:
        raise AssertionError(f"nothing came of it in {PATIENCE} seconds")

    before = _memory("VmRSS")
    previous = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(PATIENCE)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)
    assert _memory("VmHWM") - before < MEMORY, "it took hundreds of megabytes"


def _memory(line: str) -> int:
    """Bytes of this process: those in use now (VmRSS, which also resets the peak), or the peak since (VmHWM)."""
    try:
        if line == "VmRSS":
            Path("/proc/self/clear_refs").write_text("5")
        said = Path("/proc/self/status").read_text()
    except OSError:
        return 0
    return 1024 * next(int(row.split()[1]) for row in said.splitlines() if row.startswith(f"{line}:"))


@pytest.fixture(scope="session")
def bounds() -> Bounds:
    """A context in which nothing may hang or take much memory."""
    return _bounds


@pytest.fixture
def refused(bounds: Bounds) -> Callable[..., MidbandError]:
    """refused(kind, call) -> the problem that it raises, which is fit to be shown."""

    def check(kind: type[MidbandError], call: Callable[[], object]) -> MidbandError:
        with bounds(), pytest.raises(kind) as caught:
            call()
        problem = caught.value
        for text in (problem.title, problem.detail, problem.next_step):
            assert text.strip()
            assert text.isprintable(), "lines, control characters or halves of characters"
            assert len(text) < 1200
        assert "Traceback" not in str(problem)
        return problem

    return check


@pytest.fixture
def command(bounds: Bounds) -> Callable[..., tuple[int, dict[str, Any], str]]:
    """command(words) -> exit code, what it printed as JSON, and what it printed for people."""

    def run(*words: object) -> tuple[int, dict[str, Any], str]:
        out, err = io.StringIO(), io.StringIO()
        with bounds(), redirect_stdout(out), redirect_stderr(err):
            code = main([*map(str, words), "--json"])
        assert "Traceback" not in err.getvalue() + out.getvalue()
        return code, json.loads(out.getvalue().splitlines()[-1]), err.getvalue()

    return run


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny network for cat and dog."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        state = build("small", 2).state_dict()
    path = tmp_path_factory.mktemp("model") / "sound.safetensors"
    write_checkpoint(path, state, ModelDescription(arch="small", classes=("cat", "dog"), preprocessing=squeezed(16)))
    return path
