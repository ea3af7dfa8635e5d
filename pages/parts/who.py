"""Who is tagging: the name a browser goes by in what it says about images."""

from __future__ import annotations


def author() -> str:
    """The name this session tags under."""
    return "local"


def sidebar() -> None:
    """The name, and a small form to change it."""
