"""The demos as pages use them."""

from __future__ import annotations

from core.demo import DEMOS, Demo, find_demo
from pages.parts import state


def made() -> dict[str, str]:
    """Ids of the investigations of the demos that were made here, by name."""
    found = {name: find_demo(state.workspace(), name) for name in DEMOS}
    return {name: analysis for name, analysis in found.items() if analysis is not None}


def of(analysis_id: str | None) -> Demo | None:
    """The demo that an investigation is; None for one's own."""
    return next((DEMOS[name] for name, known in made().items() if known == analysis_id), None)
