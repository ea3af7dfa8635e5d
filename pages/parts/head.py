"""The head of every room: its title, the ways of looking at it, the next step at the right, and what it is for."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from pages.parts import rooms


def show(
    room: str,
    lead: str,
    *,
    looks: Callable[[], None] | None = None,
    then: str | Callable[[], None] | None = None,
    beside: Callable[[], None] | None = None,
) -> None:
    """lead: one sentence, Markdown; none where it is empty. looks: draws the ways of looking, right of the title.

    then: the room that comes next in the work, or what draws the way to it. beside: draws what stands beside the lead.
    """
    with st.container(
        horizontal=True, vertical_alignment="center", horizontal_alignment="right", gap="small", key=f"head-{room}"
    ):
        st.title(rooms.ROOMS[room][0], anchor=False, width="content")
        if looks is not None:
            looks()
        if then is not None:
            with st.container(width="content", key="head-next"):
                if callable(then):
                    then()
                else:
                    rooms.link(then, rooms.ROOMS[then][0])
    if beside is None:
        if lead:
            _lead(lead)
        return
    with st.container(
        horizontal=True, vertical_alignment="center", horizontal_alignment="distribute", key="head-beside"
    ):
        _lead(lead)
        beside()


def _lead(text: str) -> None:
    with st.container(key="lead", width="stretch"):
        st.markdown(text)
