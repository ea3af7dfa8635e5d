"""`verify`, `backup`, `restore`, `repair`: whether a workspace is whole, copies of its database, mending it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from core.commands.output import Answer, ProgressLine
from core.errors import NotFound
from core.files import resolved
from core.storage.copies import back_up_now
from core.storage.copies import restore as put_back
from core.storage.integrity import Finding
from core.storage.integrity import verify as check
from core.storage.repair import repair as mend
from core.workspace import DATABASE


def verify(options: argparse.Namespace, progress: ProgressLine) -> Answer:
    found = check(_root(options))
    text = f"{found.analyses} analyses and {found.runs} runs looked at."
    lines = [text, *_lines(found.findings)] if found.findings else [f"{text} All is whole."]
    return Answer(found.to_dict(), "\n".join(lines), code=1 if found.findings else 0)


def backup(options: argparse.Namespace, progress: ProgressLine) -> Answer:
    made = back_up_now(_root(options), options.out and resolved(options.out, advice="Name a file for the backup."))
    size = made.stat().st_size
    return Answer({"backup": str(made), "bytes": size}, f"The database was copied to {made} ({size:,} bytes).")


def restore(options: argparse.Namespace, progress: ProgressLine) -> Answer:
    # its own database may be gone, which is what a backup is for
    root = resolved(options.workspace, advice="Name the folder of the workspace.")
    source = resolved(options.file, advice="Name the backup.")
    kept = put_back(root, source)
    return Answer({"restored": str(source), "kept": str(kept)}, f"{source} is in place. What was there: {kept}")


def repair(options: argparse.Namespace, progress: ProgressLine) -> Answer:
    found = mend(_root(options))
    lines = [*found.done, *found.lost, *_lines(found.left)] or ["Nothing was damaged."]
    if found.kept is not None:
        lines.append(f"The database as it was: {found.kept}")
    return Answer(found.to_dict(), "\n".join(lines), code=1 if found.lost or found.left else 0)


def _root(options: argparse.Namespace) -> Path:
    """Not opened: a damaged one could not be. Raises `NotFound`."""
    root = resolved(options.workspace, advice="Name the folder of the workspace.")
    if not (root / DATABASE).is_file():
        raise NotFound(
            f"There is no workspace at {root}.", next_step="Name its folder with --workspace, or restore a backup."
        )
    return root


def _lines(findings: Sequence[Finding]) -> list[str]:
    return [f"{finding.sentence} {finding.next_step}" for finding in findings]
