"""`demo`: a workspace to try everything on, and the same again for the next visitor."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from core.commands.data import about
from core.commands.output import Answer
from core.demo import DEMOS, make_demo, reset_demo, resets, undo_reset
from core.errors import NotFound
from core.progress import Progress
from core.workspace import open_workspace

if TYPE_CHECKING:
    from core.workspace import Workspace


def demo(options: argparse.Namespace, progress: Progress) -> Answer:
    workspace = open_workspace(options.workspace)
    if options.reset or options.undo_reset:
        return _again(workspace, options)
    analysis = make_demo(workspace, options.which, progress=progress)
    shortcut = DEMOS[options.which].shortcut_class
    lines = [
        f"The demo is in {workspace.root}.",
        *about(analysis),
        "",
        f"Next: python -m core bands --workspace {workspace.root} --direction logit:{shortcut}",
    ]
    return Answer({"workspace": str(workspace.root), **analysis.to_dict()}, "\n".join(lines))


def _again(workspace: Workspace, options: argparse.Namespace) -> Answer:
    # noticed here: a job whose process is gone stands in nobody's way
    from core.jobs.queue import list_jobs

    list_jobs(workspace, active=True)
    if options.reset:
        done = reset_demo(workspace, options.which)
        undo = f" Back: python -m core demo --workspace {workspace.root} --which {options.which} --undo-reset"
        return Answer(
            {"workspace": str(workspace.root), "reset": done.to_dict()},
            done.sentence + (undo if done.anything else ""),
        )
    kept = resets(workspace, options.which)
    if not kept:
        raise NotFound("No reset of this demo can be undone.", next_step="It was not reset, or that is undone already.")
    if options.undo_reset > len(kept):
        raise NotFound(
            f"The resets of this demo that can be undone: {len(kept)}.",
            next_step="The last one is 1, the one before it 2.",
        )
    since = undo_reset(workspace, kept[options.undo_reset - 1])
    said = "Everything is back as it was before the reset."
    if since is not None:
        said += " What was made since is put aside: undo again to have that back instead."
    return Answer({"workspace": str(workspace.root), "since": since.to_dict() if since else None}, said)
