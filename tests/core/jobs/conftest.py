"""A kind of job made for tests, known to the worker processes as well: they load `sitecustomize` at their start."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.jobs import list_jobs, request_cancel
from core.workspace import Workspace

REHEARSAL = '''
import os, signal, subprocess, sys, time
from pathlib import Path
from core.errors import BadRequest
from core.jobs import kinds


def rehearse(workspace, request, progress):
    """Count slowly; fail, hang, or leave a child behind where the request says so."""
    if request.get("child"):
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(120)"])
        Path(request["child"]).write_text(str(child.pid))
    if request.get("deaf"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    steps = request.get("steps", 3)
    with open(request["journal"], "a") as journal:
        journal.write(f"start {request.get('name', '')}\\n")
        journal.flush()
        for step in range(request.get("begin", 0), steps):
            if not request.get("deaf"):
                progress(step, steps, f"Counting {step}")
            time.sleep(request.get("pause", 0.02))
        journal.write(f"end {request.get('name', '')}\\n")
    progress(steps, steps)
    if request.get("problem"):
        raise BadRequest("It cannot be done.", next_step="Ask for less.")
    if request.get("mistake"):
        raise RuntimeError("secret detail")
    return {"counted": steps, "torch": "torch" in sys.modules}


kinds.KINDS["rehearsal"] = kinds.Kind(
    rehearse,
    required=("journal",),
    optional=("name", "steps", "begin", "pause", "problem", "mistake", "child", "deaf"),
    paths=("journal", "child"),
    resumes=True,
)
'''


@pytest.fixture
def rehearsal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workspace: Workspace) -> Iterator[Path]:
    """Registers the kind `rehearsal` here and in worker processes; gives the journal its jobs write into."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(REHEARSAL)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), str(Path(__file__).parents[3])]))
    from core.jobs import kinds

    known = dict(kinds.KINDS)
    namespace: dict[str, object] = {}
    exec(compile(REHEARSAL, "rehearsal", "exec"), namespace)  # noqa: S102
    yield tmp_path / "journal.txt"
    for job in list_jobs(workspace, active=True):
        request_cancel(workspace, job.id, wait=10)
    kinds.KINDS.clear()
    kinds.KINDS.update(known)
