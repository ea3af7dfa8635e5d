"""The log of one job: its end follows what is printed, or stays where it is to be read; only lines that hold a text."""

from __future__ import annotations

import streamlit as st

from core.jobs.job import Job
from core.jobs.queue import read_log
from pages.parts import state

LINES = 400


def show(job: Job) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        wanted = st.text_input("Only lines with", key=f"log-filter-{job.id}", placeholder="Only lines with …")
        follow = st.toggle("Follow", value=True, key=f"log-follow-{job.id}", help="Off: it stays as it is, to be read.")
    kept = f"log-kept-{job.id}"
    if follow or kept not in st.session_state:
        st.session_state[kept] = read_log(state.workspace(), job.id, lines=LINES)
    lines = matching(st.session_state[kept], wanted or "")
    if follow:
        # what is printed last is what one looks at
        lines = lines[::-1]
        st.caption("The newest line first." if lines else "It has printed nothing yet.")
    if lines:
        st.code("\n".join(lines), language=None, height=320, wrap_lines=True)
    elif wanted:
        st.caption("No line holds this text.")


def matching(text: str, wanted: str) -> list[str]:
    """The lines that hold `wanted`, whatever its case."""
    return [line for line in text.splitlines() if wanted.casefold() in line.casefold()]
