"""Step 1 of Load: where the images are, and what was understood of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from core.datasets import FORMATS
from core.errors import MidbandError
from pages.parts import load_choices, load_preview, load_reading, load_upload, problem, state
from pages.parts.load_look import Looked

PATH = "load_path"
DROPPED = "load_data_upload"
# what the drop zone takes; folders are given by their path
DROPS = ("zip", "tar", "gz", "tgz", "csv", "tsv", "parquet", "npz", "jsonl", "arrow")


def ask() -> Looked | None:
    """What is known of the dataset, once its place was given and could be read."""
    _from_link()
    with st.container(border=True, key="card-data"):
        st.header("1 · Images", anchor=False)
        path = _place()
        if not path:
            return None
        looked, error = _read(path)
        if error is not None:
            problem.show(error)
            load_choices.undo_after(path)
            load_choices.ask(path, None)
        if looked is not None:
            load_choices.format_chip(path, looked)
            load_choices.ask(path, looked)
            load_preview.show(looked)
        return looked


def clear() -> None:
    """Begin with nothing, as a callback."""
    st.session_state[PATH] = ""
    st.session_state.pop(load_choices.CHOSEN, None)
    load_reading.forget()


def fill(request: Mapping[str, Any]) -> None:
    """Ask with what a job was given, as a callback; what this session gave stands."""
    if not st.session_state.get(PATH):
        st.session_state[PATH] = request["data"]
        load_choices.decide(request["data"], **request.get("choices", {}))


def _from_link() -> None:
    """`/load?data=PATH` begins with a dataset; what is open stands in the address."""
    linked = st.query_params.get("data")
    if linked and state.is_news("data", linked):
        st.session_state[PATH] = linked


def _place() -> str:
    """The path that was typed, linked or dropped; else both ways to give one."""
    given = str(st.session_state.get(PATH) or "").strip()
    field, beside = st.columns([3, 2], gap="medium") if not given else (st.container(), None)
    with field, st.container(horizontal=True, vertical_alignment="bottom"):
        path = st.text_input(
            "Folder or file with the images",
            key=PATH,
            placeholder="/data/waterbirds",
            help="A path on this machine. Formats are recognised by themselves.",
            # typed once: it is still there after a look elsewhere, or a job that failed
            persist_state="session",
        )
        if given:
            st.button("Read again", icon=":material/refresh:", on_click=load_reading.forget)
    if beside is not None:
        with field:
            _formats()
        beside.file_uploader(
            "Or drop a zip, a table, Parquet or npz",
            type=list(DROPS),
            accept_multiple_files=True,
            key=DROPPED,
            on_change=problem.kept(_take_dropped),
            help="It is kept in the workspace. For folders of images, give their path or drop them as a zip.",
        )
    path = path.strip()
    others = {name: value for name, value in st.query_params.to_dict().items() if name != "data"}
    state.write_link({**others, "data": path} if path else others)
    return path


def _formats() -> None:
    """The general before the particular, which is how people look for theirs."""
    general = [one for one in reversed(FORMATS) if one.name != "archive"]
    with st.popover("What can be opened?", icon=":material/help:", type="tertiary"):
        st.markdown("\n".join(f"- **{one.title}**  \n  `{one.layout.splitlines()[0]}`" for one in general))
        st.caption("A zip or tar of any of these, too. Without labels, images can be looked at all the same.")


def _take_dropped() -> None:
    if dropped := st.session_state[DROPPED]:
        st.session_state[PATH] = str(load_upload.keep(state.workspace().datasets / "uploads", dropped))


def _read(path: str) -> tuple[Looked | None, MidbandError | None]:
    try:
        return load_reading.read(path, load_choices.at_hand(path)), None
    except MidbandError as error:
        return None, error
