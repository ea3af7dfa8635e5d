"""The demos: pictures with a planted shortcut and a classifier that goes by it, reset in a moment."""

from core.demo.making import CONCEPT, DEMOS, MODEL, SEED, Demo, draw, find_demo, make_demo, shipped_model
from core.demo.reset import Reset, last_reset, reset_demo, resets, undo_reset, would_reset
from core.demo.visit import Visit, newest_action, visit

__all__ = [
    "CONCEPT",
    "DEMOS",
    "MODEL",
    "SEED",
    "Demo",
    "Reset",
    "Visit",
    "draw",
    "find_demo",
    "last_reset",
    "make_demo",
    "newest_action",
    "reset_demo",
    "resets",
    "shipped_model",
    "undo_reset",
    "visit",
    "would_reset",
]
