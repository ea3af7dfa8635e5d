"""The guided tour of a demo: a checklist beside the work, each step told from what was really done."""

from __future__ import annotations


def sidebar() -> None:
    """The checklist, while a tour is under way."""


def bar() -> None:
    """The step at hand in one line atop the page."""
