"""The Map page itself, one fragment: the map, what it is coloured by, and the images that somebody drew around."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from pages.parts import problem, theme

if TYPE_CHECKING:
    from core.activations.store import Analysis

LEAD = "Every image as a point, near to those the network sees alike. Draw around some to look at them and tag them."


def heading() -> None:
    """What stands above an invitation to begin."""
    theme.heading("Map", LEAD)


@st.fragment
@problem.guarded
def explore(analysis: Analysis) -> None:
    heading()
