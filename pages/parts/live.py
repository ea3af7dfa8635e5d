"""Several people at once: what another session tagged appears here too."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from core.activations.store import Analysis


def watch(analysis: Analysis | None) -> None:
    """Look about once a second whether somebody else tagged, and show it."""
