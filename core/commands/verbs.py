"""The verbs by name. Each imports its rooms when it is called, so that `-h` and `demo` answer at once."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from importlib import import_module

from core.access.policy import Permission, require
from core.commands.output import Answer, ProgressLine

_ROOMS = {
    "demo": ("demo",),
    "data": ("look", "train", "check", "analyse"),
    "bands": ("bands", "sample"),
    "closer": ("closer",),
    "looking": ("directions", "curve", "contact-sheet"),
    "story": ("story",),
    "tags": ("suggest", "tag", "tags", "concepts", "explain"),
    "runs": ("retrain", "compare", "export"),
    "history": ("runs", "note", "replay"),
    "methods": ("methods", "bake-off"),
    "jobs": ("jobs",),
    "reproduction": ("reproduce",),
    "access": ("users", "audit"),
    "doctor": ("doctor",),
    "storage": ("verify", "backup", "restore", "repair"),
}


# what whoever gives the command has to be allowed; where an option asks for more, the function behind it says so
NEEDS = {
    Permission.LOOK: (
        *("bands", "sample", "closer", "directions", "curve", "story", "suggest", "concepts", "explain"),
        *("compare", "runs", "methods", "jobs"),
    ),
    Permission.TAG: ("tag",),
    Permission.NOTE: ("note",),
    Permission.LOAD: ("demo", "look", "check", "analyse"),
    Permission.TRAIN: ("train", "retrain", "bake-off", "replay", "reproduce"),
    Permission.EXPORT: ("contact-sheet", "tags", "export"),
    Permission.MANAGE: ("users", "audit", "doctor", "verify", "backup", "restore", "repair"),
}


def run_verb(options: argparse.Namespace, progress: ProgressLine) -> Answer:
    """Raises what the rooms raise: `MidbandError`."""
    require(next(permission for permission, verbs in NEEDS.items() if options.verb in verbs), options.verb)
    room = next(room for room, verbs in _ROOMS.items() if options.verb in verbs)
    command: Callable[[argparse.Namespace, ProgressLine], Answer] = getattr(
        import_module(f"core.commands.{room}"), options.verb.replace("-", "_")
    )
    return command(options, progress)
