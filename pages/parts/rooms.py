"""The rooms of the product, in the order of the work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import streamlit as st

FOLDER = Path(__file__).resolve().parents[1]

# name: (title, icon, what it is for)
ROOMS = {
    "home": ("Home", ":material/home:", "What Midband does, and your investigations so far."),
    "load": ("Load", ":material/upload_file:", "Bring a dataset and a model, or train a model here."),
    "bands": ("Bands", ":material/bar_chart:", "Look at images band by band, from clearly not to clearly."),
    "map": ("Map", ":material/scatter_plot:", "All images at once: those the model finds alike lie together."),
    "tag_next": ("Tag next", ":material/sell:", "Answer a short queue of images that say most, review what follows."),
    "concepts": ("Concepts", ":material/palette:", "What you named, how it goes with the classes, who said what."),
    "retrain": ("Retrain", ":material/build:", "Repair the last layer with what you tagged."),
    "results": ("Results", ":material/monitoring:", "What the repair changed, and the model to take away."),
    "runs": ("Runs", ":material/history:", "Every repair so far: compare two, have one again, note what you think."),
    "jobs": ("Jobs", ":material/work_history:", "What runs in the background, what waits, and how it ended."),
    "present": ("Present", ":material/co_present:", "One investigation told to an audience, step by step."),
    "glossary": ("Glossary", ":material/menu_book:", "Every term of art that Midband uses, in plain words."),
}
# reached by a link, not from the navigation
HIDDEN = {"present", "glossary"}
# in the session: the room of the navigation looked at last
CAME_FROM = "came_from"


def room(name: str) -> Any:
    """The `st.Page` of a room."""
    title, icon, purpose = ROOMS[name]
    return st.Page(
        FOLDER / f"{name}.py",
        title=title,
        icon=icon,
        help=purpose,
        default=name == "home",
        url_path=name,
        visibility="hidden" if name in HIDDEN else "visible",
    )


def all_rooms() -> list[Any]:
    return [room(name) for name in ROOMS]


def keep_place(page: Any) -> None:
    """Note where one is, for a room that leads back. page: an `st.Page`."""
    if (name := page.url_path or "home") not in HIDDEN:
        st.session_state[CAME_FROM] = name


def foot(analysis_id: str | None) -> None:
    """At the foot of the sidebar: what is shown to others and what is looked up. analysis_id: the one at hand."""
    with st.sidebar, st.container(gap=None, key="sidebar-foot"):
        for name, query in (("present", {"analysis": analysis_id} if analysis_id else None), ("glossary", None)):
            title, icon, purpose = ROOMS[name]
            st.page_link(room(name), label=title, icon=icon, help=purpose, query_params=query)


def go(name: str, **query: str) -> None:
    """Leave for another room now."""
    st.switch_page(room(name), query_params=query or None)


def way_out() -> None:
    """Where a room without a sidebar cannot be shown: the way back."""
    link("home", "Home")


def unlabelled(why: str) -> None:
    """In place of what needs labels: why it stays away, and what is there all the same. why: a sentence."""
    with st.container(border=True, key="card-unlabelled"):
        st.info(f"**No labels.** {why} Bands, map and concepts work all the same.", icon=":material/label_off:")
        st.caption("With a folder per class or a column of labels, load them again: what the network computed is kept.")
        with st.container(horizontal=True):
            link("bands", "Bands")
            link("map", "Map")
            link("load", "Load")


def link(name: str, label: str, **query: str) -> None:
    st.page_link(room(name), label=label, icon=":material/arrow_forward:", query_params=query or None)
