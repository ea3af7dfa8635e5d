"""What a run was told, and what is to be known about its figures: the same wherever a run is shown."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import streamlit as st

from pages.parts import rerun
from pages.parts.words import plain

if TYPE_CHECKING:
    from core.retraining.runs import RunResult


@contextmanager
def show(run: RunResult) -> Iterator[None]:
    """What is drawn inside stands below the facts."""
    with st.expander("Settings in full", icon=":material/receipt_long:"):
        for name, value in rerun.facts(run).items():
            st.caption(f"**{name}** {plain(value)}")
        for note in run.notes:
            st.caption(f":material/info: {plain(note)}")
        yield
