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
def show(run: RunResult) -> Iterator[bool]:
    """What is drawn inside stands below the facts, where it is True: drawn once somebody looks, for what colours a
    command weighs more than all else on the page."""
    facts = st.expander(
        "Settings in full", icon=":material/receipt_long:", key=f"run-facts-{run.run}", on_change="rerun"
    )
    with facts:
        if facts.open:
            for name, value in rerun.facts(run).items():
                st.caption(f"**{name}** {plain(value)}")
            for note in run.notes:
                st.caption(f":material/info: {plain(note)}")
        yield bool(facts.open)
