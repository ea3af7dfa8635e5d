"""The Concepts page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pages.parts import theme

if TYPE_CHECKING:
    from core.activations.store import Analysis

LEAD = "What you named in the images, how it goes with the classes and the errors, and who said what."


def heading() -> None:
    """What stands above an invitation to begin."""
    theme.heading("Concepts", LEAD)


def show(analysis: Analysis) -> None:
    heading()
