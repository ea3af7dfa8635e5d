"""Short messages that a callback wants to leave: callbacks run before the page and may not draw themselves."""

from __future__ import annotations

import streamlit as st

KEPT = "notices"


def say(text: str, icon: str) -> None:
    """Keep a message for the run that follows. text: Markdown."""
    st.session_state.setdefault(KEPT, []).append((text, icon))


def show() -> None:
    """Show what was kept, once."""
    for text, icon in st.session_state.pop(KEPT, []):
        st.toast(text, icon=icon)
