"""`doctor`: whether this machine and the workspace are fit for work, and what to do where they are not."""

from __future__ import annotations

import argparse

from core.commands.output import Answer, ProgressLine
from core.files import resolved
from core.health import examine

_SIGNS = {"ok": "ok  ", "warn": "WARN", "fail": "FAIL"}


def doctor(options: argparse.Namespace, progress: ProgressLine) -> Answer:
    found = examine(resolved(options.workspace, advice="Name the folder of the workspace."))
    lines = []
    for check in found.checks:
        lines.append(f"{_SIGNS[check.level]}  {check.subject}: {check.sentence}")
        if check.next_step:
            lines.append(f"      -> {check.next_step}")
    return Answer(found.to_dict(), "\n".join(lines), code=1 if found.level == "fail" else 0)
